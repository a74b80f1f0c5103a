/* Random tensors on the GPU, by the recipe of cpu_ref/philox.h. A thread makes the two numbers of one call. */
#include "fill.h"

#include "cuda_try.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

static const int THREADS = 256;

static __device__ __half rounded(double x, __half)
{
    return __double2half(x);
}

static __device__ __nv_bfloat16 rounded(double x, __nv_bfloat16)
{
    return __double2bfloat16(x);
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    tw_init_normal(T *x, size_t n, uint64_t seed, uint64_t tensor, double factor)
{
    const size_t at = 2 * ((size_t)blockIdx.x * THREADS + threadIdx.x);
    if (at >= n)
        return;
    double pair[2];
    tw_philox_normal_pair(pair, seed, tw_gpu_fill_stream(tensor, at / TW_GPU_FILL_CHUNK),
                          at % TW_GPU_FILL_CHUNK / 2);
    for (size_t i = 0; i < 2 && at + i < n; i++)
        x[at + i] = rounded(pair[i] * factor, T());
}

tw_status tw_gpu_fill_normal(void *d_x, tw_dtype dtype, size_t n, uint64_t seed, uint64_t tensor,
                             double factor, struct CUstream_st *stream)
{
    const size_t blocks = (n + 2 * THREADS - 1) / (2 * THREADS);
    if (blocks == 0)
        return TW_OK;
    if (dtype == TW_FP16)
        tw_init_normal<<<(unsigned)blocks, THREADS, 0, stream>>>((__half *)d_x, n, seed, tensor, factor);
    else
        tw_init_normal<<<(unsigned)blocks, THREADS, 0, stream>>>((__nv_bfloat16 *)d_x, n, seed, tensor,
                                                                 factor);
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}
