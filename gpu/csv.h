/**
 * @file csv.h
 * @brief A result file that is there whole or not at all, and the columns that every row starts with.
 */
#ifndef TW_GPU_CSV_H
#define TW_GPU_CSV_H

#include "../cpu_ref/problem.h"
#include "../sim/tiling.h"

#include <stdio.h>

/** Names of the leading columns, shared with `tilewise io`, and of the kernel column behind them. */
#define TW_GPU_CSV_COLUMNS                                                                                   \
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,kernel"

/** A file being written: beside its final name until it is complete. */
typedef struct tw_gpu_csv {
    FILE *file; /**< NULL: no CSV was asked for */
    char path[4096], temporary[4128];
} tw_gpu_csv;

/**
 * @brief Opens a temporary file beside path; "-" is standard output, NULL no file.
 * @return TW_OK; TW_EIO (cannot be written there, or path is a folder)
 */
TW_MUST_CHECK tw_status tw_gpu_csv_open(tw_gpu_csv *csv, const char *path);

/** Writes the leading columns, TW_GPU_CSV_COLUMNS, without an end of line. */
void tw_gpu_csv_case(FILE *file, const char *schedule, const char *machine, const tw_problem *problem,
                     const tw_tiling *tiling, const char *kernel);

/** Gives the file its name. @return TW_OK; TW_EIO (and then nothing is left) */
TW_MUST_CHECK tw_status tw_gpu_csv_commit(tw_gpu_csv *csv);

/** Leaves nothing behind; after a commit or a failed one it does nothing. */
void tw_gpu_csv_abort(tw_gpu_csv *csv);

#endif
