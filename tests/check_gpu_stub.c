/* tilewise-gpu around its kernels, with CUDA's calls answered by the host: commands, files, and mistakes that are planted
 * and must be found. Built where CUDA's headers are. */
#include "../notebooks_data/tables/ladder_rows.h"
#include "../notebooks_data/tables/markers.h"
#include "../sim/kernels.h"
#include "check_tilewise.h"
#include "support_process.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *stub(void)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/tests/tilewise-gpu-stub", tw_build_folder());
    return path;
}

static bool built(void)
{
    if (access(stub(), X_OK) == 0)
        return true;
    printf("check_gpu_stub: skipped, %s is not built (it needs CUDA's headers)\n", stub());
    return false;
}

/* Runs the program with the words of a line, a mistake planted or NULL. */
static tw_process run(const char *line, const char *fault)
{
    char copy[600], *words[64] = {(char *)stub()};
    int count = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && count < 63; word = strtok(NULL, " "))
        words[count++] = word;
    if (fault)
        ck_assert_int_eq(setenv("TW_STUB_FAULT", fault, 1), 0);
    tw_process p = tw_run(words);
    ck_assert_int_eq(unsetenv("TW_STUB_FAULT"), 0);
    return p;
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

#define SMALL                                                                                                \
    "--seqlen-q 97 --seqlen-k 65 --heads 4 --heads-kv 2 --head-dim 64 --causal --kernel "                    \
    "20_flash2,30_flash2_mma"

/* ---- planted mistakes ------------------------------------------------------------------------------------- */

static const struct {
    const char *fault, *validate_says, *soak_says;
} planted[] = {
    {"nan", "is -nan|is nan", "1 elements of O are wrong"},
    {"offset", "should be", "1 elements of O are wrong"},
    {"lse", "LSE[", "1 elements of LSE are wrong"},
    {"changed", "gives other bits", "gives other bits"},
    {"overrun", "behind the end of O", "written behind the end"},
};

static bool says_one_of(const char *text, const char *choices)
{
    char copy[100], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", choices);
    for (char *choice = strtok_r(copy, "|", &rest); choice; choice = strtok_r(NULL, "|", &rest))
        if (strstr(text, choice))
            return true;
    return false;
}

START_TEST(test_validate_finds_it)
{
    tw_process p = run("validate " SMALL, planted[_i].fault);
    ck_assert_msg(p.exit_code == 1 && says_one_of(p.out, planted[_i].validate_says), "%s: exit %d: %s%s",
                  planted[_i].fault, p.exit_code, p.out, p.err);
    ck_assert_int_eq(count_of(p.out, "MISMATCH"), 4); /* two kernels, two tilings */
    tw_process_free(&p);
}
END_TEST

/* Shape 74 is a small one; the line about it is the command that does it again. */
START_TEST(test_soak_finds_it)
{
    tw_process p = run("soak --seed 1 --only 74 --kernel 30_flash2_mma", planted[_i].fault);
    ck_assert_msg(p.exit_code == 1 && strstr(p.out, planted[_i].soak_says), "%s: exit %d: %s%s",
                  planted[_i].fault, p.exit_code, p.out, p.err);
    ck_assert_ptr_nonnull(strstr(p.out, "tilewise-gpu soak --seed 1 --only 74 --kernel 30_flash2_mma\n"));
    ck_assert_int_eq(count_of(p.out, "WRONG"), 1);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_the_judge_is_judged)
{
    tw_process p = run("soak --only 74", "exact");
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "the judge's O"), "%d %s", p.exit_code, p.err);
    tw_process_free(&p);
    p = run("soak --only 74", "random");
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "random number 0"), "%d %s", p.exit_code, p.err);
    tw_process_free(&p);
}
END_TEST

/* ---- what is right ---------------------------------------------------------------------------------------- */

START_TEST(test_nothing_wrong)
{
    tw_process p = run("validate " SMALL, NULL);
    ck_assert_msg(p.exit_code == 0 && count_of(p.out, "1 of  1 agree") == 4, "%d %s", p.exit_code, p.out);
    tw_process_free(&p);
    p = run("soak --only 74", NULL);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, " 0 results wrong"), "%d %s", p.exit_code, p.out);
    tw_process_free(&p);
    p = run("soak --seconds 0.5 --kernel 30_flash2_mma", NULL);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "shapes of seed 1 in "), "%d %s%s", p.exit_code, p.out,
                  p.err);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_doctor)
{
    tw_process p = run("doctor", NULL);
    ck_assert_msg(p.exit_code == 0 || p.exit_code == 1, "%d %s", p.exit_code, p.err);
    ck_assert_ptr_nonnull(strstr(p.out, "matrix product"));
    ck_assert_ptr_nonnull(strstr(p.out, "\nThis GPU is "));
    ck_assert_int_le(count_of(p.out, "\n"), 24); /* one screen */
    tw_process_free(&p);
}
END_TEST

/* ---- CSV files, and lists of cases -------------------------------------------------------------------------- */

START_TEST(test_bench_writes_what_the_doctor_says)
{
    tw_process p = run("bench " SMALL " --reps 2 --no-energy --csv -", NULL);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_int_eq(count_of(p.out, "\n# doctor: "), 1);
    ck_assert_int_eq(count_of(p.out, "flash2,h100,1,4,2,97,65,64,fp16,1,128,128,20_flash2,"), 1);
    ck_assert_int_eq(count_of(p.out, "flash2,h100,1,4,2,97,65,64,fp16,1,128,128,30_flash2_mma,"),
                     1); /* by head_dim */
    tw_process_free(&p);
}
END_TEST

static void write_cases(char *path, size_t size, const char *text)
{
    snprintf(path, size, "%s/cases.txt", tw_new_folder());
    tw_write_text(path, text);
}

START_TEST(test_list_of_cases)
{
    char path[600], line[800];
    write_cases(path, sizeof path,
                "# a comment\n--seqlen 16 --kernel 20_flash2   # behind a case\n\n"
                "--seqlen 16,32 --head-dim 64,128 --kernel 30_flash2_mma --block-m 32 --block-n 16\n");
    snprintf(line, sizeof line, "launch --heads 2 --cases %s", path);
    tw_process p = run(line, NULL);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_int_eq(count_of(p.out, "flash2,h100,1,2,2,16,16,128,fp16,0,128,128,20_flash2\n"), 1);
    ck_assert_int_eq(count_of(p.out, ",32,16,30_flash2_mma\n"), 4);
    ck_assert_int_eq(count_of(p.out, "algorithm,"), 1);
    tw_process_free(&p);
}
END_TEST

/* Orders go where a kernel takes them, and into the CSV file; a file without any has no columns for them. */
START_TEST(test_orders)
{
    tw_process p = run(
        "launch --kernel 30_flash2_mma --seqlen 16 --heads 2 --order snake --kv-order alternating", NULL);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_int_eq(count_of(p.out, "block_n,kernel,order,kv_order\n"), 1);
    ck_assert_int_eq(count_of(p.out, ",128,64,30_flash2_mma,snake,alternating\n"), 1);
    tw_process_free(&p);
    p = run("ladder --seqlen 16 --order snake", NULL);
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "ladder takes no --order"), "%s", p.err);
    tw_process_free(&p);
}
END_TEST

static const struct {
    const char *text, *says;
} bad_cases[] = {
    {"", "has no line with a case"},
    {"# nothing\n\n", "has no line with a case"},
    {"--seqlen 16\n--seqlen 0\n", "line 2: --seqlen is '0'"},
    {"--nonsense\n", "line 1: option --nonsense"},
    {"--seqlen 16 --csv x.csv\n", "line 1: --csv belongs on the command line"},
    {"--seqlen 16 --cases=x\n", "line 1: --cases belongs on the command line"},
    {"--kernel nonsense\n", "unknown kernel 'nonsense'"},
    {"--head-dim 40\n", "head_dim 40"},
};

START_TEST(test_bad_lists_of_cases)
{
    char path[600], line[800];
    write_cases(path, sizeof path, bad_cases[_i].text);
    snprintf(line, sizeof line, "launch --cases %s", path);
    tw_process p = run(line, NULL);
    ck_assert_msg(p.exit_code == 2 && count_of(p.err, "\n") == 1 && strstr(p.err, bad_cases[_i].says),
                  "exit %d: %s", p.exit_code, p.err);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_ladder_rounds)
{
    tw_process p = run("ladder " SMALL " --rounds 2 --reps 2 --no-energy --csv -", NULL);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_int_eq(
        count_of(p.out, "\n1,matrix_product,h100,1,1,1,8192,8192,8192,fp16,0,0,0,matrix_product,"), 1);
    ck_assert_int_eq(count_of(p.out, "\n2,flash2,h100,1,4,2,97,65,64,fp16,1,128,128,20_flash2,"), 1);
    ck_assert_int_eq(count_of(p.out, "\n# round 2 done\n"), 1);
    tw_process_free(&p);
    p = run("ladder " SMALL " --rounds 1 --reps 2 --no-energy --paced --csv -",
            NULL); /* stdin is empty here */
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "stdin ended before round 1 of 1"), "%s", p.err);
    tw_process_free(&p);
    p = run("ladder --seqlen 32 --heads 2 --kernel 20_flash2 --rounds 1 --reps 2 --no-energy --csv -",
            "offset");
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "disagrees with the reference"), "%s", p.err);
    tw_process_free(&p);
}
END_TEST

/* ---- tune ------------------------------------------------------------------------------------------------ */

/* Ranked by prediction, measured, and the regret is the first one's time over the best one's, less 1. */
START_TEST(test_tune)
{
    tw_process p = run("tune --seqlen 256 --heads 2 --head-dim 64 --reps 2 --rounds 3 --top 3 --csv -", NULL);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    double predicted[3], measured[3], regret[3], best;
    const char *at = strstr(p.out, ",kernel,rank,predicted_time_us,time_us,regret\n");
    ck_assert_ptr_nonnull(at);
    for (int i = 0; i < 3; i++) {
        int rank;
        at = strchr(at, '\n') + 1;
        const char *fields = at;
        for (int n = 0; n < 13; n++)
            fields = strchr(fields, ',') + 1;
        ck_assert_int_eq(sscanf(fields, "%d,%lf,%lf,%lf\n", &rank, &predicted[i], &measured[i], &regret[i]),
                         4);
        ck_assert_int_eq(rank, i + 1);
        ck_assert(i == 0 || predicted[i] >= predicted[i - 1]);
    }
    best = fmin(measured[0], fmin(measured[1], measured[2]));
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(regret[i], measured[i] / best - 1, 1e-4 + 1e-3 * regret[i]);
    tw_process_free(&p);
    p = run("tune --seqlen 256 --heads 2 --head-dim 64 --reps 2 --rounds 1 --kernel 20_flash2,47_work_ahead",
            NULL);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "\nregret 0.0 %: 20_flash2, ") &&
                      strstr(p.out, "not predicted: 47_work_ahead\n"),
                  "%s%s", p.out, p.err);
    tw_process_free(&p);
    p = run("tune --seqlen 97 --heads 2 --head-dim 64 --reps 2", "nan");
    ck_assert_int_eq(p.exit_code, 2);
    tw_process_free(&p);
}
END_TEST

static const struct {
    const char *line, *says;
} tune_refused[] = {
    {"tune --seqlen 128 --head-dim 40", "none of the kernels takes this shape"},
    {"tune --seqlen 128 --kernel 47_work_ahead --head-dim 128",
     "none that does can be predicted: 47_work_ahead"},
    {"tune --seqlen 128 --machine paper", "--machine is 'paper', it must be a GPU"},
    {"tune --seqlen 128 --order snake", "tune takes no --order"},
    {"tune --seqlen 128 --top 0", "--top is '0'"},
};

START_TEST(test_tune_refusals)
{
    tw_process p = run(tune_refused[_i].line, NULL);
    ck_assert_msg(p.exit_code == 2 && p.out[0] == '\0' && strstr(p.err, tune_refused[_i].says), "%d %s%s",
                  p.exit_code, p.out, p.err);
    tw_process_free(&p);
}
END_TEST

/* ---- gpu/ladder.py ------------------------------------------------------------------------------------------ */

static bool have_python(void)
{
    if (system("command -v python3 >/dev/null 2>&1") == 0)
        return true;
    printf("check_gpu_stub: python3 is not here, gpu/ladder.py was not run\n");
    return false;
}

static tw_process run_words(const char *line)
{
    char copy[2100], *words[64];
    int count = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && count < 63; word = strtok(NULL, " "))
        words[count++] = word;
    words[count] = NULL;
    return tw_run(words);
}

/* Rounds in turn, without peers: what comes out is what the README's table is written from. */
START_TEST(test_ladder_script)
{
    char cases[600], line[2100], csv[700], *text;
    if (!have_python())
        return;
    write_cases(cases, sizeof cases, "--seqlen 32 --heads 2 --head-dim 64 --reps 2 --no-energy\n");
    snprintf(csv, sizeof csv, "%s.csv", cases);
    snprintf(line, sizeof line, "gpu/ladder.py --program %s --cases %s --rounds 3 --no-peers --csv %s",
             stub(), cases, csv);
    tw_process p = run_words(line);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    tw_process_free(&p);
    tw_ladder ladder;
    ck_assert_msg(tw_ladder_read(&ladder, csv) == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(ladder.rounds, 3);
    size_t rungs = 0;
    while (tw_kernel_at((int)rungs) != NULL)
        rungs++;
    ck_assert_uint_eq(ladder.count, 1 + rungs); /* the product and every rung */
    ck_assert_str_eq(ladder.gpu, "Stub H100");
    tw_ladder_free(&ladder);
    ck_assert_int_eq(tw_text_read(&text, csv), TW_OK);
    ck_assert_int_eq(count_of(text, "# doctor: "), 1);
    ck_assert_int_eq(count_of(text, "# peers: left out, as was asked for"), 1);
    free(text);
}
END_TEST

static const struct {
    const char *arguments, *says;
} refused_scripts[] = {
    {"gpu/ladder.py --rounds 3", "--csv FILE is missing"},
    {"gpu/ladder.py --csv", "--csv needs a value"},
    {"gpu/ladder.py --csv tests", "is a folder"},
    {"gpu/ladder.py --csv build-x.csv --rounds 0", "--rounds is '0'"},
    {"gpu/ladder.py --csv build-x.csv --nonsense", "'--nonsense' is not an option"},
    {"gpu/ladder.py --csv build-x.csv --program no-such-program", "'no-such-program' is not there"},
    {"gpu/peers.py --nonsense 1", "'--nonsense' is not an option"},
    {"gpu/peers.py --peers", "--peers needs a value"},
    {"gpu/peers.py --peers sdpa-flash2,nonsense", "unknown peer 'nonsense'"},
    {"gpu/peers.py --reps none", "--reps is 'none'"},
};

START_TEST(test_refused_scripts)
{
    if (!have_python())
        return;
    tw_process p = run_words(refused_scripts[_i].arguments);
    ck_assert_msg(p.exit_code == 2 && count_of(p.err, "\n") == 1 && strstr(p.err, refused_scripts[_i].says),
                  "exit %d: %s", p.exit_code, p.err);
    ck_assert_int_ne(access("build-x.csv", F_OK), 0);
    tw_process_free(&p);
}
END_TEST

/* What the program refuses ends the script too, with its line and its exit status. */
START_TEST(test_ladder_script_hands_errors_on)
{
    char line[900];
    if (!have_python())
        return;
    snprintf(line, sizeof line, "gpu/ladder.py --program %s --cases no-such-file --csv build-x.csv", stub());
    tw_process p = run_words(line);
    ck_assert_msg(p.exit_code == 2 && strstr(p.err, "no-such-file: cannot be opened"), "%d %s", p.exit_code,
                  p.err);
    ck_assert_int_ne(access("build-x.csv", F_OK), 0);
    tw_process_free(&p);
}
END_TEST

Suite *tw_suite_gpu_stub(void)
{
    Suite *suite = suite_create("gpu_stub");
    if (!built())
        return suite; /* said once; what cannot run is no pass */
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    const int faults = (int)(sizeof planted / sizeof planted[0]);
    tcase_add_loop_test(core, test_validate_finds_it, 0, faults);
    tcase_add_loop_test(core, test_soak_finds_it, 0, faults);
    tcase_add_test(core, test_the_judge_is_judged);
    tcase_add_test(core, test_nothing_wrong);
    tcase_add_test(core, test_doctor);
    tcase_add_test(core, test_tune);
    tcase_add_loop_test(core, test_tune_refusals, 0, (int)(sizeof tune_refused / sizeof tune_refused[0]));
    tcase_add_test(core, test_bench_writes_what_the_doctor_says);
    tcase_add_test(core, test_list_of_cases);
    tcase_add_test(core, test_orders);
    tcase_add_loop_test(core, test_bad_lists_of_cases, 0, (int)(sizeof bad_cases / sizeof bad_cases[0]));
    tcase_add_test(core, test_ladder_rounds);
    tcase_add_test(core, test_ladder_script);
    tcase_add_loop_test(core, test_refused_scripts, 0,
                        (int)(sizeof refused_scripts / sizeof refused_scripts[0]));
    tcase_add_test(core, test_ladder_script_hands_errors_on);
    suite_add_tcase(suite, core);
    return suite;
}
