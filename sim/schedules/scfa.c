/*
 * Sparse causal flash attention: queries and keys that are dropped, or hashed into buckets of which each query sees only
 * its own. Rows are sorted by bucket, dropped ones last, so that what is seen lies together and most tiles are empty; the
 * original indices come along, because a causal mask asks for them. Pagliardini et al. 2023, arXiv:2306.01160.
 *
 * Traffic per head: as flash2, of the tiles that hold a pair of one bucket alone; with each tile of Q and K its rows'
 * indices and buckets, two integers each, and the list of tiles. Sorting Q, K, V is not counted: rows are gathered.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of sorted query rows of one head. */
static void scfa_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1}, q_index = {-1};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first) {
            q = load(e, TW_Q, b, b.i);
            q_index = load(e, TW_Q_INDEX, b, b.i);
        }
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot k_index = load(e, TW_K_INDEX, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k);
        mask_by_index(e, s, q_index, k_index); /* another bucket, or a later key: by what was loaded */
        online_softmax(e, s, st);
        rescale(e, o, st);
        dropout(e, s);
        convert_for_unit(e, s);
        tw_slot v = load(e, TW_V, b, kv.tile);
        matmul_add(e, o, s, v);
        release(e, s);
        release(e, k);
        release(e, k_index);
        release(e, v);
        if (kv.is_last) {
            release(e, q);
            release(e, q_index);
        }
    }
    normalize(e, o, st);
    lse(e, st);
    store(e, TW_O, b, o); /* to the rows' own places */
    store(e, TW_LSE, b, st.m);
    release(e, o);
    release_stats(e, st);
}

const tw_schedule tw_schedule_scfa = {
    .name = "scfa",
    .file = "scfa.c",
    .summary = "rows sorted by hash bucket, dropped ones last; empty tiles left out",
    .ledger =
        "tiled: Q once, K and V once per query tile that shares a bucket, with their indices; O and LSE once",
    .paper = "Pagliardini et al., arXiv:2306.01160",
    .year = 2023,
    .num_launches = 1,
    .honours = TW_HONOURS_RUNS | TW_HONOURS_LISTS | TW_HONOURS_WIDTHS,
    .sorts_rows = true,
    .suits = tw_suits_nobody,
    .launches = {{
        .name = "scfa",
        .block = scfa_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_Q_INDEX) | TW_SET(TW_K_INDEX),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};
