/* The tile language, continued: parts of the keys, a fixed maximum in place of a running one, and pages of K and V. */
#include "tile_ops.h"
#include "slots.h"

#include <math.h>

static tw_tile whole(int64_t rows)
{
    return (tw_tile){.rows = (int)rows, .box_rows = (int)rows, .run = 1};
}

/* ---- parts of the keys ------------------------------------------------------------------------------------ */

bool tw_is_split(const tw_emitter *e)
{
    return e->part.count > 1;
}

/* Where rows of a part are in the tensors of partial results. */
static tw_tile part_rows(const tw_emitter *e, tw_tile rows, int part)
{
    rows.row0 += (int64_t)part * e->problem->seqlen_q;
    return rows;
}

void tw_store_part(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    tw_op op = tw_op_new(TW_OP_STORE);
    op.a = slot.id;
    op.tensor = tensor;
    op.batch = b.batch;
    op.head = tw_op_head(e, tensor, b);
    op.rows = part_rows(e, info->rows, e->part.index);
    op.cols = info->cols;
    bool sums = e->schedule->fixed_max; /* of one m, which are added before anything is divided */
    if (tw_op_kept(e, &op) && tw_op_declared(e, e->launch->writes, tensor)) {
        tw_slot_must_be(e, slot, tensor == TW_O_PART ? TW_O : sums ? TW_L : TW_LSE);
        if (tensor == TW_O_PART && !info->normalized && !sums && e->problem->seqlen_k > 0)
            tw_rule_broken(e, "a slot is stored before it is normalised", tw_tensor_name(tensor));
        tw_slot_read(e, slot);
        tw_op_deliver(e, &op);
    }
}

static void must_be_fixed(tw_emitter *e, tw_slot m);

/* O, m and l take in what a part has left of its own, against a fixed maximum or a running one. */
static void take_in(tw_emitter *e, tw_slot o, tw_row_stats st, tw_slot o_part, tw_slot stat_part)
{
    bool sums = e->schedule->fixed_max;
    if (!tw_slot_find(e, o))
        return;
    tw_op op = tw_op_new(sums ? TW_OP_ADD_PART : TW_OP_COMBINE);
    op.dst = o.id;
    op.a = o_part.id;
    op.b = stat_part.id;
    op.stats = st;
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, o, TW_O);
    tw_slot_must_be(e, o_part, TW_O_PART);
    tw_slot_must_be(e, stat_part, TW_LSE_PART);
    tw_slot_must_be(e, st.m, TW_M);
    if (sums)
        must_be_fixed(e, st.m);
    tw_slot_read(e, o_part);
    tw_slot_read(e, stat_part);
    tw_slot_updated(e, st.m);
    tw_slot_updated(e, st.l);
    tw_slot_read(e, st.m); /* the factors are taken against the new m, so it has served */
    tw_slot_updated(e, o);
    tw_op_deliver(e, &op);
}

enum { MOST_AHEAD = 8 }; /* parts whose results are on chip together */

static int parts_ahead(const tw_problem *p, tw_tile rows)
{
    enum { ROOM = 65536 };
    int64_t fitting = ROOM / ((int64_t)rows.box_rows * tw_problem_head_dim_v(p) * 4);
    return fitting < 1 ? 1 : fitting > MOST_AHEAD ? MOST_AHEAD : (int)fitting;
}

void tw_take_parts(tw_emitter *e, tw_block b, int first, int end, tw_slot o, tw_row_stats st)
{
    tw_slot o_part[MOST_AHEAD], stat_part[MOST_AHEAD];
    int ahead = parts_ahead(e->problem, b.i);
    for (; first < end; first += ahead) {
        int count = end - first < ahead ? end - first : ahead;
        for (int c = 0; c < count; c++) {
            stat_part[c] = tw_load(e, TW_LSE_PART, b, part_rows(e, b.i, first + c));
            o_part[c] = tw_load(e, TW_O_PART, b, part_rows(e, b.i, first + c));
        }
        for (int c = 0; c < count; c++) {
            take_in(e, o, st, o_part[c], stat_part[c]);
            tw_release(e, o_part[c]), tw_release(e, stat_part[c]);
        }
    }
}

/* ---- a fixed maximum ---------------------------------------------------------------------------------------- */

static void must_be_fixed(tw_emitter *e, tw_slot m)
{
    tw_slot_info *info = tw_slot_find(e, m);
    if (info && !info->fixed)
        tw_rule_broken(e, "a maximum is taken for fixed that is not", "fix_max is missing");
}

/* fp16 has normal numbers from 2^-14 to 65504, and what tensor cores read of P is in the input's type; fp32 and bf16
 * would reach e^±87, of which sums over keys need a part. */
void tw_fixed_range(double range[2], const tw_problem *p, const tw_tiling *tiling)
{
    bool half = p->dtype == TW_FP16 && tiling->unit == TW_UNIT_TENSOR;
    range[0] = half ? -14.0 * log(2.0) : -60.0;
    range[1] = half ? log(65504.0) : 60.0;
}

void tw_fix_max(tw_emitter *e, tw_row_stats st)
{
    if (!tw_slot_find(e, st.m))
        return;
    tw_op op = tw_op_new(TW_OP_FIX_MAX);
    op.dst = st.m.id;
    op.stats = st;
    op.value = e->tiling->phi;
    if (tw_op_kept(e, &op)) {
        tw_slot_must_be(e, st.m, TW_M);
        tw_slot_updated(e, st.m);
        tw_slot_read(e, st.m); /* phi is nobody's result */
        tw_slot_updated(e, st.l);
        e->slots[st.m.id].fixed = true;
        tw_op_deliver(e, &op);
    }
}

void tw_fixed_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    if (!tw_slot_find(e, s))
        return;
    tw_op op = tw_op_new(TW_OP_FIXED_SOFTMAX);
    op.dst = s.id;
    op.stats = st;
    if (tw_op_kept(e, &op)) {
        tw_slot_must_be(e, s, TW_S);
        tw_slot_must_be(e, st.m, TW_M);
        must_be_fixed(e, st.m);
        tw_slot_read(e, st.m);
        tw_slot_updated(e, st.l);
        tw_slot_updated(e, s);
        tw_op_deliver(e, &op);
        tw_slot_becomes(e, s, TW_P, false);
    }
}

bool tw_left_range(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    if (!tw_emitter_ok(e) || !e->backend->left_range || !e->backend->left_range(e->self, e, st))
        return false;
    tw_slot_read(e, o); /* enough to know that it is of no use */
    tw_slot_read(e, st.l);
    tw_slot_read(e, st.m);
    e->again = true;
    return true;
}

/* ---- pages -------------------------------------------------------------------------------------------------- */

/* Where several pages make a tile, runs of tiles are runs of pages; otherwise no tiles are taken together (walks.c). */
tw_slot tw_load_pages(tw_emitter *e, tw_block b, tw_tile rows)
{
    int size = e->problem->page_size;
    if (size == 0 || rows.rows == 0)
        return (tw_slot){-1};
    int64_t first = rows.row0 / size, end = (rows.row0 + rows.rows + size - 1) / size;
    tw_tile pages = whole(end - first);
    pages.index = pages.row0 = first;
    pages.run = rows.run;
    return tw_load_part(e, TW_PAGE_TABLE, b, pages, whole(1));
}
