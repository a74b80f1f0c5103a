/*
 * FlashDecoding++: a maximum φ that is fixed beforehand takes the place of the running one. Exponents of all splits are
 * then taken against the same number: no split is rescaled, none waits for another's maximum, and their sums are added.
 * Hong et al. 2023, arXiv:2311.01282, section 3.
 *
 *     l_c = Σ e^(s − φ)    O_c = Σ e^(s − φ) v        l = Σ l_c    O = Σ O_c / l    LSE = φ + ln l
 *
 * That works while s − φ stays in a range (tw_fixed_range()). Where a score leaves it, l_c is infinite, and whoever finds
 * an infinite sum does the query tile again, with a running maximum, over all keys. Whether that happens depends on the
 * numbers: counts are of a run in which it does not.
 */
#include "registry.h"
#include "schedule_language.h"

/* Products of one tile of keys, and between them the softmax of either kind. */
static void fold(tw_emitter *e, tw_block b, tw_tile keys, tw_slot q, tw_slot o, tw_row_stats st, bool fixed)
{
    tw_slot k = load(e, TW_K, b, keys);
    tw_slot s = matmul_nt(e, q, k);
    score_mod(e, s);
    mask(e, s);
    if (fixed)
        fixed_softmax(e, s, st);
    else
        online_softmax(e, s, st), rescale(e, o, st);
    dropout(e, s);
    convert_for_unit(e, s);
    tw_slot v = load(e, TW_V, b, keys);
    matmul_add(e, o, s, v);
    release(e, s), release(e, k), release(e, v);
}

static void attend(tw_emitter *e, tw_block b, tw_walk kv, tw_slot o, tw_row_stats st, bool fixed)
{
    tw_slot q = {-1};
    while (tw_step(&kv)) {
        if (kv.is_first)
            q = load(e, TW_Q, b, b.i);
        fold(e, b, kv.tile, q, o, st, fixed);
        if (kv.is_last)
            release(e, q);
    }
}

/* O and LSE go out; sums that are of no use are made again before. */
static void finish(tw_emitter *e, tw_block b, tw_slot o, tw_row_stats st)
{
    if (left_range(e, o, st)) {
        release(e, o), release_stats(e, st);
        o = zeros(e, b.i), st = row_stats(e, b.i);
        attend(e, b, tw_walk_keys(e, b.i), o, st, false);
    }
    normalize(e, o, st);
    lse(e, st);
    store(e, TW_O, b, o), store(e, TW_LSE, b, st.m);
    release(e, o), release_stats(e, st);
}

/* One thread block: a tile of query rows, and one split of the keys. */
static void split_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats_of_part(e, b.i);
    fix_max(e, st);
    attend(e, b, tw_walk_part(e, b.i), o, st, true);
    if (!tw_is_split(e)) {
        finish(e, b, o, st);
        return;
    }
    store_part(e, TW_O_PART, b, o), store_part(e, TW_LSE_PART, b, st.l);
    release(e, o), release_stats(e, st);
}

/* One thread block: a tile of query rows, whose sums over splits have the same maximum. */
static void combine_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    tw_slot o = zeros(e, b.i);
    tw_row_stats st = row_stats(e, b.i);
    fix_max(e, st);
    take_parts(e, b, 0, p->num_splits, o, st);
    finish(e, b, o, st);
}

const tw_schedule tw_schedule_flash_decoding_plus_plus = {
    .name = "flash_decoding_plus_plus",
    .file = "flash_decoding_plus_plus.c",
    .summary = "FlashDecoding++: a fixed maximum, so that sums of splits are added as they are",
    .ledger = "tiled: Q once a split, K and V once per tile of packed rows; O and l of each split in fp32, "
              "out and in; "
              "nothing done again",
    .paper = "Hong et al., arXiv:2311.01282",
    .year = 2023,
    .num_launches = 2,
    .honours = TW_HONOURS_ALL,
    .packs_heads = true,
    .fixed_max = true,
    .suits = tw_is_decoding,
    .launches = {{.name = "splits",
                  .block = split_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .grid_j = TW_AXIS_SPLITS,
                  .blocks_differ = true,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
                  .writes = TW_SET(TW_O) | TW_SET(TW_LSE) | TW_SET(TW_O_PART) | TW_SET(TW_LSE_PART)},
                 {.name = "sums",
                  .block = combine_block,
                  .grid_i = TW_AXIS_Q_TILES,
                  .only_if_split = true,
                  .reads = TW_SET(TW_O_PART) | TW_SET(TW_LSE_PART) | TW_SET(TW_Q) | TW_SET(TW_K) |
                           TW_SET(TW_V),
                  .writes = TW_SET(TW_O) | TW_SET(TW_LSE)}},
    .writes_lse = true,
    .default_tiling = tw_decoding_tiling,
};
