/* The list of GPU kernels as the simulator sees it: claims about schedules and tiles. */
#include "kernels.h"

#include <stddef.h>
#include <string.h>

static const tw_kernel_claim kernels[] = {
#if defined(__has_include)
#if __has_include("../gpu/kernels.def")
#define TW_KERNEL(name, symbol, schedule, block_m, block_n, exceptions, unit, fetch, min_arch, idea)         \
    {name, schedule, {block_m, block_n, fetch, unit}, exceptions, idea},
#include "../gpu/kernels.def"
#endif
#endif
    {NULL, NULL, {0, 0, TW_FETCH_ROWS, TW_UNIT_FMA}, {{0, 0, 0}}, NULL},
};

const tw_kernel_claim *tw_kernel_at(int i)
{
    int count = (int)(sizeof kernels / sizeof kernels[0]) - 1;
    return i >= 0 && i < count ? &kernels[i] : NULL;
}

tw_tiling tw_kernel_tiling(const tw_kernel_claim *kernel, int head_dim)
{
    return tw_tiling_for(kernel->tiling, kernel->exceptions, head_dim);
}

const tw_kernel_claim *tw_kernel_find(const char *name)
{
    for (const tw_kernel_claim *kernel = kernels; kernel->name; kernel++)
        if (strcmp(kernel->name, name) == 0)
            return kernel;
    return NULL;
}
