/* Counts: golden numbers, and three truths that must agree: closed form = counted = executed. */
#include "../cpu_ref/attention.h"
#include "../sim/backend_count.h"
#include "../sim/fitting.h"
#include "../sim/backend_numeric.h"
#include "../sim/bounds.h"
#include "../sim/schedules/registry.h"
#include "support_shapes.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *tw_suite_sim_count(void);

static tw_problem square(int n, int head_dim)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 1,
                        .num_heads_kv = 1,
                        .seqlen_q = n,
                        .seqlen_k = n,
                        .head_dim = head_dim,
                        .dtype = TW_FP16};
}

static tw_counts count(const tw_schedule *schedule, const tw_problem *p, tw_tiling tiling,
                       const tw_machine *m)
{
    tw_count_result result;
    ck_assert_msg(tw_count(&result, schedule, p, &tiling, m) == TW_OK, "%s", tw_error_message());
    return result.total;
}

/* ---- golden numbers ------------------------------------------------------------------------------------- */

START_TEST(flash2_golden)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_tiling t = {.block_m = 128, .block_n = 128};
    tw_problem p = square(16384, 128);
    p.num_heads = p.num_heads_kv = 16;
    ck_assert_int_eq(count(&tw_schedule_flash2, &p, t, &h100).sram_fill_bytes, 17246978048);
    p = square(3000, 128);
    p.batch = 4;
    p.num_heads = p.num_heads_kv = 5;
    ck_assert_int_eq(count(&tw_schedule_flash2, &p, t, &h100).sram_fill_bytes, 752640000);
    p.num_heads_kv = 1; /* K and V once per query head, whoever shares them */
    ck_assert_int_eq(count(&tw_schedule_flash2, &p, t, &h100).sram_fill_bytes, 752640000);
}
END_TEST

START_TEST(textbook_ledger)
{
    tw_machine paper = tw_machine_named("paper");
    for (int n = 1; n < 3000; n = n * 3 + 1) {
        tw_problem p = square(n, 64);
        tw_counts c = count(&tw_schedule_standard, &p, (tw_tiling){.block_m = 7, .block_n = 9}, &paper);
        int64_t elements = 4LL * n * n + 4LL * n * 64;
        ck_assert_int_eq(c.sram_fill_bytes + c.sram_drain_bytes, 2 * elements);
        ck_assert_int_eq(c.hbm_read_bytes, c.sram_fill_bytes);
        ck_assert_int_eq(c.hbm_write_bytes, c.sram_drain_bytes);
    }
}
END_TEST

START_TEST(flash1_as_published)
{
    tw_machine paper = tw_machine_named("paper");
    tw_problem p = square(4096, 64);
    tw_tiling t = {0};
    tw_schedule_default_tiling(&tw_schedule_flash1, &t, &p, &paper);
    ck_assert_int_eq(t.block_n, 384); /* 192 KiB of fp16 over 4 · 64 */
    ck_assert_int_eq(t.block_m, 64);
    tw_counts c = count(&tw_schedule_flash1, &p, t, &paper);
    int64_t n = 4096, d = 64, tc = 11;
    ck_assert_int_eq(c.sram_fill_bytes + c.sram_drain_bytes,
                     2 * (2 * n * d + tc * 3 * n * d) + 4 * tc * 4 * n);
    ck_assert_int_le(c.sram_peak_bytes, 196608);
    ck_assert_int_eq(c.register_peak_bytes, 0);
}
END_TEST

/* The tiles that FACTS of the field measured on an H100 with box loads: rows past the end are filled too. */
START_TEST(boxes_count_whole)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(300, 64);
    tw_tiling t = {.block_m = 128, .block_n = 176, .fetch = TW_FETCH_BOX};
    int64_t q = 3 * 128 * 64 * 2, kv = 3 * 2 * (2 * 176) * 64 * 2;
    ck_assert_int_eq(count(&tw_schedule_flash2, &p, t, &h100).sram_fill_bytes, q + kv);
    ck_assert_int_eq(count(&tw_schedule_flash2, &p, t, &h100).sram_drain_bytes, 300 * 64 * 2 + 300 * 4);
}
END_TEST

START_TEST(peaks_by_place)
{
    tw_problem p = square(1024, 128);
    tw_tiling t = {.block_m = 128, .block_n = 64};
    tw_machine h100 = tw_machine_named("h100"), paper = tw_machine_named("paper");
    tw_counts c = count(&tw_schedule_flash2, &p, t, &h100);
    ck_assert_int_eq(c.sram_peak_bytes, (128 + 64 + 64) * 128 * 2);              /* Q, K, V */
    ck_assert_int_eq(c.register_peak_bytes, 128 * (64 + 128) * 4 + 3 * 128 * 4); /* S, O; m, l, alpha */
    c = count(&tw_schedule_flash2, &p, t, &paper);
    ck_assert_int_eq(c.sram_peak_bytes, (128 + 64 + 64 + 128) * 128 * 2); /* Q, K, V, O in the input's type */
    ck_assert_int_eq(c.register_peak_bytes, 0);
}
END_TEST

START_TEST(compulsory_hbm_bytes)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = {.batch = 2,
                    .num_heads = 8,
                    .num_heads_kv = 2,
                    .seqlen_q = 500,
                    .seqlen_k = 700,
                    .head_dim = 64,
                    .dtype = TW_FP16};
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        tw_counts c = count(&tw_schedule_flash2, &p, (tw_tiling){.block_m = 64, .block_n = 32}, &h100);
        ck_assert_int_eq(c.hbm_read_bytes,
                         2 * 64 * (8 * 500 + 2 * 2 * 700) * 2); /* Q by 8 heads, K and V by 2 */
        ck_assert_int_eq(c.hbm_write_bytes, 2 * 8 * 500 * (64 * 2 + 4));
        c = count(&tw_schedule_standard_tiled, &p, (tw_tiling){.block_m = 64, .block_n = 32}, &h100);
        ck_assert_int_eq(c.hbm_write_bytes, 2 * 8 * 500 * (2 * 700 * 2 + 64 * 2 + 4)); /* S, P, O, LSE */
    }
}
END_TEST

/* ---- closed form = counted = executed ------------------------------------------------------------------- */

static const struct shape_case {
    int batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, block_m, block_n;
} shapes[] = {
    {1, 1, 1, 1, 1, 16, 1, 1},      {1, 1, 1, 1, 1, 16, 128, 128},  {2, 2, 1, 2, 2, 40, 1, 2},
    {1, 1, 1, 31, 31, 64, 16, 16},  {1, 2, 2, 97, 97, 128, 32, 16}, {1, 1, 1, 128, 128, 64, 64, 32},
    {1, 2, 1, 300, 300, 16, 64, 1}, {1, 4, 2, 97, 300, 16, 64, 32}, {2, 4, 2, 300, 97, 16, 64, 32},
    {1, 6, 2, 31, 2, 40, 4, 3},     {1, 6, 1, 2, 31, 40, 1, 7},     {1, 1, 1, 64, 200, 16, 1, 16},
    {1, 1, 1, 200, 64, 16, 1, 16},  {1, 1, 1, 128, 128, 16, 1, 64}, {1, 1, 1, 199, 211, 16, 13, 17},
};
#define NUM_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static void check_three_truths(const tw_schedule *schedule, const tw_problem *p, tw_tiling t,
                               const tw_machine *m)
{
    tw_counts c = count(schedule, p, t, m);
    int64_t fill, drain;
    ck_assert_int_eq(tw_closed_form_bytes(&fill, &drain, schedule->name, p, &t, m), TW_OK);
    ck_assert_msg(c.sram_fill_bytes == fill && c.sram_drain_bytes == drain,
                  "%s: counted %lld + %lld, closed form %lld + %lld", schedule->name,
                  (long long)c.sram_fill_bytes, (long long)c.sram_drain_bytes, (long long)fill,
                  (long long)drain);

    size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p);
    double *q = calloc(nq, sizeof *q), *k = calloc(nk, sizeof *k), *v = calloc(nk, sizeof *v),
           *o = calloc(nq, sizeof *o);
    tw_numeric_stats executed;
    tw_numeric_options options = {.rounding = TW_ROUND_NEVER};
    ck_assert_int_eq(tw_numeric_run(o, NULL, &executed, schedule, p, &t, m, q, k, v, &options), TW_OK);
    ck_assert_int_eq(executed.sram_fill_bytes - executed.recomputed_fill_bytes, c.sram_fill_bytes);
    ck_assert_int_eq(executed.sram_drain_bytes, c.sram_drain_bytes);
    free(q), free(k), free(v), free(o);
}

START_TEST(three_truths_agree)
{
    const struct shape_case *s = &shapes[_i];
    tw_problem p = {.batch = s->batch,
                    .num_heads = s->heads,
                    .num_heads_kv = s->heads_kv,
                    .seqlen_q = s->seqlen_q,
                    .seqlen_k = s->seqlen_k,
                    .head_dim = s->head_dim};
    tw_tiling t = {.block_m = s->block_m, .block_n = s->block_n, .block_d = 24};
    tw_machine h100 = tw_machine_named("h100"), tiny = h100;
    tiny.smem_bytes = 60000; /* rows of S up to 30,000 keys of fp16 */
    for (int variant = 0; variant < 4; variant++) {
        p.causal = variant % 2;
        p.dtype = variant / 2 ? TW_FP16 : TW_FP32;
        for (int i = 0; i < tw_schedule_count(); i++) {
            if (tw_honours_check(tw_schedule_at(i), &p) != TW_OK)
                continue;
            check_three_truths(tw_schedule_at(i), &p, t, &h100);
            check_three_truths(tw_schedule_at(i), &p, t, &tiny);
        }
    }
}
END_TEST

/* A variant is the same tiles in another order: all its counts are those of what it is a variant of, by rows or boxes. */
START_TEST(variants_count_alike)
{
    const struct shape_case *s = &shapes[_i / 4];
    tw_problem p = {.batch = s->batch,
                    .num_heads = s->heads,
                    .num_heads_kv = s->heads_kv,
                    .seqlen_q = s->seqlen_q,
                    .seqlen_k = s->seqlen_k,
                    .head_dim = s->head_dim,
                    .dtype = TW_FP16,
                    .causal = _i % 2};
    tw_tiling t = {
        .block_m = s->block_m, .block_n = s->block_n, .fetch = _i / 2 % 2 ? TW_FETCH_BOX : TW_FETCH_ROWS};
    const tw_machine h100 = tw_machine_named("h100");
    for (int i = 0; i < tw_schedule_count(); i++) {
        const tw_schedule *base;
        if (!tw_schedule_at(i)->variant_of || tw_honours_check(tw_schedule_at(i), &p) != TW_OK)
            continue;
        ck_assert_int_eq(tw_schedule_find(&base, tw_schedule_at(i)->variant_of), TW_OK);
        tw_counts own = count(tw_schedule_at(i), &p, t, &h100), as = count(base, &p, t, &h100);
        ck_assert_int_ge(own.sram_peak_bytes, as.sram_peak_bytes);
        own.sram_peak_bytes = as.sram_peak_bytes; /* more tiles are on chip at a time */
        own.register_peak_bytes = as.register_peak_bytes;
        ck_assert_msg(memcmp(&own, &as, sizeof own) == 0, "%s, shape %d", tw_schedule_at(i)->name, _i);
    }
}
END_TEST

START_TEST(long_row_is_read_twice)
{
    tw_machine m = tw_machine_named("h100");
    m.smem_bytes = 500; /* 250 keys of fp16 */
    tw_problem p = square(251, 16);
    tw_tiling t = {.block_m = 4, .block_n = 4};
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        check_three_truths(&tw_schedule_standard_tiled, &p, t, &m);
    }
}
END_TEST

/* Sizes that nothing but multiplication can reach: the count against the closed form. */
START_TEST(a_million_tokens)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(1 << 20, 128);
    p.num_heads = p.num_heads_kv = 128;
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        for (int i = 0; i < tw_schedule_count(); i++) {
            const tw_schedule *schedule = tw_schedule_at(i);
            if (tw_honours_check(schedule, &p) != TW_OK || schedule->lists_tiles)
                continue; /* a list of 67 million tiles has tests of its own */
            if (schedule == &tw_schedule_lean_attention)
                continue; /* its shares begin elsewhere in every head: a million query tiles, each by itself */
            if (causal && schedule == &tw_schedule_standard_tiled)
                continue; /* a million rows, each by itself */
            tw_tiling t = {.block_m = 128, .block_n = 128};
            int64_t fill, drain;
            tw_counts c = count(schedule, &p, t, &h100);
            ck_assert_int_eq(tw_closed_form_bytes(&fill, &drain, schedule->name, &p, &t, &h100), TW_OK);
            ck_assert_int_eq(c.sram_fill_bytes, fill);
            ck_assert_int_eq(c.sram_drain_bytes, drain);
            ck_assert_int_eq(c.flops, tw_problem_flops(&p));
        }
    }
}
END_TEST

/* ---- FLOPs and exponentials ----------------------------------------------------------------------------- */

/* Pairs that the mask keeps, one by one. */
static int64_t pairs_by_hand(const tw_problem *p)
{
    int64_t pairs = 0;
    for (int i = 0; i < p->seqlen_q; i++)
        for (int j = 0; j < p->seqlen_k; j++)
            pairs += !p->causal || j <= i + p->seqlen_k - p->seqlen_q;
    return pairs * p->num_heads * p->batch;
}

START_TEST(flops_are_unmasked_pairs)
{
    const struct shape_case *s = &shapes[_i];
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = {.batch = s->batch,
                    .num_heads = s->heads,
                    .num_heads_kv = s->heads_kv,
                    .seqlen_q = s->seqlen_q,
                    .seqlen_k = s->seqlen_k,
                    .head_dim = s->head_dim,
                    .dtype = TW_FP16};
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        int64_t pairs = pairs_by_hand(&p);
        for (int i = 0; i < tw_schedule_count(); i++) {
            const tw_schedule *schedule = tw_schedule_at(i);
            if (tw_honours_check(schedule, &p) != TW_OK)
                continue;
            tw_counts c = count(schedule, &p, (tw_tiling){.block_m = s->block_m, .block_n = s->block_n},
                                &h100);
            ck_assert_int_eq(c.flops, 4 * s->head_dim * pairs);
            ck_assert_int_ge(c.flops_executed, c.flops);
            bool whole_rows = strncmp(schedule->name, "standard", 8) == 0 || schedule->most_rows > 0;
            if (whole_rows || schedule->fixed_max)
                ck_assert_int_eq(c.exps, pairs); /* sums against one maximum take no factors */
            else
                ck_assert_int_gt(c.exps, pairs);
            if (!causal)
                ck_assert_int_eq(c.flops_executed, c.flops);
        }
    }
}
END_TEST

START_TEST(flash2_counts_one_alpha_per_row_and_tile)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(1000, 64);
    tw_counts c = count(&tw_schedule_flash2, &p, (tw_tiling){.block_m = 64, .block_n = 96}, &h100);
    ck_assert_int_eq(c.exps, 1000 * 1000 + 11 * 1000); /* ⌈1000 / 96⌉ = 11 key tiles */
}
END_TEST

/* ---- limits and errors ---------------------------------------------------------------------------------- */

START_TEST(too_large_says_by_how_much)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(8192, 128);
    tw_count_result result = {.num_launches = -7};
    tw_tiling t = {.block_m = 128, .block_n = 512};
    ck_assert_int_eq(tw_count(&result, &tw_schedule_flash2, &p, &t, &h100), TW_ESRAM);
    ck_assert_int_eq(result.num_launches, -7);
    /* Q, K, V tiles: (128 + 2 · 512) · 128 · 2 = 294,912 bytes, 62,464 over 232,448 */
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "294912"));
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "62464 too many"));
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "block_m 128, block_n 381"));
    tw_tiling fit;
    tw_largest_tiling(&fit, &tw_schedule_flash2, &p, &t, &h100);
    ck_assert_int_eq(fit.block_n, 381); /* registers: 128 (381 + 128) · 4 + 3 · 128 · 4 = 262,144 exactly */
    fit.block_n += 1;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_flash2, &p, &fit, &h100), TW_ESRAM);
}
END_TEST

static bool tiling_fits(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *tiling,
                        const tw_machine *m)
{
    tw_count_result result;
    tw_status status = tw_count(&result, schedule, p, tiling, m);
    ck_assert_msg(status == TW_OK || status == TW_ESRAM, "%s: %s", schedule->name, tw_error_message());
    return status == TW_OK;
}

static bool tiles_fit(const tw_schedule *schedule, const tw_problem *p, int block_m, int block_n,
                      const tw_machine *m)
{
    return tiling_fits(schedule, p, &(tw_tiling){.block_m = block_m, .block_n = block_n}, m);
}

/* What is called the largest fits, and neither side of it can have a row more. */
static void check_largest(const tw_schedule *schedule, const tw_problem *p, tw_tiling wanted,
                          const tw_machine *m)
{
    tw_tiling t;
    tw_largest_tiling(&t, schedule, p, &wanted, m);
    const char *name = schedule->name;
    ck_assert_int_le(t.block_m, wanted.block_m);
    ck_assert_int_le(t.block_n, wanted.block_n);
    if (t.block_m == 0) {
        ck_assert_int_eq(t.block_n, 0);
        ck_assert_msg(!tiles_fit(schedule, p, 1, 1, m), "%s: 1 x 1 fits", name);
        return;
    }
    ck_assert_msg(tiles_fit(schedule, p, t.block_m, t.block_n, m), "%s on %s: %d x %d does not fit", name,
                  m->name, t.block_m, t.block_n);
    ck_assert_msg(t.block_m == wanted.block_m || !tiles_fit(schedule, p, t.block_m + 1, t.block_n, m),
                  "%s on %s: %d x %d is not the largest, block_m can be more", name, m->name, t.block_m,
                  t.block_n);
    ck_assert_msg(t.block_n == wanted.block_n || !tiles_fit(schedule, p, t.block_m, t.block_n + 1, m),
                  "%s on %s: %d x %d is not the largest, block_n can be more", name, m->name, t.block_m,
                  t.block_n);
    if (t.block_m < wanted.block_m && t.block_n < wanted.block_n) /* both were cut: to a square, nearly */
        ck_assert_msg(!tiles_fit(schedule, p, t.block_m + 1, t.block_n + 1, m), "%s on %s: %d x %d", name,
                      m->name, t.block_m, t.block_n);
}

static const tw_tiling wanted_tiles[] = {{.block_m = 1024, .block_n = 128},  {.block_m = 4096, .block_n = 64},
                                         {.block_m = 128, .block_n = 512},   {.block_m = 128, .block_n = 128},
                                         {.block_m = 4096, .block_n = 3000}, {.block_m = 7, .block_n = 4096},
                                         {.block_m = 4096, .block_n = 7},    {.block_m = 1, .block_n = 1}};

START_TEST(the_largest_is_the_largest)
{
    static const char *const machines[] = {"h100", "paper", "t4"};
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++)
        for (int s = 0; s < tw_schedule_count(); s++)
            for (int head_dim = 64; head_dim <= 512; head_dim *= 2) {
                tw_machine machine = tw_machine_named(machines[m]);
                tw_problem p = square(4096, head_dim);
                p.v_in_k = tw_schedule_at(s)->needs_v_in_k;
                if (tw_honours_check(tw_schedule_at(s), &p) != TW_OK)
                    continue; /* it wants codes, buckets, a rank or short sequences */
                check_largest(tw_schedule_at(s), &p, wanted_tiles[_i], &machine);
            }
}
END_TEST

/* A large block_m alone is cut, as a large block_n alone is. */
START_TEST(the_larger_side_is_cut)
{
    tw_machine h100 = tw_machine_named("h100"), paper = tw_machine_named("paper");
    tw_problem p = square(4096, 128);
    tw_tiling t;
    tw_largest_tiling(&t, &tw_schedule_flash2, &p, &wanted_tiles[1], &h100);
    ck_assert_int_eq(t.block_n, 64);
    ck_assert_int_eq(t.block_m, 336); /* registers: m (64 + 128 + 3) · 4 <= 262,144 */
    tw_largest_tiling(&t, &tw_schedule_flash2, &p, &wanted_tiles[0], &paper);
    ck_assert_int_eq(t.block_n, 128);
    ck_assert_int_eq(t.block_m, 256); /* (2 m + 2 · 128) · 128 · 2 = 196,608 exactly */
    tw_largest_tiling(&t, &tw_schedule_flash2, &p, &(tw_tiling){.block_m = 4096, .block_n = 4096}, &paper);
    ck_assert_int_eq(t.block_m, 192);
    ck_assert_int_eq(t.block_n, 192);
}
END_TEST

/* Where nobody says, tiles fit if any do; where somebody does, they are taken as they are. */
START_TEST(default_tiles_fit)
{
    static const char *const machines[] = {"h100", "paper", "t4", "a100", "laptop"};
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++)
        for (int s = 0; s < tw_schedule_count(); s++) {
            tw_machine machine = tw_machine_named(machines[m]);
            const tw_schedule *forward = tw_schedule_at(s), *backward = tw_schedule_backward_of(forward);
            tw_problem p = square(1000, 64 << _i);
            tw_tiling t = {.block_m = 0}, given = {.block_m = 1024, .block_n = 1024};
            p.v_in_k = forward->needs_v_in_k;
            if (tw_honours_check(forward, &p) != TW_OK)
                continue;
            tw_schedule_default_tiling(forward, &t, &p, &machine);
            ck_assert_msg(tiling_fits(forward, &p, &t, &machine), "%s on %s: %s", forward->name, machine.name,
                          tw_error_message());
            tw_schedule_default_tiling(forward, &given, &p, &machine);
            ck_assert_int_eq(given.block_m, 1024);
            ck_assert_int_eq(given.block_n, 1024);
            t = (tw_tiling){.block_m = 0};
            if (backward)
                tw_schedule_default_tiling(backward, &t, &p, &machine);
            if (backward)
                ck_assert_msg(tiles_fit(backward, &p, t.block_m, t.block_n, &machine), "%s on %s: %s",
                              backward->name, machine.name, tw_error_message());
        }
    tw_machine t4 = tw_machine_named("t4");
    tw_problem p = square(1000, 128);
    tw_tiling t = {.block_m = 0};
    tw_schedule_default_tiling(&tw_schedule_flash2, &t, &p, &t4);
    ck_assert_int_eq(t.block_m, 128); /* (128 + 2 · 64) · 128 · 2 = 65,536 exactly */
    ck_assert_int_eq(t.block_n, 64);
}
END_TEST

START_TEST(nothing_fits)
{
    tw_machine h100 = tw_machine_named("h100");
    h100.smem_bytes = 100;
    tw_problem p = square(64, 128);
    tw_tiling t = {.block_m = 16, .block_n = 16};
    tw_count_result result;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_flash2, &p, &t, &h100), TW_ESRAM);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "not even tiles of one row"));
    ck_assert_int_eq(tw_count(&result, &tw_schedule_standard, &p, &t, &h100),
                     TW_OK); /* the textbook is exempt */
}
END_TEST

START_TEST(refuses_bad_blocks)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(64, 128);
    tw_count_result result;
    const tw_tiling bad[] = {
        {.block_m = 0, .block_n = 1}, {.block_m = 1, .block_n = -4}, {.block_m = 1 << 25, .block_n = 1}};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(tw_count(&result, &tw_schedule_flash2, &p, &bad[i], &h100), TW_EINVAL);
    p.num_heads_kv = 2;
    ck_assert_int_eq(
        tw_count(&result, &tw_schedule_flash2, &p, &(tw_tiling){.block_m = 1, .block_n = 1}, &h100),
        TW_EINVAL);
}
END_TEST

START_TEST(overflow_is_noticed)
{
    tw_machine paper = tw_machine_named("paper");
    tw_problem p = square(1 << 30, 1);
    tw_count_result result;
    tw_tiling t = {.block_m = 1, .block_n = 1 << 20};
    ck_assert_int_eq(tw_count(&result, &tw_schedule_flash2, &p, &t, &paper), TW_EOVERFLOW);
}
END_TEST

START_TEST(bounds_meet_where_they_should)
{
    double n = 16384, d = 128;
    ck_assert_double_eq_tol(tw_bound_saha_ye_elements(n, d, d * d), n * n, 1e-3);
    ck_assert_double_eq(tw_bound_saha_ye_elements(n, d, 4 * d * d), tw_bound_dao_elements(n, d, 4 * d * d));
    ck_assert_double_lt(tw_bound_saha_ye_elements(n, d, d), tw_bound_dao_elements(n, d, d));
    ck_assert_double_eq(tw_bound_compulsory_elements(n, d), 4 * n * d + n);
    ck_assert_double_eq(tw_bound_hong_kung_elements(100, 11), 1000);
    int64_t fill, drain;
    tw_problem p = square(4, 2);
    tw_machine paper = tw_machine_named("paper");
    ck_assert_int_eq(
        tw_closed_form_bytes(&fill, &drain, "none", &p, &(tw_tiling){.block_m = 1, .block_n = 1}, &paper),
        TW_EUNSUPPORTED);
}
END_TEST

Suite *tw_suite_sim_count(void)
{
    Suite *suite = suite_create("sim_count");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, flash2_golden);
    tcase_add_test(core, textbook_ledger);
    tcase_add_test(core, flash1_as_published);
    tcase_add_test(core, boxes_count_whole);
    tcase_add_test(core, peaks_by_place);
    tcase_add_test(core, compulsory_hbm_bytes);
    tcase_add_loop_test(core, three_truths_agree, 0, NUM_SHAPES);
    tcase_add_loop_test(core, variants_count_alike, 0, 4 * NUM_SHAPES);
    tcase_add_test(core, long_row_is_read_twice);
    tcase_add_loop_test(core, flops_are_unmasked_pairs, 0, NUM_SHAPES);
    tcase_add_test(core, flash2_counts_one_alpha_per_row_and_tile);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_set_timeout(limits, 60);
    tcase_add_test(limits, a_million_tokens);
    tcase_add_test(limits, too_large_says_by_how_much);
    tcase_add_loop_test(limits, the_largest_is_the_largest, 0, sizeof wanted_tiles / sizeof wanted_tiles[0]);
    tcase_add_test(limits, the_larger_side_is_cut);
    tcase_add_loop_test(limits, default_tiles_fit, 0, 3);
    tcase_add_test(limits, nothing_fits);
    tcase_add_test(limits, overflow_is_noticed);
    tcase_add_test(limits, bounds_meet_where_they_should);
    suite_add_tcase(suite, limits);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_bad_blocks);
    suite_add_tcase(suite, errors);
    return suite;
}
