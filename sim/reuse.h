/**
 * @file reuse.h
 * @brief Reuse distances: how many different bytes were touched since a unit was touched last.
 *
 * A fully associative cache with exact LRU hits where that distance, the unit itself included, is at most its size:
 * one pass over a stream therefore tells the hits of every such cache (Mattson et al. 1970). Against it the misses of
 * a real one are told apart: compulsory, capacity, conflict.
 */
#ifndef TW_REUSE_H
#define TW_REUSE_H

#include "../cpu_ref/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_reuse tw_reuse;

/** What tw_reuse_touch() says of a unit that was never touched. */
#define TW_REUSE_FIRST INT64_MAX

/**
 * @param[out] reuse       to be freed with tw_reuse_free(); untouched on error
 * @param[in]  unit_bytes  of each unit; must outlive the result
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_reuse_create(tw_reuse **reuse, int32_t num_units, const uint32_t *unit_bytes);
void tw_reuse_free(tw_reuse *reuse);

/** Touches a unit. @return bytes of the different units touched since the last time, this one included. O(log units). */
int64_t tw_reuse_touch(tw_reuse *reuse, int32_t unit);

#ifdef __cplusplus
}
#endif

#endif
