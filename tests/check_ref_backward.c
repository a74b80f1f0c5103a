/* Gradients: gold against central differences of gold attention, tiled against gold, and what must hold of any. */
#include "check_tilewise.h"
#include "ref_problems.h"

#include <string.h>

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
    ck_assert_int_eq(tw_attention_gold(c->o, NULL, &c->p, c->q, c->k, c->v), TW_OK);
    for (size_t i = 0; i < c->num_o; i++)
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
    tcase_add_loop_test(core, keys_may_move_together, 0, 2);
    tcase_add_test(core, groups_sum_over_their_heads);
    tcase_add_test(core, a_group_by_itself_is_the_same);
    tcase_add_loop_test(core, yardstick_is_off_by_its_format, 0, 4);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, masked_rows_and_unseen_keys_are_zero);
    suite_add_tcase(suite, limits);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_no_problem);
    suite_add_tcase(suite, errors);
    return suite;
}
