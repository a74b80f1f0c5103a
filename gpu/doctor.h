/**
 * @file doctor.h
 * @brief Reads and measures what gpu/checkup.h judges.
 */
#ifndef TW_GPU_DOCTOR_H
#define TW_GPU_DOCTOR_H

#include "checkup.h"
#include "device.h"

/**
 * @brief Examines the GPU: some two seconds.
 * @param[in] load_seconds  for so long matrix products run back to back while clock and power are watched
 * @return TW_OK, also where something could not be measured; TW_EGPU
 */
TW_MUST_CHECK tw_status tw_gpu_examine(tw_gpu_checkup *checkup, const tw_gpu_device *device,
                                       struct CUstream_st *stream, double load_seconds);

/** Examines, and writes the comment line `# doctor: …` that heads what was measured on this GPU. */
TW_MUST_CHECK tw_status tw_gpu_write_examination(FILE *file, const tw_gpu_device *device,
                                                 struct CUstream_st *stream);

#endif
