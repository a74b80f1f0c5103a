/**
 * @file dtype.h
 * @brief Number formats of tensors, and the roundings between them.
 *
 * fp16 and bf16 are handled as their 16-bit patterns, rounded to nearest, ties
 * to even, in integer arithmetic: the result does not depend on the compiler
 * or on the CPU.
 */
#ifndef TW_DTYPE_H
#define TW_DTYPE_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Element type of a tensor. */
typedef enum tw_dtype {
    TW_FP32 = 0, /**< IEEE binary32 */
    TW_FP16 = 1, /**< IEEE binary16: 10 stored bits of fraction, largest 65504 */
    TW_BF16 = 2, /**< the upper half of a binary32: 7 stored bits of fraction */
    TW_FP64 = 3  /**< IEEE binary64; files and references only, never on a GPU here */
} tw_dtype;

/** Bytes of one element; 0 for a value that is not in the enumeration. */
int tw_dtype_bytes(tw_dtype dtype);

/** "fp16", "bf16", "fp32", "fp64". */
const char *tw_dtype_name(tw_dtype dtype);

/**
 * @brief Looks a name up.
 * @return TW_OK; TW_EINVAL (not one of the names), and then *dtype is untouched
 */
TW_MUST_CHECK tw_status tw_dtype_parse(tw_dtype *dtype, const char *name);

/** @name Conversions of one number
 * Round to nearest even; overflow gives infinity; NaN stays a (quiet) NaN; subnormals are exact.
 * @{ */
uint16_t tw_fp16_from_float(float x);   /**< x as an fp16 pattern */
float tw_fp16_to_float(uint16_t bits);  /**< exact */
uint16_t tw_bf16_from_float(float x);   /**< x as a bf16 pattern */
float tw_bf16_to_float(uint16_t bits);  /**< exact */
uint16_t tw_fp16_from_double(double x); /**< directly from double: no double rounding through float */
uint16_t tw_bf16_from_double(double x); /**< likewise */
/** x rounded to the format and back; TW_FP64 returns x. */
double tw_dtype_round(tw_dtype dtype, double x);
/** @} */

/** @name One element of an array of any format
 * A store rounds once, from x to the format.
 * @{ */
double tw_dtype_load(const void *array, tw_dtype dtype, size_t i);    /**< array[i] */
void tw_dtype_store(void *array, tw_dtype dtype, size_t i, double x); /**< array[i] = x */
/** @} */

/**
 * @brief Converts n elements between any two formats.
 *
 * dst and src must not overlap. Values are rounded once, from the source's value to dst_dtype; equal formats
 * are copied bit by bit.
 */
void tw_dtype_convert(void *dst, tw_dtype dst_dtype, const void *src, tw_dtype src_dtype, size_t n);

#ifdef __cplusplus
}
#endif

#endif
