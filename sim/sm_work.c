/* Blocks are dealt to SMs as the hardware, or a persistent kernel, deals them; one SM is looked at, the busiest. */
#include "sm_work.h"

#include "../cpu_ref/whole.h"
#include "splits.h"

#include <math.h>
#include <stdlib.h>

/* What a query tile takes beside its key tiles, counted in key tiles: good enough to say who is free first. */
static const double ends_in_tiles = 1.5;

enum { MOST_BLOCKS = 1 << 24, HEADS_IN_L2_BYTES = 32 << 20 };

typedef struct grid {
    int64_t rows, cols; /* tiles of the two axes */
    int64_t heads;      /* of all batch elements */
    int64_t section;    /* heads that are worked on together, where the order has sections */
} grid;

static int64_t axis_tiles(const tw_play *play, tw_axis axis)
{
    const tw_problem *p = play->problem;
    switch (axis) {
    case TW_AXIS_Q_TILES:
        return ceil_div(p->seqlen_q, play->tiling->block_m);
    case TW_AXIS_Q_ROWS:
        return p->seqlen_q;
    case TW_AXIS_K_TILES:
        return ceil_div(p->seqlen_k, play->tiling->block_n);
    case TW_AXIS_SPLITS:
        return p->num_splits;
    default:
        return 1;
    }
}

/* As many heads as the L2 holds K and V of, a power of two; query heads that share K and V run together. */
static int64_t section_of(const tw_problem *p, int64_t heads)
{
    int64_t bytes = (int64_t)p->seqlen_k * p->head_dim * 2 * tw_dtype_bytes(p->dtype), section = 1;
    while (2 * section * bytes <= HEADS_IN_L2_BYTES)
        section *= 2;
    section *= p->num_heads / p->num_heads_kv;
    return section < heads ? section : heads;
}

/* Blocks that share all work: as many as run at a time, where there are tiles for all of them. */
static int64_t shares_of(const tw_play *play, int64_t heads)
{
    int64_t tiles = axis_tiles(play, TW_AXIS_Q_TILES) * axis_tiles(play, TW_AXIS_K_TILES) * heads;
    int64_t most = tw_blocks_at_a_time(play->machine);
    return tiles < most ? tiles : most;
}

static grid grid_of(const tw_play *play)
{
    const tw_launch *launch = &play->schedule->launches[play->launch];
    grid g = {.rows = axis_tiles(play, launch->grid_i),
              .cols = axis_tiles(play, launch->grid_j),
              .heads = (int64_t)play->problem->num_heads * play->problem->batch};
    if (launch->grid_i == TW_AXIS_SHARES) /* of all heads together */
        g.rows = shares_of(play, g.heads), g.heads = 1;
    g.section = section_of(play->problem, g.heads);
    return g;
}

/* Do blocks take different times under the mask? A row by itself is read whole, whatever the mask hides of it. */
static bool differ(const tw_play *play)
{
    const tw_launch *launch = &play->schedule->launches[play->launch];
    return launch->blocks_differ && launch->grid_i != TW_AXIS_Q_ROWS && launch->grid_i != TW_AXIS_SHARES &&
           tw_mask_is_on(play->problem);
}

/* The n-th block that is handed out. */
static tw_block_index block_at(const tw_play *play, const grid *g, int64_t n)
{
    int64_t tiles = g->rows * g->cols, tile = n % tiles;
    tw_deal deal = play->build->deal;
    if (deal == TW_DEAL_DESCENDING)
        tile = tiles - 1 - tile;
    if (differ(play) && (deal == TW_DEAL_SNAKE || deal == TW_DEAL_DYNAMIC)) {
        int64_t first = n / (g->section * tiles) * g->section;
        int64_t in_section = g->heads - first < g->section ? g->heads - first : g->section;
        tile = tiles - 1 - (n - first * tiles) / in_section;
    }
    return (tw_block_index){(int)(tile / g->cols), (int)(tile % g->cols)};
}

/* Key tiles that a block visits, and what its beginning and end take. */
static double duration(const tw_play *play, tw_block_index b)
{
    const tw_problem *p = play->problem;
    int64_t last = ((int64_t)b.i + 1) * play->tiling->block_m;
    if (!differ(play) || play->schedule->launches[play->launch].grid_i != TW_AXIS_Q_TILES)
        return 1;
    if (last > p->seqlen_q)
        last = p->seqlen_q;
    int64_t keys = tw_problem_keys_seen(p, (int)last - 1);
    return (double)ceil_div(keys, play->tiling->block_n) + ends_in_tiles;
}

/* ---- dealing -------------------------------------------------------------------------------------------- */

/* Slots of all SMs, a heap by when they are free; the SM of slot s is s mod SMs, so that SMs fill up evenly. */
typedef struct slots {
    double *free_at;
    int *heap;
    int count;
} slots;

static bool sooner(const slots *s, int a, int b)
{
    return s->free_at[a] < s->free_at[b] || (a < b && s->free_at[a] == s->free_at[b]);
}

static void sink(slots *s, int at)
{
    for (int child; (child = 2 * at + 1) < s->count; at = child) {
        if (child + 1 < s->count && sooner(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!sooner(s, s->heap[child], s->heap[at]))
            return;
        int swapped = s->heap[at];
        s->heap[at] = s->heap[child];
        s->heap[child] = swapped;
    }
}

/* Which SM takes block n: the one that is free first, or the one whose turn it is. */
static int taker(const tw_play *play, slots *s, int64_t n, int sms, double takes)
{
    tw_deal deal = play->build->deal;
    int64_t turn = n / sms, in_turn = n % sms;
    if (deal == TW_DEAL_STRIDE)
        return (int)in_turn;
    if (deal == TW_DEAL_SNAKE)
        return (int)(differ(play) && turn % 2 == 1 ? sms - 1 - in_turn : in_turn);
    int slot = s->heap[0];
    s->free_at[slot] += takes;
    sink(s, 0);
    return slot % sms;
}

/* Blocks of each SM: how many, how much, and, in a second round over the same deal, those of `wanted`. */
typedef struct dealt {
    double *work;
    int *count;
    tw_block_index *blocks;
    int wanted, filled;
} dealt;

static void deal_all(dealt *d, const tw_play *play, const grid *g, slots *s, int sms, int64_t total)
{
    for (int i = 0; i < s->count; i++) {
        s->free_at[i] = 0;
        s->heap[i] = i;
    }
    for (int64_t n = 0; n < total; n++) {
        tw_block_index b = block_at(play, g, n);
        double takes = duration(play, b);
        int sm = taker(play, s, n, sms, takes);
        d->work[sm] += takes;
        d->count[sm]++;
        if (d->blocks && sm == d->wanted)
            d->blocks[d->filled++] = b;
    }
}

static int busiest(const dealt *d, int sms)
{
    int most = 0;
    for (int i = 1; i < sms; i++)
        if (d->work[i] > d->work[most])
            most = i;
    return most;
}

static tw_status deal(tw_sm_work *work, dealt *d, slots *s, const tw_play *play, const grid *g, int64_t total)
{
    int sms = (int)play->machine->num_sms;
    double all = 0;
    if (!d->work || !d->count || !s->free_at || !s->heap)
        return tw_fail(TW_ENOMEM, "no memory to deal %lld blocks", (long long)total);
    deal_all(d, play, g, s, sms, total);
    for (int i = 0; i < sms; i++) {
        work->active_sms += d->count[i] > 0;
        all += d->work[i];
    }
    d->wanted = busiest(d, sms);
    work->mean_share = d->work[d->wanted] > 0 ? all / (sms * d->work[d->wanted]) : 1;
    work->num_blocks = d->count[d->wanted];
    d->blocks = malloc(((size_t)work->num_blocks + 1) * sizeof *d->blocks);
    if (!d->blocks)
        return tw_fail(TW_ENOMEM, "no memory for %d blocks", work->num_blocks);
    for (int i = 0; i < sms; i++)
        d->work[i] = d->count[i] = 0;
    deal_all(d, play, g, s, sms, total);
    work->blocks = d->blocks;
    return TW_OK;
}

/* Blocks that are alike go round: the first SM has one more than the last, or as many. */
static tw_status deal_alike(tw_sm_work *work, const tw_play *play, const grid *g, int64_t total)
{
    int64_t sms = (int64_t)play->machine->num_sms, count = ceil_div(total, sms);
    *work = (tw_sm_work){.all_alike = true,
                         .num_blocks = (int)count,
                         .active_sms = (int)(total < sms ? total : sms),
                         .mean_share = (double)total / (double)(count * sms),
                         .blocks = malloc((size_t)count * sizeof *work->blocks)};
    if (!work->blocks)
        return tw_fail(TW_ENOMEM, "no memory for %lld blocks", (long long)count);
    for (int64_t n = 0; n < count; n++)
        work->blocks[n] = block_at(play, g, n * sms);
    return TW_OK;
}

tw_status tw_sm_work_deal(tw_sm_work *work, const tw_play *play)
{
    grid g = grid_of(play);
    int sms = (int)play->machine->num_sms;
    int64_t total = ceil_div(g.rows * g.cols * g.heads, tw_play_rows(play));
    tw_sm_work result = {.all_alike = false};
    if (total > (int64_t)MOST_BLOCKS * (differ(play) ? 1 : sms))
        return tw_fail(TW_EOVERFLOW, "%lld blocks are too many to be dealt, it must be at most %lld",
                       (long long)total, (long long)MOST_BLOCKS * (differ(play) ? 1 : sms));
    if (!differ(play))
        return deal_alike(work, play, &g, total);
    slots s = {.count = sms * tw_play_blocks(play)};
    s.free_at = calloc((size_t)s.count, sizeof *s.free_at);
    s.heap = calloc((size_t)s.count, sizeof *s.heap);
    dealt d = {.work = calloc((size_t)sms, sizeof *d.work), .count = calloc((size_t)sms, sizeof *d.count)};
    tw_status status = deal(&result, &d, &s, play, &g, total);
    free(s.free_at);
    free(s.heap);
    free(d.work);
    free(d.count);
    if (status == TW_OK)
        *work = result;
    return status;
}

void tw_sm_work_free(tw_sm_work *work)
{
    free(work->blocks);
    *work = (tw_sm_work){.blocks = NULL};
}

/* ---- memory --------------------------------------------------------------------------------------------- */

/* How often a launch asks for each byte of a tensor: once a block that wants it. */
static double times_asked(const tw_play *play, const grid *g, tw_tensor tensor)
{
    const tw_launch *launch = &play->schedule->launches[play->launch];
    double group = (double)play->problem->num_heads / play->problem->num_heads_kv;
    double seen = differ(play) ? 0.5 : 1.0; /* of the tiles of the other axis, under a causal mask */
    bool keys = tensor == TW_K || tensor == TW_V;
    if (launch->grid_i ==
        TW_AXIS_NONE) /* FlashAttention 1: everything that belongs to queries, once a key tile */
        return keys ? group
                    : fmax(1, seen * (double)ceil_div(play->problem->seqlen_k, play->tiling->block_n));
    if (keys)
        return group * fmax(1, seen * (double)axis_tiles(play, TW_AXIS_Q_TILES));
    if (tensor == TW_PAGE_TABLE) /* one for all heads */
        return (double)play->problem->num_heads * (double)axis_tiles(play, TW_AXIS_Q_TILES);
    return tensor == TW_Q ? (double)g->cols : 1;
}

/* Bytes that must stay in the L2 between one asking and the next, for all heads that are worked on at a time. */
static double bytes_between(const tw_play *play, const grid *g, tw_tensor tensor, double at_a_time)
{
    const tw_problem *p = play->problem;
    double bytes = tw_dtype_bytes(p->dtype), group = (double)p->num_heads / p->num_heads_kv;
    double tiles = (double)(g->rows * g->cols);
    if (play->schedule->launches[play->launch].grid_i == TW_AXIS_SHARES)
        tiles /= (double)p->num_heads * p->batch; /* of one head */
    double heads = ceil(at_a_time / tiles / group);
    bool queries = play->schedule->launches[play->launch].grid_i == TW_AXIS_NONE && tensor != TW_K &&
                   tensor != TW_V;
    return queries ? at_a_time * p->seqlen_q * (2.0 * p->head_dim * bytes + 8)
                   : heads * p->seqlen_k * 2.0 * p->head_dim * bytes;
}

/* Partial results were written just before: are they still in the L2? */
static bool parts_stay(const tw_play *play, double side)
{
    const tw_problem *p = play->problem;
    double rows = (double)p->seqlen_q * p->num_heads * p->batch * p->num_splits;
    return rows * (tw_problem_head_dim_v(p) + 1) * 4 <= side;
}

/* Of a tensor's bytes, those that HBM delivers. Where several ask for a tile at a time, one of them waits for HBM. */
static void share_of(tw_play *play, const grid *g, tw_tensor tensor, double at_a_time)
{
    double side = play->machine->l2_side_bytes > 0 ? play->machine->l2_side_bytes
                                                   : play->machine->l2_bytes / 2;
    if (tensor == TW_O_PART || tensor == TW_LSE_PART) {
        play->hbm_share[tensor] = parts_stay(play, side) ? 0 : 1;
        return;
    }
    double asked = times_asked(play, g, tensor);
    bool queries = play->schedule->launches[play->launch].grid_i == TW_AXIS_NONE;
    double together = queries ? 1 : fmin(asked, at_a_time); /* in step, so that one fetch serves them all */
    bool stays = bytes_between(play, g, tensor, at_a_time) <= side;
    play->hbm_share[tensor] = 1 / (stays ? asked : together);
}

/* HBM turns from reading to writing: measured for as much of one as of the other, nothing for one alone. */
static double hbm_rate(const tw_machine *m, double read, double written)
{
    double share = written / (read + written);
    double apart = 1 / ((1 - share) / m->hbm_read_bytes_per_s + share / m->hbm_write_bytes_per_s);
    double half = 2 / (1 / m->hbm_read_bytes_per_s + 1 / m->hbm_write_bytes_per_s);
    double loss = m->hbm_copy_bytes_per_s > 0 ? half / m->hbm_copy_bytes_per_s - 1 : 0;
    return apart / (1 + 4 * share * (1 - share) * loss);
}

void tw_sm_work_memory(tw_play *play, const tw_sm_work *work, const tw_counts *counts, double kv_hit_rate)
{
    grid g = grid_of(play);
    double at_a_time = (double)work->active_sms * tw_play_blocks(play);
    double blocks = (double)g.rows * (double)g.cols * (double)g.heads;
    at_a_time = fmin(at_a_time, blocks);
    for (int t = 0; t < TW_NUM_TENSORS; t++)
        share_of(play, &g, (tw_tensor)t, at_a_time);
    for (int t = TW_K; t <= TW_V && kv_hit_rate >= 0; t++)
        play->hbm_share[t] = 1 - kv_hit_rate;
    play->active_sms = work->active_sms;
    play->hbm_bytes_per_s = hbm_rate(play->machine, (double)counts->hbm_read_bytes,
                                     (double)counts->hbm_write_bytes);
    play->same_order = times_asked(play, &g, TW_K) > 1;
}
