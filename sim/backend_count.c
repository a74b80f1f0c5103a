/* The back end that counts: bytes, FLOPs and exponentials of every operation, times how often it is executed. */
#include "backend_count.h"

#include <string.h>

/* The part of a tensor that a launch touches, as a bounding box of one head. */
typedef struct box {
    int64_t row_begin, row_end, col_begin, col_end;
} box;

typedef struct counter {
    tw_count_result result;
    tw_counts *now; /* of the launch that is running */
    box read[TW_NUM_TENSORS], written[TW_NUM_TENSORS];
    bool overflow;
} counter;

/* *sum += a · b, remembering an overflow. */
static void add_product(counter *c, int64_t *sum, int64_t a, int64_t b)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum))
        c->overflow = true;
}

static void extend(box *area, const tw_op *op)
{
    int64_t row_end = op->rows.row0 + op->rows.rows * op->rows.run;
    int64_t col_end = op->cols.row0 + op->cols.rows * op->cols.run;
    if (area->row_end == 0) {
        *area = (box){op->rows.row0, row_end, op->cols.row0, col_end};
        return;
    }
    area->row_begin = op->rows.row0 < area->row_begin ? op->rows.row0 : area->row_begin;
    area->col_begin = op->cols.row0 < area->col_begin ? op->cols.row0 : area->col_begin;
    area->row_end = row_end > area->row_end ? row_end : area->row_end;
    area->col_end = col_end > area->col_end ? col_end : area->col_end;
}

static void count_load(counter *c, const tw_emitter *e, const tw_op *op)
{
    bool boxes = e->tiling->fetch == TW_FETCH_BOX;
    int64_t rows = boxes ? op->rows.box_rows : op->rows.rows;
    int64_t cols = boxes ? op->cols.box_rows : op->cols.rows;
    int bytes = tw_dtype_bytes(tw_tensor_shape_of(op->tensor, e->problem).dtype);
    add_product(c, &c->now->sram_fill_bytes, rows * cols * bytes, op->times);
    add_product(c, &c->now->sram_fill_elements, rows * cols, op->times);
    extend(&c->read[op->tensor], op);
}

static void count_store(counter *c, const tw_emitter *e, const tw_op *op)
{
    int bytes = tw_dtype_bytes(tw_tensor_shape_of(op->tensor, e->problem).dtype);
    int64_t elements = (int64_t)op->rows.rows * op->cols.rows;
    add_product(c, &c->now->sram_drain_bytes, elements * bytes, op->times);
    add_product(c, &c->now->sram_drain_elements, elements, op->times);
    extend(&c->written[op->tensor], op);
}

/* Unmasked pairs that an operation on the scores `s` stands for. */
static int64_t pairs_of(counter *c, const tw_emitter *e, const tw_op *op, const tw_slot_info *s)
{
    int64_t pairs = 0;
    /* tw_slot_pairs() covers the runs of s; the rest of `times` is heads and outer loops. */
    add_product(c, &pairs, tw_slot_pairs(e, s), op->times / (s->rows.run * s->cols.run));
    return pairs;
}

static void count_product(counter *c, const tw_emitter *e, const tw_op *op, const tw_slot_info *s,
                          int64_t depth)
{
    add_product(c, &c->now->flops, 2 * depth, pairs_of(c, e, op, s));
    add_product(c, &c->now->flops_executed, 2 * depth * tw_slot_elements(s), op->times);
}

static tw_status count_op(void *self, const tw_emitter *e, const tw_op *op)
{
    counter *c = self;
    const tw_slot_info *dst = &e->slots[op->dst >= 0 ? op->dst : 0]; /* looked at where there is one */
    switch (op->kind) {
    case TW_OP_LOAD:
        count_load(c, e, op);
        break;
    case TW_OP_STORE:
        count_store(c, e, op);
        break;
    case TW_OP_MATMUL_NT:
        count_product(c, e, op, dst, e->problem->head_dim);
        break;
    case TW_OP_MATMUL_ADD:
        count_product(c, e, op, &e->slots[op->a], e->problem->head_dim);
        break;
    case TW_OP_ONLINE_SOFTMAX:
    case TW_OP_ROW_STATS:
        add_product(c, &c->now->exps, dst->rows.rows, op->times); /* alpha, one a row */
        add_product(c, &c->now->exps, pairs_of(c, e, op, dst), 1);
        break;
    case TW_OP_SOFTMAX:
    case TW_OP_SOFTMAX_APPLY:
        add_product(c, &c->now->exps, pairs_of(c, e, op, dst), 1);
        break;
    default:
        break;
    }
    return c->overflow ? tw_fail(TW_EOVERFLOW, "the counts of %s do not fit 63 bits", e->schedule->name)
                       : TW_OK;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static tw_status end_block(void *self, const tw_emitter *e)
{
    counter *c = self;
    c->now->sram_peak_bytes = larger(c->now->sram_peak_bytes, e->peak_bytes[TW_PLACE_SMEM]);
    c->now->register_peak_bytes = larger(c->now->register_peak_bytes, e->peak_bytes[TW_PLACE_REGISTERS]);
    return TW_OK;
}

static tw_status begin_launch(void *self, const tw_launch *launch)
{
    (void)launch;
    counter *c = self;
    c->now = &c->result.launch[c->result.num_launches++];
    memset(c->read, 0, sizeof c->read);
    memset(c->written, 0, sizeof c->written);
    return TW_OK;
}

/* Adds the traffic of a tensor of which every head's `area` moves once. */
static void add_box(counter *c, int64_t *bytes, int64_t *elements, const box *area, tw_tensor tensor,
                    const tw_problem *p)
{
    tw_tensor_shape shape = tw_tensor_shape_of(tensor, p);
    int64_t size = (area->row_end - area->row_begin) * (area->col_end - area->col_begin);
    int64_t heads = (int64_t)shape.heads * p->batch;
    add_product(c, bytes, size, heads * tw_dtype_bytes(shape.dtype));
    add_product(c, elements, size, heads);
}

static tw_status end_launch(void *self, const tw_emitter *e)
{
    counter *c = self;
    if (!tw_machine_has_l2(e->machine)) {
        c->now->hbm_read_bytes = c->now->sram_fill_bytes;
        c->now->hbm_write_bytes = c->now->sram_drain_bytes;
        c->now->hbm_read_elements = c->now->sram_fill_elements;
        c->now->hbm_write_elements = c->now->sram_drain_elements;
        return TW_OK;
    }
    tw_counts *now = c->now;
    for (int t = 0; t < TW_NUM_TENSORS; t++) {
        add_box(c, &now->hbm_read_bytes, &now->hbm_read_elements, &c->read[t], (tw_tensor)t, e->problem);
        add_box(c, &now->hbm_write_bytes, &now->hbm_write_elements, &c->written[t], (tw_tensor)t, e->problem);
    }
    return TW_OK;
}

static void add_up(counter *c)
{
    tw_counts *total = &c->result.total;
    for (int i = 0; i < c->result.num_launches; i++) {
        const tw_counts *l = &c->result.launch[i];
        add_product(c, &total->sram_fill_bytes, l->sram_fill_bytes, 1);
        add_product(c, &total->sram_drain_bytes, l->sram_drain_bytes, 1);
        add_product(c, &total->hbm_read_bytes, l->hbm_read_bytes, 1);
        add_product(c, &total->hbm_write_bytes, l->hbm_write_bytes, 1);
        add_product(c, &total->sram_fill_elements, l->sram_fill_elements, 1);
        add_product(c, &total->sram_drain_elements, l->sram_drain_elements, 1);
        add_product(c, &total->hbm_read_elements, l->hbm_read_elements, 1);
        add_product(c, &total->hbm_write_elements, l->hbm_write_elements, 1);
        add_product(c, &total->flops, l->flops, 1);
        add_product(c, &total->flops_executed, l->flops_executed, 1);
        add_product(c, &total->exps, l->exps, 1);
        total->sram_peak_bytes = larger(total->sram_peak_bytes, l->sram_peak_bytes);
        total->register_peak_bytes = larger(total->register_peak_bytes, l->register_peak_bytes);
    }
}

static const tw_backend count_backend = {.merges = true,
                                         .begin_launch = begin_launch,
                                         .op = count_op,
                                         .end_block = end_block,
                                         .end_launch = end_launch};

static bool fits(const tw_schedule *schedule, const tw_problem *problem, tw_tiling tiling,
                 const tw_machine *machine)
{
    counter c = {.overflow = false};
    return tw_emit(schedule, problem, &tiling, machine, &count_backend, &c) != TW_ESRAM;
}

/* The largest n up to `most` whose tiling fits, where all smaller ones fit too; 0 if 1 does not. */
static int largest_n(const tw_schedule *schedule, const tw_problem *problem, tw_tiling tiling, int most,
                     bool square, const tw_machine *machine)
{
    int fitting = 0, refused = most + 1;
    while (refused - fitting > 1) {
        int n = fitting + (refused - fitting) / 2;
        tiling.block_n = n;
        if (square)
            tiling.block_m = n;
        if (fits(schedule, problem, tiling, machine))
            fitting = n;
        else
            refused = n;
    }
    return fitting;
}

void tw_largest_tiling(tw_tiling *fitting, const tw_schedule *schedule, const tw_problem *problem,
                       const tw_tiling *wanted, const tw_machine *machine)
{
    tw_problem small = *problem; /* peaks do not depend on what is alike: one head, no mask */
    small.batch = small.num_heads = small.num_heads_kv = 1;
    small.causal = false;
    *fitting = *wanted;
    fitting->block_n = largest_n(schedule, &small, *wanted, wanted->block_n, false, machine);
    if (fitting->block_n == 0)
        fitting->block_m = fitting->block_n = largest_n(schedule, &small, *wanted, wanted->block_n, true,
                                                        machine);
}

/* Adds to the emitter's line, which says by how much the tiles are too large, what would fit. */
static tw_status does_not_fit(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                              const tw_machine *machine)
{
    char line[400];
    strncpy(line, tw_error_message(), sizeof line - 1);
    line[sizeof line - 1] = '\0';
    tw_tiling fit;
    tw_largest_tiling(&fit, schedule, problem, tiling, machine);
    if (fit.block_m == 0)
        return tw_fail(TW_ESRAM, "%s; not even tiles of one row fit at head_dim %d", line, problem->head_dim);
    return tw_fail(TW_ESRAM, "%s; the largest that fits is block_m %d, block_n %d", line, fit.block_m,
                   fit.block_n);
}

tw_status tw_count(tw_count_result *result, const tw_schedule *schedule, const tw_problem *problem,
                   const tw_tiling *tiling, const tw_machine *machine)
{
    counter c = {.overflow = false};
    tw_status status = tw_emit(schedule, problem, tiling, machine, &count_backend, &c);
    if (status == TW_ESRAM)
        return does_not_fit(schedule, problem, tiling, machine);
    if (status != TW_OK)
        return status;
    add_up(&c);
    if (c.overflow)
        return tw_fail(TW_EOVERFLOW, "the counts of %s do not fit 63 bits", schedule->name);
    *result = c.result;
    return TW_OK;
}
