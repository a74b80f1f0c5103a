/* Reads and measures what checkup.h judges. */
#include "doctor.h"

#include "../sim/machine.h"
#include "cuda_try.h"
#include "nvml.h"
#include "product.h"
#include "spin.h"
#include "timing.h"

#include <math.h>
#include <time.h>

enum { REPS = 10, LAUNCHES = 100, BATCHES = 5 };
static const double UNKNOWN = (double)NAN;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The driver averages over up to a second: a program that has just ended is given that long to fade. */
static double utilisation_percent(void)
{
    const struct timespec pause = {0, 250000000};
    double percent = tw_nvml_utilisation_percent();
    for (int i = 0; i < 8 && percent > 0.0; i++) {
        nanosleep(&pause, NULL);
        percent = fmin(percent, tw_nvml_utilisation_percent());
    }
    return percent;
}

static void read_driver(tw_gpu_checkup *c)
{
    c->utilisation_percent = utilisation_percent();
    c->other_processes = tw_nvml_other_processes();
    c->max_sm_clock_mhz = tw_nvml_max_sm_clock_mhz();
    c->power_limit_w = tw_nvml_power_limit_w();
    c->default_power_limit_w = tw_nvml_default_power_limit_w();
    c->ecc = tw_nvml_ecc();
    c->uncorrected_errors = tw_nvml_uncorrected_errors();
}

/* A copy of B bytes reads B and writes B on one bus, in turns. */
static void read_machine(tw_gpu_checkup *c, const char *name)
{
    tw_machine m;
    c->machine_copy_bytes_per_s = c->machine_product_flops_per_s = UNKNOWN;
    if (tw_machine_find(&m, name) != TW_OK)
        return;
    if (m.hbm_read_bytes_per_s > 0.0 && m.hbm_write_bytes_per_s > 0.0)
        c->machine_copy_bytes_per_s = 2.0 / (1.0 / m.hbm_read_bytes_per_s + 1.0 / m.hbm_write_bytes_per_s);
    if (m.tensor_fp16_flops_per_s > 0.0)
        c->machine_product_flops_per_s = m.tensor_fp16_flops_per_s;
}

/* The best of a few batches: a host that is interrupted now and then is no slow host. */
static tw_status measure_launch(tw_gpu_checkup *c, struct CUstream_st *stream)
{
    c->launch_us = INFINITY;
    for (int b = 0; b < BATCHES; b++) {
        double start_s = now_s();
        for (int i = 0; i < LAUNCHES; i++)
            TW_TRY(tw_gpu_mark_case(stream));
        c->launch_us = fmin(c->launch_us, 1e6 * (now_s() - start_s) / LAUNCHES);
        TW_CUDA_TRY(cudaStreamSynchronize(stream));
    }
    return TW_OK;
}

static tw_status measure_copy(tw_gpu_checkup *c, struct CUstream_st *stream)
{
    tw_gpu_copy copy;
    tw_gpu_timing timing;
    c->copy_bytes_per_s = UNKNOWN;
    tw_status status = tw_gpu_copy_make(&copy, stream);
    if (status == TW_ENOMEM)
        return TW_OK;
    TW_TRY(status);
    const tw_gpu_work work = tw_gpu_copy_work(&copy);
    status = tw_gpu_time(&timing, &work, REPS, 0.0);
    if (status == TW_OK)
        c->copy_bytes_per_s = 2.0 * (double)copy.bytes / (1e-6 * timing.time_us);
    tw_gpu_copy_free(&copy);
    return status;
}

static tw_status measure_product(tw_gpu_checkup *c, struct CUstream_st *stream, double load_seconds)
{
    tw_gpu_product product;
    tw_gpu_timing timing = {0};
    c->product_flops_per_s = c->sm_clock_mhz = c->power_w = UNKNOWN;
    tw_status status = tw_gpu_product_make(&product, 1, stream);
    if (status == TW_ENOMEM)
        return TW_OK;
    TW_TRY(status);
    const tw_gpu_work work = tw_gpu_product_work(&product);
    status = tw_gpu_time(&timing, &work, REPS, load_seconds);
    tw_gpu_product_free(&product);
    TW_TRY(status);
    c->product_flops_per_s = TW_GPU_PRODUCT_FLOPS / (1e-6 * timing.time_us);
    c->sm_clock_mhz = timing.sm_clock_mhz;
    c->power_w = timing.power_w;
    c->slowdowns = timing.slowdowns;
    return TW_OK;
}

tw_status tw_gpu_examine(tw_gpu_checkup *checkup, const tw_gpu_device *device, struct CUstream_st *stream,
                         double load_seconds)
{
    tw_gpu_checkup c = {.slowdowns = 0};
    read_driver(&c);
    read_machine(&c, device->machine);
    TW_TRY(measure_launch(&c, stream));
    TW_TRY(measure_copy(&c, stream));
    TW_TRY(measure_product(&c, stream, load_seconds));
    c.temperature_c = tw_nvml_temperature_c();
    *checkup = c;
    return TW_OK;
}

tw_status tw_gpu_write_examination(FILE *file, const tw_gpu_device *device, struct CUstream_st *stream)
{
    const double LOAD_SECONDS = 0.5;
    tw_gpu_checkup checkup;
    char line[640];
    TW_TRY(tw_gpu_examine(&checkup, device, stream, LOAD_SECONDS));
    tw_gpu_checkup_line(line, sizeof line, &checkup);
    fprintf(file, "# doctor: %s\n", line);
    return TW_OK;
}
