/* The words of the tile language that the backward pass adds, and dropout, which both passes have. */
#include "slots.h"

/* An operation on dst that reads up to two more slots. */
static tw_op op_on(tw_op_kind kind, tw_slot dst, tw_slot a, tw_slot b)
{
    tw_op op = tw_op_new(kind);
    op.dst = dst.id;
    op.a = a.id;
    op.b = b.id;
    return op;
}

static const tw_slot none = {-1};

void tw_softmax_from_lse(tw_emitter *e, tw_slot s, tw_slot lse)
{
    if (!tw_slot_find(e, s) || !tw_slot_find(e, lse))
        return;
    tw_op op = op_on(TW_OP_SOFTMAX_LSE, s, lse, none);
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, s, TW_S);
    tw_slot_must_be(e, lse, TW_LSE);
    tw_slot_read(e, lse);
    tw_slot_updated(e, s);
    tw_op_deliver(e, &op);
    tw_slot_becomes(e, s, TW_P, true);
}

void tw_row_dot(tw_emitter *e, tw_slot d, tw_slot a, tw_slot b)
{
    tw_slot_info *di = tw_slot_find(e, d), *ai = tw_slot_find(e, a), *bi = tw_slot_find(e, b);
    if (!di || !ai || !bi)
        return;
    if (ai->rows.rows != di->rows.rows || bi->rows.rows != di->rows.rows || ai->cols.rows != bi->cols.rows)
        tw_rule_broken(e, "row_dot needs tiles of one shape, and D of their rows", "tile sizes differ");
    tw_op op = op_on(TW_OP_ROW_DOT, d, a, b);
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, d, TW_D);
    tw_slot_must_be(e, b, ai->tensor == TW_P ? TW_DP : TW_O);
    if (ai->tensor != TW_P)
        tw_slot_must_be(e, a, TW_DO);
    tw_slot_read(e, a);
    tw_slot_read(e, b);
    tw_slot_updated(e, d);
    tw_op_deliver(e, &op);
}

void tw_dsoftmax(tw_emitter *e, tw_slot dp, tw_slot p, tw_slot d)
{
    tw_slot_info *pi = tw_slot_find(e, p);
    if (!tw_slot_find(e, dp) || !pi || !tw_slot_find(e, d))
        return;
    tw_op op = op_on(TW_OP_DSOFTMAX, dp, p, d);
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, dp, TW_DP);
    tw_slot_must_be(e, p, TW_P);
    tw_slot_must_be(e, d, TW_D);
    if (!pi->normalized)
        tw_rule_broken(e, "dS is of a P that is normalised", "P");
    tw_slot_read(e, p);
    tw_slot_read(e, d);
    tw_slot_updated(e, dp);
    tw_op_deliver(e, &op);
    tw_slot_becomes(e, dp, TW_DS, true);
}

void tw_convert_sum(tw_emitter *e, tw_slot dq_sum)
{
    if (!tw_slot_find(e, dq_sum))
        return;
    tw_op op = op_on(TW_OP_CONVERT, dq_sum, none, none);
    op.dtype = e->problem->dtype;
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, dq_sum, TW_DQ_SUM);
    tw_slot_updated(e, dq_sum);
    tw_slot_retype(e, dq_sum, e->problem->dtype);
    tw_op_deliver(e, &op);
    tw_slot_becomes(e, dq_sum, TW_DQ, true);
}

void tw_atomic_add(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    tw_op op = op_on(TW_OP_ATOMIC_ADD, none, slot, none);
    op.tensor = tensor;
    op.batch = b.batch;
    op.head = tw_op_head(e, tensor, b);
    op.rows = info->rows;
    op.cols = info->cols;
    if (tw_op_kept(e, &op) && tw_op_declared(e, e->launch->reads & e->launch->writes, tensor)) {
        tw_slot_must_be(e, slot, tensor);
        tw_slot_read(e, slot);
        tw_op_deliver(e, &op);
    }
}

/* ---- dropout ------------------------------------------------------------------------------------------------ */

/* dst ∘ Z: P becomes what is multiplied, the gradient of that becomes dP. */
static void multiply_by_z(tw_emitter *e, tw_slot p, tw_slot z)
{
    tw_slot_info *info = tw_slot_find(e, p);
    if (!info || !tw_dropout_is_on(&e->problem->dropout))
        return;
    tw_op op = op_on(TW_OP_DROPOUT, p, z, none);
    if (!tw_op_kept(e, &op))
        return;
    tw_tensor before = info->tensor;
    if (before != TW_P && before != TW_DPZ)
        tw_rule_broken(e, "dropout is for P, once, and for the gradient of P ∘ Z", tw_tensor_name(before));
    if (z.id >= 0) {
        tw_slot_must_be(e, z, TW_Z);
        tw_slot_read(e, z);
    }
    tw_slot_updated(e, p);
    tw_op_deliver(e, &op);
    tw_slot_becomes(e, p, before == TW_P ? TW_PZ : TW_DP, info->normalized);
}

void tw_drop(tw_emitter *e, tw_slot p)
{
    multiply_by_z(e, p, none);
}

void tw_drop_by(tw_emitter *e, tw_slot p, tw_slot z)
{
    multiply_by_z(e, p, z);
}

tw_slot tw_drop_mask(tw_emitter *e, tw_tile rows, tw_tile cols)
{
    tw_slot z = tw_slot_allocate(e, TW_Z, TW_PLACE_SMEM, e->problem->dtype, rows, cols);
    tw_op op = op_on(TW_OP_DROPOUT_MASK, z, none, none);
    if (tw_op_kept(e, &op)) {
        tw_slot_written(e, z);
        tw_op_deliver(e, &op);
    }
    return z;
}
