/**
 * @file help.h
 * @brief The subcommands of tilewise-gpu by name, and its --help. No CUDA in here, so that any machine can print it.
 */
#ifndef TW_GPU_HELP_H
#define TW_GPU_HELP_H

#include "../cpu_ref/status.h"

#include <stdbool.h>

/** A subcommand; what it runs is in tilewise_gpu.c. */
typedef struct tw_gpu_command {
    const char *name;      /**< "bench" */
    const char *full_name; /**< "tilewise-gpu bench" */
    const char *what;      /**< one line */
    bool needs_gpu;
    unsigned groups; /**< of options: TW_GPU_GROUP_… */
} tw_gpu_command;

/** The i-th subcommand; NULL if there is none. */
const tw_gpu_command *tw_gpu_command_at(int i);

/**
 * @brief The subcommand of that name.
 * @param[out] index  untouched on error
 * @return TW_OK; TW_EINVAL (there is none of that name)
 */
TW_MUST_CHECK tw_status tw_gpu_command_find(int *index, const char *name);

/** Prints what `tilewise-gpu --help` says. */
void tw_gpu_print_help(void);

#endif
