/*
 * Latent attention: one K/V head for all query heads, and V is the first columns of K, so that one tile on chip serves
 * both products. DeepSeek-AI 2024, arXiv:2405.04434 (MLA; 128 heads on a latent of 512 + 64 columns), with the
 * projections absorbed into Q and O.
 *
 * Traffic per K/V head with g query heads, d = head_dim and d' = head_dim_v: gN (d + d' + 1) + Tr · Nd elements with
 * Tr = ⌈gN / Br⌉: V is not loaded at all.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of the rows of all query heads. */
static void mla_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i);
        tw_slot latent = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, latent); /* all of its columns are K */
        score_mod(e, s);
        mask(e, s);
        online_softmax(e, s, st);
        rescale(e, o, st);
        dropout(e, s);
        convert_for_unit(e, s);
        matmul_add(e, o, s, latent); /* the first head_dim_v of them are V */
        release(e, s);
        release(e, latent);
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

static bool is_latent(const tw_problem *p)
{
    return p->v_in_k;
}

const tw_schedule tw_schedule_mla = {
    .name = "mla",
    .file = "mla.c",
    .summary = "latent attention: packed query heads, one tile on chip is K and V",
    .ledger = "tiled: Q once, the latent once per tile of packed rows, O and LSE once; V is a part of it",
    .paper = "DeepSeek-AI, arXiv:2405.04434",
    .year = 2024,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .needs_v_in_k = true,
    .packs_heads = true,
    .suits = is_latent,
    .launches = {{
        .name = "mla",
        .block = mla_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};
