/* The back end that writes down loads and stores: everything else only says how long a step takes. */
#include "access_list.h"

#include <stdlib.h>
#include <string.h>

#define CYCLES_WITHOUT_RATES 1000.0

/* What an SM does in a cycle; 0 where the machine does not say. */
typedef struct rates {
    double flops, exps, l2_bytes, pace;
} rates;

typedef struct recorder {
    const tw_units *units;
    tw_access_list lists[TW_MAX_LAUNCHES], *list; /* list: of the launch that runs */
    int launch;
    rates per_cycle;
    /* the step that is being written down: its accesses are the last of the list */
    int32_t first_access;
    double flops, exps, bytes;
    bool done; /* its work is complete: the next access begins another */
} recorder;

/* ---- growing arrays ------------------------------------------------------------------------------------- */

enum { ACCESSES, STEPS, BLOCKS };

/* Makes room for one element more. */
static tw_status make_room(void **array, int32_t count, int32_t *room, size_t size)
{
    if (count < *room)
        return TW_OK;
    int32_t more = *room ? 2 * *room : 64;
    void *larger = more > *room ? realloc(*array, (size_t)more * size) : NULL;
    if (!larger)
        return tw_fail(TW_ENOMEM, "no memory for %d entries of a launch's loads and stores", more);
    *array = larger;
    *room = more;
    return TW_OK;
}

static tw_status append_access(tw_access_list *l, tw_access access)
{
    void *array = l->accesses;
    tw_status status = make_room(&array, l->num_accesses, &l->room[ACCESSES], sizeof access);
    l->accesses = array;
    if (status == TW_OK)
        l->accesses[l->num_accesses++] = access;
    return status;
}

static tw_status append_step(tw_access_list *l, tw_access_step step)
{
    void *array = l->steps;
    tw_status status = make_room(&array, l->num_steps, &l->room[STEPS], sizeof step);
    l->steps = array;
    if (status == TW_OK)
        l->steps[l->num_steps++] = step;
    return status;
}

static tw_status append_block(tw_access_list *l, int32_t step_end)
{
    void *array = l->block_end;
    tw_status status = make_room(&array, l->num_tiles, &l->room[BLOCKS], sizeof step_end);
    l->block_end = array;
    if (status == TW_OK)
        l->block_end[l->num_tiles++] = step_end;
    return status;
}

/* ---- steps ---------------------------------------------------------------------------------------------- */

static double over(double amount, double rate)
{
    return rate > 0 ? amount / rate : 0.0;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* How long the step takes. Nothing computed: no time at all, as for the last stores of a block. */
static double cycles_of(const recorder *r)
{
    const rates *rate = &r->per_cycle;
    if (r->flops == 0 && r->exps == 0)
        return 0.0;
    if (rate->flops <= 0)
        return CYCLES_WITHOUT_RATES;
    double slowest = larger(over(r->flops, rate->flops), over(r->exps, rate->exps));
    return larger(slowest, over(r->bytes, rate->l2_bytes)) / rate->pace;
}

/* Are the list's accesses from `first` on those of `last`, every one moved on as far as it did before? */
static bool continues(const tw_access_list *l, const tw_access_step *last, int32_t first)
{
    if (last->count != l->num_accesses - first)
        return false;
    for (int32_t i = 0; i < last->count; i++) {
        const tw_access *before = &l->accesses[last->first + i], *now = &l->accesses[first + i];
        if (now->tensor != before->tensor || now->write != before->write || now->count != before->count)
            return false;
        if (last->repeats > 1 && now->unit != before->unit + last->repeats * before->advance)
            return false;
    }
    return true;
}

/* The accesses from `first` on are taken back and counted as one more repetition of `last`. */
static void repeat(tw_access_list *l, tw_access_step *last, int32_t first)
{
    for (int32_t i = 0; i < last->count && last->repeats == 1; i++)
        l->accesses[last->first + i].advance = l->accesses[first + i].unit -
                                               l->accesses[last->first + i].unit;
    last->repeats++;
    l->num_accesses = first;
}

static tw_status end_step(recorder *r)
{
    tw_access_list *l = r->list;
    float cycles = (float)cycles_of(r);
    int32_t block_begin = l->num_tiles > 0 ? l->block_end[l->num_tiles - 1] : 0;
    tw_access_step step = {
        .first = r->first_access, .count = l->num_accesses - r->first_access, .repeats = 1, .cycles = cycles};
    r->flops = r->exps = r->bytes = 0.0;
    r->done = false;
    if (step.count == 0 && cycles == 0.0f)
        return TW_OK;
    tw_access_step *last = l->num_steps > block_begin ? &l->steps[l->num_steps - 1] : NULL;
    if (last && last->cycles == cycles && continues(l, last, step.first))
        repeat(l, last, step.first);
    else
        TW_TRY(append_step(l, step));
    r->first_access = l->num_accesses;
    return TW_OK;
}

/* ---- operations ----------------------------------------------------------------------------------------- */

/* Loads and stores: whole row chunks are neighbours where the access is as wide as the tensor. */
static tw_status note_access(recorder *r, const tw_emitter *e, const tw_op *op)
{
    tw_tensor tensor = tw_tensor_home(op->tensor, e->problem);
    const tw_tensor_units *t = &r->units->of[tensor];
    int32_t head = r->list->all_heads ? (op->batch * t->heads + op->head) * t->per_head : 0;
    if (tw_units_ignore(tensor))
        return TW_OK;
    tw_unit_run rows = tw_units_chunks(op->rows.row0, op->rows.rows, t->rows);
    tw_unit_run cols = tw_units_chunks(op->cols.row0, op->cols.rows, t->cols);
    bool wide = cols.count == t->col_chunks;
    int32_t runs = wide ? (rows.count > 0) : rows.count, chunks = wide ? rows.count * cols.count : cols.count;
    r->bytes += (double)op->rows.rows * op->cols.rows * tw_tensor_element_bytes(op->tensor, e->problem);
    for (int32_t i = 0; i < runs && chunks > 0; i++) {
        tw_access access = {.unit = head + ((rows.first + i) * t->col_chunks + cols.first) * t->halves,
                            .count = chunks * t->halves,
                            .tensor = (uint8_t)tensor,
                            .write = op->kind == TW_OP_STORE};
        TW_TRY(append_access(r->list, access));
    }
    return TW_OK;
}

static tw_status record_op(void *self, const tw_emitter *e, const tw_op *op)
{
    recorder *r = self;
    switch (op->kind) {
    case TW_OP_STORE:
        r->done = r->done || r->flops > 0 || r->exps > 0;
        /* fall through */
    case TW_OP_LOAD:
        if (r->done)
            TW_TRY(end_step(r));
        return note_access(r, e, op);
    case TW_OP_MATMUL_NT:
        r->flops += 2.0 * e->slots[op->a].cols.rows * (double)tw_slot_elements(&e->slots[op->dst]);
        return TW_OK;
    case TW_OP_MATMUL_ADD:
        r->flops += 2.0 * e->slots[op->dst].cols.rows * (double)tw_slot_elements(&e->slots[op->a]);
        r->done = true;
        return TW_OK;
    case TW_OP_SOFTMAX:
    case TW_OP_SOFTMAX_APPLY:
    case TW_OP_ROW_STATS:
        r->done = true;
        /* fall through */
    case TW_OP_ONLINE_SOFTMAX:
    case TW_OP_FIXED_SOFTMAX:
        r->exps += (double)tw_slot_elements(&e->slots[op->dst]);
        return TW_OK;
    default:
        return TW_OK;
    }
}

static tw_status begin_launch(void *self, const tw_launch *launch)
{
    recorder *r = self;
    r->list = &r->lists[r->launch++];
    r->list->all_heads = launch->grid_i == TW_AXIS_SHARES;
    r->first_access = 0;
    return TW_OK;
}

static tw_status end_block(void *self, const tw_emitter *e)
{
    (void)e;
    recorder *r = self;
    TW_TRY(end_step(r));
    return append_block(r->list, r->list->num_steps);
}

static const tw_backend record_backend = {
    .one_head = true, .begin_launch = begin_launch, .op = record_op, .end_block = end_block};

/* ---- the public side ------------------------------------------------------------------------------------ */

static rates rates_of(const tw_machine *m, tw_dtype dtype, tw_unit unit)
{
    double sm_cycles_per_s = m->clock_hz * m->num_sms;
    double tensor = dtype == TW_FP16   ? m->tensor_fp16_flops_per_s
                    : dtype == TW_BF16 ? m->tensor_bf16_flops_per_s
                                       : 0.0;
    double flops = unit == TW_UNIT_TENSOR && tensor > 0 ? tensor : m->fma_flops_per_s;
    return (rates){.flops = over(flops, sm_cycles_per_s),
                   .exps = over(m->exps_per_s, sm_cycles_per_s),
                   .l2_bytes = over(m->l2_bytes_per_s, sm_cycles_per_s),
                   .pace = m->tile_pace > 0 ? m->tile_pace : 1.0};
}

tw_status tw_access_lists_record(tw_access_list lists[TW_MAX_LAUNCHES], const tw_units *units,
                                 const tw_schedule *schedule, const tw_problem *problem,
                                 const tw_tiling *tiling, const tw_machine *machine)
{
    recorder r = {.units = units, .per_cycle = rates_of(machine, problem->dtype, tiling->unit)};
    tw_status status = tw_emit(schedule, problem, tiling, machine, &record_backend, &r);
    for (int i = 0; i < TW_MAX_LAUNCHES; i++) {
        if (status == TW_OK)
            lists[i] = r.lists[i];
        else
            tw_access_list_free(&r.lists[i]);
    }
    return status;
}

void tw_access_list_free(tw_access_list *list)
{
    free(list->accesses);
    free(list->steps);
    free(list->block_end);
    *list = (tw_access_list){.accesses = NULL};
}

tw_unit_run tw_access_list_block(const tw_access_list *list, int64_t tile)
{
    int32_t begin = tile > 0 ? list->block_end[tile - 1] : 0;
    return (tw_unit_run){.first = begin, .count = list->block_end[tile] - begin};
}
