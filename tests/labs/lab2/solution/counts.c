/* Lab 2, solved. */
#include "lab2.h"

static int64_t tiles_of(int64_t n, int64_t block)
{
    return (n + block - 1) / block;
}

int64_t standard_elements(int64_t n, int64_t d)
{
    int64_t scores = 2 * n * d + n * n, softmax = 2 * n * n, output = n * n + 2 * n * d;
    return scores + softmax + output;
}

int64_t standard_tiled_elements(int64_t n, int64_t d, int64_t block_m, int64_t block_n)
{
    int64_t tr = tiles_of(n, block_m), tc = tiles_of(n, block_n);
    int64_t scores = tc * n * d + tr * n * d + n * n;
    int64_t softmax = 2 * n * n + n;
    int64_t output = n * n + tr * n * d + n * d;
    return scores + softmax + output;
}

int64_t flash1_elements(int64_t n, int64_t d, int64_t block_n)
{
    int64_t per_pass = 3 * n * d + 4 * n;
    return 2 * n * d + tiles_of(n, block_n) * per_pass;
}

int64_t flash2_elements(int64_t n, int64_t d, int64_t block_m)
{
    return 2 * n * d + n + tiles_of(n, block_m) * 2 * n * d;
}

int64_t flash2_causal_elements(int64_t n, int64_t d, int64_t block_m, int64_t block_n)
{
    int64_t keys = 0;
    for (int64_t row = 0; row < n; row += block_m) {
        int64_t end = row + block_m < n ? row + block_m : n;
        int64_t loaded = tiles_of(end, block_n) * block_n;
        keys += loaded < n ? loaded : n;
    }
    return 2 * n * d + n + 2 * keys * d;
}

int64_t flash2_bytes(int64_t n, int64_t d, int64_t block_m, int64_t element_bytes)
{
    return (flash2_elements(n, d, block_m) - n) * element_bytes + 4 * n;
}

int64_t flash1_block_n(int64_t sram_bytes, int64_t d, int64_t element_bytes)
{
    return sram_bytes / (4 * d * element_bytes);
}

int64_t flash2_block_m(int64_t sram_bytes, int64_t d, int64_t element_bytes, int64_t block_n)
{
    int64_t rows = sram_bytes / (d * element_bytes) - 2 * block_n;
    return rows > 1 ? rows / 2 : 0;
}

int64_t crossover_sram_bytes(int64_t n, int64_t d, int64_t element_bytes)
{
    for (int64_t block_n = 1; block_n <= n; block_n++)
        if (flash1_elements(n, d, block_n) < standard_elements(n, d))
            return 4 * d * element_bytes * block_n;
    return 0;
}
