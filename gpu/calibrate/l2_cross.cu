/*
 * Stores to lines whose home is the SM's own side of the L2, or the other one, for l2_cross.c: 16 bytes a thread, a warp a
 * page, which is another one in each pass.
 */
#include "device.cuh"
#include "kernels.h"

enum { PAGE_ROUNDS = TW_CAL_PAGE_BYTES / (32 * 16) };

static __global__ void __launch_bounds__(TW_CAL_CROSS_THREADS) tw_cal_write_pages(tw_cal_cross_args a)
{
    const int sm = sm_number(), side = a.sides->side_of[sm], lane = threadIdx.x % 32;
    const int warps = TW_CAL_CROSS_THREADS / 32, worker = a.sides->rank_of[sm] * warps + threadIdx.x / 32;
    const uint32_t *pages = a.pages + (a.far ? 1 - side : side) * a.pages_a_side;
    if (worker >= a.pages_a_side) /* one side may have more SMs than the other */
        return;
    for (int pass = 0; pass < a.passes; pass++) {
        const uint32_t page = pages[(worker + 33 * pass) % a.pages_a_side], x = tw_cal_hash(page + pass);
        uint4 *to = (uint4 *)(a.memory + (size_t)page * TW_CAL_PAGE_BYTES) + lane;
#pragma unroll
        for (int i = 0; i < PAGE_ROUNDS; i++)
            store_16(to + 32 * i, make_uint4(x, x * 3, x * 5, x + i));
    }
}

extern "C" const void *tw_cal_write_pages_kernel(void)
{
    return (const void *)tw_cal_write_pages;
}
