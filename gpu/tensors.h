/**
 * @file tensors.h
 * @brief Q, K, V, O, LSE and the workspace of one problem, on the GPU and (but for the workspace) on the host.
 */
#ifndef TW_GPU_TENSORS_H
#define TW_GPU_TENSORS_H

#include "kernel.h"

#include <stdint.h>

/** Bytes behind O, LSE and the workspace that a kernel must leave alone. */
#define TW_GPU_GUARD_BYTES 256

/** Owned by tw_gpu_tensors_make() and tw_gpu_tensors_free(). Device pointers start with d_, host ones with h_. */
typedef struct tw_gpu_tensors {
    tw_problem problem;
    uint16_t *h_q, *h_k, *h_v,
        *h_o; /**< bit patterns in problem.dtype; NULL before tw_gpu_tensors_to_host() */
    float *h_lse;
    void *d_q, *d_k, *d_v, *d_o, *d_lse, *d_workspace;
    size_t o_bytes, lse_bytes, workspace_bytes; /**< without the guard */
    size_t held_bytes;                          /**< device memory, all in all */
} tw_gpu_tensors;

/**
 * @brief Allocates everything on the GPU and fills Q, K and V there with normal random numbers, Q times `q_factor`.
 *
 * The factor makes scores as large as one likes; they have standard deviation q_factor.
 * @param[out] tensors  on error nothing is left allocated
 * @return TW_OK; TW_ENOMEM; TW_EGPU
 */
TW_MUST_CHECK tw_status tw_gpu_tensors_make(tw_gpu_tensors *tensors, const tw_problem *problem, uint64_t seed,
                                            double q_factor);

/**
 * @brief Makes room on the host for all tensors, and copies Q, K and V there: what a comparison needs.
 * @return TW_OK; TW_ENOMEM; TW_EGPU
 */
TW_MUST_CHECK tw_status tw_gpu_tensors_to_host(tw_gpu_tensors *tensors);

/** Makes the workspace at least this large. @return TW_OK; TW_ENOMEM; TW_EGPU */
TW_MUST_CHECK tw_status tw_gpu_tensors_reserve(tw_gpu_tensors *tensors, size_t workspace_bytes);

/** Fills O, LSE, the workspace and what lies behind them with NaN. @return TW_OK; TW_EGPU */
TW_MUST_CHECK tw_status tw_gpu_tensors_poison(const tw_gpu_tensors *tensors);

/**
 * @brief Copies O and LSE to the host, after tw_gpu_tensors_to_host().
 * @return TW_OK; TW_EGPU; TW_EMISMATCH (a kernel wrote behind the end of O, LSE or the workspace)
 */
TW_MUST_CHECK tw_status tw_gpu_tensors_fetch(tw_gpu_tensors *tensors);

/** Arguments for a launch on these tensors. */
tw_gpu_args tw_gpu_tensors_args(const tw_gpu_tensors *tensors, const tw_tiling *tiling,
                                struct CUstream_st *stream);

/** Frees everything; an all-zero struct is fine. */
void tw_gpu_tensors_free(tw_gpu_tensors *tensors);

#endif
