/* Attention in double precision, against examples that are worked out by hand and against a program that knows
 * nothing of tw_problem's helpers: its own mask, its own indices, long double. */
#include "check_tilewise.h"
#include "ref_problems.h"

#include <string.h>

static long double naive_score(const ref_case *c, int b, int h, int i, int j)
{
    const tw_problem *p = &c->p;
    int group = p->num_heads / p->num_heads_kv;
    size_t q_at = (((size_t)b * (size_t)p->seqlen_q + (size_t)i) * (size_t)p->num_heads + (size_t)h);
    size_t k_at = (((size_t)b * (size_t)p->seqlen_k + (size_t)j) * (size_t)p->num_heads_kv +
                   (size_t)(h / group));
    long double s = 0.0L;
    for (size_t d = 0; d < (size_t)p->head_dim; d++)
        s += (long double)c->q[q_at * (size_t)p->head_dim + d] *
             (long double)c->k[k_at * (size_t)p->head_dim + d];
    if (p->causal && j > i + p->seqlen_k - p->seqlen_q)
        return -(long double)INFINITY;
    return s *
           (p->softmax_scale == 0.0 ? 1.0L / sqrtl((long double)p->head_dim) : (long double)p->softmax_scale);
}

/* One element of O, and the row's LSE. */
static long double naive_output(const ref_case *c, int b, int h, int i, int column, long double *lse)
{
    const tw_problem *p = &c->p;
    int head_kv = h / (p->num_heads / p->num_heads_kv);
    long double m = -(long double)INFINITY, l = 0.0L, o = 0.0L;
    for (int j = 0; j < p->seqlen_k; j++)
        m = fmaxl(m, naive_score(c, b, h, i, j));
    for (int j = 0; j < p->seqlen_k; j++) {
        size_t v_at = ((size_t)b * (size_t)p->seqlen_k + (size_t)j) * (size_t)p->num_heads_kv +
                      (size_t)head_kv;
        long double s = naive_score(c, b, h, i, j);
        long double weight = isinf((double)s) ? 0.0L : expl(s - m);
        l += weight;
        o += weight * (long double)c->v[v_at * (size_t)p->head_dim + (size_t)column];
    }
    *lse = l == 0.0L ? -(long double)INFINITY : m + logl(l);
    return l == 0.0L ? 0.0L : o / l;
}

/* Scores of 10⁴ have an error of 10⁴ · 2^-53 · a few, and the exponential hands it on. */
static double tolerance(const ref_problem *r)
{
    return r->inputs == HUGE_ ? 1e-9 : 1e-12;
}

START_TEST(gold_is_the_definition)
{
    const ref_problem *r = &ref_problems[_i];
    ref_case c = ref_case_create(r);
    ck_assert_int_eq(tw_attention_gold(c.o, c.lse, &c.p, c.q, c.k, c.v), TW_OK);
    for (int b = 0; b < r->batch; b++) {
        for (int i = 0; i < r->seqlen_q; i++) {
            int h = (i + b) % r->num_heads, column = i % r->head_dim; /* each row, one element of one head */
            long double lse, o = naive_output(&c, b, h, i, column, &lse);
            size_t row = ((size_t)b * (size_t)r->seqlen_q + (size_t)i) * (size_t)r->num_heads + (size_t)h;
            size_t lse_at = ((size_t)b * (size_t)r->num_heads + (size_t)h) * (size_t)r->seqlen_q + (size_t)i;
            ck_assert_double_eq_tol(c.o[row * (size_t)r->head_dim + (size_t)column], (double)o, tolerance(r));
            if (isinf((double)lse))
                ck_assert_double_eq(c.lse[lse_at], -INFINITY);
            else
                ck_assert_double_eq_tol(c.lse[lse_at], (double)lse,
                                        tolerance(r) * fmax(1.0, fabs((double)lse)));
        }
    }
    ref_case_free(&c);
}
END_TEST

START_TEST(row_by_row_is_the_same)
{
    ref_case c = ref_case_create(&ref_problems[_i]);
    double *scratch = ref_array((size_t)c.p.seqlen_k), *o = ref_array((size_t)c.p.head_dim), lse;
    ck_assert_int_eq(tw_attention_gold(c.o, c.lse, &c.p, c.q, c.k, c.v), TW_OK);
    for (int i = 0; i < c.p.seqlen_q; i++) {
        int b = i % c.p.batch, h = i % c.p.num_heads;
        tw_attention_gold_row(o, &lse, &c.p, c.q, c.k, c.v, b, h, i, scratch);
        ck_assert_mem_eq(o, c.o + tw_problem_q_row(&c.p, b, h, i), (size_t)c.p.head_dim * sizeof *o);
        ck_assert_double_eq(lse, c.lse[tw_problem_lse_at(&c.p, b, h, i)]);
        tw_attention_gold_row(o, NULL, &c.p, c.q, c.k, c.v, b, h, i, scratch);
    }
    free(scratch), free(o);
    ref_case_free(&c);
}
END_TEST

/* Scores 0 and ln 3: weights ¼ and ¾. */
START_TEST(two_keys_by_hand)
{
    const double q[] = {1.0}, k[] = {0.0, log(3.0)}, v[] = {4.0, 8.0};
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 2, .head_dim = 1};
    double o, lse;
    ck_assert_int_eq(tw_attention_gold(&o, &lse, &p, q, k, v), TW_OK);
    ck_assert_double_eq_tol(o, 7.0, 1e-14);
    ck_assert_double_eq_tol(lse, log(4.0), 1e-14);
    ck_assert_int_eq(tw_attention_gold(&o, NULL, &p, q, k, v), TW_OK);
    p.softmax_scale = 2.0; /* weights 1/10 and 9/10 */
    ck_assert_int_eq(tw_attention_gold(&o, &lse, &p, q, k, v), TW_OK);
    ck_assert_double_eq_tol(o, 7.6, 1e-14);
    ck_assert_double_eq_tol(lse, log(10.0), 1e-14);
}
END_TEST

/* Three queries, two keys, bottom-right: the first sees nothing, the second one key, the third both. */
START_TEST(masked_row_by_hand)
{
    const double q[] = {5.0, 5.0, 0.0}, k[] = {2.0, 3.0}, v[] = {10.0, 20.0};
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 3,
                    .seqlen_k = 2,
                    .head_dim = 1,
                    .causal = true};
    double o[3], lse[3];
    ck_assert_int_eq(tw_attention_gold(o, lse, &p, q, k, v), TW_OK);
    ck_assert_double_eq(o[0], 0.0);
    ck_assert_double_eq(lse[0], -INFINITY);
    ck_assert_double_eq(o[1], 10.0);
    ck_assert_double_eq(lse[1], 10.0);
    ck_assert_double_eq_tol(o[2], 15.0, 1e-14);
    ck_assert_double_eq_tol(lse[2], log(2.0), 1e-15);
}
END_TEST

START_TEST(bad_problem_leaves_outputs_alone)
{
    const double x[] = {1.0};
    double o = 7.0, lse = 8.0;
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 0, .head_dim = 1};
    ck_assert_int_eq(tw_attention_gold(&o, &lse, &p, x, x, x), TW_EINVAL);
    ck_assert_str_eq(tw_error_message(), "seqlen_k is 0, it must be at least 1");
    ck_assert_double_eq(o, 7.0);
    ck_assert_double_eq(lse, 8.0);
}
END_TEST

/* In fp64 nothing is rounded, so it is gold; in the other formats it is off by a few roundings, and never by
 * nothing: a yardstick of length 0 would refuse everything. */
START_TEST(rounded_row_is_off_by_the_format)
{
    static const struct {
        tw_dtype dtype;
        double least, most;
    } formats[] = {{TW_FP64, 0.0, 0.0}, {TW_FP32, 1e-9, 1e-6}, {TW_FP16, 1e-5, 4e-3}, {TW_BF16, 1e-4, 3e-2}};
    const ref_problem shape = {1, 1, 1, 40, 50, 64, true, 0.0, NORMAL};
    ref_case c = ref_case_create(&shape);
    double gold[64], rounded[64], scratch[50], worst = 0.0;
    c.p.dtype = formats[_i].dtype;
    for (int i = 0; i < 40; i++) {
        tw_attention_gold_row(gold, NULL, &c.p, c.q, c.k, c.v, 0, 0, i, scratch);
        tw_attention_rounded_row(rounded, &c.p, c.q, c.k, c.v, 0, 0, i, scratch);
        for (int column = 0; column < 64; column++) {
            worst = fmax(worst, fabs(rounded[column] - gold[column]));
            ck_assert_double_eq(rounded[column], tw_dtype_round(c.p.dtype, rounded[column]));
        }
    }
    ck_assert_double_ge(worst, formats[_i].least);
    ck_assert_double_le(worst, formats[_i].most);
    ref_case_free(&c);
}
END_TEST

/* S, P and O are each rounded: an example in which each of the three changes the result. Scores 2049 and 2048 + 1/4
 * become 2048 and 2048 in fp16 (ties to even), so both weights are ½, not 1 / (1 + e^-0.75). */
START_TEST(rounded_row_by_hand)
{
    const double q[] = {1.0}, k[] = {2049.0, 2048.25}, v[] = {1.0, 1.0 + 0x1p-8}, w[] = {1.0, 1.0 + 0x1p-10};
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 2, .head_dim = 1};
    p.dtype = TW_FP16;
    double o, scratch[2];
    tw_attention_rounded_row(&o, &p, q, k, v, 0, 0, 0, scratch);
    ck_assert_double_eq(o, 1.0 + 0x1p-9); /* the mean, which fp16 has; weights from exact scores give less */
    tw_attention_rounded_row(&o, &p, q, k, w, 0, 0, 0, scratch);
    ck_assert_double_eq(o, 1.0); /* the mean is halfway: to even */
    const double zeros[11] = {0.0}, ones[11] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
    double scratch11[11];
    p.seqlen_k = 11; /* weights 1/11, which fp16 rounds down: their sum is not 1 */
    tw_attention_rounded_row(&o, &p, q, zeros, ones, 0, 0, 0, scratch11);
    ck_assert_double_eq(o, 1.0 - 0x1p-11);
}
END_TEST

START_TEST(rounded_row_survives_scores_beyond_the_format)
{
    const double q[] = {400.0}, k[] = {300.0, 299.0},
                 v[] = {1.0, 2.0}; /* 120000 and 119600, fp16 ends at 65504 */
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 2, .head_dim = 1};
    p.dtype = TW_FP16;
    double o, scratch[2];
    tw_attention_rounded_row(&o, &p, q, k, v, 0, 0, 0, scratch);
    ck_assert_double_eq(o, 1.0);
}
END_TEST

START_TEST(rounded_row_that_is_fully_masked)
{
    const double q[] = {1.0, 1.0}, k[] = {1.0}, v[] = {3.0};
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 2,
                    .seqlen_k = 1,
                    .head_dim = 1,
                    .causal = true};
    double o = 7.0, scratch[1];
    tw_attention_rounded_row(&o, &p, q, k, v, 0, 0, 0, scratch);
    ck_assert_double_eq(o, 0.0);
}
END_TEST

Suite *tw_suite_ref_gold(void)
{
    Suite *suite = suite_create("ref_gold");
    TCase *core = tcase_create("core");
    tcase_add_test(core, two_keys_by_hand);
    tcase_add_test(core, masked_row_by_hand);
    tcase_add_loop_test(core, gold_is_the_definition, 0, NUM_REF_PROBLEMS);
    tcase_add_loop_test(core, row_by_row_is_the_same, 0, NUM_REF_PROBLEMS);
    tcase_add_loop_test(core, rounded_row_is_off_by_the_format, 0, 4);
    tcase_add_test(core, rounded_row_by_hand);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, rounded_row_survives_scores_beyond_the_format);
    tcase_add_test(limits, rounded_row_that_is_fully_masked);
    suite_add_tcase(suite, limits);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, bad_problem_leaves_outputs_alone);
    suite_add_tcase(suite, errors);
    return suite;
}
