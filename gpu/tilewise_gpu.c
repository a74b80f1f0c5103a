/* tilewise-gpu: validates, times and launches the GPU kernels. This file opens what a subcommand needs. */
#include "commands.h"
#include "cuda_try.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct command {
    const char *name, *full_name;
    tw_status (*run)(tw_gpu_program *program);
    bool needs_gpu;
    unsigned groups; /* of options */
    const char *what;
} command;

enum {
    GROUPS_CASES = TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SHAPES | TW_GPU_GROUP_CASES | TW_GPU_GROUP_CSV,
    GROUPS_TIMES = GROUPS_CASES | TW_GPU_GROUP_TIMES
};

static const char calibrate_name[] = "calibrate"; /* reads a command line of its own */

static const command commands[] = {
    {"list", "tilewise-gpu list", tw_gpu_list_command, false, TW_GPU_GROUP_EVERY,
     "the kernels: schedule, tilings, idea"},
    {"doctor", "tilewise-gpu doctor", tw_gpu_doctor_command, true, 0,
     "is this GPU fit to measure on? Clock, power, memory, other processes, rates, and a verdict"},
    {"validate", "tilewise-gpu validate", tw_gpu_validate_command, true,
     TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SHAPES,
     "every kernel against the CPU reference, on a table of awkward shapes or on the shapes given"},
    {"soak", "tilewise-gpu soak", tw_gpu_soak_command, true, TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SOAK,
     "every kernel on random shapes, thousands a minute, against a reference on the GPU"},
    {"bench", "tilewise-gpu bench", tw_gpu_bench_command, true, GROUPS_TIMES,
     "validates, then measures time and energy of every case"},
    {"ladder", "tilewise-gpu ladder", tw_gpu_ladder_command, true, GROUPS_TIMES | TW_GPU_GROUP_ROUNDS,
     "the same in rounds, a matrix product of cuBLAS among the kernels; see `make ladder`"},
    {"launch", "tilewise-gpu launch", tw_gpu_launch_command, true, GROUPS_CASES,
     "runs every case once, for a profiler; see `make counters`"},
    {calibrate_name, "tilewise-gpu calibrate", NULL, true, 0,
     "measures this GPU in under two minutes, and writes its machine file"},
};
enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    printf("tilewise-gpu runs attention kernels on a GPU, checks them, and measures time and energy.\n\n"
           "For example, every kernel on 16 heads of 4096 queries and keys:\n\n"
           "    tilewise-gpu bench --seqlen 4k --heads 16\n\n"
           "Commands\n\n");
    for (int i = 0; i < NUM_COMMANDS; i++)
        printf("    %-9s  %s\n", commands[i].name, commands[i].what);
    printf("\nEach has --help. Exit status: 0 done, 1 a kernel is wrong, the GPU not fit or a reading not "
           "believed, 2 could not be done.\n");
}

static tw_status find_command(const command **found, const char *name)
{
    char names[128] = "";
    for (int i = 0; i < NUM_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            *found = &commands[i];
            return TW_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", commands[i].name);
    }
    return tw_fail(TW_EINVAL, "'%s' is not a command, it must be one of %s", tw_quote(name).text, names);
}

/* The command line in one line, shortened if it is very long. */
static void remember_command_line(tw_gpu_program *s, int argc, char **argv)
{
    size_t used = (size_t)snprintf(s->command_line, sizeof s->command_line, "tilewise-gpu");
    for (int i = 1; i < argc && used < sizeof s->command_line; i++)
        used += (size_t)snprintf(s->command_line + used, sizeof s->command_line - used, " %s", argv[i]);
    for (char *c = s->command_line; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = '?';
}

/* ---- sets: the command line, or every line of --cases -------------------------------------------------- */

static tw_status make_set(tw_gpu_set *set, const tw_gpu_options *options)
{
    set->options = *options;
    TW_TRY(tw_gpu_select(&set->selection, options->kernels));
    return tw_gpu_problems(&set->problems, &set->num_problems, options);
}

static tw_status make_sets(tw_gpu_program *s, const command *c, tw_gpu_line **lines, int argc, char **argv)
{
    int count = 1;
    if (s->options.cases != NULL)
        TW_TRY(tw_gpu_lines_read(lines, &count, s->options.cases, c->groups, c->full_name, argc, argv));
    s->sets = calloc((size_t)count, sizeof *s->sets);
    if (s->sets == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d sets of cases", count);
    s->num_sets = count;
    for (int i = 0; i < count; i++)
        TW_TRY(make_set(&s->sets[i], *lines != NULL ? &(*lines)[i].options : &s->options));
    return TW_OK;
}

static void free_sets(tw_gpu_program *s)
{
    for (int i = 0; i < s->num_sets; i++)
        free(s->sets[i].problems);
    free(s->sets);
    s->sets = NULL;
}

/* ---- running a subcommand ------------------------------------------------------------------------------- */

static tw_status run(tw_gpu_program *s, const command *c)
{
    if (c->needs_gpu) {
        TW_TRY(tw_gpu_device_open(&s->device));
        TW_CUDA_TRY(cudaStreamCreate(&s->stream));
        TW_TRY(tw_csv_open(&s->csv, s->options.shared.csv));
    }
    TW_TRY(c->run(s));
    return tw_csv_commit(&s->csv);
}

/* Everything that a line says is looked at before the GPU is. */
static tw_status read_and_run(tw_gpu_program *s, const command *c, int argc, char **argv)
{
    bool help;
    tw_gpu_line *lines = NULL;
    TW_TRY(tw_gpu_options_read(&s->options, &help, c->groups, c->full_name, c->what, argc, argv));
    if (help)
        return TW_OK;
    if (s->options.plugin != NULL)
        TW_TRY(tw_gpu_load_plugin(s->options.plugin));
    tw_status status = make_sets(s, c, &lines, argc, argv);
    if (status == TW_OK)
        status = run(s, c);
    tw_gpu_lines_free(lines, lines != NULL ? s->num_sets : 0);
    free_sets(s);
    return status;
}

static tw_status dispatch(tw_gpu_program *s, int argc, char **argv)
{
    const command *c = NULL;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return TW_OK;
    }
    TW_TRY(find_command(&c, argv[1]));
    remember_command_line(s, argc, argv);
    if (c->name == calibrate_name)
        return tw_gpu_calibrate_command(s, argc - 1, argv + 1);
    tw_status status = read_and_run(s, c, argc - 1, argv + 1);
    tw_csv_discard(&s->csv);
    tw_gpu_options_free(&s->options);
    return status;
}

int main(int argc, char **argv)
{
    static tw_gpu_program program;
    tw_status status = dispatch(&program, argc, argv);
    if (status == TW_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = tw_fail(TW_EIO, "stdout cannot be written (%s)", strerror(errno));
    if (status != TW_OK) {
        fprintf(stderr, "tilewise-gpu: %s\n", tw_error_message());
        return 2;
    }
    return program.num_disagreements > 0 ? 1 : 0;
}
