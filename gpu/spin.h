/**
 * @file spin.h
 * @brief Two kernels that compute nothing: one to hide the host's time, one to mark a place.
 */
#ifndef TW_GPU_SPIN_H
#define TW_GPU_SPIN_H

#include "../cpu_ref/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/** Keeps the stream busy for so many SM cycles. @return TW_OK; TW_EGPU */
TW_MUST_CHECK tw_status tw_gpu_spin(struct CUstream_st *stream, long long cycles);

/** Launches tw_init_case, by which counters.py knows where a case begins. @return TW_OK; TW_EGPU */
TW_MUST_CHECK tw_status tw_gpu_mark_case(struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif

#endif
