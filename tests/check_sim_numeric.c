/* Every schedule, executed, is attention: against gold on a table of shapes, and broken by any missing operation. */
#include "../cpu_ref/attention.h"
#include "../sim/backend_numeric.h"
#include "../sim/schedules/registry.h"
#include "support_shapes.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

Suite *tw_suite_sim_numeric(void);

/* Tensors of one problem, and what gold makes of them. */
typedef struct tensors {
    double *q, *k, *v, *o, *lse, *gold, *gold_lse;
    size_t num_o, num_lse;
} tensors;

static double *numbers(size_t n)
{
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* Random normal numbers, Q and K scaled so that scores reach about ±score_size, rounded to the problem's dtype. */
static tensors make_tensors(const tw_problem *p, double score_size)
{
    size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p), nl = tw_problem_lse_elements(p);
    tensors t = {.q = numbers(nq),
                 .k = numbers(nk),
                 .v = numbers(nk),
                 .o = numbers(nq),
                 .lse = numbers(nl),
                 .gold = numbers(nq),
                 .gold_lse = numbers(nl),
                 .num_o = nq,
                 .num_lse = nl};
    tw_random_normal(t.q, nq, 7, 0);
    tw_random_normal(t.k, nk, 7, 1);
    tw_random_normal(t.v, nk, 7, 2);
    for (size_t i = 0; i < nq; i++)
        t.q[i] = tw_dtype_round(p->dtype, t.q[i] * score_size);
    for (size_t i = 0; i < nk; i++) {
        t.k[i] = tw_dtype_round(p->dtype, t.k[i]);
        t.v[i] = tw_dtype_round(p->dtype, t.v[i]);
    }
    ck_assert_int_eq(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v), TW_OK);
    return t;
}

static void free_tensors(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->o), free(t->lse), free(t->gold), free(t->gold_lse);
}

/* ---- equals gold ---------------------------------------------------------------------------------------- */

static const tw_shape_case shapes[] = {
    {1, 1, 1, 1, 1, 16, false, 1, 128, 128},     {1, 1, 1, 1, 1, 16, true, 1, 1, 1},
    {2, 2, 2, 2, 2, 40, false, 1, 1, 2},         {1, 2, 1, 31, 31, 64, false, 1, 16, 16},
    {1, 2, 2, 31, 31, 64, true, 1, 16, 16},      {1, 2, 1, 97, 97, 128, true, 1, 32, 16},
    {1, 1, 1, 97, 97, 128, false, 1, 128, 64},   {1, 1, 1, 128, 128, 64, true, 1, 64, 64},
    {1, 1, 1, 128, 128, 64, false, 1, 32, 128},  {1, 2, 1, 300, 300, 40, true, 1, 128, 128},
    {1, 1, 1, 300, 300, 128, false, 1, 64, 96},  {1, 4, 2, 97, 300, 16, true, 1, 64, 32},
    {2, 4, 2, 300, 97, 16, true, 1, 64, 32},     {1, 4, 4, 97, 300, 16, false, 1, 64, 32},
    {1, 6, 2, 31, 2, 40, true, 1, 4, 3},         {1, 6, 1, 2, 31, 40, true, 1, 1, 7},
    {1, 3, 3, 128, 1, 64, true, 1, 16, 16},      {1, 2, 2, 1, 300, 128, true, 1, 128, 37},
    {1, 1, 1, 97, 97, 64, false, 1e4, 16, 16},   {1, 2, 1, 97, 97, 64, true, 1e4, 32, 8},
    {1, 1, 1, 128, 300, 128, true, 3e3, 64, 48}, {1, 1, 1, 300, 128, 40, true, 1e4, 1, 128},
    {1, 1, 1, 31, 97, 16, true, 1, 1, 1},        {1, 1, 1, 5, 3, 16, false, 1, 2, 2},
};
#define NUM_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

START_TEST(exact_run_equals_gold)
{
    const tw_shape_case *c = &shapes[_i];
    tw_problem p = tw_shape_problem(c, TW_FP32);
    tensors t = make_tensors(&p, c->score_size);
    tw_machine h100 = tw_machine_named("h100");
    tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < tw_schedule_count(); s++) {
        tw_tiling tiling = {.block_m = c->block_m, .block_n = c->block_n, .block_d = 24};
        const tw_schedule *schedule = tw_schedule_at(s);
        if (tw_honours_check(schedule, &p) != TW_OK)
            continue;
        ck_assert_msg(tw_numeric_run(t.o, t.lse, NULL, schedule, &p, &tiling, &h100, t.q, t.k, t.v, &exact) ==
                          TW_OK,
                      "%s: %s", schedule->name, tw_error_message());
        tw_error_metrics o = tw_error_of(t.o, t.gold, t.num_o),
                         lse = tw_error_of(t.lse, t.gold_lse, t.num_lse);
        ck_assert_uint_eq(o.num_nan, 0);
        ck_assert_msg(o.max_abs_error <= 1e-11, "%s, shape %d: O differs by %g", schedule->name, _i,
                      o.max_abs_error);
        if (schedule->writes_lse) {
            ck_assert_uint_eq(lse.num_nan, 0);
            ck_assert_msg(lse.max_abs_error <= 1e-9, "%s, shape %d: LSE differs by %g", schedule->name, _i,
                          lse.max_abs_error);
        } else {
            ck_assert_uint_eq(lse.num_nan, t.num_lse);
        }
    }
    free_tensors(&t);
}
END_TEST

/* The largest error of standard attention rounded to the problem's dtype: FlashAttention's yardstick. */
static double baseline_error(const tw_problem *p, const tensors *t)
{
    double *row = numbers((size_t)p->head_dim), *scratch = numbers((size_t)p->seqlen_k), worst = 0;
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads; h++)
            for (int i = 0; i < p->seqlen_q; i++) {
                tw_attention_rounded_row(row, p, t->q, t->k, t->v, b, h, i, scratch);
                for (int c = 0; c < p->head_dim; c++)
                    worst = fmax(worst, fabs(row[c] - t->gold[tw_problem_q_row(p, b, h, i) + (size_t)c]));
            }
    free(row), free(scratch);
    return worst;
}

static double largest(const double *x, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++)
        m = fmax(m, fabs(x[i]));
    return m;
}

static bool rounds_every_pass(const tw_schedule *schedule)
{
    return (schedule->initialized & TW_SET(TW_O)) != 0;
}

/* FlashAttention 1 rounds O to the input's type on every pass, not once: half an ulp of the largest each. */
static double later_roundings(const tw_problem *p, const tw_tiling *tiling, const tensors *t)
{
    int passes = (p->seqlen_k + tiling->block_n - 1) / tiling->block_n;
    double half_ulp = p->dtype == TW_FP16 ? 0x1p-11 : 0x1p-8;
    return (passes - 1) * half_ulp * largest(t->gold, t->num_o);
}

START_TEST(rounded_run_is_acceptable)
{
    const tw_shape_case *c = &shapes[_i / 2];
    tw_problem p = tw_shape_problem(c, _i % 2 ? TW_BF16 : TW_FP16);
    if (c->score_size > 1)
        return; /* fp16 scores of 1e4 have errors of several units, in which no two algorithms agree */
    tensors t = make_tensors(&p, 1);
    tw_machine h100 = tw_machine_named("h100");
    double baseline = baseline_error(&p, &t), atol = tw_error_atol(p.dtype, largest(t.gold, t.num_o));
    tw_numeric_options as_gpu = {.rounding = TW_ROUND_AS_GPU};
    for (int s = 0; s < tw_schedule_count(); s++) {
        for (int unit = 0; unit < 2; unit++) {
            tw_tiling tiling = {.block_m = c->block_m, .block_n = c->block_n, .unit = (tw_unit)unit};
            const tw_schedule *schedule = tw_schedule_at(s);
            if (tw_honours_check(schedule, &p) != TW_OK)
                continue;
            ck_assert_int_eq(
                tw_numeric_run(t.o, NULL, NULL, schedule, &p, &tiling, &h100, t.q, t.k, t.v, &as_gpu), TW_OK);
            tw_error_metrics o = tw_error_of(t.o, t.gold, t.num_o);
            double roundings = rounds_every_pass(schedule) ? later_roundings(&p, &tiling, &t) : 0;
            ck_assert_msg(tw_error_acceptable(&o, baseline, atol + roundings),
                          "%s, shape %d: error %g, baseline %g, atol %g", schedule->name, _i / 2,
                          o.max_abs_error, baseline, atol);
            for (size_t i = 0; i < t.num_o; i++)
                ck_assert_double_eq(t.o[i], tw_dtype_round(p.dtype, t.o[i]));
        }
    }
    free_tensors(&t);
}
END_TEST

/* ---- three truths --------------------------------------------------------------------------------------- */

START_TEST(fully_masked_rows_are_zero)
{
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 10,
                    .seqlen_k = 4,
                    .head_dim = 16,
                    .dtype = TW_FP32,
                    .causal = true};
    tensors t = make_tensors(&p, 1);
    tw_machine h100 = tw_machine_named("h100");
    tw_tiling tiling = {.block_m = 4, .block_n = 4};
    tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *schedule = tw_schedule_at(s);
        if (tw_honours_check(schedule, &p) != TW_OK)
            continue;
        ck_assert_int_eq(
            tw_numeric_run(t.o, t.lse, NULL, schedule, &p, &tiling, &h100, t.q, t.k, t.v, &exact), TW_OK);
        for (int i = 0; i < 6; i++) { /* row 6 is the first that sees a key */
            for (int c = 0; c < 16; c++)
                ck_assert_double_eq(t.o[i * 16 + c], 0.0);
            if (schedule->writes_lse)
                ck_assert_double_eq(t.lse[i], -INFINITY);
        }
    }
    free_tensors(&t);
}
END_TEST

/* ---- mutations ------------------------------------------------------------------------------------------ */

/* K grows along the sequence, so that the maximum moves on with every tile and no rescaling is by 1. */
static tensors make_growing_tensors(const tw_problem *p)
{
    tensors t = make_tensors(p, 1);
    for (size_t i = 0; i < tw_problem_q_elements(p); i++)
        t.q[i] = 0.5 + fabs(t.q[i]);
    for (int j = 0; j < p->seqlen_k; j++)
        for (int c = 0; c < p->head_dim; c++) {
            double *k = &t.k[tw_problem_k_row(p, 0, 0, j) + (size_t)c];
            *k = 0.05 * j + 0.1 * *k;
        }
    ck_assert_int_eq(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v), TW_OK);
    return t;
}

/* Did anybody notice that an operation was missing? */
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

/* Tensor cores and FMA units; a row of S that fits on chip and one that does not (a machine with a tiny SRAM). */
START_TEST(every_deletion_is_caught)
{
    const tw_schedule *schedule = tw_schedule_at(_i / 4);
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 13,
                    .seqlen_k = 11,
                    .head_dim = 3,
                    .dtype = TW_FP32,
                    .causal = true};
    tw_tiling tiling = {
        .block_m = 4, .block_n = 3, .block_d = 2, .unit = _i % 2 ? TW_UNIT_TENSOR : TW_UNIT_FMA};
    p.dtype = _i % 2 ? TW_BF16 : TW_FP32;
    tw_machine m = tw_machine_named("h100");
    if (tw_honours_check(schedule, &p) != TW_OK)
        return; /* check_sim_masks.c has problems for it */
    if (_i % 4 >= 2) {
        m.smem_bytes = _i % 2 ? 20 : 40; /* a row of 11 keys takes 22 or 44 bytes */
        tiling.block_m = tiling.block_n = 1;
        if (schedule != &tw_schedule_standard_tiled)
            return;
    }
    tensors t = make_growing_tensors(&p);
    tw_numeric_stats stats;
    tw_numeric_options whole = {.rounding = TW_ROUND_NEVER};
    ck_assert_int_eq(tw_numeric_run(t.o, t.lse, &stats, schedule, &p, &tiling, &m, t.q, t.k, t.v, &whole),
                     TW_OK);
    ck_assert_int_gt(stats.num_ops, 20);
    ck_assert(
        !caught(schedule, &p, &tiling, &m, &t, stats.num_ops)); /* one past the end: nothing is missing */
    for (int64_t drop = 0; drop < stats.num_ops; drop++)
        ck_assert_msg(caught(schedule, &p, &tiling, &m, &t, drop), "%s without operation %lld passes",
                      schedule->name, (long long)drop);
    free_tensors(&t);
}
END_TEST

/* ---- the rest ------------------------------------------------------------------------------------------- */

typedef struct sight {
    int64_t count[TW_NUM_OPS];
    double last_m;
} sight;

static void watch(void *self, const tw_emitter *e, const tw_op *op, double *const *slots)
{
    sight *seen = self;
    seen->count[op->kind]++;
    ck_assert_int_gt(op->line, 0);
    ck_assert_ptr_nonnull(e->launch);
    if (op->kind == TW_OP_ONLINE_SOFTMAX)
        seen->last_m = slots[op->stats.m.id][0];
}

START_TEST(observer_sees_every_operation)
{
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 1,
                    .seqlen_k = 6,
                    .head_dim = 1,
                    .dtype = TW_FP32,
                    .softmax_scale = 1};
    const double q[] = {1}, k[] = {1, 5, 2, 3, 9, 4}, v[] = {1, 1, 1, 1, 1, 1};
    double o[1];
    sight seen = {{0}, 0};
    tw_numeric_observer observer = {watch, &seen};
    tw_numeric_options options = {.observer = &observer};
    tw_tiling tiling = {.block_m = 1, .block_n = 2};
    tw_machine m = tw_machine_named("paper");
    ck_assert_int_eq(tw_numeric_run(o, NULL, NULL, &tw_schedule_flash2, &p, &tiling, &m, q, k, v, &options),
                     TW_OK);
    ck_assert_int_eq(seen.count[TW_OP_ONLINE_SOFTMAX], 3);
    ck_assert_int_eq(seen.count[TW_OP_MATMUL_ADD], 3);
    ck_assert_int_eq(seen.count[TW_OP_MASK], 0);
    ck_assert_int_eq(seen.count[TW_OP_LOAD], 7); /* Q, and K and V three times */
    ck_assert_double_eq(seen.last_m, 9.0);
    ck_assert_double_eq_tol(o[0], 1.0, 1e-15);
}
END_TEST

START_TEST(memory_is_stated_before_it_is_taken)
{
    tw_problem p = {.batch = 2,
                    .num_heads = 3,
                    .num_heads_kv = 3,
                    .seqlen_q = 100,
                    .seqlen_k = 50,
                    .head_dim = 8,
                    .dtype = TW_FP16};
    tw_tiling tiling = {.block_m = 10, .block_n = 10};
    double tiled = tw_numeric_bytes(&tw_schedule_standard_tiled, &p, &tiling);
    double flash = tw_numeric_bytes(&tw_schedule_flash2, &p, &tiling);
    ck_assert_double_gt(tiled, 2.0 * 6 * 100 * 50 * 8); /* S and P of six heads */
    ck_assert_double_lt(flash, 6 * 100 * 50 * 8);
    p.seqlen_q = p.seqlen_k = 1 << 28;
    ck_assert_double_gt(tw_numeric_bytes(&tw_schedule_standard, &p, &tiling), 1e18);
}
END_TEST

START_TEST(refuses_what_does_not_fit)
{
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 4096,
                    .seqlen_k = 4096,
                    .head_dim = 128,
                    .dtype = TW_FP16};
    tw_tiling tiling = {.block_m = 4096, .block_n = 4096};
    tw_machine m = tw_machine_named("h100");
    tw_numeric_options options = {.rounding = TW_ROUND_NEVER};
    double none[1];
    ck_assert_int_eq(
        tw_numeric_run(none, NULL, NULL, &tw_schedule_flash2, &p, &tiling, &m, none, none, none, &options),
        TW_ESRAM);
}
END_TEST

Suite *tw_suite_sim_numeric(void)
{
    Suite *suite = suite_create("sim_numeric");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, exact_run_equals_gold, 0, NUM_SHAPES);
    tcase_add_loop_test(core, rounded_run_is_acceptable, 0, 2 * NUM_SHAPES);
    tcase_add_test(core, fully_masked_rows_are_zero);
    tcase_add_test(core, observer_sees_every_operation);
    suite_add_tcase(suite, core);
    TCase *mutation = tcase_create("mutation");
    tcase_set_timeout(mutation, 300);
    tcase_add_loop_test(mutation, every_deletion_is_caught, 0, 4 * tw_schedule_count());
    suite_add_tcase(suite, mutation);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, memory_is_stated_before_it_is_taken);
    tcase_add_test(errors, refuses_what_does_not_fit);
    suite_add_tcase(suite, errors);
    return suite;
}
