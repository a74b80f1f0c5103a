/* The arithmetic of the backward pass, and of dropout, for the numeric back end. */
#include "../cpu_ref/online_softmax.h"
#include "numeric_executor.h"

#include <math.h>

static int rows_of(const tw_emitter *e, int id)
{
    return e->slots[id].rows.rows;
}

static int cols_of(const tw_emitter *e, int id)
{
    return e->slots[id].cols.rows;
}

/* dst += scale · aᵀ b */
static void matmul_tn(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int width = cols_of(e, op->dst);
    for (int i = 0; i < rows_of(e, op->a); i++) {
        const double *a = tw_executor_row(x, e, op->a, i), *b = tw_executor_row(x, e, op->b, i);
        for (int j = 0; j < cols_of(e, op->a); j++) {
            double weight = op->value * a[j];
            tw_online_accumulate(tw_executor_row(x, e, op->dst, j), &weight, b, 1, width, width);
        }
    }
}

/* P = e^(S − LSE). LSE is −∞ where a row sees nothing, and then P is 0 and not NaN. */
static void softmax_lse(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < rows_of(e, op->dst); r++) {
        double *s = tw_executor_row(x, e, op->dst, r), lse = *tw_executor_row(x, e, op->a, r);
        tw_online_exp(s, s, lse, cols_of(e, op->dst));
    }
}

static void row_dot(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < rows_of(e, op->a); r++) {
        const double *a = tw_executor_row(x, e, op->a, r), *b = tw_executor_row(x, e, op->b, r);
        double *d = tw_executor_row(x, e, op->dst, r);
        for (int c = 0; c < cols_of(e, op->a); c++)
            *d += a[c] * b[c];
    }
}

static void dsoftmax(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < rows_of(e, op->dst); r++) {
        double *dp = tw_executor_row(x, e, op->dst, r), d = *tw_executor_row(x, e, op->b, r);
        const double *p = tw_executor_row(x, e, op->a, r);
        for (int j = 0; j < cols_of(e, op->dst); j++)
            dp[j] = p[j] * (dp[j] - d);
    }
}

static void atomic_add(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    tw_dtype dtype = tw_tensor_shape_of(op->tensor, e->problem).dtype;
    for (int r = 0; r < op->rows.rows; r++) {
        size_t row = tw_executor_tensor_row(e, op->tensor, op->batch, op->head, op->rows.row0 + r);
        double *to = x->outputs[op->tensor] + row + op->cols.row0;
        const double *from = tw_executor_row(x, e, op->a, r);
        for (int c = 0; c < op->cols.rows; c++) {
            to[c] += from[c];
            if (x->rounding == TW_ROUND_AS_GPU)
                to[c] = tw_dtype_round(dtype, to[c]);
        }
    }
    x->stats.sram_drain_bytes += (int64_t)op->rows.rows * op->cols.rows *
                                 tw_tensor_element_bytes(op->tensor, e->problem);
}

/* A row of dst times Z, made from its counters. */
static void drop_row(tw_executor *x, const tw_emitter *e, const tw_op *op, int r)
{
    const tw_problem *p = e->problem;
    const tw_slot_info *s = &e->slots[op->dst];
    int row = (int)s->rows.row0 + r;
    double *numbers = tw_executor_row(x, e, op->dst, r);
    int head = tw_problem_query_head(p, e->head, row), query = tw_problem_query_row(p, row);
    bool apart = p->key_part.of > 0; /* keys that are no neighbours in the sequence are asked one by one */
    for (int j = 0; j < s->cols.rows; j += apart ? 1 : s->cols.rows)
        tw_dropout_apply(numbers + j, &p->dropout, e->batch, head, query,
                         tw_problem_key(p, (int)s->cols.row0 + j), apart ? 1 : s->cols.rows);
}

/* The same by a mask of ones and zeros that was kept. */
static void drop_row_by_mask(tw_executor *x, const tw_emitter *e, const tw_op *op, int r)
{
    const double *kept = tw_executor_row(x, e, op->a, r);
    double *row = tw_executor_row(x, e, op->dst, r), scale = tw_dropout_scale(&e->problem->dropout);
    for (int j = 0; j < cols_of(e, op->dst); j++)
        row[j] *= kept[j] * scale;
}

static void dropout(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < rows_of(e, op->dst); r++)
        if (op->a >= 0)
            drop_row_by_mask(x, e, op, r);
        else
            drop_row(x, e, op, r);
}

static void dropout_mask(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < rows_of(e, op->dst); r++) {
        double *row = tw_executor_row(x, e, op->dst, r);
        for (int j = 0; j < cols_of(e, op->dst); j++)
            row[j] = 1.0;
        drop_row(x, e, op, r);
        for (int j = 0; j < cols_of(e, op->dst); j++)
            row[j] = row[j] > 0.0;
    }
}

bool tw_execute_backward(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    static void (*const run[TW_NUM_OPS])(tw_executor *, const tw_emitter *, const tw_op *) = {
        [TW_OP_MATMUL_TN] = matmul_tn,       [TW_OP_SOFTMAX_LSE] = softmax_lse, [TW_OP_ROW_DOT] = row_dot,
        [TW_OP_DSOFTMAX] = dsoftmax,         [TW_OP_ATOMIC_ADD] = atomic_add,   [TW_OP_DROPOUT] = dropout,
        [TW_OP_DROPOUT_MASK] = dropout_mask,
    };
    if (run[op->kind])
        run[op->kind](x, e, op);
    return run[op->kind] != NULL;
}
