/* tilewise-gpu: validates, times and launches the GPU kernels. This file opens what a subcommand needs. */
#include "commands.h"
#include "cuda_try.h"
#include "help.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the subcommands of help.c run, in the same order. */
static tw_status (*const runs[])(tw_gpu_program *program) = {tw_gpu_list_command, tw_gpu_validate_command,
                                                             tw_gpu_bench_command, tw_gpu_launch_command};

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

static tw_status run(tw_gpu_program *s, int index, int argc, char **argv)
{
    const tw_gpu_command *c = tw_gpu_command_at(index);
    bool help;
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
    TW_TRY(runs[index](s));
    return tw_csv_commit(&s->csv);
}

static tw_status dispatch(tw_gpu_program *s, int argc, char **argv)
{
    int index;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        tw_gpu_print_help();
        return TW_OK;
    }
    TW_TRY(tw_gpu_command_find(&index, argv[1]));
    remember_command_line(s, argc, argv);
    tw_status status = run(s, index, argc - 1, argv + 1);
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
