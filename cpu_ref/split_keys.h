/**
 * @file split_keys.h
 * @brief Attention over parts of the keys: what of each part is kept, and how parts become the whole.
 *
 * Keys are cut into parts; part c leaves, for each query row, its own normalised O_c and LSE_c. Then
 *
 *     LSE = ln Σ e^LSE_c        O = Σ e^(LSE_c − LSE) O_c
 *
 * A part of which a row sees nothing has LSE_c = −INFINITY and no weight; where all are so, O = 0 and LSE = −INFINITY.
 * @see Dao et al. 2023, Flash-Decoding
 *
 * With a fixed maximum φ a part leaves Σ e^(s − φ) v and Σ e^(s − φ) instead, which are added up without another thought,
 * as long as s − φ stays in the range of the number format: Hong et al. 2023, arXiv:2311.01282.
 */
#ifndef TW_SPLIT_KEYS_H
#define TW_SPLIT_KEYS_H

#include "problem.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief What one part of the keys leaves, straight from the definition.
 * @param[out] o    [batch, seqlen_q, num_heads, head_dim_v]
 * @param[out] lse  [batch, num_heads, seqlen_q]
 * @param[in]  key0, key1  keys [key0, key1) of every sequence; those behind its end are none
 * @return TW_OK; as tw_problem_check(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_part(double *o, double *lse, const tw_problem *problem, const double *q,
                                          const double *k, const double *v, int key0, int key1);

/**
 * @brief Parts of one query row become the whole.
 * @param[out] o       [head_dim_v]
 * @param[out] lse     of the row
 * @param[in]  o_part  [parts]: a row of head_dim_v numbers each
 * @param[in]  lse_part [parts]
 */
void tw_combine_parts(double *o, double *lse, const double *const *o_part, const double *lse_part, int parts,
                      int head_dim_v);

#ifdef __cplusplus
}
#endif

#endif
