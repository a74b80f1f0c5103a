/**
 * @file draw.h
 * @brief Random numbers for simulations: seeded, cheap, the same everywhere. Tensors use cpu_ref/philox.h instead.
 */
#ifndef TW_DRAW_H
#define TW_DRAW_H

#include <stdint.h>

/** A generator begins with any state, as tw_draw_from() makes of a seed. */
static inline uint64_t tw_draw_from(uint64_t seed)
{
    return seed * 2 + 1;
}

/** 32 bits: the high ones of Knuth's linear congruence (MMIX), which are the random ones. */
static inline uint32_t tw_draw_bits(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/** A whole number from 0 to below − 1. */
static inline int32_t tw_draw_below(uint64_t *state, int32_t below)
{
    return (int32_t)((uint64_t)tw_draw_bits(state) * (uint64_t)below >> 32);
}

/** A number in [0, 1). */
static inline double tw_draw_unit(uint64_t *state)
{
    return tw_draw_bits(state) * 0x1p-32;
}

#endif
