/* What lab 3's schedules must compute, and may move: straight from the definition, tile by tile. */
#ifndef LAB3_EXPECT_H
#define LAB3_EXPECT_H

#include "replay.h"

/* The right result, and those of usual mistakes. */
typedef enum lab3_mistake {
    LAB3_RIGHT,
    LAB3_NO_SINKS, /* these three only where there are sinks */
    LAB3_SINKS_TWICE,
    LAB3_SINK_TILE_MISSING,
    LAB3_NO_MASK,
    LAB3_LAST_TILE_MISSING,
    LAB3_FIRST_TILE_MISSING,
    LAB3_WINDOW_SHORT,
    LAB3_WINDOW_LONG,
    LAB3_NUM_MISTAKES
} lab3_mistake;

/* One row of O and its LSE, as someone who made this mistake would have it. scratch: (4 d + 2) seqlen_k numbers. */
void lab3_expect_row(double *o, double *lse, const lab3_case *c, lab3_mistake mistake, const double *q,
                     const double *k, const double *v, int batch, int head, int row, double *scratch);

/* Mistakes within the steps of a row: O is rescaled after a tile was added to it; or by the alpha of the other step. */
typedef enum lab3_slip { LAB3_LATE_RESCALE, LAB3_OTHER_STEP } lab3_slip;

/* One row of O where every step over the tiles that its block sees is taken with this slip. */
void lab3_expect_slip(double *o, lab3_slip slip, const lab3_case *c, const double *q, const double *k,
                      const double *v, int batch, int head, int row);

/* Bytes into and out of SRAM, over all heads and batch elements, and the most that may be on chip at once. */
typedef struct lab3_budget {
    int64_t fill[TW_NUM_TENSORS], drain[TW_NUM_TENSORS];
    int64_t fill_bytes, drain_bytes; /* of all tensors */
    int64_t sram;
} lab3_budget;

lab3_budget lab3_expect_traffic(const lab3_case *c);

#endif
