/*
 * wgmma m64n256, both operands in shared memory, fp32 accumulators, for wgmma.c and clock.c. Each warpgroup issues groups
 * of 8; one group may be under way while the next is issued, so that the queue never runs dry. The paced loop waits for
 * each group, and then does nothing for a while.
 */
#include "device.cuh"
#include "kernels.h"

#include "../hopper.cuh"

#include <cuda_fp8.h>

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TW_HAS_WGMMA 1
#endif

enum {
    N = TW_CAL_WGMMA_N,
    GROUP = TW_CAL_WGMMA_GROUP,
    ROW_BYTES = 128,
    A_BYTES = 64 * ROW_BYTES,
    B_BYTES = N * ROW_BYTES
};
static_assert(TW_CAL_WGMMA_SMEM == 1024 + 2 * A_BYTES + B_BYTES, "room for three tiles, and to align them");

extern __shared__ unsigned char wgmma_smem[];

/* Fills a row of 16 bytes after another with numbers of the format. */
template <int FORMAT> static __device__ __forceinline__ void fill_random(unsigned char *smem, int bytes)
{
    for (int i = threadIdx.x; i < bytes / 2; i += blockDim.x) {
        const float x = random_number(2 * i), y = random_number(2 * i + 1);
        if (FORMAT == TW_CAL_FP16)
            ((__half *)smem)[i] = __float2half_rn(x);
        else if (FORMAT == TW_CAL_BF16)
            ((__nv_bfloat16 *)smem)[i] = __float2bfloat16_rn(x);
        else
            ((__nv_fp8x2_storage_t *)smem)[i] = __nv_cvt_float2_to_fp8x2(make_float2(x, y), __NV_SATFINITE,
                                                                         __NV_E4M3);
    }
}

#ifdef TW_HAS_WGMMA

/* clang-format off */
#define WGMMA(SHAPE, TYPE, TAIL)                                                                             \
    asm volatile("{\n    .reg .pred add;\n    setp.ne.b32 add, %130, 0;\n    "                               \
                 "wgmma.mma_async.sync.aligned." SHAPE ".f32." TYPE "." TYPE " {" TW_D128 "}, "              \
                 "%128, %129, add, 1, 1" TAIL ";\n}"                                                         \
                 : TW_X128(d, 0) : "l"(a), "l"(b), "r"(1))
/* clang-format on */

/* D += A Bᵀ: 32 bytes of each row of A (64 rows) and of B (256 rows). */
template <int FORMAT>
static __device__ __forceinline__ void multiply_add(float (&d)[N / 2], uint64_t a, uint64_t b)
{
    if (FORMAT == TW_CAL_FP16)
        WGMMA("m64n256k16", "f16", ", 0, 0");
    else if (FORMAT == TW_CAL_BF16)
        WGMMA("m64n256k16", "bf16", ", 0, 0");
    else
        WGMMA("m64n256k32", "e4m3", "");
}

/* Eight products: twice over the four steps of 32 bytes that a row of 128 has. */
template <int FORMAT>
static __device__ __forceinline__ void issue_group(float (&d)[N / 2], uint64_t a, uint64_t b)
{
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        multiply_add<FORMAT>(d, a + descriptor_step(i % 4 * 32), b + descriptor_step(i % 4 * 32));
    wgmma_commit();
}

#endif

template <int FORMAT, bool PACED>
static __global__ void __launch_bounds__(2 * WARPGROUP, 1) tw_cal_wgmma_loop(tw_cal_loop loop)
{
#ifdef TW_HAS_WGMMA
    const uint32_t base = (shared_address(wgmma_smem) + 1023) & ~1023u;
    fill_random<FORMAT>(wgmma_smem + (base - shared_address(wgmma_smem)), 2 * A_BYTES + B_BYTES);
    fence_for_async();
    __syncthreads();
    const uint64_t a = tile_descriptor(base + threadIdx.x / WARPGROUP * A_BYTES, A_BYTES),
                   b = tile_descriptor(base + 2 * A_BYTES, B_BYTES);
    float d[N / 2] = {};
    const long long start = cycles_now();
    pinned(d);
#pragma unroll 1
    for (int round = 0; round < loop.rounds; round++) {
        issue_group<FORMAT>(d, a, b);
        wgmma_wait<PACED ? 0 : 1>();
        if (PACED) {
            const long long until = cycles_now() + loop.idle_cycles;
            while (cycles_now() < until)
                ;
        }
    }
    wgmma_wait<0>();
    pinned(d);
    __syncthreads();
    if (threadIdx.x == 0)
        loop.cycles[blockIdx.x] = cycles_now() - start;
    float sum = 0;
    for (int i = 0; i < N / 2; i++)
        sum += d[i];
    keep(__float_as_uint(sum), loop.sink);
#endif
}

extern "C" const void *tw_cal_wgmma_kernel(tw_cal_format format, bool paced)
{
    static const void *const functions[TW_CAL_NUM_FORMATS] = {
        (const void *)tw_cal_wgmma_loop<TW_CAL_FP16, false>,
        (const void *)tw_cal_wgmma_loop<TW_CAL_BF16, false>,
        (const void *)tw_cal_wgmma_loop<TW_CAL_FP8, false>};
    return paced ? (const void *)tw_cal_wgmma_loop<TW_CAL_FP16, true> : functions[format];
}
