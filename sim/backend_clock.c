/*
 * One SM in time. Rates change only at events, so time goes from event to event:
 *
 *     loop:  whoever can begin its next step begins it             begin_all()
 *            how fast does everything go now?                      set_speeds()
 *            go to the next instant at which anything ends         next_event(), advance()
 *
 * Agents (producer, consumers; or the warps of a quarter of the SM, `lanes`) take their steps in order. A step begins
 * when all steps that it needs are over. Then
 *
 *     wgmma     its pieces go into a queue that all agents share; the agent is held until the last is in, and only
 *               run_ahead fit; the result comes `latency` after the last has been served
 *     mma, FMA, CUDA cores   the agent is at it until it is done, at a speed that depends on who else is
 *     copies    the agent goes on (or, through registers, waits); bytes queue at the SM's port to the L2 and at its
 *               share of HBM, and arrive `latency` later
 *
 * Nothing here knows what attention is.
 */
#include "backend_clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLACES = 32, MOST_RUNNING = 512, MOST_ARRIVING = 256, QUEUE = 16 };

typedef enum state {
    READY,   /* its next step has not begun */
    ISSUING, /* has pieces of wgmma that are not in the queue yet */
    WORKING, /* on a pipe, `left` cycles of its own */
    ASLEEP,  /* until `until` */
    DONE
} state;

/* An agent of a block, or one lane of it. */
typedef struct runner {
    state state;
    int place, agent, lane;
    int step; /* the next or current one; the program's number of steps at the end */
    int left_pieces;
    double left, speed, until, began;
    tw_term waits_for; /* what its next step is missing */
} runner;

/* When a step was or will be over, and what it is that those who need it wait for. */
typedef struct moment {
    double at; /* INFINITY: not known yet */
    tw_term late_by;
} moment;

/* A block on the SM. */
typedef struct block {
    const tw_program *program; /* NULL: the place is free */
    moment *over;              /* [step · lanes + lane] */
    double starts, ends;       /* ends: the last of its stores */
    tw_term ends_by;           /* what that waits for */
    int running;               /* runners that are not done */
    int first_item;
} block;

typedef struct piece {
    int runner, step;
    double left, began;
    bool last;
} piece;

/* A copy on its way, whose bytes take a share of shared memory's cycles until all are there. */
typedef struct arrival {
    double until, smem_share;
} arrival;

typedef struct sm {
    const tw_play *play;
    const tw_program *const *programs;
    int num_programs, next_program, num_places, items;
    const tw_clock_observer *observer;
    block blocks[MOST_PLACES];
    runner runners[MOST_RUNNING];
    int num_runners;
    arrival arriving[MOST_ARRIVING];
    int num_arriving;
    piece queue[QUEUE];           /* of wgmma; the first is being served */
    int queued, turn;             /* turn: which runner may put the next piece in */
    double now, l2_free, l2_rate; /* when the port to the L2 is free; bytes a cycle */
    double store_free, store_rate;
    double hbm_part; /* of HBM's bytes a cycle, an SM's part: more than its port may take */
    double read_free, hbm_free, hbm_rate; /* HBM: when all reads are over; when reads and writes are */
    tw_clock_result result;
    tw_status status;
} sm;

const char *tw_term_name(tw_term term)
{
    static const char *const names[TW_NUM_TERMS] = {"products",
                                                    "CUDA cores alone",
                                                    "waits for HBM",
                                                    "waits for copies",
                                                    "barriers, latencies",
                                                    "blocks begin and end",
                                                    "launch"};
    return names[term];
}

static const tw_sm_step *step_of(const sm *x, const runner *r)
{
    return &x->blocks[r->place].program->steps[r->step];
}

static moment *over_of(sm *x, const runner *r, int step, int lane)
{
    const block *b = &x->blocks[r->place];
    return &b->over[step * b->program->lanes + lane];
}

static void tell(sm *x, const runner *r, const tw_sm_step *step, double begin, double end)
{
    if (!x->observer || end <= begin)
        return;
    tw_span span = {.place = r->place,
                    .agent = r->agent,
                    .lane = r->lane,
                    .item = x->blocks[r->place].first_item + step->item,
                    .tile = step->tile,
                    .kind = step->kind,
                    .tensor = step->tensor,
                    .pipe = step->cost.pipe,
                    .line = step->line,
                    .begin = begin,
                    .end = end};
    x->observer->span(x->observer->self, &span);
}

/* ---- blocks come and go --------------------------------------------------------------------------------- */

/* The agent's first step from `from` on; the number of steps if there is none. */
static int next_step(const tw_program *program, int agent, int from)
{
    while (from < program->num_steps && program->steps[from].agent != agent)
        from++;
    return from;
}

static void add_runner(sm *x, int place, int agent, int lane)
{
    block *b = &x->blocks[place];
    int step = next_step(b->program, agent, 0), free_one = 0;
    if (step == b->program->num_steps)
        return;
    while (free_one < x->num_runners && x->runners[free_one].state != DONE)
        free_one++;
    if (free_one == MOST_RUNNING)
        return; /* cannot be: places · lanes · agents is less */
    x->num_runners = free_one == x->num_runners ? free_one + 1 : x->num_runners;
    x->runners[free_one] = (runner){.state = ASLEEP,
                                    .place = place,
                                    .agent = agent,
                                    .lane = lane,
                                    .step = step,
                                    .until = b->starts,
                                    .waits_for = TW_TERM_BLOCKS};
    b->running++;
}

/* Puts the next program into a free place, where it starts at `when`. */
static void start_block(sm *x, int place, double when)
{
    block *b = &x->blocks[place];
    *b = (block){.program = x->programs[x->next_program++], .starts = when, .first_item = x->items};
    x->items += b->program->num_items;
    size_t count = (size_t)b->program->num_steps * (size_t)b->program->lanes;
    b->over = malloc((count + 1) * sizeof *b->over);
    if (!b->over) {
        x->status = tw_fail(TW_ENOMEM, "no memory to play a block of %d steps", b->program->num_steps);
        return;
    }
    for (size_t i = 0; i < count; i++)
        b->over[i] = (moment){INFINITY, TW_TERM_WAITS};
    for (int agent = 0; agent < TW_MOST_AGENTS; agent++)
        for (int lane = 0; lane < b->program->lanes; lane++)
            add_runner(x, place, agent, lane);
}

/* Places whose block is over take the next one. */
static void change_blocks(sm *x)
{
    const tw_machine *machine = x->play->machine;
    for (int i = 0; i < x->num_places && x->status == TW_OK; i++) {
        block *b = &x->blocks[i];
        if (!b->program || b->running > 0 || b->ends > x->now)
            continue;
        free(b->over);
        *b = (block){.program = NULL};
        if (x->next_program < x->num_programs)
            start_block(x, i, x->now + machine->block_gap_cycles + machine->block_start_cycles);
    }
}

/* ---- copies --------------------------------------------------------------------------------------------- */

static double l2_end(sm *x, double bytes)
{
    x->l2_free = fmax(x->now, x->l2_free) + bytes / x->l2_rate;
    x->result.busy.l2 += bytes / x->l2_rate;
    return x->l2_free;
}

static void hbm_takes(sm *x, double bytes)
{
    x->hbm_free = fmax(x->now, x->hbm_free) + bytes / x->hbm_rate;
    x->result.busy.hbm += bytes / x->hbm_part;
}

/* Bytes queue at the port to the L2 and at the SM's share of HBM, where reads go before writes, which can wait in the
 * L2. *hbm_binds: HBM ends later. */
static double read_end(sm *x, const tw_cost *cost, double share, bool *hbm_binds)
{
    double l2 = l2_end(x, share * cost->l2_bytes), hbm = share * cost->hbm_bytes;
    *hbm_binds = false;
    if (hbm <= 0)
        return l2;
    hbm_takes(x, hbm);
    x->read_free = fmax(x->now, x->read_free) + hbm / x->hbm_rate;
    *hbm_binds = x->read_free > l2 + cost->latency;
    return fmax(l2, x->read_free);
}

/* Written bytes wait in the L2; only what does not fit there holds a store back: *by says so. */
static double store_end(sm *x, const tw_cost *cost, double share, tw_term *by)
{
    double dirty = x->play->machine->l2_dirty_bytes; /* 0: no limit */
    double room = dirty > 0 ? dirty / x->play->active_sms / x->hbm_rate : INFINITY;
    double bytes = share * cost->l2_bytes;
    x->store_free = fmax(x->now, x->store_free) + bytes / x->store_rate;
    x->result.busy.l2 += bytes / x->l2_rate;
    hbm_takes(x, share * cost->hbm_bytes);
    *by = x->hbm_free - room > x->store_free ? TW_TERM_HBM : TW_TERM_L2;
    return fmax(x->store_free, x->hbm_free - room) + cost->latency;
}

/* ---- steps begin ---------------------------------------------------------------------------------------- */

static bool across(const tw_sm_step *a, const tw_sm_step *b)
{
    return a->agent != b->agent;
}

/* How long after `needed` is over its reader goes on: barriers, where another agent is told. */
static double notice(const sm *x, const tw_sm_step *needed, const tw_sm_step *reader, int lanes)
{
    const tw_machine *machine = x->play->machine;
    if (needed->cost.pipe == TW_PIPE_COPY)
        return x->play->build->copier == TW_COPY_TMA
                   ? 0
                   : machine->barrier_cycles; /* the copy's latency has it */
    if (needed->kind == TW_OP_GIVE_TURN)
        return machine->barrier_cycles;
    if (across(needed, reader))
        return machine->mbarrier_cycles;
    return lanes > 1 && reader->cost.pipe == TW_PIPE_COPY ? machine->barrier_cycles : 0;
}

/* When the runner's next step may begin; INFINITY if that is not known yet. */
static double ready_at(sm *x, runner *r)
{
    const tw_program *program = x->blocks[r->place].program;
    const tw_sm_step *step = &program->steps[r->step];
    double latest = 0;
    for (int i = 0; i < step->num_needs; i++) {
        const tw_need *need = &program->needs[step->first_need + i];
        const tw_sm_step *needed = &program->steps[need->step];
        for (int lane = 0; lane < program->lanes; lane++) {
            if (!need->all_lanes && lane != r->lane)
                continue;
            const moment *over = over_of(x, r, need->step, lane);
            double at = over->at + notice(x, needed, step, program->lanes);
            if (at > latest) {
                latest = at;
                r->waits_for = over->late_by;
            }
        }
    }
    return latest;
}

static void go_on(sm *x, runner *r)
{
    const tw_program *program = x->blocks[r->place].program;
    r->step = next_step(program, r->agent, r->step + 1);
    r->state = r->step == program->num_steps ? DONE : READY;
    if (r->state == DONE)
        x->blocks[r->place].running--;
}

static void finish_step(sm *x, runner *r, double at, tw_term late_by)
{
    *over_of(x, r, r->step, r->lane) = (moment){at, late_by};
    go_on(x, r);
}

static void sleep_until(runner *r, double until, tw_term waits_for)
{
    r->state = ASLEEP;
    r->until = until;
    r->waits_for = waits_for;
}

/* The first bytes come after the latency. */
static void note_arrival(sm *x, const tw_cost *cost, int lanes, double arrives)
{
    double takes = fmax(1, arrives - x->now - cost->latency);
    if (x->num_arriving < MOST_ARRIVING)
        x->arriving[x->num_arriving++] = (arrival){arrives, fmin(1, cost->smem / lanes / takes)};
}

/* A copy is under way. Through registers, the agent stays with it until it has stored what came. */
static void begin_copy(sm *x, runner *r, const tw_sm_step *step)
{
    const tw_cost *cost = &step->cost;
    int lanes = x->blocks[r->place].program->lanes;
    tw_copier copier = x->play->build->copier;
    bool hbm_binds, stays = copier == TW_COPY_REGISTERS || copier == TW_COPY_ONE_BY_ONE;
    double arrives = read_end(x, cost, 1.0 / lanes, &hbm_binds) + cost->latency;
    double free_again = x->now + cost->cycles;
    if (copier == TW_COPY_CP_ASYNC)
        note_arrival(x, cost, lanes, arrives);
    if (stays)
        arrives = free_again = fmax(arrives, x->now) + cost->cycles;
    x->result.busy.smem += cost->smem / lanes;
    tell(x, r, step, x->now, arrives);
    tw_term late_by = hbm_binds ? TW_TERM_HBM : TW_TERM_L2;
    finish_step(x, r, arrives, late_by);
    if (r->state == READY && free_again > x->now)
        sleep_until(r, free_again, stays ? late_by : TW_TERM_WAITS);
}

static void begin_step(sm *x, runner *r)
{
    const tw_sm_step *step = step_of(x, r);
    r->began = x->now;
    switch (step->cost.pipe) {
    case TW_PIPE_COPY:
        begin_copy(x, r, step);
        break;
    case TW_PIPE_TENSOR:
        r->state = ISSUING;
        r->left_pieces = step->cost.pieces;
        break;
    case TW_PIPE_MMA:
    case TW_PIPE_FMA:
    case TW_PIPE_CORES:
    case TW_PIPE_STORE:
        r->state = WORKING;
        r->left = step->cost.cycles;
        x->result.busy.smem += 4 * step->cost.smem; /* all quarters do the same at the same time */
        break;
    default:
        finish_step(x, r, x->now, TW_TERM_WAITS);
        break;
    }
}

/* Whoever can begin begins; one step may let the next begin at the same instant. */
static void begin_all(sm *x)
{
    bool again = true;
    while (again) {
        again = false;
        for (int i = 0; i < x->num_runners; i++) {
            runner *r = &x->runners[i];
            if (r->state == ASLEEP && r->until <= x->now)
                r->state = READY;
            if (r->state != READY)
                continue;
            r->until = ready_at(x, r);
            if (r->until <= x->now) {
                begin_step(x, r);
                again = true;
            }
        }
    }
}

/* Pieces of wgmma go into the queue in turns, as long as there is room. */
static void fill_queue(sm *x)
{
    int room = (int)x->play->machine->wgmma_run_ahead;
    bool again = true;
    while (again && x->queued < room && x->queued < QUEUE) {
        again = false;
        for (int n = 0; n < x->num_runners && !again; n++) {
            int i = (x->turn + n) % x->num_runners;
            runner *r = &x->runners[i];
            if (r->state != ISSUING)
                continue;
            const tw_sm_step *step = step_of(x, r);
            x->queue[x->queued++] = (piece){.runner = i,
                                            .step = r->step,
                                            .left = step->cost.cycles,
                                            .began = x->now,
                                            .last = r->left_pieces == 1};
            x->turn = (i + 1) % x->num_runners;
            again = true;
            if (--r->left_pieces == 0)
                go_on(x, r);
        }
    }
}

/* ---- speeds --------------------------------------------------------------------------------------------- */

/* Speed of each of n warpgroups on the CUDA cores, against one alone. Beyond three the sum stays as it is. */
static double group_speed(const tw_machine *m, int n, bool tensor_busy)
{
    double three = tensor_busy ? m->softmax_speed_3_busy : m->softmax_speed_3_idle;
    switch (n) {
    case 0:
    case 1:
        return tensor_busy ? m->softmax_speed_1_busy : 1.0;
    case 2:
        return tensor_busy ? m->softmax_speed_2_busy : m->softmax_speed_2_idle;
    default:
        return 3.0 * three / n;
    }
}

/*
 * Speed of each of n warps that share a pipe which each of them alone takes for a share `busy` of its time: mean value
 * analysis of a closed network of that pipe and a pause (Reiser and Lavenberg 1980). n warps find (n - 1 of them) in the
 * queue on average.
 */
static double shared_speed(double busy, int n)
{
    double queue = 0, round = 1;
    for (int i = 1; i <= n; i++) {
        round = busy * (1 + queue) + (1 - busy);
        queue = i * busy * (1 + queue) / round;
    }
    return 1 / round;
}

static int count_working(const sm *x, tw_pipe pipe)
{
    int count = 0;
    for (int i = 0; i < x->num_runners; i++)
        count += x->runners[i].state == WORKING && step_of(x, &x->runners[i])->cost.pipe == pipe;
    return count;
}

/* Tensor and CUDA cores of a quarter slow each other, as measured for one warp of each kind. */
static double warp_speed(const sm *x, const tw_cost *cost, int mma, int fma, int cores)
{
    const tw_machine *m = x->play->machine;
    switch (cost->pipe) {
    case TW_PIPE_MMA:
        return shared_speed(cost->busy, mma) / (1 + cores * (1 / m->mma_speed_beside_softmax - 1));
    case TW_PIPE_FMA:
        return shared_speed(cost->busy, fma + cores);
    default:
        return shared_speed(cost->busy, cores + fma) / (1 + mma * (1 / m->softmax_speed_beside_mma - 1));
    }
}

/* Forgets copies that are there. */
static double smem_of_arrivals(sm *x)
{
    double wanted = 0;
    int kept = 0;
    for (int i = 0; i < x->num_arriving; i++) {
        if (x->arriving[i].until <= x->now)
            continue;
        wanted += x->arriving[i].smem_share;
        x->arriving[kept++] = x->arriving[i];
    }
    x->num_arriving = kept;
    return fmin(wanted, 1);
}

/* Where warps together want more of shared memory than there is, all who want some are slowed. */
static void share_smem(sm *x)
{
    double wanted = smem_of_arrivals(x);
    for (int i = 0; i < x->num_runners; i++) {
        const runner *r = &x->runners[i];
        if (r->state == WORKING && r->left > 0)
            wanted += 4 * step_of(x, r)->cost.smem / step_of(x, r)->cost.cycles * r->speed;
    }
    for (int i = 0; i < x->num_runners && wanted > 1; i++)
        if (x->runners[i].state == WORKING && step_of(x, &x->runners[i])->cost.smem > 0)
            x->runners[i].speed /= wanted;
}

static void set_speeds(sm *x)
{
    int cores = count_working(x, TW_PIPE_CORES) + count_working(x, TW_PIPE_STORE);
    int mma = count_working(x, TW_PIPE_MMA), fma = count_working(x, TW_PIPE_FMA);
    bool rows = x->play->schedule->launches[x->play->launch].grid_i == TW_AXIS_Q_ROWS;
    bool groups = x->play->build->multiplier == TW_BY_WGMMA && !rows;
    for (int i = 0; i < x->num_runners; i++) {
        runner *r = &x->runners[i];
        if (r->state == WORKING)
            r->speed = groups ? group_speed(x->play->machine, cores, x->queued > 0)
                              : warp_speed(x, &step_of(x, r)->cost, mma, fma, cores);
    }
    if (!groups)
        share_smem(x);
}

static double tensor_speed(const sm *x)
{
    return count_working(x, TW_PIPE_CORES) > 0 ? x->play->machine->wgmma_speed_beside_softmax : 1.0;
}

/* ---- time goes on --------------------------------------------------------------------------------------- */

static double next_event(const sm *x)
{
    double next = x->queued > 0 ? x->now + x->queue[0].left / tensor_speed(x) : INFINITY;
    for (int i = 0; i < x->num_runners; i++) {
        const runner *r = &x->runners[i];
        if (r->state == WORKING)
            next = fmin(next, x->now + r->left / r->speed);
        else if ((r->state == ASLEEP || r->state == READY) && r->until > x->now)
            next = fmin(next, r->until);
    }
    for (int i = 0; i < x->num_arriving; i++)
        next = fmin(next, x->arriving[i].until);
    for (int i = 0; i < x->num_places; i++)
        if (x->blocks[i].program && x->blocks[i].running == 0)
            next = fmin(next, fmax(x->now, x->blocks[i].ends));
    return next;
}

/* What the SM is at in this instant. */
static tw_term term_now(const sm *x)
{
    if (x->queued > 0 || count_working(x, TW_PIPE_MMA) > 0 || count_working(x, TW_PIPE_FMA) > 0)
        return TW_TERM_PRODUCTS;
    if (count_working(x, TW_PIPE_CORES) > 0 || count_working(x, TW_PIPE_STORE) > 0)
        return TW_TERM_CORES;
    tw_term best = TW_TERM_BLOCKS;
    for (int i = 0; i < x->num_runners; i++) {
        const runner *r = &x->runners[i];
        bool waits = r->state == READY || r->state == ASLEEP;
        if (waits && r->agent != 1 && r->waits_for < best) /* what the producer waits for holds nobody up */
            best = r->waits_for;
    }
    for (int i = 0; i < x->num_places; i++)
        if (x->blocks[i].program && x->blocks[i].running == 0 && x->blocks[i].ends_by < best)
            best = x->blocks[i].ends_by;
    return best;
}

/* Where the agent is that calculates and is furthest behind. */
static tw_phase phase_now(const sm *x)
{
    tw_phase phase = TW_PHASE_START;
    for (int i = 0; i < x->num_runners; i++) {
        const runner *r = &x->runners[i];
        if (r->state == DONE || r->agent == 1 || r->step >= x->blocks[r->place].program->num_steps)
            continue;
        const tw_sm_step *step = step_of(x, r);
        bool loops = step->tile > 0 || (step->tile == 0 && step->kind != TW_OP_MATMUL_NT);
        bool ends = step->kind == TW_OP_NORMALIZE || step->kind == TW_OP_LSE || step->kind == TW_OP_STORE;
        if (loops && !ends)
            return TW_PHASE_LOOP;
        if (ends)
            phase = TW_PHASE_END;
    }
    return phase;
}

static void account(sm *x, double dt)
{
    tw_term term = term_now(x);
    x->result.terms[term] += dt;
    x->result.phases[phase_now(x)][term] += dt;
    x->result.busy.products += term == TW_TERM_PRODUCTS ? dt : 0;
    x->result.busy.cores += count_working(x, TW_PIPE_CORES) + count_working(x, TW_PIPE_STORE) > 0 ? dt : 0;
}

/* The piece that is served is done: if it was its product's last, the result comes after the pipe's latency. */
static void serve(sm *x)
{
    piece done = x->queue[0];
    runner *r = &x->runners[done.runner];
    const tw_sm_step *step = &x->blocks[r->place].program->steps[done.step];
    memmove(x->queue, x->queue + 1, (size_t)--x->queued * sizeof *x->queue);
    x->queue[0].began = x->now;
    tell(x, r, step, done.began, x->now);
    if (done.last)
        *over_of(x, r, done.step, r->lane) = (moment){x->now + step->cost.latency, TW_TERM_WAITS};
}

/* A step on a pipe is done. What a store still has on its way holds up nothing but the block's end. */
static void end_work(sm *x, runner *r)
{
    const tw_sm_step *step = step_of(x, r);
    tw_term by = TW_TERM_WAITS;
    double over = x->now;
    if (step->cost.pipe == TW_PIPE_STORE) {
        block *b = &x->blocks[r->place];
        over = store_end(x, &step->cost, 1.0 / b->program->lanes, &by);
        b->ends_by = over > b->ends ? by : b->ends_by;
        b->ends = fmax(b->ends, over);
    }
    tell(x, r, step, r->began, x->now);
    finish_step(x, r, over, by);
}

static void advance(sm *x, double to)
{
    static const double almost = 1e-6;
    double dt = to - x->now, served = x->queued > 0 ? dt * tensor_speed(x) : 0;
    account(x, dt);
    x->now = to;
    bool piece_done = x->queued > 0 && (x->queue[0].left -= served) <= almost;
    for (int i = 0; i < x->num_runners; i++) {
        runner *r = &x->runners[i];
        if (r->state == WORKING && (r->left -= dt * r->speed) <= almost)
            end_work(x, r);
    }
    if (piece_done)
        serve(x);
}

static bool any_left(const sm *x)
{
    for (int i = 0; i < x->num_places; i++)
        if (x->blocks[i].program)
            return true;
    return x->next_program < x->num_programs;
}

static void play_all(sm *x)
{
    for (int i = 0; i < x->num_places && x->next_program < x->num_programs; i++)
        start_block(x, i, x->play->machine->block_start_cycles);
    while (x->status == TW_OK && any_left(x)) {
        begin_all(x);
        fill_queue(x);
        set_speeds(x);
        double next = next_event(x);
        if (!isfinite(next)) {
            x->status = tw_fail(TW_ESCHEDULE, "%s: agents wait for each other for ever",
                                x->play->schedule->name);
            return;
        }
        advance(x, next);
        change_blocks(x);
    }
}

static void set_rates(sm *x)
{
    const tw_play *play = x->play;
    const tw_machine *m = play->machine;
    double sms = play->active_sms, clock = play->clock_hz;
    double port = m->copy_bytes_per_clock;
    if (play->build->copier == TW_COPY_CP_ASYNC)
        port = tw_play_warps(play) * x->num_places >= 8 ? m->cp_async_8_warps_bytes_per_clock
                                                        : m->cp_async_bytes_per_clock;
    double l2 = play->same_order ? m->l2_shared_bytes_per_s : m->copy_l2_bytes_per_s;
    x->l2_rate = fmin(port, l2 / sms / clock);
    x->hbm_part = play->hbm_bytes_per_s / sms / clock;
    x->hbm_rate = fmin(port, x->hbm_part);
    x->store_rate = fmin(m->copy_bytes_per_clock, m->store_bytes_per_clock * m->num_sms / sms);
}

tw_status tw_clock_play(tw_clock_result *result, const tw_play *play, const tw_program *const *programs,
                        int num_programs, int places, const tw_clock_observer *observer)
{
    sm *x = calloc(1, sizeof *x);
    if (!x)
        return tw_fail(TW_ENOMEM, "no memory to play an SM");
    x->play = play;
    x->programs = programs;
    x->num_programs = num_programs;
    x->num_places = places < MOST_PLACES ? places : MOST_PLACES;
    x->observer = observer;
    set_rates(x);
    play_all(x);
    for (int i = 0; i < x->num_places; i++)
        free(x->blocks[i].over);
    x->result.cycles = x->now;
    tw_status status = x->status;
    if (status == TW_OK)
        *result = x->result;
    free(x);
    return status;
}
