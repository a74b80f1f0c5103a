/* A kernel's launches, played one after the other; then clock and energy. */
#include "predict.h"

#include "schedules/registry.h"
#include "sm_launch.h"
#include "splits.h"

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

/* A launch that combines what is in one part. */
static bool nothing_runs(const tw_play *play)
{
    return play->schedule->launches[play->launch].only_if_split && play->problem->num_splits == 1;
}

static tw_status predict_launches(tw_prediction *r, tw_play *play, const tw_predict_options *options)
{
    memset(&r->total, 0, sizeof r->total);
    r->num_launches = r->schedule->num_launches;
    r->hbm_bytes = r->smem_bytes = 0;
    for (int i = 0; i < r->num_launches; i++) {
        tw_sm_work work;
        play->launch = i;
        r->launch[i] = (tw_clock_result){.cycles = 0};
        r->active_sms[i] = 0;
        r->mean_share[i] = 1;
        if (nothing_runs(play))
            continue;
        TW_TRY(tw_sm_work_deal(&work, play));
        tw_sm_work_memory(play, &work, &r->counts.launch[i], options->kv_hit_rate);
        r->active_sms[i] = work.active_sms;
        r->mean_share[i] = work.mean_share;
        tw_status status = tw_launch_play(&r->launch[i], play, &work);
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
    r->cold_cycles = r->total.cycles + (options->cold ? 0 : play->machine->cold_start_cycles);
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
    work.cycles = r->total.cycles;
    for (int i = 0; i < r->num_launches; i++)
        work.tensor_cycles += r->counts.launch[i].flops > 0 && r->build.multiplier != TW_BY_FMA
                                  ? r->launch[i].cycles
                                  : 0;
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

/* A prediction being made: what tw_play points to. */
typedef struct making {
    tw_prediction r;
    tw_machine machine;
    tw_tiling tiling;
    tw_problem seen;
    tw_play play;
} making;

/* Everything up to the first cycle. */
static tw_status prepare(making *x, const tw_build *build, const tw_problem *problem,
                         const tw_machine *machine)
{
    tw_prediction *r = &x->r;
    TW_TRY(check_problem(problem));
    TW_TRY(check_machine(machine, build));
    r->build = *build;
    TW_TRY(tw_schedule_find(&r->schedule, build->schedule));
    x->machine = room_for_p(machine, build);
    x->tiling = (tw_tiling){.block_m = build->block_m,
                            .block_n = build->block_n,
                            .fetch = build->copier == TW_COPY_TMA ? TW_FETCH_BOX : TW_FETCH_ROWS,
                            .unit = build->multiplier == TW_BY_FMA ? TW_UNIT_FMA : TW_UNIT_TENSOR,
                            .num_splits = build->num_splits};
    TW_TRY(tw_count(&r->counts, r->schedule, problem, &x->tiling, &x->machine));
    if (r->build.blocks_per_sm == 0)
        r->build.blocks_per_sm = blocks_that_fit(r, machine);
    x->seen = tw_problem_split(r->schedule, problem, &x->tiling, &x->machine);
    r->num_splits = x->seen.num_splits;
    x->play = (tw_play){.schedule = r->schedule,
                        .problem = &x->seen,
                        .whole = problem,
                        .tiling = &x->tiling,
                        .machine = &x->machine,
                        .build = &r->build,
                        .clock_hz = machine->clock_hz};
    return TW_OK;
}

/* Bytes a cycle depend on the clock, and the clock on the cycles: two rounds are enough. */
static tw_status predict(making *x, const tw_predict_options *options)
{
    enum { ROUNDS = 2 };
    tw_prediction *r = &x->r;
    for (int round = 0; round < ROUNDS; round++) {
        TW_TRY(predict_launches(r, &x->play, options));
        tw_energy_work work = work_of(r);
        TW_TRY(tw_power_of(&r->power, &work, &x->machine));
        if (fabs(r->power.clock_hz / x->play.clock_hz - 1) < 0.02)
            break;
        x->play.clock_hz = r->power.clock_hz;
    }
    r->limiter = limiter_of(r);
    tw_predict_outside(r->outside, &r->build, x->play.whole, &x->machine);
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
        {!b->measured && b->inferred, "a library's kernel whose tiles are guessed"},
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
    making *x = calloc(1, sizeof *x);
    if (!x)
        return tw_fail(TW_ENOMEM, "no memory for a prediction");
    tw_status status = prepare(x, build, problem, machine);
    if (status == TW_OK)
        status = predict(x, options);
    if (status == TW_OK)
        *prediction = x->r;
    free(x);
    return status;
}

static tw_status watch(making *x, int launch, int num_blocks, const tw_clock_observer *observer,
                       double clock_hz)
{
    tw_sm_work work;
    x->play.clock_hz = clock_hz;
    x->play.launch = launch;
    if (nothing_runs(&x->play))
        return tw_fail(TW_EUNSUPPORTED, "launch %s has no blocks: the keys are in one part",
                       x->r.schedule->launches[launch].name);
    TW_TRY(tw_sm_work_deal(&work, &x->play));
    tw_sm_work_memory(&x->play, &work, &x->r.counts.launch[launch], -1);
    tw_status status = tw_launch_watch(&x->play, &work, num_blocks, observer);
    tw_sm_work_free(&work);
    return status;
}

tw_status tw_predict_watch(const tw_prediction *prediction, const tw_problem *problem,
                           const tw_machine *machine, int launch, int num_blocks,
                           const tw_clock_observer *observer)
{
    making *x = calloc(1, sizeof *x);
    if (!x)
        return tw_fail(TW_ENOMEM, "no memory to watch an SM");
    tw_status status = prepare(x, &prediction->build, problem, machine);
    if (status == TW_OK)
        status = watch(x, launch, num_blocks, observer, prediction->power.clock_hz);
    free(x);
    return status;
}
