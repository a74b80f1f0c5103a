/**
 * @file sm_launch.h
 * @brief Plays one launch on one SM: all blocks, or, where they are alike, as many as show how it goes on.
 */
#ifndef TW_SM_LAUNCH_H
#define TW_SM_LAUNCH_H

#include "backend_clock.h"
#include "sm_work.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @return TW_OK; TW_ENOMEM; as tw_program_append() and tw_clock_play() */
TW_MUST_CHECK tw_status tw_launch_play(tw_clock_result *result, const tw_play *play, const tw_sm_work *work);

/** The SM's first `num_blocks` blocks, and somebody who is told of everything. @return as tw_launch_play() */
TW_MUST_CHECK tw_status tw_launch_watch(const tw_play *play, const tw_sm_work *work, int num_blocks,
                                        const tw_clock_observer *observer);

#ifdef __cplusplus
}
#endif

#endif
