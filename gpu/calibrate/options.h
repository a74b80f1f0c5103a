/**
 * @file options.h
 * @brief The command line of `tilewise-gpu calibrate`. No CUDA in here.
 */
#ifndef TW_CALIBRATE_OPTIONS_H
#define TW_CALIBRATE_OPTIONS_H

#include "../../sim/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What --launch takes: kernels for a profiler, which sees what a clock cannot. */
typedef enum tw_cal_launch {
    TW_CAL_LAUNCH_NONE = 0,
    TW_CAL_LAUNCH_DIRTY, /**< one streaming write of 16 to 128 MiB: HBM writes fall short of it by what stays dirty */
    TW_CAL_LAUNCH_L2 /**< working sets read several times, as l2_hits does: HBM reads say what missed */
} tw_cal_launch;

typedef struct tw_cal_options {
    char *out;      /**< machine file to write; "-" is stdout; NULL: none */
    char *plots;    /**< folder for CSV files of the curves, which must be there; NULL: none */
    char *csv;      /**< rows of --launch; NULL: stdout */
    double seconds; /**< subjects that have not begun by then are left out */
    bool quick, properties;
    int launch; /**< tw_cal_launch, 0: measure */
} tw_cal_options;

/**
 * @brief Reads the command line; to be freed also if it fails.
 * @return TW_OK; as tw_options_read(); TW_EINVAL (files that cannot be, options that do not go together); TW_EIO
 */
TW_MUST_CHECK tw_status tw_cal_options_read(tw_cal_options *options, bool *help, int argc, char **argv);

void tw_cal_options_free(tw_cal_options *options);

#ifdef __cplusplus
}
#endif

#endif
