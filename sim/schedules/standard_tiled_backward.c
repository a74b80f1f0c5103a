/*
 * Standard attention, backward, as kernels do it: four tiled matrix products and a row-wise pass, P as the forward pass
 * has stored it, dP and dS through HBM in the input's type. A tiled product reads its operands again for every tile of
 * its result.
 *
 * Traffic per head: dV N² + Tc · Nd in, Nd out; dP (Tr + Tc) Nd in, N² out; dS 2N² in, N² out; dQ N² + Tr · Nd in, Nd
 * out; dK N² + Tc · Nd in, Nd out. Where two rows do not fit on chip, dS reads P and dP twice. The mask hides nothing
 * from the products: where it hides something, P and so dS are 0.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: a tile of dV of one K/V head. */
static void dv_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dv = zeros_of(e, TW_DV, b.j);
    for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);)
        for (tw_walk rows = tw_walk_all_queries(e); tw_step(&rows);) {
            tw_slot probs = load_part(e, TW_P, heads.block, rows.tile, b.j);
            tw_slot d_o = load(e, TW_DO, heads.block, rows.tile);
            dropout(e, probs);
            matmul_tn_add(e, dv, probs, d_o); /* dV += (P ∘ Z)ᵀ dO */
            release(e, probs), release(e, d_o);
        }
    store(e, TW_DV, b, dv);
    release(e, dv);
}

/* One thread block: a tile of dP. */
static void dp_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot d_o = load(e, TW_DO, b, b.i), v = load(e, TW_V, b, b.j);
    tw_slot dp = matmul_nt(e, d_o, v);
    dropout(e, dp); /* dP = dO Vᵀ ∘ Z */
    store(e, TW_DP, b, dp);
    release(e, d_o), release(e, v), release(e, dp);
}

/* Rows that fit on chip are read once: D, then dS of the same P and dP. */
static void ds_short_row(tw_emitter *e, tw_block b, tw_slot d)
{
    tw_slot probs = load_part(e, TW_P, b, b.i, tw_all_keys(e)),
            ds = load_part(e, TW_DP, b, b.i, tw_all_keys(e));
    row_dot(e, d, probs, ds);  /* D = rowsum(P ∘ dP) */
    dsoftmax(e, ds, probs, d); /* dP becomes dS = P ∘ (dP − D) */
    store(e, TW_DS, b, ds);
    release(e, probs), release(e, ds);
}

/* Longer ones twice. */
static void ds_long_row(tw_emitter *e, tw_block b, tw_slot d)
{
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot probs = load_part(e, TW_P, b, b.i, keys.tile), dp = load_part(e, TW_DP, b, b.i, keys.tile);
        row_dot(e, d, probs, dp);
        release(e, probs), release(e, dp);
    }
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot probs = load_part(e, TW_P, b, b.i, keys.tile), ds = load_part(e, TW_DP, b, b.i, keys.tile);
        dsoftmax(e, ds, probs, d);
        store(e, TW_DS, b, ds);
        release(e, probs), release(e, ds);
    }
}

/* One thread block: one row. */
static void ds_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_slot d = zeros_of(e, TW_D, b.i);
    if (p->seqlen_k <= TW_SOFTMAX_ROW_KEYS && tw_fits(e, 2, p->seqlen_k))
        ds_short_row(e, b, d);
    else
        ds_long_row(e, b, d);
    release(e, d);
}

/* One thread block: a tile of dQ. */
static void dq_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dq = zeros_of(e, TW_DQ, b.i);
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot ds = load_part(e, TW_DS, b, b.i, keys.tile), k = load(e, TW_K, b, keys.tile);
        matmul_add(e, dq, ds, k); /* dQ += scale · dS K */
        release(e, ds), release(e, k);
    }
    store(e, TW_DQ, b, dq);
    release(e, dq);
}

/* One thread block: a tile of dK of one K/V head. */
static void dk_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dk = zeros_of(e, TW_DK, b.j);
    for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);)
        for (tw_walk rows = tw_walk_all_queries(e); tw_step(&rows);) {
            tw_slot ds = load_part(e, TW_DS, heads.block, rows.tile, b.j);
            tw_slot q = load(e, TW_Q, heads.block, rows.tile);
            matmul_tn_add(e, dk, ds, q); /* dK += scale · dSᵀ Q */
            release(e, ds), release(e, q);
        }
    store(e, TW_DK, b, dk);
    release(e, dk);
}

const tw_schedule tw_schedule_standard_tiled_backward = {
    .name = "standard_tiled_backward",
    .file = "standard_tiled_backward.c",
    .summary = "standard attention, backward, as kernels do it: tiled products, P, dP and dS through HBM",
    .ledger = "tiled: each product reads its operands again for every tile of its result; dP, dS out and in",
    .pass = TW_PASS_BACKWARD,
    .honours = TW_HONOURS_ALL,
    .num_launches = 5,
    .launches = {{.name = "dV",
                  .block = dv_block,
                  .grid_j = TW_AXIS_K_TILES,
                  .per_kv_head = true,
                  .reads = TW_SET(TW_P) | TW_SET(TW_DO),
                  .writes = TW_SET(TW_DV)},
                 {.name = "dP",
                  .block = dp_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .grid_j = TW_AXIS_K_TILES,
                  .reads = TW_SET(TW_DO) | TW_SET(TW_V),
                  .writes = TW_SET(TW_DP)},
                 {.name = "dS",
                  .block = ds_block,
                  .grid_i = TW_AXIS_Q_ROWS,
                  .reads = TW_SET(TW_P) | TW_SET(TW_DP),
                  .writes = TW_SET(TW_DS)},
                 {.name = "dQ",
                  .block = dq_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .reads = TW_SET(TW_DS) | TW_SET(TW_K),
                  .writes = TW_SET(TW_DQ)},
                 {.name = "dK",
                  .block = dk_block,
                  .grid_j = TW_AXIS_K_TILES,
                  .per_kv_head = true,
                  .reads = TW_SET(TW_DS) | TW_SET(TW_Q),
                  .writes = TW_SET(TW_DK)}},
};
