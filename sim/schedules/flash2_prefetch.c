/*
 * FlashAttention 2, with the next K and V on their way while the current ones are used: what double-buffered kernels
 * do. The same tiles in the same order, so every count is flash2's; a second K and V are on chip.
 */
#include "registry.h"
#include "schedule_language.h"

/* Folds one tile of keys into O, as flash2 does. */
static void fold(tw_emitter *e, tw_slot q, tw_slot k, tw_slot v, tw_slot o, tw_row_stats st)
{
    tw_slot s = matmul_nt(e, q, k);
    score_mod(e, s);
    mask(e, s);
    online_softmax(e, s, st);
    rescale(e, o, st);
    dropout(e, s);
    convert_for_unit(e, s);
    matmul_add(e, o, s, v);
    release(e, s);
    release(e, k);
    release(e, v);
}

/* One thread block: one tile of query rows of one head. */
static void flash2_prefetch_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1}, k = {-1}, v = {-1};
    tw_tile here = {.run = 0}; /* the tile that k and v hold; none yet */
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i);
        tw_slot next_k = load(e, TW_K, b, kv.tile);
        tw_slot next_v = load(e, TW_V, b, kv.tile);
        if (!kv.is_first) {
            tw_at_tile(&kv, here);
            fold(e, q, k, v, o, st);
        }
        k = next_k, v = next_v, here = kv.tile;
        if (kv.is_last) {
            tw_at_tile(&kv, here);
            fold(e, q, k, v, o, st);
            release(e, q);
        }
    }
    normalize(e, o, st);
    lse(e, st);
    store(e, TW_O, b, o);
    store(e, TW_LSE, b, st.m);
    release(e, o);
    release_stats(e, st);
}

const tw_schedule tw_schedule_flash2_prefetch = {
    .name = "flash2_prefetch",
    .file = "flash2_prefetch.c",
    .summary = "FlashAttention 2, the next K and V on their way while the current ones are used",
    .ledger = "tiled: Q once, K and V once per query tile, O and LSE once",
    .variant_of = "flash2",
    .num_launches = 1,
    .honours = TW_HONOURS_ALL | TW_HONOURS_CODES,
    .launches = {{
        .name = "flash2_prefetch",
        .block = flash2_prefetch_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};
