/* The tile language: slots, the rules that keep a schedule honest, and the operations. */
#include "tile_ops.h"

#include <math.h>
#include <string.h>

static const char *const tensor_names[TW_NUM_TENSORS] = {"Q", "K", "V", "O", "S", "P", "LSE", "L"};

static const char *const op_names[TW_NUM_OPS] = {
    "load",      "store",         "fill",    "matmul_nt", "matmul_add", "mask", "softmax", "online_softmax",
    "row_stats", "softmax_apply", "rescale", "convert",   "normalize",  "lse",  "release"};

const char *tw_tensor_name(tw_tensor tensor)
{
    return tensor_names[tensor];
}

const char *tw_op_name(tw_op_kind kind)
{
    return op_names[kind];
}

tw_tensor_shape tw_tensor_shape_of(tw_tensor tensor, const tw_problem *p)
{
    switch (tensor) {
    case TW_K:
    case TW_V:
        return (tw_tensor_shape){p->seqlen_k, p->head_dim, p->num_heads_kv, p->dtype};
    case TW_S:
    case TW_P:
        return (tw_tensor_shape){p->seqlen_q, p->seqlen_k, p->num_heads, p->dtype};
    case TW_LSE:
    case TW_L:
        return (tw_tensor_shape){p->seqlen_q, 1, p->num_heads, TW_FP32};
    default:
        return (tw_tensor_shape){p->seqlen_q, p->head_dim, p->num_heads, p->dtype};
    }
}

tw_status tw_emitter_status(const tw_emitter *e)
{
    return e->status;
}

static bool ok(const tw_emitter *e)
{
    return e->status == TW_OK;
}

/* Breaks a rule: remembered if it is the first. */
static void broken(tw_emitter *e, const char *rule, const char *what)
{
    if (ok(e))
        e->status = tw_fail(TW_ESCHEDULE, "schedule %s, line %d: %s (%s)", e->schedule->name, e->line, rule, what);
}

/* ---- slots ---------------------------------------------------------------------------------------------- */

int64_t tw_slot_elements(const tw_slot_info *slot)
{
    return (int64_t)slot->rows.rows * slot->cols.rows;
}

int64_t tw_slot_pairs(const tw_emitter *e, const tw_slot_info *slot)
{
    int64_t row_end = slot->rows.row0 + slot->rows.rows * slot->rows.run;
    int64_t col_end = slot->cols.row0 + slot->cols.rows * slot->cols.run;
    return tw_problem_pairs_in(e->problem, slot->rows.row0, row_end, slot->cols.row0, col_end);
}

/* What a live slot takes up on this machine. The paper's machine charges Q, K, V, O in the input's type only. */
static int64_t charged_bytes(const tw_emitter *e, const tw_slot_info *slot)
{
    int64_t rows = e->tiling->fetch == TW_FETCH_BOX ? slot->rows.box_rows : slot->rows.rows;
    int64_t elements = rows * slot->cols.rows;
    if (e->machine->kind != TW_MACHINE_PAPER)
        return elements * tw_dtype_bytes(slot->dtype);
    bool input_shaped = slot->tensor == TW_Q || slot->tensor == TW_K || slot->tensor == TW_V || slot->tensor == TW_O;
    return input_shaped ? elements * tw_dtype_bytes(e->problem->dtype) : 0;
}

static const char *place_name(const tw_emitter *e, tw_place place)
{
    if (e->machine->kind != TW_MACHINE_GPU)
        return "SRAM";
    return place == TW_PLACE_SMEM ? "shared memory" : "registers";
}

static void charge(tw_emitter *e, tw_slot_info *slot, int64_t bytes)
{
    int64_t *live = &e->live_bytes[slot->place], *peak = &e->peak_bytes[slot->place];
    *live += bytes - slot->bytes;
    slot->bytes = bytes;
    if (*live > *peak)
        *peak = *live;
    double capacity = slot->place == TW_PLACE_SMEM ? e->machine->smem_bytes : e->machine->register_bytes_per_sm;
    if (!e->schedule->ignores_sram && (double)*live > capacity && ok(e))
        e->status = tw_fail(TW_ESRAM,
                            "%s with block_m %d, block_n %d needs %lld bytes of %s, %s has %.0f: %.0f too many",
                            e->schedule->name, e->tiling->block_m, e->tiling->block_n, (long long)*live,
                            place_name(e, slot->place), e->machine->name, capacity, (double)*live - capacity);
}

static tw_slot allocate(tw_emitter *e, tw_tensor tensor, tw_place place, tw_dtype dtype, tw_tile rows, tw_tile cols)
{
    if (!ok(e))
        return (tw_slot){-1};
    if (e->machine->kind != TW_MACHINE_GPU)
        place = TW_PLACE_SMEM; /* one memory for everything */
    for (int id = 0; id < TW_MAX_SLOTS; id++) {
        tw_slot_info *slot = &e->slots[id];
        if (slot->live)
            continue;
        *slot = (tw_slot_info){
            .live = true, .tensor = tensor, .place = place, .dtype = dtype, .rows = rows, .cols = cols};
        charge(e, slot, charged_bytes(e, slot));
        return (tw_slot){ok(e) ? id : -1};
    }
    broken(e, "more slots are live than a block can have", "is a release missing?");
    return (tw_slot){-1};
}

static tw_slot_info *slot_of(tw_emitter *e, tw_slot slot)
{
    if (!ok(e))
        return NULL;
    if (slot.id < 0 || slot.id >= TW_MAX_SLOTS || !e->slots[slot.id].live) {
        broken(e, "a slot is used that is not live", "released before?");
        return NULL;
    }
    return &e->slots[slot.id];
}

/* ---- emitting ------------------------------------------------------------------------------------------- */

static void reads(tw_emitter *e, tw_slot slot)
{
    tw_slot_info *info = slot_of(e, slot);
    if (!info)
        return;
    if (!info->written)
        broken(e, "a slot is read before it is written", tw_tensor_name(info->tensor));
    info->unread = false;
}

static void writes(tw_emitter *e, tw_slot slot)
{
    tw_slot_info *info = slot_of(e, slot);
    if (!info)
        return;
    if (info->unread)
        broken(e, "a slot is overwritten although nobody has read it", tw_tensor_name(info->tensor));
    info->written = info->unread = true;
}

static void updates(tw_emitter *e, tw_slot slot)
{
    reads(e, slot);
    writes(e, slot);
}

static tw_op new_op(tw_op_kind kind)
{
    tw_op op = {.kind = kind, .dst = -1, .a = -1, .b = -1};
    op.stats.m.id = op.stats.l.id = op.stats.alpha.id = -1;
    return op;
}

/* False if a test takes this operation out of the stream. Called before any rule is applied. */
static bool kept(tw_emitter *e, tw_op *op)
{
    op->times = e->times;
    op->agent = e->agent;
    op->line = e->line;
    return ok(e) && !(e->backend->drop && e->backend->drop(e->self, op));
}

static void deliver(tw_emitter *e, const tw_op *op)
{
    if (ok(e))
        e->status = e->backend->op(e->self, e, op);
}

static tw_tile whole(int64_t rows)
{
    return (tw_tile){.rows = (int)rows, .box_rows = (int)rows, .run = 1};
}

static bool declared(tw_emitter *e, unsigned set, tw_tensor tensor)
{
    if (!(set & TW_SET(tensor)))
        broken(e, "a launch touches a tensor that it does not declare", tw_tensor_name(tensor));
    return ok(e);
}

static int head_of(const tw_emitter *e, tw_tensor tensor, tw_block b)
{
    return tensor == TW_K || tensor == TW_V ? tw_problem_kv_head(e->problem, b.head) : b.head;
}

tw_slot tw_load_part(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows, tw_tile cols)
{
    bool in_registers = tensor == TW_O || tensor == TW_LSE || tensor == TW_L;
    tw_slot slot = allocate(e, tensor, in_registers ? TW_PLACE_REGISTERS : TW_PLACE_SMEM,
                            in_registers ? TW_FP32 : e->problem->dtype, rows, cols);
    tw_op op = new_op(TW_OP_LOAD);
    op.dst = slot.id;
    op.tensor = tensor;
    op.batch = b.batch;
    op.head = head_of(e, tensor, b);
    op.rows = rows;
    op.cols = cols;
    op.multicast = e->multicast;
    if (kept(e, &op) && declared(e, e->launch->reads, tensor)) {
        writes(e, slot);
        deliver(e, &op);
    }
    return slot;
}

tw_slot tw_load(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows)
{
    return tw_load_part(e, tensor, b, rows, whole(tw_tensor_shape_of(tensor, e->problem).cols));
}

void tw_store(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot)
{
    tw_slot_info *info = slot_of(e, slot);
    if (!info)
        return;
    tw_op op = new_op(TW_OP_STORE);
    op.a = slot.id;
    op.tensor = tensor;
    op.batch = b.batch;
    op.head = head_of(e, tensor, b);
    op.rows = info->rows;
    op.cols = info->cols;
    if (kept(e, &op) && declared(e, e->launch->writes, tensor)) {
        reads(e, slot);
        deliver(e, &op);
    }
}

static void fill(tw_emitter *e, tw_slot slot, double value)
{
    tw_op op = new_op(TW_OP_FILL);
    op.dst = slot.id;
    op.value = value;
    if (kept(e, &op)) {
        writes(e, slot);
        deliver(e, &op);
    }
}

tw_slot tw_zeros(tw_emitter *e, tw_tile rows)
{
    tw_slot slot = allocate(e, TW_O, TW_PLACE_REGISTERS, TW_FP32, rows, whole(e->problem->head_dim));
    fill(e, slot, 0.0);
    return slot;
}

static tw_slot statistic(tw_emitter *e, tw_tensor kind, tw_tile rows)
{
    return allocate(e, kind, TW_PLACE_REGISTERS, TW_FP32, rows, whole(1));
}

tw_row_stats tw_row_stats_init(tw_emitter *e, tw_tile rows)
{
    tw_slot m = statistic(e, TW_LSE, rows), l = statistic(e, TW_L, rows);
    fill(e, m, -INFINITY);
    fill(e, l, 0.0);
    return tw_row_stats_of(e, m, l);
}

tw_row_stats tw_row_stats_of(tw_emitter *e, tw_slot m, tw_slot l)
{
    tw_row_stats st = {m, l, {-1}};
    tw_slot_info *info = slot_of(e, m);
    if (info)
        st.alpha = statistic(e, TW_L, info->rows);
    return st;
}

tw_slot tw_matmul_nt(tw_emitter *e, tw_slot q, tw_slot k)
{
    tw_slot_info *qi = slot_of(e, q), *ki = slot_of(e, k);
    if (!qi || !ki)
        return (tw_slot){-1};
    if (qi->cols.rows != ki->cols.rows)
        broken(e, "matmul_nt needs tiles of equal width", "Q and K have head_dim columns");
    tw_slot s = allocate(e, TW_S, TW_PLACE_REGISTERS, TW_FP32, qi->rows, ki->rows);
    tw_op op = new_op(TW_OP_MATMUL_NT);
    op.dst = s.id;
    op.a = q.id;
    op.b = k.id;
    op.value = tw_problem_scale(e->problem);
    if (kept(e, &op)) {
        reads(e, q);
        reads(e, k);
        writes(e, s);
        deliver(e, &op);
    }
    return s;
}

void tw_matmul_add(tw_emitter *e, tw_slot o, tw_slot p, tw_slot v)
{
    tw_slot_info *oi = slot_of(e, o), *pi = slot_of(e, p), *vi = slot_of(e, v);
    if (!oi || !pi || !vi)
        return;
    if (pi->cols.rows != vi->rows.rows || oi->cols.rows != vi->cols.rows || oi->rows.rows != pi->rows.rows)
        broken(e, "matmul_add needs P of O's rows and V's rows, and O as wide as V", "tile sizes differ");
    tw_op op = new_op(TW_OP_MATMUL_ADD);
    op.dst = o.id;
    op.a = p.id;
    op.b = v.id;
    if (!kept(e, &op))
        return;
    if (e->tiling->unit == TW_UNIT_TENSOR && pi->dtype != e->problem->dtype)
        broken(e, "tensor cores need P in the input's type", "convert_for_unit is missing");
    reads(e, p);
    reads(e, v);
    updates(e, o);
    deliver(e, &op);
}

void tw_mask(tw_emitter *e, tw_slot s)
{
    tw_slot_info *info = slot_of(e, s);
    if (!info || tw_problem_keys_seen(e->problem, (int)info->rows.row0) >= info->cols.row0 + info->cols.rows)
        return; /* the first row sees all of the tile, so every row does */
    tw_op op = new_op(TW_OP_MASK);
    op.dst = s.id;
    if (kept(e, &op)) {
        updates(e, s);
        deliver(e, &op);
    }
}

/* The softmax operations differ in what they write: S or not, alpha or not. */
static void softmax_op(tw_emitter *e, tw_op_kind kind, tw_slot s, tw_row_stats st, bool normalized)
{
    if (!slot_of(e, s))
        return;
    tw_op op = new_op(kind);
    op.dst = s.id;
    op.stats = st;
    op.normalized = normalized;
    if (!kept(e, &op))
        return;
    if (kind == TW_OP_SOFTMAX_APPLY) {
        reads(e, st.m);
        reads(e, st.l);
    } else {
        updates(e, st.m);
        updates(e, st.l);
        reads(e, st.m); /* the exponents are taken against the new m, so it has served */
    }
    if (kind == TW_OP_ONLINE_SOFTMAX)
        writes(e, st.alpha);
    if (kind == TW_OP_ROW_STATS)
        reads(e, s);
    else
        updates(e, s);
    deliver(e, &op);
}

void tw_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_SOFTMAX, s, st, false);
}

void tw_online_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ONLINE_SOFTMAX, s, st, false);
}

void tw_online_softmax_normalized(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ONLINE_SOFTMAX, s, st, true);
}

void tw_row_stats_step(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_ROW_STATS, s, st, false);
}

void tw_softmax_apply(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    softmax_op(e, TW_OP_SOFTMAX_APPLY, s, st, false);
}

/* rescale reads alpha, normalize reads l; both update a slot row by row. */
static void scale_rows(tw_emitter *e, tw_op_kind kind, tw_slot o, tw_slot factor, tw_row_stats st)
{
    if (!slot_of(e, o))
        return;
    tw_op op = new_op(kind);
    op.dst = o.id;
    op.stats = st;
    if (kept(e, &op)) {
        reads(e, factor);
        updates(e, o);
        deliver(e, &op);
    }
}

void tw_rescale(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    scale_rows(e, TW_OP_RESCALE, o, st.alpha, st);
}

void tw_normalize(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    scale_rows(e, TW_OP_NORMALIZE, o, st.l, st);
}

void tw_convert_for_unit(tw_emitter *e, tw_slot p)
{
    tw_slot_info *info = slot_of(e, p);
    if (!info || e->tiling->unit != TW_UNIT_TENSOR)
        return;
    tw_op op = new_op(TW_OP_CONVERT);
    op.dst = p.id;
    op.dtype = e->problem->dtype;
    if (!kept(e, &op))
        return;
    updates(e, p);
    info->dtype = e->problem->dtype;
    charge(e, info, charged_bytes(e, info));
    deliver(e, &op);
}

void tw_lse(tw_emitter *e, tw_row_stats st)
{
    if (!slot_of(e, st.m))
        return;
    tw_op op = new_op(TW_OP_LSE);
    op.dst = st.m.id;
    op.stats = st;
    if (kept(e, &op)) {
        reads(e, st.l);
        updates(e, st.m);
        deliver(e, &op);
    }
}

void tw_release(tw_emitter *e, tw_slot slot)
{
    tw_slot_info *info = slot_of(e, slot);
    if (!info)
        return;
    tw_op op = new_op(TW_OP_RELEASE);
    op.dst = slot.id;
    if (!kept(e, &op))
        return;
    if (info->unread)
        broken(e, "a slot is released although nobody has read it", tw_tensor_name(info->tensor));
    deliver(e, &op);
    e->live_bytes[info->place] -= info->bytes;
    info->live = false;
}

void tw_release_stats(tw_emitter *e, tw_row_stats st)
{
    tw_release(e, st.m);
    tw_release(e, st.l);
    tw_release(e, st.alpha);
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
