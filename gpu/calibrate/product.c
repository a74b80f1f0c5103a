/*
 * What tensor cores reach in a whole product: cuBLAS, 8192 x 8192 x 8192, fp32 accumulation, for a second or more. This
 * is the ceiling that a kernel can be held to: with power as it is, more than a loop that only multiplies leaves room
 * for (wgmma.cu, clock.cu). Operands are random between -1 and 1; on zeros it would be faster than it ever is.
 */
#include "calibrate.h"

#include <cublas_v2.h>

enum { SIZE = 8192, AT_ONCE = 4 };

#define TW_CUBLAS_TRY(call)                                                                                  \
    do {                                                                                                     \
        cublasStatus_t tw_cublas_status_ = (call);                                                           \
        if (tw_cublas_status_ != CUBLAS_STATUS_SUCCESS)                                                      \
            return tw_fail(TW_EGPU, "%s:%d: %s: %s", __FILE__, __LINE__, #call,                              \
                           cublasGetStatusName(tw_cublas_status_));                                          \
    } while (0)

typedef struct product {
    cublasHandle_t handle;
    cudaDataType type;
    char *a, *b, *c; /* [SIZE][SIZE] in 16 bits */
} product;

static tw_status queue_products(tw_calibration *c, const void *context)
{
    const product *p = context;
    (void)c;
    const float one = 1.0f, zero = 0.0f;
    for (int i = 0; i < AT_ONCE; i++)
        TW_CUBLAS_TRY(cublasGemmEx(p->handle, CUBLAS_OP_T, CUBLAS_OP_N, SIZE, SIZE, SIZE, &one, p->a, p->type,
                                   SIZE, p->b, p->type, SIZE, &zero, p->c, p->type, SIZE, CUBLAS_COMPUTE_32F,
                                   CUBLAS_GEMM_DEFAULT));
    return TW_OK;
}

static tw_status measure(tw_calibration *c, product *p, bool bf16)
{
    const double seconds = c->options->quick ? 0.4 : 1.5, flops = 2.0 * SIZE * SIZE * (double)SIZE * AT_ONCE;
    tw_cal_load load;
    tw_cal_random_args a = {c->memory, 2 * (size_t)SIZE * SIZE, bf16};
    const tw_cal_kernel fill = tw_cal_on_all_sms(c, "random operands", tw_cal_random_kernel(), &a, 4, 512);
    TW_TRY(tw_cal_run(c, &fill));
    p->type = bf16 ? CUDA_R_16BF : CUDA_R_16F;
    TW_TRY(queue_products(c, p)); /* loads its kernels */
    TW_TRY(tw_cal_sustain(&load, c, queue_products, p, seconds));
    tw_readings_add_value(&c->readings, bf16 ? "tensor_bf16_flops_per_s" : "tensor_fp16_flops_per_s",
                          flops / load.seconds, load.spread, load.launches, (tw_limits){1e13, 1e16, 0.05},
                          "cuBLAS %d x %d x %d on random data, second half of %.1f s", SIZE, SIZE, SIZE,
                          seconds);
    return TW_OK;
}

tw_status tw_cal_product(tw_calibration *c)
{
    product p = {NULL, CUDA_R_16F, c->memory, NULL, NULL};
    const size_t matrix = 2 * (size_t)SIZE * SIZE;
    if (c->memory_bytes < 3 * matrix)
        return tw_fail(TW_EUNSUPPORTED, "three matrices of %d x %d do not fit into the memory that is free",
                       SIZE, SIZE);
    p.b = p.a + matrix;
    p.c = p.b + matrix;
    TW_CUBLAS_TRY(cublasCreate(&p.handle));
    tw_status status = cublasSetStream(p.handle, c->stream) == CUBLAS_STATUS_SUCCESS
                           ? TW_OK
                           : tw_fail(TW_EGPU, "cuBLAS does not take the stream");
    for (int bf16 = 0; status == TW_OK && bf16 < 2; bf16++)
        status = measure(c, &p, bf16);
    if (!c->stuck)
        cublasDestroy(p.handle);
    return status == TW_OK ? tw_cal_fill(c) : status;
}
