/*
 * The bulk copy engine (cp.async.bulk, compute capability 9.0): from global to shared memory, arriving at an mbarrier.
 *
 *     latency   one thread of one SM starts a copy and waits for it: after a flush (HBM), and the same once more (L2)
 *     rate      one thread on each SM keeps four copies of 32 KB under way
 *
 * Latencies of all sizes lie near a straight line; its foot and its slope go into the machine file.
 */
#include "calibrate.h"
#include "fit.h"

#include <math.h>
#include <string.h>

static const int sizes[TW_CAL_COPY_SIZES] = {1 << 10,  2 << 10,  4 << 10,  8 << 10,
                                             16 << 10, 32 << 10, 48 << 10, 64 << 10};
enum { RATE_TILES = 4, REPS = 5 };

/* ---- latency -------------------------------------------------------------------------------------------- */

static tw_status fit_latency(tw_calibration *c, const float *cycles, bool from_l2, tw_csv *csv)
{
    double bytes[TW_CAL_COPY_SIZES], medians[TW_CAL_COPY_SIZES];
    for (int i = 0; i < TW_CAL_COPY_SIZES; i++) {
        double samples[TW_CAL_COPIES];
        for (int j = 0; j < TW_CAL_COPIES; j++)
            samples[j] = cycles[i * TW_CAL_COPIES + j] > 0 ? (double)cycles[i * TW_CAL_COPIES + j]
                                                           : (double)NAN;
        bytes[i] = sizes[i];
        medians[i] = tw_median(samples, TW_CAL_COPIES);
        if (csv->file)
            fprintf(csv->file, "%s,%d,%.5g,%.3g\n", from_l2 ? "l2" : "hbm", sizes[i], medians[i],
                    tw_spread(samples, TW_CAL_COPIES));
    }
    const tw_line line = tw_fit_line(bytes, medians, TW_CAL_COPY_SIZES);
    tw_readings_add_value(&c->readings, from_l2 ? "copy_latency_cycles" : "copy_hbm_latency_cycles",
                          line.at_0, line.spread, TW_CAL_COPY_SIZES, (tw_limits){100, 5000, 0.15},
                          "cp.async.bulk of 1 to 64 KB from %s to mbarrier: a line's foot",
                          from_l2 ? "L2" : "HBM, after a flush");
    if (from_l2)
        tw_readings_add_value(&c->readings, "copy_bytes_per_clock", 1.0 / line.slope, line.spread,
                              TW_CAL_COPY_SIZES, (tw_limits){10, 300, 0.15},
                              "cp.async.bulk of 1 to 64 KB from L2 to mbarrier: that line's slope");
    return TW_OK;
}

static tw_status measure_latency(tw_calibration *c, tw_csv *csv)
{
    static float cycles[2 * TW_CAL_COPY_SIZES * TW_CAL_COPIES];
    void *memory = NULL;
    TW_TRY(tw_cal_zeros(&memory, sizeof cycles));
    tw_cal_latency_args a;
    a.from = c->memory;
    a.cycles = memory;
    memcpy(a.sizes, sizes, sizeof a.sizes);
    tw_cal_kernel k = {
        "copies one by one", tw_cal_copy_latency_kernel(), 1, 32, TW_CAL_LARGEST_COPY + 128, &a, false};
    tw_status status = tw_cal_flush_l2(c);
    if (status == TW_OK)
        status = tw_cal_run(c, &k);
    if (status == TW_OK)
        status = tw_cal_fetch(c, cycles, memory, sizeof cycles);
    tw_cal_release(c, memory);
    TW_TRY(status);
    TW_TRY(fit_latency(c, cycles, false, csv));
    return fit_latency(c, cycles + TW_CAL_COPY_SIZES * TW_CAL_COPIES, true, csv);
}

/* ---- rate ----------------------------------------------------------------------------------------------- */

static tw_status measure_rate(tw_calibration *c, bool shared)
{
    double seconds[REPS];
    unsigned failed = 0;
    void *memory = NULL;
    const int blocks = c->facts.num_sms;
    TW_TRY(tw_cal_zeros(&memory, sizeof failed));
    tw_cal_copy_rate_args a = {
        c->memory, shared ? RATE_TILES * blocks : RATE_TILES, shared ? 1 : blocks, shared ? 8 : 400, shared,
        memory};
    tw_cal_kernel k = tw_cal_one_per_sm(c, "copies by all SMs", tw_cal_copy_rate_kernel(), &a, 32);
    k.together = false;
    k.smem_bytes = TW_CAL_COPY_STAGES * TW_CAL_COPY_TILE_BYTES + 128;
    tw_status status = tw_cal_time(c, &k, seconds, REPS);
    if (status == TW_OK)
        status = tw_cal_fetch(c, &failed, memory, sizeof failed);
    tw_cal_release(c, memory);
    TW_TRY(status);
    if (failed)
        return tw_fail(TW_EGPU, "a bulk copy did not arrive");
    for (int i = 0; i < REPS; i++)
        seconds[i] = (double)TW_CAL_COPY_TILE_BYTES * a.tiles * a.passes * blocks / seconds[i];
    const double most = 256.0 * blocks * (c->facts.clock_hz > 0 ? c->facts.clock_hz : 4e9);
    tw_readings_add(&c->readings, shared ? "copy_shared_bytes_per_s" : "copy_l2_bytes_per_s", seconds, REPS,
                    (tw_limits){1e11, most, 0.1},
                    "cp.async.bulk, %d copies of 32 KB under way an SM, %s, set of %.3g MB",
                    TW_CAL_COPY_STAGES, shared ? "all the same tiles" : "each its own",
                    1e-6 * RATE_TILES * blocks * (double)TW_CAL_COPY_TILE_BYTES);
    return TW_OK;
}

tw_status tw_cal_copy(tw_calibration *c)
{
    tw_csv csv;
    if (c->facts.arch < 90)
        return tw_fail(TW_EUNSUPPORTED, "cp.async.bulk is there from compute capability 9.0 on");
    if (TW_CAL_COPY_STAGES * TW_CAL_COPY_TILE_BYTES + 1024 > c->facts.smem_bytes)
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
