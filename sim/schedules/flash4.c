/*
 * FlashAttention 4's two ideas for the softmax, in the loops of flash2. Where exponentials are as dear as products:
 *  - m moves on, and O is rescaled, only where a row has outgrown its m by 2^8 (rescale_log2); until then P is as much
 *    as 2^8 times too large, and so are l and O, which O / l cancels;
 *  - a share of the exponentials (poly_share) is a polynomial on FMA units.
 * Zadouri et al. 2026, arXiv:2603.05451. What the ideas save and what the polynomial costs in accuracy depends on the
 * data: `tilewise run` executes both and says how often O was rescaled and by how much a polynomial was off.
 *
 * Traffic per head: as flash2, 2Nd + N + Tr · 2Nd elements.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of query rows of one head. */
static void flash4_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i);
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k);
        score_mod(e, s);
        mask(e, s);
        online_softmax_lazy(e, s, st); /* m is what exponents are taken against, and no more the maximum */
        rescale_lazy(e, o, st);        /* where alpha is not 1 */
        dropout(e, s);
        convert_for_unit(e, s);
        tw_slot v = load(e, TW_V, b, kv.tile);
        matmul_add(e, o, s, v);
        release(e, s);
        release(e, k);
        release(e, v);
        if (kv.is_last)
            release(e, q);
    }
    normalize(e, o, st);
    lse(e, st);
    store(e, TW_O, b, o);
    store(e, TW_LSE, b, st.m);
    release(e, o);
    release_stats(e, st);
}

/* log2 256, and a quarter of the exponentials: the paper has 10 to 25 %. */
static void flash4_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    (void)p, (void)machine;
    if (t->rescale_log2 < 0.0)
        t->rescale_log2 = 8.0;
    if (t->poly_share < 0.0)
        t->poly_share = 0.25;
}

const tw_schedule tw_schedule_flash4 = {
    .name = "flash4",
    .file = "flash4.c",
    .summary = "FlashAttention 4's softmax: O rescaled seldom, some exponentials by polynomial",
    .ledger = "tiled: Q once, K and V once per query tile, O and LSE once",
    .paper = "Zadouri et al., arXiv:2603.05451",
    .year = 2026,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .takes = TW_TAKES_LAZY,
    .suits = tw_suits_nobody,
    .launches = {{
        .name = "flash4",
        .block = flash4_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
    .default_tiling = flash4_tiling,
};
