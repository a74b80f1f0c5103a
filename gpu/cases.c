/* The loop over cases that bench, ladder and launch share: sets outside, then problems, kernels and tilings. */
#include "commands.h"

#include <stdio.h>

/* The kernel's own tiles for a head_dim, where none are wanted; 0 is not wanted. */
static tw_tiling wanted_tiling(const tw_gpu_kernel *kernel, int head_dim, int block_m, int block_n,
                               const tw_gpu_options *o)
{
    tw_tiling t = tw_tiling_for(kernel->tiling, kernel->exceptions, head_dim);
    t.block_m = block_m != 0 ? block_m : t.block_m;
    t.block_n = block_n != 0 ? block_n : t.block_n;
    t.order = (tw_order)o->order;
    t.kv_order = (tw_kv_order)o->kv_order;
    return t;
}

static bool any_order_named(const tw_gpu_program *s)
{
    for (int i = 0; i < s->num_sets; i++)
        if (s->sets[i].options.order != TW_ORDER_OWN || s->sets[i].options.kv_order != TW_KV_FORWARD)
            return true;
    return false;
}

const char *tw_gpu_order_columns(const tw_gpu_program *program)
{
    return any_order_named(program) ? ",order,kv_order" : "";
}

void tw_gpu_write_case(FILE *file, const tw_gpu_program *program, const tw_gpu_case *one)
{
    static const char *const orders[] = TW_ORDER_NAMES, *const kv_orders[] = TW_KV_ORDER_NAMES;
    const tw_problem *p = &one->problem;
    const char *machine = program->device.machine;
    fprintf(file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s", one->kernel->schedule, machine, p->batch,
            p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim, tw_dtype_name(p->dtype),
            p->causal, one->tiling.block_m, one->tiling.block_n, one->kernel->name);
    if (any_order_named(program))
        fprintf(file, ",%s,%s", orders[one->tiling.order], kv_orders[one->tiling.kv_order]);
}

void tw_gpu_report_skipped(tw_gpu_program *s, const char *line)
{
    fprintf(stderr, "tilewise-gpu: %s\n", line);
    if (s->csv.file != NULL)
        fprintf(s->csv.file, "# %s\n", line);
}

/* Block sizes that were not given count as one value, 0. */
static int num_values(const tw_int_list *list)
{
    return list->count > 0 ? list->count : 1;
}

static int num_cases_of_problem(const tw_gpu_set *set)
{
    const tw_options *o = &set->options.shared;
    return set->selection.num_kernels * num_values(&o->block_m) * num_values(&o->block_n);
}

static tw_gpu_case case_at(const tw_gpu_set *set, const tw_problem *problem, int i)
{
    const tw_options *o = &set->options.shared;
    int block_n = o->block_n.values[i % num_values(&o->block_n)];
    i /= num_values(&o->block_n);
    int block_m = o->block_m.values[i % num_values(&o->block_m)];
    const tw_gpu_kernel *kernel = set->selection.kernels[i / num_values(&o->block_m)];
    tw_tiling tiling = wanted_tiling(kernel, problem->head_dim, block_m, block_n, &set->options);
    return (tw_gpu_case){.kernel = kernel, .problem = *problem, .tiling = tiling, .options = &set->options};
}

static tw_status can_run(const tw_gpu_program *s, const tw_gpu_case *one, size_t held_bytes)
{
    return tw_gpu_can_run(&s->device, one->kernel, &one->problem, &one->tiling, held_bytes);
}

/* What the first of several failures says, for a line when all of them have failed. */
typedef struct first_failure {
    tw_status status;
    char reason[512];
} first_failure;

static void note_failure(first_failure *first, tw_status status)
{
    if (first->status != TW_OK)
        return;
    first->status = status;
    snprintf(first->reason, sizeof first->reason, "%s", tw_error_message());
}

/* A problem none of whose cases can run is not even allocated. */
static tw_status any_case_runs(const tw_gpu_program *s, const tw_gpu_set *set, const tw_problem *problem)
{
    first_failure first = {.status = TW_OK};
    for (int c = 0; c < num_cases_of_problem(set); c++) {
        tw_gpu_case one = case_at(set, problem, c);
        tw_status status = can_run(s, &one, 0);
        if (status == TW_OK)
            return TW_OK;
        note_failure(&first, status);
    }
    return tw_fail(first.status, "%s", first.reason);
}

/* At least one case must be able to run; what the first that cannot says is then the error of the program. */
static tw_status check_any_runs(const tw_gpu_program *s)
{
    first_failure first = {.status = TW_OK};
    for (int n = 0; n < s->num_sets; n++) {
        const tw_gpu_set *set = &s->sets[n];
        for (size_t i = 0; i < set->num_problems; i++) {
            tw_status status = any_case_runs(s, set, &set->problems[i]);
            if (status == TW_OK)
                return TW_OK;
            note_failure(&first, status);
        }
    }
    return tw_fail(first.status, "%s", first.reason);
}

static void skip(tw_gpu_program *s)
{
    char line[600];
    snprintf(line, sizeof line, "skipped: %s", tw_error_message());
    tw_gpu_report_skipped(s, line);
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

static tw_status run_problem(tw_gpu_program *s, const tw_gpu_set *set, const tw_problem *problem,
                             tw_gpu_problem_fn on_problem, tw_gpu_case_fn on_case, void *context)
{
    tw_gpu_tensors tensors = {0};
    tw_status status = tw_gpu_tensors_make(&tensors, problem, set->options.shared.seed, 1.0);
    if (status == TW_OK && on_problem != NULL)
        status = on_problem(s, &tensors, context);
    for (int c = 0; status == TW_OK && c < num_cases_of_problem(set); c++) {
        tw_gpu_case one = case_at(set, problem, c);
        status = run_case(s, &one, &tensors, on_case, context);
    }
    tw_gpu_tensors_free(&tensors);
    return status;
}

tw_status tw_gpu_for_each_case(tw_gpu_program *s, tw_gpu_problem_fn on_problem, tw_gpu_case_fn on_case,
                               void *context)
{
    TW_TRY(check_any_runs(s));
    for (int n = 0; n < s->num_sets; n++) {
        const tw_gpu_set *set = &s->sets[n];
        for (size_t i = 0; i < set->num_problems; i++) {
            if (any_case_runs(s, set, &set->problems[i]) == TW_OK)
                TW_TRY(run_problem(s, set, &set->problems[i], on_problem, on_case, context));
            else
                skip(s);
        }
    }
    return TW_OK;
}
