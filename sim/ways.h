/**
 * @file ways.h
 * @brief Options of single algorithms: by what means one does its work, where the others have no choice.
 */
#ifndef TW_WAYS_H
#define TW_WAYS_H

#include "tile_ops.h"
#include "tiling.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The options' values, as the fields of tw_tiling that they become; TW_TILING_OWN or 0 where not given. */
typedef struct tw_ways {
    int block_d;
    double rescale_log2, poly_share;
    int poly_degree;
    int devices, segments;
    int rank;
} tw_ways;

/** Nothing given. */
tw_ways tw_ways_default(void);

/**
 * @brief Are the values in range, and does one of the algorithms that were named take each that is given?
 * @return TW_OK; TW_EINVAL
 */
TW_MUST_CHECK tw_status tw_ways_check(const tw_ways *ways, const tw_schedule *const *algorithms, int count);

/** Hands those that a schedule takes to its tiling. */
void tw_ways_apply(tw_tiling *tiling, const tw_schedule *schedule, const tw_ways *ways);

#ifdef __cplusplus
}
#endif

#endif
