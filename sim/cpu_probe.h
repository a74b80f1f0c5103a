/**
 * @file cpu_probe.h
 * @brief Measures the CPU that it runs on: bandwidth over working-set size, FLOP rate, exponentials, clock.
 *
 * Every rate is the best of a few short runs on all cores, since what disturbs a run only makes it slower.
 */
#ifndef TW_CPU_PROBE_H
#define TW_CPU_PROBE_H

#include "../cpu_ref/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Who reads what. */
typedef enum tw_probe_who {
    TW_PROBE_OWN, /**< each core reads memory of its own, so much each */
    TW_PROBE_ALL  /**< all cores read the same memory */
} tw_probe_who;

/** One point of a curve. */
typedef struct tw_probe_point {
    tw_probe_who who;
    int64_t bytes;      /**< working set of one core */
    double bytes_per_s; /**< read, all cores together */
} tw_probe_point;

#define TW_PROBE_MAX_POINTS 96

/** A CPU as measured. Rates are of all cores together; 0 where the system does not tell. */
typedef struct tw_cpu_probe {
    char model[96];
    int cores;                   /**< that took part */
    int64_t memory_bytes;        /**< as the system reports it */
    int64_t private_cache_bytes; /**< of one core: as reported, otherwise read off the curves */
    int64_t shared_cache_bytes;  /**< what of it serves this program: read off the curves */
    int64_t private_reported_bytes, shared_reported_bytes; /**< what the system says of them; 0: nothing */
    double clock_hz;
    double cache_bytes_per_s; /**< read from the shared cache */
    double memory_read_bytes_per_s, memory_write_bytes_per_s;
    double fma_flops_per_s, exps_per_s;
    double launch_overhead_s; /**< of handing work to all cores */
    int num_points;
    tw_probe_point points[TW_PROBE_MAX_POINTS];
} tw_cpu_probe;

/**
 * @brief Measures everything: a few seconds, or with `quick` a fraction of one, and less exact.
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_cpu_probe_run(tw_cpu_probe *probe, bool quick);

#ifdef __cplusplus
}
#endif

#endif
