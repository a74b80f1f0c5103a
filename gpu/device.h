/**
 * @file device.h
 * @brief The GPU that everything runs on, and what it says about itself.
 */
#ifndef TW_GPU_DEVICE_H
#define TW_GPU_DEVICE_H

#include "kernel.h"

#include <stdio.h>

/** What the header of every CSV file says, and what supports a decision. */
typedef struct tw_gpu_device {
    char name[256];   /**< "NVIDIA H100 80GB HBM3" */
    char machine[64]; /**< name of the machine file of sim/ that describes it: "h100" */
    char driver[96];
    char cuda[32]; /**< of the runtime, "13.0" */
    char clock[160];
    int arch; /**< compute capability, 90 for 9.0 */
} tw_gpu_device;

/**
 * @brief Opens the first GPU.
 * @return TW_OK; TW_EGPU (no driver, no GPU; the line says which)
 */
TW_MUST_CHECK tw_status tw_gpu_device_open(tw_gpu_device *device);

/** The machine file that a device name stands for; a name that is not known is put in lower case, with '-'. */
void tw_gpu_machine_name(char *machine, size_t size, const char *device_name);

/** Writes the comment lines that head every CSV file: gpu, driver, cuda, clock, commit, command. */
void tw_gpu_write_header(FILE *file, const tw_gpu_device *device, const char *command_line);

/**
 * @brief Can this kernel run this case, on this GPU, with the memory that is free now?
 * @return TW_OK; TW_EUNSUPPORTED; TW_ENOMEM (the line says how much is needed and how much there is)
 */
TW_MUST_CHECK tw_status tw_gpu_can_run(const tw_gpu_device *device, const tw_gpu_kernel *kernel,
                                       const tw_problem *problem, const tw_tiling *tiling, size_t held_bytes);

#endif
