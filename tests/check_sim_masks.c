/* Schedules under every mask, score modification, head layout and packing: executed they are attention, and what is
 * executed is what was counted. */
#include "../cpu_ref/attention.h"
#include "../sim/backend_count.h"
#include "../sim/backend_numeric.h"
#include "../sim/bounds.h"
#include "../sim/schedules/registry.h"
#include "mask_cases.h"
#include "support_shapes.h"

#include <check.h>
#include <math.h>

Suite *tw_suite_sim_masks(void);

/* ---- tensors -------------------------------------------------------------------------------------------- */

typedef struct tensors {
    double *q, *k, *v, *o, *lse, *gold, *gold_lse;
    size_t num_o, num_lse;
} tensors;

static double *numbers(size_t n, uint64_t stream)
{
    double *x = malloc((n + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 11, stream);
    return x;
}

static tensors make_tensors(const tw_problem *p)
{
    tensors t = {.num_o = tw_problem_o_elements(p), .num_lse = tw_problem_lse_elements(p)};
    t.q = numbers(tw_problem_q_elements(p), 0), t.k = numbers(tw_problem_k_elements(p), 1);
    t.v = p->v_in_k ? t.k : numbers(tw_problem_v_elements(p), 2);
    t.o = numbers(t.num_o, 3), t.lse = numbers(t.num_lse, 4);
    t.gold = numbers(t.num_o, 5), t.gold_lse = numbers(t.num_lse, 6);
    ck_assert_msg(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v) == TW_OK, "%s", tw_error_message());
    return t;
}

static void free_tensors(tensors *t)
{
    if (t->v != t->k)
        free(t->v);
    free(t->q), free(t->k), free(t->o), free(t->lse), free(t->gold), free(t->gold_lse);
}

/* ---- three truths: gold = executed, counted = executed -------------------------------------------------- */

static void check_schedule(const tw_schedule *schedule, const tw_problem *p, tw_tiling tiling,
                           const tw_machine *m, tensors *t, const char *what)
{
    tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    tw_numeric_stats executed;
    tw_count_result counted;
    ck_assert_msg(
        tw_numeric_run(t->o, t->lse, &executed, schedule, p, &tiling, m, t->q, t->k, t->v, &exact) == TW_OK,
        "%s, %s: %s", schedule->name, what, tw_error_message());
    tw_error_metrics o = tw_error_of(t->o, t->gold, t->num_o),
                     lse = tw_error_of(t->lse, t->gold_lse, t->num_lse);
    ck_assert_msg(o.num_nan == 0 && o.max_abs_error <= 1e-11, "%s, %s: O differs by %g", schedule->name, what,
                  o.max_abs_error);
    if (schedule->writes_lse)
        ck_assert_msg(lse.num_nan == 0 && lse.max_abs_error <= 1e-10, "%s, %s: LSE differs by %g",
                      schedule->name, what, lse.max_abs_error);
    ck_assert_int_eq(tw_count(&counted, schedule, p, &tiling, m), TW_OK);
    executed.sram_fill_bytes -= executed.recomputed_fill_bytes; /* of which no count knows */
    ck_assert_msg(executed.sram_fill_bytes == counted.total.sram_fill_bytes &&
                      executed.sram_drain_bytes == counted.total.sram_drain_bytes,
                  "%s, %s: executed %lld + %lld bytes, counted %lld + %lld", schedule->name, what,
                  (long long)executed.sram_fill_bytes, (long long)executed.sram_drain_bytes,
                  (long long)counted.total.sram_fill_bytes, (long long)counted.total.sram_drain_bytes);
    ck_assert_msg(counted.total.flops == tw_problem_flops(p), "%s, %s: %lld FLOPs, not %lld", schedule->name,
                  what, (long long)counted.total.flops, (long long)tw_problem_flops(p));
    int64_t fill, drain;
    if (tw_closed_form_bytes(&fill, &drain, schedule->name, p, &tiling, m) == TW_OK)
        ck_assert_msg(fill == counted.total.sram_fill_bytes && drain == counted.total.sram_drain_bytes,
                      "%s, %s: counted %lld + %lld bytes, closed form %lld + %lld", schedule->name, what,
                      (long long)counted.total.sram_fill_bytes, (long long)counted.total.sram_drain_bytes,
                      (long long)fill, (long long)drain);
    ck_assert_int_ge(counted.total.flops_executed, counted.total.flops);
    ck_assert_int_le(counted.total.hbm_read_bytes, counted.total.sram_fill_bytes);
    ck_assert_int_le(counted.total.hbm_write_bytes, counted.total.sram_drain_bytes);
}

static void check_all_schedules(const tw_problem *p, const char *what)
{
    static const tw_tiling tilings[] = {{.block_m = 4, .block_n = 5}, {.block_m = 16, .block_n = 2}};
    const tw_machine m = tw_machine_named("h100");
    tensors t = make_tensors(p);
    for (int s = 0; s < tw_schedule_count(); s++)
        for (int i = 0; i < 2; i++)
            if (tw_honours_check(tw_schedule_at(s), p) == TW_OK)
                check_schedule(tw_schedule_at(s), p, tilings[i], &m, &t, what);
    free_tensors(&t);
}

static const struct {
    int batch, heads, heads_kv, seqlen_q, seqlen_k;
} shapes[] = {{1, 2, 2, 23, 23}, {2, 4, 2, 9, 31}, {1, 3, 1, 31, 9}, {1, 2, 1, 1, 29}};
enum { NUM_SHAPES = sizeof shapes / sizeof shapes[0] };

static tw_problem problem_of(int i)
{
    return (tw_problem){.batch = shapes[i].batch,
                        .num_heads = shapes[i].heads,
                        .num_heads_kv = shapes[i].heads_kv,
                        .seqlen_q = shapes[i].seqlen_q,
                        .seqlen_k = shapes[i].seqlen_k,
                        .head_dim = 6,
                        .dtype = TW_FP32};
}

START_TEST(every_mask)
{
    const mask_case *c = &mask_cases[_i / NUM_SHAPES];
    tw_problem p = problem_of(_i % NUM_SHAPES);
    mask_arrays arrays = mask_case_apply(&p, c);
    check_all_schedules(&p, c->name);
    mask_arrays_free(&arrays);
}
END_TEST

/* ---- scores --------------------------------------------------------------------------------------------- */

static double distance_squared(void *user, double score, int batch, int head, int row, int key)
{
    (void)user;
    return score - 0.01 * (batch + 1) * (head + 1) * (row - key) * (row - key);
}

static const double sinks[] = {0.3, -1.5, 2.0, 0.0}, slopes[] = {0.5, 0.25, 0.1, 0.7};

static const struct {
    const char *name;
    tw_score_mods scoring;
    int bias; /* 1: one for all; 2: per head; 3: per head and batch element */
} score_cases[] = {
    {"soft cap", {.softcap = 1.5}, 0},
    {"ALiBi", {.alibi = true}, 0},
    {"ALiBi's slopes", {.alibi = true, .alibi_slopes = slopes}, 0},
    {"bias", {.softcap = 0.0}, 1},
    {"bias per head", {.softcap = 0.0}, 2},
    {"bias per batch element", {.softcap = 0.0}, 3},
    {"callback", {.mod = distance_squared, .mod_flops = 5}, 0},
    {"sink logits", {.sink_logits = sinks}, 0},
    {"all", {.softcap = 2.0, .alibi = true, .mod = distance_squared, .sink_logits = sinks}, 3},
};
enum { NUM_SCORES = sizeof score_cases / sizeof score_cases[0] };

START_TEST(every_score_modification)
{
    tw_problem p = problem_of(_i % NUM_SHAPES);
    p.scoring = score_cases[_i / NUM_SHAPES].scoring;
    int kind = score_cases[_i / NUM_SHAPES].bias;
    double *bias = numbers((size_t)(p.batch * p.num_heads * p.seqlen_q * p.seqlen_k), 7);
    if (kind > 0)
        p.scoring.bias = bias;
    p.scoring.bias_per_head = kind >= 2;
    p.scoring.bias_per_batch = kind >= 3;
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        check_all_schedules(&p, score_cases[_i / NUM_SHAPES].name);
    }
    free(bias);
}
END_TEST

/* ---- widths, heads, packed sequences -------------------------------------------------------------------- */

START_TEST(widths)
{
    tw_problem p = problem_of(_i % NUM_SHAPES);
    for (int width = 1; width <= 11; width += 5) {
        p.head_dim_v = width;
        check_all_schedules(&p, "head_dim_v");
    }
    p.num_heads_kv = 1;
    p.v_in_k = true;
    for (p.head_dim_v = 2; p.head_dim_v <= 6; p.head_dim_v += 4)
        for (int causal = 0; causal < 2; causal++) {
            p.causal = causal;
            check_all_schedules(&p, "V in K");
        }
}
END_TEST

static const int odd_heads[][2] = {{12, 4}, {25, 5}, {33, 11}, {52, 13}, {25, 1}};

START_TEST(odd_head_counts)
{
    tw_problem p = problem_of(0);
    p.num_heads = odd_heads[_i][0], p.num_heads_kv = odd_heads[_i][1];
    p.seqlen_q = 5, p.seqlen_k = 13;
    p.causal = true;
    check_all_schedules(&p, "odd heads");
    p.scoring.alibi = true;
    check_all_schedules(&p, "odd heads with ALiBi");
}
END_TEST

static const int cu_q[] = {0, 7, 8, 8, 22, 29}, cu_k[] = {0, 7, 20, 24, 24, 31}; /* no queries; no keys */

START_TEST(packed_sequences)
{
    const mask_case *c = &mask_cases[_i];
    if (c->document > 0 || c->block_rows > 0)
        return; /* refused beside packed sequences */
    tw_problem p = problem_of(1);
    p.batch = 5, p.seqlen_q = 14, p.seqlen_k = 13;
    p.cu_seqlens_q = cu_q, p.cu_seqlens_k = cu_k;
    mask_arrays arrays = mask_case_apply(&p, c);
    check_all_schedules(&p, c->name);
    p.scoring.sink_logits = sinks;
    p.scoring.alibi = true;
    check_all_schedules(&p, "packed, with sink logits and ALiBi");
    mask_arrays_free(&arrays);
}
END_TEST

/* ---- closed forms by name ------------------------------------------------------------------------------- */

static void check_closed_form(const char *name, const tw_problem *p, tw_tiling tiling)
{
    const tw_schedule *schedule;
    const tw_machine m = tw_machine_named("h100");
    tw_count_result counted;
    int64_t fill, drain;
    ck_assert_int_eq(tw_schedule_find(&schedule, name), TW_OK);
    tw_schedule_default_tiling(schedule, &tiling, p, &m);
    ck_assert_msg(tw_count(&counted, schedule, p, &tiling, &m) == TW_OK, "%s", tw_error_message());
    ck_assert_msg(tw_closed_form_bytes(&fill, &drain, name, p, &tiling, &m) == TW_OK, "%s",
                  tw_error_message());
    ck_assert_int_eq(counted.total.sram_fill_bytes, fill);
    ck_assert_int_eq(counted.total.sram_drain_bytes, drain);
    ck_assert_int_eq(counted.total.flops, tw_problem_flops(p));
}

/* A window of Mistral's, sinks of StreamingLLM's, a prefix, at lengths of models. */
static const struct {
    const char *schedule;
    int seqlen_q, seqlen_k;
    tw_masks mask;
    bool causal;
} long_masks[] = {
    {"flash2", 32768, 32768, {.window = true, .window_left = 4096, .window_right = 0}, false},
    {"flash2", 16384, 16384, {.window = true, .window_left = 1020, .window_right = 0, .sinks = 4}, false},
    {"flash2", 8000, 8000, {.prefix = 1000}, true},
    {"flash2", 1, 100000, {.window = true, .window_left = 1020, .window_right = 0, .sinks = 4}, false},
    {"flash1", 5000, 5000, {.window = true, .window_left = 256, .window_right = 256}, false},
    {"flash1", 3001, 5003, {.window = true, .window_left = 700, .window_right = 0}, false},
    {"flash1", 5003, 3001, {.window = true, .window_left = 100, .window_right = 50}, false},
    {"flex", 5000, 5000, {.window = true, .window_left = 256, .window_right = 256}, false},
    {"flex", 4096, 4096, {.window = true, .window_left = 1000, .window_right = -1}, false},
    {"flex", 777, 4095, {.prefix = 300}, true},
    {"gqa_packed", 1, 8191, {.window = false}, true},
    {"gqa_packed", 5, 4097, {.window = true, .window_left = 1024, .window_right = 0}, false},
    {"gqa_packed", 1000, 1000, {.sinks = 4, .window = true, .window_left = 100, .window_right = 0}, false},
};

START_TEST(long_masks_have_closed_forms)
{
    tw_problem p = {.batch = 2,
                    .num_heads = 25,
                    .num_heads_kv = 5,
                    .seqlen_q = long_masks[_i].seqlen_q,
                    .seqlen_k = long_masks[_i].seqlen_k,
                    .head_dim = 64,
                    .head_dim_v = 128,
                    .dtype = TW_FP16,
                    .causal = long_masks[_i].causal,
                    .mask = long_masks[_i].mask};
    check_closed_form(long_masks[_i].schedule, &p, (tw_tiling){.block_m = 64, .block_n = 96});
}
END_TEST

/* DeepSeek's latent: 128 heads, K of 576 columns, V the first 512 of them. */
static const int latent_shapes[][3] = {{1, 4096, 4}, {1, 10000, 1}, {2, 777, 3}, {300, 300, 1}};

START_TEST(latent_attention_has_a_closed_form)
{
    tw_problem p = {.batch = latent_shapes[_i][2],
                    .num_heads = 128,
                    .num_heads_kv = 1,
                    .seqlen_q = latent_shapes[_i][0],
                    .seqlen_k = latent_shapes[_i][1],
                    .head_dim = 576,
                    .head_dim_v = 512,
                    .v_in_k = true,
                    .causal = true,
                    .dtype = TW_BF16};
    check_closed_form("mla", &p, (tw_tiling){.block_m = 0});
    /* V is not loaded: each tile of packed rows saves 512 of 576 + 512 columns. */
    tw_tiling t = {.block_m = 64, .block_n = 64};
    int64_t mla, packed, drain;
    const tw_machine m = tw_machine_named("h100");
    ck_assert_int_eq(tw_closed_form_bytes(&mla, &drain, "mla", &p, &t, &m), TW_OK);
    ck_assert_int_eq(tw_closed_form_bytes(&packed, &drain, "gqa_packed", &p, &t, &m), TW_OK);
    int64_t q = (int64_t)p.batch * p.seqlen_q * 128 * 576 * 2;
    ck_assert_int_eq((mla - q) * (576 + 512), (packed - q) * 576);
}
END_TEST

/* Proposition 4 of FlashAttention: the traffic of K and V, and of Q and O, is that of the dense algorithm times the share s. */
static const struct {
    const char *schedule;
    int seqlen, block_m, block_n;
} block_shapes[] = {{"flash1", 512, 64, 128}, {"flash1", 1000, 48, 56}, {"flash1", 77, 8, 16},
                    {"flash2", 512, 64, 128}, {"flash2", 1000, 48, 56}, {"flash2", 77, 8, 16},
                    {"flex", 512, 64, 128},   {"flex", 1000, 48, 56},   {"flex", 77, 8, 16}};

START_TEST(block_masks_have_closed_forms)
{
    const mask_case c = {.block_rows = block_shapes[_i].block_m, .block_keys = block_shapes[_i].block_n};
    tw_problem p = {.batch = 1,
                    .num_heads = 3,
                    .num_heads_kv = 3,
                    .seqlen_q = block_shapes[_i].seqlen,
                    .seqlen_k = block_shapes[_i].seqlen,
                    .head_dim = 64,
                    .dtype = TW_FP16};
    mask_arrays arrays = mask_case_apply(&p, &c);
    check_closed_form(block_shapes[_i].schedule, &p,
                      (tw_tiling){.block_m = block_shapes[_i].block_m, .block_n = block_shapes[_i].block_n});
    mask_arrays_free(&arrays);
}
END_TEST

/* Masks of runs cost no more to count than causal does. */
START_TEST(a_million_tokens)
{
    static const tw_masks masks[] = {{.window = true, .window_left = 4096, .window_right = 0},
                                     {.window = true, .window_left = 4096, .window_right = 0, .sinks = 4},
                                     {.window = true, .window_left = 1 << 19, .window_right = 77},
                                     {.prefix = 5000}};
    tw_problem p = {.batch = 1,
                    .num_heads = 32,
                    .num_heads_kv = 8,
                    .seqlen_q = 1 << 20,
                    .seqlen_k = 1 << 20,
                    .head_dim = 128,
                    .dtype = TW_FP16,
                    .causal = masks[_i].prefix > 0,
                    .mask = masks[_i]};
    check_closed_form("flash2", &p, (tw_tiling){.block_m = 128, .block_n = 128});
    if (masks[_i].window && masks[_i].sinks == 0)
        check_closed_form("flash1", &p, (tw_tiling){.block_m = 128, .block_n = 128});
}
END_TEST

/* ---- what moves once ------------------------------------------------------------------------------------ */

/* Behind an L2 a decoding query with sinks and a window reads those keys, and none of the many in between. */
START_TEST(compulsory_traffic_is_what_is_touched)
{
    tw_problem p = {.batch = 3,
                    .num_heads = 8,
                    .num_heads_kv = 2,
                    .seqlen_q = 1,
                    .seqlen_k = 100000,
                    .head_dim = 64,
                    .dtype = TW_FP16,
                    .mask = {.window = true, .window_left = 999, .window_right = 0, .sinks = 4}};
    const tw_machine m = tw_machine_named("h100");
    tw_tiling t = {.block_m = 16, .block_n = 100};
    tw_count_result counted;
    ck_assert_int_eq(tw_count(&counted, &tw_schedule_flash2, &p, &t, &m), TW_OK);
    int64_t keys = 100 + 1000, q = 3 * 8 * 64 * 2;
    ck_assert_int_eq(counted.total.hbm_read_bytes, q + 3 * 2 * keys * 2 * 64 * 2);
    ck_assert_int_eq(counted.total.sram_fill_bytes, q + 3 * 8 * keys * 2 * 64 * 2);
    p.head_dim_v = 32;
    p.v_in_k = true; /* V lies in K and is read with it */
    ck_assert_int_eq(tw_count(&counted, &tw_schedule_flash2, &p, &t, &m), TW_OK);
    ck_assert_int_eq(counted.total.hbm_read_bytes, q + 3 * 2 * keys * 64 * 2);
    ck_assert_int_eq(counted.total.sram_fill_bytes, q + 3 * 8 * keys * (64 + 32) * 2);
}
END_TEST

START_TEST(lists_and_biases_are_shared)
{
    const mask_case c = {.block_rows = 16, .block_keys = 16};
    tw_problem p = {.batch = 2,
                    .num_heads = 4,
                    .num_heads_kv = 4,
                    .seqlen_q = 64,
                    .seqlen_k = 64,
                    .head_dim = 8,
                    .dtype = TW_FP16};
    const tw_machine m = tw_machine_named("h100");
    tw_tiling t = {.block_m = 16, .block_n = 16};
    tw_count_result plain, counted;
    mask_arrays arrays = mask_case_apply(&p, &c);
    ck_assert_int_eq(tw_count(&plain, &tw_schedule_flash2, &p, &t, &m), TW_OK);
    int64_t lists = 4 * (4 * 2 + 8); /* half of 16 blocks are on */
    ck_assert_int_eq(plain.total.hbm_read_bytes, lists + 3 * 2 * 4 * 64 * 8 * 2);
    double *bias = numbers((size_t)(2 * 4 * 64 * 64), 3);
    p.scoring.bias = bias; /* of the blocks that are on, one for all heads and batch elements */
    ck_assert_int_eq(tw_count(&counted, &tw_schedule_flash2, &p, &t, &m), TW_OK);
    ck_assert_int_eq(counted.total.hbm_read_bytes - plain.total.hbm_read_bytes, 8 * 16 * 16 * 2);
    ck_assert_int_eq(counted.total.sram_fill_bytes - plain.total.sram_fill_bytes, 8 * 8 * 16 * 16 * 2);
    p.scoring.bias_per_head = true;
    ck_assert_int_eq(tw_count(&counted, &tw_schedule_flash2, &p, &t, &m), TW_OK);
    ck_assert_int_eq(counted.total.hbm_read_bytes - plain.total.hbm_read_bytes, 4 * 8 * 16 * 16 * 2);
    ck_assert_int_eq(counted.total.score_flops, 8 * 8 * 16 * 16);
    free(bias);
    mask_arrays_free(&arrays);
}
END_TEST

/* What a schedule does not do it refuses by name. */
START_TEST(what_is_not_honoured_is_refused)
{
    static const struct {
        unsigned honours;
        const char *says;
    } refusals[] = {{TW_HONOURS_ALL & ~TW_HONOURS_RUNS, "window"},
                    {TW_HONOURS_ALL & ~TW_HONOURS_LISTS, "block mask"},
                    {TW_HONOURS_ALL & ~TW_HONOURS_SCORES, "scores"},
                    {TW_HONOURS_ALL & ~TW_HONOURS_WIDTHS, "width"}};
    const mask_case c = {.window = true, .left = 3, .block_rows = 2, .block_keys = 2};
    tw_problem p = problem_of(0);
    mask_arrays arrays = mask_case_apply(&p, &c);
    p.scoring.softcap = 3.0;
    p.head_dim_v = 2;
    const tw_machine m = tw_machine_named("h100");
    tw_count_result counted;
    tw_tiling tiling = {.block_m = 4, .block_n = 4};
    for (int i = 0; i < 4; i++) {
        tw_schedule schedule = tw_schedule_flash2;
        schedule.honours = refusals[i].honours;
        ck_assert_int_eq(tw_count(&counted, &schedule, &p, &tiling, &m), TW_EUNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(tw_error_message(), "flash2 does not do"));
        ck_assert_ptr_nonnull(strstr(tw_error_message(), refusals[i].says));
    }
    p.v_in_k = false;
    ck_assert_int_eq(tw_count(&counted, &tw_schedule_mla, &p, &tiling, &m), TW_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "no part of K"));
    mask_arrays_free(&arrays);
}
END_TEST

/* ---- mutations ------------------------------------------------------------------------------------------ */

static bool caught(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *tiling,
                   const tw_machine *m, tensors *t, int64_t drop)
{
    tw_numeric_options options = {.rounding = TW_ROUND_NEVER, .drop_one = true, .drop = drop};
    if (tw_numeric_run(t->o, t->lse, NULL, schedule, p, tiling, m, t->q, t->k, t->v, &options) != TW_OK)
        return true; /* a rule of the tile language was broken */
    tw_error_metrics o = tw_error_of(t->o, t->gold, t->num_o),
                     lse = tw_error_of(t->lse, t->gold_lse, t->num_lse);
    bool lse_differs = schedule->writes_lse && (lse.num_nan > 0 || lse.max_abs_error > 1e-9);
    return o.num_nan > 0 || o.max_abs_error > 1e-9 || lse_differs;
}

/* K grows along the sequence, so that the maximum moves on with every tile and no rescaling is by 1. */
static void grow(const tw_problem *p, tensors *t)
{
    for (size_t i = 0; i < tw_problem_q_elements(p); i++)
        t->q[i] = 0.5 + fabs(t->q[i]);
    for (int j = 0; j < p->seqlen_k; j++)
        for (int c = 0; c < p->head_dim; c++) {
            double *k = &t->k[tw_problem_k_row(p, 0, 0, j) + (size_t)c];
            *k = 0.4 * (j + 2) + 0.1 * *k;
        }
    ck_assert_int_eq(tw_attention_gold(t->gold, t->gold_lse, p, t->q, t->k, t->v), TW_OK);
}

/* Problems in which everything that a stream may hold is there: a list, a bias, sinks, masks on both sides. */
static tw_problem rich_problem(int i, mask_arrays *arrays, const double *bias)
{
    static const mask_case blocks = {.causal = true, .block_rows = 3, .block_keys = 2},
                           window = {.window = true, .left = 4, .right = 1, .sinks = 1};
    tw_problem p = {.batch = 1,
                    .num_heads = 2,
                    .num_heads_kv = 1,
                    .seqlen_q = 13,
                    .seqlen_k = 11,
                    .head_dim = 3,
                    .dtype = TW_FP32};
    *arrays = mask_case_apply(&p, i == 0 ? &blocks : &window);
    if (i == 2) {
        p.v_in_k = true;
        p.head_dim_v = 2;
        return p;
    }
    p.scoring.bias = bias;
    p.scoring.sink_logits = i == 1 ? sinks : NULL;
    return p;
}

START_TEST(every_deletion_is_caught)
{
    const tw_schedule *schedule = tw_schedule_at(_i / 3);
    mask_arrays arrays;
    double *bias = numbers(13 * 11, 8);
    for (int j = 0; j < 13 * 11; j++)
        bias[j] *= 0.1; /* less than K grows by */
    tw_problem p = rich_problem(_i % 3, &arrays, bias);
    tw_tiling tiling = {.block_m = 4, .block_n = 3};
    const tw_machine m = tw_machine_named("h100");
    if (tw_honours_check(schedule, &p) == TW_OK) {
        tensors t = make_tensors(&p);
        grow(&p, &t);
        tw_numeric_stats stats;
        tw_numeric_options whole = {.rounding = TW_ROUND_NEVER};
        ck_assert_int_eq(tw_numeric_run(t.o, t.lse, &stats, schedule, &p, &tiling, &m, t.q, t.k, t.v, &whole),
                         TW_OK);
        ck_assert(!caught(schedule, &p, &tiling, &m, &t, stats.num_ops)); /* nothing is missing */
        for (int64_t drop = 0; drop < stats.num_ops; drop++)
            ck_assert_msg(caught(schedule, &p, &tiling, &m, &t, drop), "%s without operation %lld passes",
                          schedule->name, (long long)drop);
        free_tensors(&t);
    }
    free(bias);
    mask_arrays_free(&arrays);
}
END_TEST

Suite *tw_suite_sim_masks(void)
{
    Suite *suite = suite_create("sim_masks");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, every_mask, 0, NUM_MASK_CASES * NUM_SHAPES);
    tcase_add_loop_test(core, every_score_modification, 0, NUM_SCORES * NUM_SHAPES);
    tcase_add_loop_test(core, widths, 0, NUM_SHAPES);
    tcase_add_loop_test(core, odd_head_counts, 0, (int)(sizeof odd_heads / sizeof odd_heads[0]));
    tcase_add_loop_test(core, packed_sequences, 0, NUM_MASK_CASES);
    suite_add_tcase(suite, core);
    TCase *counts = tcase_create("counts");
    tcase_set_timeout(counts, 60);
    tcase_add_loop_test(counts, long_masks_have_closed_forms, 0,
                        (int)(sizeof long_masks / sizeof long_masks[0]));
    tcase_add_loop_test(counts, latent_attention_has_a_closed_form, 0, 4);
    tcase_add_loop_test(counts, block_masks_have_closed_forms, 0, 9);
    tcase_add_loop_test(counts, a_million_tokens, 0, 4);
    tcase_add_test(counts, compulsory_traffic_is_what_is_touched);
    tcase_add_test(counts, lists_and_biases_are_shared);
    tcase_add_test(counts, what_is_not_honoured_is_refused);
    suite_add_tcase(suite, counts);
    TCase *mutation = tcase_create("mutation");
    tcase_set_timeout(mutation, 300);
    tcase_add_loop_test(mutation, every_deletion_is_caught, 0, 3 * tw_schedule_count());
    suite_add_tcase(suite, mutation);
    return suite;
}
