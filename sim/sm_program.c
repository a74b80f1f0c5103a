/* A block's tile operations become steps, each with the steps that it needs. */
#include "sm_program.h"

#include <stdlib.h>
#include <string.h>

/* A place on chip: a slot while it is live, then free for the next tile of its kind. */
typedef struct place {
    bool live;
    tw_tensor kind;
    int agent; /* whose registers; 0 for what lies in shared memory */
    bool in_smem;
    int64_t freed;               /* when: the first to be free is the first to be used again */
    int writer;                  /* step that wrote it last; −1: none */
    int readers[TW_MOST_AGENTS]; /* the last step of each agent that read it since; −1: none */
} place;

enum { MOST_PLACES = 128 };

typedef struct recorder {
    tw_program *program;
    const tw_play *play;
    tw_block_index wanted;
    place places[MOST_PLACES];
    int num_places;
    int place_of[TW_MAX_SLOTS]; /* −1: the slot is not live */
    int first_tile;             /* of keys, of this block; −1: none yet */
    int tile[TW_MOST_AGENTS];   /* key tile, from the first, that each agent is at */
    bool ended[TW_MOST_AGENTS]; /* it is behind its loop */
    int64_t clock;
    bool no_memory;
} recorder;

const char *tw_pipe_name(tw_pipe pipe)
{
    static const char *const names[TW_NUM_PIPES] = {
        "nothing", "tensor cores", "tensor cores (mma)", "FMA", "CUDA cores", "copies", "stores"};
    return names[pipe];
}

/* ---- growing lists -------------------------------------------------------------------------------------- */

/* Room for one more of `size` bytes; NULL, and remembered, without memory. */
static void *one_more(recorder *r, void *items, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    int wanted = *capacity > 0 ? 2 * *capacity : 256;
    void *grown = realloc(items, (size_t)wanted * size);
    if (!grown) {
        r->no_memory = true;
        return NULL;
    }
    *capacity = wanted;
    return grown;
}

static void add_need(recorder *r, tw_sm_step *step, int needed, bool all_lanes)
{
    tw_program *p = r->program;
    if (needed < 0)
        return;
    for (int i = step->first_need; i < step->first_need + step->num_needs; i++) {
        if (p->needs[i].step == needed) {
            p->needs[i].all_lanes = p->needs[i].all_lanes || all_lanes;
            return;
        }
    }
    void *grown = one_more(r, p->needs, p->num_needs, &p->needs_capacity, sizeof *p->needs);
    if (!grown)
        return;
    p->needs = grown;
    p->needs[p->num_needs++] = (tw_need){needed, all_lanes};
    step->num_needs++;
}

/* ---- places --------------------------------------------------------------------------------------------- */

/* Scores and probabilities lie in the same registers, one after the other. */
static tw_tensor kind_of(tw_tensor tensor)
{
    return tensor == TW_P ? TW_S : tensor;
}

/* The places of a kind that are free, and the one that has been so for longest. */
static int oldest_free(const recorder *r, tw_tensor kind, int agent, bool in_smem, int *count)
{
    int oldest = -1;
    *count = 0;
    for (int i = 0; i < r->num_places; i++) {
        const place *x = &r->places[i];
        if (x->kind != kind || x->in_smem != in_smem || (!in_smem && x->agent != agent))
            continue;
        ++*count;
        if (!x->live && (oldest < 0 || x->freed < r->places[oldest].freed))
            oldest = i;
    }
    return oldest;
}

/* A kernel may have more places for what streams past than the stream has live at a time. */
static bool may_grow(const recorder *r, tw_tensor kind, int count)
{
    bool streams = kind == TW_K || kind == TW_V || kind == TW_S;
    return streams && count < r->play->build->stages && r->num_places < MOST_PLACES;
}

static int take_place(recorder *r, const tw_emitter *e, int slot)
{
    const tw_slot_info *info = &e->slots[slot];
    bool in_smem = info->place == TW_PLACE_SMEM;
    int count, found = oldest_free(r, kind_of(info->tensor), e->agent, in_smem, &count);
    if (found < 0 || may_grow(r, kind_of(info->tensor), count)) {
        if (r->num_places == MOST_PLACES)
            return found < 0 ? 0 : found;
        found = r->num_places++;
        r->places[found] = (place){
            .kind = kind_of(info->tensor), .agent = e->agent, .in_smem = in_smem, .writer = -1};
        for (int agent = 0; agent < TW_MOST_AGENTS; agent++)
            r->places[found].readers[agent] = -1;
    }
    r->places[found].live = true;
    return found;
}

static place *place_of(recorder *r, const tw_emitter *e, int slot)
{
    if (r->place_of[slot] < 0)
        r->place_of[slot] = take_place(r, e, slot);
    return &r->places[r->place_of[slot]];
}

static void reads(recorder *r, const tw_emitter *e, tw_sm_step *step, int slot)
{
    if (slot < 0)
        return;
    place *x = place_of(r, e, slot);
    add_need(r, step, x->writer, x->in_smem || x->kind == TW_TURN);
    x->readers[step->agent] = r->program->num_steps;
}

static void writes(recorder *r, const tw_emitter *e, tw_sm_step *step, int slot)
{
    if (slot < 0)
        return;
    place *x = place_of(r, e, slot);
    add_need(r, step, x->writer, x->in_smem);
    for (int agent = 0; agent < TW_MOST_AGENTS; agent++) {
        if (x->readers[agent] != r->program->num_steps)
            add_need(r, step, x->readers[agent], x->in_smem);
        x->readers[agent] = -1;
    }
    x->writer = r->program->num_steps;
}

/* What each kind of operation reads and writes. The statistics of a row belong to who has the row: no need of their own
 * beyond the order of its steps, other than alpha, which is there when the softmax is over. */
static void note_needs(recorder *r, const tw_emitter *e, tw_sm_step *step, const tw_op *op)
{
    bool updates = op->kind != TW_OP_LOAD && op->kind != TW_OP_FILL && op->kind != TW_OP_MATMUL_NT &&
                   op->kind != TW_OP_GIVE_TURN;
    reads(r, e, step, op->a);
    reads(r, e, step, op->b);
    if (updates)
        reads(r, e, step, op->dst);
    if (op->kind != TW_OP_ROW_STATS)
        writes(r, e, step, op->dst);
}

/* ---- the back end --------------------------------------------------------------------------------------- */

static bool is_wanted(void *self, const tw_emitter *e, tw_tile i, tw_tile j)
{
    const recorder *r = self;
    return e->launch == &e->schedule->launches[r->play->launch] && i.index == r->wanted.i &&
           j.index == r->wanted.j;
}

static void release_slot(recorder *r, int slot)
{
    if (r->place_of[slot] < 0)
        return;
    place *x = &r->places[r->place_of[slot]];
    x->live = false;
    x->freed = ++r->clock;
    r->place_of[slot] = -1;
}

/* The keys that an operation is about; NULL where it does not say. */
static const tw_tile *keys_of(const tw_emitter *e, const tw_op *op)
{
    switch (op->kind) {
    case TW_OP_LOAD:
        return op->tensor == TW_K || op->tensor == TW_V ? &op->rows : NULL;
    case TW_OP_MATMUL_NT:
    case TW_OP_MATMUL_ADD:
        return &e->slots[op->b].rows;
    case TW_OP_MASK:
    case TW_OP_SOFTMAX:
    case TW_OP_ONLINE_SOFTMAX:
    case TW_OP_FIXED_SOFTMAX:
    case TW_OP_ROW_STATS:
    case TW_OP_SOFTMAX_APPLY:
        return &e->slots[op->dst].cols;
    default:
        return NULL;
    }
}

/* Which key tile of the block an agent is at, from 0; −1 before and behind its loop. */
static int tile_of(recorder *r, const tw_emitter *e, const tw_op *op)
{
    const tw_tile *keys = keys_of(e, op);
    if (keys && r->first_tile < 0)
        r->first_tile = (int)keys->index;
    if (keys)
        r->tile[op->agent] = (int)keys->index - r->first_tile;
    r->ended[op->agent] = r->ended[op->agent] || op->kind == TW_OP_NORMALIZE;
    return r->ended[op->agent] ? -1 : r->tile[op->agent];
}

static void before_first_tile(recorder *r)
{
    r->first_tile = -1;
    for (int agent = 0; agent < TW_MOST_AGENTS; agent++) {
        r->tile[agent] = -1;
        r->ended[agent] = false;
    }
}

/* Q comes for all consumers at one barrier: who needs its own part waits for all of it. */
static void note_whole_q(recorder *r, const tw_emitter *e, tw_sm_step *step, const tw_op *op)
{
    bool begins = op->kind == TW_OP_MATMUL_NT && e->slots[op->a].tensor == TW_Q &&
                  e->slots[op->a].place == TW_PLACE_SMEM;
    for (int i = 0; i < r->num_places && begins; i++)
        if (r->places[i].kind == TW_Q && r->places[i].live)
            add_need(r, step, r->places[i].writer, true);
}

/* O leaves by way of places that Q or V had: the next to come there has to wait until it is gone. */
static void note_way_out(recorder *r, const tw_sm_step *step)
{
    if (step->kind != TW_OP_STORE || step->tensor != TW_O || r->play->build->copier != TW_COPY_TMA)
        return;
    tw_tensor way = r->play->build->o_through_v ? TW_V : TW_Q;
    for (int i = 0; i < r->num_places; i++)
        if (r->places[i].kind == way)
            r->places[i].readers[step->agent] = r->program->num_steps;
}

/* Makes room for one more step. */
static tw_status grow(recorder *r, const tw_emitter *e)
{
    tw_program *p = r->program;
    void *grown = one_more(r, p->steps, p->num_steps, &p->steps_capacity, sizeof *p->steps);
    if (!grown)
        return tw_fail(TW_ENOMEM, "no memory for the steps of %s", e->schedule->name);
    p->steps = grown;
    return TW_OK;
}

static tw_status on_op(void *self, const tw_emitter *e, const tw_op *op)
{
    recorder *r = self;
    tw_program *p = r->program;
    if (op->kind == TW_OP_RELEASE) {
        release_slot(r, op->dst);
        return TW_OK;
    }
    TW_TRY(grow(r, e));
    if (op->agent >= TW_MOST_AGENTS)
        return tw_fail(TW_ESCHEDULE, "%s has an agent %d, there are 0 to %d", e->schedule->name, op->agent,
                       TW_MOST_AGENTS - 1);
    tw_sm_step *step = &p->steps[p->num_steps];
    *step = (tw_sm_step){.kind = op->kind,
                         .tensor = op->tensor,
                         .agent = op->agent,
                         .tile = tile_of(r, e, op),
                         .item = p->num_items,
                         .line = op->line,
                         .cost = tw_cost_of(r->play, e, op),
                         .first_need = p->num_needs};
    note_needs(r, e, step, op);
    note_whole_q(r, e, step, op);
    note_way_out(r, step);
    p->num_steps++;
    return r->no_memory ? tw_fail(TW_ENOMEM, "no memory for the steps of %s", e->schedule->name) : TW_OK;
}

static tw_status end_block(void *self, const tw_emitter *e)
{
    (void)e;
    recorder *r = self;
    before_first_tile(r);
    r->program->num_items++;
    return TW_OK;
}

tw_status tw_program_append(tw_program *program, const tw_play *play, const tw_block_index *blocks,
                            int num_blocks)
{
    static const tw_backend backend = {
        .one_head = true, .wants = is_wanted, .op = on_op, .end_block = end_block};
    recorder r = {.program = program, .play = play};
    tw_status status = TW_OK;
    for (int slot = 0; slot < TW_MAX_SLOTS; slot++)
        r.place_of[slot] = -1;
    before_first_tile(&r);
    bool rows = play->schedule->launches[play->launch].grid_i == TW_AXIS_Q_ROWS;
    bool groups = play->build->multiplier == TW_BY_WGMMA && !rows;
    program->lanes = groups || tw_play_warps(play) < 8 ? 1 : tw_play_warps(play) / 4;
    for (int n = 0; n < num_blocks && status == TW_OK; n++) {
        r.wanted = blocks[n];
        status = tw_emit(play->schedule, play->whole, play->tiling, play->machine, &backend, &r);
    }
    return status;
}

void tw_program_free(tw_program *program)
{
    free(program->steps);
    free(program->needs);
    *program = (tw_program){.steps = NULL};
}
