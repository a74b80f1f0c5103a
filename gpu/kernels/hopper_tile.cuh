/*
 * What all Hopper rungs (40 and up) share and none of them is about: the shape of a form, the softmax of a tile that
 * lies in wgmma's registers, the way of O to memory, and the host's tensor maps.
 */
#ifndef TW_HOPPER_TILE_CUH
#define TW_HOPPER_TILE_CUH

#include "../hopper.cuh"
#include "tile.cuh"

#include <float.h>

/* ---- what is fixed when a kernel is compiled ----------------------------------------------------------- */

/* CONSUMERS warpgroups of 64 query rows each; a ring of STAGES places for K and as many for V. */
template <int HEAD_DIM, int BLOCK_M, int BLOCK_N, int NUM_STAGES> struct form {
    static const int D = HEAD_DIM, BM = BLOCK_M, BN = BLOCK_N, STAGES = NUM_STAGES, CONSUMERS = BM / 64;
    static const int ROWS_BYTES = 64 * D * 2;          /* Q or O of one warpgroup */
    static const int Q_BYTES = CONSUMERS * ROWS_BYTES; /* [warpgroup][slab][64][64] */
    static const int TILE_BYTES = BN * D * 2;          /* a K or V tile: [slab][block_n][64] */
    static const int RING_BYTES = STAGES * TILE_BYTES;
    static const int BARRIERS = 2 + 4 * STAGES;
    /* Where one warpgroup only copies, it gives registers to those that calculate: an SM has 512 for each of 128. */
    static const int NUM_THREADS = WARPGROUP * (1 + CONSUMERS);
    static const int PRODUCER_REGISTERS = CONSUMERS == 3 ? 32 : 24,
                     CONSUMER_REGISTERS = CONSUMERS == 3 ? 160 : 240;
    static const int SMEM_BYTES = 1024 + Q_BYTES + 2 * RING_BYTES + BARRIERS * 8; /* 1,024 to align by hand */
    static_assert(BM % 64 == 0 && BN % 16 == 0 && D % 64 == 0, "wgmma takes 64 rows, 16 keys, slabs of 64");
};

/* The tensor maps of one launch. */
typedef struct tensor_maps {
    CUtensorMap q, k, v, o;
    int num_heads; /* of all batch elements */
} tensor_maps;

/* Where things lie in shared memory; places of the ring are numbered as tiles are, modulo STAGES. */
template <typename F> struct shared_map {
    uint32_t base;
    __device__ __forceinline__ uint32_t q(int consumer = 0) const
    {
        return base + consumer * F::ROWS_BYTES;
    }
    __device__ __forceinline__ uint32_t k(int place) const
    {
        return base + F::Q_BYTES + place * F::TILE_BYTES;
    }
    __device__ __forceinline__ uint32_t v(int place) const
    {
        return base + F::Q_BYTES + F::RING_BYTES + place * F::TILE_BYTES;
    }
    __device__ __forceinline__ uint32_t barrier(int i) const
    {
        return base + F::Q_BYTES + 2 * F::RING_BYTES + i * 8;
    }
    /* full: the copy has arrived. empty: every consumer has finished reading. */
    __device__ __forceinline__ uint32_t q_full() const
    {
        return barrier(0);
    }
    __device__ __forceinline__ uint32_t q_empty() const
    {
        return barrier(1);
    }
    __device__ __forceinline__ uint32_t k_full(int place) const
    {
        return barrier(2 + place);
    }
    __device__ __forceinline__ uint32_t v_full(int place) const
    {
        return barrier(2 + F::STAGES + place);
    }
    __device__ __forceinline__ uint32_t k_empty(int place) const
    {
        return barrier(2 + 2 * F::STAGES + place);
    }
    __device__ __forceinline__ uint32_t v_empty(int place) const
    {
        return barrier(2 + 3 * F::STAGES + place);
    }
};

extern __shared__ unsigned char hopper_smem[];

/* One thread sets all barriers up; the block must synchronise before they are used. `readers` arrive at "empty". */
template <typename F> static __device__ __forceinline__ shared_map<F> shared_map_init(int readers)
{
    shared_map<F> smem = {(shared_address(hopper_smem) + 1023) & ~1023u};
    if (threadIdx.x == 0) {
        mbarrier_init(smem.q_full(), 1);
        mbarrier_init(smem.q_empty(), F::CONSUMERS);
        for (int place = 0; place < F::STAGES; place++) {
            mbarrier_init(smem.k_full(place), 1);
            mbarrier_init(smem.v_full(place), 1);
            mbarrier_init(smem.k_empty(place), readers);
            mbarrier_init(smem.v_empty(place), readers);
        }
        mbarrier_init_fence();
    }
    return smem;
}

/* ---- the block's work: one query tile of one head ------------------------------------------------------ */

typedef struct work {
    int batch, head, row0;
    int num_tiles; /* of keys that at least one of its rows sees; they are walked from the last to the first */
    int num_cut;   /* of these, the first few of the walk are cut by the mask or the sequence's end */
} work;

template <typename F, typename T>
static __device__ __forceinline__ work work_at(const attention<T> &a, int tile, int head, int batch)
{
    work w;
    w.batch = batch;
    w.head = head;
    w.row0 = tile * F::BM;
    int last_row = min(w.row0 + F::BM, a.seqlen_q) - 1;
    w.num_tiles = (keys_seen(a, last_row) + F::BN - 1) / F::BN;
    w.num_cut = w.num_tiles - keys_seen(a, w.row0) / F::BN;
    return w;
}

/* The block's own; longest first where the mask makes lengths differ. */
template <typename F, typename T> static __device__ __forceinline__ work work_of_block(const attention<T> &a)
{
    return work_at<F>(a, a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x, blockIdx.y, blockIdx.z);
}

static __device__ __forceinline__ int head_kv_of(int head, int num_heads, int num_heads_kv)
{
    return head / (num_heads / num_heads_kv);
}

/* One thread starts the copies of Q, of K tile j and of V tile j, and says at which barrier to wait for them. */
template <typename F>
static __device__ __forceinline__ void load_q(const shared_map<F> &smem, const tensor_maps &maps,
                                              const work &w)
{
    mbarrier_arrive_expecting(smem.q_full(), F::Q_BYTES);
    for (int i = 0; i < F::CONSUMERS; i++)
        tma_load(smem.q(i), &maps.q, smem.q_full(), w.row0 + 64 * i, w.head, w.batch);
}

template <typename F>
static __device__ __forceinline__ void load_k(const shared_map<F> &smem, const tensor_maps &maps,
                                              const work &w, int head_kv, int j, int place)
{
    mbarrier_arrive_expecting(smem.k_full(place), F::TILE_BYTES);
    tma_load(smem.k(place), &maps.k, smem.k_full(place), j * F::BN, head_kv, w.batch);
}

template <typename F>
static __device__ __forceinline__ void load_v(const shared_map<F> &smem, const tensor_maps &maps,
                                              const work &w, int head_kv, int j, int place)
{
    mbarrier_arrive_expecting(smem.v_full(place), F::TILE_BYTES);
    tma_load(smem.v(place), &maps.v, smem.v_full(place), j * F::BN, head_kv, w.batch);
}

/* Which place of the ring is next, and the parity of its phase there. */
template <typename F> struct ring {
    int place;
    unsigned parity;
    __device__ __forceinline__ void next()
    {
        place++;
        if (place == F::STAGES) {
            place = 0;
            parity ^= 1;
        }
    }
};

/* ---- a consumer's 64 rows ------------------------------------------------------------------------------ */

/* Thread 32w + 4g + t: rows 16w + g and 16w + g + 8 (index j), of each a quarter of the columns. */
template <typename F> struct rows {
    float o[F::D / 2];
    float m[2]; /* of c · S, c = softmax_scale · log2 e: exponents are to base 2 */
    float l[2]; /* this thread's columns only, until the end */
};

template <typename F> static __device__ __forceinline__ void rows_init(rows<F> &x)
{
#pragma unroll
    for (int i = 0; i < F::D / 2; i++)
        x.o[i] = 0.0f;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        x.m[j] = -INFINITY;
        x.l[j] = 0.0f;
    }
}

/* Issues S = Q Kᵀ. */
template <typename T, typename F>
static __device__ __forceinline__ void issue_scores(float (&s)[F::BN / 2], uint32_t q_smem, uint32_t k_smem)
{
    const uint64_t q = tile_descriptor(q_smem, 64 * 128), k = tile_descriptor(k_smem, F::BN * 128);
#pragma unroll
    for (int x = 0; x < F::D / 16; x++) /* 16 columns: 32 bytes of a row, four times a slab */
        wgmma_nt<T, F::BN>(s, q + descriptor_step(x / 4 * 64 * 128 + x % 4 * 32),
                           k + descriptor_step(x / 4 * F::BN * 128 + x % 4 * 32), x > 0);
}

/* Issues O += P V. */
template <typename T, typename F>
static __device__ __forceinline__ void issue_output(float (&o)[F::D / 2], const uint32_t (&p)[F::BN / 4],
                                                    uint32_t v_smem)
{
    const uint64_t v = tile_descriptor(v_smem, F::BN * 128);
#pragma unroll
    for (int y = 0; y < F::BN / 16; y++) /* 16 keys: 16 rows of 128 bytes */
        wgmma_add<T, F::D>(o, p[4 * y], p[4 * y + 1], p[4 * y + 2], p[4 * y + 3],
                           v + descriptor_step(y * 16 * 128));
}

/* −∞ where this thread's rows do not see a key. `row` is its first row of Q, n0 the tile's first key. */
template <typename F, typename T>
static __device__ __forceinline__ void mask(float (&s)[F::BN / 2], const attention<T> &a, int row, int n0)
{
    const int column = n0 + 2 * (threadIdx.x % 4);
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int end = keys_seen(a, row + 8 * j) - column;
#pragma unroll
        for (int i = 0; i < F::BN / 8; i++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (8 * i + e >= end)
                    s[4 * i + 2 * j + e] = -INFINITY;
    }
}

/* S of row j becomes 2^(c S - reference); the sum of this thread's part of it. */
template <typename F>
static __device__ __forceinline__ float exponentials(float (&s)[F::BN / 2], int j, float reference, float c)
{
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < F::BN / 8; i++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float &y = s[4 * i + 2 * j + e];
            y = exp2_approx(fmaf(y, c, -reference));
            sum += y;
        }
    return sum;
}

/*
 * A step of online softmax: S becomes 2^(c S - m), m and l advance, alpha is what O must be scaled by. CUT: a row may
 * have seen nothing so far, so that m is still −∞; 2^(−∞ − −∞) is avoided by taking 0 in its place.
 */
template <bool CUT, typename F>
static __device__ __forceinline__ void softmax(float (&s)[F::BN / 2], rows<F> &x, float (&alpha)[2], float c)
{
#pragma unroll
    for (int j = 0; j < 2; j++) {
        float top = -INFINITY;
#pragma unroll
        for (int i = 0; i < F::BN / 8; i++)
            top = fmaxf(top, fmaxf(s[4 * i + 2 * j], s[4 * i + 2 * j + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        top = fmaxf(x.m[j], c * top);
        const float reference = CUT && top == -INFINITY ? 0.0f : top;
        alpha[j] = exp2_approx(x.m[j] - reference);
        x.m[j] = top;
        x.l[j] = fmaf(x.l[j], alpha[j], exponentials<F>(s, j, reference, c));
    }
}

/* The whole step for tile j; `row` is this thread's first row. */
template <typename F, typename T>
static __device__ __forceinline__ void softmax_of_tile(float (&s)[F::BN / 2], rows<F> &x, float (&alpha)[2],
                                                       const attention<T> &a, int row, int j, bool cut)
{
    if (cut) {
        mask<F>(s, a, row, j * F::BN);
        softmax<true>(s, x, alpha, a.scale_log2);
    } else {
        softmax<false>(s, x, alpha, a.scale_log2);
    }
}

template <typename F> static __device__ __forceinline__ void rescale(rows<F> &x, const float (&alpha)[2])
{
#pragma unroll
    for (int i = 0; i < F::D / 2; i++)
        x.o[i] *= alpha[i / 2 % 2];
}

/* P in the input's type, in the order in which wgmma takes A. */
template <typename T, typename F>
static __device__ __forceinline__ void narrow_scores(uint32_t (&p)[F::BN / 4], const float (&s)[F::BN / 2])
{
#pragma unroll
    for (int i = 0; i < F::BN / 4; i++)
        p[i] = narrow2<T>(s[2 * i], s[2 * i + 1]);
}

/*
 * O / l and LSE = (m + log2 l) · ln 2. O goes to memory by way of the warpgroup's place of Q, which nobody reads any
 * more; its first thread starts the copy. A row that saw no key has l = 0: O = 0, LSE = −∞. `barrier` is one of
 * the block's named ones, for this warpgroup alone.
 */
template <typename F, typename T>
static __device__ __forceinline__ void finish_rows(rows<F> &x, const attention<T> &a, const work &w,
                                                   int consumer, uint32_t smem, const CUtensorMap *map,
                                                   int barrier)
{
    const int thread = threadIdx.x % WARPGROUP, g = thread % 32 / 4, t = thread % 4;
    named_barrier_wait(barrier, WARPGROUP); /* all four warps have done with Q */
#pragma unroll
    for (int j = 0; j < 2; j++) {
        float l = x.l[j];
        l += __shfl_xor_sync(0xffffffffu, l, 1);
        l += __shfl_xor_sync(0xffffffffu, l, 2);
        const float inverse = l > 0.0f ? 1.0f / l : 0.0f;
        const int row = thread / 32 * 16 + g + 8 * j, q_index = w.row0 + 64 * consumer + row;
#pragma unroll
        for (int i = 0; i < F::D / 8; i++) { /* chunk i % 8 of slab i / 8 */
            const uint32_t at = smem + i / 8 * 64 * 128 + row * 128 + ((i % 8) ^ (row % 8)) * 16 + 4 * t;
            const uint32_t pair = narrow2<T>(x.o[4 * i + 2 * j] * inverse, x.o[4 * i + 2 * j + 1] * inverse);
            asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(pair) : "memory");
        }
        if (t == 0 && q_index < a.seqlen_q)
            a.lse[lse_at(a, w.batch, w.head, q_index)] = l > 0.0f ? (x.m[j] + log2f(l)) * (float)M_LN2
                                                                  : -INFINITY;
    }
    fence_for_async();
    named_barrier_wait(barrier, WARPGROUP);
    if (thread == 0) {
        if (w.row0 + 64 * consumer < a.seqlen_q)
            tma_store(map, smem, w.row0 + 64 * consumer, w.head, w.batch);
        tma_stores_read();
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

/* The driver's encoder, found at run time: nothing links against libcuda. */
typedef CUresult (*tensor_map_encoder)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                       const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                       const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static inline tw_status find_tensor_map_encoder(tensor_map_encoder *encoder)
{
    static void *found;
    if (!found) {
        cudaDriverEntryPointQueryResult result;
        TW_CUDA_TRY(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                     cudaEnableDefault, &result));
        if (result != cudaDriverEntryPointSuccess)
            return tw_fail(TW_EGPU, "the driver has no cuTensorMapEncodeTiled: it must be from CUDA 12 on");
    }
    *encoder = (tensor_map_encoder)found;
    return TW_OK;
}

/*
 * A map of a tensor [batch, seqlen, heads, head_dim] in 16 bits, whose boxes are `box_rows` rows of one head. Its five
 * dimensions: column in a slab of 64, row, slab, head, batch; so a box arrives slab by slab, as wgmma wants it.
 */
static inline tw_status make_tensor_map(CUtensorMap *map, const void *tensor, tw_dtype dtype, int batch,
                                        int seqlen, int heads, int head_dim, int box_rows)
{
    tensor_map_encoder encode = NULL;
    TW_TRY(find_tensor_map_encoder(&encode));
    const cuuint64_t row = (cuuint64_t)heads * head_dim * 2;
    const cuuint64_t sizes[5] = {64, (cuuint64_t)seqlen, (cuuint64_t)head_dim / 64, (cuuint64_t)heads,
                                 (cuuint64_t)batch};
    const cuuint64_t strides[4] = {row, 128, (cuuint64_t)head_dim * 2, row * (cuuint64_t)seqlen};
    const cuuint32_t box[5] = {64, (cuuint32_t)box_rows, (cuuint32_t)head_dim / 64, 1, 1};
    const cuuint32_t every[5] = {1, 1, 1, 1, 1};
    CUresult result = encode(
        map, dtype == TW_FP16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 5,
        (void *)tensor, sizes, strides, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        return tw_fail(TW_EGPU, "cuTensorMapEncodeTiled gives error %d for a tensor of %d x %d x %d x %d",
                       (int)result, batch, seqlen, heads, head_dim);
    return TW_OK;
}

static inline tw_status make_tensor_maps(tensor_maps *maps, const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    const int d = p->head_dim, block_n = args->tiling.block_n;
    maps->num_heads = p->num_heads * p->batch;
    TW_TRY(make_tensor_map(&maps->q, args->q, p->dtype, p->batch, p->seqlen_q, p->num_heads, d, 64));
    TW_TRY(make_tensor_map(&maps->o, args->o, p->dtype, p->batch, p->seqlen_q, p->num_heads, d, 64));
    TW_TRY(make_tensor_map(&maps->k, args->k, p->dtype, p->batch, p->seqlen_k, p->num_heads_kv, d, block_n));
    return make_tensor_map(&maps->v, args->v, p->dtype, p->batch, p->seqlen_k, p->num_heads_kv, d, block_n);
}

/* One compiled kernel of a rung. */
typedef struct hopper_variant {
    int head_dim, block_m, block_n;
    const void *fp16, *bf16;
    int num_threads, smem_bytes;
} hopper_variant;

/* The variant for a problem and tiling; NULL if there is none. `variants` ends with head_dim 0. */
static inline const hopper_variant *find_hopper_variant(const hopper_variant *variants, const tw_problem *p,
                                                        const tw_tiling *t)
{
    for (; variants->head_dim != 0; variants++)
        if (variants->head_dim == p->head_dim && variants->block_m == t->block_m &&
            variants->block_n == t->block_n)
            return variants;
    return NULL;
}

static inline tw_status hopper_supports(const char *name, const hopper_variant *variants, const tw_problem *p,
                                        const tw_tiling *t)
{
    TW_TRY(tw_problem_check(p));
    TW_TRY(rung_has_one_order(name, t));
    int device = 0, major = 0;
    TW_CUDA_TRY(cudaGetDevice(&device));
    TW_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    if (major != 9)
        return tw_fail(TW_EUNSUPPORTED, "%s needs a GPU of compute capability 9, this one has %d", name,
                       major);
    if (p->dtype != TW_FP16 && p->dtype != TW_BF16)
        return tw_fail(TW_EUNSUPPORTED, "%s does not take %s, it takes fp16 and bf16", name,
                       tw_dtype_name(p->dtype));
    if (p->head_dim != 64 && p->head_dim != 128 && p->head_dim != 256)
        return tw_fail(TW_EUNSUPPORTED, "%s does not take head_dim %d, it takes 64, 128 and 256", name,
                       p->head_dim);
    if (p->batch > 65535 || p->num_heads > 65535)
        return tw_fail(TW_EUNSUPPORTED, "%s takes at most 65535 heads and a batch of 65535, not %d and %d",
                       name, p->num_heads, p->batch);
    if (!((float)(tw_problem_scale(p) * M_LOG2E) >= FLT_MIN))
        return tw_fail(TW_EUNSUPPORTED, "%s does not take a softmax_scale of %g, it must be at least %g",
                       name, tw_problem_scale(p), FLT_MIN);
    const hopper_variant *v = find_hopper_variant(variants, p, t);
    if (!v) {
        char list[160] = "";
        for (const hopper_variant *i = variants; i->head_dim != 0; i++)
            if (i->head_dim == p->head_dim)
                snprintf(list + strlen(list), sizeof list - strlen(list), " %dx%d", i->block_m, i->block_n);
        return tw_fail(TW_EUNSUPPORTED,
                       "%s was not built for block_m %d and block_n %d; for head_dim %d it has%s", name,
                       t->block_m, t->block_n, p->head_dim, list);
    }
    return rung_fits_shared_memory(name, (size_t)v->smem_bytes);
}

/* Launches a kernel that takes an attention<T> and the tensor maps; grid 0: one block for each query tile. */
static inline tw_status hopper_launch(const tw_gpu_args *args, const hopper_variant *variants,
                                      unsigned blocks)
{
    const tw_problem *p = &args->problem;
    const hopper_variant *v = find_hopper_variant(variants, p, &args->tiling);
    const void *kernel = p->dtype == TW_FP16 ? v->fp16 : v->bf16;
    tensor_maps maps;
    TW_TRY(make_tensor_maps(&maps, args));
    attention<__half> fp16 = attention_of<__half>(args);
    attention<__nv_bfloat16> bf16 = attention_of<__nv_bfloat16>(args);
    void *kernel_args[] = {p->dtype == TW_FP16 ? (void *)&fp16 : (void *)&bf16, &maps};
    dim3 grid((unsigned)ceil_div(p->seqlen_q, v->block_m), (unsigned)p->num_heads, (unsigned)p->batch);
    if (blocks > 0)
        grid = dim3(blocks);
    TW_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, v->smem_bytes));
    TW_CUDA_TRY(cudaLaunchKernel(kernel, grid, dim3((unsigned)v->num_threads), kernel_args,
                                 (size_t)v->smem_bytes, args->stream));
    TW_CUDA_TRY(cudaGetLastError());
    return TW_OK;
}

#endif
