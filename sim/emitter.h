/**
 * @file emitter.h
 * @brief Inside the emitter: blocks and sequences, for the two files that go over them.
 */
#ifndef TW_EMITTER_H
#define TW_EMITTER_H

#include "slots.h"

/** The problem of one sequence becomes the emitter's, its tiles listed if they must be; leave it even after an error. */
TW_MUST_CHECK tw_status tw_enter_sequence(tw_emitter *e, tw_problem *view, int batch);
void tw_leave_sequence(tw_emitter *e);

/** Runs the block function once; head, batch and part of the emitter are set. */
TW_MUST_CHECK tw_status tw_run_block(tw_emitter *e, tw_block b);
/** Tells the back end that a block is over. */
TW_MUST_CHECK tw_status tw_end_block(tw_emitter *e);

/** What travels of the part that a device has goes on to the next one, or comes out of the second memory. tile_ops_parts.c */
void tw_send_part(tw_emitter *e, int64_t batches);

/** All blocks of a launch over shares. */
TW_MUST_CHECK tw_status tw_run_shares(tw_emitter *e);

#endif
