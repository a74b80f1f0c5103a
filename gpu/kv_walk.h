/**
 * @file kv_walk.h
 * @brief How a block walks over its keys, tile by tile and slice by slice, forwards or backwards: inline, so that a kernel
 *        and a test on the host share it.
 *
 * A tile has block_n keys and is folded in slices, always from its first key on; it is the tiles whose order changes.
 * With 5 slices of keys, 2 slices a tile:
 *
 *     forwards    0 1 | 2 3 | 4 (5)         (5) holds no key: whoever folds it sees nothing
 *     backwards   4 (5) | 2 3 | 0 1
 */
#ifndef TW_GPU_KV_WALK_H
#define TW_GPU_KV_WALK_H

#include "../sim/order.h"

/** The key with which the walk begins. */
TW_ORDER_INLINE int tw_kv_first(int keys, int block_n, int backward)
{
    return backward && keys > 0 ? (keys - 1) / block_n * block_n : 0;
}

/** Is n0 still a place on the walk? */
TW_ORDER_INLINE int tw_kv_more(int n0, int keys, int backward)
{
    return backward ? n0 >= 0 && keys > 0 : n0 < keys;
}

/** From one slice to the next. */
TW_ORDER_INLINE int tw_kv_next_slice(int n0, int slice, int block_n, int backward)
{
    n0 += slice;
    return backward && n0 % block_n == 0 ? n0 - 2 * block_n : n0;
}

/** From one tile's first key to that of the next, which may be outside: see tw_kv_more(). */
TW_ORDER_INLINE int tw_kv_next_tile(int n0, int block_n, int backward)
{
    return backward ? n0 - block_n : n0 + block_n;
}

#endif
