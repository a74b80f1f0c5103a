/* Writes tables from recorded data into Markdown files, between markers.
 *
 *     tables ladder FILE.md LADDER.csv [COUNTERS.csv]     <!-- ladder: begin --> … <!-- ladder: end -->
 *     tables story FILE.md BENCH.csv COUNTERS.csv          every table of docs/theory/ladder.md, by its name
 */
#include "markers.h"
#include "tables.h"

#include <stdlib.h>
#include <string.h>

/* What a function writes, as text; the caller frees it. */
typedef struct written {
    char *text;
    size_t size;
} written;

static tw_status fill(char **file, const char *name, written *w)
{
    tw_status status = w->text != NULL ? tw_markers_fill(file, name, w->text)
                                       : tw_fail(TW_ENOMEM, "no memory for a table");
    free(w->text);
    return status;
}

static tw_status fill_ladder(char **text, const tw_ladder *ladder, const tw_measured_list *counters)
{
    written w = {NULL, 0};
    FILE *out = open_memstream(&w.text, &w.size);
    if (out == NULL)
        return tw_fail(TW_ENOMEM, "no memory for a table");
    tw_status status = tw_ladder_table(out, ladder, counters);
    fclose(out);
    if (status == TW_OK)
        return fill(text, "ladder", &w);
    free(w.text);
    return status;
}

static tw_status write_ladder(const char *path, const char *ladder_csv, const char *counters_csv)
{
    tw_ladder ladder = {.rows = NULL};
    tw_measured_list counters = {.rows = NULL};
    char *text = NULL;
    tw_status status = tw_ladder_read(&ladder, ladder_csv);
    if (status == TW_OK && counters_csv != NULL)
        status = tw_measured_read(&counters, counters_csv);
    if (status == TW_OK)
        status = tw_text_read(&text, path);
    if (status == TW_OK)
        status = fill_ladder(&text, &ladder, &counters);
    if (status == TW_OK)
        status = tw_text_write(path, text);
    free(text);
    tw_ladder_free(&ladder);
    tw_measured_free(&counters);
    return status;
}

static tw_status fill_story(char **text, const tw_measured_list *list)
{
    for (const tw_story_table *t = tw_story_tables; t->name != NULL; t++) {
        written w = {NULL, 0};
        FILE *out = open_memstream(&w.text, &w.size);
        if (out == NULL)
            return tw_fail(TW_ENOMEM, "no memory for a table");
        tw_status status = t->write(out, list);
        fclose(out);
        if (status != TW_OK) {
            free(w.text);
            return status;
        }
        TW_TRY(fill(text, t->name, &w));
    }
    return TW_OK;
}

static tw_status write_story(const char *path, const char *bench_csv, const char *counters_csv)
{
    tw_measured_list list = {.rows = NULL};
    char *text = NULL;
    tw_status status = tw_measured_read(&list, bench_csv);
    if (status == TW_OK)
        status = tw_measured_read(&list, counters_csv);
    if (status == TW_OK)
        status = tw_text_read(&text, path);
    if (status == TW_OK)
        status = fill_story(&text, &list);
    if (status == TW_OK)
        status = tw_text_write(path, text);
    free(text);
    tw_measured_free(&list);
    return status;
}

int main(int argc, char **argv)
{
    tw_status status;
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "ladder") == 0)
        status = write_ladder(argv[2], argv[3], argc == 5 ? argv[4] : NULL);
    else if (argc == 5 && strcmp(argv[1], "story") == 0)
        status = write_story(argv[2], argv[3], argv[4]);
    else
        status = tw_fail(TW_EINVAL,
                         "usage: tables ladder FILE.md LADDER.csv [COUNTERS.csv] | tables story FILE.md "
                         "BENCH.csv COUNTERS.csv");
    if (status == TW_OK)
        return 0;
    fprintf(stderr, "tables: %s\n", tw_error_message());
    return 2;
}
