/* Q, K, V, O and LSE of files or of a random generator. */
#include "tensors.h"

#include "../cpu_ref/memory.h"
#include "../cpu_ref/quantized.h"

#include "codes.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tw_layout_name(tw_layout layout)
{
    return layout == TW_LAYOUT_BHSD ? "bhsd" : "bshd";
}

tw_dtype tw_coarser(tw_dtype a, tw_dtype b)
{
    static const int fineness[] = {[TW_BF16] = 0, [TW_FP16] = 1, [TW_FP32] = 2, [TW_FP64] = 3};
    return fineness[a] < fineness[b] ? a : b;
}

double *tw_swap_axes(const double *x, int batch, int n1, int n2, int head_dim)
{
    size_t d = (size_t)head_dim, rows1 = (size_t)n1, rows2 = (size_t)n2;
    double *y = malloc((size_t)batch * rows1 * rows2 * d * sizeof *y);
    if (!y)
        return NULL;
    for (size_t b = 0; b < (size_t)batch; b++)
        for (size_t i = 0; i < rows1; i++)
            for (size_t j = 0; j < rows2; j++)
                memcpy(y + ((b * rows2 + j) * rows1 + i) * d, x + ((b * rows1 + i) * rows2 + j) * d,
                       d * sizeof *y);
    return y;
}

/* ---- shapes --------------------------------------------------------------------------------------------- */

/* "(1, 16, 300, 64)" */
typedef struct shape_text {
    char text[160];
} shape_text;

static shape_text shape_of(const tw_tensor_data *t)
{
    shape_text s = {"("};
    for (int i = 0; i < t->num_dims; i++) {
        size_t used = strlen(s.text);
        snprintf(s.text + used, sizeof s.text - used, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    }
    strncat(s.text, ")", sizeof s.text - strlen(s.text) - 1);
    return s;
}

static tw_status check_rank(const tw_tensor_data *t, const char *path, const tw_reading *how)
{
    int rank = how->packed ? 3 : 4;
    bool fits = t->num_dims == rank;
    for (int i = 0; i < rank && fits; i++)
        fits = t->shape[i] >= 1 && t->shape[i] <= INT_MAX;
    if (fits)
        return TW_OK;
    return tw_fail(TW_EFORMAT, "%s: has shape %s, it must have %s", path, shape_of(t).text,
                   how->packed ? "three axes: tokens of all sequences, heads, head_dim"
                               : "four axes: batch, seqlen and heads, head_dim");
}

/* The problem that Q, K and V of these shapes are, read in a layout. */
static tw_problem problem_in(const tw_tensor_data *q, const tw_tensor_data *k, tw_layout layout)
{
    int seqlen = layout == TW_LAYOUT_BSHD ? 1 : 2, heads = 3 - seqlen;
    return (tw_problem){.batch = (int)q->shape[0],
                        .num_heads = (int)q->shape[heads],
                        .num_heads_kv = (int)k->shape[heads],
                        .seqlen_q = (int)q->shape[seqlen],
                        .seqlen_k = (int)k->shape[seqlen],
                        .head_dim = (int)q->shape[3]};
}

/* The same of packed sequences, whose lengths are said elsewhere. */
static tw_problem packed_problem_in(const tw_tensor_data *q, const tw_tensor_data *k,
                                    const tw_problem *packed)
{
    return (tw_problem){.batch = packed->batch,
                        .num_heads = (int)q->shape[1],
                        .num_heads_kv = (int)k->shape[1],
                        .seqlen_q = packed->seqlen_q,
                        .seqlen_k = packed->seqlen_k,
                        .head_dim = (int)q->shape[2],
                        .cu_seqlens_q = packed->cu_seqlens_q,
                        .cu_seqlens_k = packed->cu_seqlens_k};
}

/* Offsets and files must speak of as many tokens. */
static tw_status check_tokens(const tw_tensor_data *t, const char *path, int64_t tokens)
{
    if (t->shape[0] == tokens)
        return TW_OK;
    return tw_fail(TW_EFORMAT, "%s: has %lld tokens, the offsets of its sequences end at %lld", path,
                   (long long)t->shape[0], (long long)tokens);
}

/* V is like K but for its columns. */
static tw_status check_shapes(const tw_tensor_data t[3], const char *const paths[3], const tw_reading *how)
{
    const tw_tensor_data *q = &t[0], *k = &t[1], *v = &t[2];
    int last = how->packed ? 2 : 3;
    if (how->packed) {
        TW_TRY(check_tokens(q, paths[0], tw_problem_total_q(how->packed)));
        TW_TRY(check_tokens(k, paths[1], tw_problem_total_k(how->packed)));
    } else if (k->shape[0] != q->shape[0]) {
        return tw_fail(TW_EFORMAT, "%s: has shape %s beside Q's %s, batch and head_dim must be the same",
                       paths[1], shape_of(k).text, shape_of(q).text);
    }
    if (k->shape[last] != q->shape[last])
        return tw_fail(TW_EFORMAT, "%s: has shape %s beside Q's %s, batch and head_dim must be the same",
                       paths[1], shape_of(k).text, shape_of(q).text);
    if (!how->latent && memcmp(v->shape, k->shape, (size_t)last * sizeof v->shape[0]) != 0)
        return tw_fail(TW_EFORMAT, "%s: has shape %s, it must be K's, %s, but for the columns", paths[2],
                       shape_of(v).text, shape_of(k).text);
    return TW_OK;
}

/* Adds to a refusal that the other layout would have been accepted. */
static tw_status check_problem(const tw_problem *problem, const tw_tensor_data *q, const tw_tensor_data *k,
                               const tw_reading *how)
{
    tw_status status = tw_problem_check(problem);
    if (status == TW_OK)
        return TW_OK;
    char line[400];
    snprintf(line, sizeof line, "%.399s", tw_error_message());
    tw_layout other = how->layout == TW_LAYOUT_BSHD ? TW_LAYOUT_BHSD : TW_LAYOUT_BSHD;
    tw_problem swapped = problem_in(q, k, other);
    if (!how->packed && tw_problem_check(&swapped) == TW_OK)
        return tw_fail(status, "%s; --layout %s would fit", line, tw_layout_name(other));
    return tw_fail(status, "%s", line);
}

/* Brings a tensor that was read in `layout` into the house's. */
static tw_status to_bshd(tw_tensor_data *t, const char *path, tw_layout layout)
{
    if (layout == TW_LAYOUT_BSHD || t->num_dims != 4)
        return TW_OK;
    TW_TRY(tw_memory_check((double)t->num_elements * sizeof(double), path));
    double *swapped = tw_swap_axes(t->values, (int)t->shape[0], (int)t->shape[1], (int)t->shape[2],
                                   (int)t->shape[3]);
    if (!swapped)
        return tw_fail(TW_ENOMEM, "%s: no memory for its %zu elements in double", path, t->num_elements);
    free(t->values);
    t->values = swapped;
    return TW_OK;
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

static tw_status read_three(tw_inputs *inputs, tw_tensor_data t[3], const char *const paths[3],
                            const tw_reading *how)
{
    int files = how->latent ? 2 : 3, last = how->packed ? 2 : 3;
    for (int i = 0; i < files; i++) {
        TW_TRY(tw_dtype_is_code(how->codes) ? tw_codes_read(&t[i], paths[i], how->codes)
                                            : tw_npy_read(&t[i], paths[i]));
        TW_TRY(check_rank(&t[i], paths[i], how));
    }
    TW_TRY(check_shapes(t, paths, how));
    tw_problem problem = how->packed ? packed_problem_in(&t[0], &t[1], how->packed)
                                     : problem_in(&t[0], &t[1], how->layout);
    int width = how->latent ? how->head_dim_v : (int)t[2].shape[last];
    problem.head_dim_v = width == problem.head_dim ? 0 : width;
    problem.v_in_k = how->latent;
    problem.dtype = tw_coarser(t[0].dtype, t[1].dtype);
    if (!how->latent)
        problem.dtype = tw_coarser(problem.dtype, t[2].dtype);
    TW_TRY(check_problem(&problem, &t[0], &t[1], how));
    for (int i = 0; i < files; i++)
        TW_TRY(to_bshd(&t[i], paths[i], how->layout));
    *inputs = (tw_inputs){
        .problem = problem, .q = t[0].values, .k = t[1].values, .v = how->latent ? t[1].values : t[2].values};
    return TW_OK;
}

tw_status tw_inputs_read(tw_inputs *inputs, const char *q_path, const char *k_path, const char *v_path,
                         const tw_reading *how)
{
    tw_tensor_data t[3] = {{.values = NULL}, {.values = NULL}, {.values = NULL}};
    tw_status status = read_three(inputs, t, (const char *const[3]){q_path, k_path, v_path}, how);
    for (int i = 0; i < 3 && status != TW_OK; i++)
        tw_tensor_data_free(&t[i]);
    return status;
}

static double *random_tensor(size_t n, tw_dtype dtype, uint64_t seed, uint64_t stream)
{
    double *x = malloc(n * sizeof *x);
    if (!x)
        return NULL;
    tw_random_normal(x, n, seed, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = tw_dtype_round(dtype, x[i]);
    return x;
}

tw_status tw_inputs_random(tw_inputs *inputs, const tw_problem *problem, uint64_t seed)
{
    size_t nq = tw_problem_q_elements(problem), nk = tw_problem_k_elements(problem);
    tw_inputs made = {.problem = *problem,
                      .q = random_tensor(nq, problem->dtype, seed, 0),
                      .k = random_tensor(nk, problem->dtype, seed, 1)};
    made.v = problem->v_in_k ? made.k
                             : random_tensor(tw_problem_v_elements(problem), problem->dtype, seed, 2);
    if (!made.q || !made.k || !made.v) {
        tw_inputs_free(&made);
        return tw_fail(TW_ENOMEM, "no memory for Q, K and V of %zu and %zu elements", nq, nk);
    }
    *inputs = made;
    return TW_OK;
}

tw_status tw_inputs_of_codes(tw_inputs *worth, const tw_problem *p, const tw_inputs *in)
{
    tw_quantized codes;
    TW_TRY(tw_quantize_inputs(&codes, p, in->q, in->k, in->v));
    for (int i = 0; i < 3; i++)
        tw_dequantize(codes.code[i], (tw_quantized_tensor)i, p, &codes); /* in place */
    *worth = (tw_inputs){.problem = *p, .q = codes.code[0], .k = codes.code[1], .v = codes.code[2]};
    codes.code[0] = codes.code[1] = codes.code[2] = NULL;
    tw_quantized_free(&codes);
    return TW_OK;
}

tw_status tw_gradient_random(double **d_o, const tw_problem *problem, uint64_t seed)
{
    double *made = random_tensor(tw_problem_o_elements(problem), problem->dtype, seed, 3);
    if (!made)
        return tw_fail(TW_ENOMEM, "no memory for dO of %zu elements", tw_problem_o_elements(problem));
    *d_o = made;
    return TW_OK;
}

void tw_inputs_free(tw_inputs *inputs)
{
    if (inputs->v != inputs->k)
        free(inputs->v);
    free(inputs->q);
    free(inputs->k);
    *inputs = (tw_inputs){.q = NULL};
}

/* ---- outputs -------------------------------------------------------------------------------------------- */

/* A tensor's shape in a layout; returns the number of its axes. */
static int shape_like(int64_t shape[4], const tw_problem *p, tw_like like, tw_layout layout)
{
    bool bshd = layout == TW_LAYOUT_BSHD, of_keys = like == TW_LIKE_K || like == TW_LIKE_V;
    bool narrow = like == TW_LIKE_V || like == TW_LIKE_O;
    int rows = of_keys ? p->seqlen_k : p->seqlen_q, heads = of_keys ? p->num_heads_kv : p->num_heads;
    int width = narrow ? tw_problem_head_dim_v(p) : p->head_dim;
    if (p->cu_seqlens_q) {
        shape[0] = of_keys ? tw_problem_total_k(p) : tw_problem_total_q(p);
        shape[1] = heads;
        shape[2] = width;
        return 3;
    }
    shape[0] = p->batch;
    shape[1] = bshd ? rows : heads;
    shape[2] = bshd ? heads : rows;
    shape[3] = width;
    return 4;
}

/* LSE's shape; returns the number of its axes. */
static int lse_shape(int64_t shape[3], const tw_problem *p)
{
    if (p->cu_seqlens_q) {
        shape[0] = p->num_heads;
        shape[1] = tw_problem_total_q(p);
        return 2;
    }
    shape[0] = p->batch;
    shape[1] = p->num_heads;
    shape[2] = p->seqlen_q;
    return 3;
}

static tw_status expect_shape(const tw_tensor_data *t, const char *path, int num_dims, const int64_t *shape,
                              const char *axes)
{
    if (t->num_dims == num_dims && memcmp(t->shape, shape, (size_t)num_dims * sizeof *shape) == 0)
        return TW_OK;
    tw_tensor_data wanted = {.num_dims = num_dims};
    memcpy(wanted.shape, shape, (size_t)num_dims * sizeof *shape);
    return tw_fail(TW_EFORMAT, "%s: has shape %s, it must be %s: %s", path, shape_of(t).text,
                   shape_of(&wanted).text, axes);
}

/* What a refused shape should have been, in words. */
static const char *words_like(const tw_problem *p, tw_like like)
{
    bool as_wide = tw_problem_head_dim_v(p) == p->head_dim;
    return like == TW_LIKE_K   ? "K's"
           : like == TW_LIKE_V ? "V's"
           : like == TW_LIKE_Q ? "Q's"
           : as_wide           ? "Q's"
                               : "Q's with V's columns";
}

tw_status tw_gradient_read(double **x, tw_dtype *dtype, const char *path, const tw_problem *problem,
                           tw_like like, tw_layout layout)
{
    tw_tensor_data t = {.values = NULL};
    int64_t shape[4];
    int axes = shape_like(shape, problem, like, layout);
    tw_status status = tw_npy_read(&t, path);
    if (status == TW_OK)
        status = expect_shape(&t, path, axes, shape, words_like(problem, like));
    if (status == TW_OK)
        status = to_bshd(&t, path, layout);
    if (status != TW_OK) {
        tw_tensor_data_free(&t);
        return status;
    }
    *x = t.values;
    *dtype = t.dtype;
    return TW_OK;
}

tw_status tw_output_read(double **o, tw_dtype *dtype, const char *path, const tw_problem *problem,
                         tw_layout layout)
{
    return tw_gradient_read(o, dtype, path, problem, TW_LIKE_O, layout);
}

tw_status tw_lse_read(double **lse, tw_dtype *dtype, const char *path, const tw_problem *problem)
{
    tw_tensor_data t = {.values = NULL};
    int64_t shape[3];
    int axes = lse_shape(shape, problem);
    tw_status status = tw_npy_read(&t, path);
    if (status == TW_OK)
        status = expect_shape(&t, path, axes, shape,
                              axes == 2 ? "heads, tokens of all sequences" : "batch, heads, seqlen_q");
    if (status != TW_OK) {
        tw_tensor_data_free(&t);
        return status;
    }
    *lse = t.values;
    *dtype = t.dtype;
    return TW_OK;
}

tw_status tw_gradient_write(tw_npy_set *files, const char *path, const double *x, const tw_problem *problem,
                            tw_like like, tw_layout layout)
{
    int64_t shape[4], rows_first[4];
    int axes = shape_like(shape, problem, like, layout);
    shape_like(rows_first, problem, like, TW_LAYOUT_BSHD);
    if (layout == TW_LAYOUT_BSHD || axes == 3)
        return tw_npy_add(files, path, x, problem->dtype, axes, shape);
    double *swapped = tw_swap_axes(x, (int)rows_first[0], (int)rows_first[1], (int)rows_first[2],
                                   (int)rows_first[3]);
    if (!swapped)
        return tw_fail(TW_ENOMEM, "%s: no memory to change its layout", path);
    tw_status status = tw_npy_add(files, path, swapped, problem->dtype, 4, shape);
    free(swapped);
    return status;
}

tw_status tw_output_write(tw_npy_set *files, const char *path, const double *o, const tw_problem *problem,
                          tw_layout layout)
{
    return tw_gradient_write(files, path, o, problem, TW_LIKE_O, layout);
}

tw_status tw_lse_write(tw_npy_set *files, const char *path, const double *lse, const tw_problem *problem)
{
    int64_t shape[3];
    int axes = lse_shape(shape, problem);
    return tw_npy_add(files, path, lse, TW_FP32, axes, shape);
}
