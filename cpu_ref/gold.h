/* The rows of gold.c with the K/V head said apart: for whoever asks what a wrong one would give. Private. */
#ifndef TW_GOLD_H
#define TW_GOLD_H

#include "problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One query row; `head_kv` is tw_problem_kv_head() where things are right. */
typedef struct tw_gold_row {
    int batch, head, head_kv, row;
} tw_gold_row;

/**
 * @brief Scores of a row, after everything that changes or hides them: s[j] for key j, −INFINITY where hidden.
 * @param[out] s       seqlen_k numbers of the row's own sequence
 * @param[in] problem  whole, not a view
 * @param[in] sum      adds up q · k; NULL for double precision
 * @return keys of the row's sequence
 */
int tw_gold_scores(double *s, const tw_problem *problem, const double *q, const double *k, tw_gold_row at,
                   double (*sum)(const double *q, const double *k, int n));

/** tw_attention_gold_row() and tw_attention_rounded_row() of any K/V head. */
void tw_gold_attend(double *o, double *lse, const tw_problem *problem, const double *q, const double *k,
                    const double *v, tw_gold_row at, double *scratch);
void tw_gold_attend_rounded(double *o, const tw_problem *problem, const double *q, const double *k,
                            const double *v, tw_gold_row at, double *scratch);
/** tw_attention_quantized_row() likewise. */
void tw_gold_attend_quantized(double *o, double *lse, const tw_problem *problem, const double *q,
                              const double *k, const double *v, tw_gold_row at, double *scratch);

#ifdef __cplusplus
}
#endif

#endif
