/*
 * 10_flash1: FlashAttention as first published (Dao et al. 2022, arXiv:2205.14135, Algorithm 1).
 *
 * What it teaches: S and P never leave the chip, and what that costs when K and V are the outer loop: O, m and l
 * of every query tile are read from and written back to HBM once per K/V tile. Bytes fall as block_n grows.
 *
 *     for each K/V tile j:   load K_j, V_j
 *         for each query tile i:   load Q_i, O_i, m_i, l_i
 *             S = Q_i K_jᵀ;  m' = max(m, rowmax S);  P = e^(S − m');  l' = e^(m − m') l + rowsum P
 *             O_i = (e^(m − m') l O_i + P V_j) / l'      store O_i, m', l'
 *
 * What changed from 00_standard: one kernel instead of three, the online softmax, no N x N matrix in HBM.
 *
 * As published, one block does a whole (head, batch), so 16 heads keep 16 of 132 SMs busy. O is kept in the
 * input's type, normalised on every pass. m and l are fp32 and live in the workspace; in a row's last pass its
 * LSE = m + ln l is written instead of m, so LSE costs no traffic. With a causal mask, query tiles that see
 * nothing of the K/V tile are skipped. The kernel tw_init_flash1 sets O = 0, m = −∞, l = 0 beforehand.
 *
 * What it does not do: use tensor cores, or spread one head over several SMs (20_flash2 does). O is rounded to
 * the input's type in every pass, and the more passes a key's weight goes through the less precise it is: with
 * block_n 32 the error comes close to twice that of standard attention, so this tiling stops at 2048 keys.
 *
 * Shared memory, in floats; tiles are widened to fp32 on their way in and rows padded by 4 (see 20_flash2):
 *
 *     k_smem   block_n x (d + 4)   K_j, for all query tiles
 *     v_smem   block_n x  d        V_j, likewise
 *     q_smem   block_m x (d + 4)   Q_i · scale · log2 e, then P:  block_m x (block_n + 4), in the same place
 *
 * 256 threads; each warp owns block_m / 8 rows, each thread the same part of S and O as in 20_flash2.
 */
#include "tile.cuh"

static const int PAD = 4;
static const int MAX_KEYS_BLOCK_N_32 = 2048;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
static const int UNROLL = 1; /* 2 spills there: its compiler needs a few registers more */
#else
static const int UNROLL = 2;
#endif

template <int D, int BM, int BN> struct flash1_layout {
    static const int Q_FLOATS = BM * (D + PAD), P_FLOATS = BM * (BN + PAD);
    static const int K_AT = 0;
    static const int V_AT = BN * (D + PAD);
    static const int Q_AT = V_AT + BN * D;
    static const size_t BYTES = sizeof(float) * (Q_AT + (Q_FLOATS > P_FLOATS ? Q_FLOATS : P_FLOATS));
};

/* Rows of m and l are padded so that every head starts on a 32-byte sector. */
static __host__ __device__ size_t stats_stride(int seqlen_q)
{
    return ((size_t)seqlen_q + 7) / 8 * 8;
}

template <typename T, int D, int BM, int BN>
__global__ void __launch_bounds__(THREADS, 1) flash1(const attention<T> a)
{
    typedef flash1_layout<D, BM, BN> layout;
    constexpr int ROWS = BM / 16, KEYS = BN / 16, QUADS = D / 64;
    extern __shared__ __align__(16) float smem[];
    float *k_smem = smem + layout::K_AT, *v_smem = smem + layout::V_AT, *q_smem = smem + layout::Q_AT;
    float *p_smem = q_smem;

    const int lane = threadIdx.x % 32, tx = lane / 2, ty = lane % 2;
    const int row0 = threadIdx.x / 32 * (2 * ROWS); /* the warp's first row in the tile */
    const int head = blockIdx.x, batch = blockIdx.y;
    const int q_stride = a.num_heads * D, k_stride = a.num_heads_kv * D; /* < 2^23: rung_supports_problem() */
    const size_t stats = (size_t)gridDim.y * a.num_heads * stats_stride(a.seqlen_q);
    float *m_gmem = (float *)a.workspace + ((size_t)batch * a.num_heads + head) * stats_stride(a.seqlen_q);
    float *l_gmem = m_gmem + stats, *lse_gmem = a.lse + lse_at(a, batch, head, 0);
    const T *q_gmem = a.q + q_row<D>(a, batch, head, 0);
    T *o_gmem = a.o + q_row<D>(a, batch, head, 0);

    const int num_keys = keys_seen(a, a.seqlen_q - 1); /* keys past these, no row sees */
    for (int n0 = 0; n0 < num_keys; n0 += BN) {
        { /* K_j and V_j */
            tile_in_flight<BN, D> k_tile, v_tile;
            size_t at = k_row<D>(a, batch, head, n0);
            k_tile.fetch(a.k + at, k_stride, min(BN, a.seqlen_k - n0));
            k_tile.template put<T>(k_smem, D + PAD, 1.0f);
            v_tile.fetch(a.v + at, k_stride, min(BN, a.seqlen_k - n0));
            v_tile.template put<T>(v_smem, D, 1.0f);
        }

        /* The first query row that sees key n0, and its tile. */
        const int first_row = a.causal ? max(0, n0 - (a.seqlen_k - a.seqlen_q)) : 0;
        const int first_tile = first_row / BM * BM;
        tile_in_flight<BM, D> q_tile;
        q_tile.fetch(q_gmem + (size_t)first_tile * q_stride, q_stride, min(BM, a.seqlen_q - first_tile));

        for (int m0 = first_tile; m0 < a.seqlen_q; m0 += BM) {
            const int num_rows = min(BM, a.seqlen_q - m0);
            const bool last_pass = n0 + BN >= keys_seen(a, m0 + num_rows - 1);
            q_tile.template put<T>(q_smem, D + PAD, a.scale_log2);
            __syncthreads();

            /* O_i as it is, 4 elements a load; m_i and l_i: one row per lane, neighbours side by side. */
            uint2 o_old[ROWS][QUADS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int c = 0; c < QUADS; c++) {
                    int row = row0 + ty + 2 * i;
                    o_old[i][c] = make_uint2(0, 0);
                    if (row < num_rows)
                        o_old[i][c] = load_8_bytes(o_gmem + (size_t)(m0 + row) * q_stride + 64 * c + 4 * tx);
                }
            const bool owns_stats = lane < 2 * ROWS && row0 + lane < num_rows;
            float m_lane = -INFINITY, l_lane = 0.0f;
            if (owns_stats) {
                m_lane = load_float(m_gmem + m0 + row0 + lane);
                l_lane = load_float(l_gmem + m0 + row0 + lane);
            }

            /* S = Q Kᵀ, 4 of d at a time; exponents are in units of log2 from here on. */
            float s[ROWS][KEYS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < KEYS; j++)
                    s[i][j] = 0.0f;
#pragma unroll UNROLL
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

            /* Mask, only where the tile is cut by the diagonal or by the end of the sequence. */
            if (n0 + BN > keys_seen(a, m0)) {
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    int limit = keys_seen(a, m0 + row0 + ty + 2 * i) - n0;
#pragma unroll
                    for (int j = 0; j < KEYS; j++)
                        if (tx + 16 * j >= limit)
                            s[i][j] = -INFINITY;
                }
            }
            __syncthreads(); /* nobody reads Q any more: P takes its place, and the next Q may start */
            if (m0 + BM < a.seqlen_q)
                q_tile.fetch(q_gmem + (size_t)(m0 + BM) * q_stride, q_stride, min(BM, a.seqlen_q - m0 - BM));

            /* Online softmax: S becomes P, m and l move on, O is scaled to what it weighs beside the new part. */
            float o[ROWS][4 * QUADS], inverse[ROWS], lse_lane = 0.0f;
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                float m_old = __shfl_sync(0xffffffffu, m_lane, 2 * i + ty);
                float l_old = __shfl_sync(0xffffffffu, l_lane, 2 * i + ty);
                float m_new = m_old;
#pragma unroll
                for (int j = 0; j < KEYS; j++)
                    m_new = fmaxf(m_new, s[i][j]);
#pragma unroll
                for (int mask = 2; mask < 32; mask *= 2)
                    m_new = fmaxf(m_new, __shfl_xor_sync(0xffffffffu, m_new, mask));
                float m_safe = m_new == -INFINITY
                                   ? 0.0f
                                   : m_new; /* nothing seen so far: exponents are −∞, not NaN */
                float row_sum = 0.0f;
#pragma unroll
                for (int j = 0; j < KEYS; j++) {
                    s[i][j] = exp2_approx(s[i][j] - m_safe);
                    row_sum += s[i][j];
                    p_smem[(row0 + ty + 2 * i) * (BN + PAD) + tx + 16 * j] = s[i][j];
                }
#pragma unroll
                for (int mask = 2; mask < 32; mask *= 2)
                    row_sum += __shfl_xor_sync(0xffffffffu, row_sum, mask);
                float weight = l_old * exp2_approx(m_old - m_safe);
                float l_new = weight + row_sum;
                inverse[i] = l_new > 0.0f ? 1.0f / l_new : 0.0f;
#pragma unroll
                for (int c = 0; c < QUADS; c++) {
                    float2 x = widen2<T>(o_old[i][c].x), y = widen2<T>(o_old[i][c].y);
                    o[i][4 * c + 0] = weight * x.x;
                    o[i][4 * c + 1] = weight * x.y;
                    o[i][4 * c + 2] = weight * y.x;
                    o[i][4 * c + 3] = weight * y.y;
                }
                if (tx == i) { /* lane 2i + ty: this row's statistics are its own */
                    m_lane = m_new;
                    l_lane = l_new;
                    lse_lane = l_new > 0.0f ? (m_new + log2f(l_new)) * (float)M_LN2 : -INFINITY;
                }
            }
            __syncwarp();

            /* O += P V, 4 keys at a time. */
#pragma unroll UNROLL
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

            /* O_i, m_i and l_i go back; in the last pass LSE goes out in m's stead. */
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int c = 0; c < QUADS; c++) {
                    int row = row0 + ty + 2 * i;
                    uint2 packed = make_uint2(
                        narrow2<T>(o[i][4 * c] * inverse[i], o[i][4 * c + 1] * inverse[i]),
                        narrow2<T>(o[i][4 * c + 2] * inverse[i], o[i][4 * c + 3] * inverse[i]));
                    if (row < num_rows)
                        store_8_bytes(o_gmem + (size_t)(m0 + row) * q_stride + 64 * c + 4 * tx, packed);
                }
            if (owns_stats) {
                store_float(l_gmem + m0 + row0 + lane, l_lane);
                store_float((last_pass ? lse_gmem : m_gmem) + m0 + row0 + lane,
                            last_pass ? lse_lane : m_lane);
            }
            __syncthreads(); /* nobody reads P any more */
        }
    }
}

/* O = 0, m = −∞, l = 0, and LSE = −∞ for rows that no pass will reach. One block per row of all heads. */
template <typename T> __global__ void tw_init_flash1(const attention<T> a, int head_dim)
{
    int row = blockIdx.x, batch = blockIdx.y;
    size_t width = (size_t)a.num_heads * head_dim;
    uint32_t *o_gmem = (uint32_t *)(a.o + ((size_t)batch * a.seqlen_q + row) * width);
    for (size_t n = threadIdx.x; n < width / 2; n += blockDim.x)
        o_gmem[n] = 0;
    for (int head = threadIdx.x; head < a.num_heads; head += blockDim.x) {
        size_t stats = (size_t)gridDim.y * a.num_heads * stats_stride(a.seqlen_q);
        float *m_gmem = (float *)a.workspace +
                        ((size_t)batch * a.num_heads + head) * stats_stride(a.seqlen_q);
        m_gmem[row] = -INFINITY;
        m_gmem[stats + row] = 0.0f;
        a.lse[lse_at(a, batch, head, row)] = -INFINITY;
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

/* block_n 256 at d = 128 would need 352,256 bytes of shared memory; it is left out. */
#define TILINGS(X) X(128, 128) X(128, 64) X(128, 32) X(64, 256) X(64, 128) X(64, 64) X(64, 32)

#define ROW(block_m, block_n)                                                                                \
    {block_m, block_n, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
extern "C" const tw_tiling tw_flash1_tilings[] = {
    TILINGS(ROW){0, 0, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};

typedef struct variant {
    const void *fp16, *bf16; /* kernels */
    size_t smem_bytes;
} variant;

template <int D, int BM, int BN> static variant variant_of()
{
    if constexpr (flash1_layout<D, BM, BN>::BYTES > 232448)
        return variant{NULL, NULL, flash1_layout<D, BM, BN>::BYTES};
    else
        return variant{(const void *)flash1<__half, D, BM, BN>,
                       (const void *)flash1<__nv_bfloat16, D, BM, BN>, flash1_layout<D, BM, BN>::BYTES};
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

extern "C" tw_status tw_flash1_supports(const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(rung_supports_problem("10_flash1", p));
    TW_TRY(rung_has_one_order("10_flash1", t));
    variant v = find_variant(p, t);
    if (v.smem_bytes == 0)
        return rung_refuses_tiling("10_flash1", t, tw_flash1_tilings);
    if (t->block_n <= 32 && p->seqlen_k > MAX_KEYS_BLOCK_N_32)
        return tw_fail(TW_EUNSUPPORTED,
                       "10_flash1 takes at most %d keys with block_n %d, not %d: it would round O too often",
                       MAX_KEYS_BLOCK_N_32, t->block_n, p->seqlen_k);
    return rung_fits_shared_memory("10_flash1", v.smem_bytes);
}

extern "C" size_t tw_flash1_workspace_bytes(const tw_problem *p, const tw_tiling *)
{
    return 2 * sizeof(float) * (size_t)p->batch * p->num_heads * stats_stride(p->seqlen_q); /* m, l */
}

template <typename T> static tw_status init(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    dim3 grid((unsigned)p->seqlen_q, (unsigned)p->batch);
    tw_init_flash1<T><<<grid, THREADS, 0, args->stream>>>(attention_of<T>(args), p->head_dim);
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

extern "C" tw_status tw_flash1_launch(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    variant v = find_variant(p, &args->tiling);
    dim3 grid((unsigned)p->num_heads, (unsigned)p->batch);
    TW_TRY(p->dtype == TW_FP16 ? init<__half>(args) : init<__nv_bfloat16>(args));
    return rung_launch(args, p->dtype == TW_FP16 ? v.fp16 : v.bf16, grid, v.smem_bytes);
}
