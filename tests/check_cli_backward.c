/* Backward passes and dropout on the command line: Figure 2 of FlashAttention by commands, gradients written and
 * checked, mistakes named, what cannot be done refused. */
#include "../cpu_ref/attention.h"
#include "check_tilewise.h"
#include "support_markdown.h"
#include "support_process.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *tw_suite_cli_backward(void);

/* ---- counts --------------------------------------------------------------------------------------------------- */

/* Column `number` (from 0) of the only row of a CSV on stdout, which no quoted column goes before. */
static double column_of(const char *csv, int number)
{
    const char *row = strstr(csv, "backward_block_n\n");
    ck_assert_ptr_nonnull(row);
    row = strchr(row, '\n') + 1;
    for (int i = 0; i < number; i++) {
        row = strchr(row, ',');
        ck_assert_ptr_nonnull(row);
        row++;
    }
    return strtod(row, NULL);
}

enum { FILL = 12, DRAIN = 13, FLOPS = 18 };

/* GB and GFLOP that `tilewise io` counts of the shape of Figure 2: N = 1024, 16 heads of 64, batch 64. */
static void figure_2(double *gigabytes, double *gigaflops, const char *options)
{
    char line[400];
    snprintf(line, sizeof line,
             "io --pass both --machine paper --seqlen 1k --head-dim 64 --heads 16 --batch 64 --csv - %s",
             options);
    tw_process p = tw_expect_exit(0, line);
    *gigabytes = 1e-9 * (column_of(p.out, FILL) + column_of(p.out, DRAIN));
    *gigaflops = 1e-9 * column_of(p.out, FLOPS);
    tw_process_free(&p);
}

/* The paper prints 40.3 and 4.4 GB, 66.6 and 75.2 GFLOPs. */
START_TEST(test_figure_2)
{
    const double n = 1024, d = 64, heads = 1024;
    double bytes, flops;
    figure_2(&bytes, &flops, "--algorithm standard");
    ck_assert_double_eq_tol(bytes, 1e-9 * heads * 2 * (11 * n * n + 12 * n * d), 1e-9); /* 25.2 */
    ck_assert_double_eq_tol(flops, 1e-9 * heads * 12 * n * n * d, 1e-9);                /* 825 */
    figure_2(&bytes, &flops, "--algorithm flash1 --sram 224k --block-m 64 --block-n 384");
    double forward = 2 * (2 * n * d + 3 * 3 * n * d) + 4 * 3 * 4 * n;
    double backward = 2 * (4 * n * d + 3 * 5 * n * d) + 4 * 3 * 2 * n;
    ck_assert_double_eq_tol(bytes, 1e-9 * heads * (forward + backward), 1e-9); /* 4.10 */
    ck_assert_double_eq_tol(flops, 1e-9 * heads * 14 * n * n * d, 1e-9);       /* 962 */
    figure_2(&bytes, &flops, "--algorithm standard_unfused --causal --dropout 0.1");
    ck_assert_double_eq_tol(bytes, 40.27, 0.005); /* as printed: mask and dropout are kernels of their own */
    figure_2(&bytes, &flops, "--algorithm flash1"); /* tiles that fit: 384 keys forward, 320 backward */
    ck_assert_double_eq_tol(bytes, 4.78, 0.005);
}
END_TEST

START_TEST(test_passes)
{
    tw_process p = tw_expect_exit(0, "io --pass backward --seqlen 512 --csv -");
    ck_assert(strstr(p.out, "\nstandard_backward,") && strstr(p.out, "\nflash1_backward,") &&
              strstr(p.out, "\nflash2_backward,") && strstr(p.out, ",backward,,\n"));
    ck_assert_msg(!strstr(p.out, "\nflash2,"), "%s", p.out);
    tw_process_free(&p);
    p = tw_expect_exit(0,
                       "io --algorithm flash2_backward --seqlen 512"); /* by its own name, without --pass */
    ck_assert(strstr(p.out, "flash2_backward  128 x 128") || strstr(p.out, "flash2_backward  64 x 128") ||
              strstr(p.out, "flash2_backward   64 x 128"));
    tw_process_free(&p);
    p = tw_expect_exit(0, "io --algorithm flash1_backward,flash2 --pass both --seqlen 512");
    ck_assert_msg(strstr(p.out, "flash1 + backward") && strstr(p.out, "flash2 + backward"), "%s", p.out);
    tw_process_free(&p);
    p = tw_expect_exit(0, "list algorithms");
    ck_assert(strstr(p.out, "\nflash1_backward           2022  Dao et al., arXiv:2205.14135") &&
              strstr(p.out, "\nflash2_backward           2023  Dao, arXiv:2307.08691"));
    tw_process_free(&p);
}
END_TEST

/* ---- gradients, written and checked ---------------------------------------------------------------------------- */

/* Random tensors in files q, k, v and do of a folder: 2 batch elements, 4 query heads on 2, 40 x 56, head_dim 16. */
static void write_inputs(const char *folder)
{
    static const char *const names[] = {"q", "k", "v", "do"};
    for (int i = 0; i < 4; i++) {
        bool of_keys = i == 1 || i == 2;
        const int64_t shape[] = {2, of_keys ? 56 : 40, of_keys ? 2 : 4, 16};
        size_t n = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
        double *x = malloc(n * sizeof *x);
        char path[200];
        ck_assert_ptr_nonnull(x);
        tw_random_normal(x, n, 3, (uint64_t)i);
        snprintf(path, sizeof path, "%s/%s.npy", folder, names[i]);
        ck_assert_int_eq(tw_npy_write(path, x, TW_FP16, 4, shape), TW_OK);
        free(x);
    }
}

/* A command on those files; FOLDER is put in for every @. */
static tw_process on_files(const char *folder, const char *command)
{
    char line[1200] = "";
    for (const char *c = command; *c; c++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof line - used, *c == '@' ? "%s" : "%.1s", *c == '@' ? folder : c);
    }
    return tw_tilewise(line);
}

#define INPUTS    "--q @/q.npy --k @/k.npy --v @/v.npy --do @/do.npy "
#define GRADIENTS "--dq @/dq.npy --dk @/dk.npy --dv @/dv.npy "

/* One for each algorithm of test_run_writes_what_check_accepts. */
static const char *const settings[] = {"", "--causal", "--dropout 0.2 --dropout-seed 9",
                                       "--window 9,3 --dropout 0.1",
                                       "--block-mask random:0.5 --block-size 8,8"};

START_TEST(test_run_writes_what_check_accepts)
{
    static const char *const algorithms[] = {"standard", "standard_tiled", "flash1", "flash2",
                                             "standard_unfused"};
    const char *folder = tw_new_folder();
    char line[600];
    write_inputs(folder);
    snprintf(line, sizeof line,
             "run " INPUTS GRADIENTS "--o @/o.npy --pass both --algorithm %s --block-m 16 --block-n 16 %s",
             algorithms[_i], settings[_i]);
    tw_process p = on_files(folder, line);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "of dQ"), "%s%s", p.err, p.out);
    tw_process_free(&p);
    snprintf(line, sizeof line, "check " INPUTS GRADIENTS "--o @/o.npy %s", settings[_i]);
    p = on_files(folder, line);
    ck_assert_msg(p.exit_code == 0, "%s: %s%s", algorithms[_i], p.err, p.out);
    const char *first = strstr(p.out, "\nagrees\n");
    ck_assert_msg(first && strstr(first + 1, "\nagrees\n"), "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* Heads before seqlen, in double precision; a gradient alone. */
START_TEST(test_layout_and_parts)
{
    const char *folder = tw_new_folder();
    write_inputs(folder);
    tw_process p = on_files(folder,
                            "run " INPUTS "--dk @/dk.npy --pass backward --algorithm flash2 --layout bhsd "
                            "--exact");
    ck_assert_msg(p.exit_code == 2, "%s", p.out); /* read so, heads are 40 and 56 */
    tw_process_free(&p);
    p = on_files(folder, "run " INPUTS "--dk @/dk.npy --pass backward --algorithm flash1 --exact");
    ck_assert_msg(p.exit_code == 0, "%s%s", p.err, p.out);
    tw_process_free(&p);
    p = on_files(folder, "check " INPUTS "--dk @/dk.npy");
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "  dK   maximum") && !strstr(p.out, "  dQ   maximum"),
                  "%s%s", p.err, p.out);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_packed_sequences)
{
    tw_process p = tw_expect_exit(
        0, "run --pass both --cu-seqlens 0,30,30,77 --heads 4 --heads-kv 2 --head-dim 16 "
           "--algorithm flash1,flash2,standard --block-m 16 --block-n 16 --causal");
    ck_assert_msg(!strstr(p.out, "NOT AGREE") && strstr(p.out, "flash2_backward"), "%s", p.out);
    tw_process_free(&p);
}
END_TEST

/* ---- mistakes ------------------------------------------------------------------------------------------------------ */

/* Multiplies a file's numbers, or spoils one. */
static void change(const char *folder, const char *name, double factor, bool spoil)
{
    char path[200];
    tw_tensor_data t = {.values = NULL};
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    ck_assert_int_eq(tw_npy_read(&t, path), TW_OK);
    for (size_t i = 0; i < t.num_elements; i++)
        t.values[i] *= factor;
    if (spoil)
        t.values[77] = NAN;
    ck_assert_int_eq(tw_npy_write(path, t.values, t.dtype, t.num_dims, t.shape), TW_OK);
    tw_tensor_data_free(&t);
}

static const struct {
    const char *run, *check; /* options of either */
    const char *changed;     /* which gradient is multiplied; NULL: none */
    double factor;
    const char *says;
} mistakes[] = {
    {"", "", "dq", 4.0, "dQ is 4 times what it should be: softmax_scale was left out of it"},
    {"", "", "dk", 0.25, "dK is 0.25 times what it should be: softmax_scale is in it twice"},
    {"", "", "dv", -1.0, "dV is -1 times what it should be: its sign is wrong"},
    {"", "", "dv", 0.5, "a mean was taken over the query heads of a group"},
    {"", "--causal", NULL, 1, "the causal mask was not applied"},
    {"--causal", "", NULL, 1, "a causal mask was applied; none was asked for"},
    {"", "--dropout 0.3", NULL, 1, "dropout was not applied"},
    {"--dropout 0.3", "", NULL, 1, "none of the usual mistakes fits"},
    {"", "", "dq", 1.07, "none of the usual mistakes fits"},
};
#define NUM_MISTAKES ((int)(sizeof mistakes / sizeof mistakes[0]))

START_TEST(test_mistakes)
{
    const char *folder = tw_new_folder();
    char line[600];
    write_inputs(folder);
    snprintf(line, sizeof line, "run " INPUTS GRADIENTS "--pass backward --algorithm flash2 %s",
             mistakes[_i].run);
    tw_process p = on_files(folder, line);
    ck_assert_int_eq(p.exit_code, 0);
    tw_process_free(&p);
    if (mistakes[_i].changed)
        change(folder, mistakes[_i].changed, mistakes[_i].factor, false);
    snprintf(line, sizeof line, "check " INPUTS GRADIENTS "%s", mistakes[_i].check);
    p = on_files(folder, line);
    ck_assert_int_eq(p.exit_code, 1);
    ck_assert_msg(strstr(p.out, "does not agree: d") && strstr(p.out, mistakes[_i].says), "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_nan_is_found)
{
    const char *folder = tw_new_folder();
    write_inputs(folder);
    tw_process p = on_files(folder, "run " INPUTS GRADIENTS "--pass backward --algorithm flash2");
    ck_assert_int_eq(p.exit_code, 0);
    tw_process_free(&p);
    change(folder, "dk", 1.0, true);
    p = on_files(folder, "check " INPUTS GRADIENTS);
    ck_assert_int_eq(p.exit_code, 1);
    ck_assert_msg(strstr(p.out, "not finite     1 numbers, the first at batch 0, head 0, row 2, column 13") &&
                      strstr(p.out, "does not agree: dK\n") &&
                      strstr(p.out, "NaN and infinity are never right"),
                  "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* Of O: dropped where it should not be, and the other way round. */
START_TEST(test_dropout_of_the_output)
{
    const char *folder = tw_new_folder();
    write_inputs(folder);
    static const struct {
        const char *run, *check;
        int exit_code;
        const char *says;
    } cases[] = {{"--dropout 0.3", "--dropout 0.3", 0, "\nagrees\n"},
                 {"", "--dropout 0.3", 1, "dropout was not applied"},
                 {"--dropout 0.3", "--dropout 0.3 --dropout-seed 2", 1, "none of the usual"}};
    for (int i = 0; i < 3; i++) {
        char line[400];
        snprintf(line, sizeof line,
                 "run --q @/q.npy --k @/k.npy --v @/v.npy --o @/o.npy --algorithm flash1 %s", cases[i].run);
        tw_process p = on_files(folder, line);
        ck_assert_msg(p.exit_code == 0, "%s", p.err);
        tw_process_free(&p);
        snprintf(line, sizeof line, "check --q @/q.npy --k @/k.npy --v @/v.npy --o @/o.npy %s",
                 cases[i].check);
        p = on_files(folder, line);
        ck_assert_msg(p.exit_code == cases[i].exit_code && strstr(p.out, cases[i].says), "%s", p.out);
        tw_process_free(&p);
    }
    tw_remove_folder(folder);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *line, *words;
} refused[] = {
    {"io --pass sideways", "--pass|forward|backward|both"},
    {"io --algorithm mla --latent --pass backward", "mla has no backward pass"},
    {"io --algorithm flash1 --pass both --softcap 30", "no backward pass with modified scores"},
    {"io --algorithm flash2 --pass backward --sink-logit 1", "no backward pass with sink logits"},
    {"io --dropout 1", "--dropout|below 1"},
    {"io --dropout -0.5", "--dropout|at least 0"},
    {"io --dropout x", "--dropout|'x'"},
    {"io --dropout-seed 3", "--dropout-seed is 3|no --dropout"},
    {"io --machine paper --algorithm flash1 --pass both --head-dim 64 --block-m 64 --block-n 384",
     "flash1_backward|32768 too many|block_n 320"},
    {"run --seqlen 32 --algorithm flash2 --dq x.npy", "--dq|--pass must be backward or both"},
    {"run --seqlen 32 --algorithm flash2 --pass backward --o x.npy", "--o|--pass must be forward or both"},
    {"run --seqlen 32 --pass backward --dq x.npy", "--dq takes the result of one case"},
    {"run --seqlen 32 --algorithm flash2 --pass backward --dq x.npy --dk x.npy",
     "--dq and --dk are both x.npy"},
    {"run --do x.npy", "--q is missing"},
    {"check --q a.npy --k b.npy --v c.npy --dq d.npy", "--do is missing"},
    {"check --q a.npy --k b.npy --v c.npy --do d.npy", "--do is given, but no gradient"},
    {"check --q a.npy --k b.npy --v c.npy --do d.npy --dq e.npy --lse f.npy", "--lse is given without --o"},
    {"step --pass both", "--pass is both"},
    {"step --pass backward --example", "--example|flash2_backward is a backward pass"},
};
#define NUM_REFUSED ((int)(sizeof refused / sizeof refused[0]))

START_TEST(test_refused)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
}
END_TEST

/* A gradient of another shape, and a head that is too long. */
START_TEST(test_refused_files)
{
    const char *folder = tw_new_folder();
    write_inputs(folder);
    tw_process p = on_files(folder, "check " INPUTS "--dq @/k.npy");
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "it must be (2, 40, 4, 16): Q's"), "%s", p.err);
    tw_process_free(&p);
    p = on_files(folder,
                 "run --q @/q.npy --k @/k.npy --v @/v.npy --do @/k.npy --algorithm flash2 --pass backward");
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "it must be (2, 40, 4, 16)"), "%s", p.err);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* ---- the walk, and the page ------------------------------------------------------------------------------------------- */

START_TEST(test_step)
{
    tw_process p = tw_expect_exit(0, "step --pass backward --causal");
    ck_assert_msg(
        strstr(p.out, "tile 2 of 3: rows 4-7, keys 0-3, launch gradients (flash2_backward.c, lines ") &&
            strstr(p.out, "end of the block of keys 0-3, launch gradients") &&
            strstr(p.out, "row 4: dQ sum "),
        "%s", p.out);
    tw_process_free(&p);
    p = tw_expect_exit(0, "step --algorithm flash1_backward --dropout 0.5 --to 1 --row 2");
    ck_assert_msg(strstr(p.out, "tile 1 of 4") && strstr(p.out, "row 2: m ") && strstr(p.out, ", dQ "), "%s",
                  p.out);
    tw_process_free(&p);
}
END_TEST

/* What the theory page shows is what the program says. */
START_TEST(test_theory_page)
{
    ck_assert_int_ge(tw_expect_console("docs/theory/backward.md"), 2);
}
END_TEST

Suite *tw_suite_cli_backward(void)
{
    Suite *suite = suite_create("cli_backward");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, test_figure_2);
    tcase_add_test(core, test_passes);
    tcase_add_loop_test(core, test_run_writes_what_check_accepts, 0,
                        (int)(sizeof settings / sizeof settings[0]));
    tcase_add_test(core, test_layout_and_parts);
    tcase_add_test(core, test_packed_sequences);
    tcase_add_loop_test(core, test_mistakes, 0, NUM_MISTAKES);
    tcase_add_test(core, test_nan_is_found);
    tcase_add_test(core, test_dropout_of_the_output);
    tcase_add_test(core, test_step);
    tcase_add_test(core, test_theory_page);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, test_refused, 0, NUM_REFUSED);
    tcase_add_test(errors, test_refused_files);
    suite_add_tcase(suite, errors);
    return suite;
}
