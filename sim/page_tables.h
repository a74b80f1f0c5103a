/**
 * @file page_tables.h
 * @brief Page tables from files or shuffled, and K and V that go into pages.
 */
#ifndef TW_PAGE_TABLES_H
#define TW_PAGE_TABLES_H

#include "../cpu_ref/problem.h"
#include "tensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief K and V of a problem get pages of page_size keys: page_size, num_pages, table_width and page_table become theirs.
 * @param[out]    table  what page_table points to, owned by the caller: free(); also on error
 * @param[in,out] problem  batch and seqlen_k are known
 * @param[in]     path   a .npy file [batch, pages of a sequence], NULL for pages in an order drawn by the seed
 * @return TW_OK; TW_EFORMAT (a file of another shape, or of pages below 0); as tw_npy_read_integers(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_pages_attach(int **table, tw_problem *problem, int page_size, const char *path,
                                        uint64_t seed);

/**
 * @brief K and V as files have them, one sequence behind the other, go into the pages of a problem.
 * @param[in,out] inputs  k and v are replaced
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_inputs_page(tw_inputs *inputs, const tw_problem *paged);

#ifdef __cplusplus
}
#endif

#endif
