/*
 * Grouped-query attention with packed heads: the query heads that share a K/V head are rows of one tile, so that K and V
 * stream past all of them at once. Ainslie et al. 2023, arXiv:2305.13245; multi-query: Shazeer 2019, arXiv:1911.02150.
 *
 * Traffic per K/V head with g query heads: 2gNd + gN + Tr · 2Nd elements with Tr = ⌈gN / Br⌉, where flash2 has
 * g ⌈N / Br⌉: nothing is gained while N fills a tile, up to a factor of g where it does not. Decoding has N = 1.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of the rows of a K/V head, g of them to a query. */
static void gqa_packed_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i); /* the heads of a group lie side by side in memory */
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k);
        score_mod(e, s);
        mask(e, s); /* every row of a group by its own query */
        online_softmax(e, s, st);
        rescale(e, o, st);
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

static bool has_groups(const tw_problem *p)
{
    return p->num_heads > p->num_heads_kv && !p->v_in_k;
}

const tw_schedule tw_schedule_gqa_packed = {
    .name = "gqa_packed",
    .file = "gqa_packed.c",
    .summary = "FlashAttention 2 with the query heads of a K/V head packed into the rows of a tile",
    .ledger = "tiled: Q once, K and V once per tile of packed rows, O and LSE once",
    .paper = "Ainslie et al., arXiv:2305.13245",
    .year = 2023,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .packs_heads = true,
    .suits = has_groups,
    .launches = {{
        .name = "gqa_packed",
        .block = gqa_packed_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};
