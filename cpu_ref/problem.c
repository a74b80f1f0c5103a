/* The shape of one attention, and what follows from it alone. */
#include "problem.h"

#include <math.h>

static tw_status check_size(const char *name, int value)
{
    if (value < 1)
        return tw_fail(TW_EINVAL, "%s is %d, it must be at least 1", name, value);
    return TW_OK;
}

tw_status tw_problem_check(const tw_problem *p)
{
    TW_TRY(check_size("batch", p->batch));
    TW_TRY(check_size("num_heads", p->num_heads));
    TW_TRY(check_size("num_heads_kv", p->num_heads_kv));
    TW_TRY(check_size("seqlen_q", p->seqlen_q));
    TW_TRY(check_size("seqlen_k", p->seqlen_k));
    TW_TRY(check_size("head_dim", p->head_dim));
    if (p->num_heads % p->num_heads_kv != 0)
        return tw_fail(TW_EINVAL, "num_heads is %d and num_heads_kv is %d, the second must divide the first",
                       p->num_heads, p->num_heads_kv);
    if (!isfinite(p->softmax_scale))
        return tw_fail(TW_EINVAL, "softmax_scale is %g, it must be finite", p->softmax_scale);
    TW_TRY(tw_dropout_check(&p->dropout));
    if (tw_dtype_bytes(p->dtype) == 0)
        return tw_fail(TW_EINVAL, "dtype is %d, it must be one of enum tw_dtype", (int)p->dtype);
    double flops = 4.0 * p->head_dim * (double)p->seqlen_q * (double)p->seqlen_k * p->num_heads * p->batch;
    if (flops >= 0x1p62)
        return tw_fail(TW_EOVERFLOW,
                       "batch %d x heads %d x %d queries x %d keys x head_dim %d is %.2g FLOPs, "
                       "it must stay below 2^62",
                       p->batch, p->num_heads, p->seqlen_q, p->seqlen_k, p->head_dim, flops);
    return TW_OK;
}

double tw_problem_scale(const tw_problem *p)
{
    return p->softmax_scale != 0.0 ? p->softmax_scale : 1.0 / sqrt((double)p->head_dim);
}

int tw_problem_kv_head(const tw_problem *p, int head)
{
    return head / (p->num_heads / p->num_heads_kv);
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

int tw_problem_keys_seen(const tw_problem *p, int row)
{
    if (!p->causal)
        return p->seqlen_k;
    return (int)clamp((int64_t)row + 1 + p->seqlen_k - p->seqlen_q, 0, p->seqlen_k);
}

int64_t tw_problem_pairs_in(const tw_problem *p, int64_t row0, int64_t row1, int64_t col0, int64_t col1)
{
    if (row0 >= row1 || col0 >= col1)
        return 0;
    int64_t width = col1 - col0;
    if (!p->causal)
        return (row1 - row0) * width;
    /* Row i keeps clamp(i + 1 + shift, 0, width) of these columns: none, then one more a row, then all. */
    int64_t shift = (int64_t)p->seqlen_k - p->seqlen_q - col0;
    int64_t rise = clamp(-shift, row0, row1);            /* first row that keeps any */
    int64_t full = clamp(width - 1 - shift, rise, row1); /* first row that keeps all */
    int64_t rising = full - rise, first = rise + 1 + shift;
    return rising * first + rising * (rising - 1) / 2 + (row1 - full) * width;
}

int64_t tw_problem_pairs(const tw_problem *p)
{
    return tw_problem_pairs_in(p, 0, p->seqlen_q, 0, p->seqlen_k);
}

int64_t tw_problem_flops(const tw_problem *p)
{
    return 4 * (int64_t)p->head_dim * tw_problem_pairs(p) * p->num_heads * p->batch;
}

size_t tw_problem_q_elements(const tw_problem *p)
{
    return (size_t)p->batch * (size_t)p->seqlen_q * (size_t)p->num_heads * (size_t)p->head_dim;
}

size_t tw_problem_k_elements(const tw_problem *p)
{
    return (size_t)p->batch * (size_t)p->seqlen_k * (size_t)p->num_heads_kv * (size_t)p->head_dim;
}

size_t tw_problem_lse_elements(const tw_problem *p)
{
    return (size_t)p->batch * (size_t)p->num_heads * (size_t)p->seqlen_q;
}

size_t tw_problem_q_row(const tw_problem *p, int batch, int head, int row)
{
    return (((size_t)batch * (size_t)p->seqlen_q + (size_t)row) * (size_t)p->num_heads + (size_t)head) *
           (size_t)p->head_dim;
}

size_t tw_problem_k_row(const tw_problem *p, int batch, int head_kv, int row)
{
    return (((size_t)batch * (size_t)p->seqlen_k + (size_t)row) * (size_t)p->num_heads_kv + (size_t)head_kv) *
           (size_t)p->head_dim;
}

size_t tw_problem_lse_at(const tw_problem *p, int batch, int head, int row)
{
    return ((size_t)batch * (size_t)p->num_heads + (size_t)head) * (size_t)p->seqlen_q + (size_t)row;
}
