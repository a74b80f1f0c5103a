/*
 * Launches whose blocks take equal shares of all work, whatever head or sequence it belongs to (stream-K). The block
 * function is called for each query tile, or part of one, of a share.
 *
 * A query tile is finished by the block that has its first key tile, from what the blocks behind it leave in HBM: on a
 * GPU it waits for them. Here blocks run in descending order, so that they are there.
 */
#include "emitter.h"
#include "splits.h"

static int64_t query_tiles(const tw_emitter *e)
{
    return (e->problem->seqlen_q + e->tiling->block_m - 1) / e->tiling->block_m;
}

static tw_tile query_tile(const tw_emitter *e, int64_t index)
{
    return tw_tile_at(index, e->tiling->block_m, e->problem->seqlen_q);
}

static tw_status add_sequence(tw_shares *shares, tw_emitter *e, int batch)
{
    for (int head = 0; head < e->problem->num_heads; head++)
        for (int64_t i = 0; i < query_tiles(e); i++) {
            tw_work_item item = {.batch = batch, .head = head, .tile = i};
            e->head = head;
            tw_key_range(e, query_tile(e, i), &item.first, &item.end);
            TW_TRY(tw_shares_add(shares, item));
        }
    return TW_OK;
}

static tw_status collect(tw_shares *shares, tw_emitter *e)
{
    for (int batch = 0; batch < e->whole->batch; batch++) {
        tw_problem view;
        tw_status status = tw_enter_sequence(e, &view, batch);
        e->batch = batch;
        if (status == TW_OK)
            status = add_sequence(shares, e, batch);
        tw_leave_sequence(e);
        TW_TRY(status);
    }
    int64_t most = tw_blocks_at_a_time(e->machine);
    shares->blocks = shares->total < most ? shares->total : most;
    return TW_OK;
}

/* The sequence that the emitter is in; −1: none. */
typedef struct place {
    tw_problem view;
    int batch;
} place;

static tw_status go_to(place *at, tw_emitter *e, int batch)
{
    if (at->batch == batch)
        return TW_OK;
    if (at->batch >= 0)
        tw_leave_sequence(e);
    at->batch = batch;
    return tw_enter_sequence(e, &at->view, batch);
}

/* What of an item belongs to a block. */
static tw_status run_part(place *at, tw_emitter *e, const tw_shares *shares, const tw_work_item *item,
                          int64_t block)
{
    TW_TRY(go_to(at, e, item->batch));
    e->batch = item->batch;
    e->head = item->head;
    e->times = 1;
    e->part = tw_share_part(shares, item, block);
    return tw_run_block(e, (tw_block){.batch = item->batch,
                                      .head = item->head,
                                      .i = query_tile(e, item->tile),
                                      .j = tw_tile_at(e->part.index, 1, e->part.count)});
}

/* Who counts wants all of a head together, and asks for nothing else. */
static tw_status run_by_item(place *at, tw_emitter *e, const tw_shares *shares)
{
    for (int64_t n = 0; n < shares->num_items; n++) {
        const tw_work_item *item = &shares->items[n], *next = n + 1 < shares->num_items ? item + 1 : NULL;
        int64_t behind = next ? next->before : shares->total;
        int64_t first = tw_share_of(shares, item->before), last = tw_share_of(shares, behind - 1);
        for (int64_t block = last; block >= first; block--) {
            TW_TRY(run_part(at, e, shares, item, block));
            TW_TRY(tw_end_block(e));
        }
        bool head_ends = !next || next->head != item->head || next->batch != item->batch;
        if (head_ends && e->backend->end_head)
            TW_TRY(e->backend->end_head(e->self, e, 1, 1));
    }
    return TW_OK;
}

/* The last item that begins at or before a tile. */
static int64_t item_at(const tw_shares *shares, int64_t tile)
{
    int64_t low = 0, high = shares->num_items;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (shares->items[middle].before <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static tw_status run_by_block(place *at, tw_emitter *e, const tw_shares *shares)
{
    for (int64_t block = shares->blocks - 1; block >= 0; block--) {
        int64_t end = tw_share_begin(shares, block + 1);
        tw_tile whole = tw_tile_at(block, 1, shares->blocks), none = tw_tile_at(0, 1, 1);
        if (e->backend->wants && !e->backend->wants(e->self, e, whole, none))
            continue;
        for (int64_t n = item_at(shares, tw_share_begin(shares, block));
             n < shares->num_items && shares->items[n].before < end; n++)
            TW_TRY(run_part(at, e, shares, &shares->items[n], block));
        TW_TRY(tw_end_block(e));
    }
    return TW_OK;
}

tw_status tw_run_shares(tw_emitter *e)
{
    tw_shares shares = {.items = NULL};
    place at = {.batch = -1};
    tw_status status = collect(&shares, e);
    if (status == TW_OK && shares.total > 0)
        status = e->backend->merges ? run_by_item(&at, e, &shares) : run_by_block(&at, e, &shares);
    if (at.batch >= 0)
        tw_leave_sequence(e);
    tw_shares_free(&shares);
    return status;
}
