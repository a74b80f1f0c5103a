/* Gradients: gold against central differences of gold attention, tiled against gold, and what must hold of any. */
#include "check_tilewise.h"
#include "cpu_ref/tiled_kernel.h"
#include "mask_cases.h"
#include "ref_problems.h"

#include <limits.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* Many small problems: threads would only wait for each other. */
static void use_one_thread(void)
{
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
}

/* A problem, dO, and the gradients of gold. */
typedef struct grad_case {
    ref_case in;
    double *d_o, *dq, *dk, *dv;
} grad_case;

static grad_case grad_case_create(const ref_problem *r, double dropout)
{
    grad_case g = {.in = ref_case_create(r)};
    g.in.p.dropout = (tw_dropout){.probability = dropout, .seed = 11};
    g.d_o = ref_array(g.in.num_o), g.dq = ref_array(g.in.num_o);
    g.dk = ref_array(g.in.num_k), g.dv = ref_array(g.in.num_k);
    tw_random_normal(g.d_o, g.in.num_o, 20, 3);
    ck_assert_int_eq(tw_attention_backward_gold(g.dq, g.dk, g.dv, &g.in.p, g.in.q, g.in.k, g.in.v, g.d_o),
                     TW_OK);
    return g;
}

static void grad_case_free(grad_case *g)
{
    free(g->d_o), free(g->dq), free(g->dk), free(g->dv);
    ref_case_free(&g->in);
}

/* ---- finite differences ------------------------------------------------------------------------------------ */

/* sum(dO ∘ O): what the gradients are of. */
static double loss(const grad_case *g)
{
    const ref_case *c = &g->in;
    double sum = 0;
    if (tw_attention_gold(c->o, NULL, &c->p, c->q, c->k, c->v) != TW_OK)
        ck_abort();
    for (size_t i = 0; i < tw_problem_o_elements(&c->p); i++)
        sum += g->d_o[i] * c->o[i];
    return sum;
}

/* The derivative by one number, to fourth order: what is left is h⁴ and the loss's own rounding over h. */
static double difference(const grad_case *g, double *x)
{
    const double h = 1e-3, at = *x;
    double f[4];
    for (int i = 0; i < 4; i++) {
        *x = at + (i < 2 ? i - 2 : i - 1) * h; /* −2h, −h, h, 2h */
        f[i] = loss(g);
    }
    *x = at;
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
}

static void expect_differences(const grad_case *g, double *x, const double *gradient, size_t n,
                               const char *name)
{
    for (size_t i = 0; i < n; i++) {
        double expected = difference(g, &x[i]);
        ck_assert_msg(fabs(gradient[i] - expected) <= 1e-8 * fmax(1.0, fabs(expected)),
                      "%s[%zu] is %.12g, by differences %.12g", name, i, gradient[i], expected);
    }
}

static const struct small {
    ref_problem r;
    double dropout;
} smalls[] = {
    {{1, 1, 1, 1, 1, 1, false, 0.0, NORMAL}, 0},   {{1, 1, 1, 3, 5, 4, false, 0.0, NORMAL}, 0},
    {{1, 1, 1, 5, 5, 3, true, 0.0, NORMAL}, 0},    {{2, 2, 2, 4, 6, 2, true, 0.0, NORMAL}, 0},
    {{1, 4, 2, 5, 4, 3, false, 0.0, NORMAL}, 0},   {{1, 3, 1, 4, 4, 2, true, 0.0, NORMAL}, 0},
    {{1, 1, 1, 7, 3, 4, true, 0.0, NORMAL}, 0}, /* four masked rows */
    {{1, 2, 1, 5, 7, 3, true, -0.7, NORMAL}, 0},   {{1, 1, 1, 6, 9, 4, false, 0.0, NORMAL}, 0.4},
    {{2, 4, 2, 5, 6, 3, true, 0.0, NORMAL}, 0.25}, {{1, 2, 1, 8, 3, 2, true, 0.0, NORMAL}, 0.5},
};
#define NUM_SMALLS ((int)(sizeof smalls / sizeof smalls[0]))

START_TEST(gold_is_what_differences_say)
{
    grad_case g = grad_case_create(&smalls[_i].r, smalls[_i].dropout);
    expect_differences(&g, g.in.q, g.dq, g.in.num_o, "dQ");
    expect_differences(&g, g.in.k, g.dk, g.in.num_k, "dK");
    expect_differences(&g, g.in.v, g.dv, g.in.num_k, "dV");
    grad_case_free(&g);
}
END_TEST

/* What tiles give, in fp32, where nothing is large. */
static void expect_tiled(const grad_case *g, int block_m, int block_n)
{
    const ref_case *c = &g->in;
    float *o = calloc(c->num_o, sizeof *o), *lse = calloc(c->num_lse, sizeof *lse);
    float *d_o = calloc(c->num_o, sizeof *d_o), *out[3];
    const double *gold[3] = {g->dq, g->dk, g->dv};
    const size_t n[3] = {tw_problem_q_elements(&c->p), tw_problem_k_elements(&c->p),
                         tw_problem_v_elements(&c->p)};
    for (size_t i = 0; i < c->num_o; i++)
        d_o[i] = (float)g->d_o[i];
    for (int i = 0; i < 3; i++)
        out[i] = calloc(n[i], sizeof(float));
    ck_assert_int_eq(tw_attention_tiled(o, lse, &c->p, c->q_f, c->k_f, c->v_f, block_m, block_n), TW_OK);
    tw_backward_tensors all = {c->q_f, c->k_f, c->v_f, d_o, o, lse, out[0], out[1], out[2]};
    ck_assert_int_eq(tw_attention_backward_tiled(&all, &c->p, block_m, block_n), TW_OK);
    for (int t = 0; t < 3; t++)
        for (size_t i = 0; i < n[t]; i++)
            ck_assert_double_eq_tol((double)out[t][i], gold[t][i], 2e-5);
    free(o), free(lse), free(d_o), free(out[0]), free(out[1]), free(out[2]);
}

/* Everything that hides keys, with V of another width, grouped heads and dropout. */
START_TEST(every_mask_is_what_differences_say)
{
    grad_case g = grad_case_create(&(ref_problem){1, 2, 1, 9, 11, 3, false, 0.0, NORMAL}, 0.2);
    tw_problem *p = &g.in.p;
    mask_arrays arrays = mask_case_apply(p, &mask_cases[_i]);
    p->head_dim_v = 2;
    ck_assert_int_eq(tw_attention_backward_gold(g.dq, g.dk, g.dv, p, g.in.q, g.in.k, g.in.v, g.d_o), TW_OK);
    expect_differences(&g, g.in.q, g.dq, tw_problem_q_elements(p), "dQ");
    expect_differences(&g, g.in.k, g.dk, tw_problem_k_elements(p), "dK");
    expect_differences(&g, g.in.v, g.dv, tw_problem_v_elements(p), "dV");
    expect_tiled(&g, 4, 3);
    expect_tiled(&g, 16, 16);
    mask_arrays_free(&arrays);
    grad_case_free(&g);
}
END_TEST

/* Sequences one behind the other: one without keys, one without queries, one that is all masked at first. */
START_TEST(packed_sequences_are_what_differences_say)
{
    const int q[] = {0, 3, 5, 5, 9, 12}, k[] = {0, 4, 4, 6, 7, 12};
    grad_case g = grad_case_create(&(ref_problem){5, 2, 1, 4, 5, 3, true, 0.0, NORMAL}, 0.2);
    tw_problem *p = &g.in.p;
    p->cu_seqlens_q = q, p->cu_seqlens_k = k;
    ck_assert_int_eq(tw_attention_backward_gold(g.dq, g.dk, g.dv, p, g.in.q, g.in.k, g.in.v, g.d_o), TW_OK);
    expect_differences(&g, g.in.q, g.dq, tw_problem_q_elements(p), "dQ");
    expect_differences(&g, g.in.k, g.dk, tw_problem_k_elements(p), "dK");
    expect_differences(&g, g.in.v, g.dv, tw_problem_v_elements(p), "dV");
    expect_tiled(&g, 2, 3);
    expect_tiled(&g, 16, 16);
    grad_case_free(&g);
}
END_TEST

START_TEST(refuses_what_has_no_backward_pass)
{
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 1, .head_dim = 2};
    const double sink[] = {0.5};
    double x[2] = {0};
    for (int i = 0; i < 3; i++) {
        p.scoring = (tw_score_mods){.softcap = i == 0 ? 5.0 : 0.0, .sink_logits = i == 1 ? sink : NULL};
        p.v_in_k = i == 2;
        ck_assert_int_eq(tw_attention_backward_gold(x, x, x, &p, x, x, x, x), TW_EUNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(tw_error_message(), "no backward pass with"));
    }
}
END_TEST

/* ---- what must hold ---------------------------------------------------------------------------------------- */

static double largest(const double *x, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++)
        m = fmax(m, fabs(x[i]));
    return m;
}

/* The same vector added to every key changes no probability where all keys are seen, so Σ_j dK_j = 0; each row of dS
 * sums to 0 in any case. */
START_TEST(keys_may_move_together)
{
    grad_case g = grad_case_create(&(ref_problem){2, 6, 3, 61, 83, 24, false, 0.0, NORMAL}, _i ? 0.3 : 0.0);
    const tw_problem *p = &g.in.p;
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads_kv; h++)
            for (int c = 0; c < p->head_dim; c++) {
                double sum = 0;
                for (int j = 0; j < p->seqlen_k; j++)
                    sum += g.dk[tw_problem_k_row(p, b, h, j) + (size_t)c];
                ck_assert_double_eq_tol(sum, 0.0, 1e-12 * largest(g.dk, g.in.num_k) * p->seqlen_k);
            }
    grad_case_free(&g);
}
END_TEST

START_TEST(masked_rows_and_unseen_keys_are_zero)
{
    const ref_problem rows = {1, 2, 1, 10, 4, 8, true, 0.0, NORMAL},
                      one = {1, 1, 1, 5, 1, 8, true, 0.0, NORMAL};
    grad_case g = grad_case_create(&rows, 0.0);
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 6; i++) /* row 6 is the first that sees a key */
            for (int c = 0; c < 8; c++)
                ck_assert_double_eq(g.dq[tw_problem_q_row(&g.in.p, 0, h, i) + (size_t)c], 0.0);
    for (size_t i = 0; i < g.in.num_k; i++)
        ck_assert(isfinite(g.dk[i]) && isfinite(g.dv[i]));
    grad_case_free(&g);
    g = grad_case_create(&one,
                         0.0); /* one key: its probability is 1, whatever Q and K are; only row 4 sees it */
    for (size_t i = 0; i < g.in.num_o; i++)
        ck_assert_double_eq(g.dq[i], 0.0);
    for (size_t i = 0; i < g.in.num_k; i++) {
        ck_assert_double_eq(g.dk[i], 0.0);
        ck_assert_double_eq(g.dv[i], g.d_o[4 * 8 + i]);
    }
    grad_case_free(&g);
}
END_TEST

/* Two query heads that share K and V: the sum of what they would give each with a copy of its own. */
START_TEST(groups_sum_over_their_heads)
{
    const ref_problem shared = {1, 2, 1, 9, 11, 5, true, 0.0, NORMAL},
                      apart = {1, 2, 2, 9, 11, 5, true, 0.0, NORMAL};
    grad_case g = grad_case_create(&shared, 0.2), two = grad_case_create(&apart, 0.2);
    for (int j = 0; j < 11; j++)
        for (int h = 0; h < 2; h++) {
            size_t at = tw_problem_k_row(&two.in.p, 0, h, j), from = tw_problem_k_row(&g.in.p, 0, 0, j);
            memcpy(two.in.k + at, g.in.k + from, 5 * sizeof(double));
            memcpy(two.in.v + at, g.in.v + from, 5 * sizeof(double));
        }
    ck_assert_int_eq(
        tw_attention_backward_gold(two.dq, two.dk, two.dv, &two.in.p, g.in.q, two.in.k, two.in.v, g.d_o),
        TW_OK);
    for (size_t i = 0; i < g.in.num_o; i++)
        ck_assert_double_eq_tol(g.dq[i], two.dq[i], 1e-14);
    for (int j = 0; j < 11; j++)
        for (size_t c = 0; c < 5; c++) {
            size_t at = tw_problem_k_row(&g.in.p, 0, 0, j) + c,
                   first = tw_problem_k_row(&two.in.p, 0, 0, j) + c;
            ck_assert_double_eq_tol(g.dk[at], two.dk[first] + two.dk[first + 5], 1e-13);
            ck_assert_double_eq_tol(g.dv[at], two.dv[first] + two.dv[first + 5], 1e-13);
        }
    grad_case_free(&g), grad_case_free(&two);
}
END_TEST

START_TEST(a_group_by_itself_is_the_same)
{
    grad_case g = grad_case_create(&(ref_problem){2, 4, 2, 13, 17, 6, true, 0.0, NORMAL}, 0.1);
    const ref_case *c = &g.in;
    double *dq = ref_array(c->num_o), *dk = ref_array(c->num_k), *dv = ref_array(c->num_k);
    for (int b = 0; b < 2; b++)
        for (int h = 0; h < 2; h++)
            ck_assert_int_eq(
                tw_attention_backward_gold_group(dq, dk, dv, &c->p, c->q, c->k, c->v, g.d_o, b, h), TW_OK);
    ck_assert_mem_eq(dq, g.dq, c->num_o * sizeof *dq);
    ck_assert_mem_eq(dk, g.dk, c->num_k * sizeof *dk);
    ck_assert_mem_eq(dv, g.dv, c->num_k * sizeof *dv);
    memset(dk, 0, c->num_k * sizeof *dk);
    ck_assert_int_eq(tw_attention_backward_gold_group(dq, dk, dv, &c->p, c->q, c->k, c->v, g.d_o, 1, 0),
                     TW_OK);
    for (int j = 0; j < 17; j++)
        for (size_t x = 0; x < 6; x++) {
            ck_assert_double_eq(dk[tw_problem_k_row(&c->p, 1, 1, j) + x], 0.0);
            ck_assert_double_eq(dk[tw_problem_k_row(&c->p, 0, 0, j) + x], 0.0);
        }
    ck_assert_int_eq(tw_attention_backward_gold_group(dq, dk, dv, &c->p, c->q, c->k, c->v, g.d_o, 2, 0),
                     TW_EINVAL);
    ck_assert_int_eq(tw_attention_backward_gold_group(dq, dk, dv, &c->p, c->q, c->k, c->v, g.d_o, 0, -1),
                     TW_EINVAL);
    free(dq), free(dk), free(dv);
    grad_case_free(&g);
}
END_TEST

/* ---- the yardstick ------------------------------------------------------------------------------------------ */

/* Exact in fp64; in the others its numbers are of the format, and off by about its precision: more than nothing. */
START_TEST(yardstick_is_off_by_its_format)
{
    static const struct {
        tw_dtype dtype;
        double least, most; /* of the relative error */
    } formats[] = {{TW_FP64, 0, 0}, {TW_FP32, 1e-8, 3e-6}, {TW_FP16, 1e-4, 3e-3}, {TW_BF16, 1e-3, 3e-2}};
    grad_case g = grad_case_create(&(ref_problem){1, 2, 1, 53, 67, 32, true, 0.0, NORMAL}, 0.1);
    ref_case *c = &g.in;
    c->p.dtype = formats[_i].dtype;
    double *dq = ref_array(c->num_o), *dk = ref_array(c->num_k), *dv = ref_array(c->num_k);
    ck_assert_int_eq(tw_attention_backward_rounded_group(dq, dk, dv, &c->p, c->q, c->k, c->v, g.d_o, 0, 0),
                     TW_OK);
    const struct {
        const double *x, *exact;
        size_t n;
    } all[] = {{dq, g.dq, c->num_o}, {dk, g.dk, c->num_k}, {dv, g.dv, c->num_k}};
    for (int t = 0; t < 3; t++) {
        tw_error_metrics e = tw_error_of(all[t].x, all[t].exact, all[t].n);
        ck_assert_uint_eq(e.num_nan, 0);
        ck_assert_msg(e.relative_error >= formats[_i].least && e.relative_error <= formats[_i].most,
                      "%s, gradient %d: relative error %g", tw_dtype_name(c->p.dtype), t, e.relative_error);
        for (size_t i = 0; i < all[t].n; i++)
            ck_assert_double_eq(all[t].x[i], tw_dtype_round(c->p.dtype, all[t].x[i]));
    }
    free(dq), free(dk), free(dv);
    grad_case_free(&g);
}
END_TEST

/* ---- tiled -------------------------------------------------------------------------------------------------- */

static const int tiles[][2] = {{64, 64}, {1, 1}, {13, 7}, {7, 200}, {33, 6}, {INT_MAX, INT_MAX}};
enum { NUM_TILES = sizeof tiles / sizeof tiles[0] };

/* The largest |scale · q · k| and |dO · v| of pairs that belong together. */
static void largest_products(double *score, double *dp, const grad_case *g)
{
    const tw_problem *p = &g->in.p;
    *score = *dp = 0;
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads; h++)
            for (int i = 0; i < p->seqlen_q; i++)
                for (int j = 0; j < p->seqlen_k; j++) {
                    size_t q = tw_problem_q_row(p, b, h, i),
                           k = tw_problem_k_row(p, b, tw_problem_kv_head(p, h), j);
                    double s = 0, x = 0;
                    for (size_t c = 0; c < (size_t)p->head_dim; c++)
                        s += g->in.q[q + c] * g->in.k[k + c], x += g->d_o[q + c] * g->in.v[k + c];
                    *score = fmax(*score, fabs(s * tw_problem_scale(p)));
                    *dp = fmax(*dp, fabs(x));
                }
}

/* fp32: P is off by a few times 2^-24 of its exponent, and dP of its own size; dS takes both over. */
static void expect_near(const float *x, const double *gold, size_t n, double factor, double score, double dp,
                        const char *name)
{
    double allowed = (2e-6 + 4 * score * 0x1p-24) * (largest(gold, n) + factor * dp);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - gold[i]) <= allowed))
            ck_abort_msg("%s[%zu] is %.9g, gold %.9g, allowed %.2g", name, i, (double)x[i], gold[i], allowed);
}

typedef struct floats {
    float *o, *lse, *d_o, *dq, *dk, *dv;
} floats;

static floats floats_of(const grad_case *g)
{
    size_t no = g->in.num_o, nk = g->in.num_k;
    floats f = {.o = calloc(no, sizeof(float)),
                .lse = calloc(g->in.num_lse, sizeof(float)),
                .d_o = ref_floats(g->d_o, no),
                .dq = calloc(no, sizeof(float)),
                .dk = calloc(nk, sizeof(float)),
                .dv = calloc(nk, sizeof(float))};
    ck_assert_int_eq(tw_attention_tiled(f.o, f.lse, &g->in.p, g->in.q_f, g->in.k_f, g->in.v_f, 64, 64),
                     TW_OK);
    return f;
}

static void floats_free(floats *f)
{
    free(f->o), free(f->lse), free(f->d_o), free(f->dq), free(f->dk), free(f->dv);
}

static tw_backward_tensors tensors_of(const grad_case *g, const floats *f)
{
    return (tw_backward_tensors){g->in.q_f, g->in.k_f, g->in.v_f, f->d_o, f->o, f->lse, f->dq, f->dk, f->dv};
}

/* One problem with and without dropout, all kernels, all tiles. */
START_TEST(every_kernel_and_tile_gives_gold)
{
    const tw_tiled_kernel *kernels[3];
    grad_case g = grad_case_create(&ref_problems[_i / 2], _i % 2 ? 0.2 : 0.0);
    floats f = floats_of(&g); /* rounds dO */
    const tw_problem *p = &g.in.p;
    double score, dp, scale = fabs(tw_problem_scale(p));
    ck_assert_int_eq(tw_attention_backward_gold(g.dq, g.dk, g.dv, p, g.in.q, g.in.k, g.in.v, g.d_o), TW_OK);
    largest_products(&score, &dp, &g);
    dp /= 1 - p->dropout.probability;
    for (int n = tw_tiled_kernels(kernels); n > 0; n--)
        for (int t = 0; t < NUM_TILES; t++) {
            memset(f.dq, 0x7f, g.in.num_o * sizeof *f.dq); /* 3.4e38: whatever is not written shows */
            memset(f.dk, 0x7f, g.in.num_k * sizeof *f.dk);
            memset(f.dv, 0x7f, g.in.num_k * sizeof *f.dv);
            tw_backward_tensors all = tensors_of(&g, &f);
            ck_assert_int_eq(
                tw_attention_backward_tiled_by(kernels[n - 1], &all, p, tiles[t][0], tiles[t][1]), TW_OK);
            expect_near(f.dq, g.dq, g.in.num_o, scale * largest(g.in.k, g.in.num_k), score, dp, "dQ");
            expect_near(f.dk, g.dk, g.in.num_k, scale * largest(g.in.q, g.in.num_o), score, dp, "dK");
            expect_near(f.dv, g.dv, g.in.num_k, 0, score, dp, "dV");
        }
    floats_free(&f);
    grad_case_free(&g);
}
END_TEST

START_TEST(threads_do_not_matter)
{
#ifdef _OPENMP
    grad_case g = grad_case_create(&(ref_problem){2, 4, 2, 150, 170, 40, true, 0.0, NORMAL}, 0.1);
    floats one = floats_of(&g), more = floats_of(&g);
    tw_backward_tensors with_one = tensors_of(&g, &one), with_more = tensors_of(&g, &more);
    ck_assert_int_eq(tw_attention_backward_tiled(&with_one, &g.in.p, 16, 32), TW_OK);
    omp_set_num_threads(3);
    ck_assert_int_eq(tw_attention_backward_tiled(&with_more, &g.in.p, 16, 32), TW_OK);
    ck_assert_mem_eq(one.dq, more.dq, g.in.num_o * sizeof *one.dq);
    ck_assert_mem_eq(one.dk, more.dk, g.in.num_k * sizeof *one.dk);
    ck_assert_mem_eq(one.dv, more.dv, g.in.num_k * sizeof *one.dv);
    floats_free(&one), floats_free(&more);
    grad_case_free(&g);
#endif
}
END_TEST

START_TEST(refuses_empty_tiles)
{
    float x[1] = {1}, dq[1] = {7};
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 1, .head_dim = 1};
    tw_backward_tensors all = {x, x, x, x, x, x, dq, dq, dq};
    ck_assert_int_eq(tw_attention_backward_tiled(&all, &p, 0, 1), TW_EINVAL);
    ck_assert_float_eq(dq[0], 7);
}
END_TEST

START_TEST(refuses_no_problem)
{
    tw_problem p = {
        .batch = 1, .num_heads = 3, .num_heads_kv = 2, .seqlen_q = 1, .seqlen_k = 1, .head_dim = 1};
    double x[3] = {0}, dq = 7;
    ck_assert_int_eq(tw_attention_backward_gold(&dq, x, x, &p, x, x, x, x), TW_EINVAL);
    ck_assert_double_eq(dq, 7);
}
END_TEST

Suite *tw_suite_ref_backward(void)
{
    Suite *suite = suite_create("ref_backward");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, gold_is_what_differences_say, 0, NUM_SMALLS);
    tcase_add_loop_test(core, every_mask_is_what_differences_say, 0, NUM_MASK_CASES);
    tcase_add_test(core, packed_sequences_are_what_differences_say);
    tcase_add_loop_test(core, keys_may_move_together, 0, 2);
    tcase_add_test(core, groups_sum_over_their_heads);
    tcase_add_test(core, a_group_by_itself_is_the_same);
    tcase_add_loop_test(core, yardstick_is_off_by_its_format, 0, 4);
    tcase_add_loop_test(core, every_kernel_and_tile_gives_gold, 0, 2 * NUM_REF_PROBLEMS);
    tcase_add_test(core, threads_do_not_matter);
    tcase_add_unchecked_fixture(core, use_one_thread, NULL);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, masked_rows_and_unseen_keys_are_zero);
    suite_add_tcase(suite, limits);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_no_problem);
    tcase_add_test(errors, refuses_what_has_no_backward_pass);
    tcase_add_test(errors, refuses_empty_tiles);
    suite_add_tcase(suite, errors);
    return suite;
}
