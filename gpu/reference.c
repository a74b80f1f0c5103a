/* What O and LSE should be. A (batch, head) at a time: its slices of Q, K and V are widened to double. */
#include "reference.h"

#include "../cpu_ref/attention.h"
#include "cuda_try.h"
#include "exact_row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tw_gpu_reference_row reference_row;

/* ---- which rows ---------------------------------------------------------------------------------------- */

enum { SAMPLED_HEADS = 4, SAMPLED_ROWS = 24 };

static void all_rows(tw_gpu_reference *r, const tw_problem *p)
{
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads; h++)
            for (int row = 0; row < p->seqlen_q; row++)
                r->rows[r->num_rows++] = (reference_row){b, h, row};
}

/* Deterministic, spread out: a multiplicative generator is enough to pick rows. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static void sampled_rows(tw_gpu_reference *r, const tw_problem *p, uint64_t seed)
{
    uint64_t state = seed;
    int heads = p->batch * p->num_heads, picked = heads < SAMPLED_HEADS ? heads : SAMPLED_HEADS;
    for (int s = 0; s < picked; s++) {
        int head = picked == 1
                       ? 0
                       : (int)((int64_t)(heads - 1) * s / (picked - 1)); /* first and last among them */
        for (int i = 0; i < SAMPLED_ROWS; i++) {
            int row = (int)(next_random(&state) % (uint32_t)p->seqlen_q);
            row = i == 0 ? 0 : i == 1 ? p->seqlen_q - 1 : i < 6 ? row / 64 * 64 : i < 10 ? row | 63 : row;
            row = row < p->seqlen_q ? row : p->seqlen_q - 1;
            r->rows[r->num_rows++] = (reference_row){head / p->num_heads, head % p->num_heads, row};
        }
    }
}

/* ---- the reference ------------------------------------------------------------------------------------- */

/* One head as a problem of its own, in double. */
typedef struct slices {
    tw_problem problem;
    int batch, head; /* -1: none yet */
    double *q, *k, *v;
} slices;

static void widen_slice(double *to, const uint16_t *from, size_t first, size_t stride, int rows,
                        const tw_problem *p)
{
#pragma omp parallel for schedule(static)
    for (int row = 0; row < rows; row++)
        tw_dtype_convert(to + (size_t)row * (size_t)p->head_dim, TW_FP64, from + first + (size_t)row * stride,
                         p->dtype, (size_t)p->head_dim);
}

static void take_slices(slices *s, const tw_gpu_tensors *t, int batch, int head)
{
    const tw_problem *p = &t->problem;
    int head_kv = tw_problem_kv_head(p, head);
    size_t q_stride = (size_t)p->num_heads * (size_t)p->head_dim,
           k_stride = (size_t)p->num_heads_kv * (size_t)p->head_dim;
    widen_slice(s->q, t->h_q, tw_problem_q_row(p, batch, head, 0), q_stride, p->seqlen_q, p);
    widen_slice(s->k, t->h_k, tw_problem_k_row(p, batch, head_kv, 0), k_stride, p->seqlen_k, p);
    widen_slice(s->v, t->h_v, tw_problem_k_row(p, batch, head_kv, 0), k_stride, p->seqlen_k, p);
    s->batch = batch;
    s->head = head;
}

/* Rows [first, last) of one head. */
static tw_status reference_rows(tw_gpu_reference *r, const slices *s, int first, int last)
{
    double worst = 0.0, largest = 0.0;
    bool out_of_memory = false;
#pragma omp parallel for schedule(dynamic) reduction(max : worst, largest)
    for (int i = first; i < last; i++) {
        double *scratch = malloc(((size_t)s->problem.seqlen_k + (size_t)r->head_dim) * sizeof *scratch);
        if (scratch == NULL) {
            out_of_memory = true;
            continue;
        }
        double *rounded = scratch + s->problem.seqlen_k, *o = r->o + (size_t)i * (size_t)r->head_dim;
        tw_attention_gold_row(o, &r->lse[i], &s->problem, s->q, s->k, s->v, 0, 0, r->rows[i].row, scratch);
        tw_attention_rounded_row(rounded, &s->problem, s->q, s->k, s->v, 0, 0, r->rows[i].row, scratch);
        for (int c = 0; c < r->head_dim; c++) {
            worst = fmax(worst, fabs(rounded[c] - o[c]));
            largest = fmax(largest, fabs(o[c]));
        }
        free(scratch);
    }
    r->baseline_error = fmax(r->baseline_error, worst);
    r->max_abs_o = fmax(r->max_abs_o, largest);
    return out_of_memory ? tw_fail(TW_ENOMEM, "no memory for a row of the reference") : TW_OK;
}

static tw_status reference_all(tw_gpu_reference *r, slices *s, const tw_gpu_tensors *t)
{
    for (int first = 0, last; first < r->num_rows; first = last) {
        const reference_row *at = &r->rows[first];
        for (last = first;
             last < r->num_rows && r->rows[last].batch == at->batch && r->rows[last].head == at->head;)
            last++;
        take_slices(s, t, at->batch, at->head);
        TW_TRY(reference_rows(r, s, first, last));
    }
    return TW_OK;
}

static tw_status allocate(tw_gpu_reference *r, slices *s, const tw_problem *p, size_t rows)
{
    size_t d = (size_t)p->head_dim;
    r->rows = malloc(rows * sizeof *r->rows);
    r->o = malloc(rows * d * sizeof *r->o);
    r->lse = malloc(rows * sizeof *r->lse);
    s->q = malloc((size_t)p->seqlen_q * d * sizeof *s->q);
    s->k = malloc((size_t)p->seqlen_k * d * sizeof *s->k);
    s->v = malloc((size_t)p->seqlen_k * d * sizeof *s->v);
    if (r->rows == NULL || r->o == NULL || r->lse == NULL || s->q == NULL || s->k == NULL || s->v == NULL)
        return tw_fail(TW_ENOMEM, "no memory for the reference of %d queries and %d keys", p->seqlen_q,
                       p->seqlen_k);
    return TW_OK;
}

tw_status tw_gpu_reference_make(tw_gpu_reference *reference, tw_gpu_tensors *tensors, int max_rows,
                                uint64_t seed)
{
    TW_TRY(tw_gpu_tensors_to_host(tensors));
    const tw_problem *p = &tensors->problem;
    bool all = tw_problem_lse_elements(p) <= (size_t)max_rows;
    tw_gpu_reference r = {.head_dim = p->head_dim};
    slices s = {.problem = *p, .batch = -1, .head = -1};
    s.problem.batch = s.problem.num_heads = s.problem.num_heads_kv = 1;

    tw_status status = allocate(&r, &s, p, all ? tw_problem_lse_elements(p) : SAMPLED_HEADS * SAMPLED_ROWS);
    if (status == TW_OK) {
        if (all)
            all_rows(&r, p);
        else
            sampled_rows(&r, p, seed);
        status = reference_all(&r, &s, tensors);
    }
    free(s.q);
    free(s.k);
    free(s.v);
    if (status == TW_OK)
        *reference = r;
    else
        tw_gpu_reference_free(&r);
    return status;
}

void tw_gpu_reference_free(tw_gpu_reference *r)
{
    free(r->rows);
    free(r->o);
    free(r->lse);
    memset(r, 0, sizeof *r);
}

/* ---- the verdict --------------------------------------------------------------------------------------- */

/* The first element that is off by more than it may be is what the verdict speaks of. */
static void judge(tw_gpu_verdict *v, const reference_row *at, const char *what, int column, double found,
                  double expected, double allowed)
{
    if (!tw_exact_is_wrong(found, expected, allowed) || !v->agrees)
        return;
    v->agrees = false;
    snprintf(v->line, sizeof v->line,
             "%s[batch %d, head %d, row %d, %d] is %g, should be %g, may be off by %.2g", what, at->batch,
             at->head, at->row, column, found, expected, allowed);
}

static void check_row(tw_gpu_verdict *v, const tw_gpu_reference *r, const tw_gpu_tensors *t, size_t i)
{
    const tw_problem *p = &t->problem;
    const reference_row *at = &r->rows[i];
    const uint16_t *o = t->h_o + tw_problem_q_row(p, at->batch, at->head, at->row);
    double lse = (double)t->h_lse[tw_problem_lse_at(p, at->batch, at->head, at->row)];
    tw_error_add(&v->lse, i, lse, r->lse[i]);
    judge(v, at, "LSE", 0, lse, r->lse[i], tw_exact_lse_allowed(r->lse[i], p->dtype == TW_BF16));
    for (int c = 0; c < p->head_dim; c++) {
        size_t index = i * (size_t)p->head_dim + (size_t)c;
        double found;
        tw_dtype_convert(&found, TW_FP64, o + c, p->dtype, 1);
        tw_error_add(&v->o, index, found, r->o[index]);
        judge(v, at, "O", c, found, r->o[index], v->o_allowed);
    }
}

void tw_gpu_reference_check(tw_gpu_verdict *verdict, const tw_gpu_reference *r, const tw_gpu_tensors *t)
{
    double atol = tw_error_atol(t->problem.dtype, r->max_abs_o);
    tw_gpu_verdict v = {.agrees = true, .o_allowed = 2.0 * r->baseline_error + atol};
    for (size_t i = 0; i < (size_t)r->num_rows; i++)
        check_row(&v, r, t, i);
    tw_error_finish(&v.o);
    tw_error_finish(&v.lse);
    v.agrees = v.agrees && tw_error_acceptable(&v.o, r->baseline_error, atol);
    *verdict = v;
}

/* TW_EMISMATCH if something was written behind the end of a tensor; what was written is fetched even then. */
static tw_status run_poisoned(tw_gpu_tensors *tensors, const tw_gpu_kernel *kernel, const tw_tiling *tiling,
                              struct CUstream_st *stream)
{
    TW_TRY(tw_gpu_tensors_poison(tensors));
    TW_CUDA_TRY(cudaDeviceSynchronize());
    tw_gpu_args args = tw_gpu_tensors_args(tensors, tiling, stream);
    TW_TRY(kernel->launch(&args));
    TW_CUDA_TRY(cudaStreamSynchronize(stream));
    return tw_gpu_tensors_fetch(tensors);
}

static void disagree(tw_gpu_verdict *verdict, const char *line)
{
    verdict->agrees = false;
    snprintf(verdict->line, sizeof verdict->line, "%s", line);
}

/* The verdict on bits: O and LSE of a second run are those of the first, which `o` and `lse` hold. */
static tw_status check_repeats(tw_gpu_verdict *verdict, const void *o, const void *lse,
                               tw_gpu_tensors *tensors, const tw_gpu_kernel *kernel, const tw_tiling *tiling,
                               struct CUstream_st *stream)
{
    tw_status status = run_poisoned(tensors, kernel, tiling, stream);
    if (status != TW_OK && status != TW_EMISMATCH)
        return status;
    bool same = memcmp(o, tensors->h_o, tensors->o_bytes) == 0 &&
                memcmp(lse, tensors->h_lse, tensors->lse_bytes) == 0;
    if (!same && verdict->agrees)
        disagree(verdict, "a second run on the same tensors gives other bits");
    return TW_OK;
}

static tw_status run_twice(tw_gpu_verdict *verdict, const tw_gpu_reference *reference, void *o, void *lse,
                           tw_gpu_tensors *tensors, const tw_gpu_kernel *kernel, const tw_tiling *tiling,
                           struct CUstream_st *stream)
{
    tw_status status = run_poisoned(tensors, kernel, tiling, stream);
    if (status != TW_OK && status != TW_EMISMATCH)
        return status;
    tw_gpu_reference_check(verdict, reference, tensors);
    if (status == TW_EMISMATCH)
        disagree(verdict, tw_error_message());
    memcpy(o, tensors->h_o, tensors->o_bytes);
    memcpy(lse, tensors->h_lse, tensors->lse_bytes);
    return check_repeats(verdict, o, lse, tensors, kernel, tiling, stream);
}

tw_status tw_gpu_validate_launch(tw_gpu_verdict *verdict, const tw_gpu_reference *reference,
                                 tw_gpu_tensors *tensors, const tw_gpu_kernel *kernel,
                                 const tw_tiling *tiling, struct CUstream_st *stream)
{
    TW_TRY(tw_gpu_tensors_reserve(tensors, kernel->workspace_bytes(&tensors->problem, tiling)));
    void *o = malloc(tensors->o_bytes), *lse = malloc(tensors->lse_bytes);
    tw_status status = o != NULL && lse != NULL ? TW_OK
                                                : tw_fail(TW_ENOMEM, "no memory to compare two runs in");
    if (status == TW_OK)
        status = run_twice(verdict, reference, o, lse, tensors, kernel, tiling, stream);
    free(o);
    free(lse);
    return status;
}
