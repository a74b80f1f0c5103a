/**
 * @file timing.h
 * @brief Time and energy of a launch.
 */
#ifndef TW_GPU_TIMING_H
#define TW_GPU_TIMING_H

#include "kernel.h"

/** What was measured of one case. */
typedef struct tw_gpu_timing {
    int reps;
    double time_us, time_min_us, time_max_us; /**< median, fastest, slowest of the timed launches */
    double energy_mj;                         /**< per launch, back to back; NAN if not known */
    double sm_clock_mhz;                      /**< while they ran back to back; NAN if not known */
} tw_gpu_timing;

/**
 * @brief Times launches one by one with events, then runs them back to back for about 0.5 s for the energy.
 *
 * Before each timed launch a spin kernel occupies the GPU until the host has queued everything, so that the
 * host's time is not charged. Medians of at least 20 are meant to be quoted.
 * @return TW_OK; TW_EGPU; TW_ENOMEM; what launch() returns
 */
TW_MUST_CHECK tw_status tw_gpu_time(tw_gpu_timing *timing, const tw_gpu_kernel *kernel,
                                    const tw_gpu_args *args, int reps);

#endif
