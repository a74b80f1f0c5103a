/* Block masks from files and patterns. */
#include "block_masks.h"

#include "../cpu_ref/npy.h"
#include "../cpu_ref/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Blocks of one head. */
typedef struct grid {
    int64_t rows, cols;
} grid;

static grid grid_of(const tw_problem *p)
{
    return (grid){((int64_t)p->seqlen_q + p->mask.block_rows - 1) / p->mask.block_rows,
                  ((int64_t)p->seqlen_k + p->mask.block_keys - 1) / p->mask.block_keys};
}

tw_status tw_blocks_read(unsigned char **blocks, bool *per_head, const char *path, const tw_problem *p)
{
    tw_integer_data t = {.values = NULL};
    grid g = grid_of(p);
    TW_TRY(tw_npy_read_integers(&t, path));
    int n = t.num_dims;
    bool fits = (n == 2 || n == 3) && t.shape[n - 2] == g.rows && t.shape[n - 1] == g.cols &&
                (n == 2 || t.shape[0] == p->num_heads);
    unsigned char *made = fits ? malloc(t.num_elements) : NULL;
    for (size_t i = 0; made && i < t.num_elements; i++)
        made[i] = t.values[i] != 0;
    free(t.values);
    if (!fits)
        return tw_fail(
            TW_EFORMAT,
            "%s: has %d axes and %zu elements, it must be (%lld, %lld), or that for each of %d heads: "
            "blocks of %d x %d",
            path, n, t.num_elements, (long long)g.rows, (long long)g.cols, p->num_heads, p->mask.block_rows,
            p->mask.block_keys);
    if (!made)
        return tw_fail(TW_ENOMEM, "%s: no memory for its blocks", path);
    *blocks = made;
    *per_head = n == 3;
    return TW_OK;
}

/* Where the diagonal crosses a row of blocks; rows are aligned with keys as far as there are as many. */
static int64_t diagonal(grid g, int64_t row)
{
    return row < g.cols ? row : g.cols - 1;
}

static bool butterfly(int64_t row, int64_t col)
{
    uint64_t stride = (uint64_t)(row ^ col);
    return (stride & (stride - 1)) == 0; /* 0 or a power of two */
}

static bool local(const tw_block_choice *choice, int64_t row, int64_t col)
{
    int64_t distance = row > col ? row - col : col - row;
    return distance <= choice->reach || row < choice->global || col < choice->global;
}

/* A number below n that looks random: by Philox, of a row and the draw within it. */
static int64_t drawn(uint64_t seed, int64_t row, int64_t draw, int64_t n)
{
    uint32_t word[4] = {(uint32_t)draw, (uint32_t)row, 0, 0x626c6f63}; /* a stream of its own */
    tw_philox4x32(word, (uint32_t)seed, (uint32_t)(seed >> 32));
    return (int64_t)((((uint64_t)word[1] << 32) | word[0]) % (uint64_t)n);
}

/* The diagonal block, and others in any order until there are enough. */
static void draw_row(unsigned char *blocks, grid g, int64_t row, double share, uint64_t seed)
{
    int64_t wanted = (int64_t)ceil(share * (double)g.cols), on = 1;
    blocks[diagonal(g, row)] = 1;
    for (int64_t draw = 0; on < wanted; draw++) {
        int64_t col = drawn(seed, row, draw, g.cols);
        while (blocks[col]) /* the next that is off */
            col = col + 1 < g.cols ? col + 1 : 0;
        blocks[col] = 1;
        on++;
    }
}

tw_status tw_blocks_make(unsigned char **blocks, const tw_block_choice *choice, const tw_problem *p,
                         uint64_t seed)
{
    grid g = grid_of(p);
    unsigned char *made = calloc((size_t)g.rows, (size_t)g.cols);
    if (!made)
        return tw_fail(TW_ENOMEM, "no memory for a block mask of %lld x %lld", (long long)g.rows,
                       (long long)g.cols);
    for (int64_t row = 0; row < g.rows; row++) {
        unsigned char *of_row = made + row * g.cols;
        if (choice->pattern == TW_BLOCKS_RANDOM)
            draw_row(of_row, g, row, choice->share, seed);
        for (int64_t col = 0; col < g.cols && choice->pattern != TW_BLOCKS_RANDOM; col++)
            of_row[col] = choice->pattern == TW_BLOCKS_BUTTERFLY ? butterfly(row, col)
                                                                 : local(choice, row, col);
    }
    *blocks = made;
    return TW_OK;
}
