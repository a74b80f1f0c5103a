/* A sliding window and a few sink keys in front of it: two walks, of which the second begins where the first ended. */
#include "lab3.h"

typedef struct block_state {
    tw_slot q, o;
    tw_row_stats rows_so_far;
} block_state;

static void visit(tw_emitter *e, tw_block b, block_state *x, int64_t first, int64_t end)
{
    for (tw_walk keys = lab3_walk_key_tiles(e, first, end); tw_step(&keys);) {
        if (x->q.id < 0)
            x->q = load(e, TW_Q, b, b.i);
        tw_slot k_tile = load(e, TW_K, b, keys.tile), scores = matmul_nt(e, x->q, k_tile);
        release(e, k_tile);
        mask(e, scores);
        online_softmax(e, scores, x->rows_so_far);
        rescale(e, x->o, x->rows_so_far);
        tw_slot v_tile = load(e, TW_V, b, keys.tile);
        matmul_add(e, x->o, scores, v_tile);
        release(e, v_tile);
        release(e, scores);
    }
}

void lab3_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    int64_t lowest = lab3_position(p, b.i.row0), highest = lowest + b.i.rows - 1;
    int64_t from = lowest - lab3_window(), last_sink = lab3_sinks() - 1;
    int64_t end_tile = highest < 0 ? 0 : highest / t->block_n + 1;
    int64_t first_tile = from > 0 ? from / t->block_n : 0;
    int64_t sink_end = last_sink / t->block_n + 1;
    sink_end = sink_end < end_tile ? sink_end : end_tile;
    block_state x = {.q = {-1}, .o = zeros(e, b.i), .rows_so_far = row_stats(e, b.i)};
    visit(e, b, &x, 0, sink_end);
    visit(e, b, &x, first_tile > sink_end ? first_tile : sink_end, end_tile);
    if (x.q.id >= 0)
        release(e, x.q);
    normalize(e, x.o, x.rows_so_far);
    lse(e, x.rows_so_far);
    store(e, TW_O, b, x.o);
    store(e, TW_LSE, b, x.rows_so_far.m);
    release(e, x.o);
    release_stats(e, x.rows_so_far);
}
