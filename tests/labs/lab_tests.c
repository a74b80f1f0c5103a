/* Helpers of the labs' tests. */
#define _GNU_SOURCE
#include "lab_tests.h"

#include <check.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void split(lab_row *row, char *line)
{
    memset(row, 0, sizeof *row);
    for (int i = 0; i < 6 && line; i++) {
        char *bar = i < 5 ? strchr(line, '|') : NULL, *end = bar ? bar : line + strlen(line);
        char *next = bar ? bar + 1 : NULL;
        line += strspn(line, " \t");
        while (end > line && strchr(" \t\n", end[-1]))
            end--;
        snprintf(row->field[i], sizeof row->field[i], "%.*s", (int)(end > line ? end - line : 0), line);
        line = next;
    }
}

int lab_table(lab_row *rows, const char *path)
{
    char line[1000];
    int n = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (n < LAB_MAX_ROWS && fgets(line, sizeof line, file))
        if (line[0] != '#' && line[0] != '\n')
            split(&rows[n++], line);
    fclose(file);
    return n;
}

void lab_read(char *text, size_t size, const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

int lab_run(const char *format, ...)
{
    char *command = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&command, format, args);
    va_end(args);
    int status = length > 0 ? system(command) : -1;
    free(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

const char *lab_kit(void)
{
    static char path[1000];
    const char *build = getenv("TW_BUILD");
    snprintf(path, sizeof path, "%s/labs", build ? build : "build");
    return path;
}

void lab_make_scratch(char *path, int size)
{
    snprintf(path, (size_t)size, "/tmp/tilewise-labs-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(chmod(path, 0711), 0);
    ck_assert_int_eq(lab_run("mkdir -m 0711 %s/tmp && mkdir -m 0700 %s/out", path, path), 0);
}

void lab_remove_scratch(const char *path)
{
    ck_assert_int_eq(lab_run("rm -rf %s", path), 0);
}

static long read_number(const char *path)
{
    char text[40];
    lab_read(text, sizeof text, path);
    return atol(text);
}

/* Reads results.json, and holds it to what Gradescope expects of it. */
static void read_results(lab_grade_result *result, const char *path)
{
    json_error_t error;
    size_t i, used = 0;
    json_t *test, *json = json_load_file(path, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", path, error.text);
    double sum = 0.0;
    json_array_foreach(json_object_get(json, "tests"), i, test)
    {
        double score = json_number_value(json_object_get(test, "score"));
        const char *name = json_string_value(json_object_get(test, "name"));
        const char *output = json_string_value(json_object_get(test, "output"));
        ck_assert_ptr_nonnull(name);
        ck_assert_ptr_nonnull(output);
        sum += score;
        result->max += (int)json_number_value(json_object_get(test, "max_score"));
        if (used < sizeof result->reasons && strcmp(output, "right") != 0)
            used += (size_t)snprintf(result->reasons + used, sizeof result->reasons - used, "%s: %s\n", name,
                                     output);
    }
    result->points = (int)json_number_value(json_object_get(json, "score"));
    ck_assert_double_eq(sum, result->points);
    json_decref(json);
}

lab_grade_result lab_grade_folder(const char *grader, const char *settings, const char *folder,
                                  const char *seed)
{
    lab_grade_result result = {.points = -1};
    char scratch[100], path[200];
    lab_make_scratch(scratch, sizeof scratch);
    int status = lab_run("sh -c 'echo $$ >%s/out/pid; exec env TMPDIR=%s/tmp %s %s --submission %s --seed %s "
                         "--inputs 20 --json %s/out/results.json' >%s/out/text 2>&1",
                         scratch, scratch, settings, grader, folder, seed, scratch, scratch);
    if (status != 0)
        lab_run("cat %s/out/text", scratch);
    ck_assert_msg(status == 0, "grading %s ended with status %d", folder, status);
    ck_assert_msg(lab_run("test -z \"$(ls %s/tmp)\"", scratch) == 0,
                  "grading %s left its scratch folder behind", folder);
    snprintf(path, sizeof path, "%s/out/results.json", scratch);
    read_results(&result, path);
    snprintf(path, sizeof path, "%s/out/pid", scratch);
    result.pid = read_number(path);
    lab_remove_scratch(scratch);
    return result;
}

bool lab_can_confine(const char *settings)
{
    int status = lab_run("%s %s/lab1/grade --submission docs/labs/lab1 --seed 1 >%s/can-grade.txt 2>&1",
                         settings, lab_kit(), lab_kit());
    if (status != 0)
        lab_run("echo 'labs: gradings are skipped, because:'; cat %s/can-grade.txt", lab_kit());
    return status == 0;
}
