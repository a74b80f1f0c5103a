/* Loads of 16 bytes from shared memory, for smem.c: neighbours side by side, the same 16 KB again and again. */
#include "device.cuh"
#include "kernels.h"

extern __shared__ uint4 calibrate_smem[];

/* Volatile (9.7.9.8), or else loads of one address become one. */
static __device__ __forceinline__ uint4 load_16_from_shared(uint32_t smem)
{
    uint4 x;
    asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(smem));
    return x;
}

static __global__ void __launch_bounds__(TW_CAL_SMEM_THREADS) tw_cal_read_smem(tw_cal_loop a)
{
    const uint32_t smem = (uint32_t)__cvta_generic_to_shared(calibrate_smem) + 16 * threadIdx.x;
    uint32_t sum = 0;
    calibrate_smem[threadIdx.x] = make_uint4(threadIdx.x, 1, 2, 3);
    __syncthreads();
    const long long start = cycles_now();
    for (int round = 0; round < a.rounds; round++) {
        uint4 x[TW_CAL_SMEM_LOADS];
#pragma unroll
        for (int i = 0; i < TW_CAL_SMEM_LOADS; i++)
            x[i] = load_16_from_shared(smem);
#pragma unroll
        for (int i = 0; i < TW_CAL_SMEM_LOADS; i++)
            sum ^= folded(x[i]) + i;
    }
    __syncthreads();
    if (threadIdx.x == 0)
        a.cycles[blockIdx.x] = cycles_now() - start;
    keep(sum, a.sink);
}

extern "C" const void *tw_cal_smem_kernel(void)
{
    return (const void *)tw_cal_read_smem;
}
