/* tilewise-gpu: validates, times and launches the GPU kernels. This file opens what a subcommand needs. */
#include "commands.h"
#include "cuda_try.h"

#include <string.h>

typedef struct command {
    const char *name;
    tw_status (*run)(tw_gpu_session *session);
    bool needs_gpu;
} command;

static const command commands[] = {{"list", tw_gpu_list_command, false},
                                   {"validate", tw_gpu_validate_command, true},
                                   {"bench", tw_gpu_bench_command, true},
                                   {"launch", tw_gpu_launch_command, true}};

static const command *find_command(const char *name)
{
    const command *found = commands;
    while (strcmp(found->name, name) != 0)
        found++;
    return found; /* tw_gpu_parse_options() lets no other name through */
}

/* Every problem has a meaning before any of them is run. */
static tw_status check_problems(const tw_gpu_options *o)
{
    for (int i = 0; i < tw_gpu_num_problems(o); i++) {
        tw_problem problem;
        TW_TRY(tw_gpu_problem_at(&problem, o, i));
    }
    return TW_OK;
}

static tw_status run(tw_gpu_session *s, const command *c)
{
    if (s->options.plugin != NULL)
        TW_TRY(tw_gpu_load_plugin(s->options.plugin));
    TW_TRY(tw_gpu_select(&s->selection, s->options.kernels));
    TW_TRY(check_problems(&s->options));
    if (c->needs_gpu) {
        TW_TRY(tw_gpu_device_open(&s->device));
        TW_CUDA_TRY(cudaStreamCreate(&s->stream));
        TW_TRY(tw_gpu_csv_open(&s->csv, s->options.csv));
    }
    TW_TRY(c->run(s));
    return tw_gpu_csv_commit(&s->csv);
}

int main(int argc, char **argv)
{
    static tw_gpu_session s;
    s.argc = argc;
    s.argv = (const char **)argv;
    tw_status status = tw_gpu_parse_options(&s.options, argc, s.argv);
    if (status == TW_OK && s.options.help) {
        fputs(tw_gpu_usage, stdout);
        return 0;
    }
    if (status == TW_OK)
        status = run(&s, find_command(s.options.command));
    if (status != TW_OK) {
        tw_gpu_csv_abort(&s.csv);
        fprintf(stderr, "tilewise-gpu: %s\n", tw_error_message());
        return 2;
    }
    return s.num_disagreements > 0 ? 1 : 0;
}
