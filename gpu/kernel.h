/**
 * @file kernel.h
 * @brief The one C signature of every GPU kernel, in this folder or in somebody's plugin.
 *
 * A kernel says which schedule and tiling it implements, so that its bytes are predicted before it runs.
 * Tensors have the shapes and layouts of cpu_ref/problem.h, contiguous, in device memory, aligned to 256
 * bytes. Kernels are asynchronous on args->stream, allocate nothing and do not synchronise.
 */
#ifndef TW_GPU_KERNEL_H
#define TW_GPU_KERNEL_H

#include "../cpu_ref/problem.h"
#include "../cpu_ref/status.h"
#include "../sim/tiling.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/** Everything that one launch needs. */
typedef struct tw_gpu_args {
    tw_problem problem;
    tw_tiling tiling;
    const void *q, *k, *v; /**< fp16 or bf16, as problem.dtype says */
    void *o;               /**< out, in problem.dtype */
    float *lse;            /**< out, never NULL */
    void *workspace;       /**< workspace_bytes() bytes, contents undefined */
    struct CUstream_st *stream;
} tw_gpu_args;

/** A kernel, or a few launches that together are one attention. */
typedef struct tw_gpu_kernel {
    const char *name;     /**< "20_flash2" */
    const char *schedule; /**< name in the registry of sim/: whose bytes it claims to move */
    const char *idea;     /**< one line: what this rung adds */
    int min_arch;         /**< lowest compute capability, 80 for 8.0 */
    /** Tile sizes used when the user names none; block sizes 0 in `wanted` mean "choose". */
    tw_tiling (*tiling)(const tw_problem *problem, const tw_tiling *wanted);
    /** TW_OK, or TW_EUNSUPPORTED with a line that says what would be supported. */
    tw_status (*supports)(const tw_problem *problem, const tw_tiling *tiling);
    size_t (*workspace_bytes)(const tw_problem *problem, const tw_tiling *tiling);
    /** TW_OK, or TW_EGPU with the CUDA error's name and text. */
    tw_status (*launch)(const tw_gpu_args *args);
} tw_gpu_kernel;

/** What a plugin (a shared object given by --plugin) exports under the name "tw_plugin_kernel". */
typedef const tw_gpu_kernel *(*tw_plugin_kernel_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
