/* Two query tiles in one block: what is loaded of K and V serves both. */
#include "lab3.h"

void lab3_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p;
    tw_tile rows[2];
    tw_slot q_tile[2], o_tile[2], scores[2];
    tw_row_stats state[2];
    int halves = 0;
    while (halves < 2 && lab3_half(&rows[halves], b.i, t, halves)) {
        o_tile[halves] = zeros(e, rows[halves]);
        state[halves] = row_stats(e, rows[halves]);
        halves++;
    }
    for (tw_walk keys = tw_walk_keys(e, b.i); tw_step(&keys);) {
        for (int h = 0; h < halves && keys.is_first; h++)
            q_tile[h] = load(e, TW_Q, b, rows[h]);
        tw_slot k_tile = load(e, TW_K, b, keys.tile);
        for (int h = 0; h < halves; h++)
            scores[h] = matmul_nt(e, q_tile[h], k_tile);
        release(e, k_tile);
        tw_slot v_tile = load(e, TW_V, b, keys.tile);
        for (int h = 0; h < halves; h++) {
            mask(e, scores[h]);
            online_softmax(e, scores[h], state[h]);
            rescale(e, o_tile[h], state[h]);
            matmul_add(e, o_tile[h], scores[h], v_tile);
            release(e, scores[h]);
        }
        release(e, v_tile);
        for (int h = 0; h < halves && keys.is_last; h++)
            release(e, q_tile[h]);
    }
    for (int h = 0; h < halves; h++) {
        normalize(e, o_tile[h], state[h]);
        lse(e, state[h]);
        store(e, TW_O, b, o_tile[h]);
        store(e, TW_LSE, b, state[h].m);
        release(e, o_tile[h]);
        release_stats(e, state[h]);
    }
}
