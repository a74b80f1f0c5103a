/*
 * What power leaves of the clock: tensor cores at one share of their rate after another, each for a second or more. In
 * the second half of that, the clock is cycles counted by the SMs over time between events, and power what the driver's
 * energy counter says.
 *
 * Shares are what was reached, not what was asked for. The last one is the loop that never waits. Where power is the limit, clock = tensor_clock · share^-exponent.
 */
#include "calibrate.h"
#include "fit.h"

#include <math.h>

enum {
    POINTS = 9,
    WARPGROUP = 128,
    BUSY_CYCLES = 1024, /* of the tensor cores, for a group of the paced loop */
    WAIT_CYCLES = 54    /* that it waits for the last of it */
};
static const double shares[POINTS] = {0.125, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0};
static const double LAUNCH_CYCLES = 3e7; /* some 20 ms */

typedef struct clock_point {
    double share, hz, power_w, spread;
} clock_point;

static tw_status measure_point(tw_calibration *c, double share, double seconds, void *memory, clock_point *p)
{
    static long long cycles[TW_CAL_MAX_SMS];
    static double as_numbers[TW_CAL_MAX_SMS];
    tw_cal_load load;
    const double round_cycles = BUSY_CYCLES / share, idle = round_cycles - BUSY_CYCLES - WAIT_CYCLES;
    const bool paced = share < 1.0; /* the loop that does not wait for its groups has the full rate */
    tw_cal_loop loop = {(int)(LAUNCH_CYCLES / round_cycles), (int)fmax(idle, 0), memory, c->memory};
    tw_cal_kernel k = tw_cal_one_per_sm(c, "a lasting load", tw_cal_wgmma_kernel(TW_CAL_FP16, paced), &loop,
                                        WARPGROUP);
    k.together = false;
    TW_TRY(tw_cal_sustain(&load, c, tw_cal_queue_kernel, &k, seconds));
    TW_TRY(tw_cal_fetch(c, cycles, memory, sizeof *cycles * (size_t)c->facts.num_sms));
    for (int i = 0; i < c->facts.num_sms; i++)
        as_numbers[i] = (double)cycles[i];
    const double median = tw_median(as_numbers, c->facts.num_sms);
    double per_clock = tw_readings_value(&c->readings, "wgmma_fp16_flops_per_clock");
    if (isnan(per_clock))
        per_clock = 4096;
    p->share = tw_cal_wgmma_flops_per_round() * loop.rounds / median / per_clock;
    p->hz = median / load.seconds;
    p->power_w = load.power_w;
    p->spread = load.spread;
    return TW_OK;
}

/* The points in ascending order of load, so that the card is at its hottest where it counts. */
static tw_status measure_points(tw_calibration *c, clock_point *points, int n, double seconds, tw_csv *csv)
{
    void *memory = NULL;
    TW_TRY(tw_cal_zeros(&memory, sizeof(long long) * (size_t)c->facts.num_sms));
    tw_status status = TW_OK;
    for (int i = 0; status == TW_OK && i < n; i++) {
        status = measure_point(c, shares[POINTS - 1 - (n - 1 - i)], seconds, memory, &points[i]);
        if (status == TW_OK && csv->file)
            fprintf(csv->file, "%.4f,%.5g,%.4g,%.3g\n", points[i].share, points[i].hz, points[i].power_w,
                    points[i].spread);
    }
    tw_cal_release(c, memory);
    return status;
}

static void add_readings(tw_calibration *c, const clock_point *points, int n, double seconds)
{
    double share[POINTS], hz[POINTS];
    const clock_point *last = &points[n - 1];
    for (int i = 0; i < n; i++) {
        share[i] = points[i].share;
        hz[i] = points[i].hz;
    }
    const double most = c->facts.clock_hz > 0 ? 1.02 * c->facts.clock_hz : 4e9;
    tw_readings_add_value(&c->readings, "tensor_clock_hz", last->hz, last->spread, 1,
                          (tw_limits){5e8, most, 0.05},
                          "cycles over time, wgmma fp16 at %.2f of its rate for %.1f s, %.0f W", last->share,
                          seconds, last->power_w);
    const tw_power fit = tw_fit_power(share, hz, n, 0.55);
    tw_readings_add_value(&c->readings, "tensor_clock_exponent", fmax(-fit.exponent, 0.0), fit.spread,
                          fit.points, (tw_limits){0, 1, 0.03},
                          "the same at shares from 0.55 to 1, a line through the logarithms");
}

tw_status tw_cal_clock(tw_calibration *c)
{
    clock_point points[POINTS];
    tw_csv csv;
    if (c->facts.arch != 90)
        return tw_fail(TW_EUNSUPPORTED, "the load is wgmma, which is there at compute capability 9.0 alone");
    const int n = c->options->quick ? 4 : POINTS;
    double seconds = c->options->quick ? 0.5 : 1.6;
    const double each = tw_cal_seconds_left(c) / (n + 1);
    seconds = seconds < each ? seconds : fmax(each, 0.3);
    TW_TRY(tw_cal_curve_open(&csv, c, "clock", "tensor_share,clock_hz,power_w,spread"));
    tw_status status = measure_points(c, points, n, seconds, &csv);
    if (status == TW_OK) {
        add_readings(c, points, n, seconds);
        status = tw_csv_commit(&csv);
    }
    tw_csv_discard(&csv);
    return status;
}
