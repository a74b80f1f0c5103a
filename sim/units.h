/**
 * @file units.h
 * @brief How the tensors of a problem are cut into the units that an L2 holds.
 *
 * A unit is half of a tile: pages alternate between the two sides of the L2, so half of any tile has its home on each.
 * It has an even number where its home is side 0. Where launches cut a tensor differently, the smaller rows and columns
 * count; a row alone is small, so rows are taken together up to a tile's height, and the block that touches the
 * first row of a unit touches all of it for those that touch the others.
 */
#ifndef TW_UNITS_H
#define TW_UNITS_H

#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One tensor's units: row chunk by row chunk, in each column by column, of each one unit, or its two halves. */
typedef struct tw_tensor_units {
    int32_t first;    /**< of batch element 0, head 0 */
    int32_t per_head; /**< 0: no launch touches this tensor */
    int heads;        /**< of a batch element */
    int rows, cols;   /**< of one chunk */
    int32_t row_chunks, col_chunks;
    int halves; /**< 1 or 2 */
} tw_tensor_units;

/** All units of a problem, numbered without gaps. */
typedef struct tw_units {
    tw_tensor_units of[TW_NUM_TENSORS];
    int32_t count;         /**< in all */
    int32_t foreign_first; /**< from here on units of nobody's: what a profiler leaves dirty in the L2 */
    uint32_t *bytes;       /**< [count]; owned */
} tw_units;

/** What tw_units_create() learns on the way. */
typedef struct tw_launch_peaks {
    int64_t smem_bytes, register_bytes; /**< of one block */
} tw_launch_peaks;

/**
 * @brief Cuts the tensors that a schedule touches, as it sees them: with heads packed into rows if it packs them.
 * @param[out] units  to be freed with tw_units_free(); untouched on error
 * @param[out] peaks  of each launch
 * @param[in]  sides  of the L2
 * @return TW_OK; as tw_emit(); TW_EOVERFLOW (more than 2^28 units); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_units_create(tw_units *units, tw_launch_peaks peaks[TW_MAX_LAUNCHES],
                                        const tw_schedule *schedule, const tw_problem *problem,
                                        const tw_tiling *tiling, const tw_machine *machine, int sides);
void tw_units_free(tw_units *units);

/** Lists of tiles, page tables and sink logits are too small to be missed, and have no place. */
bool tw_units_ignore(tw_tensor tensor);

/** A run of neighbouring units, counted from a head's first. */
typedef struct tw_unit_run {
    int32_t first, count;
} tw_unit_run;

/** Row chunks that rows row0 … row0 + rows − 1 touch; likewise for columns, where a chunk has so many columns. */
tw_unit_run tw_units_chunks(int64_t row0, int64_t rows, int chunk_rows);

#ifdef __cplusplus
}
#endif

#endif
