/* Awkward shapes of attention, as tables in tests have them, and machines by name. */
#ifndef TW_SUPPORT_SHAPES_H
#define TW_SUPPORT_SHAPES_H

#include "../cpu_ref/problem.h"
#include "../sim/machine.h"

/* A line of a table of shapes, with the tiles that it is cut into. */
typedef struct tw_shape_case {
    int batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim;
    bool causal;
    double score_size; /* scores reach about ± this */
    int block_m, block_n;
} tw_shape_case;

/* Its problem, without dropout. */
tw_problem tw_shape_problem(const tw_shape_case *shape, tw_dtype dtype);

/* A machine that comes with the program; the test fails if there is none of this name. */
tw_machine tw_machine_named(const char *name);

#endif
