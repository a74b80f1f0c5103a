/*
 * FlashAttention 2, backward: a block for each tile of keys gathers dK and dV while the query tiles stream past; P is
 * made again from Q, K and LSE; dQ is summed over the blocks by atomic adds in fp32.
 * Dao 2023, arXiv:2307.08691, Algorithm 2 and section 3.2; FlashAttention 3 keeps the order.
 *
 * Traffic per head, elements: D 3Nd + N; gradients 4Nd + Tc (3Nd + 2N); conversion 2Nd. fp32 of these are D and LSE,
 * N + Tc · 2N, and the sums of dQ, (2 + Tc) Nd. Query heads that share K and V are taken one after the other by the
 * block that owns dK and dV, so nothing but dQ needs atomic adds.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: a tile of query rows. D = rowsum(dO ∘ O), and dQ's sums begin at 0. */
static void begin_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot d = zeros_of(e, TW_D, b.i), d_o = load(e, TW_DO, b, b.i), o = load(e, TW_O, b, b.i);
    row_dot(e, d, d_o, o);
    store(e, TW_D, b, d);
    tw_slot dq = zeros_of(e, TW_DQ_SUM, b.i);
    store(e, TW_DQ_SUM, b, dq);
    release(e, d), release(e, d_o), release(e, o), release(e, dq);
}

/* A tile of scores: what its queries add to dK and dV of its keys, and its keys to dQ of its queries. */
static void scores_tile(tw_emitter *e, tw_block b, tw_tile rows, tw_slot k, tw_slot v, tw_slot dk, tw_slot dv)
{
    tw_slot q = load(e, TW_Q, b, rows), lse = load(e, TW_LSE, b, rows);
    tw_slot d_o = load(e, TW_DO, b, rows), d = load(e, TW_D, b, rows);
    tw_slot s = matmul_nt(e, q, k);
    mask(e, s);
    softmax_from_lse(e, s, lse);       /* S becomes P = e^(S − LSE) */
    tw_slot ds = matmul_nt(e, d_o, v); /* dO Vᵀ … */
    dropout(e, ds);                    /* … ∘ Z is dP … */
    dsoftmax(e, ds, s, d);             /* … and becomes dS = P ∘ (dP − D) */
    dropout(e, s);
    convert_for_unit(e, s), convert_for_unit(e, ds);
    matmul_tn_add(e, dv, s, d_o); /* dV += (P ∘ Z)ᵀ dO */
    matmul_tn_add(e, dk, ds, q);  /* dK += scale · dSᵀ Q */
    tw_slot dq = zeros_of(e, TW_DQ_SUM, rows);
    matmul_add(e, dq, ds, k); /* dQ += scale · dS K */
    atomic_add(e, TW_DQ_SUM, b, dq);
    release(e, s), release(e, ds), release(e, q), release(e, d_o), release(e, lse), release(e, d),
        release(e, dq);
}

/* One thread block: a tile of keys of one K/V head. */
static void gradients_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dk = zeros_of(e, TW_DK, b.j), dv = zeros_of(e, TW_DV, b.j);
    if (tw_is_seen(e, b.j)) {
        tw_slot k = load(e, TW_K, b, b.j), v = load(e, TW_V, b, b.j);
        for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);)
            for (tw_walk rows = tw_walk_queries(e, b.j); tw_step(&rows);)
                scores_tile(e, heads.block, rows.tile, k, v, dk, dv);
        release(e, k), release(e, v);
    }
    store(e, TW_DK, b, dk), store(e, TW_DV, b, dv);
    release(e, dk), release(e, dv);
}

/* One thread block: a tile of query rows. The sums become dQ in the input's type. */
static void convert_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dq = load(e, TW_DQ_SUM, b, b.i);
    convert_sum(e, dq);
    store(e, TW_DQ, b, dq);
    release(e, dq);
}

/* Five products keep S, dP, dK, dV and dQ in registers at once, so query tiles are smaller than in the forward pass. */
static void flash2_backward_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    (void)machine;
    if (t->block_m == 0)
        t->block_m = p->head_dim <= 64 ? 128 : 64;
}

const tw_schedule tw_schedule_flash2_backward = {
    .name = "flash2_backward",
    .file = "flash2_backward.c",
    .summary = "FlashAttention 2, backward: a block a key tile, dQ by atomic adds, P made again from LSE",
    .ledger =
        "tiled: D, then K and V once, Q, dO, LSE, D and dQ's fp32 sums once per key tile, then dQ converted",
    .paper = "Dao, arXiv:2307.08691",
    .year = 2023,
    .pass = TW_PASS_BACKWARD,
    .honours = TW_HONOURS_ALL,
    .num_launches = 3,
    .launches = {{.name = "D",
                  .block = begin_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .reads = TW_SET(TW_DO) | TW_SET(TW_O),
                  .writes = TW_SET(TW_D) | TW_SET(TW_DQ_SUM)},
                 {.name = "gradients",
                  .block = gradients_block,
                  .grid_j = TW_AXIS_K_TILES,
                  .per_kv_head = true,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_DO) | TW_SET(TW_LSE) |
                           TW_SET(TW_D) | TW_SET(TW_DQ_SUM),
                  .writes = TW_SET(TW_DK) | TW_SET(TW_DV) | TW_SET(TW_DQ_SUM)},
                 {.name = "conversion",
                  .block = convert_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .reads = TW_SET(TW_DQ_SUM),
                  .writes = TW_SET(TW_DQ)}},
    .default_tiling = flash2_backward_tiling,
};
