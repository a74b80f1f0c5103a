/* Page tables from files or shuffled, and K and V that go into pages. */
#include "page_tables.h"

#include "../cpu_ref/npy.h"
#include "../cpu_ref/pages.h"

#include <limits.h>
#include <stdlib.h>

static tw_status no_table_of(const tw_integer_data *t, const char *path, const tw_problem *p, int width)
{
    return tw_fail(
        TW_EFORMAT,
        "%s: has %d axes and %zu numbers, it must have two axes: %d sequences, and at least %d pages of %d "
        "keys for each, numbered from 0",
        path, t->num_dims, t->num_elements, p->batch, width, p->page_size);
}

/* The file says how many pages there are: up to the one with the highest number. */
static tw_status take(int **table, tw_problem *p, const tw_integer_data *t, const char *path, int width)
{
    bool fits = t->num_dims == 2 && t->shape[0] == p->batch && t->shape[1] >= width && t->shape[1] < INT_MAX;
    if (!fits)
        return no_table_of(t, path, p, width);
    *table = malloc((t->num_elements + 1) * sizeof **table);
    if (!*table)
        return tw_fail(TW_ENOMEM, "%s: no memory for its %zu pages", path, t->num_elements);
    int most = 0;
    for (size_t i = 0; i < t->num_elements; i++) {
        if (t->values[i] < 0 || t->values[i] >= INT_MAX / p->page_size)
            return tw_fail(TW_EFORMAT, "%s: has page %lld, it must be from 0 to %d", path,
                           (long long)t->values[i], INT_MAX / p->page_size - 1);
        (*table)[i] = (int)t->values[i];
        most = (*table)[i] > most ? (*table)[i] : most;
    }
    p->num_pages = most + 1;
    p->table_width = (int)t->shape[1];
    return TW_OK;
}

static tw_status shuffle(int **table, tw_problem *p, int width, uint64_t seed)
{
    int64_t count = (int64_t)p->batch * width;
    if (count > INT_MAX / p->page_size)
        return tw_fail(TW_EOVERFLOW, "%lld pages of %d keys are too many to be numbered", (long long)count,
                       p->page_size);
    *table = malloc((size_t)count * sizeof **table);
    if (!*table)
        return tw_fail(TW_ENOMEM, "no memory for a table of %lld pages", (long long)count);
    tw_page_table_shuffled(*table, p->batch, width, seed);
    p->num_pages = (int)count;
    p->table_width = width;
    return TW_OK;
}

tw_status tw_pages_attach(int **table, tw_problem *p, int page_size, const char *path, uint64_t seed)
{
    int width = (int)(((int64_t)p->seqlen_k + page_size - 1) / page_size);
    tw_integer_data t = {.values = NULL};
    tw_status status;
    p->page_size = page_size;
    if (path) {
        TW_TRY(tw_npy_read_integers(&t, path));
        status = take(table, p, &t, path, width);
        free(t.values);
    } else {
        status = shuffle(table, p, width, seed);
    }
    p->page_table = *table;
    return status;
}

/* Pages that nobody uses hold zeros. */
static tw_status page(double **x, size_t elements, const tw_problem *paged, int columns)
{
    double *pages = calloc(elements + 1, sizeof *pages);
    if (!pages)
        return tw_fail(TW_ENOMEM, "no memory for pages of %zu numbers", elements);
    tw_pages_scatter(pages, *x, paged, columns);
    free(*x);
    *x = pages;
    return TW_OK;
}

tw_status tw_inputs_page(tw_inputs *in, const tw_problem *paged)
{
    bool latent = in->v == in->k;
    TW_TRY(page(&in->k, tw_problem_k_elements(paged), paged, paged->head_dim));
    if (latent)
        in->v = in->k;
    else
        TW_TRY(page(&in->v, tw_problem_v_elements(paged), paged, tw_problem_head_dim_v(paged)));
    return TW_OK;
}
