/**
 * @file masks.h
 * @brief Which keys a query row sees, asked key by key, row by row and tile by tile.
 *
 * A mask is what is left when every part of it that is switched on has hidden something. Rows stand at key positions:
 * query row i at i + seqlen_k − seqlen_q, as causal has it (problem.h).
 *
 * @verbatim
 *    causal            window 2,0        and sinks 1       prefix 2          documents 3,3     blocks of 2
 *    x . . . . .       x . . . . .       x . . . . .       x x . . . .       x . . . . .       x x . . . .
 *    x x . . . .       x x . . . .       x x . . . .       x x . . . .       x x . . . .       x x . . . .
 *    x x x . . .       x x x . . .       x x x . . .       x x x . . .       x x x . . .       . . x x x x
 *    x x x x . .       . x x x . .       x x x x . .       x x x x . .       . . . x . .       . . x x x x
 *    x x x x x .       . . x x x .       x . x x x .       x x x x x .       . . . x x .       x x . . x x
 *    x x x x x x       . . . x x x       x . . x x x       x x x x x x       . . . x x x       x x . . x x
 * @endverbatim
 *
 * Buckets, which hashes of queries and keys give, hide a key from rows of other buckets.
 *
 * The first five are runs of keys, at most two a row, whose ends never go back from one row to the next: every
 * question about a tile has a quick answer. A block mask and a callback are asked pair by pair, or once, for a
 * tile_map.h.
 * @see Dong et al. 2024, FlexAttention, arXiv:2412.05496, for callbacks and the three kinds of tile
 */
#ifndef TW_MASKS_H
#define TW_MASKS_H

#include "status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tw_problem;

/** A callback: does query row `row` of this head see key `key`? Called from several threads at once. */
typedef bool (*tw_mask_callback)(void *user, int batch, int head, int row, int key);

/** Everything that hides keys, besides causal; all zero hides nothing. Nothing that it points to is owned. */
typedef struct tw_masks {
    bool window;      /**< the next two are meant: from position x, keys x − left … x + right */
    int window_left;  /**< −1 is unlimited */
    int window_right; /**< likewise; causal makes it 0 */
    int prefix;       /**< the first so many keys are seen by every row, whatever causal or window say */
    int sinks;        /**< the first so many keys do not leave the window on its left side */
    /** Several documents one behind the other: document n is the keys documents[n] … documents[n + 1] − 1. A row
     *  sees keys of the document of its own position; prefix and sinks are the first keys of each. */
    const int *documents;
    int num_documents; /**< documents[] has one number more: it begins with 0 and ends with seqlen_k */
    /** [heads, if per head][⌈seqlen_q / block_rows⌉][⌈seqlen_k / block_keys⌉]; 0 hides a block */
    const unsigned char *blocks;
    int block_rows;       /**< query rows of a block */
    int block_keys;       /**< keys of a block */
    bool blocks_per_head; /**< without, one block mask serves all heads */
    /** The bucket of each query row, and of each key: a row sees keys of its own bucket; −1: it is dropped, and sees
     *  or is seen by nobody. Of every batch element and head. Both or neither. */
    const int *buckets_q;
    const int *buckets_k; /**< likewise */
    const int *sorted_q;  /**< rows by bucket, dropped ones last, for algorithms that sort; may be NULL */
    const int *sorted_k;  /**< keys likewise */
    tw_mask_callback mod; /**< NULL: none */
    void *mod_user;       /**< handed to it */
    bool mod_per_batch;   /**< mod looks at the batch element: without, one answer serves all */
    bool mod_per_head;    /**< likewise at the query head */
} tw_masks;

/** What a mask leaves of a tile of scores. */
typedef enum tw_tile_kind {
    TW_TILE_EMPTY,   /**< nothing: it need not be computed */
    TW_TILE_PARTIAL, /**< something: hidden scores become −inf */
    TW_TILE_FULL     /**< everything: no mask is needed */
} tw_tile_kind;

/** Two runs of keys, [begin, end) each, ascending; the first is empty unless prefix or sinks stand apart. */
typedef struct tw_spans {
    int begin[2]; /**< first key */
    int end[2];   /**< one past the last */
} tw_spans;

/**
 * @brief Every number of a mask has a meaning for this problem.
 * @return TW_OK; TW_EINVAL, with the part that is wrong
 */
TW_MUST_CHECK tw_status tw_mask_check(const struct tw_problem *problem);

/** Does anything, causal included, hide any pair? */
bool tw_mask_is_on(const struct tw_problem *problem);

/** Is there a block mask or a callback, so that tiles must be listed before they can be walked? */
bool tw_mask_is_listed(const struct tw_problem *problem);

/** Do two query heads see different keys? */
bool tw_mask_differs_by_head(const struct tw_problem *problem);
/** Do two batch elements? */
bool tw_mask_differs_by_batch(const struct tw_problem *problem);

/** Keys that a row sees as far as runs go: a block mask or a callback may hide some of them. */
tw_spans tw_mask_spans(const struct tw_problem *problem, int row);

/** Does a query row see a key? */
bool tw_mask_visible(const struct tw_problem *problem, int batch, int head, int row, int key);

/** What is left of rows [row0, row1) × keys [key0, key1); a tile without rows or keys is full. */
tw_tile_kind tw_mask_tile(const struct tw_problem *problem, int batch, int head, int64_t row0, int64_t row1,
                          int64_t key0, int64_t key1);

/**
 * @brief Pairs (row, key) that are left of a tile.
 *
 * Closed form for causal and window; O(rows) with prefix, sinks or documents; O(blocks) with a block mask; O(rows ·
 * keys) with a callback.
 */
int64_t tw_mask_pairs(const struct tw_problem *problem, int batch, int head, int64_t row0, int64_t row1,
                      int64_t key0, int64_t key1);

/** @name Jumps, for walks over tiles: as far as runs of keys go, without block mask and callback
 * @{ */
/** A key from `key` on before which none is seen by any of the rows; seqlen_k if none is. */
int64_t tw_mask_next_key(const struct tw_problem *problem, int64_t row0, int64_t row1, int64_t key);
/** The end of the keys from `key` on that all of the rows see; `key` if there are none. */
int64_t tw_mask_keys_end(const struct tw_problem *problem, int64_t row0, int64_t row1, int64_t key);
/** A row from `row` on before which none sees any of the keys; seqlen_q if none does. */
int64_t tw_mask_next_row(const struct tw_problem *problem, int64_t key0, int64_t key1, int64_t row);
/** The end of the rows from `row` on that see all of the keys; `row` if there are none. */
int64_t tw_mask_rows_end(const struct tw_problem *problem, int64_t key0, int64_t key1, int64_t row);
/** @} */

#ifdef __cplusplus
}
#endif

#endif
