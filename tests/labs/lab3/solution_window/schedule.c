/* A sliding window: only the key tiles that reach into it. */
#include "lab3.h"

void lab3_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    int64_t lowest = lab3_position(p, b.i.row0), highest = lowest + b.i.rows - 1;
    int64_t from = lowest - lab3_window();
    int64_t first_tile = from > 0 ? from / t->block_n : 0,
            end_tile = highest < 0 ? 0 : highest / t->block_n + 1;
    tw_slot q_tile = {-1}, o_tile = zeros(e, b.i);
    tw_row_stats state = row_stats(e, b.i);
    for (tw_walk keys = lab3_walk_key_tiles(e, first_tile, end_tile); tw_step(&keys);) {
        if (keys.is_first)
            q_tile = load(e, TW_Q, b, b.i);
        tw_slot k_tile = load(e, TW_K, b, keys.tile), scores = matmul_nt(e, q_tile, k_tile);
        release(e, k_tile);
        mask(e, scores);
        online_softmax(e, scores, state);
        rescale(e, o_tile, state);
        tw_slot v_tile = load(e, TW_V, b, keys.tile);
        matmul_add(e, o_tile, scores, v_tile);
        release(e, v_tile);
        release(e, scores);
        if (keys.is_last)
            release(e, q_tile);
    }
    normalize(e, o_tile, state);
    lse(e, state);
    store(e, TW_O, b, o_tile);
    store(e, TW_LSE, b, state.m);
    release(e, o_tile);
    release_stats(e, state);
}
