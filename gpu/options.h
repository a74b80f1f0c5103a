/**
 * @file options.h
 * @brief The command line of tilewise-gpu: the shared options of sim/options.h and a few of its own. No CUDA in here.
 */
#ifndef TW_GPU_OPTIONS_H
#define TW_GPU_OPTIONS_H

#include "../cpu_ref/problem.h"
#include "../sim/options.h"

/** Everything that the command line says. */
typedef struct tw_gpu_options {
    tw_options shared;
    char *kernels; /**< comma-separated names; NULL: all */
    char *plugin;  /**< path; NULL: none */
    int mask;      /**< --mask: 0 none, 1 causal, 2 both; --causal is 1 */
    int reps;
} tw_gpu_options;

/**
 * @brief Reads the command line of a subcommand; to be freed also if it fails.
 * @param[out] help  --help was given and printed: there is nothing more to do
 * @param[in]  command, summary, argc, argv  as for tw_options_read()
 * @return TW_OK; as tw_options_read(); TW_EINVAL (too many reps)
 */
TW_MUST_CHECK tw_status tw_gpu_options_read(tw_gpu_options *options, bool *help, const char *command,
                                            const char *summary, int argc, char **argv);

void tw_gpu_options_free(tw_gpu_options *options);

/** Does the command line say anything about the shape of the problem? */
bool tw_gpu_shape_given(const tw_gpu_options *options);

/**
 * @brief Every problem that the options span: masks outermost, then as tw_options_cases().
 * @param[out] problems  to be freed with free()
 * @return TW_OK; as tw_options_cases()
 */
TW_MUST_CHECK tw_status tw_gpu_problems(tw_problem **problems, size_t *count, const tw_gpu_options *options);

#endif
