/* Backward passes: executed behind their forward pass they give the gradients of gold, with and without dropout and
 * under every mask; what is counted is the closed form and what was executed; no operation can be missing. */
#include "../cpu_ref/attention.h"
#include "../sim/backend_count.h"
#include "../sim/backend_numeric.h"
#include "../sim/bounds.h"
#include "../sim/schedules/registry.h"
#include "../sim/schedules/schedule_language.h"
#include "mask_cases.h"
#include "support_shapes.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

Suite *tw_suite_sim_backward(void);

/* Many small problems: threads would only wait for each other. */
static void use_one_thread(void)
{
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
}

/* ---- one training step -------------------------------------------------------------------------------------- */

typedef struct tensors {
    double *q, *k, *v, *d_o, *o, *lse, *dq, *dk, *dv;
    double *gold_o, *gold_lse, *gold_dq, *gold_dk, *gold_dv;
    size_t num_q, num_k, num_v, num_o;
} tensors;

static double *numbers(size_t n, uint64_t stream, double size, tw_dtype dtype)
{
    double *x = malloc((n + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 5, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = tw_dtype_round(dtype, x[i] * size);
    return x;
}

static tensors make_tensors(const tw_problem *p, double score_size)
{
    size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p), nv = tw_problem_v_elements(p),
           no = tw_problem_o_elements(p), nl = tw_problem_lse_elements(p);
    tensors t = {.q = numbers(nq, 0, score_size, p->dtype),
                 .k = numbers(nk, 1, 1, p->dtype),
                 .v = numbers(nv, 2, 1, p->dtype),
                 .d_o = numbers(no, 3, 1, p->dtype),
                 .num_q = nq,
                 .num_k = nk,
                 .num_v = nv,
                 .num_o = no};
    double **outputs[] = {&t.o,       &t.gold_o, &t.dq,      &t.gold_dq, &t.dk,
                          &t.gold_dk, &t.dv,     &t.gold_dv, &t.lse,     &t.gold_lse};
    const size_t sizes[] = {no, no, nq, nq, nk, nk, nv, nv, nl, nl};
    for (int i = 0; i < 10; i++)
        *outputs[i] = numbers(sizes[i], 4, 1, TW_FP64); /* nobody may find zeros there */
    ck_assert_int_eq(tw_attention_gold(t.gold_o, t.gold_lse, p, t.q, t.k, t.v), TW_OK);
    ck_assert_int_eq(tw_attention_backward_gold(t.gold_dq, t.gold_dk, t.gold_dv, p, t.q, t.k, t.v, t.d_o),
                     TW_OK);
    return t;
}

static void free_tensors(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->d_o), free(t->o), free(t->lse), free(t->dq), free(t->dk);
    free(t->dv), free(t->gold_o), free(t->gold_dq), free(t->gold_dk), free(t->gold_dv), free(t->gold_lse);
}

/* Both passes with the same tiles. */
static tw_status run_step(tensors *t, tw_numeric_stats stats[2], const tw_schedule *forward,
                          const tw_problem *p, const tw_tiling *tiling, const tw_machine *m,
                          const tw_numeric_options *options)
{
    const tw_training_step step = {forward, tw_schedule_backward_of(forward), *tiling, *tiling};
    const tw_step_results results = {t->o, t->lse, t->dq, t->dk, t->dv};
    return tw_numeric_run_step(&results, stats, &step, p, m, t->q, t->k, t->v, t->d_o, options);
}

/* The largest of the errors of the three gradients, relative to the largest number of each; NaN if there is any. */
static double worst_error(const tensors *t)
{
    const struct {
        const double *x, *gold;
        size_t n;
    } all[] = {{t->dq, t->gold_dq, t->num_q}, {t->dk, t->gold_dk, t->num_k}, {t->dv, t->gold_dv, t->num_v}};
    double worst = 0;
    for (int g = 0; g < 3; g++) {
        double largest = 1, error = 0;
        for (size_t i = 0; i < all[g].n; i++) {
            if (!isfinite(all[g].x[i]))
                return NAN;
            largest = fmax(largest, fabs(all[g].gold[i]));
            error = fmax(error, fabs(all[g].x[i] - all[g].gold[i]));
        }
        worst = fmax(worst, error / largest);
    }
    return worst;
}

/* ---- equals gold ---------------------------------------------------------------------------------------------- */

static const tw_shape_case shapes[] = {
    {1, 1, 1, 1, 1, 16, false, 1, 128, 128},   {1, 1, 1, 1, 1, 16, true, 1, 1, 1},
    {2, 2, 2, 2, 2, 40, false, 1, 1, 2},       {1, 2, 1, 31, 31, 64, false, 1, 16, 16},
    {1, 2, 2, 31, 31, 64, true, 1, 16, 16},    {1, 2, 1, 97, 97, 40, true, 1, 32, 16},
    {1, 1, 1, 97, 97, 64, false, 1, 128, 64},  {1, 1, 1, 128, 128, 64, true, 1, 64, 64},
    {1, 4, 2, 97, 130, 16, true, 1, 64, 32},   {2, 4, 2, 130, 97, 16, true, 1, 64, 32},
    {1, 6, 2, 31, 2, 40, true, 1, 4, 3},       {1, 6, 1, 2, 31, 40, true, 1, 1, 7},
    {1, 3, 3, 64, 1, 64, true, 1, 16, 16},     {1, 2, 2, 1, 130, 64, true, 1, 128, 37},
    {1, 1, 1, 97, 97, 64, false, 1e4, 16, 16}, {1, 2, 1, 97, 97, 64, true, 1e4, 32, 8},
    {1, 1, 1, 130, 53, 40, true, 1e4, 1, 53},  {1, 1, 1, 31, 97, 16, true, 1, 1, 1},
    {1, 1, 1, 5, 3, 16, false, 1, 2, 2},
};
#define NUM_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static tw_problem problem_of(const tw_shape_case *c, tw_dtype dtype, double dropout)
{
    tw_problem p = tw_shape_problem(c, dtype);
    p.dropout = (tw_dropout){.probability = dropout, .seed = 17};
    return p;
}

START_TEST(exact_step_equals_gold)
{
    const tw_shape_case *c = &shapes[_i / 2];
    tw_problem p = problem_of(c, TW_FP32, _i % 2 ? 0.3 : 0.0);
    tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(&p, c->score_size);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *forward = tw_schedule_at(s);
        const tw_tiling tiling = {.block_m = c->block_m, .block_n = c->block_n};
        if (!tw_schedule_backward_of(forward) || tw_honours_check(forward, &p) != TW_OK)
            continue;
        ck_assert_msg(run_step(&t, NULL, forward, &p, &tiling, &h100, &exact) == TW_OK, "%s: %s",
                      forward->name, tw_error_message());
        double error = worst_error(&t);
        ck_assert_msg(error <= 1e-10, "%s, shape %d: gradients differ by %g", forward->name, _i / 2, error);
    }
    free_tensors(&t);
}
END_TEST

/* What the forward pass leaves is what it leaves without a backward pass behind it; with dropout too it is gold's. */
START_TEST(every_forward_pass_drops_as_gold_does)
{
    const tw_shape_case *c = &shapes[_i];
    tw_problem p = problem_of(c, TW_FP32, 0.4);
    tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(&p, c->score_size);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    const tw_tiling tilings[] = {{.block_m = c->block_m, .block_n = c->block_n},
                                 {.block_m = 5, .block_n = 6}};
    for (int s = 0; s < 2 * tw_schedule_count(); s++) {
        const tw_schedule *schedule = tw_schedule_at(s / 2);
        if (tw_honours_check(schedule, &p) != TW_OK)
            continue;
        ck_assert_msg(tw_numeric_run(t.o, NULL, NULL, schedule, &p, &tilings[s % 2], &h100, t.q, t.k, t.v,
                                     &exact) == TW_OK,
                      "%s: %s", schedule->name, tw_error_message());
        tw_error_metrics o = tw_error_of(t.o, t.gold_o, t.num_o);
        ck_assert_msg(o.num_nan == 0 && o.max_abs_error <= 1e-11, "%s, shape %d: O differs by %g",
                      schedule->name, _i, o.max_abs_error);
    }
    free_tensors(&t);
}
END_TEST

/* Grouped heads that see different keys, tiles of other sizes than the mask's blocks, a narrower V. */
START_TEST(every_mask_equals_gold)
{
    static const int tiles[][2] = {{4, 3}, {8, 16}, {1, 1}, {3, 2}};
    tw_problem p = {.batch = 2,
                    .num_heads = 4,
                    .num_heads_kv = 2,
                    .seqlen_q = 13,
                    .seqlen_k = 17,
                    .head_dim = 4,
                    .head_dim_v = 3,
                    .dropout = {.probability = 0.2, .seed = 3}};
    mask_arrays arrays = mask_case_apply(&p, &mask_cases[_i]);
    tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(&p, 1);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < 4 * tw_schedule_count(); s++) {
        const tw_schedule *forward = tw_schedule_at(s / 4);
        const tw_tiling tiling = {.block_m = tiles[s % 4][0], .block_n = tiles[s % 4][1]};
        tw_numeric_stats executed[2];
        tw_count_result counted;
        if (!tw_schedule_backward_of(forward) || tw_honours_check(forward, &p) != TW_OK)
            continue;
        ck_assert_msg(run_step(&t, executed, forward, &p, &tiling, &h100, &exact) == TW_OK, "%s: %s",
                      forward->name, tw_error_message());
        double error = worst_error(&t);
        ck_assert_msg(error <= 1e-12, "%s under %s: gradients differ by %g", forward->name,
                      mask_cases[_i].name, error);
        ck_assert_int_eq(tw_count(&counted, tw_schedule_backward_of(forward), &p, &tiling, &h100), TW_OK);
        ck_assert_int_eq(executed[1].sram_fill_bytes, counted.total.sram_fill_bytes);
        ck_assert_int_eq(executed[1].sram_drain_bytes, counted.total.sram_drain_bytes);
    }
    free_tensors(&t);
    mask_arrays_free(&arrays);
}
END_TEST

/* Sequences one behind the other: one without keys, one without queries, one whose first rows see nothing. */
START_TEST(packed_sequences_equal_gold)
{
    const int q[] = {0, 3, 5, 5, 9, 12}, k[] = {0, 4, 4, 6, 7, 12};
    tw_problem p = {.batch = 5,
                    .num_heads = 2,
                    .num_heads_kv = 1,
                    .seqlen_q = 4,
                    .seqlen_k = 5,
                    .head_dim = 3,
                    .causal = true,
                    .cu_seqlens_q = q,
                    .cu_seqlens_k = k};
    tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(&p, 1);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *forward = tw_schedule_at(s);
        const tw_tiling tiling = {.block_m = 2, .block_n = 3};
        if (!tw_schedule_backward_of(forward) || tw_honours_check(forward, &p) != TW_OK)
            continue;
        ck_assert_msg(run_step(&t, NULL, forward, &p, &tiling, &h100, &exact) == TW_OK, "%s: %s",
                      forward->name, tw_error_message());
        double error = worst_error(&t);
        ck_assert_msg(error <= 1e-12, "%s: gradients differ by %g", forward->name, error);
    }
    free_tensors(&t);
}
END_TEST

START_TEST(masked_rows_have_no_gradient)
{
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 10,
                    .seqlen_k = 4,
                    .head_dim = 8,
                    .causal = true};
    tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(&p, 1);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *forward = tw_schedule_at(s);
        const tw_tiling tiling = {.block_m = 4, .block_n = 4};
        if (!tw_schedule_backward_of(forward) || tw_honours_check(forward, &p) != TW_OK)
            continue;
        ck_assert_int_eq(run_step(&t, NULL, forward, &p, &tiling, &h100, &exact), TW_OK);
        for (int i = 0; i < 6 * 8; i++) /* row 6 is the first that sees a key */
            ck_assert_double_eq(t.dq[i], 0.0);
    }
    free_tensors(&t);
}
END_TEST

/* ---- in 16 bits ------------------------------------------------------------------------------------------------ */

static double largest_of(const double *x, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++)
        m = fmax(m, fabs(x[i]));
    return m;
}

/* FlashAttention 1 rounds dQ on every pass, not once: half an ulp of the largest each. */
static double later_roundings(const tw_schedule *forward, const tw_problem *p, const tw_tiling *tiling,
                              const double *gold, size_t n)
{
    int passes = (p->seqlen_k + tiling->block_n - 1) / tiling->block_n;
    double half_ulp = p->dtype == TW_FP16 ? 0x1p-11 : 0x1p-8;
    return forward == &tw_schedule_flash1 ? (passes - 1) * half_ulp * largest_of(gold, n) : 0;
}

/* What standard attention in the same format is off by, for each gradient. */
static void yardsticks(double baseline[3], const tw_problem *p, const tensors *t)
{
    double *dq = numbers(t->num_q, 4, 1, TW_FP64), *dk = numbers(t->num_k, 4, 1, TW_FP64),
           *dv = numbers(t->num_v, 4, 1, TW_FP64);
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads_kv; h++)
            ck_assert_int_eq(
                tw_attention_backward_rounded_group(dq, dk, dv, p, t->q, t->k, t->v, t->d_o, b, h), TW_OK);
    baseline[0] = tw_error_of(dq, t->gold_dq, t->num_q).max_abs_error;
    baseline[1] = tw_error_of(dk, t->gold_dk, t->num_k).max_abs_error;
    baseline[2] = tw_error_of(dv, t->gold_dv, t->num_v).max_abs_error;
    free(dq), free(dk), free(dv);
}

START_TEST(rounded_step_is_acceptable)
{
    const tw_shape_case *c = &shapes[_i / 2];
    tw_problem p = problem_of(c, _i % 2 ? TW_BF16 : TW_FP16, _i % 4 < 2 ? 0.0 : 0.2);
    if (c->score_size > 1)
        return; /* fp16 scores of 1e4 have errors of several units, in which no two algorithms agree */
    tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(&p, 1);
    double baseline[3];
    const double *x[3] = {t.dq, t.dk, t.dv}, *gold[3] = {t.gold_dq, t.gold_dk, t.gold_dv};
    const size_t n[3] = {t.num_q, t.num_k, t.num_v};
    yardsticks(baseline, &p, &t);
    const tw_numeric_options as_gpu = {.rounding = TW_ROUND_AS_GPU};
    for (int s = 0; s < 2 * tw_schedule_count(); s++) {
        const tw_schedule *forward = tw_schedule_at(s / 2);
        const tw_tiling tiling = {.block_m = c->block_m, .block_n = c->block_n, .unit = (tw_unit)(s % 2)};
        if (!tw_schedule_backward_of(forward) || tw_honours_check(forward, &p) != TW_OK)
            continue;
        ck_assert_int_eq(run_step(&t, NULL, forward, &p, &tiling, &h100, &as_gpu), TW_OK);
        for (int g = 0; g < 3; g++) {
            tw_error_metrics e = tw_error_of(x[g], gold[g], n[g]);
            double atol = tw_error_atol(p.dtype, largest_of(gold[g], n[g]));
            atol += g == 0 ? later_roundings(forward, &p, &tiling, gold[0], n[0]) : 0;
            ck_assert_msg(tw_error_acceptable(&e, baseline[g], atol),
                          "%s, shape %d, gradient %d: error %g, baseline %g, atol %g", forward->name, _i / 2,
                          g, e.max_abs_error, baseline[g], atol);
            for (size_t i = 0; i < n[g]; i++)
                if (x[g][i] != tw_dtype_round(p.dtype, x[g][i]))
                    ck_abort_msg("%s: gradient %d is not of its type", forward->name, g);
        }
    }
    free_tensors(&t);
}
END_TEST

/* ---- mutations --------------------------------------------------------------------------------------------------- */

/* K grows along the sequence, so that the maximum moves on with every tile and no rescaling is by 1. */
static tensors make_growing_tensors(const tw_problem *p)
{
    tensors t = make_tensors(p, 1);
    for (size_t i = 0; i < t.num_q; i++)
        t.q[i] = tw_dtype_round(p->dtype, 0.5 + fabs(t.q[i]));
    for (int j = 0; j < p->seqlen_k; j++)
        for (int c = 0; c < p->head_dim; c++) {
            double *k = &t.k[tw_problem_k_row(p, 0, 0, j) + (size_t)c];
            *k = tw_dtype_round(p->dtype, 0.1 * j + 0.1 * *k);
        }
    ck_assert_int_eq(tw_attention_gold(t.gold_o, t.gold_lse, p, t.q, t.k, t.v), TW_OK);
    ck_assert_int_eq(tw_attention_backward_gold(t.gold_dq, t.gold_dk, t.gold_dv, p, t.q, t.k, t.v, t.d_o),
                     TW_OK);
    return t;
}

/* Is O, or LSE where it is written, not what it should be? */
static bool forward_differs(const tensors *t, const tw_schedule *forward, const tw_problem *p)
{
    tw_error_metrics o = tw_error_of(t->o, t->gold_o, t->num_o),
                     lse = tw_error_of(t->lse, t->gold_lse, tw_problem_lse_elements(p));
    bool lse_differs = forward->writes_lse && (lse.num_nan > 0 || lse.max_abs_error > 1e-9);
    return o.num_nan > 0 || o.max_abs_error > 1e-9 || lse_differs;
}

/* A backward pass is taken apart behind the first forward pass that it goes with. */
static bool goes_first(const tw_schedule *forward)
{
    const tw_schedule *backward = tw_schedule_backward_of(forward);
    return backward && tw_schedule_forward_of(backward) == forward;
}

/* Every row sees several keys, or what happens to it would not matter: dS of a row with one key is 0. */
static tw_problem deletion_problem(bool sixteen_bits, bool dropout)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 2,
                        .num_heads_kv = 1,
                        .seqlen_q = 7,
                        .seqlen_k = 9,
                        .head_dim = 2,
                        .dtype = sixteen_bits ? TW_BF16 : TW_FP32,
                        .causal = true,
                        .dropout = {.probability = dropout ? 0.3 : 0.0, .seed = 5}};
}

/* Algorithms by two units, with and without dropout, with rows of P that fit on chip and rows that do not; any
 * operation of either pass. */
START_TEST(every_deletion_is_caught)
{
    const tw_schedule *forward = tw_schedule_at(_i / 8);
    tw_problem p = deletion_problem(_i % 2, _i % 4 >= 2);
    tw_tiling tiling = {.block_m = 3, .block_n = 2, .unit = _i % 2 ? TW_UNIT_TENSOR : TW_UNIT_FMA};
    tw_machine m = tw_machine_named("h100");
    if (!goes_first(forward))
        return;
    if (_i % 8 >= 4) {
        m.smem_bytes = _i % 2 ? 30 : 60; /* two rows of 9 keys take 36 or 72 bytes */
        tiling.block_m = tiling.block_n = 1;
        if (forward != &tw_schedule_standard_tiled)
            return;
    }
    tensors t = make_growing_tensors(&p);
    tw_numeric_stats stats[2];
    tw_numeric_options options = {.rounding = TW_ROUND_NEVER};
    ck_assert_msg(run_step(&t, stats, forward, &p, &tiling, &m, &options) == TW_OK, "%s", tw_error_message());
    ck_assert(!forward_differs(&t, forward, &p));
    ck_assert_double_le(worst_error(&t), 1e-12);
    ck_assert_int_gt(stats[1].num_ops, 20);
    options.drop_one = true;
    for (options.drop = 0; options.drop < stats[0].num_ops + stats[1].num_ops; options.drop++) {
        bool broken = run_step(&t, NULL, forward, &p, &tiling, &m, &options) != TW_OK;
        ck_assert_msg(broken || forward_differs(&t, forward, &p) || !(worst_error(&t) <= 1e-9),
                      "%s without operation %lld, of which %lld are the forward pass's, passes",
                      tw_schedule_backward_of(forward)->name, (long long)options.drop,
                      (long long)stats[0].num_ops);
    }
    free_tensors(&t);
}
END_TEST

/* Other forward passes have one operation more with dropout all the same. */
START_TEST(every_deletion_beside_dropout_is_caught)
{
    const tw_schedule *schedule = tw_schedule_at(_i);
    tw_problem p = deletion_problem(true, true);
    const tw_tiling tiling = {.block_m = 3, .block_n = 2, .unit = TW_UNIT_TENSOR};
    tw_machine m = tw_machine_named("h100");
    if (goes_first(schedule) || (schedule->takes_codes && !schedule->takes_codes(&p.quantize)))
        return; /* tests of codes: check_sim_quantized.c */
    p.v_in_k = schedule->needs_v_in_k;
    if (tw_honours_check(schedule, &p) != TW_OK)
        return; /* check_sim_family.c has problems for it */
    tw_problem with_gradients = p;
    with_gradients.v_in_k = false; /* whatever they are */
    tensors t = make_growing_tensors(&with_gradients);
    const double *v = p.v_in_k ? t.k : t.v;
    ck_assert_int_eq(tw_attention_gold(t.gold_o, t.gold_lse, &p, t.q, t.k, v), TW_OK);
    tw_numeric_stats stats;
    tw_numeric_options options = {.rounding = TW_ROUND_NEVER};
    ck_assert_int_eq(tw_numeric_run(t.o, t.lse, &stats, schedule, &p, &tiling, &m, t.q, t.k, v, &options),
                     TW_OK);
    ck_assert(!forward_differs(&t, schedule, &p));
    options.drop_one = true;
    for (options.drop = 0; options.drop < stats.num_ops; options.drop++) {
        bool broken = tw_numeric_run(t.o, t.lse, NULL, schedule, &p, &tiling, &m, t.q, t.k, v, &options) !=
                      TW_OK;
        ck_assert_msg(broken || forward_differs(&t, schedule, &p), "%s without operation %lld passes",
                      schedule->name, (long long)options.drop);
    }
    free_tensors(&t);
}
END_TEST

/* ---- counts ------------------------------------------------------------------------------------------------------- */

static tw_counts count(const tw_schedule *schedule, const tw_problem *p, tw_tiling tiling,
                       const tw_machine *m)
{
    tw_count_result result;
    ck_assert_msg(tw_count(&result, schedule, p, &tiling, m) == TW_OK, "%s", tw_error_message());
    return result.total;
}

static void expect_closed_form(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                               const tw_machine *m)
{
    tw_counts c = count(schedule, p, *t, m);
    int64_t fill, drain;
    ck_assert_int_eq(tw_closed_form_bytes(&fill, &drain, schedule->name, p, t, m), TW_OK);
    ck_assert_msg(c.sram_fill_bytes == fill && c.sram_drain_bytes == drain,
                  "%s: counted %lld + %lld, closed form %lld + %lld", schedule->name,
                  (long long)c.sram_fill_bytes, (long long)c.sram_drain_bytes, (long long)fill,
                  (long long)drain);
}

/* Closed form = counted = executed, on every shape, with dropout and without. */
START_TEST(three_truths_agree)
{
    const tw_shape_case *c = &shapes[_i];
    tw_machine h100 = tw_machine_named("h100");
    for (int variant = 0; variant < 4; variant++) {
        tw_problem p = problem_of(c, variant % 2 ? TW_FP16 : TW_FP32, variant % 2 ? 0.2 : 0.0);
        p.causal = variant / 2;
        tensors t = make_tensors(&p, 1);
        for (int s = 0; s < tw_schedule_count(); s++) {
            const tw_schedule *forward = tw_schedule_at(s), *backward = tw_schedule_backward_of(forward);
            const tw_tiling tiling = {.block_m = c->block_m, .block_n = c->block_n};
            tw_numeric_stats executed[2];
            const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
            if (!backward || tw_honours_check(forward, &p) != TW_OK)
                continue;
            expect_closed_form(backward, &p, &tiling, &h100);
            ck_assert_int_eq(run_step(&t, executed, forward, &p, &tiling, &h100, &exact), TW_OK);
            tw_counts counted = count(backward, &p, tiling, &h100);
            ck_assert_int_eq(executed[1].sram_fill_bytes, counted.sram_fill_bytes);
            ck_assert_int_eq(executed[1].sram_drain_bytes, counted.sram_drain_bytes);
        }
        free_tensors(&t);
    }
}
END_TEST

START_TEST(long_rows_are_read_twice)
{
    tw_machine m = tw_machine_named("h100");
    m.smem_bytes = 1000; /* two rows of 250 keys of fp16 */
    for (int n = 250; n < 252; n++)
        for (int causal = 0; causal < 2; causal++) {
            tw_problem p = {.batch = 1,
                            .num_heads = 2,
                            .num_heads_kv = 1,
                            .seqlen_q = 31,
                            .seqlen_k = n,
                            .head_dim = 16,
                            .dtype = TW_FP16,
                            .causal = causal};
            expect_closed_form(&tw_schedule_standard_tiled_backward, &p,
                               &(tw_tiling){.block_m = 4, .block_n = 4}, &m);
        }
}
END_TEST

static tw_problem square(int n, int head_dim, int heads)
{
    return (tw_problem){.batch = 1,
                        .num_heads = heads,
                        .num_heads_kv = heads,
                        .seqlen_q = n,
                        .seqlen_k = n,
                        .head_dim = head_dim,
                        .dtype = TW_FP16};
}

START_TEST(the_papers_formulas)
{
    tw_machine paper = tw_machine_named("paper");
    const int64_t d = 64;
    for (int64_t n = 384; n <= 3840; n += 384) {
        tw_problem p = square((int)n, (int)d, 1);
        tw_tiling t = {.block_m = 64, .block_n = 192};
        int64_t tc = n / 192;
        tw_counts c = count(&tw_schedule_standard_backward, &p, t, &paper);
        ck_assert_int_eq(c.sram_fill_elements + c.sram_drain_elements, 7 * n * n + 8 * n * d);
        c = count(&tw_schedule_flash1_backward, &p, t, &paper);
        ck_assert_int_eq(c.sram_fill_elements + c.sram_drain_elements, 4 * n * d + tc * (5 * n * d + 2 * n));
        c = count(&tw_schedule_flash2_backward, &p, t, &paper);
        ck_assert_int_eq(c.sram_fill_elements + c.sram_drain_elements,
                         9 * n * d + n + tc * (3 * n * d + 2 * n));
    }
}
END_TEST

/* Algorithm 4's own tile sizes, and those that fit. */
START_TEST(published_tiles_do_not_fit)
{
    tw_machine paper = tw_machine_named("paper"); /* 192 KiB */
    tw_problem p = square(1024, 64, 1);
    tw_tiling published = {.block_m = 64, .block_n = 384}, fitting = {0};
    tw_count_result result;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_flash1_backward, &p, &published, &paper), TW_ESRAM);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "32768 too many")); /* Q, O, dO, dQ: 4 · 64 · 64 · 2 */
    tw_schedule_default_tiling(&tw_schedule_flash1_backward, &fitting, &p, &paper);
    ck_assert_int_eq(fitting.block_m, 64);
    ck_assert_int_eq(fitting.block_n, 320);
    ck_assert_int_eq(count(&tw_schedule_flash1_backward, &p, fitting, &paper).sram_peak_bytes, 196608);
    p.head_dim = 256; /* M / 8d = 48 rows each */
    fitting = (tw_tiling){0};
    tw_schedule_default_tiling(&tw_schedule_flash1_backward, &fitting, &p, &paper);
    ck_assert_int_eq(fitting.block_m, 48);
    ck_assert_int_eq(fitting.block_n, 48);
    ck_assert_int_eq(count(&tw_schedule_flash1_backward, &p, fitting, &paper).sram_peak_bytes, 196608);
}
END_TEST

START_TEST(flops_are_twice_or_two_and_a_half_times_the_forward_pass)
{
    tw_machine h100 = tw_machine_named("h100");
    for (int causal = 0; causal < 2; causal++) {
        tw_problem p = square(1000, 64, 4);
        p.causal = causal;
        for (int s = 0; s < tw_schedule_count(); s++) {
            const tw_schedule *forward = tw_schedule_at(s), *backward = tw_schedule_backward_of(forward);
            tw_tiling t = {.block_m = 64, .block_n = 96};
            if (!backward || tw_honours_check(forward, &p) != TW_OK)
                continue;
            tw_counts c = count(backward, &p, t, &h100);
            bool stored = strncmp(backward->name, "standard", 8) == 0;
            ck_assert_int_eq(2 * c.flops, (stored ? 4 : 5) * tw_problem_flops(&p));
            ck_assert_int_eq(c.exps, stored ? 0 : tw_problem_all_pairs(&p));
            ck_assert_int_ge(c.flops_executed, c.flops);
        }
    }
}
END_TEST

/* Dropout costs the fused algorithms no byte; frameworks kept the mask. */
START_TEST(bytes_of_dropout)
{
    tw_machine paper = tw_machine_named("paper");
    tw_problem p = square(1024, 64, 2), dropped = p;
    const int64_t scores = 2 * 1024 * 1024;
    const tw_tiling t = {.block_m = 64, .block_n = 64};
    dropped.dropout = (tw_dropout){.probability = 0.1, .seed = 1};
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *forward = tw_schedule_at(s), *backward = tw_schedule_backward_of(forward);
        if (!backward || tw_honours_check(forward, &p) != TW_OK)
            continue;
        tw_counts f = count(forward, &p, t, &paper), fd = count(forward, &dropped, t, &paper);
        tw_counts b = count(backward, &p, t, &paper), bd = count(backward, &dropped, t, &paper);
        bool kept = forward == &tw_schedule_standard_unfused;
        ck_assert_int_eq(fd.sram_fill_bytes - f.sram_fill_bytes, kept ? 2 * scores : 0);   /* P */
        ck_assert_int_eq(fd.sram_drain_bytes - f.sram_drain_bytes, kept ? 3 * scores : 0); /* P ∘ Z, Z */
        ck_assert_int_eq(bd.sram_fill_bytes - b.sram_fill_bytes, kept ? 3 * scores : 0);   /* d(P ∘ Z), Z */
        ck_assert_int_eq(bd.sram_drain_bytes - b.sram_drain_bytes, kept ? 2 * scores : 0); /* dP */
    }
}
END_TEST

/* GB and GFLOP of a forward and a backward pass, with the same tiles. */
static void of_both(double *gigabytes, double *gigaflops, const tw_schedule *forward, const tw_problem *p,
                    tw_tiling t, const tw_machine *m)
{
    tw_counts f = count(forward, p, t, m), b = count(tw_schedule_backward_of(forward), p, t, m);
    *gigabytes = 1e-9 *
                 (double)(f.sram_fill_bytes + f.sram_drain_bytes + b.sram_fill_bytes + b.sram_drain_bytes);
    *gigaflops = 1e-9 * (double)(f.flops + b.flops);
}

/* Figure 2, left, of the FlashAttention paper prints 40.3 and 4.4 GB, 66.6 and 75.2 GFLOPs. */
START_TEST(figure_2_left)
{
    tw_machine paper = tw_machine_named("paper"), roomy = paper;
    tw_problem p = square(1024, 64, 16);
    tw_tiling published = {.block_m = 64, .block_n = 384}, fitting = {.block_m = 64, .block_n = 320};
    double bytes, flops;
    p.batch = 64;
    of_both(&bytes, &flops, &tw_schedule_standard, &p, published, &paper); /* Algorithms 0 and 3 */
    ck_assert_double_eq_tol(bytes, 25.23, 0.005);
    ck_assert_double_eq_tol(flops, 824.6, 0.05);
    roomy.smem_bytes = 224 * 1024; /* the published tiles need more than the SRAM they are derived from */
    of_both(&bytes, &flops, &tw_schedule_flash1, &p, published, &roomy);
    ck_assert_double_eq_tol(bytes, 4.10, 0.005);
    ck_assert_double_eq_tol(flops, 962.1, 0.05);
    of_both(&bytes, &flops, &tw_schedule_flash1, &p, fitting, &paper);
    ck_assert_double_eq_tol(bytes, 5.19, 0.05);
    p.causal = true; /* with mask and dropout as kernels of their own: what is printed */
    p.dropout = (tw_dropout){.probability = 0.1, .seed = 1};
    of_both(&bytes, &flops, &tw_schedule_standard_unfused, &p, published, &paper);
    ck_assert_double_eq_tol(bytes, 40.27, 0.005);
}
END_TEST

/* 128k tokens and more: only multiplication gets there. */
START_TEST(a_million_tokens)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(1 << 20, 64, 64);
    p.num_heads_kv = 8;
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        for (int s = 0; s < tw_schedule_count(); s++) {
            const tw_schedule *backward = tw_schedule_backward_of(tw_schedule_at(s));
            if (backward)
                expect_closed_form(backward, &p, &(tw_tiling){.block_m = 64, .block_n = 128}, &h100);
        }
    }
}
END_TEST

/* Behind an L2 every tensor moves once a launch; what is added to is read and written. */
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
    const int64_t q = 2 * 8 * 500 * 64, k = 2 * 2 * 700 * 64, rows = 2 * 8 * 500;
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        tw_count_result c;
        ck_assert_int_eq(
            tw_count(&c, &tw_schedule_flash2_backward, &p, &(tw_tiling){.block_m = 64, .block_n = 32}, &h100),
            TW_OK);
        ck_assert_int_eq(c.launch[0].hbm_read_bytes, 2 * q * 2);
        ck_assert_int_eq(c.launch[0].hbm_write_bytes, rows * 4 + q * 4);
        ck_assert_int_eq(c.launch[1].hbm_read_bytes, 2 * q * 2 + 2 * k * 2 + 2 * rows * 4 + q * 4);
        ck_assert_int_eq(c.launch[1].hbm_write_bytes, 2 * k * 2 + q * 4);
        ck_assert_int_eq(c.launch[2].hbm_read_bytes, q * 4);
        ck_assert_int_eq(c.launch[2].hbm_write_bytes, q * 2);
    }
}
END_TEST

/* ---- rules --------------------------------------------------------------------------------------------------------- */

#define BLOCK(name) static void name(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
#define UNUSED      (void)p, (void)t, (void)b

/* P of the block's queries and keys. */
static tw_slot probabilities(tw_emitter *e, tw_block b)
{
    tw_slot s = matmul_nt(e, load(e, TW_Q, b, b.i), load(e, TW_K, b, b.j));
    softmax_from_lse(e, s, load(e, TW_LSE, b, b.i));
    return s;
}

static tw_slot gradient_of_pz(tw_emitter *e, tw_block b)
{
    return matmul_nt(e, load(e, TW_DO, b, b.i), load(e, TW_V, b, b.j));
}

BLOCK(multiplies_undropped)
{
    UNUSED;
    matmul_tn_add(e, zeros_of(e, TW_DV, b.j), probabilities(e, b), load(e, TW_DO, b, b.i));
}

BLOCK(drops_twice)
{
    UNUSED;
    tw_slot s = probabilities(e, b);
    dropout(e, s), dropout(e, s);
}

BLOCK(forgets_dropout_of_dp)
{
    UNUSED;
    dsoftmax(e, gradient_of_pz(e, b), probabilities(e, b), load(e, TW_D, b, b.i));
}

BLOCK(takes_dropped_p)
{
    UNUSED;
    tw_slot s = probabilities(e, b), dp = gradient_of_pz(e, b);
    dropout(e, s), dropout(e, dp);
    dsoftmax(e, dp, s, load(e, TW_D, b, b.i));
}

BLOCK(multiplies_dp)
{
    UNUSED;
    tw_slot dp = gradient_of_pz(e, b);
    dropout(e, dp);
    matmul_tn_add(e, zeros_of(e, TW_DK, b.j), dp, load(e, TW_Q, b, b.i));
}

BLOCK(sums_dq_of_q)
{
    UNUSED;
    tw_slot s = probabilities(e, b), dp = gradient_of_pz(e, b);
    dropout(e, dp);
    dsoftmax(e, dp, s, load(e, TW_D, b, b.i));
    matmul_add(e, zeros_of(e, TW_DQ_SUM, b.i), dp, load(e, TW_V, b, b.j));
}

BLOCK(stores_sums)
{
    UNUSED;
    store(e, TW_DQ, b, load(e, TW_DQ_SUM, b, b.i));
}

BLOCK(converts_dq)
{
    UNUSED;
    convert_sum(e, load(e, TW_DQ, b, b.i));
}

BLOCK(adds_undeclared)
{
    UNUSED;
    atomic_add(e, TW_DV, b, zeros_of(e, TW_DV, b.j)); /* written, not read */
}

BLOCK(adds_another)
{
    UNUSED;
    atomic_add(e, TW_DQ_SUM, b, zeros_of(e, TW_DQ, b.i));
}

BLOCK(wrong_row_dot)
{
    UNUSED;
    row_dot(e, zeros_of(e, TW_D, b.i), load(e, TW_DO, b, b.i), load(e, TW_Q, b, b.i));
}

BLOCK(takes_m_for_lse)
{
    UNUSED;
    tw_slot s = matmul_nt(e, load(e, TW_Q, b, b.i), load(e, TW_K, b, b.j));
    softmax_from_lse(e, s, load(e, TW_D, b, b.i));
}

BLOCK(walks_a_group_of_one)
{
    UNUSED;
    for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);)
        ;
}

static const struct broken_case {
    void (*block)(tw_emitter *, const tw_problem *, const tw_tiling *, tw_block);
    const char *said;
} broken_cases[] = {
    {multiplies_undropped, "used as what it is not (it is P, needed is PZ)"},
    {drops_twice, "dropout is for P, once"},
    {forgets_dropout_of_dp, "used as what it is not (it is dPZ, needed is dP)"},
    {takes_dropped_p, "used as what it is not (it is PZ, needed is P)"},
    {multiplies_dp, "used as what it is not (it is dP, needed is dS)"},
    {sums_dq_of_q, "used as what it is not (it is V, needed is K)"},
    {stores_sums, "used as what it is not (it is dQ sum, needed is dQ)"},
    {converts_dq, "used as what it is not (it is dQ, needed is dQ sum)"},
    {adds_undeclared, "does not declare (dV)"},
    {adds_another, "used as what it is not (it is dQ, needed is dQ sum)"},
    {wrong_row_dot, "used as what it is not (it is Q, needed is O)"},
    {takes_m_for_lse, "used as what it is not (it is D, needed is LSE)"},
    {walks_a_group_of_one, "only a launch per_kv_head"},
};

START_TEST(rules_are_enforced)
{
    const struct broken_case *c = &broken_cases[_i];
    const tw_schedule schedule = {
        .name = "test",
        .pass = TW_PASS_BACKWARD,
        .num_launches = 1,
        .honours = TW_HONOURS_ALL,
        .launches = {{.name = "only",
                      .block = c->block,
                      .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_LSE) | TW_SET(TW_DO) |
                               TW_SET(TW_D) | TW_SET(TW_DQ) | TW_SET(TW_DQ_SUM),
                      .writes = TW_SET(TW_DQ) | TW_SET(TW_DV) | TW_SET(TW_DQ_SUM)}}};
    tw_problem p = square(8, 4, 1);
    tw_machine h100 = tw_machine_named("h100");
    const tw_tiling tiling = {.block_m = 8, .block_n = 8};
    tw_count_result result;
    p.dropout.probability = 0.5;
    ck_assert_int_eq(tw_count(&result, &schedule, &p, &tiling, &h100), TW_ESCHEDULE);
    ck_assert_msg(strstr(tw_error_message(), c->said) != NULL, "said: %s", tw_error_message());
}
END_TEST

START_TEST(refuses_what_has_no_backward_pass)
{
    tw_problem p = square(8, 4, 1);
    tw_machine h100 = tw_machine_named("h100");
    tw_count_result result;
    p.scoring.softcap = 20;
    ck_assert_int_eq(
        tw_count(&result, &tw_schedule_flash2_backward, &p, &(tw_tiling){.block_m = 4, .block_n = 4}, &h100),
        TW_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "modified scores"));
}
END_TEST

START_TEST(registry_pairs)
{
    const tw_schedule *found = NULL;
    ck_assert_ptr_eq(tw_schedule_backward_of(&tw_schedule_flash1), &tw_schedule_flash1_backward);
    ck_assert_ptr_eq(tw_schedule_forward_of(&tw_schedule_flash2_backward), &tw_schedule_flash2);
    ck_assert_ptr_null(tw_schedule_forward_of(&tw_schedule_flash2));
    ck_assert_int_eq(tw_schedule_find(&found, "flash1_backward"), TW_OK);
    ck_assert_ptr_eq(found, &tw_schedule_flash1_backward);
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *backward = tw_schedule_backward_of(tw_schedule_at(s));
        ck_assert_int_eq(tw_schedule_at(s)->pass, TW_PASS_FORWARD);
        ck_assert(!backward || backward->pass == TW_PASS_BACKWARD);
    }
}
END_TEST

Suite *tw_suite_sim_backward(void)
{
    Suite *suite = suite_create("sim_backward");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, exact_step_equals_gold, 0, 2 * NUM_SHAPES);
    tcase_add_loop_test(core, every_forward_pass_drops_as_gold_does, 0, NUM_SHAPES);
    tcase_add_loop_test(core, every_mask_equals_gold, 0, NUM_MASK_CASES);
    tcase_add_test(core, packed_sequences_equal_gold);
    tcase_add_test(core, masked_rows_have_no_gradient);
    tcase_add_loop_test(core, rounded_step_is_acceptable, 0, 2 * NUM_SHAPES);
    tcase_add_unchecked_fixture(core, use_one_thread, NULL);
    suite_add_tcase(suite, core);
    TCase *mutation = tcase_create("mutation");
    tcase_set_timeout(mutation, 120);
    tcase_add_loop_test(mutation, every_deletion_is_caught, 0, 8 * tw_schedule_count());
    tcase_add_loop_test(mutation, every_deletion_beside_dropout_is_caught, 0, tw_schedule_count());
    tcase_add_unchecked_fixture(mutation, use_one_thread, NULL);
    suite_add_tcase(suite, mutation);
    TCase *counts = tcase_create("counts");
    tcase_set_timeout(counts, 120);
    tcase_add_loop_test(counts, three_truths_agree, 0, NUM_SHAPES);
    tcase_add_test(counts, long_rows_are_read_twice);
    tcase_add_test(counts, the_papers_formulas);
    tcase_add_test(counts, published_tiles_do_not_fit);
    tcase_add_test(counts, flops_are_twice_or_two_and_a_half_times_the_forward_pass);
    tcase_add_test(counts, bytes_of_dropout);
    tcase_add_test(counts, figure_2_left);
    tcase_add_test(counts, a_million_tokens);
    tcase_add_test(counts, compulsory_hbm_bytes);
    tcase_add_unchecked_fixture(counts, use_one_thread, NULL);
    suite_add_tcase(suite, counts);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, rules_are_enforced, 0, (int)(sizeof broken_cases / sizeof broken_cases[0]));
    tcase_add_test(errors, refuses_what_has_no_backward_pass);
    tcase_add_test(errors, registry_pairs);
    suite_add_tcase(suite, errors);
    return suite;
}
