/**
 * @file block_masks.h
 * @brief Block masks: from a file, or of the patterns that papers use.
 */
#ifndef TW_BLOCK_MASKS_H
#define TW_BLOCK_MASKS_H

#include "../cpu_ref/problem.h"
#include "parse_mask.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Reads a block mask of truth values or integers, (rows, keys) or (heads, rows, keys) of blocks.
 * @param[out] blocks    owned by the caller: free(); untouched on error
 * @param[out] per_head  whether it has one for each head
 * @param[in]  problem   whose lengths, heads and mask.block_rows, block_keys say how many blocks there are
 * @return TW_OK; TW_EFORMAT (another shape); as tw_npy_read_integers()
 */
TW_MUST_CHECK tw_status tw_blocks_read(unsigned char **blocks, bool *per_head, const char *path,
                                       const tw_problem *problem);

/**
 * @brief Makes a block mask of a pattern.
 *
 * Butterfly is the flat one of block butterfly factors, strides of 1, 2, 4, …: log2 n + 1 blocks in a row of n. Random
 * has the same number in each row, ⌈share · n⌉, among them the one on the diagonal.
 * @param[out] blocks  as tw_blocks_read(); the same for all heads
 * @return TW_OK; TW_ENOMEM
 * @see Dao et al. 2022, arXiv:2112.00029 (Pixelated Butterfly); Beltagy et al. 2020, arXiv:2004.05150 (local and
 *      global); Zaheer et al. 2020, arXiv:2007.14062 (random)
 */
TW_MUST_CHECK tw_status tw_blocks_make(unsigned char **blocks, const tw_block_choice *choice,
                                       const tw_problem *problem, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
