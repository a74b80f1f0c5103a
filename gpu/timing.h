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
    double power_w;                           /**< likewise; NAN if not known */
    unsigned slowdowns; /**< what held the clock back meanwhile: TW_NVML_SLOWED_… of nvml.h */
} tw_gpu_timing;

/** What can be launched again and again: a kernel on its tensors, a matrix product, a copy. */
typedef struct tw_gpu_work {
    tw_status (*launch)(
        const void *context); /**< queues it on the stream; allocates nothing, waits for nothing */
    const void *context;
    struct CUstream_st *stream;
} tw_gpu_work;

/** A kernel and its arguments as work. */
typedef struct tw_gpu_kernel_launch {
    const tw_gpu_kernel *kernel;
    tw_gpu_args args;
} tw_gpu_kernel_launch;

/** The launch must outlive the work. */
tw_gpu_work tw_gpu_kernel_work(const tw_gpu_kernel_launch *launch);

/**
 * @brief Times launches one by one with events, then runs them back to back for the energy.
 *
 * Before each timed launch a spin kernel occupies the GPU until the host has queued everything, so that the
 * host's time is not charged. Medians of at least 20 are meant to be quoted.
 * @param[in] energy_seconds  for so long launches run back to back; 0: not at all, energy and clock are NAN
 * @return TW_OK; TW_EGPU; TW_ENOMEM; what launch() returns
 */
TW_MUST_CHECK tw_status tw_gpu_time(tw_gpu_timing *timing, const tw_gpu_work *work, int reps,
                                    double energy_seconds);

#endif
