/* How the keys are cut into parts: equal splits of what a query tile sees, or equal shares of everything. */
#include "splits.h"
#include "../cpu_ref/whole.h"
#include "slots.h"

#include <stdlib.h>

enum { BLOCKS_PER_SM = 2, MOST_SPLITS = 128 };

bool tw_has_axis(const tw_schedule *schedule, tw_axis axis)
{
    for (int i = 0; i < schedule->num_launches; i++)
        if (schedule->launches[i].grid_i == axis || schedule->launches[i].grid_j == axis)
            return true;
    return false;
}

int64_t tw_blocks_at_a_time(const tw_machine *machine)
{
    return machine->num_sms >= 1 ? BLOCKS_PER_SM * (int64_t)machine->num_sms : 1;
}

/* ---- splits ------------------------------------------------------------------------------------------------- */

/* How much of all waves is work, with so many blocks and so many at a time. */
static double efficiency(int64_t blocks, int64_t at_a_time)
{
    return (double)blocks / (double)(ceil_div(blocks, at_a_time) * at_a_time);
}

/* One more split that leaves the longest as long as it was is no help. */
static bool is_shorter(int64_t tiles, int64_t splits)
{
    return splits == 1 || ceil_div(tiles, splits) < ceil_div(tiles, splits - 1);
}

static int splits_that_fill(int64_t blocks, int64_t tiles, int64_t at_a_time)
{
    const double enough = 0.85, full = 0.8;
    int64_t most = min64(min64(tiles, MOST_SPLITS), at_a_time);
    double best = 0;
    if ((double)blocks >= full * (double)at_a_time)
        return 1;
    for (int64_t n = 1; n <= most; n++)
        if (is_shorter(tiles, n) && efficiency(blocks * n, at_a_time) > best)
            best = efficiency(blocks * n, at_a_time);
    for (int64_t n = 1; n <= most; n++)
        if (is_shorter(tiles, n) && efficiency(blocks * n, at_a_time) >= enough * best)
            return (int)n;
    return 1;
}

int tw_splits_of(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                 const tw_machine *machine)
{
    int64_t tiles = ceil_div(p->seqlen_k, t->block_n), at_a_time = tw_blocks_at_a_time(machine);
    int64_t blocks = ceil_div(p->seqlen_q, t->block_m) * p->num_heads * p->batch;
    if (tw_has_axis(schedule, TW_AXIS_SHARES))
        return (int)max64(1, min64(tiles, at_a_time));
    if (!tw_has_axis(schedule, TW_AXIS_SPLITS))
        return 1;
    return t->num_splits > 0 ? t->num_splits : splits_that_fill(blocks, tiles, at_a_time);
}

tw_problem tw_problem_split(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                            const tw_machine *machine)
{
    tw_problem seen = tw_problem_seen_by(schedule, problem);
    seen.num_splits = tw_splits_of(schedule, &seen, tiling, machine);
    return seen;
}

tw_split tw_split_of(int64_t first, int64_t end, int index, int count)
{
    int64_t each = (end - first) / count, longer = (end - first) % count;
    int64_t begin = first + index * each + min64(index, longer);
    return (tw_split){.index = index, .count = count, .first = begin, .end = begin + each + (index < longer)};
}

/* Neighbouring rows see neighbouring keys, so the last row sees the last; a listed mask is looked at tile by tile. */
void tw_key_range(const tw_emitter *e, tw_tile rows, int64_t *first, int64_t *end)
{
    const tw_problem *p = e->problem;
    int64_t block = e->tiling->block_n, row_end = rows.row0 + rows.rows, tiles = ceil_div(p->seqlen_k, block);
    int64_t from = 0, to = tiles;
    if (rows.rows > 0 && !e->map.kind && tw_mask_is_on(p)) {
        from = min64(tiles, tw_mask_next_key(p, rows.row0, row_end, 0) / block);
        to = ceil_div(tw_problem_keys_seen(p, (int)row_end - 1), block);
    }
    for (bool empty = true; from < to && empty; from += empty)
        empty = tw_emitter_kind(e, rows, tw_tile_at(from, (int)block, p->seqlen_k)) == TW_TILE_EMPTY;
    for (bool empty = true; from < to && empty; to -= empty)
        empty = tw_emitter_kind(e, rows, tw_tile_at(to - 1, (int)block, p->seqlen_k)) == TW_TILE_EMPTY;
    *first = from;
    *end = max64(from, to);
}

/* ---- shares ------------------------------------------------------------------------------------------------- */

tw_status tw_shares_add(tw_shares *s, tw_work_item item)
{
    if (s->num_items == s->capacity) {
        int64_t capacity = s->capacity > 0 ? 2 * s->capacity : 64;
        tw_work_item *grown = realloc(s->items, (size_t)capacity * sizeof *grown);
        if (!grown)
            return tw_fail(TW_ENOMEM, "no memory to share %lld query tiles", (long long)capacity);
        s->items = grown;
        s->capacity = capacity;
    }
    item.before = s->total;
    s->items[s->num_items++] = item;
    s->total += max64(1, item.end - item.first);
    return TW_OK;
}

int64_t tw_share_begin(const tw_shares *s, int64_t block)
{
    return block * (s->total / s->blocks) + min64(block, s->total % s->blocks);
}

int64_t tw_share_of(const tw_shares *s, int64_t tile)
{
    int64_t each = s->total / s->blocks, longer = s->total % s->blocks;
    return tile < longer * (each + 1) ? tile / (each + 1) : longer + (tile - longer * (each + 1)) / each;
}

tw_split tw_share_part(const tw_shares *s, const tw_work_item *item, int64_t block)
{
    int64_t behind = item->before + max64(1, item->end - item->first);
    int64_t first_block = tw_share_of(s, item->before), last_block = tw_share_of(s, behind - 1);
    int64_t begin = max64(tw_share_begin(s, block), item->before);
    int64_t end = min64(tw_share_begin(s, block + 1), behind);
    return (tw_split){.index = (int)(block - first_block),
                      .count = (int)(last_block - first_block + 1),
                      .first = item->first + begin - item->before,
                      .end = min64(item->end, item->first + end - item->before)};
}

void tw_shares_free(tw_shares *s)
{
    free(s->items);
    *s = (tw_shares){.items = NULL};
}
