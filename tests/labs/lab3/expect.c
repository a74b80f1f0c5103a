/* Expected results and bytes of lab 3. No schedule is consulted. */
#include "expect.h"

#include "../../../cpu_ref/attention.h"

#include <string.h>

/* Does any of the query rows row0 … row1 − 1 see any of the keys of tile j? */
static bool tile_seen(const lab3_case *c, int64_t row0, int64_t row1, int64_t j)
{
    for (int64_t row = row0; row < row1 && row < c->p.seqlen_q; row++)
        for (int64_t key = j * c->t.block_n; key < (j + 1) * c->t.block_n && key < c->p.seqlen_k; key++)
            if (lab3_visible(c, row, key))
                return true;
    return false;
}

static int64_t num_key_tiles(const lab3_case *c)
{
    return (c->p.seqlen_k + c->t.block_n - 1) / c->t.block_n;
}

/* Is `key` seen by `row` under this mistake? */
static bool seen(const lab3_case *c, lab3_mistake mistake, int64_t row, int64_t key)
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
    default:
        return lab3_visible(c, row, key);
    }
}

void lab3_expect_row(double *o, double *lse, const lab3_case *c, lab3_mistake mistake, const double *q,
                     const double *k, const double *v, int batch, int head, int row, double *scratch)
{
    const tw_problem *p = &c->p;
    size_t d = (size_t)p->head_dim, width = d * sizeof(double);
    double *k_seen = scratch, *v_seen = scratch + d * (size_t)p->seqlen_k,
           *scores = v_seen + d * (size_t)p->seqlen_k;
    int n = 0, head_kv = tw_problem_kv_head(p, head);
    for (int key = 0; key < p->seqlen_k; key++) {
        if (!seen(c, mistake, row, key))
            continue;
        size_t from = tw_problem_k_row(p, batch, head_kv, key);
        memcpy(k_seen + (size_t)n * d, k + from, width);
        memcpy(v_seen + (size_t)n * d, v + from, width);
        n++;
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

/* K outer: K and V once; for each pair of tiles Q in, O, m, l out, and O, m, l in except in the first pass. */
static void k_outer_traffic(lab3_budget *b, const lab3_case *c)
{
    const tw_problem *p = &c->p;
    for (int64_t j = 0; j < num_key_tiles(c); j++) {
        int64_t keys = p->seqlen_k - j * c->t.block_n, rows;
        keys = keys < c->t.block_n ? keys : c->t.block_n;
        if (tile_seen(c, 0, p->seqlen_q, j))
            b->fill += 2 * keys * p->head_dim * 2;
        for (int64_t row = 0; row < p->seqlen_q; row += c->t.block_m) {
            if (!tile_seen(c, row, row + c->t.block_m, j))
                continue;
            rows = p->seqlen_q - row < c->t.block_m ? p->seqlen_q - row : c->t.block_m;
            b->fill += rows * p->head_dim * 2 + (j > 0 ? rows * (p->head_dim * 2 + 8) : 0);
            b->drain += rows * (p->head_dim * 2 + 8);
        }
    }
}

/* Q outer: for each block its rows of Q once, and each key tile that any of them sees; O and LSE once. */
static void q_outer_traffic(lab3_budget *b, const lab3_case *c)
{
    const tw_problem *p = &c->p;
    for (int64_t row = 0; row < p->seqlen_q; row += c->t.block_m) {
        int64_t rows = p->seqlen_q - row < c->t.block_m ? p->seqlen_q - row : c->t.block_m;
        bool any = false;
        for (int64_t j = 0; j < num_key_tiles(c); j++) {
            int64_t keys = p->seqlen_k - j * c->t.block_n;
            if (!tile_seen(c, row, row + rows, j))
                continue;
            any = true;
            b->fill += 2 * (keys < c->t.block_n ? keys : c->t.block_n) * p->head_dim * 2;
        }
        b->fill += any ? rows * p->head_dim * 2 : 0;
        b->drain += rows * (p->head_dim * 2 + 4);
    }
}

lab3_budget lab3_expect_traffic(const lab3_case *c)
{
    lab3_budget b = {0};
    bool k_outer = c->task == LAB3_K_OUTER;
    if (k_outer)
        k_outer_traffic(&b, c);
    else
        q_outer_traffic(&b, c);
    b.fill *= (int64_t)c->p.batch * c->p.num_heads;
    b.drain *= (int64_t)c->p.batch * c->p.num_heads;
    b.sram = (2 * c->t.block_m + (k_outer ? 2 : 1) * c->t.block_n) * (int64_t)c->p.head_dim * 2;
    return b;
}
