/**
 * @file soak_kernels.h
 * @brief The judge of `tilewise-gpu soak` on the GPU: exact attention, and comparison with it. Everything is queued on
 *        a stream; nothing is allocated or waited for.
 */
#ifndef TW_GPU_SOAK_KERNELS_H
#define TW_GPU_SOAK_KERNELS_H

#include "../cpu_ref/problem.h"

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/** Of the exact O of a problem. Zeros before it is computed. */
typedef struct tw_gpu_exact_scale {
    double baseline_error;     /**< of standard attention rounded to the dtype */
    double baseline_lse_error; /**< likewise, of LSE */
    double max_abs_o;
} tw_gpu_exact_scale;

/** What a comparison found. Zeros before it, but for the first indices, which begin at UINT64_MAX. */
typedef struct tw_gpu_found {
    unsigned long long wrong_o, wrong_lse; /**< elements that are off by more than they may be, or NaN */
    unsigned long long first_wrong_o, first_wrong_lse; /**< smallest index of one */
    unsigned long long changed; /**< elements of O and LSE with other bits in the second run */
    unsigned long long overrun; /**< bytes written behind the end of a tensor */
    double worst_o;             /**< largest error that is a number */
} tw_gpu_found;

/** Bytes behind a tensor that must stay as they were poisoned. */
typedef struct tw_gpu_guard {
    const unsigned char *first;
} tw_gpu_guard;

enum { TW_GPU_SOAK_GUARD_BYTES = 256, TW_GPU_SOAK_POISON = 0xff, TW_GPU_SOAK_GUARDS = 5 };

/** Arguments of the comparison; all pointers are to device memory. */
typedef struct tw_gpu_comparison {
    size_t o_elements, lse_elements;
    bool bf16;
    const uint16_t *o[2]; /**< of two runs on the same tensors */
    const float *lse[2];
    const double *exact_o, *exact_lse;
    double lse_allowed; /**< beside what LSE's own size allows; see tw_exact_lse_allowed() */
    double o_allowed;
    tw_gpu_guard guards[TW_GPU_SOAK_GUARDS]; /**< NULL where there is none */
    tw_gpu_found *found;
} tw_gpu_comparison;

/**
 * @brief Exact attention by the definition, in double.
 * @param[out] o        [batch, seqlen_q, num_heads, head_dim]
 * @param[out] lse      [batch, num_heads, seqlen_q]
 * @param[out] scale    must be zeros
 * @param      scratch  2 · batch · num_heads · seqlen_q · seqlen_k doubles
 * @return TW_OK; TW_EGPU
 */
TW_MUST_CHECK tw_status tw_gpu_exact(double *o, double *lse, tw_gpu_exact_scale *scale, double *scratch,
                                     const tw_problem *problem, const void *q, const void *k, const void *v,
                                     struct CUstream_st *stream);

/** Compares. @return TW_OK; TW_EGPU */
TW_MUST_CHECK tw_status tw_gpu_compare(const tw_gpu_comparison *comparison, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif

#endif
