/**
 * @file access_list.h
 * @brief What the blocks of a launch load and store, written down once for all heads.
 *
 * A block is a list of steps: a few accesses, then so many cycles of work. Steps whose accesses move on evenly are one
 * step that repeats, so that a block that streams over K and V takes a handful of entries however long they are.
 * The blocks of head 0 of batch element 0 are written down; for another head, units shift by that head's place. Of a
 * launch whose blocks share all work, all blocks are.
 */
#ifndef TW_ACCESS_LIST_H
#define TW_ACCESS_LIST_H

#include "units.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Neighbouring units of a tensor are read or written. */
typedef struct tw_access {
    int32_t unit;    /**< the first, counted from the head's first unit */
    int32_t advance; /**< by how much `unit` moves on with every repetition of the step */
    int32_t count;
    uint8_t tensor; /**< a tw_tensor */
    bool write;
} tw_access;

/** Accesses, then work. */
typedef struct tw_access_step {
    int32_t first, count; /**< of the list's accesses */
    int32_t repeats;
    float cycles; /**< of one repetition, by a block that has its SM to itself */
} tw_access_step;

/** One launch. */
typedef struct tw_access_list {
    tw_access *accesses;
    tw_access_step *steps;
    int32_t *
        block_end; /**< [num_tiles]: steps of block n end before this one, and begin where those of n − 1 end */
    int32_t num_accesses, num_steps, num_tiles;
    bool
        all_heads; /**< blocks of all heads and sequences are written down, and their units are of the whole tensors */
    int32_t room[3]; /**< private: of the three arrays */
} tw_access_list;

/** Steps [begin, end) of the block of tile n (of a head; query tiles fastest). */
tw_unit_run tw_access_list_block(const tw_access_list *list, int64_t tile);

/**
 * @brief Writes down the accesses of all launches.
 *
 * A step ends where, after a product has been added to O, or after a whole softmax, the next tile is asked for. How long
 * it takes is a roofline: the slowest of products, exponentials and bytes from the L2 at the machine's rates, over its
 * tile_pace; 1,000 cycles where the machine has none of these rates.
 * @param[out] lists  to be freed with tw_access_list_free(), each; untouched on error
 * @return TW_OK; as tw_emit(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_access_lists_record(tw_access_list lists[TW_MAX_LAUNCHES], const tw_units *units,
                                               const tw_schedule *schedule, const tw_problem *problem,
                                               const tw_tiling *tiling, const tw_machine *machine);
void tw_access_list_free(tw_access_list *list);

#ifdef __cplusplus
}
#endif

#endif
