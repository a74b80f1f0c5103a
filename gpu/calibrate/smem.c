/*
 * Shared memory: 1,024 threads load 16 bytes each, neighbours side by side, so that no two lanes of a quarter of a warp
 * meet in a bank. Hardware can give 128 bytes a clock and SM: 32 banks of 4 bytes.
 */
#include "calibrate.h"

enum { ROUNDS = 2000, REPS = 11 };

tw_status tw_cal_smem(tw_calibration *c)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double bytes = 16.0 * TW_CAL_SMEM_THREADS * TW_CAL_SMEM_LOADS * ROUNDS;
    TW_TRY(tw_cal_time_loop(c, "loads from shared memory", tw_cal_smem_kernel(), TW_CAL_SMEM_THREADS,
                            16 * TW_CAL_SMEM_THREADS, loop, cycles, seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = bytes / cycles[i];
    for (int i = 0; i < REPS; i++)
        seconds[i] = bytes * c->facts.num_sms / seconds[i];
    tw_readings_add(&c->readings, "smem_bytes_per_clock", cycles, c->facts.num_sms,
                    (tw_limits){60, 129, 0.02}, "ld.shared of 16 bytes, %d threads, no conflicts; over SMs",
                    TW_CAL_SMEM_THREADS);
    tw_readings_add(&c->readings, "smem_bytes_per_s", seconds, REPS, (tw_limits){1e11, 1e15, 0.1},
                    "the same, all SMs over the time between two events");
    return TW_OK;
}
