/* Every tiling is predicted; a shape takes milliseconds, so nothing is searched cleverly. */
#include "tune.h"

#include "schedules/registry.h"
#include "splits.h"

#include <stdlib.h>
#include <string.h>

/* What one would think of: query rows by warpgroups, key rows by what a product takes at once. */
static const int rows_to_try[] = {64, 128, 192, 256};
static const int keys_to_try[] = {16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256};
static const int splits_to_try[] = {0, 1, 2, 4, 8, 16, 32, 64, 128}; /* 0: as fill the SMs */
enum {
    NUM_SPLITS = sizeof splits_to_try / sizeof splits_to_try[0],
    NUM_ROWS = sizeof rows_to_try / sizeof rows_to_try[0],
    NUM_KEYS = sizeof keys_to_try / sizeof keys_to_try[0],
    MOST_TRIALS = NUM_ROWS * NUM_KEYS * NUM_SPLITS
};

static tw_status try(tw_trials *t, const char *name, int block_m, int block_n, int num_splits,
                     const tw_problem *problem, const tw_machine *machine)
{
    tw_predict_options how = TW_PREDICT_DEFAULTS;
    tw_trial *trial = &t->all[t->count];
    tw_prediction result;
    *trial = (tw_trial){.build = {.block_m = block_m, .block_n = block_n}};
    tw_status status = tw_build_find(&trial->build, name, problem, machine, block_m, block_n);
    if (status == TW_EINVAL)
        return status;
    trial->build.num_splits = num_splits;
    if (status == TW_OK)
        status = tw_predict(&result, &trial->build, problem, machine, &how);
    t->count++;
    if (status == TW_ENOMEM)
        return status;
    if (status != TW_OK) {
        strncpy(trial->refusal, tw_error_message(), sizeof trial->refusal - 1);
        return TW_OK;
    }
    trial->result = malloc(sizeof *trial->result);
    if (!trial->result)
        return tw_fail(TW_ENOMEM, "no memory for a prediction");
    *trial->result = result;
    t->num_fit++;
    return TW_OK;
}

bool tw_tunes_splits(const char *name)
{
    const tw_schedule *schedule;
    return !tw_build_is_kernel(name) && tw_schedule_find(&schedule, name) == TW_OK &&
           tw_has_axis(schedule, TW_AXIS_SPLITS);
}

/* Tiles of one size, with as many splits as were asked for, or with several numbers of them. */
static tw_status try_splits(tw_trials *t, const char *name, int block_m, int block_n, int num_splits,
                            const tw_problem *problem, const tw_machine *machine)
{
    if (num_splits > 0 || !tw_tunes_splits(name))
        return try(t, name, block_m, block_n, num_splits, problem, machine);
    for (int i = 0; i < NUM_SPLITS; i++)
        TW_TRY(try(t, name, block_m, block_n, splits_to_try[i], problem, machine));
    return TW_OK;
}

static tw_status try_all(tw_trials *t, const char *name, const tw_problem *problem, int num_splits,
                         const tw_machine *machine)
{
    int block_m, block_n;
    for (int i = 0; i < MOST_TRIALS && tw_build_tiling(name, problem, i, &block_m, &block_n); i++)
        TW_TRY(try(t, name, block_m, block_n, num_splits, problem, machine));
    for (int i = 0; i < NUM_ROWS && !tw_build_is_kernel(name); i++)
        for (int j = 0; j < NUM_KEYS; j++)
            TW_TRY(try_splits(t, name, rows_to_try[i], keys_to_try[j], num_splits, problem, machine));
    return TW_OK;
}

/* Faster first; what is refused behind, as it was tried. */
static int by_time(const void *x, const void *y)
{
    const tw_trial *a = x, *b = y;
    if (!a->result || !b->result)
        return (a->result == NULL) - (b->result == NULL);
    return a->result->power.time_s < b->result->power.time_s
               ? -1
               : a->result->power.time_s > b->result->power.time_s;
}

tw_status tw_tune(tw_trials *trials, const char *name, const tw_problem *problem, int num_splits,
                  const tw_machine *machine)
{
    tw_trials t = {.all = calloc(MOST_TRIALS, sizeof *t.all)};
    if (!t.all)
        return tw_fail(TW_ENOMEM, "no memory for %d tilings", (int)MOST_TRIALS);
    tw_status status = try_all(&t, name, problem, num_splits, machine);
    if (status == TW_OK && t.num_fit == 0)
        status = t.count == 0
                     ? tw_fail(TW_EUNSUPPORTED, "%s is not built for head_dim %d", name, problem->head_dim)
                     : tw_fail(TW_ESRAM,
                               "%s has no tiling for head_dim %d that fits %s; the first refusal: %s", name,
                               problem->head_dim, machine->name, t.all[0].refusal);
    if (status != TW_OK) {
        tw_trials_free(&t);
        return status;
    }
    qsort(t.all, (size_t)t.count, sizeof *t.all, by_time);
    *trials = t;
    return TW_OK;
}

void tw_trials_free(tw_trials *trials)
{
    for (int i = 0; i < trials->count; i++)
        free(trials->all[i].result);
    free(trials->all);
    *trials = (tw_trials){.all = NULL};
}
