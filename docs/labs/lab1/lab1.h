/*
 * Lab 1: safe and online softmax. You write the six functions below, in softmax.c.
 *
 * A masked score is -INFINITY. All sums start at 0 and all maxima at -INFINITY. n, d and block are at least 1. What is
 * const is an input and stays as it is. Results are right if they are within 1e-9 of the exact ones, relative to
 * max(1, |exact|).
 */
#ifndef LAB1_H
#define LAB1_H

#include <math.h>

/* What is known of a row after some of its scores. The output o[0] … o[d - 1] that belongs to it is kept beside it. */
typedef struct row_state {
    double m; /* the largest score so far */
    double l; /* the sum of e^(score - m) so far */
} row_state;

/* p[j] = e^(s[j]) / (e^(s[0]) + … + e^(s[n - 1])), for scores of any size. All 0 if every score is masked. */
void safe_softmax(double *p, const double *s, int n);

/* The state of a row of which nothing is known yet, and its output. */
void online_start(row_state *state, double *o, int d);

/*
 * One step: the row goes on with n more scores s and their value rows; row j is v[j * d] … v[j * d + d - 1].
 * Afterwards o[c] is the sum of e^(score - m) * value[c] over all scores so far, not divided by l.
 */
void online_step(row_state *state, double *o, const double *s, const double *v, int n, int d);

/* The end of a row: o becomes softmax(scores) * values, lse is ln(sum of e^score). A row that saw nothing: 0, -INFINITY. */
void online_finish(const row_state *state, double *o, double *lse, int d);

/* Two parts of one row, each of which has seen other scores: a and o_a become the state of both together. */
void online_merge(row_state *a, double *o_a, const row_state *b, const double *o_b, int d);

/*
 * Attention of one query row q[0] … q[d - 1] with n keys and values, taken `block` at a time: score j is
 * scale * (q . k[j]). The last piece may be shorter; block is at most 64. Uses the functions above.
 */
void attention_row(double *o, double *lse, const double *q, const double *k, const double *v, int n, int d,
                   double scale, int block);

#endif
