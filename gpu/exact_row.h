/**
 * @file exact_row.h
 * @brief One row of attention straight from the definition, in double precision: the reference of `tilewise-gpu soak`.
 *
 * It shares nothing with the kernels that it judges: scores of a row, their maximum, softmax, weighted sum of V, with
 * every intermediate written down. On the GPU a warp shares the work of a row; on the host one thread does it all, by
 * the same code, so that a test without a GPU can hold it against cpu_ref.
 */
#ifndef TW_GPU_EXACT_ROW_H
#define TW_GPU_EXACT_ROW_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define TW_EXACT_INLINE static __host__ __device__ inline
#else
#define TW_EXACT_INLINE static inline
#endif

/** A query row and the keys and values of its head, as 16-bit patterns. */
typedef struct tw_exact_row {
    const uint16_t *q;     /**< head_dim elements */
    const uint16_t *k, *v; /**< of key 0 */
    size_t stride;         /**< elements from one key to the next */
    int num_keys;          /**< that the row sees */
    int head_dim;
    bool bf16; /**< otherwise fp16 */
    double scale;
    double *scratch; /**< 2 · num_keys doubles */
} tw_exact_row;

/** What it comes to, and what rounding to the format by itself does to it. */
typedef struct tw_exact_result {
    double lse;                /**< −INFINITY if no key is seen */
    double baseline_lse_error; /**< of standard attention with S rounded; 0 if no key is seen */
    double
        baseline_error; /**< of standard attention with S, P and O rounded: largest |rounded − exact| of this lane */
    double max_abs_o; /**< of this lane */
} tw_exact_result;

/* ---- number formats ------------------------------------------------------------------------------------- */

/**
 * The number that a 16-bit pattern stands for. Shifted to where a float has its exponent and fraction, a bf16 is right
 * and an fp16 too small by 2^112, subnormals included.
 */
TW_EXACT_INLINE double tw_exact_widen(uint16_t bits, bool bf16)
{
    const uint32_t word = (uint32_t)(bits & 0x7fff) << (bf16 ? 16 : 13);
    float x;
    memcpy(&x, &word, sizeof x);
    if (!bf16)
        x *= 0x1p112f;
    if (!bf16 && (bits & 0x7c00) == 0x7c00)
        x = (bits & 0x03ff) != 0 ? NAN : INFINITY;
    return (double)(bits & 0x8000 ? -x : x);
}

/** x rounded to the format, to nearest and ties to even; infinite where it is beyond the format's range. */
TW_EXACT_INLINE double tw_exact_round(double x, bool bf16)
{
    const int fraction_bits = bf16 ? 7 : 10, min_exponent = bf16 ? -126 : -14;
    const double largest = bf16 ? 0x1.fep127 : 65504.0;
    int exponent;
    if (x == 0.0 || !isfinite(x))
        return x;
    frexp(x, &exponent); /* x = f · 2^exponent, f in [½, 1) */
    exponent = exponent - 1 < min_exponent ? min_exponent : exponent - 1;
    const double rounded = ldexp(rint(ldexp(x, fraction_bits - exponent)), exponent - fraction_bits);
    return fabs(rounded) > largest ? copysign((double)INFINITY, x) : rounded;
}

/** So far may an LSE be off where S is not rounded, or LSE is as large as S. */
TW_EXACT_INLINE double tw_exact_lse_allowed(double lse, bool bf16)
{
    return 1e-3 + (bf16 ? 0x1p-7 : 0x1p-10) * fabs(lse);
}

/** Equal infinities are right (LSE of a row that sees nothing), one infinity is not, and NaN never is. */
TW_EXACT_INLINE bool tw_exact_is_wrong(double found, double exact, double allowed)
{
    return found != exact && !(isfinite(exact) && fabs(found - exact) <= allowed);
}

/* ---- lanes ---------------------------------------------------------------------------------------------- */

#ifdef __CUDA_ARCH__
#define TW_EXACT_LANES 32
/** Everybody has written what the others read next. */
static __device__ inline void tw_exact_meet(void)
{
    __syncwarp();
}
static __device__ inline double tw_exact_max(double x)
{
    for (int mask = 16; mask > 0; mask /= 2)
        x = fmax(x, __shfl_xor_sync(0xffffffffu, x, mask));
    return x;
}
static __device__ inline double tw_exact_sum(double x)
{
    for (int mask = 16; mask > 0; mask /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}
#else
#define TW_EXACT_LANES 1
static inline void tw_exact_meet(void)
{
}
static inline double tw_exact_max(double x)
{
    return x;
}
static inline double tw_exact_sum(double x)
{
    return x;
}
#endif

/* ---- a row ---------------------------------------------------------------------------------------------- */

/** weight = softmax(s), through the largest score; returns LSE. */
TW_EXACT_INLINE double tw_exact_softmax(double *weight, const double *s, int n, int lane)
{
    double m = -(double)INFINITY, l = 0.0;
    for (int j = lane; j < n; j += TW_EXACT_LANES)
        m = fmax(m, s[j]);
    m = tw_exact_max(m);
    for (int j = lane; j < n; j += TW_EXACT_LANES)
        l += exp(s[j] - m);
    l = tw_exact_sum(l);
    for (int j = lane; j < n; j += TW_EXACT_LANES)
        weight[j] = exp(s[j] - m) / l;
    return n > 0 ? m + log(l) : -(double)INFINITY;
}

/** Column `c` of the weighted sum of V. */
TW_EXACT_INLINE double tw_exact_output(const tw_exact_row *r, const double *weight, int c)
{
    double sum = 0.0;
    for (int j = 0; j < r->num_keys; j++)
        sum += weight[j] * tw_exact_widen(r->v[(size_t)j * r->stride + (size_t)c], r->bf16);
    return sum;
}

/**
 * The row, by TW_EXACT_LANES lanes of which this is `lane`. o: head_dim doubles; a lane writes its own columns, and reads
 * them again to see how far rounding goes astray.
 */
TW_EXACT_INLINE tw_exact_result tw_exact_attend(double *o, const tw_exact_row *r, int lane)
{
    double *s = r->scratch, *weight = s + r->num_keys;
    tw_exact_result result = {0.0, 0.0, 0.0, 0.0};
    for (int j = lane; j < r->num_keys; j += TW_EXACT_LANES) {
        double sum = 0.0;
        for (int c = 0; c < r->head_dim; c++)
            sum += tw_exact_widen(r->q[c], r->bf16) *
                   tw_exact_widen(r->k[(size_t)j * r->stride + (size_t)c], r->bf16);
        s[j] = r->scale * sum;
    }
    result.lse = tw_exact_softmax(weight, s, r->num_keys, lane);
    tw_exact_meet();
    for (int c = lane; c < r->head_dim; c += TW_EXACT_LANES) {
        o[c] = tw_exact_output(r, weight, c);
        result.max_abs_o = fmax(result.max_abs_o, fabs(o[c]));
    }

    /* Once more, everything rounded but a score that would become infinite: then the row would say nothing. */
    tw_exact_meet();
    for (int j = lane; j < r->num_keys; j += TW_EXACT_LANES) {
        const double rounded = tw_exact_round(s[j], r->bf16);
        s[j] = isfinite(rounded) ? rounded : s[j];
    }
    const double rounded_lse = tw_exact_softmax(weight, s, r->num_keys, lane);
    if (r->num_keys > 0)
        result.baseline_lse_error = fabs(rounded_lse - result.lse);
    for (int j = lane; j < r->num_keys; j += TW_EXACT_LANES)
        weight[j] = tw_exact_round(weight[j], r->bf16);
    tw_exact_meet();
    for (int c = lane; c < r->head_dim; c += TW_EXACT_LANES) {
        const double rounded = tw_exact_round(tw_exact_output(r, weight, c), r->bf16);
        result.baseline_error = fmax(result.baseline_error, fabs(rounded - o[c]));
    }
    tw_exact_meet();
    return result;
}

#endif
