/**
 * @file dropout.h
 * @brief Which pairs dropout drops: a function of (seed, batch, head, row, column) and of nothing else.
 *
 * After the softmax each probability is dropped with probability p, and those kept are scaled by 1 / (1 − p):
 *
 *     Z = 0 with probability p, else 1 / (1 − p)        O = (P ∘ Z) V        LSE as without dropout
 *
 * The random numbers are those of tw_philox_dropout_words(), so neither tiles nor the order of work matter, and the
 * backward pass makes the same Z again instead of reading it.
 * @see Srivastava et al. 2014, "Dropout"; Dao et al. 2022, arXiv:2205.14135, Algorithms 2 and 4
 */
#ifndef TW_DROPOUT_H
#define TW_DROPOUT_H

#include "status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How much is dropped, and by which random numbers; all 0 is no dropout. */
typedef struct tw_dropout {
    double probability; /**< 0 <= p < 1 */
    uint64_t seed;      /**< of the random numbers */
} tw_dropout;

/** Is there any dropout? */
bool tw_dropout_is_on(const tw_dropout *dropout);

/** 1 / (1 − p), what the kept ones are multiplied by. */
double tw_dropout_scale(const tw_dropout *dropout);

/**
 * @brief Z of a piece of a row: 0 where dropped, 1 / (1 − p) where kept; all 1 without dropout.
 * @param[out] z        n numbers, for columns first_column … first_column + n − 1
 * @param[in]  dropout  how much is dropped
 * @param[in]  batch, head, row  which row of P; head is a query head
 * @param[in]  first_column, n   which piece of it
 */
void tw_dropout_row(double *z, const tw_dropout *dropout, int batch, int head, int row, int first_column,
                    int n);

/** x[j] times Z of column first_column + j: P becomes P ∘ Z. Nothing without dropout. */
void tw_dropout_apply(double *x, const tw_dropout *dropout, int batch, int head, int row, int first_column,
                      int n);

/** tw_dropout_row() in fp32. */
void tw_dropout_row_float(float *z, const tw_dropout *dropout, int batch, int head, int row, int first_column,
                          int n);

/** TW_OK; TW_EINVAL (p is not in [0, 1)). */
TW_MUST_CHECK tw_status tw_dropout_check(const tw_dropout *dropout);

#ifdef __cplusplus
}
#endif

#endif
