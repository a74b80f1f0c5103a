/*
 * Square tiles, for an SRAM of fewer than d² elements: not even a few rows of Q, K and V fit whole, so that head_dim is
 * cut, too. A tile of S is summed over tiles of Q and K, and its P goes to tiles of O that come and go.
 * Saha and Ye 2024, arXiv:2402.07443: side B = ⌊√(M/4)⌋, and Θ(N²d/√M) elements, which no algorithm can beat there.
 *
 * Traffic per head: for each of the Tr Tc tiles of S, Q, K and V in, O in and out: Tc (N (d + d_v) + N d_v) + Tr N (d + d_v)
 * elements and N for LSE; 5N²d/B with square tiles. O = 0 is in HBM before and not charged.
 */
#include "registry.h"
#include "schedule_language.h"

#include <math.h>

/* S = scale · Q Kᵀ, a tile of head_dim at a time. */
static tw_slot scores(tw_emitter *e, tw_block b, tw_tile keys)
{
    tw_slot s = zeros_part(e, TW_S, b.i, keys);
    for (tw_columns d = tw_walk_columns(e, TW_Q); tw_next_columns(&d);) {
        tw_slot q = load_part(e, TW_Q, b, b.i, d.tile);
        tw_slot k = load_part(e, TW_K, b, keys, d.tile);
        matmul_nt_add(e, s, q, k);
        release(e, q);
        release(e, k);
    }
    return s;
}

/* One thread block: one tile of query rows of one head. */
static void square_tiles_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_row_stats st = row_stats(e, b.i);
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        tw_slot s = scores(e, b, kv.tile);
        score_mod(e, s);
        mask(e, s);
        online_softmax_normalized(e, s, st); /* O is kept divided by l, as it goes to HBM every time */
        dropout(e, s);
        convert_for_unit(e, s);
        for (tw_columns d = tw_walk_columns(e, TW_O); tw_next_columns(&d);) {
            tw_slot o = load_part(e, TW_O, b, b.i, d.tile);
            tw_slot v = load_part(e, TW_V, b, kv.tile, d.tile);
            rescale(e, o, st);
            matmul_add(e, o, s, v);
            normalize(e, o, st);
            store(e, TW_O, b, o);
            release(e, v);
            release(e, o);
        }
        release(e, s);
    }
    lse(e, st);
    store(e, TW_LSE, b, st.m);
    release_stats(e, st);
}

/* B = ⌊√(M/4)⌋ rows, keys and columns: four tiles of B² numbers. */
static void square_tiles_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    int side = (int)sqrt(machine->smem_bytes / tw_dtype_bytes(p->dtype) / 4.0);
    if (side < 1)
        side = 1;
    if (t->block_m == 0)
        t->block_m = side;
    if (t->block_n == 0)
        t->block_n = side;
    if (t->block_d == 0)
        t->block_d = side < p->head_dim ? side : p->head_dim;
}

const tw_schedule tw_schedule_square_tiles = {
    .name = "square_tiles",
    .file = "square_tiles.c",
    .summary = "for SRAM below d^2: square tiles of side sqrt(M / 4), along head_dim as well",
    .ledger = "tiled: for every tile of S the rows of Q, K, V and O in and those of O out; LSE once",
    .paper = "Saha, Ye, arXiv:2402.07443",
    .year = 2024,
    .num_launches = 1,
    .honours = TW_HONOURS_ALL,
    .takes = TW_TAKES_COLUMNS,
    .suits = tw_suits_nobody,
    .launches = {{
        .name = "square_tiles",
        .block = square_tiles_block,
        .grid_i = TW_AXIS_Q_TILES,
        .blocks_differ = true,
        .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O),
        .writes = TW_SET(TW_O) | TW_SET(TW_LSE),
    }},
    .writes_lse = true,
    .initialized = TW_SET(TW_O),
    .default_tiling = square_tiles_tiling,
};
