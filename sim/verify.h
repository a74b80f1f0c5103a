/**
 * @file verify.h
 * @brief Is this tensor the attention of those? Exact rows, errors, a verdict, and the usual mistakes.
 */
#ifndef TW_VERIFY_H
#define TW_VERIFY_H

#include "../cpu_ref/attention.h"

#include <float.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Somebody's O (and LSE) beside the inputs that it was made of; all in the layouts of problem.h. */
typedef struct tw_claim {
    tw_problem problem; /**< dtype: the number format whose roundings are forgiven */
    const double *q;    /**< queries */
    const double *k;    /**< keys */
    const double *v;    /**< values */
    const double *o;    /**< the output that is to be checked */
    const double *lse;  /**< NULL if there is none to check */
    tw_dtype lse_dtype; /**< what LSE was stored in; its roundings are forgiven too */
} tw_claim;

/** Which keys a query row sees. */
typedef enum tw_mask_kind {
    TW_MASK_NONE,         /**< all of them */
    TW_MASK_BOTTOM_RIGHT, /**< the house's causal mask */
    TW_MASK_TOP_LEFT      /**< query i sees keys j <= i, whatever the lengths */
} tw_mask_kind;

/** Parts of a problem that somebody may have forgotten. */
enum {
    TW_PART_WINDOW = 1,
    TW_PART_PREFIX = 2,
    TW_PART_SINKS = 4,
    TW_PART_DOCUMENTS = 8,
    TW_PART_BLOCKS = 16,
    TW_PART_SOFTCAP = 32,
    TW_PART_ALIBI = 64,
    TW_PART_BIAS = 128,
    TW_PART_SINK_LOGITS = 256,
    TW_PART_DROPOUT = 512
};

/** Attention with one thing done differently. */
typedef struct tw_variant {
    unsigned left_out;    /**< TW_PART_* */
    tw_mask_kind mask;    /**< which keys are seen */
    double scale;         /**< of Q Kᵀ */
    int dropped_tile;     /**< the last tile of so many keys is left out; 0 for none */
    bool dropped_per_row; /**< the last tile that the row sees, not the last of the sequence */
    bool heads_modulo;    /**< query head h reads K/V head h % num_heads_kv */
} tw_variant;

/** Which of the parts a problem has. */
unsigned tw_parts_of(const tw_problem *problem);

/** Attention as it should be. */
tw_variant tw_variant_of(const tw_problem *problem);

/** Rows that are compared: of every head the first and the last, and others drawn by the seed. */
typedef struct tw_row_sample {
    int64_t count;     /**< rows in the sample */
    int64_t total;     /**< rows that there are */
    int rows_per_head; /**< 1 … seqlen_q */
    uint64_t seed;     /**< draws them */
} tw_row_sample;

/**
 * @brief All rows where that is cheap, at least `least` of each head, so that exact work stays within about
 *        2^31 · effort multiply-adds.
 */
tw_row_sample tw_row_sample_for(const tw_problem *problem, uint64_t seed, double effort);

/** How far a claim is from attention. */
typedef struct tw_verdict {
    tw_row_sample sample;      /**< rows that were compared */
    tw_error_metrics o;        /**< over the sampled rows; worst_index counts within the whole tensor */
    tw_error_metrics lse;      /**< likewise */
    double worst_o;            /**< the number at o.worst_index */
    double worst_o_exact;      /**< what it should be */
    double o_baseline;         /**< largest error of standard attention in problem.dtype on the same rows */
    double o_atol;             /**< what is forgiven besides */
    double lse_allowed;        /**< largest error of LSE that is accepted */
    size_t o_nans;             /**< in the whole tensor */
    size_t lse_nans;           /**< likewise */
    size_t o_not_finite;       /**< NaN and infinities in the whole O */
    size_t o_first_not_finite; /**< index of the first of them */
    size_t exact_not_finite; /**< numbers of exact O in the sampled rows: if there are any, it says nothing */
    bool o_agrees;           /**< the verdict on O */
    bool lse_agrees;         /**< and on LSE, if there is one */
} tw_verdict;

/**
 * @brief Compares a claim with exact rows of a variant.
 *
 * O agrees if all of it is finite and its error is at most twice that of a standard attention in problem.dtype (S, P, O
 * rounded to it; for fp32 every sum too) plus FlashAttention's atol; for fp64, plus 1e-9 of the largest |O|.
 * Of a problem with codes, q, k and v are what the codes are worth, and the plain attention makes codes of P.
 * LSE agrees if its error is at most what rounding S to problem.dtype may do to it, or what the sums of fp32 do.
 * @return TW_OK, whatever the verdict; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_verify(tw_verdict *verdict, const tw_claim *claim, const tw_variant *variant,
                                  const tw_row_sample *sample);

/** The largest softmax_scale with which the scores of inputs up to 10^4 are still numbers in fp32. */
#define TW_SOFTMAX_SCALE_MAX (FLT_MAX / 1e4)

/** TW_OK, or TW_EINVAL if |scale| is above TW_SOFTMAX_SCALE_MAX. 0 stands for the default. */
TW_MUST_CHECK tw_status tw_check_softmax_scale(double scale);

/** TW_OK, or TW_EINVAL if the verdict's exact attention is not finite: nothing can be compared with that. */
TW_MUST_CHECK tw_status tw_check_exact(const tw_verdict *verdict, const tw_problem *problem);

/**
 * @brief Tries the usual mistakes on a claim that does not agree.
 * @param[out] mistake  the one that fits, in a sentence; "" if none does
 * @param[in]  size     bytes that mistake has room for
 * @param[in]  claim    what tw_verify() found to disagree
 * @param[in]  seed     draws the rows that are compared
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_diagnose(char *mistake, size_t size, const tw_claim *claim, uint64_t seed);

/** Is LSE right if it is taken for a logarithm to base 2? */
TW_MUST_CHECK tw_status tw_lse_is_base2(bool *yes, const tw_claim *claim, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
