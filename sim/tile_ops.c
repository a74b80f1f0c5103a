/* The tile language: each function emits one kind of operation, under the rules of slots.h. */
#include "tile_ops.h"
#include "slots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const tensor_names[TW_NUM_TENSORS] = {
    "Q",       "K",       "V",       "O",       "S",       "P",    "LSE", "M",     "L",
    "bias",    "sink",    "list",    "dO",      "dQ",      "dK",   "dV",  "dP",    "dS",
    "D",       "dQ sum",  "Z",       "PZ",      "dPZ",     "turn", "O_c", "LSE_c", "pages",
    "Q scale", "K scale", "V scale", "Q index", "K index", "E",    "K'",  "V'"};

static const char *const op_names[TW_NUM_OPS] = {
    "load",           "store",     "fill",          "matmul_nt",   "matmul_add", "mask",      "softmax",
    "online_softmax", "row_stats", "softmax_apply", "rescale",     "convert",    "normalize", "lse",
    "release",        "score_mod", "matmul_tn",     "softmax_lse", "row_dot",    "dsoftmax",  "atomic_add",
    "dropout_mask",   "dropout",   "give_turn",     "take_turn",   "combine",    "fix_max",   "fixed_softmax",
    "add_part",       "send"};

const char *tw_tensor_name(tw_tensor tensor)
{
    return tensor_names[tensor];
}

const char *tw_op_name(tw_op_kind kind)
{
    return op_names[kind];
}

/* One part behind the other. */
static int64_t rows_of_parts(const tw_problem *p)
{
    return (int64_t)p->seqlen_q * (p->num_splits > 1 ? p->num_splits : 1);
}

tw_tensor_shape tw_tensor_shape_of(tw_tensor tensor, const tw_problem *p)
{
    switch (tensor) {
    case TW_Q:
        return (tw_tensor_shape){p->seqlen_q, p->head_dim, p->num_heads, tw_problem_input_dtype(p)};
    case TW_K:
        return (tw_tensor_shape){p->seqlen_k, p->head_dim, p->num_heads_kv, tw_problem_input_dtype(p)};
    case TW_V:
        return (tw_tensor_shape){p->seqlen_k, tw_problem_head_dim_v(p), p->num_heads_kv,
                                 tw_problem_input_dtype(p)};
    case TW_Q_SCALE:
        return (tw_tensor_shape){tw_quantize_scales(&p->quantize, TW_QUANTIZED_Q, p->seqlen_q), 1,
                                 p->num_heads, TW_FP32};
    case TW_K_SCALE:
        return (tw_tensor_shape){tw_quantize_scales(&p->quantize, TW_QUANTIZED_K, p->seqlen_k), 1,
                                 p->num_heads_kv, TW_FP32};
    case TW_V_SCALE:
        return (tw_tensor_shape){tw_quantize_scales(&p->quantize, TW_QUANTIZED_V, p->seqlen_k), 1,
                                 p->num_heads_kv, TW_FP32};
    case TW_DK:
        return (tw_tensor_shape){p->seqlen_k, p->head_dim, p->num_heads_kv, p->dtype};
    case TW_DV:
        return (tw_tensor_shape){p->seqlen_k, tw_problem_head_dim_v(p), p->num_heads_kv, p->dtype};
    case TW_O:
    case TW_DO:
        return (tw_tensor_shape){p->seqlen_q, tw_problem_head_dim_v(p), p->num_heads, p->dtype};
    case TW_S:
    case TW_P:
    case TW_DP:
    case TW_DS:
    case TW_Z:
    case TW_PZ:
    case TW_DPZ:
        return (tw_tensor_shape){p->seqlen_q, p->seqlen_k, p->num_heads, p->dtype};
    case TW_LSE:
    case TW_M:
    case TW_L:
    case TW_D:
        return (tw_tensor_shape){p->seqlen_q, 1, p->num_heads, TW_FP32};
    case TW_DQ_SUM:
        return (tw_tensor_shape){p->seqlen_q, p->head_dim, p->num_heads, TW_FP32};
    case TW_BIAS:
        return (tw_tensor_shape){p->seqlen_q, p->seqlen_k, p->scoring.bias_per_head ? p->num_heads : 1,
                                 p->dtype};
    case TW_SINK:
        return (tw_tensor_shape){p->heads_in_rows > 1 ? p->heads_in_rows : 1, 1, p->num_heads, TW_FP32};
    case TW_TILE_LIST: /* no more tiles than rows or keys; integers are as wide as fp32 */
        return (tw_tensor_shape){(int64_t)p->seqlen_q + p->seqlen_k,
                                 2 * ((int64_t)p->seqlen_q + p->seqlen_k + 2), p->num_heads, TW_FP32};
    case TW_O_PART:
        return (tw_tensor_shape){rows_of_parts(p), tw_problem_head_dim_v(p), p->num_heads, TW_FP32};
    case TW_LSE_PART:
        return (tw_tensor_shape){rows_of_parts(p), 1, p->num_heads, TW_FP32};
    case TW_PAGE_TABLE: /* one for all heads of a sequence */
        return (tw_tensor_shape){p->table_width, 1, 1, TW_FP32};
    case TW_PROJECTION:
        return (tw_tensor_shape){p->rank, p->seqlen_k, 1, p->dtype};
    case TW_KP:
        return (tw_tensor_shape){p->rank, p->head_dim, p->num_heads_kv, p->dtype};
    case TW_VP:
        return (tw_tensor_shape){p->rank, tw_problem_head_dim_v(p), p->num_heads_kv, p->dtype};
    case TW_Q_INDEX:
    case TW_K_INDEX:
        return (tw_tensor_shape){tensor == TW_Q_INDEX ? p->seqlen_q : p->seqlen_k, 2, 1, TW_FP32};
    default:
        return (tw_tensor_shape){p->seqlen_q, p->head_dim, p->num_heads, p->dtype};
    }
}

tw_tensor tw_tensor_home(tw_tensor tensor, const tw_problem *p)
{
    return tensor == TW_V && p->v_in_k ? TW_K : tensor;
}

int tw_tensor_element_bytes(tw_tensor tensor, const tw_problem *p)
{
    return tensor == TW_Z ? 1 : tw_dtype_bytes(tw_tensor_shape_of(tensor, p).dtype);
}

tw_status tw_emitter_status(const tw_emitter *e)
{
    return e->status;
}

tw_op tw_op_new(tw_op_kind kind)
{
    tw_op op = {.kind = kind, .dst = -1, .a = -1, .b = -1, .scale_a = -1, .scale_b = -1};
    op.stats.m.id = op.stats.l.id = op.stats.alpha.id = -1;
    return op;
}

bool tw_op_kept(tw_emitter *e, tw_op *op)
{
    op->times = e->times;
    op->agent = e->agent;
    op->line = e->line;
    return tw_emitter_ok(e) && !(e->backend->drop && e->backend->drop(e->self, op));
}

void tw_op_deliver(tw_emitter *e, const tw_op *op)
{
    if (tw_emitter_ok(e))
        e->status = e->backend->op(e->self, e, op);
}

static tw_tile whole(int64_t rows)
{
    return (tw_tile){.rows = (int)rows, .box_rows = (int)rows, .run = 1};
}

/* What a problem brings along, whatever the algorithm, need not be declared. */
bool tw_op_declared(tw_emitter *e, uint64_t set, tw_tensor tensor)
{
    set |= TW_SET(TW_BIAS) | TW_SET(TW_SINK) | TW_SET(TW_TILE_LIST) | TW_SET(TW_PAGE_TABLE) |
           TW_SET(TW_Q_SCALE) | TW_SET(TW_K_SCALE) | TW_SET(TW_V_SCALE);
    if (!(set & TW_SET(tensor)))
        tw_rule_broken(e, "a launch touches a tensor that it does not declare", tw_tensor_name(tensor));
    return tw_emitter_ok(e);
}

int tw_op_head(const tw_emitter *e, tw_tensor tensor, tw_block b)
{
    bool for_all = tensor == TW_Q_INDEX || tensor == TW_K_INDEX || tensor == TW_PROJECTION;
    if (for_all || (tensor == TW_BIAS && !e->problem->scoring.bias_per_head))
        return 0;
    if (tensor == TW_PAGE_TABLE)
        return 0;
    bool of_keys = tensor == TW_K || tensor == TW_V || tensor == TW_DK || tensor == TW_DV ||
                   tensor == TW_K_SCALE || tensor == TW_V_SCALE || tensor == TW_KP || tensor == TW_VP;
    return of_keys ? tw_problem_kv_head(e->problem, b.head) : b.head;
}

/* The scales of so many rows: a tile holds blocks whole, or a consumer's share of them. */
static tw_tile scales_of(const tw_emitter *e, tw_quantized_tensor which, tw_tile rows)
{
    const tw_problem *p = e->problem;
    int64_t length = which == TW_QUANTIZED_Q ? p->seqlen_q : p->seqlen_k;
    int64_t together = tw_quantize_rows(&p->quantize, which, length);
    int64_t first = rows.row0 / together, last = (rows.row0 + rows.rows - 1) / together;
    int64_t stride = (rows.stride > 0 ? rows.stride : rows.rows) / together;
    return (tw_tile){.index = rows.index,
                     .row0 = first,
                     .rows = (int)(last - first + 1),
                     .box_rows = (int)(last - first + 1),
                     .run = stride > 0 ? rows.run : 1, /* all tiles of a run have the same one */
                     .stride = (int)stride};
}

static tw_slot load_tile(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows, tw_tile cols)
{
    bool statistic = tensor == TW_M || tensor == TW_L || tensor == TW_SINK || tensor == TW_LSE ||
                     tensor == TW_D || tensor == TW_LSE_PART || tensor == TW_PAGE_TABLE ||
                     tensor == TW_Q_SCALE || tensor == TW_K_SCALE || tensor == TW_V_SCALE ||
                     tensor == TW_Q_INDEX || tensor == TW_K_INDEX;
    bool in_registers = tensor == TW_O || tensor == TW_DQ || tensor == TW_DQ_SUM || tensor == TW_O_PART ||
                        statistic;
    tw_slot pages = tensor == TW_K || tensor == TW_V ? tw_load_pages(e, b, rows) : (tw_slot){-1};
    tw_slot slot = tw_slot_allocate(e, tensor, in_registers ? TW_PLACE_REGISTERS : TW_PLACE_SMEM,
                                    in_registers ? TW_FP32 : tw_tensor_shape_of(tensor, e->problem).dtype,
                                    rows, cols);
    tw_op op = tw_op_new(TW_OP_LOAD);
    op.dst = slot.id;
    op.a = pages.id;
    op.tensor = tensor;
    op.batch = b.batch;
    op.head = tw_op_head(e, tensor, b);
    op.rows = rows;
    op.cols = cols;
    op.multicast = e->multicast;
    if (tw_op_kept(e, &op) && tw_op_declared(e, e->launch->reads, tensor)) {
        if (pages.id >= 0)
            tw_slot_read(e, pages);
        tw_slot_written(e, slot);
        tw_slot_becomes(e, slot, tensor, true); /* what is in HBM is normalised */
        e->slots[slot.id].unscaled = tensor == TW_O && cols.rows < tw_problem_head_dim_v(e->problem);
        tw_op_deliver(e, &op);
    }
    if (pages.id >= 0)
        tw_release(e, pages);
    return slot;
}

/* A tile of codes brings along what they are worth. */
static void load_scales(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows, tw_slot codes)
{
    bool is_input = tensor == TW_Q || tensor == TW_K || tensor == TW_V;
    if (!is_input || !tw_quantize_is_on(&e->problem->quantize) || !tw_emitter_ok(e))
        return;
    static const tw_tensor scale[] = {
        [TW_QUANTIZED_Q] = TW_Q_SCALE, [TW_QUANTIZED_K] = TW_K_SCALE, [TW_QUANTIZED_V] = TW_V_SCALE};
    tw_quantized_tensor which = tensor == TW_Q   ? TW_QUANTIZED_Q
                                : tensor == TW_K ? TW_QUANTIZED_K
                                                 : TW_QUANTIZED_V;
    tw_slot slot = load_tile(e, scale[which], b, scales_of(e, which, rows), whole(1));
    if (slot.id >= 0)
        e->slots[codes.id].scale = slot.id + 1;
}

tw_slot tw_load_part(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows, tw_tile cols)
{
    tw_slot slot = load_tile(e, tensor, b, rows, cols);
    load_scales(e, tensor, b, rows, slot);
    return slot;
}

tw_slot tw_load_list(tw_emitter *e, int64_t index, int64_t listed, tw_tile_kind kind, bool of_keys)
{
    const tw_problem *p = e->problem;
    tw_slot slot = tw_slot_allocate(e, TW_TILE_LIST, TW_PLACE_REGISTERS, TW_FP32, whole(1), whole(2));
    tw_op op = tw_op_new(TW_OP_LOAD);
    op.dst = slot.id;
    op.tensor = TW_TILE_LIST;
    op.batch = p->mask.mod_per_batch ? e->batch : 0;
    op.head = tw_mask_differs_by_head(p) ? e->head : 0;
    op.rows = whole(1);
    op.rows.row0 = of_keys ? p->seqlen_q + index : index; /* lists of both axes, one behind the other */
    op.cols = whole((kind == TW_TILE_EMPTY ? 2 : 1) + listed);
    op.cols.row0 = kind == TW_TILE_FULL ? (int64_t)p->seqlen_q + p->seqlen_k + 2
                                        : 0; /* likewise both kinds */
    op.multicast = 1;
    if (tw_op_kept(e, &op)) {
        tw_slot_written(e, slot);
        tw_op_deliver(e, &op);
    }
    return slot;
}

tw_slot tw_load(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows)
{
    return tw_load_part(e, tensor, b, rows, whole(tw_tensor_shape_of(tensor, e->problem).cols));
}

void tw_store(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    tw_op op = tw_op_new(TW_OP_STORE);
    op.a = slot.id;
    op.tensor = tensor;
    op.batch = b.batch;
    op.head = tw_op_head(e, tensor, b);
    op.rows = info->rows;
    op.cols = info->cols;
    bool empty = e->problem->seqlen_k == 0; /* an O that no key has touched */
    if (tw_op_kept(e, &op) && tw_op_declared(e, e->launch->writes, tensor)) {
        tw_slot_must_be(e, slot, tensor);
        if ((tensor == TW_O || tensor == TW_P || tensor == TW_PZ) && !info->normalized && !empty)
            tw_rule_broken(e, "a slot is stored before it is normalised", tw_tensor_name(tensor));
        tw_slot_read(e, slot);
        tw_op_deliver(e, &op);
    }
}

static void fill(tw_emitter *e, tw_slot slot, double value)
{
    tw_op op = tw_op_new(TW_OP_FILL);
    op.dst = slot.id;
    op.value = value;
    if (tw_op_kept(e, &op)) {
        tw_slot_written(e, slot);
        tw_op_deliver(e, &op);
    }
}

tw_slot tw_zeros_of(tw_emitter *e, tw_tensor tensor, tw_tile rows)
{
    tw_slot slot = tw_slot_allocate(e, tensor, TW_PLACE_REGISTERS, TW_FP32, rows,
                                    whole(tw_tensor_shape_of(tensor, e->problem).cols));
    fill(e, slot, 0.0);
    return slot;
}

tw_slot tw_zeros_part(tw_emitter *e, tw_tensor tensor, tw_tile rows, tw_tile cols)
{
    tw_slot slot = tw_slot_allocate(e, tensor, TW_PLACE_REGISTERS, TW_FP32, rows, cols);
    fill(e, slot, 0.0);
    return slot;
}

tw_slot tw_zeros(tw_emitter *e, tw_tile rows)
{
    return tw_zeros_of(e, TW_O, rows);
}

static tw_slot statistic(tw_emitter *e, tw_tensor kind, tw_tile rows)
{
    return tw_slot_allocate(e, kind, TW_PLACE_REGISTERS, TW_FP32, rows, whole(1));
}

/* m of each row is the sink logit of its head. */
static void fill_with_sinks(tw_emitter *e, tw_slot m)
{
    tw_block here = {.batch = 0, .head = e->head}; /* every sequence has the same */
    tw_slot sinks = tw_load(e, TW_SINK, here, whole(tw_tensor_shape_of(TW_SINK, e->problem).rows));
    tw_op op = tw_op_new(TW_OP_FILL);
    op.dst = m.id;
    op.a = sinks.id;
    if (tw_op_kept(e, &op)) {
        tw_slot_read(e, sinks);
        tw_slot_written(e, m);
        tw_op_deliver(e, &op);
    }
    tw_release(e, sinks);
}

static tw_row_stats stats_init(tw_emitter *e, tw_tile rows, bool sinks)
{
    tw_slot m = statistic(e, TW_M, rows), l = statistic(e, TW_L, rows);
    if (sinks)
        fill_with_sinks(e, m);
    else
        fill(e, m, -INFINITY);
    fill(e, l, sinks ? 1.0 : 0.0); /* a sink has been summed: e^(sink − m) = 1 */
    return tw_row_stats_of(e, m, l);
}

tw_row_stats tw_row_stats_init(tw_emitter *e, tw_tile rows)
{
    return stats_init(e, rows, e->problem->scoring.sink_logits != NULL);
}

tw_row_stats tw_row_stats_of_part(tw_emitter *e, tw_tile rows)
{
    return stats_init(e, rows, e->problem->scoring.sink_logits != NULL && !tw_is_split(e));
}

tw_row_stats tw_row_stats_of(tw_emitter *e, tw_slot m, tw_slot l)
{
    tw_row_stats st = {m, l, {-1}};
    tw_slot_info *info = tw_slot_find(e, m);
    if (info)
        st.alpha = statistic(e, TW_L, info->rows);
    if (info && st.alpha.id >= 0)
        e->slots[st.alpha.id].is_alpha = true;
    return st;
}

void tw_score_mod(tw_emitter *e, tw_slot s)
{
    tw_slot_info *info = tw_slot_find(e, s);
    if (!info || !tw_score_mods_are_on(e->problem))
        return;
    bool biased = e->problem->scoring.bias != NULL, per_batch = e->problem->scoring.bias_per_batch;
    tw_block here = {.batch = per_batch ? e->batch : 0, .head = e->head};
    tw_slot bias = biased ? tw_load_part(e, TW_BIAS, here, info->rows, info->cols) : (tw_slot){-1};
    tw_op op = tw_op_new(TW_OP_SCORE_MOD);
    op.dst = s.id;
    op.a = bias.id;
    if (tw_op_kept(e, &op)) {
        tw_slot_must_be(e, s, TW_S);
        if (biased)
            tw_slot_read(e, bias);
        tw_slot_updated(e, s);
        tw_op_deliver(e, &op);
    }
    if (biased)
        tw_release(e, bias);
}

void tw_mask(tw_emitter *e, tw_slot s)
{
    tw_slot_info *info = tw_slot_find(e, s);
    if (!info || tw_emitter_kind(e, info->rows, info->cols) == TW_TILE_FULL)
        return;
    tw_op op = tw_op_new(TW_OP_MASK);
    op.dst = s.id;
    if (tw_op_kept(e, &op)) {
        tw_slot_must_be(e, s, TW_S);
        tw_slot_updated(e, s);
        tw_op_deliver(e, &op);
    }
}

void tw_mask_by_index(tw_emitter *e, tw_slot s, tw_slot q_index, tw_slot k_index)
{
    tw_op op = tw_op_new(TW_OP_MASK);
    op.dst = s.id;
    op.a = q_index.id;
    op.b = k_index.id;
    if (!tw_slot_find(e, s) || !tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, s, TW_S);
    tw_slot_must_be(e, q_index, TW_Q_INDEX);
    tw_slot_must_be(e, k_index, TW_K_INDEX);
    tw_slot_read(e, q_index);
    tw_slot_read(e, k_index);
    tw_slot_updated(e, s);
    tw_op_deliver(e, &op);
}

/* In which of its ways online softmax goes. */
typedef enum softmax_way { PLAIN, NORMALIZED, LAZY } softmax_way;

/* The softmax operations differ in what they write: S or not, alpha or not. */
static void softmax_op(tw_emitter *e, tw_op_kind kind, tw_slot s, tw_row_stats st, softmax_way way)
{
    if (!tw_slot_find(e, s))
        return;
    tw_op op = tw_op_new(kind);
    op.dst = s.id;
    op.stats = st;
    op.normalized = way == NORMALIZED;
    op.lazy = way == LAZY;
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, s, TW_S);
    tw_slot_must_be(e, st.m, TW_M);
    if (kind == TW_OP_SOFTMAX_APPLY) {
        tw_slot_read(e, st.m);
        tw_slot_read(e, st.l);
    } else {
        tw_slot_updated(e, st.m);
        tw_slot_updated(e, st.l);
        tw_slot_read(e, st.m); /* the exponents are taken against the new m, so it has served */
    }
    if (kind == TW_OP_ONLINE_SOFTMAX)
        tw_slot_written(e, st.alpha);
    if (kind == TW_OP_ROW_STATS)
        tw_slot_read(e, s);
    else
        tw_slot_updated(e, s);
    tw_op_deliver(e, &op);
    if (kind != TW_OP_ROW_STATS)
        tw_slot_becomes(e, s, TW_P, kind == TW_OP_SOFTMAX_APPLY);
}

void tw_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_SOFTMAX, s, st, PLAIN);
}

void tw_online_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ONLINE_SOFTMAX, s, st, PLAIN);
}

void tw_online_softmax_normalized(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ONLINE_SOFTMAX, s, st, NORMALIZED);
}

void tw_row_stats_step(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ROW_STATS, s, st, PLAIN);
}

void tw_softmax_apply(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_SOFTMAX_APPLY, s, st, PLAIN);
}

void tw_online_softmax_lazy(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ONLINE_SOFTMAX, s, st, LAZY);
}

/* rescale reads alpha, normalize reads l; both update a slot row by row. */
static void scale_rows(tw_emitter *e, tw_op_kind kind, tw_slot o, tw_slot factor, tw_row_stats st, bool lazy)
{
    tw_slot_info *info = tw_slot_find(e, o);
    if (!info)
        return;
    tw_tensor tensor = info->tensor;
    tw_op op = tw_op_new(kind);
    op.dst = o.id;
    op.stats = st;
    op.lazy = lazy;
    if (tw_op_kept(e, &op)) {
        if (tensor != TW_O && tensor != TW_P)
            tw_rule_broken(e, "only O and P are scaled row by row", tw_tensor_name(tensor));
        tw_slot_read(e, factor);
        tw_slot_updated(e, o);
        tw_op_deliver(e, &op);
        tw_slot_becomes(e, o, tensor, kind == TW_OP_NORMALIZE);
        if (kind == TW_OP_RESCALE)
            info->unscaled = false;
    }
}

void tw_rescale(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    scale_rows(e, TW_OP_RESCALE, o, st.alpha, st, false);
}

void tw_rescale_lazy(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    scale_rows(e, TW_OP_RESCALE, o, st.alpha, st, true);
}

void tw_normalize(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    scale_rows(e, TW_OP_NORMALIZE, o, st.l, st, false);
}

void tw_convert_for_unit(tw_emitter *e, tw_slot p)
{
    const tw_quantize *quantize = &e->problem->quantize;
    bool to_codes = tw_quantize_is_on(quantize);
    if (!tw_slot_find(e, p) || (e->tiling->unit != TW_UNIT_TENSOR && !to_codes))
        return;
    tw_op op = tw_op_new(TW_OP_CONVERT);
    op.dst = p.id;
    op.dtype = tw_problem_input_dtype(e->problem);
    op.value = to_codes ? tw_quantize_p_scale(quantize) : 0.0;
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_updated(e, p);
    tw_slot_retype(e, p, op.dtype);
    if (tw_emitter_ok(e))
        e->slots[p.id].p_scale = op.value;
    tw_op_deliver(e, &op);
}

void tw_convert_to_codes(tw_emitter *e, tw_slot p)
{
    if (tw_quantize_is_on(&e->problem->quantize))
        tw_convert_for_unit(e, p);
}

void tw_lse(tw_emitter *e, tw_row_stats st)
{
    if (!tw_slot_find(e, st.m))
        return;
    tw_op op = tw_op_new(TW_OP_LSE);
    op.dst = st.m.id;
    op.stats = st;
    if (tw_op_kept(e, &op)) {
        tw_slot_must_be(e, st.m, TW_M);
        tw_slot_read(e, st.l);
        tw_slot_updated(e, st.m);
        tw_op_deliver(e, &op);
        tw_slot_becomes(e, st.m, TW_LSE, false);
    }
}

static void release_one(tw_emitter *e, tw_slot slot)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    tw_op op = tw_op_new(TW_OP_RELEASE);
    op.dst = slot.id;
    if (!tw_op_kept(e, &op))
        return;
    if (info->unread)
        tw_rule_broken(e, "a slot is released although nobody has read it", tw_slot_name(info));
    tw_op_deliver(e, &op);
    e->live_bytes[info->place] -= info->bytes;
    info->live = false;
}

void tw_release(tw_emitter *e, tw_slot slot)
{
    const tw_slot_info *info = tw_slot_find(e, slot);
    int scale = info ? info->scale : 0;
    release_one(e, slot);
    if (scale > 0)
        release_one(e, (tw_slot){scale - 1});
}

void tw_release_stats(tw_emitter *e, tw_row_stats st)
{
    tw_release(e, st.m);
    tw_release(e, st.l);
    tw_release(e, st.alpha);
}

tw_slot tw_turn(tw_emitter *e)
{
    return tw_slot_allocate(e, TW_TURN, TW_PLACE_REGISTERS, TW_FP32, whole(0), whole(0));
}

void tw_give_turn(tw_emitter *e, tw_slot turn)
{
    tw_op op = tw_op_new(TW_OP_GIVE_TURN);
    op.dst = turn.id;
    if (tw_op_kept(e, &op)) {
        tw_slot_must_be(e, turn, TW_TURN);
        tw_slot_written(e, turn);
        tw_op_deliver(e, &op);
    }
}

void tw_take_turn(tw_emitter *e, tw_slot turn)
{
    tw_slot_info *info = tw_slot_find(e, turn);
    tw_op op = tw_op_new(TW_OP_TAKE_TURN);
    op.a = turn.id;
    if (!info || !tw_op_kept(e, &op))
        return;
    if (!info->unread)
        tw_rule_broken(e, "a turn is waited for that nobody gave", "give_turn is missing");
    tw_slot_read(e, turn);
    tw_op_deliver(e, &op);
}

void tw_as_agent(tw_emitter *e, int agent)
{
    e->agent = agent;
}

void tw_multicast(tw_emitter *e, int blocks)
{
    e->multicast = blocks;
}

bool tw_fits(const tw_emitter *e, int64_t rows, int64_t cols)
{
    return (double)rows * (double)cols * tw_dtype_bytes(e->problem->dtype) <= e->machine->smem_bytes;
}
