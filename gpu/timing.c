/* Time and energy of a launch. */
#include "timing.h"

#include "cuda_try.h"
#include "nvml.h"
#include "spin.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

static const long long SPIN_CYCLES = 1000000; /* some 0.6 ms: more than queuing a case takes */
static const int WARM_UP_LAUNCHES = 5;

static tw_status launch_kernel(const void *context)
{
    const tw_gpu_kernel_launch *launch = context;
    return launch->kernel->launch(&launch->args);
}

tw_gpu_work tw_gpu_kernel_work(const tw_gpu_kernel_launch *launch)
{
    return (tw_gpu_work){.launch = launch_kernel, .context = launch, .stream = launch->args.stream};
}

typedef struct events {
    cudaEvent_t start, stop;
} events;

static tw_status warm_up(const tw_gpu_work *work)
{
    for (int i = 0; i < WARM_UP_LAUNCHES; i++)
        TW_TRY(work->launch(work->context));
    TW_CUDA_TRY(cudaStreamSynchronize(work->stream));
    return TW_OK;
}

static tw_status time_one(double *us, const tw_gpu_work *work, const events *e)
{
    float ms;
    TW_TRY(tw_gpu_spin(work->stream, SPIN_CYCLES));
    TW_CUDA_TRY(cudaEventRecord(e->start, work->stream));
    TW_TRY(work->launch(work->context));
    TW_CUDA_TRY(cudaEventRecord(e->stop, work->stream));
    TW_CUDA_TRY(cudaEventSynchronize(e->stop));
    TW_CUDA_TRY(cudaEventElapsedTime(&ms, e->start, e->stop));
    *us = 1000.0 * (double)ms;
    return TW_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tw_status time_each(tw_gpu_timing *t, const tw_gpu_work *work, int reps, const events *e, double *us)
{
    TW_TRY(warm_up(work));
    for (int i = 0; i < reps; i++)
        TW_TRY(time_one(&us[i], work, e));
    qsort(us, (size_t)reps, sizeof *us, ascending);
    t->reps = reps;
    t->time_us = reps % 2 ? us[reps / 2] : 0.5 * (us[reps / 2 - 1] + us[reps / 2]);
    t->time_min_us = us[0];
    t->time_max_us = us[reps - 1];
    return TW_OK;
}

/* ---- energy -------------------------------------------------------------------------------------------- */

/*
 * The driver answers slowly, some 10 ms a question, so another thread asks while this one queues launches. The
 * energy counter moves in steps: power is taken between the first and the last step that were seen.
 */
typedef struct power_watch {
    atomic_bool stop;
    double start_s, seconds; /* when the launches began, how long they are meant to go on */
    double last_mj, first_step_s, first_step_mj, last_step_s, last_step_mj, clock_sum;
    int steps, clocks, looks;
    unsigned slowdowns;
} power_watch;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void look(power_watch *w)
{
    double mj = tw_nvml_energy_mj(), s = now_s(), clock = tw_nvml_sm_clock_mhz();
    bool stepped = !isnan(mj) && !isnan(w->last_mj) && mj != w->last_mj;
    w->last_mj = mj;
    if (s - w->start_s < 0.1 * w->seconds) /* power needs time to rise */
        return;
    if (w->looks++ % 8 == 0) /* seldom, so that the steps of the energy are still seen when they come */
        w->slowdowns |= tw_nvml_slowdowns();
    if (!isnan(clock)) {
        w->clock_sum += clock;
        w->clocks++;
    }
    if (stepped && w->steps++ == 0) {
        w->first_step_s = s;
        w->first_step_mj = mj;
    } else if (stepped) {
        w->last_step_s = s;
        w->last_step_mj = mj;
    }
}

static void *watch(void *context)
{
    const struct timespec pause = {0, 1000000};
    power_watch *w = context;
    while (!atomic_load(&w->stop)) {
        look(w);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static tw_status run_back_to_back(double *launch_s, const tw_gpu_work *work, const events *e, int launches)
{
    float ms;
    TW_CUDA_TRY(cudaEventRecord(e->start, work->stream));
    for (int i = 0; i < launches; i++)
        TW_TRY(work->launch(work->context));
    TW_CUDA_TRY(cudaEventRecord(e->stop, work->stream));
    TW_CUDA_TRY(cudaEventSynchronize(e->stop));
    TW_CUDA_TRY(cudaEventElapsedTime(&ms, e->start, e->stop));
    *launch_s = 1e-3 * (double)ms / launches;
    return TW_OK;
}

static tw_status measure_energy(tw_gpu_timing *t, const tw_gpu_work *work, const events *e, double seconds)
{
    int launches = (int)ceil(1e6 * seconds / t->time_us);
    power_watch w = {.start_s = now_s(), .seconds = seconds, .last_mj = (double)NAN};
    double launch_s = 0.0;
    pthread_t watcher;
    if (pthread_create(&watcher, NULL, watch, &w) != 0)
        return tw_fail(TW_ENOMEM, "no thread to watch the energy with");
    tw_status status = run_back_to_back(&launch_s, work, e, launches);
    atomic_store(&w.stop, true);
    pthread_join(watcher, NULL);
    double between_s = w.last_step_s - w.first_step_s;
    t->power_w = w.steps > 1 ? 1e-3 * (w.last_step_mj - w.first_step_mj) / between_s : (double)NAN;
    t->energy_mj = 1e3 * t->power_w * launch_s;
    t->slowdowns = w.slowdowns;
    t->sm_clock_mhz = w.clocks > 0 ? w.clock_sum / w.clocks : (double)NAN;
    return status;
}

static tw_status measure(tw_gpu_timing *t, const tw_gpu_work *work, int reps, double energy_seconds,
                         events *e, double *us)
{
    TW_CUDA_TRY(cudaEventCreate(&e->start));
    TW_CUDA_TRY(cudaEventCreate(&e->stop));
    TW_TRY(time_each(t, work, reps, e, us));
    return energy_seconds > 0.0 ? measure_energy(t, work, e, energy_seconds) : TW_OK;
}

tw_status tw_gpu_time(tw_gpu_timing *timing, const tw_gpu_work *work, int reps, double energy_seconds)
{
    events e = {NULL, NULL};
    tw_gpu_timing t = {.energy_mj = (double)NAN, .sm_clock_mhz = (double)NAN, .power_w = (double)NAN};
    double *us = malloc((size_t)reps * sizeof *us);
    if (us == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d times", reps);
    tw_status status = measure(&t, work, reps, energy_seconds, &e, us);
    free(us);
    if (e.start != NULL)
        cudaEventDestroy(e.start);
    if (e.stop != NULL)
        cudaEventDestroy(e.stop);
    if (status == TW_OK)
        *timing = t;
    return status;
}
