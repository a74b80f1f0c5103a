/* The back end that counts: bytes, FLOPs and exponentials of every operation, times how often it is executed. */
#include "backend_count.h"

#include <stdlib.h>
#include <string.h>

/* Rows of a tensor that were touched: disjoint, ascending, [begin, end). */
typedef struct row_set {
    struct {
        int64_t begin, end;
    } * run;
    size_t count, capacity;
} row_set;

/* The part of a tensor that one head, or heads that share a K/V head, have touched since the last flush. */
typedef struct touched {
    row_set rows;
    int64_t cols;     /* the widest */
    int64_t elements; /* of all operations, blocks and runs multiplied */
} touched;

typedef struct counter {
    tw_count_result result;
    tw_counts *now; /* of the launch that is running */
    touched read[TW_NUM_TENSORS], written[TW_NUM_TENSORS];
    bool overflow, no_memory;
} counter;

/* *sum += a · b, remembering an overflow. */
static void add_product(counter *c, int64_t *sum, int64_t a, int64_t b)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum))
        c->overflow = true;
}

/* ---- what a head has touched ---------------------------------------------------------------------------- */

/* Makes room for one more run at `at`; false without memory. */
static bool insert_run(row_set *set, size_t at)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity > 0 ? 2 * set->capacity : 8;
        void *grown = realloc(set->run, capacity * sizeof *set->run);
        if (!grown)
            return false;
        set->run = grown;
        set->capacity = capacity;
    }
    memmove(set->run + at + 1, set->run + at, (set->count - at) * sizeof *set->run);
    set->count++;
    return true;
}

/* The first run that ends at or behind `row`. */
static size_t first_run_to(const row_set *set, int64_t row)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->run[middle].end < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_rows(row_set *set, int64_t begin, int64_t end)
{
    size_t at = first_run_to(set, begin), last = at;
    while (last < set->count && set->run[last].begin <= end)
        last++;
    if (last == at) {
        if (!insert_run(set, at))
            return false;
        set->run[at].begin = begin;
        set->run[at].end = end;
        return true;
    }
    set->run[at].begin = set->run[at].begin < begin ? set->run[at].begin : begin;
    set->run[at].end = set->run[last - 1].end > end ? set->run[last - 1].end : end;
    memmove(set->run + at + 1, set->run + last, (set->count - last) * sizeof *set->run);
    set->count -= last - at - 1;
    return true;
}

static int64_t number_of_rows(const row_set *set)
{
    int64_t rows = 0;
    for (size_t i = 0; i < set->count; i++)
        rows += set->run[i].end - set->run[i].begin;
    return rows;
}

static void touch(counter *c, const tw_emitter *e, touched *tensors, const tw_op *op)
{
    touched *t = &tensors[tw_tensor_home(op->tensor, e->problem)];
    int stride = op->rows.stride > 0 ? op->rows.stride : op->rows.rows; /* the gaps are other agents' rows */
    int64_t row_end = op->rows.row0 + (op->rows.run - 1) * stride + op->rows.rows;
    int64_t col_end = op->cols.row0 + op->cols.rows * op->cols.run;
    if (!add_rows(&t->rows, op->rows.row0, row_end))
        c->no_memory = true;
    t->cols = col_end > t->cols ? col_end : t->cols;
    add_product(c, &t->elements, (int64_t)op->rows.rows * op->cols.rows, op->times);
}

/* ---- operations ----------------------------------------------------------------------------------------- */

static void count_load(counter *c, const tw_emitter *e, const tw_op *op)
{
    bool boxes = e->tiling->fetch == TW_FETCH_BOX;
    int64_t rows = boxes ? op->rows.box_rows : op->rows.rows;
    int64_t cols = boxes ? op->cols.box_rows : op->cols.rows;
    int bytes = tw_tensor_element_bytes(op->tensor, e->problem);
    add_product(c, &c->now->sram_fill_bytes, rows * cols * bytes, op->times);
    add_product(c, &c->now->sram_fill_elements, rows * cols, op->times);
    touch(c, e, c->read, op);
}

static void count_store(counter *c, const tw_emitter *e, const tw_op *op)
{
    int bytes = tw_tensor_element_bytes(op->tensor, e->problem);
    int64_t elements = (int64_t)op->rows.rows * op->cols.rows;
    add_product(c, &c->now->sram_drain_bytes, elements * bytes, op->times);
    add_product(c, &c->now->sram_drain_elements, elements, op->times);
    touch(c, e, c->written, op);
}

/* One way out of the SM; behind it, what is added to is read and written. */
static void count_atomic_add(counter *c, const tw_emitter *e, const tw_op *op)
{
    count_store(c, e, op);
    touch(c, e, c->read, op);
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

static void count_score_mod(counter *c, const tw_emitter *e, const tw_op *op, const tw_slot_info *s)
{
    add_product(c, &c->now->score_flops, tw_score_mods_flops(e->problem) * tw_slot_elements(s), op->times);
    if (e->problem->scoring.softcap > 0.0)
        add_product(c, &c->now->exps, pairs_of(c, e, op, s), 1); /* tanh, by the same unit */
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
    case TW_OP_ATOMIC_ADD:
        count_atomic_add(c, e, op);
        break;
    case TW_OP_MATMUL_NT:
        count_product(c, e, op, dst, e->slots[op->a].cols.rows);
        break;
    case TW_OP_MATMUL_ADD:
    case TW_OP_MATMUL_TN:
        count_product(c, e, op, &e->slots[op->a], dst->cols.rows);
        break;
    case TW_OP_ONLINE_SOFTMAX:
    case TW_OP_ROW_STATS:
        add_product(c, &c->now->exps, dst->rows.rows, op->times); /* alpha, one a row */
        add_product(c, &c->now->exps, pairs_of(c, e, op, dst), 1);
        break;
    case TW_OP_SOFTMAX:
    case TW_OP_SOFTMAX_APPLY:
    case TW_OP_SOFTMAX_LSE:
        add_product(c, &c->now->exps, pairs_of(c, e, op, dst), 1);
        break;
    case TW_OP_SCORE_MOD:
        count_score_mod(c, e, op, dst);
        break;
    case TW_OP_FIXED_SOFTMAX: /* no alpha */
        add_product(c, &c->now->exps, pairs_of(c, e, op, dst), 1);
        break;
    case TW_OP_COMBINE: /* a factor of what is there, and one of the part */
        add_product(c, &c->now->exps, 2 * (int64_t)dst->rows.rows, op->times);
        break;
    default:
        break;
    }
    if (c->no_memory)
        return tw_fail(TW_ENOMEM, "no memory to remember what %s has touched", e->schedule->name);
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
    return TW_OK;
}

static void forget(touched *t)
{
    t->rows.count = 0;
    t->cols = t->elements = 0;
}

/* How many different tensors so many heads of so many sequences, which are alike, have touched. */
static int64_t copies_of(const tw_problem *p, tw_tensor tensor, int64_t heads, int64_t batches)
{
    const tw_score_mods *scores = &p->scoring;
    switch (tensor) {
    case TW_K:
    case TW_V:
    case TW_DK:
    case TW_DV:
        return heads < p->num_heads ? batches : (int64_t)p->num_heads_kv * batches;
    case TW_BIAS:
        return (scores->bias_per_head ? heads : 1) * (scores->bias_per_batch ? batches : 1);
    case TW_SINK:
        return heads;
    case TW_TILE_LIST:
        return 1;
    case TW_PAGE_TABLE:
        return batches;
    default:
        return heads * batches;
    }
}

/* Adds the compulsory traffic of a tensor: what was touched moves once. A row of S, P, bias or list is touched in
 * parts, each of them once or the whole width anew. */
static void flush(counter *c, int64_t *bytes, int64_t *elements, touched *t, tw_tensor tensor,
                  const tw_emitter *e, int64_t heads, int64_t batches)
{
    int64_t size = number_of_rows(&t->rows) * t->cols, alike = heads * batches;
    const unsigned in_parts = TW_SET(TW_S) | TW_SET(TW_P) | TW_SET(TW_BIAS) | TW_SET(TW_TILE_LIST) |
                              TW_SET(TW_DP) | TW_SET(TW_DS) | TW_SET(TW_Z) | TW_SET(TW_PZ) | TW_SET(TW_DPZ);
    if (in_parts & TW_SET(tensor) && t->elements / alike < size)
        size = t->elements / alike;
    int64_t copies = copies_of(e->problem, tensor, heads, batches);
    add_product(c, bytes, size, copies * tw_tensor_element_bytes(tensor, e->problem));
    add_product(c, elements, size, copies);
    forget(t);
}

/* Behind an L2, K and V of heads that are taken one by one move once for all of a group. */
static tw_status end_head(void *self, const tw_emitter *e, int64_t heads, int64_t batches)
{
    counter *c = self;
    tw_counts *now = c->now;
    int group = e->problem->num_heads / e->problem->num_heads_kv;
    bool group_done = heads == e->problem->num_heads || (e->head + 1) % group == 0;
    bool all_done = heads == e->problem->num_heads || e->head + 1 == e->problem->num_heads;
    for (int t = 0; t < TW_NUM_TENSORS && tw_machine_has_l2(e->machine); t++) {
        bool shared = t == TW_K || t == TW_V || t == TW_DK || t == TW_DV;
        if ((shared && !group_done) || (t == TW_PAGE_TABLE && !all_done))
            continue;
        flush(c, &now->hbm_read_bytes, &now->hbm_read_elements, &c->read[t], (tw_tensor)t, e, heads, batches);
        flush(c, &now->hbm_write_bytes, &now->hbm_write_elements, &c->written[t], (tw_tensor)t, e, heads,
              batches);
    }
    return TW_OK;
}

static tw_status end_launch(void *self, const tw_emitter *e)
{
    counter *c = self;
    if (!tw_machine_has_l2(e->machine)) {
        c->now->hbm_read_bytes = c->now->sram_fill_bytes;
        c->now->hbm_write_bytes = c->now->sram_drain_bytes;
        c->now->hbm_read_elements = c->now->sram_fill_elements;
        c->now->hbm_write_elements = c->now->sram_drain_elements;
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
        add_product(c, &total->score_flops, l->score_flops, 1);
        add_product(c, &total->exps, l->exps, 1);
        total->sram_peak_bytes = larger(total->sram_peak_bytes, l->sram_peak_bytes);
        total->register_peak_bytes = larger(total->register_peak_bytes, l->register_peak_bytes);
    }
}

static const tw_backend count_backend = {.merges = true,
                                         .begin_launch = begin_launch,
                                         .end_head = end_head,
                                         .op = count_op,
                                         .end_block = end_block,
                                         .end_launch = end_launch};

static void free_counter(counter *c)
{
    for (int t = 0; t < TW_NUM_TENSORS; t++) {
        free(c->read[t].rows.run);
        free(c->written[t].rows.run);
    }
}

static bool fits(const tw_schedule *schedule, const tw_problem *problem, tw_tiling tiling,
                 const tw_machine *machine)
{
    counter c = {.overflow = false};
    tw_status status = tw_emit(schedule, problem, &tiling, machine, &count_backend, &c);
    free_counter(&c);
    return status != TW_ESRAM;
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
    tw_problem small = *problem;           /* peaks do not depend on what is alike: one head, no mask */
    small.num_heads /= small.num_heads_kv; /* packed heads fill a tile */
    small.batch = small.num_heads_kv = 1;
    small.causal = false;
    small.mask = (tw_masks){.window = false};
    small.cu_seqlens_q = small.cu_seqlens_k = NULL;
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
    free_counter(&c);
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

tw_status tw_count_append(tw_count_result *sum, const tw_count_result *second)
{
    counter c = {.result = {.num_launches = sum->num_launches + second->num_launches}};
    if (c.result.num_launches > TW_MAX_LAUNCHES)
        return tw_fail(TW_EUNSUPPORTED, "both passes have %d launches, there may be %d",
                       c.result.num_launches, TW_MAX_LAUNCHES);
    memcpy(c.result.launch, sum->launch, (size_t)sum->num_launches * sizeof *sum->launch);
    memcpy(c.result.launch + sum->num_launches, second->launch,
           (size_t)second->num_launches * sizeof *second->launch);
    add_up(&c);
    if (c.overflow)
        return tw_fail(TW_EOVERFLOW, "the counts of both passes do not fit 63 bits");
    *sum = c.result;
    return TW_OK;
}
