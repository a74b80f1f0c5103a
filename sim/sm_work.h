/**
 * @file sm_work.h
 * @brief Which blocks the SM with most to do works on, and how much of what it loads HBM must deliver.
 */
#ifndef TW_SM_WORK_H
#define TW_SM_WORK_H

#include "backend_count.h"
#include "sm_program.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The work of one SM in one launch. */
typedef struct tw_sm_work {
    tw_block_index *blocks; /**< in the order in which it takes them; owned */
    int num_blocks;
    int active_sms;    /**< that have any */
    bool all_alike;    /**< blocks differ in nothing that takes time, but for cut tiles at the ends */
    double mean_share; /**< work of all SMs over that of this one: 1 if all are busy to the end */
} tw_sm_work;

/** @return TW_OK; TW_ENOMEM; TW_EOVERFLOW (more blocks than can be dealt one by one) */
TW_MUST_CHECK tw_status tw_sm_work_deal(tw_sm_work *work, const tw_play *play);

void tw_sm_work_free(tw_sm_work *work);

/**
 * @brief Fills in what depends on the L2: hbm_share, first_misses, same_order, hbm_bytes_per_s, active_sms.
 * @param[in] counts       of the launch: how reads and writes are mixed
 * @param[in] kv_hit_rate  of K and V in the L2; < 0: what a cache that keeps as much as it can hold would give
 */
void tw_sm_work_memory(tw_play *play, const tw_sm_work *work, const tw_counts *counts, double kv_hit_rate);

#ifdef __cplusplus
}
#endif

#endif
