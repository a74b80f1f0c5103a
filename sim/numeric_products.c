/* Products of tiles for the numeric back end: of numbers, or of codes with scales, with sums as wide as is asked for. */
#include "numeric_executor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- scales ---------------------------------------------------------------------------------------------- */

/* What a row of a tile of codes is worth; 1 where it holds numbers. */
static double row_scale(const tw_executor *x, const tw_emitter *e, int tile, int scales, int row)
{
    if (scales < 0)
        return 1.0;
    const tw_slot_info *t = &e->slots[tile];
    const tw_problem *p = e->problem;
    tw_quantized_tensor which = t->tensor == TW_Q   ? TW_QUANTIZED_Q
                                : t->tensor == TW_K ? TW_QUANTIZED_K
                                                    : TW_QUANTIZED_V;
    int64_t together = tw_quantize_rows(&p->quantize, which,
                                        which == TW_QUANTIZED_Q ? p->seqlen_q : p->seqlen_k);
    return x->slots[scales][(t->rows.row0 + row) / together - e->slots[scales].rows.row0];
}

/* ---- sums ------------------------------------------------------------------------------------------------ */

/* How products are added up in this product of tiles: `together` of them exactly, and then the sum is cut. */
typedef struct adder {
    tw_sums sums;
    int together;
    bool narrow; /* is anything cut at all? */
} adder;

static adder adder_of(const tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    bool codes = op->scale_b >= 0, whole_numbers = codes && e->problem->quantize.format == TW_INT8;
    bool asked = x->sums.fp16 || x->sums.bits > 0;
    return (adder){.sums = x->sums,
                   .together = codes ? 32 : 16,
                   .narrow = asked && x->rounding == TW_ROUND_AS_GPU && !whole_numbers};
}

/* Towards zero: the lower bits of a double's fraction are dropped. */
static double cut(double sum, int bits)
{
    uint64_t pattern;
    memcpy(&pattern, &sum, sizeof pattern);
    pattern &= ~((UINT64_C(1) << (53 - bits)) - 1);
    memcpy(&sum, &pattern, sizeof sum);
    return sum;
}

static double narrow(const adder *a, double sum)
{
    if (a->sums.fp16)
        return tw_dtype_round(TW_FP16, sum);
    return isfinite(sum) ? cut(sum, a->sums.bits) : sum;
}

/* sum + Σ a[i] · b[i · stride], a few at a time. */
static double add_narrowly(const adder *how, double sum, const double *a, const double *b, int n,
                           size_t stride)
{
    for (int first = 0; first < n; first += how->together) {
        double group = 0.0;
        for (int i = first; i < n && i < first + how->together; i++)
            group += a[i] * b[(size_t)i * stride];
        sum = narrow(how, sum + group);
    }
    return sum;
}

/* ---- S = scale · Q Kᵀ ------------------------------------------------------------------------------------ */

/* The tile of K with keys along rows, so that one element of Q meets all keys at a time; NULL without memory. */
static const double *turn(tw_executor *x, const tw_emitter *e, int id)
{
    size_t keys = (size_t)e->slots[id].rows.rows, depth = (size_t)e->slots[id].cols.rows;
    if (x->turned_capacity < keys * depth) {
        free(x->turned);
        x->turned = malloc(keys * depth * sizeof *x->turned);
        x->turned_capacity = x->turned ? keys * depth : 0;
    }
    for (size_t j = 0; j < keys && x->turned; j++)
        for (size_t c = 0; c < depth; c++)
            x->turned[c * keys + j] = x->slots[id][j * depth + c];
    return x->turned;
}

/* sum += Σ weight[i] · row i of x, each sum in the order of i; four rows at a time, so that a sum is loaded for all four. */
static void add_rows(double *restrict sum, const double *restrict weight, const double *restrict x, int n,
                     int width, size_t stride)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        const double *a = x + (size_t)i * stride, *b = a + stride, *c = b + stride, *d = c + stride;
        double wa = weight[i], wb = weight[i + 1], wc = weight[i + 2], wd = weight[i + 3];
        for (int j = 0; j < width; j++)
            sum[j] = (((sum[j] + wa * a[j]) + wb * b[j]) + wc * c[j]) + wd * d[j];
    }
    for (; i < n; i++)
        for (int j = 0; j < width; j++)
            sum[j] += weight[i] * x[(size_t)i * stride + (size_t)j];
}

static void scores_of_row(double *s, const double *q, const double *turned, int keys, int depth)
{
    for (int j = 0; j < keys; j++)
        s[j] = 0.0;
    add_rows(s, q, turned, depth, keys, (size_t)keys);
}

static void scores_of_row_narrowly(double *s, const adder *how, const double *q, const double *k, int keys,
                                   int depth)
{
    for (int j = 0; j < keys; j++)
        s[j] = add_narrowly(how, 0.0, q, k + (size_t)j * (size_t)depth, depth, 1);
}

void tw_execute_matmul_nt(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int rows = e->slots[op->a].rows.rows, keys = e->slots[op->b].rows.rows, depth = e->slots[op->a].cols.rows;
    adder how = adder_of(x, e, op);
    const double *turned = turn(x, e, op->b);
    double *before = op->adds ? malloc((size_t)keys * sizeof *before) : NULL; /* what S += adds to */
    if (!turned || (op->adds && !before)) {
        x->status = tw_fail(TW_ENOMEM, "a tile of %d keys does not fit into memory", keys);
        free(before);
        return;
    }
    for (int i = 0; i < rows; i++) {
        const double *q = tw_executor_row(x, e, op->a, i);
        double *s = tw_executor_row(x, e, op->dst, i);
        if (before)
            memcpy(before, s, (size_t)keys * sizeof *s);
        if (how.narrow)
            scores_of_row_narrowly(s, &how, q, x->slots[op->b], keys, depth);
        else
            scores_of_row(s, q, turned, keys, depth);
        double q_worth = op->value * row_scale(x, e, op->a, op->scale_a, i);
        for (int j = 0; j < keys; j++)
            s[j] = s[j] * (q_worth * row_scale(x, e, op->b, op->scale_b, j)) + (before ? before[j] : 0.0);
    }
    free(before);
}

/* ---- O += P V, dQ += scale · dS K ------------------------------------------------------------------------ */

/* A few keys at a time, whose weights are those of P times what their codes are worth. */
static void add_row(double *sum, const tw_executor *x, const tw_emitter *e, const tw_op *op,
                    const double *weights)
{
    enum { FEW = 64 };
    int keys = e->slots[op->a].cols.rows, width = e->slots[op->dst].cols.rows;
    size_t stride = (size_t)e->slots[op->b].cols.rows;
    double worth[FEW];
    for (int first = 0; first < keys; first += FEW) {
        int n = keys - first < FEW ? keys - first : FEW;
        for (int j = 0; j < n; j++)
            worth[j] = op->value * weights[first + j] * row_scale(x, e, op->b, op->scale_b, first + j);
        add_rows(sum, worth, x->slots[op->b] + (size_t)first * stride, n, width, stride);
    }
}

/* The sum is in units of what the codes are worth while it is added to; keys with another scale begin anew. */
static void add_row_narrowly(double *sum, const adder *how, const tw_executor *x, const tw_emitter *e,
                             const tw_op *op, const double *weights)
{
    int keys = e->slots[op->a].cols.rows, width = e->slots[op->dst].cols.rows;
    size_t stride = (size_t)e->slots[op->b].cols.rows;
    for (int first = 0, end; first < keys; first = end) {
        double worth = row_scale(x, e, op->b, op->scale_b, first);
        for (end = first + 1; end < keys && row_scale(x, e, op->b, op->scale_b, end) == worth; end++)
            ;
        double unit = op->value * worth;
        for (int c = 0; c < width; c++)
            sum[c] = unit * add_narrowly(how, sum[c] / unit, weights + first,
                                         x->slots[op->b] + (size_t)first * stride + (size_t)c, end - first,
                                         stride);
    }
}

void tw_execute_matmul_add(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    adder how = adder_of(x, e, op);
    for (int i = 0; i < e->slots[op->a].rows.rows; i++) {
        double *sum = tw_executor_row(x, e, op->dst, i);
        const double *weights = tw_executor_row(x, e, op->a, i);
        if (how.narrow)
            add_row_narrowly(sum, &how, x, e, op, weights);
        else
            add_row(sum, x, e, op, weights);
    }
}
