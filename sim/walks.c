/* Walks: which tiles a schedule visits, and how often each stands for its equals. */
#include "slots.h"

#include "../cpu_ref/whole.h"

/* Tile `index` of an axis of `length` rows, cut at its end. */
tw_tile tw_tile_at(int64_t index, int block, int64_t length)
{
    int64_t row0 = index * block;
    return (tw_tile){
        .index = index, .row0 = row0, .rows = (int)min64(block, length - row0), .box_rows = block, .run = 1};
}

static tw_tile whole_axis(int64_t length)
{
    return tw_tile_at(0, (int)length, length);
}

tw_tile tw_all_queries(const tw_emitter *e)
{
    return whole_axis(e->problem->seqlen_q);
}

tw_tile tw_all_ranks(const tw_emitter *e)
{
    return whole_axis(e->problem->rank);
}

tw_tile tw_all_keys(const tw_emitter *e)
{
    return whole_axis(e->problem->seqlen_k);
}

/* ---- walks ---------------------------------------------------------------------------------------------- */

/* Is this one whole tile of the map's axis, or the last one, which may be shorter? */
static bool is_tile_of(tw_tile tile, int block, int64_t length)
{
    return tile.row0 % block == 0 && tile.rows == min64(block, length - tile.row0);
}

/* Of a list of tiles: does any query tile see this tile of keys? */
static tw_tile_kind kind_of_column(const tw_emitter *e, tw_tile cols)
{
    const tw_tile_map *map = &e->map;
    bool all = true;
    int64_t visited = 0;
    for (int64_t row = 0; row < map->rows; row++) {
        tw_tile_kind kind = tw_tile_map_kind(map, e->head, row, cols.row0 / map->block_n);
        all = all && kind == TW_TILE_FULL;
        visited += kind != TW_TILE_EMPTY;
    }
    return all ? TW_TILE_FULL : visited > 0 ? TW_TILE_PARTIAL : TW_TILE_EMPTY;
}

tw_tile_kind tw_emitter_kind(const tw_emitter *e, tw_tile rows, tw_tile cols)
{
    const tw_problem *p = e->problem;
    const tw_tile_map *map = &e->map;
    if (map->kind && is_tile_of(cols, map->block_n, p->seqlen_k)) {
        if (is_tile_of(rows, map->block_m, p->seqlen_q))
            return tw_tile_map_kind(map, e->head, rows.row0 / map->block_m, cols.row0 / map->block_n);
        if (rows.row0 == 0 && rows.rows == p->seqlen_q)
            return kind_of_column(e, cols);
    }
    return tw_mask_tile(p, e->batch, e->head, rows.row0, rows.row0 + rows.rows, cols.row0,
                        cols.row0 + cols.rows);
}

int tw_heads_of_a_group(const tw_problem *problem)
{
    return problem->num_heads / problem->num_heads_kv;
}

bool tw_is_seen(tw_emitter *e, tw_tile keys)
{
    bool several = e->launch->per_kv_head && tw_mask_differs_by_head(e->problem), seen = false;
    int first = e->head, end = first + (several ? tw_heads_of_a_group(e->problem) : 1);
    for (e->head = first; e->head < end && !seen && e->problem->seqlen_q > 0; e->head++)
        seen = tw_emitter_kind(e, tw_all_queries(e), keys) != TW_TILE_EMPTY;
    e->head = first;
    return seen;
}

/* Are keys walked over for several query heads at once, that see different ones? */
static bool for_any_head(const tw_walk *walk)
{
    const tw_launch *launch = walk->e->launch;
    return !walk->over_queries && launch && launch->per_kv_head && tw_mask_differs_by_head(walk->e->problem);
}

static tw_tile_kind kind_at(const tw_walk *walk, int64_t index)
{
    tw_tile tile = tw_tile_at(index, walk->block, walk->length);
    if (walk->everything)
        return TW_TILE_FULL;
    if (for_any_head(walk))
        return tw_is_seen(walk->e, tile) ? TW_TILE_PARTIAL : TW_TILE_EMPTY;
    return walk->over_queries ? tw_emitter_kind(walk->e, tile, walk->across)
                              : tw_emitter_kind(walk->e, walk->across, tile);
}

/* How many whole, full tiles lie one behind the other from `index` on; 0 if that is none. */
static int64_t run_length(const tw_walk *walk, int64_t index)
{
    const tw_problem *p = walk->e->problem;
    int64_t begin = walk->across.row0, end = begin + walk->across.rows, whole = walk->length / walk->block;
    int64_t from = index, reach = min64(walk->length, walk->end * walk->block);
    if (walk->e->map.kind && !walk->everything) {
        while (index < min64(whole, walk->end) && kind_at(walk, index) == TW_TILE_FULL)
            index++;
        return index - from;
    }
    if (!walk->everything)
        reach = walk->over_queries ? tw_mask_rows_end(p, begin, end, index * walk->block)
                                   : tw_mask_keys_end(p, begin, end, index * walk->block);
    return max64(0, min64(min64(reach / walk->block, whole), walk->end) - from);
}

/* Does the walk visit tiles of this kind? */
static bool wanted(const tw_walk *walk, tw_tile_kind kind)
{
    return walk->only == TW_TILE_EMPTY ? kind != TW_TILE_EMPTY : kind == walk->only;
}

/* The first tile behind an empty one that may not be empty; the end if there is none. */
static int64_t behind_empty(const tw_walk *walk, int64_t index)
{
    const tw_problem *p = walk->e->problem;
    int64_t begin = walk->across.row0, end = begin + walk->across.rows, from = (index + 1) * walk->block;
    if (from >= walk->length)
        return walk->end;
    int64_t next = walk->over_queries ? tw_mask_next_row(p, begin, end, from)
                                      : tw_mask_next_key(p, begin, end, from);
    return next < walk->length ? next / walk->block : walk->end;
}

/* The first tile from `index` on that is visited; the end if there is none. */
static int64_t next_visited(const tw_walk *walk, int64_t index)
{
    while (index < walk->end) {
        tw_tile_kind kind = kind_at(walk, index);
        if (wanted(walk, kind))
            return index;
        index = kind == TW_TILE_EMPTY  ? behind_empty(walk, index)
                : kind == TW_TILE_FULL ? index + max64(1, run_length(walk, index))
                                       : index + 1;
    }
    return walk->end;
}

/* The same going back; less than the first if there is none. */
static int64_t previous_visited(const tw_walk *walk, int64_t index)
{
    while (index >= walk->first && !wanted(walk, kind_at(walk, index)))
        index--;
    return index;
}

/* Tiles that the walk finds in its row, or column, of the list. */
static int64_t number_listed(const tw_walk *walk)
{
    int64_t listed = 0;
    for (int64_t i = walk->first; i < walk->end; i++)
        listed += wanted(walk, kind_at(walk, i));
    return listed;
}

/* A walk whose tiles must be listed reads its row, or column, of the list; a walk along the whole of the other axis
 * finds its tiles as the rows of the list that have any. */
static void load_list(tw_walk *walk)
{
    tw_emitter *e = walk->e;
    const tw_problem *p = e->problem;
    bool one_tile = walk->over_queries ? is_tile_of(walk->across, e->map.block_n, p->seqlen_k)
                                       : is_tile_of(walk->across, e->map.block_m, p->seqlen_q);
    bool single = (walk->over_queries ? e->map.cols : e->map.rows) == 1;
    if (one_tile || single)
        walk->list = tw_load_list(e, walk->across.index, number_listed(walk), walk->only, walk->over_queries);
}

bool tw_pages_are_alike(const tw_emitter *e)
{
    int size = e->problem->page_size;
    return size == 0 || e->tiling->block_n % size == 0;
}

/* Sums do not depend on the order, and runs of equal tiles are found going forward. */
static bool goes_backward(const tw_emitter *e, tw_tile rows)
{
    return !e->backend->merges && tw_kv_order_is_backward(e->tiling->kv_order, rows.index);
}

/* The first tile of a walk over tiles [first, end). */
static tw_walk start(tw_walk walk)
{
    tw_emitter *e = walk.e;
    if (walk.across.rows == 0 && !walk.everything)
        walk.end = walk.first; /* nobody there to see, or to be seen */
    if (e->map.kind && !walk.everything)
        load_list(&walk);
    walk.next = walk.backward ? previous_visited(&walk, walk.end - 1) : next_visited(&walk, walk.first);
    return walk;
}

static tw_walk begin_walk(tw_emitter *e, tw_tile across, bool over_queries, bool everything,
                          tw_tile_kind only)
{
    int block = over_queries ? e->tiling->block_m : e->tiling->block_n;
    int64_t length = over_queries ? e->problem->seqlen_q : e->problem->seqlen_k;
    return (tw_walk){.e = e,
                     .across = across,
                     .over_queries = over_queries,
                     .everything = everything,
                     .only = only,
                     .backward = !over_queries && !everything && goes_backward(e, across),
                     .end = ceil_div(length, block),
                     .length = length,
                     .block = block,
                     .outer_times = e->times,
                     .list = {-1}};
}

tw_walk tw_walk_all_keys(tw_emitter *e)
{
    return start(begin_walk(e, tw_all_queries(e), false, true, TW_TILE_EMPTY));
}

tw_walk tw_walk_all_queries(tw_emitter *e)
{
    return start(begin_walk(e, tw_all_keys(e), true, true, TW_TILE_EMPTY));
}

tw_walk tw_walk_keys(tw_emitter *e, tw_tile rows)
{
    return start(begin_walk(e, rows, false, false, TW_TILE_EMPTY));
}

tw_walk tw_walk_keys_of(tw_emitter *e, tw_tile rows, tw_tile_kind kind)
{
    return start(begin_walk(e, rows, false, false, kind));
}

tw_walk tw_walk_queries(tw_emitter *e, tw_tile cols)
{
    return start(begin_walk(e, cols, true, false, TW_TILE_EMPTY));
}

tw_walk tw_walk_part(tw_emitter *e, tw_tile rows)
{
    tw_walk walk = begin_walk(e, rows, false, false, TW_TILE_EMPTY);
    walk.first = e->part.first;
    walk.end = e->part.end;
    return start(walk);
}

/* Goes on from the tile that was just visited: where counting, together with those that equal it. */
static void advance(tw_walk *walk)
{
    if (walk->backward) {
        walk->next = previous_visited(walk, walk->next - 1);
        walk->is_last = walk->next < walk->first;
        return;
    }
    if (walk->e->backend->merges && !walk->is_first && (walk->over_queries || tw_pages_are_alike(walk->e)))
        walk->tile.run = max64(1, run_length(walk, walk->next));
    walk->next = next_visited(walk, walk->next + walk->tile.run);
    walk->is_last = walk->next >= walk->end;
    if (walk->is_last && walk->tile.run > 1) { /* the last tile is visited by itself */
        walk->tile.run--;
        walk->is_last = false;
        walk->next = walk->tile.index + walk->tile.run;
    }
}

bool tw_step(tw_walk *walk)
{
    tw_emitter *e = walk->e;
    bool listed = walk->list.id >= 0,
         over = walk->backward ? walk->next < walk->first : walk->next >= walk->end;
    bool more = !over && e->status == TW_OK;
    e->times = walk->outer_times;
    if (listed)
        tw_slot_read(e, walk->list);
    if (over && listed)
        tw_release(e, walk->list);
    e->open_walks += more - walk->open;
    walk->open = more;
    if (!more || e->status != TW_OK)
        return false;
    walk->tile = tw_tile_at(walk->next, walk->block, walk->length);
    walk->is_first = !walk->begun;
    walk->begun = true;
    advance(walk);
    e->times = walk->outer_times * walk->tile.run;
    return true;
}

/* ---- columns --------------------------------------------------------------------------------------------- */

tw_columns tw_walk_columns(tw_emitter *e, tw_tensor tensor)
{
    int64_t width = tw_tensor_shape_of(tensor, e->problem).cols;
    int block = e->tiling->block_d > 0 ? e->tiling->block_d : (int)width;
    return (tw_columns){.e = e, .width = width, .block = block};
}

bool tw_next_columns(tw_columns *columns)
{
    bool more = columns->next * columns->block < columns->width && columns->e->status == TW_OK;
    columns->e->open_walks += more - (columns->next > 0);
    if (!more)
        return false;
    columns->tile = tw_tile_at(columns->next++, columns->block, columns->width);
    return true;
}

/* ---- the heads of a group --------------------------------------------------------------------------------- */

tw_group tw_walk_group(tw_emitter *e, tw_block b)
{
    if (!e->launch->per_kv_head)
        tw_rule_broken(e, "only a launch per_kv_head works for a group of heads", e->launch->name);
    return (tw_group){.block = b,
                      .e = e,
                      .first = b.head,
                      .next = b.head,
                      .end = b.head + tw_heads_of_a_group(e->problem),
                      .outer_times = e->times};
}

bool tw_next_head(tw_group *group)
{
    tw_emitter *e = group->e;
    bool alike = e->backend->merges && !tw_mask_differs_by_head(e->problem);
    e->times = group->outer_times;
    if (group->next >= group->end || e->status != TW_OK) {
        e->head = group->first;
        return false;
    }
    group->block.head = e->head = group->next;
    if (alike)
        e->times *= group->end - group->next;
    group->next = alike ? group->end : group->next + 1;
    return true;
}

void tw_at_tile(tw_walk *walk, tw_tile tile)
{
    walk->e->times = walk->outer_times * tile.run;
}
