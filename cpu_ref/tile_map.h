/**
 * @file tile_map.h
 * @brief The tiles of a mask, asked once and written down: empty, partial or full, and how many pairs each keeps.
 *
 * A block mask or a callback cannot say where the next tile is that anybody sees. So the mask is evaluated once for
 * a choice of tile sizes, as FlexAttention's block mask is, and what a kernel then reads is a list: for each row of
 * tiles the numbers of its partial and of its full tiles, and their indices, 4 bytes each.
 * @see Dong et al. 2024, arXiv:2412.05496
 */
#ifndef TW_TILE_MAP_H
#define TW_TILE_MAP_H

#include "problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Tiles of the score matrices of one sequence; matrices that are alike are there once. */
typedef struct tw_tile_map {
    int block_m;         /**< query rows of a tile */
    int block_n;         /**< keys of a tile */
    int64_t rows;        /**< tiles of query rows */
    int64_t cols;        /**< tiles of keys */
    int matrices;        /**< num_heads where heads differ, else 1 */
    unsigned char *kind; /**< [matrices][rows][cols] of tw_tile_kind; owned */
    int64_t *pairs;      /**< likewise: pairs that the tile keeps; owned */
} tw_tile_map;

/** What a map adds up to, over all of its matrices. */
typedef struct tw_tile_census {
    int64_t empty;      /**< tiles of which nothing is left */
    int64_t partial;    /**< tiles of which something is left */
    int64_t full;       /**< tiles of which everything is left */
    int64_t pairs;      /**< that are left */
    int64_t list_bytes; /**< of the lists by rows of tiles: two numbers a row and an index a tile */
} tw_tile_census;

/**
 * @brief Evaluates the mask of one sequence, tile by tile. Time as tw_mask_pairs() over all tiles.
 * @param[out] map      untouched on error; tw_tile_map_free() it
 * @param[in]  problem  a view of one sequence, packed or not
 * @param[in]  batch    its batch element in the whole problem
 * @param[in]  block_m, block_n  query rows and keys of a tile
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_tile_map_build(tw_tile_map *map, const tw_problem *problem, int batch, int block_m,
                                          int block_n);

/** Frees what it owns and clears it. */
void tw_tile_map_free(tw_tile_map *map);

/** What the mask leaves of a tile; `head` is a query head, and the tile is the row-th of rows, col-th of keys. */
tw_tile_kind tw_tile_map_kind(const tw_tile_map *map, int head, int64_t row, int64_t col);
/** Pairs that are left of it. */
int64_t tw_tile_map_pairs(const tw_tile_map *map, int head, int64_t row, int64_t col);

/** Tiles of a row (or, with `down`, of a column) of tiles that are not empty. */
int64_t tw_tile_map_visited(const tw_tile_map *map, int head, int64_t index, bool down);

/** Sums over all matrices of the map. */
tw_tile_census tw_tile_map_census(const tw_tile_map *map);

#ifdef __cplusplus
}
#endif

#endif
