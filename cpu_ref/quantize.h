/**
 * @file quantize.h
 * @brief Q, K and V in one byte an element: codes, and scales that say what a code is worth.
 *
 *     x ≈ scale · code        code = round(x / scale)        scale = max |x| / largest number of the format
 *
 * where the maximum is taken over what shares a scale: a tensor, a block of rows, or a row (a token). Rounding is the
 * format's own: to nearest even, saturating.
 *
 * Incoherent processing multiplies each row of Q and of K by the same orthogonal matrix first, which changes no product
 * of theirs: random signs, then a Hadamard matrix, so that one large number of a row becomes head_dim small ones.
 * @see Shah et al. 2024, arXiv:2407.08608, section 3.3; Chen et al. 2024, arXiv:2409.16997
 */
#ifndef TW_QUANTIZE_H
#define TW_QUANTIZE_H

#include "dtype.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What shares a scale. */
typedef enum tw_scales {
    TW_SCALES_TENSOR = 0, /**< Q, K and V have one each */
    TW_SCALES_BLOCK = 1,  /**< so many rows of a head have one: FlashAttention 3 */
    TW_SCALES_TOKEN = 2   /**< each row of Q and of K has one, and all of V: INT-FlashAttention */
} tw_scales;

/** "tensor", "block", "token". */
const char *tw_scales_name(tw_scales scales);

/** How Q, K and V are kept; all 0 is: as they are. */
typedef struct tw_quantize {
    tw_dtype format;  /**< TW_E4M3, TW_E5M2, TW_INT8; what is no format of codes: nothing is quantised */
    tw_scales scales; /**< what shares a scale */
    int block_rows;   /**< of Q that share one, with TW_SCALES_BLOCK; 0: those of a tile */
    int block_keys;   /**< of K and of V, likewise */
    bool hadamard;    /**< incoherent processing of Q and K */
    uint64_t hadamard_seed; /**< of its signs */
} tw_quantize;

/** Is anything quantised? */
bool tw_quantize_is_on(const tw_quantize *quantize);

/**
 * @brief What P, from 0 to 1, is multiplied by before it becomes codes: 2^8, 2^15 or 127.
 *
 * The largest power of two that the format has, so that multiplying rounds nothing and few P are subnormal; of int8, its
 * largest number.
 */
double tw_quantize_p_scale(const tw_quantize *quantize);

/** What may be quantised; the names of tensors here. */
typedef enum tw_quantized_tensor { TW_QUANTIZED_Q, TW_QUANTIZED_K, TW_QUANTIZED_V } tw_quantized_tensor;

/** Rows of a head that share a scale, of `rows` that there are. */
int64_t tw_quantize_rows(const tw_quantize *quantize, tw_quantized_tensor tensor, int64_t rows);

/** Scales of a head with so many rows. */
int64_t tw_quantize_scales(const tw_quantize *quantize, tw_quantized_tensor tensor, int64_t rows);

/**
 * @brief x becomes H x / sqrt(n), H being the Hadamard matrix of Sylvester: fast Walsh-Hadamard transform, n log2 n additions.
 *
 * Its own inverse.
 * @param[in,out] x  n numbers
 * @param[in] n      a power of two
 */
void tw_hadamard(double *x, int n);

/** TW_OK; TW_EINVAL (sizes below 0, a Hadamard matrix for a head_dim that is no power of two, values outside of an enum). */
TW_MUST_CHECK tw_status tw_quantize_check(const tw_quantize *quantize, int head_dim);

#ifdef __cplusplus
}
#endif

#endif
