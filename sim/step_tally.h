/**
 * @file step_tally.h
 * @brief Bytes moved so far, level by level, while a schedule runs.
 *
 * At the end of a run the four numbers are those of tw_count().
 */
#ifndef TW_STEP_TALLY_H
#define TW_STEP_TALLY_H

#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What has crossed the borders of the two levels since the run began. */
typedef struct tw_moved {
    int64_t sram_fill_bytes, sram_drain_bytes;
    int64_t hbm_read_bytes, hbm_write_bytes; /**< behind an L2: what a launch touches counts once */
} tw_moved;

/** {0} is one before the first operation. */
typedef struct tw_tally {
    tw_moved moved;
    const tw_launch *launch; /**< private: whose tiles `seen` holds */
    uint64_t *seen;          /**< private: hash set of tiles that this launch has touched; owned */
    size_t capacity, count;  /**< private */
} tw_tally;

/**
 * @brief Takes one operation into account.
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_tally_op(tw_tally *tally, const tw_emitter *e, const tw_op *op);

/** Frees what it owns; `moved` stays. */
void tw_tally_free(tw_tally *tally);

#ifdef __cplusplus
}
#endif

#endif
