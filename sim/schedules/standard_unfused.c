/*
 * Standard attention as frameworks ran it before it was fused: masking and dropout are kernels of their own, and the
 * dropout mask is kept for the backward pass, a byte an element. The ledger is the textbook's, whole matrices.
 *
 * Traffic per head: 4N² + 4Nd elements as in standard.c; 2N² more with a mask (S in, S out), and with dropout 2N²
 * elements (P in, P ∘ Z out) and N² bytes of Z. With its backward pass this is what Figure 2 of Dao et al. 2022,
 * arXiv:2205.14135, prints for standard attention: 40.3 GB.
 */
#include "registry.h"
#include "schedule_language.h"

static void scores_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot q = load(e, TW_Q, b, tw_all_queries(e)), k = load(e, TW_K, b, tw_all_keys(e));
    tw_slot s = matmul_nt(e, q, k);
    score_mod(e, s);
    store(e, TW_S, b, s);
    release(e, q), release(e, k), release(e, s);
}

static void mask_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    if (!tw_mask_is_on(p))
        return;
    tw_slot s = load_part(e, TW_S, b, tw_all_queries(e), tw_all_keys(e));
    mask(e, s);
    store(e, TW_S, b, s);
    release(e, s);
}

static void softmax_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot s = load_part(e, TW_S, b, tw_all_queries(e), tw_all_keys(e));
    tw_row_stats st = row_stats(e, tw_all_queries(e));
    softmax(e, s, st);
    normalize(e, s, st);
    store(e, TW_P, b, s);
    release(e, s), release_stats(e, st);
}

static void dropout_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    if (!tw_dropout_is_on(&p->dropout))
        return;
    tw_slot probs = load_part(e, TW_P, b, tw_all_queries(e), tw_all_keys(e));
    tw_slot z = dropout_mask(e, tw_all_queries(e), tw_all_keys(e));
    dropout_by(e, probs, z); /* P ∘ Z */
    store(e, TW_PZ, b, probs), store(e, TW_Z, b, z);
    release(e, probs), release(e, z);
}

static void output_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_tensor which = tw_dropout_is_on(&p->dropout) ? TW_PZ : TW_P;
    tw_slot o = zeros(e, tw_all_queries(e)), v = load(e, TW_V, b, tw_all_keys(e));
    tw_slot probs = load_part(e, which, b, tw_all_queries(e), tw_all_keys(e));
    matmul_add(e, o, probs, v);
    store(e, TW_O, b, o);
    release(e, probs), release(e, v), release(e, o);
}

static bool has_dropout(const tw_problem *p)
{
    return tw_dropout_is_on(&p->dropout);
}

const tw_schedule tw_schedule_standard_unfused = {
    .name = "standard_unfused",
    .file = "standard_unfused.c",
    .summary = "standard attention with mask and dropout as kernels of their own, textbook ledger",
    .ledger =
        "textbook: as standard, and S once more in and out for a mask, P in, P ∘ Z and a byte of Z out for "
        "dropout",
    .num_launches = 5,
    .honours = TW_HONOURS_ALL,
    .suits = has_dropout,
    .launches = {{.name = "scores",
                  .block = scores_block,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K),
                  .writes = TW_SET(TW_S)},
                 {.name = "mask", .block = mask_block, .reads = TW_SET(TW_S), .writes = TW_SET(TW_S)},
                 {.name = "softmax", .block = softmax_block, .reads = TW_SET(TW_S), .writes = TW_SET(TW_P)},
                 {.name = "dropout",
                  .block = dropout_block,
                  .reads = TW_SET(TW_P),
                  .writes = TW_SET(TW_PZ) | TW_SET(TW_Z)},
                 {.name = "output",
                  .block = output_block,
                  .reads = TW_SET(TW_P) | TW_SET(TW_PZ) | TW_SET(TW_V),
                  .writes = TW_SET(TW_O)}},
    .ignores_sram = true,
};
