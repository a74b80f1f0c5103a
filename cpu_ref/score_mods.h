/**
 * @file score_mods.h
 * @brief What becomes of a score between Q Kᵀ and the softmax: soft cap, ALiBi, a bias, a callback; and sink logits.
 *
 * In this order, each only if it is on, s = softmax_scale · q · k being the score of query position x and key j:
 *
 *     s = softcap · tanh(s / softcap)
 *     s = s − slope[head] · |x − j|             x = row + seqlen_k − seqlen_q
 *     s = s + bias[batch, head, row, key]
 *     s = mod(s, batch, head, row, key)
 *
 * and then the mask. A sink logit takes part in the sum under the softmax and in LSE as one more key would, whose
 * value row is 0: a row that sees no key has LSE = sink logit then.
 * @see Press et al. 2021, arXiv:2108.12409 (ALiBi); Gemma Team 2024, arXiv:2408.00118 (soft cap); Dong et al. 2024,
 *      arXiv:2412.05496 (score_mod); Xiao et al. 2023, arXiv:2309.17453 (attention sinks)
 */
#ifndef TW_SCORE_MODS_H
#define TW_SCORE_MODS_H

#include "status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tw_problem;

/** A callback: the score that takes the place of `score`. Called from several threads at once. */
typedef double (*tw_score_callback)(void *user, double score, int batch, int head, int row, int key);

/** All zero leaves scores as they are. Nothing that it points to is owned. */
typedef struct tw_score_mods {
    double softcap;             /**< 0 is none */
    bool alibi;                 /**< with the paper's slopes, unless the next says otherwise */
    const double *alibi_slopes; /**< num_heads numbers, or NULL */
    const double *bias;    /**< [batch, if per batch][num_heads, if per head][seqlen_q][seqlen_k], or NULL */
    bool bias_per_batch;   /**< without, one bias serves all batch elements */
    bool bias_per_head;    /**< without, one bias serves all heads */
    tw_score_callback mod; /**< NULL: none */
    void *mod_user;        /**< handed to it */
    int mod_flops;         /**< operations of one call, as they are to be counted */
    const double *sink_logits; /**< num_heads numbers, or NULL */
} tw_score_mods;

/** TW_OK; TW_EINVAL (a number that is not finite, a soft cap below 0, a bias beside packed sequences). */
TW_MUST_CHECK tw_status tw_score_mods_check(const struct tw_problem *problem);

/** Does anything change scores? Sink logits do not. */
bool tw_score_mods_are_on(const struct tw_problem *problem);

/** The score that stands in the place of `score`; rows and heads as tw_problem_query_row() takes them. */
double tw_score_modified(const struct tw_problem *problem, double score, int batch, int head, int row,
                         int key);

/** The same with the bias at hand: *bias is added, nothing if it is NULL, whatever the problem points to. */
double tw_score_modified_with(const struct tw_problem *problem, double score, const double *bias, int batch,
                              int head, int row, int key);

/** The slope of a query head: 2^(−8 (h + 1) / n) of n heads; for an n that is no power of two as in the paper. */
double tw_alibi_slope(int head, int num_heads);

/** Index of a row of the bias. */
int64_t tw_bias_row(const struct tw_problem *problem, int batch, int head, int row);

/** The sink logit of a row's query head; −INFINITY without. */
double tw_sink_logit(const struct tw_problem *problem, int head, int row);

/** Floating-point operations a score: soft cap 3 (one of them tanh), ALiBi 3, bias 1, callback as it says. */
int tw_score_mods_flops(const struct tw_problem *problem);

#ifdef __cplusplus
}
#endif

#endif
