/*
 * A kernel of your own, in one file: build it into a shared object and hand it to tilewise-gpu.
 *
 *     make build/plugin_example.so
 *     build/tilewise-gpu validate --plugin build/plugin_example.so --kernel my_attention
 *     build/tilewise-gpu bench    --plugin build/plugin_example.so --kernel my_attention --seqlen 1k
 *
 * One warp computes one query row, keys one after the other with the online softmax: the "flash2" schedule with
 * block_m = block_n = 1. Each lane holds head_dim / 32 elements of Q and of O.
 */
#include "cuda_try.h"
#include "kernel.h"

#include <cuda_fp16.h>
#include <math.h>

__global__ void my_kernel(const __half *q, const __half *k, const __half *v, __half *o, float *lse, tw_problem p, float scale)
{
    int row = blockIdx.x, head = blockIdx.y, batch = blockIdx.z, head_kv = head / (p.num_heads / p.num_heads_kv);
    int num_keys = p.causal ? max(0, min(p.seqlen_k, row + 1 + p.seqlen_k - p.seqlen_q)) : p.seqlen_k;
    size_t q_at = (((size_t)batch * p.seqlen_q + row) * p.num_heads + head) * p.head_dim;
    float m = -INFINITY, l = 0.0f, acc[4] = {};
    for (int j = 0; j < num_keys; j++) {
        size_t k_at = (((size_t)batch * p.seqlen_k + j) * p.num_heads_kv + head_kv) * p.head_dim;
        float s = 0.0f;
        for (int c = threadIdx.x; c < p.head_dim; c += 32)
            s += __half2float(q[q_at + c]) * __half2float(k[k_at + c]);
        for (int mask = 16; mask > 0; mask /= 2)
            s += __shfl_xor_sync(0xffffffffu, s, mask);
        float m_new = fmaxf(m, s * scale), alpha = expf(m - m_new), weight = expf(s * scale - m_new);
        l = alpha * l + weight;
        m = m_new;
        for (int c = threadIdx.x, i = 0; c < p.head_dim; c += 32, i++)
            acc[i] = alpha * acc[i] + weight * __half2float(v[k_at + c]);
    }
    for (int c = threadIdx.x, i = 0; c < p.head_dim; c += 32, i++)
        o[q_at + c] = __float2half_rn(l > 0.0f ? acc[i] / l : 0.0f); /* no key seen: O = 0, LSE = -inf */
    if (threadIdx.x == 0)
        lse[((size_t)batch * p.num_heads + head) * p.seqlen_q + row] = l > 0.0f ? m + logf(l) : -INFINITY;
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
    my_kernel<<<grid, 32, 0, a->stream>>>((const __half *)a->q, (const __half *)a->k, (const __half *)a->v, (__half *)a->o,
                                          a->lse, *p, (float)tw_problem_scale(p));
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

extern "C" const tw_gpu_kernel *tw_plugin_kernel(void)
{
    static const tw_gpu_kernel kernel = {"my_attention", "flash2", "a warp per query row, keys one by one", 80,
                                         {1, 1, TW_FETCH_ROWS, TW_UNIT_FMA}, NULL, supports, workspace_bytes, launch};
    return &kernel;
}
