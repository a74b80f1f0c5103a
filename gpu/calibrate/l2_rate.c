/*
 * Bytes from the L2 into the SMs, against the size of the working set.
 *
 *     private   each line is read by one SM: block b takes tiles b, b + blocks, b + 2 blocks, … of 8 KB
 *     shared    all blocks read all tiles, in one order, and so nearly at one time
 *
 * Passes go forward, backward, to and fro, or over tiles drawn at random. All are equally fast while the set fits. Loads go
 * past L1. Working sets are multiples of (blocks x 8 KB), so that no SM has more to do than another.
 */
#include "calibrate.h"

#include <math.h>

enum { REPS = 5, QUICK_REPS = 3 };

const char *tw_cal_order_name(tw_cal_order order)
{
    static const char *const names[] = {"forward", "backward", "alternating", "random"};
    return names[order];
}

/* `tiles` tiles a block where each reads its own; as many bytes, by all, where they share. */
static tw_cal_kernel kernel_of(const tw_calibration *c, tw_cal_rate_args *a, bool shared, tw_cal_order order,
                               unsigned tiles, unsigned passes)
{
    tw_cal_kernel k = tw_cal_on_all_sms(c, "reading from the L2", tw_cal_l2_read_kernel(order), a,
                                        TW_CAL_RATE_BLOCKS_PER_SM, TW_CAL_RATE_THREADS);
    a->from = c->memory;
    a->tiles = shared ? tiles * (unsigned)k.blocks : tiles;
    a->stride = shared ? 1 : (unsigned)k.blocks;
    a->passes = (passes + TW_CAL_RATE_UNROLL - 1) / TW_CAL_RATE_UNROLL * TW_CAL_RATE_UNROLL;
    a->shared = shared;
    a->sink = c->memory;
    return k;
}

/* Of all blocks together, with one tile each. */
static size_t round_bytes(const tw_calibration *c)
{
    return TW_CAL_RATE_TILE_BYTES * TW_CAL_RATE_BLOCKS_PER_SM * (size_t)c->facts.num_sms;
}

tw_status tw_cal_run_l2_read(tw_calibration *c, bool shared, tw_cal_order order, size_t *working_set_bytes,
                             int passes)
{
    tw_cal_rate_args a;
    const size_t round = round_bytes(c);
    const unsigned tiles = (unsigned)((*working_set_bytes + round - 1) / round);
    const tw_cal_kernel k = kernel_of(c, &a, shared, order, tiles, (unsigned)passes);
    *working_set_bytes = tiles * round;
    return tw_cal_run(c, &k);
}

/* ---- the curve ------------------------------------------------------------------------------------------ */

/* What one point of the curve is of. */
typedef struct point {
    bool shared;
    tw_cal_order order;
    unsigned tiles;
    size_t bytes;
} point;

/* Rates of one point: bytes into all SMs over time. Into the SMs go about 12 GB, or 1.2 GB where they are slower. */
static tw_status measure(tw_calibration *c, const point *p, double *rates, int reps)
{
    tw_cal_rate_args a;
    const double into_sms = (p->shared ? (double)p->bytes * TW_CAL_RATE_BLOCKS_PER_SM * c->facts.num_sms
                                       : (double)p->bytes);
    const double wanted = c->facts.num_sms > 60 ? 12e9 : 1.2e9;
    const double passes = fmin(fmax(ceil(wanted / into_sms), 4.0), 4096.0);
    const tw_cal_kernel k = kernel_of(c, &a, p->shared, p->order, p->tiles, (unsigned)passes);
    TW_TRY(tw_cal_time(c, &k, rates, reps));
    for (int i = 0; i < reps; i++)
        rates[i] = into_sms * a.passes / rates[i];
    return TW_OK;
}

/* The rates that count for the machine: sets that are far from either end of the cache. */
static bool well_inside(const tw_calibration *c, const point *p)
{
    return p->order == TW_CAL_FORWARD && (double)p->bytes >= 0.15 * c->facts.l2_bytes &&
           (double)p->bytes <= 0.45 * c->facts.l2_bytes;
}

static tw_status measure_curve(tw_calibration *c, bool shared, tw_csv *csv)
{
    static const double shares[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0};
    double inside[TW_CAL_MAX_REPS];
    int num_inside = 0;
    const int reps = c->options->quick ? QUICK_REPS : REPS,
              last_order = c->options->quick ? 1 : TW_CAL_NUM_ORDERS;
    for (int order = 0; order < last_order; order++)
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            double rates[REPS];
            point p;
            p.shared = shared;
            p.order = (tw_cal_order)order;
            p.tiles = (unsigned)ceil(shares[i] * c->facts.l2_bytes / (double)round_bytes(c));
            p.bytes = p.tiles * round_bytes(c);
            if (p.bytes > c->memory_bytes)
                continue;
            TW_TRY(measure(c, &p, rates, reps));
            for (int r = 0; well_inside(c, &p) && r < reps && num_inside < TW_CAL_MAX_REPS; r++)
                inside[num_inside++] = rates[r];
            if (csv->file)
                fprintf(csv->file, "%s,%s,%zu,%.4g,%.3g\n", shared ? "shared" : "private",
                        tw_cal_order_name(p.order), p.bytes, tw_median(rates, reps), tw_spread(rates, reps));
        }
    /* No SM takes in more than 128 bytes a clock. */
    const double most = 128.0 * c->facts.num_sms * (c->facts.clock_hz > 0 ? c->facts.clock_hz : 4e9);
    tw_readings_add(&c->readings, shared ? "l2_shared_bytes_per_s" : "l2_bytes_per_s", inside, num_inside,
                    (tw_limits){1e11, most, 0.1},
                    "16 bytes a thread past L1, %s, sets of 0.15 to 0.45 of the L2",
                    shared ? "all SMs the same tiles" : "each SM its own");
    return TW_OK;
}

tw_status tw_cal_l2_rate(tw_calibration *c)
{
    tw_csv csv;
    TW_TRY(tw_cal_curve_open(&csv, c, "l2_rate", "access,order,working_set_bytes,bytes_per_s,spread"));
    tw_status status = measure_curve(c, false, &csv);
    if (status == TW_OK)
        status = measure_curve(c, true, &csv);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}
