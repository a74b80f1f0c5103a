/* The yardstick: a large matrix product and a large copy. */
#include "product.h"

#include "cublas_try.h"
#include "cuda_try.h"
#include "fill.h"

#include <string.h>

enum { N = TW_GPU_PRODUCT_SIZE };
static const size_t WORKSPACE_BYTES = (size_t)32 << 20; /* what NVIDIA recommends for Hopper */

/* ---- the product ---------------------------------------------------------------------------------------- */

static tw_status launch_product(const void *context)
{
    const tw_gpu_product *p = context;
    static const float one = 1.0f, zero = 0.0f;
    TW_CUBLAS_TRY(cublasGemmEx(p->handle, CUBLAS_OP_N, CUBLAS_OP_N, N, N, N, &one, p->d_a, CUDA_R_16F, N,
                               p->d_b, CUDA_R_16F, N, &zero, p->d_c, CUDA_R_16F, N, CUBLAS_COMPUTE_32F,
                               CUBLAS_GEMM_DEFAULT));
    return TW_OK;
}

tw_gpu_work tw_gpu_product_work(const tw_gpu_product *product)
{
    return (tw_gpu_work){.launch = launch_product, .context = product, .stream = product->stream};
}

static tw_status make_product(tw_gpu_product *p, uint64_t seed)
{
    const size_t elements = (size_t)N * N, bytes = 2 * elements;
    TW_CUDA_TRY(cudaMalloc(&p->d_a, bytes));
    TW_CUDA_TRY(cudaMalloc(&p->d_b, bytes));
    TW_CUDA_TRY(cudaMalloc(&p->d_c, bytes));
    TW_CUDA_TRY(cudaMalloc(&p->d_workspace, WORKSPACE_BYTES));
    TW_TRY(tw_gpu_fill_normal(p->d_a, TW_FP16, elements, seed, 0, 1.0, p->stream));
    TW_TRY(tw_gpu_fill_normal(p->d_b, TW_FP16, elements, seed, 1, 1.0, p->stream));
    TW_CUBLAS_TRY(cublasCreate(&p->handle));
    TW_CUBLAS_TRY(cublasSetStream(p->handle, p->stream));
    TW_CUBLAS_TRY(cublasSetWorkspace(p->handle, p->d_workspace, WORKSPACE_BYTES));
    return TW_OK;
}

tw_status tw_gpu_product_make(tw_gpu_product *product, uint64_t seed, struct CUstream_st *stream)
{
    tw_gpu_product p = {.stream = stream};
    tw_status status = make_product(&p, seed);
    if (status == TW_OK)
        *product = p;
    else
        tw_gpu_product_free(&p);
    return status;
}

void tw_gpu_product_free(tw_gpu_product *p)
{
    if (p->handle != NULL)
        cublasDestroy(p->handle);
    cudaFree(p->d_a);
    cudaFree(p->d_b);
    cudaFree(p->d_c);
    cudaFree(p->d_workspace);
    memset(p, 0, sizeof *p);
}

/* ---- the copy ------------------------------------------------------------------------------------------- */

static tw_status launch_copy(const void *context)
{
    const tw_gpu_copy *c = context;
    TW_CUDA_TRY(cudaMemcpyAsync(c->d_to, c->d_from, c->bytes, cudaMemcpyDeviceToDevice, c->stream));
    return TW_OK;
}

tw_gpu_work tw_gpu_copy_work(const tw_gpu_copy *copy)
{
    return (tw_gpu_work){.launch = launch_copy, .context = copy, .stream = copy->stream};
}

static tw_status make_copy(tw_gpu_copy *c)
{
    const size_t GIB = (size_t)1 << 30;
    size_t free_bytes, total_bytes;
    TW_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    c->bytes = free_bytes / 4 < GIB ? free_bytes / 4 : GIB;
    TW_CUDA_TRY(cudaMalloc(&c->d_from, c->bytes));
    TW_CUDA_TRY(cudaMalloc(&c->d_to, c->bytes));
    TW_CUDA_TRY(cudaMemsetAsync(c->d_from, 0x5a, c->bytes, c->stream));
    return TW_OK;
}

tw_status tw_gpu_copy_make(tw_gpu_copy *copy, struct CUstream_st *stream)
{
    tw_gpu_copy c = {.stream = stream};
    tw_status status = make_copy(&c);
    if (status == TW_OK)
        *copy = c;
    else
        tw_gpu_copy_free(&c);
    return status;
}

void tw_gpu_copy_free(tw_gpu_copy *c)
{
    cudaFree(c->d_from);
    cudaFree(c->d_to);
    memset(c, 0, sizeof *c);
}
