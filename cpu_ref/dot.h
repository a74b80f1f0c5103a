/* The dot product of the exact references. Private to the reference library. */
#ifndef TW_DOT_H
#define TW_DOT_H

/* Four sums, so that the additions need not wait for each other. */
static inline double tw_dot(const double *x, const double *y, int n)
{
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    int c = 0;
    for (; c + 4 <= n; c += 4) {
        for (int lane = 0; lane < 4; lane++)
            sum[lane] += x[c + lane] * y[c + lane];
    }
    for (; c < n; c++)
        sum[0] += x[c] * y[c];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

#endif
