/*
 * What a launch costs beside its work, from an empty kernel with one block an SM:
 *
 *     launch_overhead   between two events around one launch, the queue being full: what `bench` would report for it
 *     launch_interval   from one launch to the next when many are queued back to back
 */
#include "calibrate.h"

#include "../cuda_try.h"
#include "../spin.h"

enum { REPS = 41, BURST = 64, BURSTS = 9 };
static const long long BURST_SPIN_CYCLES = 2000000; /* some 1 ms: queuing a burst takes less */

/* The first and the last of a burst bracket BURST - 1 intervals and one kernel. */
static tw_status time_burst(double *interval_s, tw_calibration *c, const tw_cal_kernel *k)
{
    float ms = 0;
    TW_TRY(tw_gpu_spin(c->stream, BURST_SPIN_CYCLES));
    TW_TRY(tw_cal_queue_kernel(c, k));
    TW_CUDA_TRY(cudaEventRecord(c->begin, c->stream));
    for (int i = 0; i < BURST; i++)
        TW_TRY(tw_cal_queue_kernel(c, k));
    TW_TRY(tw_cal_run(c, k)); /* records c->end */
    TW_CUDA_TRY(cudaEventElapsedTime(&ms, c->begin, c->end));
    *interval_s = 1e-3 * (double)ms / (BURST + 1);
    return TW_OK;
}

tw_status tw_cal_launch_overhead(tw_calibration *c)
{
    double seconds[REPS], intervals[BURSTS];
    tw_cal_nothing argument = {0};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "an empty kernel", tw_cal_empty_kernel(), &argument, 1, 128);
    TW_TRY(tw_cal_time(c, &k, seconds, REPS));
    tw_readings_add(&c->readings, "launch_overhead_s", seconds, REPS, (tw_limits){2e-7, 1e-4, 0.3},
                    "empty kernel, a block an SM, between two events, queued ahead");
    for (int i = 0; i < BURSTS; i++)
        TW_TRY(time_burst(&intervals[i], c, &k));
    tw_readings_add(&c->readings, "launch_interval_s", intervals, BURSTS, (tw_limits){2e-7, 1e-4, 0.2},
                    "%d empty kernels back to back", BURST);
    return TW_OK;
}
