/* The judgement on what the doctor found. The limits are judgements too: each says of what. */
#include "checkup.h"

#include "nvml.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of the highest clock, under load: the power limit alone leaves an H100 about 0.7. */
static const double CLOCK_SHARE = 0.55;
/* A healthy host takes 2 to 5; a case of eight launches must be queued while a spin kernel runs for 0.5 ms. */
static const double LAUNCH_US = 10.0, LAUNCH_MAX_US = 60.0;
static const double BUSY_PERCENT = 5.0;
/* Of the machine file's rates. A copy reads and writes in turns and reaches about 0.9 of what either does alone. */
static const double COPY_SHARE = 0.85, COPY_MIN_SHARE = 0.70;
static const double PRODUCT_SHARE = 0.93, PRODUCT_MIN_SHARE = 0.85;

/* ---- one finding ---------------------------------------------------------------------------------------- */

static void find(tw_gpu_finding *f, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void find(tw_gpu_finding *f, const char *what, const char *format, ...)
{
    va_list values;
    *f = (tw_gpu_finding){.what = what, .fitness = TW_GPU_FIT};
    va_start(values, format);
    vsnprintf(f->value, sizeof f->value, format, values);
    va_end(values);
}

/* The first remark stands; what is worse replaces it. */
static void remark(tw_gpu_finding *f, tw_gpu_fitness fitness, const char *line)
{
    if (fitness <= f->fitness)
        return;
    f->fitness = fitness;
    snprintf(f->remark, sizeof f->remark, "%s", line);
}

static void unknown(tw_gpu_finding *f, const char *what)
{
    find(f, what, "unknown");
    remark(f, TW_GPU_REMARK, "the driver does not say");
}

/* ---- what there is to find ------------------------------------------------------------------------------ */

static void judge_clock(tw_gpu_finding *f, const tw_gpu_checkup *c)
{
    static const char what[] = "SM clock under load";
    static const unsigned faults = TW_NVML_SLOWED_BY_HARDWARE | TW_NVML_SLOWED_BY_HEAT_SOFTWARE |
                                   TW_NVML_SLOWED_BY_HEAT_HARDWARE | TW_NVML_SLOWED_BY_POWER_BRAKE;
    if (isnan(c->sm_clock_mhz) || isnan(c->max_sm_clock_mhz))
        unknown(f, what);
    else
        find(f, what, "%.0f of %.0f MHz%s", c->sm_clock_mhz, c->max_sm_clock_mhz,
             c->slowdowns & TW_NVML_SLOWED_BY_POWER_LIMIT ? ", held by the power limit" : "");
    if (c->slowdowns & faults)
        remark(f, TW_GPU_UNFIT, "held back by heat, or by the power supply");
    else if (c->sm_clock_mhz < CLOCK_SHARE * c->max_sm_clock_mhz)
        remark(f, TW_GPU_REMARK, "low: is the clock locked?");
}

static void judge_power(tw_gpu_finding *f, const tw_gpu_checkup *c)
{
    static const char what[] = "power under load";
    if (isnan(c->power_limit_w))
        unknown(f, what);
    else if (isnan(c->power_w))
        find(f, what, "limit %.0f W", c->power_limit_w);
    else
        find(f, what, "%.0f W, limit %.0f W", c->power_w, c->power_limit_w);
    if (c->power_limit_w < 0.99 * c->default_power_limit_w)
        remark(f, TW_GPU_REMARK,
               "the limit was lowered: kernels that are short of power run slower than elsewhere");
}

static void judge_temperature(tw_gpu_finding *f, const tw_gpu_checkup *c)
{
    if (isnan(c->temperature_c))
        unknown(f, "temperature");
    else
        find(f, "temperature", "%.0f C", c->temperature_c);
}

static void judge_memory(tw_gpu_finding *f, const tw_gpu_checkup *c)
{
    static const char what[] = "error correction";
    if (isnan(c->ecc))
        unknown(f, what);
    else
        find(f, what, "%s, %.0f uncorrected errors", c->ecc != 0.0 ? "on" : "off",
             isnan(c->uncorrected_errors) ? 0.0 : c->uncorrected_errors);
    if (c->uncorrected_errors > 0.0)
        remark(f, TW_GPU_UNFIT, "the memory makes errors");
    else if (c->ecc == 0.0)
        remark(f, TW_GPU_REMARK, "off: bandwidth may be higher than that of the machine file");
}

static void judge_company(tw_gpu_finding *f, const tw_gpu_checkup *c)
{
    static const char what[] = "other processes";
    if (isnan(c->other_processes))
        unknown(f, what);
    else
        find(f, what, "%.0f; GPU %.0f%% busy before the start", c->other_processes,
             isnan(c->utilisation_percent) ? 0.0 : c->utilisation_percent);
    if (c->utilisation_percent > BUSY_PERCENT)
        remark(f, TW_GPU_UNFIT, "somebody else is using this GPU");
    else if (c->other_processes > 0.0)
        remark(f, TW_GPU_REMARK, "somebody else has a context on this GPU, idle now");
}

static void judge_launch(tw_gpu_finding *f, const tw_gpu_checkup *c)
{
    find(f, "host, per launch", "%.1f us", c->launch_us);
    if (!(c->launch_us <= LAUNCH_MAX_US))
        remark(f, TW_GPU_UNFIT, "so slow that it is charged to kernels");
    else if (c->launch_us > LAUNCH_US)
        remark(f, TW_GPU_REMARK, "slow: back-to-back figures of short kernels include it");
}

/* A rate beside the machine file's. */
static void judge_rate(tw_gpu_finding *f, const char *what, double rate, double expected, double unit,
                       const char *unit_name, double share, double min_share)
{
    if (isnan(rate)) {
        find(f, what, "not measured");
        remark(f, TW_GPU_REMARK, "not enough memory is free");
        return;
    }
    if (isnan(expected)) {
        find(f, what, "%.0f %s", rate / unit, unit_name);
        remark(f, TW_GPU_REMARK, "no machine file to compare with");
        return;
    }
    find(f, what, "%.0f %s, %.0f%% of the machine file's", rate / unit, unit_name, 100.0 * rate / expected);
    if (rate < min_share * expected)
        remark(f, TW_GPU_UNFIT, "far below what this GPU does");
    else if (rate < share * expected)
        remark(f, TW_GPU_REMARK, "below what this GPU does");
}

int tw_gpu_checkup_findings(tw_gpu_finding f[TW_GPU_MAX_FINDINGS], const tw_gpu_checkup *c)
{
    int n = 0;
    judge_clock(&f[n++], c);
    judge_power(&f[n++], c);
    judge_temperature(&f[n++], c);
    judge_memory(&f[n++], c);
    judge_company(&f[n++], c);
    judge_launch(&f[n++], c);
    judge_rate(&f[n++], "copy", c->copy_bytes_per_s, c->machine_copy_bytes_per_s, 1e9, "GB/s", COPY_SHARE,
               COPY_MIN_SHARE);
    judge_rate(&f[n++], "matrix product", c->product_flops_per_s, c->machine_product_flops_per_s, 1e12,
               "TFLOP/s", PRODUCT_SHARE, PRODUCT_MIN_SHARE);
    return n;
}

/* ---- all of them together ------------------------------------------------------------------------------- */

tw_gpu_fitness tw_gpu_checkup_fitness(const tw_gpu_checkup *checkup)
{
    tw_gpu_finding f[TW_GPU_MAX_FINDINGS];
    tw_gpu_fitness worst = TW_GPU_FIT;
    int n = tw_gpu_checkup_findings(f, checkup);
    for (int i = 0; i < n; i++)
        worst = f[i].fitness > worst ? f[i].fitness : worst;
    return worst;
}

void tw_gpu_checkup_verdict(char *text, size_t size, const tw_gpu_checkup *checkup)
{
    tw_gpu_finding f[TW_GPU_MAX_FINDINGS];
    int remarks = 0, n = tw_gpu_checkup_findings(f, checkup);
    for (int i = 0; i < n; i++) {
        if (f[i].fitness == TW_GPU_UNFIT) {
            snprintf(text, size, "not fit to measure on: %s, %s", f[i].what, f[i].remark);
            return;
        }
        remarks += f[i].fitness == TW_GPU_REMARK;
    }
    if (remarks == 0)
        snprintf(text, size, "fit to measure on");
    else
        snprintf(text, size, "fit to measure on, with %d remark%s", remarks, remarks == 1 ? "" : "s");
}

void tw_gpu_checkup_line(char *text, size_t size, const tw_gpu_checkup *checkup)
{
    tw_gpu_finding f[TW_GPU_MAX_FINDINGS];
    int n = tw_gpu_checkup_findings(f, checkup);
    tw_gpu_checkup_verdict(text, size, checkup);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "; %s %s", f[i].what, f[i].value);
    }
}
