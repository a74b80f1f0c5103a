/* The list of GPU kernels as the simulator sees it: claims about schedules and tiles. */
#include "kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const tw_kernel_claim kernels[] = {
#if defined(__has_include)
#if __has_include("../gpu/kernels.def")
#define TW_KERNEL(name, symbol, schedule, block_m, block_n, exceptions, unit, fetch, min_arch, idea)         \
    {name, schedule, {block_m, block_n, fetch, unit, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}, exceptions, idea},
#include "../gpu/kernels.def"
#endif
#endif
    {NULL, NULL, {.block_m = 0}, {{.head_dim = 0}}, NULL},
};

static const struct {
    const char *kernel;
    int head_dim, block_m, block_n; /* 0: any */
    tw_kernel_launch launch;
} launches[] = {
#if defined(__has_include)
#if __has_include("../gpu/launches.def")
#define TW_LAUNCH(kernel, head_dim, block_m, block_n, blocks_per_sm, order)                                  \
    {kernel, head_dim, block_m, block_n, {blocks_per_sm, order}},
#include "../gpu/launches.def"
#endif
#endif
    {NULL, 0, 0, 0, {0, TW_ORDER_OWN}},
};

static bool fits(int row, int value)
{
    return row == 0 || row == value;
}

tw_kernel_launch tw_kernel_launch_of(const char *kernel, int head_dim, const tw_tiling *tiling)
{
    int i = 0;
    while (launches[i].kernel &&
           !(strcmp(launches[i].kernel, kernel) == 0 && fits(launches[i].head_dim, head_dim) &&
             fits(launches[i].block_m, tiling->block_m) && fits(launches[i].block_n, tiling->block_n)))
        i++;
    return launches[i].launch;
}

const tw_kernel_claim *tw_kernel_at(int i)
{
    int count = (int)(sizeof kernels / sizeof kernels[0]) - 1;
    return i >= 0 && i < count ? &kernels[i] : NULL;
}

tw_tiling tw_kernel_tiling(const tw_kernel_claim *kernel, const tw_problem *problem)
{
    return tw_tiling_for(kernel->tiling, kernel->exceptions, problem);
}

const tw_kernel_claim *tw_kernel_find(const char *name)
{
    for (const tw_kernel_claim *kernel = kernels; kernel->name; kernel++)
        if (strcmp(kernel->name, name) == 0)
            return kernel;
    return NULL;
}
