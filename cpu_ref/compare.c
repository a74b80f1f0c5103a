/* Error metrics and the verdict. */
#include "compare.h"

#include <math.h>

/* Both NaN, or the same infinity. */
static bool same_non_number(double x, double reference)
{
    return (isnan(x) && isnan(reference)) || (isinf(x) && x == reference);
}

void tw_error_add(tw_error_metrics *metrics, size_t index, double x, double reference)
{
    metrics->n++;
    if (!isfinite(x) || !isfinite(reference)) {
        if (!same_non_number(x, reference) && metrics->num_nan++ == 0)
            metrics->first_nan_index = index;
        return;
    }
    double error = fabs(x - reference);
    if (error > metrics->max_abs_error) {
        metrics->max_abs_error = error;
        metrics->worst_index = index;
    }
    metrics->sum_sq_error_ += error * error;
    metrics->sum_sq_x_ += x * x;
    metrics->sum_sq_r_ += reference * reference;
    metrics->dot_ += x * reference;
}

void tw_error_finish(tw_error_metrics *metrics)
{
    double norm_x = sqrt(metrics->sum_sq_x_), norm_r = sqrt(metrics->sum_sq_r_);
    double norm_error = sqrt(metrics->sum_sq_error_);
    metrics->rms_error = metrics->n == 0 ? 0.0 : norm_error / sqrt((double)metrics->n);
    metrics->relative_error = norm_error == 0.0 ? 0.0 : norm_error / norm_r;
    if (norm_x == 0.0 && norm_r == 0.0)
        metrics->cosine = 1.0;
    else if (norm_x == 0.0 || norm_r == 0.0)
        metrics->cosine = 0.0;
    else
        metrics->cosine = metrics->dot_ / norm_x / norm_r;
}

tw_error_metrics tw_error_of(const double *x, const double *reference, size_t n)
{
    tw_error_metrics metrics = {0};
    for (size_t i = 0; i < n; i++)
        tw_error_add(&metrics, i, x[i], reference[i]);
    tw_error_finish(&metrics);
    return metrics;
}

/* Adding 0.3 errs by half the spacing of the format there; taking it off errs no further, because the result is
 * rounded to the spacing of r, of which half the spacing of r + 0.3 is a multiple wherever the two differ. In fp64, where 0.3 has no more bits
 * than the sum, a tie can double that. */
double tw_error_atol(tw_dtype dtype, double max_abs_reference)
{
    static const int fraction_bits[] = {[TW_FP32] = 23, [TW_FP16] = 10, [TW_BF16] = 7, [TW_FP64] = 52};
    if (!isfinite(max_abs_reference) || tw_dtype_bytes(dtype) == 0 || tw_dtype_is_code(dtype))
        return 0.0;
    double half_spacing = ldexp(0.5, ilogb(fabs(max_abs_reference) + 0.3) - fraction_bits[dtype]);
    return (dtype == TW_FP64 ? 4.0 : 2.0) * half_spacing;
}

bool tw_error_acceptable(const tw_error_metrics *metrics, double baseline_max_abs_error, double atol)
{
    return metrics->num_nan == 0 && metrics->max_abs_error <= 2.0 * baseline_max_abs_error + atol;
}
