/* What all subjects use: the GPU and a buffer, launches that are timed, and waits that end. */
#include "calibrate.h"

#include "../cuda_try.h"
#include "../nvml.h"
#include "../spin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const long long SPIN_CYCLES = 150000; /* some 0.1 ms: more than queuing a launch takes */
static const double LONGEST_S = 20.0;        /* no kernel takes a tenth of that */

double tw_cal_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double tw_cal_seconds_left(const tw_calibration *c)
{
    return fmax(c->options->seconds - (tw_cal_now_s() - c->start_s), 0.0);
}

/* ---- the GPU -------------------------------------------------------------------------------------------- */

static tw_status ask(int *value, enum cudaDeviceAttr attribute)
{
    TW_CUDA_TRY(cudaDeviceGetAttribute(value, attribute, 0));
    return TW_OK;
}

/* An attribute that a driver may not have any more. */
static double ask_clock_hz(enum cudaDeviceAttr attribute)
{
    int khz = 0;
    if (cudaDeviceGetAttribute(&khz, attribute, 0) != cudaSuccess)
        (void)cudaGetLastError(); /* it is not known then, and no later call is to blame */
    return 1e3 * khz;
}

tw_status tw_cal_ask_driver(tw_calibration *c)
{
    tw_cal_facts *f = &c->facts;
    int l2_bytes = 0, registers = 0;
    size_t free_bytes = 0, total_bytes = 0;
    TW_TRY(tw_gpu_device_open(&c->device));
    snprintf(f->name, sizeof f->name, "%.127s", c->device.name);
    snprintf(f->machine, sizeof f->machine, "%s", c->device.machine);
    snprintf(f->driver, sizeof f->driver, "%.63s", c->device.driver);
    f->arch = c->device.arch;
    TW_TRY(ask(&f->num_sms, cudaDevAttrMultiProcessorCount));
    TW_TRY(ask(&f->smem_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin));
    TW_TRY(ask(&f->smem_bytes_per_sm, cudaDevAttrMaxSharedMemoryPerMultiprocessor));
    TW_TRY(ask(&registers, cudaDevAttrMaxRegistersPerMultiprocessor));
    TW_TRY(ask(&l2_bytes, cudaDevAttrL2CacheSize));
    TW_TRY(ask(&f->memory_bits, cudaDevAttrGlobalMemoryBusWidth));
    TW_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    f->register_bytes_per_sm = 4 * registers;
    f->l2_bytes = l2_bytes;
    f->hbm_bytes = (double)total_bytes;
    f->clock_hz = ask_clock_hz(cudaDevAttrClockRate);
    f->memory_clock_hz = ask_clock_hz(cudaDevAttrMemoryClockRate);
    if (!isnan(tw_nvml_max_sm_clock_mhz()))
        f->clock_hz = 1e6 * tw_nvml_max_sm_clock_mhz();
    if (f->num_sms < 2 || f->num_sms > TW_CAL_MAX_SMS)
        return tw_fail(TW_EUNSUPPORTED, "the %s has %d SMs, it must have 2 to %d", f->name, f->num_sms,
                       TW_CAL_MAX_SMS);
    return TW_OK;
}

/* As much as 2 GiB and what flushing takes, if that is less than half of what is free. */
static tw_status take_buffer(tw_calibration *c)
{
    const size_t granule = (size_t)2 << 20, least = (size_t)256 << 20;
    size_t free_bytes = 0, total_bytes = 0, wanted = ((size_t)2 << 30) + tw_cal_flush_bytes(c);
    TW_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    if (wanted > free_bytes / 2)
        wanted = free_bytes / 2 / granule * granule;
    if (wanted < least + 2 * tw_cal_flush_bytes(c))
        return tw_fail(TW_ENOMEM, "%.1f GB of GPU memory are free, calibrate needs at least %.1f GB",
                       (double)free_bytes / 1e9, 2e-9 * (double)(least + 2 * tw_cal_flush_bytes(c)));
    TW_CUDA_TRY(cudaMalloc(&c->memory, wanted));
    c->memory_bytes = wanted;
    return tw_cal_fill(c);
}

tw_status tw_cal_open(tw_calibration *c)
{
    TW_TRY(tw_cal_ask_driver(c));
    if (c->facts.arch < 80)
        return tw_fail(TW_EUNSUPPORTED,
                       "calibrate needs compute capability 8.0, the %s has %d.%d; --properties makes "
                       "a machine file without measuring",
                       c->facts.name, c->facts.arch / 10, c->facts.arch % 10);
    TW_CUDA_TRY(cudaStreamCreate(&c->stream));
    TW_CUDA_TRY(cudaEventCreate(&c->begin));
    TW_CUDA_TRY(cudaEventCreate(&c->end));
    return take_buffer(c);
}

void tw_cal_close(tw_calibration *c)
{
    free(c->home_of);
    c->home_of = NULL;
    if (c->stuck) /* whatever is asked of the driver now may wait for the kernel that does not end */
        return;
    if (c->memory)
        cudaFree(c->memory);
    if (c->begin)
        cudaEventDestroy(c->begin);
    if (c->end)
        cudaEventDestroy(c->end);
    if (c->stream)
        cudaStreamDestroy(c->stream);
}

/* ---- launches ------------------------------------------------------------------------------------------- */

tw_cal_kernel tw_cal_on_all_sms(const tw_calibration *c, const char *name, const void *function,
                                void *argument, int blocks_per_sm, int threads)
{
    return (tw_cal_kernel){.name = name,
                           .function = function,
                           .blocks = blocks_per_sm * c->facts.num_sms,
                           .threads = threads,
                           .argument = argument};
}

tw_cal_kernel tw_cal_one_per_sm(const tw_calibration *c, const char *name, const void *function,
                                void *argument, int threads)
{
    tw_cal_kernel k = tw_cal_on_all_sms(c, name, function, argument, 1, threads);
    k.smem_bytes = c->facts.smem_bytes_per_sm / 2 + 1024; /* no second one fits beside it */
    if (k.smem_bytes > c->facts.smem_bytes)
        k.smem_bytes = c->facts.smem_bytes;
    k.together = true;
    return k;
}

tw_status tw_cal_queue_kernel(tw_calibration *c, const void *context)
{
    const tw_cal_kernel *k = context;
    const dim3 grid = {(unsigned)k->blocks, 1, 1}, block = {(unsigned)k->threads, 1, 1};
    void *arguments[1] = {k->argument};
    if (k->smem_bytes > 0)
        TW_CUDA_TRY(
            cudaFuncSetAttribute(k->function, cudaFuncAttributeMaxDynamicSharedMemorySize, k->smem_bytes));
    if (k->together)
        TW_CUDA_TRY(cudaLaunchCooperativeKernel(k->function, grid, block, arguments, (size_t)k->smem_bytes,
                                                c->stream));
    else
        TW_CUDA_TRY(cudaLaunchKernel(k->function, grid, block, arguments, (size_t)k->smem_bytes, c->stream));
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

/* Until an event has come, or for too long. */
static tw_status wait_for(tw_calibration *c, cudaEvent_t event, const char *name)
{
    const struct timespec pause = {0, 20000};
    double start = tw_cal_now_s();
    cudaError_t error;
    while ((error = cudaEventQuery(event)) == cudaErrorNotReady) {
        if (tw_cal_now_s() - start > LONGEST_S) {
            c->stuck = true;
            return tw_fail(
                TW_EGPU,
                "%s did not end within %.0f s, it must take far less than 1 s: the GPU is busy with "
                "others' work, or hangs",
                name, LONGEST_S);
        }
        nanosleep(&pause, NULL);
    }
    if (error != cudaSuccess)
        return tw_fail(tw_cuda_status(error), "%s failed: %s (%s)", name, cudaGetErrorName(error),
                       cudaGetErrorString(error));
    return TW_OK;
}

tw_status tw_cal_run(tw_calibration *c, const tw_cal_kernel *kernel)
{
    TW_TRY(tw_cal_queue_kernel(c, kernel));
    TW_CUDA_TRY(cudaEventRecord(c->end, c->stream));
    return wait_for(c, c->end, kernel->name);
}

tw_status tw_cal_time(tw_calibration *c, const tw_cal_kernel *kernel, double *seconds, int n)
{
    TW_TRY(tw_cal_run(c, kernel));
    for (int i = 0; i < n; i++) {
        float ms = 0;
        TW_TRY(tw_gpu_spin(c->stream, SPIN_CYCLES));
        TW_CUDA_TRY(cudaEventRecord(c->begin, c->stream));
        TW_TRY(tw_cal_queue_kernel(c, kernel));
        TW_CUDA_TRY(cudaEventRecord(c->end, c->stream));
        TW_TRY(wait_for(c, c->end, kernel->name));
        TW_CUDA_TRY(cudaEventElapsedTime(&ms, c->begin, c->end));
        seconds[i] = 1e-3 * (double)ms;
    }
    return TW_OK;
}

static tw_status run_loop(tw_calibration *c, const tw_cal_kernel *k, const tw_cal_loop *loop, double *cycles,
                          double *seconds, int reps)
{
    static long long fetched[TW_CAL_MAX_SMS];
    if (seconds)
        TW_TRY(tw_cal_time(c, k, seconds, reps));
    else
        TW_TRY(tw_cal_run(c, k));
    TW_TRY(tw_cal_fetch(c, fetched, loop->cycles, (size_t)c->facts.num_sms * sizeof *fetched));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = fetched[i] > 0 ? (double)fetched[i] : (double)NAN;
    return TW_OK;
}

tw_status tw_cal_time_loop(tw_calibration *c, const char *name, const void *function, int threads,
                           int smem_bytes, tw_cal_loop loop, double *cycles, double *seconds, int reps)
{
    void *memory = NULL;
    TW_TRY(tw_cal_zeros(&memory, (size_t)c->facts.num_sms * sizeof *loop.cycles));
    loop.cycles = memory;
    loop.sink = c->memory;
    tw_cal_kernel k = tw_cal_one_per_sm(c, name, function, &loop, threads);
    k.together = false;
    if (smem_bytes > k.smem_bytes)
        k.smem_bytes = smem_bytes;
    tw_status status = run_loop(c, &k, &loop, cycles, seconds, reps);
    tw_cal_release(c, memory);
    return status;
}

/* ---- lasting load --------------------------------------------------------------------------------------- */

/* Power between two readings of the energy counter, which moves in steps of some 20 ms. */
typedef struct energy_meter {
    double start_s, start_mj;
} energy_meter;

static energy_meter start_meter(void)
{
    double mj = tw_nvml_energy_mj();
    return (energy_meter){tw_cal_now_s(), mj};
}

static double read_meter_w(const energy_meter *m)
{
    double mj = tw_nvml_energy_mj(), s = tw_cal_now_s();
    return s - m->start_s > 0.2 ? 1e-3 * (mj - m->start_mj) / (s - m->start_s) : (double)NAN;
}

/* Times between neighbouring events of [first, last]. */
static tw_status times_between(double *times, cudaEvent_t *events, int first, int last)
{
    for (int i = first; i < last; i++) {
        float ms = 0;
        TW_CUDA_TRY(cudaEventElapsedTime(&ms, events[i], events[i + 1]));
        times[i - first] = 1e-3 * (double)ms;
    }
    return TW_OK;
}

/* Two launches are always queued beyond the one that runs, so that the GPU does not pause. */
static tw_status sustain(tw_cal_load *load, tw_calibration *c, tw_cal_queue_fn queue, const void *context,
                         double seconds, cudaEvent_t *events)
{
    static double times[TW_CAL_MAX_LOAD];
    const double start = tw_cal_now_s();
    energy_meter meter = {.start_s = 0.0};
    int count = 0, half = -1;
    TW_CUDA_TRY(cudaEventRecord(events[0], c->stream));
    for (; count < TW_CAL_MAX_LOAD && (count < 4 || tw_cal_now_s() - start < seconds); count++) {
        TW_TRY(queue(c, context));
        TW_CUDA_TRY(cudaEventRecord(events[count + 1], c->stream));
        if (count >= 2)
            TW_TRY(wait_for(c, events[count - 2], "a lasting load"));
        if (half < 0 && count >= 2 && tw_cal_now_s() - start >= 0.5 * seconds) {
            half = count - 2;
            meter = start_meter();
        }
    }
    load->power_w = half >= 0 ? read_meter_w(&meter) : (double)NAN;
    TW_TRY(wait_for(c, events[count], "a lasting load"));
    if (half < 0)
        half = count / 2;
    load->launches = count - half;
    TW_TRY(times_between(times, events, half, count));
    load->seconds = tw_median(times, load->launches);
    load->spread = tw_spread(times, load->launches);
    return TW_OK;
}

tw_status tw_cal_sustain(tw_cal_load *load, tw_calibration *c, tw_cal_queue_fn queue, const void *context,
                         double seconds)
{
    cudaEvent_t events[TW_CAL_MAX_LOAD + 1] = {NULL};
    tw_status status = TW_OK;
    for (int i = 0; i <= TW_CAL_MAX_LOAD; i++)
        TW_CUDA_TRY(cudaEventCreate(&events[i]));
    status = sustain(load, c, queue, context, seconds, events);
    for (int i = 0; i <= TW_CAL_MAX_LOAD && !c->stuck; i++)
        cudaEventDestroy(events[i]);
    return status;
}

/* ---- memory --------------------------------------------------------------------------------------------- */

tw_status tw_cal_zeros(void **memory, size_t bytes)
{
    *memory = NULL;
    TW_CUDA_TRY(cudaMalloc(memory, bytes));
    cudaError_t error = cudaMemset(*memory, 0, bytes);
    if (error != cudaSuccess) {
        cudaFree(*memory);
        *memory = NULL;
        return tw_fail(TW_EGPU, "%zu bytes of GPU memory cannot be cleared: %s", bytes,
                       cudaGetErrorString(error));
    }
    return TW_OK;
}

void tw_cal_release(const tw_calibration *c, void *memory)
{
    if (memory && !c->stuck)
        cudaFree(memory);
}

tw_status tw_cal_fetch(tw_calibration *c, void *host, const void *device, size_t bytes)
{
    TW_CUDA_TRY(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, c->stream));
    TW_CUDA_TRY(cudaEventRecord(c->end, c->stream));
    return wait_for(c, c->end, "a copy to the host");
}

/* ---- curves --------------------------------------------------------------------------------------------- */

tw_status tw_cal_curve_open(tw_csv *csv, const tw_calibration *c, const char *name, const char *columns)
{
    char path[4096];
    *csv = (tw_csv){.file = NULL};
    if (!c->options->plots)
        return TW_OK;
    int length = snprintf(path, sizeof path, "%s/%s.csv", c->options->plots, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return tw_fail(TW_EINVAL, "--plots has more than %zu characters", sizeof path);
    TW_TRY(tw_csv_open(csv, path));
    tw_gpu_write_header(csv->file, &c->device, c->command_line);
    if (*columns != '\0')
        fprintf(csv->file, "%s\n", columns);
    return TW_OK;
}

tw_status tw_cal_readings_open(tw_csv *csv, const tw_calibration *c)
{
    return tw_cal_curve_open(csv, c, "readings", "");
}
