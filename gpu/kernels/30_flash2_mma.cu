/*
 * 30_flash2_mma: everything that pays with mma.sync. FlashAttention-2's loop, tensor cores, no register spilled.
 *
 * What it teaches: where the cycles of an SM go once the products are fast. On an H100 a quarter of an SM takes, for
 * 32 rows, 64 keys and head_dim 128: 256 mma 1,544 cycles, 80 ldmatrix.x4 1,280, 64 exponentials 512. All three
 * must run at the same time, and everything else must be rare.
 *
 * What changed from 27_swizzle:
 *
 *     32 rows a warp        a piece of K or V from shared memory feeds four products, not two
 *     Q in registers        where there is room (head_dim 64); otherwise ldmatrix, every time
 *     2^(scale · S - m)     softmax_scale · log2 e is folded in: one fused multiply-add and one ex2 an element
 *     m follows seldom      m is a reference, not the maximum: O and l are rescaled only when a row has outgrown m
 *                           by 2^8. O / l and m + log2 l do not depend on m, and P <= 2^8 loses no bits. A warp then
 *                           needs no shuffle and no multiplication of O in most slices: one vote tells.
 *     exponentials hide     among the products of P V: those of the next 16 keys run while this 16 are multiplied
 *     whole slices          have no guard; only a slice that the mask cuts for this warp has, and a slice that
 *                           it hides from the warp is skipped
 *     registers             O, S and fragments fill the 255 of a thread; what is cheap is computed again each time
 *
 * What it does not do: head_dim other than 64, 96, 128, 256; a softmax_scale <= 0 (the maximum of S would then be the
 * minimum of scale · S); overlap of S = Q Kᵀ with softmax inside a warp: there the other blocks of the SM help.
 *
 * Shared memory, in bytes. Chunks of 16 bytes change places as in 27_swizzle.
 *
 *     0                  Q, at the end O      block_m x 2d       each warp its own rows
 *     Q_BYTES            K  tiles 0, 2, ...   block_n x 2d       a ring of two places: tile j + 1 is on its way
 *                        K  tiles 1, 3, ...   block_n x 2d       while tile j is used
 *     + RING_BYTES       V  tiles 0, 2, ...   block_n x 2d
 *                        V  tiles 1, 3, ...   block_n x 2d
 *
 * A tile is folded in slices of 64 (32) keys. 128 threads (256 at head_dim 256 with block_m 128); a warp owns
 * STRIPS times 16 rows, lane = 4g + t: rows 16i + g + 8h, columns 8j + 2t + e.
 *
 * Prediction, made before it ran, from the costs of mma.sync, ldmatrix and softmax by themselves; two warps that share
 * a quarter of an SM slow each other to 0.55, as they do in FlashAttention-2. Cycles for 128 rows and 64 keys of two
 * blocks: head_dim 128: 4,500 (FlashAttention-2: 5,463), about 420 TFLOP/s; head_dim 64: 2,550 (3,230), about 380
 * TFLOP/s. At 16k, causal, a tenth less.
 *
 * Measured (notebooks_data/h100): head_dim 128, 128 x 64: 386 to 408 TFLOP/s from 2k on, 1.11 to 1.14 times
 * FlashAttention-2 of the same run; causal 374 at 16k. head_dim 64, 128 x 64: 305 to 321, 1.01 to 1.04 times; causal
 * 0.98 times. There 128 x 128 is the better tile, and the default: 330 and 347 TFLOP/s at 2k and 16k, causal 279 and
 * 331.
 */
#include "../kv_walk.h"
#include "../mma.cuh"
#include "tile.cuh"

#include <float.h>
#include <limits.h>
#include <type_traits>

/* What is fixed when a kernel is compiled. ANY_ORDER: tiles are worked on in the order that the user names. */
template <int HEAD_DIM, int BLOCK_M, int BLOCK_N, bool ANY_ORDER = false> struct form {
    static const bool ORDERED = ANY_ORDER;
    static const int D = HEAD_DIM, BM = BLOCK_M, BN = BLOCK_N, ROW_BYTES = 2 * D;
    /* A warp owns 32 rows where their O fits in its registers, so that a piece of K or V feeds four products. */
    static const int WARPS = D > 128 ? BM / 16 : 4, NUM_THREADS = 32 * WARPS, STRIPS = BM / WARPS / 16;
    /* Registers a thread: O takes STRIPS · D / 2, S takes STRIPS · SLICE / 2, Q, if it stays, STRIPS · D / 4. */
    static const bool Q_IN_REGISTERS = STRIPS * D / 4 <= 32;
    static const bool THREE_BLOCKS = D == 64 && BN == 64; /* an SM: 168 registers a thread */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
    static const bool SHORT_OF_REGISTERS = STRIPS == 2 && (THREE_BLOCKS || D == 128);
#else
    static const bool SHORT_OF_REGISTERS = STRIPS == 2 && (THREE_BLOCKS || (ORDERED && D == 128));
#endif
    static const int SLICE = SHORT_OF_REGISTERS ? 32 : 64; /* keys folded at once */
    static const int Q_BYTES = BM * ROW_BYTES, RING_BYTES = 2 * BN * ROW_BYTES;
    static const int SMEM_BYTES = Q_BYTES + 2 * RING_BYTES;
    static const int BLOCKS = SMEM_BYTES > 113 * 1024 ? 1 : THREE_BLOCKS ? 3 : 2; /* an SM: it has 227 KiB */
    static const int ROWS_AT_ONCE = D == 96 ? 8 : NUM_THREADS / (D / 8);          /* copied by all threads */
    static_assert(BM % ROWS_AT_ONCE == 0 && BN % ROWS_AT_ONCE == 0,
                  "a copy takes the same rows of every part");
    static_assert(BN % SLICE == 0 && (BN & (BN - 1)) == 0, "places in the ring are found by masks");
};

/* A warp's rows: O, the reference m that exponents are relative to, and the sum of 2^(S - m). */
template <typename F> struct warp_rows {
    float o[F::STRIPS][F::D / 8][4];
    float m[F::STRIPS][2], l[F::STRIPS][2]; /* l: this thread's columns only, until the end */
    uint32_t q[F::Q_IN_REGISTERS ? F::D / 16 : 1][F::STRIPS][4];
};

/* Byte offset in a tile of a row's 16-byte chunk: in any 8 rows, chunk c lies in 8 different groups of 4 banks. */
template <typename F> static __device__ __forceinline__ uint32_t swizzled(int row, int chunk)
{
    int key = F::D % 64 == 0 ? row % 8
                             : row / 2 % 4; /* rows of 192 bytes alternate between two halves already */
    return row * F::ROW_BYTES + (chunk ^ key) * 16;
}

/* The address `step` pairs of chunks further along the row: an exclusive or within a group of chunks, then a sum. */
template <typename F> static __device__ __forceinline__ uint32_t along(uint32_t smem, int step)
{
    constexpr int PERIOD = F::D % 64 == 0 ? 4 : 2;
    return (smem ^ step % PERIOD * 32) + step / PERIOD * PERIOD * 32;
}

/* What a form for any order is told; the others get the problem alone, because two more parameters make them spill. */
template <typename T> struct ordered_attention : attention<T> {
    tw_order order;
    tw_kv_order kv_order;
};
template <typename T, typename F>
using attention_for = std::conditional_t<F::ORDERED, ordered_attention<T>, attention<T>>;

/*
 * Where a block is at work. By itself a kernel reads it off the grid, last tiles first, because with a causal mask they are
 * the longest. In a form for any order the block works it out once, and keeps it in shared memory.
 */
struct block_place {
    int tile, head, backward;
};

template <typename F> static __device__ __forceinline__ volatile block_place &place_of_block()
{
    __shared__ block_place place;
    return place;
}

template <typename F, typename T>
static __device__ __forceinline__ void find_place(const ordered_attention<T> &a)
{
    if (threadIdx.x == 0) {
        const tw_order order = a.order == TW_ORDER_OWN ? TW_ORDER_REVERSED : a.order;
        const tw_grid_place at = tw_order_place(order, (int64_t)blockIdx.y * gridDim.x + blockIdx.x,
                                                gridDim.x, a.num_heads, a.causal);
        volatile block_place &place = place_of_block<F>();
        place.tile = (int)at.tile;
        place.head = (int)at.head;
        place.backward = tw_kv_order_is_backward(a.kv_order, at.tile);
    }
    __syncthreads();
}

template <typename F> static __device__ __forceinline__ int head_of_block()
{
    if constexpr (F::ORDERED)
        return place_of_block<F>().head;
    return blockIdx.y;
}

template <typename F> static __device__ __forceinline__ int walks_backward()
{
    return place_of_block<F>().backward;
}

/*
 * The block's first query row, the keys that it sees, the thread's index. Volatile, so that they are computed again
 * wherever they are needed: held through the loop, they would take registers from O and S, and something would spill.
 */
template <typename F> static __device__ __forceinline__ int first_row()
{
    if constexpr (F::ORDERED)
        return place_of_block<F>().tile * F::BM;
    int block;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
    return (gridDim.x - 1 - block) * F::BM;
}

template <typename F, typename T> static __device__ __forceinline__ int keys_of_block(const attention<T> &a)
{
    return keys_seen(a, min(first_row<F>() + F::BM, a.seqlen_q) - 1); /* the last row sees most */
}

static __device__ __forceinline__ int thread()
{
    unsigned x;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x));
    return x;
}

template <typename F, typename T>
static __device__ __forceinline__ int keys_of_warp(const attention<T> &a, int row)
{
    return keys_seen(a, first_row<F>() + thread() / 32 * (16 * F::STRIPS) + row);
}

/* The key with which the block's walk over K and V begins, where that is asked. */
template <typename F, typename T> static __device__ __forceinline__ int first_key(const attention<T> &a)
{
    return tw_kv_first(keys_of_block<F>(a), F::BN, walks_backward<F>());
}

/*
 * Starts copying a tile to `smem`. A thread copies one chunk of every ROWS_AT_ONCE-th row, from `from`, which ends
 * where the thread's part of the next tile begins. Rows from num_rows on become zeros; nothing is read for them.
 */
template <typename F, int ROWS, typename T>
static __device__ __forceinline__ void copy_tile(uint32_t smem, const T *&from, int stride, int num_rows,
                                                 const T *tensor)
{
    constexpr int STEP = F::ROWS_AT_ONCE;
    const unsigned x = thread(), row = x / (F::D / 8), chunk = x % (F::D / 8);
    if (row >= STEP) /* at head_dim 96, 96 of 128 threads copy */
        return;
    smem += swizzled<F>(row, chunk);
    if (num_rows >= ROWS) {
#pragma unroll
        for (int n = 0; n < ROWS; n += STEP, from += STEP * stride)
            cp_async((smem ^ n % 8 * 16) + n * F::ROW_BYTES, from);
    } else {
#pragma unroll
        for (int n = 0; n < ROWS; n += STEP, from += STEP * stride) {
            bool real = (int)row + n < num_rows;
            cp_async_or_zeros((smem ^ n % 8 * 16) + n * F::ROW_BYTES, real ? from : tensor, real);
        }
    }
}

/* S becomes P, from element `first` to `last` of this thread, in the order in which the second product wants them. */
template <typename F>
static __device__ __forceinline__ void exponentiate(float (&s)[F::STRIPS][F::SLICE / 8][4], warp_rows<F> &w,
                                                    int first, int last, float scale_log2)
{
#pragma unroll
    for (int n = first; n < last; n++) {
        int y = n / (8 * F::STRIPS), i = n / 8 % F::STRIPS, j = 2 * y + n / 4 % 2, e = n % 4;
        s[i][j][e] = exp2_approx(fmaf(s[i][j][e], scale_log2, -w.m[i][e / 2]));
        w.l[i][e / 2] += s[i][j][e];
    }
}

/* Folds keys n0 … n0 + SLICE - 1 into the warp's rows. CUT: some row does not see all of them. */
template <bool CUT, typename T, typename F>
static __device__ __forceinline__ void fold(warp_rows<F> &w, uint32_t smem, int n0, const attention<T> &a)
{
    constexpr int STRIPS = F::STRIPS, SLICE = F::SLICE, D = F::D;

    /* S = Q Kᵀ, 16 of d at a time. Where this lane points ldmatrix: a B of K takes both halves of a row first. */
    const int lane = thread() % 32, row0 = thread() / 32 * (16 * STRIPS);
    const uint32_t q_smem = smem + row0 * F::ROW_BYTES + swizzled<F>(lane % 16, lane / 16);
    const uint32_t k_smem = smem + F::Q_BYTES + (n0 & (2 * F::BN - 1)) * F::ROW_BYTES +
                            swizzled<F>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    float s[STRIPS][SLICE / 8][4] = {};
#pragma unroll
    for (int x = 0; x < D / 16; x++) {
        uint32_t q[STRIPS][4], k[4];
#pragma unroll
        for (int i = 0; i < STRIPS; i++)
            if (F::Q_IN_REGISTERS)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    q[i][e] = w.q[x][i][e];
            else
                ldmatrix(q[i], along<F>(q_smem, x) + i * 16 * F::ROW_BYTES);
#pragma unroll
        for (int j = 0; j < SLICE / 8; j += 2) {
            ldmatrix(k, along<F>(k_smem, x) + j * 8 * F::ROW_BYTES);
#pragma unroll
            for (int i = 0; i < STRIPS; i++) {
                mma<T>(s[i][j], q[i], k[0], k[1]);
                mma<T>(s[i][j + 1], q[i], k[2], k[3]);
            }
        }
    }

    if (CUT) { /* this thread's first row sees `edge` keys from its first column on, each further row one more */
        const int x = thread(), row = first_row<F>() + x / 32 * (16 * STRIPS) + x % 32 / 4,
                  col = n0 + x % 4 * 2;
        const int edge = (a.causal ? row + 1 + a.seqlen_k - a.seqlen_q : INT_MAX / 2) - col;
        const int end = a.seqlen_k - col;
#pragma unroll
        for (int i = 0; i < STRIPS; i++)
#pragma unroll
            for (int j = 0; j < SLICE / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (8 * j + e % 2 >= min(edge + 16 * i + e / 2 * 8, end))
                        s[i][j][e] = -INFINITY;
    }

    /* Has any row's maximum outgrown its reference m by more than 2^8? Seldom, after the first slice. */
    float top[STRIPS][2];
    bool outgrown = false;
#pragma unroll
    for (int i = 0; i < STRIPS; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            top[i][h] = -INFINITY;
#pragma unroll
            for (int j = 0; j < SLICE / 8; j++)
                top[i][h] = fmaxf(top[i][h], fmaxf(s[i][j][2 * h], s[i][j][2 * h + 1]));
            top[i][h] *= a.scale_log2;
            outgrown |= top[i][h] > w.m[i][h] + 8.0f;
        }
    if (__any_sync(0xffffffffu, outgrown)) {
#pragma unroll
        for (int i = 0; i < STRIPS; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float m_new = fmaxf(top[i][h], __shfl_xor_sync(0xffffffffu, top[i][h], 1));
                m_new = fmaxf(w.m[i][h], fmaxf(m_new, __shfl_xor_sync(0xffffffffu, m_new, 2)));
                float alpha = exp2_approx(w.m[i][h] - m_new);
                w.m[i][h] = m_new;
                w.l[i][h] *= alpha;
#pragma unroll
                for (int c = 0; c < D / 8; c++) {
                    w.o[i][c][2 * h] *= alpha;
                    w.o[i][c][2 * h + 1] *= alpha;
                }
            }
    }

    /* O += P V, 16 keys at a time; the exponentials of the next 16 keys are dealt out among the products. */
    const int to = thread() % 32;
    const uint32_t v_smem = smem + F::Q_BYTES + F::RING_BYTES + (n0 & (2 * F::BN - 1)) * F::ROW_BYTES +
                            swizzled<F>(to % 16, to / 16);
    constexpr int PART = 8 * STRIPS, STEPS = D / 16; /* of 16 keys: elements of P a thread; pieces of V */
    exponentiate<F>(s, w, 0, PART, a.scale_log2);
#pragma unroll
    for (int y = 0; y < SLICE / 16; y++) {
        uint32_t p[STRIPS][4], v[4];
#pragma unroll
        for (int i = 0; i < STRIPS; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                p[i][e] = narrow2<T>(s[i][2 * y + e / 2][e % 2 * 2], s[i][2 * y + e / 2][e % 2 * 2 + 1]);
#pragma unroll
        for (int x = 0; x < STEPS; x++) {
            ldmatrix_trans(v, along<F>(v_smem, x) + y * 16 * F::ROW_BYTES);
#pragma unroll
            for (int i = 0; i < STRIPS; i++) {
                mma<T>(w.o[i][2 * x], p[i], v[0], v[1]);
                mma<T>(w.o[i][2 * x + 1], p[i], v[2], v[3]);
            }
            if (y + 1 < SLICE / 16)
                exponentiate<F>(s, w, (y + 1) * PART + x * PART / STEPS,
                                (y + 1) * PART + (x + 1) * PART / STEPS, a.scale_log2);
        }
    }
}

/* ---- in any order ---------------------------------------------------------------------------------------- */

/* Starts copying the tile of K and that of V that begin with key n0, to their places in the rings. */
template <typename F, typename T>
static __device__ __forceinline__ void copy_keys(uint32_t k_smem, int n0, const attention<T> &a)
{
    constexpr int D = F::D;
    const int row = thread() / (D / 8), chunk = thread() % (D / 8), stride = a.num_heads_kv * D;
    const size_t at = k_row<D>(a, blockIdx.z, head_of_block<F>(), n0 + row) + chunk * 8;
    const T *k_from = a.k + at, *v_from = a.v + at;
    k_smem += (n0 & F::BN) * F::ROW_BYTES;
    copy_tile<F, F::BN>(k_smem, k_from, stride, a.seqlen_k - n0, a.k);
    copy_tile<F, F::BN>(k_smem + F::RING_BYTES, v_from, stride, a.seqlen_k - n0, a.v);
    cp_async_commit();
}

/* The whole walk over K and V; the same steps as below, but for where they lead. */
template <typename T, typename F>
static __device__ __forceinline__ void walk_in_order(warp_rows<F> &w, uint32_t q_smem, const attention<T> &a)
{
    constexpr int D = F::D, BN = F::BN, STRIPS = F::STRIPS;
    const uint32_t k_smem = q_smem + F::Q_BYTES;
    if (keys_of_block<F>(a) > 0) {
        const int row = thread() / (D / 8), chunk = thread() % (D / 8), m0 = first_row<F>();
        const T *q_from = a.q + q_row<D>(a, blockIdx.z, head_of_block<F>(), m0 + row) + chunk * 8;
        copy_tile<F, F::BM>(q_smem, q_from, a.num_heads * D, a.seqlen_q - m0, a.q);
        copy_keys<F>(k_smem, first_key<F>(a), a);
    }
    for (int n0 = first_key<F>(a); tw_kv_more(n0, keys_of_block<F>(a), walks_backward<F>());
         n0 = tw_kv_next_slice(n0, F::SLICE, BN, walks_backward<F>())) {
        if ((n0 & (BN - 1)) == 0) {
            cp_async_wait<0>();
            __syncthreads(); /* this tile is there, and nobody reads the one before it any more: refill its place */
            const int next = tw_kv_next_tile(n0, BN, walks_backward<F>());
            if (tw_kv_more(next, keys_of_block<F>(a), walks_backward<F>()))
                copy_keys<F>(k_smem, next, a);
        }
        if (F::Q_IN_REGISTERS && n0 == first_key<F>(a))
#pragma unroll
            for (int x = 0; x < D / 16; x++)
#pragma unroll
                for (int i = 0; i < STRIPS; i++)
                    ldmatrix(w.q[x][i],
                             along<F>(q_smem + swizzled<F>(thread() / 32 * (16 * STRIPS) + thread() % 16,
                                                           thread() % 32 / 16),
                                      x) +
                                 i * 16 * F::ROW_BYTES);

        if (n0 <= keys_of_warp<F>(a, 0) - F::SLICE)
            fold<false, T>(w, q_smem, n0, a);
        else if (n0 < keys_of_warp<F>(a, 16 * STRIPS - 1)) /* otherwise the warp sees nothing here */
            fold<true, T>(w, q_smem, n0, a);
    }
}

/* ---- the kernel ------------------------------------------------------------------------------------------ */

template <typename T, typename F>
__global__ void __launch_bounds__(F::NUM_THREADS, F::BLOCKS) flash2_mma(const attention_for<T, F> a)
{
    constexpr int D = F::D, BM = F::BM, BN = F::BN, STRIPS = F::STRIPS, ROW_BYTES = F::ROW_BYTES;
    extern __shared__ __align__(128) unsigned char smem[];
    const uint32_t q_smem = shared_address(smem);
    const uint32_t k_smem = q_smem + F::Q_BYTES, v_smem = k_smem + F::RING_BYTES;
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, row0 = threadIdx.x / 32 * (16 * STRIPS);
    if constexpr (F::ORDERED)
        find_place<F>(a);
    const int head = head_of_block<F>(), batch = blockIdx.z;

    warp_rows<F> w;
#pragma unroll
    for (int i = 0; i < STRIPS; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            w.m[i][h] = -FLT_MAX; /* not −∞, so that no difference of two of them is NaN */
            w.l[i][h] = 0.0f;
#pragma unroll
            for (int c = 0; c < D / 8; c++)
                w.o[i][c][2 * h] = w.o[i][c][2 * h + 1] = 0.0f;
        }

    if constexpr (F::ORDERED)
        walk_in_order<T>(w, q_smem, a);
    else {
        /* Q and the first K and V; a block whose rows see nothing loads nothing. */
        const int k_stride = a.num_heads_kv * D;
        const int row = threadIdx.x / (D / 8), chunk = threadIdx.x % (D / 8);
        const T *k_from = a.k + k_row<D>(a, batch, head, row) + chunk * 8;
        const T *v_from = a.v + k_row<D>(a, batch, head, row) + chunk * 8;
        if (keys_of_block<F>(a) > 0) {
            const int m0 = first_row<F>();
            const T *q_from = a.q + q_row<D>(a, batch, head, m0 + row) + chunk * 8;
            copy_tile<F, BM>(q_smem, q_from, a.num_heads * D, a.seqlen_q - m0, a.q);
            copy_tile<F, BN>(k_smem, k_from, k_stride, a.seqlen_k, a.k);
            copy_tile<F, BN>(v_smem, v_from, k_stride, a.seqlen_k, a.v);
            cp_async_commit();
        }

        for (int n0 = 0; n0 < keys_of_block<F>(a); n0 += F::SLICE) {
            if ((n0 & (BN - 1)) == 0) {
                cp_async_wait<0>();
                __syncthreads(); /* this tile is there, and nobody reads the one before it any more: refill its place */
                if (n0 < keys_of_block<F>(a) - BN) {
                    uint32_t place = (~n0 & BN) * ROW_BYTES;
                    copy_tile<F, BN>(k_smem + place, k_from, k_stride, a.seqlen_k - n0 - BN, a.k);
                    copy_tile<F, BN>(v_smem + place, v_from, k_stride, a.seqlen_k - n0 - BN, a.v);
                    cp_async_commit();
                }
            }
            if (F::Q_IN_REGISTERS && n0 == 0)
#pragma unroll
                for (int x = 0; x < D / 16; x++)
#pragma unroll
                    for (int i = 0; i < STRIPS; i++)
                        ldmatrix(w.q[x][i], along<F>(q_smem + swizzled<F>(row0 + lane % 16, lane / 16), x) +
                                                i * 16 * ROW_BYTES);

            if (n0 <= keys_of_warp<F>(a, 0) - F::SLICE)
                fold<false, T>(w, q_smem, n0, a);
            else if (n0 < keys_of_warp<F>(a, 16 * STRIPS - 1)) /* otherwise the warp sees nothing here */
                fold<true, T>(w, q_smem, n0, a);
        }
    }

    /* O / l and LSE = (m + log2 l) · ln 2. A row that saw no key has l = 0: O = 0, LSE = −∞. O goes where Q was. */
    const int m0 = first_row<F>(), num_rows = min(BM, a.seqlen_q - m0), o_head = head_of_block<F>();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < STRIPS; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float l = w.l[i][h];
            l += __shfl_xor_sync(0xffffffffu, l, 1);
            l += __shfl_xor_sync(0xffffffffu, l, 2);
            const float inverse = l > 0.0f ? 1.0f / l : 0.0f;
            const int o_row = row0 + 16 * i + g + 8 * h;
#pragma unroll
            for (int c = 0; c < D / 8; c++)
                *reinterpret_cast<uint32_t *>(smem + swizzled<F>(o_row, c) + 4 * t) = narrow2<T>(
                    w.o[i][c][2 * h] * inverse, w.o[i][c][2 * h + 1] * inverse);
            if (t == 0 && o_row < num_rows)
                a.lse[lse_at(a, batch, o_head, m0 + o_row)] = l > 0.0f ? (w.m[i][h] + log2f(l)) * (float)M_LN2
                                                                       : -INFINITY;
        }
    __syncwarp(); /* the warp's rows of O are in shared memory: 16 bytes a lane, whole sectors */
#pragma unroll
    for (int n = 0; n < STRIPS * D / 16; n++) {
        const int index = n * 32 + lane, o_row = row0 + index / (D / 8), o_chunk = index % (D / 8);
        if (o_row < num_rows)
            *reinterpret_cast<uint4 *>(a.o + q_row<D>(a, batch, o_head, m0 + o_row) + o_chunk * 8) =
                *reinterpret_cast<uint4 *>(smem + swizzled<F>(o_row, o_chunk));
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

/* head_dim, block_m, block_n */
/* clang-format off */
#define FORMS(X) \
    X(64, 128, 64)  X(64, 128, 128)  X(64, 64, 64)  X(64, 64, 128) \
    X(96, 128, 64)                   X(96, 64, 64) \
    X(128, 128, 64) X(128, 128, 128) X(128, 64, 64) X(128, 64, 128) \
    X(256, 128, 64)                  X(256, 64, 64)
/* Those that take any order: the tiles that are used by default. */
#define ORDERED_FORMS(X) X(64, 128, 128) X(128, 128, 64)
/* clang-format on */

#define TILING(block_m, block_n)                                                                             \
    {                                                                                                        \
        block_m, block_n, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD                         \
    }
extern "C" const tw_tiling tw_flash2_mma_tilings[] = {TILING(128, 64), TILING(128, 128), TILING(64, 64),
                                                      TILING(64, 128), TILING(0, 0)};

typedef struct variant {
    const void *fp16, *bf16; /* kernels; NULL if there are none */
    unsigned num_threads;
    size_t smem_bytes;
} variant;

template <typename F> static variant variant_of()
{
    const variant v = {(const void *)flash2_mma<__half, F>, (const void *)flash2_mma<__nv_bfloat16, F>,
                       F::NUM_THREADS, F::SMEM_BYTES};
    return v;
}

static bool own_order(const tw_tiling *t)
{
    return t->order == TW_ORDER_OWN && t->kv_order == TW_KV_FORWARD;
}

static variant find_variant(const tw_problem *p, const tw_tiling *t)
{
#define CASE(d, bm, bn)                                                                                      \
    if (own_order(t) && p->head_dim == d && t->block_m == bm && t->block_n == bn)                            \
        return variant_of<form<d, bm, bn>>();
#define ORDERED_CASE(d, bm, bn)                                                                              \
    if (!own_order(t) && p->head_dim == d && t->block_m == bm && t->block_n == bn)                           \
        return variant_of<form<d, bm, bn, true>>();
    FORMS(CASE)
    ORDERED_FORMS(ORDERED_CASE)
    variant none = {NULL, NULL, 0, 0};
    return none;
}

extern "C" tw_status tw_flash2_mma_supports(const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(tw_problem_check(p));
    if (p->dtype != TW_FP16 && p->dtype != TW_BF16)
        return tw_fail(TW_EUNSUPPORTED, "30_flash2_mma does not take %s, it takes fp16 and bf16",
                       tw_dtype_name(p->dtype));
    if (p->head_dim != 64 && p->head_dim != 96 && p->head_dim != 128 && p->head_dim != 256)
        return tw_fail(TW_EUNSUPPORTED,
                       "30_flash2_mma does not take head_dim %d, it takes 64, 96, 128 and 256", p->head_dim);
    if (p->batch > 65535 || p->num_heads > 65535)
        return tw_fail(TW_EUNSUPPORTED,
                       "30_flash2_mma takes at most 65535 heads and a batch of 65535, not %d and %d",
                       p->num_heads, p->batch);
    if (!((float)(tw_problem_scale(p) * M_LOG2E) >= FLT_MIN))
        return tw_fail(TW_EUNSUPPORTED,
                       "30_flash2_mma does not take a softmax_scale of %g, it must be at least %g",
                       tw_problem_scale(p), FLT_MIN);
    variant v = find_variant(p, t);
    if (v.fp16 == NULL)
        return tw_fail(
            TW_EUNSUPPORTED,
            "30_flash2_mma was not built for block_m %d and block_n %d; it has block_m 64 and "
            "128 with block_n 64, for head_dim 64 and 128 also with block_n 128; in other orders than its "
            "own 128 x 128 at head_dim 64 and 128 x 64 at head_dim 128",
            t->block_m, t->block_n);
    return rung_fits_shared_memory("30_flash2_mma", v.smem_bytes);
}

extern "C" size_t tw_flash2_mma_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_flash2_mma_launch(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    const variant v = find_variant(p, &args->tiling);
    const void *kernel = p->dtype == TW_FP16 ? v.fp16 : v.bf16;
    dim3 grid((unsigned)ceil_div(p->seqlen_q, args->tiling.block_m), (unsigned)p->num_heads,
              (unsigned)p->batch);
    /* A form for its own order reads the first part of it. */
    ordered_attention<__half> fp16 = {attention_of<__half>(args), args->tiling.order, args->tiling.kv_order};
    ordered_attention<__nv_bfloat16> bf16 = {attention_of<__nv_bfloat16>(args), args->tiling.order,
                                             args->tiling.kv_order};
    void *kernel_args[] = {p->dtype == TW_FP16 ? (void *)&fp16 : (void *)&bf16};
    TW_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)v.smem_bytes));
    TW_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                     cudaSharedmemCarveoutMaxShared));
    TW_CUDA_TRY(cudaLaunchKernel(kernel, grid, dim3(v.num_threads), kernel_args, v.smem_bytes, args->stream));
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}
