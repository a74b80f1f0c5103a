/**
 * @file dtype.h
 * @brief Number formats of tensors, and the roundings between them.
 *
 * fp16 and bf16 are handled as their 16-bit patterns, rounded to nearest, ties
 * to even, in integer arithmetic: the result does not depend on the compiler
 * or on the CPU.
 *
 * The formats of one byte are codes: a tensor of them means something together with its scales (quantize.h). Numbers that
 * are too large for one saturate, as CUDA's conversions with __NV_SATFINITE do.
 */
#ifndef TW_DTYPE_H
#define TW_DTYPE_H

#include "status.h"

#include <stdbool.h>
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
    TW_FP64 = 3, /**< IEEE binary64; files and references only, never on a GPU here */
    TW_E4M3 = 4, /**< fp8: 3 stored bits of fraction, largest 448, no infinity; codes, with scales */
    TW_E5M2 = 5, /**< fp8: 2 stored bits of fraction, largest 57344; likewise */
    TW_INT8 = 6  /**< whole numbers from -127 to 127; likewise */
} tw_dtype;

/** Bytes of one element; 0 for a value that is not in the enumeration. */
int tw_dtype_bytes(tw_dtype dtype);

/** "fp16", "bf16", "fp32", "fp64", "e4m3", "e5m2", "int8". */
const char *tw_dtype_name(tw_dtype dtype);

/** Is it a format of one byte, whose numbers need a scale? */
bool tw_dtype_is_code(tw_dtype dtype);

/** The largest number of the format: 448, 57344, 127, 65504, …. */
double tw_dtype_largest(tw_dtype dtype);

/**
 * @brief Looks the name of a format that needs no scales up.
 * @return TW_OK; TW_EINVAL (not one of those names), and then *dtype is untouched
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
uint8_t tw_e4m3_from_double(double x);  /**< saturates: 448 at most; NaN keeps its sign */
float tw_e4m3_to_float(uint8_t bits);   /**< exact */
uint8_t tw_e5m2_from_double(double x);  /**< saturates: 57344 at most; NaN becomes quiet */
float tw_e5m2_to_float(uint8_t bits);   /**< exact; infinities are read, never made */
int8_t tw_int8_from_double(double x);   /**< to nearest even, from -127 to 127; NaN is 0 */
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
