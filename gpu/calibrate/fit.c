/* From curves to numbers. */
#include "fit.h"

#include "../../sim/readings.h"

#include <math.h>

enum { MAX_POINTS = 256 };

tw_line tw_fit_line(const double *x, const double *y, int n)
{
    double mean_x = 0, mean_y = 0, size = 0, sxx = 0, sxy = 0, worst = 0;
    for (int i = 0; i < n; i++) {
        mean_x += x[i] / n;
        mean_y += y[i] / n;
        size += fabs(y[i]) / n;
    }
    for (int i = 0; i < n; i++) {
        sxx += (x[i] - mean_x) * (x[i] - mean_x);
        sxy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    if (n < 2 || !(sxx > 0) || !isfinite(sxy))
        return (tw_line){(double)NAN, (double)NAN, (double)NAN};
    tw_line line = {.slope = sxy / sxx};
    line.at_0 = mean_y - line.slope * mean_x;
    for (int i = 0; i < n; i++)
        worst = fmax(worst, fabs(y[i] - line.at_0 - line.slope * x[i]));
    line.spread = worst / size;
    return line;
}

tw_power tw_fit_power(const double *x, const double *y, int n, double from_x)
{
    double log_x[MAX_POINTS] = {0}, log_y[MAX_POINTS] = {0}, worst = 0;
    int used = 0;
    for (int i = 0; i < n && used < MAX_POINTS; i++)
        if (x[i] >= from_x && x[i] > 0 && y[i] > 0) {
            log_x[used] = log(x[i]);
            log_y[used++] = log(y[i]);
        }
    tw_line line = tw_fit_line(log_x, log_y, used);
    for (int i = 0; i < used; i++)
        worst = fmax(worst, fabs(exp(log_y[i] - line.at_0 - line.slope * log_x[i]) - 1.0));
    return (tw_power){exp(line.at_0), line.slope, isnan(line.slope) ? line.slope : worst, used};
}

tw_capacity tw_fit_capacity(const double *working_set, const double *missed, int n)
{
    double bytes[MAX_POINTS] = {0};
    int used = 0;
    for (int i = 0; i < n && used < MAX_POINTS; i++)
        if (missed[i] > 0.05 && missed[i] < 0.95)
            bytes[used++] = working_set[i] * (1.0 - missed[i]);
    double median = tw_median(bytes, used); /* sorts them */
    return (tw_capacity){median, used > 0 ? (bytes[used - 1] - bytes[0]) / median : (double)NAN, used};
}

double tw_crossing(const double *working_set, const double *missed, int n, double share)
{
    for (int i = 1; i < n; i++)
        if (missed[i - 1] < share && missed[i] >= share) {
            double part = (share - missed[i - 1]) / (missed[i] - missed[i - 1]);
            return working_set[i - 1] + part * (working_set[i] - working_set[i - 1]);
        }
    return (double)NAN;
}

double tw_interpolate(const double *x, const double *y, int n, double at)
{
    for (int i = 1; i < n; i++)
        if (x[i - 1] <= at && at <= x[i] && x[i] > x[i - 1])
            return y[i - 1] + (y[i] - y[i - 1]) * (at - x[i - 1]) / (x[i] - x[i - 1]);
    return (double)NAN;
}

double tw_random_replacement_misses(double ratio)
{
    double m = 1.0;
    for (int i = 0; i < 200; i++) /* falls to its fixed point, slowly only near a ratio of 1 */
        m = 1.0 - exp(-m * ratio);
    return ratio > 1.0 ? m : 0.0;
}
