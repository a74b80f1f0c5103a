/* The back end that writes a walk down, while the numeric back end executes it. */
#include "backend_trace.h"

#include "backend_numeric.h"
#include "slots.h"

#include <stdlib.h>
#include <string.h>

/* ---- recording ------------------------------------------------------------------------------------------ */

/* Which statistics and which accumulator a tile of scores works on. */
typedef struct partners {
    int m, l, o; /* slot ids, −1 if none */
} partners;

static const partners no_partners = {-1, -1, -1};

typedef struct recorder {
    tw_trace trace;
    const tw_trace_options *options;
    tw_tally tally;
    tw_status status;
    partners of_scores[TW_MAX_SLOTS], of_block;
    int launch, batch, head;
    tw_slot_info slots[TW_MAX_SLOTS]; /* as they were before the releases at the end of a tile or a block */
    int64_t live_bytes[TW_NUM_PLACES];
    bool working; /* since the last stop, something but releases was done */
    int first_line, last_line;
    size_t first_frame, at_frame;
} recorder;

enum { STOPS, FRAMES, SLOTS, WRITES, NUMBERS };

/* Room for `more` items behind `count` of them; NULL, and a status, if there is none. */
static void *room(recorder *r, void **items, int which, size_t count, size_t more, size_t size)
{
    size_t *capacity = &r->trace.capacity[which];
    if (r->status != TW_OK)
        return NULL;
    if (count + more > *capacity) {
        size_t wanted = 2 * *capacity > count + more ? 2 * *capacity : count + more + 64;
        void *grown = realloc(*items, wanted * size);
        if (!grown) {
            r->status = tw_fail(TW_ENOMEM, "no memory to record a walk of %zu stops", r->trace.num_stops);
            return NULL;
        }
        *items = grown;
        *capacity = wanted;
    }
    return (char *)*items + count * size;
}

static size_t keep_numbers(recorder *r, const double *x, size_t count)
{
    void *items = r->trace.numbers;
    double *to = room(r, &items, NUMBERS, r->trace.num_numbers, count, sizeof *to);
    r->trace.numbers = items;
    if (!to)
        return TW_TRACE_NONE;
    if (count > 0)
        memcpy(to, x, count * sizeof *to);
    r->trace.num_numbers += count;
    return r->trace.num_numbers - count;
}

/* As the recurrence calls them: m and l small, where a message of the tile language says M and L. */
static const char *name_of(const tw_slot_info *slot)
{
    if (slot->tensor == TW_M)
        return "m";
    return slot->tensor == TW_L && !slot->is_alpha ? "l" : tw_slot_name(slot);
}

static tw_trace_chip keep_chip(recorder *r, const tw_slot_info *slots, const int64_t *live_bytes)
{
    tw_trace *t = &r->trace;
    tw_trace_chip chip = {.moved = r->tally.moved, .first_slot = t->num_slots};
    memcpy(chip.live_bytes, live_bytes, sizeof chip.live_bytes);
    for (int id = 0; id < TW_MAX_SLOTS; id++) {
        if (!slots[id].live)
            continue;
        void *items = t->slots;
        tw_trace_slot *to = room(r, &items, SLOTS, t->num_slots, 1, sizeof *to);
        t->slots = items;
        if (!to)
            break;
        *to = (tw_trace_slot){.id = id, .name = name_of(&slots[id]), .info = slots[id]};
        t->num_slots++;
    }
    chip.num_slots = t->num_slots - chip.first_slot;
    return chip;
}

static void keep_frame(recorder *r, const tw_emitter *e, const tw_op *op, double *const *contents)
{
    tw_trace *t = &r->trace;
    int slot = op->dst >= 0 ? op->dst : op->a;
    tw_trace_frame frame = {.kind = op->kind,
                            .name = name_of(&e->slots[slot]),
                            .slot = slot,
                            .line = op->line,
                            .stop = t->num_stops,
                            .chip = keep_chip(r, e->slots, e->live_bytes),
                            .first_write = t->num_writes};
    int ids[4], n = tw_trace_written(ids, op);
    for (int i = 0; i < n; i++) {
        size_t count = (size_t)tw_slot_elements(&e->slots[ids[i]]);
        size_t first = keep_numbers(r, contents[ids[i]], count);
        void *items = t->writes;
        tw_trace_write *to = room(r, &items, WRITES, t->num_writes, 1, sizeof *to);
        t->writes = items;
        if (!to)
            return;
        *to = (tw_trace_write){.slot = ids[i], .first = first, .count = count};
        t->num_writes++;
    }
    frame.num_writes = (size_t)n;
    void *items = t->frames;
    tw_trace_frame *to = room(r, &items, FRAMES, t->num_frames, 1, sizeof *to);
    t->frames = items;
    if (!to)
        return;
    *to = frame;
    t->num_frames++;
}

/* Who works with whom is said by the operations. */
static void note_partners(recorder *r, const tw_emitter *e, const tw_op *op)
{
    bool statistics = op->stats.m.id >= 0;
    if (op->kind == TW_OP_MATMUL_NT || (op->kind == TW_OP_LOAD && tw_trace_is_scores(op->tensor)))
        r->of_scores[op->dst] = no_partners;
    if (statistics)
        r->of_block.m = op->stats.m.id, r->of_block.l = op->stats.l.id;
    if (statistics && op->dst >= 0 && tw_trace_is_scores(e->slots[op->dst].tensor))
        r->of_scores[op->dst].m = op->stats.m.id, r->of_scores[op->dst].l = op->stats.l.id;
    if (op->kind == TW_OP_MATMUL_ADD)
        r->of_block.o = r->of_scores[op->a].o = op->dst;
    if (op->kind == TW_OP_NORMALIZE && e->slots[op->dst].tensor == TW_O)
        r->of_block.o = op->dst;
    r->batch = e->batch, r->head = e->head;
}

/* A slot that was live before the releases, and holds one row for each of `rows`. */
static const tw_slot_info *held(const recorder *r, int id, const tw_tile *rows)
{
    const tw_slot_info *info = id >= 0 ? &r->slots[id] : NULL;
    return info && info->live && info->written && (!rows || info->rows.row0 == rows->row0) ? info : NULL;
}

static void keep_rows(recorder *r, tw_trace_stop *stop, partners with, double *const *contents)
{
    const tw_slot_info *m = held(r, with.m, &stop->rows), *l = held(r, with.l, &stop->rows);
    const tw_slot_info *o = held(r, with.o, &stop->rows);
    int64_t row = r->options->row < 0 ? stop->rows.row0 : r->options->row;
    bool in_tile = row >= stop->rows.row0 && row < stop->rows.row0 + stop->rows.rows;
    stop->m = stop->l = stop->o = TW_TRACE_NONE;
    stop->o_row = in_tile ? row : -1;
    if (m && (m->tensor == TW_M || m->tensor == TW_LSE))
        stop->m = keep_numbers(r, contents[with.m], (size_t)m->rows.rows);
    stop->m_is_lse = m && m->tensor == TW_LSE;
    if (l && l->tensor == TW_L)
        stop->l = keep_numbers(r, contents[with.l], (size_t)l->rows.rows);
    stop->o_normalized = o && o->normalized;
    stop->o_tensor = o ? o->tensor : TW_O;
    if (o && (o->tensor == TW_O || o->tensor == TW_DQ || o->tensor == TW_DQ_SUM) && in_tile) {
        size_t width = (size_t)o->cols.rows;
        stop->o = keep_numbers(r, contents[with.o] + (size_t)(row - stop->rows.row0) * width, width);
    }
}

/* dK and dV of one key, as far as they are on chip: the first that they hold, or the one asked for. */
static void keep_key(recorder *r, tw_trace_stop *stop, double *const *contents)
{
    stop->dk = stop->dv = TW_TRACE_NONE;
    stop->key = -1;
    for (int id = 0; id < TW_MAX_SLOTS; id++) {
        const tw_slot_info *of = held(r, id, NULL);
        if (!of || (of->tensor != TW_DK && of->tensor != TW_DV))
            continue;
        stop->key = r->options->row < 0 ? of->rows.row0 : r->options->row;
        int64_t at = stop->key - of->rows.row0;
        size_t width = (size_t)of->cols.rows;
        stop->no_such_key = at < 0 || at >= of->rows.rows;
        if (!stop->no_such_key)
            *(of->tensor == TW_DK ? &stop->dk
                                  : &stop->dv) = keep_numbers(r, contents[id] + (size_t)at * width, width);
    }
}

/* At the end of a block that has neither O nor statistics: something that it holds. */
static const tw_slot_info *stored_last(const recorder *r, bool *of_keys)
{
    for (int id = 0; id < TW_MAX_SLOTS; id++)
        if (r->slots[id].live && r->slots[id].written) {
            *of_keys = r->slots[id].tensor == TW_DK || r->slots[id].tensor == TW_DV;
            return &r->slots[id];
        }
    return NULL;
}

/* Where dQ is prepared or converted, nobody multiplies towards it; −1 if there is none. */
static int slot_of_dq(const recorder *r)
{
    for (int id = 0; id < TW_MAX_SLOTS; id++)
        if (held(r, id, NULL) && (r->slots[id].tensor == TW_DQ || r->slots[id].tensor == TW_DQ_SUM))
            return id;
    return -1;
}

static void keep_stop(recorder *r, int scores, double *const *contents)
{
    tw_trace *t = &r->trace;
    partners with = scores >= 0 ? r->of_scores[scores] : r->of_block;
    if (with.o < 0)
        with.o = r->of_block.o; /* dQ works with dS, not with P */
    if (with.o < 0)
        with.o = slot_of_dq(r);
    const tw_slot_info *of = scores >= 0 ? &r->slots[scores] : held(r, with.o, NULL);
    tw_trace_stop stop = {.tile = scores >= 0 ? ++t->num_tiles : 0,
                          .launch = r->launch,
                          .batch = r->batch,
                          .head = r->head,
                          .first_line = r->first_line,
                          .last_line = r->last_line,
                          .chip = keep_chip(r, r->slots, r->live_bytes),
                          .first_frame = r->first_frame,
                          .at_frame = r->at_frame,
                          .last_frame = t->num_frames > 0 ? t->num_frames - 1 : 0};
    if (!of)
        of = held(r, with.m, NULL);
    if (!of)
        of = stored_last(r, &stop.of_keys);
    if (of)
        stop.rows = of->rows;
    if (scores >= 0)
        stop.cols = of->cols;
    keep_rows(r, &stop, with, contents);
    keep_key(r, &stop, contents);
    void *items = t->stops;
    tw_trace_stop *to = room(r, &items, STOPS, t->num_stops, 1, sizeof *to);
    t->stops = items;
    if (!to)
        return;
    *to = stop;
    t->num_stops++;
    r->working = false;
}

static bool last_to_go(const tw_emitter *e, int id)
{
    for (int other = 0; other < TW_MAX_SLOTS; other++)
        if (other != id && e->slots[other].live)
            return false;
    return true;
}

/* Releases end a tile or a block, or trail behind one. */
static void on_release(recorder *r, const tw_emitter *e, const tw_op *op, double *const *contents)
{
    tw_trace *t = &r->trace;
    bool scores = tw_trace_is_scores(e->slots[op->dst].tensor);
    if (r->working && (scores || last_to_go(e, op->dst)))
        keep_stop(r, scores ? op->dst : -1, contents);
    else if (!r->working && t->num_stops > 0 && r->options->full) {
        t->stops[t->num_stops - 1].last_frame = t->num_frames - 1;
        t->frames[t->num_frames - 1].stop = t->num_stops - 1;
    }
    if (last_to_go(e, op->dst))
        r->of_block = no_partners;
}

static void on_work(recorder *r, const tw_emitter *e, const tw_op *op)
{
    size_t frame = r->trace.num_frames > 0 ? r->trace.num_frames - 1 : 0;
    if (!r->working) {
        r->first_line = r->last_line = op->line;
        r->first_frame = frame;
    }
    r->working = true;
    r->first_line = op->line < r->first_line ? op->line : r->first_line;
    r->last_line = op->line > r->last_line ? op->line : r->last_line;
    r->at_frame = frame;
    r->launch = (int)(e->launch - e->schedule->launches);
    memcpy(r->slots, e->slots, sizeof r->slots);
    memcpy(r->live_bytes, e->live_bytes, sizeof r->live_bytes);
}

/* What a slot becomes, it becomes behind the operation: S is P, and O divided by l, by the time of the next one. */
static void settle(recorder *r, const tw_emitter *e)
{
    tw_trace *t = &r->trace;
    for (int id = 0; id < TW_MAX_SLOTS; id++) {
        r->slots[id].tensor = e->slots[id].tensor;
        r->slots[id].normalized = e->slots[id].normalized;
    }
    const tw_trace_chip *last = t->num_frames > 0 ? &t->frames[t->num_frames - 1].chip : NULL;
    for (size_t i = 0; last && i < last->num_slots; i++) {
        tw_trace_slot *slot = &t->slots[last->first_slot + i];
        if (!e->slots[slot->id].live)
            continue;
        slot->info.tensor = e->slots[slot->id].tensor;
        slot->info.normalized = e->slots[slot->id].normalized;
        slot->name = name_of(&e->slots[slot->id]);
    }
}

static void record_op(void *self, const tw_emitter *e, const tw_op *op, double *const *contents)
{
    recorder *r = self;
    if (r->status != TW_OK)
        return;
    settle(r, e);
    r->status = tw_tally_op(&r->tally, e, op);
    note_partners(r, e, op);
    if (r->options->full)
        keep_frame(r, e, op, contents);
    if (r->status != TW_OK)
        return;
    if (op->kind == TW_OP_RELEASE)
        on_release(r, e, op, contents);
    else
        on_work(r, e, op);
}

/* ---- the run -------------------------------------------------------------------------------------------- */

static tw_status run(recorder *r, const double *q, const double *k, const double *v)
{
    const tw_trace *t = &r->trace;
    const tw_numeric_observer observer = {record_op, r};
    const tw_numeric_options options = {.rounding = TW_ROUND_NEVER, .observer = &observer};
    double *results[] = {malloc(tw_problem_o_elements(&t->problem) * sizeof(double)),
                         malloc(tw_problem_q_elements(&t->problem) * sizeof(double)),
                         malloc(tw_problem_k_elements(&t->problem) * sizeof(double)),
                         malloc(tw_problem_v_elements(&t->problem) * sizeof(double))};
    const tw_training_step step = {r->options->forward, t->schedule, r->options->forward_tiling, t->tiling};
    const tw_step_results gradients = {results[0], NULL, results[1], results[2], results[3]};
    tw_status status = TW_OK;
    if (!results[0] || !results[1] || !results[2] || !results[3])
        status = tw_fail(TW_ENOMEM, "no memory for O and gradients");
    else if (step.forward)
        status = tw_numeric_run_step(&gradients, NULL, &step, &t->problem, &t->machine, q, k, v,
                                     r->options->d_o, &options);
    else
        status = tw_numeric_run(results[0], NULL, NULL, t->schedule, &t->problem, &t->tiling, &t->machine, q,
                                k, v, &options);
    for (int i = 0; i < 4; i++)
        free(results[i]);
    return status != TW_OK ? status : r->status;
}

tw_status tw_trace_record(tw_trace *trace, const tw_schedule *schedule, const tw_problem *problem,
                          const tw_tiling *tiling, const tw_machine *machine, const double *q,
                          const double *k, const double *v, const tw_trace_options *options)
{
    TW_TRY(tw_trace_check(schedule, problem, tiling, machine, options));
    recorder *r = calloc(1, sizeof *r);
    if (!r)
        return tw_fail(TW_ENOMEM, "no memory to record a walk");
    r->trace = (tw_trace){.schedule = schedule,
                          .problem = *problem,
                          .tiling = *tiling,
                          .machine = *machine,
                          .row = options->row};
    r->options = options;
    r->of_block = no_partners;
    tw_status status = run(r, q, k, v);
    tw_tally_free(&r->tally);
    if (status == TW_OK)
        *trace = r->trace;
    else
        tw_trace_free(&r->trace);
    free(r);
    return status;
}

void tw_trace_free(tw_trace *trace)
{
    free(trace->stops);
    free(trace->frames);
    free(trace->slots);
    free(trace->writes);
    free(trace->numbers);
    *trace = (tw_trace){.schedule = NULL};
}
