/**
 * @file replay.h
 * @brief Inside the cache back end: the blocks of one launch, placed on SMs and played in time through the L2.
 */
#ifndef TW_REPLAY_H
#define TW_REPLAY_H

#include "access_list.h"
#include "backend_cache.h"
#include "reuse.h"

/** Everything that the launches of a problem have in common. */
typedef struct tw_replay {
    const tw_problem *problem;
    const tw_machine *machine;
    const tw_cache_options *options;
    const tw_units *units;
    tw_l2 *l2;
    tw_reuse *reuse;    /**< NULL: misses are not told apart */
    double share_begin; /**< of all work, done before this launch */
    double share;       /**< of all work, this launch's */
} tw_replay;

/**
 * @brief Plays one launch.
 * @param[in,out] counts  operations and analysis are added to; `workers` is set
 * @param[in]     blocks_per_sm  for speeds: blocks that share an SM are slower by that, and drift more
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_replay_launch(tw_cache_counts *counts, const tw_replay *replay,
                                         const tw_access_list *list, tw_order order, int blocks_per_sm);

#endif
