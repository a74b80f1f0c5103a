/*
 * Chains of one operation, for pipes.c. What each gives is fed into the next one, so none of them can be left out, taken
 * out of the loop, or merged.
 */
#include "device.cuh"
#include "kernels.h"

enum { ADDENDS = 4 };

template <int PIPE> static __device__ __forceinline__ float one(float x, float y, float z)
{
    float result;
    if (PIPE == TW_CAL_PIPE_FMA)
        asm volatile("fma.rn.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(x), "f"(y), "f"(z));
    if (PIPE == TW_CAL_PIPE_MAX)
        asm volatile("max.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(y));
    if (PIPE == TW_CAL_PIPE_EXP)
        asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    if (PIPE == TW_CAL_PIPE_CVT) {
        uint32_t pair;
        asm volatile("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(x), "f"(y));
        result = __uint_as_float(pair);
    }
    return result;
}

template <int PIPE>
static __global__ void __launch_bounds__(TW_CAL_PIPE_THREADS) tw_cal_pipe_loop(tw_cal_loop a)
{
    float x[TW_CAL_PIPE_CHAINS], y[ADDENDS];
    const float z = 1e-3f * (float)a.rounds;
#pragma unroll
    for (int i = 0; i < ADDENDS; i++)
        y[i] = 1e-4f * (float)(a.rounds + i * (int)blockDim.x);
#pragma unroll
    for (int i = 0; i < TW_CAL_PIPE_CHAINS; i++)
        x[i] = 1e-3f * (float)(threadIdx.x + i);
    __syncthreads();
    const long long start = cycles_now();
#pragma unroll 1
    for (int round = 0; round < a.rounds; round++)
#pragma unroll
        for (int link = 0; link < TW_CAL_PIPE_LINKS; link++)
#pragma unroll
            for (int i = 0; i < TW_CAL_PIPE_CHAINS; i++)
                x[i] = one<PIPE>(x[i], y[link % ADDENDS], z);
    __syncthreads();
    if (threadIdx.x == 0)
        a.cycles[blockIdx.x] = cycles_now() - start;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < TW_CAL_PIPE_CHAINS; i++)
        sum += x[i];
    keep(__float_as_uint(sum), a.sink);
}

extern "C" const void *tw_cal_pipe_kernel(tw_cal_pipe pipe)
{
    static const void *const functions[TW_CAL_NUM_PIPES] = {
        (const void *)tw_cal_pipe_loop<TW_CAL_PIPE_FMA>, (const void *)tw_cal_pipe_loop<TW_CAL_PIPE_MAX>,
        (const void *)tw_cal_pipe_loop<TW_CAL_PIPE_EXP>, (const void *)tw_cal_pipe_loop<TW_CAL_PIPE_CVT>};
    return functions[pipe];
}
