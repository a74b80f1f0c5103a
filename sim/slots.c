/* Slots: what is on chip, what it costs, and the rules that keep a schedule honest. */
#include "slots.h"

#include <stdio.h>

const char *tw_slot_name(const tw_slot_info *slot)
{
    return slot->is_alpha ? "alpha" : tw_tensor_name(slot->tensor);
}

bool tw_emitter_ok(const tw_emitter *e)
{
    return e->status == TW_OK;
}

/* Breaks a rule: remembered if it is the first. */
void tw_rule_broken(tw_emitter *e, const char *rule, const char *what)
{
    if (tw_emitter_ok(e))
        e->status = tw_fail(TW_ESCHEDULE, "schedule %s, line %d: %s (%s)", e->schedule->name, e->line, rule,
                            what);
}

int64_t tw_slot_elements(const tw_slot_info *slot)
{
    return (int64_t)slot->rows.rows * slot->cols.rows;
}

/* Pairs of a listed mask: tile by tile from its map, where the rectangle is made of whole tiles. */
static int64_t listed_pairs(const tw_emitter *e, int64_t row0, int64_t row1, int64_t col0, int64_t col1)
{
    const tw_tile_map *map = &e->map;
    const tw_problem *p = e->problem;
    bool aligned = row0 % map->block_m == 0 && (row1 % map->block_m == 0 || row1 == p->seqlen_q) &&
                   col0 % map->block_n == 0 && (col1 % map->block_n == 0 || col1 == p->seqlen_k);
    if (!aligned)
        return tw_mask_pairs(p, e->batch, e->head, row0, row1, col0, col1);
    int64_t pairs = 0;
    for (int64_t row = row0 / map->block_m; row * map->block_m < row1; row++)
        for (int64_t col = col0 / map->block_n; col * map->block_n < col1; col++)
            pairs += tw_tile_map_pairs(map, e->head, row, col);
    return pairs;
}

int64_t tw_slot_pairs(const tw_emitter *e, const tw_slot_info *slot)
{
    int64_t row_end = slot->rows.row0 + slot->rows.rows * slot->rows.run;
    int64_t col_end = slot->cols.row0 + slot->cols.rows * slot->cols.run;
    if (e->map.kind)
        return listed_pairs(e, slot->rows.row0, row_end, slot->cols.row0, col_end);
    return tw_mask_pairs(e->problem, e->batch, e->head, slot->rows.row0, row_end, slot->cols.row0, col_end);
}

/* What a live slot takes up on this machine. The paper's machine charges Q, K, V, O and their gradients in
 * the input's type, and nothing else. */
static int64_t charged_bytes(const tw_emitter *e, const tw_slot_info *slot)
{
    int64_t rows = e->tiling->fetch == TW_FETCH_BOX ? slot->rows.box_rows : slot->rows.rows;
    int64_t elements = rows * slot->cols.rows;
    if (e->machine->kind != TW_MACHINE_PAPER)
        return elements * tw_dtype_bytes(slot->dtype);
    const uint64_t input_shaped = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O) | TW_SET(TW_DO) |
                                  TW_SET(TW_DQ) | TW_SET(TW_DK) | TW_SET(TW_DV) | TW_SET(TW_DQ_SUM) |
                                  TW_SET(TW_PROJECTION) | TW_SET(TW_KP) | TW_SET(TW_VP);
    const uint64_t inputs = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V); /* that may be codes */
    if (inputs & TW_SET(slot->tensor))
        return elements * tw_dtype_bytes(slot->dtype);
    return input_shaped & TW_SET(slot->tensor) ? elements * tw_dtype_bytes(e->problem->dtype) : 0;
}

static void charge(tw_emitter *e, tw_slot_info *slot, int64_t bytes)
{
    int64_t *live = &e->live_bytes[slot->place], *peak = &e->peak_bytes[slot->place];
    *live += bytes - slot->bytes;
    slot->bytes = bytes;
    if (*live > *peak)
        *peak = *live;
}

tw_slot tw_slot_allocate(tw_emitter *e, tw_tensor tensor, tw_place place, tw_dtype dtype, tw_tile rows,
                         tw_tile cols)
{
    if (!tw_emitter_ok(e))
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
        return (tw_slot){tw_emitter_ok(e) ? id : -1};
    }
    tw_rule_broken(e, "more slots are live than a block can have", "is a release missing?");
    return (tw_slot){-1};
}

tw_slot_info *tw_slot_find(tw_emitter *e, tw_slot slot)
{
    if (!tw_emitter_ok(e))
        return NULL;
    bool made = slot.id >= 0 && slot.id < TW_MAX_SLOTS;
    if (!made || !e->slots[slot.id].live) {
        tw_rule_broken(e, "a slot is used that is not live", made ? "released before" : "never made");
        return NULL;
    }
    return &e->slots[slot.id];
}

/* ---- rules ------------------------------------------------------------------------------------------- */

void tw_slot_read(tw_emitter *e, tw_slot slot)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    if (!info->written)
        tw_rule_broken(e, "a slot is read before it is written", tw_slot_name(info));
    info->unread = false;
}

void tw_slot_written(tw_emitter *e, tw_slot slot)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    if (info->unread)
        tw_rule_broken(e, "a slot is overwritten although nobody has read it", tw_slot_name(info));
    info->written = info->unread = true;
}

void tw_slot_updated(tw_emitter *e, tw_slot slot)
{
    tw_slot_read(e, slot);
    tw_slot_written(e, slot);
}

/* A slot is what it is used as. */
void tw_slot_must_be(tw_emitter *e, tw_slot slot, tw_tensor tensor)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    char what[64];
    if (!info || (info->tensor == tensor && !info->is_alpha))
        return;
    snprintf(what, sizeof what, "it is %s, needed is %s", tw_slot_name(info), tw_tensor_name(tensor));
    tw_rule_broken(e, "a slot is used as what it is not", what);
}

void tw_slot_becomes(tw_emitter *e, tw_slot slot, tw_tensor tensor, bool normalized)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    info->tensor = tensor;
    info->normalized = normalized;
}

void tw_slot_retype(tw_emitter *e, tw_slot slot, tw_dtype dtype)
{
    tw_slot_info *info = tw_slot_find(e, slot);
    if (!info)
        return;
    info->dtype = dtype;
    charge(e, info, charged_bytes(e, info));
}
