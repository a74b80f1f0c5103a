/*
 * A kernel of your own in one file: `make build/plugin_example.so`, then
 *
 *     build/tilewise-gpu bench --plugin build/plugin_example.so --kernel my_attention --seqlen 1k
 *
 * One warp computes one query row, keys one after the other with the online softmax: the "flash2" schedule
 * with tiles of 1 x 1. Each lane holds head_dim / 32 elements of O.
 */
#include "cuda_try.h"
#include "kernel.h"

#include <cuda_fp16.h>
#include <math.h>

__global__ void my_kernel(tw_gpu_args a, float scale)
{
    const tw_problem p = a.problem;
    const __half *q = (const __half *)a.q, *k = (const __half *)a.k, *v = (const __half *)a.v;
    const int row = blockIdx.x, head = blockIdx.y, batch = blockIdx.z, d = p.head_dim;
    const int num_keys = p.causal ? max(0, min(p.seqlen_k, row + 1 + p.seqlen_k - p.seqlen_q)) : p.seqlen_k;
    const size_t q_at = (((size_t)batch * p.seqlen_q + row) * p.num_heads + head) * d;
    float m = -INFINITY, l = 0.0f, o[4] = {};
    for (int j = 0; j < num_keys; j++) {
        int head_kv = head / (p.num_heads / p.num_heads_kv);
        size_t k_at = (((size_t)batch * p.seqlen_k + j) * p.num_heads_kv + head_kv) * d;
        float s = 0.0f;
        for (int c = threadIdx.x; c < d; c += 32)
            s += scale * __half2float(q[q_at + c]) * __half2float(k[k_at + c]);
        for (int mask = 16; mask > 0; mask /= 2)
            s += __shfl_xor_sync(0xffffffffu, s, mask);
        float m_new = fmaxf(m, s), alpha = expf(m - m_new), weight = expf(s - m_new);
        l = alpha * l + weight;
        m = m_new;
        for (int c = threadIdx.x, i = 0; c < d; c += 32, i++)
            o[i] = alpha * o[i] + weight * __half2float(v[k_at + c]);
    }
    for (int c = threadIdx.x, i = 0; c < d; c += 32, i++) /* a row that sees no key: O = 0, LSE = -inf */
        ((__half *)a.o)[q_at + c] = __float2half_rn(l > 0.0f ? o[i] / l : 0.0f);
    a.lse[((size_t)batch * p.num_heads + head) * p.seqlen_q + row] = l > 0.0f ? m + logf(l) : -INFINITY;
}

static tw_status supports(const tw_problem *p, const tw_tiling *t)
{
    if (p->dtype != TW_FP16 || p->head_dim > 128 || t->block_m != 1 || t->block_n != 1)
        return tw_fail(TW_EUNSUPPORTED, "my_attention takes fp16, head_dim up to 128 and tiles of 1 x 1");
    return TW_OK;
}

static size_t workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

static tw_status launch(const tw_gpu_args *a)
{
    const tw_problem *p = &a->problem;
    dim3 grid((unsigned)p->seqlen_q, (unsigned)p->num_heads, (unsigned)p->batch);
    my_kernel<<<grid, 32, 0, a->stream>>>(*a, (float)tw_problem_scale(p));
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

extern "C" const tw_gpu_kernel *tw_plugin_kernel(void)
{
    static const tw_tiling tiling = {1, 1, TW_FETCH_ROWS, TW_UNIT_FMA, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0};
    static const tw_gpu_kernel kernel = {"my_attention",
                                         "flash2",
                                         "a warp per query row, keys one by one",
                                         80,
                                         tiling,
                                         NULL,
                                         supports,
                                         workspace_bytes,
                                         launch,
                                         NULL,
                                         false};
    return &kernel;
}
