/**
 * @file roofline.h
 * @brief The simplest time there is: what is moved over how fast, what is computed over how fast, the larger wins.
 *
 * Launch by launch, the largest of
 *
 *     (SRAM fill + drain) / L2 bandwidth
 *     HBM read / read bandwidth + HBM write / write bandwidth      (one bus: they do not overlap)
 *     FLOPs executed / rate of the unit that multiplies
 *     exponentials / their rate
 *     what changes scores (soft cap, ALiBi, bias, callback) / the rate of the CUDA cores
 *
 * plus the machine's launch overhead. It knows neither latency nor occupancy nor how well anything overlaps, so it
 * is a lower bound in spirit, and its errors are shown as they are.
 */
#ifndef TW_ROOFLINE_H
#define TW_ROOFLINE_H

#include "backend_count.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One launch. */
typedef struct tw_roofline_launch {
    double l2_s;  /**< fill and drain; seconds, 0 where the machine does not say how fast, as the next four */
    double hbm_s; /**< HBM, read and written */
    double flops_s;  /**< matrix products */
    double exps_s;   /**< exponentials */
    double scores_s; /**< score modifications */
    double time_s;   /**< the largest of them, and the overhead */
    /** Which: "L2", "HBM", "tensor cores", "FMA", "exponentials", "score modifications". */
    const char *limit;
} tw_roofline_launch;

/** All launches. */
typedef struct tw_roofline {
    int num_launches;                           /**< of the schedule */
    tw_roofline_launch launch[TW_MAX_LAUNCHES]; /**< one behind the other */
    double time_s;                              /**< their sum */
    const char *limit;                          /**< of the longest launch */
} tw_roofline;

/**
 * @brief Predicts a time from counts.
 * @param[out] roofline  untouched on error
 * @param[in]  counts    of tw_count(), on the same machine
 * @param[in]  dtype     of the inputs: which rate the tensor cores have
 * @param[in]  unit      which multiplies; FMA for fp32 inputs, and where there are no tensor cores
 * @param[in]  machine   its rates
 * @return TW_OK; TW_EUNSUPPORTED (the machine gives no rate at all: it predicts bytes, not times)
 */
TW_MUST_CHECK tw_status tw_roofline_time(tw_roofline *roofline, const tw_count_result *counts, tw_dtype dtype,
                                         tw_unit unit, const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
