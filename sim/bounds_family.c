/* Closed forms of algorithms for special places: small SRAM, short windows, several devices. From the papers. */
#include "bounds_parts.h"
#include "slots.h"

#include <string.h>

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

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
    else
        return false;
    return true;
}
