/* The backward pass on the CPU, in tiles, fp32: P is made again from Q, K and LSE, never stored.
 *
 * Two kinds of work, each with owners of its own, so that nothing is summed by two threads and the result does not
 * depend on how many there are: a tile of keys gathers its dK and dV from every query that sees it, a tile of queries
 * its dQ from every key. S and dP are so computed twice, seven products instead of five.
 *
 * All products are C += Aᵀ B by the kernel's accumulate(): A is row-major, B and C are cut into panels, as wide as a
 * few vector registers, of columns:
 *
 *      S  [panel of keys][query][lane]  = A: Qᵀ [c][query]      B: Kᵀ [panel of keys][c][lane]      dP likewise
 *      dV [panel of d][key][lane]      += A: P [query][key]     B: dO [panel of d][query][lane]     dK likewise
 *      dQ [panel of d][query][lane]    += A: dSᵀ [key][query]   B: K  [panel of d][key][lane]                     */
#include "attention.h"
#include "memory.h"
#include "threads.h"
#include "tiled_kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_FLOATS = 16 };

/* A tensor: where its rows lie, and how wide they are. */
typedef struct matrix {
    const float *x;
    size_t (*row)(const tw_problem *, int batch, int head, int row);
    int width;
} matrix;

/* Everything that does not change from one piece of work to the next. */
typedef struct plan {
    const tw_tiled_kernel *kernel;
    const tw_problem *p;
    matrix q, k, v, o, d_o;
    const float *lse;
    float *dq, *dk, *dv;
    float scale;
    int block_m, block_n;
    size_t lanes;                    /* columns of a panel */
    size_t queries, keys, columns;   /* of a tile, and the widest row, rounded up to whole panels */
    size_t query_stride, key_stride; /* of A's rows: rounded up to block_rows */
} plan;

/* One thread's memory. */
typedef struct scratch {
    float *q_t, *do_t;       /* [head_dim][query_stride] */
    float *k_t, *v_t;        /* panels of keys, [head_dim][lane] each */
    float *q, *d_o, *k;      /* panels of d */
    float *s, *dp;           /* panels of keys, [query_stride][lane] each */
    float *p, *ds, *ds_t;    /* [query][key_stride], and [key][query_stride] */
    float *first, *second;   /* sums, panels of d: dQ; dK and dV */
    float *lse, *d;          /* [query] */
    float *z, *row, *dp_row; /* [key] */
} scratch;

/* A tile of queries of one head, or of keys of one K/V head, of one sequence. */
typedef struct tile {
    tw_problem one;
    int batch, head, row0, rows;
} tile;

static size_t round_up(size_t x, size_t multiple)
{
    return (x + multiple - 1) / multiple * multiple;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static float *take(float *base, size_t *used, size_t n)
{
    float *taken = base == NULL ? NULL : base + *used;
    *used += round_up(n, ALIGNMENT_FLOATS);
    return taken;
}

/* Cuts base up and returns the number of floats that takes; base may be NULL. */
static size_t cut_scratch(scratch *w, const plan *x, float *base)
{
    size_t used = 0, dim = x->columns;
    w->q_t = take(base, &used, dim * x->query_stride);
    w->do_t = take(base, &used, dim * x->query_stride);
    w->k_t = take(base, &used, dim * x->keys);
    w->v_t = take(base, &used, dim * x->keys);
    w->q = take(base, &used, x->columns * x->queries);
    w->d_o = take(base, &used, x->columns * x->queries);
    w->k = take(base, &used, x->columns * x->keys);
    w->s = take(base, &used, x->keys * x->query_stride);
    w->dp = take(base, &used, x->keys * x->query_stride);
    w->p = take(base, &used, x->queries * x->key_stride);
    w->ds = take(base, &used, x->queries * x->key_stride);
    w->ds_t = take(base, &used, x->keys * x->query_stride);
    w->first = take(base, &used, x->columns * larger(x->query_stride, x->key_stride));
    w->second = take(base, &used, x->columns * x->key_stride);
    w->lse = take(base, &used, x->queries);
    w->d = take(base, &used, x->queries);
    w->z = take(base, &used, x->keys);
    w->row = take(base, &used, x->keys);
    w->dp_row = take(base, &used, x->keys);
    return used;
}

/* ---- packing ------------------------------------------------------------------------------------------------ */

static const float *row_of(const matrix *m, const tile *t, int row)
{
    return m->x + m->row(&t->one, t->batch, t->head, t->row0 + row);
}

/* A tile of queries as A of a product over columns: [c][query]. */
static void pack_transposed(float *to, const plan *x, const matrix *m, const tile *t)
{
    for (int i = 0; i < t->rows; i++) {
        const float *row = row_of(m, t, i);
        for (size_t c = 0; c < (size_t)m->width; c++)
            to[c * x->query_stride + (size_t)i] = row[c];
    }
}

/* A tile of keys as B of a product over columns: panels of keys, [c][lane] each. */
static void pack_key_panels(float *to, const plan *x, const matrix *m, const tile *t)
{
    size_t lanes = x->lanes, width = (size_t)m->width;
    for (size_t j = 0; j < (size_t)t->rows; j++) {
        const float *row = row_of(m, t, (int)j);
        for (size_t c = 0; c < width; c++)
            to[j / lanes * lanes * width + c * lanes + j % lanes] = row[c];
    }
}

/* A tile as B of a product over its rows: panels of columns, [row][lane] each. */
static void pack_panels(float *to, const plan *x, const matrix *m, const tile *t)
{
    size_t lanes = x->lanes, rows = (size_t)t->rows, width = (size_t)m->width;
    for (size_t i = 0; i < rows; i++) {
        const float *row = row_of(m, t, (int)i);
        for (size_t c = 0; c < width; c += lanes)
            memcpy(to + c * rows + i * lanes, row + c, (width - c < lanes ? width - c : lanes) * sizeof *to);
    }
}

/* Sums, in panels of columns with `stride` rows each, to the rows of the gradient of m. */
static void unpack(float *gradient, const matrix *m, const float *sums, const plan *x, const tile *t,
                   size_t stride, float scale)
{
    size_t lanes = x->lanes;
    for (size_t i = 0; i < (size_t)t->rows; i++) {
        float *row = gradient + (row_of(m, t, (int)i) - m->x);
        for (size_t c = 0; c < (size_t)m->width; c++)
            row[c] = scale * sums[c / lanes * lanes * stride + i * lanes + c % lanes];
    }
}

/* C += Aᵀ B, panel by panel of B and C; C has as many rows as A has columns, `stride`. */
static void multiply(const plan *x, float *c, const float *a, size_t stride, const float *b, size_t columns,
                     int depth)
{
    for (size_t first = 0; first < columns; first += x->lanes)
        x->kernel->accumulate(c + first * stride, a, b + first * (size_t)depth, (int)stride, depth);
}

/* ---- one tile of scores -------------------------------------------------------------------------------------- */

static void load_queries(const plan *x, scratch *w, const tile *queries)
{
    pack_transposed(w->q_t, x, &x->q, queries);
    pack_transposed(w->do_t, x, &x->d_o, queries);
    for (int i = 0; i < queries->rows; i++) {
        const float *o = row_of(&x->o, queries, i), *d_o = row_of(&x->d_o, queries, i);
        double d = 0.0;
        for (int c = 0; c < x->o.width; c++)
            d += (double)o[c] * (double)d_o[c];
        w->d[i] = (float)d;
        w->lse[i] =
            x->lse[tw_problem_lse_at(&queries->one, queries->batch, queries->head, queries->row0 + i)];
    }
}

static void load_keys(const plan *x, scratch *w, const tile *keys)
{
    pack_key_panels(w->k_t, x, &x->k, keys);
    pack_key_panels(w->v_t, x, &x->v, keys);
    for (int j = 0; j < keys->rows; j++)
        w->z[j] = 1.0F; /* and so it stays without dropout */
}

/* A row of S or dP out of its panels of keys. */
static void gather_row(float *row, const float *panels, const plan *x, int i)
{
    for (size_t j = 0; j < x->keys; j += x->lanes)
        memcpy(row + j, panels + j * x->query_stride + (size_t)i * x->lanes, x->lanes * sizeof *row);
}

/* P of a row, from S; `hides`: the mask cuts the tile. Where LSE is −∞ the row sees nothing, and e^(S − LSE) would
 * be NaN. */
static void probabilities(float *p, const plan *x, float lse, const tile *queries, int row, const tile *keys,
                          bool hides)
{
    for (int j = 0; j < keys->rows; j++) {
        bool seen = lse > -INFINITY && (!hides || tw_mask_visible(&queries->one, queries->batch,
                                                                  queries->head, row, keys->row0 + j));
        p[j] = seen ? (x->scale * p[j] - lse) * 1.44269504F : -INFINITY;
    }
    x->kernel->exp2(p, p, (int)x->keys);
}

/* P ∘ Z and dS of a row of the tile. */
static void gradients_of_row(const plan *x, scratch *w, const tile *queries, const tile *keys, int i,
                             bool hides)
{
    int row = queries->row0 + i;
    float *p = w->p + (size_t)i * x->key_stride, *ds = w->ds + (size_t)i * x->key_stride, d = w->d[i];
    gather_row(w->row, w->s, x, i);
    probabilities(w->row, x, w->lse[i], queries, row, keys, hides);
    gather_row(w->dp_row, w->dp, x, i);
    if (tw_dropout_is_on(&x->p->dropout))
        tw_dropout_row_float(w->z, &x->p->dropout, queries->batch, queries->head, row, keys->row0,
                             keys->rows);
    for (int j = 0; j < keys->rows; j++) {
        p[j] = w->row[j] * w->z[j];
        ds[j] = w->row[j] * (w->dp_row[j] * w->z[j] - d);
    }
}

/* What the mask leaves of a tile. */
static tw_tile_kind kind_of(const tile *queries, const tile *keys)
{
    return tw_mask_tile(&queries->one, queries->batch, queries->head, queries->row0,
                        queries->row0 + queries->rows, keys->row0, keys->row0 + keys->rows);
}

/* P ∘ Z and dS of a tile, from packed operands. */
static void gradients_of_tile(const plan *x, scratch *w, const tile *queries, const tile *keys, bool hides)
{
    size_t size = x->keys * x->query_stride;
    memset(w->s, 0, size * sizeof *w->s);
    memset(w->dp, 0, size * sizeof *w->dp);
    multiply(x, w->s, w->q_t, x->query_stride, w->k_t, x->keys, x->q.width);
    multiply(x, w->dp, w->do_t, x->query_stride, w->v_t, x->keys, x->v.width);
    for (int i = 0; i < queries->rows; i++)
        gradients_of_row(x, w, queries, keys, i, hides);
}

/* ---- pieces of work -------------------------------------------------------------------------------------------- */

/* Tile `index` of an axis; without rows where a sequence is shorter than others. */
static tile tile_at(const tw_problem *p, int batch, int head, int index, int block, bool of_keys)
{
    tile t = {.one = tw_problem_sequence(p, batch), .batch = batch, .head = head, .row0 = index * block};
    int left = (of_keys ? t.one.seqlen_k : t.one.seqlen_q) - t.row0;
    t.rows = left < 0 ? 0 : left < block ? left : block;
    return t;
}

static int num_tiles(int length, int block)
{
    return (length - 1) / block + 1;
}

/* dK and dV of a tile of keys, over all query heads of its group. */
static void key_tile(const plan *x, scratch *w, const tile *keys)
{
    const tw_problem *p = x->p;
    int heads = p->num_heads / p->num_heads_kv;
    memset(w->first, 0, x->columns * x->key_stride * sizeof *w->first);
    memset(w->second, 0, x->columns * x->key_stride * sizeof *w->second);
    load_keys(x, w, keys);
    for (int h = keys->head * heads; h < (keys->head + 1) * heads; h++)
        for (int i = 0; i < num_tiles(p->seqlen_q, x->block_m); i++) {
            tile queries = tile_at(p, keys->batch, h, i, x->block_m, false);
            tw_tile_kind kind = kind_of(&queries, keys);
            if (queries.rows == 0 || kind == TW_TILE_EMPTY)
                continue;
            load_queries(x, w, &queries);
            pack_panels(w->q, x, &x->q, &queries);
            pack_panels(w->d_o, x, &x->d_o, &queries);
            gradients_of_tile(x, w, &queries, keys, kind == TW_TILE_PARTIAL);
            multiply(x, w->first, w->ds, x->key_stride, w->q, (size_t)x->q.width, queries.rows);
            multiply(x, w->second, w->p, x->key_stride, w->d_o, (size_t)x->d_o.width, queries.rows);
        }
    unpack(x->dk, &x->k, w->first, x, keys, x->key_stride, x->scale);
    unpack(x->dv, &x->v, w->second, x, keys, x->key_stride, 1.0F);
}

/* dQ of a tile of queries. */
static void query_tile(const plan *x, scratch *w, const tile *queries)
{
    const tw_problem *p = x->p;
    memset(w->first, 0, x->columns * x->query_stride * sizeof *w->first);
    load_queries(x, w, queries);
    for (int j = 0; j < num_tiles(p->seqlen_k, x->block_n); j++) {
        tile keys = tile_at(p, queries->batch, tw_problem_kv_head(p, queries->head), j, x->block_n, true);
        tw_tile_kind kind = kind_of(queries, &keys);
        if (keys.rows == 0 || kind == TW_TILE_EMPTY)
            continue;
        load_keys(x, w, &keys);
        pack_panels(w->k, x, &x->k, &keys);
        gradients_of_tile(x, w, queries, &keys, kind == TW_TILE_PARTIAL);
        for (size_t i = 0; i < (size_t)queries->rows; i++)
            for (size_t k = 0; k < (size_t)keys.rows; k++)
                w->ds_t[k * x->query_stride + i] = w->ds[i * x->key_stride + k];
        multiply(x, w->first, w->ds_t, x->query_stride, w->k, (size_t)x->k.width, keys.rows);
    }
    unpack(x->dq, &x->q, w->first, x, queries, x->query_stride, x->scale);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static void set_sizes(plan *x, int block_m, int block_n)
{
    size_t lanes = (size_t)x->kernel->lanes, rows = (size_t)x->kernel->block_rows;
    x->block_m = block_m < x->p->seqlen_q ? block_m : x->p->seqlen_q;
    x->block_n = block_n < x->p->seqlen_k ? block_n : x->p->seqlen_k;
    x->lanes = lanes;
    x->queries = round_up((size_t)x->block_m, lanes);
    x->keys = round_up((size_t)x->block_n, lanes);
    x->columns = round_up(larger((size_t)x->q.width, (size_t)x->v.width), lanes);
    x->query_stride = round_up((size_t)x->block_m, rows);
    x->key_stride = round_up((size_t)x->block_n, rows);
}

static void compute(const plan *x, float *memory, size_t floats)
{
    const tw_problem *p = x->p;
    int key_tiles = num_tiles(p->seqlen_k, x->block_n), query_tiles = num_tiles(p->seqlen_q, x->block_m);
#pragma omp parallel for collapse(3) schedule(dynamic, 1)
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads_kv; h++)
            for (int j = 0; j < key_tiles; j++) {
                scratch w;
                tile keys = tile_at(p, b, h, j, x->block_n, true);
                cut_scratch(&w, x, memory + (size_t)tw_thread_index() * floats);
                key_tile(x, &w, &keys);
            }
#pragma omp parallel for collapse(3) schedule(dynamic, 1)
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads; h++)
            for (int i = 0; i < query_tiles; i++) {
                scratch w;
                tile queries = tile_at(p, b, h, i, x->block_m, false);
                cut_scratch(&w, x, memory + (size_t)tw_thread_index() * floats);
                query_tile(x, &w, &queries);
            }
}

tw_status tw_attention_backward_tiled_by(const tw_tiled_kernel *kernel, const tw_backward_tensors *t,
                                         const tw_problem *p, int block_m, int block_n)
{
    TW_TRY(tw_problem_check_backward(p));
    if (block_m < 1 || block_n < 1)
        return tw_fail(TW_EINVAL, "the tile is block_m %d x block_n %d, both must be at least 1", block_m,
                       block_n);
    plan x = {.kernel = kernel, .p = p, .scale = (float)tw_problem_scale(p)};
    x.q = (matrix){t->q, tw_problem_q_row, p->head_dim};
    x.k = (matrix){t->k, tw_problem_k_row, p->head_dim};
    x.v = (matrix){t->v, tw_problem_v_row, tw_problem_head_dim_v(p)};
    x.o = (matrix){t->o, tw_problem_o_row, tw_problem_head_dim_v(p)};
    x.d_o = (matrix){t->d_o, tw_problem_o_row, tw_problem_head_dim_v(p)};
    x.lse = t->lse, x.dq = t->dq, x.dk = t->dk, x.dv = t->dv;
    set_sizes(&x, block_m, block_n);
    scratch unused;
    size_t floats = cut_scratch(&unused, &x, NULL), all = (size_t)tw_max_threads() * floats;
    TW_TRY(tw_memory_check((double)all * sizeof(float), "tiled backward attention"));
    float *memory = aligned_alloc(ALIGNMENT_FLOATS * sizeof(float), all * sizeof(float));
    if (memory == NULL)
        return tw_fail(TW_ENOMEM, "no memory for tiles of %d x %d rows", x.block_m, x.block_n);
    memset(memory, 0, all * sizeof(float));
    compute(&x, memory, floats);
    free(memory);
    return TW_OK;
}

tw_status tw_attention_backward_tiled(const tw_backward_tensors *tensors, const tw_problem *p, int block_m,
                                      int block_n)
{
    const tw_tiled_kernel *kernels[3];
    tw_tiled_kernels(kernels);
    return tw_attention_backward_tiled_by(kernels[0], tensors, p, block_m, block_n);
}
