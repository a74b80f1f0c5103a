/* The tiles of a mask, written down. */
#include "tile_map.h"
#include "memory.h"
#include "whole.h"

#include <stdlib.h>

static size_t tile_index(const tw_tile_map *map, int head, int64_t row, int64_t col)
{
    int64_t matrix = map->matrices > 1 ? head : 0;
    return (size_t)((matrix * map->rows + row) * map->cols + col);
}

static tw_status allocate(tw_tile_map *map)
{
    size_t tiles = (size_t)map->matrices * (size_t)map->rows * (size_t)map->cols;
    TW_TRY(tw_memory_check((double)tiles * (sizeof *map->kind + sizeof *map->pairs), "the list of tiles"));
    map->kind = malloc(tiles + 1); /* a sequence without rows has no tiles */
    map->pairs = malloc((tiles + 1) * sizeof *map->pairs);
    if (map->kind != NULL && map->pairs != NULL)
        return TW_OK;
    tw_tile_map_free(map);
    return tw_fail(TW_ENOMEM, "no memory for a list of %zu tiles", tiles);
}

static void ask_tile(tw_tile_map *map, const tw_problem *p, int batch, int head, int64_t row, int64_t col)
{
    int64_t row0 = row * map->block_m, row1 = min64(row0 + map->block_m, p->seqlen_q);
    int64_t key0 = col * map->block_n, key1 = min64(key0 + map->block_n, p->seqlen_k);
    int64_t pairs = tw_mask_pairs(p, batch, head, row0, row1, key0, key1);
    size_t at = tile_index(map, head, row, col);
    map->pairs[at] = pairs;
    map->kind[at] = (unsigned char)(pairs == 0                               ? TW_TILE_EMPTY
                                    : pairs == (row1 - row0) * (key1 - key0) ? TW_TILE_FULL
                                                                             : TW_TILE_PARTIAL);
}

tw_status tw_tile_map_build(tw_tile_map *map, const tw_problem *p, int batch, int block_m, int block_n)
{
    tw_tile_map made = {.block_m = block_m,
                        .block_n = block_n,
                        .rows = ceil_div(p->seqlen_q, block_m),
                        .cols = ceil_div(p->seqlen_k, block_n),
                        .matrices = tw_mask_differs_by_head(p) ? p->num_heads : 1};
    TW_TRY(allocate(&made));
#pragma omp parallel for collapse(2) schedule(dynamic, 4) if (made.rows * made.cols > 4096)
    for (int head = 0; head < made.matrices; head++)
        for (int64_t row = 0; row < made.rows; row++)
            for (int64_t col = 0; col < made.cols; col++)
                ask_tile(&made, p, batch, head, row, col);
    *map = made;
    return TW_OK;
}

void tw_tile_map_free(tw_tile_map *map)
{
    free(map->kind);
    free(map->pairs);
    *map = (tw_tile_map){.kind = NULL};
}

tw_tile_kind tw_tile_map_kind(const tw_tile_map *map, int head, int64_t row, int64_t col)
{
    return (tw_tile_kind)map->kind[tile_index(map, head, row, col)];
}

int64_t tw_tile_map_pairs(const tw_tile_map *map, int head, int64_t row, int64_t col)
{
    return map->pairs[tile_index(map, head, row, col)];
}

int64_t tw_tile_map_visited(const tw_tile_map *map, int head, int64_t index, bool down)
{
    int64_t visited = 0, length = down ? map->rows : map->cols;
    for (int64_t i = 0; i < length; i++)
        visited += tw_tile_map_kind(map, head, down ? i : index, down ? index : i) != TW_TILE_EMPTY;
    return visited;
}

tw_tile_census tw_tile_map_census(const tw_tile_map *map)
{
    tw_tile_census c = {.empty = 0};
    size_t tiles = (size_t)map->matrices * (size_t)map->rows * (size_t)map->cols;
    for (size_t i = 0; i < tiles; i++) {
        c.empty += map->kind[i] == TW_TILE_EMPTY;
        c.partial += map->kind[i] == TW_TILE_PARTIAL;
        c.full += map->kind[i] == TW_TILE_FULL;
        c.pairs += map->pairs[i];
    }
    c.list_bytes = 4 * (2 * map->rows * map->matrices + c.partial + c.full);
    return c;
}
