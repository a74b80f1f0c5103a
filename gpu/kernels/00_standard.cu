/*
 * 00_standard: attention as three separate steps, the way a first version does it.
 *
 *     scores    S = scale · Q Kᵀ      reads Q, K      writes S      a block: block_m x block_n of S
 *     softmax   P = softmax(mask S)   reads S         writes P, LSE a block: one row
 *     output    O = P V               reads P, V      writes O      a block: block_m x head_dim of O
 *
 * What it teaches: S and P are N x N matrices in HBM, in the input's type. They are written and read in full,
 * and that, not the arithmetic, is what attention costs. A causal mask saves nothing: masked scores are computed,
 * stored and read like all others.
 *
 * The products are tiled: a tile of each operand is staged in shared memory, so that each element is loaded once
 * per tile of the result and not once per multiplication. Softmax reads a row of S once where the row fits in
 * shared memory as fp32; otherwise twice, first for the maximum and the sum, then to write P.
 *
 * What it does not do: use tensor cores, wide loads or any overlap; 01_standard_cublas does these things.
 *
 * Shared memory, in floats; rows are padded by 1, so that 16 neighbouring rows start in 16 different banks:
 *
 *     scores    q_smem  block_m x (d + 1)        k_smem  block_n x (d + 1)
 *     softmax   the row of S: seqlen_k           (if it fits)
 *     output    p_smem  block_m x (block_n + 1)  v_smem  block_n x d
 *
 * Rows of S and P are padded in HBM to a multiple of 16 elements, so that they start on a 32-byte sector.
 */
#include "tile.cuh"

static const int BM = 64, BN = 64, PAD = 1;
static const int ROWS = BM / 16, KEYS = BN / 16; /* of S, a thread; threads are a 16 x 16 grid */

static __host__ __device__ size_t score_stride(int seqlen_k)
{
    return ((size_t)seqlen_k + 15) / 16 * 16;
}

/* S and P: [batch, num_heads, seqlen_q, score_stride]. */
template <typename T> static __device__ size_t score_row(const attention<T> &a, int batch, int head, int row)
{
    return lse_at(a, batch, head, row) * score_stride(a.seqlen_k);
}

/* Rows of D elements, `stride` apart in global memory, widened into shared memory; zeros from num_rows on. */
template <int D, typename T>
static __device__ void load_tile(float *smem, int smem_stride, const T *gmem, int stride, int tile_rows,
                                 int num_rows)
{
    for (int n = threadIdx.x; n < tile_rows * D; n += THREADS) {
        int row = n / D, x = n % D;
        smem[row * smem_stride + x] = row < num_rows ? load_widened(gmem + (size_t)row * stride + x) : 0.0f;
    }
}

/* S = scale · Q Kᵀ, without the mask. */
template <typename T, int D> __global__ void __launch_bounds__(THREADS) standard_scores(const attention<T> a)
{
    extern __shared__ float smem[];
    float *q_smem = smem, *k_smem = smem + BM * (D + PAD);
    T *s_gmem = (T *)a.workspace;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int tiles_n = (a.seqlen_k + BN - 1) / BN, head = blockIdx.y, batch = blockIdx.z;
    const int m0 = blockIdx.x / tiles_n * BM, n0 = blockIdx.x % tiles_n * BN;

    load_tile<D>(q_smem, D + PAD, a.q + q_row<D>(a, batch, head, m0), a.num_heads * D, BM, a.seqlen_q - m0);
    load_tile<D>(k_smem, D + PAD, a.k + k_row<D>(a, batch, head, n0), a.num_heads_kv * D, BN,
                 a.seqlen_k - n0);
    __syncthreads();

    float s[ROWS][KEYS] = {};
    for (int x = 0; x < D; x++) {
        float q[ROWS], k[KEYS];
        for (int i = 0; i < ROWS; i++)
            q[i] = q_smem[(ty + 16 * i) * (D + PAD) + x];
        for (int j = 0; j < KEYS; j++)
            k[j] = k_smem[(tx + 16 * j) * (D + PAD) + x];
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < KEYS; j++)
                s[i][j] += q[i] * k[j];
    }

    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < KEYS; j++) {
            int row = m0 + ty + 16 * i, col = n0 + tx + 16 * j;
            if (row < a.seqlen_q && col < a.seqlen_k)
                s_gmem[score_row(a, batch, head, row) + col] = narrow<T>(a.scale * s[i][j]);
        }
}

/* The maximum or the sum of one number per thread, for all threads of the block. */
static __device__ float block_max(float x)
{
    __shared__ float partial[THREADS / 32];
    for (int mask = 16; mask > 0; mask /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
    if (threadIdx.x % 32 == 0)
        partial[threadIdx.x / 32] = x;
    __syncthreads();
    for (int w = 0; w < THREADS / 32; w++)
        x = fmaxf(x, partial[w]);
    return x;
}

static __device__ float block_sum(float x)
{
    __shared__ float partial[THREADS / 32];
    for (int mask = 16; mask > 0; mask /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, mask);
    if (threadIdx.x % 32 == 0)
        partial[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0.0f;
    for (int w = 0; w < THREADS / 32; w++)
        x += partial[w];
    return x;
}

/* P = softmax of the keys that the row sees, 0 elsewhere; LSE. ON_CHIP: the row of S waits in shared memory. */
template <typename T, bool ON_CHIP>
__global__ void __launch_bounds__(THREADS) standard_softmax(const attention<T> a)
{
    extern __shared__ float row_smem[];
    const int row = blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    const int num_keys = keys_seen(a, row);
    const size_t at = score_row(a, batch, head, row);
    const T *s_gmem = (const T *)a.workspace + at;
    T *p_gmem = (T *)a.workspace + (size_t)gridDim.z * a.num_heads * a.seqlen_q * score_stride(a.seqlen_k) +
                at;

    /* Each thread keeps a running maximum and sum (the online softmax), so that one pass is enough. The loop count
     * is the same for all threads: if some left early, an unrolled loop would load in two groups and fill the
     * sectors between them twice. */
    float m = -INFINITY, l = 0.0f;
    for (int col0 = 0; col0 < a.seqlen_k; col0 += THREADS) {
        int col = col0 + threadIdx.x;
        float s = col < a.seqlen_k ? load_widened(s_gmem + col) : -INFINITY;
        if (ON_CHIP && col < a.seqlen_k)
            row_smem[col] = s;
        if (col < num_keys && s != -INFINITY) {
            float m_new = fmaxf(m, s);
            l = l * expf(m - m_new) + expf(s - m_new);
            m = m_new;
        }
    }
    float row_max = block_max(m);
    float row_sum = block_sum(m == -INFINITY ? 0.0f : l * expf(m - row_max));
    float inverse = row_sum > 0.0f ? 1.0f / row_sum : 0.0f;

    for (int col0 = 0; col0 < a.seqlen_k; col0 += THREADS) {
        int col = col0 + threadIdx.x;
        if (col >= a.seqlen_k)
            continue;
        float s = ON_CHIP ? row_smem[col] : load_widened(s_gmem + col);
        p_gmem[col] = narrow<T>(col < num_keys && row_sum > 0.0f ? expf(s - row_max) * inverse : 0.0f);
    }
    if (threadIdx.x == 0)
        a.lse[lse_at(a, batch, head, row)] = row_sum > 0.0f ? row_max + logf(row_sum) : -INFINITY;
}

/* Left to itself, the compiler for sm_80 keeps to 48 registers at head_dim 64 and spills one. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define OUTPUT_BOUNDS __launch_bounds__(THREADS, D == 64 ? 4 : 2)
#else
#define OUTPUT_BOUNDS __launch_bounds__(THREADS)
#endif

/* O = P V. */
template <typename T, int D> __global__ void OUTPUT_BOUNDS standard_output(const attention<T> a)
{
    constexpr int COLS = D / 16; /* of O, a thread */
    extern __shared__ float smem[];
    float *p_smem = smem, *v_smem = smem + BM * (BN + PAD);
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int head = blockIdx.y, batch = blockIdx.z, m0 = blockIdx.x * BM;
    const size_t stride = score_stride(a.seqlen_k);
    const T *p_gmem = (const T *)a.workspace + (size_t)gridDim.z * a.num_heads * a.seqlen_q * stride +
                      score_row(a, batch, head, m0);

    float o[ROWS][COLS] = {};
    for (int n0 = 0; n0 < a.seqlen_k; n0 += BN) {
        for (int n = threadIdx.x; n < BM * BN; n += THREADS) {
            int row = n / BN, col = n % BN;
            bool real = m0 + row < a.seqlen_q && n0 + col < a.seqlen_k;
            p_smem[row * (BN + PAD) + col] = real ? load_widened(p_gmem + row * stride + n0 + col) : 0.0f;
        }
        load_tile<D>(v_smem, D, a.v + k_row<D>(a, batch, head, n0), a.num_heads_kv * D, BN, a.seqlen_k - n0);
        __syncthreads();
        for (int y = 0; y < BN; y++) {
            float p[ROWS], v[COLS];
            for (int i = 0; i < ROWS; i++)
                p[i] = p_smem[(ty + 16 * i) * (BN + PAD) + y];
            for (int c = 0; c < COLS; c++)
                v[c] = v_smem[y * D + tx + 16 * c];
            for (int i = 0; i < ROWS; i++)
                for (int c = 0; c < COLS; c++)
                    o[i][c] += p[i] * v[c];
        }
        __syncthreads();
    }

    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < COLS; c++)
            if (m0 + ty + 16 * i < a.seqlen_q)
                a.o[q_row<D>(a, batch, head, m0 + ty + 16 * i) + tx + 16 * c] = narrow<T>(o[i][c]);
}

/* ---- host ---------------------------------------------------------------------------------------------- */

static const int64_t MAX_BLOCKS = INT32_MAX; /* of grid.x */

extern "C" const tw_tiling tw_standard_tilings[] = {
    {BM, BN, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
    {0, 0, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};

extern "C" tw_status tw_standard_supports(const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(rung_supports_problem("00_standard", p));
    TW_TRY(rung_has_one_order("00_standard", t));
    if (t->block_m != BM || t->block_n != BN)
        return rung_refuses_tiling("00_standard", t, tw_standard_tilings);
    if ((int64_t)ceil_div(p->seqlen_q, BM) * ceil_div(p->seqlen_k, BN) > MAX_BLOCKS)
        return tw_fail(TW_EUNSUPPORTED,
                       "00_standard: %d queries and %d keys are too many tiles for one launch", p->seqlen_q,
                       p->seqlen_k);
    return TW_OK;
}

extern "C" size_t tw_standard_workspace_bytes(const tw_problem *p, const tw_tiling *)
{
    return 2 * 2 * tw_problem_lse_elements(p) * score_stride(p->seqlen_k); /* S and P, 2 bytes an element */
}

template <typename T, int D> static tw_status launch(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    const unsigned tiles_m = (unsigned)ceil_div(p->seqlen_q, BM),
                   tiles_n = (unsigned)ceil_div(p->seqlen_k, BN);
    const unsigned heads = (unsigned)p->num_heads, batch = (unsigned)p->batch;
    const size_t row_bytes = sizeof(float) * (size_t)p->seqlen_k;
    const bool on_chip = p->seqlen_k <= TW_SOFTMAX_ROW_KEYS &&
                         rung_fits_shared_memory("", row_bytes) == TW_OK;

    TW_TRY(rung_launch(args, (const void *)standard_scores<T, D>, dim3(tiles_m * tiles_n, heads, batch),
                       sizeof(float) * (BM + BN) * (D + PAD)));
    TW_TRY(rung_launch(
        args, on_chip ? (const void *)standard_softmax<T, true> : (const void *)standard_softmax<T, false>,
        dim3((unsigned)p->seqlen_q, heads, batch), on_chip ? row_bytes : 0));
    return rung_launch(args, (const void *)standard_output<T, D>, dim3(tiles_m, heads, batch),
                       sizeof(float) * (BM * (BN + PAD) + BN * D));
}

extern "C" tw_status tw_standard_launch(const tw_gpu_args *args)
{
    bool fp16 = args->problem.dtype == TW_FP16;
    if (args->problem.head_dim == 64)
        return fp16 ? launch<__half, 64>(args) : launch<__nv_bfloat16, 64>(args);
    return fp16 ? launch<__half, 128>(args) : launch<__nv_bfloat16, 128>(args);
}
