/* The backward pass in double precision, straight from the definition. With S = scale · Q Kᵀ, P = softmax S and
 * O = (P ∘ Z) V, and dO given,
 *
 *     dV = (P ∘ Z)ᵀ dO      dP = (dO Vᵀ) ∘ Z      D_i = Σ_j P_ij dP_ij      dS = P ∘ (dP − D)
 *     dQ = scale · dS K     dK = scale · dSᵀ Q
 *
 * One query row at a time for m, l, D and dQ; then one key at a time for dK and dV, which sum over every query head
 * that reads it. No tiles, no atomic sums: every number has one owner. The same program with its intermediate results
 * rounded is the yardstick for a number format. */
#include "attention.h"
#include "dot.h"
#include "gold.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is to be computed, and in what it is kept: in fp64 exactly; in fp32 sums are fp32 too; in 16 bits they are
 * double, but S, P, dP, dS and the gradients are rounded. */
typedef struct computation {
    const tw_problem *p;
    tw_problem one; /* the sequence that is worked on */
    tw_dtype dtype;
    double scale;
    const double *q, *k, *v, *d_o;
} computation;

/* A query row of one head, and what its softmax came to. */
typedef struct query {
    const double *q, *d_o;
    int batch, head, row;
    double m, l, d;
} query;

/* P ∘ Z and dS of one pair: its shares of the gradients. */
typedef struct pair {
    double p_dropped, ds;
} pair;

static double kept_in(const computation *c, double x)
{
    return tw_dtype_round(c->dtype, x);
}

static double fp32_dot(const double *x, const double *y, int n)
{
    float sum = 0.0F;
    for (int i = 0; i < n; i++)
        sum += (float)x[i] * (float)y[i];
    return (double)sum;
}

static double dot(const computation *c, const double *x, const double *y, int n)
{
    return c->dtype == TW_FP32 ? fp32_dot(x, y, n) : tw_dot(x, y, n);
}

/* sum += x, in the precision of sums. */
static void add(const computation *c, double *sum, double x)
{
    *sum = c->dtype == TW_FP32 ? (double)((float)*sum + (float)x) : *sum + x;
}

/* gradient += weight · row */
static void add_row(const computation *c, double *gradient, double weight, const double *row, int n)
{
    for (int i = 0; i < n; i++)
        add(c, &gradient[i], weight * row[i]);
}

static void finish_row(const computation *c, double *gradient, double scale, int n)
{
    for (int i = 0; i < n; i++)
        gradient[i] = kept_in(c, scale * gradient[i]);
}

/* A score beyond the format's range stays as it is, as in tw_attention_rounded_row(). */
static double keep_score(const computation *c, double s)
{
    double rounded = kept_in(c, s);
    return isfinite(rounded) ? rounded : s;
}

static double weight(const computation *c, const query *x, double s)
{
    return c->dtype == TW_FP32 ? (double)expf((float)s - (float)x->m) : exp(s - x->m);
}

static double z_at(const computation *c, const query *x, int key)
{
    double z = 1.0;
    if (tw_dropout_is_on(&c->p->dropout))
        tw_dropout_row(&z, &c->p->dropout, x->batch, x->head, x->row, key, 1);
    return z;
}

/* P of a score, once the row's m and l are known. */
static double probability(const computation *c, const query *x, double s)
{
    return kept_in(c, weight(c, x, s) / x->l);
}

/* dP of a pair. */
static double gradient_of_p(const computation *c, const query *x, const double *v, double z)
{
    return kept_in(c, kept_in(c, dot(c, x->d_o, v, tw_problem_head_dim_v(&c->one))) * z);
}

static double gradient_of_s(const computation *c, const query *x, double p, double dp)
{
    return kept_in(c, p * (dp - x->d));
}

/* ---- one query row ---------------------------------------------------------------------------------------- */

/* Scores of a row into s, −INFINITY where it sees nothing; and m and l of them. */
static void score_row(query *x, double *s, const computation *c)
{
    const tw_gold_row at = {x->batch, x->head, tw_problem_kv_head(c->p, x->head), x->row};
    int n = tw_gold_scores(s, c->p, c->q, c->k, at, c->dtype == TW_FP32 ? fp32_dot : NULL);
    for (int j = 0; j < n; j++) {
        s[j] = keep_score(c, s[j]);
        x->m = fmax(x->m, s[j]);
    }
    for (int j = 0; j < n; j++)
        if (s[j] > -INFINITY)
            add(c, &x->l, weight(c, x, s[j]));
}

/* D of a row: Σ_j P_ij dP_ij by definition; rounded, rowsum(dO ∘ O) of the O that the forward pass has stored, which
 * is what programs take. */
static double row_d(const computation *c, const query *x, const double *s, const double *dp, double *o)
{
    const tw_problem *p = &c->one;
    int head_kv = tw_problem_kv_head(p, x->head), width = tw_problem_head_dim_v(p);
    bool exact = c->dtype == TW_FP64;
    double d = 0.0;
    memset(o, 0, (size_t)width * sizeof *o);
    for (int j = 0; j < p->seqlen_k; j++) {
        if (s[j] == -INFINITY)
            continue;
        double prob = probability(c, x, s[j]);
        if (exact)
            d += prob * dp[j];
        else
            add_row(c, o, kept_in(c, prob * z_at(c, x, j)), c->v + tw_problem_v_row(p, x->batch, head_kv, j),
                    width);
    }
    for (int i = 0; i < width && !exact; i++)
        add(c, &d, kept_in(c, o[i]) * x->d_o[i]);
    return d;
}

/* m, l and D of a row, and its dQ; all 0 if it sees nothing. scratch: two rows of scores and one of O. */
static query query_row(double *dq, const computation *c, int batch, int head, int row, double *scratch)
{
    const tw_problem *p = &c->one;
    size_t at = tw_problem_q_row(p, batch, head, row);
    query x = {c->q + at, c->d_o + tw_problem_o_row(p, batch, head, row), batch, head, row, -INFINITY, 0.0,
               0.0};
    int head_kv = tw_problem_kv_head(p, head);
    double *prob = scratch, *dp = scratch + p->seqlen_k, *gradient = dq + at;
    memset(gradient, 0, (size_t)p->head_dim * sizeof *gradient);
    score_row(&x, prob, c);
    for (int j = 0; j < p->seqlen_k && x.l > 0.0; j++)
        if (prob[j] > -INFINITY)
            dp[j] = gradient_of_p(c, &x, c->v + tw_problem_v_row(p, batch, head_kv, j), z_at(c, &x, j));
    x.d = x.l > 0.0 ? row_d(c, &x, prob, dp, dp + p->seqlen_k) : 0.0;
    for (int j = 0; j < p->seqlen_k && x.l > 0.0; j++)
        if (prob[j] > -INFINITY)
            add_row(c, gradient, gradient_of_s(c, &x, probability(c, &x, prob[j]), dp[j]),
                    c->k + tw_problem_k_row(p, batch, head_kv, j), p->head_dim);
    finish_row(c, gradient, c->scale, p->head_dim);
    return x;
}

/* ---- one key ---------------------------------------------------------------------------------------------- */

/* dK and dV of a key: of every query row, of every head of its group, that sees it. */
static void key_row(double *dk, double *dv, const computation *c, int batch, int head_kv, int key,
                    const query *queries)
{
    const tw_problem *p = &c->one;
    int width = p->head_dim, width_v = tw_problem_head_dim_v(p);
    const double *k = c->k + tw_problem_k_row(p, batch, head_kv, key);
    const double *v = c->v + tw_problem_v_row(p, batch, head_kv, key);
    int64_t n = (int64_t)(p->num_heads / p->num_heads_kv) * p->seqlen_q;
    dk += tw_problem_k_row(p, batch, head_kv, key);
    dv += tw_problem_v_row(p, batch, head_kv, key);
    memset(dk, 0, (size_t)width * sizeof *dk);
    memset(dv, 0, (size_t)width_v * sizeof *dv);
    for (int64_t i = 0; i < n; i++) {
        const query *x = &queries[i];
        if (!tw_mask_visible(p, batch, x->head, x->row, key))
            continue;
        double z = z_at(c, x, key),
               prob = probability(c, x, keep_score(c, c->scale * dot(c, x->q, k, width)));
        add_row(c, dv, kept_in(c, prob * z), x->d_o, width_v);
        add_row(c, dk, gradient_of_s(c, x, prob, gradient_of_p(c, x, v, z)), x->q, width);
    }
    finish_row(c, dk, c->scale, width);
    finish_row(c, dv, 1.0, width_v);
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

static size_t row_scratch(const tw_problem *p)
{
    return 2 * (size_t)p->seqlen_k + (size_t)tw_problem_head_dim_v(p);
}

/* The query heads that read one K/V head, and the gradients of both. */
static void group(double *dq, double *dk, double *dv, const computation *c, int batch, int head_kv,
                  query *queries, double *scratch)
{
    const tw_problem *p = &c->one;
    int heads = p->num_heads / p->num_heads_kv;
#pragma omp parallel for collapse(2) schedule(dynamic, 16)
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < p->seqlen_q; i++)
            queries[(size_t)h * (size_t)p->seqlen_q + (size_t)i] = query_row(
                dq, c, batch, head_kv * heads + h, i,
                scratch + (size_t)tw_thread_index() * row_scratch(c->p));
#pragma omp parallel for schedule(dynamic, 16)
    for (int j = 0; j < p->seqlen_k; j++)
        key_row(dk, dv, c, batch, head_kv, j, queries);
}

static computation computation_of(const tw_problem *p, tw_dtype dtype, const double *q, const double *k,
                                  const double *v, const double *d_o)
{
    return (computation){
        .p = p, .dtype = dtype, .scale = tw_problem_scale(p), .q = q, .k = k, .v = v, .d_o = d_o};
}

/* The groups first … end − 1, counted over batch elements and K/V heads. */
static tw_status backward(double *dq, double *dk, double *dv, computation c, int64_t first, int64_t end)
{
    const tw_problem *p = c.p;
    size_t rows = (size_t)(p->num_heads / p->num_heads_kv) * (size_t)p->seqlen_q;
    query *queries = malloc(rows * sizeof *queries);
    double *scratch = malloc((size_t)tw_max_threads() * row_scratch(p) * sizeof *scratch);
    tw_status status = TW_OK;
    if (!queries || !scratch)
        status = tw_fail(TW_ENOMEM, "no memory for %zu rows of %d scores", rows, p->seqlen_k);
    for (int64_t g = first; g < end && status == TW_OK; g++) {
        c.one = tw_problem_sequence(p, (int)(g / p->num_heads_kv));
        group(dq, dk, dv, &c, (int)(g / p->num_heads_kv), (int)(g % p->num_heads_kv), queries, scratch);
    }
    free(queries);
    free(scratch);
    return status;
}

static tw_status one_group(double *dq, double *dk, double *dv, computation c, int batch, int head_kv)
{
    const tw_problem *p = c.p;
    TW_TRY(tw_problem_check_backward(p));
    if (batch < 0 || batch >= p->batch || head_kv < 0 || head_kv >= p->num_heads_kv)
        return tw_fail(TW_EINVAL, "batch element %d, K/V head %d: they must be below %d and %d", batch,
                       head_kv, p->batch, p->num_heads_kv);
    int64_t g = (int64_t)batch * p->num_heads_kv + head_kv;
    return backward(dq, dk, dv, c, g, g + 1);
}

tw_status tw_attention_backward_gold(double *dq, double *dk, double *dv, const tw_problem *p, const double *q,
                                     const double *k, const double *v, const double *d_o)
{
    TW_TRY(tw_problem_check_backward(p));
    return backward(dq, dk, dv, computation_of(p, TW_FP64, q, k, v, d_o), 0,
                    (int64_t)p->batch * p->num_heads_kv);
}

tw_status tw_attention_backward_gold_group(double *dq, double *dk, double *dv, const tw_problem *p,
                                           const double *q, const double *k, const double *v,
                                           const double *d_o, int batch, int head_kv)
{
    return one_group(dq, dk, dv, computation_of(p, TW_FP64, q, k, v, d_o), batch, head_kv);
}

tw_status tw_attention_backward_rounded_group(double *dq, double *dk, double *dv, const tw_problem *p,
                                              const double *q, const double *k, const double *v,
                                              const double *d_o, int batch, int head_kv)
{
    return one_group(dq, dk, dv, computation_of(p, p->dtype, q, k, v, d_o), batch, head_kv);
}
