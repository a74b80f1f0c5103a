/* Orders of blocks and keys: each block once, in the order that order.h draws; the same counts, and attention, in all. */
#include "check_tilewise.h"

#include "../cpu_ref/attention.h"
#include "../cpu_ref/compare.h"
#include "../sim/backend_count.h"
#include "../sim/backend_numeric.h"
#include "../sim/schedules/registry.h"

#include <stdlib.h>
#include <string.h>

enum { NUM_ORDERINGS = (int)TW_NUM_ORDERS * (int)TW_NUM_KV_ORDERS };

static tw_machine h100(void)
{
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, "h100"), TW_OK);
    return m;
}

/* Two heads of four tiles, as the drawing in order.h has them: tiles, then their heads. */
static const struct {
    tw_order order;
    int causal;
    const char *tiles, *heads;
} drawn[] = {
    {TW_ORDER_OWN, 0, "01230123", "00001111"},           {TW_ORDER_LINEAR, 1, "01230123", "00001111"},
    {TW_ORDER_REVERSED, 0, "32103210", "00001111"},      {TW_ORDER_SNAKE, 0, "01233210", "00001111"},
    {TW_ORDER_HEAD_MAJOR, 1, "00112233", "01010101"},    {TW_ORDER_LONGEST_FIRST, 0, "01230123", "00001111"},
    {TW_ORDER_LONGEST_FIRST, 1, "33221100", "01010101"},
};

START_TEST(test_as_drawn)
{
    for (int n = 0; n < 8; n++) {
        tw_grid_place place = tw_order_place(drawn[_i].order, n, 4, 2, drawn[_i].causal);
        ck_assert_int_eq(place.tile, drawn[_i].tiles[n] - '0');
        ck_assert_int_eq(place.head, drawn[_i].heads[n] - '0');
    }
}
END_TEST

START_TEST(test_each_block_once)
{
    for (int tiles = 1; tiles <= 13; tiles += 3)
        for (int heads = 1; heads <= 7; heads += 2)
            for (int causal = 0; causal < 2; causal++) {
                bool seen[13 * 7] = {false};
                for (int n = 0; n < tiles * heads; n++) {
                    tw_grid_place place = tw_order_place((tw_order)_i, n, tiles, heads, causal);
                    ck_assert(place.tile >= 0 && place.tile < tiles && place.head >= 0 && place.head < heads);
                    ck_assert(!seen[place.head * tiles + place.tile]);
                    seen[place.head * tiles + place.tile] = true;
                }
            }
}
END_TEST

/* ---- the emitter ---------------------------------------------------------------------------------------- */

/* The first row and head of every Q that is loaded, and the first rows of the K behind it. */
typedef struct seen {
    int num_q, q_row[64], q_batch[64], q_head[64];
    int num_k[64], k_row[64][16];
} seen;

static tw_status see(void *self, const tw_emitter *e, const tw_op *op)
{
    (void)e;
    seen *s = self;
    if (op->kind == TW_OP_LOAD && op->tensor == TW_Q) {
        s->q_row[s->num_q] = (int)op->rows.row0;
        s->q_batch[s->num_q] = op->batch;
        s->q_head[s->num_q++] = op->head;
    }
    if (op->kind == TW_OP_LOAD && op->tensor == TW_K) {
        int block = s->num_q - 1;
        s->k_row[block][s->num_k[block]++] = (int)op->rows.row0;
    }
    return TW_OK;
}

static seen emit(tw_order order, tw_kv_order kv_order, bool causal)
{
    seen s = {.num_q = 0};
    const tw_machine m = h100();
    const tw_backend backend = {.op = see};
    const tw_problem p = {.batch = 2,
                          .num_heads = 2,
                          .num_heads_kv = 2,
                          .seqlen_q = 64,
                          .seqlen_k = 64,
                          .head_dim = 16,
                          .dtype = TW_FP16,
                          .causal = causal};
    const tw_tiling t = {.block_m = 16, .block_n = 16, .order = order, .kv_order = kv_order};
    ck_assert_msg(tw_emit(&tw_schedule_flash2, &p, &t, &m, &backend, &s) == TW_OK, "%s", tw_error_message());
    return s;
}

START_TEST(test_blocks_are_emitted_in_order)
{
    seen s = emit(drawn[_i].order, TW_KV_FORWARD, drawn[_i].causal);
    ck_assert_int_eq(s.num_q, 16);
    for (int n = 0; n < 16; n++) {
        ck_assert_int_eq(s.q_row[n], 16 * (drawn[_i].tiles[n % 8] - '0'));
        ck_assert_int_eq(s.q_head[n], drawn[_i].heads[n % 8] - '0');
        ck_assert_int_eq(s.q_batch[n], n / 8);
    }
}
END_TEST

START_TEST(test_keys_are_walked_in_order)
{
    bool causal = _i % 2;
    tw_kv_order kv_order = (tw_kv_order)(_i / 2);
    seen s = emit(TW_ORDER_LINEAR, kv_order, causal);
    for (int n = 0; n < 16; n++) {
        int tile = n % 4, tiles = causal ? tile + 1 : 4;
        bool backward = kv_order == TW_KV_BACKWARD || (kv_order == TW_KV_ALTERNATING && tile % 2 == 1);
        ck_assert_int_eq(s.num_k[n], tiles);
        for (int j = 0; j < tiles; j++)
            ck_assert_int_eq(s.k_row[n][j], 16 * (backward ? tiles - 1 - j : j));
    }
}
END_TEST

START_TEST(test_orders_without_meaning)
{
    const tw_machine m = h100();
    const tw_backend backend = {.op = see};
    const tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 8, .seqlen_k = 8, .head_dim = 8};
    seen s = {.num_q = 0};
    tw_tiling t = {.block_m = 8, .block_n = 8, .order = TW_NUM_ORDERS};
    ck_assert_int_eq(tw_emit(&tw_schedule_flash2, &p, &t, &m, &backend, &s), TW_EINVAL);
    t = (tw_tiling){.block_m = 8, .block_n = 8, .kv_order = TW_NUM_KV_ORDERS};
    ck_assert_int_eq(tw_emit(&tw_schedule_flash2, &p, &t, &m, &backend, &s), TW_EINVAL);
    ck_assert_int_eq(s.num_q, 0);
}
END_TEST

/* ---- what no order changes ------------------------------------------------------------------------------ */

static const tw_problem problems[] = {
    {.batch = 2,
     .num_heads = 2,
     .num_heads_kv = 1,
     .seqlen_q = 97,
     .seqlen_k = 97,
     .head_dim = 16,
     .causal = true},
    {.batch = 1, .num_heads = 3, .num_heads_kv = 3, .seqlen_q = 61, .seqlen_k = 130, .head_dim = 8},
    {.batch = 1,
     .num_heads = 2,
     .num_heads_kv = 2,
     .seqlen_q = 90,
     .seqlen_k = 31,
     .head_dim = 8,
     .causal = true},
};

/* A problem that the schedule takes: latent attention has V in K. */
static tw_problem problem_for(const tw_schedule *schedule, int i, tw_dtype dtype)
{
    tw_problem p = problems[i];
    p.dtype = dtype;
    if (schedule->needs_v_in_k) {
        p.v_in_k = true;
        p.head_dim_v = p.head_dim / 2;
    }
    return p;
}

START_TEST(test_counts_are_the_same)
{
    const tw_machine m = h100();
    for (int s = 0; s < tw_schedule_count(); s++) {
        tw_problem p = problem_for(tw_schedule_at(s), _i, TW_FP16);
        tw_tiling t = {.block_m = 16, .block_n = 32};
        tw_count_result plain, other;
        ck_assert_int_eq(tw_count(&plain, tw_schedule_at(s), &p, &t, &m), TW_OK);
        for (int n = 0; n < NUM_ORDERINGS; n++) {
            t.order = (tw_order)(n / TW_NUM_KV_ORDERS);
            t.kv_order = (tw_kv_order)(n % TW_NUM_KV_ORDERS);
            if (tw_tiling_check(tw_schedule_at(s), &t) != TW_OK)
                continue; /* blocks that share all work have one order */
            ck_assert_int_eq(tw_count(&other, tw_schedule_at(s), &p, &t, &m), TW_OK);
            ck_assert_mem_eq(&plain, &other, sizeof plain);
        }
    }
}
END_TEST

static double *random_numbers(size_t n, uint64_t stream)
{
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 5, stream);
    return x;
}

/* A schedule in every order, executed without rounding, is attention. */
static void expect_attention(const tw_schedule *schedule, int i)
{
    const tw_machine m = h100();
    const tw_problem p = problem_for(schedule, i, TW_FP32);
    size_t nq = tw_problem_q_elements(&p), nk = tw_problem_k_elements(&p), nl = tw_problem_lse_elements(&p);
    size_t no = tw_problem_o_elements(&p);
    double *q = random_numbers(nq, 0), *k = random_numbers(nk, 1);
    double *v = random_numbers(nk, p.v_in_k ? 1 : 2); /* within K it is read there */
    double *o = random_numbers(no, 3), *lse = random_numbers(nl, 4);
    double *gold = random_numbers(no, 5), *gold_lse = random_numbers(nl, 6);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    ck_assert_int_eq(tw_attention_gold(gold, gold_lse, &p, q, k, v), TW_OK);
    for (int n = 0; n < NUM_ORDERINGS; n++) {
        const tw_tiling t = {.block_m = 16,
                             .block_n = 8,
                             .order = (tw_order)(n / TW_NUM_KV_ORDERS),
                             .kv_order = (tw_kv_order)(n % TW_NUM_KV_ORDERS)};
        if (tw_tiling_check(schedule, &t) != TW_OK)
            continue;
        memset(o, 0xff, no * sizeof *o);
        ck_assert_msg(tw_numeric_run(o, lse, NULL, schedule, &p, &t, &m, q, k, v, &exact) == TW_OK, "%s",
                      tw_error_message());
        tw_error_metrics e = tw_error_of(o, gold, no);
        ck_assert_msg(e.num_nan == 0 && e.max_abs_error < 1e-12, "%s, order %d, kv_order %d: O differs by %g",
                      schedule->name, (int)t.order, (int)t.kv_order, e.max_abs_error);
    }
    free(q), free(k), free(v), free(o), free(lse), free(gold), free(gold_lse);
}

START_TEST(test_still_attention)
{
    for (int s = 0; s < tw_schedule_count(); s++)
        expect_attention(tw_schedule_at(s), _i);
}
END_TEST

Suite *tw_suite_sim_order(void)
{
    Suite *s = suite_create("sim_order");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_loop_test(core, test_as_drawn, 0, 7);
    tcase_add_loop_test(core, test_each_block_once, 0, TW_NUM_ORDERS);
    tcase_add_loop_test(core, test_blocks_are_emitted_in_order, 0, 7);
    tcase_add_loop_test(core, test_keys_are_walked_in_order, 0, 6);
    tcase_add_loop_test(core, test_counts_are_the_same, 0, 3);
    tcase_add_loop_test(core, test_still_attention, 0, 3);
    tcase_add_test(limits, test_orders_without_meaning);
    suite_add_tcase(s, core);
    suite_add_tcase(s, limits);
    return s;
}
