/*
 * 01_standard_cublas: the same three steps as 00_standard, each about as fast as the memory lets it be.
 *
 *     cuBLAS    S = scale · Q Kᵀ      tensor cores, fp32 accumulation, scale inside the product
 *     softmax   P = softmax(mask S)   16-byte accesses, the row in registers: one read, one write
 *     cuBLAS    O = P V
 *
 * What it teaches: with every step tuned by itself, N x N matrices still go through HBM four times. This is the
 * baseline that a fused kernel has to beat, and not 00_standard.
 *
 * What changed from 00_standard: the products are cuBLAS's. P replaces S in place. Softmax walks the rows
 * backwards: what the first product wrote last is still in L2, and what softmax writes last is what the second
 * product reads first.
 *
 * Which tiles cuBLAS uses is its own choice and depends on the shape. block_m = 256 and block_n = 128 are what the
 * fill counter says it used on the grid of notebooks_data/: met within 0.1 % at d = 128; at d = 64 the counter
 * shows 4 % less (V is shared by two blocks), and small problems get smaller tiles and a larger fill.
 *
 * What it does not do: spare masked scores; a row of more than TW_SOFTMAX_ROW_KEYS keys is read twice. Scores beyond the
 * range of fp16 overflow, as in every unfused implementation.
 *
 * Workspace: pointers of the batched products | cuBLAS's own workspace | S, then P, in place.
 * Softmax needs no shared memory but one float per warp to combine partial results.
 */
#include "../cublas_try.h"
#include "tile.cuh"

static const size_t CUBLAS_WORKSPACE_BYTES = (size_t)32 << 20; /* what NVIDIA recommends for Hopper */

/* Rows of S start on a 32-byte sector, so that 16-byte accesses are aligned and no sector is shared. */
static __host__ __device__ size_t score_stride(int seqlen_k)
{
    return ((size_t)seqlen_k + 15) / 16 * 16;
}

/* ---- softmax ------------------------------------------------------------------------------------------- */

struct softmax_args {
    void *scores; /* [rows, score_stride], S on the way in and P on the way out */
    float *lse;   /* [rows] */
    int64_t rows;
    int seqlen_q, seqlen_k;
    bool causal;
};

/* Eight scores from column `col` on, as they lie in memory. Columns from seqlen_k on are not read. */
template <typename T> static __device__ __forceinline__ uint4 load_scores(const T *row, int col, int seqlen_k)
{
    if (col + 8 <= seqlen_k)
        return load_16_bytes(row + col, true);
    uint16_t bits[8] = {};
    for (int e = 0; e < 8; e++)
        if (col + e < seqlen_k)
            asm volatile("ld.global.cg.u16 %0, [%1];" : "=h"(bits[e]) : "l"(row + col + e) : "memory");
    return make_uint4(bits[0] | (uint32_t)bits[1] << 16, bits[2] | (uint32_t)bits[3] << 16,
                      bits[4] | (uint32_t)bits[5] << 16, bits[6] | (uint32_t)bits[7] << 16);
}

/* Over the LANES threads of a row: a warp, or a whole block of several warps. `slot` has one float per warp. */
template <int LANES, bool MAX> static __device__ __forceinline__ float row_reduce(float x, float *slot)
{
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        float y = __shfl_xor_sync(0xffffffffu, x, mask);
        x = MAX ? fmaxf(x, y) : x + y;
    }
    if (LANES == 32)
        return x;
    if (threadIdx.x % 32 == 0)
        slot[threadIdx.x / 32] = x;
    __syncthreads();
    x = MAX ? -INFINITY : 0.0f;
#pragma unroll
    for (int w = 0; w < LANES / 32; w++)
        x = MAX ? fmaxf(x, slot[w]) : x + slot[w];
    return x;
}

/* One row per LANES threads, VECTORS · 8 · LANES keys at most, all in registers: one read, one write. */
template <typename T, int LANES, int VECTORS, int BLOCK>
__global__ void __launch_bounds__(BLOCK) softmax_in_registers(const softmax_args a)
{
    __shared__ float max_slot[32], sum_slot[32];
    const int lane = threadIdx.x % LANES;
    const int64_t row = a.rows - 1 - ((int64_t)blockIdx.x * (BLOCK / LANES) + threadIdx.x / LANES);
    if (row < 0)
        return; /* whole warps only: a block of several rows has one warp a row */
    T *scores = (T *)a.scores + row * score_stride(a.seqlen_k);
    const int limit = a.causal
                          ? min(max((int)(row % a.seqlen_q) + 1 + a.seqlen_k - a.seqlen_q, 0), a.seqlen_k)
                          : a.seqlen_k;

    uint4 packed[VECTORS];
#pragma unroll
    for (int n = 0; n < VECTORS; n++)
        packed[n] = load_scores(scores, (lane + n * LANES) * 8, a.seqlen_k);

    float s[VECTORS][8], m = -INFINITY, l = 0.0f;
#pragma unroll
    for (int n = 0; n < VECTORS; n++) {
        const uint32_t word[4] = {packed[n].x, packed[n].y, packed[n].z, packed[n].w};
#pragma unroll
        for (int e = 0; e < 8; e++) {
            float2 pair = widen2<T>(word[e / 2]);
            int col = (lane + n * LANES) * 8 + e;
            s[n][e] = col < limit ? (e % 2 ? pair.y : pair.x) : -INFINITY;
            m = fmaxf(m, s[n][e]);
        }
    }
    m = row_reduce<LANES, true>(m, max_slot);
    float m_safe = (m == -INFINITY ? 0.0f : m) * (float)M_LOG2E;
#pragma unroll
    for (int n = 0; n < VECTORS; n++)
#pragma unroll
        for (int e = 0; e < 8; e++) {
            s[n][e] = exp2_approx(fmaf(s[n][e], (float)M_LOG2E, -m_safe));
            l += s[n][e];
        }
    l = row_reduce<LANES, false>(l, sum_slot);

    float inverse = l > 0.0f ? 1.0f / l : 0.0f;
#pragma unroll
    for (int n = 0; n < VECTORS; n++) {
        int col = (lane + n * LANES) * 8;
        uint4 out = make_uint4(narrow2<T>(s[n][0] * inverse, s[n][1] * inverse),
                               narrow2<T>(s[n][2] * inverse, s[n][3] * inverse),
                               narrow2<T>(s[n][4] * inverse, s[n][5] * inverse),
                               narrow2<T>(s[n][6] * inverse, s[n][7] * inverse));
        if (col < a.seqlen_k) /* the padding behind the last key may be written, it is nobody's */
            *reinterpret_cast<uint4 *>(scores + col) = out;
    }
    if (lane == 0)
        a.lse[row] = l > 0.0f ? m + logf(l) : -INFINITY;
}

/* A block per row of any length: one pass for maximum and sum, another to write P. */
template <typename T> __global__ void __launch_bounds__(1024) softmax_two_reads(const softmax_args a)
{
    __shared__ float max_slot[32], sum_slot[32];
    const int64_t row = a.rows - 1 - blockIdx.x;
    T *scores = (T *)a.scores + row * score_stride(a.seqlen_k);
    const int limit = a.causal
                          ? min(max((int)(row % a.seqlen_q) + 1 + a.seqlen_k - a.seqlen_q, 0), a.seqlen_k)
                          : a.seqlen_k;
    float m = -INFINITY, l = 0.0f;
    for (int col = threadIdx.x; col < a.seqlen_k; col += 1024) {
        float s = load_widened(scores + col);
        if (col < limit && s != -INFINITY) {
            float m_new = fmaxf(m, s);
            l = l * expf(m - m_new) + expf(s - m_new);
            m = m_new;
        }
    }
    float row_max = row_reduce<1024, true>(m, max_slot);
    float row_sum = row_reduce<1024, false>(m == -INFINITY ? 0.0f : l * expf(m - row_max), sum_slot);
    float inverse = row_sum > 0.0f ? 1.0f / row_sum : 0.0f;
    for (int col = threadIdx.x; col < a.seqlen_k; col += 1024) {
        float s = load_widened(scores + col);
        scores[col] = narrow<T>(col < limit && row_sum > 0.0f ? expf(s - row_max) * inverse : 0.0f);
    }
    if (threadIdx.x == 0)
        a.lse[row] = row_sum > 0.0f ? row_max + logf(row_sum) : -INFINITY;
}

template <typename T> static tw_status softmax(const tw_gpu_args *args, void *scores)
{
    const tw_problem *p = &args->problem;
    softmax_args a = {scores,      args->lse,   (int64_t)tw_problem_lse_elements(p),
                      p->seqlen_q, p->seqlen_k, p->causal};
    unsigned rows = (unsigned)a.rows,
             per_warp = (unsigned)((a.rows + 7) / 8); /* 8 warps a block, a row each */
    int n = p->seqlen_k;
    if (n <= 256)
        softmax_in_registers<T, 32, 1, 256><<<per_warp, 256, 0, args->stream>>>(a);
    else if (n <= 512)
        softmax_in_registers<T, 32, 2, 256><<<per_warp, 256, 0, args->stream>>>(a);
    else if (n <= 1024)
        softmax_in_registers<T, 32, 4, 256><<<per_warp, 256, 0, args->stream>>>(a);
    else if (n <= 2048)
        softmax_in_registers<T, 64, 4, 64><<<rows, 64, 0, args->stream>>>(a);
    else if (n <= 4096)
        softmax_in_registers<T, 128, 4, 128><<<rows, 128, 0, args->stream>>>(a);
    else if (n <= 8192)
        softmax_in_registers<T, 256, 4, 256><<<rows, 256, 0, args->stream>>>(a);
    else if (n <= 16384)
        softmax_in_registers<T, 512, 4, 512><<<rows, 512, 0, args->stream>>>(a);
    else if (n <= TW_SOFTMAX_ROW_KEYS)
        softmax_in_registers<T, 1024, 4, 1024><<<rows, 1024, 0, args->stream>>>(a);
    else
        softmax_two_reads<T><<<rows, 1024, 0, args->stream>>>(a);
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* One handle for the life of the program: creating it is slow and allocates. */
static tw_status shared_handle(cublasHandle_t *handle)
{
    static cublasHandle_t created = NULL;
    if (created == NULL)
        TW_CUBLAS_TRY(cublasCreate(&created));
    *handle = created;
    return TW_OK;
}

/* Where each (batch, head) starts; two strides cannot say it, so the batched products take pointers. */
struct product_pointers {
    const void **q, **k, **v;
    void **s, **o;
};

static __host__ __device__ product_pointers pointers_in(void *workspace, size_t products)
{
    const void **first = (const void **)workspace;
    product_pointers at = {first, first + products, first + 2 * products, (void **)(first + 3 * products),
                           (void **)(first + 4 * products)};
    return at;
}

template <typename T> __global__ void tw_init_pointers(const attention<T> a, T *scores, int head_dim)
{
    int head = blockIdx.x * blockDim.x + threadIdx.x, batch = blockIdx.y;
    if (head >= a.num_heads)
        return;
    int head_kv = head / (a.num_heads / a.num_heads_kv);
    size_t at = (size_t)batch * a.num_heads + head;
    product_pointers to = pointers_in(a.workspace, (size_t)gridDim.y * a.num_heads);
    to.q[at] = a.q + ((size_t)batch * a.seqlen_q * a.num_heads + head) * head_dim;
    to.k[at] = a.k + ((size_t)batch * a.seqlen_k * a.num_heads_kv + head_kv) * head_dim;
    to.v[at] = a.v + ((size_t)batch * a.seqlen_k * a.num_heads_kv + head_kv) * head_dim;
    to.s[at] = scores + at * a.seqlen_q * score_stride(a.seqlen_k);
    to.o[at] = a.o + ((size_t)batch * a.seqlen_q * a.num_heads + head) * head_dim;
}

static size_t pointers_bytes(const tw_problem *p)
{
    return ((size_t)p->batch * p->num_heads * 5 * sizeof(void *) + 255) / 256 * 256;
}

/* cuBLAS is column-major: it is told Sᵀ = scale · K Qᵀ, which in memory is S = scale · Q Kᵀ. */
static tw_status product_scores(cublasHandle_t handle, const tw_gpu_args *args, void *scores,
                                cudaDataType type)
{
    const tw_problem *p = &args->problem;
    const float alpha = (float)tw_problem_scale(p), beta = 0.0f;
    int ld_q = p->num_heads * p->head_dim, ld_k = p->num_heads_kv * p->head_dim,
        ld_s = (int)score_stride(p->seqlen_k);
    if (p->batch == 1 && p->num_heads == p->num_heads_kv) {
        TW_CUBLAS_TRY(cublasGemmStridedBatchedEx(
            handle, CUBLAS_OP_T, CUBLAS_OP_N, p->seqlen_k, p->seqlen_q, p->head_dim, &alpha, args->k, type,
            ld_k, p->head_dim, args->q, type, ld_q, p->head_dim, &beta, scores, type, ld_s,
            (long long)ld_s * p->seqlen_q, p->num_heads, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
        return TW_OK;
    }
    int products = p->batch * p->num_heads;
    product_pointers at = pointers_in(args->workspace, (size_t)products);
    TW_CUBLAS_TRY(cublasGemmBatchedEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, p->seqlen_k, p->seqlen_q, p->head_dim,
                                      &alpha, at.k, type, ld_k, at.q, type, ld_q, &beta, at.s, type, ld_s,
                                      products, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    return TW_OK;
}

/* Oᵀ = Vᵀ Pᵀ to cuBLAS, which in memory is O = P V. */
static tw_status product_output(cublasHandle_t handle, const tw_gpu_args *args, const void *probs,
                                cudaDataType type)
{
    const tw_problem *p = &args->problem;
    const float alpha = 1.0f, beta = 0.0f;
    int ld_q = p->num_heads * p->head_dim, ld_k = p->num_heads_kv * p->head_dim,
        ld_s = (int)score_stride(p->seqlen_k);
    if (p->batch == 1 && p->num_heads == p->num_heads_kv) {
        TW_CUBLAS_TRY(cublasGemmStridedBatchedEx(
            handle, CUBLAS_OP_N, CUBLAS_OP_N, p->head_dim, p->seqlen_q, p->seqlen_k, &alpha, args->v, type,
            ld_k, p->head_dim, probs, type, ld_s, (long long)ld_s * p->seqlen_q, &beta, args->o, type, ld_q,
            p->head_dim, p->num_heads, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
        return TW_OK;
    }
    int products = p->batch * p->num_heads;
    product_pointers at = pointers_in(args->workspace, (size_t)products);
    TW_CUBLAS_TRY(cublasGemmBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, p->head_dim, p->seqlen_q, p->seqlen_k,
                                      &alpha, at.v, type, ld_k, at.s, type, ld_s, &beta, at.o, type, ld_q,
                                      products, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    return TW_OK;
}

/* ---- host ---------------------------------------------------------------------------------------------- */

extern "C" const tw_tiling tw_standard_cublas_tilings[] = {
    {256, 128, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
    {0, 0, TW_FETCH_ROWS, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};

extern "C" tw_status tw_standard_cublas_supports(const tw_problem *p, const tw_tiling *t)
{
    const tw_tiling *own = tw_standard_cublas_tilings;
    TW_TRY(rung_supports_problem("01_standard_cublas", p));
    TW_TRY(rung_has_one_order("01_standard_cublas", t));
    if (t->block_m != own->block_m || t->block_n != own->block_n)
        return tw_fail(TW_EUNSUPPORTED,
                       "01_standard_cublas has no block_m %d and block_n %d: cuBLAS chooses its tiles itself",
                       t->block_m, t->block_n);
    if (tw_problem_lse_elements(p) > INT32_MAX || (int64_t)p->batch * p->num_heads > INT32_MAX)
        return tw_fail(TW_EUNSUPPORTED, "01_standard_cublas takes at most %d query rows in all heads",
                       INT32_MAX);
    return TW_OK;
}

extern "C" size_t tw_standard_cublas_workspace_bytes(const tw_problem *p, const tw_tiling *)
{
    return pointers_bytes(p) + CUBLAS_WORKSPACE_BYTES +
           2 * tw_problem_lse_elements(p) * score_stride(p->seqlen_k);
}

template <typename T> static tw_status launch(const tw_gpu_args *args, cudaDataType type)
{
    const tw_problem *p = &args->problem;
    char *cublas_workspace = (char *)args->workspace + pointers_bytes(p);
    char *scores = cublas_workspace + CUBLAS_WORKSPACE_BYTES;
    cublasHandle_t handle = NULL;
    TW_TRY(shared_handle(&handle));
    TW_CUBLAS_TRY(cublasSetStream(handle, args->stream));
    TW_CUBLAS_TRY(cublasSetWorkspace(handle, cublas_workspace, CUBLAS_WORKSPACE_BYTES));

    dim3 grid((unsigned)ceil_div(p->num_heads, 64), (unsigned)p->batch);
    tw_init_pointers<T><<<grid, 64, 0, args->stream>>>(attention_of<T>(args), (T *)scores, p->head_dim);
    TW_CUDA_TRY(cudaGetLastError());
    TW_TRY(product_scores(handle, args, scores, type));
    TW_TRY(softmax<T>(args, scores));
    return product_output(handle, args, scores, type);
}

extern "C" tw_status tw_standard_cublas_launch(const tw_gpu_args *args)
{
    return args->problem.dtype == TW_FP16 ? launch<__half>(args, CUDA_R_16F)
                                          : launch<__nv_bfloat16>(args, CUDA_R_16BF);
}
