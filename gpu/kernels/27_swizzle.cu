/*
 * 27_swizzle: 26_cp_async, with fragments fetched by ldmatrix from rows without padding.
 *
 * What it teaches: ldmatrix hands a warp four 8 x 8 matrices at once, transposed on request, so that V needs no
 * 16-bit loads. A matrix is eight rows of 16 bytes; where rows are a multiple of 128 bytes apart, as they lie
 * without padding, all eight start in the same four banks. So the 16-byte chunks of a row change places:
 *
 *     chunk c of row r is stored where chunk c ^ (r % 8) would be
 *
 *                chunk in memory  0 1 2 3 4 5 6 7        (d = 64; at d = 128 twice, side by side)
 *     row 0      holds chunk      0 1 2 3 4 5 6 7
 *     row 1                       1 0 3 2 5 4 7 6        a column of chunks, which is a matrix for ldmatrix,
 *     row 2                       2 3 0 1 6 7 4 5        lies in eight different places: all 32 banks, once
 *     ...                         ...
 *     row 7                       7 6 5 4 3 2 1 0
 *
 * What changed from 26_cp_async: one ldmatrix in place of 4 (Q, K) or 8 (V) loads, and no padding, which gives
 * room back. Copies, which write whole rows, are free of conflicts either way.
 *
 * What it does not do: overlap softmax with products inside a warp, or spare instructions; 30_flash2_mma does.
 * With 16 rows a warp, every ldmatrix of K or V feeds only two products: shared memory then binds before the
 * tensor cores do (16 cycles a ldmatrix.x4 and quarter of the SM, 12 for two products).
 *
 * Shared memory, in elements of the input's type:
 *
 *     q_smem    block_m x d         Q, at the end O: each warp its own 16 rows
 *     kv_smem   stage 0: K, V       2 x block_n x d
 *               stage 1: K, V       2 x block_n x d
 *
 * 256 threads, 8 warps of 16 rows. lane = 4g + t: rows row0 + g + 8h (h 0, 1) of S, P and O; columns 8j + 2t + e.
 */
#include "../mma.cuh"
#include "tile.cuh"

static const int BM = 128, BN = 64;

template <int D> static constexpr size_t smem_bytes()
{
    return 2 * (BM + 2 * 2 * BN) * D;
}

/* Where in a tile element x of a row lies; x / 8 is its chunk. */
template <int D> static __device__ __forceinline__ int swizzled(int row, int x)
{
    return row * D + (((x / 8) ^ (row % 8)) * 8 | x % 8);
}

/* Starts copying rows of D elements, `stride` apart in global memory; zeros from num_rows on. */
template <int ROWS, int D, typename T>
static __device__ __forceinline__ void copy_tile(T *smem, const T *gmem, int stride, int num_rows)
{
#pragma unroll
    for (int n = 0; n < ROWS * D / 8 / THREADS; n++) {
        int index = threadIdx.x + n * THREADS, row = index / (D / 8), x = index % (D / 8) * 8;
        const T *from = gmem + (row < num_rows ? row : 0) * stride + x;
        cp_async_or_zeros(shared_address(smem + swizzled<D>(row, x)), from, row < num_rows);
    }
}

template <typename T, int D>
__global__ void __launch_bounds__(THREADS, D == 64 ? 2 : 1) swizzle_attention(const attention<T> a)
{
    extern __shared__ __align__(128) unsigned char smem[];
    T *q_smem = (T *)smem, *kv_smem = q_smem + BM * D;
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int row0 = threadIdx.x / 32 * 16;      /* the warp's first row in the tile */
    const int low = lane % 16, high = lane / 16; /* row and half of a 16 x 16 piece for ldmatrix */
    const int head = blockIdx.y, batch = blockIdx.z;
    const int m0 = (gridDim.x - 1 - blockIdx.x) * BM; /* last tiles first: causal, they are the longest */
    const int num_rows = min(BM, a.seqlen_q - m0);
    const int num_keys = keys_seen(a, m0 + num_rows - 1); /* the last row sees most */
    const int keys_first_row = keys_seen(a, m0);
    const int q_stride = a.num_heads * D, k_stride = a.num_heads_kv * D;
    const T *k_gmem = a.k + k_row<D>(a, batch, head, 0), *v_gmem = a.v + k_row<D>(a, batch, head, 0);

    float o[D / 8][4] = {};
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {}; /* l: this thread's columns only, until the end */
    if (num_keys > 0) {                             /* a block whose rows see nothing loads nothing */
        copy_tile<BM, D>(q_smem, a.q + q_row<D>(a, batch, head, m0), q_stride, num_rows);
        copy_tile<BN, D>(kv_smem, k_gmem, k_stride, a.seqlen_k);
        copy_tile<BN, D>(kv_smem + BN * D, v_gmem, k_stride, a.seqlen_k);
    }
    cp_async_commit();

    for (int n0 = 0, stage = 0; n0 < num_keys; n0 += BN, stage ^= 1) {
        cp_async_wait<0>();
        __syncthreads(); /* the tiles are there, and nobody reads the other stage any more: refill it */
        T *k_smem = kv_smem + stage * 2 * BN * D, *v_smem = k_smem + BN * D;
        int next = n0 + BN;
        if (next < num_keys) {
            T *to = kv_smem + (stage ^ 1) * 2 * BN * D;
            copy_tile<BN, D>(to, k_gmem + (size_t)next * k_stride, k_stride, a.seqlen_k - next);
            copy_tile<BN, D>(to + BN * D, v_gmem + (size_t)next * k_stride, k_stride, a.seqlen_k - next);
        }
        cp_async_commit();

        /* S = Q Kᵀ, 16 of d at a time. */
        float s[BN / 8][4] = {};
#pragma unroll
        for (int x = 0; x < D; x += 16) {
            uint32_t q[4], k[4];
            ldmatrix(q, shared_address(q_smem + swizzled<D>(row0 + low, x + 8 * high)));
#pragma unroll
            for (int j = 0; j < BN / 8;
                 j += 2) { /* k[0], k[1] must be one B: lanes 8-15 take the other half */
                ldmatrix(k, shared_address(k_smem + swizzled<D>(8 * (j + high) + lane % 8, x + low / 8 * 8)));
                mma<T>(s[j], q, k[0], k[1]);
                mma<T>(s[j + 1], q, k[2], k[3]);
            }
        }

        /* Exponents in units of log2. Mask, only where the diagonal or the end of the sequence cuts the tile. */
#pragma unroll
        for (int j = 0; j < BN / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s[j][e] *= a.scale_log2;
        if (n0 + BN > keys_first_row) {
#pragma unroll
            for (int j = 0; j < BN / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (n0 + 8 * j + 2 * t + e % 2 >= keys_seen(a, m0 + row0 + g + e / 2 * 8))
                        s[j][e] = -INFINITY;
        }

        /* Online softmax: S becomes P; m, l and O are rescaled. While m is −∞, exponents are −∞ and never NaN. */
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float m_new = m[h];
#pragma unroll
            for (int j = 0; j < BN / 8; j++)
                m_new = fmaxf(m_new, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
            m_new = fmaxf(m_new, __shfl_xor_sync(0xffffffffu, m_new, 1));
            m_new = fmaxf(m_new, __shfl_xor_sync(0xffffffffu, m_new, 2));
            float m_safe = m_new == -INFINITY ? 0.0f : m_new;
            float alpha = exp2_approx(m[h] - m_safe);
            m[h] = m_new;
            l[h] *= alpha;
#pragma unroll
            for (int j = 0; j < BN / 8; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    s[j][e] = exp2_approx(s[j][e] - m_safe);
                    l[h] += s[j][e];
                }
#pragma unroll
            for (int c = 0; c < D / 8; c++) {
                o[c][2 * h] *= alpha;
                o[c][2 * h + 1] *= alpha;
            }
        }

        /* O += P V, 16 keys at a time. */
#pragma unroll
        for (int y = 0; y < BN; y += 16) {
            uint32_t p[4], v[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                p[i] = narrow2<T>(s[y / 8 + i / 2][i % 2 * 2], s[y / 8 + i / 2][i % 2 * 2 + 1]);
#pragma unroll
            for (int c = 0; c < D / 8; c += 2) {
                ldmatrix_trans(v, shared_address(v_smem + swizzled<D>(y + low, 8 * (c + high))));
                mma<T>(o[c], p, v[0], v[1]);
                mma<T>(o[c + 1], p, v[2], v[3]);
            }
        }
    }

    /* O / l and LSE = (m + log2 l) · ln 2, written once. A row that saw no key has l = 0: O = 0, LSE = −∞. */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        l[h] += __shfl_xor_sync(0xffffffffu, l[h], 1);
        l[h] += __shfl_xor_sync(0xffffffffu, l[h], 2);
        float inverse = l[h] > 0.0f ? 1.0f / l[h] : 0.0f;
        int row = row0 + g + 8 * h;
#pragma unroll
        for (int c = 0; c < D / 8; c++)
            *reinterpret_cast<uint32_t *>(q_smem + swizzled<D>(row, 8 * c + 2 * t)) = narrow2<T>(
                o[c][2 * h] * inverse, o[c][2 * h + 1] * inverse);
        if (t == 0 && row < num_rows)
            a.lse[lse_at(a, batch, head, m0 + row)] = l[h] > 0.0f ? (m[h] + log2f(l[h])) * (float)M_LN2
                                                                  : -INFINITY;
    }
    __syncwarp(); /* the warp's 16 rows of O are in shared memory: 16 bytes a lane, whole sectors */
#pragma unroll
    for (int n = 0; n < D / 16; n++) {
        int index = n * 32 + lane, row = row0 + index / (D / 8), x = index % (D / 8) * 8;
        if (row < num_rows)
            *reinterpret_cast<uint4 *>(a.o + q_row<D>(a, batch, head, m0 + row) +
                                       x) = *reinterpret_cast<uint4 *>(q_smem + swizzled<D>(row, x));
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

extern "C" const tw_tiling tw_swizzle_tilings[] = {
    {BM, BN, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
    {0, 0, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};

extern "C" tw_status tw_swizzle_supports(const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(rung_supports_problem("27_swizzle", p));
    TW_TRY(rung_has_one_order("27_swizzle", t));
    if (t->block_m != BM || t->block_n != BN)
        return tw_fail(TW_EUNSUPPORTED,
                       "27_swizzle was not built for block_m %d and block_n %d; it has %d and %d", t->block_m,
                       t->block_n, BM, BN);
    return rung_fits_shared_memory("27_swizzle", p->head_dim == 64 ? smem_bytes<64>() : smem_bytes<128>());
}

extern "C" size_t tw_swizzle_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

template <typename T, int D> static tw_status launch(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    dim3 grid((unsigned)ceil_div(p->seqlen_q, BM), (unsigned)p->num_heads, (unsigned)p->batch);
    return rung_launch(args, (const void *)swizzle_attention<T, D>, grid, smem_bytes<D>());
}

extern "C" tw_status tw_swizzle_launch(const tw_gpu_args *args)
{
    bool fp16 = args->problem.dtype == TW_FP16;
    if (args->problem.head_dim == 64)
        return fp16 ? launch<__half, 64>(args) : launch<__nv_bfloat16, 64>(args);
    return fp16 ? launch<__half, 128>(args) : launch<__nv_bfloat16, 128>(args);
}
