/**
 * @file explain.h
 * @brief Why one is faster than the other: where the time goes, term by term, and what would change it.
 */
#ifndef TW_EXPLAIN_H
#define TW_EXPLAIN_H

#include "contenders.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Prints the comparison of two predictions of one shape.
 *
 * Terms are what the SM with most to do was at, instant by instant; they sum to the times, and their differences to
 * the difference. Then: what would have to change for the slower to win; and from which length on it does.
 * @param[in] a, b  predicted already, of the same shape
 * @return TW_OK; TW_ENOMEM; as tw_predict()
 */
TW_MUST_CHECK tw_status tw_explain(FILE *out, const tw_contender *a, const tw_contender *b,
                                   const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
