/* The list of schedules: the one place that names them all. */
#include "registry.h"

#include "../fitting.h"

#include <stdio.h>
#include <string.h>

/* Forward passes, each with the backward pass that reads what it leaves. */
static const struct {
    const tw_schedule *schedule;
    const char *alias;
    const tw_schedule *backward; /* NULL: none */
} registry[] = {
    {&tw_schedule_standard, NULL, &tw_schedule_standard_backward},
    {&tw_schedule_standard_tiled, NULL, &tw_schedule_standard_tiled_backward},
    {&tw_schedule_flash1, "fa1", &tw_schedule_flash1_backward},
    {&tw_schedule_flash2, "fa2", &tw_schedule_flash2_backward},
    {&tw_schedule_flash2_prefetch, NULL, &tw_schedule_flash2_backward},
    {&tw_schedule_flash3, "fa3", &tw_schedule_flash2_backward},
    {&tw_schedule_flash3_serial, NULL, &tw_schedule_flash2_backward},
    {&tw_schedule_flash3_pingpong, NULL, &tw_schedule_flash2_backward},
    {&tw_schedule_standard_unfused, NULL, &tw_schedule_standard_unfused_backward},
    {&tw_schedule_flex, "flex_attention", &tw_schedule_flash2_backward},
    {&tw_schedule_gqa_packed, NULL, &tw_schedule_flash2_backward},
    {&tw_schedule_mla, NULL, NULL},
    {&tw_schedule_flash_decoding, NULL, NULL},
    {&tw_schedule_flash_decoding_plus_plus, "flash_decoding++", NULL},
    {&tw_schedule_lean_attention, "lean", NULL},
    {&tw_schedule_flash3_fp8, "fa3_fp8", NULL},
    {&tw_schedule_int_flash, "int_flash_attention", NULL},
    {&tw_schedule_flash2_sawtooth, "sawtooth", &tw_schedule_flash2_backward},
    {&tw_schedule_flash4, "fa4", &tw_schedule_flash2_backward},
    {&tw_schedule_flash_window, NULL, &tw_schedule_flash2_backward},
    {&tw_schedule_square_tiles, "saha_ye", &tw_schedule_flash2_backward},
    {&tw_schedule_ring, NULL, NULL},
    {&tw_schedule_ring_striped, NULL, NULL},
    {&tw_schedule_offload, NULL, NULL},
    {&tw_schedule_scfa, NULL, NULL},
    {&tw_schedule_linformer, NULL, NULL},
};

bool tw_suits_nobody(const tw_problem *problem)
{
    (void)problem;
    return false;
}

int tw_schedule_count(void)
{
    return (int)(sizeof registry / sizeof registry[0]);
}

const tw_schedule *tw_schedule_at(int i)
{
    return i >= 0 && i < tw_schedule_count() ? registry[i].schedule : NULL;
}

const tw_schedule *tw_schedule_backward_of(const tw_schedule *forward)
{
    for (int i = 0; i < tw_schedule_count(); i++)
        if (registry[i].schedule == forward)
            return registry[i].backward;
    return NULL;
}

const tw_schedule *tw_schedule_forward_of(const tw_schedule *backward)
{
    for (int i = 0; i < tw_schedule_count(); i++)
        if (registry[i].backward == backward)
            return registry[i].schedule;
    return NULL;
}

static const tw_schedule *named(const char *name)
{
    for (int i = 0; i < tw_schedule_count(); i++) {
        const char *alias = registry[i].alias;
        if (strcmp(name, registry[i].schedule->name) == 0 || (alias && strcmp(name, alias) == 0))
            return registry[i].schedule;
        if (registry[i].backward && strcmp(name, registry[i].backward->name) == 0)
            return registry[i].backward;
    }
    return NULL;
}

tw_status tw_schedule_find(const tw_schedule **schedule, const char *name)
{
    char list[1024] = "";
    const tw_schedule *found = named(name);
    if (found) {
        *schedule = found;
        return TW_OK;
    }
    for (int i = 0; i < tw_schedule_count(); i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", registry[i].schedule->name);
    }
    return tw_fail(TW_EINVAL, "algorithm is '%s', it must be one of %s", name, list);
}

/* Rows of a K/V head. */
static int64_t packed_rows(const tw_problem *p)
{
    return (int64_t)p->seqlen_q * (p->num_heads / p->num_heads_kv);
}

bool tw_is_decoding(const tw_problem *p)
{
    return packed_rows(p) <= TW_DEFAULT_BLOCK / 2 && p->seqlen_k >= 16 * p->seqlen_q && !p->v_in_k;
}

void tw_decoding_tiling(tw_tiling *t, const tw_problem *p, const tw_machine *machine)
{
    (void)machine;
    if (t->block_m == 0)
        t->block_m = packed_rows(p) <= TW_DEFAULT_BLOCK / 2 ? TW_DEFAULT_BLOCK / 2 : TW_DEFAULT_BLOCK;
    if (t->block_n == 0)
        t->block_n = p->head_dim <= 64    ? 2 * TW_DEFAULT_BLOCK
                     : p->head_dim <= 128 ? TW_DEFAULT_BLOCK
                                          : TW_DEFAULT_BLOCK / 2;
}

/* Kernels take smaller tiles where heads are wide: 128 rows of more than 256 columns fit nowhere. */
static int common_block(const tw_problem *problem)
{
    return problem->head_dim > 256 ? TW_DEFAULT_BLOCK / 2 : TW_DEFAULT_BLOCK;
}

/* Tiles of a block mask are its own blocks, so that none is visited in vain; larger blocks are cut. */
static void take_blocks_of_mask(tw_tiling *tiling, const tw_problem *problem)
{
    int most = common_block(problem), rows = problem->mask.block_rows, keys = problem->mask.block_keys;
    if (tiling->block_m == 0)
        tiling->block_m = rows < most ? rows : most;
    if (tiling->block_n == 0)
        tiling->block_n = keys < most ? keys : most;
}

void tw_schedule_default_tiling(const tw_schedule *schedule, tw_tiling *tiling, const tw_problem *problem,
                                const tw_machine *machine)
{
    const tw_tiling wanted = *tiling;
    if (problem->mask.blocks)
        take_blocks_of_mask(tiling, problem);
    if (schedule->default_tiling)
        schedule->default_tiling(tiling, problem, machine);
    if (tiling->block_m == 0)
        tiling->block_m = common_block(problem);
    if (tiling->block_n == 0)
        tiling->block_n = common_block(problem);
    if (tiling->rescale_log2 < 0.0) /* open, and the schedule has no choice of its own */
        tiling->rescale_log2 = 0.0;
    if (tiling->poly_share < 0.0)
        tiling->poly_share = 0.0;
    tw_shrink_tiling(tiling, schedule, problem, &wanted, machine);
}
