/**
 * @file cuda_try.h
 * @brief A failed CUDA call becomes a status and a line: file, line, call, the error's name and its text.
 */
#ifndef TW_CUDA_TRY_H
#define TW_CUDA_TRY_H

#include "../cpu_ref/status.h"

#include <cuda_runtime_api.h>

/** The status that a CUDA error is reported as. */
static inline tw_status tw_cuda_status(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? TW_ENOMEM : TW_EGPU;
}

/** Returns from the calling function if a CUDA call failed. */
#define TW_CUDA_TRY(call)                                                                                    \
    do {                                                                                                     \
        cudaError_t tw_cuda_error_ = (call);                                                                 \
        if (tw_cuda_error_ != cudaSuccess)                                                                   \
            return tw_fail(tw_cuda_status(tw_cuda_error_), "%s:%d: %s: %s (%s)", __FILE__, __LINE__, #call,  \
                           cudaGetErrorName(tw_cuda_error_), cudaGetErrorString(tw_cuda_error_));            \
    } while (0)

#endif
