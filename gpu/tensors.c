/* Tensors on both sides. Random numbers are made on the GPU; the host has copies where something is compared. */
#include "tensors.h"

#include "../cpu_ref/memory.h"
#include "cuda_try.h"
#include "fill.h"

#include <stdlib.h>
#include <string.h>

enum { POISON = 0xff }; /* every byte: a NaN in fp16, bf16 and fp32 */

static tw_status device_alloc(tw_gpu_tensors *t, void **to, size_t bytes)
{
    TW_CUDA_TRY(cudaMalloc(to, bytes + TW_GPU_GUARD_BYTES));
    t->held_bytes += bytes + TW_GPU_GUARD_BYTES;
    return TW_OK;
}

static tw_status host_alloc(void *to, size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL)
        return tw_fail(TW_ENOMEM, "%zu bytes of host memory cannot be had", bytes);
    memcpy(to, &memory, sizeof memory);
    return TW_OK; // cppcheck-suppress memleak ; the caller has it
}

static tw_status make_input(tw_gpu_tensors *t, void **d, size_t n, uint64_t seed, uint64_t tensor,
                            double factor)
{
    TW_TRY(device_alloc(t, d, n * sizeof *t->h_q));
    return tw_gpu_fill_normal(*d, t->problem.dtype, n, seed, tensor, factor, NULL);
}

static tw_status make_all(tw_gpu_tensors *t, uint64_t seed, double q_factor)
{
    const tw_problem *p = &t->problem;
    size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p);
    TW_TRY(make_input(t, &t->d_q, nq, seed, 0, q_factor));
    TW_TRY(make_input(t, &t->d_k, nk, seed, 1, 1.0));
    TW_TRY(make_input(t, &t->d_v, nk, seed, 2, 1.0));
    t->o_bytes = nq * sizeof *t->h_o;
    t->lse_bytes = tw_problem_lse_elements(p) * sizeof *t->h_lse;
    TW_TRY(device_alloc(t, &t->d_o, t->o_bytes));
    TW_TRY(device_alloc(t, &t->d_lse, t->lse_bytes));
    TW_TRY(tw_gpu_tensors_reserve(t, 256));
    TW_CUDA_TRY(cudaDeviceSynchronize()); /* other streams read them next */
    return TW_OK;
}

tw_status tw_gpu_tensors_make(tw_gpu_tensors *tensors, const tw_problem *problem, uint64_t seed,
                              double q_factor)
{
    tw_gpu_tensors t = {.problem = *problem};
    tw_status status = make_all(&t, seed, q_factor);
    if (status != TW_OK)
        tw_gpu_tensors_free(&t);
    else
        *tensors = t;
    return status;
}

static tw_status input_to_host(uint16_t **h, const void *d, size_t n)
{
    TW_TRY(host_alloc(h, n * sizeof **h));
    TW_CUDA_TRY(cudaMemcpy(*h, d, n * sizeof **h, cudaMemcpyDeviceToHost));
    return TW_OK;
}

tw_status tw_gpu_tensors_to_host(tw_gpu_tensors *t)
{
    size_t nq = tw_problem_q_elements(&t->problem), nk = tw_problem_k_elements(&t->problem);
    if (t->h_lse != NULL)
        return TW_OK;
    TW_TRY(tw_memory_check(2.0 * (2.0 * (double)nq + 2.0 * (double)nk), "tensors on the host"));
    TW_TRY(input_to_host(&t->h_q, t->d_q, nq));
    TW_TRY(input_to_host(&t->h_k, t->d_k, nk));
    TW_TRY(input_to_host(&t->h_v, t->d_v, nk));
    TW_TRY(host_alloc(&t->h_o, t->o_bytes));
    return host_alloc(&t->h_lse, t->lse_bytes);
}

tw_status tw_gpu_tensors_reserve(tw_gpu_tensors *t, size_t workspace_bytes)
{
    if (t->d_workspace != NULL && workspace_bytes <= t->workspace_bytes)
        return TW_OK;
    if (t->d_workspace != NULL) {
        TW_CUDA_TRY(cudaFree(t->d_workspace));
        t->held_bytes -= t->workspace_bytes + TW_GPU_GUARD_BYTES;
    }
    t->d_workspace = NULL;
    t->workspace_bytes = workspace_bytes;
    return device_alloc(t, &t->d_workspace, workspace_bytes);
}

tw_status tw_gpu_tensors_poison(const tw_gpu_tensors *t)
{
    TW_CUDA_TRY(cudaMemset(t->d_o, POISON, t->o_bytes + TW_GPU_GUARD_BYTES));
    TW_CUDA_TRY(cudaMemset(t->d_lse, POISON, t->lse_bytes + TW_GPU_GUARD_BYTES));
    TW_CUDA_TRY(cudaMemset(t->d_workspace, POISON, t->workspace_bytes + TW_GPU_GUARD_BYTES));
    return TW_OK;
}

static tw_status check_guard(const void *d_tensor, size_t bytes, const char *what)
{
    unsigned char guard[TW_GPU_GUARD_BYTES];
    TW_CUDA_TRY(cudaMemcpy(guard, (const char *)d_tensor + bytes, sizeof guard, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < sizeof guard; i++)
        if (guard[i] != POISON)
            return tw_fail(TW_EMISMATCH, "byte %zu behind the end of %s was overwritten", i, what);
    return TW_OK;
}

tw_status tw_gpu_tensors_fetch(tw_gpu_tensors *t)
{
    TW_CUDA_TRY(cudaMemcpy(t->h_o, t->d_o, t->o_bytes, cudaMemcpyDeviceToHost));
    TW_CUDA_TRY(cudaMemcpy(t->h_lse, t->d_lse, t->lse_bytes, cudaMemcpyDeviceToHost));
    TW_TRY(check_guard(t->d_o, t->o_bytes, "O"));
    TW_TRY(check_guard(t->d_lse, t->lse_bytes, "LSE"));
    return check_guard(t->d_workspace, t->workspace_bytes, "the workspace");
}

tw_gpu_args tw_gpu_tensors_args(const tw_gpu_tensors *t, const tw_tiling *tiling, struct CUstream_st *stream)
{
    tw_gpu_args args = {.problem = t->problem,
                        .tiling = *tiling,
                        .q = t->d_q,
                        .k = t->d_k,
                        .v = t->d_v,
                        .o = t->d_o,
                        .lse = t->d_lse,
                        .workspace = t->d_workspace,
                        .stream = stream};
    return args;
}

void tw_gpu_tensors_free(tw_gpu_tensors *t)
{
    void *device[] = {t->d_q, t->d_k, t->d_v, t->d_o, t->d_lse, t->d_workspace};
    void *host[] = {t->h_q, t->h_k, t->h_v, t->h_o, t->h_lse};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++)
        cudaFree(device[i]);
    for (size_t i = 0; i < sizeof host / sizeof host[0]; i++)
        free(host[i]);
    memset(t, 0, sizeof *t);
}
