/**
 * @file tiling.h
 * @brief How an algorithm is cut up: tile sizes, the means by which a block does its work, and the order of it all.
 */
#ifndef TW_TILING_H
#define TW_TILING_H

#include "order.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a tile gets on chip. */
typedef enum tw_fetch {
    TW_FETCH_ROWS = 0, /**< ld, cp.async: rows that exist are moved, and only those count */
    TW_FETCH_BOX = 1   /**< TMA: the whole box is filled and counts, rows past the end too */
} tw_fetch;

/** Which unit multiplies. */
typedef enum tw_unit {
    TW_UNIT_FMA = 0,   /**< fp32 fused multiply-add on the CUDA cores */
    TW_UNIT_TENSOR = 1 /**< tensor cores; P is rounded to the input's type for them */
} tw_unit;

/**
 * Longest row of S, in keys, that the softmax pass of standard attention keeps on chip (32 fp32 numbers a thread of a
 * full block). A longer row is read twice. Schedule, closed form and kernels share this limit.
 */
#define TW_SOFTMAX_ROW_KEYS 32768

/** Tile sizes in rows; they need not divide the sequence. And in which order tiles are worked on, which changes no count. */
typedef struct tw_tiling {
    int block_m;          /**< query rows of a tile: Br in the FlashAttention papers */
    int block_n;          /**< key rows of a tile: Bc */
    tw_fetch fetch;       /**< how tiles get on chip */
    tw_unit unit;         /**< what multiplies them */
    tw_order order;       /**< of the blocks */
    tw_kv_order kv_order; /**< of K and V within a block */
} tw_tiling;

/** Tiles of a kernel for one head_dim that does better with others than the rest. */
typedef struct tw_tile_exception {
    int head_dim; /**< 0: there is none */
    int block_m;  /**< as in tw_tiling */
    int block_n;  /**< likewise */
} tw_tile_exception;

/** So many head_dims may have tiles of their own. */
#define TW_TILE_EXCEPTIONS 4

/** A tiling with the tiles that a list of exceptions has for a head_dim; otherwise as it is. NULL is an empty list. */
static inline tw_tiling tw_tiling_for(tw_tiling tiling, const tw_tile_exception *exceptions, int head_dim)
{
    for (int i = 0; exceptions && i < TW_TILE_EXCEPTIONS && exceptions[i].head_dim != 0; i++) {
        if (exceptions[i].head_dim == head_dim) {
            tiling.block_m = exceptions[i].block_m;
            tiling.block_n = exceptions[i].block_n;
        }
    }
    return tiling;
}

#ifdef __cplusplus
}
#endif

#endif
