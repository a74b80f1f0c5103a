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
    const char *what;
    tw_status (*with_own_options)(tw_gpu_program *program, int argc, char **argv); /* in place of run */
} command;

static const command commands[] = {
    {"list", "tilewise-gpu list", tw_gpu_list_command, false, "the kernels: schedule, tilings, idea"},
    {"validate", "tilewise-gpu validate", tw_gpu_validate_command, true,
     "every kernel against the CPU reference, on a table of awkward shapes or on the shapes given"},
    {"bench", "tilewise-gpu bench", tw_gpu_bench_command, true,
     "validates, then measures time and energy of every case"},
    {"launch", "tilewise-gpu launch", tw_gpu_launch_command, true,
     "runs every case once, for a profiler; see `make counters`"},
    {"calibrate", "tilewise-gpu calibrate", NULL, true,
     "measures this GPU in under two minutes, and writes its machine file", tw_gpu_calibrate_command},
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
    printf("\nEach has --help. Exit status: 0 done, 1 a kernel disagrees with the reference, or a reading "
           "is not believed, 2 could not be done.\n");
}

static tw_status find_command(const command **found, const char *name)
{
    for (int i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) {
            *found = &commands[i];
            return TW_OK;
        }
    return tw_fail(TW_EINVAL,
                   "'%s' is not a command, it must be one of list, validate, bench, launch, calibrate",
                   tw_quote(name).text);
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

static tw_status run(tw_gpu_program *s, const command *c, int argc, char **argv)
{
    bool help;
    if (c->with_own_options)
        return c->with_own_options(s, argc, argv);
    TW_TRY(tw_gpu_options_read(&s->options, &help, c->full_name, c->what, argc, argv));
    if (help)
        return TW_OK;
    if (s->options.plugin != NULL)
        TW_TRY(tw_gpu_load_plugin(s->options.plugin));
    TW_TRY(tw_gpu_select(&s->selection, s->options.kernels));
    TW_TRY(tw_gpu_problems(&s->problems, &s->num_problems, &s->options));
    if (c->needs_gpu) {
        TW_TRY(tw_gpu_device_open(&s->device));
        TW_CUDA_TRY(cudaStreamCreate(&s->stream));
        TW_TRY(tw_csv_open(&s->csv, s->options.shared.csv));
    }
    TW_TRY(c->run(s));
    return tw_csv_commit(&s->csv);
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
    tw_status status = run(s, c, argc - 1, argv + 1);
    tw_csv_discard(&s->csv);
    tw_gpu_options_free(&s->options);
    free(s->problems);
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
