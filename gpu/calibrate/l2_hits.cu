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
 */
#include "calibrate.h"
#include "device.cuh"
#include "fit.h"

#include "../cuda_try.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK_PAGES = 64, PAGE_LINES = TW_CAL_PAGE_BYTES / 128, CHUNK_LINES = CHUNK_PAGES * PAGE_LINES };
enum { WARPS = 2, WARM_PASSES = 1, PASSES = 4, QUICK_PASSES = 2, MAX_POINTS = 24 };
static const size_t CHUNK_BYTES = (size_t)CHUNK_PAGES * TW_CAL_PAGE_BYTES;

typedef enum access { ACCESS_PRIVATE, ACCESS_NEAR, ACCESS_FAR, ACCESS_SHARED, NUM_ACCESSES } access;
static const char *const access_names[] = {"private", "near", "far", "shared"};

struct hits_args {
    const char *memory;
    const unsigned long long *home_of; /* [chunks], a bit for each page: 1 if its home is side 1 */
    const tw_cal_sides *sides;
    unsigned chunks, passes, warm_passes;
    int access, order;
    int far_from, hbm_from; /* a load of so many cycles, or more, came from there */
    meeting *all;
    unsigned long long *counts; /* [3]: near, far, HBM */
    uint32_t *sink;
};

static __device__ __forceinline__ unsigned chunk_at(const hits_args &a, unsigned step)
{
    const unsigned pass = step / a.chunks, i = step % a.chunks;
    if (a.order == TW_CAL_RANDOM)
        return __umulhi(hash32(step + 1), a.chunks);
    return a.order == TW_CAL_ALTERNATING && pass % 2 == 1 ? a.chunks - 1 - i : i;
}

/* The pages of a chunk that SMs of this side read, as bits. */
static __device__ __forceinline__ unsigned long long pages_for(const hits_args &a, unsigned chunk, int side)
{
    const unsigned long long mine = side == 1 ? a.home_of[chunk] : ~a.home_of[chunk];
    return a.access == ACCESS_NEAR ? mine : a.access == ACCESS_FAR ? ~mine : ~0ull;
}

/* The block's part of a chunk: a warp loads a line. Counts where its loads found their lines. */
static __device__ void read_chunk(const hits_args &a, unsigned chunk, int side, int worker, int workers,
                                  const unsigned char *pages, int num_pages, bool counted,
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

static __global__ void __launch_bounds__(32 * WARPS) tw_cal_count_hits(hits_args a)
{
    __shared__ unsigned char pages[CHUNK_PAGES];
    const int sm = sm_number(), side = a.sides->side_of[sm], warp = threadIdx.x / 32;
    const bool by_side = a.access != ACCESS_PRIVATE;
    const int workers = WARPS * (by_side ? a.sides->count[side] : (int)gridDim.x);
    const int worker = WARPS * (by_side ? a.sides->rank_of[sm] : (int)blockIdx.x) + warp;
    const unsigned steps = a.chunks * a.passes, behind = a.access == ACCESS_SHARED && side == 1;
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
static_assert(32 * WARPS == CHUNK_PAGES, "a thread for each page of a chunk");

/* ---- one working set ------------------------------------------------------------------------------------ */

/* Loads of each kind over lines read; their sum is 1, or 2 where two SMs read each line. */
struct shares {
    double near, far, hbm;
};

/* Device memory: meeting and counts | sides | homes, a word a chunk. */
struct hits_memory {
    char *at;
    size_t homes_at, bytes;
    unsigned chunks;
};

static tw_status prepare(tw_calibration *c, hits_memory *m)
{
    m->chunks = (unsigned)(c->num_pages / CHUNK_PAGES);
    m->homes_at = 256 + (sizeof(tw_cal_sides) + 255) / 256 * 256;
    m->bytes = m->homes_at + 8 * (size_t)m->chunks;
    void *device = NULL;
    unsigned long long *homes = (unsigned long long *)calloc(m->chunks, sizeof *homes);
    if (!homes)
        return tw_fail(TW_ENOMEM, "no memory for the homes of %u chunks", m->chunks);
    for (unsigned page = 0; page < m->chunks * CHUNK_PAGES; page++)
        homes[page / CHUNK_PAGES] |= (unsigned long long)(c->home_of[page] & 1) << page % CHUNK_PAGES;
    tw_status status = tw_cal_zeros(&device, m->bytes);
    m->at = (char *)device;
    if (status == TW_OK &&
        (cudaMemcpy(m->at + 256, &c->sides, sizeof c->sides, cudaMemcpyHostToDevice) != cudaSuccess ||
         cudaMemcpy(m->at + m->homes_at, homes, 8 * (size_t)m->chunks, cudaMemcpyHostToDevice) !=
             cudaSuccess))
        status = tw_fail(TW_EGPU, "the map of homes cannot be copied to the GPU");
    free(homes);
    return status;
}

static tw_status measure(tw_calibration *c, const hits_memory *m, access who, tw_cal_order order,
                         unsigned chunks, shares *result)
{
    unsigned long long counts[3];
    hits_args a;
    a.memory = (const char *)c->memory;
    a.home_of = (const unsigned long long *)(m->at + m->homes_at);
    a.sides = (const tw_cal_sides *)(m->at + 256);
    a.chunks = chunks;
    a.warm_passes = WARM_PASSES;
    a.passes = WARM_PASSES + (unsigned)(c->options->quick ? QUICK_PASSES : PASSES);
    a.access = who;
    a.order = order;
    a.far_from = c->sides.sides == 2 ? (int)(0.5 * (c->near_cycles + c->far_cycles)) : 1 << 30;
    a.hbm_from = (int)c->hbm_threshold_cycles;
    if (a.far_from > a.hbm_from)
        a.far_from = a.hbm_from;
    a.all = (meeting *)m->at;
    a.counts = (unsigned long long *)(m->at + 64);
    a.sink = (uint32_t *)c->memory;
    const tw_cal_kernel k = tw_cal_one_per_sm(c, "counting hits", (const void *)tw_cal_count_hits, &a,
                                              32 * WARPS);
    TW_CUDA_TRY(cudaMemset(m->at, 0, 256));
    TW_TRY(tw_cal_run(c, &k));
    TW_TRY(tw_cal_fetch(c, counts, a.counts, sizeof counts));
    const double lines = (double)chunks * CHUNK_LINES * (a.passes - a.warm_passes),
                 all = (double)(counts[0] + counts[1] + counts[2]);
    if (all != lines * (who == ACCESS_SHARED ? 2 : 1))
        return tw_fail(TW_EGPU, "%.0f loads of %.0f were timed: blocks did not find together", all, lines);
    result->near = (double)counts[0] / lines;
    result->far = (double)counts[1] / lines;
    result->hbm = (double)counts[2] / lines;
    return TW_OK;
}

/* ---- curves and what follows from them ------------------------------------------------------------------ */

struct curve {
    double bytes[MAX_POINTS], hbm[MAX_POINTS];
    int n;
};

static tw_status measure_curve(tw_calibration *c, const hits_memory *m, access who, tw_cal_order order,
                               curve *result, tw_csv *csv)
{
    static const double full[] = {0.3, 0.4,  0.46, 0.5,  0.54, 0.58, 0.64, 0.72,
                                  0.8, 0.88, 0.96, 1.04, 1.12, 1.3,  1.6,  2.0},
                        few[] = {0.4, 0.58, 0.8, 1.04, 1.3};
    const double *parts = c->options->quick ? few : full;
    const int n = c->options->quick ? (int)(sizeof few / sizeof few[0]) : (int)(sizeof full / sizeof full[0]);
    result->n = 0;
    for (int i = 0; i < n; i++) {
        shares s = {0, 0, 0};
        const unsigned chunks = (unsigned)lround(parts[i] * c->facts.l2_bytes / (double)CHUNK_BYTES);
        if (chunks < 1 || chunks > m->chunks)
            continue;
        TW_TRY(measure(c, m, who, order, chunks, &s));
        result->bytes[result->n] = (double)chunks * (double)CHUNK_BYTES;
        result->hbm[result->n++] = s.hbm;
        if (csv->file)
            fprintf(csv->file, "%s,%s,%.0f,%.4f,%.4f,%.4f\n", access_names[who], tw_cal_order_name(order),
                    (double)chunks * (double)CHUNK_BYTES, s.near, s.far, s.hbm);
    }
    return TW_OK;
}

/* Both orders that show 1 − C / W are one set of points. */
static tw_capacity capacity_of(const curve *alternating, const curve *random)
{
    double bytes[2 * MAX_POINTS], hbm[2 * MAX_POINTS];
    int n = 0;
    for (int i = 0; i < alternating->n; i++, n++) {
        bytes[n] = alternating->bytes[i];
        hbm[n] = alternating->hbm[i];
    }
    for (int i = 0; i < random->n; i++, n++) {
        bytes[n] = random->bytes[i];
        hbm[n] = random->hbm[i];
    }
    return tw_fit_capacity(bytes, hbm, n);
}

static void add_capacity(tw_calibration *c, const char *number, const tw_capacity *capacity, const char *who)
{
    tw_readings_add_value(&c->readings, number, capacity->bytes, capacity->spread, capacity->points,
                          {0.1 * c->facts.l2_bytes, 1.1 * c->facts.l2_bytes, 0.1},
                          "W (1 - misses), sets read %s, to and fro and at random", who);
}

/* The share that misses at 1.3 capacities, all in one direction: it tells the policies apart. */
static void add_policy(tw_calibration *c, const curve *forward, double capacity)
{
    const double ratio = 1.3,
                 misses = tw_interpolate(forward->bytes, forward->hbm, forward->n, ratio * capacity);
    tw_readings_add_value(&c->readings, "l2_cyclic_misses_at_1.3_capacities", misses, 0.0, 1, {0, 1.05, 1},
                          "LRU would be 1, random replacement %.2f", tw_random_replacement_misses(ratio));
}

static tw_status measure_access(tw_calibration *c, const hits_memory *m, access who, tw_csv *csv)
{
    curve curves[TW_CAL_NUM_ORDERS];
    for (int order = 0; order < TW_CAL_NUM_ORDERS; order++)
        TW_TRY(measure_curve(c, m, who, (tw_cal_order)order, &curves[order], csv));
    const tw_capacity capacity = capacity_of(&curves[TW_CAL_ALTERNATING], &curves[TW_CAL_RANDOM]);
    if (who == ACCESS_PRIVATE)
        add_capacity(c, "l2_private_bytes", &capacity, "by one SM each");
    if (who == ACCESS_SHARED || c->sides.sides == 1) {
        add_capacity(c, "l2_side_bytes", &capacity,
                     who == ACCESS_SHARED ? "by SMs of both sides" : "by one SM each");
        add_policy(c, &curves[TW_CAL_FORWARD], capacity.bytes);
    }
    return TW_OK;
}

tw_status tw_cal_l2_hits(tw_calibration *c)
{
    hits_memory m = {NULL, 0, 0, 0};
    tw_csv csv;
    if (c->home_of == NULL || c->hbm_threshold_cycles <= 0)
        return tw_fail(TW_EUNSUPPORTED,
                       "hits cannot be told from misses without the latencies that l2_sides finds");
    TW_TRY(tw_cal_curve_open(&csv, c, "l2_hits", "access,order,working_set_bytes,near,far,hbm"));
    tw_status status = prepare(c, &m);
    for (int who = 0; status == TW_OK && who < NUM_ACCESSES; who++)
        if (c->sides.sides == 2 || who == ACCESS_PRIVATE)
            status = measure_access(c, &m, (access)who, &csv);
    tw_cal_release(c, m.at);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}
