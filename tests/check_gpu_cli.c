/* tilewise-gpu as a user runs it, where `make gpu` has built it; what needs a GPU is skipped where there is none. */
#include "check_tilewise.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *build_folder(void)
{
    const char *folder = getenv("TW_BUILD");
    return folder ? folder : "build";
}

/* Runs the program with these arguments; keeps what it writes to the streams that `redirect` leaves. */
static int run(char *text, size_t size, const char *arguments, const char *redirect)
{
    char command[700];
    snprintf(command, sizeof command, "%s/tilewise-gpu %s %s", build_folder(), arguments, redirect);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t used = fread(text, 1, size - 1, pipe);
    text[used] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool built(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/tilewise-gpu", build_folder());
    if (access(path, X_OK) == 0)
        return true;
    printf("check_gpu_cli: skipped, %s is not built (make gpu)\n", path);
    return false;
}

static bool have_gpu(void)
{
    char text[4096];
    return run(text, sizeof text, "launch --kernel 20_flash2 --seqlen 1", "2>&1") == 0;
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* ---- what is refused: one line on stderr, nothing on stdout, exit status 2 ------------------------------- */

static const struct {
    const char *arguments, *says;
    bool needs_gpu; /* otherwise it is found out before a GPU is looked for */
} refused[] = {
    {"nonsense", "'nonsense' is not a command", false},
    {"bench --nonsense", "--nonsense", false},
    {"bench --kernel nonsense", "unknown kernel 'nonsense'", false},
    {"bench --kernel 20_flash2,", "unknown kernel ''", false},
    {"bench --seqlen 0", "at least 1", false},
    {"bench --seqlen -5", "--seqlen", false},
    {"bench --seqlen 99999999999", "--seqlen", false},
    {"bench --dtype fp8", "fp8", false},
    {"bench --heads 5 --heads-kv 2", "must divide", false},
    {"list --plugin nowhere.so", "cannot load the plugin nowhere.so", false},
    {"list --plugin README.md", "cannot load the plugin README.md", false},
    {"bench --dtype fp32 --seqlen 16", "does not take fp32", true},
    {"bench --head-dim 40 --seqlen 16", "does not take head_dim 40", true},
    {"validate --head-dim 40 --seqlen 16", "does not take head_dim 40", true},
    {"bench --kernel 20_flash2 --block-m 96 --seqlen 16", "not built for block_m 96", true},
    {"bench --kernel 20_flash2 --order snake --seqlen 16", "in its own order alone", true},
    {"bench --kernel 30_flash2_mma --order nonsense --seqlen 16", "--order is 'nonsense'", false},
    {"bench --kernel 30_flash2_mma --order snake --block-m 64 --seqlen 16", "in other orders than its own",
     true},
    {"bench --kernel 10_flash1 --block-n 32 --seqlen 4k", "at most 2048 keys", true},
    {"launch --kernel 00_standard --seqlen 1M", "GB of GPU memory", true},
    {"launch --seqlen 16 --csv nowhere/x.csv", "nowhere/x.csv", true},
    {"launch --seqlen 16 --csv tests", "is a folder", true},
    {"launch --seqlen 16 --csv /dev/full", "cannot be written", true},
};

START_TEST(test_refused)
{
    char text[4096];
    if ((refused[_i].needs_gpu && !have_gpu()))
        return;
    int code = run(text, sizeof text, refused[_i].arguments, "2>&1 >/dev/null");
    ck_assert_msg(code == 2 && count_lines(text) == 1, "'%s': exit %d, %s", refused[_i].arguments, code,
                  text);
    ck_assert_msg(strstr(text, refused[_i].says) != NULL, "'%s': %s", refused[_i].arguments, text);
}
END_TEST

START_TEST(test_no_gpu_is_one_line)
{
    char text[4096];
    int code = run(text, sizeof text, "bench --seqlen 16 --csv build-x.csv", "2>&1 >/dev/null");
    if (code == 0)
        ck_assert_int_eq(remove("build-x.csv"), 0);
    if (have_gpu())
        return;
    ck_assert_int_eq(code, 2);
    ck_assert_int_eq(count_lines(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "no GPU can be used"));
    ck_assert_int_ne(access("build-x.csv", F_OK), 0);
}
END_TEST

/* ---- what works ----------------------------------------------------------------------------------------- */

START_TEST(test_list_with_a_plugin)
{
    char text[8192], arguments[600];
    snprintf(arguments, sizeof arguments, "list --plugin %s/plugin_example.so", build_folder());
    ck_assert_int_eq(run(text, sizeof text, arguments, "2>&1"), 0);
    static const char *const names[] = {"00_standard ", "01_standard_cublas ", "10_flash1 ", "20_flash2 ",
                                        "my_attention "};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(strstr(text, names[i]) != NULL, "%s is missing in:\n%s", names[i], text);
}
END_TEST

/* The whole table of validate is `make validate`; here each kernel and the plugin on one awkward shape. */
START_TEST(test_validate_with_a_plugin)
{
    char text[16384], arguments[600];
    if (!have_gpu())
        return;
    snprintf(arguments, sizeof arguments,
             "validate --plugin %s/plugin_example.so --seqlen-q 97 --seqlen-k 65 --heads 4 --heads-kv 2 "
             "--mask both",
             build_folder());
    int code = run(text, sizeof text, arguments, "2>&1");
    ck_assert_msg(code == 0, "%s", text);
}
END_TEST

Suite *tw_suite_gpu_cli(void)
{
    Suite *suite = suite_create("gpu_cli");
    if (!built())
        return suite; /* said once; what cannot run is no pass */
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_test(core, test_list_with_a_plugin);
    tcase_add_test(core, test_validate_with_a_plugin);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_set_timeout(errors, 120);
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    tcase_add_test(errors, test_no_gpu_is_one_line);
    suite_add_tcase(suite, errors);
    return suite;
}
