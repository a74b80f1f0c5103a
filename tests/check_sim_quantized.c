/* Schedules on codes: executed they are attention of what the codes are worth, counted they are the closed form, and no
 * operation may be missing. */
#include "../cpu_ref/attention.h"
#include "../cpu_ref/quantized.h"
#include "../sim/backend_count.h"
#include "../sim/backend_numeric.h"
#include "../sim/bounds.h"
#include "../sim/schedules/registry.h"
#include "../sim/tensors.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

Suite *tw_suite_sim_quantized(void);

static const struct shape_case {
    int batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, head_dim_v;
    bool causal;
    int block_m, block_n;
} shapes[] = {
    {1, 1, 1, 1, 1, 16, 0, true, 4, 4},        {1, 2, 1, 31, 31, 64, 0, true, 16, 16},
    {1, 1, 1, 97, 97, 128, 0, false, 128, 64}, {1, 4, 2, 97, 130, 16, 0, true, 64, 32},
    {2, 4, 2, 130, 97, 16, 8, true, 64, 32},   {1, 6, 2, 31, 2, 32, 0, true, 4, 3},
    {1, 2, 2, 1, 300, 128, 0, true, 128, 37},  {1, 1, 1, 31, 97, 16, 0, true, 192, 48},
};
static const tw_quantize quantizes[] = {
    {.format = TW_E4M3},
    {.format = TW_E4M3, .scales = TW_SCALES_BLOCK, .hadamard = true},
    {.format = TW_E5M2, .scales = TW_SCALES_TOKEN},
    {.format = TW_INT8, .scales = TW_SCALES_TOKEN},
    {.format = TW_INT8, .scales = TW_SCALES_BLOCK, .hadamard = true},
};
enum {
    NUM_SHAPES = sizeof shapes / sizeof shapes[0],
    NUM_QUANTIZES = sizeof quantizes / sizeof quantizes[0],
    NUM_CASES = NUM_SHAPES * NUM_QUANTIZES
};

static double *numbers(size_t n)
{
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

static tw_machine machine(const char *name)
{
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, name), TW_OK);
    return m;
}

/* Problem i, its blocks as large as tiles. */
static tw_problem problem_of(int i, tw_tiling *t)
{
    const struct shape_case *c = &shapes[i / NUM_QUANTIZES];
    tw_problem p = {.batch = c->batch,
                    .num_heads = c->heads,
                    .num_heads_kv = c->heads_kv,
                    .seqlen_q = c->seqlen_q,
                    .seqlen_k = c->seqlen_k,
                    .head_dim = c->head_dim,
                    .head_dim_v = c->head_dim_v,
                    .dtype = TW_FP16,
                    .causal = c->causal,
                    .quantize = quantizes[i % NUM_QUANTIZES]};
    *t = (tw_tiling){.block_m = c->block_m, .block_n = c->block_n, .unit = TW_UNIT_TENSOR};
    return tw_problem_in_tiles(&p, t);
}

/* Random numbers, what codes of them are worth, and gold attention of that. */
typedef struct tensors {
    tw_inputs in, worth;
    double *o, *lse, *gold, *gold_lse;
    size_t num_o, num_lse;
} tensors;

static tensors make_tensors(const tw_problem *p)
{
    tensors t = {.num_o = tw_problem_o_elements(p), .num_lse = tw_problem_lse_elements(p)};
    ck_assert_int_eq(tw_inputs_random(&t.in, p, 7), TW_OK);
    t.in.q[0] = 30.0; /* an outlier */
    ck_assert_int_eq(tw_inputs_of_codes(&t.worth, p, &t.in), TW_OK);
    t.o = numbers(t.num_o), t.gold = numbers(t.num_o);
    t.lse = numbers(t.num_lse), t.gold_lse = numbers(t.num_lse);
    ck_assert_int_eq(tw_attention_gold(t.gold, t.gold_lse, p, t.worth.q, t.worth.k, t.worth.v), TW_OK);
    return t;
}

static void free_tensors(tensors *t)
{
    tw_inputs_free(&t->in), tw_inputs_free(&t->worth);
    free(t->o), free(t->lse), free(t->gold), free(t->gold_lse);
}

static tw_status run(tensors *t, tw_numeric_stats *stats, const tw_schedule *schedule, const tw_problem *p,
                     const tw_tiling *tiling, const tw_numeric_options *options)
{
    tw_machine h100 = machine("h100");
    return tw_numeric_run(t->o, t->lse, stats, schedule, p, tiling, &h100, t->in.q, t->in.k, t->in.v,
                          options);
}

/* ---- what is executed ------------------------------------------------------------------------------------ */

START_TEST(exact_run_is_attention_of_what_codes_are_worth)
{
    tw_tiling tiling;
    tw_problem p = problem_of(_i, &tiling);
    tensors t = make_tensors(&p);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    int done = 0;
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *schedule = tw_schedule_at(s);
        if (tw_honours_check(schedule, &p) != TW_OK)
            continue;
        done++;
        ck_assert_msg(run(&t, NULL, schedule, &p, &tiling, &exact) == TW_OK, "%s: %s", schedule->name,
                      tw_error_message());
        tw_error_metrics o = tw_error_of(t.o, t.gold, t.num_o),
                         lse = tw_error_of(t.lse, t.gold_lse, t.num_lse);
        ck_assert_msg(o.num_nan == 0 && o.max_abs_error <= 1e-11, "%s, case %d: O differs by %g",
                      schedule->name, _i, o.max_abs_error);
        ck_assert_msg(!schedule->writes_lse || lse.max_abs_error <= 1e-9, "%s, case %d: LSE differs by %g",
                      schedule->name, _i, lse.max_abs_error);
    }
    ck_assert_int_ge(done, 5);
    free_tensors(&t);
}
END_TEST

/* Rounding P: u of what is normal, eta of all, in units of P itself. */
typedef struct rounding {
    double u, eta;
} rounding;

static rounding rounding_of(const tw_quantize *z)
{
    double p_scale = tw_quantize_p_scale(z);
    return z->format == TW_E4M3   ? (rounding){0x1p-4, 0x1p-10 / p_scale}
           : z->format == TW_E5M2 ? (rounding){0x1p-3, 0x1p-17 / p_scale}
                                  : (rounding){0.0, 0.5 / p_scale};
}

/* The largest difference that two roundings of P, in a schedule and in the plain reference, can make to an element of O,
 * the sums of fp32 (2^-24 of each of their terms) and the rounding of O to fp16, on both sides, besides. A standard
 * algorithm rounds S and P to fp16, too, and makes codes of a P that is divided by l. */
static double allowed(const tw_problem *p, const tensors *t, bool standard, int batch, int head, int row,
                      int c, double *s)
{
    double o[256], m = -INFINITY, l = 0.0, result = 0.0, largest = 0.0;
    int head_kv = tw_problem_kv_head(p, head), keys = tw_problem_keys_seen(p, row);
    rounding r = rounding_of(&p->quantize);
    tw_attention_gold_row(o, NULL, p, t->worth.q, t->worth.k, t->worth.v, batch, head, row, s);
    for (int j = 0; j < keys; j++) {
        s[j] = 0.0;
        for (int i = 0; i < p->head_dim; i++)
            s[j] += t->worth.q[tw_problem_q_row(p, batch, head, row) + (size_t)i] *
                    t->worth.k[tw_problem_k_row(p, batch, head_kv, j) + (size_t)i];
        s[j] *= tw_problem_scale(p);
        m = fmax(m, s[j]), largest = fmax(largest, fabs(s[j]));
    }
    for (int j = 0; j < keys; j++)
        l += exp(s[j] - m);
    double before = standard ? expm1(2 * 0x1p-11 * largest) + 0x1p-10 : 0x1p-20 * (1.0 + largest);
    for (int j = 0; j < keys; j++)
        result += (2 * (r.u + before) * exp(s[j] - m) / l + r.eta * (standard ? 2.0 : 2.0 / l)) *
                  fabs(t->worth.v[tw_problem_v_row(p, batch, head_kv, j) + (size_t)c]);
    return result + 0x1p-10 * (fabs(o[c]) + result) + 0x1p-24;
}

START_TEST(rounded_run_is_the_plain_reference)
{
    tw_tiling tiling;
    tw_problem p = problem_of(_i, &tiling);
    tensors t = make_tensors(&p);
    const tw_numeric_options as_gpu = {.rounding = TW_ROUND_AS_GPU};
    double *s = numbers((size_t)p.seqlen_k), reference[256];
    for (int n = 0; n < tw_schedule_count(); n++) {
        const tw_schedule *schedule = tw_schedule_at(n);
        if (tw_honours_check(schedule, &p) != TW_OK)
            continue;
        bool standard = schedule == &tw_schedule_standard || schedule == &tw_schedule_standard_tiled;
        ck_assert_int_eq(run(&t, NULL, schedule, &p, &tiling, &as_gpu), TW_OK);
        for (int row = 0; row < p.seqlen_q; row += 7) {
            int head = row % p.num_heads, batch = row % p.batch;
            tw_attention_quantized_row(reference, NULL, &p, t.worth.q, t.worth.k, t.worth.v, batch, head, row,
                                       s);
            for (int c = 0; c < tw_problem_head_dim_v(&p); c++) {
                double o = t.o[tw_problem_o_row(&p, batch, head, row) + (size_t)c];
                double bound = allowed(&p, &t, standard, batch, head, row, c, s);
                ck_assert_msg(fabs(o - reference[c]) <= bound, "%s, case %d, row %d: %g is not %g within %g",
                              schedule->name, _i, row, o, reference[c], bound);
            }
        }
    }
    free(s);
    free_tensors(&t);
}
END_TEST

/* ---- three truths ---------------------------------------------------------------------------------------- */

START_TEST(counted_is_executed_is_the_closed_form)
{
    tw_tiling tiling;
    tw_problem p = problem_of(_i, &tiling);
    tensors t = make_tensors(&p);
    tw_machine h100 = machine("h100");
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    for (int s = 0; s < tw_schedule_count(); s++) {
        const tw_schedule *schedule = tw_schedule_at(s);
        tw_numeric_stats stats;
        tw_count_result counted;
        int64_t fill, drain;
        if (tw_honours_check(schedule, &p) != TW_OK)
            continue;
        ck_assert_int_eq(run(&t, &stats, schedule, &p, &tiling, &exact), TW_OK);
        ck_assert_int_eq(tw_count(&counted, schedule, &p, &tiling, &h100), TW_OK);
        ck_assert_int_eq(tw_closed_form_bytes(&fill, &drain, schedule->name, &p, &tiling, &h100), TW_OK);
        ck_assert_int_eq(counted.total.sram_fill_bytes, stats.sram_fill_bytes);
        ck_assert_int_eq(counted.total.sram_drain_bytes, stats.sram_drain_bytes);
        ck_assert_msg(fill == stats.sram_fill_bytes, "%s, case %d: closed form %lld, executed %lld",
                      schedule->name, _i, (long long)fill, (long long)stats.sram_fill_bytes);
        ck_assert_int_eq(drain, stats.sram_drain_bytes);
    }
    free_tensors(&t);
}
END_TEST

/* 4k x 4k, 16 heads of 128: 32 tiles of Q, each with 32 of K and of V; a byte an element, four a scale. */
START_TEST(a_tile_brings_its_scales)
{
    tw_problem p = {.batch = 1,
                    .num_heads = 16,
                    .num_heads_kv = 16,
                    .seqlen_q = 4096,
                    .seqlen_k = 4096,
                    .head_dim = 128,
                    .dtype = TW_FP16,
                    .quantize = {.format = TW_E4M3}};
    tw_tiling t = {.block_m = 128, .block_n = 128, .unit = TW_UNIT_TENSOR};
    tw_machine h100 = machine("h100");
    const int64_t codes = 16 * (4096 * 128 + 32 * 2 * 4096 * 128),
                  scales[] = {32 + 2 * 32 * 32, 32 + 2 * 32 * 32, 4096 + 32 * 4096 + 32 * 32},
                  scales_in_hbm[] = {3, 3 * 32, 4096 + 4096 + 1};
    for (int s = 0; s < 3; s++) {
        tw_count_result c;
        p.quantize.scales = (tw_scales)s;
        ck_assert_int_eq(tw_count(&c, &tw_schedule_flash2, &p, &t, &h100), TW_OK);
        ck_assert_int_eq(c.total.sram_fill_bytes, codes + 16 * 4 * scales[s]);
        ck_assert_int_eq(c.total.hbm_read_bytes, 16 * (3 * 4096 * 128 + 4 * scales_in_hbm[s]));
        ck_assert_int_eq(c.total.sram_drain_bytes, 16 * (4096 * 128 * 2 + 4096 * 4));
        ck_assert_int_eq(c.total.sram_peak_bytes, 3 * 128 * 128);
    }
}
END_TEST

/* ---- every operation is needed --------------------------------------------------------------------------- */

static bool is_caught(tensors *t, const tw_schedule *schedule, const tw_problem *p, const tw_tiling *tiling,
                      int64_t drop)
{
    const tw_numeric_options options = {.rounding = TW_ROUND_NEVER, .drop_one = true, .drop = drop};
    if (run(t, NULL, schedule, p, tiling, &options) != TW_OK)
        return true;
    tw_error_metrics o = tw_error_of(t->o, t->gold, t->num_o),
                     lse = tw_error_of(t->lse, t->gold_lse, t->num_lse);
    return o.num_nan > 0 || o.max_abs_error > 1e-9 ||
           (schedule->writes_lse && (lse.num_nan > 0 || lse.max_abs_error > 1e-9));
}

START_TEST(every_deletion_is_caught)
{
    const tw_schedule *schedule = tw_schedule_at(_i / 2);
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 13,
                    .seqlen_k = 11,
                    .head_dim = 4,
                    .dtype = TW_FP16,
                    .causal = true,
                    .quantize = _i % 2 ? (tw_quantize){.format = TW_INT8, .scales = TW_SCALES_TOKEN}
                                       : (tw_quantize){.format = TW_E4M3, .scales = TW_SCALES_BLOCK}};
    tw_tiling tiling = {.block_m = 4, .block_n = 3, .unit = TW_UNIT_TENSOR};
    p = tw_problem_in_tiles(&p, &tiling);
    if (tw_honours_check(schedule, &p) != TW_OK)
        return;
    tensors t = make_tensors(&p);
    for (int row = 0; row < 11; row++) /* K grows, so that every tile has a new maximum */
        for (int c = 0; c < 4; c++)
            t.in.k[4 * row + c] *= 1.0 + row;
    tw_inputs_free(&t.worth);
    ck_assert_int_eq(tw_inputs_of_codes(&t.worth, &p, &t.in), TW_OK);
    ck_assert_int_eq(tw_attention_gold(t.gold, t.gold_lse, &p, t.worth.q, t.worth.k, t.worth.v), TW_OK);
    tw_numeric_stats stats;
    const tw_numeric_options whole = {.rounding = TW_ROUND_NEVER};
    ck_assert_int_eq(run(&t, &stats, schedule, &p, &tiling, &whole), TW_OK);
    ck_assert(!is_caught(&t, schedule, &p, &tiling, stats.num_ops));
    for (int64_t drop = 0; drop < stats.num_ops; drop++)
        ck_assert_msg(is_caught(&t, schedule, &p, &tiling, drop), "%s without operation %lld passes",
                      schedule->name, (long long)drop);
    free_tensors(&t);
}
END_TEST

/* ---- sums ------------------------------------------------------------------------------------------------ */

/* One query, one key, head_dim 64, S = Σ q · k: with so many bits the sum of 33 numbers is known by hand. */
static double sum_with(tw_sums sums, tw_dtype format)
{
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 1,
                    .seqlen_k = 1,
                    .head_dim = 64,
                    .dtype = TW_FP16,
                    .softmax_scale = 1.0,
                    .quantize = {.format = format}};
    double q[64] = {0}, k[64], v[64] = {0}, o[64], lse;
    for (int i = 0; i < 64; i++)
        k[i] = format == TW_INT8 ? 127.0 : 448.0; /* scale 1 */
    q[0] = format == TW_INT8 ? 127.0 : 448.0;
    q[40] = 1.0; /* in the second group, of 32 or of 16 */
    tw_tiling t = {.block_m = 1, .block_n = 1, .unit = TW_UNIT_TENSOR};
    tw_machine h100 = machine("h100");
    const tw_numeric_options options = {.rounding = TW_ROUND_AS_GPU, .sums = sums};
    ck_assert_int_eq(tw_numeric_run(o, &lse, NULL, &tw_schedule_flash2, &p, &t, &h100, q, k, v, &options),
                     TW_OK);
    return lse; /* of one key: S */
}

START_TEST(sums_are_as_wide_as_asked_for)
{
    /* 448² + 448 = 201152 = 110001000111000000b: 12 significant bits */
    ck_assert_double_eq(sum_with((tw_sums){0}, TW_E4M3), 201152.0);
    ck_assert_double_eq(sum_with((tw_sums){.bits = 14}, TW_E4M3), 201152.0);
    ck_assert_double_eq(sum_with((tw_sums){.bits = 11}, TW_E4M3),
                        201088.0); /* cut, although 201216 is as near */
    ck_assert_double_eq(sum_with((tw_sums){.bits = 9}, TW_E4M3), 200704.0);
    ck_assert(isinf(sum_with((tw_sums){.fp16 = true}, TW_E4M3)) ||
              isnan(sum_with((tw_sums){.fp16 = true}, TW_E4M3)));
    ck_assert_double_eq(sum_with((tw_sums){.bits = 4}, TW_INT8), 127.0 * 127.0 + 127.0); /* int32 */
}
END_TEST

START_TEST(rounding_to_bits_is_that_of_formats)
{
    double x[500];
    tw_random_normal(x, 500, 9, 0);
    for (int i = 0; i < 500; i++) {
        ck_assert_double_eq(tw_round_to_bits(x[i], 7), tw_dtype_round(TW_BF16, x[i]));
        ck_assert_double_eq(tw_round_to_bits(x[i], 10), tw_dtype_round(TW_FP16, x[i]));
        ck_assert_double_eq(tw_round_to_bits(x[i], 23), tw_dtype_round(TW_FP32, x[i]));
    }
    ck_assert_double_eq(tw_round_to_bits(0.0, 3), 0.0);
    ck_assert_double_infinite(tw_round_to_bits(-INFINITY, 3));
}
END_TEST

START_TEST(refuses_what_does_not_go_together)
{
    tw_tiling tiling;
    tw_problem p = problem_of(1, &tiling);
    tensors t = make_tensors(&p);
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    ck_assert_int_eq(run(&t, NULL, &tw_schedule_flash1, &p, &tiling, &exact), TW_EUNSUPPORTED);
    ck_assert_int_eq(run(&t, NULL, &tw_schedule_int_flash, &p, &tiling, &exact), TW_EUNSUPPORTED);
    p.quantize.block_rows = 3; /* of tiles of 4 */
    ck_assert_int_eq(run(&t, NULL, &tw_schedule_flash2, &p, &tiling, &exact), TW_EINVAL);
    p.quantize = (tw_quantize){.format = TW_FP32};
    ck_assert_int_eq(run(&t, NULL, &tw_schedule_flash3_fp8, &p, &tiling, &exact), TW_EUNSUPPORTED);
    p.quantize = (tw_quantize){.format = TW_INT8};
    ck_assert_int_eq(run(&t, NULL, &tw_schedule_standard, &p, &tiling, &exact), TW_EUNSUPPORTED);
    free_tensors(&t);
}
END_TEST

Suite *tw_suite_sim_quantized(void)
{
    Suite *suite = suite_create("sim_quantized");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, exact_run_is_attention_of_what_codes_are_worth, 0, NUM_CASES);
    tcase_add_loop_test(core, rounded_run_is_the_plain_reference, 0, NUM_CASES);
    tcase_add_loop_test(core, counted_is_executed_is_the_closed_form, 0, NUM_CASES);
    tcase_add_test(core, a_tile_brings_its_scales);
    tcase_add_test(core, sums_are_as_wide_as_asked_for);
    tcase_add_test(core, rounding_to_bits_is_that_of_formats);
    suite_add_tcase(suite, core);
    TCase *mutation = tcase_create("mutation");
    tcase_set_timeout(mutation, 300);
    tcase_add_loop_test(mutation, every_deletion_is_caught, 0, 2 * tw_schedule_count());
    suite_add_tcase(suite, mutation);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_what_does_not_go_together);
    suite_add_tcase(suite, errors);
    return suite;
}
