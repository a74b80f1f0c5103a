/* What one question of lab 3 is about, and the launch around the student's block: worker and grader share it. */
#ifndef LAB3_CASE_H
#define LAB3_CASE_H

#include "../../../sim/tile_ops.h"

enum { LAB3_RUN = 1 };

typedef enum lab3_task { LAB3_K_OUTER, LAB3_WINDOW, LAB3_SINKS, LAB3_TWO_TILES, LAB3_NUM_TASKS } lab3_task;

typedef struct lab3_case {
    lab3_task task;
    int window, sinks; /* where the task has them */
    tw_problem p;
    tw_tiling t;
} lab3_case;

/* As the ints of a question. */
enum { LAB3_CASE_INTS = 12 };
void lab3_case_pack(int64_t ints[LAB3_CASE_INTS], const lab3_case *c);
void lab3_case_unpack(lab3_case *c, const int64_t ints[LAB3_CASE_INTS]);

/* The schedule of a task, with this block function. */
tw_schedule lab3_schedule(lab3_task task,
                          void (*block)(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b));

/*
 * A recorded operation, as ints. Slots are numbered within a block in the order in which they came to be; row_stats
 * makes three: m, l, alpha.
 */
enum { LAB3_RECORD = 8 };
typedef struct lab3_record {
    int64_t op, line, a, b, c, d, row0, rows;
} lab3_record;

/* X(name, slots it reads or writes among a, b, c, d, slots it makes) */
#define LAB3_OPS(X)                                                                                          \
    X(BLOCK, 0, 0)      /* a: batch, b: head, c: query tile */                                               \
    X(LOAD, 0, 1)       /* a: tensor, b: batch, c: head; rows */                                             \
    X(ZEROS, 0, 1)      /* rows */                                                                           \
    X(ROW_STATS, 0, 3)  /* rows */                                                                           \
    X(STATS_OF, 2, 1)   /* a: m, b: l; makes alpha */                                                        \
    X(STORE, 1, 0)      /* a: slot, b: tensor, c: batch, d: head */                                          \
    X(MATMUL_NT, 2, 1)  /* a: q, b: k */                                                                     \
    X(MATMUL_ADD, 3, 0) /* a: o, b: p, c: v */                                                               \
    X(MASK, 1, 0)                                                                                            \
    X(SOFTMAX, 4, 0) /* a: s or o, b: m, c: l, d: alpha; so the next seven */                                \
    X(ONLINE_SOFTMAX, 4, 0)                                                                                  \
    X(ONLINE_SOFTMAX_NORMALIZED, 4, 0)                                                                       \
    X(ROW_STATS_STEP, 4, 0)                                                                                  \
    X(SOFTMAX_APPLY, 4, 0)                                                                                   \
    X(RESCALE, 4, 0)                                                                                         \
    X(NORMALIZE, 4, 0)                                                                                       \
    X(LSE, 4, 0)                                                                                             \
    X(CONVERT, 1, 0)                                                                                         \
    X(RELEASE, 1, 0)                                                                                         \
    X(WALK_LEFT, 0, 0) /* a walk that was begun did not come to its end */                                   \
    X(FORBIDDEN, 0, 1) /* load_part, multicast: not in this lab */

#define LAB3_ENUM_(name, reads, makes) LAB3_OP_##name,
typedef enum lab3_op { LAB3_OPS(LAB3_ENUM_) LAB3_NUM_OPS } lab3_op;
#undef LAB3_ENUM_

#endif
