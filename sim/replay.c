/* The blocks of a launch in time: a queue of workers, the one whose next step is due earliest in front. */
#include "replay.h"

#include "draw.h"

#include <stdlib.h>

/* A place on an SM that runs one block after the other. */
typedef struct worker {
    double at;       /* cycles since the launch began, when its next step is due */
    int side;        /* of the L2 that its SM is near to */
    double slowness; /* cycles for a cycle of work */
    int64_t block;   /* number of the block that it runs; −1: it has none */
    int32_t step, step_end, repeat;
    int32_t base[TW_NUM_TENSORS]; /* first unit of each tensor for the block's head */
} worker;

/* When a worker's next step is due, in quarters of a cycle, and below that its number: earlier ones are smaller. */
typedef uint64_t due;
#define WORKER_BITS  16
#define MOST_WORKERS (1 << WORKER_BITS)

typedef struct player {
    const tw_replay *replay;
    const tw_access_list *list;
    tw_cache_counts *counts;
    tw_order order;
    int num_workers;
    worker *workers;
    due *queue; /* a heap: queue[i] is not later than queue[2i + 1] and queue[2i + 2] */
    int queue_length;
    int64_t num_blocks, next_block;
    int64_t cache_bytes;
} player;

/* ---- the queue ------------------------------------------------------------------------------------------ */

static due due_of(const player *p, const worker *w)
{
    return (due)(w->at * 4.0) << WORKER_BITS | (due)(w - p->workers);
}

/* The first in the queue may be due later than others: it goes to where it belongs. */
static void settle_first(player *p)
{
    due moved = p->queue[0];
    int hole = 0;
    for (int child; (child = 2 * hole + 1) < p->queue_length; hole = child) {
        if (child + 1 < p->queue_length && p->queue[child + 1] < p->queue[child])
            child++;
        if (moved <= p->queue[child])
            break;
        p->queue[hole] = p->queue[child];
    }
    p->queue[hole] = moved;
}

static int by_time(const void *a, const void *b)
{
    due x = *(const due *)a, y = *(const due *)b;
    return (x > y) - (x < y);
}

/* ---- accesses ------------------------------------------------------------------------------------------- */

static int bin_of(int64_t distance)
{
    int bin = 0;
    while (bin < TW_REUSE_BINS - 1 && distance > (int64_t)TW_REUSE_BIN0_BYTES << bin)
        bin++;
    return bin;
}

static void analyse(player *p, int32_t unit, bool from_hbm)
{
    tw_cache_analysis *a = &p->counts->analysis;
    int64_t bytes = p->replay->units->bytes[unit], distance = tw_reuse_touch(p->replay->reuse, unit);
    if (distance == TW_REUSE_FIRST)
        a->first_touch_bytes += bytes;
    else
        a->reuse_bytes[bin_of(distance)] += bytes;
    if (!from_hbm)
        return;
    if (distance == TW_REUSE_FIRST)
        a->compulsory_bytes += bytes;
    else if (distance > p->cache_bytes)
        a->capacity_bytes += bytes;
    else
        a->conflict_bytes += bytes;
}

static void touch(player *p, const worker *w, const tw_access *access)
{
    tw_l2 *l2 = p->replay->l2;
    int32_t unit = w->base[access->tensor] + access->unit + w->repeat * access->advance;
    p->counts->operations += access->count;
    for (int32_t end = unit + access->count; unit < end; unit++) {
        bool from_hbm = false;
        if (access->write)
            tw_l2_write(l2, w->side, unit);
        else
            from_hbm = tw_l2_read(l2, w->side, unit) == TW_L2_HBM;
        if (p->replay->reuse)
            analyse(p, unit, from_hbm);
    }
}

/* ---- workers -------------------------------------------------------------------------------------------- */

static void enter_block(player *p, worker *w, int64_t n)
{
    const tw_problem *problem = p->replay->problem;
    int heads = p->list->all_heads ? 1 : problem->num_heads;
    int64_t tiles = p->list->num_tiles, of_batch = tiles * heads, batch = n / of_batch;
    tw_grid_place place = tw_order_place(p->order, n % of_batch, tiles, heads, problem->causal);
    tw_unit_run steps = tw_access_list_block(p->list, place.tile);
    w->block = n;
    w->step = steps.first;
    w->step_end = steps.first + steps.count;
    w->repeat = 0;
    for (int i = 0; i < TW_NUM_TENSORS; i++) {
        const tw_tensor_units *t = &p->replay->units->of[i];
        bool shared = i == TW_BIAS && !problem->scoring.bias_per_batch; /* one for all batch elements */
        int64_t before = shared ? 0 : batch * t->heads;
        int64_t head = t->heads > 0 ? before + place.head / (problem->num_heads / t->heads) : 0;
        w->base[i] = t->first + (int32_t)(head * t->per_head);
    }
}

/* The block that this worker runs next; num_blocks or more if there is none. */
static int64_t next_block(player *p, const worker *w)
{
    if (!p->replay->options->static_stride)
        return p->next_block++;
    return w->block >= 0 ? w->block + p->num_workers : w - p->workers;
}

/* Plays steps until one takes time; returns how many cycles. False when the block is at its end. */
static bool play(player *p, worker *w, double *cycles)
{
    while (w->step < w->step_end) {
        const tw_access_step *step = &p->list->steps[w->step];
        for (int32_t i = 0; i < step->count; i++)
            touch(p, w, &p->list->accesses[step->first + i]);
        if (++w->repeat == step->repeats) {
            w->step++;
            w->repeat = 0;
        }
        if (step->cycles > 0.0f) {
            *cycles = step->cycles * w->slowness;
            return true;
        }
    }
    return false;
}

static void report_progress(const player *p, int64_t done)
{
    const tw_cache_options *o = p->replay->options;
    if (o->progress && done % 64 == 0)
        o->progress(o->progress_context,
                    p->replay->share_begin + p->replay->share * (double)done / (double)p->num_blocks);
}

/* One turn of a worker: a step, or a block's end and the next one's beginning. False: it has finished. */
static bool take_turn(player *p, worker *w, int64_t *done)
{
    const tw_machine *m = p->replay->machine;
    double cycles;
    if (w->step < w->step_end && play(p, w, &cycles)) {
        w->at += cycles;
        return true;
    }
    if (w->block >= 0) {
        w->at += m->block_end_cycles;
        report_progress(p, ++*done);
    }
    int64_t n = next_block(p, w);
    if (n >= p->num_blocks)
        return false;
    enter_block(p, w, n);
    w->at += m->block_begin_cycles;
    return true;
}

static void run(player *p)
{
    int64_t done = 0;
    while (p->queue_length > 0) {
        worker *w = &p->workers[p->queue[0] & ((1 << WORKER_BITS) - 1)];
        p->queue[0] = take_turn(p, w, &done) ? due_of(p, w) : p->queue[--p->queue_length];
        settle_first(p);
    }
}

/* Blocks are dealt out over the SMs in turn; neighbouring SMs are near to different sides. */
static void place_workers(player *p, int blocks_per_sm, int sides)
{
    const tw_machine *m = p->replay->machine;
    uint64_t random = tw_draw_from(p->replay->options->seed + 1);
    double drift = blocks_per_sm > 1 ? m->drift_more_blocks : m->drift_one_block;
    int sms = m->num_sms >= 1 ? (int)m->num_sms : 1;
    for (int i = 0; i < p->num_workers; i++) {
        double speed = 1.0 + drift * (tw_draw_unit(&random) - 0.5);
        p->workers[i] = (worker){.at = m->start_stagger_cycles * tw_draw_unit(&random),
                                 .side = i % sms % sides,
                                 .slowness = blocks_per_sm / speed,
                                 .block = -1};
        p->queue[i] = due_of(p, &p->workers[i]);
    }
    p->queue_length = p->num_workers;
    qsort(p->queue, (size_t)p->queue_length, sizeof *p->queue, by_time);
}

static int number_of_workers(const player *p, int blocks_per_sm)
{
    double sms = p->replay->machine->num_sms >= 1 ? p->replay->machine->num_sms : 1;
    double workers = p->replay->options->num_workers > 0 ? p->replay->options->num_workers
                                                         : sms * blocks_per_sm;
    workers = workers < MOST_WORKERS ? workers : MOST_WORKERS;
    return (int)(workers < (double)p->num_blocks ? workers : (double)p->num_blocks);
}

tw_status tw_replay_launch(tw_cache_counts *counts, const tw_replay *replay, const tw_access_list *list,
                           tw_order order, int blocks_per_sm)
{
    bool calibrated;
    tw_l2_shape l2 = tw_l2_shape_of(&calibrated, replay->machine);
    player p = {.replay = replay,
                .list = list,
                .counts = counts,
                .order = order,
                .num_blocks = (int64_t)list->num_tiles *
                              (list->all_heads ? 1 : replay->problem->num_heads * replay->problem->batch),
                .cache_bytes = l2.side_bytes * l2.sides};
    p.num_workers = counts->workers = number_of_workers(&p, blocks_per_sm);
    p.workers = malloc(((size_t)p.num_workers + 1) * sizeof *p.workers);
    p.queue = malloc(((size_t)p.num_workers + 1) * sizeof *p.queue);
    tw_status status = TW_OK;
    if (p.workers && p.queue) {
        place_workers(&p, blocks_per_sm, l2.sides);
        run(&p);
    } else {
        status = tw_fail(TW_ENOMEM, "no memory for %d blocks in flight", p.num_workers);
    }
    free(p.workers);
    free(p.queue);
    return status;
}
