/**
 * @file pages.h
 * @brief K and V in pages: how contiguous rows get into them, and out of them again.
 */
#ifndef TW_PAGES_H
#define TW_PAGES_H

#include "problem.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief A table of the pages 0 … batch · width − 1 in a shuffled order, width = ⌈seqlen_k / page_size⌉.
 * @param[out] table  batch · width numbers
 */
void tw_page_table_shuffled(int *table, int batch, int width, uint64_t seed);

/**
 * @brief Rows of K or V as they are without pages, one sequence behind the other, go into their pages.
 * @param[out] paged       tw_problem_k_elements() or tw_problem_v_elements(); what no key is in stays as it is
 * @param[in]  contiguous  of the same problem without pages
 * @param[in]  columns     head_dim, or of V head_dim_v
 */
void tw_pages_scatter(double *paged, const double *contiguous, const tw_problem *problem, int columns);

/** And come back. */
void tw_pages_gather(double *contiguous, const double *paged, const tw_problem *problem, int columns);

#ifdef __cplusplus
}
#endif

#endif
