/**
 * @file tune.h
 * @brief All tilings of a kernel or an algorithm for one shape: predicted and ranked, or refused and why.
 */
#ifndef TW_TUNE_H
#define TW_TUNE_H

#include "contenders.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One tiling. */
typedef struct tw_trial {
    tw_build build;
    tw_prediction *result; /**< NULL where it was refused; owned */
    char refusal[200];     /**< why; "" where it was not */
} tw_trial;

/** Tilings that were tried: predicted ones first, the fastest first; then those refused. */
typedef struct tw_trials {
    tw_trial *all; /**< owned */
    int count, num_fit;
} tw_trials;

/**
 * @brief Tries every tiling: of a kernel those that it is built for, of an algorithm all that one would think of; and of
 *        one that splits keys several numbers of splits.
 * @param[in] num_splits  this one alone; 0: those that fill the SMs, and powers of two
 * @return TW_OK; TW_ENOMEM; as tw_build_find() where the name is wrong; TW_ESRAM (none fits)
 */
TW_MUST_CHECK tw_status tw_tune(tw_trials *trials, const char *name, const tw_problem *problem,
                                int num_splits, const tw_machine *machine);

/** Does the algorithm of this name cut the keys into splits? */
bool tw_tunes_splits(const char *name);

void tw_trials_free(tw_trials *trials);

#ifdef __cplusplus
}
#endif

#endif
