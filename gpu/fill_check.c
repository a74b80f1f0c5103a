/* Are the random numbers of the GPU those of the host? Otherwise a kernel would be validated on who knows what. */
#include "../cpu_ref/attention.h"
#include "cuda_try.h"
#include "fill.h"

#include <stdlib.h>

enum { NUM = 3 * TW_GPU_FILL_CHUNK + 7, TENSOR = 2 };

static void fill_on_host(uint16_t *x, tw_dtype dtype, uint64_t seed, double factor)
{
    double chunk[TW_GPU_FILL_CHUNK];
    for (size_t first = 0; first < NUM; first += TW_GPU_FILL_CHUNK) {
        size_t count = NUM - first < TW_GPU_FILL_CHUNK ? NUM - first : TW_GPU_FILL_CHUNK;
        tw_random_normal(chunk, count, seed, tw_gpu_fill_stream(TENSOR, first / TW_GPU_FILL_CHUNK));
        for (size_t i = 0; i < count; i++)
            tw_dtype_store(x, dtype, first + i, factor * chunk[i]);
    }
}

static tw_status fill_on_gpu(uint16_t *x, void *d_x, tw_dtype dtype, uint64_t seed, double factor)
{
    TW_CUDA_TRY(cudaMemset(d_x, 0xff, NUM * sizeof *x));
    TW_TRY(tw_gpu_fill_normal(d_x, dtype, NUM, seed, TENSOR, factor, NULL));
    TW_CUDA_TRY(cudaMemcpy(x, d_x, NUM * sizeof *x, cudaMemcpyDeviceToHost));
    return TW_OK;
}

/* A double that differs in its last bit may round to the neighbour, one time in many thousands. */
static tw_status compare(const uint16_t *gpu, const uint16_t *host, tw_dtype dtype)
{
    int neighbours = 0;
    for (int i = 0; i < NUM; i++) {
        int apart = abs((int)gpu[i] - (int)host[i]);
        neighbours += apart == 1;
        if (apart > 1 || neighbours > NUM / 1000)
            return tw_fail(TW_EGPU, "random number %d in %s is %g on the GPU and %g on the host", i,
                           tw_dtype_name(dtype), tw_dtype_load(gpu, dtype, (size_t)i),
                           tw_dtype_load(host, dtype, (size_t)i));
    }
    return TW_OK;
}

static tw_status check_both(uint16_t *gpu, uint16_t *host, void *d_x, uint64_t seed)
{
    static const tw_dtype dtypes[] = {TW_FP16, TW_BF16};
    for (int i = 0; i < 2; i++) {
        fill_on_host(host, dtypes[i], seed, 1.5);
        TW_TRY(fill_on_gpu(gpu, d_x, dtypes[i], seed, 1.5));
        TW_TRY(compare(gpu, host, dtypes[i]));
    }
    return TW_OK;
}

tw_status tw_gpu_fill_check(uint64_t seed)
{
    void *d_x;
    uint16_t *both = malloc(2 * NUM * sizeof *both);
    if (both == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d random numbers", 2 * NUM);
    cudaError_t error = cudaMalloc(&d_x, NUM * sizeof *both);
    tw_status status = error == cudaSuccess ? check_both(both, both + NUM, d_x, seed)
                                            : tw_fail(TW_ENOMEM, "no GPU memory for %d random numbers", NUM);
    if (error == cudaSuccess)
        cudaFree(d_x);
    free(both);
    return status;
}
