/*
 * What every rung repeats and none of them is about: number formats, loads that bypass L1, the shape of a
 * problem as a kernel sees it, and the common part of supports().
 */
#ifndef TW_TILE_CUH
#define TW_TILE_CUH

#include "../cuda_try.h"
#include "../kernel.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- a problem, as a kernel sees it -------------------------------------------------------------------- */

template <typename T> struct attention {
    const T *q, *k, *v;
    T *o;
    float *lse;
    void *workspace;
    int seqlen_q, seqlen_k, num_heads, num_heads_kv;
    bool causal;
    float scale;      /* softmax_scale */
    float scale_log2; /* softmax_scale · log2 e: e^(scale · x) = 2^(scale_log2 · x) */
};

template <typename T> static attention<T> attention_of(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    attention<T> a;
    a.q = (const T *)args->q;
    a.k = (const T *)args->k;
    a.v = (const T *)args->v;
    a.o = (T *)args->o;
    a.lse = args->lse;
    a.workspace = args->workspace;
    a.seqlen_q = p->seqlen_q;
    a.seqlen_k = p->seqlen_k;
    a.num_heads = p->num_heads;
    a.num_heads_kv = p->num_heads_kv;
    a.causal = p->causal;
    a.scale = (float)tw_problem_scale(p);
    a.scale_log2 = (float)(tw_problem_scale(p) * M_LOG2E);
    return a;
}

/* Keys that query row `row` sees: keys 0 … n − 1. */
template <typename T> static __device__ int keys_seen(const attention<T> &a, int row)
{
    if (!a.causal)
        return a.seqlen_k;
    return min(max(row + 1 + a.seqlen_k - a.seqlen_q, 0), a.seqlen_k);
}

/* Q, O: [batch, seqlen_q, num_heads, head_dim]; K, V alike; LSE: [batch, num_heads, seqlen_q]. */
template <int D, typename T>
static __device__ size_t q_row(const attention<T> &a, int batch, int head, int row)
{
    return (((size_t)batch * a.seqlen_q + row) * a.num_heads + head) * D;
}

template <int D, typename T>
static __device__ size_t k_row(const attention<T> &a, int batch, int head, int row)
{
    int head_kv = head / (a.num_heads / a.num_heads_kv);
    return (((size_t)batch * a.seqlen_k + row) * a.num_heads_kv + head_kv) * D;
}

template <typename T> static __device__ size_t lse_at(const attention<T> &a, int batch, int head, int row)
{
    return ((size_t)batch * a.num_heads + head) * a.seqlen_q + row;
}

/* ---- number formats: 16-bit in memory, fp32 in arithmetic ---------------------------------------------- */

static __device__ __forceinline__ float widen(__half x)
{
    return __half2float(x);
}

static __device__ __forceinline__ float widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

template <typename T> __device__ T narrow(float x);

template <> __device__ __forceinline__ __half narrow<__half>(float x)
{
    return __float2half_rn(x);
}

template <> __device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x)
{
    return __float2bfloat16_rn(x);
}

/* Two neighbours in one 32-bit word, the first in the low half. */
template <typename T> static __device__ __forceinline__ float2 widen2(uint32_t word);

template <> __device__ __forceinline__ float2 widen2<__half>(uint32_t word)
{
    return __half22float2(*reinterpret_cast<__half2 *>(&word));
}

template <> __device__ __forceinline__ float2 widen2<__nv_bfloat16>(uint32_t word)
{
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}

template <typename T> static __device__ __forceinline__ uint32_t narrow2(float x, float y);

template <> __device__ __forceinline__ uint32_t narrow2<__half>(float x, float y)
{
    __half2 pair = __floats2half2_rn(x, y);
    return *reinterpret_cast<uint32_t *>(&pair);
}

template <> __device__ __forceinline__ uint32_t narrow2<__nv_bfloat16>(float x, float y)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(x, y);
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* ---- arithmetic ---------------------------------------------------------------------------------------- */

/* sum + a · b, four fused multiply-adds in a row. */
static __device__ __forceinline__ float dot4(float4 a, float4 b, float sum)
{
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

/* 2^x in one instruction, to 2 units in the last place; results below 2^-126 become 0. 2^-inf = 0. */
static __device__ __forceinline__ float exp2_approx(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* ---- loads that bypass L1, so that every load is a fill and the fill counter equals the count ---------- */

/* volatile and "memory": some rungs read back what they wrote, in program order. */
/* 16 bytes if `valid`, otherwise zeros and no access: 0 · P is 0, whatever P is. */
static __device__ __forceinline__ uint4 load_16_bytes(const void *gmem, bool valid)
{
    uint4 x;
    asm volatile("{\n"
                 "    .reg .pred valid;\n"
                 "    setp.ne.u32 valid, %5, 0;\n"
                 "    mov.u32 %0, 0;\n"
                 "    mov.u32 %1, 0;\n"
                 "    mov.u32 %2, 0;\n"
                 "    mov.u32 %3, 0;\n"
                 "    @valid ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];\n"
                 "}"
                 : "=&r"(x.x), "=&r"(x.y), "=&r"(x.z), "=&r"(x.w)
                 : "l"(gmem), "r"((int)valid)
                 : "memory");
    return x;
}

static __device__ __forceinline__ uint2 load_8_bytes(const void *gmem)
{
    uint2 x;
    asm volatile("ld.global.cg.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "l"(gmem) : "memory");
    return x;
}

static __device__ __forceinline__ float load_float(const float *gmem)
{
    float x;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(x) : "l"(gmem) : "memory");
    return x;
}

template <typename T> static __device__ __forceinline__ float load_widened(const T *gmem)
{
    uint16_t bits;
    asm volatile("ld.global.cg.u16 %0, [%1];" : "=h"(bits) : "l"(gmem) : "memory");
    return widen(*reinterpret_cast<T *>(&bits));
}

/* The matching stores, for what another pass reads back. Ordinary ones linger in L1, which then sent up to 11 %
 * more bytes than were stored. */
static __device__ __forceinline__ void store_8_bytes(void *gmem, uint2 x)
{
    asm volatile("st.global.cg.v2.u32 [%0], {%1, %2};" ::"l"(gmem), "r"(x.x), "r"(x.y) : "memory");
}

static __device__ __forceinline__ void store_float(float *gmem, float x)
{
    asm volatile("st.global.cg.f32 [%0], %1;" ::"l"(gmem), "f"(x) : "memory");
}

/* ---- a tile on its way from global to shared memory ---------------------------------------------------- */

static const int THREADS = 256; /* of every block of the tiled rungs */

/* A tile of `ROWS` rows on its way: 16-byte pieces in registers, dealt round-robin to the threads. */
template <int ROWS, int D> struct tile_in_flight {
    static const int CHUNKS = D / 8, PIECES = (ROWS * CHUNKS + THREADS - 1) / THREADS;
    uint4 piece[PIECES];

    /* Starts loading rows of D elements that lie `stride` apart; those from num_rows on become zeros. */
    template <typename T> __device__ __forceinline__ void fetch(const T *gmem, int stride, int num_rows)
    {
#pragma unroll
        for (int n = 0; n < PIECES; n++) {
            int index = threadIdx.x + n * THREADS, row = index / CHUNKS, chunk = index % CHUNKS;
            piece[n] = load_16_bytes(gmem + row * stride + chunk * 8, row < num_rows);
        }
    }

    /* Widens to fp32, multiplies and puts the tile into shared memory, rows `smem_stride` floats apart. */
    template <typename T>
    __device__ __forceinline__ void put(float *smem, int smem_stride, float factor) const
    {
#pragma unroll
        for (int n = 0; n < PIECES; n++) {
            int index = threadIdx.x + n * THREADS, row = index / CHUNKS, chunk = index % CHUNKS;
            float2 a = widen2<T>(piece[n].x), b = widen2<T>(piece[n].y);
            float2 c = widen2<T>(piece[n].z), d = widen2<T>(piece[n].w);
            float4 *to = reinterpret_cast<float4 *>(smem + row * smem_stride + chunk * 8);
            if (row < ROWS) {
                to[0] = make_float4(a.x * factor, a.y * factor, b.x * factor, b.y * factor);
                to[1] = make_float4(c.x * factor, c.y * factor, d.x * factor, d.y * factor);
            }
        }
    }
};

/* ---- the common part of supports() --------------------------------------------------------------------- */

static inline tw_status rung_supports_problem(const char *name, const tw_problem *p)
{
    TW_TRY(tw_problem_check(p));
    if (p->dtype != TW_FP16 && p->dtype != TW_BF16)
        return tw_fail(TW_EUNSUPPORTED, "%s does not take %s, it takes fp16 and bf16", name,
                       tw_dtype_name(p->dtype));
    if (p->head_dim != 64 && p->head_dim != 128)
        return tw_fail(TW_EUNSUPPORTED, "%s does not take head_dim %d, it takes 64 and 128", name,
                       p->head_dim);
    if (p->batch > 65535 || p->num_heads > 65535)
        return tw_fail(TW_EUNSUPPORTED, "%s takes at most 65535 heads and a batch of 65535, not %d and %d",
                       name, p->num_heads, p->batch);
    return TW_OK;
}

/* TW_OK if no other order is asked for than the kernel's own. */
static inline tw_status rung_has_one_order(const char *name, const tw_tiling *t)
{
    if (t->order != TW_ORDER_OWN || t->kv_order != TW_KV_FORWARD)
        return tw_fail(TW_EUNSUPPORTED, "%s works in its own order alone; 30_flash2_mma takes others", name);
    return TW_OK;
}

/* What supports() says about a tiling that is not in the list, which ends with block_m 0. */
static inline tw_status rung_refuses_tiling(const char *name, const tw_tiling *t, const tw_tiling *built)
{
    char list[160] = "";
    for (size_t used = 0; built->block_m != 0 && used < sizeof list; built++, used = strlen(list))
        snprintf(list + used, sizeof list - used, " %dx%d", built->block_m, built->block_n);
    return tw_fail(TW_EUNSUPPORTED, "%s was not built for block_m %d and block_n %d; it has%s", name,
                   t->block_m, t->block_n, list);
}

/* TW_OK if the current GPU lets a block have that much shared memory. */
static inline tw_status rung_fits_shared_memory(const char *name, size_t bytes)
{
    int device = 0, limit = 0;
    TW_CUDA_TRY(cudaGetDevice(&device));
    TW_CUDA_TRY(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    if (bytes > (size_t)limit)
        return tw_fail(TW_EUNSUPPORTED,
                       "%s needs %zu bytes of shared memory a block for this tiling, the GPU has %d", name,
                       bytes, limit);
    return TW_OK;
}

/* Launches a kernel that takes one attention<T>, T as the problem's dtype says. */
static inline tw_status rung_launch(const tw_gpu_args *args, const void *kernel, dim3 grid, size_t smem_bytes)
{
    attention<__half> fp16 = attention_of<__half>(args);
    attention<__nv_bfloat16> bf16 = attention_of<__nv_bfloat16>(args);
    void *kernel_args[] = {args->problem.dtype == TW_FP16 ? (void *)&fp16 : (void *)&bf16};
    TW_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)smem_bytes));
    TW_CUDA_TRY(cudaLaunchKernel(kernel, grid, dim3(THREADS), kernel_args, smem_bytes, args->stream));
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

static inline int ceil_div(int a, int b)
{
    return (a - 1) / b + 1;
}

static inline int round_up(int a, int b)
{
    return ceil_div(a, b) * b;
}

#endif
