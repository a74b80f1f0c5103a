/*
 * Standard attention, backward, in the textbook's ledger: P is read as the forward pass has stored it, each of five
 * passes moves its tensors once. Dao et al. 2022, arXiv:2205.14135, Algorithm 3.
 *
 * Traffic per head: 7N² + 8Nd elements: dV = Pᵀ dO N² + 2Nd; dP = dO Vᵀ N² + 2Nd; dS 3N²; dQ = dS K N² + 2Nd;
 * dK = dSᵀ Q N² + 2Nd. The "tiles" are whole matrices, as in standard.c. Dropout costs no byte in this ledger: Z is
 * made again wherever P or its gradient passes by; standard_unfused_backward.c stores it, as frameworks did.
 */
#include "registry.h"
#include "schedule_language.h"

static void dv_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dv = zeros_of(e, TW_DV, tw_all_keys(e));
    for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);) {
        tw_slot probs = load_part(e, TW_P, heads.block, tw_all_queries(e), tw_all_keys(e));
        tw_slot d_o = load(e, TW_DO, heads.block, tw_all_queries(e));
        dropout(e, probs);
        matmul_tn_add(e, dv, probs, d_o); /* dV += (P ∘ Z)ᵀ dO */
        release(e, probs), release(e, d_o);
    }
    store(e, TW_DV, b, dv);
    release(e, dv);
}

static void dp_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot d_o = load(e, TW_DO, b, tw_all_queries(e)), v = load(e, TW_V, b, tw_all_keys(e));
    tw_slot dp = matmul_nt(e, d_o, v);
    dropout(e, dp); /* dP = dO Vᵀ ∘ Z */
    store(e, TW_DP, b, dp);
    release(e, d_o), release(e, v), release(e, dp);
}

static void ds_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot probs = load_part(e, TW_P, b, tw_all_queries(e), tw_all_keys(e));
    tw_slot ds = load_part(e, TW_DP, b, tw_all_queries(e), tw_all_keys(e));
    tw_slot d = zeros_of(e, TW_D, tw_all_queries(e));
    row_dot(e, d, probs, ds);  /* D = rowsum(P ∘ dP) */
    dsoftmax(e, ds, probs, d); /* dP becomes dS = P ∘ (dP − D) */
    store(e, TW_DS, b, ds);
    release(e, probs), release(e, ds), release(e, d);
}

static void dq_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dq = zeros_of(e, TW_DQ, tw_all_queries(e)), k = load(e, TW_K, b, tw_all_keys(e));
    tw_slot ds = load_part(e, TW_DS, b, tw_all_queries(e), tw_all_keys(e));
    matmul_add(e, dq, ds, k); /* dQ = scale · dS K */
    store(e, TW_DQ, b, dq);
    release(e, ds), release(e, k), release(e, dq);
}

static void dk_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot dk = zeros_of(e, TW_DK, tw_all_keys(e));
    for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);) {
        tw_slot ds = load_part(e, TW_DS, heads.block, tw_all_queries(e), tw_all_keys(e));
        tw_slot q = load(e, TW_Q, heads.block, tw_all_queries(e));
        matmul_tn_add(e, dk, ds, q); /* dK += scale · dSᵀ Q */
        release(e, ds), release(e, q);
    }
    store(e, TW_DK, b, dk);
    release(e, dk);
}

const tw_schedule tw_schedule_standard_backward = {
    .name = "standard_backward",
    .file = "standard_backward.c",
    .summary = "standard attention, backward, textbook ledger: stored P, five passes over whole matrices",
    .ledger = "textbook: P, dP and dS in HBM, each pass moves its tensors once; exempt from the SRAM check",
    .paper = "Dao et al., arXiv:2205.14135",
    .year = 2022,
    .pass = TW_PASS_BACKWARD,
    .honours = TW_HONOURS_ALL,
    .num_launches = 5,
    .launches =
        {{.name = "dV",
          .block = dv_block,
          .per_kv_head = true,
          .reads = TW_SET(TW_P) | TW_SET(TW_DO),
          .writes = TW_SET(TW_DV)},
         {.name = "dP", .block = dp_block, .reads = TW_SET(TW_DO) | TW_SET(TW_V), .writes = TW_SET(TW_DP)},
         {.name = "dS", .block = ds_block, .reads = TW_SET(TW_P) | TW_SET(TW_DP), .writes = TW_SET(TW_DS)},
         {.name = "dQ", .block = dq_block, .reads = TW_SET(TW_DS) | TW_SET(TW_K), .writes = TW_SET(TW_DQ)},
         {.name = "dK",
          .block = dk_block,
          .per_kv_head = true,
          .reads = TW_SET(TW_DS) | TW_SET(TW_Q),
          .writes = TW_SET(TW_DK)}},
    .ignores_sram = true,
};
