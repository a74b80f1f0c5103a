/*
 * Who finds a line again: working sets are read several times, and every load is timed. With the line's home known, a
 * latency says where the line was: on the SM's own side, only on the other side, or in HBM. So few loads are under way
 * (two a SM) that latencies are those of an idle memory.
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
    return tw_cal_is_backward(a.order, pass) ? a.chunks - 1 - i : i;
}

/* Reads the first line of the 2 MiB around an address and waits for it: loads that follow find the address translated. */
static __device__ __forceinline__ void translate(const char *memory, size_t at, uint32_t &sum)
{
    const uint32_t x = load_4_from_l2(memory + (at & ~(((size_t)2 << 20) - 1)));
    cycles_after(x);
    sum ^= x;
}

/* A page of a chunk, and whether its home is the other side than the SM's. */
struct page_of_chunk {
    unsigned char number, far;
};

/* Lists the pages of a chunk that SMs of this side read; a thread for each. Returns how many they are. */
static __device__ __forceinline__ int list_pages(const tw_cal_hits_args &a, unsigned chunk, int side,
                                                 page_of_chunk *pages)
{
    const unsigned long long far = side == 1 ? ~a.home_of[chunk] : a.home_of[chunk];
    const unsigned long long mine = a.access == TW_CAL_NEAR ? ~far : a.access == TW_CAL_FAR ? far : ~0ull;
    const unsigned long long bit = 1ull << threadIdx.x;
    if (mine & bit)
        pages[__popcll(mine & (bit - 1))] = {(unsigned char)threadIdx.x, (far & bit) != 0};
    __syncthreads();
    return __popcll(mine);
}
static_assert(32 * TW_CAL_HITS_WARPS == TW_CAL_CHUNK_PAGES, "a thread for each page of a chunk");

/* The block's part of a chunk: a warp loads a line. Counts where its loads found their lines. */
static __device__ void read_chunk(const tw_cal_hits_args &a, unsigned chunk, int worker, int workers,
                                  const page_of_chunk *pages, int num_pages, bool counted,
                                  unsigned (&counts)[3], uint32_t &sum)
{
    for (int i = (worker + (int)chunk * 29) % workers; i < num_pages * PAGE_LINES; i += workers) {
        const page_of_chunk page = pages[i / PAGE_LINES];
        const char *line = a.memory + chunk * CHUNK_BYTES + (size_t)page.number * TW_CAL_PAGE_BYTES +
                           i % PAGE_LINES * TW_CAL_LINE_BYTES;
        uint32_t x;
        const int cycles = time_load(line + threadIdx.x % 32 * 4, x);
        sum ^= x;
        if (counted) {
            const int far_from = page.far ? a.far_from[1] : a.far_from[0],
                      hbm_from = page.far ? a.hbm_from[1] : a.hbm_from[0];
            counts[0] += cycles < far_from;
            counts[1] += cycles >= far_from && cycles < hbm_from;
            counts[2] += cycles >= hbm_from;
        }
    }
}

static __global__ void __launch_bounds__(32 * TW_CAL_HITS_WARPS) tw_cal_count_hits(tw_cal_hits_args a)
{
    __shared__ page_of_chunk pages[TW_CAL_CHUNK_PAGES];
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
        translate(a.memory, chunk * CHUNK_BYTES, sum);
        const int num_pages = list_pages(a, chunk, side, pages);
        read_chunk(a, chunk, worker, workers, pages, num_pages, step >= a.warm_passes * a.chunks, counts,
                   sum);
    }
    for (int i = 0; i < 3 && threadIdx.x % 32 == 0; i++)
        atomicAdd(&a.counts[i], (unsigned long long)counts[i]);
    keep(sum, a.sink);
}

extern "C" const void *tw_cal_count_hits_kernel(void)
{
    return (const void *)tw_cal_count_hits;
}
