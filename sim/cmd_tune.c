/* tilewise tune, tilewise advise: which tiles, which kernel. */
#include "commands.h"
#include "csv.h"
#include "kernels.h"
#include "table.h"
#include "tune.h"

#include <stdlib.h>
#include <string.h>

static const char tune_summary[] =
    "ranks all tilings of a kernel or an algorithm, and says why others are refused";
static const char advise_summary[] = "one decision for a shape: algorithm, kernel, tiles, order, splits";

typedef struct tune_options {
    tw_options shared;
    char *kernels;
    int top;
} tune_options;

static const tw_option tune_own[] = {
    {"kernel", "A,B", TW_OPTION_TEXT, offsetof(tune_options, kernels), 0,
     "kernels of `tilewise list kernels`: the tiles that they are built for"},
    {"top", "NUMBER", TW_OPTION_INT, offsetof(tune_options, top), 0,
     "show so many, and as many refusals (default: 10)"},
};

/* ---- tune ----------------------------------------------------------------------------------------------- */

static void print_setting(const char *what, const tw_problem *p, const tw_machine *machine)
{
    char length[16];
    tw_seqlen_name(length, sizeof length, p->seqlen_k);
    printf("%s on %s%s: %s, batch %d, %d heads of %d, N = %s%s\n\n", what, machine->name,
           tw_machine_caveat(machine), tw_dtype_name(p->dtype), p->batch, p->num_heads, p->head_dim, length,
           p->causal ? ", causal" : "");
}

static tw_status print_ranking(const tw_trials *trials, bool splits, int top)
{
    static const char *const titles[] = {"rank",   "tiles", "time",   "against best",
                                         "cycles", "clock", "blocks", "limited by"};
    static const char *const units[] = {"", "m x n", "ms", "", "k", "GHz", "an SM", ""};
    tw_table t = {.num_columns = 0};
    for (int i = 0; i < 8; i++)
        tw_table_column(&t, titles[i], units[i], i == 7);
    if (splits)
        tw_table_column(&t, "splits", "", false);
    for (int i = 0; i < trials->num_fit && i < top; i++) {
        const tw_prediction *r = trials->all[i].result;
        tw_table_row(&t);
        tw_table_cell(&t, 0, "%d", i + 1);
        tw_table_cell(&t, 1, "%d x %d", r->build.block_m, r->build.block_n);
        tw_table_number(&t, 2, r->power.time_s * 1e3, 4);
        tw_table_cell(&t, 3, "%.3f", r->power.time_s / trials->all[0].result->power.time_s);
        tw_table_number(&t, 4, r->total.cycles / 1e3, 1);
        tw_table_number(&t, 5, r->power.clock_hz / 1e9, 2);
        tw_table_cell(&t, 6, "%d", r->build.blocks_per_sm);
        tw_table_cell(&t, 7, "%s", r->limiter);
        if (splits)
            tw_table_cell(&t, 8, "%d", r->num_splits);
    }
    return tw_table_print(&t, stdout);
}

static void print_refusals(const tw_trials *trials, int top)
{
    int refused = trials->count - trials->num_fit;
    printf("%d of %d tilings fit.\n", trials->num_fit, trials->count);
    for (int i = 0; i < refused && i < top; i++) {
        const tw_trial *x = &trials->all[trials->num_fit + i];
        printf("    %d x %d: %s\n", x->build.block_m, x->build.block_n, x->refusal);
    }
    if (refused > top)
        printf("    and %d more\n", refused - top);
}

static void csv_rows(FILE *out, const char *name, const tw_trials *trials, const tw_problem *p)
{
    for (int i = 0; i < trials->count; i++) {
        const tw_trial *x = &trials->all[i];
        int splits = x->result ? x->result->num_splits : x->build.num_splits;
        fprintf(out, "%s,%d,%d,%d,%d,%d,%d,%d,%d,", name, p->batch, p->num_heads, p->seqlen_k, p->head_dim,
                p->causal, x->build.block_m, x->build.block_n, splits);
        if (x->result)
            fprintf(out, "%d,%.3f,%.0f,%.0f,%s,\n", i + 1, x->result->power.time_s * 1e6,
                    x->result->total.cycles, x->result->power.clock_hz / 1e6, x->result->limiter);
        else
            fprintf(out, ",,,,,\"%s\"\n", x->refusal);
    }
}

static tw_status tune_one(const tw_contender *c, const tune_options *o, const tw_machine *machine,
                          const tw_csv *csv)
{
    tw_trials trials;
    bool alone = o->shared.csv && strcmp(o->shared.csv, "-") == 0;
    TW_TRY(tw_tune(&trials, c->name, &c->problem, c->build.num_splits, machine));
    if (csv->file)
        csv_rows(csv->file, c->name, &trials, &c->problem);
    tw_status status = TW_OK;
    if (!alone) {
        print_setting(c->name, &c->problem, machine);
        status = print_ranking(&trials, tw_tunes_splits(c->name), o->top);
        if (status == TW_OK)
            print_refusals(&trials, o->top);
    }
    tw_trials_free(&trials);
    return status;
}

static tw_status tune(const tune_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_contenders list;
    tw_csv csv = {.file = NULL};
    TW_TRY(tw_options_machine(&machine, &o->shared));
    TW_TRY(tw_contenders_of(&list, o->kernels, &o->shared, &machine));
    tw_status status = tw_csv_open(&csv, o->shared.csv);
    if (status == TW_OK && csv.file) {
        tw_csv_header(&csv, "tilewise tune", argc, argv);
        fprintf(csv.file, "kernel,batch,num_heads,seqlen_k,head_dim,causal,block_m,block_n,num_splits,rank,"
                          "predicted_time_us,"
                          "predicted_sm_cycles,predicted_clock_mhz,limiter,refusal\n");
    }
    for (size_t i = 0; i < list.count && status == TW_OK; i++) {
        if (i > 0 && !(o->shared.csv && strcmp(o->shared.csv, "-") == 0))
            putchar('\n');
        status = tune_one(&list.all[i], o, &machine, &csv);
    }
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    tw_contenders_free(&list);
    return status;
}

int tw_cmd_tune(int argc, char **argv)
{
    tune_options o = {.shared = tw_options_default(), .top = 10};
    unsigned groups = TW_GROUP_ALGORITHM | TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_MACHINE |
                      TW_GROUP_CSV | TW_GROUP_SPLITS | TW_GROUP_PAGES;
    tw_option_set sets[] = {{tune_own, sizeof tune_own / sizeof tune_own[0], &o, 0},
                            tw_options_shared(&o.shared, groups)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise tune", tune_summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = tune(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}

/* ---- advise --------------------------------------------------------------------------------------------- */

/* The best tiling of each kernel of this repository that takes the shape; the fastest first. */
typedef struct choice {
    tw_trial best[32];
    int count;
} choice;

static void insert(choice *c, const tw_trial *trial)
{
    enum { ROOM = sizeof c->best / sizeof c->best[0] };
    int at = c->count;
    if (c->count == ROOM)
        return;
    while (at > 0 && c->best[at - 1].result->power.time_s > trial->result->power.time_s)
        at--;
    memmove(&c->best[at + 1], &c->best[at], (size_t)(c->count - at) * sizeof c->best[0]);
    c->best[at] = *trial;
    c->count++;
}

static void choose(choice *c, const tw_problem *problem, const tw_machine *machine)
{
    const tw_kernel_claim *kernel;
    for (int i = 0; (kernel = tw_kernel_at(i)); i++) {
        tw_trials trials;
        if (tw_tune(&trials, kernel->name, problem, 0, machine) != TW_OK)
            continue; /* it does not take this shape or this machine */
        insert(c, &trials.all[0]);
        trials.all[0].result = NULL; /* now the choice's own */
        tw_trials_free(&trials);
    }
}

static const char *order_of(tw_deal deal)
{
    static const char *const names[] = {
        "a block each, first query tiles first", "a block each, last query tiles first",
        "persistent, every so many-th query tile", "persistent, longest first, forth and back",
        "persistent, longest first, to who is free"};
    return names[deal];
}

/* What splitting the keys would do for a shape that leaves SMs idle. */
static void print_splits(const tw_prediction *best, const tw_machine *machine, const tw_problem *p)
{
    tw_trials trials;
    printf("    note        %.0f %% of the SMs' time is used; splitting K and V would use more, which no "
           "kernel here "
           "does\n",
           100 * best->mean_share[0]);
    if (tw_tune(&trials, "flash_decoding", p, 0, machine) != TW_OK)
        return;
    const tw_prediction *r = trials.all[0].result;
    printf("                flash_decoding: %d split%s, tiles %d x %d, %.4f ms predicted\n", r->num_splits,
           r->num_splits == 1 ? "" : "s", r->build.block_m, r->build.block_n, r->power.time_s * 1e3);
    tw_trials_free(&trials);
}

static void print_advice(const choice *c, const tw_machine *machine, const tw_problem *p)
{
    const tw_prediction *best = c->best[0].result;
    print_setting("Advice", p, machine);
    printf("    algorithm   %s\n    kernel      %s\n    tiles       %d x %d\n    order       %s\n    splits  "
           "    1\n",
           best->schedule->name, best->build.kernel, best->build.block_m, best->build.block_n,
           order_of(best->build.deal));
    printf("    time        %.4f ms predicted, %.0f TFLOP/s\n    limited by  %s\n", best->power.time_s * 1e3,
           (double)best->counts.total.flops / best->power.time_s / 1e12, best->limiter);
    if (c->count > 1) {
        const tw_prediction *next = c->best[1].result;
        printf("    margin      %.1f %% before %s, %d x %d\n",
               100 * (next->power.time_s / best->power.time_s - 1), next->build.kernel, next->build.block_m,
               next->build.block_n);
    }
    printf("    validated   %s%s\n", *best->outside ? "no: " : "yes", best->outside);
    if (best->mean_share[0] < 0.5)
        print_splits(best, machine, p);
}

static tw_status advise(const tw_options *o)
{
    tw_machine machine;
    tw_contenders list;
    TW_TRY(tw_options_machine(&machine, o));
    TW_TRY(tw_contenders_of(&list, "flash2", o, &machine)); /* for the shapes */
    tw_status status = TW_OK;
    for (size_t i = 0; i < list.count && status == TW_OK; i++) {
        choice c = {.count = 0};
        choose(&c, &list.all[i].problem, &machine);
        if (i > 0)
            putchar('\n');
        if (c.count > 0)
            print_advice(&c, &machine, &list.all[i].problem);
        else
            status = tw_fail(TW_EUNSUPPORTED, "no kernel takes this shape on %s; the last refusal: %.300s",
                             machine.name, tw_error_message());
        for (int n = 0; n < c.count; n++)
            free(c.best[n].result);
    }
    tw_contenders_free(&list);
    return status;
}

int tw_cmd_advise(int argc, char **argv)
{
    tw_options o = tw_options_default();
    tw_option_set set = tw_options_shared(&o, TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_MACHINE);
    bool help;
    tw_status status = tw_options_read(&help, "tilewise advise", advise_summary, &set, 1, argc, argv);
    if (status == TW_OK && !help)
        status = advise(&o);
    tw_options_free(&set, 1);
    return tw_exit_code(status);
}
