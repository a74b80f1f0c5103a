/* The recurrence: each step by itself, then rows that arrive in pieces against the softmax of the whole row. */
#include "check_tilewise.h"
#include "cpu_ref/attention.h"

#include <math.h>
#include <stdbool.h>

enum { NUM_KEYS = 13, HEAD_DIM = 3 };

typedef struct state {
    double m, l, o[HEAD_DIM];
} state;

static const state empty = {.m = -INFINITY};

static void fold(state *st, const double *s, const double *v, int n)
{
    double p[NUM_KEYS];
    double m_new = tw_online_max(st->m, s, n);
    double alpha = tw_online_rescale_factor(st->m, m_new);
    tw_online_exp(p, s, m_new, n);
    st->l = tw_online_sum(st->l, alpha, p, n);
    tw_online_rescale(st->o, alpha, HEAD_DIM);
    tw_online_accumulate(st->o, p, v, n, HEAD_DIM, HEAD_DIM);
    st->m = m_new;
}

/* Unshifted, straight from the definition; the scores of these tests are small enough. */
static void expect_softmax(const state *st, const double *s, const double *v, int n)
{
    double o[HEAD_DIM] = {0}, l = 0.0, found[HEAD_DIM];
    for (int j = 0; j < n; j++) {
        l += exp(s[j]);
        for (int c = 0; c < HEAD_DIM; c++)
            o[c] += exp(s[j]) * v[j * HEAD_DIM + c];
    }
    for (int c = 0; c < HEAD_DIM; c++)
        found[c] = st->o[c];
    tw_online_normalize(found, st->l, HEAD_DIM);
    for (int c = 0; c < HEAD_DIM; c++)
        ck_assert_double_eq_tol(found[c], l == 0.0 ? 0.0 : o[c] / l, 1e-13);
    if (l == 0.0)
        ck_assert_double_eq(tw_online_lse(st->m, st->l), -INFINITY);
    else
        ck_assert_double_eq_tol(tw_online_lse(st->m, st->l), log(l), 1e-13);
}

static void make_row(double *s, double *v)
{
    tw_random_normal(s, NUM_KEYS, 11, 0);
    tw_random_normal(v, NUM_KEYS * HEAD_DIM, 11, 1);
    for (int j = 0; j < NUM_KEYS; j++)
        s[j] *= 5.0;
}

START_TEST(pieces_of_any_size_give_the_whole)
{
    int piece = _i + 1;
    double s[NUM_KEYS], v[NUM_KEYS * HEAD_DIM];
    make_row(s, v);
    state st = empty;
    for (int j = 0; j < NUM_KEYS; j += piece)
        fold(&st, s + j, v + (size_t)j * HEAD_DIM, piece < NUM_KEYS - j ? piece : NUM_KEYS - j);
    expect_softmax(&st, s, v, NUM_KEYS);
}
END_TEST

/* Bit j of the mask says that key j is masked: leading, trailing, all. */
START_TEST(masked_scores_weigh_nothing)
{
    static const unsigned masks[] = {0x1fff, 0x000f, 0x1e00, 0x0aaa, 0x1555, 0x0001, 0x0ffe};
    double s[NUM_KEYS], v[NUM_KEYS * HEAD_DIM];
    make_row(s, v);
    for (int j = 0; j < NUM_KEYS; j++) {
        if (masks[_i] >> j & 1)
            s[j] = -INFINITY;
    }
    state st = empty;
    for (int j = 0; j < NUM_KEYS; j += 2)
        fold(&st, s + j, v + (size_t)j * HEAD_DIM, j + 2 <= NUM_KEYS ? 2 : NUM_KEYS - j);
    expect_softmax(&st, s, v, NUM_KEYS);
}
END_TEST

START_TEST(merging_parts_gives_the_whole)
{
    int split = _i;
    double s[NUM_KEYS], v[NUM_KEYS * HEAD_DIM];
    make_row(s, v);
    state a = empty, b = empty;
    fold(&a, s, v, split);
    fold(&b, s + split, v + (size_t)split * HEAD_DIM, NUM_KEYS - split);
    tw_online_merge(&a.m, &a.l, a.o, b.m, b.l, b.o, HEAD_DIM);
    expect_softmax(&a, s, v, NUM_KEYS);
}
END_TEST

START_TEST(merging_nothing_with_nothing)
{
    state a = empty;
    tw_online_merge(&a.m, &a.l, a.o, empty.m, empty.l, empty.o, HEAD_DIM);
    ck_assert_double_eq(a.m, -INFINITY);
    ck_assert_double_eq(a.l, 0.0);
    expect_softmax(&a, NULL, NULL, 0);
}
END_TEST

START_TEST(steps_by_themselves)
{
    const double s[] = {1.0, -INFINITY, 3.0}, v[] = {1.0, 2.0, 9.0, 3.0, 4.0, 9.0};
    double p[3] = {-1.0, -1.0, -1.0}, o[2] = {10.0, 20.0};
    ck_assert_double_eq(tw_online_max(-INFINITY, s, 0), -INFINITY);
    ck_assert_double_eq(tw_online_max(-INFINITY, s, 3), 3.0);
    ck_assert_double_eq(tw_online_max(4.0, s, 3), 4.0);
    ck_assert_double_eq_tol(tw_online_rescale_factor(1.0, 3.0), exp(-2.0), 1e-16);
    ck_assert_double_eq(tw_online_rescale_factor(-INFINITY, 3.0), 0.0);
    ck_assert_double_eq(tw_online_rescale_factor(-INFINITY, -INFINITY), 0.0);
    tw_online_exp(p, s, 3.0, 3);
    ck_assert_double_eq_tol(p[0], exp(-2.0), 1e-16);
    ck_assert_double_eq(p[1], 0.0);
    ck_assert_double_eq(p[2], 1.0);
    ck_assert_double_eq(tw_online_sum(8.0, 0.5, (const double[]){1.0, 2.0}, 2), 7.0);
    tw_online_rescale(o, 0.5, 2);
    tw_online_accumulate(o, (const double[]){1.0, 10.0}, v, 2, 2, 3);
    ck_assert_double_eq(o[0], 5.0 + 1.0 + 30.0);
    ck_assert_double_eq(o[1], 10.0 + 2.0 + 40.0);
    tw_online_normalize(o, 4.0, 2);
    ck_assert_double_eq(o[0], 9.0);
    ck_assert_double_eq(tw_online_lse(2.0, 1.0), 2.0);
}
END_TEST

START_TEST(exp_in_place_while_everything_is_masked)
{
    double s[] = {-INFINITY, -INFINITY};
    tw_online_exp(s, s, -INFINITY, 2);
    ck_assert_double_eq(s[0], 0.0);
    ck_assert_double_eq(s[1], 0.0);
}
END_TEST

/* 10^4 and −10^4 in one row: e^20000 exists in no format, the result does. */
START_TEST(huge_scores)
{
    const double v[] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
    const double s[] = {-1e4, 1e4};
    state st = empty;
    fold(&st, s, v, 1);
    fold(&st, s + 1, v + 3, 1);
    tw_online_normalize(st.o, st.l, HEAD_DIM);
    ck_assert_double_eq(st.o[0], 4.0);
    ck_assert_double_eq(st.o[2], 6.0);
    ck_assert_double_eq(tw_online_lse(st.m, st.l), 1e4);
}
END_TEST

Suite *tw_suite_ref_online_softmax(void)
{
    Suite *suite = suite_create("ref_online_softmax");
    TCase *core = tcase_create("core");
    tcase_add_test(core, steps_by_themselves);
    tcase_add_loop_test(core, pieces_of_any_size_give_the_whole, 0, NUM_KEYS + 1);
    tcase_add_loop_test(core, merging_parts_gives_the_whole, 0, NUM_KEYS + 1);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_loop_test(limits, masked_scores_weigh_nothing, 0, 7);
    tcase_add_test(limits, merging_nothing_with_nothing);
    tcase_add_test(limits, exp_in_place_while_everything_is_masked);
    tcase_add_test(limits, huge_scores);
    suite_add_tcase(suite, limits);
    return suite;
}
