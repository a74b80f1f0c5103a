/**
 * @file order.h
 * @brief In which order the blocks of a launch run, and in which order each of them walks over K and V.
 *
 * Neither changes what is computed or what enters the SMs; both decide what is still in the L2 when it is wanted
 * again. The emitter, the cache's replay and the GPU kernels share this header, so that one name means one order.
 *
 * For two heads of four query tiles, tile numbers in the order in which blocks start:
 *
 * @verbatim
 *                   head 0      head 1
 *    linear         0 1 2 3     0 1 2 3
 *    reversed       3 2 1 0     3 2 1 0
 *    snake          0 1 2 3     3 2 1 0
 *    head_major     0 of head 0, 0 of head 1, 1 of head 0, 1 of head 1, …
 *    longest_first  under a causal mask 3 of head 0, 3 of head 1, 2 of head 0, …; without a mask linear
 * @endverbatim
 *
 * All of them take one batch element after the other.
 */
#ifndef TW_ORDER_H
#define TW_ORDER_H

#include <stdint.h>

/** @cond */
#ifdef __CUDACC__
#define TW_ORDER_INLINE static __host__ __device__ inline
#else
#define TW_ORDER_INLINE static inline
#endif
/** @endcond */

/** Which block is the next. */
typedef enum tw_order {
    TW_ORDER_OWN = 0,       /**< as the schedule's launch or the kernel does by itself */
    TW_ORDER_LINEAR,        /**< tiles fastest, ascending; then heads */
    TW_ORDER_REVERSED,      /**< the same, tiles descending */
    TW_ORDER_LONGEST_FIRST, /**< under a causal mask heads fastest, tiles descending; otherwise linear */
    TW_ORDER_HEAD_MAJOR,    /**< heads fastest; then tiles, ascending */
    TW_ORDER_SNAKE,         /**< tiles fastest, ascending in heads 0, 2, …, descending in 1, 3, … */
    TW_NUM_ORDERS
} tw_order;

/** The order's names, as --order takes them and CSV files give them; OWN is "own". */
#define TW_ORDER_CHOICES "own|linear|reversed|longest_first|head_major|snake"

/** In which direction a block walks over K and V. */
typedef enum tw_kv_order {
    TW_KV_FORWARD = 0, /**< first key tile first */
    TW_KV_BACKWARD,    /**< last key tile first */
    TW_KV_ALTERNATING, /**< sawtooth: query tiles 0, 2, … forward, 1, 3, … backward */
    TW_NUM_KV_ORDERS
} tw_kv_order;

/** The names of directions, as --kv-order takes them. */
#define TW_KV_ORDER_CHOICES "forward|backward|alternating"

/** Names by tw_order: "own", "linear", … */
#define TW_ORDER_NAMES                                                                                       \
    {                                                                                                        \
        "own", "linear", "reversed", "longest_first", "head_major", "snake"                                  \
    }
/** Names by tw_kv_order: "forward", … */
#define TW_KV_ORDER_NAMES                                                                                    \
    {                                                                                                        \
        "forward", "backward", "alternating"                                                                 \
    }

/** A block's place in the grid of one batch element. */
typedef struct tw_grid_place {
    int64_t tile; /**< of the grid's first axis */
    int64_t head; /**< query head */
} tw_grid_place;

/**
 * The n-th block, of tiles · heads in all. TW_ORDER_OWN is taken as linear; who has an order of their own replaces it
 * before. Every n gives another place.
 */
TW_ORDER_INLINE tw_grid_place tw_order_place(tw_order order, int64_t n, int64_t tiles, int64_t heads,
                                             int causal)
{
    int heads_fastest = order == TW_ORDER_HEAD_MAJOR || (order == TW_ORDER_LONGEST_FIRST && causal);
    tw_grid_place place;
    place.tile = heads_fastest ? n / heads : n % tiles;
    place.head = heads_fastest ? n % heads : n / tiles;
    if (order == TW_ORDER_REVERSED || (order == TW_ORDER_LONGEST_FIRST && causal) ||
        (order == TW_ORDER_SNAKE && place.head % 2 == 1))
        place.tile = tiles - 1 - place.tile;
    return place;
}

/** Does the block of this query tile walk from the last key tile to the first? */
TW_ORDER_INLINE int tw_kv_order_is_backward(tw_kv_order order, int64_t tile)
{
    return order == TW_KV_BACKWARD || (order == TW_KV_ALTERNATING && tile % 2 == 1);
}

#endif
