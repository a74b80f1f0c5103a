/**
 * @file commands.h
 * @brief The subcommands of `tilewise`: one file each, one function each.
 *
 * A command prints its result to stdout, leaves at most one line on stderr, and returns what the program exits
 * with: 0 done, 1 compared and found to disagree, 2 could not be done.
 */
#ifndef TW_COMMANDS_H
#define TW_COMMANDS_H

#include "../cpu_ref/status.h"
#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

int tw_cmd_io(int argc, char **argv);
int tw_cmd_run(int argc, char **argv);
int tw_cmd_check(int argc, char **argv);
int tw_cmd_compare(int argc, char **argv);
int tw_cmd_predict(int argc, char **argv);
int tw_cmd_timeline(int argc, char **argv);
int tw_cmd_explain(int argc, char **argv);
int tw_cmd_tune(int argc, char **argv);
int tw_cmd_advise(int argc, char **argv);
int tw_cmd_list(int argc, char **argv);
int tw_cmd_step(int argc, char **argv);
int tw_cmd_cache(int argc, char **argv);
int tw_cmd_orders(int argc, char **argv);
int tw_cmd_calibrate_cpu(int argc, char **argv);
int tw_cmd_bench_cpu(int argc, char **argv);

/** What `tilewise predict --cases` does. @return TW_OK; as tw_measured_read_cases() and tw_l2_run_jobs() */
TW_MUST_CHECK tw_status tw_predict_cases(const tw_options *shared, const tw_text_list *cases, int seeds,
                                         int argc, char **argv);

/** Prints the line of a failure to stderr, and says what to exit with. TW_EMISMATCH prints nothing: exit 1. */
int tw_exit_code(tw_status status);

#ifdef __cplusplus
}
#endif

#endif
