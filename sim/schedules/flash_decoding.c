/*
 * Flash-Decoding: one query leaves an SM for each head busy and the others idle, so the keys are cut into splits, a block
 * each; a second launch makes one O of their partial results. Dao, Haziza, Massa, Sizov 2023.
 *
 *     LSE = ln Σ e^LSE_c        O = Σ e^(LSE_c − LSE) O_c
 *
 * Query heads that share K and V are rows of one tile, as in gqa_packed. Traffic per K/V head with R packed rows: 2Rd + R +
 * Tr · 2Nd elements as without splits, (S − 1) Rd more of Q where every split sees something, and S R (d + 1) of fp32 out
 * and in again. One split needs no second launch and writes O itself.
 */
#include "registry.h"
#include "schedule_language.h"

/* O and the row state of the block's part of the keys. */
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
    normalize(e, o, st);
    lse(e, st);
}

/* One thread block: a tile of query rows, and one split of the keys. */
static void split_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats_of_part(e, b.i);
    attend(e, b, o, st);
    if (tw_is_split(e))
        store_part(e, TW_O_PART, b, o), store_part(e, TW_LSE_PART, b, st.m);
    else
        store(e, TW_O, b, o), store(e, TW_LSE, b, st.m);
    release(e, o), release_stats(e, st);
}

/* One thread block: a tile of query rows. A split is taken in as a key of score LSE_c and value O_c would be. */
static void combine_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);
    take_parts(e, b, 0, p->num_splits, o, st);
    normalize(e, o, st);
    lse(e, st);
    store(e, TW_O, b, o), store(e, TW_LSE, b, st.m);
    release(e, o), release_stats(e, st);
}

const tw_schedule tw_schedule_flash_decoding = {
    .name = "flash_decoding",
    .file = "flash_decoding.c",
    .summary = "Flash-Decoding: the keys in splits, a block each; a second launch combines them",
    .ledger = "tiled: Q once a split, K and V once per tile of packed rows; O and LSE of each split in fp32, "
              "out and in",
    .paper = "Dao et al., Flash-Decoding",
    .year = 2023,
    .num_launches = 2,
    .honours = TW_HONOURS_ALL,
    .packs_heads = true,
    .suits = tw_is_decoding,
    .launches = {{.name = "splits",
                  .block = split_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .grid_j = TW_AXIS_SPLITS,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
                  .writes = TW_SET(TW_O) | TW_SET(TW_LSE) | TW_SET(TW_O_PART) | TW_SET(TW_LSE_PART)},
                 {.name = "combine",
                  .block = combine_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .only_if_split = true,
                  .reads = TW_SET(TW_O_PART) | TW_SET(TW_LSE_PART),
                  .writes = TW_SET(TW_O) | TW_SET(TW_LSE)}},
    .writes_lse = true,
    .default_tiling = tw_decoding_tiling,
};
