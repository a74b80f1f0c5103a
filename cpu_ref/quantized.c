/* Plain quantised attention. */
#include "quantized.h"

#include "attention.h"
#include "gold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One tensor of a problem: how its rows lie, and who shares its scales. */
typedef struct tensor {
    tw_quantized_tensor which;
    int heads, rows, width;
} tensor;

static tensor tensor_of(const tw_problem *p, tw_quantized_tensor which)
{
    bool of_queries = which == TW_QUANTIZED_Q;
    return (tensor){.which = which,
                    .heads = of_queries ? p->num_heads : p->num_heads_kv,
                    .rows = of_queries ? p->seqlen_q : p->seqlen_k,
                    .width = which == TW_QUANTIZED_V ? tw_problem_head_dim_v(p) : p->head_dim};
}

static size_t row_at(const tw_problem *p, tw_quantized_tensor which, int batch, int head, int row)
{
    return which == TW_QUANTIZED_Q   ? tw_problem_q_row(p, batch, head, row)
           : which == TW_QUANTIZED_K ? tw_problem_k_row(p, batch, head, row)
                                     : tw_problem_v_row(p, batch, head, row);
}

static size_t elements_of(const tw_problem *p, tw_quantized_tensor which)
{
    return which == TW_QUANTIZED_Q   ? tw_problem_q_elements(p)
           : which == TW_QUANTIZED_K ? tw_problem_k_elements(p)
                                     : tw_problem_v_elements(p);
}

size_t tw_quantized_scale_at(const tw_problem *p, tw_quantized_tensor which, int batch, int head, int64_t row)
{
    tensor t = tensor_of(p, which);
    int64_t scales = tw_quantize_scales(&p->quantize, which, t.rows),
            together = tw_quantize_rows(&p->quantize, which, t.rows);
    return ((size_t)batch * (size_t)t.heads + (size_t)head) * (size_t)scales + (size_t)(row / together);
}

size_t tw_quantized_num_scales(const tw_problem *p, tw_quantized_tensor which)
{
    tensor t = tensor_of(p, which);
    return (size_t)p->batch * (size_t)t.heads * (size_t)tw_quantize_scales(&p->quantize, which, t.rows);
}

/* ---- codes ---------------------------------------------------------------------------------------------- */

void tw_hadamard_signs(double *signs, int n, uint64_t seed)
{
    tw_random_normal(signs, (size_t)n, seed, 4);
    for (int i = 0; i < n; i++)
        signs[i] = signs[i] < 0.0 ? -1.0 : 1.0;
}

/* Rows of Q or K times signs and a Hadamard matrix. */
static tw_status rotate(double *x, size_t n, const tw_problem *p)
{
    double *signs = malloc((size_t)p->head_dim * sizeof *signs);
    if (!signs)
        return tw_fail(TW_ENOMEM, "no memory for %d signs", p->head_dim);
    tw_hadamard_signs(signs, p->head_dim, p->quantize.hadamard_seed);
    for (size_t row = 0; row < n; row += (size_t)p->head_dim) {
        for (int c = 0; c < p->head_dim; c++)
            x[row + (size_t)c] *= signs[c];
        tw_hadamard(x + row, p->head_dim);
    }
    free(signs);
    return TW_OK;
}

/* scale[i], 0 so far, becomes the largest |x| of what shares it. */
static void find_largest(double *scale, const double *x, const tw_problem *p, tensor t)
{
    for (int batch = 0; batch < p->batch; batch++) {
        for (int head = 0; head < t.heads; head++) {
            for (int row = 0; row < t.rows; row++) {
                const double *from = x + row_at(p, t.which, batch, head, row);
                double *largest = &scale[tw_quantized_scale_at(p, t.which, batch, head, row)];
                for (int c = 0; c < t.width; c++)
                    *largest = fmax(*largest, fabs(from[c]));
            }
        }
    }
}

/* A scale of the tensor is the same for all of its heads. */
static void share_largest(double *scale, size_t n)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, scale[i]);
    for (size_t i = 0; i < n; i++)
        scale[i] = largest;
}

static bool shared_by_heads(const tw_quantize *z, tw_quantized_tensor which)
{
    return z->scales == TW_SCALES_TENSOR || (z->scales == TW_SCALES_TOKEN && which == TW_QUANTIZED_V);
}

static void find_scales(double *scale, const double *x, const tw_problem *p, tensor t)
{
    size_t n = tw_quantized_num_scales(p, t.which);
    find_largest(scale, x, p, t);
    if (shared_by_heads(&p->quantize, t.which))
        share_largest(scale, n);
    for (size_t i = 0; i < n; i++) {
        double exact = scale[i] / tw_dtype_largest(p->quantize.format);
        scale[i] = exact > 0.0 && (float)exact > 0.0f ? (double)(float)exact : 1.0;
    }
}

static void round_to_codes(double *x, const double *scale, const tw_problem *p, tensor t)
{
    for (int batch = 0; batch < p->batch; batch++) {
        for (int head = 0; head < t.heads; head++) {
            for (int row = 0; row < t.rows; row++) {
                double *at = x + row_at(p, t.which, batch, head, row);
                double s = scale[tw_quantized_scale_at(p, t.which, batch, head, row)];
                for (int c = 0; c < t.width; c++)
                    at[c] = tw_dtype_round(p->quantize.format, at[c] / s);
            }
        }
    }
}

static tw_status quantize_one(tw_quantized *made, const tw_problem *p, tw_quantized_tensor which,
                              const double *x)
{
    size_t n = elements_of(p, which);
    tensor t = tensor_of(p, which);
    double *code = made->code[which] = malloc(n * sizeof *code);
    double *scale = made->scale[which] = calloc(tw_quantized_num_scales(p, which), sizeof *scale);
    if (!code || !scale)
        return tw_fail(TW_ENOMEM, "no memory for %zu codes", n);
    memcpy(code, x, n * sizeof *code);
    if (p->quantize.hadamard && which != TW_QUANTIZED_V)
        TW_TRY(rotate(code, n, p));
    find_scales(scale, code, p, t);
    round_to_codes(code, scale, p, t);
    return TW_OK;
}

static tw_status check_blocks(const tw_quantize *z)
{
    if (!tw_quantize_is_on(z))
        return tw_fail(TW_EINVAL, "nothing is to be quantised, format must be e4m3, e5m2 or int8");
    if (z->scales == TW_SCALES_BLOCK && (z->block_rows < 1 || z->block_keys < 1))
        return tw_fail(TW_EINVAL, "%d rows and %d keys share a scale, it must be at least 1", z->block_rows,
                       z->block_keys);
    return TW_OK;
}

tw_status tw_quantize_inputs(tw_quantized *made, const tw_problem *p, const double *q, const double *k,
                             const double *v)
{
    const double *x[3] = {q, k, v};
    tw_quantized codes = {.code = {NULL}};
    TW_TRY(tw_problem_check(p));
    TW_TRY(check_blocks(&p->quantize));
    tw_status status = TW_OK;
    for (int i = 0; i < 3 && status == TW_OK; i++)
        if (x[i])
            status = quantize_one(&codes, p, (tw_quantized_tensor)i, x[i]);
    if (status == TW_OK)
        *made = codes;
    else
        tw_quantized_free(&codes);
    return status;
}

void tw_dequantize(double *x, tw_quantized_tensor which, const tw_problem *p, const tw_quantized *codes)
{
    tensor t = tensor_of(p, which);
    for (int batch = 0; batch < p->batch; batch++) {
        for (int head = 0; head < t.heads; head++) {
            for (int row = 0; row < t.rows; row++) {
                size_t at = row_at(p, which, batch, head, row);
                double s = codes->scale[which][tw_quantized_scale_at(p, which, batch, head, row)];
                for (int c = 0; c < t.width; c++)
                    x[at + (size_t)c] = codes->code[which][at + (size_t)c] * s;
            }
        }
    }
}

void tw_quantized_free(tw_quantized *codes)
{
    for (int i = 0; i < 3; i++) {
        free(codes->code[i]);
        free(codes->scale[i]);
    }
    *codes = (tw_quantized){.code = {NULL}};
}

/* ---- attention ------------------------------------------------------------------------------------------- */

/* Scores become e^(s − m); returns their sum, and LSE beside a sink. */
static double exponentials(double *s, double *lse, int n, double sink)
{
    double m = sink;
    for (int j = 0; j < n; j++)
        m = fmax(m, s[j]);
    double l = m == -INFINITY ? 0.0 : exp(sink - m);
    for (int j = 0; j < n; j++) {
        s[j] = s[j] == -INFINITY ? 0.0 : exp(s[j] - m);
        l += s[j];
    }
    if (lse)
        *lse = l == 0.0 ? -INFINITY : m + log(l);
    return l;
}

void tw_gold_attend_quantized(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                              const double *v, tw_gold_row at, double *scratch)
{
    double p_scale = tw_quantize_p_scale(&p->quantize);
    int keys = tw_gold_scores(scratch, p, q, k, at, NULL), width = tw_problem_head_dim_v(p);
    double l = exponentials(scratch, lse, keys, tw_sink_logit(p, at.head, at.row));
    tw_dropout_apply(scratch, &p->dropout, at.batch, at.head, at.row, 0, keys);
    for (int c = 0; c < width; c++)
        o[c] = 0.0;
    for (int j = 0; j < keys; j++) {
        double code = tw_dtype_round(p->quantize.format, scratch[j] * p_scale);
        const double *v_row = v + tw_problem_v_row(p, at.batch, at.head_kv, j);
        for (int c = 0; c < width && code != 0.0; c++)
            o[c] += code * v_row[c];
    }
    for (int c = 0; c < width; c++)
        o[c] = tw_dtype_round(p->dtype, l == 0.0 ? 0.0 : o[c] / p_scale / l);
}

void tw_attention_quantized_row(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                                const double *v, int batch, int head, int row, double *scratch)
{
    tw_gold_row at = {batch, head, tw_problem_kv_head(p, head), row};
    tw_gold_attend_quantized(o, lse, p, q, k, v, at, scratch);
}
