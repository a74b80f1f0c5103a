/*
 * CUDA's calls, answered by the host: what tilewise-gpu does around its kernels can then be tested where there is no
 * GPU. Device memory is host memory, a stream does everything at once, an event is a clock. It needs CUDA's headers
 * and nothing else of CUDA.
 */
#include <cublas_v2.h>
#include <cuda_profiler_api.h>
#include <cuda_runtime_api.h>

#include "stub.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef cudaGetDeviceProperties

static const size_t TOTAL_BYTES = (size_t)4 << 30;

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    (void)device;
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, "Stub H100");
    properties->major = 9;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    static const struct {
        enum cudaDeviceAttr attribute;
        int value;
    } known[] = {{cudaDevAttrMultiProcessorCount, TW_STUB_SMS},
                 {cudaDevAttrMaxSharedMemoryPerBlockOptin, 232448},
                 {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 233472},
                 {cudaDevAttrMaxRegistersPerMultiprocessor, 65536},
                 {cudaDevAttrL2CacheSize, TW_STUB_L2_BYTES},
                 {cudaDevAttrGlobalMemoryBusWidth, 5120},
                 {cudaDevAttrClockRate, 1980000},
                 {cudaDevAttrMemoryClockRate, 2619000}};
    (void)device;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].attribute == attribute) {
            *value = known[i].value;
            return cudaSuccess;
        }
    return cudaErrorInvalidValue;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int size, int device)
{
    (void)device;
    strncpy(id, "0000:00:00.0", (size_t)size);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaSuccess ? "cudaSuccess" : "cudaErrorOfTheStub";
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an error of the stub";
}

/* ---- memory --------------------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    *memory = bytes <= TOTAL_BYTES ? malloc(bytes) : NULL;
    return *memory != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *memory)
{
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    const char *all = getenv("TW_STUB_ALL_MEMORY"); /* what is never touched costs nothing */
    *free_bytes = all != NULL ? TOTAL_BYTES * 3 : TOTAL_BYTES / 64;
    *total_bytes = TOTAL_BYTES;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    (void)kind;
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    (void)stream;
    return cudaMemcpy(to, from, bytes, kind);
}

cudaError_t cudaMemset(void *to, int byte, size_t bytes)
{
    memset(to, byte, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream)
{
    (void)stream;
    return cudaMemset(to, byte, bytes);
}

/* ---- streams and events --------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    *stream = NULL;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

struct CUevent_st {
    struct timespec at;
    double kernels_s;
};

static double kernels_s; /* that kernels took beyond what it took to answer them */

void tw_stub_advance(double seconds)
{
    kernels_s += seconds;
}

/* ---- launches: the function is one of the host's ---------------------------------------------------------- */

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    (void)function, (void)attribute, (void)value;
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t smem,
                             cudaStream_t stream)
{
    tw_stub_kernel kernel;
    (void)smem, (void)stream;
    memcpy(&kernel, &function, sizeof kernel);
    kernel((int)grid.x, (int)block.x, arguments[0]);
    return cudaSuccess;
}

cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                                        size_t smem, cudaStream_t stream)
{
    return cudaLaunchKernel(function, grid, block, arguments, smem, stream);
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    (void)event;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = calloc(1, sizeof **event);
    return *event != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)stream;
    clock_gettime(CLOCK_MONOTONIC, &event->at);
    event->kernels_s = kernels_s;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    (void)event;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t stop)
{
    *ms = (float)(1e3 * (double)(stop->at.tv_sec - start->at.tv_sec) +
                  1e-6 * (double)(stop->at.tv_nsec - start->at.tv_nsec) +
                  1e3 * (stop->kernels_s - start->kernels_s));
    *ms = *ms > 1e-3f ? *ms : 1e-3f;
    return cudaSuccess;
}

cudaError_t cudaProfilerStart(void)
{
    return cudaSuccess;
}

cudaError_t cudaProfilerStop(void)
{
    return cudaSuccess;
}

/* ---- cuBLAS: the yardstick's product takes a millisecond and computes nothing ----------------------------- */

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    static char one;
    *handle = (cublasHandle_t)(void *)&one;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    (void)handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    (void)handle, (void)stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    (void)handle, (void)workspace, (void)bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                            int n, int k, const void *alpha, const void *a, cudaDataType type_a, int ld_a,
                            const void *b, cudaDataType type_b, int ld_b, const void *beta, void *c,
                            cudaDataType type_c, int ld_c, cublasComputeType_t compute, cublasGemmAlgo_t algo)
{
    (void)handle, (void)op_a, (void)op_b, (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)type_a;
    (void)ld_a, (void)b, (void)type_b, (void)ld_b, (void)beta, (void)c, (void)type_c, (void)ld_c;
    (void)compute, (void)algo;
    tw_stub_advance(1e-3);
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_OF_THE_STUB";
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return cublasGetStatusName(status);
}
