/**
 * @file commands.h
 * @brief The subcommands of tilewise-gpu, and the loop over cases that bench and launch share.
 */
#ifndef TW_GPU_COMMANDS_H
#define TW_GPU_COMMANDS_H

#include "csv.h"
#include "device.h"
#include "options.h"
#include "registry.h"
#include "tensors.h"

/** Everything that a subcommand works with. */
typedef struct tw_gpu_session {
    tw_gpu_options options;
    tw_gpu_selection selection;
    tw_gpu_device device; /**< all zero for `list` */
    struct CUstream_st *stream;
    tw_gpu_csv csv;
    int argc;
    const char **argv;
    int num_disagreements;
} tw_gpu_session;

/** One kernel with one tiling on one problem. */
typedef struct tw_gpu_case {
    const tw_gpu_kernel *kernel;
    tw_problem problem;
    tw_tiling tiling;
} tw_gpu_case;

/** What bench or launch does with a case; tensors are made, and the case can run. */
typedef tw_status (*tw_gpu_case_fn)(tw_gpu_session *session, const tw_gpu_case *one, tw_gpu_tensors *tensors,
                                    void *context);

/** Called once for every problem, before its cases; may be NULL. */
typedef tw_status (*tw_gpu_problem_fn)(tw_gpu_session *session, tw_gpu_tensors *tensors, void *context);

/**
 * @brief Runs every case that the options span.
 *
 * Cases that cannot run (tiling, memory) are skipped with a comment in the CSV and a line on stderr.
 * @return TW_OK; what a function returned; if no case at all can run, the reason of the first
 */
TW_MUST_CHECK tw_status tw_gpu_for_each_case(tw_gpu_session *session, tw_gpu_problem_fn on_problem,
                                             tw_gpu_case_fn on_case, void *context);

/** The tiling that a kernel uses when these block sizes are wanted; 0 is the kernel's own. */
tw_tiling tw_gpu_wanted_tiling(const tw_gpu_kernel *kernel, int block_m, int block_n);

TW_MUST_CHECK tw_status tw_gpu_list_command(tw_gpu_session *session);
TW_MUST_CHECK tw_status tw_gpu_validate_command(tw_gpu_session *session);
TW_MUST_CHECK tw_status tw_gpu_bench_command(tw_gpu_session *session);
TW_MUST_CHECK tw_status tw_gpu_launch_command(tw_gpu_session *session);

#endif
