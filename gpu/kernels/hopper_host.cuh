/*
 * The host's part of a Hopper rung: tensor maps, the form that goes with a shape, what is refused, the launch.
 */
#ifndef TW_HOPPER_HOST_CUH
#define TW_HOPPER_HOST_CUH

#include "hopper_form.cuh"

#include <float.h>

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
    int blocks_per_sm = 1; /* of a persistent kernel */
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

/*
 * How persistent blocks share the work out: sections of heads, one after the other, each in whole turns. The fewer
 * heads at a time, the fewer K and V the L2 must hold, and the more evenly HBM is asked for them; so, the smallest
 * section that leaves less than 1 in 32 places of its turns empty.
 */
static inline void plan_turns(tensor_maps *maps, const tw_problem *p, int block_m, int blocks)
{
    const int group = p->num_heads / p->num_heads_kv;
    const int64_t room = 32 << 20, bytes = (int64_t)p->seqlen_k * p->head_dim * 4;
    maps->first_tile = p->causal && p->seqlen_q > p->seqlen_k ? (p->seqlen_q - p->seqlen_k) / block_m : 0;
    maps->tiles = ceil_div(p->seqlen_q, block_m) - maps->first_tile;
    maps->section_heads = maps->num_heads;
    if (p->causal)
        for (int heads = group; heads < maps->num_heads && (heads == group || heads / group * bytes <= room);
             heads += group) {
            const int64_t pieces = (int64_t)heads * maps->tiles,
                          places = (pieces + blocks - 1) / blocks * blocks;
            maps->section_heads = heads;
            if ((places - pieces) * 32 <= places)
                break;
        }
    maps->section_turns = ceil_div(maps->section_heads * maps->tiles, blocks);
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
    if (blocks > 0)
        plan_turns(&maps, p, v->block_m, (int)blocks);
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

/* Launches a persistent kernel: as many blocks as run at once, or as there is work for. */
static inline tw_status hopper_launch_persistent(const tw_gpu_args *args, const hopper_variant *variants)
{
    int device, sms;
    TW_CUDA_TRY(cudaGetDevice(&device));
    TW_CUDA_TRY(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device));
    const tw_problem *p = &args->problem;
    const hopper_variant *v = find_hopper_variant(variants, p, &args->tiling);
    const int64_t blocks = (int64_t)sms * v->blocks_per_sm;
    const int64_t tiles = (int64_t)ceil_div(p->seqlen_q, v->block_m) * p->num_heads * p->batch;
    return hopper_launch(args, variants, (unsigned)(tiles < blocks ? tiles : blocks));
}

#endif
