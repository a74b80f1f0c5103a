/* What the manual shows is what happens. Every command of its pages is run, or where it needs what is not here (a GPU,
 * another make), everything that can be checked of it without:
 *
 *   ```console test   lines behind "$ " are run in an empty folder that sees the repository; what they print is what stands there
 *   ```sh             commands, one a line; what they print is not shown
 *   `build/tilewise io …`, `make …`   code spans that are commands
 *   ```c FILE         stands in that file like this
 *   ```python         is run where Python has what it imports
 *
 * Commands of one page follow one another, so one may read what an earlier one wrote. Handouts are left to the suite labs. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "check_tilewise.h"
#include "support_markdown.h"
#include "support_process.h"

#include "../cpu_ref/attention.h"
#include "../gpu/calibrate/options.h"
#include "../gpu/help.h"
#include "../gpu/options.h"
#include "../sim/kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a folder to run commands in ------------------------------------------------------------------------ */

/* What a shell says and returns. */
static tw_process shell(const char *command)
{
    char sh[] = "sh", c[] = "-c", *line = strdup(command), *words[] = {sh, c, line, NULL};
    ck_assert_ptr_nonnull(line);
    tw_process p = tw_run(words);
    free(line);
    return p;
}

static void must_work(const char *command)
{
    tw_process p = shell(command);
    ck_assert_msg(p.exit_code == 0, "'%s' exits with %d: %s%s", command, p.exit_code, p.out, p.err);
    tw_process_free(&p);
}

/* q.npy, k.npy, v.npy, o.npy and gradients, causal: what docs/howto/check_your_output.md assumes that a user has. */
static void write_tensors(const char *folder)
{
    enum { LENGTH = 300, HEADS = 2, DIM = 64, SIZE = LENGTH * HEADS * DIM };
    static const char *const names[] = {"q", "k", "v", "do", "o", "dq", "dk", "dv"};
    enum { RANDOM = 4, TENSORS = sizeof names / sizeof names[0] };
    static const int64_t shape[] = {1, LENGTH, HEADS, DIM};
    static double tensors[TENSORS][SIZE];
    const tw_problem problem = {1, HEADS, HEADS, LENGTH, LENGTH, DIM, TW_FP16, .causal = true};
    for (unsigned i = 0; i < RANDOM; i++) {
        tw_random_normal(tensors[i], SIZE, 1, i);
        for (int x = 0; x < SIZE; x++)
            tensors[i][x] = tw_fp16_to_float(tw_fp16_from_float((float)tensors[i][x]));
    }
    ck_assert_int_eq(tw_attention_gold(tensors[4], NULL, &problem, tensors[0], tensors[1], tensors[2]),
                     TW_OK);
    ck_assert_int_eq(tw_attention_backward_gold(tensors[5], tensors[6], tensors[7], &problem, tensors[0],
                                                tensors[1], tensors[2], tensors[3]),
                     TW_OK);
    for (unsigned i = 0; i < TENSORS; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s.npy", folder, names[i]);
        ck_assert_int_eq(tw_npy_write(path, tensors[i], TW_FP16, 4, shape), TW_OK);
    }
}

/* A folder in an empty one, and in it nothing but those tensors and links to everything at the top, build/ among it, wherever that is. */
static char *make_folder(void)
{
    char *folder = malloc(700);
    ck_assert_ptr_nonnull(folder);
    snprintf(folder, 700, "%s/top", tw_new_folder());
    char command[2000], *top = realpath(".", NULL), *build = realpath(tw_build_folder(), NULL);
    ck_assert(top != NULL && build != NULL);
    snprintf(command, sizeof command,
             "mkdir '%s' && cd '%s' && for f in '%s'/*; do [ $(basename $f) = build ] || ln -s $f; done && "
             "ln -s '%s' build",
             folder, folder, top, build);
    must_work(command);
    write_tensors(folder);
    free(top);
    free(build);
    return folder;
}

static void remove_folder(char *folder)
{
    char command[700];
    if (folder == NULL)
        return;
    *strrchr(folder, '/') = '\0';
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    must_work(command);
    free(folder);
}

static tw_process run_in(const char *folder, const char *command)
{
    size_t size = strlen(folder) + strlen(command) + 40;
    char *line = malloc(size);
    ck_assert_ptr_nonnull(line);
    snprintf(line, size, "cd '%s' && { %s\n} 2>&1", folder, command);
    tw_process p = shell(line);
    free(line);
    return p;
}

/* ---- commands, by the program that they start ----------------------------------------------------------- */

static bool starts_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static void must_work_in(const char *folder, const char *command)
{
    tw_process p = run_in(folder, command);
    ck_assert_msg(p.exit_code == 0, "'%s' exits with %d: %s", command, p.exit_code, p.out);
    tw_process_free(&p);
}

/* A make within the make that runs the tests would never end, so: are these targets, with all that they need? */
static void check_make(const char *folder, const char *command)
{
    char line[600];
    (void)folder;
    ck_assert_msg(strpbrk(command, ";&|<>`()") == NULL, "'%s' is more than a make", command);
    snprintf(line, sizeof line, "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL DEPS=no %.500s --dry-run", command);
    must_work(line);
}

/* `make handout` names a target; it need not be all that one has to say. */
static bool is_in_make_help(const char *command)
{
    char line[80];
    tw_process help = shell("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s help");
    snprintf(line, sizeof line, "\n  %.70s ", command);
    bool found = strstr(help.out, line) != NULL;
    tw_process_free(&help);
    return found;
}

/* The words of a command line, cut at blanks; `line` is cut up. */
static int words_of(char **words, int max, char *line)
{
    int count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word && count < max; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    words[count] = NULL;
    return count;
}

/* What a GPU would have made, or what takes long: a recorded file stands in for it. */
static void stand_in(const char *folder, const char *recorded, const char *path)
{
    char command[3200];
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s/%s')\" && cp '%s' '%s/%s'", folder, path,
             recorded, folder, path);
    must_work(command);
}

/* `calibrate` has a command line of its own. Its files and folders are the example's, so: are they in that folder? */
static void check_calibrate(const char *folder, const char *command, int argc, char **argv)
{
    static char paths[4][800];
    char *out = NULL;
    int num_paths = 0;
    for (int i = 1; i + 1 < argc && num_paths < 4; i++) {
        const bool is_out = strcmp(argv[i], "--out") == 0;
        if (!is_out && strcmp(argv[i], "--plots") != 0)
            continue;
        out = is_out ? argv[i + 1] : out;
        snprintf(paths[num_paths], sizeof paths[0], "%s/%s", folder, argv[i + 1]);
        argv[i + 1] = paths[num_paths++];
    }
    tw_cal_options options;
    bool help;
    tw_status status = tw_cal_options_read(&options, &help, argc, argv);
    ck_assert_msg(status == TW_OK, "%s: %s", command, tw_error_message());
    if (out != NULL)
        stand_in(folder, "sim/machines/h100.ini", out);
    tw_cal_options_free(&options);
}

/* Without a GPU: the options exist, and their values are accepted. */
static void check_gpu_options(const char *folder, const char *recorded, const char *command,
                              const char *subcommand, int argc, char **argv)
{
    int index;
    tw_gpu_options options;
    tw_problem *problems = NULL;
    size_t num_problems;
    bool help;
    ck_assert_msg(tw_gpu_command_find(&index, subcommand) == TW_OK, "%s: %s", command, tw_error_message());
    tw_status status = tw_gpu_options_read(&options, &help, tw_gpu_command_at(index)->groups, "tilewise-gpu",
                                           "test", argc, argv);
    if (status == TW_OK)
        status = tw_gpu_problems(&problems, &num_problems, &options);
    ck_assert_msg(status == TW_OK, "%s: %s", command, tw_error_message());
    if (options.kernels != NULL && options.plugin == NULL)
        ck_assert_msg(tw_kernel_find(options.kernels) != NULL, "%s: there is no such kernel", command);
    if (options.shared.csv != NULL)
        stand_in(folder, recorded, options.shared.csv);
    tw_gpu_options_free(&options);
    free(problems);
}

static void check_gpu_program(const char *folder, const char *command)
{
    char copy[600], *words[40];
    snprintf(copy, sizeof copy, "%.599s", strstr(command, "build/tilewise-gpu"));
    int count = words_of(words, 39, copy);
    ck_assert_int_ge(count, 2);
    char subcommand[32]; /* reading the options puts something else in its place */
    snprintf(subcommand, sizeof subcommand, "%.31s", words[1]);
    if (strcmp(subcommand, "calibrate") == 0)
        check_calibrate(folder, command, count - 1, words + 1);
    else
        check_gpu_options(folder, "notebooks_data/h100/bench.csv", command, subcommand, count - 1, words + 1);
}

/* It hands on to `tilewise-gpu launch`, or to the command that is named, what is not its own. */
static void check_counters(const char *folder, const char *command)
{
    char copy[600], *words[40];
    snprintf(copy, sizeof copy, "%.599s", command);
    int count = words_of(words, 39, copy);
    if (count > 3 && strcmp(words[1], "--command") == 0 && strcmp(words[2], "calibrate") == 0) {
        check_calibrate(folder, command, count - 2, words + 2);
        return;
    }
    ck_assert_msg(count > 3 && strcmp(words[1], "--program") == 0, "%s: --program comes first", command);
    check_gpu_options(folder, "notebooks_data/h100/counters.csv", command, "launch", count - 2, words + 2);
}

/* A script that needs a GPU: it is there, and says what it does. */
static void check_help(const char *folder, const char *command)
{
    char line[100];
    snprintf(line, sizeof line, "%.*s --help > /dev/null", (int)strcspn(command, " "), command);
    must_work_in(folder, line);
}

/* A script that draws what was measured: it is there, and says what it wants. */
static void check_usage(const char *folder, const char *command)
{
    char line[200];
    const int length = (int)strcspn(command, " ");
    snprintf(line, sizeof line, "%.*s 2>&1 | grep -q '^usage: '", length < 90 ? length : 90, command);
    must_work_in(folder, line);
}

/* It measures for some 10 s, which the suite calibrate_cpu sees to. */
static void check_calibrate_cpu(const char *folder, const char *command)
{
    char copy[600], *words[40], *out = NULL;
    snprintf(copy, sizeof copy, "%.599s", command);
    const int count = words_of(words, 39, copy);
    for (int i = 2; i + 1 < count; i++)
        out = strcmp(words[i], "--out") == 0 ? words[i + 1] : out;
    ck_assert_msg(out != NULL && count == 4, "%s: no test knows its options", command);
    if (out != NULL)
        stand_in(folder, "tests/data/cpu.ini", out);
}

/* The compiler's own check of its options, where it is installed. */
static void check_nvcc(const char *folder, const char *command)
{
    char line[700];
    snprintf(line, sizeof line, "! command -v nvcc > /dev/null || %.600s --dryrun", command);
    must_work_in(folder, line);
}

/* Without the replay of every recorded case, which takes a minute; cli_compare has it. */
static void check_compare(const char *folder, const char *command)
{
    char line[700];
    snprintf(line, sizeof line, "%.600s --no-l2", command);
    must_work_in(folder, line);
}

static const struct {
    const char *begins; /* a command line */
    void (*check)(const char *folder, const char *command);
} programs[] = {
    {"build/tilewise compare", check_compare},
    {"build/tilewise calibrate-cpu ", check_calibrate_cpu},
    {"build/tilewise ", must_work_in},
    {"make ", check_make},
    {"build/tilewise-gpu ", check_gpu_program},
    {"cuda-gdb ", check_gpu_program},
    {"nvcc ", check_nvcc},
    {"python3 ", must_work_in},
    {"gnuplot ", must_work_in},
    {"grep ", must_work_in},
    {"mkdir ", must_work_in},
    {"cp ", must_work_in},
    {"gpu/counters.py ", check_counters},
    {"gpu/peers.py ", check_help},
    {"notebooks_data/plots/calibration.sh ", check_usage},
    {"gpu/measure_hbm.sh ", check_help},
};
enum { NUM_PROGRAMS = sizeof programs / sizeof programs[0] };

/* False if it is none that is known. */
static bool check_command(const char *folder, const char *command)
{
    for (int i = 0; i < NUM_PROGRAMS; i++)
        if (starts_with(command, programs[i].begins)) {
            programs[i].check(folder, command);
            return true;
        }
    return false;
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

/* One command and what it must print. A line that ends in a backslash goes on in the next. */
static void check_printed(const char *folder, const char *page, char *command)
{
    char *end = command + strcspn(command, "\n");
    while (*end == '\n' && end[-1] == '\\')
        end += 1 + strcspn(end + 1, "\n");
    const char *expected = *end == '\n' ? end + 1 : end;
    *end = '\0';
    tw_process p = run_in(folder, command);
    ck_assert_msg(p.exit_code == 0, "%s: '%s' exits with %d: %s", page, command, p.exit_code, p.out);
    ck_assert_msg(strcmp(p.out, expected) == 0, "%s: '%s' prints\n%s\nand not\n%s", page, command, p.out,
                  expected);
    tw_process_free(&p);
}

/* Lines that begin with "$ " are commands, those behind each are what it prints. */
static void check_console(const char *folder, const char *page, char *text)
{
    ck_assert_msg(starts_with(text, "$ "), "%s: an example begins with '$ ', this one does not: %s", page,
                  text);
    for (char *command = text + 2; command != NULL;) {
        char *next = strstr(command, "\n$ ");
        if (next != NULL) {
            next[1] = '\0';
            next += 3;
        }
        check_printed(folder, page, command);
        command = next;
    }
}

/* One command a line; what stands behind a # is for people. */
static void check_script(const char *folder, const char *page, char *text)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *comment = strstr(line, " #");
        if (comment != NULL)
            *comment = '\0';
        if (*line != '#' && *line != '\0')
            ck_assert_msg(check_command(folder, line), "%s: no test knows how to check '%s'", page, line);
    }
}

/* A quotation from a source file. */
static void check_quotation(const char *page, const char *file, const char *text)
{
    char *source = tw_read_text(file);
    ck_assert_msg(strstr(source, text) != NULL, "%s: %s does not contain\n%s", page, file, text);
    free(source);
}

/* A script for Python: run if what it imports is there, otherwise read by Python if that is there. */
static void check_python(const char *page, const char *text)
{
    char *folder = make_folder(), path[700];
    snprintf(path, sizeof path, "%s/script.py", folder);
    tw_write_text(path, text);
    tw_process has_all = run_in(folder, "python3 -c 'import numpy, torch'");
    if (has_all.exit_code == 0) {
        must_work_in(folder, "python3 script.py");
        must_work_in(folder, "build/tilewise check --q q.npy --k k.npy --v v.npy --o o.npy --causal");
    } else {
        printf("%s: its script was not run, because Python, NumPy or PyTorch is not here\n", page);
        must_work_in(folder, "! command -v python3 || python3 -m py_compile script.py");
    }
    tw_process_free(&has_all);
    remove_folder(folder);
}

static void check_block(const char *folder, const char *page, const tw_markdown_part *block)
{
    static const char *const are_not_commands[] = {"", "text", "math", "gdb"}; /* gdb: the suite debugger */
    char *text = tw_part_text(block, false);
    bool known = false;
    for (size_t i = 0; i < sizeof are_not_commands / sizeof are_not_commands[0]; i++)
        known = known || strcmp(block->info, are_not_commands[i]) == 0;
    if (strcmp(block->info, "console test") == 0)
        check_console(folder, page, text);
    else if (strcmp(block->info, "sh") == 0)
        check_script(folder, page, text);
    else if (starts_with(block->info, "c "))
        check_quotation(page, block->info + 2, text);
    else if (strcmp(block->info, "python") == 0)
        check_python(page, text);
    else
        ck_assert_msg(known, "%s: no test knows how to check a block marked '%s'", page, block->info);
    free(text);
}

static bool is_handout(const char *page)
{
    return strstr(page, "/handout.md") != NULL;
}

static bool is_command(const char *span)
{
    return starts_with(span, "build/tilewise ") || starts_with(span, "build/tilewise-gpu ") ||
           (starts_with(span, "make ") && !is_in_make_help(span));
}

START_TEST(test_blocks)
{
    const char *page = tw_page(_i);
    char *text = tw_read_text(page), *folder = NULL;
    const char *at = text;
    for (tw_markdown_part block; !is_handout(page) && tw_next_block(&block, &at);) {
        folder = folder != NULL ? folder : make_folder();
        check_block(folder, page, &block);
    }
    remove_folder(folder);
    free(text);
}
END_TEST

/* Those of docs/labs/ are about the Makefile that is in a handout. */
START_TEST(test_spans)
{
    const char *page = tw_page(_i);
    char *text = tw_read_text(page), *folder = NULL;
    const char *at = text;
    for (tw_markdown_part span; !starts_with(page, "docs/labs/") && tw_next_span(&span, &at);) {
        char *command = tw_part_text(&span, true);
        if (is_command(command)) {
            folder = folder != NULL ? folder : make_folder();
            ck_assert_msg(check_command(folder, command), "%s: cannot check '%s'", page, command);
        }
        free(command);
    }
    remove_folder(folder);
    free(text);
}
END_TEST

Suite *tw_suite_manual(void)
{
    Suite *suite = suite_create("manual");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, test_blocks, 0, tw_num_pages());
    tcase_add_loop_test(core, test_spans, 0, tw_num_pages());
    suite_add_tcase(suite, core);
    return suite;
}
