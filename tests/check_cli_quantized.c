/* Codes and scales on the command line: runs that agree, outputs of others that are checked, errors over seeds, and what is
 * refused. */
#include "../cpu_ref/attention.h"
#include "../cpu_ref/quantized.h"
#include "../sim/deviation.h"
#include "../sim/schedules/registry.h"
#include "check_tilewise.h"
#include "support_process.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *tw_suite_cli_quantized(void);

/* ---- run, io, predict ------------------------------------------------------------------------------------ */

static const char *const agreeing[] = {
    "--algorithm flash2,flash3_fp8,standard_tiled --quantize e4m3",
    "--algorithm flash2,flash3 --quantize e5m2 --scales block --hadamard --causal --heads-kv 1",
    "--algorithm flash2,int_flash --quantize int8 --scales token --window 20,0",
    "--algorithm flash2_prefetch,flash3_fp8 --quantize e4m3 --scales block --scale-block 64,32 --dropout 0.2",
    "--algorithm flash3_fp8 --quantize e4m3 --softcap 5 --sink-logit 1 --exact",
    "--algorithm flash2 --quantize e4m3 --dtype bf16 --scales token --exact",
    "--algorithm flash3_fp8 --quantize e4m3 --accumulate hopper-fp8",
    "--quantize e4m3",
};
enum { NUM_AGREEING = sizeof agreeing / sizeof agreeing[0] };

START_TEST(runs_agree)
{
    tw_process p = tw_tilewise_f("run --seqlen 150 --heads 2 --head-dim 32 %s", agreeing[_i]);
    ck_assert_msg(p.exit_code == 0, "%s: %s%s", agreeing[_i], p.err, p.out);
    ck_assert_ptr_null(strstr(p.out, "NOT AGREE"));
    ck_assert_ptr_nonnull(strstr(p.out, "with codes'"));
    tw_process_free(&p);
}
END_TEST

/* Too few bits for the sums are noticed. */
START_TEST(narrow_sums_do_not_agree)
{
    tw_process p = tw_expect_exit(
        1, "run --algorithm flash3_fp8 --seqlen 300 --heads 1 --quantize e4m3 --accumulate 6");
    ck_assert_ptr_nonnull(strstr(p.out, "DOES NOT AGREE"));
    tw_process_free(&p);
}
END_TEST

/* A clock that is told the rate of fp8 is faster by less than two: softmax is as slow as before. */
START_TEST(clock_takes_the_rate_of_fp8)
{
    tw_expect_refusal("predict --algorithm flash3_fp8 --quantize e4m3 --seqlen 4k",
                      "wgmma_fp8_flops_per_clock|h100");
    tw_expect_refusal("predict --algorithm flash2 --quantize e4m3 --seqlen 4k", "no time|wgmma");
    tw_expect_refusal("predict --algorithm flash3 --quantize int8 --seqlen 4k", "no time|int8");
    tw_process fp16 = tw_expect_exit(0, "predict --algorithm flash3 --seqlen 4k --csv -");
    tw_process fp8 = tw_expect_exit(0, "predict --algorithm flash3 --seqlen 4k --quantize e4m3 --set "
                                       "wgmma_fp8_flops_per_clock=8192 --csv -");
    double cycles[2];
    for (int i = 0; i < 2; i++) { /* the column `cycles` is the 17th */
        char *row = strrchr(i ? fp8.out : fp16.out, '\n');
        ck_assert_ptr_nonnull(row);
        *row = '\0';
        row = strrchr(i ? fp8.out : fp16.out, '\n');
        for (int c = 0; c < 16; c++)
            row = strchr(row, ',') + 1;
        cycles[i] = atof(row);
    }
    ck_assert_double_gt(cycles[0], 1.1 * cycles[1]);
    ck_assert_double_lt(cycles[0], 2.0 * cycles[1]);
    tw_process_free(&fp16), tw_process_free(&fp8);
}
END_TEST

static const struct {
    const char *line, *words;
} refusals[] = {
    {"run --quantize fp8", "--quantize|'fp8'|e4m3"},
    {"run --quantize e4m3 --scales row", "--scales|'row'|token"},
    {"run --scales block", "--scales|--quantize"},
    {"io --hadamard", "--hadamard|--quantize"},
    {"run --quantize e4m3 --scale-block 64", "--scale-block|--scales=block"},
    {"run --quantize e4m3 --hadamard --head-dim 96", "head_dim is 96|power of two"},
    {"run --quantize e4m3 --scales block --scale-block 96 --algorithm flash2", "96|divide|128"},
    {"run --quantize e4m3 --algorithm flash1", "flash1|quantised"},
    {"run --quantize e4m3 --algorithm int_flash", "int_flash|int8"},
    {"run --algorithm flash3_fp8", "flash3_fp8|--quantize=e4m3"},
    {"run --quantize int8 --algorithm standard", "standard|int8"},
    {"run --quantize e4m3 --latent --head-dim-v 64 --algorithm flash2", "quantised|part of K"},
    {"run --quantize e4m3 --cu-seqlens 0,10,30 --algorithm flash2", "quantised|packed"},
    {"run --quantize e4m3 --pass both --algorithm flash2", "backward|quantised"},
    {"run --quantize e4m3 --accumulate 53", "--accumulate|'53'|52"},
    {"run --quantize e4m3 --accumulate 14 --exact", "--accumulate|--exact"},
    {"deviation --study fp4", "--study|'fp4'|bits"},
    {"deviation --seeds 0", "--seeds|0"},
    {"deviation --seeds 100000", "--seeds|10000"},
    {"deviation --head-dim 96 --seqlen 128 --seeds 1", "96|power of two"},
    {"deviation --csv /nonexistent/x.csv", "/nonexistent"},
};
enum { NUM_REFUSALS = sizeof refusals / sizeof refusals[0] };

START_TEST(refuses)
{
    tw_expect_refusal(refusals[_i].line, refusals[_i].words);
}
END_TEST

/* ---- check ----------------------------------------------------------------------------------------------- */

/* Files of a problem with codes of e4m3 or int8, and the output of a plain program. */
typedef struct files {
    const char *folder;
    tw_problem p;
    tw_quantized codes;
} files;

static void write(const files *f, const char *name, const double *x, tw_dtype dtype, int heads, int rows)
{
    char path[512];
    const int64_t shape[] = {f->p.batch, rows, heads, f->p.head_dim};
    snprintf(path, sizeof path, "%s/%s.npy", f->folder, name);
    ck_assert_int_eq(tw_npy_write(path, x, dtype, 4, shape), TW_OK);
}

static void write_scales(const files *f, const char *name, tw_quantized_tensor tensor, int num_dims,
                         const int64_t *shape)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.npy", f->folder, name);
    ck_assert_int_eq(tw_npy_write(path, f->codes.scale[tensor], TW_FP32, num_dims, shape), TW_OK);
}

static files make_files(tw_quantize quantize)
{
    files f = {.folder = tw_new_folder(),
               .p = {.batch = 2,
                     .num_heads = 4,
                     .num_heads_kv = 2,
                     .seqlen_q = 33,
                     .seqlen_k = 47,
                     .head_dim = 16,
                     .dtype = TW_FP16,
                     .causal = true,
                     .quantize = quantize}};
    const tw_problem *p = &f.p;
    size_t n[] = {tw_problem_q_elements(p), tw_problem_k_elements(p), tw_problem_v_elements(p)};
    double *x[3], *o = malloc(n[0] * sizeof *o), scratch[64];
    for (int i = 0; i < 3; i++) {
        x[i] = malloc(n[i] * sizeof(double));
        tw_random_normal(x[i], n[i], 4, (uint64_t)i);
        for (size_t j = 0; j < n[i]; j++)
            x[i][j] = tw_dtype_round(TW_FP16, x[i][j]);
    }
    write(&f, "q", x[0], TW_FP16, 4, 33), write(&f, "k", x[1], TW_FP16, 2, 47),
        write(&f, "v", x[2], TW_FP16, 2, 47);
    ck_assert_int_eq(tw_quantize_inputs(&f.codes, p, x[0], x[1], x[2]), TW_OK);
    write(&f, "q8", f.codes.code[0], quantize.format, 4, 33);
    write(&f, "k8", f.codes.code[1], quantize.format, 2, 47);
    write(&f, "v8", f.codes.code[2], quantize.format, 2, 47);
    for (int i = 0; i < 3; i++)
        tw_dequantize(x[i], (tw_quantized_tensor)i, p, &f.codes);
    for (int b = 0; b < 2; b++)
        for (int h = 0; h < 4; h++)
            for (int row = 0; row < 33; row++)
                tw_attention_quantized_row(o + tw_problem_o_row(p, b, h, row), NULL, p, x[0], x[1], x[2], b,
                                           h, row, scratch);
    write(&f, "o", o, TW_FP16, 4, 33);
    for (int i = 0; i < 3; i++)
        free(x[i]);
    free(o);
    return f;
}

static void check(const files *f, int exit_code, const char *options, const char *word)
{
    const char *d = f->folder;
    tw_process p = tw_tilewise_f("check --q %s/q8.npy --k %s/k8.npy --v %s/v8.npy --o %s/o.npy --causal %s",
                                 d, d, d, d, options);
    ck_assert_msg(p.exit_code == exit_code, "%s: exit %d, %s%s", options, p.exit_code, p.out, p.err);
    ck_assert_msg(strstr(exit_code == 2 ? p.err : p.out, word) != NULL, "%s: %s%s", options, p.out, p.err);
    tw_process_free(&p);
}

START_TEST(codes_with_a_scale_a_tensor)
{
    files f = make_files((tw_quantize){.format = TW_E4M3});
    char options[1024];
    const double s[] = {f.codes.scale[0][0], f.codes.scale[1][0], f.codes.scale[2][0]};
    snprintf(options, sizeof options, "--quantize e4m3 --q-scale %.9g --k-scale %.9g --v-scale %.9g", s[0],
             s[1], s[2]);
    check(&f, 0, options, "agrees");
    snprintf(options, sizeof options, "--quantize e4m3 --q-scale %.9g --k-scale %.9g --v-scale %.9g", s[0],
             s[1], 2 * s[2]);
    check(&f, 1, options, "does not agree");
    snprintf(options, sizeof options, "--quantize e5m2 --q-scale %.9g --k-scale %.9g --v-scale %.9g", s[0],
             s[1], s[2]);
    check(&f, 2, options, "no finite number in e5m2");
    check(&f, 2, "--quantize e4m3 --q-scale 1 --k-scale 1", "--v-scale is missing");
    check(&f, 2, "--q-scale 1 --k-scale 1 --v-scale 1", "--quantize");
    check(&f, 2, "--quantize e4m3 --q-scale inf --k-scale 1 --v-scale 1", "finite");
    check(&f, 2, "--quantize e4m3 --q-scale none.npy --k-scale 1 --v-scale 1", "none.npy");
    check(&f, 2, "", "|u1");
    tw_quantized_free(&f.codes);
    tw_remove_folder(f.folder);
}
END_TEST

START_TEST(codes_with_scales_in_files)
{
    files f = make_files(
        (tw_quantize){.format = TW_INT8, .scales = TW_SCALES_BLOCK, .block_rows = 8, .block_keys = 16});
    char options[1024];
    write_scales(&f, "qs", TW_QUANTIZED_Q, 3, (const int64_t[]){2, 4, 5});
    write_scales(&f, "ks", TW_QUANTIZED_K, 3, (const int64_t[]){2, 2, 3});
    write_scales(&f, "vs", TW_QUANTIZED_V, 3, (const int64_t[]){2, 2, 3});
    const char *d = f.folder;
    snprintf(
        options, sizeof options,
        "--quantize int8 --scale-block 8,16 --scales block --q-scale %s/qs.npy --k-scale %s/ks.npy --v-scale "
        "%s/vs.npy",
        d, d, d);
    check(&f, 0, options, "agrees");
    snprintf(
        options, sizeof options,
        "--quantize int8 --scale-block 8,8 --scales block --q-scale %s/qs.npy --k-scale %s/ks.npy --v-scale "
        "%s/vs.npy",
        d, d, d);
    check(&f, 2, options, "12 scales, it must have 1, 4 (batch x heads) or 24");
    tw_quantized_free(&f.codes);
    tw_remove_folder(f.folder);
}
END_TEST

/* Numbers become codes as `run` makes them. */
START_TEST(numbers_become_codes)
{
    files f = make_files((tw_quantize){.format = TW_E5M2, .hadamard = true, .hadamard_seed = 1});
    const char *d = f.folder;
    tw_process p = tw_tilewise_f(
        "check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --causal --quantize e5m2 "
        "--hadamard",
        d, d, d, d);
    ck_assert_msg(p.exit_code == 0, "%s%s", p.out, p.err);
    tw_process_free(&p);
    p = tw_tilewise_f("check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --causal", d, d, d, d);
    ck_assert_int_eq(p.exit_code, 1); /* what e5m2 costs is not what fp16 costs */
    tw_process_free(&p);
    tw_quantized_free(&f.codes);
    tw_remove_folder(f.folder);
}
END_TEST

/* ---- errors over seeds ----------------------------------------------------------------------------------- */

enum { SEEDS = 10, NUM_METHODS = 4 };

static double median_ratio(const tw_deviation *found, int i)
{
    double ratio[SEEDS];
    for (int s = 0; s < SEEDS; s++)
        ratio[s] = found[s * NUM_METHODS].rms / found[s * NUM_METHODS + i].rms;
    return tw_quantile(ratio, SEEDS, 0.5);
}

/* FlashAttention 3's claim: both techniques together halve the error at least; incoherent processing carries that, scales of
 * blocks alone do not. */
START_TEST(incoherent_processing_carries_it)
{
    const tw_method methods[NUM_METHODS] = {
        {"standard", &tw_schedule_standard, .dtype = TW_FP16, .quantize = {.format = TW_E4M3}},
        {"both", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
         .quantize = {.format = TW_E4M3, .scales = TW_SCALES_BLOCK, .hadamard = true, .hadamard_seed = 1}},
        {"rotated", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
         .quantize = {.format = TW_E4M3, .hadamard = true, .hadamard_seed = 1}},
        {"blocks", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
         .quantize = {.format = TW_E4M3, .scales = TW_SCALES_BLOCK}},
    };
    const tw_deviation_shape shape = {
        .rows = 64, .seqlen_k = 4096, .head_dim = 128, .input = TW_INPUT_OUTLIERS};
    tw_deviation found[SEEDS * NUM_METHODS];
    tw_machine h100;
    ck_assert_int_eq(tw_machine_find(&h100, "h100"), TW_OK);
    ck_assert_int_eq(tw_deviation_measure(found, &shape, methods, NUM_METHODS, 1, SEEDS, &h100), TW_OK);
    ck_assert_double_ge(median_ratio(found, 1), 2.0);
    ck_assert_double_ge(median_ratio(found, 2), 0.8 * median_ratio(found, 1));
    ck_assert_double_le(median_ratio(found, 3), 1.5);
}
END_TEST

START_TEST(inputs_are_of_their_distributions)
{
    enum { N = 200000 };
    static double x[N];
    const double variances[] = {1.0 + 100.0 * 0.001, 1.0, 1.0 / 12.0};
    for (int kind = TW_INPUT_OUTLIERS; kind <= TW_INPUT_UNIFORM; kind++) {
        double sum = 0.0, squares = 0.0, largest = 0.0;
        tw_input_draw(x, N, (tw_input_kind)kind, 3, 1);
        for (int i = 0; i < N; i++)
            sum += x[i], squares += x[i] * x[i], largest = fmax(largest, fabs(x[i]));
        ck_assert_double_eq_tol(sum / N, 0.0, 0.012);
        ck_assert_double_eq_tol(squares / N, variances[kind], 0.06 * variances[kind]);
        ck_assert(kind == TW_INPUT_OUTLIERS ? largest > 15
                  : kind == TW_INPUT_NORMAL ? largest < 6
                                            : largest <= 0.5);
    }
}
END_TEST

START_TEST(deviation_is_a_table_and_csv)
{
    static const char *const studies[] = {"fp8", "int8", "bits", "length"};
    const int rows[] = {7, 4, 28, 7};
    for (int i = 0; i < 4; i++) {
        tw_process p = tw_tilewise_f(
            "deviation --study %s --seeds 2 --seqlen 64 --rows 4 --head-dim 16 --csv -", studies[i]);
        int lines = 0;
        for (const char *c = p.out; *c; c++)
            lines += *c == '\n';
        ck_assert_int_eq(p.exit_code, 0);
        ck_assert_int_eq(lines, rows[i] + 3); /* two comments, a header */
        ck_assert_ptr_nonnull(strstr(p.out, "study,input,queries,seqlen_k,head_dim,seeds,method"));
        tw_process_free(&p);
    }
    tw_process p = tw_expect_exit(0, "deviation --seeds 2 --seqlen 64 --rows 4 --head-dim 16");
    ck_assert_ptr_nonnull(strstr(p.out, "2.4e-02"));
    tw_process_free(&p);
}
END_TEST

Suite *tw_suite_cli_quantized(void)
{
    Suite *suite = suite_create("cli_quantized");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, runs_agree, 0, NUM_AGREEING);
    tcase_add_test(core, narrow_sums_do_not_agree);
    tcase_add_test(core, clock_takes_the_rate_of_fp8);
    tcase_add_test(core, codes_with_a_scale_a_tensor);
    tcase_add_test(core, codes_with_scales_in_files);
    tcase_add_test(core, numbers_become_codes);
    tcase_add_test(core, incoherent_processing_carries_it);
    tcase_add_test(core, inputs_are_of_their_distributions);
    tcase_add_test(core, deviation_is_a_table_and_csv);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, refuses, 0, NUM_REFUSALS);
    suite_add_tcase(suite, errors);
    return suite;
}
