/* The table of builds, and what fits a shape. */
#include "build.h"

#include "kernels.h"
#include "parse.h"
#include "schedules/registry.h"

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

/* A kernel of this repository says in kernels.def which tiles it uses where nobody names any. */
static void choose_tiles(const char *kernel, int head_dim, int *block_m, int *block_n)
{
    const tw_kernel_claim *claim = tw_kernel_find(kernel);
    if (!claim)
        return;
    tw_tiling own = tw_kernel_tiling(claim, head_dim);
    bool neither = *block_m == 0 && *block_n == 0;
    if (neither || (*block_m == 0 && *block_n == own.block_n))
        *block_m = own.block_m;
    if (neither || (*block_n == 0 && *block_m == own.block_m))
        *block_n = own.block_n;
}

static bool is_kernel(const char *name)
{
    for (int i = 0; i < NUM_BUILDS; i++)
        if (strcmp(builds[i].kernel, name) == 0)
            return true;
    return false;
}

/* The first row that fits, made complete. */
static tw_status find_kernel(tw_build *build, const char *kernel, const tw_problem *p, int block_m,
                             int block_n)
{
    choose_tiles(kernel, p->head_dim, &block_m, &block_n);
    for (int i = 0; i < NUM_BUILDS; i++) {
        const tw_build *b = &builds[i];
        if (strcmp(b->kernel, kernel) != 0 || !fits(b, p, block_m, block_n))
            continue;
        if ((block_m == 0 && b->block_m == 0) || (block_n == 0 && b->block_n == 0))
            continue;
        *build = *b;
        build->head_dim = p->head_dim;
        build->causal = p->causal;
        build->block_m = block_m > 0 ? block_m : b->block_m;
        build->block_n = block_n > 0 ? block_n : b->block_n;
        if (b->multiplier == TW_BY_WGMMA && build->block_m > 128 && b->warps == 8)
            build->warps = 12;
        return TW_OK;
    }
    return tw_fail(TW_EUNSUPPORTED,
                   "%s is not built for head_dim %d with block_m %d and block_n %d (0: its own)", kernel,
                   p->head_dim, block_m, block_n);
}

/* How one would build a schedule for which there is no kernel: by the best means that machine and inputs have. */
static tw_build build_of_schedule(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                                  const tw_machine *machine)
{
    bool fma = p->dtype == TW_FP32 || machine->mma_fp16_flops_per_clock <= 0;
    bool producer = strncmp(schedule->name, "flash3", 6) == 0;
    bool products = strncmp(schedule->name, "standard", 8) == 0;
    bool groups = !fma && machine->wgmma_fp16_flops_per_clock > 0 && (producer || products);
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
                      .deal = TW_DEAL_DESCENDING,
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
    if (is_kernel(name))
        return find_kernel(build, name, problem, block_m, block_n);
    if (tw_schedule_find(&schedule, name) != TW_OK)
        return no_such_name(name);
    tw_tiling tiling = {.block_m = block_m, .block_n = block_n};
    tw_schedule_default_tiling(schedule, &tiling, problem, machine);
    *build = build_of_schedule(schedule, problem, &tiling, machine);
    return TW_OK;
}
