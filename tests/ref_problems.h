/* The problems that gold and tiled attention are both tested on, and inputs for them. */
#ifndef TW_REF_PROBLEMS_H
#define TW_REF_PROBLEMS_H

#include "cpu_ref/attention.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* How the inputs are made. */
typedef enum ref_inputs {
    NORMAL, /* standard normal */
    WHOLE,  /* whole numbers of Q and K so that every score is exact in fp32, up to ±10⁴ and beyond */
    HUGE_   /* normal, scaled so that scores reach ±10⁴ and are rounded */
} ref_inputs;

typedef struct ref_problem {
    int batch, num_heads, num_heads_kv, seqlen_q, seqlen_k, head_dim;
    bool causal;
    double softmax_scale;
    ref_inputs inputs;
} ref_problem;

static const ref_problem ref_problems[] = {
    /* B, H, Hkv, sq, sk, d */
    {1, 1, 1, 1, 1, 1, false, 0.0, NORMAL},
    {1, 1, 1, 1, 1, 1, true, 0.0, NORMAL},
    {2, 3, 3, 31, 31, 64, false, 0.0, NORMAL},
    {2, 3, 3, 31, 31, 64, true, 0.0, NORMAL},
    {1, 2, 2, 97, 97, 40, false, 0.0, NORMAL},
    {1, 2, 2, 97, 97, 40, true, 0.0, NORMAL},
    {1, 1, 1, 1, 300, 128, false, 0.0, NORMAL},
    {1, 1, 1, 1, 300, 128, true, 0.0, NORMAL},
    {1, 1, 1, 300, 1, 16, false, 0.0, NORMAL},
    {1, 1, 1, 300, 1, 16, true, 0.0, NORMAL}, /* 299 masked rows */
    {2, 2, 2, 37, 101, 17, true, 0.0, NORMAL},
    {2, 2, 2, 101, 37, 17, true, 0.0, NORMAL}, /* 64 masked rows */
    {1, 2, 2, 37, 101, 17, false, 0.0, NORMAL},
    {1, 2, 2, 101, 37, 17, false, 0.0, NORMAL},
    {2, 8, 2, 53, 59, 24, true, 0.0, NORMAL},  /* grouped heads */
    {2, 6, 1, 53, 59, 33, false, 0.0, NORMAL}, /* one K/V head */
    {1, 2, 2, 128, 128, 64, true, 0.0, NORMAL},
    {1, 1, 1, 2, 2, 3, true, 0.0, NORMAL},
    {1, 1, 1, 61, 67, 257, false, 0.0, NORMAL},
    {1, 2, 1, 43, 41, 32, false, 0.7, NORMAL},
    {1, 2, 1, 43, 41, 32, true, -0.3, NORMAL},
    {1, 2, 1, 43, 41, 32, true, 1e-30, NORMAL},
    {1, 2, 2, 71, 89, 64, false, 1.0, WHOLE},
    {1, 2, 2, 89, 71, 64, true, 4.0, WHOLE},
    {1, 2, 2, 71, 89, 64, true, -4.0, WHOLE},
    {1, 2, 2, 71, 89, 128, true, 0.0, HUGE_},
};
enum { NUM_REF_PROBLEMS = sizeof ref_problems / sizeof ref_problems[0] };

/* A problem with inputs in both precisions, of equal value, and room for the result of gold. */
typedef struct ref_case {
    tw_problem p;
    double *q, *k, *v, *o, *lse;
    float *q_f, *k_f, *v_f;
    size_t num_o, num_k, num_lse;
} ref_case;

static inline double *ref_array(size_t n)
{
    double *x = calloc(n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* Rounds x to fp32 in place, and returns the same numbers as floats. */
static inline float *ref_floats(double *x, size_t n)
{
    float *f = calloc(n, sizeof *f);
    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < n; i++) {
        f[i] = (float)x[i];
        x[i] = (double)f[i];
    }
    return f;
}

static inline void ref_fill(double *x, size_t n, uint64_t stream, ref_inputs inputs)
{
    tw_random_normal(x, n, 20, stream);
    for (size_t i = 0; i < n && stream < 2; i++)
        x[i] = inputs == WHOLE ? round(7.0 * x[i]) : inputs == HUGE_ ? 50.0 * x[i] : x[i];
}

static inline ref_case ref_case_create(const ref_problem *r)
{
    ref_case c = {.p = {.batch = r->batch,
                        .num_heads = r->num_heads,
                        .num_heads_kv = r->num_heads_kv,
                        .seqlen_q = r->seqlen_q,
                        .seqlen_k = r->seqlen_k,
                        .head_dim = r->head_dim,
                        .causal = r->causal,
                        .softmax_scale = r->softmax_scale}};
    c.num_o = (size_t)r->batch * (size_t)r->num_heads * (size_t)r->seqlen_q * (size_t)r->head_dim;
    c.num_k = (size_t)r->batch * (size_t)r->num_heads_kv * (size_t)r->seqlen_k * (size_t)r->head_dim;
    c.num_lse = c.num_o / (size_t)r->head_dim;
    c.q = ref_array(c.num_o), c.o = ref_array(c.num_o), c.lse = ref_array(c.num_lse);
    c.k = ref_array(c.num_k), c.v = ref_array(c.num_k);
    ref_fill(c.q, c.num_o, 0, r->inputs);
    ref_fill(c.k, c.num_k, 1, r->inputs);
    ref_fill(c.v, c.num_k, 2, r->inputs);
    c.q_f = ref_floats(c.q, c.num_o), c.k_f = ref_floats(c.k, c.num_k), c.v_f = ref_floats(c.v, c.num_k);
    return c;
}

static inline void ref_case_free(ref_case *c)
{
    free(c->q), free(c->k), free(c->v), free(c->o), free(c->lse);
    free(c->q_f), free(c->k_f), free(c->v_f);
}

#endif
