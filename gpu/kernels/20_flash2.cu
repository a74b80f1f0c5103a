/*
 * 20_flash2: FlashAttention-2's loop order. A block keeps one tile of Q; K and V stream past.
 *
 * What it teaches: with the query tile outside, O, m and l never leave the registers of the threads that own
 * their rows, and O is normalised and written once. K and V are loaded once per query tile, and that is nearly
 * all that enters the SM.
 *
 * What changed from 10_flash1: the loops swapped places. The block is now (query tile, head, batch), so there
 * is work for every SM; the arithmetic in the middle is the same.
 *
 * What it does not do: use tensor cores, or copy asynchronously: the next tile waits in registers while the
 * current product runs. Tiles are widened to fp32 on their way into shared memory, so that the products need
 * no conversions; that doubles the room they take. A tile is read from global memory in the input's type, each
 * element once, real rows only.
 *
 * Shared memory, in floats; rows are padded by 4 so that 8 neighbouring rows start in different banks:
 *
 *     q_smem   block_m x (d + 4)   Q · scale · log2 e
 *     k_smem   block_n x (d + 4)   K, then P:  block_m x (block_n + 4), in the same place
 *     v_smem   block_n x  d        V
 *
 * 256 threads. Each warp owns block_m / 8 rows of S, P and O, so softmax needs no other warp and P, in shared
 * memory only to change hands among the lanes of a warp, needs no block-wide barrier:
 *
 *     lane = 2·tx + ty     rows of S, O   row0 + ty + 2i          i < block_m / 16
 *     (tx 0-15, ty 0-1)    columns of S   tx + 16j                j < block_n / 16
 *                          columns of O   4·tx + 64c + 0 … 3      c < d / 64
 */
#include "tile.cuh"

static const int PAD = 4;

template <int D, int BM, int BN> struct flash2_layout {
    static const int K_FLOATS = BN * (D + PAD), P_FLOATS = BM * (BN + PAD);
    static const int Q_AT = 0;
    static const int K_AT = BM * (D + PAD);
    static const int V_AT = K_AT + (K_FLOATS > P_FLOATS ? K_FLOATS : P_FLOATS);
    static const size_t BYTES = sizeof(float) * (V_AT + BN * D);
};

template <typename T, int D, int BM, int BN>
__global__ void __launch_bounds__(THREADS, 1) flash2(const attention<T> a)
{
    typedef flash2_layout<D, BM, BN> layout;
    constexpr int ROWS = BM / 16, KEYS = BN / 16, QUADS = D / 64;
    extern __shared__ __align__(16) float smem[];
    float *q_smem = smem + layout::Q_AT, *k_smem = smem + layout::K_AT, *v_smem = smem + layout::V_AT;
    float *p_smem = k_smem;

    const int lane = threadIdx.x % 32, tx = lane / 2, ty = lane % 2;
    const int row0 = threadIdx.x / 32 * (2 * ROWS); /* the warp's first row in the tile */
    const int head = blockIdx.y, batch = blockIdx.z;
    const int m0 = (gridDim.x - 1 - blockIdx.x) *
                   BM; /* last tiles first: with a causal mask they are the longest */
    const int num_rows = min(BM, a.seqlen_q - m0);
    const int num_keys = keys_seen(a, m0 + num_rows - 1); /* the last row sees most */
    const int keys_first_row = keys_seen(a, m0);
    const int q_stride = a.num_heads * D, k_stride = a.num_heads_kv * D; /* < 2^23: rung_supports_problem() */
    const T *k_gmem = a.k + k_row<D>(a, batch, head, 0), *v_gmem = a.v + k_row<D>(a, batch, head, 0);

    float o[ROWS][4 * QUADS], m[ROWS], l[ROWS]; /* l: this thread's columns only, until the end */
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        m[i] = -INFINITY;
        l[i] = 0.0f;
#pragma unroll
        for (int c = 0; c < 4 * QUADS; c++)
            o[i][c] = 0.0f;
    }

    if (num_keys > 0) { /* Q and the first K; a block whose rows see nothing loads nothing */
        tile_in_flight<BM, D> q_tile;
        q_tile.fetch(a.q + q_row<D>(a, batch, head, m0), q_stride, num_rows);
        q_tile.template put<T>(q_smem, D + PAD, a.scale_log2);
        tile_in_flight<BN, D> k_tile;
        k_tile.fetch(k_gmem, k_stride, min(BN, a.seqlen_k));
        k_tile.template put<T>(k_smem, D + PAD, 1.0f);
    }
    __syncthreads();

    for (int n0 = 0; n0 < num_keys; n0 += BN) {
        tile_in_flight<BN, D> next; /* V of this step arrives while S is computed */
        next.fetch(v_gmem + (size_t)n0 * k_stride, k_stride, min(BN, a.seqlen_k - n0));

        /* S = Q Kᵀ, 4 of d at a time; exponents are in units of log2 from here on. */
        float s[ROWS][KEYS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < KEYS; j++)
                s[i][j] = 0.0f;
#pragma unroll 2
        for (int x = 0; x < D; x += 4) {
            float4 q[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                q[i] = *reinterpret_cast<float4 *>(&q_smem[(row0 + ty + 2 * i) * (D + PAD) + x]);
#pragma unroll
            for (int j = 0; j < KEYS; j++) {
                float4 k = *reinterpret_cast<float4 *>(&k_smem[(tx + 16 * j) * (D + PAD) + x]);
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    s[i][j] = dot4(q[i], k, s[i][j]);
            }
        }
        next.template put<T>(v_smem, D, 1.0f);

        /* Mask, only where the tile is cut by the diagonal or by the end of the sequence. */
        if (n0 + BN > keys_first_row) {
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                int limit = keys_seen(a, m0 + row0 + ty + 2 * i) - n0;
#pragma unroll
                for (int j = 0; j < KEYS; j++)
                    if (tx + 16 * j >= limit)
                        s[i][j] = -INFINITY;
            }
        }

        /* Online softmax: S becomes P; m, l and O are rescaled. While m is −∞, exponents are −∞ and never NaN. */
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float m_new = m[i];
#pragma unroll
            for (int j = 0; j < KEYS; j++)
                m_new = fmaxf(m_new, s[i][j]);
#pragma unroll
            for (int mask = 2; mask < 32; mask *= 2)
                m_new = fmaxf(m_new, __shfl_xor_sync(0xffffffffu, m_new, mask));
            float m_safe = m_new == -INFINITY ? 0.0f : m_new;
            float alpha = exp2_approx(m[i] - m_safe);
            m[i] = m_new;
            l[i] *= alpha;
#pragma unroll
            for (int j = 0; j < KEYS; j++) {
                s[i][j] = exp2_approx(s[i][j] - m_safe);
                l[i] += s[i][j];
            }
#pragma unroll
            for (int c = 0; c < 4 * QUADS; c++)
                o[i][c] *= alpha;
        }
        __syncthreads(); /* nobody reads K any more; all of V is there */

        bool more = n0 + BN < num_keys; /* the next K arrives while O is computed */
        if (more)
            next.fetch(k_gmem + (size_t)(n0 + BN) * k_stride, k_stride, min(BN, a.seqlen_k - n0 - BN));
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < KEYS; j++)
                p_smem[(row0 + ty + 2 * i) * (BN + PAD) + tx + 16 * j] = s[i][j];
        __syncwarp();

        /* O += P V, 4 keys at a time. */
#pragma unroll 2
        for (int y = 0; y < BN; y += 4) {
            float4 p[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                p[i] = *reinterpret_cast<float4 *>(&p_smem[(row0 + ty + 2 * i) * (BN + PAD) + y]);
#pragma unroll
            for (int u = 0; u < 4; u++)
#pragma unroll
                for (int c = 0; c < QUADS; c++) {
                    float4 v = *reinterpret_cast<float4 *>(&v_smem[(y + u) * D + 64 * c + 4 * tx]);
#pragma unroll
                    for (int i = 0; i < ROWS; i++) {
                        float weight = u == 0 ? p[i].x : u == 1 ? p[i].y : u == 2 ? p[i].z : p[i].w;
                        o[i][4 * c + 0] += weight * v.x;
                        o[i][4 * c + 1] += weight * v.y;
                        o[i][4 * c + 2] += weight * v.z;
                        o[i][4 * c + 3] += weight * v.w;
                    }
                }
        }
        __syncthreads(); /* nobody reads P or V any more */
        if (more)
            next.template put<T>(k_smem, D + PAD, 1.0f);
        __syncthreads();
    }

    /* O / l and LSE = (m + log2 l) · ln 2, written once. A row that saw no key has l = 0: O = 0, LSE = −∞. */
    float lse =
        0.0f; /* of row row0 + lane: neighbouring rows go to neighbouring lanes, for one whole store */
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int mask = 2; mask < 32; mask *= 2)
            l[i] += __shfl_xor_sync(0xffffffffu, l[i], mask);
        float inverse = l[i] > 0.0f ? 1.0f / l[i] : 0.0f;
        int row = row0 + ty + 2 * i;
        T *o_gmem = a.o + q_row<D>(a, batch, head, m0 + row);
#pragma unroll
        for (int c = 0; c < QUADS; c++) {
            uint2 packed = make_uint2(narrow2<T>(o[i][4 * c] * inverse, o[i][4 * c + 1] * inverse),
                                      narrow2<T>(o[i][4 * c + 2] * inverse, o[i][4 * c + 3] * inverse));
            if (row < num_rows)
                *reinterpret_cast<uint2 *>(o_gmem + 64 * c + 4 * tx) = packed;
        }
        if (tx == i)
            lse = l[i] > 0.0f ? (m[i] + log2f(l[i])) * (float)M_LN2 : -INFINITY;
    }
    if (lane < 2 * ROWS && row0 + lane < num_rows)
        a.lse[lse_at(a, batch, head, m0 + row0 + lane)] = lse;
}

/* ---- host ---------------------------------------------------------------------------------------------- */

#define TILINGS(X) X(128, 128) X(128, 64) X(128, 32) X(64, 128) X(64, 64) X(64, 32)

#define ROW(block_m, block_n)                                                                                \
    {block_m, block_n, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
extern "C" const tw_tiling tw_flash2_tilings[] = {
    TILINGS(ROW){0, 0, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};

typedef struct variant {
    const void *fp16, *bf16; /* kernels */
    size_t smem_bytes;
} variant;

template <int D, int BM, int BN> static variant variant_of()
{
    variant v = {(const void *)flash2<__half, D, BM, BN>, (const void *)flash2<__nv_bfloat16, D, BM, BN>,
                 flash2_layout<D, BM, BN>::BYTES};
    return v;
}

/* The kernels of a head_dim and tiling; smem_bytes is 0 if there are none. */
static variant find_variant(const tw_problem *p, const tw_tiling *t)
{
#define CASE(bm, bn)                                                                                         \
    if (t->block_m == bm && t->block_n == bn)                                                                \
        return p->head_dim == 64 ? variant_of<64, bm, bn>() : variant_of<128, bm, bn>();
    TILINGS(CASE)
    variant none = {NULL, NULL, 0};
    return none;
}

extern "C" tw_status tw_flash2_supports(const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(rung_supports_problem("20_flash2", p));
    TW_TRY(rung_has_one_order("20_flash2", t));
    variant v = find_variant(p, t);
    if (v.smem_bytes == 0)
        return rung_refuses_tiling("20_flash2", t, tw_flash2_tilings);
    return rung_fits_shared_memory("20_flash2", v.smem_bytes);
}

extern "C" size_t tw_flash2_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_flash2_launch(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    variant v = find_variant(p, &args->tiling);
    dim3 grid((unsigned)ceil_div(p->seqlen_q, args->tiling.block_m), (unsigned)p->num_heads,
              (unsigned)p->batch);
    return rung_launch(args, p->dtype == TW_FP16 ? v.fp16 : v.bf16, grid, v.smem_bytes);
}
