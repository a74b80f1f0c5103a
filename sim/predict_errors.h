/**
 * @file predict_errors.h
 * @brief Predictions beside measurements: cycles, time, clock and energy, each by itself.
 */
#ifndef TW_PREDICT_ERRORS_H
#define TW_PREDICT_ERRORS_H

#include "measured.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a prediction and a measurement have in common. */
typedef enum tw_quantity {
    TW_QUANTITY_CYCLES, /**< of the SM; one launch, cold caches, as a profiler counts them */
    TW_QUANTITY_TIME,   /**< launches back to back, warm */
    TW_QUANTITY_CLOCK,
    TW_QUANTITY_ENERGY,
    TW_NUM_QUANTITIES
} tw_quantity;

const char *tw_quantity_name(tw_quantity quantity);

/** Errors of one kernel in one quantity: predicted / measured − 1. */
typedef struct tw_error_sum {
    int cases;
    double mean, mean_abs, worst; /**< worst: the largest in size, with its sign */
    const tw_measured *worst_at;
} tw_error_sum;

/** A measured row and the errors of its prediction; NaN where there is nothing to compare. */
typedef struct tw_row_error {
    const tw_measured *row;
    double measured[TW_NUM_QUANTITIES], predicted[TW_NUM_QUANTITIES]; /**< cycles, us, MHz, mJ */
    double error[TW_NUM_QUANTITIES];                                  /**< predicted / measured − 1 */
} tw_row_error;

/**
 * @brief Predicts every measured row of a list for which there is a build; where a file has brought predictions that were
 *        made before (columns predicted_…), these count and no new ones are made.
 * @param[out] errors  one for each row, owned by the caller: free()
 * @return TW_OK; TW_ENOMEM; as tw_machine_find(). Rows that cannot be predicted have NaN.
 */
TW_MUST_CHECK tw_status tw_predict_errors(tw_row_error **errors, const tw_measured_list *list);

/** Sums up one kernel; `shortest`: only sequences of so many keys and more. */
tw_error_sum tw_error_sum_of(const tw_row_error *errors, size_t count, const char *kernel,
                             tw_quantity quantity, int shortest);

/** @brief A line for each kernel and quantity. @return TW_OK; TW_ENOMEM; TW_EFORMAT (nothing could be compared) */
TW_MUST_CHECK tw_status tw_predict_errors_print(FILE *out, const tw_row_error *errors, size_t count);

/** @brief CSV, without comment lines: a row for each measured one of which anything could be compared. */
void tw_predict_errors_csv(FILE *out, const tw_row_error *errors, size_t count);

#ifdef __cplusplus
}
#endif

#endif
