/* The page: between the markers of each file's name the table of its rows, between those of `counts` the verdicts. */
#include "../tables/markers.h"
#include "ledger_table.h"

#include <stdlib.h>
#include <string.h>

/* What a function writes, as text. */
typedef struct written {
    FILE *out;
    char *text;
    size_t size;
} written;

static tw_status begin(written *w)
{
    *w = (written){.out = NULL};
    w->out = open_memstream(&w->text, &w->size);
    return w->out != NULL ? TW_OK : tw_fail(TW_ENOMEM, "no memory for a table");
}

/* Puts it between its markers if it could be written. */
static tw_status finish(char **page, const char *name, written *w, tw_status status)
{
    fclose(w->out);
    if (status == TW_OK)
        status = tw_markers_fill(page, name, w->text);
    free(w->text);
    return status;
}

/* notebooks_data/ledger/decode.ini is "decode". */
static void name_of(char *name, size_t size, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    snprintf(name, size, "%.*s", (int)strcspn(base, "."), base);
}

static tw_status fill_table(char **page, tw_verdict_counts *counts, const char *path)
{
    tw_claims claims = {.rows = NULL};
    written w;
    char name[64];
    name_of(name, sizeof name, path);
    TW_TRY(tw_claims_read(&claims, path));
    tw_status status = begin(&w);
    if (status == TW_OK)
        status = finish(page, name, &w, tw_ledger_table(w.out, counts, &claims));
    tw_claims_free(&claims);
    return status;
}

static tw_status fill_counts(char **page, const tw_verdict_counts *counts)
{
    written w;
    TW_TRY(begin(&w));
    fprintf(w.out, "\n\n| verdict | rows |\n| --- | ---: |\n");
    for (int i = 0; i < 4; i++)
        fprintf(w.out, "| %s | %d |\n", tw_verdict_name((tw_verdict)i), counts->of[i]);
    fprintf(w.out, "\n");
    return finish(page, "counts", &w, TW_OK);
}

tw_status tw_ledger_fill(char **page, int num_files, char *const *files)
{
    tw_verdict_counts counts = {{0}};
    for (int i = 0; i < num_files; i++)
        TW_TRY(fill_table(page, &counts, files[i]));
    return fill_counts(page, &counts);
}
