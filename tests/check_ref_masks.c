/* Masks: every question about rows and tiles, against the same question asked pair by pair. */
#include "cpu_ref/tile_map.h"
#include "mask_cases.h"

#include <check.h>
#include <math.h>

Suite *tw_suite_ref_masks(void);

static const struct {
    int seqlen_q, seqlen_k;
} lengths[] = {{1, 1}, {13, 13}, {5, 9}, {9, 5}, {1, 12}, {12, 1}, {16, 11}, {7, 23}};
enum { NUM_LENGTHS = sizeof lengths / sizeof lengths[0], NUM_CASES = NUM_MASK_CASES * NUM_LENGTHS };

static tw_problem problem_of(int i)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 4,
                        .num_heads_kv = 2,
                        .seqlen_q = lengths[i % NUM_LENGTHS].seqlen_q,
                        .seqlen_k = lengths[i % NUM_LENGTHS].seqlen_k,
                        .head_dim = 8,
                        .dtype = TW_FP32};
}

/* Pairs of every rectangle of a view of a problem, pair by pair: sums[row][key] are those above and to the left. */
enum { MOST = 64 };
typedef struct truth {
    int sums[MOST + 1][MOST + 1];
} truth;

static truth truth_of(const tw_problem *p, const mask_case *c, int head)
{
    int group = p->heads_in_rows > 1 ? p->heads_in_rows : 1;
    truth t = {{{0}}};
    for (int row = 0; row < p->seqlen_q; row++)
        for (int key = 0; key < p->seqlen_k; key++)
            t.sums[row + 1][key + 1] = t.sums[row][key + 1] + t.sums[row + 1][key] - t.sums[row][key] +
                                       mask_case_sees(c, p->seqlen_q / group, p->seqlen_k,
                                                      tw_problem_query_head(p, head, row),
                                                      tw_problem_query_row(p, row), key);
    return t;
}

static int64_t count(const truth *t, int row0, int row1, int key0, int key1)
{
    return t->sums[row1][key1] - t->sums[row0][key1] - t->sums[row1][key0] + t->sums[row0][key0];
}

static tw_tile_kind kind_of(int64_t pairs, int rows, int keys)
{
    return pairs == 0 ? TW_TILE_EMPTY : pairs == (int64_t)rows * keys ? TW_TILE_FULL : TW_TILE_PARTIAL;
}

/* Does what is said of one rectangle agree with its pairs? An assertion for each would take longer than all of this. */
static bool rectangle_agrees(const tw_problem *p, const truth *t, int head, int row0, int row1, int key0,
                             int key1)
{
    int64_t pairs = count(t, row0, row1, key0, key1);
    return tw_mask_pairs(p, 0, head, row0, row1, key0, key1) == pairs &&
           tw_mask_tile(p, 0, head, row0, row1, key0, key1) == kind_of(pairs, row1 - row0, key1 - key0);
}

static void check_rectangles(const tw_problem *p, const mask_case *c, int head)
{
    const truth t = truth_of(p, c, head);
    for (int row0 = 0; row0 < p->seqlen_q; row0++)
        for (int row1 = row0 + 1; row1 <= p->seqlen_q; row1 += 1 + row1 / 4)
            for (int key0 = 0; key0 < p->seqlen_k; key0++)
                for (int key1 = key0 + 1; key1 <= p->seqlen_k; key1 += 1 + key1 / 4)
                    if (!rectangle_agrees(p, &t, head, row0, row1, key0, key1))
                        ck_abort_msg("%s: rows %d-%d, keys %d-%d keep %lld pairs, not %lld, kind %d", c->name,
                                     row0, row1, key0, key1, (long long)count(&t, row0, row1, key0, key1),
                                     (long long)tw_mask_pairs(p, 0, head, row0, row1, key0, key1),
                                     (int)tw_mask_tile(p, 0, head, row0, row1, key0, key1));
}

/* Jumps never pass over anything that is seen, and never take for full what is not. */
static bool key_jumps_agree(const tw_problem *p, const truth *t, int row0, int row1, int key)
{
    int next = (int)tw_mask_next_key(p, row0, row1, key), end = (int)tw_mask_keys_end(p, row0, row1, key);
    bool full = tw_mask_is_listed(p) || count(t, row0, row1, key, end) == (row1 - row0) * (end - key);
    return count(t, row0, row1, key, next) == 0 && end >= key && full;
}

static bool row_jumps_agree(const tw_problem *p, const truth *t, int key0, int key1, int row)
{
    int next = (int)tw_mask_next_row(p, key0, key1, row), end = (int)tw_mask_rows_end(p, key0, key1, row);
    bool full = tw_mask_is_listed(p) || count(t, row, end, key0, key1) == (end - row) * (key1 - key0);
    return count(t, row, next, key0, key1) == 0 && end >= row && full;
}

static void check_jumps(const tw_problem *p, const mask_case *c, int head)
{
    const truth t = truth_of(p, c, head);
    for (int row0 = 0; row0 < p->seqlen_q; row0++)
        for (int row1 = row0 + 1; row1 <= p->seqlen_q; row1 += 1 + row1 / 4)
            for (int key = 0; key < p->seqlen_k; key++)
                if (!key_jumps_agree(p, &t, row0, row1, key))
                    ck_abort_msg("%s: rows %d-%d jump wrongly from key %d", c->name, row0, row1, key);
    for (int key0 = 0; key0 < p->seqlen_k; key0++)
        for (int key1 = key0 + 1; key1 <= p->seqlen_k; key1 += 1 + key1 / 4)
            for (int row = 0; row < p->seqlen_q; row++)
                if (!row_jumps_agree(p, &t, key0, key1, row))
                    ck_abort_msg("%s: keys %d-%d jump wrongly from row %d", c->name, key0, key1, row);
}

START_TEST(rows_and_tiles_say_what_pairs_say)
{
    const mask_case *c = &mask_cases[_i / NUM_LENGTHS];
    tw_problem p = problem_of(_i);
    mask_arrays arrays = mask_case_apply(&p, c);
    ck_assert_msg(tw_problem_check(&p) == TW_OK, "%s: %s", c->name, tw_error_message());
    for (int head = 0; head < 2; head++) {
        for (int row = 0; row < p.seqlen_q; row++)
            for (int key = 0; key < p.seqlen_k; key++)
                if (tw_mask_visible(&p, 0, head, row, key) !=
                    mask_case_sees(c, p.seqlen_q, p.seqlen_k, head, row, key))
                    ck_abort_msg("%s, %d x %d: head %d, row %d, key %d", c->name, p.seqlen_q, p.seqlen_k,
                                 head, row, key);
        check_rectangles(&p, c, head);
        check_jumps(&p, c, head);
    }
    mask_arrays_free(&arrays);
}
END_TEST

START_TEST(packed_heads_are_rows)
{
    const mask_case *c = &mask_cases[_i / NUM_LENGTHS];
    tw_problem p = problem_of(_i);
    mask_arrays arrays = mask_case_apply(&p, c);
    tw_problem packed = tw_problem_packed(&p);
    ck_assert_int_eq(packed.seqlen_q, 2 * p.seqlen_q);
    ck_assert_int_eq(packed.num_heads, 2);
    for (int head = 0; head < packed.num_heads; head++) {
        for (int row = 0; row < packed.seqlen_q; row++) {
            int query_head = 2 * head + row % 2;
            ck_assert_uint_eq(tw_problem_q_row(&packed, 0, head, row),
                              tw_problem_q_row(&p, 0, query_head, row / 2));
            ck_assert_uint_eq(tw_problem_o_row(&packed, 0, head, row),
                              tw_problem_o_row(&p, 0, query_head, row / 2));
            ck_assert_uint_eq(tw_problem_lse_at(&packed, 0, head, row),
                              tw_problem_lse_at(&p, 0, query_head, row / 2));
        }
        check_rectangles(&packed, c, head);
        check_jumps(&packed, c, head);
    }
    ck_assert_int_eq(tw_problem_all_pairs(&packed), tw_problem_all_pairs(&p));
    ck_assert_uint_eq(tw_problem_o_elements(&packed), tw_problem_o_elements(&p));
    mask_arrays_free(&arrays);
}
END_TEST

START_TEST(a_map_adds_up)
{
    const mask_case *c = &mask_cases[_i / NUM_LENGTHS];
    tw_problem p = problem_of(_i);
    mask_arrays arrays = mask_case_apply(&p, c);
    tw_tile_map map;
    ck_assert_int_eq(tw_tile_map_build(&map, &p, 0, 3, 4), TW_OK);
    int64_t visited = 0, down = 0;
    for (int h = 0; h < map.matrices; h++) {
        for (int64_t i = 0; i < map.rows; i++)
            visited += tw_tile_map_visited(&map, h, i, false);
        for (int64_t j = 0; j < map.cols; j++)
            down += tw_tile_map_visited(&map, h, j, true);
    }
    tw_tile_census census = tw_tile_map_census(&map);
    ck_assert_int_eq(visited, down);
    ck_assert_int_eq(visited, census.partial + census.full);
    ck_assert_int_eq(visited + census.empty, map.matrices * map.rows * map.cols);
    ck_assert_int_eq(census.list_bytes, 4 * (2 * map.matrices * map.rows + visited));
    ck_assert_int_eq(census.pairs * (p.num_heads / map.matrices), tw_problem_all_pairs(&p));
    tw_tile_map_free(&map);
    mask_arrays_free(&arrays);
}
END_TEST

/* A million tokens: what has a closed form is counted at once. */
START_TEST(long_windows_are_closed_forms)
{
    tw_problem p = problem_of(0);
    int64_t n = 1 << 30, w = 4096;
    p.seqlen_q = p.seqlen_k = (int)n;
    p.mask = (tw_masks){.window = true, .window_left = (int)w, .window_right = 0};
    ck_assert_int_eq(tw_problem_pairs(&p), n * (w + 1) - w * (w + 1) / 2);
    p.mask.window_right = (int)w;
    ck_assert_int_eq(tw_problem_pairs(&p), n * (2 * w + 1) - w * (w + 1));
}
END_TEST

/* ---- packed sequences ----------------------------------------------------------------------------------- */

START_TEST(packed_sequences_lie_behind_each_other)
{
    const int cu_q[] = {0, 3, 3, 8}, cu_k[] = {0, 4, 6, 6};
    tw_problem p = problem_of(0);
    p.batch = 3;
    p.seqlen_q = 5, p.seqlen_k = 4;
    p.cu_seqlens_q = cu_q, p.cu_seqlens_k = cu_k;
    p.causal = true;
    ck_assert_msg(tw_problem_check(&p) == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(tw_problem_total_q(&p), 8);
    ck_assert_uint_eq(tw_problem_q_elements(&p), 8 * 4 * 8);
    ck_assert_uint_eq(tw_problem_k_elements(&p), 6 * 2 * 8);
    ck_assert_uint_eq(tw_problem_q_row(&p, 2, 1, 4), (7 * 4 + 1) * 8);
    ck_assert_uint_eq(tw_problem_k_row(&p, 1, 1, 1), (5 * 2 + 1) * 8);
    ck_assert_uint_eq(tw_problem_lse_at(&p, 2, 3, 4), 3 * 8 + 7);
    tw_problem first = tw_problem_sequence(&p, 0), last = tw_problem_sequence(&p, 2);
    ck_assert_int_eq(first.seqlen_q, 3);
    ck_assert_int_eq(first.seqlen_k, 4);
    ck_assert_int_eq(tw_problem_keys_seen(&first, 0), 2);
    ck_assert_int_eq(last.seqlen_k, 0);
    ck_assert_int_eq(tw_problem_keys_seen(&last, 4), 0);
    ck_assert_int_eq(tw_problem_all_pairs(&p), 4 * (2 + 3 + 4));
}
END_TEST

/* ---- errors --------------------------------------------------------------------------------------------- */

static const int backwards[] = {0, 5, 3, 9}, short_documents[] = {0, 4, 8}, late[] = {1, 9}, whole[] = {0, 9};
static const unsigned char one_block[] = {1};

static const struct {
    tw_masks mask;
    const char *says;
} bad[] = {
    {{.window = true, .window_left = -2}, "the window is -2,0"},
    {{.prefix = -1}, "prefix is -1"},
    {{.sinks = -3}, "sinks is -3"},
    {{.documents = backwards, .num_documents = 3}, "document 1 ends at key 3 and begins at 5"},
    {{.documents = short_documents, .num_documents = 2}, "from key 0 to 8"},
    {{.documents = late, .num_documents = 1}, "from key 1 to 9"},
    {{.documents = whole, .num_documents = 0}, "less than 1"},
    {{.blocks = one_block, .block_rows = 9}, "blocks of the mask are 9 x 0"},
};

START_TEST(bad_masks_are_refused)
{
    tw_problem p = problem_of(2);
    p.mask = bad[_i].mask;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_msg(strstr(tw_error_message(), bad[_i].says) != NULL, "said: %s", tw_error_message());
}
END_TEST

START_TEST(bad_offsets_are_refused)
{
    const int good[] = {0, 5, 9}, other[] = {0, 4, 9}, back[] = {0, 5, 4}, from_one[] = {1, 6, 10};
    tw_problem p = problem_of(0);
    p.batch = 2;
    p.seqlen_q = p.seqlen_k = 5;
    p.cu_seqlens_q = good;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "both or neither"));
    const int *const bad_offsets[] = {back, from_one};
    for (int i = 0; i < 2; i++) {
        p.cu_seqlens_k = bad_offsets[i];
        ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    }
    p.cu_seqlens_k = other;
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
    p.seqlen_k = 6;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "cu_seqlens_k has a longest sequence of 5 rows"));
    p.seqlen_k = 5;
    p.mask = (tw_masks){.blocks = one_block, .block_rows = 9, .block_keys = 9};
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "beside packed sequences"));
}
END_TEST

START_TEST(bad_widths_are_refused)
{
    tw_problem p = problem_of(0);
    p.head_dim_v = -1;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    p.head_dim_v = 9;
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
    ck_assert_int_eq(tw_problem_flops(&p), 2 * (8 + 9) * 4);
    p.v_in_k = true;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "V is a part of K"));
}
END_TEST

Suite *tw_suite_ref_masks(void)
{
    Suite *suite = suite_create("ref_masks");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, rows_and_tiles_say_what_pairs_say, 0, NUM_CASES);
    tcase_add_loop_test(core, packed_heads_are_rows, 0, NUM_CASES);
    tcase_add_loop_test(core, a_map_adds_up, 0, NUM_CASES);
    tcase_add_test(core, long_windows_are_closed_forms);
    tcase_add_test(core, packed_sequences_lie_behind_each_other);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, bad_masks_are_refused, 0, (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(errors, bad_offsets_are_refused);
    tcase_add_test(errors, bad_widths_are_refused);
    suite_add_tcase(suite, errors);
    return suite;
}
