/* tilewise-gpu calibrate: one subject after another, then the table, the machine file and the curves. */
#include "commands.h"

#include "calibrate/calibrate.h"
#include "../sim/progress.h"
#include "../sim/version.h"
#include "cuda_try.h"
#include "spin.h"

#include <cuda_profiler_api.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Cheap and short ones first, those that heat the card last; l2_hits wants what l2_sides finds, clock what wgmma does. */
static const struct {
    const char *name;
    tw_cal_subject_fn measure;
} subjects[] = {
    {"launches", tw_cal_launch_overhead},
    {"the halves of the L2", tw_cal_l2_sides},
    {"HBM", tw_cal_hbm},
    {"hits in the L2", tw_cal_l2_hits},
    {"bandwidth of the L2", tw_cal_l2_rate},
    {"stores between the halves", tw_cal_l2_cross},
    {"shared memory", tw_cal_smem},
    {"pipes of the SM", tw_cal_pipes},
    {"bulk copies", tw_cal_copy},
    {"softmax steps", tw_cal_softmax},
    {"mma.sync", tw_cal_mma},
    {"wgmma", tw_cal_wgmma},
    {"matrix products", tw_cal_product},
    {"clock under load", tw_cal_clock},
};
enum { NUM_SUBJECTS = sizeof subjects / sizeof subjects[0] };

static const double WARM_UP_S = 0.3;

/* ---- measuring ------------------------------------------------------------------------------------------ */

/* The clock takes a moment to leave idling. */
static tw_status warm_up(tw_calibration *c)
{
    const double start = tw_cal_now_s();
    while (tw_cal_now_s() - start < WARM_UP_S)
        TW_TRY(tw_cal_fill(c));
    return TW_OK;
}

static void tell(const char *subject, const char *what, const char *why)
{
    tw_progress_clear();
    fprintf(stderr, "tilewise-gpu: %s %s: %s\n", subject, what, why);
}

/* Goes over what this GPU does not have, and past what fails, as long as kernels end. Counts what failed. */
static tw_status measure(tw_calibration *c, int *failed)
{
    TW_TRY(warm_up(c));
    for (int i = 0; i < NUM_SUBJECTS; i++) {
        if (tw_cal_seconds_left(c) <= 0) {
            tell(subjects[i].name, "left out", "the time that --seconds gives is over");
            c->readings.in_doubt++;
            continue;
        }
        tw_progress_show(i, NUM_SUBJECTS, subjects[i].name);
        tw_status status = subjects[i].measure(c);
        if (c->stuck)
            return status;
        if (status != TW_OK) {
            tell(subjects[i].name, status == TW_EUNSUPPORTED ? "left out" : "failed", tw_error_message());
            *failed += status != TW_EUNSUPPORTED;
        }
    }
    tw_progress_clear();
    return TW_OK;
}

/* ---- results -------------------------------------------------------------------------------------------- */

static tw_status write_machine(const tw_calibration *c, const tw_machine *machine)
{
    char comment[1024];
    tw_csv file;
    snprintf(comment, sizeof comment,
             "%s by tilewise-gpu calibrate, commit %s.\n%s, driver %s, CUDA %s; %s.\n%d of %d "
             "readings in doubt%s",
             c->options->properties ? "Written from what the driver says" : "Measured", tw_commit(),
             c->device.name, c->device.driver, c->device.cuda, c->device.clock, c->readings.in_doubt,
             c->readings.count, c->options->properties ? ", since none was taken." : ".");
    for (char *x = comment; *x != '\0'; x++)
        if (*x == ';')
            *x = ',';
    TW_TRY(tw_csv_open(&file, c->options->out));
    tw_status status = file.file ? tw_machine_write(file.file, machine, comment) : TW_OK;
    if (status == TW_OK)
        status = tw_csv_commit(&file);
    tw_csv_discard(&file);
    return status;
}

static tw_status write_readings(const tw_calibration *c)
{
    tw_csv csv;
    if (!c->options->plots)
        return TW_OK;
    TW_TRY(tw_cal_readings_open(&csv, c));
    tw_readings_csv(csv.file, &c->readings);
    tw_status status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}

static bool on_stdout(const tw_calibration *c)
{
    return c->options->out && strcmp(c->options->out, "-") == 0;
}

static tw_status print_readings(const tw_calibration *c)
{
    if (on_stdout(c))
        return TW_OK;
    printf("%s, driver %s; %s\n\n", c->device.name, c->device.driver, c->device.clock);
    return tw_readings_print(stdout, &c->readings);
}

static tw_status report(tw_gpu_program *s, tw_calibration *c, int failed)
{
    tw_machine machine;
    char date[16];
    tw_today(date);
    TW_TRY(write_readings(c));
    TW_TRY(print_readings(c));
    if (failed > 0)
        return tw_fail(TW_EGPU, "%d of %d subjects failed, so no machine file is written", failed,
                       NUM_SUBJECTS);
    TW_TRY(tw_cal_base_machine(&machine, &c->facts, date));
    TW_TRY(tw_readings_to_machine(&machine, &c->readings, date));
    machine.uncalibrated = false;
    TW_TRY(write_machine(c, &machine));
    for (int i = 0; i < c->readings.count; i++)
        s->num_disagreements += !c->readings.at[i].believed;
    if (!on_stdout(c))
        printf("\n%.0f s.%s%s\n", tw_cal_now_s() - c->start_s, c->options->out ? " Machine file: " : "",
               c->options->out ? c->options->out : "");
    return TW_OK;
}

static tw_status calibrate(tw_gpu_program *s, tw_calibration *c)
{
    int failed = 0;
    TW_TRY(tw_cal_open(c));
    TW_TRY(measure(c, &failed));
    return report(s, c, failed);
}

/* ---- without measuring ---------------------------------------------------------------------------------- */

static tw_status write_properties(tw_calibration *c)
{
    tw_machine machine;
    char date[16];
    tw_today(date);
    TW_TRY(tw_cal_ask_driver(c));
    TW_TRY(tw_cal_machine_of_facts(&machine, &c->facts, date));
    TW_TRY(write_machine(c, &machine));
    if (!on_stdout(c))
        printf("%s: %s%s\n", machine.name, machine.description, tw_machine_caveat(&machine));
    return TW_OK;
}

/* Each launch behind tw_init_case, and a row that says what it was, as `launch` does for kernels. */
static tw_status launch_one(tw_calibration *c, FILE *rows, tw_cal_order order, bool shared, size_t bytes)
{
    enum { PASSES = 8 };
    TW_TRY(tw_gpu_mark_case(c->stream));
    if (c->options->launch == TW_CAL_LAUNCH_DIRTY) {
        TW_TRY(tw_cal_run_write_once(c, bytes));
        fprintf(rows, "write,all,forward,%zu,1\n", bytes);
        return TW_OK;
    }
    TW_TRY(tw_cal_run_l2_read(c, shared, order, &bytes, PASSES));
    fprintf(rows, "read,%s,%s,%zu,%d\n", shared ? "shared" : "private", tw_cal_order_name(order), bytes,
            PASSES);
    return TW_OK;
}

static tw_status launch_all(tw_calibration *c, FILE *rows)
{
    static const int mib[] = {16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128};
    const bool reads = c->options->launch == TW_CAL_LAUNCH_L2;
    TW_CUDA_TRY(cudaProfilerStart()); /* filling the buffer was nothing to look at */
    tw_gpu_write_header(rows, &c->device, c->command_line);
    fprintf(rows, "operation,access,order,working_set_bytes,passes\n");
    for (int shared = 0; shared < (reads ? 2 : 1); shared++)
        for (int order = 0; order < (reads ? TW_CAL_NUM_ORDERS : 1); order++)
            for (size_t i = 0; i < sizeof mib / sizeof mib[0]; i++)
                TW_TRY(launch_one(c, rows, (tw_cal_order)order, shared != 0, (size_t)mib[i] << 20));
    TW_CUDA_TRY(cudaProfilerStop());
    return TW_OK;
}

static tw_status launch_for_profiler(tw_calibration *c)
{
    tw_csv csv;
    TW_TRY(tw_cal_open(c));
    TW_TRY(tw_csv_open(&csv, c->options->csv));
    tw_status status = launch_all(c, csv.file ? csv.file : stdout);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

/* If even the driver does not answer: a line, and out. */
static void give_up(int signal_number)
{
    static const char line[] =
        "tilewise-gpu: calibrate took far too long, the GPU or its driver does not answer\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    _exit(2);
}

static tw_status run(tw_gpu_program *s, tw_calibration *c)
{
    if (c->options->properties)
        return write_properties(c);
    return c->options->launch != TW_CAL_LAUNCH_NONE ? launch_for_profiler(c) : calibrate(s, c);
}

/* A kernel that hangs would keep exit() waiting for the driver. */
static void leave_at_once(void)
{
    fprintf(stderr, "tilewise-gpu: %s\n", tw_error_message());
    fflush(NULL);
    _exit(2);
}

tw_status tw_gpu_calibrate_command(tw_gpu_program *s, int argc, char **argv)
{
    static tw_calibration calibration;
    tw_calibration *c = &calibration;
    tw_cal_options options;
    bool help;
    tw_status status = tw_cal_options_read(&options, &help, argc, argv);
    if (status == TW_OK && !help) {
        c->options = &options;
        c->command_line = s->command_line;
        c->start_s = tw_cal_now_s();
        if (options.launch == TW_CAL_LAUNCH_NONE) { /* a profiler takes as long as it takes */
            signal(SIGALRM, give_up);
            alarm((unsigned)options.seconds + 120);
        }
        status = run(s, c);
        if (c->stuck)
            leave_at_once();
        tw_cal_close(c);
        alarm(0);
    }
    tw_cal_options_free(&options);
    return status;
}
