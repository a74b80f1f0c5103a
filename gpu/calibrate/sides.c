/* Which SMs and which pages belong together: the dominant pattern of signs in a table of latencies. */
#include "sides.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ENOUGH_EXPLAINED =
    0.5; /* two sides explain 0.9 and more of a table, one side's noise 0.1 */

/* Takes from each latency what its row and its column have in common. */
static void center(double *x, const float *latency, int rows, int columns)
{
    for (int r = 0; r < rows; r++) {
        double mean = 0;
        for (int k = 0; k < columns; k++)
            mean += (double)latency[r * columns + k] / columns;
        for (int k = 0; k < columns; k++)
            x[r * columns + k] = (double)latency[r * columns + k] - mean;
    }
    for (int k = 0; k < columns; k++) {
        double mean = 0;
        for (int r = 0; r < rows; r++)
            mean += x[r * columns + k] / rows;
        for (int r = 0; r < rows; r++)
            x[r * columns + k] -= mean;
    }
}

static void normalise(double *v, int n)
{
    double length = 0;
    for (int i = 0; i < n; i++)
        length += v[i] * v[i];
    length = sqrt(length);
    for (int i = 0; i < n; i++)
        v[i] = length > 0 ? v[i] / length : 0;
}

/* The direction of rows (u) and of columns (v) along which the table varies most. */
static void dominant(double *u, double *v, const double *x, int rows, int columns)
{
    for (int k = 0; k < columns; k++)
        v[k] = x[k]; /* begin with the first row */
    for (int round = 0; round < 30; round++) {
        normalise(v, columns);
        for (int r = 0; r < rows; r++) {
            u[r] = 0;
            for (int k = 0; k < columns; k++)
                u[r] += x[r * columns + k] * v[k];
        }
        normalise(u, rows);
        for (int k = 0; k < columns; k++) {
            v[k] = 0;
            for (int r = 0; r < rows; r++)
                v[k] += x[r * columns + k] * u[r];
        }
    }
}

/* Share of the table's squares that the pattern of signs accounts for, and the step between its two values. */
static void measure_pattern(tw_cal_sides *s, const double *u, const double *v, const double *x, int rows,
                            int columns)
{
    double along = 0, squares = 0;
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < columns; k++) {
            double value = x[r * columns + k];
            along += (u[r] > 0) == (v[k] > 0) ? value : -value;
            squares += value * value;
        }
    double cells = (double)rows * columns, amplitude = along / cells;
    s->explained = squares > 0 ? amplitude * amplitude * cells / squares : 0;
    s->gap_cycles = 2.0 * amplitude;
}

static void number_sms(tw_cal_sides *s, const int *smid, const double *u, int rows)
{
    for (int r = 0; r < rows; r++) {
        int side = s->sides == 2 && (u[r] > 0) != (u[0] > 0);
        if (s->count[side] == 0)
            s->smid_of[side] = smid[r];
        s->side_of[smid[r]] = (unsigned char)side;
        s->rank_of[smid[r]] = s->count[side]++;
    }
}

static tw_status check_table(const int *smid, const float *latency, int rows, int columns)
{
    if (rows < 2 || columns < 8)
        return tw_fail(TW_EINVAL, "%d SMs and %d pages were timed, at least 2 and 8 must be", rows, columns);
    for (int r = 0; r < rows; r++)
        if (smid[r] < 0 || smid[r] >= TW_CAL_MAX_SMS)
            return tw_fail(TW_EINVAL, "an SM has the number %d, it must be from 0 to %d", smid[r],
                           TW_CAL_MAX_SMS - 1);
    for (int i = 0; i < rows * columns; i++)
        if (!(latency[i] > 0) || !isfinite(latency[i]))
            return tw_fail(TW_EINVAL, "a latency is %g cycles, it must be positive", (double)latency[i]);
    return TW_OK;
}

tw_status tw_cal_find_sides(tw_cal_sides *sides, const int *smid, const float *latency, int rows, int columns)
{
    TW_TRY(check_table(smid, latency, rows, columns));
    double *x = malloc(((size_t)rows * (size_t)columns + (size_t)rows + (size_t)columns) * sizeof *x);
    if (!x)
        return tw_fail(TW_ENOMEM, "no memory for latencies of %d SMs", rows);
    double *u = x + (size_t)rows * (size_t)columns, *v = u + rows;
    tw_cal_sides s;
    memset(&s, 0, sizeof s);
    center(x, latency, rows, columns);
    dominant(u, v, x, rows, columns);
    measure_pattern(&s, u, v, x, rows, columns);
    s.sides = s.explained > ENOUGH_EXPLAINED ? 2 : 1;
    if (s.sides == 1)
        s.gap_cycles = 0;
    number_sms(&s, smid, u, rows);
    free(x);
    *sides = s;
    return TW_OK;
}

double tw_cal_find_homes(unsigned char *home, const float *latency, int n, double gap_cycles)
{
    int guesses = 0;
    for (int i = 0; i < n; i++) {
        double difference = (double)latency[n + i] - (double)latency[i]; /* side 1's minus side 0's */
        home[i] = difference < 0;
        guesses += fabs(difference) < 0.5 * gap_cycles;
    }
    return n > 0 ? (double)guesses / n : 0;
}

int64_t tw_cal_home_run_bytes(const unsigned char *home, int n, int64_t unit_bytes)
{
    int64_t run = 0;
    unsigned char before = n > 0 ? home[0] : 0;
    for (int i = 1; i + 1 < n; i++) {
        if (home[i] == before || home[i + 1] == before) /* no change, or a single misreading */
            continue;
        int64_t at = i * unit_bytes, largest_power = at & -at;
        run = run == 0 || largest_power < run ? largest_power : run;
        before = home[i];
    }
    return run;
}
