/*
 * Flash Window Attention: many short windows, as vision transformers have them. All L × L scores of a window stay on
 * chip, so that no softmax goes in steps; tiles are cut along head_dim. Zhang 2025, arXiv:2501.06480.
 *
 * Traffic per head and window: 4Ld + L elements: every tensor once, which is the least that any algorithm can move. What
 * tiles cut is what must be on chip beside the scores: 2L block_d elements, not 3Ld.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one window of one head. */
static void flash_window_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_tile keys = tw_all_keys(e);
    tw_row_stats st = row_stats(e, b.i);
    tw_slot s = zeros_part(e, TW_S, b.i, keys);
    for (tw_columns d = tw_walk_columns(e, TW_Q); tw_next_columns(&d);) {
        tw_slot q = load_part(e, TW_Q, b, b.i, d.tile);
        tw_slot k = load_part(e, TW_K, b, keys, d.tile);
        matmul_nt_add(e, s, q, k); /* S += scale · Q Kᵀ over these columns */
        release(e, q);
        release(e, k);
    }
    score_mod(e, s);
    mask(e, s);
    softmax(e, s, st); /* of whole rows: no m that moves on, and nothing to rescale */
    normalize(e, s, st);
    dropout(e, s);
    convert_for_unit(e, s);
    for (tw_columns d = tw_walk_columns(e, TW_O); tw_next_columns(&d);) {
        tw_slot v = load_part(e, TW_V, b, keys, d.tile);
        tw_slot o = zeros_part(e, TW_O, b.i, d.tile);
        matmul_add(e, o, s, v); /* these columns of O are done */
        store(e, TW_O, b, o);
        release(e, v);
        release(e, o);
    }
    lse(e, st);
    store(e, TW_LSE, b, st.m);
    release(e, s);
    release_stats(e, st);
}

/* Columns that fill a line of 128 bytes; blocks of rows there are none. */
static void flash_window_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    (void)machine;
    int columns = 128 / tw_dtype_bytes(p->dtype);
    if (t->block_d == 0)
        t->block_d = columns < p->head_dim ? columns : p->head_dim;
}

const tw_schedule tw_schedule_flash_window = {
    .name = "flash_window",
    .file = "flash_window.c",
    .summary = "Flash Window Attention: all scores of a short window on chip, tiles along head_dim",
    .ledger = "tiled along head_dim: every tensor once",
    .paper = "Zhang, arXiv:2501.06480",
    .year = 2025,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .takes = TW_TAKES_COLUMNS,
    .most_rows = 224, /* of 224 x 224 fp32 scores in 262,144 bytes of registers, with O and statistics */
    .suits = tw_suits_nobody,
    .launches = {{
        .name = "flash_window",
        .block = flash_window_block,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
    .default_tiling = flash_window_tiling,
};
