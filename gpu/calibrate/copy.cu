/*
 * The bulk copy engine (cp.async.bulk, compute capability 9.0): from global to shared memory, arriving at an mbarrier.
 *
 *     latency   one thread of one SM starts a copy and waits for it: after a flush (HBM), and the same once more (L2)
 *     rate      one thread on each SM keeps four copies of 32 KB under way
 *
 * Latencies of all sizes lie near a straight line; its foot and its slope go into the machine file.
 */
#include "calibrate.h"
#include "device.cuh"
#include "fit.h"

#include "../cuda_try.h"
#include "../hopper.cuh"

#include <math.h>
#include <string.h>

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define TW_HAS_BULK_COPY 1
#endif

enum { NUM_SIZES = 8, COPIES = 40, LARGEST = 64 << 10 };
static const int sizes[NUM_SIZES] = {1 << 10,  2 << 10,  4 << 10,  8 << 10,
                                     16 << 10, 32 << 10, 48 << 10, 64 << 10};
enum { TILE_BYTES = 32 << 10, STAGES = 4, RATE_TILES = 4, REPS = 5 };

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

/* ---- latency -------------------------------------------------------------------------------------------- */

struct latency_args {
    const char *from;
    int sizes[NUM_SIZES];
    float *cycles; /* [2][NUM_SIZES][COPIES]: from HBM, from L2; 0 where a copy did not arrive */
};

static __global__ void tw_cal_copy_latency(const __grid_constant__ latency_args a)
{
#ifdef TW_HAS_BULK_COPY
    __shared__ __align__(8) unsigned long long arrived;
    const uint32_t smem = (shared_address(copy_smem) + 127) & ~127u, barrier = shared_address(&arrived);
    if (threadIdx.x > 0)
        return;
    mbarrier_init(barrier, 1);
    mbarrier_init_fence();
    fence_for_async();
    for (int i = 0; i < 2 * NUM_SIZES * COPIES; i++) {
        const int nth = i % (NUM_SIZES * COPIES), bytes = a.sizes[nth / COPIES];
        const long long start = cycles_now();
        mbarrier_arrive_expecting(barrier, bytes);
        bulk_copy(smem, a.from + (size_t)nth * LARGEST, bytes, barrier);
        if (!wait_for_phase(barrier, i % 2))
            return; /* the copy may still come, and must find the block's memory: it does, until the grid ends */
        a.cycles[i] = (float)(cycles_now() - start);
    }
#endif
}

static tw_status fit_latency(tw_calibration *c, const float *cycles, bool from_l2, tw_csv *csv)
{
    double bytes[NUM_SIZES], medians[NUM_SIZES];
    for (int i = 0; i < NUM_SIZES; i++) {
        double samples[COPIES];
        for (int j = 0; j < COPIES; j++)
            samples[j] = cycles[i * COPIES + j] > 0 ? (double)cycles[i * COPIES + j] : (double)NAN;
        bytes[i] = sizes[i];
        medians[i] = tw_median(samples, COPIES);
        if (csv->file)
            fprintf(csv->file, "%s,%d,%.5g,%.3g\n", from_l2 ? "l2" : "hbm", sizes[i], medians[i],
                    tw_spread(samples, COPIES));
    }
    const tw_line line = tw_fit_line(bytes, medians, NUM_SIZES);
    tw_readings_add_value(&c->readings, from_l2 ? "copy_latency_cycles" : "copy_hbm_latency_cycles",
                          line.at_0, line.spread, NUM_SIZES, {100, 5000, 0.15},
                          "cp.async.bulk of 1 to 64 KB from %s to mbarrier: a line's foot",
                          from_l2 ? "L2" : "HBM, after a flush");
    if (from_l2)
        tw_readings_add_value(&c->readings, "copy_bytes_per_clock", 1.0 / line.slope, line.spread, NUM_SIZES,
                              {10, 300, 0.15},
                              "cp.async.bulk of 1 to 64 KB from L2 to mbarrier: that line's slope");
    return TW_OK;
}

static tw_status measure_latency(tw_calibration *c, tw_csv *csv)
{
    static float cycles[2 * NUM_SIZES * COPIES];
    void *memory = NULL;
    TW_TRY(tw_cal_zeros(&memory, sizeof cycles));
    latency_args a;
    a.from = (const char *)c->memory;
    a.cycles = (float *)memory;
    memcpy(a.sizes, sizes, sizeof a.sizes);
    tw_cal_kernel k = {
        "copies one by one", (const void *)tw_cal_copy_latency, 1, 32, LARGEST + 128, &a, false};
    tw_status status = tw_cal_flush_l2(c);
    if (status == TW_OK)
        status = tw_cal_run(c, &k);
    if (status == TW_OK)
        status = tw_cal_fetch(c, cycles, memory, sizeof cycles);
    tw_cal_release(c, memory);
    TW_TRY(status);
    TW_TRY(fit_latency(c, cycles, false, csv));
    return fit_latency(c, cycles + NUM_SIZES * COPIES, true, csv);
}

/* ---- rate ----------------------------------------------------------------------------------------------- */

struct copy_rate_args {
    const char *from;
    int tiles, stride, passes; /* of one block's walk; from one tile to the next, in tiles */
    bool shared;
    unsigned *failed;
};

static __global__ void tw_cal_copy_rate(copy_rate_args a)
{
#ifdef TW_HAS_BULK_COPY
    __shared__ __align__(8) unsigned long long arrived[STAGES];
    const uint32_t smem = (shared_address(copy_smem) + 127) & ~127u;
    if (threadIdx.x > 0)
        return;
    for (int stage = 0; stage < STAGES; stage++)
        mbarrier_init(shared_address(&arrived[stage]), 1);
    mbarrier_init_fence();
    fence_for_async();
    const char *from = a.from + (a.shared ? 0 : (size_t)blockIdx.x * TILE_BYTES);
    const int copies = a.tiles * a.passes;
    for (int i = 0; i < copies + STAGES;
         i++) { /* waits for the copy of STAGES before, starts the next one there */
        const uint32_t barrier = shared_address(&arrived[i % STAGES]);
        if (i >= STAGES && !wait_for_phase(barrier, (i / STAGES - 1) % 2)) {
            *a.failed = 1;
            return;
        }
        if (i < copies) {
            mbarrier_arrive_expecting(barrier, TILE_BYTES);
            bulk_copy(smem + i % STAGES * TILE_BYTES, from + (size_t)(i % a.tiles) * a.stride * TILE_BYTES,
                      TILE_BYTES, barrier);
        }
    }
#endif
}

static tw_status measure_rate(tw_calibration *c, bool shared)
{
    double seconds[REPS];
    unsigned failed = 0;
    void *memory = NULL;
    const int blocks = c->facts.num_sms;
    TW_TRY(tw_cal_zeros(&memory, sizeof failed));
    copy_rate_args a = {(const char *)c->memory,
                        shared ? RATE_TILES * blocks : RATE_TILES,
                        shared ? 1 : blocks,
                        shared ? 8 : 400,
                        shared,
                        (unsigned *)memory};
    tw_cal_kernel k = tw_cal_one_per_sm(c, "copies by all SMs", (const void *)tw_cal_copy_rate, &a, 32);
    k.together = false;
    k.smem_bytes = STAGES * TILE_BYTES + 128;
    tw_status status = tw_cal_time(c, &k, seconds, REPS);
    if (status == TW_OK)
        status = tw_cal_fetch(c, &failed, memory, sizeof failed);
    tw_cal_release(c, memory);
    TW_TRY(status);
    if (failed)
        return tw_fail(TW_EGPU, "a bulk copy did not arrive");
    for (int i = 0; i < REPS; i++)
        seconds[i] = (double)TILE_BYTES * a.tiles * a.passes * blocks / seconds[i];
    const double most = 256.0 * blocks * (c->facts.clock_hz > 0 ? c->facts.clock_hz : 4e9);
    tw_readings_add(
        &c->readings, shared ? "copy_shared_bytes_per_s" : "copy_l2_bytes_per_s", seconds, REPS,
        {1e11, most, 0.1}, "cp.async.bulk, %d copies of 32 KB under way an SM, %s, set of %.3g MB", STAGES,
        shared ? "all the same tiles" : "each its own", 1e-6 * RATE_TILES * blocks * (double)TILE_BYTES);
    return TW_OK;
}

tw_status tw_cal_copy(tw_calibration *c)
{
    tw_csv csv;
    if (c->facts.arch < 90)
        return tw_fail(TW_EUNSUPPORTED, "cp.async.bulk is there from compute capability 9.0 on");
    if (STAGES * TILE_BYTES + 1024 > c->facts.smem_bytes)
        return tw_fail(TW_EUNSUPPORTED, "four copies of 32 KB do not fit into %d bytes of shared memory",
                       c->facts.smem_bytes);
    TW_TRY(tw_cal_curve_open(&csv, c, "copy", "from,bytes,cycles,spread"));
    tw_status status = measure_latency(c, &csv);
    if (status == TW_OK)
        status = measure_rate(c, false);
    if (status == TW_OK)
        status = measure_rate(c, true);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}
