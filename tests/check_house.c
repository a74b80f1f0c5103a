/* The house itself: what make help lists, what stands at the top level, recorded CSV files, plots. */
#include "check_tilewise.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a command prints; the caller frees it. */
static char *output_of(const char *command)
{
    size_t size = 1 << 20;
    char *text = calloc(size, 1);
    ck_assert_ptr_nonnull(text);
    FILE *pipe = popen(command, "r");
    ck_assert_msg(pipe != NULL, "cannot run '%s'", command);
    size_t used = fread(text, 1, size - 1, pipe);
    ck_assert_msg(pclose(pipe) == 0 && used > 0, "'%s' failed or printed nothing", command);
    return text;
}

static char *content_of(const char *path)
{
    char command[600];
    snprintf(command, sizeof command, "cat '%s'", path);
    return output_of(command);
}

static const char *const targets[] = {"all",      "gpu",      "deps",      "report", "test",     "bench",
                                      "validate", "counters", "plots",     "docs",   "ladder",   "doctor",
                                      "soak",     "tables",   "format",    "lint",   "coverage", "sanitize",
                                      "fuzz",     "clean",    "bench-cpu", "help"};

START_TEST(test_help_lists_every_target)
{
    /* Not as a part of the make that runs this test: its options would be handed on. */
    char *help = output_of("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s help");
    char line[64];
    snprintf(line, sizeof line, "\n  make %s ", targets[_i]);
    ck_assert_msg(strstr(help, line) != NULL, "make help does not list '%s'", targets[_i]);
    free(help);
}
END_TEST

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

START_TEST(test_top_level_is_as_agreed)
{
    static const char *const names[] = {"Makefile",        "sim",  "cpu_ref",   "gpu",     "notebooks_data",
                                        "tests",           "docs", "README.md", "LICENSE", "CHANGELOG.md",
                                        "CONTRIBUTING.md", NULL};
    DIR *top = opendir(".");
    ck_assert_ptr_nonnull(top);
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(top)) != NULL;) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "build") == 0)
            continue;
        ck_assert_msg(is_one_of(entry->d_name, names), "'%s' does not belong at the top level",
                      entry->d_name);
        seen++;
    }
    closedir(top);
    ck_assert_int_eq(seen, (int)(sizeof names / sizeof names[0]) - 1);
}
END_TEST

/* --- recorded CSV files ----------------------------------------------------------------------------------- */

#define CASE_COLUMNS                                                                                         \
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_"  \
    "n,kernel,"

static const struct {
    const char *path, *columns;
} recorded[] = {
    {"notebooks_data/h100/bench.csv",
     CASE_COLUMNS "time_us,time_min_us,time_max_us,reps,energy_mj,sm_clock_mhz,max_abs_error"},
    {"notebooks_data/h100/counters.csv", CASE_COLUMNS
     "fill_bytes,drain_bytes,l2_request_bytes,hbm_read_bytes,hbm_write_bytes,sm_cycles,gpu_time_us"},
    {"notebooks_data/h100/peers.csv", "peer,pass,dtype,b,h,hkv,sq,sk,d,causal,ms,tflops,gbps"},
    {"notebooks_data/h100/library_rates.csv", "peer,pass,dtype,b,h,hkv,sq,sk,d,causal,tflops,gbps"},
    {"notebooks_data/h100/ladder.csv",
     "round," CASE_COLUMNS "time_us,time_min_us,time_max_us,energy_mj,sm_clock_mhz"},
};
enum { NUM_RECORDED = sizeof recorded / sizeof recorded[0] };

/* The line behind a comment's mark, "# gpu: …", or NULL. */
static const char *header_value(const char *text, const char *key)
{
    char mark[32];
    snprintf(mark, sizeof mark, "# %s: ", key);
    if (strncmp(text, mark, strlen(mark)) == 0)
        return text + strlen(mark);
    snprintf(mark, sizeof mark, "\n# %s: ", key);
    const char *at = strstr(text, mark);
    return at ? at + strlen(mark) : NULL;
}

/* The first line that is no comment. */
static const char *column_line(const char *text)
{
    while (*text == '#') {
        text = strchr(text, '\n');
        ck_assert_ptr_nonnull(text);
        text++;
    }
    return text;
}

START_TEST(test_recorded_csv)
{
    static const char *const keys[] = {"gpu", "driver", "cuda", "clock", "commit", "command"};
    const char *path = recorded[_i].path;
    FILE *file = fopen(path, "r");
    if (!file) /* nothing is recorded yet: plots say so */
        return;
    fclose(file);
    char *text = content_of(path);
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const char *value = header_value(text, keys[k]);
        ck_assert_msg(value && *value != '\n', "%s does not say its '%s'", path, keys[k]);
    }
    const char *columns = column_line(text);
    size_t length = strlen(recorded[_i].columns);
    ck_assert_msg(strncmp(columns, recorded[_i].columns, length) == 0 && columns[length] == '\n',
                  "%s must have the columns %s", path, recorded[_i].columns);
    ck_assert_msg(strchr(columns, '\n') && strchr(columns, '\n')[1] != '\0', "%s has no rows", path);
    free(text);
}
END_TEST

/* Every column of every recorded file has its line in the data dictionary. */
START_TEST(test_dictionary_names_every_column)
{
    char *dictionary = content_of("notebooks_data/README.md");
    char *columns = strdup(recorded[_i].columns), *rest = NULL;
    ck_assert_ptr_nonnull(columns);
    for (char *name = strtok_r(columns, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        char mark[64];
        snprintf(mark, sizeof mark, "`%s`", name);
        ck_assert_msg(strstr(dictionary, mark) != NULL, "notebooks_data/README.md does not explain %s of %s",
                      mark, recorded[_i].path);
    }
    free(columns);
    free(dictionary);
}
END_TEST

/* --- plots ------------------------------------------------------------------------------------------------ */

START_TEST(test_every_plot_is_in_the_report)
{
    char *page = content_of("notebooks_data/plots/report.sh"),
         *drawing = content_of("notebooks_data/plots/draw.sh");
    DIR *folder = opendir("notebooks_data/plots");
    ck_assert_ptr_nonnull(folder);
    int scripts = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char *ending = strstr(entry->d_name, ".gp");
        if (!ending || ending[3] != '\0' || strcmp(entry->d_name, "style.gp") == 0)
            continue;
        *ending = '\0';
        ck_assert_msg(strstr(page, entry->d_name) != NULL, "%s.gp is not in the report", entry->d_name);
        ck_assert_msg(strstr(drawing, entry->d_name) != NULL, "%s.gp is not drawn by draw.sh", entry->d_name);
        scripts++;
    }
    closedir(folder);
    free(page);
    free(drawing);
    ck_assert_int_ge(scripts, 6);
}
END_TEST

/* A picture on white would be a slab of light in a page that is dark. */
START_TEST(test_pictures_follow_the_theme)
{
    int pictures = 0;
    DIR *folder = opendir("docs");
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300];
        const char *ending = strrchr(entry->d_name, '.');
        if (!ending || strcmp(ending, ".svg") != 0)
            continue;
        snprintf(path, sizeof path, "docs/%.250s", entry->d_name);
        char *picture = content_of(path);
        ck_assert_msg(strstr(picture, "(prefers-color-scheme: dark)") != NULL, "%s knows no dark theme",
                      path);
        free(picture);
        pictures++;
    }
    closedir(folder);
    ck_assert_int_ge(pictures, 4);
    char *drawn = output_of(
             "sed -n \"s/^dark='\\(.*\\)'$/\\1/p\" notebooks_data/plots/draw.sh | tr -d '\\n'"),
         *in_docs = content_of("docs/traffic.svg"); /* which is a copy of what is drawn */
    ck_assert_msg(strstr(in_docs, drawn) != NULL, "docs/traffic.svg has not what draw.sh adds: %s", drawn);
    free(drawn);
    free(in_docs);
}
END_TEST

/* What the manual's sidebar has room for, below a group; measured on a large screen. */
START_TEST(test_titles_of_the_manual_fit)
{
    char *titles = output_of("sed -n 's/^      .*title=\"\\(.*\\)\".*/\\1/p' docs/manual/layout.xml");
    int count = 0;
    for (char *title = strtok(titles, "\n"); title; title = strtok(NULL, "\n"), count++)
        ck_assert_msg(strlen(title) <= 28, "'%s' is clipped in the sidebar, 28 characters fit", title);
    ck_assert_int_ge(count, 20);
    free(titles);
}
END_TEST

Suite *tw_suite_house(void)
{
    Suite *suite = suite_create("house");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_help_lists_every_target, 0, (int)(sizeof targets / sizeof targets[0]));
    tcase_add_test(core, test_top_level_is_as_agreed);
    tcase_add_loop_test(core, test_recorded_csv, 0, NUM_RECORDED);
    tcase_add_loop_test(core, test_dictionary_names_every_column, 0, NUM_RECORDED);
    tcase_add_test(core, test_every_plot_is_in_the_report);
    tcase_add_test(core, test_pictures_follow_the_theme);
    tcase_add_test(core, test_titles_of_the_manual_fit);
    suite_add_tcase(suite, core);
    return suite;
}
