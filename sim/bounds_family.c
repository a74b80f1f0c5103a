/* Closed forms of algorithms for special places: small SRAM, short windows, several devices. From the papers. */
#include "bounds_parts.h"
#include "../cpu_ref/whole.h"
#include "slots.h"

#include <string.h>

/* Most buckets that a closed form is for. */
#define TW_MOST_BUCKETS 256

/* Tc (N (d + d_v) + N d_v) + Tr N (d + d_v) + N: Q, O in and O out for every tile of S; K, V in. */
static tw_traffic square_tiles(const tw_problem *p, const tw_tiling *t)
{
    int64_t d = p->head_dim, d_v = tw_problem_head_dim_v(p), q_rows = 0, keys = 0, scores = 0, indices = 0,
            blocks = 0;
    for (int64_t row = 0; row < p->seqlen_q; row += t->block_m) {
        int64_t end = min64(row + t->block_m, p->seqlen_q);
        tw_loaded seen = tw_bounds_keys_loaded(p, t, row, end);
        q_rows += seen.tiles * (end - row);
        keys += seen.rows;
        scores += seen.rows * (end - row);
        indices += 2 + seen.tiles;
        blocks++;
    }
    tw_traffic one = {.fill = (q_rows + keys) * (d + d_v),
                      .fill_stats = p->mask.blocks ? indices : 0,
                      .drain = q_rows * d_v,
                      .drain_stats = p->seqlen_q};
    tw_bounds_add_scoring(&one, p, scores, blocks);
    return one;
}

/* 4Nd + N: every tensor once. */
static tw_traffic flash_window(const tw_problem *p)
{
    int64_t d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    tw_traffic one = {.fill = p->seqlen_q * d + p->seqlen_k * (d + d_v),
                      .drain = p->seqlen_q * d_v,
                      .drain_stats = p->seqlen_q};
    tw_bounds_add_scoring(&one, p, (int64_t)p->seqlen_q * p->seqlen_k, 1);
    return one;
}

/* Σ over parts of keys, and over query tiles that see any of them: Q, O, m, l in and O, m, l out, K and V of the tiles. */
static tw_traffic ring(const tw_problem *p, const tw_tiling *t, tw_sharing spread)
{
    int64_t d = p->head_dim, d_v = tw_problem_head_dim_v(p), keys = 0, rows = 0;
    int parts = t->parts > 1 ? t->parts : 1, devices = spread == TW_SPREAD_HOST ? 1 : parts;
    for (int pair = 0; pair < parts * devices; pair++) {
        tw_problem here = tw_problem_part(p, tw_part_of(spread, p->seqlen_q, pair / parts, devices),
                                          tw_part_of(spread, p->seqlen_k, pair % parts, parts));
        for (int64_t row = 0; row < here.seqlen_q && here.seqlen_k > 0; row += t->block_m) {
            int64_t end = min64(row + t->block_m, here.seqlen_q);
            int64_t seen = tw_bounds_keys_loaded(&here, t, row, end).rows;
            keys += seen;
            rows += seen > 0 ? end - row : 0;
        }
    }
    return (tw_traffic){.fill = rows * (d + d_v) + keys * (d + d_v),
                        .fill_stats = 2 * rows,
                        .drain = rows * d_v,
                        .drain_stats = 2 * rows};
}

/* Rows or keys of each bucket, one behind the other once sorted: where each begins. */
static int64_t sizes_of(int64_t *begin, const int *bucket, int rows)
{
    int64_t at = 0, count = 0;
    for (int i = 0; i < rows; i++)
        count = max64(count, bucket[i] + 1);
    for (int64_t b = 0; b <= count && b <= TW_MOST_BUCKETS; b++) {
        begin[b] = at;
        for (int i = 0; i < rows && b < count; i++)
            at += bucket[i] == b;
    }
    return count;
}

/* 2Nd and 2N indices, and for each tile of sorted rows the keys of the tiles from its first bucket's first key to its last
 * bucket's last, those of buckets without rows in it or without keys left out. No other mask. */
static tw_traffic scfa(const tw_problem *p, const tw_tiling *t)
{
    int64_t q_begin[TW_MOST_BUCKETS + 1], k_begin[TW_MOST_BUCKETS + 1], d = p->head_dim,
                                                                        d_v = tw_problem_head_dim_v(p);
    int64_t count = sizes_of(q_begin, p->mask.buckets_q, p->seqlen_q), keys = 0, tiles = 0, q_rows = 0;
    int64_t key_count = sizes_of(k_begin, p->mask.buckets_k, p->seqlen_k);
    for (int64_t row = 0; row < p->seqlen_q; row += t->block_m) {
        int64_t end = min64(row + t->block_m, p->seqlen_q), next = 0, before = keys;
        for (int64_t b = 0; b < min64(count, key_count); b++) {
            bool here = max64(q_begin[b], row) < min64(q_begin[b + 1], end) && k_begin[b] < k_begin[b + 1];
            int64_t first = max64(next, k_begin[b] / t->block_n);
            int64_t behind = (k_begin[b + 1] + t->block_n - 1) / t->block_n;
            if (!here || behind <= first)
                continue;
            keys += min64(behind * t->block_n, p->seqlen_k) - first * t->block_n;
            tiles += behind - first;
            next = behind;
        }
        q_rows += keys > before ? end - row : 0;
        tiles += 2; /* how many there are in the list, of both kinds */
    }
    return (tw_traffic){.fill = q_rows * d + keys * (d + d_v),
                        .fill_stats = 2 * q_rows + 2 * keys + tiles,
                        .drain = p->seqlen_q * d_v,
                        .drain_stats = p->seqlen_q};
}

/* Of a K/V head and the g query heads that read it: E twice, K, V in, K', V' out; then standard_tiled with r keys. */
static tw_traffic linformer(const tw_problem *p, const tw_tiling *t)
{
    int64_t nq = p->seqlen_q, nk = p->seqlen_k, r = p->rank, d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    int64_t g = p->num_heads / p->num_heads_kv, tr = (nq + t->block_m - 1) / t->block_m,
            tc = (r + t->block_n - 1) / t->block_n;
    return (tw_traffic){.fill = 2 * r * nk + nk * (d + d_v) +
                                g * (tc * nq * d + tr * r * d + 2 * nq * r + tr * r * d_v),
                        .drain = r * (d + d_v) + g * (2 * nq * r + nq * d_v)};
}

/* With buckets alone: a causal mask leaves out tiles by which there is no formula. */
static bool only_buckets(const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    bool few = m->buckets_q != NULL;
    for (int i = 0; few && i < p->seqlen_q; i++)
        few = m->buckets_q[i] < TW_MOST_BUCKETS;
    for (int i = 0; few && i < p->seqlen_k; i++)
        few = m->buckets_k[i] < TW_MOST_BUCKETS;
    return few && !p->causal && !m->window && !m->documents && !m->blocks && !m->mod;
}

bool tw_bounds_family(tw_traffic *one, const char *schedule, const tw_problem *p, const tw_tiling *t)
{
    if (strcmp(schedule, "square_tiles") == 0)
        *one = square_tiles(p, t);
    else if (strcmp(schedule, "flash_window") == 0)
        *one = flash_window(p);
    else if (strcmp(schedule, "ring") == 0)
        *one = ring(p, t, TW_SPREAD_RING);
    else if (strcmp(schedule, "ring_striped") == 0)
        *one = ring(p, t, TW_SPREAD_STRIPED);
    else if (strcmp(schedule, "offload") == 0)
        *one = ring(p, t, TW_SPREAD_HOST);
    else if (strcmp(schedule, "linformer") == 0)
        *one = linformer(p, t);
    else if (strcmp(schedule, "scfa") == 0 && only_buckets(p))
        *one = scfa(p, t);
    else
        return false;
    return true;
}
