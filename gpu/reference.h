/**
 * @file reference.h
 * @brief What O and LSE should be, from cpu_ref, and the verdict on what a kernel made of them.
 */
#ifndef TW_GPU_REFERENCE_H
#define TW_GPU_REFERENCE_H

#include "../cpu_ref/compare.h"
#include "tensors.h"

/** Chosen rows, in double precision. */
typedef struct tw_gpu_reference {
    int num_rows, head_dim;
    struct tw_gpu_reference_row {
        int batch, head, row;
    } * rows;
    double *o, *lse;       /**< exact: [num_rows][head_dim], [num_rows] */
    double baseline_error; /**< of standard attention rounded to the dtype, on the same rows */
    double max_abs_o;
} tw_gpu_reference;

/** How far a kernel is off. */
typedef struct tw_gpu_verdict {
    bool agrees;
    tw_error_metrics o, lse;
    double o_allowed; /**< 2 · baseline_error + atol */
    char line[256];   /**< if it does not agree: what is wrong, and where */
} tw_gpu_verdict;

/**
 * @brief Computes the reference: every row if there are at most max_rows, otherwise a sample.
 *
 * A sample takes the first and last rows, rows beside multiples of 64, and random ones, of up to 4 heads.
 * @param[in,out] tensors  get their copies on the host, if they have none yet
 * @return TW_OK; TW_ENOMEM; TW_EGPU
 */
TW_MUST_CHECK tw_status tw_gpu_reference_make(tw_gpu_reference *reference, tw_gpu_tensors *tensors,
                                              int max_rows, uint64_t seed);

/** Compares tensors->h_o and h_lse with it. */
void tw_gpu_reference_check(tw_gpu_verdict *verdict, const tw_gpu_reference *reference,
                            const tw_gpu_tensors *tensors);

/**
 * @brief Poison, launch, wait, fetch and check: one validation. Then all of it once more: the bits must be the same.
 * @return TW_OK (also if it does not agree: see verdict->agrees); TW_EGPU; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_gpu_validate_launch(tw_gpu_verdict *verdict, const tw_gpu_reference *reference,
                                               tw_gpu_tensors *tensors, const tw_gpu_kernel *kernel,
                                               const tw_tiling *tiling, struct CUstream_st *stream);

void tw_gpu_reference_free(tw_gpu_reference *reference);

#endif
