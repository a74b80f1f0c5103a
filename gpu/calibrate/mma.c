/*
 * Tensor cores the way every GPU since compute capability 8.0 has them: mma.sync m16n8k16, fp16 and bf16, fp32
 * accumulators. 16 warps an SM, 8 independent accumulators each; operands stay in registers.
 */
#include "calibrate.h"

enum { ROUNDS = 2000, REPS = 5 };
static const double FLOPS = 2.0 * 16 * 8 * 16; /* of one instruction */

static tw_status measure(tw_calibration *c, const char *number, const void *function, const char *format)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double flops = FLOPS * TW_CAL_MMA_TILES * ROUNDS * (TW_CAL_MMA_THREADS / 32);
    TW_TRY(tw_cal_time_loop(c, "mma.sync", function, TW_CAL_MMA_THREADS, 0, loop, cycles, seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = flops / cycles[i];
    tw_readings_add(&c->readings, number, cycles, c->facts.num_sms, (tw_limits){400, 8200, 0.02},
                    "mma.sync m16n8k16 %s, %d warps with %d accumulators; over SMs", format,
                    TW_CAL_MMA_THREADS / 32, TW_CAL_MMA_TILES);
    return TW_OK;
}

tw_status tw_cal_mma(tw_calibration *c)
{
    TW_TRY(measure(c, "mma_fp16_flops_per_clock", tw_cal_mma_kernel(false), "fp16"));
    return measure(c, "mma_bf16_flops_per_clock", tw_cal_mma_kernel(true), "bf16");
}
