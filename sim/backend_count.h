/**
 * @file backend_count.h
 * @brief Counts what a schedule moves and computes. Exact, and independent of the sequence length's size.
 */
#ifndef TW_BACKEND_COUNT_H
#define TW_BACKEND_COUNT_H

#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What one launch, or all launches together, do. Bytes are bytes; all heads, whole batch. */
typedef struct tw_counts {
    int64_t sram_fill_bytes;  /**< into the SMs, summed over all blocks */
    int64_t sram_drain_bytes; /**< out of the SMs */
    /**
     * On a machine without an L2: fill and drain. On one with an L2: the compulsory traffic, i.e. what a launch
     * reads read once, what it writes written once: the rows touched; of S and P the bounding box.
     */
    int64_t hbm_read_bytes;
    int64_t hbm_write_bytes; /**< likewise */
    /** The same traffic in elements, each tensor in its own, as the papers count: a row statistic is one. */
    int64_t sram_fill_elements;
    int64_t sram_drain_elements; /**< likewise */
    int64_t hbm_read_elements;   /**< likewise */
    int64_t hbm_write_elements;  /**< likewise */
    int64_t sram_peak_bytes;     /**< most that one block holds in shared memory (or in the one SRAM) */
    int64_t register_peak_bytes; /**< most that one block holds in registers; 0 on machines with one SRAM */
    int64_t flops;               /**< matrix products, unmasked pairs only: 4 · head_dim · pairs in all */
    int64_t flops_executed;      /**< matrix products as tiles are: masked pairs of a tile are computed too */
    int64_t score_flops; /**< what changes scores (soft cap, ALiBi, bias, callback), of every tile visited */
    int64_t exps;        /**< exponentials of unmasked scores, and of the factors alpha */
    int64_t exps_by_polynomial; /**< of those: on FMA units, not on the unit for them */
    int64_t polynomial_flops;   /**< what that costs the FMA units */
    int64_t link_bytes; /**< from one device's memory to another's, or from the second memory; in HBM, too */
} tw_counts;

/** Counts by launch and in all. Peaks in `total` are the largest of any launch. */
typedef struct tw_count_result {
    int num_launches;                  /**< of the schedule */
    tw_counts launch[TW_MAX_LAUNCHES]; /**< each by itself */
    tw_counts total;                   /**< all together */
} tw_count_result;

/**
 * @brief Bytes that a schedule moves between memory levels, and what it computes.
 *
 * Exact: every tile operation is counted; blocks and tiles of one class once, times their number. Time O(query tiles)
 * under a mask of runs (masks.h), O(tiles) under one whose tiles must be listed, which is asked of every pair first if
 * it has a callback; O(1) without a mask.
 * @param[out] result    untouched on error
 * @param[in]  schedule  what to run
 * @param[in]  problem   shapes, mask, number format
 * @param[in]  tiling    block_m, block_n in rows; need not divide the sequence
 * @param[in]  machine   what a block may hold on chip
 * @return TW_OK; as tw_emit(), where the line for TW_ESRAM also names the largest tiles that would fit;
 *         TW_EOVERFLOW (a count does not fit 63 bits)
 */
TW_MUST_CHECK tw_status tw_count(tw_count_result *result, const tw_schedule *schedule,
                                 const tw_problem *problem, const tw_tiling *tiling,
                                 const tw_machine *machine);

/**
 * @brief tw_count() of a schedule with one launch, apart for every step and device of its ring.
 * @param[out] parts  [step · devices + device] with tiling->parts steps, and as many devices or one; untouched on error
 * @param[in]  schedule, problem, tiling, machine  as for tw_count()
 * @return as tw_count()
 */
TW_MUST_CHECK tw_status tw_count_parts(tw_counts *parts, const tw_schedule *schedule,
                                       const tw_problem *problem, const tw_tiling *tiling,
                                       const tw_machine *machine);

/**
 * @brief Two passes one behind the other: launches of both, counts added up, peaks the larger.
 * @param[in,out] sum     the first; becomes both; untouched on error
 * @param[in]     second  what goes behind it
 * @return TW_OK; TW_EOVERFLOW; TW_EUNSUPPORTED (more launches than TW_MAX_LAUNCHES)
 */
TW_MUST_CHECK tw_status tw_count_append(tw_count_result *sum, const tw_count_result *second);

#ifdef __cplusplus
}
#endif

#endif
