/* Lengths of sequences and documents, as offsets. */
#include "lengths.h"

#include "../cpu_ref/npy.h"
#include "parse_mask.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_file(const char *text)
{
    size_t length = strlen(text);
    return length > 4 && strcmp(text + length - 4, ".npy") == 0;
}

/* ---- files ---------------------------------------------------------------------------------------------- */

static tw_status check_numbers(const tw_integer_data *data, const char *path)
{
    if (data->num_dims != 1 || data->num_elements >= INT_MAX)
        return tw_fail(TW_EFORMAT, "%s: has %d axes, it must have one", path, data->num_dims);
    for (size_t i = 0; i < data->num_elements; i++)
        if (data->values[i] < 0 || data->values[i] > INT_MAX)
            return tw_fail(TW_EFORMAT, "%s: number %zu is %lld, it must be from 0 to %d", path, i,
                           (long long)data->values[i], INT_MAX);
    return TW_OK;
}

/* The numbers as int; takes them from `data`. */
static tw_status narrow(int **values, int *count, const tw_integer_data *data, const char *path)
{
    TW_TRY(check_numbers(data, path));
    int *list = malloc(data->num_elements * sizeof *list);
    if (!list)
        return tw_fail(TW_ENOMEM, "%s: no memory for its %zu integers", path, data->num_elements);
    for (size_t i = 0; i < data->num_elements; i++)
        list[i] = (int)data->values[i];
    *values = list;
    *count = (int)data->num_elements;
    return TW_OK;
}

static tw_status read_file(int **values, int *count, const char *path)
{
    tw_integer_data data = {.values = NULL};
    TW_TRY(tw_npy_read_integers(&data, path));
    tw_status status = narrow(values, count, &data, path);
    free(data.values);
    return status;
}

tw_status tw_lengths_read(int **values, int *count, const char *what, const char *text)
{
    return is_file(text) ? read_file(values, count, text) : tw_parse_numbers(values, count, what, text);
}

/* ---- documents ------------------------------------------------------------------------------------------ */

/* 100,50 is 0,100,150 */
static tw_status add_up(int *offsets, const int *lengths, int count)
{
    for (int i = 0; i < count; i++)
        if (__builtin_add_overflow(offsets[i], lengths[i], &offsets[i + 1]))
            return tw_fail(TW_EOVERFLOW, "--documents adds up to more than %d keys", INT_MAX);
    return TW_OK;
}

/* 7,7,7,9 is 0,3,4: *count becomes 2. */
static tw_status find_ends(int *offsets, int *count, const int *ids, const char *path, int seqlen_k)
{
    int found = 0;
    if (*count != seqlen_k)
        return tw_fail(TW_EFORMAT, "%s: has %d numbers, it must have one for each of the %d keys", path,
                       *count, seqlen_k);
    for (int i = 1; i < seqlen_k; i++) {
        if (ids[i] < ids[i - 1])
            return tw_fail(TW_EFORMAT, "%s: key %d is of document %d behind %d, numbers must not go back",
                           path, i, ids[i], ids[i - 1]);
        if (ids[i] != ids[i - 1])
            offsets[++found] = i;
    }
    offsets[++found] = seqlen_k;
    *count = found;
    return TW_OK;
}

tw_status tw_documents_read(int **offsets, int *count, const char *text, int seqlen_k)
{
    int *numbers = NULL, n = 0;
    TW_TRY(tw_lengths_read(&numbers, &n, "--documents", text));
    int *made = calloc((size_t)n + 1, sizeof *made);
    if (!made) {
        free(numbers);
        return tw_fail(TW_ENOMEM, "no memory for %d documents", n);
    }
    tw_status status = is_file(text) ? find_ends(made, &n, numbers, text, seqlen_k)
                                     : add_up(made, numbers, n);
    free(numbers);
    if (status != TW_OK) {
        free(made);
        return status;
    }
    *offsets = made;
    *count = n;
    return TW_OK;
}
