/**
 * @file sides.h
 * @brief Which SMs and which pages belong together, from latencies alone. Plain C on plain arrays.
 *
 * An SM reaches the addresses whose home is on its own side of the L2 sooner than those of the other side. In a table of
 * latencies, SMs down and pages across, that is a pattern of two signs; single slices being nearer or farther is small
 * beside it.
 */
#ifndef TW_CALIBRATE_SIDES_H
#define TW_CALIBRATE_SIDES_H

#include "../../cpu_ref/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most SMs that a GPU may have, and one more than the highest number that one may go by. */
#define TW_CAL_MAX_SMS 1024

/** The sides of an L2; sides is 0 before they are known. */
typedef struct tw_cal_sides {
    int sides;                             /**< 1 or 2 */
    unsigned char side_of[TW_CAL_MAX_SMS]; /**< by the SM's number (%smid); all 0 where sides is 1 */
    int rank_of[TW_CAL_MAX_SMS];           /**< its place among those of its side, from 0 */
    int count[2];                          /**< SMs of a side */
    int smid_of[2];                        /**< one of each */
    double gap_cycles;                     /**< far minus near; 0 where sides is 1 */
    double
        explained; /**< share of the table's pattern that two sides account for: near 1, or near 0 if there is one */
} tw_cal_sides;

/**
 * @brief Finds the sides.
 * @param[in] smid     of each row, 0 to TW_CAL_MAX_SMS − 1, no two alike
 * @param[in] latency  [rows][columns], cycles; a column is a page
 * @return TW_OK; TW_EINVAL (fewer than 2 rows or 8 columns, a bad number of an SM, a latency that is not positive);
 *         TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_cal_find_sides(tw_cal_sides *sides, const int *smid, const float *latency,
                                          int rows, int columns);

/**
 * @brief The home of each unit, from its latency as seen by an SM of either side.
 * @param[out] home     0 or 1
 * @param[in]  latency  [2][n]
 * @return share of units whose two latencies differ by less than half the gap, so that it is a guess
 */
double tw_cal_find_homes(unsigned char *home, const float *latency, int n, double gap_cycles);

/**
 * @brief The largest power of two such that homes change at its multiples alone.
 *
 * A unit whose neighbours on both sides agree with each other and not with it is taken for a misreading.
 * @param[in] home        n of them, of consecutive units of `unit_bytes`
 * @return bytes; 0 if home never changes
 */
int64_t tw_cal_home_run_bytes(const unsigned char *home, int n, int64_t unit_bytes);

#ifdef __cplusplus
}
#endif

#endif
