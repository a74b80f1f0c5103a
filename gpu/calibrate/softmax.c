/*
 * A step of online softmax, alone and beside others (softmax.cu): a line through its cycles, and speeds.
 *
 * Speeds are against one warpgroup alone at the same N, averaged over the N that were run. How far wgmma itself is slowed
 * down is measured against the same loop beside a warpgroup that sleeps.
 */
#include "calibrate.h"
#include "fit.h"

#include <math.h>

enum { ROUNDS = 1500, WARPGROUP = 128 };

static const struct {
    int n, workers;
    bool busy;
} cases[] = {
#define ROW(KEYS, WORKERS, BUSY) {KEYS, WORKERS, BUSY},
    TW_CAL_STEPS(ROW)
#undef ROW
};
enum { NUM_CASES = sizeof cases / sizeof cases[0] };

/* What one case gave: medians over SMs. */
typedef struct outcome {
    double step_cycles, spread; /* of one step; spread over SMs */
    double wgmma_cycles;        /* of one wgmma beside it; NaN if none ran */
} outcome;

static tw_status run_case(tw_calibration *c, int which, int rounds, void *memory, outcome *result)
{
    static long long steps[4 * TW_CAL_MAX_SMS];
    static double cycles[TW_CAL_MAX_SMS], wgmma[TW_CAL_MAX_SMS];
    const int n = c->facts.num_sms;
    tw_cal_step_args a = {rounds, memory, c->memory};
    tw_cal_kernel k = tw_cal_one_per_sm(
        c, "softmax steps", tw_cal_step_kernel(cases[which].n, cases[which].workers, cases[which].busy), &a,
        WARPGROUP * (cases[which].workers + cases[which].busy));
    k.together = false;
    TW_TRY(tw_cal_run(c, &k)); /* the first one warms up */
    TW_TRY(tw_cal_run(c, &k));
    TW_TRY(tw_cal_fetch(c, steps, memory, sizeof *steps * 4 * (size_t)n));
    for (int i = 0; i < n; i++) {
        cycles[i] = (double)steps[4 * i] / (rounds > 0 ? rounds : 1);
        wgmma[i] = cases[which].busy && steps[4 * i + 2] > 0
                       ? (double)steps[4 * i + 1] / ((double)steps[4 * i + 2] * TW_CAL_STEP_GROUP)
                       : (double)NAN;
    }
    result->step_cycles = tw_median(cycles, n);
    result->spread = tw_spread(cycles, n);
    result->wgmma_cycles = tw_median(wgmma, n);
    return TW_OK;
}

static double alone(const outcome *outcomes, int n)
{
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == 1 && !cases[i].busy && cases[i].n == n)
            return outcomes[i].step_cycles;
    return (double)NAN;
}

static void add_line(tw_calibration *c, const outcome *outcomes)
{
    double n[NUM_CASES], cycles[NUM_CASES];
    int points = 0;
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == 1 && !cases[i].busy) {
            n[points] = cases[i].n;
            cycles[points++] = outcomes[i].step_cycles;
        }
    const tw_line line = tw_fit_line(n, cycles, points);
    static const char how[] = "64 rows, S to P in registers, one warpgroup alone, N = 64 to 192: a + b N";
    tw_readings_add_value(&c->readings, "softmax_cycles", line.at_0, line.spread, points,
                          (tw_limits){0, 1000, 0.05}, "%s; a", how);
    tw_readings_add_value(&c->readings, "softmax_cycles_per_key", line.slope, line.spread, points,
                          (tw_limits){1, 30, 0.05}, "%s; b", how);
}

static void add_speed(tw_calibration *c, const outcome *outcomes, int workers, bool busy)
{
    char number[40];
    double speeds[NUM_CASES];
    int n = 0;
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == workers && cases[i].busy == busy)
            speeds[n++] = alone(outcomes, cases[i].n) / outcomes[i].step_cycles;
    snprintf(number, sizeof number, "softmax_speed_%d_%s", workers, busy ? "busy" : "idle");
    tw_readings_add(&c->readings, number, speeds, n, (tw_limits){0.05, 1.05, 0.2},
                    "%d warpgroup%s, tensor cores %s, against one alone; over N", workers,
                    workers == 1 ? "" : "s", busy ? "busy" : "idle");
}

/* One wgmma beside one worker, against one beside a sleeper. */
static void add_wgmma_speed(tw_calibration *c, const outcome *outcomes, double beside_sleeper)
{
    double speeds[NUM_CASES];
    int n = 0;
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == 1 && cases[i].busy)
            speeds[n++] = beside_sleeper / outcomes[i].wgmma_cycles;
    tw_readings_add(&c->readings, "wgmma_speed_beside_softmax", speeds, n, (tw_limits){0.3, 1.02, 0.1},
                    "m64n%dk16 fp16, %.1f cycles each beside a warpgroup that sleeps; over N",
                    TW_CAL_STEP_WGMMA_N, beside_sleeper);
}

static tw_status measure(tw_calibration *c, void *memory, tw_csv *csv)
{
    static outcome outcomes[NUM_CASES];
    outcome sleeper = {0, 0, 0};
    for (int i = 0; i < NUM_CASES; i++) {
        if (cases[i].busy && c->facts.arch != 90)
            continue;
        TW_TRY(run_case(c, i, ROUNDS, memory, &outcomes[i]));
        if (cases[i].busy && cases[i].workers == 1 && sleeper.wgmma_cycles == 0)
            TW_TRY(run_case(c, i, 0, memory, &sleeper));
        if (csv->file)
            fprintf(csv->file, "%d,%d,%d,%.5g,%.3g,%.4g\n", cases[i].n, cases[i].workers, cases[i].busy,
                    outcomes[i].step_cycles, outcomes[i].spread, outcomes[i].wgmma_cycles);
    }
    add_line(c, outcomes);
    for (int workers = 1; workers <= 3; workers++)
        for (int busy = 0; busy < 2; busy++)
            if ((workers > 1 || busy) && (!busy || c->facts.arch == 90))
                add_speed(c, outcomes, workers, busy);
    if (c->facts.arch == 90)
        add_wgmma_speed(c, outcomes, sleeper.wgmma_cycles);
    return TW_OK;
}

tw_status tw_cal_softmax(tw_calibration *c)
{
    void *memory = NULL;
    tw_csv csv;
    TW_TRY(
        tw_cal_curve_open(&csv, c, "softmax", "keys,warpgroups,tensor_busy,step_cycles,spread,wgmma_cycles"));
    tw_status status = tw_cal_zeros(&memory, 4 * sizeof(long long) * (size_t)c->facts.num_sms);
    if (status == TW_OK)
        status = measure(c, memory, &csv);
    tw_cal_release(c, memory);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}
