/**
 * @file options.h
 * @brief The command line of tilewise-gpu: sizes, lists and the cases that they span. No CUDA in here.
 */
#ifndef TW_GPU_OPTIONS_H
#define TW_GPU_OPTIONS_H

#include "../cpu_ref/problem.h"

#include <stdint.h>

#define TW_GPU_MAX_LIST 64

/** Sizes given as a list. */
typedef struct tw_gpu_list {
    int count;
    int values[TW_GPU_MAX_LIST];
} tw_gpu_list;

/** Everything that the command line says. */
typedef struct tw_gpu_options {
    const char *command; /**< "bench" */
    const char *kernels; /**< comma-separated names; NULL: all */
    const char *plugin;  /**< path; NULL: none */
    const char *csv;     /**< path or "-"; NULL: none */
    tw_gpu_list seqlen, head_dim, block_m, block_n; /**< block sizes: 0 is the kernel's own */
    int seqlen_q, seqlen_k;                         /**< 0: as seqlen */
    int heads, heads_kv, batch;                     /**< heads_kv 0: as heads */
    int tokens, hidden; /**< 0: not given; else batch = tokens / seqlen and heads = hidden / head_dim */
    int num_dtypes, num_masks;
    tw_dtype dtypes[2];
    bool masks[2]; /**< causal or not */
    int reps;
    uint64_t seed;
    bool shape_given; /**< any option that says something about the problem */
    bool help;
} tw_gpu_options;

/**
 * @brief A size: digits, then nothing, k (1024) or M (1024²).
 * @return TW_OK; TW_EINVAL (not a number, zero, negative, or more than 2^31 − 1)
 */
TW_MUST_CHECK tw_status tw_gpu_parse_size(int *size, const char *option, const char *text);

/**
 * @brief Sizes separated by commas; `512..16k` is 512, 1k, 2k, … up to 16k.
 * @return TW_OK; as tw_gpu_parse_size(); TW_EINVAL (a range that falls, more than TW_GPU_MAX_LIST sizes)
 */
TW_MUST_CHECK tw_status tw_gpu_parse_list(tw_gpu_list *list, const char *option, const char *text);

/**
 * @brief Reads the command line; argv[1] is the subcommand.
 * @return TW_OK; TW_EINVAL (unknown subcommand or option, a value that has no meaning)
 */
TW_MUST_CHECK tw_status tw_gpu_parse_options(tw_gpu_options *options, int argc, const char **argv);

/** Number of problems that the options span: masks x dtypes x head_dims x seqlens. */
int tw_gpu_num_problems(const tw_gpu_options *options);

/**
 * @brief The i-th of them, in the order in which they are run.
 * @return TW_OK; as tw_problem_check(); TW_EINVAL (tokens or hidden do not divide)
 */
TW_MUST_CHECK tw_status tw_gpu_problem_at(tw_problem *problem, const tw_gpu_options *options, int i);

/** What --help prints. */
extern const char tw_gpu_usage[];

#endif
