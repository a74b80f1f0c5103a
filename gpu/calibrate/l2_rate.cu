/* Reading a working set again and again past L1, for l2_rate.c: 16 bytes a thread, four loads under way at once. */
#include "device.cuh"
#include "kernels.h"

/* Where a walk stands: the i-th of its tiles. */
struct walk {
    unsigned i, pass, draws;
};

/* The tile to be read, and one step on. Under RANDOM the same for all blocks. */
template <int ORDER> static __device__ __forceinline__ unsigned next_tile(walk &w, unsigned tiles)
{
    if (ORDER == TW_CAL_RANDOM)
        return __umulhi(tw_cal_hash(w.draws++), tiles);
    const unsigned tile = tw_cal_is_backward(ORDER, w.pass) ? tiles - 1 - w.i : w.i;
    if (++w.i == tiles) {
        w.i = 0;
        w.pass++;
    }
    return tile;
}

template <int ORDER> static __device__ __forceinline__ uint32_t read_all(const tw_cal_rate_args &a)
{
    const uint4 *from = (const uint4 *)a.from + threadIdx.x +
                        (a.shared ? 0 : (size_t)blockIdx.x * TW_CAL_RATE_THREADS);
    const unsigned steps = a.tiles * a.passes; /* a multiple of TW_CAL_RATE_UNROLL */
    walk w = {0, 0, 1};
    uint32_t sum = 0;
    for (unsigned step = 0; step < steps; step += TW_CAL_RATE_UNROLL) {
        uint4 x[TW_CAL_RATE_UNROLL];
#pragma unroll
        for (int j = 0; j < TW_CAL_RATE_UNROLL; j++)
            x[j] = load_16_from_l2(from +
                                   (size_t)next_tile<ORDER>(w, a.tiles) * a.stride * TW_CAL_RATE_THREADS);
#pragma unroll
        for (int j = 0; j < TW_CAL_RATE_UNROLL; j++)
            sum ^= folded(x[j]);
    }
    return sum;
}

template <int ORDER>
static __global__ void __launch_bounds__(TW_CAL_RATE_THREADS, TW_CAL_RATE_BLOCKS_PER_SM)
    tw_cal_l2_read(tw_cal_rate_args a)
{
    keep(read_all<ORDER>(a), a.sink);
}

extern "C" const void *tw_cal_l2_read_kernel(tw_cal_order order)
{
    static const void *const functions[TW_CAL_NUM_ORDERS] = {
        (const void *)tw_cal_l2_read<TW_CAL_FORWARD>, (const void *)tw_cal_l2_read<TW_CAL_BACKWARD>,
        (const void *)tw_cal_l2_read<TW_CAL_ALTERNATING>, (const void *)tw_cal_l2_read<TW_CAL_RANDOM>};
    return functions[order];
}
