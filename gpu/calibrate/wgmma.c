/*
 * Tensor cores of Hopper: wgmma m64n256, both operands in shared memory, fp32 accumulators; fp16, bf16, fp8 (e4m3).
 *
 * Two warpgroups of one block an SM. Both operands are random numbers between -1 and 1: zeros would use less power.
 */
#include "calibrate.h"

enum { ROUNDS = 1000, REPS = 7, WARPGROUP = 128 };

static const struct {
    const char *name, *number, *per_second; /* the last NULL where a matrix product is measured for it */
    tw_cal_format format;
    int depth; /* columns of A and B in 32 bytes */
} formats[TW_CAL_NUM_FORMATS] = {
    {"m64n256k16 fp16", "wgmma_fp16_flops_per_clock", NULL, TW_CAL_FP16, 16},
    {"m64n256k16 bf16", "wgmma_bf16_flops_per_clock", NULL, TW_CAL_BF16, 16},
    {"m64n256k32 e4m3", "wgmma_fp8_flops_per_clock", "tensor_fp8_flops_per_s", TW_CAL_FP8, 32},
};

static double flops_of_group(int depth)
{
    return 2.0 * 64 * TW_CAL_WGMMA_N * depth * TW_CAL_WGMMA_GROUP;
}

double tw_cal_wgmma_flops_per_round(void)
{
    return flops_of_group(16);
}

static tw_status measure_cycles(tw_calibration *c, int f)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double flops = 2 * flops_of_group(formats[f].depth) * ROUNDS;
    TW_TRY(tw_cal_time_loop(c, formats[f].name, tw_cal_wgmma_kernel(formats[f].format, false), 2 * WARPGROUP,
                            TW_CAL_WGMMA_SMEM, loop, cycles, seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = flops / cycles[i];
    tw_readings_add(&c->readings, formats[f].number, cycles, c->facts.num_sms,
                    (tw_limits){500, 256.0 * formats[f].depth * 1.01, 0.02},
                    "wgmma %s, operands in shared memory, 2 warpgroups; over SMs", formats[f].name);
    return TW_OK;
}

/* What lasts: launches of some 10 ms for a second, those of its second half. */
static tw_status measure_lasting(tw_calibration *c, int f)
{
    void *cycles = NULL;
    tw_cal_load load;
    const int rounds = 8 * ROUNDS;
    TW_TRY(tw_cal_zeros(&cycles, sizeof(long long) * (size_t)c->facts.num_sms));
    tw_cal_loop loop = {rounds, 0, cycles, c->memory};
    tw_cal_kernel k = tw_cal_one_per_sm(c, formats[f].name, tw_cal_wgmma_kernel(formats[f].format, false),
                                        &loop, 2 * WARPGROUP);
    k.together = false;
    tw_status status = tw_cal_sustain(&load, c, tw_cal_queue_kernel, &k, c->options->quick ? 0.4 : 1.5);
    tw_cal_release(c, cycles);
    TW_TRY(status);
    const double flops = 2 * flops_of_group(formats[f].depth) * rounds * c->facts.num_sms;
    tw_readings_add_value(&c->readings, formats[f].per_second, flops / load.seconds, load.spread,
                          load.launches, (tw_limits){1e13, 1e16, 0.05},
                          "wgmma %s on random data after %.1f s at full load", formats[f].name,
                          c->options->quick ? 0.2 : 0.75);
    return TW_OK;
}

tw_status tw_cal_wgmma(tw_calibration *c)
{
    if (c->facts.arch != 90)
        return tw_fail(TW_EUNSUPPORTED, "wgmma is there at compute capability 9.0 alone");
    for (int f = 0; f < TW_CAL_NUM_FORMATS; f++)
        TW_TRY(measure_cycles(c, f));
    for (int f = 0; f < TW_CAL_NUM_FORMATS; f++)
        if (formats[f].per_second != NULL)
            TW_TRY(measure_lasting(c, f));
    return TW_OK;
}
