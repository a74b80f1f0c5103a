/* Lengths, tiles and masks: what the tiles divide and what not, and where a window, a tile and the sequence end together. */
#include "cases.h"

typedef struct list {
    lab3_trial *trials;
    int count;
    lab3_case like; /* the task's, causal */
} list;

static lab3_trial *add(list *x, lab3_kind kind, const char *name, int seqlen_q, int seqlen_k, int head_dim)
{
    lab3_trial *t = &x->trials[x->count++];
    *t = (lab3_trial){.kind = kind, .name = name, .c = x->like};
    t->c.p.seqlen_q = seqlen_q;
    t->c.p.seqlen_k = seqlen_k;
    t->c.p.head_dim = head_dim;
    return t;
}

static void add_with_tiles(list *x, lab3_kind kind, const char *name, int seqlen_q, int seqlen_k, int block_m,
                           int block_n)
{
    add(x, kind, name, seqlen_q, seqlen_k, 16)->c.t = (tw_tiling){.block_m = block_m, .block_n = block_n};
}

static void add_divided(list *x)
{
    add(x, LAB3_DIVIDED, "tiles that divide", 128, 128, 16);
    if (x->like.task == LAB3_K_OUTER || x->like.task == LAB3_TWO_TILES)
        add(x, LAB3_DIVIDED, "without a mask", 128, 128, 16)->c.p.causal = false;
    add_with_tiles(x, LAB3_DIVIDED, "other tiles", 128, 128, 16, 32);
    add_with_tiles(x, LAB3_DIVIDED, "small tiles", 64, 64, 4, 2);
}

/*
 * Block_m is a multiple of block_n, so with these lengths each tile's first row sees back to the first key of a key tile
 * (a tile more than needed would be loaded by who goes back one key too far) and, with one key less, to the last.
 */
static void add_window_edges(list *x)
{
    int block_n = x->like.t.block_n, shift = x->like.window % block_n + 2 * block_n;
    add(x, LAB3_EDGES, "windows that begin with a key tile", 64, 64 + shift, 16);
    add(x, LAB3_EDGES, "windows that begin with the last key of a tile", 64, 63 + shift, 16);
    add_with_tiles(x, LAB3_EDGES, "windows that begin and end anywhere", 61, 64, 2, 3);
    add_with_tiles(x, LAB3_EDGES, "key tiles of one row", 61, 64, 3, 1);
}

/* The last sink is the last key of a tile; the first of the next one; and rows come that do not see all sinks. */
static void add_sink_edges(list *x)
{
    int sinks = x->like.sinks;
    add_with_tiles(x, LAB3_EDGES, "sinks that are a whole key tile", 64, 64, 16, sinks);
    add_with_tiles(x, LAB3_EDGES, "sinks that are a key tile and a key", 64, 64, 16, sinks - 1);
    add_with_tiles(x, LAB3_EDGES, "sinks beyond the rows", 40, 40 - sinks, 2, 1);
}

static void add_edges(list *x, int tail)
{
    add(x, LAB3_EDGES, "more keys than queries", 40, 150 + tail, 16);
    add(x, LAB3_EDGES, "rows that see nothing", 150, 60 + tail, 16);
    add(x, LAB3_EDGES, "a block that sees one key", 2 * x->like.t.block_m, x->like.t.block_m + 1, 16);
    if (x->like.task == LAB3_WINDOW || x->like.task == LAB3_SINKS)
        add_window_edges(x);
    if (x->like.task == LAB3_SINKS)
        add_sink_edges(x);
}

int lab3_trials(lab3_trial trials[LAB3_MAX_TRIALS], lab_judge *judge, const lab3_case *paper)
{
    list x = {.trials = trials, .like = *paper};
    int tail = lab_judge_pick(judge, 1, 7), half = paper->t.block_m / 2;
    x.like.p.causal = true;
    add(&x, LAB3_ONE_TILE, "one tile", half, half, 16);
    add_divided(&x);
    add(&x, LAB3_TAILS, "tails", 96 + tail, 96 + tail, 24);
    add(&x, LAB3_TAILS, "a last tile of one row", 33, 33, 8);
    add_edges(&x, tail);
    lab3_trial *heads = add(&x, LAB3_HEADS, "heads and batch", 70, 70, 16);
    heads->c.p.batch = 2, heads->c.p.num_heads = 4, heads->c.p.num_heads_kv = 2;
    add(&x, LAB3_LARGE, "scores around 10000", 80, 80, 16)->offset = 1e4;
    return x.count;
}
