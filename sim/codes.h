/**
 * @file codes.h
 * @brief Codes of one byte in .npy files, and what somebody says that they are worth.
 */
#ifndef TW_CODES_H
#define TW_CODES_H

#include "../cpu_ref/npy.h"
#include "../cpu_ref/quantized.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Reads codes as the numbers that they stand for: uint8 or int8, bit patterns of fp8, or whole numbers of int8.
 * @param[out] tensor  its dtype is TW_FP64, in which codes are exact; untouched on error
 * @return TW_OK; TW_EFORMAT (a number outside of a byte, a NaN or an infinity of fp8); as tw_npy_read_integers()
 */
TW_MUST_CHECK tw_status tw_codes_read(tw_tensor_data *tensor, const char *path, tw_dtype format);

/** Who shares a scale that was given, and what it is called. */
typedef struct tw_given_scales {
    const char *option; /**< "--q-scale" */
    const char *text;   /**< a number, or a .npy file of (), (batch, heads) or (batch, heads, scales) */
    tw_quantized_tensor tensor; /**< whose codes they are */
    int block;                  /**< rows that share one of `scales`; 0: one each */
} tw_given_scales;

/**
 * @brief Codes become what they are worth, in place.
 * @param[in,out] x  in the layout of problem.h
 * @return TW_OK; TW_EINVAL (a scale that is no finite number, no file's name); TW_EFORMAT (as many as nobody can share); as
 *         tw_npy_read()
 */
TW_MUST_CHECK tw_status tw_codes_scale(double *x, const tw_problem *problem, const tw_given_scales *given);

#ifdef __cplusplus
}
#endif

#endif
