/**
 * @file diagram.h
 * @brief A schedule as a picture, drawn from the stream that it emits: which tiles stay on chip, which stream past.
 */
#ifndef TW_DIAGRAM_H
#define TW_DIAGRAM_H

#include "tile_ops.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Writes an SVG with a panel for each schedule, three beside each other.
 *
 * Each runs on a problem of four tiles a side that it is meant for: with grouped heads, buckets, two devices or a rank
 * where it is about these. Above, the tensors in HBM and how often each of their elements goes on chip and comes back;
 * below, what one block holds, operation by operation: a long bar stays, short ones stream.
 * @return TW_OK; TW_ENOMEM; as tw_emit()
 */
TW_MUST_CHECK tw_status tw_diagram_write(FILE *out, const tw_schedule *const *schedules, int count);

#ifdef __cplusplus
}
#endif

#endif
