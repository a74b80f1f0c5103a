/* Bytes moved so far. Behind an L2 a tile that a launch touches again costs HBM nothing, so those are remembered. */
#include "step_tally.h"

#include <stdlib.h>
#include <string.h>

/* A tile's name, never 0: which element of which tensor it begins with, and whether it is read or written. */
static uint64_t key_of(const tw_emitter *e, const tw_op *op)
{
    tw_tensor tensor = tw_tensor_home(op->tensor, e->problem);
    tw_tensor_shape shape = tw_tensor_shape_of(tensor, e->problem);
    uint64_t head = (uint64_t)op->batch * (uint64_t)shape.heads + (uint64_t)op->head;
    uint64_t row = head * (uint64_t)shape.rows + (uint64_t)op->rows.row0;
    uint64_t element = row * (uint64_t)shape.cols + (uint64_t)op->cols.row0;
    return (element * TW_NUM_TENSORS + (uint64_t)tensor) * 2 + (op->kind == TW_OP_STORE) + 1;
}

/* Where a key is, or where it would go. */
static size_t place_of(const uint64_t *seen, size_t capacity, uint64_t key)
{
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 32) & (capacity - 1);
    while (seen[at] != 0 && seen[at] != key)
        at = (at + 1) & (capacity - 1);
    return at;
}

static tw_status grow(tw_tally *tally)
{
    size_t capacity = tally->capacity > 0 ? 2 * tally->capacity : 64;
    uint64_t *seen = calloc(capacity, sizeof *seen);
    if (!seen)
        return tw_fail(TW_ENOMEM, "no memory to remember %zu tiles", capacity);
    for (size_t i = 0; i < tally->capacity; i++)
        if (tally->seen[i] != 0)
            seen[place_of(seen, capacity, tally->seen[i])] = tally->seen[i];
    free(tally->seen);
    tally->seen = seen;
    tally->capacity = capacity;
    return TW_OK;
}

static tw_status is_new(bool *fresh, tw_tally *tally, const tw_emitter *e, const tw_op *op)
{
    if (tally->launch != e->launch && tally->capacity > 0) {
        memset(tally->seen, 0, tally->capacity * sizeof *tally->seen);
        tally->count = 0;
    }
    tally->launch = e->launch;
    if (2 * (tally->count + 1) > tally->capacity)
        TW_TRY(grow(tally));
    uint64_t key = key_of(e, op);
    size_t at = place_of(tally->seen, tally->capacity, key);
    *fresh = tally->seen[at] == 0;
    tally->seen[at] = key;
    tally->count += *fresh;
    return TW_OK;
}

/* A move of a tile between an SM and what is behind it; `op` says load or store. */
static tw_status move(tw_tally *tally, const tw_emitter *e, const tw_op *op, int64_t filled, int64_t real)
{
    bool load = op->kind == TW_OP_LOAD, fresh = true;
    bool l2 = tw_machine_has_l2(e->machine);
    if (l2)
        TW_TRY(is_new(&fresh, tally, e, op));
    int64_t behind = !l2 ? filled : fresh ? real : 0;
    *(load ? &tally->moved.sram_fill_bytes : &tally->moved.sram_drain_bytes) += filled;
    *(load ? &tally->moved.hbm_read_bytes : &tally->moved.hbm_write_bytes) += behind;
    return TW_OK;
}

/* One way out of the SM; behind an L2 what is added to is read as well. */
static tw_status add(tw_tally *tally, const tw_emitter *e, const tw_op *op, int64_t bytes)
{
    tw_op half = *op;
    half.kind = TW_OP_STORE;
    TW_TRY(move(tally, e, &half, bytes, bytes));
    half.kind = TW_OP_LOAD;
    return tw_machine_has_l2(e->machine) ? move(tally, e, &half, 0, bytes) : TW_OK;
}

tw_status tw_tally_op(tw_tally *tally, const tw_emitter *e, const tw_op *op)
{
    bool load = op->kind == TW_OP_LOAD, boxes = load && e->tiling->fetch == TW_FETCH_BOX;
    if (!load && op->kind != TW_OP_STORE && op->kind != TW_OP_ATOMIC_ADD)
        return TW_OK;
    int width = tw_tensor_element_bytes(op->tensor, e->problem);
    int64_t real = (int64_t)op->rows.rows * op->cols.rows * width;
    int64_t filled = boxes ? (int64_t)op->rows.box_rows * op->cols.box_rows * width : real;
    return op->kind == TW_OP_ATOMIC_ADD ? add(tally, e, op, real) : move(tally, e, op, filled, real);
}

void tw_tally_free(tw_tally *tally)
{
    free(tally->seen);
    tally->seen = NULL;
    tally->launch = NULL;
    tally->capacity = tally->count = 0;
}
