/**
 * @file slots.h
 * @brief Inside the emitter: tiles, the slot table and its rules. Schedules and back ends use tile_ops.h.
 *
 * Every function does nothing once a rule is broken.
 */
#ifndef TW_SLOTS_H
#define TW_SLOTS_H

#include "tile_ops.h"

/** What a message calls a slot: "alpha", or its tensor's name. */
const char *tw_slot_name(const tw_slot_info *slot);

/** Tile `index` of an axis of `length` rows, cut at its end. */
tw_tile tw_tile_at(int64_t index, int block, int64_t length);

/** Tiles of keys may stand for each other: each is made of whole pages, or nothing is paged. */
bool tw_pages_are_alike(const tw_emitter *e);

/** Query heads that read one K/V head. */
int tw_heads_of_a_group(const tw_problem *problem);

/** No rule is broken so far. */
bool tw_emitter_ok(const tw_emitter *e);

/** Remembers a broken rule if it is the first; `what` names the slot or the cure. */
void tw_rule_broken(tw_emitter *e, const char *rule, const char *what);

/** A free slot of rows × cols; one memory for everything where the machine has no registers apart. */
tw_slot tw_slot_allocate(tw_emitter *e, tw_tensor tensor, tw_place place, tw_dtype dtype, tw_tile rows,
                         tw_tile cols);

/** @name The way of an operation
 * @{ */
/** With no slot and no statistic. */
tw_op tw_op_new(tw_op_kind kind);
/** Fills in times, agent and line. False if a test takes it out of the stream, and once a rule is broken: then nothing
 *  more is to be done. Called before any rule is applied. */
bool tw_op_kept(tw_emitter *e, tw_op *op);
/** A launch touches what it declares; false, and a broken rule, otherwise. */
bool tw_op_declared(tw_emitter *e, unsigned set, tw_tensor tensor);
/** The head of a tensor that a block's query head stands for. */
int tw_op_head(const tw_emitter *e, tw_tensor tensor, tw_block b);
/** Hands it to the back end. */
void tw_op_deliver(tw_emitter *e, const tw_op *op);
/** @} */

/** The live slot of a handle; NULL, and a broken rule, if it is not live. */
tw_slot_info *tw_slot_find(tw_emitter *e, tw_slot slot);

/**
 * @brief Loads what the list of one kind (empty: of both) has for tile `index` of one axis: for each kind how many tiles
 *        of the other axis, and their indices.
 *
 * Read an index at a time, so the slot holds no more than where it is.
 */
tw_slot tw_load_list(tw_emitter *e, int64_t index, int64_t listed, tw_tile_kind kind, bool of_keys);

/** The table's entries of the pages that hold keys `rows`, where K and V are paged; no slot (−1) otherwise. */
tw_slot tw_load_pages(tw_emitter *e, tw_block b, tw_tile rows);

/** Changes what a slot's elements are, and so what it takes up. */
void tw_slot_retype(tw_emitter *e, tw_slot slot, tw_dtype dtype);

/** @name What an operation does to a slot
 * @{ */
void tw_slot_read(tw_emitter *e, tw_slot slot);
void tw_slot_written(tw_emitter *e, tw_slot slot);
void tw_slot_updated(tw_emitter *e, tw_slot slot); /**< read, then written */
void tw_slot_must_be(tw_emitter *e, tw_slot slot, tw_tensor tensor);
void tw_slot_becomes(tw_emitter *e, tw_slot slot, tw_tensor tensor, bool normalized);
/** @} */

#endif
