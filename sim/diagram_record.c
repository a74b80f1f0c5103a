/* Gathers a diagram from a schedule's stream. */
#include "diagram_record.h"

#include "buckets.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 128, TILE = 32, COLUMNS = 64, PART = 16, GROUP = 4, RANK = 32, BUCKETS = 4, PARTS = 2 };

/* ---- what has moved ---------------------------------------------------------------------------------------------- */

/* Cell of a tensor's row: of parts and sorted rows, by where they lie in the view. */
static int cell_of(int64_t row, int64_t rows)
{
    int64_t cell = rows > 0 ? row * TW_DIAGRAM_CELLS / rows : 0;
    return (int)(cell < TW_DIAGRAM_CELLS ? cell : TW_DIAGRAM_CELLS - 1);
}

static int64_t row_in_sequence(const tw_emitter *e, tw_tensor tensor, int64_t row)
{
    bool keys = tensor == TW_K || tensor == TW_V;
    const tw_part *part = keys ? &e->problem->key_part : &e->problem->query_part;
    return part->of > 0 && !part->order ? part->first + row * part->stride : row;
}

static void add_moved(double cells[TW_DIAGRAM_CELLS], const tw_emitter *e, const tw_op *op)
{
    const tw_problem *whole = e->problem->query_part.of > 0 ? e->whole : e->problem;
    tw_tensor_shape shape = tw_tensor_shape_of(op->tensor, whole);
    double of_cell = (double)shape.rows * (double)shape.cols / TW_DIAGRAM_CELLS;
    for (int r = 0; r < op->rows.rows; r++) {
        int64_t row = row_in_sequence(e, op->tensor, op->rows.row0 + r);
        cells[cell_of(row, shape.rows)] += (double)op->cols.rows / of_cell;
    }
}

/* ---- what one block holds ------------------------------------------------------------------------------------------ */

/* The second tile of a grid, so that it has neighbours on both sides; of devices the first. */
static bool is_drawn(const tw_emitter *e, const tw_op *op)
{
    (void)op;
    return e->device == 0;
}

static void mark(tw_diagram_record *r, const tw_emitter *e)
{
    bool again = r->num_marks > 0 && r->launch == e->launch && r->step == e->step;
    if (again || r->num_marks == TW_DIAGRAM_MARKS)
        return;
    r->marks[r->num_marks].at = r->num_ops;
    if (e->parts > 1)
        snprintf(r->marks[r->num_marks].name, sizeof r->marks[0].name, "step %d", e->step + 1);
    else
        snprintf(r->marks[r->num_marks].name, sizeof r->marks[0].name, "%s", e->launch->name);
    r->num_marks++;
    r->launch = e->launch;
    r->step = e->step;
}

static void begin_bar(tw_diagram_record *r, const tw_emitter *e, const tw_op *op, int slot)
{
    const tw_slot_info *info = &e->slots[slot];
    if (r->open[slot] >= 0 || r->num_bars == TW_DIAGRAM_BARS)
        return;
    r->open[slot] = r->num_bars;
    r->bars[r->num_bars++] = (tw_diagram_bar){
        .slot = slot,
        .place = info->place,
        .tensor = info->tensor,
        .is_alpha = info->is_alpha,
        .loaded = op->kind == TW_OP_LOAD,
        .row = info->rows.index,
        .col = info->cols.row0 > 0 ? info->cols.row0 / (info->cols.box_rows > 0 ? info->cols.box_rows : 1)
                                   : 0,
        .begin = r->num_ops,
        .end = -1,
        .store = -1};
}

static void note_op(tw_diagram_record *r, const tw_emitter *e, const tw_op *op)
{
    if (op->kind == TW_OP_RELEASE) {
        if (r->open[op->dst] >= 0)
            r->bars[r->open[op->dst]].end = r->num_ops;
        r->open[op->dst] = -1;
        return;
    }
    mark(r, e);
    if (op->dst >= 0)
        begin_bar(r, e, op, op->dst);
    if (op->kind == TW_OP_ONLINE_SOFTMAX)
        begin_bar(r, e, op, op->stats.alpha.id);
    if (op->kind == TW_OP_STORE && r->open[op->a] >= 0)
        r->bars[r->open[op->a]].store = r->num_ops;
    r->num_ops++;
}

static tw_status on_op(void *self, const tw_emitter *e, const tw_op *op)
{
    tw_diagram_record *r = self;
    r->num_parts = e->parts > r->num_parts ? e->parts : r->num_parts;
    if (op->kind == TW_OP_SEND) {
        r->sent[op->tensor] += (double)op->rows.rows / (double)e->whole->seqlen_k;
        return TW_OK;
    }
    if (op->kind == TW_OP_LOAD)
        add_moved(r->in[op->tensor], e, op);
    if (op->kind == TW_OP_STORE || op->kind == TW_OP_ATOMIC_ADD)
        add_moved(r->out[op->tensor], e, op);
    if (r->drawn && is_drawn(e, op))
        note_op(r, e, op);
    return TW_OK;
}

/* Every block counts what moves; one of each launch and step is drawn. */
static bool wants(void *self, const tw_emitter *e, tw_tile i, tw_tile j)
{
    tw_diagram_record *r = self;
    bool first_column = j.row0 == 0, rows = e->launch->grid_i == TW_AXIS_Q_ROWS;
    r->drawn = first_column && e->device == 0 &&
               (i.index == (rows ? 0 : 1) || i.rows == e->problem->seqlen_q);
    if (e->launch->grid_j == TW_AXIS_K_TILES && e->launch->grid_i == TW_AXIS_NONE)
        r->drawn = j.index == 1;
    if (e->launch->grid_i == TW_AXIS_K_TILES)
        r->drawn = i.index == 1;
    return true;
}

/* ---- the problem of four tiles ------------------------------------------------------------------------------------- */

/* The codes of algorithms that are for codes alone. */
static tw_quantize codes_for(const tw_schedule *schedule)
{
    static const tw_quantize choices[] = {{.format = TW_FP32},
                                          {.format = TW_E4M3, .scales = TW_SCALES_BLOCK},
                                          {.format = TW_INT8, .scales = TW_SCALES_TOKEN}};
    int i = 0;
    while (schedule->takes_codes && i < 2 && !schedule->takes_codes(&choices[i]))
        i++;
    return choices[i];
}

static tw_problem problem_for(const tw_schedule *schedule)
{
    bool grouped = schedule->packs_heads;
    tw_problem p = {.batch = 1,
                    .num_heads = grouped ? GROUP : 1,
                    .num_heads_kv = 1,
                    .seqlen_q = grouped ? ROWS / GROUP : ROWS,
                    .seqlen_k = ROWS,
                    .head_dim = COLUMNS,
                    .dtype = TW_FP16,
                    .quantize = codes_for(schedule),
                    .rank = schedule->reference ? RANK : 0,
                    .v_in_k = schedule->needs_v_in_k,
                    .head_dim_v = schedule->needs_v_in_k ? COLUMNS - PART : 0};
    return p;
}

tw_status tw_diagram_run(tw_diagram_record *r, const tw_schedule *schedule)
{
    static const tw_backend backend = {.one_head = true, .op = on_op, .wants = wants};
    tw_problem p = problem_for(schedule);
    tw_buckets buckets = {.bucket_q = NULL};
    tw_machine machine;
    tw_tiling t = {.block_m = TILE, .block_n = TILE, .unit = TW_UNIT_TENSOR, .parts = PARTS};
    if (schedule->takes & TW_TAKES_COLUMNS)
        t.block_d = PART;
    if (schedule->takes & TW_TAKES_LAZY)
        t.rescale_log2 = 8.0;
    if (schedule->variant_of && schedule->default_tiling) { /* the order is what it is about */
        tw_tiling own = {.block_m = TILE, .block_n = TILE};
        TW_TRY(tw_machine_find(&machine, "h100"));
        schedule->default_tiling(&own, &p, &machine);
        t.kv_order = own.kv_order;
    }
    *r = (tw_diagram_record){.num_bars = 0};
    for (int i = 0; i < TW_MAX_SLOTS; i++)
        r->open[i] = -1;
    TW_TRY(tw_machine_find(&machine, "h100"));
    if (schedule->sorts_rows) {
        TW_TRY(tw_buckets_make(&buckets, &p, BUCKETS, 1.0, 1));
        tw_buckets_attach(&p, &buckets);
    }
    tw_status status = tw_emit(schedule, &p, &t, &machine, &backend, r);
    tw_buckets_free(&buckets);
    return status;
}
