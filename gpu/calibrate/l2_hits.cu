/*
 * Who finds a line again: working sets are read several times, and every load is timed. A latency says where the line
 * was: on the SM's own side, only on the other side, or in HBM. So few loads are under way (two a SM) that latencies
 * are those of an idle memory.
 *
 *     private   each line is read by one SM, near or far as chance has it
 *     near      each line is read by one SM of its home side          far     … of the other side
 *     shared    each line is read by one SM of each side, side 1 a chunk behind side 0, so that every load finds what
 *               the other side's has left and not what is still on its way
 *
 * All blocks walk chunk by chunk (256 KiB) and wait for each other after each. A share of misses 1 − C / W is what a
 * cache of C bytes shows under LRU when the set is walked to and fro, and under every policy when chunks are drawn at
 * random; walked in one direction, LRU misses everything as soon as W > C, while random replacement would not.
 * l2_hits.c makes curves and capacities of it.
 */
#include "device.cuh"
#include "kernels.h"

enum { PAGE_LINES = TW_CAL_PAGE_BYTES / TW_CAL_LINE_BYTES };
static const size_t CHUNK_BYTES = (size_t)TW_CAL_CHUNK_PAGES * TW_CAL_PAGE_BYTES;

static __device__ __forceinline__ unsigned chunk_at(const tw_cal_hits_args &a, unsigned step)
{
    const unsigned pass = step / a.chunks, i = step % a.chunks;
    if (a.order == TW_CAL_RANDOM && pass > 0) /* the first pass touches everything */
        return __umulhi(tw_cal_hash(step + 1), a.chunks);
    return a.order == TW_CAL_ALTERNATING && pass % 2 == 1 ? a.chunks - 1 - i : i;
}

/* The pages of a chunk that SMs of this side read, as bits. */
static __device__ __forceinline__ unsigned long long pages_for(const tw_cal_hits_args &a, unsigned chunk,
                                                               int side)
{
    const unsigned long long mine = side == 1 ? a.home_of[chunk] : ~a.home_of[chunk];
    return a.access == TW_CAL_NEAR ? mine : a.access == TW_CAL_FAR ? ~mine : ~0ull;
}

/* The block's part of a chunk: a warp loads a line. Counts where its loads found their lines. */
static __device__ void read_chunk(const tw_cal_hits_args &a, unsigned chunk, int side, int worker,
                                  int workers, const unsigned char *pages, int num_pages, bool counted,
                                  unsigned (&counts)[3], uint32_t &sum)
{
    for (int i = (worker + (int)chunk * 29) % workers; i < num_pages * PAGE_LINES; i += workers) {
        const char *line = a.memory + chunk * CHUNK_BYTES +
                           (size_t)pages[i / PAGE_LINES] * TW_CAL_PAGE_BYTES + i % PAGE_LINES * 128;
        uint32_t x;
        const int cycles = time_load(line + threadIdx.x % 32 * 4, x);
        sum ^= x;
        if (counted) {
            counts[0] += cycles < a.far_from;
            counts[1] += cycles >= a.far_from && cycles < a.hbm_from;
            counts[2] += cycles >= a.hbm_from;
        }
    }
}

static __global__ void __launch_bounds__(32 * TW_CAL_HITS_WARPS) tw_cal_count_hits(tw_cal_hits_args a)
{
    __shared__ unsigned char pages[TW_CAL_CHUNK_PAGES];
    const int sm = sm_number(), side = a.sides->side_of[sm], warp = threadIdx.x / 32;
    const bool by_side = a.access != TW_CAL_PRIVATE;
    const int workers = TW_CAL_HITS_WARPS * (by_side ? a.sides->count[side] : (int)gridDim.x);
    const int worker = TW_CAL_HITS_WARPS * (by_side ? a.sides->rank_of[sm] : (int)blockIdx.x) + warp;
    const unsigned steps = a.chunks * a.passes, behind = a.access == TW_CAL_SHARED && side == 1;
    unsigned counts[3] = {0, 0, 0};
    uint32_t sum = 0;
    for (unsigned turn = 0; turn < steps + 1; turn++) {
        if (!meet(a.all, turn + 1))
            return;
        const unsigned step = turn - behind;
        if (step >= steps) /* before side 1's first, after side 0's last */
            continue;
        const unsigned chunk = chunk_at(a, step);
        const unsigned long long mine = pages_for(a, chunk, side), bit = 1ull << threadIdx.x;
        if (mine & bit)
            pages[__popcll(mine & (bit - 1))] = (unsigned char)threadIdx.x;
        __syncthreads();
        read_chunk(a, chunk, side, worker, workers, pages, __popcll(mine), step >= a.warm_passes * a.chunks,
                   counts, sum);
    }
    for (int i = 0; i < 3 && threadIdx.x % 32 == 0; i++)
        atomicAdd(&a.counts[i], (unsigned long long)counts[i]);
    keep(sum, a.sink);
}
static_assert(32 * TW_CAL_HITS_WARPS == TW_CAL_CHUNK_PAGES, "a thread for each page of a chunk");

extern "C" const void *tw_cal_count_hits_kernel(void)
{
    return (const void *)tw_cal_count_hits;
}
