/**
 * @file parse_mask.h
 * @brief Strict reading of what a user typed of a mask: the whole text, or one line that says what is wrong with it.
 *
 * As parse.h: `what` is the option's name, outputs are untouched on error.
 */
#ifndef TW_PARSE_MASK_H
#define TW_PARSE_MASK_H

#include "../cpu_ref/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** `1024,0`: how far a row sees to the left and to the right; −1 is unlimited. */
TW_MUST_CHECK tw_status tw_parse_window(int sides[2], const char *what, const char *text);

/** `128` or `64,128`: rows and keys of a block. */
TW_MUST_CHECK tw_status tw_parse_block_size(int size[2], const char *what, const char *text);

/**
 * @brief `0,100,350`: whole numbers from 0 up, as many as there are.
 * @param[out] values  owned by the caller: free()
 * @return TW_OK; TW_EINVAL, TW_EOVERFLOW (an item is no such number); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_parse_numbers(int **values, int *count, const char *what, const char *text);

/** How the blocks of a block mask are chosen. */
typedef enum tw_block_pattern {
    TW_BLOCKS_FILE,      /**< a .npy file */
    TW_BLOCKS_BUTTERFLY, /**< block (i, j) where i xor j is 0 or a power of two */
    TW_BLOCKS_LOCAL,     /**< |i − j| <= reach, and the first `global` rows and columns of blocks */
    TW_BLOCKS_RANDOM     /**< in each row of blocks a share of them, drawn by the seed */
} tw_block_pattern;

/** A pattern and its numbers. */
typedef struct tw_block_choice {
    tw_block_pattern pattern; /**< the next three are those of local and of random */
    int reach, global;        /**< in blocks */
    double share;             /**< from above 0 to 1 */
} tw_block_choice;

/** `butterfly`, `local:2` or `local:2,1`, `random:0.25`; anything else is a file's name. */
TW_MUST_CHECK tw_status tw_parse_blocks(tw_block_choice *choice, const char *what, const char *text);

#ifdef __cplusplus
}
#endif

#endif
