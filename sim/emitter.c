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

/* Keys that the last, and so any, of these query rows sees. */
static int64_t keys_seen_by_any(const tw_emitter *e, tw_tile rows)
{
    return tw_problem_keys_seen(e->problem, (int)(rows.row0 + rows.rows * rows.run - 1));
}

static tw_walk walk_over(tw_emitter *e, int64_t length, int block, int64_t first, int64_t end)
{
    return (tw_walk){.e = e,
                     .first = first,
                     .next = first,
                     .end = max64(first, end),
                     .uniform_begin = first,
                     .uniform_end = length / block,
                     .length = length,
                     .block = block,
                     .outer_times = e->times};
}

tw_walk tw_walk_all_keys(tw_emitter *e)
{
    int block = e->tiling->block_n;
    return walk_over(e, e->problem->seqlen_k, block, 0, ceil_div(e->problem->seqlen_k, block));
}

tw_walk tw_walk_keys(tw_emitter *e, tw_tile rows)
{
    int block = e->tiling->block_n;
    int64_t seen_by_all = tw_problem_keys_seen(e->problem, (int)rows.row0); /* the first row sees least */
    tw_walk walk = walk_over(e, e->problem->seqlen_k, block, 0, ceil_div(keys_seen_by_any(e, rows), block));
    walk.uniform_end = min64(walk.uniform_end, seen_by_all / block);
    return walk;
}

/* First query row that sees key `key`. */
static int64_t first_row_seeing(const tw_problem *p, int64_t key)
{
    return p->causal ? max64(0, key - p->seqlen_k + p->seqlen_q) : 0;
}

tw_walk tw_walk_queries(tw_emitter *e, tw_tile cols)
{
    const tw_problem *p = e->problem;
    int block = e->tiling->block_m;
    int64_t first = first_row_seeing(p, cols.row0) / block;
    int64_t all_seen_from = ceil_div(first_row_seeing(p, cols.row0 + cols.rows - 1), block);
    tw_walk walk = walk_over(e, p->seqlen_q, block, first, ceil_div(p->seqlen_q, block));
    walk.uniform_begin = max64(first, all_seen_from);
    return walk;
}

bool tw_step(tw_walk *walk)
{
    tw_emitter *e = walk->e;
    bool more = walk->next < walk->end && e->status == TW_OK;
    e->times = walk->outer_times;
    e->open_walks += more - walk->open;
    walk->open = more;
    if (!more)
        return false;
    walk->tile = tile_at(walk->next, walk->block, walk->length);
    walk->is_first = walk->next == walk->first;
    walk->is_last = walk->next == walk->end - 1;
    int64_t last_alone = walk->end - 1;
    if (e->backend->merges && !walk->is_first && walk->next >= walk->uniform_begin)
        walk->tile.run = max64(1, min64(walk->uniform_end, last_alone) - walk->next);
    walk->next += walk->tile.run;
    e->times = walk->outer_times * walk->tile.run;
    return true;
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
        a.block = (int)a.length;
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
    a.count = ceil_div(a.length, a.block);
    return a;
}

/* Tile `index` of the axis, with as many equals behind it as may be taken together. */
static tw_tile grid_tile(const tw_emitter *e, const axis *a, int64_t index)
{
    tw_tile tile = tile_at(index, a->block, a->length);
    bool equal = !e->launch->blocks_differ || !e->problem->causal;
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

/* All blocks of one head of one batch element; `heads` of them are alike. */
static tw_status run_head(tw_emitter *e, int batch, int head, int64_t heads)
{
    axis rows = axis_of(e, e->launch->grid_i), cols = axis_of(e, e->launch->grid_j);
    for (int64_t j = 0; j < cols.count;) {
        tw_tile tile_j = grid_tile(e, &cols, j);
        for (int64_t i = 0; i < rows.count;) {
            tw_tile tile_i = grid_tile(e, &rows, i);
            e->times = heads * tile_i.run * tile_j.run;
            TW_TRY(run_block(e, (tw_block){.batch = batch, .head = head, .i = tile_i, .j = tile_j}));
            i += tile_i.run;
        }
        j += tile_j.run;
    }
    return TW_OK;
}

static tw_status run_heads(tw_emitter *e)
{
    if (e->backend->merges) /* heads and batch elements are all alike */
        return run_head(e, 0, 0, (int64_t)e->problem->num_heads * e->problem->batch);
    for (int batch = 0; batch < e->problem->batch; batch++)
        for (int head = 0; head < e->problem->num_heads; head++)
            TW_TRY(run_head(e, batch, head, 1));
    return TW_OK;
}

static tw_status run_launch(tw_emitter *e)
{
    if (e->backend->begin_launch)
        TW_TRY(e->backend->begin_launch(e->self, e->launch));
    TW_TRY(run_heads(e));
    return e->backend->end_launch ? e->backend->end_launch(e->self, e) : TW_OK;
}

static tw_status check_block(const char *name, int value)
{
    if (value < 1 || value > TW_MAX_BLOCK)
        return tw_fail(TW_EINVAL, "%s is %d, it must be from 1 to %d", name, value, TW_MAX_BLOCK);
    return TW_OK;
}

tw_status tw_emit(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                  const tw_machine *machine, const tw_backend *backend, void *self)
{
    TW_TRY(tw_problem_check(problem));
    TW_TRY(check_block("block_m", tiling->block_m));
    TW_TRY(check_block("block_n", tiling->block_n));
    tw_emitter e = {.problem = problem,
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
