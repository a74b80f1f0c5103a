/*
 * INT-FlashAttention: FlashAttention 2 on whole numbers of one byte. Chen et al. 2024, arXiv:2409.16997, Algorithm 1.
 *
 * Q and K are int8 with a scale for each token, V is int8 with one scale. Products of int8 add up in int32, exactly; a
 * tile brings along the scales of its rows, and the products multiply by them. P, between 0 and 1, becomes
 * round(127 P), so that the second product is of int8, too: O += (scale of V / 127) · round(127 P) V. The row sum l is
 * that of P before it was rounded.
 *
 * Traffic per head: Q once and K and V once per query tile, a byte an element, and four for each scale; O in 16 bits.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of query rows of one head. */
static void int_flash_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);

    tw_slot q = {-1};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i);
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k); /* int32, then S = scale · diag(scales of Q) Q Kᵀ diag(scales of K) */
        release(e, k);
        score_mod(e, s);
        mask(e, s);
        online_softmax(e, s, st);
        rescale(e, o, st);
        dropout(e, s);
        convert_to_codes(e, s); /* round(127 P) */
        tw_slot v = load(e, TW_V, b, kv.tile);
        matmul_add(e, o, s, v);
        release(e, s);
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

static bool takes_codes(const tw_quantize *quantize)
{
    return quantize->format == TW_INT8 && quantize->scales == TW_SCALES_TOKEN;
}

static bool suits(const tw_problem *problem)
{
    return takes_codes(&problem->quantize);
}

const tw_schedule tw_schedule_int_flash = {
    .name = "int_flash",
    .file = "int_flash.c",
    .summary = "INT-FlashAttention: int8, a scale for each token, P as whole numbers of 1/127",
    .ledger = "tiled: Q once, K and V once per query tile, with their scales, O and LSE once",
    .paper = "Chen et al., arXiv:2409.16997",
    .year = 2024,
    .num_launches = 1,
    .honours = (TW_HONOURS_ALL & ~TW_HONOURS_PACKED) | TW_HONOURS_CODES,
    .needs_codes = "--quantize=int8 --scales=token",
    .takes_codes = takes_codes,
    .suits = suits,
    .launches = {{
        .name = "int_flash",
        .block = int_flash_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};
