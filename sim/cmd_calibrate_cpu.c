/* tilewise calibrate-cpu: the CPU that this runs on as a machine file. */
#include "commands.h"
#include "cpu.h"
#include "csv.h"
#include "progress.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

static const char summary[] = "measures the CPU that it runs on, for some 10 s, and writes its machine file";

typedef struct calibrate_options {
    char *out, *csv;
} calibrate_options;

static const tw_option own[] = {
    {"out", "FILE.ini", TW_OPTION_TEXT, offsetof(calibrate_options, out), 0,
     "writes the machine file, for --machine FILE.ini; - writes it, alone, to stdout"},
    {"csv", "FILE", TW_OPTION_TEXT, offsetof(calibrate_options, csv), 0,
     "writes bandwidth against working set"},
};

static bool is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

/* All that can be refused is, before anything is measured. */
static tw_status check_paths(const calibrate_options *o)
{
    if (is_stdout(o->csv))
        return tw_fail(TW_EINVAL, "--csv is '-', it must be a file: stdout is for the table, or for --out -");
    if (o->out && !is_stdout(o->out)) {
        TW_TRY(tw_machine_check_path(o->out));
        TW_TRY(tw_check_writable(o->out));
    }
    if (o->csv)
        TW_TRY(tw_check_writable(o->csv));
    if (o->out && o->csv && tw_same_file(o->out, o->csv))
        return tw_fail(TW_EINVAL, "--out and --csv are both '%s', they must be two files",
                       tw_quote(o->out).text);
    return TW_OK;
}

static tw_status write_machine(const tw_machine *machine, const char *path)
{
    tw_csv file;
    char comment[160];
    snprintf(comment, sizeof comment, "Measured by tilewise calibrate-cpu, commit %s.", tw_commit());
    TW_TRY(tw_csv_open(&file, path));
    tw_status status = file.file ? tw_machine_write(file.file, machine, comment) : TW_OK;
    if (status == TW_OK)
        status = tw_csv_commit(&file);
    tw_csv_discard(&file);
    return status;
}

static tw_status write_curve(const tw_cpu_curve *curve, const char *path, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, path));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise calibrate-cpu", argc, argv);
    fprintf(csv.file, "working_set_bytes,read_bytes_per_s,write_bytes_per_s\n");
    for (int i = 0; i < curve->count; i++)
        fprintf(csv.file, "%lld,%.4g,%.4g\n", (long long)curve->at[i].bytes, curve->at[i].read_bytes_per_s,
                curve->at[i].write_bytes_per_s);
    return tw_csv_commit(&csv);
}

static void show_progress(double done, const char *what)
{
    tw_progress_show(done, 1.0, what);
}

/* A reading that is not possible is a disagreement, as far as the exit status goes. */
static tw_status verdict(const tw_readings *readings)
{
    for (int i = 0; i < readings->count; i++)
        if (!readings->at[i].believed)
            return TW_EMISMATCH;
    return TW_OK;
}

static tw_status calibrate(const calibrate_options *o, int argc, char **argv)
{
    static tw_readings readings;
    tw_cpu cpu;
    tw_cpu_curve curve;
    tw_machine machine = {.name = "cpu"};
    char date[16];
    TW_TRY(check_paths(o));
    TW_TRY(tw_cpu_describe(&cpu, ""));
    tw_status status = tw_cpu_measure(&readings, &curve, &cpu, show_progress);
    tw_progress_clear();
    TW_TRY(status);
    tw_today(date);
    TW_TRY(tw_cpu_machine(&machine, &cpu, &readings, date));
    TW_TRY(write_curve(&curve, o->csv, argc, argv));
    TW_TRY(write_machine(&machine, o->out));
    if (is_stdout(o->out))
        return verdict(&readings);
    printf("%s, caches of %lld, %lld and %lld bytes\n\n", machine.description, (long long)cpu.l1_bytes,
           (long long)cpu.private_bytes, (long long)cpu.shared_bytes);
    TW_TRY(tw_readings_print(stdout, &readings));
    return verdict(&readings);
}

int tw_cmd_calibrate_cpu(int argc, char **argv)
{
    calibrate_options o = {.out = NULL};
    tw_option_set set = {.rows = own, .count = (int)(sizeof own / sizeof own[0]), .into = &o};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise calibrate-cpu", summary, &set, 1, argc, argv);
    if (status == TW_OK && !help)
        status = calibrate(&o, argc, argv);
    tw_options_free(&set, 1);
    return tw_exit_code(status);
}
