/* The tables that are written from recorded data: by hand-made rows, and, of the documents, that they are not stale. */
#include "../notebooks_data/tables/markers.h"
#include "../notebooks_data/tables/tables.h"
#include "check_tilewise.h"
#include "support_process.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- lines of code ---------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int lines;
} sources[] = {
    {"", 0},
    {"int x;\n", 1},
    {"int x;", 1},
    {"\n  \t\n// only a comment\n/* and\n another */\n", 0},
    {"int x; // behind code\nint y; /* here too */\n", 2},
    {"/* before */ int x;\n", 1},
    {"int x; /* begins here\nand ends */ int y;\n", 2},
    {"f(\"/* no comment */\");\n\"// none\"\n'\"'\n", 3},
    {"a = 1 / 2;\nb = a * c;\n", 2},
    {"\"a \\\" quote // in a string\" x\n\n}\n", 2},
};

START_TEST(test_code_lines)
{
    char path[600];
    int lines = -1;
    snprintf(path, sizeof path, "%s/source.cu", tw_new_folder());
    tw_write_text(path, sources[_i].text);
    ck_assert_int_eq(tw_code_lines(&lines, path), TW_OK);
    ck_assert_msg(lines == sources[_i].lines, "%d lines in:\n%s", lines, sources[_i].text);
}
END_TEST

/* ---- markers ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *expected; /* NULL: refused */
} marked[] = {
    {"a<!-- x: begin -->old<!-- x: end -->b", "a<!-- x: begin -->NEW<!-- x: end -->b"},
    {"<!-- x: begin --><!-- x: end -->", "<!-- x: begin -->NEW<!-- x: end -->"},
    {"<!-- x: begin -->1<!-- x: end --> <!-- y: begin -->2<!-- y: end --> <!-- x: begin -->3<!-- x: end -->",
     "<!-- x: begin -->NEW<!-- x: end --> <!-- y: begin -->2<!-- y: end --> <!-- x: begin -->NEW<!-- x: end "
     "-->"},
    {"nothing", NULL},
    {"<!-- x: begin --> and no more", NULL},
};

START_TEST(test_markers)
{
    char *text = strdup(marked[_i].text);
    ck_assert_ptr_nonnull(text);
    tw_status status = tw_markers_fill(&text, "x", "NEW");
    if (marked[_i].expected == NULL)
        ck_assert_int_eq(status, TW_EFORMAT);
    else {
        ck_assert_int_eq(status, TW_OK);
        ck_assert_str_eq(text, marked[_i].expected);
    }
    free(text);
}
END_TEST

/* ---- the ladder ------------------------------------------------------------------------------------------- */

static char *made_up_table(void)
{
    tw_ladder ladder;
    char *text = NULL;
    size_t size;
    const tw_measured_list none = {.rows = NULL};
    ck_assert_msg(tw_ladder_read(&ladder, "tests/data/ladder.csv") == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(ladder.rounds, 3);
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    ck_assert_msg(tw_ladder_table(out, &ladder, &none) == TW_OK, "%s", tw_error_message());
    fclose(out);
    tw_ladder_free(&ladder);
    return text;
}

/* Worked out by hand: medians of three rounds, 4 · 128 · 1024² · 2 FLOPs, a product of 2 · 8192³ in 2.1 ms. */
START_TEST(test_ladder_table)
{
    static const char *const expected[] = {
        /* 1.0737 GFLOP in 105 µs; half of the speed of cuDNN's 52.5; Q, K and V of 8 tiles, O and LSE; 60.5 mJ */
        "| 0.105 ms | 10.2 | 2 % | 50 % | 0.009 GB | – | – | 56.35 |\n",
        "| 0.410 ms | 2.6 | 1 % | 13 % |",
        "| sdpa-flash2 | PyTorch's FlashAttention-2 back end | – | 0.126 ms | 8.5 | 2 % | 42 % | – | – | – | "
        "– |\n",
        "| sdpa-cudnn | PyTorch's cuDNN back end | – | 0.052 ms | 20.5 | 4 % | 100 % | – | – | – | 31.01 |\n",
        "| 2.100 ms | 523.6 | 100 % | – | – | – | – | 1.36 |\n",
        "fp16, batch 1, 2 heads of 128, N = 1k, no mask: medians of 3 rounds",
        "in turn; Made-up GPU, commit 0123456789ab.",
        /* 126 / 105 and 102.5 / 205 */
        "sdpa-flash2 takes 0.775 times as long as 30_flash2_mma: geometric mean of 2 shapes, N = 1k to 2k, "
        "causal and "
        "not; 0.500 to 1.200.\n",
    };
    char *text = made_up_table();
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ck_assert_msg(strstr(text, expected[i]) != NULL, "missing '%s' in:\n%s", expected[i], text);
    ck_assert_ptr_null(strstr(text, "sdpa-cudnn takes")); /* one shape is no contest */
    free(text);
}
END_TEST

#define LADDER_HEADER                                                                                        \
    "round,algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,"  \
    "block_n,kernel,time_us,time_min_us,time_max_us,energy_mj,sm_clock_mhz\n"

static const struct {
    const char *text, *says;
} bad_ladders[] = {
    {"", "has no rows"},
    {LADDER_HEADER, "has no rows"},
    {"a,b\n1,2\n", "the header is not that of a ladder"},
    {LADDER_HEADER "1,2\n", "line 2: the number of fields"},
    {LADDER_HEADER "1,flash2,h100,1,2,2,0,1024,128,fp16,0,128,64,30_flash2_mma,1,1,1,,\n", "the shape"},
    {LADDER_HEADER "1,flash2,h100,1,2,2,8,8,128,fp8,0,128,64,30_flash2_mma,1,1,1,,\n", "dtype is 'fp8'"},
    {LADDER_HEADER "1,flash2,h100,1,2,2,8,8,128,fp16,0,128,64,30_flash2_mma,fast,1,1,,\n",
     "time_us is 'fast'"},
    {LADDER_HEADER "1,flash2,h100,1,2.5,2,8,8,128,fp16,0,128,64,30_flash2_mma,1,1,1,,\n",
     "num_heads is '2.5'"},
};

START_TEST(test_bad_ladders)
{
    tw_ladder ladder;
    char path[600];
    snprintf(path, sizeof path, "%s/ladder.csv", tw_new_folder());
    tw_write_text(path, bad_ladders[_i].text);
    ck_assert_int_eq(tw_ladder_read(&ladder, path), TW_EFORMAT);
    ck_assert_msg(strstr(tw_error_message(), bad_ladders[_i].says) != NULL, "%s", tw_error_message());
}
END_TEST

/* ---- documents -------------------------------------------------------------------------------------------- */

/* What stands in a document is what the recorded data says now. */
static void expect_fresh(const char *name, tw_status (*write)(FILE *out, const tw_measured_list *list),
                         const tw_measured_list *list, const char *document)
{
    char *before = strdup(document), *after = strdup(document), *content = NULL;
    size_t size;
    FILE *out = open_memstream(&content, &size);
    ck_assert(before && after && out);
    ck_assert_msg(write(out, list) == TW_OK, "%s", tw_error_message());
    fclose(out);
    ck_assert_msg(tw_markers_fill(&after, name, content) == TW_OK, "%s", tw_error_message());
    ck_assert_msg(strcmp(before, after) == 0, "'%s' is stale: make tables writes it anew", name);
    free(before);
    free(after);
    free(content);
}

START_TEST(test_story_is_fresh)
{
    tw_measured_list list = {.rows = NULL};
    char *document;
    ck_assert_int_eq(tw_text_read(&document, "docs/theory/ladder.md"), TW_OK);
    ck_assert_msg(tw_measured_read(&list, "notebooks_data/h100/bench.csv") == TW_OK, "%s",
                  tw_error_message());
    ck_assert_msg(tw_measured_read(&list, "notebooks_data/h100/counters.csv") == TW_OK, "%s",
                  tw_error_message());
    for (const tw_story_table *t = tw_story_tables; t->name != NULL; t++)
        expect_fresh(t->name, t->write, &list, document);
    tw_measured_free(&list);
    free(document);
}
END_TEST

static tw_ladder recorded;

static tw_status write_recorded(FILE *out, const tw_measured_list *list)
{
    return tw_ladder_table(out, &recorded, list);
}

START_TEST(test_readme_is_fresh)
{
    static const char ladder[] = "notebooks_data/h100/ladder.csv";
    tw_measured_list list = {.rows = NULL};
    char *document;
    ck_assert_int_eq(tw_text_read(&document, "README.md"), TW_OK);
    ck_assert_ptr_nonnull(strstr(document, "<!-- ladder: begin -->"));
    if (access(ladder, F_OK) != 0)
        fprintf(stderr, "tables: README's ladder was not compared, %s is not recorded yet\n", ladder);
    else {
        ck_assert_msg(tw_ladder_read(&recorded, ladder) == TW_OK, "%s", tw_error_message());
        ck_assert_msg(tw_measured_read(&list, "notebooks_data/h100/counters.csv") == TW_OK, "%s",
                      tw_error_message());
        expect_fresh("ladder", write_recorded, &list, document);
        tw_measured_free(&list);
        tw_ladder_free(&recorded);
    }
    free(document);
}
END_TEST

Suite *tw_suite_tables(void)
{
    Suite *suite = suite_create("tables");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, test_code_lines, 0, (int)(sizeof sources / sizeof sources[0]));
    tcase_add_loop_test(core, test_markers, 0, (int)(sizeof marked / sizeof marked[0]));
    tcase_add_test(core, test_ladder_table);
    tcase_add_loop_test(core, test_bad_ladders, 0, (int)(sizeof bad_ladders / sizeof bad_ladders[0]));
    tcase_add_test(core, test_story_is_fresh);
    tcase_add_test(core, test_readme_is_fresh);
    suite_add_tcase(suite, core);
    return suite;
}
