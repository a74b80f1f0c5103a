/**
 * @file philox.h
 * @brief The recipes of tw_random_normal() and of dropout, as inline functions that a CUDA file can include too.
 *
 * Normal numbers
 * --------------
 * Elements 2b and 2b + 1 of (seed, stream) come from one call of Philox4x32-10:
 *
 *     key      = { seed mod 2^32, seed / 2^32 }
 *     counter  = { b mod 2^32, b / 2^32, stream mod 2^32, stream / 2^32 }
 *     u        = ((w0 + 2^32 w1) / 2^11 + 1) · 2^-53      in (0, 1], division rounding down
 *     t        = ((w2 + 2^32 w3) / 2^11)     · 2^-53      in [0, 1)
 *     element 2b     = sqrt(−2 ln u) · cos(2π t)
 *     element 2b + 1 = sqrt(−2 ln u) · sin(2π t)
 *
 * ln, cos and sin are series written out here, of +, −, ·, / and sqrt alone, which IEEE 754 rounds the same way
 * everywhere; a library's would differ in the last bit from one system to the next. So the numbers are the same,
 * bit by bit, wherever products are not fused into additions: -ffp-contract=off, nvcc --fmad=false. A fused
 * compilation differs by about 1e-16, which rounding to fp16, bf16 or fp32 nearly always hides.
 *
 * Dropout
 * -------
 * Columns 4c … 4c + 3 of a row of P take the four words of one call, with the seed as the key:
 *
 *     counter  = { c, row, query head, 2^31 + batch }
 *     dropped if word[column mod 4] < ⌊p · 2^32⌋
 *
 * The 2^31 keeps these counters apart from those of normal numbers of the same seed.
 * @see Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"
 */
#ifndef TW_PHILOX_H
#define TW_PHILOX_H

#include <math.h>
#include <stdint.h>

/** How the functions below are declared: the same code for the CPU and for a GPU. */
#ifdef __CUDACC__
#define TW_PHILOX_INLINE static __host__ __device__ inline
#else
#define TW_PHILOX_INLINE static inline
#endif

/** Ten rounds: each multiplies two of the four words by constants, mixes in the key, and steps the key. */
TW_PHILOX_INLINE void tw_philox4x32(uint32_t word[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53U * word[0];
        uint64_t product1 = (uint64_t)0xCD9E8D57U * word[2];
        word[0] = (uint32_t)(product1 >> 32) ^ word[1] ^ key0;
        word[1] = (uint32_t)product1;
        word[2] = (uint32_t)(product0 >> 32) ^ word[3] ^ key1;
        word[3] = (uint32_t)product0;
        key0 += 0x9E3779B9U; /* golden ratio */
        key1 += 0xBB67AE85U; /* sqrt(3) − 1 */
    }
}

/** ln u for u in (0, 1]: u = 2^e m with m in [sqrt ½, sqrt 2), ln m = 2 atanh f with f = (m − 1) / (m + 1). */
TW_PHILOX_INLINE double tw_philox_log(double u)
{
    int e;
    double m = frexp(u, &e); /* [½, 1) */
    if (m < 0.70710678118654752) {
        m *= 2.0;
        e--;
    }
    double f = (m - 1.0) / (m + 1.0), f2 = f * f; /* |f| < 0.172: the first term left out is below 1e-18 */
    double series = 0.0;
    for (int n = 23; n >= 1; n -= 2)
        series = series * f2 + 1.0 / n;
    return e * 0.69314718055994531 + 2.0 * f * series;
}

/** cos and sin of 2π t, t in [0, 1): an eighth of a turn by Taylor series, the rest by symmetry. */
TW_PHILOX_INLINE void tw_philox_cos_sin(double *cosine, double *sine, double t)
{
    int quarter = (int)(4.0 * t + 0.5);                    /* 0 … 4: the nearest quarter turn */
    double x = (t - 0.25 * quarter) * 6.28318530717958648; /* |x| <= π / 4; the difference is exact */
    double x2 = x * x, c = 1.0, s = 1.0;
    for (int n = 18; n >= 2; n -= 2) { /* c = 1 − x²/(1·2) (1 − x²/(3·4) (1 − … */
        c = 1.0 - c * x2 / (double)(n * (n - 1));
        s = 1.0 - s * x2 / (double)(n * (n + 1));
    }
    s *= x;
    *cosine = quarter == 1 ? -s : quarter == 2 ? -c : quarter == 3 ? s : c;
    *sine = quarter == 1 ? c : quarter == 2 ? -s : quarter == 3 ? -c : s;
}

/** Elements 2b and 2b + 1. */
TW_PHILOX_INLINE void tw_philox_normal_pair(double pair[2], uint64_t seed, uint64_t stream, uint64_t b)
{
    uint32_t word[4] = {(uint32_t)b, (uint32_t)(b >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    tw_philox4x32(word, (uint32_t)seed, (uint32_t)(seed >> 32));
    uint64_t bits_u = (word[0] | (uint64_t)word[1] << 32) >> 11;
    uint64_t bits_t = (word[2] | (uint64_t)word[3] << 32) >> 11;
    double radius = sqrt(-2.0 * tw_philox_log((double)(bits_u + 1) * 0x1p-53));
    double cosine, sine;
    tw_philox_cos_sin(&cosine, &sine, (double)bits_t * 0x1p-53);
    pair[0] = radius * cosine;
    pair[1] = radius * sine;
}

/** A word of dropout below this is dropped; 0 <= p < 1. */
TW_PHILOX_INLINE uint32_t tw_philox_dropout_threshold(double p)
{
    return (uint32_t)(p * 4294967296.0);
}

/** The words of columns 4c … 4c + 3 of a row. */
TW_PHILOX_INLINE void tw_philox_dropout_words(uint32_t word[4], uint64_t seed, int batch, int head, int row,
                                              int c)
{
    word[0] = (uint32_t)c;
    word[1] = (uint32_t)row;
    word[2] = (uint32_t)head;
    word[3] = 0x80000000U + (uint32_t)batch;
    tw_philox4x32(word, (uint32_t)seed, (uint32_t)(seed >> 32));
}

#endif
