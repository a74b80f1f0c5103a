/* tilewise step: the example by hand, a terminal, the page, refusals. */
#define _XOPEN_SOURCE 700 /* posix_openpt() */
#include "check_tilewise.h"
#include "step_example.h"
#include "support_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The last program that was run. */
static tw_process result;

static const char *run(const char *line)
{
    tw_process_free(&result);
    result = tw_tilewise(line);
    return result.out;
}

/* ---- the example, by hand ------------------------------------------------------------------------------- */

START_TEST(test_plain_is_the_example_by_hand)
{
    char line[160], command[128];
    for (int row = 0; row < 4; row++) {
        snprintf(command, sizeof command, "step --plain --example --row %d", row);
        const char *at = run(command);
        ck_assert_int_eq(result.exit_code, 0);
        for (int i = 0; i < NUM_STEPS; i++) {
            if (row < steps[i].row0 || row > steps[i].row0 + 1)
                continue;
            row_by_hand(line, sizeof line, row, steps[i].keys);
            at = strstr(at, line);
            ck_assert_msg(at != NULL, "no line '%s' in %s", line, result.out);
        }
    }
}
END_TEST

/* The bytes of the README's table: flash2 moves Q 16, twice K 16 and V 16 in; O 16 and LSE 16 out. */
START_TEST(test_plain_bytes_of_the_example)
{
    const char *out = run("step --example --machine paper"), *last = NULL;
    for (const char *at = out; (at = strstr(at, "SRAM fill")) != NULL; at++)
        last = at;
    ck_assert_ptr_nonnull(last);
    long long fill, standard, tiled, drain;
    ck_assert_int_eq(
        sscanf(last, "SRAM fill %lld %lld %lld SRAM drain %lld", &fill, &standard, &tiled, &drain), 4);
    ck_assert_int_eq(fill, 16 + 2 * (16 + 16));
    ck_assert_int_eq(drain, 16 + 16);
    ck_assert_int_eq(standard, 16 + 16 + 32 + 32 + 16);
}
END_TEST

START_TEST(test_plain_grid_and_end)
{
    const char *out = run("step --seqlen 12 --causal --to 3");
    ck_assert_ptr_nonnull(strstr(out, "tile 1 of 6: rows 0-3, keys 0-3"));
    ck_assert_ptr_nonnull(strstr(out, "  scores   # - -\n           # @ -\n           . . .\n"));
    ck_assert_ptr_nonnull(strstr(out, "tile 3 of 6"));
    ck_assert_ptr_null(strstr(out, "tile 4 of 6"));
    out = run("step --seqlen-q 12 --seqlen-k 2 --causal"); /* two blocks see no key at all */
    ck_assert_ptr_nonnull(strstr(out, "  scores   -\n           -\n           .\n"));
    out = run("step --seqlen-q 80 --seqlen-k 160 --to 40");
    ck_assert_ptr_nonnull(strstr(out, "tiles 0-15 of 20 down, 8-39 of 40 across"));
}
END_TEST

START_TEST(test_says_what_is_walked)
{
    const char *out = run("step --heads 4 --heads-kv 2 --to 1");
    ck_assert_ptr_nonnull(
        strstr(out, "head_dim 4, 4 heads on 2 of K and V, batch 1, fp16, softmax_scale 0.5\n"));
    ck_assert_ptr_null(strstr(out, "take up SRAM"));
    out = run("step --heads 2 --machine paper --to 1");
    ck_assert_ptr_nonnull(strstr(out, "head_dim 4, 2 heads, batch 1,"));
    ck_assert_ptr_nonnull(
        strstr(out, "           only Q, K, V and O take up SRAM, in the input's type, as in the papers\n"));
}
END_TEST

/* Tiles as they are visited, whatever --block-m and --block-n say. */
START_TEST(test_head_names_the_tiles_that_follow)
{
    static const char *const heads[][2] = {
        {"--algorithm standard", "\n3 tiles of 8 x 8, whole matrices; scores:"},
        {"--algorithm standard --pass backward", "\n5 tiles of 8 x 8, whole matrices; scores:"},
        {"--algorithm flash3", "\n8 tiles of 2 x 4, shares of query tiles of 4 rows; scores:"},
        {"--seqlen 13", "\n16 tiles of up to 4 x 4; scores:"},
        {"--seqlen 3", "\n1 tile of 3 x 3; scores:"},
        {"--seqlen 12 --block-m 6", "\n6 tiles of 6 x 4; scores:"},
    };
    char command[128];
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        snprintf(command, sizeof command, "step %s", heads[i][0]);
        ck_assert_msg(strstr(run(command), heads[i][1]) != NULL, "%s says %s", command, result.out);
    }
    ck_assert_ptr_nonnull(strstr(run("step --algorithm flash3 --html -"),
                                 "on h100; tiles of 2 x 4, shares of query tiles of 4 rows\""));
}
END_TEST

/* Heads that are packed into rows are told apart by the row; what is left is a K/V head. */
START_TEST(test_packed_heads)
{
    const char *out = run("step --algorithm gqa_packed --heads 4 --heads-kv 1"), *page;
    ck_assert_ptr_nonnull(strstr(out,
                                 "\nquery heads are packed into rows: row r is query r / 4, rounded down, of "
                                 "head r % 4 of the 4 that share K and V\n"));
    ck_assert_ptr_nonnull(strstr(out, "tile 16 of 16: rows 28-31, keys 4-7 (gqa_packed.c"));
    out = run("step --algorithm gqa_packed --heads 4 --heads-kv 2");
    ck_assert_ptr_nonnull(strstr(out, "tile 9 of 16: rows 0-3, keys 0-3, K/V head 1 (gqa_packed.c"));
    page = run("step --algorithm gqa_packed --heads 4 --heads-kv 2 --html -");
    ck_assert_ptr_nonnull(strstr(page, "; query heads are packed into rows: row r is query r "));
    ck_assert_ptr_null(strstr(run("step --heads 4 --heads-kv 2"), "packed"));
}
END_TEST

/* What is summed up on chip in a backward pass, by query and by key. */
START_TEST(test_backward)
{
    const char *out = run("step --pass backward --row 5");
    ck_assert_ptr_nonnull(strstr(out, "tile 1 of 4: rows 0-3, keys 0-3, launch gradients"));
    ck_assert_ptr_nonnull(strstr(out, "\n  row 5: dQ sum "));
    ck_assert_ptr_nonnull(strstr(out, "\n  key 5: not in this tile\n"));
    const char *dk = strstr(out, "\n  key 5: dK ");
    ck_assert_ptr_nonnull(dk);
    ck_assert_uint_lt(strcspn(dk + 1, ","), strcspn(dk + 1, "\n")); /* and dV */
    ck_assert_ptr_nonnull(strstr(out, "\n  row 5: dQ "));
    ck_assert_ptr_null(strstr(run("step --row 5"), "key 5"));
    const char *page = run("step --pass backward --html -");
    ck_assert_int_eq(result.exit_code, 0);
    ck_assert_ptr_nonnull(strstr(page, "\"backward\":true"));
    ck_assert_ptr_nonnull(strstr(page, "matmul_tn_add(e, dk, ds, q)"));
}
END_TEST

START_TEST(test_other_rows)
{
    const char *out = run("step --seqlen-q 6 --seqlen-k 2 --causal --row 5");
    ck_assert_ptr_nonnull(strstr(out, "row 5: not in this tile"));
    ck_assert_ptr_nonnull(strstr(out, "            -inf           0")); /* rows 0-3 see no key */
    out = run("step --algorithm standard");
    ck_assert_ptr_nonnull(strstr(out, "neither m, l nor O is on chip"));
    out = run("step --seqlen 40 --block-m 40 --block-n 8");
    ck_assert_ptr_nonnull(strstr(out, "and 24 rows more"));
}
END_TEST

/* ---- on a terminal -------------------------------------------------------------------------------------- */

/* Types `keys` at the prompts of the example's walk. */
static const char *type(const char *keys)
{
    static char said[1 << 16];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(terminal, 0);
    ck_assert_int_eq(grantpt(terminal), 0);
    ck_assert_int_eq(unlockpt(terminal), 0);
    int inside = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(inside, 0);
    ck_assert_int_eq(write(terminal, keys, strlen(keys)), (ssize_t)strlen(keys));
    char program[512];
    snprintf(program, sizeof program, "%s/tilewise", tw_build_folder());
    char *argv[] = {program, (char[]){"step"}, (char[]){"--example"}, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    for (int stream = 0; stream < 3; stream++)
        posix_spawn_file_actions_adddup2(&actions, inside, stream);
    ck_assert_int_eq(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(inside);
    size_t used = 0;
    for (ssize_t n;
         (n = read(terminal, said + used, sizeof said - 1 - used)) > 0;) /* fails when nobody is inside */
        used += (size_t)n;
    said[used] = '\0';
    close(terminal);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return said;
}

START_TEST(test_on_a_terminal)
{
    const char *out = type("q\n");
    ck_assert_ptr_nonnull(strstr(out, "tile 1 of 4"));
    ck_assert_ptr_nonnull(strstr(out, "Enter: on"));
    ck_assert_ptr_null(strstr(out, "tile 2 of 4"));
    out = type("4\nq\n");
    ck_assert_ptr_nonnull(strstr(out, "tile 4 of 4"));
    ck_assert_ptr_null(strstr(out, "tile 2 of 4"));
    out = type("\np\nq\n");
    const char *second = strstr(out, "tile 2 of 4");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_nonnull(strstr(second, "tile 1 of 4"));
}
END_TEST

/* What leads nowhere is answered, and asked again. */
START_TEST(test_typed_in_vain)
{
    static const char *const vain[][2] = {
        {"99\n", "the tile is 99, it must be from 1 to 4"},
        {"0\n", "the tile is 0, it must be from 1 to 4"},
        {"-1\n", "the tile is -1, it must be from 1 to 4"},
        {"foo\n", "'foo' is not known here, it must be p, q, the number of a tile or nothing"},
        {"2x\n", "'2x' is not known here"},
        {"quit\n", "'quit' is not known here"},
        {"11111111111111111111111111111111111111111111111111111111111111111111111111111111\n",
         "the tile is 1111111111111111111111111111111111111111..., it must be"},
    };
    char keys[128];
    for (size_t i = 0; i < sizeof vain / sizeof vain[0]; i++) {
        snprintf(keys, sizeof keys, "%s 3 \nq\n", vain[i][0]);
        const char *answer = strstr(type(keys), vain[i][1]);
        ck_assert_msg(answer != NULL, "%s is not answered", vain[i][0]);
        ck_assert_ptr_null(strstr(strchr(answer, '\n'), "it must be"));
        ck_assert_ptr_nonnull(strstr(answer, "tile 3 of 4"));
    }
}
END_TEST

/* ---- the page ------------------------------------------------------------------------------------------- */

static const char *in_build(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", tw_build_folder(), name);
    return path;
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

START_TEST(test_page_needs_nothing_else)
{
    static const char *const fetches[] = {"src=",   "href=\"http",    "@import", "url(http",
                                          "fetch(", "XMLHttpRequest", "{{walk",  "{{title"};
    const char *page = run("step --example --html -");
    ck_assert_int_eq(result.exit_code, 0);
    ck_assert_str_eq(result.err, "");
    ck_assert_int_eq(strncmp(page, "<!DOCTYPE html>", 15), 0);
    ck_assert_uint_lt(strlen(page), 200000);
    for (size_t i = 0; i < sizeof fetches / sizeof fetches[0]; i++)
        ck_assert_msg(strstr(page, fetches[i]) == NULL, "the page has '%s'", fetches[i]);
    ck_assert_ptr_nonnull(strstr(page, "\"algorithm\":\"flash2\""));
    ck_assert_ptr_nonnull(strstr(page, "static void flash2_block(tw_emitter *e"));
}
END_TEST

/* One that is refused leaves an older page as it was. */
START_TEST(test_page_is_there_or_not)
{
    char command[700], path[512];
    snprintf(path, sizeof path, "%s", in_build("step_test.html"));
    remove(path);
    snprintf(command, sizeof command, "step --seqlen 128 --head-dim 32 --block-m 4 --block-n 8 --html %s",
             path);
    run(command);
    ck_assert_int_eq(result.exit_code, 2);
    ck_assert_ptr_nonnull(strstr(result.err, "it must have fewer than 2000000"));
    ck_assert(!exists(path));
    snprintf(command, sizeof command, "step --example --html %s", path);
    run(command);
    ck_assert_int_eq(result.exit_code, 0);
    ck_assert_str_eq(result.out, "");
    ck_assert(exists(path));
    remove(path);
}
END_TEST

/* What is on chip is written down where it changes: hundreds of tiles fit. */
START_TEST(test_page_of_a_long_walk)
{
    const char *page = run("step --seqlen 100 --block-m 4 --block-n 4 --html -");
    ck_assert_int_eq(result.exit_code, 0);
    ck_assert_ptr_nonnull(strstr(page, "\"tiles\":625,"));
    ck_assert_uint_lt(strlen(page), 2000000);
}
END_TEST

/* Its last line says why it was skipped, where it was. */
START_TEST(test_page_in_a_browser)
{
    tw_process_free(&result);
    result = tw_run((char *[]){(char[]){"tests/page/check_page.sh"}, NULL});
    if (result.exit_code == 77)
        printf("%s", result.out);
    else
        ck_assert_msg(result.exit_code == 0, "%s%s", result.out, result.err);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------- */

static const struct {
    const char *arguments, *words;
} refused[] = {
    {"--algorithm flash9", "algorithm is 'flash9', it must be one of"},
    {"--machine nowhere", "nowhere"},
    {"--dtype fp8", "fp8"},
    {"--seqlen 0", "--seqlen"},
    {"--seqlen 8,16", "the options name 2 cases, step walks through one"},
    {"--algorithm flash1,flash2", "the options name 2 cases"},
    {"--heads 3 --heads-kv 2", "num_heads"},
    {"--row 8", "--row is 8, it must be from 0 to 7"},
    {"--row x", "--row"},
    {"--row -1", "--row is '-1', it must be 0 or a positive number"},
    {"--to 0", "--to is 0, it must be from 1 to 4"},
    {"--to 5", "--to is 5, it must be from 1 to 4"},
    {"--example --pass backward", "--example is of forward passes, flash2_backward is a backward pass"},
    {"--pass both", "step walks through one: it must be forward or backward"},
    {"--example --seqlen 5", "--seqlen is given beside --example"},
    {"--example --dtype fp32", "--dtype is given beside --example"},
    {"--seqlen 1M", "more than 50000 tiles"},
    {"--seqlen 100k --algorithm standard", "the walk: needs"},
    {"--seqlen 4k --block-m 4k --block-n 4k --head-dim 128", "too many"},
    {"--seqlen 512 --html no-such-page.html", "too many to step through"},
    {"--seqlen 512 --head-dim 256 --block-m 64 --block-n 64 --html no-such-page.html", "numbers to show"},
    {"--html /", "is a folder"},
    {"--html /nonexistent/page.html", "cannot be written"},
    {"--html - --plain", "both write to stdout"},
    {"--html", "needs a value"},
    {"--htlm x", "did you mean --html?"},
    {"--csv x", "--csv is not known"},
};
enum { NUM_REFUSED = sizeof refused / sizeof refused[0] };

START_TEST(test_refusals)
{
    char command[256];
    snprintf(command, sizeof command, "step %s", refused[_i].arguments);
    tw_expect_refusal(command, refused[_i].words);
    ck_assert(!exists("no-such-page.html"));
}
END_TEST

Suite *tw_suite_step(void)
{
    Suite *suite = suite_create("step");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, test_plain_is_the_example_by_hand);
    tcase_add_test(core, test_plain_bytes_of_the_example);
    tcase_add_test(core, test_plain_grid_and_end);
    tcase_add_test(core, test_says_what_is_walked);
    tcase_add_test(core, test_head_names_the_tiles_that_follow);
    tcase_add_test(core, test_packed_heads);
    tcase_add_test(core, test_backward);
    tcase_add_test(core, test_other_rows);
    tcase_add_test(core, test_on_a_terminal);
    tcase_add_test(core, test_typed_in_vain);
    tcase_add_test(core, test_page_needs_nothing_else);
    tcase_add_test(core, test_page_is_there_or_not);
    tcase_add_test(core, test_page_of_a_long_walk);
    suite_add_tcase(suite, core);
    TCase *browser = tcase_create("browser");
    tcase_set_timeout(browser, 600);
    tcase_add_test(browser, test_page_in_a_browser);
    suite_add_tcase(suite, browser);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, test_refusals, 0, NUM_REFUSED);
    suite_add_tcase(suite, errors);
    return suite;
}
