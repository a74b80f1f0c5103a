/* tilewise-gpu: validates, times and launches the GPU kernels. This file opens what a subcommand needs. */
#include "commands.h"
#include "cuda_try.h"
#include "help.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the subcommands of help.c run, in the same order. */
static tw_status (*const runs[])(tw_gpu_program *program) = {
    tw_gpu_list_command, tw_gpu_doctor_command, tw_gpu_validate_command,
    tw_gpu_soak_command, tw_gpu_bench_command,  tw_gpu_ladder_command,
    tw_gpu_tune_command, tw_gpu_launch_command, NULL /* calibrate reads a command line of its own */};

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

static tw_status make_sets(tw_gpu_program *s, const tw_gpu_command *c, tw_gpu_line **lines, int argc,
                           char **argv)
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

static tw_status run(tw_gpu_program *s, int index)
{
    const tw_gpu_command *c = tw_gpu_command_at(index);
    if (c->needs_gpu) {
        TW_TRY(tw_gpu_device_open(&s->device));
        TW_CUDA_TRY(cudaStreamCreate(&s->stream));
        TW_TRY(tw_csv_open(&s->csv, s->options.shared.csv));
    }
    TW_TRY(runs[index](s));
    return tw_csv_commit(&s->csv);
}

/* Everything that a line says is looked at before the GPU is. */
static tw_status read_and_run(tw_gpu_program *s, int index, int argc, char **argv)
{
    const tw_gpu_command *c = tw_gpu_command_at(index);
    bool help;
    tw_gpu_line *lines = NULL;
    TW_TRY(tw_gpu_options_read(&s->options, &help, c->groups, c->full_name, c->what, argc, argv));
    if (help)
        return TW_OK;
    if (s->options.plugin != NULL)
        TW_TRY(tw_gpu_load_plugin(s->options.plugin));
    tw_status status = make_sets(s, c, &lines, argc, argv);
    if (status == TW_OK)
        status = run(s, index);
    tw_gpu_lines_free(lines, lines != NULL ? s->num_sets : 0);
    free_sets(s);
    return status;
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
    if (runs[index] == NULL)
        return tw_gpu_calibrate_command(s, argc - 1, argv + 1);
    tw_status status = read_and_run(s, index, argc - 1, argv + 1);
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
