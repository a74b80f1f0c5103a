/*
 * FlexAttention: whatever the mask, its tiles are listed beforehand, the partial ones and the full ones apart. A block
 * walks the list of partial tiles with the mask, then the list of full tiles without.
 * Dong et al. 2024, arXiv:2412.05496.
 *
 * Traffic per head: 2Nd + N elements, 2d for each key of the tiles that a query tile has in its lists, and of the lists
 * 2 + n integers a query tile with n tiles in them. The mask is evaluated once, for all pairs, when the lists are made:
 * that is not counted here.
 */
#include "registry.h"
#include "schedule_language.h"

/* What a block keeps from tile to tile. */
typedef struct kept {
    tw_slot q, o;
    tw_row_stats st;
} kept;

/* One key tile; `masked` where the mask cuts it. */
static void attend(tw_emitter *e, tw_block b, kept *x, tw_tile keys, bool masked)
{
    if (x->q.id < 0)
        x->q = load(e, TW_Q, b, b.i);
    tw_slot k = load(e, TW_K, b, keys);
    tw_slot s = matmul_nt(e, x->q, k);
    score_mod(e, s);
    if (masked)
        mask(e, s);
    online_softmax(e, s, x->st);
    rescale(e, x->o, x->st);
    dropout(e, s);
    convert_for_unit(e, s);
    tw_slot v = load(e, TW_V, b, keys);
    matmul_add(e, x->o, s, v);
    release(e, s);
    release(e, k);
    release(e, v);
}

/* One thread block: one tile of query rows of one head. */
static void flex_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    kept x = {.q = {-1}, .o = zeros(e, b.i), .st = row_stats(e, b.i)};
    for (tw_walk partial = tw_walk_keys_of(e, b.i, TW_TILE_PARTIAL); tw_step(&partial);)
        attend(e, b, &x, partial.tile, true);
    for (tw_walk full = tw_walk_keys_of(e, b.i, TW_TILE_FULL); tw_step(&full);)
        attend(e, b, &x, full.tile, false);
    if (x.q.id >= 0)
        release(e, x.q);
    normalize(e, x.o, x.st);
    lse(e, x.st);
    store(e, TW_O, b, x.o);
    store(e, TW_LSE, b, x.st.m);
    release(e, x.o);
    release_stats(e, x.st);
}

const tw_schedule tw_schedule_flex = {
    .name = "flex",
    .file = "flex.c",
    .summary =
        "FlexAttention: listed tiles, first the partial ones with the mask, then the full ones without",
    .ledger = "tiled: Q once, K and V once per listed tile, O and LSE once; the lists once per query tile",
    .paper = "Dong et al., arXiv:2412.05496",
    .year = 2024,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .lists_tiles = true,
    .suits = tw_mask_is_listed,
    .launches = {{
        .name = "flex",
        .block = flex_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
};
