/* Launches, blocks and walks: which tiles a schedule visits, and how often each stands for its equals. */
#include "slots.h"

#include <string.h>

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Tile `index` of an axis of `length` rows, cut at its end. */
static tw_tile tile_at(int64_t index, int block, int64_t length)
{
    int64_t row0 = index * block;
    return (tw_tile){
        .index = index, .row0 = row0, .rows = (int)min64(block, length - row0), .box_rows = block, .run = 1};
}

static tw_tile whole_axis(int64_t length)
{
    return tile_at(0, (int)length, length);
}

tw_tile tw_all_queries(const tw_emitter *e)
{
    return whole_axis(e->problem->seqlen_q);
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

static tw_tile_kind kind_at(const tw_walk *walk, int64_t index)
{
    tw_tile tile = tile_at(index, walk->block, walk->length);
    if (walk->everything)
        return TW_TILE_FULL;
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
        while (index < whole && kind_at(walk, index) == TW_TILE_FULL)
            index++;
        return index - from;
    }
    if (!walk->everything)
        reach = walk->over_queries ? tw_mask_rows_end(p, begin, end, index * walk->block)
                                   : tw_mask_keys_end(p, begin, end, index * walk->block);
    return max64(0, min64(reach / walk->block, whole) - from);
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

/* Tiles that the walk finds in its row, or column, of the list. */
static int64_t number_listed(const tw_walk *walk)
{
    int64_t listed = 0;
    for (int64_t i = 0; i < walk->end; i++)
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

static tw_walk begin_walk(tw_emitter *e, tw_tile across, bool over_queries, bool everything,
                          tw_tile_kind only)
{
    int block = over_queries ? e->tiling->block_m : e->tiling->block_n;
    int64_t length = over_queries ? e->problem->seqlen_q : e->problem->seqlen_k;
    tw_walk walk = {.e = e,
                    .across = across,
                    .over_queries = over_queries,
                    .everything = everything,
                    .only = only,
                    .end = ceil_div(length, block),
                    .length = length,
                    .block = block,
                    .outer_times = e->times,
                    .list = {-1}};
    if (e->map.kind && !everything)
        load_list(&walk);
    walk.next = next_visited(&walk, 0);
    return walk;
}

tw_walk tw_walk_all_keys(tw_emitter *e)
{
    return begin_walk(e, tw_all_queries(e), false, true, TW_TILE_EMPTY);
}

tw_walk tw_walk_keys(tw_emitter *e, tw_tile rows)
{
    return begin_walk(e, rows, false, false, TW_TILE_EMPTY);
}

tw_walk tw_walk_keys_of(tw_emitter *e, tw_tile rows, tw_tile_kind kind)
{
    return begin_walk(e, rows, false, false, kind);
}

tw_walk tw_walk_queries(tw_emitter *e, tw_tile cols)
{
    return begin_walk(e, cols, true, false, TW_TILE_EMPTY);
}

bool tw_step(tw_walk *walk)
{
    tw_emitter *e = walk->e;
    bool more = walk->next < walk->end && e->status == TW_OK;
    e->times = walk->outer_times;
    bool listed = walk->list.id >= 0;
    if (listed)
        tw_slot_read(e, walk->list);
    if (walk->next >= walk->end && listed)
        tw_release(e, walk->list);
    e->open_walks += more - walk->open;
    walk->open = more;
    if (!more || e->status != TW_OK)
        return false;
    walk->tile = tile_at(walk->next, walk->block, walk->length);
    walk->is_first = !walk->begun;
    walk->begun = true;
    if (e->backend->merges && !walk->is_first)
        walk->tile.run = max64(1, run_length(walk, walk->next));
    walk->next = next_visited(walk, walk->next + walk->tile.run);
    walk->is_last = walk->next >= walk->end;
    if (walk->is_last && walk->tile.run > 1) { /* the last tile is visited by itself */
        walk->tile.run--;
        walk->is_last = false;
        walk->next = walk->tile.index + walk->tile.run;
    }
    e->times = walk->outer_times * walk->tile.run;
    return true;
}

void tw_at_tile(tw_walk *walk, tw_tile tile)
{
    walk->e->times = walk->outer_times * tile.run;
}

/* ---- launches ------------------------------------------------------------------------------------------- */

/* A grid axis: its tiles, and whether equal ones may stand for each other. */
typedef struct axis {
    int64_t length, count;
    int block;
} axis;

static axis axis_of(const tw_emitter *e, tw_axis which)
{
    const tw_problem *p = e->problem;
    axis a = {.length = which == TW_AXIS_K_TILES ? p->seqlen_k : p->seqlen_q};
    switch (which) {
    case TW_AXIS_NONE:
        a.block = (int)max64(1, a.length);
        break;
    case TW_AXIS_Q_TILES:
        a.block = e->tiling->block_m;
        break;
    case TW_AXIS_Q_ROWS:
        a.block = 1;
        break;
    case TW_AXIS_K_TILES:
        a.block = e->tiling->block_n;
        break;
    }
    a.count = which == TW_AXIS_NONE ? 1 : ceil_div(a.length, a.block);
    return a;
}

/* Tile `index` of the axis, with as many equals behind it as may be taken together. */
static tw_tile grid_tile(const tw_emitter *e, const axis *a, int64_t index)
{
    tw_tile tile = tile_at(index, a->block, a->length);
    bool equal = !e->launch->blocks_differ || !tw_mask_is_on(e->problem);
    if (e->backend->merges && equal)
        tile.run = max64(1, a->length / a->block - index);
    return tile;
}

static tw_status check_released(const tw_emitter *e)
{
    for (int id = 0; id < TW_MAX_SLOTS; id++)
        if (e->slots[id].live)
            return tw_fail(TW_ESCHEDULE,
                           "schedule %s, launch %s: a slot (%s) is not released at the block's end",
                           e->schedule->name, e->launch->name, tw_slot_name(&e->slots[id]));
    return TW_OK;
}

static tw_status check_walks(const tw_emitter *e)
{
    if (e->open_walks > 0)
        return tw_fail(TW_ESCHEDULE,
                       "schedule %s, launch %s: a walk is left before its end (by break or return?)",
                       e->schedule->name, e->launch->name);
    return TW_OK;
}

/* What the block held at its fullest, against what the machine has. */
static tw_status check_fits(const tw_emitter *e)
{
    if (e->schedule->ignores_sram)
        return TW_OK;
    bool gpu = e->machine->kind == TW_MACHINE_GPU;
    for (int place = 0; place < TW_NUM_PLACES; place++) {
        bool smem = place == TW_PLACE_SMEM;
        double capacity = smem ? e->machine->smem_bytes : e->machine->register_bytes_per_sm;
        double peak = (double)e->peak_bytes[place];
        if (peak > capacity)
            return tw_fail(
                TW_ESRAM, "%s with block_m %d, block_n %d needs %.0f bytes of %s, %s has %.0f: %.0f too many",
                e->schedule->name, e->tiling->block_m, e->tiling->block_n, peak,
                !gpu   ? "SRAM"
                : smem ? "shared memory"
                       : "registers",
                e->machine->name, capacity, peak - capacity);
    }
    return TW_OK;
}

static tw_status run_block(tw_emitter *e, tw_block b)
{
    memset(e->slots, 0, sizeof e->slots);
    memset(e->live_bytes, 0, sizeof e->live_bytes);
    memset(e->peak_bytes, 0, sizeof e->peak_bytes);
    e->batch = b.batch;
    e->head = b.head;
    e->agent = 0;
    e->multicast = 1;
    e->open_walks = 0;
    e->launch->block(e, e->problem, e->tiling, b);
    TW_TRY(e->status);
    TW_TRY(check_walks(e));
    TW_TRY(check_released(e));
    TW_TRY(check_fits(e));
    return e->backend->end_block ? e->backend->end_block(e->self, e) : TW_OK;
}

/* All blocks of one head of one sequence; `heads` of `batches` sequences are alike. */
static tw_status run_head(tw_emitter *e, int batch, int head, int64_t heads, int64_t batches)
{
    axis rows = axis_of(e, e->launch->grid_i), cols = axis_of(e, e->launch->grid_j);
    for (int64_t j = 0; j < cols.count;) {
        tw_tile tile_j = grid_tile(e, &cols, j);
        for (int64_t i = 0; i < rows.count;) {
            tw_tile tile_i = grid_tile(e, &rows, i);
            e->times = heads * batches * tile_i.run * tile_j.run;
            if (!e->backend->wants || e->backend->wants(e->self, e, tile_i, tile_j))
                TW_TRY(run_block(e, (tw_block){.batch = batch, .head = head, .i = tile_i, .j = tile_j}));
            i += tile_i.run;
        }
        j += tile_j.run;
    }
    e->batch = batch;
    e->head = head;
    return e->backend->end_head ? e->backend->end_head(e->self, e, heads, batches) : TW_OK;
}

/* The heads of one sequence, which `batches` sequences are like. */
static tw_status run_sequence_heads(tw_emitter *e, int batch, int64_t batches)
{
    int heads = e->problem->num_heads;
    if (e->backend->one_head)
        return run_head(e, batch, 0, 1, batches);
    if (e->backend->merges && !tw_mask_differs_by_head(e->problem))
        return run_head(e, batch, 0, heads, batches);
    for (int head = 0; head < heads; head++)
        TW_TRY(run_head(e, batch, head, 1, batches));
    return TW_OK;
}

/* One sequence, as the schedule sees it: by itself, packed if it packs, its tiles listed if the mask must be. */
static tw_status run_sequence(tw_emitter *e, int batch, int64_t batches)
{
    tw_problem view = tw_problem_sequence(e->whole, batch);
    if (view.seqlen_q == 0)
        return TW_OK;
    if (e->schedule->packs_heads)
        view = tw_problem_packed(&view);
    e->problem = &view;
    if (tw_mask_is_listed(&view) || e->schedule->lists_tiles)
        TW_TRY(tw_tile_map_build(&e->map, &view, batch, e->tiling->block_m, e->tiling->block_n));
    tw_status status = run_sequence_heads(e, batch, batches);
    tw_tile_map_free(&e->map);
    e->problem = e->whole;
    return status;
}

static bool same_lengths(const tw_problem *p, int a, int b)
{
    const int *q = p->cu_seqlens_q, *k = p->cu_seqlens_k;
    return q == NULL || (q[a + 1] - q[a] == q[b + 1] - q[b] && k[a + 1] - k[a] == k[b + 1] - k[b]);
}

/* Sequences like this one from it on; 0 if an earlier one is like it. */
static int64_t sequences_like(const tw_problem *p, int batch)
{
    int64_t alike = 1;
    if (p->mask.mod != NULL && p->mask.mod_per_batch)
        return 1;
    for (int before = 0; before < batch; before++)
        if (same_lengths(p, before, batch))
            return 0;
    for (int behind = batch + 1; behind < p->batch; behind++)
        alike += same_lengths(p, behind, batch);
    return alike;
}

static tw_status run_sequences(tw_emitter *e)
{
    const tw_problem *p = e->whole;
    if (e->backend->one_head)
        return run_sequence(e, 0, 1);
    if (e->backend->merges && !tw_mask_differs_by_batch(p))
        return run_sequence(e, 0, p->batch);
    for (int batch = 0; batch < p->batch; batch++) {
        int64_t alike = e->backend->merges ? sequences_like(p, batch) : 1;
        if (alike > 0)
            TW_TRY(run_sequence(e, batch, alike));
    }
    return TW_OK;
}

static tw_status run_launch(tw_emitter *e)
{
    if (e->backend->begin_launch)
        TW_TRY(e->backend->begin_launch(e->self, e->launch));
    TW_TRY(run_sequences(e));
    return e->backend->end_launch ? e->backend->end_launch(e->self, e) : TW_OK;
}

static tw_status check_block(const char *name, int value)
{
    if (value < 1 || value > TW_MAX_BLOCK)
        return tw_fail(TW_EINVAL, "%s is %d, it must be from 1 to %d", name, value, TW_MAX_BLOCK);
    return TW_OK;
}

/* What the problem has that the schedule does not honour: its name, or NULL. */
static const char *not_honoured(const tw_schedule *schedule, const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    unsigned honours = schedule->honours;
    bool runs = m->window || m->prefix > 0 || m->sinks > 0 || m->documents;
    bool scores = tw_score_mods_are_on(p) || p->scoring.sink_logits;
    bool widths = p->v_in_k || tw_problem_head_dim_v(p) != p->head_dim;
    return runs && !(honours & TW_HONOURS_RUNS)                    ? "a window, prefix, sinks or documents"
           : tw_mask_is_listed(p) && !(honours & TW_HONOURS_LISTS) ? "a block mask or a callback"
           : scores && !(honours & TW_HONOURS_SCORES)              ? "modified scores or sink logits"
           : p->cu_seqlens_q && !(honours & TW_HONOURS_PACKED)     ? "packed sequences"
           : widths && !(honours & TW_HONOURS_WIDTHS)              ? "a V of another width than K"
           : schedule->needs_v_in_k && !p->v_in_k                  ? "a V that is no part of K"
                                                                   : NULL;
}

tw_status tw_honours_check(const tw_schedule *schedule, const tw_problem *problem)
{
    const char *what = not_honoured(schedule, problem);
    if (!what)
        return TW_OK;
    return tw_fail(TW_EUNSUPPORTED, "%s does not do %s, it must be another algorithm, such as flash2",
                   schedule->name, what);
}

tw_status tw_emit(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                  const tw_machine *machine, const tw_backend *backend, void *self)
{
    TW_TRY(tw_problem_check(problem));
    TW_TRY(tw_honours_check(schedule, problem));
    TW_TRY(check_block("block_m", tiling->block_m));
    TW_TRY(check_block("block_n", tiling->block_n));
    tw_emitter e = {.problem = problem,
                    .whole = problem,
                    .tiling = tiling,
                    .machine = machine,
                    .schedule = schedule,
                    .backend = backend,
                    .self = self};
    for (int i = 0; i < schedule->num_launches; i++) {
        e.launch = &schedule->launches[i];
        TW_TRY(run_launch(&e));
    }
    return TW_OK;
}
