/**
 * @file product.h
 * @brief The yardstick: what the tensor cores and the memory of this GPU reach at best, by cuBLAS and the driver.
 */
#ifndef TW_GPU_PRODUCT_H
#define TW_GPU_PRODUCT_H

#include "timing.h"

struct cublasContext;

/** Rows and columns of the matrices. */
#define TW_GPU_PRODUCT_SIZE 8192

/** FLOPs of one product. */
#define TW_GPU_PRODUCT_FLOPS (2.0 * TW_GPU_PRODUCT_SIZE * TW_GPU_PRODUCT_SIZE * TW_GPU_PRODUCT_SIZE)

/** C = A B in fp16 with fp32 accumulation, on random data; all zero: nothing is allocated. */
typedef struct tw_gpu_product {
    void *d_a, *d_b, *d_c, *d_workspace;
    struct cublasContext *handle;
    struct CUstream_st *stream;
} tw_gpu_product;

/** Allocates and fills the matrices. @return TW_OK; TW_ENOMEM; TW_EGPU; on error nothing is left allocated */
TW_MUST_CHECK tw_status tw_gpu_product_make(tw_gpu_product *product, uint64_t seed,
                                            struct CUstream_st *stream);

/** One product as work; the product must outlive it. */
tw_gpu_work tw_gpu_product_work(const tw_gpu_product *product);

void tw_gpu_product_free(tw_gpu_product *product);

/** A copy from one place in device memory to another; all zero: nothing is allocated. */
typedef struct tw_gpu_copy {
    void *d_from, *d_to;
    size_t bytes; /**< read once and written once */
    struct CUstream_st *stream;
} tw_gpu_copy;

/** Allocates 1 GiB twice, or less where less is free. @return as tw_gpu_product_make() */
TW_MUST_CHECK tw_status tw_gpu_copy_make(tw_gpu_copy *copy, struct CUstream_st *stream);

/** One copy as work; the copy must outlive it. */
tw_gpu_work tw_gpu_copy_work(const tw_gpu_copy *copy);

void tw_gpu_copy_free(tw_gpu_copy *copy);

#endif
