/**
 * @file step_text.h
 * @brief A recorded walk as text, and the numbers that every view of it shares.
 */
#ifndef TW_STEP_TEXT_H
#define TW_STEP_TEXT_H

#include "backend_count.h"
#include "backend_trace.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A number as all views print it: six significant digits, "-inf". */
typedef struct tw_step_number {
    char text[32];
} tw_step_number;
tw_step_number tw_step_format(double x);

/** What the bytes of a walk are set beside: the whole of standard attention, in both ledgers. */
typedef struct tw_step_baselines {
    bool known[2]; /**< false where it cannot be counted: the tiles do not fit, say */
    tw_counts counts[2];
} tw_step_baselines;

/** standard and standard_tiled, in this order. */
extern const char *const tw_step_baseline_names[2];

/** Counts both with the walk's own tiles. */
tw_step_baselines tw_step_baselines_of(const tw_trace *trace);

/** The shape of a walk in one line. */
#define TW_STEP_SETTING_BYTES 512
void tw_step_setting(char text[TW_STEP_SETTING_BYTES], const tw_problem *problem);

/** How large the tiles of a walk are, as they were visited: "4 x 4", "up to 4 x 4", "8 x 8, whole matrices". */
#define TW_STEP_TILES_BYTES 128
void tw_step_tiles(char text[TW_STEP_TILES_BYTES], const tw_trace *trace);

/** What a row is where query heads are packed into rows, in one line; "" where a row is a query. */
#define TW_STEP_ROWS_BYTES 192
void tw_step_packed_rows(char text[TW_STEP_ROWS_BYTES], const tw_trace *trace);

/** What a machine leaves out when it says how much is on chip; "" where it leaves out nothing. */
const char *tw_step_charge(const tw_machine *machine);

/** What is walked, and what the signs mean: the lines above the first stop. */
void tw_step_print_head(FILE *out, const tw_trace *trace);

/** One stop: the grid of tiles, what is on chip, the row state, the bytes. */
void tw_step_print_stop(FILE *out, const tw_trace *trace, size_t at, const tw_step_baselines *baselines);

#ifdef __cplusplus
}
#endif

#endif
