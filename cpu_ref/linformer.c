/* Attention to projected keys, from the definition. */
#include "linformer.h"

#include <math.h>
#include <stdlib.h>

/* The first key of a stretch. */
static int stretch_begin(const tw_problem *p, int row)
{
    return (int)((int64_t)row * p->seqlen_k / p->rank);
}

double tw_linformer_weight(const tw_problem *p, int row, int key)
{
    int begin = stretch_begin(p, row), end = stretch_begin(p, row + 1);
    return key >= begin && key < end ? 1.0 / (end - begin) : 0.0;
}

/* Row `row` of K' or V': `width` numbers. */
static void project(double *row_out, const tw_problem *p, const double *x, int batch, int head_kv, int row,
                    bool is_v, int width)
{
    for (int c = 0; c < width; c++)
        row_out[c] = 0.0;
    for (int key = stretch_begin(p, row); key < stretch_begin(p, row + 1); key++) {
        const double *from = x + (is_v ? tw_problem_v_row(p, batch, head_kv, key)
                                       : tw_problem_k_row(p, batch, head_kv, key));
        for (int c = 0; c < width; c++)
            row_out[c] += tw_linformer_weight(p, row, key) * from[c];
    }
}

/* One row of O; `weights` has room for rank numbers. */
static void attend(double *o, const tw_problem *p, const double *q, const double *kp, const double *vp,
                   double *weights)
{
    int d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    double largest = -INFINITY, sum = 0.0;
    for (int r = 0; r < p->rank; r++) {
        double s = 0.0;
        for (int c = 0; c < d; c++)
            s += q[c] * kp[(size_t)r * (size_t)d + (size_t)c];
        weights[r] = tw_problem_scale(p) * s;
        largest = fmax(largest, weights[r]);
    }
    for (int r = 0; r < p->rank; r++)
        sum += weights[r] = exp(weights[r] - largest);
    for (int c = 0; c < d_v; c++) {
        o[c] = 0.0;
        for (int r = 0; r < p->rank; r++)
            o[c] += weights[r] / sum * vp[(size_t)r * (size_t)d_v + (size_t)c];
    }
}

tw_status tw_attention_linformer(double *o, const tw_problem *p, const double *q, const double *k,
                                 const double *v)
{
    if (p->rank < 1 || p->rank > p->seqlen_k)
        return tw_fail(TW_EINVAL, "rank is %d, it must be from 1 to seqlen_k, which is %d", p->rank,
                       p->seqlen_k);
    size_t rank = (size_t)p->rank, d = (size_t)p->head_dim, d_v = (size_t)tw_problem_head_dim_v(p);
    double *kp = malloc(rank * (d + d_v + 1) * sizeof *kp);
    if (!kp)
        return tw_fail(TW_ENOMEM, "no memory for %d projected keys", p->rank);
    double *vp = kp + rank * d, *weights = vp + rank * d_v;
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads; h++) {
            int head_kv = tw_problem_kv_head(p, h);
            for (int r = 0; r < p->rank; r++) {
                project(kp + (size_t)r * d, p, k, b, head_kv, r, false, (int)d);
                project(vp + (size_t)r * d_v, p, v, b, head_kv, r, true, (int)d_v);
            }
            for (int i = 0; i < p->seqlen_q; i++)
                attend(o + tw_problem_o_row(p, b, h, i), p, q + tw_problem_q_row(p, b, h, i), kp, vp,
                       weights);
        }
    free(kp);
    return TW_OK;
}
