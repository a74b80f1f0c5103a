/* tilewise-gpu list: the kernels, a line each. */
#include "commands.h"

static void print_tilings(const tw_gpu_kernel *kernel)
{
    for (const tw_tiling *t = NULL; (t = tw_gpu_next_tiling(kernel, t)) != NULL;)
        printf(" %dx%d", t->block_m, t->block_n);
    const tw_tile_exception *x = kernel->exceptions;
    for (int i = 0; x != NULL && i < TW_TILE_EXCEPTIONS && x[i].head_dim != 0; i++)
        printf("; for head_dim %d: %dx%d", x[i].head_dim, x[i].block_m, x[i].block_n);
    printf("\n");
}

tw_status tw_gpu_list_command(tw_gpu_program *s)
{
    for (int i = 0; i < s->sets[0].selection.num_kernels; i++) {
        const tw_gpu_kernel *k = s->sets[0].selection.kernels[i];
        printf("%-20s %-15s sm_%d  %s\n%-20s tilings (block_m x block_n):", k->name, k->schedule, k->min_arch,
               k->idea, "");
        print_tilings(k);
    }
    return TW_OK;
}
