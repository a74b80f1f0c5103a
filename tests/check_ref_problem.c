/* The shape of one attention: closed forms against counting, indices against nested loops. */
#include "check_tilewise.h"
#include "cpu_ref/problem.h"

#include <limits.h>
#include <stddef.h>
#include <math.h>
#include <string.h>

static tw_problem shape(int seqlen_q, int seqlen_k, bool causal)
{
    return (tw_problem){.batch = 2,
                        .num_heads = 6,
                        .num_heads_kv = 2,
                        .seqlen_q = seqlen_q,
                        .seqlen_k = seqlen_k,
                        .head_dim = 5,
                        .causal = causal};
}

static const int lengths[][2] = {{1, 1}, {1, 9}, {9, 1}, {7, 7}, {7, 11}, {11, 7}, {13, 2}, {2, 13}};
enum { NUM_LENGTHS = sizeof lengths / sizeof lengths[0] };

/* From the convention: query i sees keys j <= i + seqlen_k − seqlen_q. */
static bool sees(const tw_problem *p, int i, int j)
{
    return !p->causal || j <= i + p->seqlen_k - p->seqlen_q;
}

static int count_pairs(const tw_problem *p, int row0, int row1, int col0, int col1)
{
    int pairs = 0;
    for (int i = row0; i < row1; i++) {
        for (int j = col0; j < col1; j++)
            pairs += sees(p, i, j);
    }
    return pairs;
}

START_TEST(keys_seen_are_counted_right)
{
    tw_problem p = shape(lengths[_i / 2][0], lengths[_i / 2][1], _i % 2);
    for (int i = 0; i < p.seqlen_q; i++)
        ck_assert_int_eq(tw_problem_keys_seen(&p, i), count_pairs(&p, i, i + 1, 0, p.seqlen_k));
}
END_TEST

START_TEST(pairs_of_every_rectangle)
{
    tw_problem p = shape(lengths[_i / 2][0], lengths[_i / 2][1], _i % 2);
    for (int row0 = 0; row0 <= p.seqlen_q; row0++) {
        for (int row1 = row0; row1 <= p.seqlen_q; row1++) {
            for (int col0 = 0; col0 <= p.seqlen_k; col0++) {
                for (int col1 = col0; col1 <= p.seqlen_k; col1++) {
                    int wanted = count_pairs(&p, row0, row1, col0, col1);
                    if (tw_problem_pairs_in(&p, row0, row1, col0, col1) != wanted)
                        ck_abort_msg("rows %d to %d, keys %d to %d must have %d pairs", row0, row1, col0,
                                     col1, wanted);
                }
            }
        }
    }
    ck_assert_int_eq(tw_problem_pairs(&p), count_pairs(&p, 0, p.seqlen_q, 0, p.seqlen_k));
    ck_assert_int_eq(tw_problem_flops(&p), 4 * 5 * 6 * 2 * tw_problem_pairs(&p));
}
END_TEST

START_TEST(rows_follow_each_other_in_memory)
{
    tw_problem p = shape(3, 4, false);
    size_t at = 0;
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < 3; i++) {
            for (int h = 0; h < 6; h++, at += 5)
                ck_assert_uint_eq(tw_problem_q_row(&p, b, h, i), at);
        }
    }
    ck_assert_uint_eq(tw_problem_q_elements(&p), at);
    at = 0;
    for (int b = 0; b < 2; b++) {
        for (int j = 0; j < 4; j++) {
            for (int h = 0; h < 2; h++, at += 5)
                ck_assert_uint_eq(tw_problem_k_row(&p, b, h, j), at);
        }
    }
    ck_assert_uint_eq(tw_problem_k_elements(&p), at);
    at = 0;
    for (int b = 0; b < 2; b++) {
        for (int h = 0; h < 6; h++) {
            for (int i = 0; i < 3; i++, at++)
                ck_assert_uint_eq(tw_problem_lse_at(&p, b, h, i), at);
        }
    }
    ck_assert_uint_eq(tw_problem_lse_elements(&p), at);
}
END_TEST

START_TEST(query_heads_share_kv_heads)
{
    static const int wanted[] = {0, 0, 0, 1, 1, 1};
    tw_problem p = shape(1, 1, false);
    for (int h = 0; h < 6; h++)
        ck_assert_int_eq(tw_problem_kv_head(&p, h), wanted[h]);
}
END_TEST

START_TEST(scale_has_a_default)
{
    tw_problem p = shape(1, 1, false);
    ck_assert_double_eq_tol(tw_problem_scale(&p), 1.0 / sqrt(5.0), 1e-15);
    p.softmax_scale = -0.25;
    ck_assert_double_eq(tw_problem_scale(&p), -0.25);
}
END_TEST

START_TEST(good_problems_pass)
{
    tw_problem p = shape(7, 11, true);
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
    p.seqlen_q = p.seqlen_k = 1 << 20;
    p.num_heads = p.num_heads_kv = 128;
    p.head_dim = 128;
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
}
END_TEST

static const struct {
    size_t field;
    int value;
    const char *message;
} bad_sizes[] = {
    {offsetof(tw_problem, batch), 0, "batch is 0, it must be at least 1"},
    {offsetof(tw_problem, num_heads), -1, "num_heads is -1, it must be at least 1"},
    {offsetof(tw_problem, num_heads_kv), 0, "num_heads_kv is 0, it must be at least 1"},
    {offsetof(tw_problem, seqlen_q), INT_MIN, "seqlen_q is -2147483648, it must be at least 1"},
    {offsetof(tw_problem, seqlen_k), 0, "seqlen_k is 0, it must be at least 1"},
    {offsetof(tw_problem, head_dim), -5, "head_dim is -5, it must be at least 1"},
    {offsetof(tw_problem, num_heads_kv), 4,
     "num_heads is 6 and num_heads_kv is 4, the second must divide the first"},
    {offsetof(tw_problem, dtype), 77, "dtype is 77, it must be one of enum tw_dtype"},
};
enum { NUM_BAD_SIZES = sizeof bad_sizes / sizeof bad_sizes[0] };

START_TEST(bad_sizes_are_refused)
{
    tw_problem p = shape(3, 3, false);
    memcpy((char *)&p + bad_sizes[_i].field, &bad_sizes[_i].value, sizeof(int));
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_str_eq(tw_error_message(), bad_sizes[_i].message);
}
END_TEST

START_TEST(bad_scales_are_refused)
{
    static const double scales[] = {INFINITY, -INFINITY, NAN};
    tw_problem p = shape(3, 3, false);
    p.softmax_scale = scales[_i];
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "it must be finite"));
}
END_TEST

START_TEST(products_that_overflow_are_refused)
{
    tw_problem p = {.batch = INT_MAX,
                    .num_heads = INT_MAX,
                    .num_heads_kv = INT_MAX,
                    .seqlen_q = INT_MAX,
                    .seqlen_k = INT_MAX,
                    .head_dim = INT_MAX};
    ck_assert_int_eq(tw_problem_check(&p), TW_EOVERFLOW);
    /* 4 d N² = 2^62 is the first that is too many. */
    p = (tw_problem){.batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1 << 30, .seqlen_k = 1 << 29};
    p.head_dim = 2;
    ck_assert_int_eq(tw_problem_check(&p), TW_EOVERFLOW);
    p.head_dim = 1;
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
    ck_assert_int_eq(tw_problem_flops(&p), INT64_C(1) << 61);
}
END_TEST

/* docs/howto/python_ctypes.py declares what is up to softmax_scale, and 512 bytes behind it for all the rest. */
START_TEST(python_has_room_for_it)
{
    ck_assert_uint_le(sizeof(tw_problem), offsetof(tw_problem, softmax_scale) + sizeof(double) + 512);
}
END_TEST

Suite *tw_suite_ref_problem(void)
{
    Suite *suite = suite_create("ref_problem");
    TCase *core = tcase_create("core");
    tcase_add_test(core, python_has_room_for_it);
    tcase_add_loop_test(core, keys_seen_are_counted_right, 0, 2 * NUM_LENGTHS);
    tcase_add_loop_test(core, pairs_of_every_rectangle, 0, 2 * NUM_LENGTHS);
    tcase_add_test(core, rows_follow_each_other_in_memory);
    tcase_add_test(core, query_heads_share_kv_heads);
    tcase_add_test(core, scale_has_a_default);
    tcase_add_test(core, good_problems_pass);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, bad_sizes_are_refused, 0, NUM_BAD_SIZES);
    tcase_add_loop_test(errors, bad_scales_are_refused, 0, 3);
    tcase_add_test(errors, products_that_overflow_are_refused);
    suite_add_tcase(suite, errors);
    return suite;
}
