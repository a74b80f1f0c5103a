/* Attention in double precision, straight from the definition: scores of a row, their softmax, the weighted sum
 * of V. It shares no code with online_softmax.c or tiled.c, because it is what they are checked against. */
#include "attention.h"
#include "dot.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>

/* s[j] = softmax_scale · q_row · k_j for the n keys that the row sees. Returns n. */
static int score_row(double *s, const tw_problem *p, const double *q, const double *k, int batch, int head,
                     int row)
{
    int n = tw_problem_keys_seen(p, row), head_kv = tw_problem_kv_head(p, head);
    double scale = tw_problem_scale(p);
    const double *q_row = q + tw_problem_q_row(p, batch, head, row);
    for (int j = 0; j < n; j++)
        s[j] = scale * tw_dot(q_row, k + tw_problem_k_row(p, batch, head_kv, j), p->head_dim);
    return n;
}

/* s becomes softmax(s); returns LSE, −INFINITY if there are no scores. The maximum is taken off first, so that no
 * exponential overflows. */
static double softmax(double *s, int n)
{
    double m = -INFINITY, l = 0.0;
    for (int j = 0; j < n; j++)
        m = fmax(m, s[j]);
    for (int j = 0; j < n; j++) {
        s[j] = exp(s[j] - m);
        l += s[j];
    }
    for (int j = 0; j < n; j++)
        s[j] /= l;
    return l == 0.0 ? -INFINITY : m + log(l);
}

/* P becomes P ∘ Z, a few columns at a time. */
static void drop(double *weight, const tw_problem *p, int n, int batch, int head, int row)
{
    enum { PIECE = 64 };
    double z[PIECE];
    for (int begin = 0; begin < n && tw_dropout_is_on(&p->dropout); begin += PIECE) {
        int length = n - begin < PIECE ? n - begin : PIECE;
        tw_dropout_row(z, &p->dropout, batch, head, row, begin, length);
        for (int j = 0; j < length; j++)
            weight[begin + j] *= z[j];
    }
}

/* o = Σ_j weight[j] · v_j; 0 if there are no keys. */
static void weighted_sum(double *o, const tw_problem *p, const double *weight, int n, const double *v,
                         int batch, int head)
{
    int head_kv = tw_problem_kv_head(p, head);
    for (int c = 0; c < p->head_dim; c++)
        o[c] = 0.0;
    for (int j = 0; j < n; j++) {
        const double *v_row = v + tw_problem_k_row(p, batch, head_kv, j);
        for (int c = 0; c < p->head_dim; c++)
            o[c] += weight[j] * v_row[c];
    }
}

void tw_attention_gold_row(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                           const double *v, int batch, int head, int row, double *scratch)
{
    int n = score_row(scratch, p, q, k, batch, head, row);
    double row_lse = softmax(scratch, n);
    drop(scratch, p, n, batch, head, row);
    weighted_sum(o, p, scratch, n, v, batch, head);
    if (lse != NULL)
        *lse = row_lse;
}

/* A score beyond the format's range would be infinite there and the whole row NaN, which measures nothing: such
 * a score stays as it is. */
static double round_score(tw_dtype dtype, double s)
{
    double rounded = tw_dtype_round(dtype, s);
    return isfinite(rounded) ? rounded : s;
}

void tw_attention_rounded_row(double *o, const tw_problem *p, const double *q, const double *k,
                              const double *v, int batch, int head, int row, double *scratch)
{
    int n = score_row(scratch, p, q, k, batch, head, row);
    for (int j = 0; j < n; j++)
        scratch[j] = round_score(p->dtype, scratch[j]);
    softmax(scratch, n);
    for (int j = 0; j < n; j++)
        scratch[j] = tw_dtype_round(p->dtype, scratch[j]);
    drop(scratch, p, n, batch, head, row);
    for (int j = 0; j < n; j++)
        scratch[j] = tw_dtype_round(p->dtype, scratch[j]);
    weighted_sum(o, p, scratch, n, v, batch, head);
    for (int c = 0; c < p->head_dim; c++)
        o[c] = tw_dtype_round(p->dtype, o[c]);
}

tw_status tw_attention_gold(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                            const double *v)
{
    TW_TRY(tw_problem_check(p));
    size_t row_of_s = (size_t)p->seqlen_k;
    double *scratch = calloc((size_t)tw_max_threads() * row_of_s, sizeof *scratch);
    if (scratch == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d rows of %d scores", tw_max_threads(), p->seqlen_k);

#pragma omp parallel for collapse(3) schedule(dynamic, 16)
    for (int b = 0; b < p->batch; b++) {
        for (int h = 0; h < p->num_heads; h++) {
            for (int i = 0; i < p->seqlen_q; i++) {
                tw_attention_gold_row(o + tw_problem_q_row(p, b, h, i),
                                      lse == NULL ? NULL : lse + tw_problem_lse_at(p, b, h, i), p, q, k, v, b,
                                      h, i, scratch + (size_t)tw_thread_index() * row_of_s);
            }
        }
    }
    free(scratch);
    return TW_OK;
}
