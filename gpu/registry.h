/**
 * @file registry.h
 * @brief The kernels that there are: those of kernels.def, and one that a plugin may add.
 */
#ifndef TW_GPU_REGISTRY_H
#define TW_GPU_REGISTRY_H

#include "kernel.h"

#define TW_GPU_MAX_KERNELS 64

/** Number of kernels, and the i-th of them; a plugin's comes last. */
int tw_gpu_num_kernels(void);
const tw_gpu_kernel *tw_gpu_kernel_at(int i);

/** Kernels picked by the user, in the order of the list. */
typedef struct tw_gpu_selection {
    int num_kernels;
    const tw_gpu_kernel *kernels[TW_GPU_MAX_KERNELS];
} tw_gpu_selection;

/**
 * @brief Looks up a comma-separated list of names.
 * @param names  NULL means every kernel
 * @return TW_OK; TW_EINVAL (a name that is not in the list; the line gives the names that are)
 */
TW_MUST_CHECK tw_status tw_gpu_select(tw_gpu_selection *selection, const char *names);

/**
 * @brief Adds the kernel of a shared object to the list.
 *
 * The object stays loaded. Its tw_plugin_kernel() is called once and every field is checked.
 * @return TW_OK; TW_EIO (cannot be loaded); TW_EINVAL (no tw_plugin_kernel, a field that is missing or
 *         has no meaning, a name that is taken)
 */
TW_MUST_CHECK tw_status tw_gpu_load_plugin(const char *path);

/** The next tiling after `previous` that the kernel was compiled for; the default first; NULL at the end. */
const tw_tiling *tw_gpu_next_tiling(const tw_gpu_kernel *kernel, const tw_tiling *previous);

#endif
