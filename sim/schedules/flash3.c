/*
 * FlashAttention 3: one agent copies, two or three calculate. Shah et al. 2024, arXiv:2407.08608.
 *
 * A producer fills places of a ring, two for K and two for V; each consumer owns its share of the query tile's rows
 * and reads the same K and V. What moves and what is computed is flash2's. Three orders of the same work:
 *
 *     serial      S = Q Kᵀ, softmax, O += P V, one after the other. Consumers overlap by luck.
 *     pingpong    O += P V of the last tile and S of this one stand together, in a turn that consumers pass on: one's
 *                 softmax runs under another's products.
 *     overlap     S of this tile is issued before O += P V of the last one, so that a consumer's softmax runs under a
 *                 product of its own as well.
 *
 * Who waits for whom is not said here: it follows from which slot an operation reads and writes. A place of the ring is
 * free for the tile after the next when all consumers have read it.
 */
#include "registry.h"
#include "schedule_language.h"

enum { PRODUCER = 1, FIRST_CONSUMER = 2, MOST_CONSUMERS = 3 };

typedef struct consumer {
    tw_tile rows;
    tw_slot q, o, p; /* p: probabilities of the tile before, where they wait for their product */
    tw_row_stats st;
    tw_slot turn; /* what it waits for before it multiplies */
} consumer;

/* A block's consumers; `count` of them have rows. */
typedef struct crew {
    tw_emitter *e;
    consumer of[MOST_CONSUMERS];
    int count;
} crew;

/* A consumer's share of a query tile: all have work as long as there are rows. What a box has beyond the last row comes
 * with the last that has any. */
static tw_tile share_of(tw_tile tile, int index, int count)
{
    int rows = (tile.rows + count - 1) / count, box = (tile.box_rows + count - 1) / count;
    int left = tile.rows - index * rows;
    return (tw_tile){.index = tile.index * count + index,
                     .row0 = tile.row0 + index * rows,
                     .rows = left < rows ? left : rows,
                     .box_rows = left <= rows ? tile.box_rows - index * box : box,
                     .run = tile.run,
                     .stride = tile.rows};
}

static consumer *as_consumer(crew *c, int index)
{
    tw_as_agent(c->e, FIRST_CONSUMER + index);
    return &c->of[index];
}

static crew begin(tw_emitter *e, const tw_tiling *t, tw_block b)
{
    crew c = {.e = e};
    int count = t->block_m > 128 ? 3 : 2;
    for (int i = 0; i < count; i++) {
        tw_tile rows = share_of(b.i, i, count);
        if (rows.rows <= 0)
            break;
        c.count++;
        consumer *x = as_consumer(&c, i);
        x->rows = rows;
        x->o = zeros(e, rows);
        x->st = row_stats(e, rows);
    }
    return c;
}

static void load_q(crew *c, tw_block b)
{
    tw_as_agent(c->e, PRODUCER);
    for (int i = 0; i < c->count; i++)
        c->of[i].q = load(c->e, TW_Q, b, c->of[i].rows);
}

static void release_q(crew *c)
{
    for (int i = 0; i < c->count; i++)
        release(c->e, c->of[i].q);
}

/* S becomes P, and O keeps up with m. */
static void fold_scores(tw_emitter *e, consumer *x, tw_slot s)
{
    score_mod(e, s);
    mask(e, s);
    online_softmax(e, s, x->st);
    rescale(e, x->o, x->st);
    dropout(e, s);
    convert_for_unit(e, s);
}

static void finish(crew *c, tw_block b)
{
    tw_emitter *e = c->e;
    for (int i = 0; i < c->count; i++) {
        consumer *x = as_consumer(c, i);
        normalize(e, x->o, x->st);
        lse(e, x->st);
        store(e, TW_O, b, x->o);
        store(e, TW_LSE, b, x->st.m);
        release(e, x->o);
        release_stats(e, x->st);
    }
    tw_as_agent(e, 0);
}

/* ---- serial --------------------------------------------------------------------------------------------- */

static void serial_step(crew *c, tw_slot k, tw_slot v)
{
    tw_emitter *e = c->e;
    for (int i = 0; i < c->count; i++) {
        consumer *x = as_consumer(c, i);
        tw_slot s = matmul_nt(e, x->q, k);
        fold_scores(e, x, s);
        matmul_add(e, x->o, s, v);
        release(e, s);
    }
    release(e, k);
    release(e, v);
}

static void serial_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p;
    crew c = begin(e, t, b);
    tw_slot k = {-1}, v = {-1};
    tw_tile here = {.run = 0}; /* the tile that k and v hold; none yet */
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        tw_as_agent(e, PRODUCER);
        tw_slot next_k = load(e, TW_K, b, kv.tile);
        if (kv.is_first)
            load_q(&c, b);
        tw_slot next_v = load(e, TW_V, b, kv.tile);
        if (!kv.is_first) {
            tw_at_tile(&kv, here);
            serial_step(&c, k, v);
        }
        k = next_k, v = next_v, here = kv.tile;
        if (kv.is_last) {
            tw_at_tile(&kv, here);
            serial_step(&c, k, v);
            release_q(&c);
        }
    }
    finish(&c, b);
}

/* ---- turns and overlap ---------------------------------------------------------------------------------- */

/* V of a tile is multiplied while S of the next one is: what both loops carry from tile to tile. */
typedef struct pipeline {
    crew c;
    tw_walk *kv;
    bool overlap;
    tw_slot k, v;       /* K of the tile whose scores come next, V of the one before it */
    tw_tile k_of, v_of; /* these tiles; run 0 while there is none */
    tw_slot later_v;    /* V of k_of */
} pipeline;

static void give_turn_to(pipeline *l, int index)
{
    give_turn(l->c.e, l->c.of[index % l->c.count].turn);
}

/* O += P V of the tile before, if there is one. */
static void add_product(pipeline *l, consumer *x)
{
    if (l->v_of.run == 0)
        return;
    tw_at_tile(l->kv, l->v_of);
    matmul_add(l->c.e, x->o, x->p, l->v);
    release(l->c.e, x->p);
    tw_at_tile(l->kv, l->k_of);
}

/* One consumer's turn: S of this tile, and O += P V of the last one before or behind it. */
static void multiply(pipeline *l, int index, bool last)
{
    tw_emitter *e = l->c.e;
    consumer *x = as_consumer(&l->c, index);
    take_turn(e, x->turn);
    if (!l->overlap)
        add_product(l, x);
    tw_slot s = matmul_nt(e, x->q, l->k);
    if (l->overlap)
        add_product(l, x);
    if (!last || index + 1 < l->c.count)
        give_turn_to(l, index + 1);
    fold_scores(e, x, s);
    x->p = s;
}

static void pipelined_step(pipeline *l, bool last)
{
    tw_at_tile(l->kv, l->k_of);
    for (int i = 0; i < l->c.count; i++)
        multiply(l, i, last);
    release(l->c.e, l->k);
    if (l->v_of.run > 0)
        release(l->c.e, l->v);
    l->v = l->later_v, l->v_of = l->k_of;
}

static void first_turn(pipeline *l)
{
    for (int i = 0; i < l->c.count; i++) {
        as_consumer(&l->c, i);
        l->c.of[i].turn = tw_turn(l->c.e);
    }
    give_turn_to(l, 0); /* by the last one */
}

/* The products that are still to come when the last tile's scores have been folded. */
static void drain(pipeline *l)
{
    for (int i = 0; i < l->c.count; i++)
        add_product(l, as_consumer(&l->c, i));
    release(l->c.e, l->v);
    for (int i = 0; i < l->c.count; i++)
        release(l->c.e, l->c.of[i].turn);
    release_q(&l->c);
}

static void pipelined_block(tw_emitter *e, const tw_tiling *t, tw_block b, bool overlap)
{
    pipeline l = {.c = begin(e, t, b), .overlap = overlap};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        l.kv = &kv;
        tw_as_agent(e, PRODUCER);
        tw_slot next_k = load(e, TW_K, b, kv.tile);
        if (kv.is_first) {
            load_q(&l.c, b);
            first_turn(&l);
        } else {
            pipelined_step(&l, false);
        }
        tw_as_agent(e, PRODUCER);
        tw_at_tile(&kv, kv.tile);
        l.later_v = load(e, TW_V, b, kv.tile); /* not before: now a place of the ring is free for it */
        l.k = next_k, l.k_of = kv.tile;
        if (kv.is_last) {
            pipelined_step(&l, true);
            drain(&l);
        }
    }
    finish(&l.c, b);
}

static void pingpong_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p;
    pipelined_block(e, t, b, false);
}

static void overlap_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p;
    pipelined_block(e, t, b, true);
}

static bool is_fp8(const tw_quantize *quantize)
{
    return quantize->format == TW_E4M3 || quantize->format == TW_E5M2;
}

static bool suits_fp8(const tw_problem *problem)
{
    return is_fp8(&problem->quantize);
}

#define FLASH3(schedule_name, block_function, what, codes, takes, suiting)                                   \
    {                                                                                                        \
        .name = schedule_name, .file = "flash3.c", .summary = what,                                          \
        .ledger = "tiled: Q once, K and V once per query tile, O and LSE once",                              \
        .paper = "Shah et al., arXiv:2407.08608", .year = 2024, .variant_of = "flash2", .num_launches = 1,   \
        .honours = TW_HONOURS_ALL | TW_HONOURS_CODES, .needs_codes = codes, .takes_codes = takes,            \
        .suits = suiting,                                                                                    \
        .launches = {{.name = schedule_name,                                                                 \
                      .block = block_function,                                                               \
                      .grid_i = TW_AXIS_Q_TILES,                                                             \
                      .blocks_differ = true,                                                                 \
                      .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V),                                   \
                      .writes = TW_SET(TW_O) | TW_SET(TW_LSE)}},                                             \
        .writes_lse = true                                                                                   \
    }

const tw_schedule tw_schedule_flash3 = FLASH3(
    "flash3", overlap_block,
    "FlashAttention 3: a producer, consumers in turns, softmax under "
    "products",
    NULL, NULL, NULL);
const tw_schedule tw_schedule_flash3_serial = FLASH3("flash3_serial", serial_block,
                                                     "a producer and consumers, each tile's steps one by one",
                                                     NULL, NULL, NULL);
const tw_schedule tw_schedule_flash3_pingpong = FLASH3(
    "flash3_pingpong", pingpong_block, "a producer, and consumers that take turns", NULL, NULL, NULL);
/* The same loop on codes: each tile brings its scales, and P becomes codes of 2^8 P (e4m3) before its product. */
const tw_schedule tw_schedule_flash3_fp8 = FLASH3(
    "flash3_fp8", overlap_block, "FlashAttention 3 in fp8: codes with a scale a block, P as codes of 256 P",
    "--quantize=e4m3 or --quantize=e5m2", is_fp8, suits_fp8);
