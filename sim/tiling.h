/**
 * @file tiling.h
 * @brief How an algorithm is cut up: tile sizes, the means by which a block does its work, and the order of it all.
 */
#ifndef TW_TILING_H
#define TW_TILING_H

#include "../cpu_ref/problem.h"
#include "order.h"

#include <stdbool.h>
#include <stdio.h>

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
    int num_splits;       /**< parts of the keys, for algorithms that split them; 0: as fill the SMs */
    double phi;           /**< what stands in place of the running maximum, for algorithms that fix it */
} tw_tiling;

/** Tiles of a kernel for problems of one head_dim that do better with others than the rest. */
typedef struct tw_tile_exception {
    int head_dim;      /**< 0: there is none */
    int block_m;       /**< as in tw_tiling */
    int block_n;       /**< likewise */
    int max_seqlen_k;  /**< for sequences up to this length; 0: for all */
    bool causal_alone; /**< under a causal mask alone */
} tw_tile_exception;

/** So many exceptions may a kernel have. */
#define TW_TILE_EXCEPTIONS 4

/** A tiling with the tiles of the first exception that a problem falls under; otherwise as it is. NULL: there is none. */
static inline tw_tiling tw_tiling_for(tw_tiling tiling, const tw_tile_exception *exceptions,
                                      const tw_problem *p)
{
    for (int i = 0; exceptions && i < TW_TILE_EXCEPTIONS && exceptions[i].head_dim != 0; i++) {
        const tw_tile_exception *x = &exceptions[i];
        if (x->head_dim == p->head_dim && (x->max_seqlen_k == 0 || p->seqlen_k <= x->max_seqlen_k) &&
            (!x->causal_alone || p->causal)) {
            tiling.block_m = x->block_m;
            tiling.block_n = x->block_n;
            break;
        }
    }
    return tiling;
}

/** Room for tw_exception_name(). */
#define TW_EXCEPTION_NAME 64

/** What problems an exception is for, in words: "head_dim 64, causal, up to 1024 keys". */
static inline void tw_exception_name(char name[TW_EXCEPTION_NAME], const tw_tile_exception *x)
{
    int at = snprintf(name, TW_EXCEPTION_NAME, "head_dim %d%s", x->head_dim,
                      x->causal_alone ? ", causal" : "");
    if (x->max_seqlen_k != 0)
        snprintf(name + at, (size_t)(TW_EXCEPTION_NAME - at), ", up to %d keys", x->max_seqlen_k);
}

#ifdef __cplusplus
}
#endif

#endif
