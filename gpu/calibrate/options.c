/* The command line of `tilewise-gpu calibrate`. */
#include "options.h"

#include "../../sim/csv.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT(field) offsetof(tw_cal_options, field)

static const tw_option rows[] = {
    {"out", "FILE.ini", TW_OPTION_TEXT, AT(out), 0,
     "writes the machine file, for `tilewise io --machine FILE.ini`; - writes it, alone, to stdout"},
    {"plots", "FOLDER", TW_OPTION_TEXT, AT(plots), 0,
     "writes the curves as CSV, for notebooks_data/plots/calibration.gp"},
    {"seconds", "NUMBER", TW_OPTION_POSITIVE, AT(seconds), 0,
     "what has not begun after so long is left out (default: 90)"},
    {"quick", NULL, TW_OPTION_FLAG, AT(quick), 0, "fewer points and repeats: some 10 s instead of some 40"},
    {"properties", NULL, TW_OPTION_FLAG, AT(properties), 0,
     "measures nothing: a machine file from what the driver says, marked as uncalibrated"},
    {"launch", "none|dirty|l2", TW_OPTION_CHOICE, AT(launch), 0,
     "measures nothing: runs these kernels once, for `gpu/counters.py --command calibrate`"},
    {"csv", "FILE|-", TW_OPTION_TEXT, AT(csv), 0, "where --launch writes what it ran (default: stdout)"},
};

static tw_option_set set_of(tw_cal_options *o)
{
    tw_option_set set = {.rows = rows, .count = (int)(sizeof rows / sizeof rows[0]), .into = o};
    return set;
}

static tw_status check_folder(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode) || access(path, W_OK | X_OK) != 0)
        return tw_fail(TW_EINVAL, "--plots is '%s', it must be a folder that may be written to",
                       tw_quote(path).text);
    return TW_OK;
}

/* All that can be refused is, before anything is measured. */
static tw_status check_together(const tw_cal_options *o)
{
    if (o->seconds < 5.0 || o->seconds > 600.0)
        return tw_fail(TW_EINVAL, "--seconds is %g, it must be from 5 to 600", o->seconds);
    if (o->launch != TW_CAL_LAUNCH_NONE && (o->out || o->plots || o->properties || o->quick))
        return tw_fail(TW_EINVAL, "--launch measures nothing, so it goes with --csv alone");
    if (o->csv && o->launch == TW_CAL_LAUNCH_NONE)
        return tw_fail(TW_EINVAL, "--csv goes with --launch; curves go to --plots FOLDER");
    if (o->properties && (o->plots || o->quick))
        return tw_fail(TW_EINVAL, "--properties measures nothing, so it goes with --out alone");
    if (o->out && strcmp(o->out, "-") != 0) {
        TW_TRY(tw_machine_check_path(o->out));
        TW_TRY(tw_check_writable(o->out));
    }
    return o->plots ? check_folder(o->plots) : TW_OK;
}

tw_status tw_cal_options_read(tw_cal_options *options, bool *help, int argc, char **argv)
{
    *options = (tw_cal_options){.seconds = 90.0};
    tw_option_set set = set_of(options);
    TW_TRY(tw_options_read(help, "tilewise-gpu calibrate", "measures this GPU and writes its machine file",
                           &set, 1, argc, argv));
    return *help ? TW_OK : check_together(options);
}

void tw_cal_options_free(tw_cal_options *options)
{
    tw_option_set set = set_of(options);
    tw_options_free(&set, 1);
}
