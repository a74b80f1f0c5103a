/* What a diagram shows of a schedule, gathered from its stream. */
#ifndef TW_DIAGRAM_RECORD_H
#define TW_DIAGRAM_RECORD_H

#include "tile_ops.h"

/* A tensor is drawn as so many cells; a panel has at most so many bars and lanes. */
enum { TW_DIAGRAM_CELLS = 4, TW_DIAGRAM_BARS = 400, TW_DIAGRAM_MARKS = 16 };

/* A tile in a slot, from the operation that made it to the one that released it. */
typedef struct tw_diagram_bar {
    int slot;
    tw_place place;
    tw_tensor tensor;
    bool is_alpha, loaded;
    int64_t row, col;      /* numbers of the tile */
    int begin, end, store; /* operations; store −1: it goes nowhere */
} tw_diagram_bar;

typedef struct tw_diagram_record {
    double in[TW_NUM_TENSORS][TW_DIAGRAM_CELLS],
        out[TW_NUM_TENSORS][TW_DIAGRAM_CELLS]; /* times each element moved */
    double sent[TW_NUM_TENSORS];
    tw_diagram_bar bars[TW_DIAGRAM_BARS];
    int num_bars, num_ops;
    struct {
        int at;
        char name[32];
    } marks[TW_DIAGRAM_MARKS]; /* where a launch, or a step of a ring, begins */
    int num_marks, num_parts;
    int open[TW_MAX_SLOTS]; /* bar of a slot, −1 */
    bool drawn;             /* is the block that runs the one that is drawn? */
    const tw_launch *launch;
    int step;
    const tw_launch *last_launch;
} tw_diagram_record;

/* Runs a schedule on the problem of four tiles that suits it. */
TW_MUST_CHECK tw_status tw_diagram_run(tw_diagram_record *record, const tw_schedule *schedule);

#endif
