/**
 * @file commands.h
 * @brief The subcommands of tilewise-gpu, and the loop over cases that bench, ladder and launch share.
 */
#ifndef TW_GPU_COMMANDS_H
#define TW_GPU_COMMANDS_H

#include "../sim/csv.h"
#include "device.h"
#include "options.h"
#include "registry.h"
#include "tensors.h"

/** Names of the leading columns, shared with `tilewise io`, and of the kernel column behind them. */
#define TW_GPU_CSV_COLUMNS                                                                                   \
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_"  \
    "n,kernel"

/** What one command line spans, or one line of a file of cases. */
typedef struct tw_gpu_set {
    tw_gpu_options options;
    tw_gpu_selection selection;
    tw_problem *problems; /**< owned */
    size_t num_problems;
} tw_gpu_set;

/** Everything that a subcommand works with. */
typedef struct tw_gpu_program {
    tw_gpu_options options; /**< of the command line */
    tw_gpu_set *sets;       /**< the command line, or every line of --cases; at least one */
    int num_sets;
    tw_gpu_device device; /**< all zero for `list` */
    struct CUstream_st *stream;
    tw_csv csv;
    char command_line[1024]; /**< as it was typed, for the head of a CSV file */
    int num_disagreements;
} tw_gpu_program;

/** One kernel with one tiling on one problem. */
typedef struct tw_gpu_case {
    const tw_gpu_kernel *kernel;
    tw_problem problem;
    tw_tiling tiling;
    const tw_gpu_options *options; /**< of the set that it belongs to */
} tw_gpu_case;

/** What is done with a case; tensors are made, and the case can run. */
typedef tw_status (*tw_gpu_case_fn)(tw_gpu_program *program, const tw_gpu_case *one, tw_gpu_tensors *tensors,
                                    void *context);

/** Called once for every problem, before its cases; may be NULL. */
typedef tw_status (*tw_gpu_problem_fn)(tw_gpu_program *program, tw_gpu_tensors *tensors, void *context);

/**
 * @brief Runs every case of every set.
 *
 * Cases that cannot run (tiling, memory) are skipped with a comment in the CSV and a line on stderr.
 * @return TW_OK; what a function returned; if no case at all can run, the reason of the first
 */
TW_MUST_CHECK tw_status tw_gpu_for_each_case(tw_gpu_program *program, tw_gpu_problem_fn on_problem,
                                             tw_gpu_case_fn on_case, void *context);

/** Writes the leading columns of a case, TW_GPU_CSV_COLUMNS and tw_gpu_order_columns(), without an end of line. */
void tw_gpu_write_case(FILE *file, const tw_gpu_program *program, const tw_gpu_case *one);

/** A line on stderr, and a comment in the CSV file if there is one: what was not measured, and why. */
void tw_gpu_report_skipped(tw_gpu_program *program, const char *line);

/** Columns behind TW_GPU_CSV_COLUMNS where some case has an order that is not the kernel's own; otherwise "". */
const char *tw_gpu_order_columns(const tw_gpu_program *program);

TW_MUST_CHECK tw_status tw_gpu_list_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_doctor_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_validate_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_soak_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_bench_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_ladder_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_tune_command(tw_gpu_program *program);
TW_MUST_CHECK tw_status tw_gpu_launch_command(tw_gpu_program *program);

/** Reads its own command line, calibrate/options.h, and opens the GPU itself. */
TW_MUST_CHECK tw_status tw_gpu_calibrate_command(tw_gpu_program *program, int argc, char **argv);

#endif
