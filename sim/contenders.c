/* From a command line to predictions. */
#include "contenders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 24, NAME = 64 };

typedef struct names {
    char text[MOST_NAMES][NAME];
    int count;
} names;

static tw_status add_name(names *list, const char *from, size_t length)
{
    if (length == 0 || length >= NAME)
        return tw_fail(TW_EINVAL, "--kernel has a name of %zu characters, it must have 1 to %d", length,
                       NAME - 1);
    if (list->count == MOST_NAMES)
        return tw_fail(TW_EINVAL, "more than %d kernels and algorithms are named", MOST_NAMES);
    memcpy(list->text[list->count], from, length);
    list->text[list->count++][length] = '\0';
    return TW_OK;
}

static tw_status read_names(names *list, const char *kernels, const tw_options *o)
{
    while (kernels) {
        size_t length = strcspn(kernels, ",");
        TW_TRY(add_name(list, kernels, length));
        kernels = kernels[length] == ',' ? kernels + length + 1 : NULL;
    }
    for (int i = 0; i < o->algorithms.count; i++)
        TW_TRY(add_name(list, o->algorithms.values[i]->name, strlen(o->algorithms.values[i]->name)));
    if (list->count == 0)
        return tw_fail(TW_EINVAL, "nothing is named, it must be --kernel or --algorithm, or both");
    return TW_OK;
}

/* The name lives as long as the table that it was found in. */
static tw_status add(tw_contenders *list, const char *name, const tw_case *c, const tw_machine *machine)
{
    tw_contender *to = &list->all[list->count];
    *to = (tw_contender){.problem = c->problem};
    TW_TRY(tw_build_find(&to->build, name, &c->problem, machine, c->wanted.block_m, c->wanted.block_n));
    to->build.num_splits = c->wanted.num_splits;
    to->name = to->build.kernel;
    list->count++;
    return TW_OK;
}

tw_status tw_contenders_of(tw_contenders *list, const char *kernels, const tw_options *options,
                           const tw_machine *machine)
{
    names named = {.count = 0};
    tw_options shapes = *options;
    tw_case *cases = NULL;
    size_t count = 0;
    *list = (tw_contenders){.all = NULL};
    TW_TRY(read_names(&named, kernels, options));
    shapes.algorithms = (tw_algorithm_list){.count = 1,
                                            .values = {&tw_schedule_flash2}}; /* for the shapes alone */
    TW_TRY(tw_options_cases(&cases, &count, &shapes, machine));
    list->cases = cases;
    list->num_cases = count;
    list->all = calloc(count * (size_t)named.count + 1, sizeof *list->all);
    if (!list->all) {
        tw_contenders_free(list);
        return tw_fail(TW_ENOMEM, "no memory for %zu shapes", count);
    }
    tw_status status = TW_OK;
    for (size_t i = 0; i < count && status == TW_OK; i++)
        for (int n = 0; n < named.count && status == TW_OK; n++)
            status = add(list, named.text[n], &cases[i], machine);
    if (status != TW_OK)
        tw_contenders_free(list);
    return status;
}

tw_status tw_contenders_predict(tw_contenders *list, const tw_machine *machine, const tw_predict_options *how)
{
    for (size_t i = 0; i < list->count; i++) {
        tw_contender *c = &list->all[i];
        c->result = malloc(sizeof *c->result);
        if (!c->result)
            return tw_fail(TW_ENOMEM, "no memory for a prediction");
        TW_TRY(tw_predict(c->result, &c->build, &c->problem, machine, how));
    }
    return TW_OK;
}

void tw_contenders_free(tw_contenders *list)
{
    for (size_t i = 0; list->all && i < list->count; i++)
        free(list->all[i].result);
    free(list->all);
    tw_cases_free(list->cases, list->num_cases);
    *list = (tw_contenders){.all = NULL};
}
