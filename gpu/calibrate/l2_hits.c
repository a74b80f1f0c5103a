/*
 * From loads that were timed (l2_hits.cu) to curves of hits, and from these to capacities.
 *
 * A share of misses 1 - C / W is what a cache of C bytes shows under LRU when a set of W bytes is walked to and fro, and
 * under every policy when chunks are drawn at random. Walked in one direction, LRU misses everything as soon as W > C,
 * while random replacement would not: the curves tell the policy.
 */
#include "calibrate.h"
#include "fit.h"

#include "../cuda_try.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK_LINES = TW_CAL_CHUNK_PAGES * TW_CAL_PAGE_BYTES / TW_CAL_LINE_BYTES };
/* Chunks drawn at random need longer to forget how they began, and more draws to count. */
enum {
    WARM_PASSES = 1,
    PASSES = 4,
    QUICK_PASSES = 2,
    RANDOM_WARM_PASSES = 3,
    RANDOM_PASSES = 12,
    MAX_POINTS = 24
};
static const size_t CHUNK_BYTES = (size_t)TW_CAL_CHUNK_PAGES * TW_CAL_PAGE_BYTES;
static const char *const access_names[TW_CAL_NUM_ACCESSES] = {"private", "near", "far", "shared"};

/* ---- one working set ------------------------------------------------------------------------------------ */

/* Loads of each kind over lines read; their sum is 1, or 2 where two SMs read each line. */
typedef struct shares {
    double near, far, hbm;
} shares;

/* Device memory: meeting and counts | sides | homes, a word a chunk. */
typedef struct hits_memory {
    char *at;
    size_t homes_at, bytes;
    unsigned chunks;
} hits_memory;

static tw_status prepare(tw_calibration *c, hits_memory *m)
{
    m->chunks = (unsigned)(c->num_pages / TW_CAL_CHUNK_PAGES);
    m->homes_at = 256 + (sizeof(tw_cal_sides) + 255) / 256 * 256;
    m->bytes = m->homes_at + 8 * (size_t)m->chunks;
    void *device = NULL;
    unsigned long long *homes = (unsigned long long *)calloc(m->chunks, sizeof *homes);
    if (!homes)
        return tw_fail(TW_ENOMEM, "no memory for the homes of %u chunks", m->chunks);
    for (unsigned page = 0; page < m->chunks * TW_CAL_CHUNK_PAGES; page++)
        homes[page / TW_CAL_CHUNK_PAGES] |= (unsigned long long)(c->home_of[page] & 1)
                                            << page % TW_CAL_CHUNK_PAGES;
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

/* Half-way between two latencies. A line whose home is the SM's own side is there or in HBM. */
static void set_thresholds(tw_cal_hits_args *a, const tw_calibration *c)
{
    a->far_from[0] = a->hbm_from[0] = (int)(0.5 * (c->near_cycles + c->hbm_near_cycles));
    a->far_from[1] = (int)(0.5 * (c->near_cycles + c->far_cycles));
    a->hbm_from[1] = (int)(0.5 * (c->far_cycles + c->hbm_far_cycles));
}

static tw_status measure(tw_calibration *c, const hits_memory *m, tw_cal_access who, tw_cal_order order,
                         unsigned chunks, shares *result)
{
    unsigned long long counts[3];
    tw_cal_hits_args a;
    a.memory = c->memory;
    a.home_of = (const unsigned long long *)(m->at + m->homes_at);
    a.sides = (const tw_cal_sides *)(m->at + 256);
    a.chunks = chunks;
    a.warm_passes = order == TW_CAL_RANDOM ? RANDOM_WARM_PASSES : WARM_PASSES;
    a.passes = a.warm_passes + (order == TW_CAL_RANDOM ? RANDOM_PASSES
                                : c->options->quick    ? QUICK_PASSES
                                                       : PASSES);
    a.access = who;
    a.order = order;
    set_thresholds(&a, c);
    a.all = (tw_cal_meeting *)m->at;
    a.counts = (unsigned long long *)(m->at + 64);
    a.sink = c->memory;
    const tw_cal_kernel k = tw_cal_one_per_sm(c, "counting hits", tw_cal_count_hits_kernel(), &a,
                                              32 * TW_CAL_HITS_WARPS);
    TW_CUDA_TRY(cudaMemset(m->at, 0, 256));
    TW_TRY(tw_cal_run(c, &k));
    TW_TRY(tw_cal_fetch(c, counts, a.counts, sizeof counts));
    const double lines = (double)chunks * CHUNK_LINES * (a.passes - a.warm_passes),
                 all = (double)(counts[0] + counts[1] + counts[2]);
    if (all != lines * (who == TW_CAL_SHARED ? 2 : 1))
        return tw_fail(TW_EGPU, "%.0f loads of %.0f were timed: blocks did not find together", all, lines);
    result->near = (double)counts[0] / lines;
    result->far = (double)counts[1] / lines;
    result->hbm = (double)counts[2] / lines;
    return TW_OK;
}

/* ---- curves and what follows from them ------------------------------------------------------------------ */

typedef struct curve {
    double bytes[MAX_POINTS], hbm[MAX_POINTS];
    int n;
} curve;

static tw_status measure_curve(tw_calibration *c, const hits_memory *m, tw_cal_access who, tw_cal_order order,
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

/* The share that misses at 1.3 capacities, all in one direction: it tells the policies apart. */
static void add_policy(tw_calibration *c, const curve *forward, double capacity)
{
    const double ratio = 1.3,
                 misses = tw_interpolate(forward->bytes, forward->hbm, forward->n, ratio * capacity);
    tw_readings_add_value(&c->readings, "l2_cyclic_misses_at_1.3_capacities", misses, 0.0, 1,
                          (tw_limits){0, 1.05, 1}, "LRU would be 1, random replacement %.2f",
                          tw_random_replacement_misses(ratio));
}

static void add_side(tw_calibration *c, const curve *curves, tw_cal_access who)
{
    const tw_capacity capacity = capacity_of(&curves[TW_CAL_ALTERNATING], &curves[TW_CAL_RANDOM]);
    tw_readings_add_value(&c->readings, "l2_side_bytes", capacity.bytes, capacity.spread, capacity.points,
                          (tw_limits){0.1 * c->facts.l2_bytes, 1.1 * c->facts.l2_bytes, 0.15},
                          "W (1 - misses), sets read by %s, to and fro and at random",
                          who == TW_CAL_SHARED ? "SMs of both sides" : "one SM each");
    add_policy(c, &curves[TW_CAL_FORWARD], capacity.bytes);
}

/* Lines from near and lines from far go at different sizes, so there is no one capacity: what still all but fits. */
static void add_private(tw_calibration *c, const curve *forward)
{
    const double fits = 0.05, bytes = tw_crossing(forward->bytes, forward->hbm, forward->n, fits);
    double step = (double)NAN;
    for (int i = 1; i < forward->n; i++)
        if (forward->bytes[i - 1] <= bytes && bytes <= forward->bytes[i])
            step = (forward->bytes[i] - forward->bytes[i - 1]) / bytes;
    tw_readings_add_value(
        &c->readings, "l2_private_bytes", bytes, step, forward->n,
        (tw_limits){0.1 * c->facts.l2_bytes, 1.1 * c->facts.l2_bytes, c->options->quick ? 0.6 : 0.2},
        "set of which %.0f %% miss, each line read by one SM, in one direction; step of sets", 100 * fits);
}

static tw_status measure_access(tw_calibration *c, const hits_memory *m, tw_cal_access who, tw_csv *csv)
{
    curve curves[TW_CAL_NUM_ORDERS];
    for (int order = 0; order < TW_CAL_NUM_ORDERS; order++)
        TW_TRY(measure_curve(c, m, who, (tw_cal_order)order, &curves[order], csv));
    if (who == TW_CAL_PRIVATE)
        add_private(c, &curves[TW_CAL_FORWARD]);
    if (who == TW_CAL_SHARED || c->sides.sides == 1)
        add_side(c, curves, who);
    return TW_OK;
}

tw_status tw_cal_l2_hits(tw_calibration *c)
{
    hits_memory m = {NULL, 0, 0, 0};
    tw_csv csv;
    if (c->home_of == NULL || c->hbm_near_cycles <= 0)
        return tw_fail(TW_EUNSUPPORTED,
                       "hits cannot be told from misses without the latencies that l2_sides finds");
    TW_TRY(tw_cal_curve_open(&csv, c, "l2_hits", "access,order,working_set_bytes,near,far,hbm"));
    tw_status status = prepare(c, &m);
    for (int who = 0; status == TW_OK && who < TW_CAL_NUM_ACCESSES; who++)
        if (c->sides.sides == 2 || who == TW_CAL_PRIVATE)
            status = measure_access(c, &m, (tw_cal_access)who, &csv);
    tw_cal_release(c, m.at);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}
