/*
 * 25_mma: 20_flash2 on tensor cores, and nothing else that is clever.
 *
 * What it teaches: which lane holds what in mma.sync.m16n8k16, and that the accumulator layout of S is the A
 * layout of P, so that P goes from one product to the next without leaving the registers.
 *
 * What changed from 20_flash2: S and O are sums of 16 x 8 x 16 products; tiles stay in the input's type, so they
 * take half the room and P is rounded to that type; a warp owns 16 whole rows, so the row statistics need two
 * shuffles among four lanes. Fragments are fetched by hand, a register at a time.
 *
 * What it does not do: copy asynchronously. All threads load K and V, wait for them, compute, and start over; the
 * tensor cores idle meanwhile. V is read 16 bits at a time, because two neighbours along k lie in two rows.
 *
 * Shared memory, in elements of the input's type. Rows are padded by 16 bytes: eight neighbouring rows then
 * start four banks apart, and the words of a fragment, four of each row, lie in 32 different banks.
 *
 *     q_smem   block_m x (d + 8)   Q, at the end O: each warp its own 16 rows
 *     k_smem   block_n x (d + 8)
 *     v_smem   block_n x (d + 8)
 *
 * 256 threads, 8 warps of 16 rows. lane = 4g + t: rows row0 + g + 8h (h 0, 1) of S, P and O; columns 8j + 2t + e.
 */
#include "../mma.cuh"
#include "tile.cuh"

static const int BM = 128, BN = 64, PAD = 8;

template <int D> static constexpr size_t smem_bytes()
{
    return 2 * (BM + 2 * BN) * (D + PAD);
}

/* Rows of D elements, `stride` apart in global memory; zeros from num_rows on. */
template <int ROWS, int D, typename T>
static __device__ __forceinline__ void load_tile(T *smem, const T *gmem, int stride, int num_rows)
{
    tile_in_flight<ROWS, D> tile;
    tile.fetch(gmem, stride, num_rows);
#pragma unroll
    for (int n = 0; n < tile.PIECES; n++) {
        int index = threadIdx.x + n * THREADS, row = index / tile.CHUNKS, chunk = index % tile.CHUNKS;
        *reinterpret_cast<uint4 *>(smem + row * (D + PAD) + chunk * 8) = tile.piece[n];
    }
}

/* Two neighbours of a row, two neighbours of a column: what a register of a fragment holds. */
template <int D, typename T>
static __device__ __forceinline__ uint32_t along_row(const T *smem, int row, int x)
{
    return *reinterpret_cast<const uint32_t *>(smem + row * (D + PAD) + x);
}

template <int D, typename T>
static __device__ __forceinline__ uint32_t along_column(const T *smem, int row, int x)
{
    const uint16_t *word = reinterpret_cast<const uint16_t *>(smem + row * (D + PAD) + x);
    return word[0] | (uint32_t)word[D + PAD] << 16;
}

template <typename T, int D>
__global__ void __launch_bounds__(THREADS, D == 64 ? 2 : 1) mma_attention(const attention<T> a)
{
    extern __shared__ __align__(16) unsigned char smem[];
    T *q_smem = (T *)smem, *k_smem = q_smem + BM * (D + PAD), *v_smem = k_smem + BN * (D + PAD);
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int row0 = threadIdx.x / 32 * 16; /* the warp's first row in the tile */
    const int head = blockIdx.y, batch = blockIdx.z;
    const int m0 = (gridDim.x - 1 - blockIdx.x) * BM; /* last tiles first: causal, they are the longest */
    const int num_rows = min(BM, a.seqlen_q - m0);
    const int num_keys = keys_seen(a, m0 + num_rows - 1); /* the last row sees most */
    const int keys_first_row = keys_seen(a, m0);
    const int q_stride = a.num_heads * D, k_stride = a.num_heads_kv * D;
    const T *k_gmem = a.k + k_row<D>(a, batch, head, 0), *v_gmem = a.v + k_row<D>(a, batch, head, 0);

    float o[D / 8][4] = {};
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {}; /* l: this thread's columns only, until the end */
    if (num_keys > 0)                               /* a block whose rows see nothing loads nothing */
        load_tile<BM, D>(q_smem, a.q + q_row<D>(a, batch, head, m0), q_stride, num_rows);

    for (int n0 = 0; n0 < num_keys; n0 += BN) {
        load_tile<BN, D>(k_smem, k_gmem + (size_t)n0 * k_stride, k_stride, a.seqlen_k - n0);
        load_tile<BN, D>(v_smem, v_gmem + (size_t)n0 * k_stride, k_stride, a.seqlen_k - n0);
        __syncthreads(); /* the tiles are there */

        /* S = Q Kᵀ, 16 of d at a time. */
        float s[BN / 8][4] = {};
#pragma unroll
        for (int x = 0; x < D; x += 16) {
            uint32_t q[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                q[i] = along_row<D>(q_smem, row0 + g + i % 2 * 8, x + i / 2 * 8 + 2 * t);
#pragma unroll
            for (int j = 0; j < BN / 8; j++)
                mma<T>(s[j], q, along_row<D>(k_smem, 8 * j + g, x + 2 * t),
                       along_row<D>(k_smem, 8 * j + g, x + 8 + 2 * t));
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
            uint32_t p[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                p[i] = narrow2<T>(s[y / 8 + i / 2][i % 2 * 2], s[y / 8 + i / 2][i % 2 * 2 + 1]);
#pragma unroll
            for (int c = 0; c < D / 8; c++)
                mma<T>(o[c], p, along_column<D>(v_smem, y + 2 * t, 8 * c + g),
                       along_column<D>(v_smem, y + 8 + 2 * t, 8 * c + g));
        }
        __syncthreads(); /* nobody reads the tiles any more */
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
            *reinterpret_cast<uint32_t *>(q_smem + row * (D + PAD) + 8 * c + 2 * t) = narrow2<T>(
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
                                       x) = *reinterpret_cast<uint4 *>(q_smem + row * (D + PAD) + x);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

extern "C" const tw_tiling tw_mma_tilings[] = {
    {BM, BN, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
    {0, 0, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};

extern "C" tw_status tw_mma_supports(const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(rung_supports_problem("25_mma", p));
    TW_TRY(rung_has_one_order("25_mma", t));
    if (t->block_m != BM || t->block_n != BN)
        return tw_fail(TW_EUNSUPPORTED,
                       "25_mma was not built for block_m %d and block_n %d; it has %d and %d", t->block_m,
                       t->block_n, BM, BN);
    return rung_fits_shared_memory("25_mma", p->head_dim == 64 ? smem_bytes<64>() : smem_bytes<128>());
}

extern "C" size_t tw_mma_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

template <typename T, int D> static tw_status launch(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    dim3 grid((unsigned)ceil_div(p->seqlen_q, BM), (unsigned)p->num_heads, (unsigned)p->batch);
    return rung_launch(args, (const void *)mma_attention<T, D>, grid, smem_bytes<D>());
}

extern "C" tw_status tw_mma_launch(const tw_gpu_args *args)
{
    bool fp16 = args->problem.dtype == TW_FP16;
    if (args->problem.head_dim == 64)
        return fp16 ? launch<__half, 64>(args) : launch<__nv_bfloat16, 64>(args);
    return fp16 ? launch<__half, 128>(args) : launch<__nv_bfloat16, 128>(args);
}
