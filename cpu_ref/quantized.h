/**
 * @file quantized.h
 * @brief Plain quantised attention: Q, K and V become codes and scales, and what these are worth.
 *
 * The reference of everything quantised. Gold attention of what the codes are worth (tw_attention_gold() of
 * tw_dequantize()) has no other error than that of the codes; tw_attention_quantized_row() rounds P as well.
 */
#ifndef TW_QUANTIZED_H
#define TW_QUANTIZED_H

#include "problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Codes, as numbers, in the layouts of problem.h, and scales [batch, heads, scales of a head]; all owned. */
typedef struct tw_quantized {
    double *code[3];  /**< of Q, K, V, by tw_quantized_tensor */
    double *scale[3]; /**< of the same: fp32 numbers */
} tw_quantized;

/**
 * @brief Codes and scales of Q, K and V.
 *
 * Scales are rounded to fp32 and not 0: what is all zeros has 1. Rows of Q and K are multiplied by signs and a Hadamard
 * matrix before, where the problem asks for it; codes are then those of the products.
 * @param[out] made     tw_quantized_free() it; untouched on error
 * @param[in]  problem  its `quantize` is on, and says how many rows a block has where blocks have scales
 * @param[in]  q, k, v  as for tw_attention_gold(); v may be NULL where nobody wants codes of it, and so may the others
 * @return TW_OK; TW_EINVAL (nothing is to be quantised; blocks of 0 rows); as tw_problem_check(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_quantize_inputs(tw_quantized *made, const tw_problem *problem, const double *q,
                                           const double *k, const double *v);

/**
 * @brief What codes are worth: code · scale. Of Q and K still multiplied by the Hadamard matrix, if they were.
 * @param[out] x        as Q, K or V
 * @param[in]  which    of them
 * @param[in]  problem  says which rows share a scale
 * @param[in]  codes    with the scales
 */
void tw_dequantize(double *x, tw_quantized_tensor which, const tw_problem *problem,
                   const tw_quantized *codes);

/** Random signs, +1 or −1: those of standard-normal numbers, stream 4 of the seed. */
void tw_hadamard_signs(double *signs, int n, uint64_t seed);

/** Frees what is owned and clears the struct. */
void tw_quantized_free(tw_quantized *codes);

/** Index of a row's scale; `head` is a K/V head for K and V. */
size_t tw_quantized_scale_at(const tw_problem *problem, tw_quantized_tensor which, int batch, int head,
                             int64_t row);

/** Scales of all heads. */
size_t tw_quantized_num_scales(const tw_problem *problem, tw_quantized_tensor which);

/**
 * @brief Attention of dequantised Q, K, V whose P becomes codes before it is multiplied with V, and O is rounded.
 *
 * P = e^(S − m) by the maximum of the whole row, times tw_quantize_p_scale(), rounded to the format; l is the sum of P
 * before that, as FlashAttention 3 and INT-FlashAttention have it. Sums are double. One row, as tw_attention_gold_row().
 */
void tw_attention_quantized_row(double *o, double *lse, const tw_problem *problem, const double *q,
                                const double *k, const double *v, int batch, int head, int row,
                                double *scratch);

#ifdef __cplusplus
}
#endif

#endif
