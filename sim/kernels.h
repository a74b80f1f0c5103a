/**
 * @file kernels.h
 * @brief What gpu/kernels.def and launches.def say of each GPU kernel: which schedule and tiles it claims to be, and
 *        how it is launched. No CUDA.
 */
#ifndef TW_KERNELS_H
#define TW_KERNELS_H

#include "tiling.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A row of gpu/kernels.def. */
typedef struct tw_kernel_claim {
    const char *name;     /**< "20_flash2" */
    const char *schedule; /**< name in the registry */
    tw_tiling tiling;     /**< used where none is named; fetch and unit hold for all of its tilings */
    tw_tile_exception exceptions[TW_TILE_EXCEPTIONS]; /**< head_dims for which other tiles are used */
    const char *idea;                                 /**< one line */
} tw_kernel_claim;

/** The tiling that a kernel uses for a head_dim where the user names none. */
tw_tiling tw_kernel_tiling(const tw_kernel_claim *kernel, int head_dim);

/** How a kernel is launched: a row of gpu/launches.def. */
typedef struct tw_kernel_launch {
    int blocks_per_sm; /**< 0: as the schedule's slots allow */
    tw_order order;    /**< of its blocks by themselves */
} tw_kernel_launch;

/** How a kernel is launched on one shape; zeros if launches.def does not say. */
tw_kernel_launch tw_kernel_launch_of(const char *kernel, int head_dim, const tw_tiling *tiling);

/** The i-th kernel; NULL if there is none. */
const tw_kernel_claim *tw_kernel_at(int i);

/** The kernel of that name; NULL if it is not in the list (somebody's plugin). */
const tw_kernel_claim *tw_kernel_find(const char *name);

#ifdef __cplusplus
}
#endif

#endif
