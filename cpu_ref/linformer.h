/**
 * @file linformer.h
 * @brief Attention to fewer keys: K and V projected along the sequence. It approximates attention, and is here to be compared.
 *
 * K' = E K and V' = E V with E of rank × seqlen_k; O = softmax(softmax_scale · Q K'ᵀ) V'. E is mean pooling, one of the
 * projections that the paper names: row r is the mean of the r-th of `rank` stretches of keys. Nothing is learned.
 * @see Wang et al. 2020, arXiv:2006.04768
 */
#ifndef TW_LINFORMER_H
#define TW_LINFORMER_H

#include "problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/** E[row, key]: 1 / (keys of the stretch) within it, 0 elsewhere. */
double tw_linformer_weight(const tw_problem *problem, int row, int key);

/**
 * @brief The plain reference, in double precision from the definition.
 * @param[out] o  [batch, seqlen_q, num_heads, head_dim_v]; untouched on error
 * @param[in]  problem  its rank from 1 to seqlen_k; no mask, no dropout
 * @param[in]  q, k, v  as problem.h has them
 * @return TW_OK; TW_EINVAL (the rank); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_linformer(double *o, const tw_problem *problem, const double *q,
                                               const double *k, const double *v);

#ifdef __cplusplus
}
#endif

#endif
