/* Launches and blocks: which of them run, in which order, and how often each stands for its equals. */
#include "emitter.h"
#include "../cpu_ref/whole.h"
#include "splits.h"

#include <math.h>
#include <string.h>

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
    case TW_AXIS_SPLITS:
        a = (axis){.length = p->num_splits, .block = 1};
        break;
    case TW_AXIS_SHARES: /* emitter_shares.c goes over them */
        a = (axis){.length = 0, .block = 1};
        break;
    }
    a.count = which == TW_AXIS_NONE ? 1 : ceil_div(a.length, a.block);
    if (e->launch->only_if_split && p->num_splits == 1)
        a.count = 0;
    return a;
}

/* Tile `index` of the axis, with as many equals behind it as may be taken together: no splits, whose lengths differ. */
static tw_tile grid_tile(const tw_emitter *e, const axis *a, tw_axis which, int64_t index)
{
    tw_tile tile = tw_tile_at(index, a->block, a->length);
    bool cut_pages = which == TW_AXIS_K_TILES && !tw_pages_are_alike(e);
    bool equal = which != TW_AXIS_SPLITS && !cut_pages &&
                 (!e->launch->blocks_differ || !tw_mask_is_on(e->problem));
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

tw_status tw_run_block(tw_emitter *e, tw_block b)
{
    memset(e->slots, 0, sizeof e->slots);
    memset(e->live_bytes, 0, sizeof e->live_bytes);
    memset(e->peak_bytes, 0, sizeof e->peak_bytes);
    e->agent = 0;
    e->multicast = 1;
    e->open_walks = 0;
    e->again = false;
    e->launch->block(e, e->problem, e->tiling, b);
    TW_TRY(e->status);
    TW_TRY(check_walks(e));
    TW_TRY(check_released(e));
    return check_fits(e);
}

tw_status tw_end_block(tw_emitter *e)
{
    return e->backend->end_block ? e->backend->end_block(e->self, e) : TW_OK;
}

/* The part of the keys that a block works on: a split, or all of them. */
static tw_split part_of(const tw_emitter *e, tw_block b)
{
    int64_t first, end;
    bool splits = e->launch->grid_j == TW_AXIS_SPLITS;
    if (!splits)
        return (tw_split){.count = e->problem->num_splits,
                          .end = ceil_div(e->problem->seqlen_k, e->tiling->block_n)};
    tw_key_range(e, b.i, &first, &end);
    return tw_split_of(first, end, (int)b.j.index, e->problem->num_splits);
}

static tw_status run_block(tw_emitter *e, tw_block b)
{
    e->batch = b.batch;
    e->head = b.head;
    e->part = part_of(e, b);
    TW_TRY(tw_run_block(e, b));
    return tw_end_block(e);
}

/* Query heads that a block works for. */
static int heads_of_a_block(const tw_emitter *e)
{
    return e->launch->per_kv_head ? tw_heads_of_a_group(e->problem) : 1;
}

/* All blocks of one head of one sequence, or of the group that begins with it; they stand for `heads` query heads of
 * `batches` sequences. */
static tw_status run_head(tw_emitter *e, int batch, int head, int64_t heads, int64_t batches)
{
    int64_t alike = heads / heads_of_a_block(e);
    axis rows = axis_of(e, e->launch->grid_i), cols = axis_of(e, e->launch->grid_j);
    for (int64_t j = 0; j < cols.count;) {
        tw_tile tile_j = grid_tile(e, &cols, e->launch->grid_j, j);
        for (int64_t i = 0; i < rows.count;) {
            tw_tile tile_i = grid_tile(e, &rows, e->launch->grid_i, i);
            e->times = alike * batches * tile_i.run * tile_j.run;
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

/* Every block of one sequence, in the order asked for. */
static tw_status run_grid(tw_emitter *e, int batch)
{
    const tw_problem *p = e->problem;
    int together = heads_of_a_block(e), heads = p->num_heads / together;
    axis rows = axis_of(e, e->launch->grid_i), cols = axis_of(e, e->launch->grid_j);
    int64_t tiles = rows.count * cols.count;
    tw_order order = e->tiling->order != TW_ORDER_OWN ? e->tiling->order : e->launch->order;
    for (int64_t n = 0; n < tiles * heads; n++) {
        tw_grid_place place = tw_order_place(order, n, tiles, heads, p->causal);
        tw_block b = {.batch = batch,
                      .head = (int)place.head * together,
                      .i = grid_tile(e, &rows, e->launch->grid_i, place.tile % rows.count),
                      .j = grid_tile(e, &cols, e->launch->grid_j, place.tile / rows.count)};
        e->times = 1;
        TW_TRY(run_block(e, b));
    }
    return TW_OK;
}

/* The heads of one sequence, which `batches` sequences are like. */
static tw_status run_sequence_heads(tw_emitter *e, int batch, int64_t batches)
{
    int heads = e->problem->num_heads, together = heads_of_a_block(e);
    if (e->backend->one_head)
        return run_head(e, batch, 0, together, 1);
    if (!e->backend->merges)
        return run_grid(e, batch);
    if (!tw_mask_differs_by_head(e->problem))
        return run_head(e, batch, 0, heads, batches);
    for (int head = 0; head < heads; head += together)
        TW_TRY(run_head(e, batch, head, together, batches));
    return TW_OK;
}

/* ---- several devices ------------------------------------------------------------------------------------- */

tw_part tw_part_of(tw_sharing spread, int rows, int part, int parts)
{
    int most = (rows + parts - 1) / parts, first = part * most;
    if (spread == TW_SPREAD_STRIPED)
        return (tw_part){.count = part < rows ? (rows - part - 1) / parts + 1 : 0,
                         .of = rows,
                         .first = part,
                         .stride = parts};
    int rest = rows > first ? rows - first : 0;
    return (tw_part){.count = rest < most ? rest : most, .of = rows, .first = first, .stride = 1};
}

/* Which part of the keys a device has in a step: parts go on to the next device. */
static int source_of(const tw_emitter *e, int step, int device)
{
    return e->launch->spread == TW_SPREAD_HOST ? step : (device - step + e->parts) % e->parts;
}

/* `view` becomes the problem of the device and of the part of the keys that it has. */
static tw_status run_device(tw_emitter *e, tw_problem *view, const tw_problem *sequence, int batch,
                            int64_t batches)
{
    bool host = e->launch->spread == TW_SPREAD_HOST;
    e->source = source_of(e, e->step, e->device);
    *view = tw_problem_part(sequence,
                            tw_part_of(e->launch->spread, sequence->seqlen_q, e->device, host ? 1 : e->parts),
                            tw_part_of(e->launch->spread, sequence->seqlen_k, e->source, e->parts));
    e->problem = view;
    e->batch = batch;
    if (host && e->parts > 1)
        tw_send_part(e, batches);
    if (view->seqlen_q > 0)
        TW_TRY(run_sequence_heads(e, batch, batches));
    e->batch = batch;
    if (!host && e->step + 1 < e->parts)
        tw_send_part(e, batches);
    TW_TRY(e->status);
    return e->backend->end_part ? e->backend->end_part(e->self, e) : TW_OK;
}

/* Every step of a ring, on every device: a legal serial order of what happens at the same time. */
static tw_status run_parts(tw_emitter *e, const tw_problem *sequence, int batch, int64_t batches)
{
    int devices = e->launch->spread == TW_SPREAD_HOST ? 1 : e->parts;
    tw_problem view;
    for (e->step = 0; e->step < e->parts; e->step++)
        for (e->device = 0; e->device < devices; e->device++)
            TW_TRY(run_device(e, &view, sequence, batch, batches));
    return TW_OK;
}

/* As the schedule sees it: by itself, packed if it packs, its tiles listed if the mask must be. */
tw_status tw_enter_sequence(tw_emitter *e, tw_problem *view, int batch)
{
    tw_problem one = tw_problem_sequence(e->whole, batch);
    *view = tw_problem_seen_by(e->schedule, &one);
    view->num_splits = e->num_splits;
    if (e->launch && e->launch->projected)
        view->seqlen_k = view->rank;
    e->problem = view;
    if (view->seqlen_q > 0 && (tw_mask_is_listed(view) || e->schedule->lists_tiles))
        return tw_tile_map_build(&e->map, view, batch, e->tiling->block_m, e->tiling->block_n);
    return TW_OK;
}

void tw_leave_sequence(tw_emitter *e)
{
    tw_tile_map_free(&e->map);
    e->problem = e->whole;
}

static tw_status run_sequence(tw_emitter *e, int batch, int64_t batches)
{
    tw_problem view;
    tw_status status = tw_enter_sequence(e, &view, batch);
    bool nothing = view.seqlen_q == 0 && e->schedule->pass == TW_PASS_FORWARD;
    if (status == TW_OK && !nothing && e->launch->spread != TW_SPREAD_NONE)
        status = run_parts(e, &view, batch, batches);
    else if (status == TW_OK && !nothing) /* but keys that nobody asks for have gradients: 0 */
        status = run_sequence_heads(e, batch, batches);
    tw_leave_sequence(e);
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
    bool alone = e->backend->one_head || (e->backend->merges && !tw_mask_differs_by_batch(p));
    if (alone)
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
    TW_TRY(e->launch->grid_i == TW_AXIS_SHARES ? tw_run_shares(e) : run_sequences(e));
    return e->backend->end_launch ? e->backend->end_launch(e->self, e) : TW_OK;
}

static tw_status check_block(const char *name, int value)
{
    if (value < 1 || value > TW_MAX_BLOCK)
        return tw_fail(TW_EINVAL, "%s is %d, it must be from 1 to %d", name, value, TW_MAX_BLOCK);
    return TW_OK;
}

tw_problem tw_problem_seen_by(const tw_schedule *schedule, const tw_problem *problem)
{
    if (schedule->sorts_rows && problem->mask.sorted_q)
        return tw_problem_part(
            problem,
            (tw_part){.count = problem->seqlen_q, .of = problem->seqlen_q, .order = problem->mask.sorted_q},
            (tw_part){.count = problem->seqlen_k, .of = problem->seqlen_k, .order = problem->mask.sorted_k});
    return schedule->packs_heads ? tw_problem_packed(problem) : *problem;
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
           : schedule->sorts_rows && !m->sorted_q ? "queries and keys that have no buckets (--buckets)"
           : schedule->reference && (p->causal || tw_dropout_is_on(&p->dropout)) ? "a causal mask or dropout"
           : schedule->needs_v_in_k && !p->v_in_k                                ? "a V that is no part of K"
           : tw_quantize_is_on(&p->quantize) && !(honours & TW_HONOURS_CODES)    ? "quantised Q, K and V"
                                                                                 : NULL;
}

/* What Q, K and V are. */
static const char *codes_name(const tw_problem *p)
{
    bool tokens = p->quantize.scales == TW_SCALES_TOKEN;
    return !tw_quantize_is_on(&p->quantize) ? "inputs that are no codes"
           : p->quantize.format == TW_INT8  ? (tokens ? "int8, a scale a token" : "int8, other scales")
                                            : tw_dtype_name(p->quantize.format);
}

tw_status tw_honours_check(const tw_schedule *schedule, const tw_problem *problem)
{
    if (schedule->pass == TW_PASS_BACKWARD)
        TW_TRY(tw_problem_check_backward(problem));
    int rows = problem->seqlen_q > problem->seqlen_k ? problem->seqlen_q : problem->seqlen_k;
    if (schedule->most_rows > 0 && rows > schedule->most_rows)
        return tw_fail(TW_EUNSUPPORTED,
                       "%s keeps all scores of a sequence on chip, seqlen is %d, it must be at most %d",
                       schedule->name, rows, schedule->most_rows);
    const char *what = not_honoured(schedule, problem);
    if (!what && schedule->takes_codes && !schedule->takes_codes(&problem->quantize))
        return tw_fail(TW_EUNSUPPORTED, "%s does not do it with %s, it must come with %s", schedule->name,
                       codes_name(problem), schedule->needs_codes);
    if (schedule->reference && (problem->rank < 1 || problem->rank > problem->seqlen_k))
        return tw_fail(TW_EUNSUPPORTED,
                       "%s projects keys, --rank is %d, it must be from 1 to seqlen_k, which is %d",
                       schedule->name, problem->rank, problem->seqlen_k);
    if (!what)
        return TW_OK;
    return tw_fail(TW_EUNSUPPORTED, "%s does not do %s, it must be another algorithm, such as flash2",
                   schedule->name, what);
}

static tw_status check_orders(const tw_tiling *tiling)
{
    if ((unsigned)tiling->order >= TW_NUM_ORDERS || (unsigned)tiling->kv_order >= TW_NUM_KV_ORDERS)
        return tw_fail(TW_EINVAL,
                       "order is %d and kv_order is %d, they must be of enum tw_order and tw_kv_order",
                       (int)tiling->order, (int)tiling->kv_order);
    return TW_OK;
}

tw_status tw_tiling_check(const tw_schedule *schedule, const tw_tiling *t)
{
    enum { MOST_SPLITS = 4096 };
    if (t->num_splits > 0 && !tw_has_axis(schedule, TW_AXIS_SPLITS))
        return tw_fail(TW_EUNSUPPORTED,
                       "%s does not cut the keys into a number of splits, there must be none given",
                       schedule->name);
    if (t->num_splits < 0 || t->num_splits > MOST_SPLITS)
        return tw_fail(TW_EINVAL, "splits is %d, it must be from 1 to %d", t->num_splits, MOST_SPLITS);
    if (t->phi != 0.0 && !schedule->fixed_max)
        return tw_fail(TW_EUNSUPPORTED, "%s has no fixed maximum, phi must not be given", schedule->name);
    if (!isfinite(t->phi))
        return tw_fail(TW_EINVAL, "phi is %g, it must be finite", t->phi);
    if (t->order != TW_ORDER_OWN && tw_has_axis(schedule, TW_AXIS_SHARES))
        return tw_fail(TW_EUNSUPPORTED, "%s has shares in place of an order of blocks, order must be own",
                       schedule->name);
    return TW_OK;
}

tw_problem tw_problem_in_tiles(const tw_problem *problem, const tw_tiling *tiling)
{
    tw_problem p = *problem;
    if (p.quantize.block_rows == 0)
        p.quantize.block_rows = tiling->block_m;
    if (p.quantize.block_keys == 0)
        p.quantize.block_keys = tiling->block_n;
    return p;
}

/* A tile that ends within a block of scales would share the scale of the next one's rows; whole matrices do not. */
static tw_status check_scales(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t)
{
    const tw_quantize *z = &p->quantize;
    if (!tw_quantize_is_on(z) || z->scales != TW_SCALES_BLOCK || schedule->ignores_sram)
        return TW_OK;
    if (t->block_m % z->block_rows == 0 && t->block_n % z->block_keys == 0)
        return TW_OK;
    return tw_fail(TW_EINVAL, "scales are of %d rows and %d keys, which must divide the tiles' %d and %d",
                   z->block_rows, z->block_keys, t->block_m, t->block_n);
}

tw_status tw_emit(const tw_schedule *schedule, const tw_problem *given, const tw_tiling *tiling,
                  const tw_machine *machine, const tw_backend *backend, void *self)
{
    TW_TRY(tw_problem_check(given));
    TW_TRY(tw_honours_check(schedule, given));
    TW_TRY(check_block("block_m", tiling->block_m));
    TW_TRY(check_block("block_n", tiling->block_n));
    TW_TRY(check_orders(tiling));
    if (tiling->parts < 0 || tiling->parts > TW_MAX_PARTS)
        return tw_fail(TW_EINVAL, "parts is %d, it must be from 0 to %d", tiling->parts, TW_MAX_PARTS);
    tw_problem of_tiles = tw_problem_in_tiles(given, tiling), *problem = &of_tiles;
    TW_TRY(check_scales(schedule, problem, tiling));
    TW_TRY(tw_tiling_check(schedule, tiling));
    tw_problem seen = tw_problem_split(schedule, problem, tiling, machine);
    tw_emitter e = {.problem = problem,
                    .whole = problem,
                    .tiling = tiling,
                    .machine = machine,
                    .num_splits = seen.num_splits,
                    .schedule = schedule,
                    .backend = backend,
                    .self = self};
    for (int i = 0; i < schedule->num_launches; i++) {
        e.launch = &schedule->launches[i];
        e.parts = e.launch->spread != TW_SPREAD_NONE && tiling->parts > 1 ? tiling->parts : 1;
        TW_TRY(run_launch(&e));
    }
    return TW_OK;
}
