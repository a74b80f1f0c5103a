/*
 * HBM: streams over 2 GiB, so much more than any L2 holds that what is left in it from the run before does not show.
 *
 *     read     every thread loads 16 bytes, four such loads under way at once, the whole grid side by side
 *     write    the same with stores; at its end some of it is still dirty in the L2, as at its beginning of the run before
 *     copy     the first half to the second; bytes read and written are added up
 *
 * Also here: filling the buffer, and emptying the L2.
 */
#include "calibrate.h"
#include "device.cuh"

#include "../cuda_try.h"

enum { THREADS = 512, BLOCKS_PER_SM = 4, UNROLL = 4, REPS = 15, QUICK_REPS = 7 };

struct stream_args {
    uint4 *from, *to; /* to NULL: read alone; from NULL: write alone */
    size_t vectors;   /* of 16 bytes; a multiple of what the grid does in one round */
    uint32_t *sink;
};

static __device__ __forceinline__ void store_16(uint4 *gmem, uint4 x)
{
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(gmem), "r"(x.x), "r"(x.y), "r"(x.z),
                 "r"(x.w)
                 : "memory");
}

static __global__ void __launch_bounds__(THREADS) tw_cal_hbm_read(stream_args a)
{
    const size_t grid = (size_t)gridDim.x * THREADS, first = (size_t)blockIdx.x * THREADS + threadIdx.x;
    uint32_t sum = 0;
    for (size_t i = first; i < a.vectors; i += UNROLL * grid) {
        uint4 x[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            x[j] = load_16_from_l2(a.from + i + j * grid);
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            sum ^= folded(x[j]);
    }
    keep(sum, a.sink);
}

static __global__ void __launch_bounds__(THREADS) tw_cal_hbm_write(stream_args a)
{
    const size_t grid = (size_t)gridDim.x * THREADS, first = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const uint32_t x = hash32((uint32_t)first);
    const uint4 value = make_uint4(x, x * 3, x * 5, x * 7);
    for (size_t i = first; i < a.vectors; i += UNROLL * grid)
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            store_16(a.to + i + j * grid, value);
}

static __global__ void __launch_bounds__(THREADS) tw_cal_hbm_copy(stream_args a)
{
    const size_t grid = (size_t)gridDim.x * THREADS, first = (size_t)blockIdx.x * THREADS + threadIdx.x;
    for (size_t i = first; i < a.vectors; i += UNROLL * grid) {
        uint4 x[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            x[j] = load_16_from_l2(a.from + i + j * grid);
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            store_16(a.to + i + j * grid, x[j]);
    }
}

/* Named so that a profiler's counts leave it out. */
static __global__ void tw_init_fill(stream_args a)
{
    const size_t grid = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.vectors; i += grid) {
        const uint32_t x = hash32((uint32_t)i), y = hash32(x ^ 0x3c6ef372u);
        store_16(a.to + i, make_uint4(x, y, hash32(y + 1), hash32(y + 2)));
    }
}

tw_status tw_cal_fill(tw_calibration *c)
{
    stream_args a = {NULL, (uint4 *)c->memory, c->memory_bytes / 16, NULL};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "filling memory", (const void *)tw_init_fill, &a, 4,
                                              THREADS);
    return tw_cal_run(c, &k);
}

/* Whole rounds of the grid that fit into so many bytes, in vectors. */
static size_t whole_rounds(const tw_calibration *c, size_t bytes)
{
    const size_t round = (size_t)c->facts.num_sms * BLOCKS_PER_SM * THREADS * UNROLL;
    return bytes / 16 / round * round;
}

/* ---- an empty L2 ---------------------------------------------------------------------------------------- */

size_t tw_cal_flush_bytes(const tw_calibration *c)
{
    const size_t granule = (size_t)2 << 20, four_times = 4 * (size_t)c->facts.l2_bytes;
    return (four_times > ((size_t)64 << 20) ? four_times : (size_t)64 << 20) / granule * granule;
}

tw_status tw_cal_flush_l2(tw_calibration *c)
{
    const size_t bytes = tw_cal_flush_bytes(c);
    char *at = (char *)c->memory + c->memory_bytes - bytes;
    stream_args a = {(uint4 *)at, NULL, whole_rounds(c, bytes), (uint32_t *)c->memory};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "flushing the L2", (const void *)tw_cal_hbm_read, &a,
                                              BLOCKS_PER_SM, THREADS);
    return tw_cal_run(c, &k);
}

/* ---- streams -------------------------------------------------------------------------------------------- */

static tw_status stream(tw_calibration *c, const char *number, const void *kernel, const char *what,
                        bool reads, bool writes)
{
    double rates[TW_CAL_MAX_REPS];
    const int reps = c->options->quick ? QUICK_REPS : REPS;
    const size_t half = c->memory_bytes / 2, bytes = reads && writes ? half : c->memory_bytes;
    stream_args a;
    a.from = reads ? (uint4 *)c->memory : NULL;
    a.to = writes ? (uint4 *)((char *)c->memory + (reads ? half : 0)) : NULL;
    a.vectors = whole_rounds(c, bytes);
    a.sink = (uint32_t *)c->memory;
    const tw_cal_kernel k = tw_cal_on_all_sms(c, what, kernel, &a, BLOCKS_PER_SM, THREADS);
    TW_TRY(tw_cal_time(c, &k, rates, reps));
    const double moved = 16.0 * (double)a.vectors * (reads + writes);
    for (int i = 0; i < reps; i++)
        rates[i] = moved / rates[i];
    const double peak = tw_cal_peak_bytes_per_s(&c->facts);
    const tw_limits limits = {peak > 0 ? 0.4 * peak : 1e10, peak > 0 ? 1.02 * peak : 1e14, 0.05};
    tw_readings_add(&c->readings, number, rates, reps, limits, "%s of %.2g GB, 16 bytes a thread", what,
                    16e-9 * (double)a.vectors);
    return TW_OK;
}

tw_status tw_cal_hbm(tw_calibration *c)
{
    TW_TRY(stream(c, "hbm_read_bytes_per_s", (const void *)tw_cal_hbm_read, "streaming read", true, false));
    TW_TRY(
        stream(c, "hbm_write_bytes_per_s", (const void *)tw_cal_hbm_write, "streaming write", false, true));
    TW_TRY(stream(c, "hbm_copy_bytes_per_s", (const void *)tw_cal_hbm_copy, "copy, read and written,", true,
                  true));
    return tw_cal_fill(c); /* others expect random bits */
}

/* ---- for a profiler: how much can stay dirty ------------------------------------------------------------ */

static __global__ void tw_cal_write_once(stream_args a)
{
    const size_t grid = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.vectors; i += grid)
        store_16(a.to + i, make_uint4((uint32_t)i, 1, 2, 3));
}

tw_status tw_cal_run_write_once(tw_calibration *c, size_t bytes)
{
    stream_args a = {NULL, (uint4 *)c->memory, bytes / 16, NULL};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "one write", (const void *)tw_cal_write_once, &a, 4,
                                              THREADS);
    return tw_cal_run(c, &k);
}
