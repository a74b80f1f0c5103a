/**
 * @file fitting.h
 * @brief Which tiles fit on chip.
 */
#ifndef TW_FITTING_H
#define TW_FITTING_H

#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief The largest tiles that fit on chip and exceed those that were wanted in neither direction.
 *
 * The larger of block_m and block_n is cut, alone until it is as small as the other, then both together as a square;
 * what the square leaves is given to block_n, and what that leaves to block_m. So what fits is as it was, and of
 * anything else neither block_m nor block_n can be larger by one row without the tiles being refused, or more than was
 * wanted. Takes O(log block) walks through one head.
 * @param[out] fitting  as wanted but for block_m and block_n; both 0 if not even 1 × 1 fits
 * @param[in]  wanted   block_m and block_n at least 1
 * @param[in]  schedule, problem, machine  as for tw_count()
 */
void tw_largest_tiling(tw_tiling *fitting, const tw_schedule *schedule, const tw_problem *problem,
                       const tw_tiling *wanted, const tw_machine *machine);

/**
 * @brief Makes tiles that nobody asked for smaller, where they do not fit on chip.
 *
 * Of a schedule with a rule of its own block_n is cut to what fits beside its block_m: such rules count K, V, Q and O,
 * and scores and statistics may stand in the same memory. Where that is not enough, and of all others, the larger open
 * block is halved until the tiles fit, block_n first. If none do, all stays as it was, to be refused with its reason.
 * @param[in,out] tiling  block_m and block_n as a rule has them
 * @param[in]     wanted  what the user gave: a block that is 0 was left open, and only such ones change
 * @param[in]     schedule, problem, machine  as for tw_count()
 */
void tw_shrink_tiling(tw_tiling *tiling, const tw_schedule *schedule, const tw_problem *problem,
                      const tw_tiling *wanted, const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
