/* tilewise calibrate-cpu: measures the CPU that it runs on and writes a machine file, so that a laptop has one. */
#include "commands.h"
#include "cpu_probe.h"
#include "csv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char summary[] = "measures this CPU: cache sizes, bandwidths, FLOP rates; writes a machine file";

typedef struct calibrate_options {
    tw_options shared;
    char *output;
    bool quick;
} calibrate_options;

static const tw_option own[] = {
    {"output", "FILE.ini", TW_OPTION_TEXT, offsetof(calibrate_options, output), 0,
     "the machine file, for --machine FILE.ini (default: -, which is stdout)"},
    {"quick", NULL, TW_OPTION_FLAG, offsetof(calibrate_options, quick), 0,
     "one short run of each loop: a second instead of half a minute, and less exact"},
};

static void print_number(FILE *out, const char *key, double value, const char *date, const char *source)
{
    if (value >= 1.0 && value < 1e15 && value == (double)(int64_t)value)
        fprintf(out, "%s = %.0f | %s | %s\n", key, value, date, source);
    else if (value > 0)
        fprintf(out, "%s = %.4g | %s | %s\n", key, value, date, source);
}

/* A description and a comment have no line breaks and nothing that a machine file could take for something else. */
static void copy_plain(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; *from != '\0' && n + 1 < size; from++)
        to[n++] = *from >= ' ' && *from < 127 && !strchr(";|=[]#", *from) ? *from : ' ';
    to[n] = '\0';
}

static void print_machine(FILE *out, const tw_cpu_probe *c)
{
    char date[16], model[96], source[160];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    copy_plain(model, sizeof model, c->model);
    fprintf(out, "; Measured by tilewise calibrate-cpu. A core's private cache stands where a GPU has shared "
                 "memory, the\n"
                 "; cache behind it where a GPU has its L2, memory where it has HBM.\n");
    fprintf(out, "[machine]\ndescription = %s, %d cores in use\nkind = cpu\n", model, c->cores);
    print_number(out, "num_sms", c->cores, date, "threads that took part in the measurement");
    print_number(out, "smem_bytes", (double)c->private_cache_bytes, date,
                 c->private_reported_bytes > 0
                     ? "as the system reports the level 2 cache of a core"
                     : "measured, where reading slows to half of the smallest working set's rate");
    snprintf(source, sizeof source,
             "measured, the largest set that all cores read at 1.5 times memory's rate; the "
             "system reports a level 3 cache of %lld",
             (long long)c->shared_reported_bytes);
    print_number(out, "l2_bytes", (double)c->shared_cache_bytes, date, source);
    print_number(out, "hbm_bytes", (double)c->memory_bytes, date, "as the system reports its memory");
    print_number(out, "clock_hz", c->clock_hz, date, "measured, dependent integer additions, one a cycle");
    print_number(out, "hbm_read_bytes_per_s", c->memory_read_bytes_per_s, date,
                 "measured, streaming read by all cores");
    print_number(out, "hbm_write_bytes_per_s", c->memory_write_bytes_per_s, date,
                 "measured, streaming write by all cores; the reads that a write causes are not counted");
    print_number(out, "l2_bytes_per_s", c->cache_bytes_per_s, date,
                 "measured, reads of working sets between the private cache and the shared one");
    print_number(out, "fma_flops_per_s", c->fma_flops_per_s, date,
                 "measured, independent fp32 multiply-adds of the widest vectors, all cores");
    print_number(out, "exps_per_s", c->exps_per_s, date,
                 "measured, expf() of the C library, one at a time, all cores");
    print_number(out, "launch_overhead_s", c->launch_overhead_s, date,
                 "measured, handing work to all cores and back");
}

static tw_status write_machine(const tw_cpu_probe *c, const char *path)
{
    tw_csv file; /* it is there completely or not at all, as a CSV file */
    TW_TRY(tw_csv_open(&file, path));
    print_machine(file.file, c);
    return tw_csv_commit(&file);
}

static tw_status write_curves(const tw_cpu_probe *c, const char *path, int argc, char **argv)
{
    static const char *const who[] = {"own", "all"};
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, path));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise calibrate-cpu", argc, argv);
    fprintf(csv.file, "# cpu: %s, %d cores in use\nwho,order,working_set_bytes,read_bytes_per_s\n", c->model,
            c->cores);
    for (int i = 0; i < c->num_points; i++)
        fprintf(csv.file, "%s,forward,%lld,%.0f\n", who[c->points[i].who], (long long)c->points[i].bytes,
                c->points[i].bytes_per_s);
    return tw_csv_commit(&csv);
}

static tw_status calibrate(const calibrate_options *o, int argc, char **argv)
{
    tw_cpu_probe probe;
    const char *output = o->output ? o->output : "-";
    if (o->shared.csv && strcmp(output, "-") == 0 && strcmp(o->shared.csv, "-") == 0)
        return tw_fail(TW_EINVAL,
                       "--csv - and the machine file would both go to stdout; give --output FILE.ini");
    if (strcmp(output, "-") != 0)
        TW_TRY(tw_check_writable(output));
    if (o->shared.csv && strcmp(o->shared.csv, "-") != 0)
        TW_TRY(tw_check_writable(o->shared.csv));
    TW_TRY(tw_cpu_probe_run(&probe, o->quick));
    TW_TRY(write_machine(&probe, output));
    return write_curves(&probe, o->shared.csv, argc, argv);
}

int tw_cmd_calibrate_cpu(int argc, char **argv)
{
    calibrate_options o = {.shared = tw_options_default()};
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0},
                            tw_options_shared(&o.shared, TW_GROUP_CSV)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise calibrate-cpu", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = calibrate(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
