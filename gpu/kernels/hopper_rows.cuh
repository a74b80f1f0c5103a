/*
 * The 64 rows of a consumer: products in wgmma's registers, mask, online softmax, softmax without a maximum, and the way
 * of O and LSE to memory.
 */
#ifndef TW_HOPPER_ROWS_CUH
#define TW_HOPPER_ROWS_CUH

#include "hopper_form.cuh"

#include <float.h>

/* Thread 32w + 4g + t: rows 16w + g and 16w + g + 8 (index j), of each a quarter of the columns. */
template <typename F> struct rows {
    float o[F::D / 2];
    float m[2]; /* of c · S, c = softmax_scale · log2 e: exponents are to base 2 */
    float l[2]; /* this thread's columns only, until the end */
};

template <typename F> static __device__ __forceinline__ void rows_init(rows<F> &x)
{
#pragma unroll
    for (int i = 0; i < F::D / 2; i++)
        x.o[i] = 0.0f;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        x.m[j] = -INFINITY;
        x.l[j] = 0.0f;
    }
}

/* Issues S = Q Kᵀ. */
template <typename T, typename F>
static __device__ __forceinline__ void issue_scores(float (&s)[F::BN / 2], uint32_t q_smem, uint32_t k_smem)
{
    const uint64_t q = tile_descriptor(q_smem, 64 * 128), k = tile_descriptor(k_smem, F::BN * 128);
#pragma unroll
    for (int x = 0; x < F::D / 16; x++) /* 16 columns: 32 bytes of a row, four times a slab */
        wgmma_nt<T, F::BN>(s, q + descriptor_step(x / 4 * 64 * 128 + x % 4 * 32),
                           k + descriptor_step(x / 4 * F::BN * 128 + x % 4 * 32), x > 0);
}

/* Issues O += P V. */
template <typename T, typename F>
static __device__ __forceinline__ void issue_output(float (&o)[F::D / 2], const uint32_t (&p)[F::BN / 4],
                                                    uint32_t v_smem)
{
    const uint64_t v = tile_descriptor(v_smem, F::BN * 128);
#pragma unroll
    for (int y = 0; y < F::BN / 16; y++) /* 16 keys: 16 rows of 128 bytes */
        wgmma_add<T, F::D>(o, p[4 * y], p[4 * y + 1], p[4 * y + 2], p[4 * y + 3],
                           v + descriptor_step(y * 16 * 128));
}

/* −∞ where this thread's rows do not see a key. `row` is its first row of Q, n0 the tile's first key. */
template <typename F, typename T>
static __device__ __forceinline__ void mask(float (&s)[F::BN / 2], const attention<T> &a, int row, int n0)
{
    const int column = n0 + 2 * (threadIdx.x % 4);
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int end = keys_seen(a, row + 8 * j) - column;
#pragma unroll
        for (int i = 0; i < F::BN / 8; i++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (8 * i + e >= end)
                    s[4 * i + 2 * j + e] = -INFINITY;
    }
}

/* S of row j becomes 2^(c S - reference); the sum of this thread's part of it. */
template <typename F>
static __device__ __forceinline__ float exponentials(float (&s)[F::BN / 2], int j, float reference, float c)
{
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < F::BN / 8; i++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float &y = s[4 * i + 2 * j + e];
            y = exp2_approx(fmaf(y, c, -reference));
            sum += y;
        }
    return sum;
}

/* The largest score of row j of the two that this thread holds; its three neighbours hold the rest of the row. */
template <typename F> static __device__ __forceinline__ float largest(const float (&s)[F::BN / 2], int j)
{
    float top = -INFINITY;
#pragma unroll
    for (int i = 0; i < F::BN / 8; i++)
        top = fmaxf(top, fmaxf(s[4 * i + 2 * j], s[4 * i + 2 * j + 1]));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
    return fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
}

/*
 * A step of online softmax: S becomes 2^(c S - m), m and l advance, alpha is what O must be scaled by. CUT: a row may
 * have seen nothing so far, so that m is still −∞; 2^(−∞ − −∞) is avoided by taking 0 in its place.
 */
template <bool CUT, typename F>
static __device__ __forceinline__ void softmax(float (&s)[F::BN / 2], rows<F> &x, float (&alpha)[2], float c)
{
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float top = fmaxf(x.m[j], c * largest<F>(s, j));
        const float reference = CUT && top == -INFINITY ? 0.0f : top;
        alpha[j] = exp2_approx(x.m[j] - reference);
        x.m[j] = top;
        x.l[j] = fmaf(x.l[j], alpha[j], exponentials<F>(s, j, reference, c));
    }
}

/* The whole step for tile j; `row` is this thread's first row. */
template <typename F, typename T>
static __device__ __forceinline__ void softmax_of_tile(float (&s)[F::BN / 2], rows<F> &x, float (&alpha)[2],
                                                       const attention<T> &a, int row, int j, bool cut)
{
    if (cut) {
        mask<F>(s, a, row, j * F::BN);
        softmax<true>(s, x, alpha, a.scale_log2);
    } else {
        softmax<false>(s, x, alpha, a.scale_log2);
    }
}

template <typename F> static __device__ __forceinline__ void rescale(rows<F> &x, const float (&alpha)[2])
{
#pragma unroll
    for (int i = 0; i < F::D / 2; i++)
        x.o[i] *= alpha[i / 2 % 2];
}

/* P in the input's type, in the order in which wgmma takes A. */
template <typename T, typename F>
static __device__ __forceinline__ void narrow_scores(uint32_t (&p)[F::BN / 4], const float (&s)[F::BN / 2])
{
#pragma unroll
    for (int i = 0; i < F::BN / 4; i++)
        p[i] = narrow2<T>(s[2 * i], s[2 * i + 1]);
}

/* ---- softmax without a maximum, from 46_without_maximum on ----------------------------------------------- */

/* The most that a thread's weights of a row may sum up to in a tile; so none is larger, and fp16 holds them (65504). */
static const float LARGEST_SUM = 16384.0f;

/* P = 2^(c S − m) of groups FROM … TO of eight keys, in the input's type, and their sums. S stays. */
template <typename T, typename F, int FROM, int TO>
static __device__ __forceinline__ void weights(uint32_t (&p)[F::BN / 4], const float (&s)[F::BN / 2],
                                               const rows<F> &x, float (&sum)[2], float c)
{
#pragma unroll
    for (int i = FROM; i < TO; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const float even = exp2_approx(fmaf(s[4 * i + 2 * j], c, -x.m[j]));
            const float odd = exp2_approx(fmaf(s[4 * i + 2 * j + 1], c, -x.m[j]));
            sum[j] += even;
            sum[j] += odd;
            p[2 * i + j] = narrow2<T>(even, odd);
        }
}

/* The same after m has become the maximum; what O and l hold so far is worth alpha of itself. */
template <typename T, typename F>
static __device__ __forceinline__ void weights_below_maximum(uint32_t (&p)[F::BN / 4],
                                                             const float (&s)[F::BN / 2], rows<F> &x,
                                                             float (&alpha)[2], float (&sum)[2], float c)
{
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float top = fmaxf(x.m[j], c * largest<F>(s, j));
        alpha[j] = exp2_approx(x.m[j] - top);
        x.m[j] = top;
        sum[j] = 0.0f;
    }
    weights<T, F, 0, F::BN / 8>(p, s, x, sum, c);
}

/* A row's first tile of keys. m starts at a finite number, so that a row that sees none of them needs no guard. */
template <typename T, typename F>
static __device__ __forceinline__ void first_weights(uint32_t (&p)[F::BN / 4], const float (&s)[F::BN / 2],
                                                     rows<F> &x, float c)
{
    float alpha[2];
    rows_init(x);
    x.m[0] = x.m[1] = -FLT_MAX;
    weights_below_maximum<T, F>(p, s, x, alpha, x.l, c);
}

/* Any later one: m stays, unless a sum says that a weight may be too large, or is no number. */
template <typename T, typename F>
static __device__ __forceinline__ void next_weights(uint32_t (&p)[F::BN / 4], const float (&s)[F::BN / 2],
                                                    rows<F> &x, float c)
{
    float sum[2] = {0.0f, 0.0f}, alpha[2];
    weights<T, F, 0, F::BN / 8>(p, s, x, sum, c);
    if (__any_sync(0xffffffffu, !(sum[0] <= LARGEST_SUM && sum[1] <= LARGEST_SUM))) {
        weights_below_maximum<T, F>(p, s, x, alpha, sum, c);
        rescale(x, alpha);
        x.l[0] *= alpha[0];
        x.l[1] *= alpha[1];
    }
    x.l[0] += sum[0];
    x.l[1] += sum[1];
}

/*
 * O / l and LSE = (m + log2 l) · ln 2. O goes to memory by way of the warpgroup's place of Q, which nobody reads any
 * more; its first thread starts the copy. A row that saw no key has l = 0: O = 0, LSE = −∞. `barrier` is one of
 * the block's named ones, for this warpgroup alone.
 */
template <typename F, typename T>
static __device__ __forceinline__ void write_rows(rows<F> &x, const attention<T> &a, const work &w,
                                                  int consumer, uint32_t smem, const CUtensorMap *map,
                                                  int barrier)
{
    const int thread = threadIdx.x % WARPGROUP, g = thread % 32 / 4, t = thread % 4;
    named_barrier_wait(barrier, WARPGROUP); /* all four warps have done with Q */
#pragma unroll
    for (int j = 0; j < 2; j++) {
        float l = x.l[j];
        l += __shfl_xor_sync(0xffffffffu, l, 1);
        l += __shfl_xor_sync(0xffffffffu, l, 2);
        const float inverse = l > 0.0f ? 1.0f / l : 0.0f;
        const int row = thread / 32 * 16 + g + 8 * j, q_index = w.row0 + 64 * consumer + row;
#pragma unroll
        for (int i = 0; i < F::D / 8; i++) { /* chunk i % 8 of slab i / 8 */
            const uint32_t at = smem + i / 8 * 64 * 128 + row * 128 + ((i % 8) ^ (row % 8)) * 16 + 4 * t;
            const uint32_t pair = narrow2<T>(x.o[4 * i + 2 * j] * inverse, x.o[4 * i + 2 * j + 1] * inverse);
            asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(pair) : "memory");
        }
        if (t == 0 && q_index < a.seqlen_q)
            a.lse[lse_at(a, w.batch, w.head, q_index)] = l > 0.0f ? (x.m[j] + log2f(l)) * (float)M_LN2
                                                                  : -INFINITY;
    }
    fence_for_async();
    named_barrier_wait(barrier, WARPGROUP);
    if (thread == 0 && w.row0 + 64 * consumer < a.seqlen_q)
        tma_store(map, smem, w.row0 + 64 * consumer, w.head, w.batch);
}

/* The same, and stays until O has left shared memory. */
template <typename F, typename T>
static __device__ __forceinline__ void finish_rows(rows<F> &x, const attention<T> &a, const work &w,
                                                   int consumer, uint32_t smem, const CUtensorMap *map,
                                                   int barrier)
{
    write_rows(x, a, w, consumer, smem, map, barrier);
    if (threadIdx.x % WARPGROUP == 0)
        tma_stores_read();
}

#endif
