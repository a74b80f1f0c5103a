/* The table of builds, and what fits a shape. */
#include "build.h"

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

const tw_build *tw_build_at(int i)
{
    return i >= 0 && i < NUM_BUILDS ? &builds[i] : NULL;
}

static bool fits(const tw_build *b, const tw_problem *p, int block_m, int block_n)
{
    bool shape = (b->head_dim == 0 || b->head_dim == p->head_dim) &&
                 (b->causal < 0 || b->causal == p->causal);
    bool tiles = (block_m == 0 || b->block_m == 0 || b->block_m == block_m) &&
                 (block_n == 0 || b->block_n == 0 || b->block_n == block_n);
    return shape && tiles;
}

static tw_status no_such_kernel(const char *kernel)
{
    char list[400] = "";
    const char *last = "";
    for (int i = 0; i < NUM_BUILDS; i++) {
        size_t used = strlen(list);
        if (strcmp(builds[i].kernel, last) != 0)
            snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", builds[i].kernel);
        last = builds[i].kernel;
    }
    return tw_fail(TW_EINVAL, "kernel is '%s', it must be one of %s", kernel, list);
}

tw_status tw_build_find(tw_build *build, const char *kernel, const tw_problem *problem, int block_m,
                        int block_n)
{
    bool known = false;
    for (int i = 0; i < NUM_BUILDS; i++) {
        const tw_build *b = &builds[i];
        if (strcmp(b->kernel, kernel) != 0)
            continue;
        known = true;
        if (!fits(b, problem, block_m, block_n))
            continue;
        *build = *b;
        build->head_dim = problem->head_dim;
        build->causal = problem->causal;
        build->block_m = block_m > 0 ? block_m : b->block_m;
        build->block_n = block_n > 0 ? block_n : b->block_n;
        if (b->multiplier == TW_BY_WGMMA && build->block_m > 128)
            build->warps = 12;
        return TW_OK;
    }
    if (!known)
        return no_such_kernel(kernel);
    return tw_fail(TW_EUNSUPPORTED,
                   "%s is not built for head_dim %d with tiles of %d x %d (0: its own choice)", kernel,
                   problem->head_dim, block_m, block_n);
}

tw_build tw_build_of_schedule(const char *schedule, const tw_problem *problem, const tw_tiling *tiling,
                              bool has_wgmma)
{
    bool fma = tiling->unit == TW_UNIT_FMA, producer = strncmp(schedule, "flash3", 6) == 0;
    bool groups = !fma && has_wgmma && (producer || tiling->block_m % 64 == 0);
    tw_build b = {.kernel = schedule,
                  .head_dim = problem->head_dim,
                  .causal = problem->causal,
                  .block_m = tiling->block_m,
                  .block_n = tiling->block_n,
                  .schedule = schedule,
                  .multiplier = fma      ? TW_BY_FMA
                                : groups ? TW_BY_WGMMA
                                         : TW_BY_MMA,
                  .operands = fma      ? TW_OPERANDS_VECTOR
                              : groups ? TW_OPERANDS_IN_PLACE
                                       : TW_OPERANDS_LDMATRIX,
                  .copier = groups ? TW_COPY_TMA : TW_COPY_CP_ASYNC,
                  .warps = producer ? (tiling->block_m > 128 ? 12 : 8)
                           : groups ? tiling->block_m / 64 * 4
                                    : 8,
                  .deal = TW_DEAL_DESCENDING};
    return b;
}
