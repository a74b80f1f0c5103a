/* mma.sync with operands and accumulators in registers, for mma.c. */
#include "device.cuh"
#include "kernels.h"

#include "../mma.cuh"

/* Two numbers between -1 and 1, packed. */
static __device__ __forceinline__ uint32_t random_pair(__half2 *, uint32_t seed)
{
    const __half2 pair = __floats2half2_rn(random_number(seed), random_number(seed + 1));
    return *(const uint32_t *)&pair;
}

static __device__ __forceinline__ uint32_t random_pair(__nv_bfloat162 *, uint32_t seed)
{
    const __nv_bfloat162 pair = __floats2bfloat162_rn(random_number(seed), random_number(seed + 1));
    return *(const uint32_t *)&pair;
}

template <typename T, typename PAIR>
static __global__ void __launch_bounds__(TW_CAL_MMA_THREADS) tw_cal_mma_loop(tw_cal_loop loop)
{
    float c[TW_CAL_MMA_TILES][4] = {};
    uint32_t a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i] = random_pair((PAIR *)NULL, threadIdx.x * 16 + 2 * i);
    for (int i = 0; i < 2; i++)
        b[i] = random_pair((PAIR *)NULL, threadIdx.x * 16 + 8 + 2 * i);
    __syncthreads();
    const long long start = cycles_now();
#pragma unroll 1
    for (int round = 0; round < loop.rounds; round++)
#pragma unroll
        for (int i = 0; i < TW_CAL_MMA_TILES; i++)
            mma<T>(c[i], a, b[0], b[1]);
    __syncthreads();
    if (threadIdx.x == 0)
        loop.cycles[blockIdx.x] = cycles_now() - start;
    float sum = 0;
    for (int i = 0; i < TW_CAL_MMA_TILES; i++)
        sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    keep(__float_as_uint(sum), loop.sink);
}

extern "C" const void *tw_cal_mma_kernel(bool bf16)
{
    return bf16 ? (const void *)tw_cal_mma_loop<__nv_bfloat16, __nv_bfloat162>
                : (const void *)tw_cal_mma_loop<__half, __half2>;
}
