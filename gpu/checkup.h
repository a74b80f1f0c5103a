/**
 * @file checkup.h
 * @brief Is a GPU fit to measure on? What was found, and the judgement on it. No CUDA in here.
 */
#ifndef TW_GPU_CHECKUP_H
#define TW_GPU_CHECKUP_H

#include <stddef.h>

/** What was read and measured. NAN: could not be. */
typedef struct tw_gpu_checkup {
    double sm_clock_mhz,
        max_sm_clock_mhz; /**< mean while matrix products ran back to back; highest there is */
    unsigned slowdowns;   /**< what held the clock back meanwhile: TW_NVML_SLOWED_… */
    double power_w;       /**< meanwhile */
    double power_limit_w, default_power_limit_w;
    double temperature_c;
    double ecc; /**< 1 on, 0 off */
    double uncorrected_errors;
    double other_processes;
    double utilisation_percent; /**< before anything was started */
    double launch_us;           /**< that the host takes to queue a launch */
    double copy_bytes_per_s;    /**< read and written, added up */
    double product_flops_per_s; /**< fp16, 8192 x 8192 x 8192 */
    double machine_copy_bytes_per_s,
        machine_product_flops_per_s; /**< by the machine file; NAN: there is none */
} tw_gpu_checkup;

/** How bad something is. */
typedef enum tw_gpu_fitness {
    TW_GPU_FIT,
    TW_GPU_REMARK, /**< worth knowing when figures are compared */
    TW_GPU_UNFIT   /**< figures taken now say little about the GPU */
} tw_gpu_fitness;

/** One line of the screen. */
typedef struct tw_gpu_finding {
    const char *what; /**< "SM clock under load" */
    char value[64];   /**< "1,412 of 1,980 MHz" */
    tw_gpu_fitness fitness;
    char remark[120]; /**< "" if it is fit */
} tw_gpu_finding;

#define TW_GPU_MAX_FINDINGS 12

/** Judges everything; returns the number of findings. */
int tw_gpu_checkup_findings(tw_gpu_finding findings[TW_GPU_MAX_FINDINGS], const tw_gpu_checkup *checkup);

/** The worst of them. */
tw_gpu_fitness tw_gpu_checkup_fitness(const tw_gpu_checkup *checkup);

/** "fit to measure on", "fit to measure on, with 2 remarks", "not fit to measure on: …" */
void tw_gpu_checkup_verdict(char *text, size_t size, const tw_gpu_checkup *checkup);

/** Everything in one line, for the head of a CSV file: verdict first, then all values. */
void tw_gpu_checkup_line(char *text, size_t size, const tw_gpu_checkup *checkup);

#endif
