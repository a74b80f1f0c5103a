/**
 * @file fill.h
 * @brief Random tensors, made where they are used: the numbers of tw_random_normal(), rounded to 16 bits, on the GPU.
 */
#ifndef TW_GPU_FILL_H
#define TW_GPU_FILL_H

#include "../cpu_ref/dtype.h"
#include "../cpu_ref/philox.h"
#include "../cpu_ref/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/** Elements of one random stream; a tensor of more takes several, so that a host thread can make a part. */
#define TW_GPU_FILL_CHUNK 4096

/** The random stream of a tensor's chunk: tensors 0, 1, 2, … are Q, K, V, … of one seed. */
TW_PHILOX_INLINE uint64_t tw_gpu_fill_stream(uint64_t tensor, uint64_t chunk)
{
    enum { TENSORS = 256 };
    return chunk * TENSORS + tensor;
}

/**
 * @brief Fills n elements of fp16 or bf16 in device memory with normal random numbers, times `factor`.
 *
 * Queued on `stream`; nothing is waited for. The same numbers as tw_random_normal() on the host, but where the last
 * bit of a double decides how it is rounded.
 * @return TW_OK; TW_EGPU
 */
TW_MUST_CHECK tw_status tw_gpu_fill_normal(void *d_x, tw_dtype dtype, size_t n, uint64_t seed,
                                           uint64_t tensor, double factor, struct CUstream_st *stream);

/**
 * @brief Compares a few thousand of them with the host's.
 * @return TW_OK; TW_EGPU (they differ by more than a last bit now and then); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_gpu_fill_check(uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
