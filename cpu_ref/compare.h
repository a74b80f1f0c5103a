/**
 * @file compare.h
 * @brief How far two tensors are apart, and whether that is acceptable.
 */
#ifndef TW_COMPARE_H
#define TW_COMPARE_H

#include "dtype.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Error of a tensor x against a reference r, accumulated element by element; starts as all zeros. */
typedef struct tw_error_metrics {
    size_t n;               /**< elements compared */
    size_t num_nan;         /**< elements where exactly one side is NaN, or that differ by being infinite */
    size_t first_nan_index; /**< of the first of those: the index handed to tw_error_add() */
    double max_abs_error;   /**< max |x − r|; 0 if n is 0 */
    size_t worst_index;     /**< where that was: the index handed to tw_error_add() */
    double rms_error;       /**< sqrt(mean (x − r)²) */
    double relative_error;  /**< ‖x − r‖ / ‖r‖; 0 if both are 0, INFINITY if only r is */
    double cosine;          /**< x · r / (‖x‖ ‖r‖); 1 if both are 0, 0 if one is */
    /** @cond private: running sums */
    double sum_sq_error_, sum_sq_x_, sum_sq_r_, dot_;
    /** @endcond */
} tw_error_metrics;

/** Adds one element. Equal infinities (LSE of a fully masked row), and NaN in both, are no error. */
void tw_error_add(tw_error_metrics *metrics, size_t index, double x, double reference);

/** Computes rms_error, relative_error and cosine from the sums; call after the last tw_error_add(). */
void tw_error_finish(tw_error_metrics *metrics);

/** Both of the above over whole arrays. */
tw_error_metrics tw_error_of(const double *x, const double *reference, size_t n);

/**
 * @brief FlashAttention's atol: twice the error of adding 0.3 to r and taking it off again, in dtype.
 *
 * It covers what rounding alone may do to numbers of this size. Their tests take the largest such error over the
 * tensor; this is its bound for numbers up to max_abs_reference, so that it does not depend on chance. 0 if
 * max_abs_reference is not finite.
 */
double tw_error_atol(tw_dtype dtype, double max_abs_reference);

/**
 * @brief The verdict of FlashAttention's tests.
 *
 * Agrees if there is no NaN and max_abs_error <= 2 · baseline_max_abs_error + atol, where the baseline is
 * standard attention in the tensor's own number format (tw_attention_rounded_row()).
 */
bool tw_error_acceptable(const tw_error_metrics *metrics, double baseline_max_abs_error, double atol);

#ifdef __cplusplus
}
#endif

#endif
