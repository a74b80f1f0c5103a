/* A kernel's launches, played one after the other; then clock and energy. */
#include "predict.h"

#include "schedules/registry.h"
#include "sm_work.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- can it be predicted? ------------------------------------------------------------------------------- */

/* Numbers without which nothing can be played. */
static tw_status check_machine(const tw_machine *m, const tw_build *build)
{
    const struct {
        const char *name;
        double value;
        bool needed;
    } numbers[] = {
        {"num_sms", m->num_sms, true},
        {"clock_hz", m->clock_hz, true},
        {"hbm_read_bytes_per_s", m->hbm_read_bytes_per_s, true},
        {"hbm_write_bytes_per_s", m->hbm_write_bytes_per_s, true},
        {"copy_l2_bytes_per_s", m->copy_l2_bytes_per_s, true},
        {"copy_bytes_per_clock", m->copy_bytes_per_clock, true},
        {"softmax_cycles_per_key", m->softmax_cycles_per_key, true},
        {"wgmma_fp16_flops_per_clock", m->wgmma_fp16_flops_per_clock, build->multiplier == TW_BY_WGMMA},
        {"mma_fp16_flops_per_clock", m->mma_fp16_flops_per_clock, build->multiplier == TW_BY_MMA},
        {"fmas_per_clock", m->fmas_per_clock, build->multiplier == TW_BY_FMA}};
    if (m->kind != TW_MACHINE_GPU)
        return tw_fail(TW_EUNSUPPORTED, "machine %s is no GPU, the clock plays SMs", m->name);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].needed && numbers[i].value <= 0)
            return tw_fail(TW_EUNSUPPORTED, "machine %s has no %s, which the clock needs for %s", m->name,
                           numbers[i].name, build->kernel);
    return TW_OK;
}

/* One head of one sequence stands for all. */
static tw_status check_problem(const tw_problem *p)
{
    if (p->cu_seqlens_q || tw_mask_differs_by_head(p) || tw_mask_differs_by_batch(p))
        return tw_fail(TW_EUNSUPPORTED,
                       "heads or sequences that differ cannot be played, they must be alike");
    return TW_OK;
}

/* ---- one launch ----------------------------------------------------------------------------------------- */

/* Programs of a launch: blocks that are alike have one. */
typedef struct programs {
    tw_program *all;
    tw_block_index *of; /* the block that each was recorded from */
    int count;
    const tw_program **queue; /* in the order in which the SM takes them */
    int queued;
} programs;

static bool is_last_of(int index, int64_t length, int block)
{
    return block > 0 && ((int64_t)index + 1) * block >= length;
}

/* Two blocks take the same steps. */
static bool alike(const tw_play *play, const tw_sm_work *work, tw_block_index a, tw_block_index b)
{
    const tw_problem *p = play->problem;
    const tw_launch *launch = &play->schedule->launches[play->launch];
    if (!work->all_alike)
        return a.i == b.i && a.j == b.j;
    bool rows = launch->grid_i != TW_AXIS_Q_TILES || is_last_of(a.i, p->seqlen_q, play->tiling->block_m) ==
                                                         is_last_of(b.i, p->seqlen_q, play->tiling->block_m);
    bool cols = launch->grid_j != TW_AXIS_K_TILES || is_last_of(a.j, p->seqlen_k, play->tiling->block_n) ==
                                                         is_last_of(b.j, p->seqlen_k, play->tiling->block_n);
    return rows && cols;
}

static tw_status record(programs *list, const tw_play *play, const tw_sm_work *work, tw_block_index b)
{
    for (int i = list->count; i-- > 0;) {
        if (alike(play, work, list->of[i], b)) {
            list->queue[list->queued++] = &list->all[i];
            return TW_OK;
        }
    }
    TW_TRY(tw_program_append(&list->all[list->count], play, &b, 1));
    list->of[list->count] = b;
    list->queue[list->queued++] = &list->all[list->count++];
    return TW_OK;
}

static bool is_persistent(const tw_build *build)
{
    return build->deal == TW_DEAL_STRIDE || build->deal == TW_DEAL_SNAKE || build->deal == TW_DEAL_DYNAMIC;
}

static tw_status record_all(programs *list, const tw_play *play, const tw_sm_work *work, int num_blocks)
{
    size_t room = (size_t)num_blocks + 1;
    list->all = calloc(room, sizeof *list->all);
    list->of = calloc(room, sizeof *list->of);
    list->queue = calloc(room, sizeof *list->queue);
    if (!list->all || !list->of || !list->queue)
        return tw_fail(TW_ENOMEM, "no memory for the work of an SM, %d blocks", num_blocks);
    if (is_persistent(play->build)) {
        list->queue[0] = &list->all[0];
        list->count = list->queued = 1;
        return tw_program_append(&list->all[0], play, work->blocks, num_blocks);
    }
    for (int i = 0; i < num_blocks; i++)
        TW_TRY(record(list, play, work, work->blocks[i]));
    return TW_OK;
}

static void free_programs(programs *list)
{
    for (int i = 0; i < list->count; i++)
        tw_program_free(&list->all[i]);
    free(list->all);
    free(list->of);
    free(list->queue);
}

/* The first `num_blocks` of the SM's blocks. */
static tw_status play_blocks(tw_clock_result *result, const tw_play *play, const tw_sm_work *work,
                             int num_blocks, const tw_clock_observer *observer)
{
    programs list = {.all = NULL};
    tw_status status = record_all(&list, play, work, num_blocks);
    if (status == TW_OK)
        status = tw_clock_play(result, play, list.queue, list.queued, tw_play_blocks(play), observer);
    free_programs(&list);
    return status;
}

/* a + share · (b - a), number by number. */
static void lengthen(tw_clock_result *result, const tw_clock_result *a, const tw_clock_result *b,
                     double share)
{
    double *to = (double *)result;
    const double *x = (const double *)a, *y = (const double *)b;
    for (size_t i = 0; i < sizeof *result / sizeof(double); i++)
        to[i] = x[i] + share * (y[i] - x[i]);
}

/* Rounds of blocks after which an SM goes on as it has begun: written bytes that wait in the L2 must have filled it. */
static int rounds_to_play(const tw_play *play, const tw_sm_work *work, tw_status *status)
{
    enum { FEWEST = 3, MOST = 48, STEPS = 6000 };
    tw_program one = {.steps = NULL};
    *status = tw_program_append(&one, play, work->blocks, 1);
    int steps = one.num_steps * one.lanes * tw_play_blocks(play), rounds = steps > 0 ? STEPS / steps : FEWEST;
    tw_program_free(&one);
    return rounds < FEWEST ? FEWEST : rounds > MOST ? MOST : rounds;
}

/* Blocks that are alike go on as they began: some rounds of them are played, and the rest is as long as the last. */
static tw_status play_launch(tw_clock_result *result, const tw_play *play, const tw_sm_work *work,
                             const tw_clock_observer *observer)
{
    tw_status status;
    int round = tw_play_blocks(play), all = work->num_blocks, over = all % round;
    int some = rounds_to_play(play, work, &status) * round;
    TW_TRY(status);
    if (!work->all_alike || observer || all <= 2 * some + over)
        return play_blocks(result, play, work, all, observer);
    tw_clock_result few, more;
    TW_TRY(play_blocks(&few, play, work, some + over, NULL));
    TW_TRY(play_blocks(&more, play, work, 2 * some + over, NULL));
    lengthen(result, &few, &more, (double)(all - some - over) / some);
    return TW_OK;
}

/* ---- all launches --------------------------------------------------------------------------------------- */

static void add_overhead(tw_clock_result *result, double cycles)
{
    result->cycles += cycles;
    result->terms[TW_TERM_LAUNCH] += cycles;
    result->phases[TW_PHASE_START][TW_TERM_LAUNCH] += cycles;
}

static void add_to(tw_clock_result *sum, const tw_clock_result *x)
{
    double *to = (double *)sum;
    const double *from = (const double *)x;
    for (size_t i = 0; i < sizeof *sum / sizeof(double); i++)
        to[i] += from[i];
}

static tw_status predict_launches(tw_prediction *r, tw_play *play, const tw_predict_options *options)
{
    memset(&r->total, 0, sizeof r->total);
    r->num_launches = r->schedule->num_launches;
    r->hbm_bytes = r->smem_bytes = 0;
    for (int i = 0; i < r->num_launches; i++) {
        tw_sm_work work;
        play->launch = i;
        TW_TRY(tw_sm_work_deal(&work, play));
        tw_sm_work_memory(play, &work, &r->counts.launch[i], options->kv_hit_rate);
        r->active_sms[i] = work.active_sms;
        r->mean_share[i] = work.mean_share;
        tw_status status = play_launch(&r->launch[i], play, &work, options->observer);
        tw_sm_work_free(&work);
        TW_TRY(status);
        double all_sms = r->mean_share[i] * play->machine->num_sms / r->active_sms[i];
        r->hbm_bytes += all_sms * r->launch[i].busy.hbm * play->hbm_bytes_per_s / play->clock_hz;
        r->smem_bytes += all_sms * r->active_sms[i] * r->launch[i].busy.smem *
                         play->machine->smem_bytes_per_clock;
        add_overhead(&r->launch[i], play->machine->launch_cycles +
                                        (options->cold && i == 0 ? play->machine->cold_start_cycles : 0));
        add_to(&r->total, &r->launch[i]);
    }
    return TW_OK;
}

static tw_energy_work work_of(const tw_prediction *r)
{
    const tw_counts *n = &r->counts.total;
    double fill = (double)n->sram_fill_bytes, drain = (double)n->sram_drain_bytes;
    int multicast = r->build.multicast > 1 ? r->build.multicast : 1;
    tw_energy_work work = tw_energy_work_of(n, r->build.multiplier != TW_BY_FMA, fill / multicast + drain,
                                            r->hbm_bytes);
    work.smem_bytes = r->smem_bytes;
    return work;
}

/* The pipe that is taken for most of the time, or, where none is for most of it, waiting. */
static const char *limiter_of(const tw_prediction *r)
{
    static const double enough = 0.6;
    const tw_pipe_busy *busy = &r->total.busy;
    bool fma = r->build.multiplier == TW_BY_FMA;
    const struct {
        const char *name;
        double cycles;
    } pipes[] = {{fma ? "FMA" : "tensor cores", busy->products},
                 {"CUDA cores", busy->cores},
                 {"shared memory", busy->smem},
                 {"L2", busy->l2},
                 {"HBM", busy->hbm}};
    int most = 0;
    for (int i = 1; i < 5; i++)
        if (pipes[i].cycles > pipes[most].cycles)
            most = i;
    return pipes[most].cycles >= enough * r->total.cycles ? pipes[most].name : "latency";
}

/* Where P goes through shared memory, it takes room there and not in registers. */
static tw_machine room_for_p(const tw_machine *machine, const tw_build *b)
{
    tw_machine m = *machine;
    double p_bytes = b->p_in_smem ? 2.0 * b->block_m * b->block_n : 0;
    m.register_bytes_per_sm += p_bytes;
    m.smem_bytes -= p_bytes;
    return m;
}

/* Blocks of an algorithm that nobody built: what its tiles leave room for, with 32 registers a thread for the rest. */
static int blocks_that_fit(const tw_prediction *r, const tw_machine *machine)
{
    const tw_counts *n = &r->counts.total;
    double threads = 32.0 * r->build.warps, registers = (double)n->register_peak_bytes + 32 * 4 * threads;
    double by_smem = machine->smem_bytes_per_sm / ((double)n->sram_peak_bytes + 1024);
    double blocks = floor(fmin(fmin(by_smem, machine->register_bytes_per_sm / registers), 2048 / threads));
    return blocks < 1 ? 1 : (int)blocks;
}

static tw_status predict(tw_prediction *r, const tw_problem *problem, const tw_machine *given,
                         const tw_predict_options *options)
{
    const tw_machine with_room = room_for_p(given, &r->build), *machine = &with_room;
    const tw_build *b = &r->build;
    bool fma = b->multiplier == TW_BY_FMA;
    tw_tiling tiling = {.block_m = b->block_m,
                        .block_n = b->block_n,
                        .fetch = b->copier == TW_COPY_TMA ? TW_FETCH_BOX : TW_FETCH_ROWS,
                        .unit = fma ? TW_UNIT_FMA : TW_UNIT_TENSOR};
    tw_play play = {.schedule = r->schedule,
                    .problem = problem,
                    .tiling = &tiling,
                    .machine = machine,
                    .build = b,
                    .clock_hz = machine->clock_hz};
    TW_TRY(tw_count(&r->counts, r->schedule, problem, &tiling, machine));
    if (r->build.blocks_per_sm == 0)
        r->build.blocks_per_sm = blocks_that_fit(r, machine);
    for (int round = 0; round < 2;
         round++) { /* bytes a cycle depend on the clock, and the clock on the cycles */
        TW_TRY(predict_launches(r, &play, options));
        tw_energy_work work = work_of(r);
        TW_TRY(tw_power_of(&r->power, &work, r->total.cycles, machine));
        if (fabs(r->power.clock_hz / play.clock_hz - 1) < 0.02)
            break;
        play.clock_hz = r->power.clock_hz;
    }
    r->limiter = limiter_of(r);
    tw_predict_outside(r->outside, b, problem, given);
    return TW_OK;
}

/* ---- how far may it be believed? ------------------------------------------------------------------------ */

enum { SHORTEST = 256, LONGEST = 20000 }; /* sequences that were measured */

void tw_predict_outside(char text[160], const tw_build *b, const tw_problem *p, const tw_machine *machine)
{
    bool large_heads = strcmp(b->kernel, "fa3") == 0;
    bool head_dim = p->head_dim == 64 || p->head_dim == 128 || (p->head_dim == 256 && large_heads);
    const struct {
        bool outside;
        const char *why;
    } reasons[] = {
        {strcmp(machine->name, "h100") != 0, "only an h100 was measured"},
        {b->supposed, "no kernel: built as one would build it"},
        {!b->measured && b->library, "a library's kernel whose tiles are guessed"},
        {!b->measured, "this kernel was not measured"},
        {p->dtype != TW_FP16, "only fp16 was measured"},
        {!head_dim, "no kernel like it was measured with this head_dim"},
        {p->num_heads_kv != p->num_heads, "grouped heads were not measured"},
        {p->seqlen_q != p->seqlen_k, "unequal lengths were not measured"},
        {p->seqlen_k < SHORTEST, "sequences so short were not measured"},
        {p->seqlen_k > LONGEST, "sequences so long were not measured"},
    };
    text[0] = '\0';
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0] && !*text; i++)
        if (reasons[i].outside)
            snprintf(text, 160, "%s", reasons[i].why);
}

tw_status tw_predict(tw_prediction *prediction, const tw_build *build, const tw_problem *problem,
                     const tw_machine *machine, const tw_predict_options *options)
{
    tw_prediction *r = calloc(1, sizeof *r);
    if (!r)
        return tw_fail(TW_ENOMEM, "no memory for a prediction");
    r->build = *build;
    tw_status status = check_problem(problem);
    if (status == TW_OK)
        status = check_machine(machine, build);
    if (status == TW_OK)
        status = tw_schedule_find(&r->schedule, build->schedule);
    if (status == TW_OK)
        status = predict(r, problem, machine, options);
    if (status == TW_OK)
        *prediction = *r;
    free(r);
    return status;
}
