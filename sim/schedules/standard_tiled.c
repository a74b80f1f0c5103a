/*
 * Standard attention as kernels do it: two tiled matrix products with a row-wise softmax pass between them, S and P
 * through HBM in the input's type. A tiled product reads its operands again for every tile of its result, which the
 * textbook's 4N² + 4Nd does not charge: this ledger does.
 *
 * Traffic per head: scores Tr·Tc tiles of (Br + Bc) d in, N² out; softmax N² in and out and N for LSE; output
 * N² + Tr · Nd in, Nd out. The mask hides nothing from the products: they compute the whole of S, and the softmax
 * pass discards what is masked.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of S. */
static void scores_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot q = load(e, TW_Q, b, b.i);
    tw_slot k = load(e, TW_K, b, b.j);
    tw_slot s = matmul_nt(e, q, k);
    store(e, TW_S, b, s);
    release(e, q);
    release(e, k);
    release(e, s);
}

/* A row that fits on chip is read once. */
static void softmax_short_row(tw_emitter *e, tw_block b, tw_row_stats st)
{
    tw_slot s = load_part(e, TW_S, b, b.i, tw_all_keys(e));
    score_mod(e, s);
    mask(e, s);
    softmax(e, s, st);
    normalize(e, s, st);
    store(e, TW_P, b, s);
    release(e, s);
}

/* A longer one twice: first for its maximum and sum, then for P. */
static void softmax_long_row(tw_emitter *e, tw_block b, tw_row_stats st)
{
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot s = load_part(e, TW_S, b, b.i, keys.tile);
        score_mod(e, s);
        mask(e, s);
        row_stats_step(e, s, st);
        release(e, s);
    }
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot s = load_part(e, TW_S, b, b.i, keys.tile);
        score_mod(e, s);
        mask(e, s);
        softmax_apply(e, s, st);
        store(e, TW_P, b, s);
        release(e, s);
    }
}

/* One thread block: one row of S. */
static void softmax_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_row_stats st = row_stats(e, b.i);
    if (p->seqlen_k <= TW_SOFTMAX_ROW_KEYS && tw_fits(e, 1, p->seqlen_k))
        softmax_short_row(e, b, st);
    else
        softmax_long_row(e, b, st);
    lse(e, st);
    store(e, TW_LSE, b, st.m);
    release_stats(e, st);
}

/* One thread block: one tile of O. */
static void output_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot probs = load_part(e, TW_P, b, b.i, keys.tile);
        tw_slot v = load(e, TW_V, b, keys.tile);
        dropout(e, probs);
        convert_to_codes(e, probs); /* only where V is codes */
        matmul_add(e, o, probs, v);
        release(e, probs);
        release(e, v);
    }
    store(e, TW_O, b, o);
    release(e, o);
}

static bool takes_codes(const tw_quantize *quantize)
{
    return quantize->format != TW_INT8;
}

const tw_schedule tw_schedule_standard_tiled = {
    .name = "standard_tiled",
    .file = "standard_tiled.c",
    .summary = "standard attention as kernels do it: tiled products, S and P through HBM",
    .ledger =
        "tiled: each product reads its operands again for every tile of its result; S and P written and read",
    .num_launches = 3,
    .needs_codes = "fp8 or none: of int8, P that is divided by its row sum would be 0",
    .takes_codes = takes_codes,
    .honours = TW_HONOURS_ALL | TW_HONOURS_CODES,
    .launches = {{.name = "scores",
                  .block = scores_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .grid_j = TW_AXIS_K_TILES,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K),
                  .writes = TW_SET(TW_S)},
                 {.name = "softmax",
                  .block = softmax_block,
                  .grid_i = TW_AXIS_Q_ROWS,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_S),
                  .writes = TW_SET(TW_P) | TW_SET(TW_LSE)},
                 {.name = "output",
                  .block = output_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .reads = TW_SET(TW_P) | TW_SET(TW_V),
                  .writes = TW_SET(TW_O)}},
    .writes_lse = true,
};
