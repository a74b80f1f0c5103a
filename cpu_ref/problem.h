/**
 * @file problem.h
 * @brief What is to be computed: the shape of one attention.
 *
 * Q is [batch, seqlen_q, num_heads, head_dim], K is [batch, seqlen_k, num_heads_kv, head_dim]; V is like K and O like
 * Q, with head_dim_v columns; LSE is float32 [batch, num_heads, seqlen_q] in natural logarithm. All are contiguous,
 * last index fastest. Query head h reads K/V head h / (num_heads / num_heads_kv).
 *
 * With sequences of different lengths ("varlen", "jagged") rows are packed one sequence behind the other and nothing is
 * padded: Q is [total_q, num_heads, head_dim], K is [total_k, num_heads_kv, head_dim], LSE is [num_heads, total_q].
 *
 * With a page table, K and V are pages in any order, as servers keep them while sequences grow: K is
 * [num_pages, page_size, num_heads_kv, head_dim], and row r of a sequence is row r mod page_size of the page that the
 * sequence's row of the table names at r / page_size.
 */
#ifndef TW_PROBLEM_H
#define TW_PROBLEM_H

#include "dropout.h"
#include "dtype.h"
#include "masks.h"
#include "score_mods.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One attention: O = (softmax(softmax_scale · Q Kᵀ + mask) ∘ Z) V, where Z is 1 without dropout. */
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
    int head_dim_v;       /**< columns of V and O; 0 means head_dim */
    bool v_in_k; /**< V is the first head_dim_v columns of K: latent attention (MLA) keeps one tensor */
    /** Row offsets of packed sequences in Q and O, batch + 1 numbers; seqlen_q and seqlen_k are then the longest lengths.
     *  A sequence may have no rows. Not owned. */
    const int *cu_seqlens_q;
    const int *cu_seqlens_k; /**< the same in K and V; both or neither */
    /** More than 1 only in what tw_problem_packed() gives: so many query heads are rows of one. */
    int heads_in_rows;
    tw_masks mask;         /**< beside causal */
    tw_score_mods scoring; /**< what becomes of a score before its softmax */
    tw_dropout dropout;    /**< of the probabilities; all 0 is none */
    int page_size;         /**< keys of a page; 0: K and V are not paged */
    int num_pages;         /**< of K and of V, those that nobody uses included */
    int table_width;       /**< numbers that the table has for each sequence: enough for the longest */
    const int *page_table; /**< [batch, table_width]: numbers of pages. Not owned. */
    /** More than 1 only in what a schedule that splits the keys sees: most partial results of a query row. */
    int num_splits;
} tw_problem;

/**
 * @brief Checks that every size has a meaning and that the products fit 63 bits.
 * @return TW_OK; TW_EINVAL (a size <= 0, num_heads % num_heads_kv != 0, a softmax_scale that is not
 *         finite; as tw_dropout_check()); TW_EOVERFLOW (4 · head_dim · seqlen_q · seqlen_k · heads · batch >= 2^62)
 */
TW_MUST_CHECK tw_status tw_problem_check(const tw_problem *problem);

/**
 * @brief Is this a problem that there is a backward pass for?
 *
 * Masks, packed sequences, grouped heads and dropout are; what changes scores, sink logits and a V within K are not.
 * @return TW_OK; as tw_problem_check(); TW_EUNSUPPORTED
 */
TW_MUST_CHECK tw_status tw_problem_check_backward(const tw_problem *problem);

/** softmax_scale, with 0 replaced by 1 / sqrt(head_dim). */
double tw_problem_scale(const tw_problem *problem);

/** The K/V head that a query head reads. */
int tw_problem_kv_head(const tw_problem *problem, int head);

/** Columns of V and O. */
int tw_problem_head_dim_v(const tw_problem *problem);

/** One past the last key that a query row may see, as far as runs of keys go (masks.h); 0 for a row that sees none. */
int tw_problem_keys_seen(const tw_problem *problem, int row);

/** @name Views: the same tensors, seen otherwise
 * Rows, heads and keys of a view are indexed by the functions below with the batch element of the whole problem.
 * @{ */
/** One sequence: seqlen_q and seqlen_k are its own lengths, which may be 0. Without packed sequences, the problem. */
tw_problem tw_problem_sequence(const tw_problem *problem, int batch);
/** One head for each K/V head: row r is query row r / g of query head g · head_kv + r mod g, g query heads a K/V head. */
tw_problem tw_problem_packed(const tw_problem *problem);
/** The query row that a row is; itself unless heads are packed into rows. */
int tw_problem_query_row(const tw_problem *problem, int row);
/** The query head that a row of a head is; the head itself unless heads are packed into rows. */
int tw_problem_query_head(const tw_problem *problem, int head, int row);
/** @} */

/** @name Pairs (query row, key) that the mask keeps
 * Closed form for causal and window; for the cost of other masks see tw_mask_pairs().
 * @{ */
/** In rows [row0, row1) × keys [col0, col1) of the first head of the first sequence. */
int64_t tw_problem_pairs_in(const tw_problem *problem, int64_t row0, int64_t row1, int64_t col0,
                            int64_t col1);
/** In the whole score matrix of the first head of the first sequence: of every one, where all are alike. */
int64_t tw_problem_pairs(const tw_problem *problem);
/** Over all heads of the whole batch. */
int64_t tw_problem_all_pairs(const tw_problem *problem);
/** @} */

/** FLOPs by convention: 2 (head_dim + head_dim_v) a pair, all heads, whole batch, whatever an algorithm really
 *  executes. */
int64_t tw_problem_flops(const tw_problem *problem);

/** Number of the page in which the page-th page_size keys of a sequence are. */
int tw_problem_page(const tw_problem *problem, int batch, int page);

/** Query rows of all sequences. */
int64_t tw_problem_total_q(const tw_problem *problem);
/** Keys of all sequences. */
int64_t tw_problem_total_k(const tw_problem *problem);

/** @name Elements of whole tensors
 * @{ */
size_t tw_problem_q_elements(const tw_problem *problem);   /**< of Q */
size_t tw_problem_k_elements(const tw_problem *problem);   /**< of K */
size_t tw_problem_v_elements(const tw_problem *problem);   /**< of V: K's, where V is a part of it */
size_t tw_problem_o_elements(const tw_problem *problem);   /**< of O */
size_t tw_problem_lse_elements(const tw_problem *problem); /**< one a query row and head */
/** @} */

/** @name Index of the first element of a row
 * Rows of Q and K have head_dim elements, rows of V and O have head_dim_v.
 * @{ */
/** Of a row of Q; `head` is a query head. */
size_t tw_problem_q_row(const tw_problem *problem, int batch, int head, int row);
/** Of a row of K; `head_kv` is a K/V head, as tw_problem_kv_head() gives it. */
size_t tw_problem_k_row(const tw_problem *problem, int batch, int head_kv, int row);
/** Of a row of V. */
size_t tw_problem_v_row(const tw_problem *problem, int batch, int head_kv, int row);
/** Of a row of O. */
size_t tw_problem_o_row(const tw_problem *problem, int batch, int head, int row);
/** Of the one number that LSE has for a query row. */
size_t tw_problem_lse_at(const tw_problem *problem, int batch, int head, int row);
/** @} */

#ifdef __cplusplus
}
#endif

#endif
