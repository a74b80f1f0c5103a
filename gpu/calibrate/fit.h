/**
 * @file fit.h
 * @brief From curves to numbers. Plain C on plain arrays.
 */
#ifndef TW_CALIBRATE_FIT_H
#define TW_CALIBRATE_FIT_H

#ifdef __cplusplus
extern "C" {
#endif

/** y = at_0 + slope · x, and how far the points lie from it. */
typedef struct tw_line {
    double at_0, slope;
    double
        spread; /**< largest distance of a point, over the mean of |y|; NaN with fewer than two different x */
} tw_line;

/** Least squares; NaN in all three where two different x are missing or a value is NaN. */
tw_line tw_fit_line(const double *x, const double *y, int n);

/** y = factor · x^exponent for the points with x >= from_x; a line through the logarithms. */
typedef struct tw_power {
    double factor, exponent, spread; /**< as of tw_line, of y itself */
    int points;
} tw_power;
tw_power tw_fit_power(const double *x, const double *y, int n, double from_x);

/** A capacity found from misses. */
typedef struct tw_capacity {
    double bytes, spread; /**< median, and (largest - smallest) / median of the points used */
    int points;           /**< 0: none could be used, and bytes is NaN */
} tw_capacity;

/**
 * @brief What a cache must hold if a share 1 − bytes / working_set of the accesses misses.
 *
 * That holds for a set walked to and fro under LRU (the last bytes hit) and for random tiles of it under any policy.
 * Points with a share between 0.05 and 0.95 are used: at the ends the share says nothing.
 */
tw_capacity tw_fit_capacity(const double *working_set, const double *missed, int n);

/**
 * @brief Where a curve of misses, sorted by working set, crosses a share, linearly between its points.
 * @return NaN if it does not
 */
double tw_crossing(const double *working_set, const double *missed, int n, double share);

/** Straight between the two points around x; NaN outside of them. x is sorted. */
double tw_interpolate(const double *x, const double *y, int n, double at);

/**
 * Share of misses when W = ratio · capacity is read in one direction again and again and a random line gives way:
 * m = 1 − e^(−m · ratio). 0 for a ratio up to 1. (Under LRU it is 1 for every ratio above 1.)
 */
double tw_random_replacement_misses(double ratio);

#ifdef __cplusplus
}
#endif

#endif
