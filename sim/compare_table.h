/**
 * @file compare_table.h
 * @brief Predictions beside measurements: errors of each kernel, and the summary by sequence length.
 */
#ifndef TW_COMPARE_TABLE_H
#define TW_COMPARE_TABLE_H

#include "measured.h"
#include "roofline.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A measured row and what is predicted for it. */
typedef struct tw_compared {
    const tw_measured *measured;
    tw_count_result counts;
    tw_roofline roofline; /**< time_s NaN where the machine predicts none */
} tw_compared;

/** Time in microseconds as measured: the benchmark's median; NaN if there is none. */
double tw_compared_time_us(const tw_compared *row);

/** Is there a measured value that can be set beside its prediction? Otherwise the table of errors is empty. */
bool tw_compare_any_error(const tw_compared *rows, size_t count);

/**
 * @brief For each kernel and quantity: median, mean and worst error over all shapes, and where the worst is.
 *
 * An error is predicted / measured − 1. HBM bytes count only where more than 100 MB are predicted.
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_compare_print_errors(FILE *out, const tw_compared *rows, size_t count);

/**
 * @brief For each head_dim, mask and unit, by sequence length: bytes and time of the fastest standard and the fastest
 *        tiled kernel, predicted and measured, their errors, and the speedup.
 *
 * Shapes that were not timed with both are left out, unless no row at all was timed: then kernels are ranked by what
 * is predicted.
 * @return TW_OK; TW_ENOMEM; TW_EINVAL (there is not one standard and one tiled kernel on the same shape and unit)
 */
TW_MUST_CHECK tw_status tw_compare_print_summary(FILE *out, const tw_compared *rows, size_t count);

#ifdef __cplusplus
}
#endif

#endif
