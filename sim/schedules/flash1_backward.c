/*
 * FlashAttention, backward: K and V outer, Q inner; P is made again from Q, K, m and l; dK and dV stay on chip, dQ goes
 * to HBM and comes back on every pass. Dao et al. 2022, arXiv:2205.14135, Algorithm 4.
 *
 * Traffic per head: 4Nd + Tc (5Nd + 2N) elements: K, V, dK, dV once; in each of the Tc passes Q, O, dO and dQ in, dQ
 * out, m and l in. That is every load and store of Algorithm 4 but the zeros of line 5. D = rowsum(dO ∘ O) is computed
 * anew in each pass (line 19), which is why O is loaded; later versions store D and load that.
 */
#include "registry.h"
#include "schedule_language.h"

/* A tile of scores: what its queries add to dK and dV of its keys, and its keys to dQ of its queries. */
static void scores_tile(tw_emitter *e, tw_block b, tw_tile rows, tw_slot k, tw_slot v, tw_slot dk, tw_slot dv)
{
    tw_slot q = load(e, TW_Q, b, rows), o = load(e, TW_O, b, rows), d_o = load(e, TW_DO, b, rows);
    tw_slot dq = load(e, TW_DQ, b, rows), m = load(e, TW_M, b, rows), l = load(e, TW_L, b, rows);
    tw_row_stats st = row_stats_of(e, m, l);
    tw_slot s = matmul_nt(e, q, k);
    mask(e, s);
    softmax_apply(e, s, st);           /* S becomes P = e^(S − m) / l */
    tw_slot ds = matmul_nt(e, d_o, v); /* dO Vᵀ … */
    dropout(e, ds);                    /* … ∘ Z is dP … */
    tw_slot d = zeros_of(e, TW_D, rows);
    row_dot(e, d, d_o, o);
    dsoftmax(e, ds, s, d); /* … and becomes dS = P ∘ (dP − D) */
    dropout(e, s);
    convert_for_unit(e, s), convert_for_unit(e, ds);
    matmul_tn_add(e, dv, s, d_o); /* dV += (P ∘ Z)ᵀ dO */
    matmul_add(e, dq, ds, k);     /* dQ += scale · dS K */
    store(e, TW_DQ, b, dq);
    matmul_tn_add(e, dk, ds, q); /* dK += scale · dSᵀ Q */
    release(e, s), release(e, ds), release(e, q), release(e, o), release(e, d_o), release(e, dq),
        release(e, d);
    release_stats(e, st);
}

/* One thread block: one K/V head, and the query heads that read it. Nothing is parallel over the sequence. */
static void flash1_backward_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    for (tw_walk kv = tw_walk_keys(e, tw_all_queries(e)); tw_step(&kv);) {
        tw_slot k = load(e, TW_K, b, kv.tile), v = load(e, TW_V, b, kv.tile);
        tw_slot dk = zeros_of(e, TW_DK, kv.tile), dv = zeros_of(e, TW_DV, kv.tile);
        for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);)
            for (tw_walk rows = tw_walk_queries(e, kv.tile); tw_step(&rows);)
                scores_tile(e, heads.block, rows.tile, k, v, dk, dv);
        store(e, TW_DK, b, dk), store(e, TW_DV, b, dv);
        release(e, k), release(e, v), release(e, dk), release(e, dv);
    }
}

/* The paper's Bc = M / 4d leaves no room: K, V, dK and dV take all of M. Here Q, O, dO and dQ find theirs as well:
 * 4 (Bc + Br) d <= M with Br = min(Bc, d). */
static void flash1_backward_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    int64_t d = p->head_dim, rows = (int64_t)machine->smem_bytes / tw_dtype_bytes(p->dtype) / (4 * d);
    int64_t block_n = rows / 2 <= d ? rows / 2 : rows - d;
    if (t->block_n == 0)
        t->block_n = (int)(block_n < 1 ? 1 : block_n < TW_MAX_BLOCK ? block_n : TW_MAX_BLOCK);
    if (t->block_m == 0)
        t->block_m = t->block_n < p->head_dim ? t->block_n : p->head_dim;
}

const tw_schedule tw_schedule_flash1_backward = {
    .name = "flash1_backward",
    .file = "flash1_backward.c",
    .summary =
        "FlashAttention, backward: K and V outer; dQ rewritten on every pass, P made again from m and l",
    .ledger = "tiled: K, V, dK, dV once; Q, O, dO, m, l and dQ in and out once per key tile",
    .paper = "Dao et al., arXiv:2205.14135",
    .year = 2022,
    .pass = TW_PASS_BACKWARD,
    .honours = TW_HONOURS_ALL,
    .num_launches = 1,
    .launches = {{.name = "flash1_backward",
                  .block = flash1_backward_block,
                  .per_kv_head = true,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O) | TW_SET(TW_DO) |
                           TW_SET(TW_DQ) | TW_SET(TW_M) | TW_SET(TW_L),
                  .writes = TW_SET(TW_DQ) | TW_SET(TW_DK) | TW_SET(TW_DV)}},
    .initialized = TW_SET(TW_DQ) | TW_SET(TW_DK) | TW_SET(TW_DV),
    .default_tiling = flash1_backward_tiling,
};
