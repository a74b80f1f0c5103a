/* The command line of tilewise-gpu. */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(tw_gpu_options, field)

static const tw_option own[] = {
    {"kernel", "A,B", TW_OPTION_TEXT, AT(kernels), 0,
     "kernels by name; `tilewise-gpu list` names them (default: all)"},
    {"plugin", "FILE.so", TW_OPTION_TEXT, AT(plugin), 0,
     "adds the kernel of a shared object; see gpu/plugin_example.cu"},
    {"mask", "none|causal|both", TW_OPTION_CHOICE, AT(mask), 0,
     "which masks to run; --causal is --mask causal"},
    {"reps", "NUMBER", TW_OPTION_INT, AT(reps), 0, "timed launches of a case (default: 20)"},
};

enum { MASK_NONE, MASK_CAUSAL, MASK_BOTH, MAX_REPS = 1000000 };

static void option_sets(tw_option_set sets[2], tw_gpu_options *o)
{
    sets[0] = tw_options_shared(&o->shared, TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING |
                                                TW_GROUP_CSV | TW_GROUP_SEED);
    sets[1] = (tw_option_set){.rows = own, .count = (int)(sizeof own / sizeof own[0]), .into = o};
}

static tw_status check_together(tw_gpu_options *o)
{
    if (o->reps > MAX_REPS)
        return tw_fail(TW_EINVAL, "--reps is %d, it must be at most %d", o->reps, MAX_REPS);
    if (o->shared.causal && o->mask == MASK_NONE)
        o->mask = MASK_CAUSAL;
    return TW_OK;
}

tw_status tw_gpu_options_read(tw_gpu_options *options, bool *help, const char *command, const char *summary,
                              int argc, char **argv)
{
    tw_option_set sets[2];
    *options = (tw_gpu_options){.shared = tw_options_default(), .reps = 20};
    option_sets(sets, options);
    TW_TRY(tw_options_read(help, command, summary, sets, 2, argc, argv));
    return check_together(options);
}

void tw_gpu_options_free(tw_gpu_options *options)
{
    tw_option_set sets[2];
    option_sets(sets, options);
    tw_options_free(sets, 2);
}

bool tw_gpu_shape_given(const tw_gpu_options *o)
{
    return tw_options_shape_given(&o->shared) || o->mask != MASK_NONE;
}

/* Appends the problems of one mask. Algorithm and tiles vary inside a problem, so they get one value here. */
static tw_status append_problems(tw_problem **problems, size_t *count, const tw_gpu_options *o, bool causal)
{
    tw_options shared = o->shared;
    shared.causal = causal;
    shared.block_m.count = shared.block_n.count = 0;
    shared.algorithms = (tw_algorithm_list){.count = 1, .values = {tw_schedule_at(0)}};
    tw_machine machine;
    tw_case *cases;
    size_t n;
    TW_TRY(tw_options_machine(&machine, &shared));
    TW_TRY(tw_options_cases(&cases, &n, &shared, &machine));
    tw_problem *longer = realloc(*problems, (*count + n) * sizeof *longer);
    tw_status status = longer != NULL ? TW_OK : tw_fail(TW_ENOMEM, "no memory for %zu problems", *count + n);
    if (longer != NULL)
        *problems = longer;
    for (size_t i = 0; status == TW_OK && i < n; i++)
        longer[(*count)++] = cases[i].problem;
    free(cases);
    return status;
}

tw_status tw_gpu_problems(tw_problem **problems, size_t *count, const tw_gpu_options *options)
{
    tw_problem *all = NULL;
    size_t n = 0;
    tw_status status = TW_OK;
    if (options->mask != MASK_CAUSAL)
        status = append_problems(&all, &n, options, false);
    if (status == TW_OK && options->mask != MASK_NONE)
        status = append_problems(&all, &n, options, true);
    if (status != TW_OK) {
        free(all);
        return status;
    }
    *problems = all;
    *count = n;
    return TW_OK;
}
