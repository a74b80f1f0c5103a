/* The 4 x 2 example of README.md and docs/howto/debugger.md, by hand: what every view of its walk must print. */
#ifndef TW_TESTS_STEP_EXAMPLE_H
#define TW_TESTS_STEP_EXAMPLE_H

#include <math.h>
#include <stdio.h>

/* Scores of the 4 x 2 example, multiplied out by hand, and V. */
static const double S[4][4] = {{1, 0, 1, 0}, {0, 1, 1, 2}, {1, 1, 2, 2}, {2, -1, 1, -2}};
static const double V[4][2] = {{1, 0}, {0, 1}, {2, 0}, {0, 2}};

/* The line of one row after its first `keys` keys, as every view prints it. */
static void row_by_hand(char *line, size_t size, int row, int keys)
{
    double m = -INFINITY, l = 0, o[2] = {0, 0};
    for (int j = 0; j < keys; j++)
        m = fmax(m, S[row][j]);
    for (int j = 0; j < keys; j++) {
        l += exp(S[row][j] - m);
        o[0] += exp(S[row][j] - m) * V[j][0];
        o[1] += exp(S[row][j] - m) * V[j][1];
    }
    snprintf(line, size, "row %d: m %.6g, l %.6g, O %.6g %.6g, still to be divided by l\n", row, m, l, o[0],
             o[1]);
}

/* Steps of flash2 in the example: which rows meet how many keys in all. */
static const struct {
    int row0, keys;
} steps[] = {{0, 2}, {0, 4}, {2, 2}, {2, 4}};
enum { NUM_STEPS = sizeof steps / sizeof steps[0] };

#endif
