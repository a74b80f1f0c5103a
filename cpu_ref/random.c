/* Random tensors. Counter-based, so any element can be made anywhere, by any thread, in any order. */
#include "attention.h"
#include "philox.h"

void tw_random_normal(double *x, size_t n, uint64_t seed, uint64_t stream)
{
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < (n + 1) / 2; b++) {
        double pair[2];
        tw_philox_normal_pair(pair, seed, stream, b);
        x[2 * b] = pair[0];
        if (2 * b + 1 < n)
            x[2 * b + 1] = pair[1];
    }
}
