/* Expected results and bytes of lab 3. No schedule is consulted. */
#include "expect.h"

#include "../../../cpu_ref/attention.h"

#include <math.h>
#include <string.h>

/* Does any of the query rows row0 … row1 − 1 see any of the keys of tile j? */
static bool tile_seen(const lab3_case *c, int64_t row0, int64_t row1, int64_t j)
{
    return lab3_any_visible(c, row0, row1, j * c->t.block_n, (j + 1) * c->t.block_n);
}

static int64_t num_key_tiles(const lab3_case *c)
{
    return (c->p.seqlen_k + c->t.block_n - 1) / c->t.block_n;
}

static int64_t rows_of(int64_t length, int64_t row0, int block)
{
    return length - row0 < block ? length - row0 : block;
}

static double dot(const double *x, const double *y, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static int64_t last_sink_tile(const lab3_case *c)
{
    return (c->sinks - 1) / c->t.block_n;
}

/* The first key tile that the block of `row` sees through its window. */
static int64_t first_window_tile(const lab3_case *c, int64_t row)
{
    int64_t lowest = row / c->t.block_m * c->t.block_m + c->p.seqlen_k - c->p.seqlen_q;
    return lowest > c->window ? (lowest - c->window) / c->t.block_n : 0;
}

/* How often `key` is counted for `row` under this mistake. */
static int times_seen(const lab3_case *c, lab3_mistake mistake, int64_t row, int64_t key)
{
    lab3_case other = *c;
    int64_t row0 = row / c->t.block_m * c->t.block_m, j = key / c->t.block_n, tiles = num_key_tiles(c);
    int64_t first = 0, last = tiles - 1;
    switch (mistake) {
    case LAB3_NO_MASK:
        return tile_seen(c, row0, row0 + c->t.block_m, j);
    case LAB3_LAST_TILE_MISSING:
        while (last > 0 && !tile_seen(c, row0, row0 + c->t.block_m, last))
            last--;
        return j != last && lab3_visible(c, row, key);
    case LAB3_FIRST_TILE_MISSING:
        while (first < tiles && !tile_seen(c, row0, row0 + c->t.block_m, first))
            first++;
        return j != first && lab3_visible(c, row, key);
    case LAB3_WINDOW_SHORT:
    case LAB3_WINDOW_LONG:
        other.window += mistake == LAB3_WINDOW_LONG ? 1 : -1;
        return lab3_visible(&other, row, key);
    case LAB3_NO_SINKS:
        other.sinks = 0;
        return lab3_visible(&other, row, key);
    case LAB3_SINKS_TWICE:
        return lab3_visible(c, row, key) ? 1 + (j <= last_sink_tile(c) && j >= first_window_tile(c, row)) : 0;
    case LAB3_SINK_TILE_MISSING:
        return lab3_visible(c, row, key) && !(j == last_sink_tile(c) && j < first_window_tile(c, row));
    default:
        return lab3_visible(c, row, key);
    }
}

void lab3_expect_row(double *o, double *lse, const lab3_case *c, lab3_mistake mistake, const double *q,
                     const double *k, const double *v, int batch, int head, int row, double *scratch)
{
    const tw_problem *p = &c->p;
    size_t d = (size_t)p->head_dim, width = d * sizeof(double);
    double *k_seen = scratch, *v_seen = scratch + 2 * d * (size_t)p->seqlen_k,
           *scores = v_seen + 2 * d * (size_t)p->seqlen_k;
    int n = 0, head_kv = tw_problem_kv_head(p, head);
    for (int key = 0; key < p->seqlen_k; key++) {
        size_t from = tw_problem_k_row(p, batch, head_kv, key);
        for (int times = times_seen(c, mistake, row, key); times > 0; times--) {
            memcpy(k_seen + (size_t)n * d, k + from, width);
            memcpy(v_seen + (size_t)n * d, v + from, width);
            n++;
        }
    }
    /* The keys that are seen, as a problem of one row; one that sees none is a causal one of two rows. */
    tw_problem one = {.batch = 1,
                      .num_heads = 1,
                      .num_heads_kv = 1,
                      .seqlen_q = n ? 1 : 2,
                      .seqlen_k = n ? n : 1,
                      .head_dim = p->head_dim,
                      .dtype = TW_FP64,
                      .causal = n == 0,
                      .softmax_scale = tw_problem_scale(p)};
    tw_attention_gold_row(o, lse, &one, q + tw_problem_q_row(p, batch, head, row), k_seen, v_seen, 0, 0, 0,
                          scores);
}

/* The row state of one query row, and the numbers that its steps need. */
typedef struct walker {
    const lab3_case *c;
    const double *q, *k, *v; /* the row of Q; its head's K and V */
    int64_t row;
    double m, l, *o;
} walker;

/* Where the numbers of a key begin, in K and in V. */
static size_t key_at(const walker *w, int64_t key)
{
    return (size_t)key * (size_t)w->c->p.num_heads_kv * (size_t)w->c->p.head_dim;
}

static double score(const walker *w, int64_t key)
{
    return tw_problem_scale(&w->c->p) * dot(w->q, w->k + key_at(w, key), w->c->p.head_dim);
}

static void scale_output(const walker *w, double factor)
{
    for (int i = 0; i < w->c->p.head_dim; i++)
        w->o[i] *= factor;
}

/* Adds P V for the keys begin … end - 1, relative to the maximum m; the sum of the row of P. */
static double add_values(const walker *w, int64_t begin, int64_t end, double m)
{
    double sum = 0.0;
    for (int64_t key = begin; key < end; key++) {
        double weight = lab3_visible(w->c, w->row, key) ? exp(score(w, key) - m) : 0.0;
        sum += weight;
        for (int i = 0; i < w->c->p.head_dim; i++)
            w->o[i] += weight * w->v[key_at(w, key) + (size_t)i];
    }
    return sum;
}

/* One step, over key tile j. */
static void slip_over(walker *w, lab3_slip slip, int64_t j)
{
    int64_t begin = j * w->c->t.block_n, end = begin + rows_of(w->c->p.seqlen_k, begin, w->c->t.block_n);
    bool kept_normalised = w->c->task == LAB3_K_OUTER;
    double m = w->m;
    for (int64_t key = begin; key < end; key++)
        if (lab3_visible(w->c, w->row, key))
            m = fmax(m, score(w, key));
    if (m == -INFINITY)
        return;
    double plain = exp(w->m - m), normalised = plain * w->l;
    if (slip == LAB3_OTHER_STEP)
        scale_output(w, kept_normalised ? plain : normalised);
    w->l = plain * w->l + add_values(w, begin, end, m);
    w->m = m;
    if (slip == LAB3_LATE_RESCALE)
        scale_output(w, kept_normalised ? normalised : plain);
    if (kept_normalised)
        scale_output(w, 1.0 / w->l);
}

void lab3_expect_slip(double *o, lab3_slip slip, const lab3_case *c, const double *q, const double *k,
                      const double *v, int batch, int head, int row)
{
    const tw_problem *p = &c->p;
    size_t first_key = tw_problem_k_row(p, batch, tw_problem_kv_head(p, head), 0);
    walker w = {.c = c,
                .q = q + tw_problem_q_row(p, batch, head, row),
                .k = k + first_key,
                .v = v + first_key,
                .row = row,
                .m = -INFINITY,
                .o = o};
    memset(o, 0, (size_t)p->head_dim * sizeof *o);
    int64_t row0 = row / c->t.block_m * c->t.block_m;
    for (int64_t j = 0; j < num_key_tiles(c); j++)
        if (tile_seen(c, row0, row0 + c->t.block_m, j))
            slip_over(&w, slip, j);
    if (c->task != LAB3_K_OUTER && w.l != 0.0)
        scale_output(&w, 1.0 / w.l);
}

/* Bytes of `rows` rows of O, or of anything like it. */
static int64_t wide(const lab3_case *c, int64_t rows)
{
    return rows * c->p.head_dim * 2;
}

/* K outer: K and V once; for each pair of tiles Q in, O, m, l out, and O, m, l in except in the first pass. */
static void k_outer_traffic(lab3_budget *b, const lab3_case *c)
{
    const tw_problem *p = &c->p;
    for (int64_t j = 0; j < num_key_tiles(c); j++) {
        int64_t keys = rows_of(p->seqlen_k, j * c->t.block_n, c->t.block_n);
        if (tile_seen(c, 0, p->seqlen_q, j))
            b->fill[TW_K] += wide(c, keys), b->fill[TW_V] += wide(c, keys);
        for (int64_t row = 0; row < p->seqlen_q; row += c->t.block_m) {
            int64_t rows = rows_of(p->seqlen_q, row, c->t.block_m);
            if (!tile_seen(c, row, row + rows, j))
                continue;
            b->fill[TW_Q] += wide(c, rows);
            if (j > 0)
                b->fill[TW_O] += wide(c, rows), b->fill[TW_M] += 4 * rows, b->fill[TW_L] += 4 * rows;
            b->drain[TW_O] += wide(c, rows), b->drain[TW_M] += 4 * rows, b->drain[TW_L] += 4 * rows;
        }
    }
}

/* Q outer: for each block its rows of Q once, and each key tile that any of them sees; O and LSE once. */
static void q_outer_traffic(lab3_budget *b, const lab3_case *c)
{
    const tw_problem *p = &c->p;
    for (int64_t row = 0; row < p->seqlen_q; row += c->t.block_m) {
        int64_t rows = rows_of(p->seqlen_q, row, c->t.block_m), keys = 0;
        for (int64_t j = 0; j < num_key_tiles(c); j++)
            if (tile_seen(c, row, row + rows, j))
                keys += rows_of(p->seqlen_k, j * c->t.block_n, c->t.block_n);
        b->fill[TW_K] += wide(c, keys);
        b->fill[TW_V] += wide(c, keys);
        b->fill[TW_Q] += keys > 0 ? wide(c, rows) : 0;
        b->drain[TW_O] += wide(c, rows);
        b->drain[TW_LSE] += 4 * rows;
    }
}

lab3_budget lab3_expect_traffic(const lab3_case *c)
{
    lab3_budget b = {.sram = 0};
    bool k_outer = c->task == LAB3_K_OUTER;
    if (k_outer)
        k_outer_traffic(&b, c);
    else
        q_outer_traffic(&b, c);
    for (int i = 0; i < TW_NUM_TENSORS; i++) {
        b.fill[i] *= (int64_t)c->p.batch * c->p.num_heads;
        b.drain[i] *= (int64_t)c->p.batch * c->p.num_heads;
        b.fill_bytes += b.fill[i];
        b.drain_bytes += b.drain[i];
    }
    b.sram = (2 * c->t.block_m + (k_outer ? 2 : 1) * c->t.block_n) * (int64_t)c->p.head_dim * 2;
    return b;
}
