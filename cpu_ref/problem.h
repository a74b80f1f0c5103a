/**
 * @file problem.h
 * @brief What is to be computed: the shape of one attention.
 *
 * Q and O are [batch, seqlen_q, num_heads, head_dim], K and V are
 * [batch, seqlen_k, num_heads_kv, head_dim], LSE is float32
 * [batch, num_heads, seqlen_q] in natural logarithm. All are contiguous, last
 * index fastest. Query head h reads K/V head h / (num_heads / num_heads_kv).
 */
#ifndef TW_PROBLEM_H
#define TW_PROBLEM_H

#include "dtype.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One attention forward: O = softmax(softmax_scale · Q Kᵀ + mask) V. */
typedef struct tw_problem {
    int batch;            /**< sequences */
    int num_heads;        /**< query heads */
    int num_heads_kv;     /**< key/value heads; divides num_heads */
    int seqlen_q;         /**< rows of Q and O */
    int seqlen_k;         /**< rows of K and V */
    int head_dim;         /**< columns of a head */
    tw_dtype dtype;       /**< of Q, K, V and O */
    bool causal;          /**< aligned bottom-right: query i sees keys j <= i + seqlen_k - seqlen_q */
    double softmax_scale; /**< 0 means 1 / sqrt(head_dim) */
} tw_problem;

/**
 * @brief Checks that every size has a meaning and that the products fit 63 bits.
 * @return TW_OK; TW_EINVAL (a size <= 0, num_heads % num_heads_kv != 0, a softmax_scale that is not
 *         finite); TW_EOVERFLOW (4 · head_dim · seqlen_q · seqlen_k · heads · batch >= 2^62)
 */
TW_MUST_CHECK tw_status tw_problem_check(const tw_problem *problem);

/** softmax_scale, with 0 replaced by 1 / sqrt(head_dim). */
double tw_problem_scale(const tw_problem *problem);

/** The K/V head that a query head reads. */
int tw_problem_kv_head(const tw_problem *problem, int head);

/** Number of keys that a query row sees: keys 0 … n − 1. 0 for a fully masked row. */
int tw_problem_keys_seen(const tw_problem *problem, int row);

/**
 * @brief Pairs (query row, key) that the mask keeps, inside a rectangle of the score matrix of one head.
 *
 * Rows [row0, row1) and keys [col0, col1), each within the matrix. Closed form, constant time.
 */
int64_t tw_problem_pairs_in(const tw_problem *problem, int64_t row0, int64_t row1, int64_t col0,
                            int64_t col1);

/** Pairs that the mask keeps in the whole score matrix of one head. */
int64_t tw_problem_pairs(const tw_problem *problem);

/** FLOPs by convention: 4 · head_dim · pairs, all heads, whole batch, whatever an algorithm really executes. */
int64_t tw_problem_flops(const tw_problem *problem);

/** @name Elements of whole tensors
 * @{ */
size_t tw_problem_q_elements(const tw_problem *problem);   /**< also O */
size_t tw_problem_k_elements(const tw_problem *problem);   /**< also V */
size_t tw_problem_lse_elements(const tw_problem *problem); /**< one a query row and head */
/** @} */

/** @name Index of the first element of a row
 * Rows of Q, K, V and O have head_dim elements.
 * @{ */
/** Of a row of Q or O; `head` is a query head. */
size_t tw_problem_q_row(const tw_problem *problem, int batch, int head, int row);
/** Of a row of K or V; `head_kv` is a K/V head, as tw_problem_kv_head() gives it. */
size_t tw_problem_k_row(const tw_problem *problem, int batch, int head_kv, int row);
/** Of the one number that LSE has for a query row. */
size_t tw_problem_lse_at(const tw_problem *problem, int batch, int head, int row);
/** @} */

#ifdef __cplusplus
}
#endif

#endif
