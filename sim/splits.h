/**
 * @file splits.h
 * @brief Inside the emitter: how the keys are cut into parts, of equal splits or of equal shares for all blocks.
 *
 * A split is a share of what one query tile sees. Shares cut through all of the work: the key tiles of all query tiles,
 * heads and sequences stand one behind the other, and each block takes as many (stream-K).
 */
#ifndef TW_SPLITS_H
#define TW_SPLITS_H

#include "tile_ops.h"

/** Does a launch of the schedule have this grid axis? */
bool tw_has_axis(const tw_schedule *schedule, tw_axis axis);

/** Blocks that a GPU runs at a time where keys are split: two an SM; 1 for a machine that does not say how many SMs. */
int64_t tw_blocks_at_a_time(const tw_machine *machine);

/**
 * @brief Most partial results of a query row: the tiling's num_splits, or what fills the SMs; of shares as many as there
 *        can be; 1 for a schedule that splits nothing.
 *
 * What fills the SMs: of all numbers of splits, up to 128 and one a key tile, the smallest whose last wave is nearly as
 * full as that of the best; 1 where blocks are enough without. So FlashAttention chooses it, and by the same 85 %.
 * @param[in] problem  as the schedule sees it
 */
int tw_splits_of(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                 const tw_machine *machine);

/** The problem as the schedule sees it, its number of splits with it. */
tw_problem tw_problem_split(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                            const tw_machine *machine);

/** Key tiles [first, end) from the first to the last that query rows see: what is split. */
void tw_key_range(const tw_emitter *e, tw_tile rows, int64_t *first, int64_t *end);

/** Part `index` of `count` of key tiles [first, end): the first ones have one more where they are not all equal. */
tw_part tw_part_of(int64_t first, int64_t end, int index, int count);

/** One query tile in the row of all work. */
typedef struct tw_work_item {
    int batch, head;
    int64_t tile;       /**< of queries */
    int64_t first, end; /**< the key tiles that it sees */
    int64_t before;     /**< key tiles of all items in front of it; one that sees none counts as one */
} tw_work_item;

/** All work of a launch, to be shared. */
typedef struct tw_shares {
    tw_work_item *items; /**< owned */
    int64_t num_items, capacity;
    int64_t total;  /**< key tiles */
    int64_t blocks; /**< that share it */
} tw_shares;

/** One item more. @return TW_OK; TW_ENOMEM */
TW_MUST_CHECK tw_status tw_shares_add(tw_shares *shares, tw_work_item item);

/** The first tile of a block's share, of `total`; the end of the last block's for `blocks`. */
int64_t tw_share_begin(const tw_shares *shares, int64_t block);

/** The block whose share has a tile. */
int64_t tw_share_of(const tw_shares *shares, int64_t tile);

/** What of an item belongs to a block; its parts are counted from the one with the item's first tile. */
tw_part tw_share_part(const tw_shares *shares, const tw_work_item *item, int64_t block);

void tw_shares_free(tw_shares *shares);

#endif
