/* K and V outer; O, m, l are in HBM between passes, and begin on chip in the first one. */
#include "lab3.h"

void lab3_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    for (tw_walk keys = tw_walk_keys(e, tw_all_queries(e)); tw_step(&keys);) {
        tw_slot k_tile = load(e, TW_K, b, keys.tile), v_tile = load(e, TW_V, b, keys.tile);
        for (tw_walk queries = tw_walk_queries(e, keys.tile); tw_step(&queries);) {
            tw_slot q_tile = load(e, TW_Q, b, queries.tile);
            bool fresh = keys.is_first;
            tw_slot o_tile = fresh ? zeros(e, queries.tile) : load(e, TW_O, b, queries.tile);
            tw_row_stats state;
            if (fresh) {
                state = row_stats(e, queries.tile);
            } else {
                tw_slot m_tile = load(e, TW_M, b, queries.tile), l_tile = load(e, TW_L, b, queries.tile);
                state = row_stats_of(e, m_tile, l_tile);
            }
            tw_slot scores = matmul_nt(e, q_tile, k_tile);
            mask(e, scores);
            online_softmax_normalized(e, scores, state);
            rescale(e, o_tile, state);
            matmul_add(e, o_tile, scores, v_tile);
            normalize(e, o_tile, state);
            store(e, TW_O, b, o_tile);
            store(e, TW_M, b, state.m);
            store(e, TW_L, b, state.l);
            release(e, scores);
            release(e, q_tile);
            release(e, o_tile);
            release_stats(e, state);
        }
        release(e, k_tile);
        release(e, v_tile);
    }
}
