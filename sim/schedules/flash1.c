/*
 * FlashAttention: K and V outer, Q inner; O, m and l go to HBM and come back on every pass.
 * Dao et al. 2022, arXiv:2205.14135, Algorithm 1.
 *
 * Traffic per head: 2Nd + Tc (3Nd + 4N) elements: K and V once; in each of the Tc passes Q in, O in and out, m and
 * l in and out. O = 0, m = −inf, l = 0 are in HBM before the first pass and not charged, as in the paper. LSE is
 * m + ln l of what the last pass leaves there: whoever wants it derives it, without a byte more.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one head. As published, nothing is parallel over the sequence. */
static void flash1_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    for (tw_walk kv = tw_walk_keys(e, tw_all_queries(e)); tw_step(&kv);) {
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot v = load(e, TW_V, b, kv.tile);

        for (tw_walk rows = tw_walk_queries(e, kv.tile); tw_step(&rows);) {
            tw_slot q = load(e, TW_Q, b, rows.tile);
            tw_slot o = load(e, TW_O, b, rows.tile);
            tw_slot m = load(e, TW_M, b, rows.tile);
            tw_slot l = load(e, TW_L, b, rows.tile);
            tw_row_stats st = row_stats_of(e, m, l);

            tw_slot s = matmul_nt(e, q, k);
            score_mod(e, s);
            mask(e, s);
            online_softmax_normalized(e, s, st); /* alpha = l e^(m − m'): O is kept divided by l */
            rescale(e, o, st);
            dropout(e, s);
            convert_for_unit(e, s);
            matmul_add(e, o, s, v);
            normalize(e, o, st);

            store(e, TW_O, b, o);
            store(e, TW_M, b, m);
            store(e, TW_L, b, l);
            release(e, s);
            release(e, q);
            release(e, o);
            release_stats(e, st);
        }
        release(e, k);
        release(e, v);
    }
}

/* Bc = ⌊M / 4d⌋ and Br = min(Bc, d): four tiles of the input's type, rounded down so that they fit. */
static void flash1_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    int64_t m_elements = (int64_t)machine->smem_bytes / tw_dtype_bytes(p->dtype);
    int64_t block_n = m_elements / (4 * (int64_t)p->head_dim);
    if (block_n < 1)
        block_n = 1;
    if (t->block_n == 0)
        t->block_n = (int)(block_n < TW_MAX_BLOCK ? block_n : TW_MAX_BLOCK);
    if (t->block_m == 0)
        t->block_m = t->block_n < p->head_dim ? t->block_n : p->head_dim;
}

const tw_schedule tw_schedule_flash1 = {
    .name = "flash1",
    .file = "flash1.c",
    .summary = "FlashAttention: K and V outer; O, m, l rewritten on every pass",
    .ledger = "tiled: K and V once; Q, O, m, l once per key tile",
    .paper = "Dao et al., arXiv:2205.14135",
    .year = 2022,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .launches = {{
        .name = "flash1",
        .block = flash1_block,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O) | TW_SET(TW_M) | TW_SET(TW_L),
        .writes = TW_SET(TW_O) | TW_SET(TW_M) | TW_SET(TW_L),
    }},
    .writes_lse = true,
    .initialized = TW_SET(TW_O) | TW_SET(TW_M) | TW_SET(TW_L),
    .default_tiling = flash1_tiling,
};
