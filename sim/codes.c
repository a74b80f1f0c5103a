/* Codes of one byte in .npy files, and what they are worth. */
#include "codes.h"

#include "parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number_of(int64_t byte, tw_dtype format)
{
    uint8_t pattern = (uint8_t)byte;
    return format == TW_E4M3   ? (double)tw_e4m3_to_float(pattern)
           : format == TW_E5M2 ? (double)tw_e5m2_to_float(pattern)
                               : (double)byte;
}

static tw_status decode(double *values, const tw_integer_data *bytes, const char *path, tw_dtype format)
{
    int64_t most = format == TW_INT8 ? 127 : 255;
    for (size_t i = 0; i < bytes->num_elements; i++) {
        int64_t byte = bytes->values[i];
        if (byte < -128 || byte > most)
            return tw_fail(TW_EFORMAT, "%s: number %zu is %lld, codes of %s are from -128 to %lld", path, i,
                           (long long)byte, tw_dtype_name(format), (long long)most);
        values[i] = number_of(byte, format);
        if (!isfinite(values[i]))
            return tw_fail(TW_EFORMAT, "%s: code %zu is 0x%02x, which is no finite number in %s", path, i,
                           (unsigned)(byte & 0xff), tw_dtype_name(format));
    }
    return TW_OK;
}

tw_status tw_codes_read(tw_tensor_data *tensor, const char *path, tw_dtype format)
{
    tw_integer_data bytes;
    TW_TRY(tw_npy_read_integers(&bytes, path));
    tw_tensor_data made = {.dtype = TW_FP64, .num_dims = bytes.num_dims, .num_elements = bytes.num_elements};
    memcpy(made.shape, bytes.shape, sizeof made.shape);
    made.values = malloc((bytes.num_elements + 1) * sizeof *made.values);
    tw_status status = made.values
                           ? decode(made.values, &bytes, path, format)
                           : tw_fail(TW_ENOMEM, "%s: no memory for its %zu codes", path, bytes.num_elements);
    free(bytes.values);
    if (status == TW_OK)
        *tensor = made;
    else
        tw_tensor_data_free(&made);
    return status;
}

/* ---- scales ---------------------------------------------------------------------------------------------- */

/* The codes' own shape. */
typedef struct rows {
    int heads, rows, width;
} rows;

static rows rows_of(const tw_problem *p, tw_quantized_tensor tensor)
{
    bool of_queries = tensor == TW_QUANTIZED_Q;
    return (rows){.heads = of_queries ? p->num_heads : p->num_heads_kv,
                  .rows = of_queries ? p->seqlen_q : p->seqlen_k,
                  .width = tensor == TW_QUANTIZED_V ? tw_problem_head_dim_v(p) : p->head_dim};
}

/* How many scales a head has, and how many rows share one; 0 for one of all heads. */
typedef struct sharing {
    size_t per_head;
    int together;
} sharing;

static tw_status find_sharing(sharing *found, const tw_tensor_data *t, const rows *r, const tw_problem *p,
                              const tw_given_scales *given)
{
    size_t heads = (size_t)p->batch * (size_t)r->heads, blocks = 0;
    int block = given->block > 0 ? given->block : 1;
    blocks = (size_t)((r->rows + block - 1) / block);
    *found = (sharing){.per_head = t->num_elements == 1 ? 0 : t->num_elements / heads};
    if (t->num_elements == 1 || t->num_elements == heads) {
        found->together = r->rows;
        return TW_OK;
    }
    found->together = block;
    if (t->num_elements == heads * blocks)
        return TW_OK;
    return tw_fail(TW_EFORMAT,
                   "%s: has %zu scales, it must have 1, %zu (batch x heads) or %zu, one for every %d rows of "
                   "%d (--scale-block)",
                   given->text, t->num_elements, heads, heads * blocks, block, r->rows);
}

static tw_status check_values(const tw_tensor_data *t, const tw_given_scales *given)
{
    for (size_t i = 0; i < t->num_elements; i++)
        if (!isfinite(t->values[i]))
            return tw_fail(TW_EFORMAT, "%s: scale %zu is %g, it must be finite", given->text, i,
                           t->values[i]);
    return TW_OK;
}

/* A number, or a file of them. */
static tw_status read_scales(tw_tensor_data *t, const tw_given_scales *given)
{
    char *end;
    double number = strtod(given->text, &end);
    if (end == given->text || *end != '\0') {
        TW_TRY(tw_npy_read(t, given->text));
        return check_values(t, given);
    }
    if (!isfinite(number))
        return tw_fail(TW_EINVAL, "%s is '%s', it must be finite", given->option, tw_quote(given->text).text);
    *t = (tw_tensor_data){.num_elements = 1, .values = malloc(sizeof *t->values)};
    if (!t->values)
        return tw_fail(TW_ENOMEM, "no memory for a scale");
    t->values[0] = number;
    return TW_OK;
}

static size_t row_at(const tw_problem *p, tw_quantized_tensor tensor, int batch, int head, int row)
{
    return tensor == TW_QUANTIZED_Q   ? tw_problem_q_row(p, batch, head, row)
           : tensor == TW_QUANTIZED_K ? tw_problem_k_row(p, batch, head, row)
                                      : tw_problem_v_row(p, batch, head, row);
}

static void scale_all(double *x, const double *scales, const sharing *s, const rows *r, const tw_problem *p,
                      tw_quantized_tensor tensor)
{
    for (int batch = 0; batch < p->batch; batch++) {
        for (int head = 0; head < r->heads; head++) {
            size_t first = ((size_t)batch * (size_t)r->heads + (size_t)head) * s->per_head;
            for (int row = 0; row < r->rows; row++) {
                double *at = x + row_at(p, tensor, batch, head, row),
                       scale = scales[first + (size_t)(row / s->together)];
                for (int c = 0; c < r->width; c++)
                    at[c] *= scale;
            }
        }
    }
}

tw_status tw_codes_scale(double *x, const tw_problem *p, const tw_given_scales *given)
{
    tw_tensor_data t = {.values = NULL};
    sharing s;
    rows r = rows_of(p, given->tensor);
    tw_status status = read_scales(&t, given);
    if (status == TW_OK)
        status = find_sharing(&s, &t, &r, p, given);
    if (status == TW_OK)
        scale_all(x, t.values, &s, &r, p, given->tensor);
    tw_tensor_data_free(&t);
    return status;
}
