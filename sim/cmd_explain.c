/* tilewise explain A,B: where the time goes, and what would turn the result around. */
#include "commands.h"
#include "explain.h"

#include <stdbool.h>
#include <string.h>

static const char summary[] = "says why one is faster than the other: tilewise explain A,B";

typedef struct explain_options {
    tw_options shared;
    char *kernels;
} explain_options;

static const tw_option own[] = {
    {"kernel", "A,B", TW_OPTION_TEXT, offsetof(explain_options, kernels), 0,
     "the two, kernels or algorithms; may stand before the options without --kernel"},
};

static bool are_the_same(const tw_build *a, const tw_build *b)
{
    return strcmp(a->kernel, b->kernel) == 0 && a->block_m == b->block_m && a->block_n == b->block_n;
}

static tw_status explain(const explain_options *o)
{
    tw_machine machine;
    tw_contenders list;
    tw_predict_options how = TW_PREDICT_DEFAULTS;
    TW_TRY(tw_options_machine(&machine, &o->shared));
    TW_TRY(tw_contenders_of(&list, o->kernels, &o->shared, &machine));
    tw_status status = TW_OK;
    if (list.count % 2 != 0 || (list.count > 1 && are_the_same(&list.all[0].build, &list.all[1].build)))
        status = tw_fail(TW_EINVAL,
                         "there must be two different kernels or algorithms to explain, as in A,B");
    if (status == TW_OK)
        status = tw_contenders_predict(&list, &machine, &how);
    for (size_t i = 0; i + 1 < list.count && status == TW_OK; i += 2) {
        if (i > 0)
            putchar('\n');
        status = tw_explain(stdout, &list.all[i], &list.all[i + 1], &machine);
    }
    tw_contenders_free(&list);
    return status;
}

/* `tilewise explain A,B …` is `tilewise explain --kernel A,B …`. */
static tw_status take_names(explain_options *o, int *argc, char **argv)
{
    if (*argc < 2 || argv[1][0] == '-')
        return TW_OK;
    o->kernels = strdup(argv[1]);
    if (!o->kernels)
        return tw_fail(TW_ENOMEM, "no memory for two names");
    for (int i = 1; i + 1 < *argc; i++)
        argv[i] = argv[i + 1];
    --*argc;
    return TW_OK;
}

int tw_cmd_explain(int argc, char **argv)
{
    explain_options o = {.shared = tw_options_default()};
    unsigned groups = TW_GROUP_ALGORITHM | TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING |
                      TW_GROUP_MACHINE | TW_GROUP_SPLITS | TW_GROUP_PAGES;
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0}, tw_options_shared(&o.shared, groups)};
    bool help = false;
    tw_status status = take_names(&o, &argc, argv);
    if (status == TW_OK)
        status = tw_options_read(&help, "tilewise explain", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = explain(&o);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
