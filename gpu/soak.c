/* One random shape: tensors, exact attention, every kernel twice, comparison. Two waits a shape, no allocation. */
#include "soak.h"

#include "../cpu_ref/attention.h"
#include "cuda_try.h"
#include "fill.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = TW_GPU_SOAK_MAX_ROWS, MAX_PAIRS = TW_GPU_SOAK_MAX_PAIRS };
static const size_t MAX_ELEMENTS = (size_t)MAX_ROWS * TW_GPU_SOAK_MAX_HEAD_DIM;

/* ---- memory --------------------------------------------------------------------------------------------- */

static tw_status allocate(void *to, size_t bytes)
{
    void *memory;
    TW_CUDA_TRY(cudaMalloc(&memory, bytes + TW_GPU_SOAK_GUARD_BYTES));
    memcpy(to, &memory, sizeof memory);
    return TW_OK;
}

static tw_status allocate_all(tw_gpu_soak *s)
{
    void *tensors[] = {&s->d_q, &s->d_k, &s->d_v, &s->d_o[0], &s->d_o[1]};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        TW_TRY(allocate(tensors[i], 2 * MAX_ELEMENTS));
    for (int run = 0; run < 2; run++)
        TW_TRY(allocate(&s->d_lse[run], MAX_ROWS * sizeof(float)));
    TW_TRY(allocate(&s->d_exact_o, MAX_ELEMENTS * sizeof(double)));
    TW_TRY(allocate(&s->d_exact_lse, MAX_ROWS * sizeof(double)));
    TW_TRY(allocate(&s->d_scratch, 2 * (size_t)MAX_PAIRS * sizeof(double)));
    TW_TRY(allocate(&s->d_scale, sizeof *s->d_scale));
    return allocate(&s->d_found, sizeof s->found);
}

tw_status tw_gpu_soak_make(tw_gpu_soak *soak, struct CUstream_st *stream)
{
    memset(soak, 0, sizeof *soak);
    soak->stream = stream;
    tw_status status = allocate_all(soak);
    if (status != TW_OK)
        tw_gpu_soak_free(soak);
    return status;
}

void tw_gpu_soak_free(tw_gpu_soak *s)
{
    void *const memory[] = {s->d_q,      s->d_k,      s->d_v,        s->d_o[0],      s->d_o[1],
                            s->d_lse[0], s->d_lse[1], s->d_exact_o,  s->d_exact_lse, s->d_scratch,
                            s->d_scale,  s->d_found,  s->d_workspace};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        cudaFree(memory[i]);
    memset(s, 0, sizeof *s);
}

static tw_status reserve_workspace(tw_gpu_soak *s, size_t bytes)
{
    if (bytes <= s->workspace_bytes && s->d_workspace != NULL)
        return TW_OK;
    TW_CUDA_TRY(cudaStreamSynchronize(s->stream));
    TW_CUDA_TRY(cudaFree(s->d_workspace));
    s->d_workspace = NULL;
    s->workspace_bytes = bytes + bytes / 2;
    return allocate(&s->d_workspace, s->workspace_bytes);
}

/* ---- the judge ------------------------------------------------------------------------------------------ */

static tw_status prepare(tw_gpu_soak *s, const tw_gpu_soak_case *one)
{
    const tw_problem *p = &one->problem;
    const size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p);
    TW_TRY(tw_gpu_fill_normal(s->d_q, p->dtype, nq, one->data_seed, 0, one->q_factor, s->stream));
    TW_TRY(tw_gpu_fill_normal(s->d_k, p->dtype, nk, one->data_seed, 1, 1.0, s->stream));
    TW_TRY(tw_gpu_fill_normal(s->d_v, p->dtype, nk, one->data_seed, 2, 1.0, s->stream));
    TW_CUDA_TRY(cudaMemsetAsync(s->d_scale, 0, sizeof *s->d_scale, s->stream));
    TW_TRY(tw_gpu_exact(s->d_exact_o, s->d_exact_lse, s->d_scale, s->d_scratch, p, s->d_q, s->d_k, s->d_v,
                        s->stream));
    TW_CUDA_TRY(cudaMemcpyAsync(&s->scale, s->d_scale, sizeof s->scale, cudaMemcpyDeviceToHost, s->stream));
    TW_CUDA_TRY(cudaStreamSynchronize(s->stream));
    s->o_allowed = 2.0 * s->scale.baseline_error + tw_error_atol(p->dtype, s->scale.max_abs_o);
    for (int i = 0; i < TW_GPU_MAX_KERNELS; i++)
        s->found[i] = (tw_gpu_found){.first_wrong_o = UINT64_MAX, .first_wrong_lse = UINT64_MAX};
    TW_CUDA_TRY(cudaMemcpyAsync(s->d_found, s->found, sizeof s->found, cudaMemcpyHostToDevice, s->stream));
    return TW_OK;
}

/* ---- a kernel ------------------------------------------------------------------------------------------- */

/* S passes through HBM in 16 bits; a row that sees few keys then has an LSE that is off by more than its own size says. */
static bool rounds_scores(const tw_gpu_kernel *k)
{
    return strcmp(k->schedule, "standard_tiled") == 0;
}

static bool can_run(const tw_gpu_kernel *k, const tw_gpu_soak_case *one, const tw_tiling *t,
                    const tw_gpu_device *device)
{
    if (one->large_scores && rounds_scores(k))
        return false; /* it rounds S, as the yardstick does: of two wrong results neither judges the other */
    if (!k->takes_orders && (t->order != TW_ORDER_OWN || t->kv_order != TW_KV_FORWARD))
        return false;
    return device->arch >= k->min_arch && k->supports(&one->problem, t) == TW_OK;
}

/* The kernel's own choice, in the shape's order if it takes that, or one of all that it has for the shape; block_m 0: none. */
static tw_tiling choose_tiling(const tw_gpu_kernel *k, const tw_gpu_soak_case *one,
                               const tw_gpu_device *device)
{
    tw_tiling own = tw_tiling_for(k->tiling, k->exceptions, &one->problem);
    const tw_tiling *able[64];
    unsigned count = 0;
    tw_tiling ordered = own;
    ordered.order = one->order;
    ordered.kv_order = one->kv_order;
    if (can_run(k, one, &ordered, device) && (one->order != TW_ORDER_OWN || one->kv_order != TW_KV_FORWARD))
        return ordered;
    if (one->tiling_is_default && can_run(k, one, &own, device))
        return own;
    for (const tw_tiling *t = NULL; (t = tw_gpu_next_tiling(k, t)) != NULL && count < 64;)
        if (can_run(k, one, t, device))
            able[count++] = t;
    own.block_m = 0;
    return count > 0 ? *able[one->tiling_draw % count] : own;
}

static tw_status poison(void *d, size_t bytes, struct CUstream_st *stream)
{
    TW_CUDA_TRY(cudaMemsetAsync(d, TW_GPU_SOAK_POISON, bytes + TW_GPU_SOAK_GUARD_BYTES, stream));
    return TW_OK;
}

static tw_status run_once(tw_gpu_soak *s, const tw_gpu_kernel *k, const tw_gpu_args *args, int run,
                          size_t workspace_bytes)
{
    const tw_problem *p = &args->problem;
    tw_gpu_args mine = *args;
    mine.o = s->d_o[run];
    mine.lse = s->d_lse[run];
    TW_TRY(poison(s->d_o[run], 2 * tw_problem_q_elements(p), s->stream));
    TW_TRY(poison(s->d_lse[run], tw_problem_lse_elements(p) * sizeof(float), s->stream));
    TW_TRY(poison(s->d_workspace, workspace_bytes, s->stream));
    return k->launch(&mine);
}

static tw_status run_kernel(tw_gpu_soak *s, const tw_gpu_soak_case *one, const tw_gpu_kernel *k, int i)
{
    const tw_problem *p = &one->problem;
    const size_t workspace_bytes = k->workspace_bytes(p, &s->tiling[i]);
    const size_t o_bytes = 2 * tw_problem_q_elements(p), lse_bytes = 4 * tw_problem_lse_elements(p);
    TW_TRY(reserve_workspace(s, workspace_bytes));
    const tw_gpu_args args = {.problem = *p,
                              .tiling = s->tiling[i],
                              .q = s->d_q,
                              .k = s->d_k,
                              .v = s->d_v,
                              .workspace = s->d_workspace,
                              .stream = s->stream};
    for (int run = 0; run < 2; run++)
        TW_TRY(run_once(s, k, &args, run, workspace_bytes));
    const tw_gpu_comparison c = {.o_elements = o_bytes / 2,
                                 .lse_elements = lse_bytes / 4,
                                 .bf16 = p->dtype == TW_BF16,
                                 .o = {s->d_o[0], s->d_o[1]},
                                 .lse = {s->d_lse[0], s->d_lse[1]},
                                 .exact_o = s->d_exact_o,
                                 .exact_lse = s->d_exact_lse,
                                 .o_allowed = s->o_allowed,
                                 .lse_allowed = rounds_scores(k) ? 2.0 * s->scale.baseline_lse_error : 0.0,
                                 .guards = {{(const unsigned char *)s->d_o[0] + o_bytes},
                                            {(const unsigned char *)s->d_o[1] + o_bytes},
                                            {(const unsigned char *)s->d_lse[0] + lse_bytes},
                                            {(const unsigned char *)s->d_lse[1] + lse_bytes},
                                            {(const unsigned char *)s->d_workspace + workspace_bytes}},
                                 .found = s->d_found + i};
    return tw_gpu_compare(&c, s->stream);
}

tw_status tw_gpu_soak_run(tw_gpu_soak *s, const tw_gpu_soak_case *one, const tw_gpu_selection *selection,
                          const tw_gpu_device *device)
{
    TW_TRY(prepare(s, one));
    for (int i = 0; i < selection->num_kernels; i++) {
        s->tiling[i] = choose_tiling(selection->kernels[i], one, device);
        if (s->tiling[i].block_m != 0)
            TW_TRY(run_kernel(s, one, selection->kernels[i], i));
    }
    TW_CUDA_TRY(cudaMemcpyAsync(s->found, s->d_found, sizeof s->found, cudaMemcpyDeviceToHost, s->stream));
    TW_CUDA_TRY(cudaStreamSynchronize(s->stream));
    return TW_OK;
}

/* ---- what was found ------------------------------------------------------------------------------------- */

bool tw_gpu_soak_is_wrong(const tw_gpu_soak *s, int i)
{
    const tw_gpu_found *f = &s->found[i];
    return f->wrong_o + f->wrong_lse + f->changed + f->overrun > 0;
}

void tw_gpu_soak_explain(char *text, size_t size, const tw_gpu_soak *s, const tw_gpu_soak_case *one, int i)
{
    const tw_gpu_found *f = &s->found[i];
    const tw_problem *p = &one->problem;
    const size_t d = (size_t)p->head_dim, heads = (size_t)p->num_heads, rows = (size_t)p->seqlen_q;
    const size_t at = f->first_wrong_o, lse_at = f->first_wrong_lse;
    if (f->wrong_o > 0)
        snprintf(text, size,
                 "%llu elements of O are wrong, the largest error of a number is %.3g and %.3g is allowed; "
                 "the first is "
                 "batch %zu, row %zu, head %zu, column %zu",
                 f->wrong_o, f->worst_o, s->o_allowed, at / d / heads / rows, at / d / heads % rows,
                 at / d % heads, at % d);
    else if (f->wrong_lse > 0)
        snprintf(text, size, "%llu elements of LSE are wrong; the first is batch %zu, head %zu, row %zu",
                 f->wrong_lse, lse_at / rows / heads, lse_at / rows % heads, lse_at % rows);
    else if (f->overrun > 0)
        snprintf(text, size, "%llu bytes were written behind the end of a tensor", f->overrun);
    else
        snprintf(text, size, "a second run on the same tensors gives other bits in %llu elements",
                 f->changed);
}

/* ---- the judge, judged ---------------------------------------------------------------------------------- */

/* A shape's tensors on the host, in double. */
typedef struct host_copy {
    double *q, *k, *v, *exact_o, *exact_lse; /* the last two as the GPU has them */
    double *o, *scratch;
    uint16_t *bits;
} host_copy;

static void free_copy(host_copy *h)
{
    double *const memory[] = {h->q, h->k, h->v, h->exact_o, h->exact_lse, h->o, h->scratch};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        free(memory[i]);
    free(h->bits);
}

static tw_status allocate_copy(host_copy *h, const tw_problem *p)
{
    const size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p);
    h->q = malloc(nq * sizeof *h->q);
    h->k = malloc(nk * sizeof *h->k);
    h->v = malloc(nk * sizeof *h->v);
    h->exact_o = malloc(nq * sizeof *h->exact_o);
    h->exact_lse = malloc(tw_problem_lse_elements(p) * sizeof *h->exact_lse);
    h->o = malloc(2 * (size_t)p->head_dim * sizeof *h->o);
    h->scratch = malloc((size_t)p->seqlen_k * sizeof *h->scratch);
    h->bits = malloc((nq > nk ? nq : nk) * sizeof *h->bits);
    bool all = h->q && h->k && h->v && h->exact_o && h->exact_lse && h->o && h->scratch && h->bits;
    return all ? TW_OK : tw_fail(TW_ENOMEM, "no memory to check the judge in");
}

static tw_status fetch_wide(double *to, uint16_t *bits, const void *d, size_t n, tw_dtype dtype)
{
    TW_CUDA_TRY(cudaMemcpy(bits, d, n * sizeof *bits, cudaMemcpyDeviceToHost));
    tw_dtype_convert(to, TW_FP64, bits, dtype, n);
    return TW_OK;
}

static tw_status fetch_copy(host_copy *h, const tw_gpu_soak *s, const tw_problem *p)
{
    const size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p);
    TW_TRY(fetch_wide(h->q, h->bits, s->d_q, nq, p->dtype));
    TW_TRY(fetch_wide(h->k, h->bits, s->d_k, nk, p->dtype));
    TW_TRY(fetch_wide(h->v, h->bits, s->d_v, nk, p->dtype));
    TW_CUDA_TRY(cudaMemcpy(h->exact_o, s->d_exact_o, nq * sizeof(double), cudaMemcpyDeviceToHost));
    TW_CUDA_TRY(cudaMemcpy(h->exact_lse, s->d_exact_lse, tw_problem_lse_elements(p) * sizeof(double),
                           cudaMemcpyDeviceToHost));
    return TW_OK;
}

/* Both are sums in double, in different orders. */
static bool same(double x, double y)
{
    return x == y || fabs(x - y) <= 1e-9 * (1.0 + fabs(x));
}

static tw_status check_row(host_copy *h, double *baseline_error, const tw_problem *p, int batch, int head,
                           int row)
{
    double lse, *o = h->o, *rounded = h->o + p->head_dim;
    const double *found = h->exact_o + tw_problem_q_row(p, batch, head, row);
    tw_attention_gold_row(o, &lse, p, h->q, h->k, h->v, batch, head, row, h->scratch);
    tw_attention_rounded_row(rounded, p, h->q, h->k, h->v, batch, head, row, h->scratch);
    if (!same(lse, h->exact_lse[tw_problem_lse_at(p, batch, head, row)]))
        return tw_fail(TW_EGPU, "the judge's LSE of batch %d, head %d, row %d is %.15g, cpu_ref's is %.15g",
                       batch, head, row, h->exact_lse[tw_problem_lse_at(p, batch, head, row)], lse);
    for (int c = 0; c < p->head_dim; c++) {
        if (!same(o[c], found[c]))
            return tw_fail(
                TW_EGPU, "the judge's O of batch %d, head %d, row %d, column %d is %.15g, cpu_ref's is %.15g",
                batch, head, row, c, found[c], o[c]);
        *baseline_error = fmax(*baseline_error, fabs(rounded[c] - o[c]));
    }
    return TW_OK;
}

static tw_status check_rows(host_copy *h, const tw_gpu_soak *s, const tw_problem *p)
{
    double baseline_error = 0.0;
    for (int b = 0; b < p->batch; b++)
        for (int head = 0; head < p->num_heads; head++)
            for (int row = 0; row < p->seqlen_q; row++)
                TW_TRY(check_row(h, &baseline_error, p, b, head, row));
    if (fabs(baseline_error - s->scale.baseline_error) > 1e-3 * baseline_error)
        return tw_fail(TW_EGPU, "the judge's error of rounding is %.9g, cpu_ref's is %.9g",
                       s->scale.baseline_error, baseline_error);
    return TW_OK;
}

tw_status tw_gpu_soak_check_judge(const tw_gpu_soak *soak, const tw_gpu_soak_case *one)
{
    host_copy h = {0};
    tw_status status = allocate_copy(&h, &one->problem);
    if (status == TW_OK)
        status = fetch_copy(&h, soak, &one->problem);
    if (status == TW_OK)
        status = check_rows(&h, soak, &one->problem);
    free_copy(&h);
    return status;
}
