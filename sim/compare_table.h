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
    /** Behind the L2: as a file of predictions says, or replayed here; NaN where neither was done. */
    double l2_request_bytes, l2_hbm_read_bytes, l2_hbm_write_bytes;
    bool recorded; /**< they, and fill and drain, are from a file of predictions */
} tw_compared;

/** Time in microseconds as measured: the benchmark's median; NaN if there is none. */
double tw_compared_time_us(const tw_compared *row);

/** Is there a measured value that can be set beside its prediction? Otherwise the table of errors is empty. */
bool tw_compare_any_error(const tw_compared *rows, size_t count);

/**
 * @brief Errors, by quantity over all rows, then by kernel and quantity: median, mean, worst, and where the worst is.
 *
 * An error is predicted / measured − 1. Compulsory HBM bytes (HBM read*) count only where more than 100 MB are
 * predicted, others where more than 10 MB are measured: below, the profiler's own come into it.
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
