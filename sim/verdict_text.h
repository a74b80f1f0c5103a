/**
 * @file verdict_text.h
 * @brief A verdict in words, for `check` and `run`.
 */
#ifndef TW_VERDICT_TEXT_H
#define TW_VERDICT_TEXT_H

#include "verify.h"
#include "verify_gradients.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Prints errors, where they are worst, and what was allowed; a line each. */
void tw_verdict_print(FILE *out, const tw_verdict *verdict, const tw_claim *claim);

/** The same of gradients, of which those that were not claimed are passed over. */
void tw_gradients_print(FILE *out, const tw_gradients_verdict *verdict, const tw_gradient_claim *claim);

/** Prints where an element of a gradient is: "batch 0, head 3, row 17, column 2", heads and rows being its own. */
void tw_gradient_place_print(FILE *out, const tw_problem *problem, int gradient, size_t index);

/** Prints where an element of O is: "batch 0, head 3, row 17, column 2". */
void tw_place_print(FILE *out, const tw_problem *problem, size_t index);

/** Prints the shape in a line: "fp16, batch 1, 16 heads on 4, 300 x 300, head_dim 64, causal, scale 0.125". */
void tw_problem_print(FILE *out, const tw_problem *problem);

#ifdef __cplusplus
}
#endif

#endif
