/**
 * @file cpu_kernel.h
 * @brief What `tilewise calibrate-cpu` times: inner loops, once for each instruction set, as those of cpu_ref/tiled.c.
 */
#ifndef TW_CPU_KERNEL_H
#define TW_CPU_KERNEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A multiple of this many floats, aligned to 64 bytes, is what read() and write() take. */
#define TW_CPU_KERNEL_FLOATS 128

typedef struct tw_cpu_kernel {
    const char *isa;
    /** Loads every float `rounds` times and returns their sum, so that no load can be left out. */
    float (*read)(const float *x, size_t n, long rounds);
    /** Stores to every float as often; plain stores, so a line that is not in a cache is read first. */
    void (*write)(float *x, size_t n, long rounds);
    /** `steps` times one multiply-add of every accumulator: independent, as many as keep the pipes full. */
    float (*fma)(long steps, float seed);
    int flops_per_step;
} tw_cpu_kernel;

/** The best that this CPU can run. */
const tw_cpu_kernel *tw_cpu_kernel_best(void);

extern const tw_cpu_kernel tw_cpu_kernel_baseline;
#if defined(__x86_64__)
extern const tw_cpu_kernel tw_cpu_kernel_avx2;
extern const tw_cpu_kernel tw_cpu_kernel_avx512;
#endif

#ifdef __cplusplus
}
#endif

#endif
