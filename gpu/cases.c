/* The loop over cases that bench and launch share: problems outside, kernels and tilings inside. */
#include "commands.h"

#include <stdio.h>

tw_tiling tw_gpu_wanted_tiling(const tw_gpu_kernel *kernel, int head_dim, int block_m, int block_n)
{
    tw_tiling t = tw_tiling_for(kernel->tiling, kernel->exceptions, head_dim);
    t.block_m = block_m != 0 ? block_m : t.block_m;
    t.block_n = block_n != 0 ? block_n : t.block_n;
    return t;
}

void tw_gpu_write_case(FILE *file, const char *machine, const tw_gpu_case *one)
{
    const tw_problem *p = &one->problem;
    fprintf(file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s", one->kernel->schedule, machine, p->batch,
            p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim, tw_dtype_name(p->dtype),
            p->causal, one->tiling.block_m, one->tiling.block_n, one->kernel->name);
}

/* Block sizes that were not given count as one value, 0. */
static int num_values(const tw_int_list *list)
{
    return list->count > 0 ? list->count : 1;
}

static int num_cases_of_problem(const tw_gpu_program *s)
{
    const tw_options *o = &s->options.shared;
    return s->selection.num_kernels * num_values(&o->block_m) * num_values(&o->block_n);
}

static tw_gpu_case case_at(const tw_gpu_program *s, const tw_problem *problem, int i)
{
    const tw_options *o = &s->options.shared;
    int block_n = o->block_n.values[i % num_values(&o->block_n)];
    i /= num_values(&o->block_n);
    int block_m = o->block_m.values[i % num_values(&o->block_m)];
    const tw_gpu_kernel *kernel = s->selection.kernels[i / num_values(&o->block_m)];
    tw_gpu_case one = {kernel, *problem, tw_gpu_wanted_tiling(kernel, problem->head_dim, block_m, block_n)};
    return one;
}

static tw_status can_run(const tw_gpu_program *s, const tw_gpu_case *one, size_t held_bytes)
{
    return tw_gpu_can_run(&s->device, one->kernel, &one->problem, &one->tiling, held_bytes);
}

/* At least one case must be able to run; what the first that cannot says is then the error of the program. */
static tw_status check_any_runs(const tw_gpu_program *s)
{
    char reason[512] = "";
    tw_status first = TW_OK;
    for (size_t i = 0; i < s->num_problems; i++) {
        for (int c = 0; c < num_cases_of_problem(s); c++) {
            tw_gpu_case one = case_at(s, &s->problems[i], c);
            tw_status status = can_run(s, &one, 0);
            if (status == TW_OK)
                return TW_OK;
            if (first == TW_OK) {
                first = status;
                snprintf(reason, sizeof reason, "%s", tw_error_message());
            }
        }
    }
    return tw_fail(first, "%s", reason);
}

static void skip(tw_gpu_program *s)
{
    fprintf(stderr, "tilewise-gpu: skipped: %s\n", tw_error_message());
    if (s->csv.file != NULL)
        fprintf(s->csv.file, "# skipped: %s\n", tw_error_message());
}

/* Room for the case's workspace, without holding on to the larger one of an earlier kernel. */
static tw_status run_case(tw_gpu_program *s, const tw_gpu_case *one, tw_gpu_tensors *t,
                          tw_gpu_case_fn on_case, void *context)
{
    if (can_run(s, one, t->held_bytes) != TW_OK) {
        skip(s);
        return TW_OK;
    }
    TW_TRY(tw_gpu_tensors_reserve(t, one->kernel->workspace_bytes(&one->problem, &one->tiling)));
    return on_case(s, one, t, context);
}

static tw_status run_problem(tw_gpu_program *s, const tw_problem *problem, tw_gpu_problem_fn on_problem,
                             tw_gpu_case_fn on_case, void *context)
{
    tw_gpu_tensors tensors = {0};
    tw_status status = tw_gpu_tensors_make(&tensors, problem, s->options.shared.seed, 1.0);
    if (status == TW_OK && on_problem != NULL)
        status = on_problem(s, &tensors, context);
    for (int c = 0; status == TW_OK && c < num_cases_of_problem(s); c++) {
        tw_gpu_case one = case_at(s, problem, c);
        status = run_case(s, &one, &tensors, on_case, context);
    }
    tw_gpu_tensors_free(&tensors);
    return status;
}

/* A problem none of whose cases can run is not even allocated. */
static bool any_case_runs(tw_gpu_program *s, const tw_problem *problem)
{
    for (int c = 0; c < num_cases_of_problem(s); c++) {
        tw_gpu_case one = case_at(s, problem, c);
        if (can_run(s, &one, 0) == TW_OK)
            return true;
    }
    return false;
}

tw_status tw_gpu_for_each_case(tw_gpu_program *s, tw_gpu_problem_fn on_problem, tw_gpu_case_fn on_case,
                               void *context)
{
    TW_TRY(check_any_runs(s));
    for (size_t i = 0; i < s->num_problems; i++) {
        if (any_case_runs(s, &s->problems[i]))
            TW_TRY(run_problem(s, &s->problems[i], on_problem, on_case, context));
        else
            skip(s);
    }
    return TW_OK;
}
