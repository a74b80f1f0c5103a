/**
 * @file options.h
 * @brief The command line of tilewise-gpu: the shared options of sim/options.h and a few of its own. No CUDA in here.
 */
#ifndef TW_GPU_OPTIONS_H
#define TW_GPU_OPTIONS_H

#include "../cpu_ref/problem.h"
#include "../sim/options.h"

/** Which options of its own a subcommand has, beside --kernel and --plugin; what it shares is in sim/options.h. */
enum {
    TW_GPU_GROUP_EVERY = 1,
    TW_GPU_GROUP_SHAPES = 2, /**< and the shared ones for shapes, tiles and seed */
    TW_GPU_GROUP_CASES = 4,
    TW_GPU_GROUP_TIMES = 8,
    TW_GPU_GROUP_ROUNDS = 16,
    TW_GPU_GROUP_SOAK = 32, /**< and the shared seed */
    TW_GPU_GROUP_CSV = 64,
    TW_GPU_GROUP_LAUNCH = 128,
    TW_GPU_GROUP_TUNE = 256, /**< and the shared one for the machine file */
    TW_GPU_GROUP_ALL = 511
};

/** Everything that the command line says. */
typedef struct tw_gpu_options {
    tw_options shared;
    char *kernels; /**< comma-separated names; NULL: all */
    char *plugin;  /**< path; NULL: none */
    int mask;      /**< --mask: 0 none, 1 causal, 2 both; --causal is 1 */
    int order;     /**< a tw_order */
    int kv_order;  /**< a tw_kv_order */
    char *cases;   /**< --cases: path; NULL: none */
    bool warm;     /**< launch: each case runs once before a profiler looks */
    int reps;
    bool no_energy;
    int rounds;     /**< of ladder and tune */
    int top;        /**< tune: so many are measured */
    bool paced;     /**< ladder: each round waits for a line on stdin */
    double seconds; /**< of soak */
    uint64_t only;  /**< soak: this shape alone, counted from 1; 0: all */
} tw_gpu_options;

/**
 * @brief Reads the command line of a subcommand; to be freed also if it fails.
 * @param[out] help  --help was given and printed: there is nothing more to do
 * @param[in]  groups  which options there are: TW_GPU_GROUP_…
 * @param[in]  command, summary, argc, argv  as for tw_options_read()
 * @return TW_OK; as tw_options_read(); TW_EINVAL (too many reps or rounds)
 */
TW_MUST_CHECK tw_status tw_gpu_options_read(tw_gpu_options *options, bool *help, unsigned groups,
                                            const char *command, const char *summary, int argc, char **argv);

void tw_gpu_options_free(tw_gpu_options *options);

/** Does the command line say anything about the shape of the problem? */
bool tw_gpu_shape_given(const tw_gpu_options *options);

/**
 * @brief Every problem that the options span: masks outermost, then as tw_options_cases().
 * @param[out] problems  to be freed with free()
 * @return TW_OK; as tw_options_cases()
 */
TW_MUST_CHECK tw_status tw_gpu_problems(tw_problem **problems, size_t *count, const tw_gpu_options *options);

/** One line of a file of cases: a command line of its own. */
typedef struct tw_gpu_line {
    tw_gpu_options options;
    int number; /**< in the file, from 1 */
} tw_gpu_line;

/**
 * @brief Reads a file of cases: each line is options, read as if they stood behind those of the command line.
 *
 * Empty lines and what follows a '#' are left out.
 * @param[out] lines  to be freed with tw_gpu_lines_free()
 * @param[in]  groups, command, argc, argv  of the command line that names the file; argv[0] is its command
 * @return TW_OK; TW_EIO; TW_EFORMAT (no line at all, a line too long); TW_EINVAL, TW_EOVERFLOW (as
 *         tw_gpu_options_read(), and --csv or --plugin in a line; the message names file and line); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_gpu_lines_read(tw_gpu_line **lines, int *count, const char *path, unsigned groups,
                                          const char *command, int argc, char **argv);

void tw_gpu_lines_free(tw_gpu_line *lines, int count);

#endif
