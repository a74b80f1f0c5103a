/**
 * @file kernel.h
 * @brief The one C signature of every GPU kernel, in this folder or in somebody's plugin.
 *
 * A kernel says which schedule and tiling it implements, so that its bytes are predicted before it runs.
 * Tensors have the shapes and layouts of cpu_ref/problem.h, contiguous, in device memory, aligned to 256
 * bytes. Kernels are asynchronous on args->stream, allocate nothing on the device and do not synchronise.
 *
 * Device functions whose name starts with `tw_init_` prepare memory (O = 0, m = −∞); counters leave them out,
 * because the counts of sim/ leave them out too.
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
    tw_problem problem;         /**< shapes, mask, scale, number format */
    tw_tiling tiling;           /**< one that supports() accepted for this problem */
    const void *q;              /**< fp16 or bf16, as problem.dtype says */
    const void *k;              /**< likewise */
    const void *v;              /**< likewise */
    void *o;                    /**< out, in problem.dtype */
    float *lse;                 /**< out, never NULL */
    void *workspace;            /**< workspace_bytes() bytes, aligned to 256, contents undefined */
    struct CUstream_st *stream; /**< a cudaStream_t */
} tw_gpu_args;

/** A kernel, or a few launches that together are one attention. */
typedef struct tw_gpu_kernel {
    const char *name;     /**< "20_flash2" */
    const char *schedule; /**< name in the registry of sim/: whose bytes it claims to move */
    const char *idea;     /**< one line: what this rung adds */
    int min_arch;         /**< lowest compute capability, 80 for 8.0 */
    tw_tiling tiling;     /**< used when the user names no tile sizes */
    /** Every tiling that was compiled, ended by one with block_m 0; NULL if `tiling` is the only one. */
    const tw_tiling *tilings;
    /** TW_OK, or TW_EUNSUPPORTED with a line that says what would be supported. */
    tw_status (*supports)(const tw_problem *problem, const tw_tiling *tiling);
    /** Bytes of device memory beside Q, K, V, O and LSE; may be 0. */
    size_t (*workspace_bytes)(const tw_problem *problem, const tw_tiling *tiling);
    /** TW_OK, or TW_EGPU with the CUDA error's name and text. */
    tw_status (*launch)(const tw_gpu_args *args);
    /** TW_TILE_EXCEPTIONS of them: head_dims for which other tiles than those of `tiling` are used; NULL for none. */
    const tw_tile_exception *exceptions;
    /** supports() looks at tiling.order and kv_order; if not, only TW_ORDER_OWN and TW_KV_FORWARD are asked for. */
    bool takes_orders;
} tw_gpu_kernel;

/** What a plugin (a shared object given by --plugin) exports under the name "tw_plugin_kernel". */
typedef const tw_gpu_kernel *(*tw_plugin_kernel_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
