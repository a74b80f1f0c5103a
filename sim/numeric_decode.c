/* Arithmetic of parts of the keys and of a fixed maximum. */
#include "../cpu_ref/online_softmax.h"
#include "numeric_executor.h"

#include <math.h>

/* A part's normalised O and its LSE are a state too: m = LSE, l = 1, O. */
static void combine(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int width = e->slots[op->dst].cols.rows;
    for (int r = 0; r < e->slots[op->dst].rows.rows; r++)
        tw_online_merge(&x->slots[op->stats.m.id][r], &x->slots[op->stats.l.id][r],
                        tw_executor_row(x, e, op->dst, r), x->slots[op->b][r], 1.0,
                        tw_executor_row(x, e, op->a, r), width);
}

static void fix_max(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < e->slots[op->dst].rows.rows; r++) {
        double *m = &x->slots[op->stats.m.id][r], *l = &x->slots[op->stats.l.id][r];
        *l *= tw_online_rescale_factor(*m, op->value);
        *m = op->value;
    }
}

static void fixed_softmax(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int keys = e->slots[op->dst].cols.rows;
    double range[2];
    tw_fixed_range(range, e->problem, e->tiling);
    for (int r = 0; r < e->slots[op->dst].rows.rows; r++) {
        double *s = tw_executor_row(x, e, op->dst, r), *l = &x->slots[op->stats.l.id][r];
        double m = x->slots[op->stats.m.id][r];
        if (!tw_fixed_max_holds(s, m, range, keys))
            *l = INFINITY;
        tw_online_exp(s, s, m, keys);
        *l = tw_online_sum(*l, 1.0, s, keys);
    }
}

static void add_part(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int width = e->slots[op->dst].cols.rows;
    for (int r = 0; r < e->slots[op->dst].rows.rows; r++) {
        double *o = tw_executor_row(x, e, op->dst, r);
        const double *part = tw_executor_row(x, e, op->a, r);
        for (int c = 0; c < width; c++)
            o[c] += part[c];
        x->slots[op->stats.l.id][r] += x->slots[op->b][r];
    }
}

bool tw_execute_decode(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    switch (op->kind) {
    case TW_OP_COMBINE:
        combine(x, e, op);
        return true;
    case TW_OP_FIX_MAX:
        fix_max(x, e, op);
        return true;
    case TW_OP_FIXED_SOFTMAX:
        fixed_softmax(x, e, op);
        return true;
    case TW_OP_ADD_PART:
        add_part(x, e, op);
        return true;
    default:
        return false;
    }
}

bool tw_executor_left_range(void *self, const tw_emitter *e, tw_row_stats st)
{
    tw_executor *x = self;
    bool left = false;
    for (int r = 0; r < e->slots[st.l.id].rows.rows; r++)
        left = left || !isfinite(x->slots[st.l.id][r]);
    x->stats.num_recomputed += left;
    return left;
}

size_t tw_executor_paged_row(const tw_executor *x, const tw_emitter *e, const tw_op *op, int64_t row)
{
    const tw_problem *p = e->problem;
    int64_t first = e->slots[op->a].rows.row0, page = (int64_t)x->slots[op->a][row / p->page_size - first];
    int64_t at = page * p->page_size + row % p->page_size;
    bool whole_k = op->tensor == TW_K || p->v_in_k;
    int64_t width = whole_k ? p->head_dim : tw_problem_head_dim_v(p);
    return (size_t)((at * p->num_heads_kv + op->head) * width);
}
