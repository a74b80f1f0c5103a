/*
 * LeanAttention: the key tiles of all query tiles, heads and sequences stand in one row, and every block takes as many of
 * them (stream-K). A query tile that lies across several blocks is finished by the one that has its first key tile: it
 * waits for what the others leave of it, O_c and LSE_c, and takes them in. One launch, and no SM has more than another.
 * Sanovar, Bharadwaj, St. Amant, Rühle, Rajmohan 2024, arXiv:2405.10480, Algorithm 2.
 *
 * Traffic: Q once for each part, K and V as without parts, and (d + 1) fp32 of each row for every part but the first, out
 * and in again. There are at most as many such parts as blocks.
 */
#include "registry.h"
#include "schedule_language.h"

/* O and the row state of a part of the keys. */
static void attend(tw_emitter *e, tw_block b, tw_slot o, tw_row_stats st)
{
    tw_slot q = {-1};
    for (tw_walk kv = tw_walk_part(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i);
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k);
        score_mod(e, s);
        mask(e, s);
        online_softmax(e, s, st);
        rescale(e, o, st);
        dropout(e, s);
        convert_for_unit(e, s);
        tw_slot v = load(e, TW_V, b, kv.tile);
        matmul_add(e, o, s, v);
        release(e, s), release(e, k), release(e, v);
        if (kv.is_last)
            release(e, q);
    }
}

/* A query tile, or a part of one, of a thread block's share. */
static void lean_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    bool finishes = e->part.index == 0;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = finishes ? row_stats(e, b.i) : row_stats_of_part(e, b.i);
    attend(e, b, o, st);
    if (finishes) /* what the blocks behind this one have of its query tile */
        take_parts(e, b, 1, e->part.count, o, st);
    normalize(e, o, st);
    lse(e, st);
    if (finishes)
        store(e, TW_O, b, o), store(e, TW_LSE, b, st.m);
    else
        store_part(e, TW_O_PART, b, o), store_part(e, TW_LSE_PART, b, st.m);
    release(e, o), release_stats(e, st);
}

const tw_schedule tw_schedule_lean_attention = {
    .name = "lean_attention",
    .file = "lean_attention.c",
    .summary = "LeanAttention: every block takes as many key tiles, whatever head they belong to (stream-K)",
    .ledger = "tiled: Q once a part, K and V once per tile of packed rows; O and LSE of later parts in fp32, "
              "out and in",
    .paper = "Sanovar et al., arXiv:2405.10480",
    .year = 2024,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .packs_heads = true,
    .suits = tw_is_decoding,
    .launches = {{.name = "shares",
                  .block = lean_block,
                  .grid_i = TW_AXIS_SHARES,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O_PART) |
                           TW_SET(TW_LSE_PART),
                  .writes = TW_SET(TW_O) | TW_SET(TW_LSE) | TW_SET(TW_O_PART) | TW_SET(TW_LSE_PART)}},
    .writes_lse = true,
    .default_tiling = tw_decoding_tiling,
};
