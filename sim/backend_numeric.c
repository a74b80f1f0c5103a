/* The back end that executes: each tile operation does its arithmetic on real numbers. */
#include "backend_numeric.h"

#include "../cpu_ref/online_softmax.h"
#include "backend_count.h"
#include "numeric_executor.h"
#include "splits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- where things are ----------------------------------------------------------------------------------- */

/* Most have a row for each query row and head. */
static size_t tensor_elements(tw_tensor tensor, const tw_problem *p)
{
    if (tensor == TW_K || tensor == TW_DK)
        return tw_problem_k_elements(p);
    if (tensor == TW_V || tensor == TW_DV)
        return tw_problem_v_elements(p);
    size_t parts = tensor == TW_O_PART || tensor == TW_LSE_PART ? (size_t)p->num_splits : 1;
    return parts * tw_problem_lse_elements(p) * (size_t)tw_tensor_shape_of(tensor, p).cols;
}

/* Of all queries, part 0 comes first, then part 1. */
static size_t part_row(const tw_emitter *e, int batch, int head, int64_t row)
{
    const tw_problem *p = e->problem;
    size_t part = (size_t)(row / p->seqlen_q);
    return part * tw_problem_lse_elements(p) + tw_problem_lse_at(p, batch, head, (int)(row % p->seqlen_q));
}

/* Index of element (row, 0) of a tensor. */
size_t tw_executor_tensor_row(const tw_emitter *e, tw_tensor tensor, int batch, int head, int64_t row)
{
    const tw_problem *p = e->problem;
    switch (tensor) {
    case TW_Q:
    case TW_DQ:
    case TW_DQ_SUM:
        return tw_problem_q_row(p, batch, head, (int)row);
    case TW_O:
    case TW_DO:
        return tw_problem_o_row(p, batch, head, (int)row);
    case TW_K:
    case TW_DK:
        return tw_problem_k_row(p, batch, head, (int)row);
    case TW_V:
    case TW_DV:
        return tw_problem_v_row(p, batch, head, (int)row);
    case TW_S:
    case TW_P:
    case TW_DP:
    case TW_DS:
    case TW_Z:
    case TW_PZ:
    case TW_DPZ: /* packed sequences keep rows as long as the longest needs */
        return tw_problem_lse_at(p, batch, head, (int)row) * (size_t)e->whole->seqlen_k;
    case TW_BIAS:
        return (size_t)tw_bias_row(p, batch, head, (int)row);
    case TW_O_PART:
        return part_row(e, batch, head, row) * (size_t)tw_problem_head_dim_v(p);
    case TW_LSE_PART:
        return part_row(e, batch, head, row);
    case TW_SINK:
        return (size_t)tw_problem_query_head(p, head, (int)row);
    default:
        return tw_problem_lse_at(p, batch, head, (int)row);
    }
}

/* Room for the slot that an operation writes. */
static tw_status make_room(tw_executor *x, const tw_emitter *e, int id)
{
    size_t need = (size_t)tw_slot_elements(&e->slots[id]);
    if (x->capacity[id] >= need)
        return TW_OK;
    free(x->slots[id]);
    x->capacity[id] = 0;
    x->slots[id] = malloc(need * sizeof(double));
    if (!x->slots[id])
        return tw_fail(TW_ENOMEM, "a tile of %zu numbers does not fit into memory", need);
    x->capacity[id] = need;
    return TW_OK;
}

double *tw_executor_row(tw_executor *x, const tw_emitter *e, int id, int row)
{
    return x->slots[id] + (size_t)row * (size_t)e->slots[id].cols.rows;
}

static void round_all(double *x, size_t n, tw_dtype dtype)
{
    for (size_t i = 0; i < n; i++)
        x[i] = tw_dtype_round(dtype, x[i]);
}

/* What arithmetic leaves in a slot is an fp32 number on a GPU. */
static void round_slot(tw_executor *x, const tw_emitter *e, int id)
{
    if (x->rounding == TW_ROUND_AS_GPU && id >= 0)
        round_all(x->slots[id], (size_t)tw_slot_elements(&e->slots[id]), TW_FP32);
}

/* ---- operations ----------------------------------------------------------------------------------------- */

/* Of a list the slot holds how much was read, and where in it the walk is. */
static void put_list(tw_executor *x, const tw_op *op)
{
    x->slots[op->dst][0] = (double)op->cols.rows;
    x->slots[op->dst][1] = 0.0;
}

/* Of the page table the entries. */
static void put_pages(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    for (int r = 0; r < op->rows.rows; r++)
        x->slots[op->dst][r] = tw_problem_page(e->problem, op->batch, (int)op->rows.row0 + r);
}

/* Where a load finds a row. */
static size_t found_at(const tw_executor *x, const tw_emitter *e, const tw_op *op, int64_t row)
{
    return op->a >= 0 ? tw_executor_paged_row(x, e, op, row)
                      : tw_executor_tensor_row(e, op->tensor, op->batch, op->head, row);
}

static void load(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    const double *tensor = x->outputs[op->tensor] ? x->outputs[op->tensor] : x->inputs[op->tensor];
    tw_dtype dtype = tw_tensor_shape_of(op->tensor, e->problem).dtype;
    size_t width = (size_t)op->cols.rows;
    if (op->tensor == TW_TILE_LIST)
        put_list(x, op); /* the walk knows the indices: nobody computes with them */
    if (op->tensor == TW_PAGE_TABLE)
        put_pages(x, e, op);
    for (int r = 0; r < op->rows.rows && tensor; r++) {
        double *to = tw_executor_row(x, e, op->dst, r);
        memcpy(to, tensor + found_at(x, e, op, op->rows.row0 + r) + op->cols.row0, width * sizeof(double));
        if (x->rounding == TW_ROUND_AS_GPU)
            round_all(to, width, dtype);
    }
    int64_t bytes = (int64_t)op->rows.rows * op->cols.rows * tw_tensor_element_bytes(op->tensor, e->problem);
    x->stats.sram_fill_bytes += bytes;
    x->stats.recomputed_fill_bytes += e->again ? bytes : 0;
}

static void store(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    tw_dtype dtype = tw_tensor_shape_of(op->tensor, e->problem).dtype;
    size_t width = (size_t)op->cols.rows;
    for (int r = 0; r < op->rows.rows; r++) {
        size_t to = tw_executor_tensor_row(e, op->tensor, op->batch, op->head, op->rows.row0 + r);
        double *row = x->outputs[op->tensor] + to + op->cols.row0;
        memcpy(row, tw_executor_row(x, e, op->a, r), width * sizeof(double));
        if (x->rounding == TW_ROUND_AS_GPU)
            round_all(row, width, dtype);
    }
    x->stats.sram_drain_bytes += (int64_t)op->rows.rows * op->cols.rows *
                                 tw_tensor_element_bytes(op->tensor, e->problem);
}

static void fill(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    size_t n = (size_t)tw_slot_elements(&e->slots[op->dst]);
    size_t period = op->a >= 0 ? (size_t)tw_slot_elements(&e->slots[op->a]) : 1;
    size_t first = (size_t)e->slots[op->dst].rows.row0;
    for (size_t i = 0; i < n; i++)
        x->slots[op->dst][i] = op->a >= 0 ? x->slots[op->a][(first + i) % period] : op->value;
}

/* S = scale · Q Kᵀ */
static void matmul_nt(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int rows = e->slots[op->a].rows.rows, keys = e->slots[op->b].rows.rows, depth = e->slots[op->a].cols.rows;
    for (int i = 0; i < rows; i++) {
        const double *q = tw_executor_row(x, e, op->a, i);
        double *s = tw_executor_row(x, e, op->dst, i);
        for (int j = 0; j < keys; j++) {
            const double *k = tw_executor_row(x, e, op->b, j);
            double sum = 0.0;
            for (int c = 0; c < depth; c++)
                sum += q[c] * k[c];
            s[j] = op->value * sum;
        }
    }
}

/* O += P V, dQ += scale · dS K */
static void matmul_add(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int rows = e->slots[op->a].rows.rows, keys = e->slots[op->a].cols.rows,
        width = e->slots[op->dst].cols.rows, stride = e->slots[op->b].cols.rows;
    for (int i = 0; i < rows; i++) {
        double *sum = tw_executor_row(x, e, op->dst, i);
        const double *weights = tw_executor_row(x, e, op->a, i);
        for (int j = 0; j < keys; j++) {
            double weight = op->value * weights[j];
            tw_online_accumulate(sum, &weight, x->slots[op->b] + (size_t)j * (size_t)stride, 1, width,
                                 stride);
        }
    }
}

/* Scores of one row of a tile that its mask hides become −inf. */
static void mask_row(double *row, const tw_emitter *e, const tw_slot_info *s, int r)
{
    const tw_problem *p = e->problem;
    int query = (int)s->rows.row0 + r;
    bool listed = tw_mask_is_listed(p);
    tw_spans seen = tw_mask_spans(p, query);
    for (int j = 0; j < s->cols.rows; j++) {
        int key = (int)s->cols.row0 + j;
        bool in_run = (key >= seen.begin[0] && key < seen.end[0]) ||
                      (key >= seen.begin[1] && key < seen.end[1]);
        if (!in_run || (listed && !tw_mask_visible(p, e->batch, e->head, query, key)))
            row[j] = -INFINITY;
    }
}

static void mask(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    const tw_slot_info *s = &e->slots[op->dst];
    for (int r = 0; r < s->rows.rows; r++)
        mask_row(tw_executor_row(x, e, op->dst, r), e, s, r);
}

/* The bias comes from its tile on chip, the rest of what happens to a score from the problem. */
static void score_mod(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    const tw_slot_info *s = &e->slots[op->dst];
    for (int r = 0; r < s->rows.rows; r++) {
        double *row = tw_executor_row(x, e, op->dst, r);
        for (int j = 0; j < s->cols.rows; j++) {
            const double *bias = op->a >= 0 ? tw_executor_row(x, e, op->a, r) + j : NULL;
            row[j] = tw_score_modified_with(e->problem, row[j], bias, e->batch, e->head,
                                            (int)s->rows.row0 + r, (int)s->cols.row0 + j);
        }
    }
}

/* One row of one step: the recurrence of online_softmax.h. What is not wanted is computed and dropped. */
static void softmax_row(tw_executor *x, const tw_emitter *e, const tw_op *op, int r)
{
    int n = e->slots[op->dst].cols.rows;
    double *s = tw_executor_row(x, e, op->dst, r), *m = &x->slots[op->stats.m.id][r],
           *l = &x->slots[op->stats.l.id][r];
    double m_new = tw_online_max(*m, s, n), alpha = tw_online_rescale_factor(*m, m_new);
    if (op->kind == TW_OP_ROW_STATS) { /* S must survive: its exponents are summed one at a time */
        *l *= alpha;
        for (int j = 0; j < n; j++) {
            double p;
            tw_online_exp(&p, &s[j], m_new, 1);
            *l += p;
        }
    } else {
        double l_old = *l;
        tw_online_exp(s, s, m_new, n);
        *l = tw_online_sum(l_old, alpha, s, n);
        if (op->kind == TW_OP_ONLINE_SOFTMAX)
            x->slots[op->stats.alpha.id][r] = op->normalized ? alpha * l_old : alpha;
    }
    *m = m_new;
}

/* P = e^(S − m) / l with the statistics of the whole row. */
static void softmax_apply_row(tw_executor *x, const tw_emitter *e, const tw_op *op, int r)
{
    int n = e->slots[op->dst].cols.rows;
    double *s = tw_executor_row(x, e, op->dst, r), m = x->slots[op->stats.m.id][r];
    if (tw_online_max(m, s, n) > m)
        x->status = tw_fail(TW_ESCHEDULE, "schedule %s, line %d: a score exceeds the maximum of its row",
                            e->schedule->name, op->line);
    tw_online_exp(s, s, m, n);
    tw_online_normalize(s, x->slots[op->stats.l.id][r], n);
}

/* Operations that treat each row of dst by itself. */
static void by_row(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    int width = e->slots[op->dst].cols.rows;
    for (int r = 0; r < e->slots[op->dst].rows.rows; r++) {
        double *row = tw_executor_row(x, e, op->dst, r);
        switch (op->kind) {
        case TW_OP_RESCALE:
            tw_online_rescale(row, x->slots[op->stats.alpha.id][r], width);
            break;
        case TW_OP_NORMALIZE:
            tw_online_normalize(row, x->slots[op->stats.l.id][r], width);
            break;
        case TW_OP_LSE:
            *row = tw_online_lse(*row, x->slots[op->stats.l.id][r]);
            break;
        case TW_OP_SOFTMAX_APPLY:
            softmax_apply_row(x, e, op, r);
            break;
        default:
            softmax_row(x, e, op, r);
            break;
        }
    }
}

static void convert(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    if (x->rounding == TW_ROUND_AS_GPU)
        round_all(x->slots[op->dst], (size_t)tw_slot_elements(&e->slots[op->dst]), op->dtype);
}

static tw_status execute(tw_executor *x, const tw_emitter *e, const tw_op *op)
{
    if (op->dst >= 0)
        TW_TRY(make_room(x, e, op->dst));
    if (op->kind == TW_OP_ONLINE_SOFTMAX)
        TW_TRY(make_room(x, e, op->stats.alpha.id));
    static void (*const run[TW_NUM_OPS])(tw_executor *, const tw_emitter *, const tw_op *) = {
        [TW_OP_LOAD] = load,
        [TW_OP_STORE] = store,
        [TW_OP_FILL] = fill,
        [TW_OP_MATMUL_NT] = matmul_nt,
        [TW_OP_MATMUL_ADD] = matmul_add,
        [TW_OP_MASK] = mask,
        [TW_OP_SCORE_MOD] = score_mod,
        [TW_OP_SOFTMAX] = by_row,
        [TW_OP_ONLINE_SOFTMAX] = by_row,
        [TW_OP_ROW_STATS] = by_row,
        [TW_OP_SOFTMAX_APPLY] = by_row,
        [TW_OP_RESCALE] = by_row,
        [TW_OP_NORMALIZE] = by_row,
        [TW_OP_LSE] = by_row,
        [TW_OP_CONVERT] = convert,
    };
    if (run[op->kind])
        run[op->kind](x, e, op);
    else if (!tw_execute_backward(x, e, op) && !tw_execute_decode(x, e, op))
        return TW_OK; /* release: the emitter's bookkeeping is all there is to it */
    round_slot(x, e, op->dst);
    round_slot(x, e, op->stats.m.id);
    round_slot(x, e, op->stats.l.id);
    if (op->kind == TW_OP_ONLINE_SOFTMAX)
        round_slot(x, e, op->stats.alpha.id);
    return TW_OK;
}

static tw_status on_op(void *self, const tw_emitter *e, const tw_op *op)
{
    tw_executor *x = self;
    TW_TRY(execute(x, e, op));
    TW_TRY(x->status);
    x->stats.num_ops++;
    if (x->observer)
        x->observer->after(x->observer->self, e, op, x->slots);
    return TW_OK;
}

static bool is_dropped(void *self, const tw_op *op)
{
    (void)op;
    tw_executor *x = self;
    return x->seen++ == x->drop;
}

/* ---- the run -------------------------------------------------------------------------------------------- */

static unsigned touched_tensors(const tw_schedule *schedule)
{
    unsigned set = 0;
    for (int i = 0; i < schedule->num_launches; i++)
        set |= schedule->launches[i].reads | schedule->launches[i].writes;
    return set;
}

/* What FlashAttention 1 finds in HBM before its first pass; NaN where nobody may read before writing. */
static double starting_value(const tw_schedule *schedule, const tw_problem *p, tw_tensor tensor, int head)
{
    if (!(schedule->initialized & TW_SET(tensor)))
        return NAN;
    if (tensor == TW_M)
        return tw_sink_logit(p, head, 0);
    return tensor == TW_L && p->scoring.sink_logits ? 1.0 : 0.0; /* a sink has been summed */
}

static void put_starting_values(double *x, const tw_schedule *schedule, const tw_problem *p, tw_tensor tensor)
{
    size_t n = tensor_elements(tensor, p), heads = (size_t)p->num_heads;
    size_t rows = p->cu_seqlens_q ? (size_t)tw_problem_total_q(p)
                                  : (size_t)p->seqlen_q; /* of a head's stretch */
    bool by_head = tensor == TW_M;                       /* [batch, heads, rows] or, packed, [heads, rows] */
    for (size_t i = 0; i < n; i++)
        x[i] = starting_value(schedule, p, tensor, by_head ? (int)(i / rows % heads) : 0);
}

/* Tensors that the schedule touches and nobody has made yet. */
static tw_status make_tensors(tw_executor *x, const tw_schedule *schedule, const tw_problem *p)
{
    for (int t = 0; t < TW_NUM_TENSORS; t++) {
        if (!(touched_tensors(schedule) & TW_SET(t)) || x->inputs[t] || (x->made & TW_SET(t)))
            continue;
        size_t n = tensor_elements((tw_tensor)t, p);
        if (!x->outputs[t]) {
            x->outputs[t] = malloc(n * sizeof(double));
            x->owned |= TW_SET(t);
        }
        if (!x->outputs[t])
            return tw_fail(TW_ENOMEM, "tensor %s of %zu numbers does not fit into memory",
                           tw_tensor_name((tw_tensor)t), n);
        put_starting_values(x->outputs[t], schedule, p, (tw_tensor)t);
        x->made |= TW_SET(t);
    }
    return TW_OK;
}

static void free_tensors(tw_executor *x)
{
    for (int t = 0; t < TW_NUM_TENSORS; t++)
        if (x->owned & TW_SET(t))
            free(x->outputs[t]);
    for (int id = 0; id < TW_MAX_SLOTS; id++)
        free(x->slots[id]);
}

/* LSE as the schedule stored it, or from m and l where it keeps those; NaN if it does neither. */
static void give_lse(double *lse, const tw_executor *x, const tw_problem *p)
{
    size_t n = tw_problem_lse_elements(p);
    const double *written = x->outputs[TW_LSE], *m = x->outputs[TW_M], *l = x->outputs[TW_L];
    for (size_t i = 0; i < n; i++)
        lse[i] = written ? written[i] : m && l ? tw_online_lse(m[i], l[i]) : NAN;
}

static tw_executor executor_of(const tw_numeric_options *options, const tw_problem *problem, const double *q,
                               const double *k, const double *v, const double *d_o)
{
    return (tw_executor){.rounding = options->rounding,
                         .observer = options->observer,
                         .drop = options->drop_one ? options->drop : -1,
                         .inputs = {[TW_Q] = q,
                                    [TW_K] = k,
                                    [TW_V] = v,
                                    [TW_DO] = d_o,
                                    [TW_BIAS] = problem->scoring.bias,
                                    [TW_SINK] = problem->scoring.sink_logits}};
}

/* One pass, on what is in HBM by now. */
static tw_status run_pass(tw_executor *x, const tw_schedule *schedule, const tw_problem *problem,
                          const tw_tiling *tiling, const tw_machine *machine)
{
    static const tw_backend backend = {
        .merges = false, .op = on_op, .left_range = tw_executor_left_range, .drop = is_dropped};
    tw_problem with_parts = *problem;
    tw_count_result counted; /* before any work: do the tiles fit? */
    TW_TRY(tw_count(&counted, schedule, problem, tiling, machine));
    with_parts.num_splits = tw_problem_split(schedule, problem, tiling, machine).num_splits;
    TW_TRY(make_tensors(x, schedule, &with_parts));
    return tw_emit(schedule, problem, tiling, machine, &backend, x);
}

tw_status tw_numeric_run(double *o, double *lse, tw_numeric_stats *stats, const tw_schedule *schedule,
                         const tw_problem *problem, const tw_tiling *tiling, const tw_machine *machine,
                         const double *q, const double *k, const double *v, const tw_numeric_options *options)
{
    tw_executor x = executor_of(options, problem, q, k, v, NULL);
    x.outputs[TW_O] = o;
    tw_status status = run_pass(&x, schedule, problem, tiling, machine);
    if (status == TW_OK && lse)
        give_lse(lse, &x, problem);
    if (status == TW_OK && stats)
        *stats = x.stats;
    free_tensors(&x);
    return status;
}

tw_status tw_numeric_run_step(const tw_step_results *results, tw_numeric_stats stats[2],
                              const tw_training_step *step, const tw_problem *problem,
                              const tw_machine *machine, const double *q, const double *k, const double *v,
                              const double *d_o, const tw_numeric_options *options)
{
    tw_executor x = executor_of(options, problem, q, k, v, d_o);
    x.outputs[TW_O] = results->o;
    x.outputs[TW_DQ] = results->dq, x.outputs[TW_DK] = results->dk, x.outputs[TW_DV] = results->dv;
    x.observer = NULL;
    tw_status status = run_pass(&x, step->forward, problem, &step->forward_tiling, machine);
    if (status == TW_OK && stats)
        stats[0] = x.stats;
    x.stats = (tw_numeric_stats){0};
    x.observer = options->observer;
    if (status == TW_OK)
        status = run_pass(&x, step->backward, problem, &step->backward_tiling, machine);
    if (status == TW_OK && results->lse)
        give_lse(results->lse, &x, problem);
    if (status == TW_OK && stats)
        stats[1] = x.stats;
    free_tensors(&x);
    return status;
}

double tw_numeric_bytes(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *tiling)
{
    const unsigned given = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O) | TW_SET(TW_DO) |
                           TW_SET(TW_DQ) | TW_SET(TW_DK) | TW_SET(TW_DV);
    double elements = 0.0, tiles = ceil((double)p->seqlen_k / tiling->block_n);
    double splits = tiling->num_splits > 0 ? tiling->num_splits
                                           : tiles; /* no more than one a tile are chosen */
    for (int t = 0; t < TW_NUM_TENSORS; t++)
        if (touched_tensors(schedule) & TW_SET(t) & ~given)
            elements += (double)tw_problem_lse_elements(p) *
                        (double)tw_tensor_shape_of((tw_tensor)t, p).cols *
                        (t == TW_O_PART || t == TW_LSE_PART ? splits : 1.0);
    bool whole = schedule->ignores_sram;
    double rows = whole || tiling->block_m > p->seqlen_q ? p->seqlen_q : tiling->block_m;
    double keys = whole || tiling->block_n > p->seqlen_k ? p->seqlen_k : tiling->block_n;
    elements += 2.0 * (rows + keys) * p->head_dim + rows * keys + p->seqlen_k + 3.0 * rows;
    return elements * sizeof(double);
}
