/* Exact attention on the GPU, a warp a row, and the comparison with it, a thread an element. */
#include "soak_kernels.h"

#include "compare_element.h"
#include "cuda_try.h"
#include "exact_row.h"

static const int THREADS = 256, WARPS = THREADS / 32;

static unsigned blocks_for(size_t items, size_t items_a_block)
{
    const size_t MAX_BLOCKS = 4096, blocks = (items + items_a_block - 1) / items_a_block;
    return (unsigned)(blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS);
}

/* ---- exact attention ------------------------------------------------------------------------------------ */

struct exact_args {
    tw_problem problem;
    double softmax_scale;
    const uint16_t *q, *k, *v;
    double *o, *lse, *scratch;
    tw_gpu_exact_scale *scale;
};

/* Row number `n` of all: [batch, num_heads, seqlen_q]. */
static __device__ void exact_row(const exact_args &a, size_t n, int lane)
{
    const tw_problem &p = a.problem;
    const int row = (int)(n % p.seqlen_q), head = (int)(n / p.seqlen_q % p.num_heads),
              batch = (int)(n / p.seqlen_q / p.num_heads), head_kv = head / (p.num_heads / p.num_heads_kv);
    const size_t q_at = (((size_t)batch * p.seqlen_q + row) * p.num_heads + head) * p.head_dim;
    const size_t k_at = ((size_t)batch * p.seqlen_k * p.num_heads_kv + head_kv) * p.head_dim;
    const int seen = p.causal ? min(max(row + 1 + p.seqlen_k - p.seqlen_q, 0), p.seqlen_k) : p.seqlen_k;
    tw_exact_row r;
    r.q = a.q + q_at;
    r.k = a.k + k_at;
    r.v = a.v + k_at;
    r.stride = (size_t)p.num_heads_kv * p.head_dim;
    r.num_keys = seen;
    r.head_dim = p.head_dim;
    r.bf16 = p.dtype == TW_BF16;
    r.scale = a.softmax_scale;
    r.scratch = a.scratch + 2 * n * p.seqlen_k;
    const tw_exact_result result = tw_exact_attend(a.o + q_at, &r, lane);
    if (lane == 0)
        a.lse[n] = result.lse;
    tw_raise(&a.scale->baseline_error, result.baseline_error);
    tw_raise(&a.scale->baseline_lse_error, result.baseline_lse_error);
    tw_raise(&a.scale->max_abs_o, result.max_abs_o);
}

static __global__ void __launch_bounds__(THREADS, 2) exact_rows(const exact_args a)
{
    const size_t rows = (size_t)a.problem.batch * a.problem.num_heads * a.problem.seqlen_q;
    for (size_t n = (size_t)blockIdx.x * WARPS + threadIdx.x / 32; n < rows; n += (size_t)gridDim.x * WARPS)
        exact_row(a, n, threadIdx.x % 32);
}

tw_status tw_gpu_exact(double *o, double *lse, tw_gpu_exact_scale *scale, double *scratch,
                       const tw_problem *problem, const void *q, const void *k, const void *v,
                       struct CUstream_st *stream)
{
    exact_args a;
    a.problem = *problem;
    a.softmax_scale = tw_problem_scale(problem);
    a.q = (const uint16_t *)q;
    a.k = (const uint16_t *)k;
    a.v = (const uint16_t *)v;
    a.o = o;
    a.lse = lse;
    a.scratch = scratch;
    a.scale = scale;
    const unsigned blocks = blocks_for(tw_problem_lse_elements(problem), WARPS);
    exact_rows<<<blocks, THREADS, 0, stream>>>(a);
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

/* ---- comparison ----------------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS) compare(const tw_gpu_comparison c)
{
    const size_t first = (size_t)blockIdx.x * THREADS + threadIdx.x, step = (size_t)gridDim.x * THREADS;
    for (size_t i = first; i < c.o_elements; i += step)
        tw_compare_o(&c, i);
    for (size_t i = first; i < c.lse_elements; i += step)
        tw_compare_lse(&c, i);
    if (blockIdx.x == 0)
#pragma unroll
        for (int g = 0; g < TW_GPU_SOAK_GUARDS; g++)
            tw_compare_guard(&c, g, threadIdx.x);
}
static_assert(THREADS == TW_GPU_SOAK_GUARD_BYTES,
              "each thread of the first block looks at one byte of every guard");

tw_status tw_gpu_compare(const tw_gpu_comparison *comparison, struct CUstream_st *stream)
{
    const unsigned blocks = blocks_for(comparison->o_elements, THREADS);
    compare<<<blocks, THREADS, 0, stream>>>(*comparison);
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}
