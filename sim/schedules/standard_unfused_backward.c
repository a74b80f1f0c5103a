/*
 * Standard attention, backward, as frameworks ran it before it was fused: P, P ∘ Z and the dropout mask Z are read as
 * the forward pass has stored them, and dropout's gradient is a kernel of its own. Textbook ledger, whole matrices.
 *
 * Traffic per head: 7N² + 8Nd elements as in standard_backward.c, and with dropout 2N² elements (d(P ∘ Z) in, dP out)
 * and N² bytes of Z. A mask needs nothing: where it hides something, P and so dS are 0.
 */
#include "registry.h"
#include "schedule_language.h"

static void dv_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_tensor which = tw_dropout_is_on(&p->dropout) ? TW_PZ : TW_P;
    tw_slot dv = zeros_of(e, TW_DV, tw_all_keys(e));
    for (tw_group heads = tw_walk_group(e, b); tw_next_head(&heads);) {
        tw_slot probs = load_part(e, which, heads.block, tw_all_queries(e), tw_all_keys(e));
        tw_slot d_o = load(e, TW_DO, heads.block, tw_all_queries(e));
        matmul_tn_add(e, dv, probs, d_o); /* dV += (P ∘ Z)ᵀ dO */
        release(e, probs), release(e, d_o);
    }
    store(e, TW_DV, b, dv);
    release(e, dv);
}

static void dp_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_tensor which = tw_dropout_is_on(&p->dropout) ? TW_DPZ : TW_DP;
    tw_slot d_o = load(e, TW_DO, b, tw_all_queries(e)), v = load(e, TW_V, b, tw_all_keys(e));
    tw_slot dp = matmul_nt(e, d_o, v);
    store(e, which, b, dp);
    release(e, d_o), release(e, v), release(e, dp);
}

static void dropout_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    if (!tw_dropout_is_on(&p->dropout))
        return;
    tw_slot dp = load_part(e, TW_DPZ, b, tw_all_queries(e), tw_all_keys(e));
    tw_slot z = load_part(e, TW_Z, b, tw_all_queries(e), tw_all_keys(e));
    dropout_by(e, dp, z); /* dP = d(P ∘ Z) ∘ Z */
    store(e, TW_DP, b, dp);
    release(e, dp), release(e, z);
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

const tw_schedule tw_schedule_standard_unfused_backward = {
    .name = "standard_unfused_backward",
    .file = "standard_unfused_backward.c",
    .summary =
        "standard attention, backward, with dropout's gradient as a kernel of its own, textbook ledger",
    .ledger = "textbook: as standard_backward, and for dropout d(P ∘ Z) and a byte of Z in, dP out",
    .pass = TW_PASS_BACKWARD,
    .honours = TW_HONOURS_ALL,
    .num_launches = 6,
    .launches =
        {{.name = "dV",
          .block = dv_block,
          .per_kv_head = true,
          .reads = TW_SET(TW_P) | TW_SET(TW_PZ) | TW_SET(TW_DO),
          .writes = TW_SET(TW_DV)},
         {.name = "dPZ",
          .block = dp_block,
          .reads = TW_SET(TW_DO) | TW_SET(TW_V),
          .writes = TW_SET(TW_DPZ) | TW_SET(TW_DP)},
         {.name = "dropout",
          .block = dropout_block,
          .reads = TW_SET(TW_DPZ) | TW_SET(TW_Z),
          .writes = TW_SET(TW_DP)},
         {.name = "dS", .block = ds_block, .reads = TW_SET(TW_P) | TW_SET(TW_DP), .writes = TW_SET(TW_DS)},
         {.name = "dQ", .block = dq_block, .reads = TW_SET(TW_DS) | TW_SET(TW_K), .writes = TW_SET(TW_DQ)},
         {.name = "dK",
          .block = dk_block,
          .per_kv_head = true,
          .reads = TW_SET(TW_DS) | TW_SET(TW_Q),
          .writes = TW_SET(TW_DK)}},
    .ignores_sram = true,
};
