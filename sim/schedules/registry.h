/**
 * @file registry.h
 * @brief The list of schedules. A new algorithm is one file beside this and one row in registry.c.
 */
#ifndef TW_REGISTRY_H
#define TW_REGISTRY_H

#include "../tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const tw_schedule tw_schedule_standard, tw_schedule_standard_tiled, tw_schedule_flash1,
    tw_schedule_flash2, tw_schedule_flash2_prefetch, tw_schedule_flash3, tw_schedule_flash3_serial,
    tw_schedule_flash3_pingpong;

/** Number of schedules. */
int tw_schedule_count(void);

/** The i-th schedule; NULL if there is none. */
const tw_schedule *tw_schedule_at(int i);

/**
 * @brief Finds a schedule by its name or alias (fa1, fa2, fa3).
 * @param[out] schedule  untouched on error
 * @return TW_OK; TW_EINVAL (no such name; the line lists those there are)
 */
TW_MUST_CHECK tw_status tw_schedule_find(const tw_schedule **schedule, const char *name);

/**
 * @brief Fills in what the user left open (0): block sizes by the schedule's own rule, or TW_DEFAULT_BLOCK.
 *
 * The result may exceed the sequence: tiles are cut at its end.
 */
void tw_schedule_default_tiling(const tw_schedule *schedule, tw_tiling *tiling, const tw_problem *problem,
                                const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
