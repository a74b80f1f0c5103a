/* The table of builds, and what fits a shape. */
#include "build.h"

#include "kernels.h"
#include "parse.h"
#include "schedules/registry.h"
#include "splits.h"

#include <stdio.h>
#include <string.h>

static const tw_build builds[] = {
#define TW_BUILD(name, d, mask, m, n, play_as, by, from, copies, num_warps, blocks, places, dealt, ...)      \
    {.kernel = name,                                                                                         \
     .head_dim = d,                                                                                          \
     .causal = mask,                                                                                         \
     .block_m = m,                                                                                           \
     .block_n = n,                                                                                           \
     .schedule = play_as,                                                                                    \
     .multiplier = by,                                                                                       \
     .operands = from,                                                                                       \
     .copier = copies,                                                                                       \
     .warps = num_warps,                                                                                     \
     .blocks_per_sm = blocks,                                                                                \
     .stages = places,                                                                                       \
     .deal = dealt,                                                                                          \
     __VA_ARGS__},
#include "builds.def"
};

enum { NUM_BUILDS = sizeof builds / sizeof builds[0] };

/* Is a row's list of tiles without these? Sizes that are 0 fit everything. */
static bool lists_others(const tw_build *b, int head_dim, int block_m, int block_n)
{
    for (int i = 0; i < TW_MOST_TILES && b->tiles[i].head_dim > 0; i++)
        if (b->tiles[i].head_dim == head_dim && (block_m == 0 || b->tiles[i].block_m == block_m) &&
            (block_n == 0 || b->tiles[i].block_n == block_n))
            return false;
    return b->tiles[0].head_dim > 0;
}

static bool fits(const tw_build *b, const tw_problem *p, int block_m, int block_n)
{
    bool shape = (b->head_dim == 0 || b->head_dim == p->head_dim) &&
                 (b->causal < 0 || b->causal == p->causal);
    bool tiles = (block_m == 0 || b->block_m == 0 || b->block_m == block_m) &&
                 (block_n == 0 || b->block_n == 0 || b->block_n == block_n);
    return shape && tiles && !lists_others(b, p->head_dim, block_m, block_n);
}

/* The first row that fits; NULL if none does. */
static const tw_build *row_for(const char *kernel, const tw_problem *p, int block_m, int block_n)
{
    for (int i = 0; i < NUM_BUILDS; i++)
        if (strcmp(builds[i].kernel, kernel) == 0 && fits(&builds[i], p, block_m, block_n))
            return &builds[i];
    return NULL;
}

bool tw_build_tiling(const char *kernel, const tw_problem *p, int i, int *block_m, int *block_n)
{
    for (int row = 0; row < NUM_BUILDS; row++) {
        const tw_build *b = &builds[row];
        for (int n = 0; n < TW_MOST_TILES; n++) {
            bool listed = b->tiles[n].head_dim > 0;
            int m_rows = listed ? b->tiles[n].block_m : b->block_m,
                n_keys = listed ? b->tiles[n].block_n : b->block_n;
            bool own = n == 0 && b->tiles[0].head_dim == 0;
            if (!listed && !own)
                break;
            if (strcmp(b->kernel, kernel) == 0 && fits(b, p, m_rows, n_keys) &&
                (!listed || b->tiles[n].head_dim == p->head_dim) && row_for(kernel, p, m_rows, n_keys) == b &&
                i-- == 0) {
                *block_m = m_rows;
                *block_n = n_keys;
                return true;
            }
        }
    }
    return false;
}

/* A kernel of this repository says in kernels.def which tiles it uses where nobody names any. */
static void choose_tiles(const char *kernel, const tw_problem *p, int *block_m, int *block_n)
{
    const tw_kernel_claim *claim = tw_kernel_find(kernel);
    if (!claim)
        return;
    tw_tiling own = tw_kernel_tiling(claim, p);
    bool neither = *block_m == 0 && *block_n == 0;
    if (neither || (*block_m == 0 && *block_n == own.block_n))
        *block_m = own.block_m;
    if (neither || (*block_n == 0 && *block_m == own.block_m))
        *block_n = own.block_n;
}

bool tw_build_is_kernel(const char *name)
{
    for (int i = 0; i < NUM_BUILDS; i++)
        if (strcmp(builds[i].kernel, name) == 0)
            return true;
    return false;
}

/* What kernels take: 16 bits, no mask but a causal one, and scores as they are. */
static tw_status check_plain(const char *kernel, const tw_problem *p)
{
    tw_problem rest = *p;
    rest.causal = false;
    if (p->dtype != TW_FP16 && p->dtype != TW_BF16)
        return tw_fail(TW_EUNSUPPORTED, "%s does not take %s, it takes fp16 and bf16", kernel,
                       tw_dtype_name(p->dtype));
    if (tw_mask_is_on(&rest))
        return tw_fail(TW_EUNSUPPORTED, "%s has no mask but --causal", kernel);
    if (tw_score_mods_are_on(p) || tw_dropout_is_on(&p->dropout))
        return tw_fail(TW_EUNSUPPORTED, "%s neither changes scores nor drops any", kernel);
    return TW_OK;
}

/* The first row that fits, made complete. */
static tw_status find_kernel(tw_build *build, const char *kernel, const tw_problem *p, int block_m,
                             int block_n)
{
    TW_TRY(check_plain(kernel, p));
    choose_tiles(kernel, p, &block_m, &block_n);
    const tw_build *b = row_for(kernel, p, block_m, block_n);
    if (!b || (block_m == 0 && b->block_m == 0) || (block_n == 0 && b->block_n == 0))
        return tw_fail(TW_EUNSUPPORTED,
                       "%s is not built for head_dim %d with block_m %d and block_n %d (0: its own)", kernel,
                       p->head_dim, block_m, block_n);
    *build = *b;
    build->head_dim = p->head_dim;
    build->causal = p->causal;
    build->block_m = block_m > 0 ? block_m : b->block_m;
    build->block_n = block_n > 0 ? block_n : b->block_n;
    if (b->multiplier == TW_BY_WGMMA && build->block_m > 128 && b->warps == 8)
        build->warps = 12;
    return TW_OK;
}

/* How one would build a schedule for which there is no kernel: by the best means that machine and inputs have. */
static tw_build build_of_schedule(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                                  const tw_machine *machine)
{
    bool fma = p->dtype == TW_FP32 || machine->mma_fp16_flops_per_clock <= 0;
    bool producer = strncmp(schedule->name, "flash3", 6) == 0;
    bool products = strncmp(schedule->name, "standard", 8) == 0;
    bool groups = !fma && machine->wgmma_fp16_flops_per_clock > 0 && (producer || products);
    bool splits = tw_has_axis(schedule, TW_AXIS_SPLITS) || tw_has_axis(schedule, TW_AXIS_SHARES);
    int warps = producer && t->block_m > 128 ? 12 : producer || products || t->block_m >= 256 ? 8 : 4;
    return (tw_build){.kernel = schedule->name,
                      .head_dim = p->head_dim,
                      .causal = p->causal,
                      .block_m = t->block_m,
                      .block_n = t->block_n,
                      .schedule = schedule->name,
                      .multiplier = fma      ? TW_BY_FMA
                                    : groups ? TW_BY_WGMMA
                                             : TW_BY_MMA,
                      .operands = fma      ? TW_OPERANDS_VECTOR
                                  : groups ? TW_OPERANDS_IN_PLACE
                                           : TW_OPERANDS_LDMATRIX,
                      .copier = groups ? TW_COPY_TMA : TW_COPY_CP_ASYNC,
                      .warps = warps,
                      .stages = products ? 4 : 0,
                      .deal = splits ? TW_DEAL_ASCENDING : TW_DEAL_DESCENDING, /* the longer ones first */
                      .supposed = true};
}

static tw_status no_such_name(const char *name)
{
    char list[360] = "";
    const char *last = "";
    for (int i = 0; i < NUM_BUILDS; i++) {
        size_t used = strlen(list);
        if (strcmp(builds[i].kernel, last) != 0)
            snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", builds[i].kernel);
        last = builds[i].kernel;
    }
    return tw_fail(TW_EINVAL,
                   "'%s' is no kernel and no algorithm, it must be one of %s, or an algorithm of "
                   "`tilewise list algorithms`",
                   tw_quote(name).text, list);
}

tw_status tw_build_find(tw_build *build, const char *name, const tw_problem *problem,
                        const tw_machine *machine, int block_m, int block_n)
{
    const tw_schedule *schedule;
    if (tw_build_is_kernel(name))
        return find_kernel(build, name, problem, block_m, block_n);
    if (tw_schedule_find(&schedule, name) != TW_OK)
        return no_such_name(name);
    tw_tiling tiling = {.block_m = block_m, .block_n = block_n};
    tw_schedule_default_tiling(schedule, &tiling, problem, machine);
    *build = build_of_schedule(schedule, problem, &tiling, machine);
    return TW_OK;
}
