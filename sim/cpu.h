/**
 * @file cpu.h
 * @brief The CPU that this runs on: what the system says about it, and what can be measured of it.
 */
#ifndef TW_CPU_H
#define TW_CPU_H

#include "readings.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What the system says. */
typedef struct tw_cpu {
    char model[96];
    int cores;        /**< that this process may use; two threads of one core are one */
    int64_t l1_bytes; /**< data cache of one core; 0 if not known */
    int64_t
        private_bytes;    /**< largest cache that no two cores share: what stands for a GPU's shared memory */
    int64_t shared_bytes; /**< last cache, all of it; 0 if there is none */
    int64_t memory_bytes;
} tw_cpu;

/**
 * @brief Reads /proc and /sys.
 * @param[in] root  "" for this system's; a folder that holds `proc` and `sys` for another's
 * @return TW_OK; TW_EUNSUPPORTED (the system does not say which caches there are)
 */
TW_MUST_CHECK tw_status tw_cpu_describe(tw_cpu *cpu, const char *root);

/** A point of the curve of bandwidth against working set. */
typedef struct tw_cpu_point {
    int64_t bytes; /**< of all cores together, each with its own part */
    double read_bytes_per_s, write_bytes_per_s;
} tw_cpu_point;

#define TW_CPU_POINTS_MAX 40

typedef struct tw_cpu_curve {
    tw_cpu_point at[TW_CPU_POINTS_MAX];
    int count;
} tw_cpu_curve;

/** Called before each step of tw_cpu_measure(): so much of the work is done, this is next. */
typedef void (*tw_cpu_progress_fn)(double done, const char *what);

/**
 * @brief Measures clock, FLOPs, exponentials, bandwidths of each level, and what a parallel region costs.
 *
 * All cores work at once, on parts of their own. Takes some 5 s, not more than 15 s.
 * @param[out] readings  appended
 * @param[out] curve     bandwidth against working set, 4 KiB a core to beyond the last cache
 * @param[in]  progress  may be NULL
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_cpu_measure(tw_readings *readings, tw_cpu_curve *curve, const tw_cpu *cpu,
                                       tw_cpu_progress_fn progress);

/**
 * @brief The machine: what the system says, and what was measured.
 * @param[in] name, date  "this-laptop", "2026-11-23"
 * @return TW_OK; as tw_readings_to_machine()
 */
TW_MUST_CHECK tw_status tw_cpu_machine(tw_machine *machine, const tw_cpu *cpu, const tw_readings *readings,
                                       const char *date);

/** How many numbers a list such as "0-3,8" names; 0 if it is none. */
int tw_cpu_list_length(const char *list);

/** Bytes of "48K", "2M" or "512"; 0 if it is none. */
int64_t tw_cpu_cache_size(const char *text);

#ifdef __cplusplus
}
#endif

#endif
