/*
 * The pipes of a softmax, alone: fused multiply-adds, maxima, exponentials (base 2), conversions to fp16. Every thread
 * has CHAINS chains of dependent operations, so that a result is waited for by nobody but its own chain; 32 warps an SM.
 * Counted are instructions x threads, per clock and SM; a conversion makes two fp16 numbers.
 */
#include "calibrate.h"

enum { ROUNDS = 400, REPS = 9 }; /* the fastest takes 0.4 ms: a launch's 2 us are little of it */

static const struct {
    const char *per_clock, *per_second; /* NULL: not asked for */
    double operations;                  /* that one instruction is, in per_second */
    const char *instruction;
    tw_cal_pipe pipe;
    double lowest, highest; /* per clock and SM */
} pipes[TW_CAL_NUM_PIPES] = {
    {"fmas_per_clock", "fma_flops_per_s", 2, "fma.rn.f32", TW_CAL_PIPE_FMA, 30, 257},
    {"maxs_per_clock", NULL, 1, "max.f32", TW_CAL_PIPE_MAX, 15, 257},
    {"exps_per_clock", "exps_per_s", 1, "ex2.approx.ftz.f32", TW_CAL_PIPE_EXP, 3, 65},
    {"cvts_per_clock", NULL, 1, "cvt.rn.f16x2.f32", TW_CAL_PIPE_CVT, 7, 257},
};

static tw_status measure(tw_calibration *c, int which)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double instructions = (double)TW_CAL_PIPE_THREADS * TW_CAL_PIPE_CHAINS * TW_CAL_PIPE_LINKS * ROUNDS;
    TW_TRY(tw_cal_time_loop(c, pipes[which].instruction, tw_cal_pipe_kernel(pipes[which].pipe),
                            TW_CAL_PIPE_THREADS, 0, loop, cycles, seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = instructions / cycles[i];
    tw_readings_add(&c->readings, pipes[which].per_clock, cycles, c->facts.num_sms,
                    (tw_limits){pipes[which].lowest, pipes[which].highest, 0.02},
                    "%s, %d independent a thread, %d threads; over SMs", pipes[which].instruction,
                    TW_CAL_PIPE_CHAINS, TW_CAL_PIPE_THREADS);
    if (pipes[which].per_second == NULL)
        return TW_OK;
    for (int i = 0; i < REPS; i++)
        seconds[i] = pipes[which].operations * instructions * c->facts.num_sms / seconds[i];
    const double clocks = c->facts.num_sms * (c->facts.clock_hz > 0 ? c->facts.clock_hz : 4e9);
    tw_readings_add(&c->readings, pipes[which].per_second, seconds, REPS,
                    (tw_limits){0.05 * pipes[which].operations * pipes[which].lowest * clocks,
                                pipes[which].operations * pipes[which].highest * clocks, 0.1},
                    "the same over the time between two events, all SMs");
    return TW_OK;
}

tw_status tw_cal_pipes(tw_calibration *c)
{
    for (int i = 0; i < TW_CAL_NUM_PIPES; i++)
        TW_TRY(measure(c, i));
    return TW_OK;
}
