/*
 * The bulk copy engine (cp.async.bulk, compute capability 9.0), for copy.c: from global to shared memory, arriving at an
 * mbarrier; one copy after the other, and several at once.
 */
#include "device.cuh"
#include "kernels.h"

#include "../hopper.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define TW_HAS_BULK_COPY 1
#endif

extern __shared__ unsigned char copy_smem[];

#ifdef TW_HAS_BULK_COPY
/* Starts a copy of a multiple of 16 bytes, both ends aligned to 16; the barrier must expect it (9.7.9.25.4.1). */
static __device__ __forceinline__ void bulk_copy(uint32_t smem, const void *gmem, int bytes, uint32_t barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :
                 : "r"(smem), "l"(gmem), "r"(bytes), "r"(barrier)
                 : "memory");
}

/* Waits for a phase, but not for ever: false if it did not end. */
static __device__ __forceinline__ bool wait_for_phase(uint32_t barrier, unsigned parity)
{
    const long long start = cycles_now();
    uint32_t over = 0;
    do
        asm volatile("{\n"
                     "    .reg .pred over;\n"
                     "    mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
                     "    selp.u32 %0, 1, 0, over;\n"
                     "}"
                     : "=r"(over)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    while (!over && cycles_now() - start < LONGEST_WAIT);
    return over != 0;
}
#endif

static __global__ void tw_cal_copy_latency(const __grid_constant__ tw_cal_latency_args a)
{
#ifdef TW_HAS_BULK_COPY
    __shared__ __align__(8) unsigned long long arrived;
    const uint32_t smem = (shared_address(copy_smem) + 127) & ~127u, barrier = shared_address(&arrived);
    if (threadIdx.x > 0)
        return;
    mbarrier_init(barrier, 1);
    mbarrier_init_fence();
    fence_for_async();
    for (int i = 0; i < 2 * TW_CAL_COPY_SIZES * TW_CAL_COPIES; i++) {
        const int nth = i % (TW_CAL_COPY_SIZES * TW_CAL_COPIES), bytes = a.sizes[nth / TW_CAL_COPIES];
        const long long start = cycles_now();
        mbarrier_arrive_expecting(barrier, bytes);
        bulk_copy(smem, a.from + (size_t)nth * TW_CAL_LARGEST_COPY, bytes, barrier);
        if (!wait_for_phase(barrier, i % 2))
            return; /* the copy may still come, and must find the block's memory: it does, until the grid ends */
        a.cycles[i] = (float)(cycles_now() - start);
    }
#endif
}

static __global__ void tw_cal_copy_rate(tw_cal_copy_rate_args a)
{
#ifdef TW_HAS_BULK_COPY
    __shared__ __align__(8) unsigned long long arrived[TW_CAL_COPY_STAGES];
    const uint32_t smem = (shared_address(copy_smem) + 127) & ~127u;
    if (threadIdx.x > 0)
        return;
    for (int stage = 0; stage < TW_CAL_COPY_STAGES; stage++)
        mbarrier_init(shared_address(&arrived[stage]), 1);
    mbarrier_init_fence();
    fence_for_async();
    const char *from = a.from + (a.shared ? 0 : (size_t)blockIdx.x * TW_CAL_COPY_TILE_BYTES);
    const int copies = a.tiles * a.passes;
    for (int i = 0; i < copies + TW_CAL_COPY_STAGES;
         i++) { /* waits for the copy of TW_CAL_COPY_STAGES before, starts the next one there */
        const uint32_t barrier = shared_address(&arrived[i % TW_CAL_COPY_STAGES]);
        if (i >= TW_CAL_COPY_STAGES && !wait_for_phase(barrier, (i / TW_CAL_COPY_STAGES - 1) % 2)) {
            *a.failed = 1;
            return;
        }
        if (i < copies) {
            mbarrier_arrive_expecting(barrier, TW_CAL_COPY_TILE_BYTES);
            bulk_copy(smem + i % TW_CAL_COPY_STAGES * TW_CAL_COPY_TILE_BYTES,
                      from + (size_t)(i % a.tiles) * a.stride * TW_CAL_COPY_TILE_BYTES,
                      TW_CAL_COPY_TILE_BYTES, barrier);
        }
    }
#endif
}

extern "C" const void *tw_cal_copy_latency_kernel(void)
{
    return (const void *)tw_cal_copy_latency;
}

extern "C" const void *tw_cal_copy_rate_kernel(void)
{
    return (const void *)tw_cal_copy_rate;
}
