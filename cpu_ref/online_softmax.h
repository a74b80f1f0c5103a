/**
 * @file online_softmax.h
 * @brief The online-softmax recurrence, one step per function: where a debugger stops.
 *
 * For a row of scores that arrives in pieces S⁽¹⁾, S⁽²⁾, … the state (m, l, O) is
 *
 *     m' = max(m, rowmax S)        l' = e^(m − m') l + rowsum e^(S − m')
 *     O' = e^(m − m') O + e^(S − m') V         at the end O / l and LSE = m + ln l
 *
 * and starts at m = −INFINITY, l = 0, O = 0. Every step is guarded: while m' is still −INFINITY (only
 * masked scores so far) exponents are 0, never e^(−inf + inf) = NaN.
 * @see Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135
 */
#ifndef TW_ONLINE_SOFTMAX_H
#define TW_ONLINE_SOFTMAX_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** m' = max(m, s[0], …, s[n−1]). */
double tw_online_max(double m, const double *s, int n);

/** The factor e^(m − m_new) that the sums so far are scaled by; 0 when m_new is −INFINITY. */
double tw_online_rescale_factor(double m, double m_new);

/** p[j] = e^(s[j] − m_new); 0 for masked scores (−INFINITY). p may be s. */
void tw_online_exp(double *p, const double *s, double m_new, int n);

/** l' = alpha · l + p[0] + … + p[n−1]. */
double tw_online_sum(double l, double alpha, const double *p, int n);

/** o[c] *= alpha, c = 0 … head_dim − 1. */
void tw_online_rescale(double *o, double alpha, int head_dim);

/** o[c] += Σ_j p[j] · v[j · stride + c]. */
void tw_online_accumulate(double *o, const double *p, const double *v, int n, int head_dim, int stride);

/** o[c] /= l; 0 where l is 0 (a fully masked row). */
void tw_online_normalize(double *o, double l, int head_dim);

/** LSE = m + ln l; −INFINITY where l is 0. */
double tw_online_lse(double m, double l);

/**
 * @brief Folds the state of one part of the keys into that of another: (m, l, o) ⊕ (m_b, l_b, o_b).
 *
 * Unnormalised states; associative and commutative up to rounding. Either may be empty (m = −INFINITY).
 */
void tw_online_merge(double *m, double *l, double *o, double m_b, double l_b, const double *o_b,
                     int head_dim);

/** Are all scores that are seen (not −INFINITY) within phi + range[0] … phi + range[1]? */
bool tw_fixed_max_holds(const double *s, double phi, const double range[2], int n);

#ifdef __cplusplus
}
#endif

#endif
