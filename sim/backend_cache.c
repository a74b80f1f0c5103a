/* All launches of a problem through the L2: units, lists of accesses, replay, sums. */
#include "backend_cache.h"

#include "access_list.h"
#include "replay.h"
#include "splits.h"

#include <math.h>
#include <string.h>

/* What is prepared once and played once or, for a warm start, twice. */
typedef struct stage {
    const tw_schedule *schedule;
    const tw_tiling *tiling;
    tw_replay replay;
    tw_units units;
    tw_launch_peaks peaks[TW_MAX_LAUNCHES];
    tw_access_list lists[TW_MAX_LAUNCHES];
} stage;

int tw_blocks_per_sm(const tw_machine *machine, int64_t smem_bytes, int64_t register_bytes)
{
    if (machine->kind != TW_MACHINE_GPU || machine->smem_bytes_per_sm < machine->smem_bytes)
        return 0;
    /* what the system keeps of each block's */
    double reserved = machine->smem_bytes_per_sm - machine->smem_bytes;
    double by_smem = floor(machine->smem_bytes_per_sm / ((double)smem_bytes + reserved));
    double by_registers = floor(machine->register_bytes_per_sm / fmax(1.0, (double)register_bytes));
    return (int)fmin(32.0, fmin(by_smem, by_registers));
}

double tw_cache_hit_rate(const tw_l2_traffic *t)
{
    return t->read_request_bytes > 0 ? 1.0 - (double)t->hbm_read_bytes / (double)t->read_request_bytes : 1.0;
}

/* ---- sums ----------------------------------------------------------------------------------------------- */

static tw_l2_traffic difference(const tw_l2_traffic *after, const tw_l2_traffic *before)
{
    return (tw_l2_traffic){.read_request_bytes = after->read_request_bytes - before->read_request_bytes,
                           .write_request_bytes = after->write_request_bytes - before->write_request_bytes,
                           .hbm_read_bytes = after->hbm_read_bytes - before->hbm_read_bytes,
                           .hbm_write_bytes = after->hbm_write_bytes - before->hbm_write_bytes,
                           .fabric_bytes = after->fabric_bytes - before->fabric_bytes,
                           .near_hit_bytes = after->near_hit_bytes - before->near_hit_bytes,
                           .far_hit_bytes = after->far_hit_bytes - before->far_hit_bytes};
}

static void add_traffic(tw_l2_traffic *sum, const tw_l2_traffic *t)
{
    sum->read_request_bytes += t->read_request_bytes;
    sum->write_request_bytes += t->write_request_bytes;
    sum->hbm_read_bytes += t->hbm_read_bytes;
    sum->hbm_write_bytes += t->hbm_write_bytes;
    sum->fabric_bytes += t->fabric_bytes;
    sum->near_hit_bytes += t->near_hit_bytes;
    sum->far_hit_bytes += t->far_hit_bytes;
}

static void add_analysis(tw_cache_analysis *sum, const tw_cache_analysis *a)
{
    sum->compulsory_bytes += a->compulsory_bytes;
    sum->capacity_bytes += a->capacity_bytes;
    sum->conflict_bytes += a->conflict_bytes;
    sum->first_touch_bytes += a->first_touch_bytes;
    for (int i = 0; i < TW_REUSE_BINS; i++)
        sum->reuse_bytes[i] += a->reuse_bytes[i];
}

/* ---- launches ------------------------------------------------------------------------------------------- */

static int blocks_per_sm(const stage *s, int launch)
{
    int asked = s->replay.options->blocks_per_sm;
    int fitting = tw_blocks_per_sm(s->replay.machine, s->peaks[launch].smem_bytes,
                                   s->peaks[launch].register_bytes);
    return asked > 0 ? asked : fitting > 0 ? fitting : 1;
}

/* What a profiler leaves: nothing but dirty units of its own. */
static void flush(stage *s, const tw_l2_shape *shape)
{
    tw_l2_flush(s->replay.l2);
    for (int32_t unit = s->units.foreign_first; unit < s->units.count; unit++)
        tw_l2_write(s->replay.l2, unit % shape->sides, unit);
}

/* All launches once; `round` of `rounds` is only for progress. */
static tw_status play_all(tw_cache_result *result, stage *s, const tw_l2_shape *shape, int round, int rounds)
{
    int launches = s->schedule->num_launches;
    tw_cache_result r = {.num_launches = launches};
    for (int i = 0; i < launches; i++) {
        tw_order own = s->schedule->launches[i].order;
        tw_l2_traffic before;
        if (s->replay.options->start == TW_L2_FLUSHED)
            flush(s, shape);
        before = *tw_l2_traffic_of(s->replay.l2);
        s->replay.share = 1.0 / (launches * rounds);
        s->replay.share_begin = s->replay.share * (round * launches + i);
        TW_TRY(tw_replay_launch(&r.launch[i], &s->replay, &s->lists[i],
                                s->tiling->order != TW_ORDER_OWN ? s->tiling->order : own,
                                blocks_per_sm(s, i)));
        r.launch[i].traffic = difference(tw_l2_traffic_of(s->replay.l2), &before);
        add_traffic(&r.total.traffic, &r.launch[i].traffic);
        r.total.operations += r.launch[i].operations;
        r.total.workers = r.launch[i].workers;
        add_analysis(&r.total.analysis, &r.launch[i].analysis);
    }
    r.dirty_bytes = tw_l2_dirty_bytes(s->replay.l2);
    *result = r;
    return TW_OK;
}

static tw_status play_rounds(tw_cache_result *result, stage *s, const tw_l2_shape *shape)
{
    int rounds = s->replay.options->start == TW_L2_WARM ? 2 : 1;
    TW_TRY(tw_l2_create(&s->replay.l2, shape, s->units.count, s->units.bytes, s->replay.options->seed));
    if (s->replay.options->analyse)
        TW_TRY(tw_reuse_create(&s->replay.reuse, s->units.count, s->units.bytes));
    for (int round = 0; round < rounds; round++)
        TW_TRY(play_all(result, s, shape, round, rounds));
    return TW_OK;
}

static tw_status check(const tw_schedule *schedule, const tw_problem *problem, const tw_machine *machine,
                       const tw_cache_options *o)
{
    if (schedule->pass == TW_PASS_BACKWARD)
        return tw_fail(TW_EUNSUPPORTED,
                       "%s: only forward passes are replayed; atomic sums in the L2 were not measured",
                       schedule->name);
    if (tw_mask_differs_by_head(problem) || tw_mask_differs_by_batch(problem))
        return tw_fail(TW_EUNSUPPORTED,
                       "%s: heads or sequences differ, and the replay takes the first for all of them",
                       schedule->name);
    if (!tw_machine_has_l2(machine))
        return tw_fail(TW_EUNSUPPORTED, "machine %s has no L2 between SRAM and HBM", machine->name);
    if (schedule->ignores_sram)
        return tw_fail(
            TW_EUNSUPPORTED,
            "%s is a ledger of whole matrices, there are no tiles to replay; standard_tiled has them",
            schedule->name);
    if (o->blocks_per_sm < 0 || o->num_workers < 0)
        return tw_fail(TW_EINVAL, "blocks_per_sm is %d and num_workers is %d, neither may be negative",
                       o->blocks_per_sm, o->num_workers);
    return TW_OK;
}

tw_status tw_cache(tw_cache_result *result, const tw_schedule *schedule, const tw_problem *problem,
                   const tw_tiling *tiling, const tw_machine *machine, const tw_cache_options *options)
{
    bool calibrated;
    tw_problem seen = tw_problem_split(schedule, problem, tiling, machine);
    tw_cache_result found = {.num_launches = 0};
    tw_l2_shape shape = tw_l2_shape_of(&calibrated, machine);
    stage s = {.schedule = schedule,
               .tiling = tiling,
               .replay = {.problem = &seen, .machine = machine, .options = options}};
    TW_TRY(check(schedule, problem, machine, options));
    TW_TRY(tw_units_create(&s.units, s.peaks, schedule, problem, tiling, machine, shape.sides));
    s.replay.units = &s.units;
    tw_status status = tw_access_lists_record(s.lists, &s.units, schedule, problem, tiling, machine);
    if (status == TW_OK)
        status = play_rounds(&found, &s, &shape);
    tw_l2_free(s.replay.l2);
    tw_reuse_free(s.replay.reuse);
    tw_units_free(&s.units);
    for (int i = 0; i < TW_MAX_LAUNCHES; i++)
        tw_access_list_free(&s.lists[i]);
    if (status != TW_OK)
        return status;
    found.calibrated = calibrated;
    *result = found;
    return TW_OK;
}
