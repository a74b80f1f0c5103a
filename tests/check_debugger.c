/* The debugger's commands (tests/gdb): known numbers, the same numbers as step --plain, and the sessions of docs/howto/debugger.md. */
#include "check_tilewise.h"
#include "step_example.h"
#include "support_process.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The last program that was run. */
static tw_process result;

static char *run_words(char **words)
{
    tw_process_free(&result);
    result = tw_run(words);
    return result.out;
}

/* NULL if the commands can be tried here. */
static const char *why_not(void)
{
    char *argv[] = {(char[]){"gdb"},
                    (char[]){"-nx"},
                    (char[]){"-batch"},
                    (char[]){"-ex"},
                    (char[]){"python print(6 * 7)"},
                    NULL};
    char program[512];
    snprintf(program, sizeof program, "%s/gdb/tilewise", tw_build_folder());
    const char *why = access(program, X_OK) != 0                 ? "the program for it was not built"
                      : strncmp(run_words(argv), "42\n", 3) != 0 ? "there is no gdb with Python here"
                                                                 : NULL;
    return why;
}

static bool has_gdb(void)
{
    return !why_not();
}

START_TEST(test_is_there)
{
    const char *why = why_not();
    if (why)
        printf("skipped: the debugger's commands, because %s\n", why);
}
END_TEST

/* Adds a line to a text that has room for `size` bytes. */
static void add_line(char *text, size_t size, const char *line)
{
    size_t used = strlen(text), length = strlen(line);
    ck_assert_uint_lt(used + length, size);
    memcpy(text + used, line, length + 1);
}

/* What gdb prints for a script, run on `tilewise step --plain ARGUMENTS`. */
static char *session(const char *arguments, const char *script)
{
    char path[512], set_args[512];
    snprintf(path, sizeof path, "%s/session-%ld.gdb", tw_build_folder(), (long)getpid());
    snprintf(set_args, sizeof set_args, "set args step --plain %s < /dev/null > /dev/null", arguments);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(script, file);
    ck_assert_int_eq(fclose(file), 0);
    char program[512];
    snprintf(program, sizeof program, "%s/gdb/tilewise", tw_build_folder());
    char *argv[] = {(char[]){"gdb"}, (char[]){"-q"},
                    (char[]){"-nx"}, (char[]){"-batch"},
                    (char[]){"-x"},  (char[]){"tests/gdb/tilewise.gdb"},
                    (char[]){"-ex"}, set_args,
                    (char[]){"-x"},  path,
                    program,         NULL};
    run_words(argv);
    remove(path);
    ck_assert_msg(result.exit_code == 0, "gdb failed: %s", result.err);
    char *begin = strchr(result.out, '\n'); /* the first line says which commands there are */
    ck_assert_ptr_nonnull(begin);
    memmove(result.out, begin + 1, strlen(begin));
    return result.out;
}

START_TEST(test_known_numbers)
{
    if (!has_gdb())
        return;
    char script[512] = "", expected[4096] = "", line[160];
    for (int i = 0; i < NUM_STEPS; i++) {
        add_line(script, sizeof script, "tw-step\ntw-row 0\ntw-row 1\ntw-row 2\ntw-row 3\n");
        snprintf(line, sizeof line, "tile %d: rows %d-%d, keys %d-%d (flash2.c, line ", i + 1, steps[i].row0,
                 steps[i].row0 + 1, steps[i].keys - 2, steps[i].keys - 1);
        add_line(expected, sizeof expected, line);
        add_line(expected, sizeof expected, "N)\n");
        for (int row = 0; row < 4; row++) {
            row_by_hand(line, sizeof line, row, steps[i].keys);
            if (row < steps[i].row0 || row > steps[i].row0 + 1)
                snprintf(line, sizeof line, "row %d: not in this tile\n", row);
            add_line(expected, sizeof expected, line);
        }
    }
    char *out = session("--example", script);
    for (char *at = out; (at = strstr(at, ", line ")) != NULL; at++) { /* a schedule's lines may move */
        char *number = at + 7, *end = strchr(number, ')');
        *number = 'N';
        memmove(number + 1, end, strlen(end) + 1);
    }
    ck_assert_str_eq(out, expected);
}
END_TEST

/* Walks that both views must agree on: what the options are, and how many tiles they take. */
static const struct {
    const char *arguments;
    int row, tiles;
} walks[] = {
    {"--example", 1, 4},
    {"--example --algorithm flash1", 3, 4},
    {"--example --algorithm standard", 2, 3},
    {"--algorithm standard_tiled --seqlen 5 --dtype fp32", 4, 13},
    {"--seqlen-q 9 --seqlen-k 13 --causal --seed 3 --heads 2", 6, 18},
    {"--algorithm flash1 --seqlen-q 13 --seqlen-k 7 --causal --machine paper", 9, 5},
    {"--algorithm gqa_packed --heads 4 --heads-kv 2", 9, 16},
    {"--algorithm flash3", 3, 8},
    {"--dropout 0.2", 3, 4},
    {"--pass backward", 1, 4},
    {"--pass backward --seqlen-q 9 --seqlen-k 13 --causal --dropout 0.2", 6, 9},
    {"--pass backward --algorithm flash1 --heads 2", 3, 8},
    {"--pass backward --algorithm standard --batch 2", 2, 10},
    {"--pass backward --algorithm standard_tiled --seqlen 5", 4, 21},
};
enum { NUM_WALKS = sizeof walks / sizeof walks[0] };

/* A title without the number of tiles, which gdb cannot know, and without the lines of the source. */
static void add_title(char *lines, const char *title)
{
    size_t number = strcspn(title + 5, " :") + 5;
    const char *rest = strchr(title, ':');
    strncat(lines, title, number);
    strncat(lines, rest, strcspn(rest, "("));
    size_t used = strlen(lines);
    lines[used] = '\n';
    lines[used + 1] = '\0';
}

/* Titles of tiles, and the lines "row N: …" and "key N: …" of a text, those at the end of a block left out. */
static void lines_of_tiles(char *lines, const char *text)
{
    bool tile = false;
    lines[0] = '\0';
    while (*text) {
        size_t length = strcspn(text, "\n") + 1, indent = strspn(text, " ");
        if (strncmp(text, "tile ", 5) == 0 || strncmp(text, "end of", 6) == 0)
            tile = text[0] == 't';
        if (strncmp(text, "tile ", 5) == 0)
            add_title(lines, text);
        if (tile && (strncmp(text + indent, "row ", 4) == 0 || strncmp(text + indent, "key ", 4) == 0))
            strncat(lines, text + indent, length - indent);
        text += length;
    }
}

static int count_of(const char *word, const char *text)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

START_TEST(test_same_as_plain)
{
    static char from_plain[1 << 16], from_gdb[1 << 16];
    char script[2048] = "", line[64], command[512];
    if (!has_gdb())
        return;
    for (int i = 0; i < walks[_i].tiles; i++) {
        snprintf(line, sizeof line, "tw-step\ntw-row %d\n", walks[_i].row);
        add_line(script, sizeof script, line);
    }
    lines_of_tiles(from_gdb, session(walks[_i].arguments, script));
    snprintf(command, sizeof command, "step --plain %s --row %d", walks[_i].arguments, walks[_i].row);
    tw_process plain = tw_tilewise(command);
    lines_of_tiles(from_plain, plain.out);
    tw_process_free(&plain);
    ck_assert_str_eq(from_gdb, from_plain);
    ck_assert_int_eq(count_of("tile ", from_gdb), walks[_i].tiles);
    ck_assert_int_eq(count_of("\nrow ", from_gdb), walks[_i].tiles);
}
END_TEST

START_TEST(test_tile_and_printers)
{
    if (!has_gdb())
        return;
    const char *out = session("--example",
                              "tw-step\ntw-step\ntw-tile\nprint st\nprint s\nprint e->slots[k.id]\n");
    ck_assert_ptr_nonnull(strstr(out, "S              key 2       key 3\n"
                                      "row 0              1           0\n"
                                      "row 1              1           2\n"
                                      "P              key 2       key 3\n"
                                      "row 0              1    0.367879\n"
                                      "row 1       0.367879           1\n"));
    ck_assert_ptr_nonnull(strstr(
        out, "row state\n  row 0: m 1, l 2.73576, alpha 1\n  row 1: m 2, l 1.87109, alpha 0.367879\n"));
    ck_assert_ptr_nonnull(strstr(out, "P 2 x 2 fp16 in registers, rows 0-1, 8 bytes\n  row 0: 1 0.367879\n"));
    ck_assert_ptr_nonnull(strstr(out, "= K 2 x 2 fp16 in shared memory, rows 2-3, 8 bytes\n"));
}
END_TEST

START_TEST(test_watch_max)
{
    if (!has_gdb())
        return;
    const char *out = session("--example",
                              "tw-watch-max 1\ntw-step\ntw-step\ntw-step\ntw-row 1\ntw-step\ntw-row 1\n"
                              "tw-watch-max off\ntw-watch-max 3\ntw-step\ntw-step\ntw-step\n");
    ck_assert_ptr_nonnull(strstr(out, "stops whenever the maximum of row 1 changes\n"
                                      "row 1: the maximum goes from -inf to 1\n"
                                      "tile 1: rows 0-1, keys 0-1"));
    ck_assert_ptr_nonnull(strstr(out,
                                 "row 1: the maximum goes from 1 to 2\n"
                                 "row 1: m 1, l 1.36788, O 0.367879 1, still to be divided by l\ntile 2: "));
    ck_assert_ptr_nonnull(strstr(out, "row 1: m 2, l 1.87109, O 0.871094 2.36788"));
    ck_assert_ptr_nonnull(strstr(out, "row 3: the maximum goes from -inf to 2\ntile 3: rows 2-3, keys 0-1"));
    ck_assert_ptr_nonnull(strstr(out, "\ntile 4: ")); /* in its last tile row 3 sees nothing larger */
}
END_TEST

/* Every word of the backward pass' recurrence: S becomes P, dP becomes dS. */
START_TEST(test_tile_of_a_backward_pass)
{
    if (!has_gdb())
        return;
    const char *out = session("--pass backward --seqlen 4 --block-m 2 --block-n 2", "tw-step\ntw-tile\n");
    static const char *const titles[] = {"\nS  ", "\nP  ", "\ndP  ", "\ndS  "};
    for (int i = 0; i < 4; i++)
        ck_assert_msg((out = strstr(out, titles[i])) != NULL, "no %s in %s", titles[i] + 1, result.out);
}
END_TEST

/* However a run is ended and begun, tiles are counted from 1. */
START_TEST(test_begins_again)
{
    if (!has_gdb())
        return;
    static const char *const ends[] = {"kill\n", "run\nkill\n"};
    char script[128];
    for (int i = 0; i < 2; i++) {
        snprintf(script, sizeof script, "tw-step 3\n%stw-step\ntw-row 0\n", ends[i]);
        const char *out = session("--example", script), *third = strstr(out, "tile 3: ");
        ck_assert_ptr_nonnull(third);
        ck_assert_ptr_nonnull(strstr(third, "\ntile 1: rows 0-1, keys 0-1"));
        ck_assert_ptr_nonnull(strstr(third, "\nrow 0: m 1, l 1.36788"));
        ck_assert_ptr_null(strstr(third, "tile 4: "));
    }
    ck_assert_ptr_nonnull(strstr(session("--example", "tw-step 3\nrun\ntw-step\n"), "\ntile 2: "));
}
END_TEST

/* Inside the softmax some rows are P already; behind both passes of standard attention S is still what came first. */
START_TEST(test_tile_inside_its_softmax)
{
    if (!has_gdb())
        return;
    const char *out = session("--example", "tw-watch-max 1\ntw-step\ntw-tile\n");
    ck_assert_ptr_nonnull(strstr(out, "S              key 0       key 1\n"
                                      "row 0              1           0\n"
                                      "row 1              0           1\n"
                                      "P              key 0       key 1\n"
                                      "row 0              1    0.367879\n"));
    ck_assert_ptr_null(strstr(strstr(out, "\nP "), "row 1"));
    out = session("--example --algorithm standard", "tw-step 2\ntw-tile\n");
    ck_assert_ptr_nonnull(strstr(out, "S              key 0       key 1       key 2       key 3\n"
                                      "row 0              1           0           1           0\n"));
    ck_assert_ptr_nonnull(strstr(out, "row 0       0.365529    0.134471    0.365529    0.134471\n"));
}
END_TEST

/* As the titles of step --plain do, where there are several of something. */
START_TEST(test_says_which_head)
{
    if (!has_gdb())
        return;
    const char *out = session("--seqlen 4 --heads 2 --batch 2",
                              "tw-watch-max 1\ntw-step 2\ntw-step 2\ntw-step 2\n");
    ck_assert_ptr_nonnull(strstr(out, "row 1, batch 0, head 1: the maximum goes from -inf to "));
    ck_assert_ptr_nonnull(strstr(out, "\ntile 2: rows 0-3, keys 0-3, batch 0, head 1 (flash2.c, line "));
    out = session("--example --algorithm standard", "tw-step 3\n");
    ck_assert_ptr_nonnull(strstr(out, "tile 3: rows 0-3, keys 0-3, launch output (standard.c, line "));
}
END_TEST

START_TEST(test_ends)
{
    if (!has_gdb())
        return;
    const char *out = session("--example", "tw-step 9\ntw-step\n");
    ck_assert_ptr_nonnull(strstr(out, "the walk is over: tw-step begins again\ntile 1: "));
    out = session("--row 99", "tw-step\n");
    ck_assert_ptr_nonnull(strstr(out, "the program ended, and says why above"));
}
END_TEST

START_TEST(test_says_what_is_missing)
{
    static const char *const lines[][2] = {
        {"tw-row 0\n", "nothing is running: tw-step starts it"},
        {"tw-step\ntw-row\n", "tw-row needs a query row"},
        {"tw-watch-max\n", "tw-watch-max needs a query row, or off"},
        {"tw-step\ntw-row 4\n", "tw-row: the row is 4, it must be from 0 to 3: there are 4 query rows"},
        {"tw-step\ntw-row nothing\n", "tw-row: 'nothing' is not a number that is known here"},
        {"tw-step\ntw-watch-max 7\n", "tw-watch-max: the row is 7, it must be from 0 to 3"},
        {"tw-watch-max -1\n", "tw-watch-max: the row is -1, it must be from 0"},
        {"tw-step 0\n", "tw-step: the number of tiles is 0, it must be at least 1"},
        {"break main\nrun\ntw-tile\n", "no tile operation is running here"},
    };
    if (!has_gdb())
        return;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char script[256];
        snprintf(script, sizeof script,
                 "python\ntry:\n    gdb.execute(%c%c%c%s%c%c%c)\nexcept gdb.error as e:\n    print(e)\nend\n",
                 '"', '"', '"', lines[i][0], '"', '"', '"');
        const char *out = session("--example", script);
        ck_assert_msg(strstr(out, lines[i][1]) != NULL, "%s says %s", lines[i][0], out);
    }
}
END_TEST

/* ---- the how-to ----------------------------------------------------------------------------------------- */

static char *how_to(void)
{
    static char text[1 << 16];
    FILE *file = fopen("docs/howto/debugger.md", "r");
    ck_assert_msg(file != NULL,
                  "docs/howto/debugger.md is not here: run the tests from the top of the repository");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* The next block that begins with `fence`, ended with a zero; *at moves behind it. NULL if there is none. */
static char *next_block(char **at, const char *fence)
{
    char *begin = strstr(*at, fence);
    if (!begin)
        return NULL;
    begin += strlen(fence);
    char *end = strstr(begin, "\n```\n");
    ck_assert_ptr_nonnull(end);
    end[1] = '\0';
    *at = end + 2;
    return begin;
}

/* All blocks are one session, typed from top to bottom: "(gdb) " lines are typed, the others must be printed. */
START_TEST(test_how_to_in_gdb)
{
    static char printed[1 << 15], typed[1 << 15];
    int count = 0;
    if (!has_gdb())
        return;
    char *at = how_to();
    for (char *block; (block = next_block(&at, "\n```gdb\n")) != NULL; count++)
        add_line(printed, sizeof printed, block);
    char script[4096] = "";
    memcpy(typed, printed, sizeof typed);
    for (char *line = strtok(typed, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "(gdb) ", 6) == 0) {
            size_t used = strlen(script);
            snprintf(script + used, sizeof script - used, "echo %s\\n\n%s\n", line, line + 6);
        }
    ck_assert_uint_lt(strlen(script), sizeof script - 1);
    ck_assert_str_eq(session("--example", script), printed);
    ck_assert_int_ge(count, 3);
}
END_TEST

Suite *tw_suite_debugger(void)
{
    Suite *suite = suite_create("debugger");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_test(core, test_is_there);
    tcase_add_test(core, test_known_numbers);
    tcase_add_loop_test(core, test_same_as_plain, 0, NUM_WALKS);
    tcase_add_test(core, test_tile_and_printers);
    tcase_add_test(core, test_watch_max);
    tcase_add_test(core, test_tile_inside_its_softmax);
    tcase_add_test(core, test_tile_of_a_backward_pass);
    tcase_add_test(core, test_begins_again);
    tcase_add_test(core, test_says_which_head);
    tcase_add_test(core, test_ends);
    tcase_add_test(core, test_says_what_is_missing);
    tcase_add_test(core, test_how_to_in_gdb);
    suite_add_tcase(suite, core);
    return suite;
}
