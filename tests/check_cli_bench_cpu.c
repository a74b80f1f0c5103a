/* Attention on a CPU: its prediction follows from the machine's numbers, and bench-cpu tells it beside what it times. */
#include "../sim/cpu_predict.h"
#include "check_tilewise.h"
#include "support_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A CPU of two cores with round numbers. */
static const char machine_text[] = "[machine]\ndescription = made up\nkind = cpu\ncalibrated = yes\n"
                                   "num_sms = 2 | 2026-11-23 | made up\n"
                                   "smem_bytes = 1048576 | 2026-11-23 | made up\n"
                                   "l2_bytes = 33554432 | 2026-11-23 | made up\n"
                                   "product_flops_per_s = 1e11 | 2026-11-23 | made up\n"
                                   "softmax_scores_per_s = 1e9 | 2026-11-23 | made up\n"
                                   "smem_bytes_per_s = 2e11 | 2026-11-23 | made up\n"
                                   "l2_bytes_per_s = 5e10 | 2026-11-23 | made up\n"
                                   "hbm_read_bytes_per_s = 2e10 | 2026-11-23 | made up\n"
                                   "hbm_write_bytes_per_s = 1e10 | 2026-11-23 | made up\n";

static tw_machine made_up(void)
{
    char path[700];
    tw_machine m;
    snprintf(path, sizeof path, "%s/cpu.ini", tw_new_folder());
    tw_write_text(path, machine_text);
    ck_assert_msg(tw_machine_find(&m, path) == TW_OK, "%s", tw_error_message());
    return m;
}

static tw_problem square(int n)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 2,
                        .num_heads_kv = 2,
                        .seqlen_q = n,
                        .seqlen_k = n,
                        .head_dim = 64,
                        .dtype = TW_FP32};
}

/* N² scores a head, 4 d FLOPs each; standard writes them once, changes them once, reads them once. */
START_TEST(test_prediction)
{
    tw_machine m = made_up();
    tw_problem p = square(4096);
    tw_cpu_prediction standard, tiled, fast;
    ck_assert_int_eq(tw_cpu_predict_standard(&standard, &p, &m), TW_OK);
    ck_assert_int_eq(tw_cpu_predict_tiled(&tiled, &p, 256, 128, &m), TW_OK);
    const double scores = 2.0 * 4096 * 4096, product_s = scores * 2 * 64 / 1e11;
    ck_assert_double_eq_tol(standard.products_s / (2 * product_s), 1, 1e-9);
    ck_assert_double_eq_tol(tiled.products_s / (2 * product_s), 1, 1e-9);
    ck_assert_double_eq_tol(standard.softmax_s / (scores / 1e9), 1, 1e-9);
    /* 128 MB of S: none of it stays in 32 MB; softmax takes longer than its bytes */
    const double bytes = 4 * scores;
    ck_assert(bytes / 1e10 < product_s && bytes / 1e10 < scores / 1e9);
    ck_assert_double_eq(standard.memory_s, 0);
    m.product_flops_per_s = 1e13, m.softmax_scores_per_s = 1e11;
    ck_assert_int_eq(tw_cpu_predict_standard(&fast, &p, &m), TW_OK);
    const double streamed_s = bytes * (1 / 1e10 + 1 / 1e10 + 1 / 2e10);
    ck_assert_double_eq_tol(fast.total_s / streamed_s, 1, 0.001);
    m.hbm_write_bytes_per_s = 1e15, m.hbm_read_bytes_per_s = 1e15, m.l2_bytes_per_s = 1e15,
    m.smem_bytes_per_s = 1e15;
    ck_assert_int_eq(tw_cpu_predict_tiled(&fast, &p, 256, 128, &m), TW_OK);
    ck_assert_double_eq_tol(fast.total_s, scores * 4 * 64 / 1e13 + scores / 1e11, 1e-5);
}
END_TEST

/* Under a causal mask tiled attention leaves tiles out, standard attention does not; cores that are done wait. */
START_TEST(test_causal_and_idle_cores)
{
    tw_machine m = made_up();
    tw_problem p = square(4096), causal = p;
    tw_cpu_prediction all, half;
    causal.causal = true;
    ck_assert_int_eq(tw_cpu_predict_tiled(&all, &p, 256, 128, &m), TW_OK);
    ck_assert_int_eq(tw_cpu_predict_tiled(&half, &causal, 256, 128, &m), TW_OK);
    ck_assert_double_lt(half.products_s, 0.53 * all.products_s);
    ck_assert_double_gt(half.products_s, 0.50 * all.products_s);
    ck_assert_int_eq(tw_cpu_predict_standard(&all, &p, &m), TW_OK);
    ck_assert_int_eq(tw_cpu_predict_standard(&half, &causal, &m), TW_OK);
    ck_assert_double_eq(half.products_s, all.products_s);
    p = square(256); /* two pieces of work: one a core; with one head there is one */
    ck_assert_int_eq(tw_cpu_predict_tiled(&all, &p, 256, 128, &m), TW_OK);
    p.num_heads = p.num_heads_kv = 1;
    ck_assert_int_eq(tw_cpu_predict_tiled(&half, &p, 256, 128, &m), TW_OK);
    ck_assert_double_eq_tol(half.total_s / all.total_s, 1, 0.01);
}
END_TEST

START_TEST(test_bench)
{
    char path[700];
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/cpu.ini", folder);
    tw_write_text(path, machine_text);
    tw_process p = tw_tilewise_f(
        "bench-cpu --machine %s --seqlen 100,256 --heads 2 --rounds 3 --csv %s/x.csv", path, folder);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "made up") && strstr(p.out, "N = 100: tiled is ") &&
                      strstr(p.out, "N = 256: tiled is "),
                  "%s%s", p.out, p.err);
    tw_process_free(&p);
    p = tw_tilewise_f("bench-cpu --machine %s --seqlen 256 --heads 2 --rounds 1 --csv -", path);
    const char *row = strstr(p.out, "predicted_time_us,time_us\nstandard,1,2,2,256,256,128,0,0,0,");
    double products, softmax, memory, predicted, measured;
    ck_assert_msg(p.exit_code == 0 && row, "%s%s", p.out, p.err);
    ck_assert_int_eq(sscanf(strchr(row, '\n'), "\nstandard,1,2,2,256,256,128,0,0,0,%lf,%lf,%lf,%lf,%lf",
                            &products, &softmax, &memory, &predicted, &measured),
                     5);
    ck_assert_double_eq_tol(predicted, products + softmax + memory, 0.01 * predicted);
    ck_assert_double_gt(measured, 0);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

static const struct {
    const char *line, *words;
} refused[] = {
    {"bench-cpu --machine h100", "h100 is no CPU"},
    {"bench-cpu --machine laptop", "laptop has no product_flops_per_s|calibrate-cpu"},
    {"bench-cpu --rounds 0", "--rounds is '0'"},
    {"bench-cpu --rounds 2000", "--rounds is 2000|at most 1000"},
    {"bench-cpu --seqlen 0", "--seqlen"},
    {"bench-cpu --window 3,0", "--window"},
};

START_TEST(test_refused)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
}
END_TEST

Suite *tw_suite_cli_bench_cpu(void)
{
    Suite *s = suite_create("cli_bench_cpu");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_prediction);
    tcase_add_test(core, test_causal_and_idle_cores);
    tcase_add_test(core, test_bench);
    tcase_add_loop_test(core, test_refused, 0, sizeof refused / sizeof refused[0]);
    suite_add_tcase(s, core);
    return s;
}
