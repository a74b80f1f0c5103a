/*
 * Linformer: attention to `rank` mixtures of keys in place of all keys, K' = E K and V' = E V. It approximates attention.
 * Wang et al. 2020, arXiv:2006.04768; here with E as mean pooling, and, as published, one kernel an operation.
 *
 * FLOPs per head: 8Nrd, r being the rank, against 4N²d: fewer wherever r < N / 2. Traffic per K/V head: E twice, K, V in and
 * K', V' out; per query head S and P through HBM, N r elements each, as standard_tiled with r keys. Five launches and E's
 * 2Nr elements are why fewer FLOPs need not be less time: the point of the first FlashAttention paper.
 */
#include "../../cpu_ref/linformer.h"

#include "registry.h"
#include "schedule_language.h"

/* One thread block: K' or V' of one head. */
static void project(tw_emitter *e, tw_block b, tw_tensor from, tw_tensor to)
{
    tw_tile rank = tw_all_ranks(e);
    tw_slot sum = zeros_of(e, to, rank);
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot weights = load_part(e, TW_PROJECTION, b, rank, keys.tile);
        tw_slot x = load(e, from, b, keys.tile);
        matmul_add(e, sum, weights, x); /* K' += E K */
        release(e, weights);
        release(e, x);
    }
    store(e, to, b, sum);
    release(e, sum);
}

static void project_k_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    project(e, b, TW_K, TW_KP);
}

static void project_v_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    project(e, b, TW_V, TW_VP);
}

/* One thread block: one tile of S = scale · Q K'ᵀ. */
static void scores_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot q = load(e, TW_Q, b, b.i);
    tw_slot k = load(e, TW_KP, b, b.j);
    tw_slot s = matmul_nt(e, q, k);
    store(e, TW_S, b, s);
    release(e, q);
    release(e, k);
    release(e, s);
}

/* One thread block: one row of S. */
static void softmax_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_row_stats st = row_stats(e, b.i);
    tw_slot s = load_part(e, TW_S, b, b.i, tw_all_keys(e));
    softmax(e, s, st);
    normalize(e, s, st);
    store(e, TW_P, b, s);
    release(e, s);
    release_stats(e, st);
}

/* One thread block: one tile of O = P V'. */
static void output_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot o = zeros(e, b.i);
    for (tw_walk keys = tw_walk_all_keys(e); tw_step(&keys);) {
        tw_slot probs = load_part(e, TW_P, b, b.i, keys.tile);
        tw_slot v = load(e, TW_VP, b, keys.tile);
        matmul_add(e, o, probs, v);
        release(e, probs);
        release(e, v);
    }
    store(e, TW_O, b, o);
    release(e, o);
}

const tw_schedule tw_schedule_linformer = {
    .name = "linformer",
    .file = "linformer.c",
    .summary = "approximates: attention to --rank means of keys, one kernel an operation",
    .ledger =
        "tiled: E, K and V in, K' and V' out; then as standard_tiled with rank keys; approximates attention",
    .paper = "Wang et al., arXiv:2006.04768",
    .year = 2020,
    .num_launches = 5,
    .reference = tw_attention_linformer,
    .suits = tw_suits_nobody,
    .launches = {{.name = "project_k",
                  .block = project_k_block,
                  .per_kv_head = true,
                  .reads = TW_SET(TW_PROJECTION) | TW_SET(TW_K),
                  .writes = TW_SET(TW_KP)},
                 {.name = "project_v",
                  .block = project_v_block,
                  .per_kv_head = true,
                  .reads = TW_SET(TW_PROJECTION) | TW_SET(TW_V),
                  .writes = TW_SET(TW_VP)},
                 {.name = "scores",
                  .block = scores_block,
                  .projected = true,
                  .grid_i = TW_AXIS_Q_TILES,
                  .grid_j = TW_AXIS_K_TILES,
                  .reads = TW_SET(TW_Q) | TW_SET(TW_KP),
                  .writes = TW_SET(TW_S)},
                 {.name = "softmax",
                  .block = softmax_block,
                  .projected = true,
                  .grid_i = TW_AXIS_Q_ROWS,
                  .reads = TW_SET(TW_S),
                  .writes = TW_SET(TW_P)},
                 {.name = "output",
                  .block = output_block,
                  .projected = true,
                  .grid_i = TW_AXIS_Q_TILES,
                  .reads = TW_SET(TW_P) | TW_SET(TW_VP),
                  .writes = TW_SET(TW_O)}},
};
