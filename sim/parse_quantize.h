/**
 * @file parse_quantize.h
 * @brief Strict reading of what a user typed of codes and scales, and of how sums are kept.
 *
 * As parse.h: outputs are untouched on error.
 */
#ifndef TW_PARSE_QUANTIZE_H
#define TW_PARSE_QUANTIZE_H

#include "../cpu_ref/quantize.h"
#include "backend_numeric.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The options' texts; NULL: not given. */
typedef struct tw_quantize_texts {
    char *format;      /**< --quantize: e4m3, e5m2 or int8 */
    char *scales;      /**< --scales: tensor, block or token */
    char *scale_block; /**< --scale-block: "64" or "64,128" */
    bool hadamard;     /**< --hadamard */
} tw_quantize_texts;

/**
 * @brief What the texts say; all 0 where nothing is to be quantised.
 * @param[in] seed  of the Hadamard matrix's signs
 * @return TW_OK; TW_EINVAL (no such word; scales or a Hadamard matrix of nothing; a block where scales are of no blocks)
 */
TW_MUST_CHECK tw_status tw_parse_quantize(tw_quantize *quantize, const tw_quantize_texts *texts,
                                          uint64_t seed);

/** `fp32`, `fp16`, `hopper-fp8` (14 bits), or a number of significant bits. NULL is fp32. */
TW_MUST_CHECK tw_status tw_parse_sums(tw_sums *sums, const char *what, const char *text);

/** "e4m3, a scale a block of 128 x 128, Hadamard": what is quantised, in words. */
void tw_quantize_name(char *text, size_t size, const tw_quantize *quantize);

#ifdef __cplusplus
}
#endif

#endif
