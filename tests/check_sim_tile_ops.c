/* The tile language: its rules, one broken schedule each; walks; what reaches a back end. */
#include "../sim/backend_count.h"
#include "../sim/schedules/registry.h"
#include "../sim/schedules/schedule_language.h"

#include <check.h>
#include <string.h>

Suite *tw_suite_sim_tile_ops(void);

static const tw_problem problem = {.batch = 1,
                                   .num_heads = 1,
                                   .num_heads_kv = 1,
                                   .seqlen_q = 8,
                                   .seqlen_k = 8,
                                   .head_dim = 4,
                                   .dtype = TW_FP16};

static tw_status count_block(void (*block)(tw_emitter *, const tw_problem *, const tw_tiling *, tw_block),
                             tw_unit unit)
{
    const tw_schedule schedule = {.name = "test",
                                  .num_launches = 1,
                                  .launches = {{.name = "only",
                                                .block = block,
                                                .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
                                                .writes = TW_SET(TW_O)}}};
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, "h100"), TW_OK);
    tw_tiling tiling = {.block_m = 4, .block_n = 4, .unit = unit};
    tw_count_result result;
    return tw_count(&result, &schedule, &problem, &tiling, &m);
}

#define BLOCK(name) static void name(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
#define UNUSED      (void)p, (void)t, (void)b

/* ---- one schedule for each rule ------------------------------------------------------------------------- */

BLOCK(keeps_all_rules)
{
    UNUSED;
    tw_slot o = zeros(e, b.i), q = load(e, TW_Q, b, b.i);
    tw_row_stats st = row_stats(e, b.i);
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        tw_slot k = load(e, TW_K, b, kv.tile), v = load(e, TW_V, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k);
        online_softmax(e, s, st);
        rescale(e, o, st);
        convert_for_unit(e, s);
        matmul_add(e, o, s, v);
        release(e, k), release(e, v), release(e, s);
    }
    normalize(e, o, st);
    store(e, TW_O, b, o);
    release(e, q), release(e, o), release_stats(e, st);
}

BLOCK(leaks)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), s = matmul_nt(e, q, k);
    release(e, q), release(e, k);
    (void)s;
}

BLOCK(loads_in_vain)
{
    UNUSED;
    release(e, load(e, TW_V, b, b.j));
}

BLOCK(uses_after_release)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j);
    release(e, matmul_nt(e, q, k));
    release(e, q);
    release(e, q);
}

BLOCK(forgets_rescale)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        tw_slot k = load(e, TW_K, b, kv.tile), v = load(e, TW_V, b, kv.tile), s = matmul_nt(e, q, k);
        online_softmax(e, s, st);
        matmul_add(e, o, s, v);
        release(e, k), release(e, v), release(e, s);
    }
}

BLOCK(touches_undeclared)
{
    UNUSED;
    release(e, load(e, TW_L, b, b.i));
}

BLOCK(writes_undeclared)
{
    UNUSED;
    store(e, TW_LSE, b, row_stats(e, b.i).m);
}

BLOCK(stores_sums)
{
    UNUSED;
    store(e, TW_O, b, zeros(e, b.i));
}

BLOCK(multiplies_scores)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), v = load(e, TW_V, b, b.j);
    matmul_add(e, zeros(e, b.i), matmul_nt(e, q, k), v);
}

BLOCK(multiplies_k_by_q)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j);
    matmul_nt(e, k, q);
}

BLOCK(forgets_conversion)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), v = load(e, TW_V, b, b.j),
            s = matmul_nt(e, q, k);
    softmax(e, s, row_stats(e, b.i));
    matmul_add(e, zeros(e, b.i), s, v);
}

BLOCK(mixes_tile_sizes)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), s = matmul_nt(e, q, k);
    softmax(e, s, row_stats(e, b.i));
    for (tw_walk kv = tw_walk_all_keys(e); tw_step(&kv);)
        matmul_add(e, zeros(e, b.i), s, load(e, TW_V, b, kv.tile));
}

BLOCK(overwrites_unread)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), s = matmul_nt(e, q, k);
    tw_row_stats st = row_stats(e, b.i);
    online_softmax(e, s, st);
    tw_slot s2 = matmul_nt(e, q, k);
    online_softmax(e, s2, st); /* the first alpha was never used */
}

BLOCK(scales_scores)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), s = matmul_nt(e, q, k);
    normalize(e, s, row_stats(e, b.i));
}

BLOCK(gives_turns)
{
    UNUSED;
    tw_slot turn = tw_turn(e);
    for (int i = 0; i < 2; i++) {
        give_turn(e, turn);
        take_turn(e, turn);
    }
    release(e, turn);
}

BLOCK(gives_a_turn_twice)
{
    UNUSED;
    tw_slot turn = tw_turn(e);
    give_turn(e, turn);
    give_turn(e, turn);
}

BLOCK(takes_a_turn_twice)
{
    UNUSED;
    tw_slot turn = tw_turn(e);
    give_turn(e, turn);
    take_turn(e, turn);
    take_turn(e, turn);
}

BLOCK(takes_a_tile_for_a_turn)
{
    UNUSED;
    give_turn(e, zeros(e, b.i));
}

BLOCK(takes_too_many_slots)
{
    UNUSED;
    for (int i = 0; i <= TW_MAX_SLOTS; i++)
        (void)zeros(e, b.i);
}

BLOCK(releases_alpha_unread)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), s = matmul_nt(e, q, k);
    tw_row_stats st = row_stats(e, b.i);
    online_softmax(e, s, st);
    normalize(e, zeros(e, b.i), st);
    release_stats(e, st);
}

BLOCK(takes_softmax_twice)
{
    UNUSED;
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j), s = matmul_nt(e, q, k);
    tw_row_stats st = row_stats(e, b.i);
    softmax(e, s, st);
    online_softmax(e, s, st);
}

BLOCK(uses_what_was_never_made)
{
    UNUSED;
    release(e, (tw_slot){-1});
}

BLOCK(releases_twice)
{
    UNUSED;
    tw_slot o = zeros(e, b.i);
    normalize(e, o, row_stats(e, b.i));
    store(e, TW_O, b, o);
    release(e, o);
    release(e, o);
}

/* The tiles' numbers and bytes are right; only the multiplicity of what follows would be wrong. */
BLOCK(breaks_out_of_a_walk)
{
    UNUSED;
    for (tw_walk kv = tw_walk_all_keys(e); tw_step(&kv);)
        if (kv.is_last)
            break;
}

BLOCK(returns_from_a_walk)
{
    UNUSED;
    for (tw_walk kv = tw_walk_all_keys(e); tw_step(&kv);)
        for (tw_walk queries = tw_walk_queries(e, kv.tile); tw_step(&queries);)
            return;
}

static const struct broken_case {
    void (*block)(tw_emitter *, const tw_problem *, const tw_tiling *, tw_block);
    tw_unit unit;
    const char *said; /* NULL: no complaint */
} broken_cases[] = {
    {keeps_all_rules, TW_UNIT_FMA, NULL},
    {keeps_all_rules, TW_UNIT_TENSOR, NULL},
    {gives_turns, TW_UNIT_FMA, NULL},
    {gives_a_turn_twice, TW_UNIT_FMA, "overwritten although nobody has read it (turn)"},
    {takes_a_turn_twice, TW_UNIT_FMA, "a turn is waited for that nobody gave"},
    {takes_a_tile_for_a_turn, TW_UNIT_FMA, "used as what it is not (it is O, needed is turn)"},
    {leaks, TW_UNIT_FMA, "not released"},
    {loads_in_vain, TW_UNIT_FMA, "released although nobody has read it (V)"},
    {uses_after_release, TW_UNIT_FMA, "released although nobody has read it (S)"},
    {forgets_rescale, TW_UNIT_FMA, "overwritten although nobody has read it (alpha)"},
    {releases_alpha_unread, TW_UNIT_FMA, "released although nobody has read it (alpha)"},
    {touches_undeclared, TW_UNIT_FMA, "does not declare (L)"},
    {writes_undeclared, TW_UNIT_FMA, "does not declare (LSE)"},
    {stores_sums, TW_UNIT_FMA, "before it is normalised (O)"},
    {multiplies_scores, TW_UNIT_FMA, "used as what it is not (it is S, needed is P)"},
    {takes_softmax_twice, TW_UNIT_FMA, "(it is P, needed is S)"},
    {uses_what_was_never_made, TW_UNIT_FMA, "not live (never made)"},
    {releases_twice, TW_UNIT_FMA, "not live (released before)"},
    {breaks_out_of_a_walk, TW_UNIT_FMA, "a walk is left before its end"},
    {returns_from_a_walk, TW_UNIT_FMA, "a walk is left before its end"},
    {multiplies_k_by_q, TW_UNIT_FMA, "used as what it is not"},
    {forgets_conversion, TW_UNIT_TENSOR, "convert_for_unit"},
    {mixes_tile_sizes, TW_UNIT_FMA, "O is 8 x 4, P 8 x 8, V 4 x 4"},
    {overwrites_unread, TW_UNIT_FMA, "overwritten although nobody has read it"},
    {scales_scores, TW_UNIT_FMA, "only O and P"},
    {takes_too_many_slots, TW_UNIT_FMA, "more slots are live"},
};

START_TEST(rules_are_enforced)
{
    const struct broken_case *c = &broken_cases[_i];
    tw_status status = count_block(c->block, c->unit);
    if (!c->said) {
        ck_assert_msg(status == TW_OK, "%s", tw_error_message());
        return;
    }
    ck_assert_int_eq(status, TW_ESCHEDULE);
    ck_assert_msg(strstr(tw_error_message(), c->said) != NULL, "said: %s", tw_error_message());
}
END_TEST

/* ---- walks ---------------------------------------------------------------------------------------------- */

/* Rows that a walk over keys covers for query tile (row0, rows), visited singly or with equals together. */
typedef struct coverage {
    int64_t keys, tiles, visits, first_flags, last_flags;
} coverage;

static coverage walk_all(bool merges, const tw_problem *p, const tw_tiling *t, tw_tile rows,
                         bool over_queries)
{
    const tw_backend backend = {.merges = merges};
    tw_emitter e = {.problem = p, .tiling = t, .backend = &backend, .times = 3};
    coverage c = {0, 0, 0, 0, 0};
    int64_t expected_row0 = -1;
    for (tw_walk w = over_queries ? tw_walk_queries(&e, rows) : tw_walk_keys(&e, rows); tw_step(&w);) {
        if (expected_row0 >= 0)
            ck_assert_int_eq(w.tile.row0, expected_row0); /* no gap, no overlap */
        expected_row0 = w.tile.row0 + w.tile.rows * w.tile.run;
        ck_assert_int_eq(e.times, 3 * w.tile.run);
        c.keys += w.tile.rows * w.tile.run;
        c.tiles += w.tile.run;
        c.visits++;
        c.first_flags += w.is_first;
        c.last_flags += w.is_last;
    }
    ck_assert_int_eq(e.times, 3);
    return c;
}

START_TEST(merged_walks_cover_the_same)
{
    const int lengths[] = {1, 2, 31, 64, 97, 200};
    for (int q = 0; q < 6; q++)
        for (int k = 0; k < 6; k++)
            for (int block = 1; block <= 64; block *= 4)
                for (int variant = 0; variant < 4; variant++) {
                    tw_problem p = problem;
                    p.seqlen_q = lengths[q], p.seqlen_k = lengths[k], p.causal = variant % 2;
                    tw_tiling t = {.block_m = 17, .block_n = block};
                    bool over_queries = variant / 2;
                    int axis = over_queries ? p.seqlen_k : p.seqlen_q;
                    for (int row0 = 0; row0 < axis; row0 += 5) {
                        tw_tile rows = {.row0 = row0, .rows = axis - row0 < 5 ? axis - row0 : 5, .run = 1};
                        coverage one = walk_all(false, &p, &t, rows, over_queries);
                        coverage many = walk_all(true, &p, &t, rows, over_queries);
                        ck_assert_int_eq(one.keys, many.keys);
                        ck_assert_int_eq(one.tiles, many.tiles);
                        ck_assert_int_eq(one.visits, one.tiles);
                        ck_assert_int_eq(one.first_flags, one.tiles > 0);
                        ck_assert_int_eq(many.first_flags, many.tiles > 0);
                        ck_assert_int_eq(many.last_flags, many.tiles > 0);
                    }
                }
}
END_TEST

START_TEST(long_walks_are_short)
{
    tw_problem p = problem;
    p.seqlen_q = p.seqlen_k = 1 << 20;
    tw_tiling t = {.block_m = 128, .block_n = 128};
    tw_tile last = {.row0 = (1 << 20) - 128, .rows = 128, .run = 1};
    ck_assert_int_eq(walk_all(true, &p, &t, last, false).visits, 3);
    p.causal = true;
    ck_assert_int_le(walk_all(true, &p, &t, last, false).visits, 4);
    ck_assert_int_eq(walk_all(true, &p, &t, last, false).tiles, 8192);
}
END_TEST

/* ---- what reaches a back end ---------------------------------------------------------------------------- */

typedef struct seen {
    int loads, agents[4], multicast;
} seen;

static tw_status see(void *self, const tw_emitter *e, const tw_op *op)
{
    (void)e;
    seen *s = self;
    s->agents[op->agent]++;
    if (op->kind == TW_OP_LOAD) {
        s->loads++;
        s->multicast = op->multicast;
    }
    return TW_OK;
}

BLOCK(producer_and_consumer)
{
    UNUSED;
    tw_as_agent(e, 1);
    tw_multicast(e, 2);
    tw_slot q = load(e, TW_Q, b, b.i), k = load(e, TW_K, b, b.j);
    tw_as_agent(e, 2);
    release(e, q), release(e, k);
}

START_TEST(agents_and_multicast_are_passed_on)
{
    const tw_schedule schedule = {
        .name = "test",
        .num_launches = 1,
        .launches = {{.name = "only", .block = producer_and_consumer, .reads = TW_SET(TW_Q) | TW_SET(TW_K)}}};
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, "h100"), TW_OK);
    tw_tiling tiling = {.block_m = 4, .block_n = 4};
    const tw_backend backend = {.op = see};
    seen s = {0, {0}, 0};
    ck_assert_int_eq(tw_emit(&schedule, &problem, &tiling, &m, &backend, &s), TW_ESCHEDULE); /* Q unread */
    ck_assert_int_eq(s.loads, 2);
    ck_assert_int_eq(s.agents[1], 2);
    ck_assert_int_eq(s.multicast, 2);
}
END_TEST

START_TEST(names_and_registry)
{
    ck_assert_str_eq(tw_tensor_name(TW_LSE), "LSE");
    ck_assert_str_eq(tw_tensor_name(TW_L), "L");
    ck_assert_str_eq(tw_op_name(TW_OP_LOAD), "load");
    ck_assert_str_eq(tw_op_name(TW_OP_RELEASE), "release");
    const tw_schedule *schedule = NULL;
    ck_assert_int_eq(tw_schedule_find(&schedule, "fa1"), TW_OK);
    ck_assert_str_eq(schedule->name, "flash1");
    ck_assert_int_eq(tw_schedule_find(&schedule, "fa2"), TW_OK);
    ck_assert_str_eq(schedule->name, "flash2");
    ck_assert_int_eq(tw_schedule_find(&schedule, "flash9"), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "'flash9'"));
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "standard_tiled"));
    ck_assert_str_eq(schedule->name, "flash2");
    ck_assert_ptr_null(tw_schedule_at(-1));
    ck_assert_ptr_null(tw_schedule_at(tw_schedule_count()));
}
END_TEST

Suite *tw_suite_sim_tile_ops(void)
{
    Suite *suite = suite_create("sim_tile_ops");
    TCase *core = tcase_create("core");
    tcase_add_test(core, merged_walks_cover_the_same);
    tcase_add_test(core, long_walks_are_short);
    tcase_add_test(core, agents_and_multicast_are_passed_on);
    tcase_add_test(core, names_and_registry);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, rules_are_enforced, 0, (int)(sizeof broken_cases / sizeof broken_cases[0]));
    suite_add_tcase(suite, errors);
    return suite;
}
