/* Inside the closed forms: what bounds.c and bounds_family.c share. */
#ifndef TW_BOUNDS_PARTS_H
#define TW_BOUNDS_PARTS_H

#include "bounds.h"

/* One head's traffic, as elements of the input's type and as fp32 row statistics. */
typedef struct tw_traffic {
    int64_t fill, drain;             /* elements of O's type, which is the input's unless that is codes */
    int64_t fill_inputs;             /* elements of Q, K and V that may be codes */
    int64_t fill_stats, drain_stats; /* row statistics, and fp32 sums of dQ */
    int64_t fill_bytes, drain_bytes; /* of a dropout mask */
} tw_traffic;

/* Rows of one axis that are loaded for a tile of the other, and in how many tiles. */
typedef struct tw_loaded {
    int64_t rows, tiles;
} tw_loaded;

/* Keys that query rows [row0, row1) load. */
tw_loaded tw_bounds_keys_loaded(const tw_problem *p, const tw_tiling *t, int64_t row0, int64_t row1);

/* What a bias and sink logits add to a pass that visits so many scores in so many blocks. */
void tw_bounds_add_scoring(tw_traffic *one, const tw_problem *p, int64_t scores, int64_t blocks);

/* One head of the algorithms of bounds_family.c; false if the schedule is none of them. */
bool tw_bounds_family(tw_traffic *one, const char *schedule, const tw_problem *p, const tw_tiling *t);

#endif
