/* Records become calls of the real tile language again: its rules, its counts, its arithmetic. */
#include "replay.h"

#include "../../../sim/backend_numeric.h"
#include "../../../sim/slots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCK_SLOTS = 1 << 16 };

/* A schedule whose block function finds its records: the emitter hands the schedule's own address back. */
typedef struct player {
    tw_schedule schedule; /* first */
    const lab3_case *c;
    const int64_t *ints;
    size_t num_ints, *starts; /* of each block, in ints */
    tw_slot *slots;
    int64_t *broken_op; /* what broke a rule first */
} player;

bool lab3_visible(const lab3_case *c, int64_t row, int64_t key)
{
    int64_t position = row + c->p.seqlen_k - c->p.seqlen_q;
    if (!c->p.causal)
        return true;
    if (key > position)
        return false;
    bool windowed = c->task == LAB3_WINDOW || c->task == LAB3_SINKS;
    return !windowed || key >= position - c->window || (c->task == LAB3_SINKS && key < c->sinks);
}

bool lab3_any_visible(const lab3_case *c, int64_t row0, int64_t row1, int64_t key0, int64_t key1)
{
    for (int64_t row = row0; row < row1 && row < c->p.seqlen_q; row++)
        for (int64_t key = key0; key < key1 && key < c->p.seqlen_k; key++)
            if (lab3_visible(c, row, key))
                return true;
    return false;
}

/* As tw_mask(), by the task's mask: emitted only where it cuts the tile. */
static void mask(tw_emitter *e, const lab3_case *c, tw_slot s)
{
    tw_slot_info *info = tw_slot_find(e, s);
    bool cut = false;
    for (int64_t i = 0; info && i < info->rows.rows; i++)
        for (int64_t j = 0; j < info->cols.rows && !cut; j++)
            cut = !lab3_visible(c, info->rows.row0 + i, info->cols.row0 + j);
    if (!cut)
        return;
    tw_op op = {.kind = TW_OP_MASK,
                .dst = s.id,
                .a = -1,
                .b = -1,
                .stats = {{-1}, {-1}, {-1}},
                .times = e->times,
                .agent = e->agent,
                .line = e->line};
    tw_slot_must_be(e, s, TW_S);
    tw_slot_updated(e, s);
    if (tw_emitter_ok(e))
        e->status = e->backend->op(e->self, e, &op);
}

/* The executing back end masks what is not causal; what the task hides beyond that is hidden here. */
static void hide(void *self, const tw_emitter *e, const tw_op *op, double *const *slots)
{
    const lab3_case *c = self;
    if (op->kind != TW_OP_MASK)
        return;
    const tw_slot_info *s = &e->slots[op->dst];
    for (int64_t i = 0; i < s->rows.rows; i++)
        for (int64_t j = 0; j < s->cols.rows; j++)
            if (!lab3_visible(c, s->rows.row0 + i, s->cols.row0 + j))
                slots[op->dst][i * s->cols.rows + j] = -INFINITY;
}

static tw_slot slot_of(const player *x, int64_t number)
{
    const tw_slot none = {-1};
    return number < 0 ? none : x->slots[number];
}

static void play_stats(const player *x, tw_emitter *e, const lab3_record *r)
{
    tw_slot s = slot_of(x, r->a);
    tw_row_stats st = {slot_of(x, r->b), slot_of(x, r->c), slot_of(x, r->d)};
    switch (r->op) {
    case LAB3_OP_SOFTMAX:
        tw_softmax(e, s, st);
        break;
    case LAB3_OP_ONLINE_SOFTMAX:
        tw_online_softmax(e, s, st);
        break;
    case LAB3_OP_ONLINE_SOFTMAX_NORMALIZED:
        tw_online_softmax_normalized(e, s, st);
        break;
    case LAB3_OP_ROW_STATS_STEP:
        tw_row_stats_step(e, s, st);
        break;
    case LAB3_OP_SOFTMAX_APPLY:
        tw_softmax_apply(e, s, st);
        break;
    case LAB3_OP_RESCALE:
        tw_rescale(e, s, st);
        break;
    case LAB3_OP_NORMALIZE:
        tw_normalize(e, s, st);
        break;
    default:
        tw_lse(e, st);
        break;
    }
}

static tw_tile tile_of(const lab3_record *r)
{
    return (tw_tile){.row0 = r->row0, .rows = (int)r->rows, .box_rows = (int)r->rows, .run = 1};
}

/* Plays one record; the slots that it makes get the next numbers. */
static void play(const player *x, tw_emitter *e, const lab3_record *r, tw_block b, int64_t *made)
{
    tw_slot *slots = x->slots;
    tw_row_stats st;
    switch (r->op) {
    case LAB3_OP_LOAD:
        slots[(*made)++] = tw_load(e, (tw_tensor)r->a, b, tile_of(r));
        break;
    case LAB3_OP_ZEROS:
        slots[(*made)++] = tw_zeros(e, tile_of(r));
        break;
    case LAB3_OP_ROW_STATS:
        st = tw_row_stats_init(e, tile_of(r));
        slots[(*made)++] = st.m, slots[(*made)++] = st.l, slots[(*made)++] = st.alpha;
        break;
    case LAB3_OP_STATS_OF:
        slots[*made] = tw_row_stats_of(e, slot_of(x, r->a), slot_of(x, r->b)).alpha;
        (*made)++;
        break;
    case LAB3_OP_STORE:
        tw_store(e, (tw_tensor)r->b, b, slot_of(x, r->a));
        break;
    case LAB3_OP_MATMUL_NT:
        slots[*made] = tw_matmul_nt(e, slot_of(x, r->a), slot_of(x, r->b));
        (*made)++;
        break;
    case LAB3_OP_MATMUL_ADD:
        tw_matmul_add(e, slot_of(x, r->a), slot_of(x, r->b), slot_of(x, r->c));
        break;
    case LAB3_OP_MASK:
        mask(e, x->c, slot_of(x, r->a));
        break;
    case LAB3_OP_CONVERT: /* emits nothing: the lab's machine has no tensor cores */
        break;
    case LAB3_OP_RELEASE:
        tw_release(e, slot_of(x, r->a));
        break;
    case LAB3_OP_WALK_LEFT: /* the line is that of the last operation before */
        tw_rule_broken(e, "a walk is left before its end", "behind this line");
        break;
    default:
        play_stats(x, e, r);
        break;
    }
}

static void play_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)t;
    const player *x = (const player *)(const void *)e->schedule;
    int64_t tiles = x->c->task == LAB3_K_OUTER ? 1 : (p->seqlen_q + x->c->t.block_m - 1) / x->c->t.block_m;
    size_t number = (size_t)(((int64_t)b.batch * p->num_heads + b.head) * tiles + b.i.index);
    int64_t made = 0;
    for (size_t at = x->starts[number] + LAB3_RECORD; at < x->num_ints; at += LAB3_RECORD) {
        lab3_record r;
        memcpy(&r, x->ints + at, sizeof r);
        if (r.op == LAB3_OP_BLOCK)
            return;
        if (made + 3 > MAX_BLOCK_SLOTS) {
            tw_rule_broken(e, "a block makes more tiles than this lab allows", "is there a loop too many?");
            return;
        }
        e->line = (int)r.line;
        play(x, e, &r, b, &made);
        if (e->status != TW_OK) {
            *x->broken_op = r.op;
            return;
        }
    }
}

static bool find_starts(player *x)
{
    size_t n = 0;
    x->starts = malloc((x->num_ints / LAB3_RECORD + 1) * sizeof *x->starts);
    x->slots = malloc(MAX_BLOCK_SLOTS * sizeof *x->slots);
    for (size_t at = 0; x->starts && at < x->num_ints; at += LAB3_RECORD)
        if (x->ints[at] == LAB3_OP_BLOCK)
            x->starts[n++] = at;
    return x->starts && x->slots;
}

bool lab3_replay(lab3_outcome *outcome, double *o, double *lse, const int64_t *ints, size_t num_ints,
                 const lab3_case *c, const double *q, const double *k, const double *v, char *why,
                 size_t size)
{
    const tw_machine machine = {.name = "the lab's", .kind = TW_MACHINE_PAPER, .smem_bytes = 1e15};
    lab3_case masked = *c;
    int64_t broken_op = -1;
    tw_numeric_observer observer = {hide, &masked};
    tw_numeric_options options = {.rounding = TW_ROUND_NEVER, .observer = &observer};
    tw_numeric_stats stats = {0};
    tw_count_result counted;
    player x = {.schedule = lab3_schedule(c->task, play_block),
                .c = c,
                .ints = ints,
                .num_ints = num_ints,
                .broken_op = &broken_op};
    tw_status status = find_starts(&x) ? TW_OK : tw_fail(TW_ENOMEM, "the grader ran out of memory");
    if (status == TW_OK)
        status = tw_count(&counted, &x.schedule, &c->p, &c->t, &machine);
    if (status == TW_OK)
        status = tw_numeric_run(o, lse, &stats, &x.schedule, &c->p, &c->t, &machine, q, k, v, &options);
    if (status == TW_OK)
        *outcome = (lab3_outcome){counted.total, stats.sram_fill_bytes, stats.sram_drain_bytes};
    else
        snprintf(why, size, "%s.%s", tw_error_message(), lab3_advice(broken_op, tw_error_message()));
    free(x.starts);
    free(x.slots);
    return status == TW_OK;
}
