/**
 * @file cublas_try.h
 * @brief A failed cuBLAS call becomes a status and a line, as TW_CUDA_TRY does it for CUDA.
 */
#ifndef TW_CUBLAS_TRY_H
#define TW_CUBLAS_TRY_H

#include "../cpu_ref/status.h"

#include <cublas_v2.h>

/** Returns from the calling function if a cuBLAS call failed. */
#define TW_CUBLAS_TRY(call)                                                                                  \
    do {                                                                                                     \
        cublasStatus_t tw_cublas_status_ = (call);                                                           \
        if (tw_cublas_status_ != CUBLAS_STATUS_SUCCESS)                                                      \
            return tw_fail(TW_EGPU, "%s:%d: %s: %s (%s)", __FILE__, __LINE__, #call,                         \
                           cublasGetStatusName(tw_cublas_status_),                                           \
                           cublasGetStatusString(tw_cublas_status_));                                        \
    } while (0)

#endif
