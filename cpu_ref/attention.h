/**
 * @file attention.h
 * @brief The reference library: attention on the CPU, to check everything else against.
 *
 * This one header is all that a user of libtilewise_ref needs. Shapes and layouts are those of
 * problem.h; everything is exact and deterministic.
 *
 * @code
 * tw_problem p = {.batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 4, .seqlen_k = 4, .head_dim = 2};
 * if (tw_attention_gold(o, lse, &p, q, k, v) != TW_OK)
 *     fprintf(stderr, "%s\n", tw_error_message());
 * @endcode
 */
#ifndef TW_ATTENTION_H
#define TW_ATTENTION_H

#include "compare.h"
#include "dtype.h"
#include "npy.h"
#include "online_softmax.h"
#include "problem.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Attention in double precision, straight from the definition: one row of S at a time, no tiles.
 *
 * A fully masked row gives O = 0 and LSE = −INFINITY.
 * @param[out] o    [batch, seqlen_q, num_heads, head_dim]; untouched on error
 * @param[out] lse  [batch, num_heads, seqlen_q], natural logarithm; may be NULL; untouched on error
 * With problem->dropout the probabilities are P ∘ Z (dropout.h); LSE is that of P.
 * @param[in]  problem  dtype is not looked at: q, k, v are taken as they are
 * @param[in]  q        [batch, seqlen_q, num_heads, head_dim]
 * @param[in]  k, v     [batch, seqlen_k, num_heads_kv, head_dim]
 * @return TW_OK; as tw_problem_check(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_gold(double *o, double *lse, const tw_problem *problem, const double *q,
                                          const double *k, const double *v);

/**
 * @brief One row of tw_attention_gold(): cost seqlen_k · head_dim, so long sequences can be sampled.
 *
 * Nothing is checked: the problem must be one that tw_problem_check() accepts.
 * @param[out] o    head_dim numbers
 * @param[out] lse  one number; may be NULL
 * @param[in]  problem, q, k, v  whole tensors, as for tw_attention_gold()
 * @param[in]  batch, head, row  which query row; head is a query head
 * @param      scratch  seqlen_k doubles, overwritten
 */
void tw_attention_gold_row(double *o, double *lse, const tw_problem *problem, const double *q,
                           const double *k, const double *v, int batch, int head, int row, double *scratch);

/**
 * @brief Standard attention as a plain program in problem->dtype would do it: S, P and O rounded to it.
 *
 * The yardstick of FlashAttention's tests: its error is what the number format costs by itself.
 * S = round(scale · Q Kᵀ), P = round(softmax S), O = round(P V) or round(round(P ∘ Z) V), products accumulated in double. A score beyond
 * the format's range is not rounded: infinite, it would make the row NaN and the yardstick useless.
 * One row, like tw_attention_gold_row(), with the same parameters.
 * @see Dao-AILab/flash-attention, its tests: error at most twice that of attention in the same number format
 */
void tw_attention_rounded_row(double *o, const tw_problem *problem, const double *q, const double *k,
                              const double *v, int batch, int head, int row, double *scratch);

/**
 * @brief The gradients of sum(dO ∘ O) by Q, K and V in double precision, straight from the definition.
 *
 *     dV = (P ∘ Z)ᵀ dO     dP = (dO Vᵀ) ∘ Z     dS = P ∘ (dP − rowsum(P ∘ dP))     dQ = scale dS K     dK = scale dSᵀ Q
 *
 * dK and dV of a K/V head are the sums over the query heads that read it. A fully masked row adds nothing to any of
 * them, and its dQ is 0. Time O(14 · head_dim · pairs).
 * @param[out] dq       as q; untouched on error, like dk and dv
 * @param[out] dk, dv   as k and v
 * @param[in]  problem  dtype is not looked at
 * @param[in]  q        [batch, seqlen_q, num_heads, head_dim]
 * @param[in]  k, v     [batch, seqlen_k, num_heads_kv, head_dim]; V has head_dim_v columns
 * @param[in]  d_o      as O: [batch, seqlen_q, num_heads, head_dim_v]
 * @return TW_OK; as tw_problem_check_backward(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_backward_gold(double *dq, double *dk, double *dv,
                                                   const tw_problem *problem, const double *q,
                                                   const double *k, const double *v, const double *d_o);

/**
 * @brief The same for one K/V head of one batch element, and the query heads that read it.
 *
 * Nothing else of dq, dk, dv is written, so that long sequences can be sampled.
 * @return as tw_attention_backward_gold(); TW_EINVAL (no such batch element or head)
 */
TW_MUST_CHECK tw_status tw_attention_backward_gold_group(double *dq, double *dk, double *dv,
                                                         const tw_problem *problem, const double *q,
                                                         const double *k, const double *v, const double *d_o,
                                                         int batch, int head_kv);

/**
 * @brief The same as a plain program in problem->dtype would do it: the yardstick of gradients.
 *
 * S, P, P ∘ Z, O, dP, dS, dQ, dK and dV are rounded to it where each is made, and D = rowsum(dO ∘ O); sums are double,
 * or fp32 for fp32.
 */
TW_MUST_CHECK tw_status tw_attention_backward_rounded_group(double *dq, double *dk, double *dv,
                                                            const tw_problem *problem, const double *q,
                                                            const double *k, const double *v,
                                                            const double *d_o, int batch, int head_kv);

/**
 * @brief Tiled online-softmax attention in fp32, OpenMP over batch, heads and query tiles.
 *
 * Fast enough to check long sequences: an inner kernel per instruction set (AVX-512, AVX2, baseline) is
 * chosen at run time. Results do not depend on the number of threads. Tiles of 256 x 128 are fast; block_m is
 * what K and V are reused for.
 * @param[out] o    [batch, seqlen_q, num_heads, head_dim]; untouched on error
 * @param[out] lse  [batch, num_heads, seqlen_q]; may be NULL; untouched on error
 * @param[in]  problem  dtype is not looked at
 * @param[in]  q        [batch, seqlen_q, num_heads, head_dim]
 * @param[in]  k, v     [batch, seqlen_k, num_heads_kv, head_dim]
 * @param[in]  block_m  query rows of a tile, >= 1; need not divide seqlen_q
 * @param[in]  block_n  key rows of a tile, >= 1; need not divide seqlen_k
 * @return TW_OK; as tw_problem_check(); TW_EINVAL (a block size < 1); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_tiled(float *o, float *lse, const tw_problem *problem, const float *q,
                                           const float *k, const float *v, int block_m, int block_n);

/**
 * @brief Standard attention in fp32, three passes: S and P pass through memory, whole, for all heads.
 *
 * The arithmetic is that of tw_attention_tiled(), the same inner kernels on as many threads: where the two differ in time,
 * it is for what they move. Needs batch · num_heads · seqlen_q · seqlen_k · 4 bytes.
 * @param[out] o, lse     as tw_attention_tiled()
 * @param      workspace  tw_attention_standard_workspace() bytes, aligned to 64, contents undefined; or NULL: allocated
 * @param[in]  problem, q, k, v  likewise; of the masks causal alone
 * @return TW_OK; as tw_problem_check(); TW_EUNSUPPORTED (another mask, changed scores, dropout, packed sequences, V of
 *         other columns); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_standard(float *o, float *lse, void *workspace,
                                              const tw_problem *problem, const float *q, const float *k,
                                              const float *v);

/** Bytes of a workspace for as many threads as there may be now. The problem must be one that tw_problem_check() accepts. */
size_t tw_attention_standard_workspace(const tw_problem *problem);

/** What a backward pass reads and writes, fp32, in the layouts of problem.h. */
typedef struct tw_backward_tensors {
    const float *q;   /**< read, as the next three */
    const float *k;   /**< K */
    const float *v;   /**< V */
    const float *d_o; /**< the gradient of O, as O */
    const float *o;   /**< of the forward pass, as tw_attention_tiled() gives it */
    const float *lse; /**< likewise */
    float *dq;        /**< written, as q */
    float *dk;        /**< written, as k */
    float *dv;        /**< written, as v */
} tw_backward_tensors;

/**
 * @brief Tiled backward attention in fp32, OpenMP over tiles: P is made again from LSE.
 *
 * Fast enough to check a few thousand tokens; by the kernels of tw_attention_tiled(). Results do not depend on the
 * number of threads. Tiles of 128 x 128 are fast.
 * @param[in] tensors  dq, dk, dv are written; untouched on error
 * @param[in] problem  dtype is not looked at
 * @param[in] block_m  query rows of a tile, >= 1; need not divide seqlen_q
 * @param[in] block_n  key rows of a tile, >= 1; need not divide seqlen_k
 * @return TW_OK; as tw_problem_check_backward(); TW_EINVAL (a block size < 1); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_attention_backward_tiled(const tw_backward_tensors *tensors,
                                                    const tw_problem *problem, int block_m, int block_n);

/** Name of the instruction set that tw_attention_tiled() uses on this CPU: "avx512", "avx2" or "baseline". */
const char *tw_attention_tiled_isa(void);

/**
 * @brief n standard-normal numbers, the same on every machine for the same seed and stream.
 *
 * Counter-based: element i depends on (seed, stream, i) alone, so that a GPU can generate the same; philox.h has
 * the recipe. Tensors in fp16, bf16 or fp32 are these numbers, rounded. By convention Q, K and V are streams 0,
 * 1 and 2 of one seed.
 */
void tw_random_normal(double *x, size_t n, uint64_t seed, uint64_t stream);

#ifdef __cplusplus
}
#endif

#endif
