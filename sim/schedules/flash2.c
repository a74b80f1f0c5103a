/*
 * FlashAttention 2: a tile of Q stays on chip, K and V stream past it, O is written once.
 * Dao 2023, arXiv:2307.08691, Algorithm 1.
 *
 * Traffic per head: 2Nd + N + Tr · 2Nd elements. K and V are loaded once per query head and query tile, whatever
 * heads share them: that they then hit in the L2 is the cache's doing, not the schedule's.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of query rows of one head. */
static void flash2_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i); /* not at all where no row sees a key */
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k); /* S = scale · Q Kᵀ */
        score_mod(e, s);                /* only where something changes the scores */
        mask(e, s);                     /* only where the mask cuts the tile */
        online_softmax(e, s, st);       /* S becomes P; m, l advance */
        rescale(e, o, st);              /* O keeps up with m */
        dropout(e, s);                  /* only where there is dropout: P becomes P ∘ Z */
        convert_for_unit(e, s);         /* tensor cores read P in the input's type */
        tw_slot v = load(e, TW_V, b, kv.tile);
        matmul_add(e, o, s, v); /* O += P V */
        release(e, s);
        release(e, k);
        release(e, v);
        if (kv.is_last)
            release(e, q);
    }
    normalize(e, o, st); /* once, at the end */
    lse(e, st);
    store(e, TW_O, b, o);
    store(e, TW_LSE, b, st.m);
    release(e, o);
    release_stats(e, st);
}

const tw_schedule tw_schedule_flash2 = {
    .name = "flash2",
    .file = "flash2.c",
    .summary = "FlashAttention 2: Q outer, K and V stream past, O written once",
    .ledger = "tiled: Q once, K and V once per query tile, O and LSE once",
    .paper = "Dao, arXiv:2307.08691",
    .year = 2023,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL | TW_HONOURS_CODES,
    .launches = {{
        .name = "flash2",
        .block = flash2_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};

/* The sawtooth order: odd query tiles walk from the last key tile to the first, so that what a block left in the L2 is
 * what the next one wants first. Same tiles, same counts; only HBM sees a difference. */
static void sawtooth_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    (void)p, (void)machine;
    if (t->kv_order == TW_KV_FORWARD)
        t->kv_order = TW_KV_ALTERNATING;
}

const tw_schedule tw_schedule_flash2_sawtooth = {
    .name = "flash2_sawtooth",
    .file = "flash2.c",
    .summary = "flash2 with --kv-order alternating: every other query tile walks K and V backwards",
    .ledger = "tiled: Q once, K and V once per query tile, O and LSE once",
    .paper = "arXiv:2601.16032",
    .year = 2026,
    .variant_of = "flash2",
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .launches = {{
        .name = "flash2_sawtooth",
        .block = flash2_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
    .default_tiling = sawtooth_tiling,
};
