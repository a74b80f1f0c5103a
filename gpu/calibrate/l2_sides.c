/*
 * The L2's two halves, seen from latencies.
 *
 *     1. Atomics are done at an address's home. Timed from every SM on 128 pages, they show which SMs and which pages
 *        belong together: sides.c finds the pattern.
 *     2. The home of every page that l2_hits will use, from one SM of each side.
 *     3. The same line by line over 2 MiB: how long is a run of addresses with one home?
 *     4. Loads past L1, one after the other by a single thread, in places where they can be: in HBM, on the SM's own
 *        side, only on the other side.
 */
#include "calibrate.h"

#include "../cuda_try.h"

#include <math.h>
#include <stdlib.h>

enum { LATENCY_PAGES = 1000, FEWEST_PAGES = 100, MAP_BYTES = 2 << 20 };
static const size_t COLUMN_STRIDE = 37 * (size_t)TW_CAL_PAGE_BYTES; /* odd: both pages of an aligned pair */

/* ---- 1. which SMs belong together ----------------------------------------------------------------------- */

static tw_status find_sides(tw_calibration *c)
{
    const int rows = c->facts.num_sms;
    const size_t latency_bytes = sizeof(float) * (size_t)rows * TW_CAL_COLUMNS,
                 smid_bytes = sizeof(int) * (size_t)rows;
    void *device = NULL;
    char *host = (char *)malloc(latency_bytes + smid_bytes);
    if (!host)
        return tw_fail(TW_ENOMEM, "no memory for a table of latencies");
    tw_status status = tw_cal_zeros(&device, 256 + latency_bytes + smid_bytes);
    tw_cal_table_args a = {(char *)c->memory, COLUMN_STRIDE, 0, (tw_cal_meeting *)device, NULL, NULL};
    a.latency = (float *)(void *)((char *)device + 256);
    a.smid = (int *)((char *)a.latency + latency_bytes);
    const tw_cal_kernel k = tw_cal_one_per_sm(c, "timing atomics", tw_cal_time_pages_kernel(), &a, 32);
    if (status == TW_OK)
        status = tw_cal_run(c, &k);
    if (status == TW_OK)
        status = tw_cal_fetch(c, host, a.latency, latency_bytes + smid_bytes);
    if (status == TW_OK)
        status = tw_cal_find_sides(&c->sides, (const int *)(host + latency_bytes),
                                   (const float *)(const void *)host, rows, TW_CAL_COLUMNS);
    tw_cal_release(c, device);
    free(host);
    return status;
}

/* ---- 2. and 3. where addresses have their home ---------------------------------------------------------- */

/* Fills home[0 … units) and says how many of them are guesses. */
static tw_status find_homes(tw_calibration *c, unsigned char *home, int units, size_t unit_bytes,
                            double *guessed)
{
    const size_t latency_bytes = 2 * sizeof(float) * (size_t)units, sides_at = 256,
                 latency_at = sides_at + (sizeof(tw_cal_sides) + 255) / 256 * 256;
    void *device = NULL;
    float *host = (float *)malloc(latency_bytes);
    if (!host)
        return tw_fail(TW_ENOMEM, "no memory for latencies of %d units", units);
    tw_status status = tw_cal_zeros(&device, latency_at + latency_bytes);
    tw_cal_home_args a = {(char *)c->memory, unit_bytes, units, 0, (tw_cal_meeting *)device, NULL, NULL};
    a.sides = (const tw_cal_sides *)((char *)device + sides_at);
    a.latency = (float *)(void *)((char *)device + latency_at);
    const tw_cal_kernel k = tw_cal_one_per_sm(c, "timing homes", tw_cal_time_units_kernel(), &a,
                                              32 * TW_CAL_HOME_WARPS);
    if (status == TW_OK &&
        cudaMemcpy((void *)a.sides, &c->sides, sizeof c->sides, cudaMemcpyHostToDevice) != cudaSuccess)
        status = tw_fail(TW_EGPU, "the table of sides cannot be copied to the GPU");
    if (status == TW_OK)
        status = tw_cal_run(c, &k);
    if (status == TW_OK)
        status = tw_cal_fetch(c, host, a.latency, latency_bytes);
    if (status == TW_OK)
        *guessed = tw_cal_find_homes(home, host, units, c->sides.gap_cycles);
    tw_cal_release(c, device);
    free(host);
    return status;
}

/* Side of every page that l2_hits uses; where there is one side it is 0. */
static tw_status map_pages(tw_calibration *c, double *guessed)
{
    const size_t bytes = c->memory_bytes - tw_cal_flush_bytes(c), wanted = 3 * (size_t)c->facts.l2_bytes;
    const int pages = (int)((bytes < wanted ? bytes : wanted) / TW_CAL_PAGE_BYTES);
    *guessed = 0;
    c->home_of = (unsigned char *)calloc((size_t)pages, 1);
    if (!c->home_of)
        return tw_fail(TW_ENOMEM, "no memory for the homes of %d pages", pages);
    c->num_pages = pages;
    return c->sides.sides == 2 ? find_homes(c, c->home_of, pages, TW_CAL_PAGE_BYTES, guessed) : TW_OK;
}

static tw_status measure_page(tw_calibration *c)
{
    static unsigned char home[MAP_BYTES / TW_CAL_LINE_BYTES];
    double guessed = 0;
    TW_TRY(find_homes(c, home, MAP_BYTES / TW_CAL_LINE_BYTES, TW_CAL_LINE_BYTES, &guessed));
    const double run = (double)tw_cal_home_run_bytes(home, MAP_BYTES / TW_CAL_LINE_BYTES, TW_CAL_LINE_BYTES);
    tw_readings_add_value(&c->readings, "l2_page_bytes", run, guessed, MAP_BYTES / TW_CAL_LINE_BYTES,
                          (tw_limits){128, MAP_BYTES, 0.02},
                          "atomics on every line of 2 MiB: homes change at its multiples alone; guesses");
    return TW_OK;
}

/* The share of addresses that are on the other side, as an SM sees it, averaged over SMs. */
static void add_far_share(tw_calibration *c, double guessed)
{
    double on_side_1 = 0;
    for (int i = 0; i < c->num_pages; i++)
        on_side_1 += (double)c->home_of[i] / c->num_pages;
    const double sms_0 = (double)c->sides.count[0] / c->facts.num_sms;
    tw_readings_add_value(&c->readings, "l2_far_share", sms_0 * on_side_1 + (1 - sms_0) * (1 - on_side_1),
                          guessed, c->num_pages, (tw_limits){0.3, 0.7, 0.02},
                          "atomics on every page from an SM of each side; guesses");
}

/* ---- 4. latencies of loads ------------------------------------------------------------------------------ */

/* Device memory of the loads: a meeting, the lines, their latencies. */
typedef struct load_memory {
    char *at;
    int n;                        /* lines that were chosen */
    double cycles[LATENCY_PAGES]; /* of the last run */
} load_memory;

static uint32_t *lines_of(const load_memory *m)
{
    return (uint32_t *)(m->at + 256);
}

/* A line in each of up to LATENCY_PAGES pages of one home, all over the first 32 MiB and more. */
static tw_status choose_lines(tw_calibration *c, load_memory *m, int home)
{
    static uint32_t lines[LATENCY_PAGES];
    int n = 0;
    for (uint32_t page = 0; (int)page < c->num_pages && n < LATENCY_PAGES; page += 1 + tw_cal_hash(page) % 7)
        if (c->home_of[page] == home)
            lines[n++] = page * (TW_CAL_PAGE_BYTES / TW_CAL_LINE_BYTES) +
                         tw_cal_hash(page + 77) % (TW_CAL_PAGE_BYTES / TW_CAL_LINE_BYTES);
    if (n < FEWEST_PAGES)
        return tw_fail(TW_EUNSUPPORTED, "only %d pages have their home on side %d, %d are needed", n, home,
                       FEWEST_PAGES);
    m->n = n;
    TW_CUDA_TRY(cudaMemcpy(lines_of(m), lines, sizeof lines, cudaMemcpyHostToDevice));
    return TW_OK;
}

/* An SM of this side loads all lines; the median. */
static tw_status time_loads(tw_calibration *c, load_memory *m, int side, double *median)
{
    static float latency[LATENCY_PAGES];
    tw_cal_load_args a = {
        (const char *)c->memory, lines_of(m), m->n, c->sides.smid_of[side], (tw_cal_meeting *)m->at, NULL,
        (uint32_t *)c->memory};
    a.latency = (float *)(void *)(lines_of(m) + LATENCY_PAGES);
    const tw_cal_kernel k = tw_cal_one_per_sm(c, "timing loads", tw_cal_time_loads_kernel(), &a, 32);
    TW_CUDA_TRY(cudaMemset(m->at, 0, sizeof(tw_cal_meeting)));
    TW_TRY(tw_cal_run(c, &k));
    TW_TRY(tw_cal_fetch(c, latency, a.latency, (size_t)m->n * sizeof *latency));
    for (int i = 0; i < m->n; i++)
        m->cycles[i] = (double)latency[i];
    *median = tw_median(m->cycles, m->n);
    return TW_OK;
}

/* Lines whose home is the SM's own side: from HBM, then again. */
static tw_status near_loads(tw_calibration *c, load_memory *m, double *from_hbm)
{
    TW_TRY(choose_lines(c, m, 0));
    TW_TRY(tw_cal_flush_l2(c));
    TW_TRY(time_loads(c, m, 0, from_hbm));
    TW_TRY(time_loads(c, m, 0, &c->near_cycles));
    tw_readings_add(&c->readings, "l2_near_latency_cycles", m->cycles, m->n, (tw_limits){80, 800, 0.3},
                    "loads by one thread of lines that it loaded before, one in each of %d pages", m->n);
    return TW_OK;
}

/* Lines whose home is the other side: from HBM; and once an SM of that side has loaded them. */
static tw_status far_loads(tw_calibration *c, load_memory *m, double *from_hbm)
{
    double unused;
    TW_TRY(choose_lines(c, m, 1));
    TW_TRY(tw_cal_flush_l2(c));
    TW_TRY(time_loads(c, m, 0, from_hbm));
    TW_TRY(tw_cal_flush_l2(c));
    TW_TRY(time_loads(c, m, 1, &unused));
    TW_TRY(time_loads(c, m, 0, &c->far_cycles));
    tw_readings_add(&c->readings, "l2_far_latency_cycles", m->cycles, m->n, (tw_limits){120, 1500, 0.3},
                    "loads by one thread of lines that an SM of their own side loaded before");
    return TW_OK;
}

static tw_status measure_loads(tw_calibration *c, load_memory *m)
{
    double near_hbm = 0, far_hbm = 0;
    TW_TRY(near_loads(c, m, &near_hbm));
    c->far_cycles = c->near_cycles;
    far_hbm = near_hbm;
    if (c->sides.sides == 2)
        TW_TRY(far_loads(c, m, &far_hbm));
    const double mean = 0.5 * (near_hbm + far_hbm);
    tw_readings_add_value(&c->readings, "hbm_latency_cycles", mean, (far_hbm - near_hbm) / mean, 2 * m->n,
                          (tw_limits){200, 3000, 1},
                          "loads by one thread after a flush: near home %.0f, far home %.0f; medians",
                          near_hbm, far_hbm);
    if (!(c->near_cycles < 0.8 * near_hbm) || !(c->far_cycles < 0.8 * far_hbm))
        return tw_fail(TW_EUNSUPPORTED,
                       "loads from the L2 take %.0f and %.0f cycles and from HBM %.0f and %.0f: too alike to "
                       "tell hits from misses",
                       c->near_cycles, c->far_cycles, near_hbm, far_hbm);
    c->hbm_near_cycles = near_hbm;
    c->hbm_far_cycles = far_hbm;
    return TW_OK;
}

tw_status tw_cal_l2_sides(tw_calibration *c)
{
    static load_memory loads;
    void *device = NULL;
    double guessed = 0;
    TW_TRY(find_sides(c));
    tw_readings_add_value(&c->readings, "l2_sides", c->sides.sides,
                          c->sides.sides == 2 ? 1 - c->sides.explained : 0, c->facts.num_sms,
                          (tw_limits){1, 2, 0.3},
                          "atomics from every SM on %d pages: groups of %d and %d SMs", TW_CAL_COLUMNS,
                          c->sides.count[0], c->sides.count[1]);
    TW_TRY(map_pages(c, &guessed));
    if (c->sides.sides == 2) {
        add_far_share(c, guessed);
        TW_TRY(measure_page(c));
    }
    TW_TRY(tw_cal_zeros(&device, 256 + 8 * (size_t)LATENCY_PAGES));
    loads.at = (char *)device;
    tw_status status = measure_loads(c, &loads);
    tw_cal_release(c, device);
    return status;
}
