/* The ledger of claims: how rows are read and judged, what a command may print, and that docs/ledger.md is not stale. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "../notebooks_data/ledger/ledger_table.h"
#include "../notebooks_data/tables/markers.h"
#include "check_tilewise.h"
#include "support_process.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what a command prints -------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int numbers; /* 0: refused */
} printed[] = {
    {"1.5\n", 1}, {"0", 1},       {"2e-4 1e-4 3e-4\n", 3}, {"1\n2\n3\n", 3}, {"", 0},
    {"\n", 0},    {"1 2", 0},     {"1 2 3 4", 0},          {"fast", 0},      {"1.5 x", 0},
    {"nan", 0},   {"1 inf 2", 0},
};

START_TEST(test_ours)
{
    tw_ours ours = {.value = -1};
    const tw_status status = tw_ours_parse(&ours, printed[_i].text);
    ck_assert_int_eq(status, printed[_i].numbers > 0 ? TW_OK : TW_EFORMAT);
    ck_assert_int_eq(ours.has_interval, printed[_i].numbers == 3);
}
END_TEST

/* ---- verdicts --------------------------------------------------------------------------------------------- */

static const struct {
    const char *printed, *rule, *reason, *ours;
    double difference;
    int verdict; /* -1: refused */
} judged[] = {
    {"100 GB", "count", "", "104.9", 0.049, TW_REPRODUCED},
    {"100 GB", "count", "", "95.1", -0.049, TW_REPRODUCED},
    {"100 GB", "count", "", "105.1", 0.051, TW_NOT_REPRODUCED},
    {"100 GB", "count", "because", "105.1", 0.051, TW_EXPLAINED},
    {"100 GB", "count", "because", "100", 0, -1},
    {"100 ms", "time", "", "114.9", 0.149, TW_REPRODUCED},
    {"100 ms", "time", "", "84.9", -0.151, TW_NOT_REPRODUCED},
    {"1.5 to 2.0 x", "time", "", "1.7", 0, TW_REPRODUCED},
    {"1.5 to 2.0 x", "time", "", "1.2", -0.2, TW_NOT_REPRODUCED},
    {"1.5 to 2.0 x", "time", "", "3", 0.5, TW_NOT_REPRODUCED},
    {"1.4 x", "time", "", "1.45", 0.125, TW_REPRODUCED}, /* of the gain */
    {"1.14 x", "time", "", "1.01", -13.0 / 14, TW_NOT_REPRODUCED},
    {"1.14 GB", "time", "", "1.01", -13.0 / 114, TW_REPRODUCED},
    {"1 x", "time", "", "1.1", 0.1, TW_REPRODUCED},
    {"0 %", "exact", "", "0", 0, TW_REPRODUCED},
    {"0 %", "exact", "", "0.001", 0.001, TW_NOT_REPRODUCED},
    {"256 rows", "exact", "", "256", 0, TW_REPRODUCED},
    {"256 rows", "exact", "", "255", -1.0 / 256, TW_NOT_REPRODUCED},
    {"2e-4", "seeds", "", "1e-4 0.9e-4 2.1e-4", -0.5, TW_REPRODUCED},
    {"2e-4", "seeds", "", "1e-4 0.9e-4 1.9e-4", -0.5, TW_NOT_REPRODUCED},
    {"2e-4", "seeds", "because", "3e-4 2.1e-4 4e-4", 0.5, TW_EXPLAINED},
    {"2e-4", "seeds", "", "2e-4", 0, -1},
    {"100 ms", "time", "", "100 99 101", 0, -1},
};

/* One row in a file, read back. */
static tw_status read_row(tw_claims *claims, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/rows.ini", tw_new_folder());
    tw_write_text(path, text);
    return tw_claims_read(claims, path);
}

START_TEST(test_verdict)
{
    char text[400];
    tw_claims claims = {.rows = NULL};
    tw_ours ours;
    tw_verdict verdict = TW_CANNOT_BE_CHECKED;
    snprintf(
        text, sizeof text,
        "[r]\nclaim = c\nsource = s\nprinted = %s\nkind = measured\nrule = %s\ncommand = echo\nreason = %s\n",
        judged[_i].printed, judged[_i].rule, judged[_i].reason);
    ck_assert_msg(read_row(&claims, text) == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(tw_ours_parse(&ours, judged[_i].ours), TW_OK);
    const tw_status status = tw_claim_judge(&verdict, &claims.rows[0], &ours);
    ck_assert_int_eq(status, judged[_i].verdict >= 0 ? TW_OK : TW_EFORMAT);
    if (status == TW_OK) {
        ck_assert_int_eq((int)verdict, judged[_i].verdict);
        ck_assert_double_eq_tol(tw_claim_difference(&claims.rows[0], &ours), judged[_i].difference, 1e-12);
    }
    tw_claims_free(&claims);
}
END_TEST

/* ---- files of rows ---------------------------------------------------------------------------------------- */

#define GOOD "[r]\nclaim = c\nsource = s\nprinted = 1 x\nkind = measured\nrule = time\ncommand = echo 1\n"

static const struct {
    const char *text, *says;
} bad_rows[] = {
    {"", "has no rows"},
    {"; nothing\n", "has no rows"},
    {GOOD "colour = red\n", "row 'r': 'colour' is not known"},
    {GOOD "no equals sign\n", "line 8: not a line of the form"},
    {"[r]\nclaim = c\nprinted = 1\n", "row 'r' must have claim, source and printed"},
    {"[r]\nclaim = c\nsource = s\nprinted = many\ncannot = no\n", "printed is 'many'"},
    {"[r]\nclaim = c\nsource = s\nprinted = 3 to 2 x\ncannot = no\n", "must go from less to more"},
    {"[r]\nclaim = c\nsource = s\nprinted = 1\n", "row 'r' must have a command"},
    {"[r]\nclaim = c\nsource = s\nprinted = 1\nkind = measured\nrule = loose\ncommand = c\n",
     "rule is 'loose'"},
    {"[r]\nclaim = c\nsource = s\nprinted = 1\nkind = guessed\nrule = time\ncommand = c\n",
     "kind is 'guessed'"},
    {GOOD "cannot = but it can\n", "row 'r' has cannot, so no command"},
    {GOOD "note = a | b\n", "row 'r': note has a '|'"},
    {GOOD "rule = and too long a word\n", "row 'r': rule is longer than"},
};

START_TEST(test_bad_rows)
{
    tw_claims claims = {.rows = NULL};
    ck_assert_int_eq(read_row(&claims, bad_rows[_i].text), TW_EFORMAT);
    ck_assert_msg(strstr(tw_error_message(), bad_rows[_i].says) != NULL, "%s", tw_error_message());
    ck_assert_ptr_null(claims.rows);
}
END_TEST

/* ---- tables ----------------------------------------------------------------------------------------------- */

static tw_status table_of(char **text, const char *rows)
{
    size_t size;
    tw_claims claims = {.rows = NULL};
    tw_verdict_counts counts = {{0}};
    *text = NULL;
    FILE *out = open_memstream(text, &size);
    ck_assert_ptr_nonnull(out);
    ck_assert_msg(read_row(&claims, rows) == TW_OK, "%s", tw_error_message());
    const tw_status status = tw_ledger_table(out, &counts, &claims);
    fclose(out);
    tw_claims_free(&claims);
    return status;
}

START_TEST(test_table)
{
    static const char *const lines[] = {
        "| long claim; A | 40.3 GB | 25.2 GB, recomputed | -37 %; allowed 5 % | explained: it differs. "
        "Really. | `echo \"25.2\"` |\n",
        "| b; B | 1.5 to 2.0 × | 1.70 ×, measured | within; allowed 15 % | reproduced | `echo 1.7` |\n",
        "| c; C | 2e-4 | 1.0e-04 (9.0e-05 to 3.0e-04), recomputed | -50 %; allowed: the interval | "
        "reproduced: n | `echo 1e-4 9e-5 3e-4` |\n",
        "| d; D | 3 ms | – | – | cannot be checked: no GPU. | – |\n",
    };
    char *text;
    ck_assert_msg(
        table_of(&text,
                 "[a]\nclaim = long\n claim\nsource = A\nprinted = 40.3 GB\nkind = recomputed\nrule = count\n"
                 "command = echo \"25.2\"\nreason = it differs.\nnote = Really.\n"
                 "[b]\nclaim = b\nsource = B\nprinted = 1.5 to 2.0 x\nkind = measured\nrule = time\ncommand "
                 "= echo 1.7\n"
                 "[c]\nclaim = c\nsource = C\nprinted = 2e-4\nkind = recomputed\nrule = seeds\nnote = n\n"
                 "command = echo 1e-4\n 9e-5 3e-4\n"
                 "[d]\nclaim = d\nsource = D\nprinted = 3 ms\ncannot = no GPU.\n") == TW_OK,
        "%s", tw_error_message());
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(strstr(text, lines[i]) != NULL, "missing '%s' in:\n%s", lines[i], text);
    free(text);
}
END_TEST

static const struct {
    const char *command;
    tw_status status;
} failing[] = {
    {"false", TW_EIO},
    {"echo 1; exit 3", TW_EIO},
    {"no-such-program-here", TW_EIO},
    {"true", TW_EFORMAT},
    {"echo 1; echo trouble >&2", TW_EFORMAT},
    {"awk -v a=$(notebooks_data/ledger/pick.sh 1 0 notebooks_data/h100/bench.csv) 'BEGIN { print a / 2 }'",
     TW_EFORMAT},
};

/* Nothing that a part of a command complains about is taken for a number. */
START_TEST(test_failing_commands)
{
    char rows[400], *text;
    snprintf(rows, sizeof rows,
             "[r]\nclaim = c\nsource = s\nprinted = 1 x\nkind = measured\nrule = time\ncommand = %s\n",
             failing[_i].command);
    ck_assert_int_eq(table_of(&text, rows), failing[_i].status);
    ck_assert_msg(strstr(tw_error_message(), "row 'r'") != NULL, "%s", tw_error_message());
    free(text);
}
END_TEST

static const struct {
    double value;
    const char *text;
} digits[] = {
    {0, "0"},        {1.9e-4, "1.9e-04"}, {0.25, "0.250"},  {1.129, "1.13"},
    {40.26, "40.3"}, {824.6, "825"},      {-7.31, "-7.31"},
};

START_TEST(test_three_digits)
{
    char text[40];
    tw_three_digits(text, sizeof text, digits[_i].value);
    ck_assert_str_eq(text, digits[_i].text);
}
END_TEST

/* ---- numbers out of CSV files ----------------------------------------------------------------------------- */

static const struct {
    const char *words, *prints; /* NULL: refused */
} picks[] = {
    {"'$time_us' '$kernel == \"b\"'", "15"}, /* of two rows the median */
    {"-r most '$time_us' 1", "40"},
    {"-r least '$time_us * 2' 1", "10"},
    {"-r sum '$time_us' 1", "75"},
    {"-r mean '$time_us' '$batch == 1'", "11.6666667"},
    {"-r geomean '$time_us' '$kernel == \"a\"'", "14.1421356"},
    {"-l '$time_us' '$batch' 1", "1"},
    {"-l '-$time_us' '$batch' 1", "2"},
    {"-o b/a '$time_us' 1", "3"}, /* 15 / 5 on the only shape of both */
    {"-r most -o a/b '$time_us' 1", "0.333333333"},
    {"'$time_us' '$what == \"x; y; z\"'", "5"},
    {"'$time_us' '$batch == 3'", NULL},
    {"-o a/c '$time_us' 1", NULL},
    {"-r best '$time_us' 1", NULL},
    {"-o ab '$time_us' 1", NULL},
    {"'$time_us'", NULL},
};

START_TEST(test_pick)
{
    char path[600], line[1000];
    snprintf(path, sizeof path, "%s/times.csv", tw_new_folder());
    tw_write_text(path, "# comment\n# another, with a comma\nwhat,kernel,batch,seqlen_q,time_us\n"
                        "\"x, y, z\",a,1,8,5\n\"x\",b,1,8,10\nx,b,1,8,20\n# more\n,a,2,8,40\n");
    snprintf(line, sizeof line, "notebooks_data/ledger/pick.sh %s %s", picks[_i].words, path);
    char sh[] = "bash", c[] = "-c", *words[] = {sh, c, line, NULL};
    tw_process p = tw_run(words);
    if (picks[_i].prints == NULL) {
        ck_assert_int_eq(p.exit_code, 2);
        ck_assert_msg(strncmp(p.err, "pick.sh: ", 9) == 0 && *p.out == '\0', "%s: '%s', '%s'", line, p.out,
                      p.err);
    } else
        ck_assert_msg(p.exit_code == 0 && strncmp(p.out, picks[_i].prints, strlen(picks[_i].prints)) == 0 &&
                          p.out[strlen(picks[_i].prints)] == '\n',
                      "%s: '%s', '%s'", line, p.out, p.err);
    tw_process_free(&p);
}
END_TEST

/* ---- the page --------------------------------------------------------------------------------------------- */

/* Into a folder that sees the repository, and as build/ whatever was built. */
static void enter_folder(void)
{
    char line[3000], sh[] = "sh", c[] = "-c", *words[] = {sh, c, line, NULL};
    char *top = realpath(".", NULL), *built = realpath(tw_build_folder(), NULL);
    ck_assert(top != NULL && built != NULL);
    const char *folder = tw_new_folder();
    snprintf(
        line, sizeof line,
        "cd '%s' && for f in '%s'/*; do [ $(basename $f) = build ] || ln -s $f; done && ln -s '%s' build",
        folder, top, built);
    tw_process p = tw_run(words);
    ck_assert_msg(p.exit_code == 0 && chdir(folder) == 0, "%s", p.err);
    tw_process_free(&p);
    free(top);
    free(built);
}

/* The first line in which two texts differ. */
static const char *first_difference(const char *a, const char *b)
{
    const char *line = a;
    for (; *a == *b && *a != '\0'; a++, b++)
        line = *a == '\n' ? a + 1 : line;
    return line;
}

START_TEST(test_page_is_fresh)
{
    char *before, *after, top[700];
    glob_t files;
    if (tw_sanitized()) {
        puts("ledger: docs/ledger.md was not written anew, under sanitizers that takes minutes");
        return;
    }
    ck_assert_ptr_nonnull(getcwd(top, sizeof top));
    enter_folder();
    ck_assert_int_eq(tw_text_read(&before, "docs/ledger.md"), TW_OK);
    ck_assert_int_eq(tw_text_read(&after, "docs/ledger.md"), TW_OK);
    ck_assert_int_eq(glob("notebooks_data/ledger/*.ini", 0, NULL, &files), 0);
    ck_assert_msg(tw_ledger_fill(&after, (int)files.gl_pathc, files.gl_pathv) == TW_OK, "%s",
                  tw_error_message());
    ck_assert_int_eq(chdir(top), 0);
    ck_assert_msg(strcmp(before, after) == 0,
                  "docs/ledger.md is stale, make ledger writes it anew; now:\n%.900s",
                  first_difference(after, before));
    globfree(&files);
    free(before);
    free(after);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(core, test, 0, (int)(sizeof table / sizeof table[0]))

Suite *tw_suite_ledger(void)
{
    Suite *suite = suite_create("ledger");
    TCase *core = tcase_create("core"), *page = tcase_create("page");
    LOOP(test_ours, printed);
    LOOP(test_verdict, judged);
    LOOP(test_bad_rows, bad_rows);
    tcase_add_test(core, test_table);
    LOOP(test_failing_commands, failing);
    LOOP(test_three_digits, digits);
    LOOP(test_pick, picks);
    tcase_set_timeout(page, 300);
    tcase_add_test(page, test_page_is_fresh);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, page);
    return suite;
}
