/* Q, K, V, O and LSE of files or of a random generator. */
#include "tensors.h"

#include "../cpu_ref/memory.h"

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

static tw_status check_rank(const tw_tensor_data *t, const char *path)
{
    bool fits = t->num_dims == 4;
    for (int i = 0; i < 4 && fits; i++)
        fits = t->shape[i] >= 1 && t->shape[i] <= INT_MAX;
    if (fits)
        return TW_OK;
    return tw_fail(TW_EFORMAT, "%s: has shape %s, it must have four axes: batch, seqlen and heads, head_dim",
                   path, shape_of(t).text);
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

static tw_status check_shapes(const tw_tensor_data *q, const tw_tensor_data *k, const tw_tensor_data *v,
                              const char *k_path, const char *v_path)
{
    if (k->shape[0] != q->shape[0] || k->shape[3] != q->shape[3])
        return tw_fail(TW_EFORMAT, "%s: has shape %s beside Q's %s, batch and head_dim must be the same",
                       k_path, shape_of(k).text, shape_of(q).text);
    if (memcmp(v->shape, k->shape, 4 * sizeof v->shape[0]) != 0)
        return tw_fail(TW_EFORMAT, "%s: has shape %s, it must be K's, %s", v_path, shape_of(v).text,
                       shape_of(k).text);
    return TW_OK;
}

/* Adds to a refusal that the other layout would have been accepted. */
static tw_status check_problem(const tw_problem *problem, const tw_tensor_data *q, const tw_tensor_data *k,
                               tw_layout layout)
{
    tw_status status = tw_problem_check(problem);
    if (status == TW_OK)
        return TW_OK;
    char line[400];
    snprintf(line, sizeof line, "%.399s", tw_error_message());
    tw_layout other = layout == TW_LAYOUT_BSHD ? TW_LAYOUT_BHSD : TW_LAYOUT_BSHD;
    tw_problem swapped = problem_in(q, k, other);
    if (tw_problem_check(&swapped) == TW_OK)
        return tw_fail(status, "%s; --layout %s would fit", line, tw_layout_name(other));
    return tw_fail(status, "%s", line);
}

/* Brings a tensor that was read in `layout` into the house's. */
static tw_status to_bshd(tw_tensor_data *t, const char *path, tw_layout layout)
{
    if (layout == TW_LAYOUT_BSHD)
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
                            tw_layout layout)
{
    for (int i = 0; i < 3; i++) {
        TW_TRY(tw_npy_read(&t[i], paths[i]));
        TW_TRY(check_rank(&t[i], paths[i]));
    }
    TW_TRY(check_shapes(&t[0], &t[1], &t[2], paths[1], paths[2]));
    tw_problem problem = problem_in(&t[0], &t[1], layout);
    problem.dtype = tw_coarser(t[0].dtype, tw_coarser(t[1].dtype, t[2].dtype));
    TW_TRY(check_problem(&problem, &t[0], &t[1], layout));
    for (int i = 0; i < 3; i++)
        TW_TRY(to_bshd(&t[i], paths[i], layout));
    *inputs = (tw_inputs){.problem = problem, .q = t[0].values, .k = t[1].values, .v = t[2].values};
    return TW_OK;
}

tw_status tw_inputs_read(tw_inputs *inputs, const char *q_path, const char *k_path, const char *v_path,
                         tw_layout layout)
{
    tw_tensor_data t[3] = {{.values = NULL}, {.values = NULL}, {.values = NULL}};
    tw_status status = read_three(inputs, t, (const char *const[3]){q_path, k_path, v_path}, layout);
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
                      .k = random_tensor(nk, problem->dtype, seed, 1),
                      .v = random_tensor(nk, problem->dtype, seed, 2)};
    if (!made.q || !made.k || !made.v) {
        tw_inputs_free(&made);
        return tw_fail(TW_ENOMEM, "no memory for Q, K and V of %zu and %zu elements", nq, nk);
    }
    *inputs = made;
    return TW_OK;
}

void tw_inputs_free(tw_inputs *inputs)
{
    free(inputs->q);
    free(inputs->k);
    free(inputs->v);
    *inputs = (tw_inputs){.q = NULL};
}

/* ---- outputs -------------------------------------------------------------------------------------------- */

/* Q's shape in a layout. */
static void q_shape(int64_t shape[4], const tw_problem *p, tw_layout layout)
{
    bool bshd = layout == TW_LAYOUT_BSHD;
    shape[0] = p->batch;
    shape[1] = bshd ? p->seqlen_q : p->num_heads;
    shape[2] = bshd ? p->num_heads : p->seqlen_q;
    shape[3] = p->head_dim;
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

tw_status tw_output_read(double **o, tw_dtype *dtype, const char *path, const tw_problem *problem,
                         tw_layout layout)
{
    tw_tensor_data t = {.values = NULL};
    int64_t shape[4];
    q_shape(shape, problem, layout);
    tw_status status = tw_npy_read(&t, path);
    if (status == TW_OK)
        status = expect_shape(&t, path, 4, shape, "Q's");
    if (status == TW_OK)
        status = to_bshd(&t, path, layout);
    if (status != TW_OK) {
        tw_tensor_data_free(&t);
        return status;
    }
    *o = t.values;
    *dtype = t.dtype;
    return TW_OK;
}

tw_status tw_lse_read(double **lse, tw_dtype *dtype, const char *path, const tw_problem *problem)
{
    tw_tensor_data t = {.values = NULL};
    const int64_t shape[3] = {problem->batch, problem->num_heads, problem->seqlen_q};
    tw_status status = tw_npy_read(&t, path);
    if (status == TW_OK)
        status = expect_shape(&t, path, 3, shape, "batch, heads, seqlen_q");
    if (status != TW_OK) {
        tw_tensor_data_free(&t);
        return status;
    }
    *lse = t.values;
    *dtype = t.dtype;
    return TW_OK;
}

tw_status tw_output_write(const char *path, const double *o, const tw_problem *problem, tw_layout layout)
{
    int64_t shape[4];
    q_shape(shape, problem, layout);
    if (layout == TW_LAYOUT_BSHD)
        return tw_npy_write(path, o, problem->dtype, 4, shape);
    double *swapped = tw_swap_axes(o, problem->batch, problem->seqlen_q, problem->num_heads,
                                   problem->head_dim);
    if (!swapped)
        return tw_fail(TW_ENOMEM, "%s: no memory to change its layout", path);
    tw_status status = tw_npy_write(path, swapped, problem->dtype, 4, shape);
    free(swapped);
    return status;
}

tw_status tw_lse_write(const char *path, const double *lse, const tw_problem *problem)
{
    const int64_t shape[3] = {problem->batch, problem->num_heads, problem->seqlen_q};
    return tw_npy_write(path, lse, TW_FP32, 3, shape);
}
