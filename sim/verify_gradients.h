/**
 * @file verify_gradients.h
 * @brief Are these tensors the gradients of that attention? Exact ones, errors, a verdict, and the usual mistakes.
 */
#ifndef TW_VERIFY_GRADIENTS_H
#define TW_VERIFY_GRADIENTS_H

#include "../cpu_ref/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The three gradients, in this order wherever there is an array of them. */
enum { TW_GRADIENT_Q, TW_GRADIENT_K, TW_GRADIENT_V, TW_NUM_GRADIENTS };

/** "dQ", "dK", "dV". */
const char *tw_gradient_name(int gradient);

/** Somebody's gradients beside what they were made of; all in the layouts of problem.h. */
typedef struct tw_gradient_claim {
    tw_problem problem;                       /**< dtype: the number format whose roundings are forgiven */
    const double *q;                          /**< what the gradients were made of, as the next three */
    const double *k;                          /**< K */
    const double *v;                          /**< V */
    const double *d_o;                        /**< the gradient of O */
    const double *gradient[TW_NUM_GRADIENTS]; /**< NULL where there is none to check */
} tw_gradient_claim;

/** How far one gradient is off. */
typedef struct tw_gradient_verdict {
    tw_error_metrics error;  /**< over the compared heads; worst_index counts within the whole tensor */
    double worst;            /**< the claimed number there */
    double worst_exact;      /**< the exact one */
    double baseline;         /**< largest error of a plain program in problem.dtype */
    double atol;             /**< FlashAttention's absolute tolerance */
    size_t not_finite;       /**< numbers that are NaN or infinite, in the whole tensor */
    size_t first_not_finite; /**< index of the first of them */
    double factor; /**< that the exact gradient must be multiplied by to come nearest: 1 if all is well */
    bool agrees;   /**< all is finite, and the error within what is allowed */
} tw_gradient_verdict;

/** A verdict on all that were claimed. */
typedef struct tw_gradients_verdict {
    int64_t heads;    /**< K/V heads, over the batch, that were compared with their query heads */
    int64_t of_heads; /**< so many there are */
    tw_gradient_verdict of[TW_NUM_GRADIENTS]; /**< each; of those that were claimed */
    bool agree;                               /**< all of those do */
} tw_gradients_verdict;

/**
 * @brief Compares gradients with exact ones.
 *
 * A gradient agrees if all of it is finite and its error is at most twice that of a plain backward pass in problem.dtype
 * (tw_attention_backward_rounded_group()) plus FlashAttention's atol; for fp64, plus 1e-9 of the largest. Whole K/V
 * heads with the query heads that read them are compared: as many as about 2^31 · effort multiply-adds pay for, at least
 * one, drawn by the seed.
 * @return TW_OK, whatever the verdict; as tw_problem_check_backward(); TW_EUNSUPPORTED (one head alone takes more than
 *         2^38 multiply-adds); TW_EINVAL (exact gradients that are not finite); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_verify_gradients(tw_gradients_verdict *verdict, const tw_gradient_claim *claim,
                                            uint64_t seed, double effort);

/**
 * @brief Tries the usual mistakes on gradients that do not agree.
 * @param[out] mistake  what fits, in a sentence; "" if nothing does
 * @param[in]  size     of `mistake`
 * @param[in]  claim    as handed to tw_verify_gradients(), as is the seed
 * @param[in]  verdict  what that said
 * @param[in]  seed     of the heads that are looked at
 * @return as tw_verify_gradients()
 */
TW_MUST_CHECK tw_status tw_diagnose_gradients(char *mistake, size_t size, const tw_gradient_claim *claim,
                                              const tw_gradients_verdict *verdict, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
