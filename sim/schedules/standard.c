/*
 * Standard attention in the textbook's ledger: three passes, S and P through HBM, each matrix product charged its
 * compulsory traffic only. Dao et al. 2022, arXiv:2205.14135, Algorithm 0.
 *
 * Traffic per head: 4N² + 4Nd elements: Q, K in, S out; S in, P out; P, V in, O out. The "tiles" are whole
 * matrices, as if K stayed on chip however long it is, so this ledger is exempt from the SRAM check. What a real
 * tiled product moves is in standard_tiled.c.
 */
#include "registry.h"
#include "schedule_language.h"

static void scores_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot q = load(e, TW_Q, b, tw_all_queries(e));
    tw_slot k = load(e, TW_K, b, tw_all_keys(e));
    tw_slot s = matmul_nt(e, q, k);
    store(e, TW_S, b, s);
    release(e, q);
    release(e, k);
    release(e, s);
}

static void softmax_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot s = load_part(e, TW_S, b, tw_all_queries(e), tw_all_keys(e));
    tw_row_stats st = row_stats(e, tw_all_queries(e));
    score_mod(e, s);
    mask(e, s);
    softmax(e, s, st);
    normalize(e, s, st);
    store(e, TW_P, b, s);
    release(e, s);
    release_stats(e, st);
}

static void output_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, tw_all_queries(e));
    tw_slot probs = load_part(e, TW_P, b, tw_all_queries(e), tw_all_keys(e));
    tw_slot v = load(e, TW_V, b, tw_all_keys(e));
    dropout(e, probs);
    convert_to_codes(e, probs); /* only where V is codes */
    matmul_add(e, o, probs, v);
    store(e, TW_O, b, o);
    release(e, probs);
    release(e, v);
    release(e, o);
}

static bool takes_codes(const tw_quantize *quantize)
{
    return quantize->format != TW_INT8;
}

const tw_schedule tw_schedule_standard = {
    .name = "standard",
    .file = "standard.c",
    .summary = "standard attention, textbook ledger: whole matrices, each product at its compulsory traffic",
    .ledger = "textbook: each product reads its operands once, as if K and V stayed on chip; exempt from the "
              "SRAM check",
    .paper = "Dao et al., arXiv:2205.14135",
    .year = 2022,
    .num_launches = 3,
    .needs_codes = "fp8 or none: of int8, P that is divided by its row sum would be 0",
    .takes_codes = takes_codes,
    .honours = TW_HONOURS_ALL | TW_HONOURS_CODES,
    .launches = {{.name = "scores",
                  .block = scores_block,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K),
                  .writes = TW_SET(TW_S)},
                 {.name = "softmax",
                  .block = softmax_block,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_S),
                  .writes = TW_SET(TW_P)},
                 {.name = "output",
                  .block = output_block,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_P) | TW_SET(TW_V),
                  .writes = TW_SET(TW_O)}},
    .ignores_sram = true,
};
