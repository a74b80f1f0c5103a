/*
 * Lab 3: a schedule of your own. You write lab3_block(), in schedule.c, in the tile language of tile_language.h.
 *
 * The launch around it is given: handout.md says what one block works on, and which tensors it may touch. Whoever runs
 * your schedule does so once for counting and once with real numbers; it cannot tell which.
 *
 * All tasks share this file; what yours does not mention you do not need.
 */
#ifndef LAB3_H
#define LAB3_H

#include "tile_language.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Yours: everything that one thread block does. */
void lab3_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b);

/*
 * What your task's mask lets a query see. A query row stands at key position row + seqlen_k - seqlen_q; it sees keys up
 * to its own position (all keys if p->causal is false). With a window, only the last lab3_window() of those before its
 * own position, and its own; with sinks, also the first lab3_sinks() keys, as far as they are not after its position.
 */
int lab3_window(void);
int lab3_sinks(void);

/* The key position of a query row, row + seqlen_k - seqlen_q; negative if the row sees nothing. */
int64_t lab3_position(const tw_problem *p, int64_t row);

/*
 * A walk over the key tiles with numbers first, first + 1, … end - 1; none if end <= first. Numbers that no tile has are
 * left out: a first below 0 is 0, an end beyond the last tile is the end of the sequence.
 */
tw_walk lab3_walk_key_tiles(tw_emitter *e, int64_t first, int64_t end);

/* Two query tiles per block: the upper (0) or lower (1) half of a tile of t->block_m rows. False if it has no rows: the last tile may be short. */
bool lab3_half(tw_tile *half, tw_tile rows, const tw_tiling *t, int which);

#ifdef __cplusplus
}
#endif

#endif
