/* Operands for product.c. */
#include "device.cuh"
#include "kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __global__ void tw_cal_random_numbers(tw_cal_random_args a)
{
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.n;
         i += (size_t)gridDim.x * blockDim.x) {
        const float x = random_number((uint32_t)i);
        if (a.bf16)
            ((__nv_bfloat16 *)a.to)[i] = __float2bfloat16_rn(x);
        else
            ((__half *)a.to)[i] = __float2half_rn(x);
    }
}

extern "C" const void *tw_cal_random_kernel(void)
{
    return (const void *)tw_cal_random_numbers;
}
