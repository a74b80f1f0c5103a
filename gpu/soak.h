/**
 * @file soak.h
 * @brief Memory and judgement of `tilewise-gpu soak`: one shape after another, without allocating.
 */
#ifndef TW_GPU_SOAK_H
#define TW_GPU_SOAK_H

#include "device.h"
#include "registry.h"
#include "soak_case.h"
#include "soak_kernels.h"

/** Device memory for the largest shape, owned; and, on the host, what was found. */
typedef struct tw_gpu_soak {
    void *d_q, *d_k, *d_v, *d_o[2];
    float *d_lse[2];
    double *d_exact_o, *d_exact_lse, *d_scratch;
    tw_gpu_exact_scale *d_scale;
    tw_gpu_found *d_found; /**< one a kernel */
    void *d_workspace;
    size_t workspace_bytes;
    tw_gpu_exact_scale scale; /**< of the current shape */
    double o_allowed;
    tw_tiling tiling[TW_GPU_MAX_KERNELS]; /**< with which each kernel ran; block_m 0: it did not */
    tw_gpu_found found[TW_GPU_MAX_KERNELS];
    struct CUstream_st *stream;
} tw_gpu_soak;

/** @return TW_OK; TW_ENOMEM; TW_EGPU; on error nothing is left allocated */
TW_MUST_CHECK tw_status tw_gpu_soak_make(tw_gpu_soak *soak, struct CUstream_st *stream);

void tw_gpu_soak_free(tw_gpu_soak *soak);

/**
 * @brief Runs every selected kernel that supports the shape twice, and compares: soak->found and soak->tiling.
 * @return TW_OK, whatever was found; TW_EGPU; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_gpu_soak_run(tw_gpu_soak *soak, const tw_gpu_soak_case *one,
                                        const tw_gpu_selection *selection, const tw_gpu_device *device);

/** Was anything wrong with what kernel number i made of the shape? */
bool tw_gpu_soak_is_wrong(const tw_gpu_soak *soak, int i);

/** Says what: "O[batch 0, head 1, row 5, 3] is 0.5, should be 0.25, may be off by 0.001 (12 elements)". */
void tw_gpu_soak_explain(char *text, size_t size, const tw_gpu_soak *soak, const tw_gpu_soak_case *one,
                         int i);

/**
 * @brief Holds the judge itself against cpu_ref, on the shape that was run last.
 * @return TW_OK; TW_EGPU (it disagrees; the line says how); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_gpu_soak_check_judge(const tw_gpu_soak *soak, const tw_gpu_soak_case *one);

#endif
