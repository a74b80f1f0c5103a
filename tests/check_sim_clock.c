/* The clock: what it says adds up, is never faster than the hardware can be, follows from the order of operations, and
 * is as near to the recorded cycles as docs/theory/clock.md says. */
#include "check_tilewise.h"

#include "../sim/predict_errors.h"
#include "../sim/timeline.h"
#include "../sim/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tw_problem shape(int batch, int heads, int n, int d, bool causal)
{
    return (tw_problem){.batch = batch,
                        .num_heads = heads,
                        .num_heads_kv = heads,
                        .seqlen_q = n,
                        .seqlen_k = n,
                        .head_dim = d,
                        .dtype = TW_FP16,
                        .causal = causal};
}

static tw_machine h100(void)
{
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, "h100"), TW_OK);
    return m;
}

static tw_prediction predict_on(const char *kernel, const tw_problem *p, const tw_machine *m)
{
    tw_predict_options how = TW_PREDICT_DEFAULTS;
    tw_prediction r;
    tw_build build;
    ck_assert_msg(tw_build_find(&build, kernel, p, m, 0, 0) == TW_OK, "%s", tw_error_message());
    ck_assert_msg(tw_predict(&r, &build, p, m, &how) == TW_OK, "%s: %s", kernel, tw_error_message());
    return r;
}

static tw_prediction predict(const char *kernel, tw_problem p)
{
    tw_machine m = h100();
    return predict_on(kernel, &p, &m);
}

static const char *const kernels[] = {"00_standard",   "01_standard_cublas",
                                      "10_flash1",     "20_flash2",
                                      "25_mma",        "26_cp_async",
                                      "27_swizzle",    "30_flash2_mma",
                                      "40_wgmma",      "41_warp_specialized",
                                      "42_pingpong",   "43_overlap",
                                      "44_persistent", "45_lazy_rescale",
                                      "fa2",           "fa3",
                                      "cudnn",         "flex"};
enum { NUM_KERNELS = sizeof kernels / sizeof kernels[0] };

/* ---- sums ----------------------------------------------------------------------------------------------- */

START_TEST(test_terms_and_phases_sum_to_cycles)
{
    tw_prediction r = predict(kernels[_i], shape(2, 16, 1000, 64, _i % 2 == 1));
    double terms = 0, phases = 0;
    for (int t = 0; t < TW_NUM_TERMS; t++) {
        ck_assert(r.total.terms[t] >= 0);
        terms += r.total.terms[t];
        for (int phase = 0; phase < TW_NUM_PHASES; phase++)
            phases += r.total.phases[phase][t];
    }
    ck_assert_double_eq_tol(terms / r.total.cycles, 1, 1e-9);
    ck_assert_double_eq_tol(phases / r.total.cycles, 1, 1e-9);
}
END_TEST

/* Nobody multiplies faster than the pipes, nor reads HBM faster than it delivers. */
START_TEST(test_no_faster_than_the_hardware)
{
    tw_machine m = h100();
    tw_prediction r = predict(kernels[_i], shape(1, 16, 2048, 128, false));
    const tw_counts *n = &r.counts.total;
    double rate = r.build.multiplier == TW_BY_FMA   ? 2 * m.fmas_per_clock
                  : r.build.multiplier == TW_BY_MMA ? m.mma_fp16_flops_per_clock
                                                    : m.wgmma_fp16_flops_per_clock;
    double products = (double)n->flops_executed / rate / m.num_sms;
    double exps = (double)n->exps / m.exps_per_clock / m.num_sms;
    ck_assert_msg(r.total.cycles > products, "%s: %.0f cycles, the products alone need %.0f", kernels[_i],
                  r.total.cycles, products);
    ck_assert(r.total.cycles > exps);
    ck_assert(r.power.time_s > (double)n->hbm_read_bytes / m.hbm_read_bytes_per_s);
    ck_assert(r.power.clock_hz <= m.clock_hz && r.power.clock_hz > 0.5 * m.clock_hz);
    ck_assert(r.power.lasting_clock_hz <= m.clock_hz && r.power.power_w <= m.limit_w + 1e-6);
}
END_TEST

/* The same again is the same; more keys take longer, a causal mask less. */
START_TEST(test_shapes)
{
    const char *k = kernels[_i];
    double once = predict(k, shape(1, 16, 2048, 64, false)).total.cycles;
    ck_assert_double_eq(once, predict(k, shape(1, 16, 2048, 64, false)).total.cycles);
    ck_assert(predict(k, shape(1, 16, 4096, 64, false)).total.cycles > 2 * once);
    ck_assert(predict(k, shape(1, 16, 2048, 64, true)).total.cycles <= 1.001 * once);
}
END_TEST

/* Blocks that go on as they began need not all be played: it makes less than 1 % of difference, in keys and heads. */
START_TEST(test_many_blocks_are_as_long_as_few_say)
{
    double one = predict("20_flash2", shape(33, 16, 1024, 64, false)).total.cycles;
    double ten = predict("20_flash2", shape(330, 16, 1024, 64, false)).total.cycles;
    ck_assert_double_eq_tol(ten / one, 10, 0.1);
}
END_TEST

/* ---- what follows from the order of operations ---------------------------------------------------------- */

/* Turns help, overlap helps more; and neither moves a byte more. */
START_TEST(test_overlap_is_a_result)
{
    tw_problem p = shape(1, 16, 4096, 128, false);
    tw_prediction serial = predict("41_warp_specialized", p), turns = predict("42_pingpong", p),
                  overlap = predict("43_overlap", p);
    ck_assert(turns.total.cycles < 0.98 * serial.total.cycles);
    ck_assert(overlap.total.cycles < 0.98 * turns.total.cycles);
    ck_assert_int_eq(serial.counts.total.sram_fill_bytes, overlap.counts.total.sram_fill_bytes);
    ck_assert(overlap.total.terms[TW_TERM_CORES] < 0.5 * serial.total.terms[TW_TERM_CORES]);
}
END_TEST

/* A number that is said to be twice as good is what a prediction profits from, where it binds. */
START_TEST(test_constants_bind)
{
    tw_problem p = shape(4, 32, 1024, 64, false);
    tw_machine m = h100(), other = m;
    double before = predict_on("01_standard_cublas", &p, &m).total.cycles;
    other.hbm_read_bytes_per_s *= 2, other.hbm_write_bytes_per_s *= 2, other.hbm_copy_bytes_per_s *= 2;
    ck_assert(predict_on("01_standard_cublas", &p, &other).total.cycles < 0.75 * before);
    other = m;
    other.softmax_cycles_per_key *= 0.5;
    before = predict_on("43_overlap", &p, &m).total.cycles;
    ck_assert(predict_on("43_overlap", &p, &other).total.cycles < 0.9 * before);
    other = m;
    other.wgmma_fp16_flops_per_clock *= 2;
    ck_assert(predict_on("43_overlap", &p, &other).total.cycles < before);
}
END_TEST

/* A lower limit lowers the clock, and no limit leaves it where the mix of instructions allows it. */
START_TEST(test_power)
{
    tw_problem p = shape(1, 16, 16384, 128, false);
    tw_machine m = h100(), other = m;
    tw_power is = predict_on("44_persistent", &p, &m).power;
    ck_assert(is.clock_hz < m.mixed_clock_hz && is.lasting_clock_hz < is.clock_hz);
    ck_assert_double_eq_tol(is.power_w, m.limit_w, 1);
    ck_assert_double_eq_tol(is.energy_j, is.power_w * is.lasting_time_s, 1e-9);
    other.limit_w = other.burst_limit_w = 0;
    tw_power free = predict_on("44_persistent", &p, &other).power;
    ck_assert_double_eq_tol(free.clock_hz / m.mixed_clock_hz, 1, 1e-6);
    ck_assert(isnan(free.energy_j));
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------- */

START_TEST(test_refused)
{
    tw_problem p = shape(1, 16, 1024, 128, false);
    tw_predict_options how = TW_PREDICT_DEFAULTS;
    tw_machine m = h100();
    tw_prediction r;
    tw_build build;
    ck_assert_int_eq(tw_build_find(&build, "44_persistent", &p, &m, 64, 64), TW_EUNSUPPORTED);
    p.dtype = TW_FP32;
    ck_assert_int_eq(tw_build_find(&build, "44_persistent", &p, &m, 0, 0), TW_EUNSUPPORTED);
    p.dtype = TW_FP16;
    p.mask = (tw_masks){.window = true, .window_left = 100, .window_right = 0};
    ck_assert_int_eq(tw_build_find(&build, "44_persistent", &p, &m, 0, 0), TW_EUNSUPPORTED);
    p.mask = (tw_masks){.window = false};
    ck_assert_int_eq(tw_build_find(&build, "44_persistent", &p, &m, 0, 0), TW_OK);
    m.softmax_cycles_per_key = 0;
    ck_assert_int_eq(tw_predict(&r, &build, &p, &m, &how), TW_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "softmax_cycles_per_key"));
    ck_assert_int_eq(tw_machine_find(&m, "paper"), TW_OK);
    ck_assert_int_eq(tw_predict(&r, &build, &p, &m, &how), TW_EUNSUPPORTED);
}
END_TEST

/* ---- timelines ------------------------------------------------------------------------------------------ */

typedef struct watched {
    double products, cores, last_end[2][TW_MOST_AGENTS][16];
    int spans;
} watched;

/* Spans of an agent's products follow each other, as those of its other work do. */
static void watch(void *self, const tw_span *s)
{
    watched *w = self;
    bool product = s->pipe == TW_PIPE_TENSOR;
    ck_assert(s->end > s->begin && s->agent < TW_MOST_AGENTS && s->lane < 16);
    w->spans++;
    w->products += product ? s->end - s->begin : 0;
    w->cores += s->pipe == TW_PIPE_CORES ? s->end - s->begin : 0;
    if (s->pipe == TW_PIPE_COPY)
        return;
    double *last = &w->last_end[product][s->agent][s->lane];
    ck_assert_msg(s->begin >= *last - 1e-6, "agent %d is at two things at a time", s->agent);
    *last = s->end;
}

START_TEST(test_spans)
{
    tw_machine m = h100();
    tw_problem p = shape(1, 16, 1024, 128, false);
    tw_prediction r = predict_on("43_overlap", &p, &m);
    watched w = {.spans = 0};
    tw_clock_observer observer = {watch, &w};
    ck_assert_int_eq(tw_predict_watch(&r, &p, &m, 0, 1, &observer), TW_OK);
    double pieces = 4.0 * 128 * 1024 * 128 / m.wgmma_fp16_flops_per_clock; /* of one query tile */
    ck_assert(w.products >= pieces && w.products <= pieces / m.wgmma_speed_beside_softmax + 1);
    ck_assert(w.cores > 0 && w.spans > 100);
}
END_TEST

/* ---- tilings -------------------------------------------------------------------------------------------- */

START_TEST(test_tune)
{
    tw_machine m = h100();
    tw_problem p = shape(1, 16, 2048, 128, false);
    tw_trials t;
    ck_assert_int_eq(tw_tune(&t, "flash2", &p, 0, &m), TW_OK);
    ck_assert(t.num_fit > 10 && t.num_fit < t.count);
    for (int i = 0; i < t.count; i++) {
        ck_assert((t.all[i].result != NULL) == (i < t.num_fit));
        ck_assert((t.all[i].refusal[0] != '\0') == (i >= t.num_fit));
        if (i > 0 && i < t.num_fit)
            ck_assert(t.all[i].result->power.time_s >= t.all[i - 1].result->power.time_s);
    }
    tw_trials_free(&t);
    ck_assert_int_eq(tw_tune(&t, "30_flash2_mma", &p, 0, &m), TW_OK);
    ck_assert_int_eq(t.num_fit, 4);
    tw_trials_free(&t);
    ck_assert_int_eq(tw_tune(&t, "nobody", &p, 0, &m), TW_EINVAL);
    p.head_dim = 96;
    ck_assert_int_eq(tw_tune(&t, "20_flash2", &p, 0, &m), TW_EUNSUPPORTED);
}
END_TEST

/* ---- accuracy ------------------------------------------------------------------------------------------- */

/* The mean of |error|, in per cent, that docs/theory/clock.md tells, and a little room: it must not get worse unseen. */
static const struct {
    const char *file, *kernel;
    tw_quantity quantity;
    double at_most;
} accuracy[] = {
    {"counters", "01_standard_cublas", TW_QUANTITY_CYCLES, 2.5},
    {"counters", "20_flash2", TW_QUANTITY_CYCLES, 7.0},
    {"counters", "25_mma", TW_QUANTITY_CYCLES, 5.0},
    {"counters", "26_cp_async", TW_QUANTITY_CYCLES, 5.5},
    {"counters", "30_flash2_mma", TW_QUANTITY_CYCLES, 8.5},
    {"library", "fa3", TW_QUANTITY_CYCLES, 3.0},
    {"library", "fa3", TW_QUANTITY_TIME, 5.0},
    {"library", "fa2", TW_QUANTITY_TIME, 8.5},
    {"bench", "01_standard_cublas", TW_QUANTITY_TIME, 2.5},
    {"bench", "27_swizzle", TW_QUANTITY_ENERGY, 4.0},
};

START_TEST(test_accuracy)
{
    char path[100];
    snprintf(path, sizeof path, "notebooks_data/h100/%s.csv", accuracy[_i].file);
    tw_measured_list all = {.rows = NULL}, list = {.rows = NULL};
    tw_row_error *errors;
    if (access(path, F_OK) != 0)
        return; /* nothing is recorded */
    ck_assert_msg(tw_measured_read(&all, path) == TW_OK, "%s", tw_error_message());
    list.rows = calloc(all.count, sizeof *list.rows);
    for (size_t i = 0; i < all.count; i++)
        if (strcmp(all.rows[i].kernel, accuracy[_i].kernel) == 0)
            list.rows[list.count++] = all.rows[i];
    ck_assert_msg(tw_predict_errors(&errors, &list) == TW_OK, "%s", tw_error_message());
    tw_error_sum s = tw_error_sum_of(errors, list.count, accuracy[_i].kernel, accuracy[_i].quantity, 0);
    ck_assert(s.cases > 10);
    ck_assert_msg(100 * s.mean_abs <= accuracy[_i].at_most, "%s: %.2f %% in %s", accuracy[_i].kernel,
                  100 * s.mean_abs, tw_quantity_name(accuracy[_i].quantity));
    free(errors);
    tw_measured_free(&list);
    tw_measured_free(&all);
}
END_TEST

Suite *tw_suite_sim_clock(void)
{
    Suite *s = suite_create("sim_clock");
    TCase *core = tcase_create("core"), *recorded = tcase_create("recorded");
    tcase_set_timeout(core, 60);
    tcase_set_timeout(recorded, 60);
    tcase_add_loop_test(core, test_terms_and_phases_sum_to_cycles, 0, NUM_KERNELS);
    tcase_add_loop_test(core, test_no_faster_than_the_hardware, 0, NUM_KERNELS);
    tcase_add_loop_test(core, test_shapes, 0, NUM_KERNELS);
    tcase_add_test(core, test_many_blocks_are_as_long_as_few_say);
    tcase_add_test(core, test_overlap_is_a_result);
    tcase_add_test(core, test_constants_bind);
    tcase_add_test(core, test_power);
    tcase_add_test(core, test_refused);
    tcase_add_test(core, test_spans);
    tcase_add_test(core, test_tune);
    tcase_add_loop_test(recorded, test_accuracy, 0, (int)(sizeof accuracy / sizeof accuracy[0]));
    suite_add_tcase(s, core);
    suite_add_tcase(s, recorded);
    return s;
}
