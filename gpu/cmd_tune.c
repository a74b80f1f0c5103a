/* tilewise-gpu tune: of all kernels and tiles that take a shape, those that are predicted to be fastest are measured, in
 * turn. The regret is what the prediction's choice costs: its time over that of the fastest that was measured, less 1. */
#include "commands.h"
#include "doctor.h"
#include "reference.h"
#include "timing.h"

#include "../sim/predict.h"
#include "../sim/readings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int REFERENCE_ROWS = 256; /* all of them up to here, a sample beyond */

enum { MAX_CANDIDATES = 512 };

typedef struct candidate {
    const tw_gpu_kernel *kernel;
    tw_tiling tiling;
    double predicted_us;
    double *us;         /* [rounds], owned */
    double measured_us; /* their median */
} candidate;

/* All that can run on a problem and can be predicted, the fastest by prediction first. */
typedef struct ranking {
    candidate all[MAX_CANDIDATES];
    int count;
    char unknown[512]; /* kernels that could run, but that the clock does not know: "a, b" */
} ranking;

/* ---- prediction ----------------------------------------------------------------------------------------- */

static bool is_wanted(const tw_int_list *list, int value)
{
    for (int i = 0; i < list->count; i++)
        if (list->values[i] == value)
            return true;
    return list->count == 0;
}

static void note_unknown(ranking *r, const char *name)
{
    size_t used = strlen(r->unknown);
    snprintf(r->unknown + used, sizeof r->unknown - used, "%s%s", used > 0 ? ", " : "", name);
}

static void insert(ranking *r, const candidate *c)
{
    int at = r->count;
    if (r->count == MAX_CANDIDATES)
        return;
    for (; at > 0 && r->all[at - 1].predicted_us > c->predicted_us; at--)
        r->all[at] = r->all[at - 1];
    r->all[at] = *c;
    r->count++;
}

/* Whether it can be. */
static bool predict(ranking *r, const tw_gpu_kernel *kernel, const tw_tiling *tiling, const tw_problem *p,
                    const tw_machine *machine)
{
    const tw_predict_options warm = TW_PREDICT_DEFAULTS;
    tw_prediction prediction;
    tw_build build;
    if (tw_build_find(&build, kernel->name, p, machine, tiling->block_m, tiling->block_n) != TW_OK ||
        tw_predict(&prediction, &build, p, machine, &warm) != TW_OK)
        return false;
    insert(r, &(candidate){kernel, *tiling, prediction.power.time_s * 1e6, NULL, NAN});
    return true;
}

static void rank_kernel(ranking *r, const tw_gpu_program *s, const tw_gpu_kernel *kernel, const tw_options *o,
                        const tw_problem *p, const tw_machine *machine)
{
    bool runs = false, known = false;
    for (const tw_tiling *t = NULL; (t = tw_gpu_next_tiling(kernel, t)) != NULL;) {
        if (!is_wanted(&o->block_m, t->block_m) || !is_wanted(&o->block_n, t->block_n) ||
            tw_gpu_can_run(&s->device, kernel, p, t, 0) != TW_OK)
            continue;
        runs = true;
        known = predict(r, kernel, t, p, machine) || known;
    }
    if (runs && !known)
        note_unknown(r, kernel->name);
}

static void rank(ranking *r, const tw_gpu_program *s, const tw_gpu_set *set, const tw_problem *p,
                 const tw_machine *machine)
{
    r->count = 0;
    r->unknown[0] = '\0';
    for (int k = 0; k < set->selection.num_kernels; k++)
        rank_kernel(r, s, set->selection.kernels[k], &set->options.shared, p, machine);
}

/* ---- measurement ---------------------------------------------------------------------------------------- */

static tw_status check(const tw_gpu_program *s, const candidate *c, tw_gpu_tensors *tensors,
                       const tw_gpu_reference *reference)
{
    tw_gpu_verdict verdict;
    TW_TRY(tw_gpu_validate_launch(&verdict, reference, tensors, c->kernel, &c->tiling, s->stream));
    if (!verdict.agrees)
        return tw_fail(TW_EMISMATCH, "%s %dx%d disagrees with the reference: %s", c->kernel->name,
                       c->tiling.block_m, c->tiling.block_n, verdict.line);
    return TW_OK;
}

static tw_status time_once(const tw_gpu_program *s, candidate *c, const tw_gpu_tensors *tensors, int reps,
                           int round)
{
    tw_gpu_timing timing;
    const tw_gpu_kernel_launch launch = {c->kernel, tw_gpu_tensors_args(tensors, &c->tiling, s->stream)};
    const tw_gpu_work work = tw_gpu_kernel_work(&launch);
    TW_TRY(tw_gpu_time(&timing, &work, reps, 0.0));
    c->us[round] = timing.time_us;
    return TW_OK;
}

/* In turn, round after round, so that what the clock does meanwhile falls on all of them alike. */
static tw_status measure(const tw_gpu_program *s, const tw_gpu_options *o, candidate *all, int count,
                         tw_gpu_tensors *tensors)
{
    tw_gpu_reference reference = {0};
    size_t workspace = 0;
    for (int i = 0; i < count; i++) {
        size_t bytes = all[i].kernel->workspace_bytes(&tensors->problem, &all[i].tiling);
        workspace = bytes > workspace ? bytes : workspace;
    }
    TW_TRY(tw_gpu_tensors_reserve(tensors, workspace));
    tw_status status = tw_gpu_reference_make(&reference, tensors, REFERENCE_ROWS, o->shared.seed);
    for (int i = 0; i < count && status == TW_OK; i++)
        status = check(s, &all[i], tensors, &reference);
    for (int n = 0; n < count * o->rounds && status == TW_OK; n++)
        status = time_once(s, &all[n % count], tensors, o->reps, n / count);
    tw_gpu_reference_free(&reference);
    for (int i = 0; i < count && status == TW_OK; i++)
        all[i].measured_us = tw_median(all[i].us, o->rounds);
    return status;
}

/* ---- output --------------------------------------------------------------------------------------------- */

static int fastest_of(const candidate *all, int count)
{
    int fastest = 0;
    for (int i = 1; i < count; i++)
        if (all[i].measured_us < all[fastest].measured_us)
            fastest = i;
    return fastest;
}

static void print_table(const ranking *r, int count, const tw_problem *p, const tw_machine *machine)
{
    const candidate *all = r->all, *best = &all[fastest_of(all, count)];
    printf("%s, batch %d, %d heads of %d, N = %d x %d, %s; predicted for %s%s\n\n", tw_dtype_name(p->dtype),
           p->batch, p->num_heads, p->head_dim, p->seqlen_q, p->seqlen_k, p->causal ? "causal" : "no mask",
           machine->name, tw_machine_caveat(machine));
    printf("rank  %-22s %9s %13s %12s %7s  %s\n", "kernel", "tiles", "predicted us", "measured us", "error",
           "against fastest");
    for (int i = 0; i < count; i++)
        printf("%4d  %-22s %4d x %-3d %12.1f %12.1f %+6.1f%%  %.3f\n", i + 1, all[i].kernel->name,
               all[i].tiling.block_m, all[i].tiling.block_n, all[i].predicted_us, all[i].measured_us,
               100 * (all[i].predicted_us / all[i].measured_us - 1), all[i].measured_us / best->measured_us);
    printf("\nregret %.1f %%: %s, %d x %d, is predicted to be fastest, and %s, %d x %d, is the fastest of %d "
           "that were "
           "measured, of %d that can run.\n",
           100 * (all[0].measured_us / best->measured_us - 1), all[0].kernel->name, all[0].tiling.block_m,
           all[0].tiling.block_n, best->kernel->name, best->tiling.block_m, best->tiling.block_n, count,
           r->count);
    if (r->unknown[0] != '\0')
        printf("not predicted: %s\n", r->unknown);
}

static void write_rows(tw_gpu_program *s, const ranking *r, int count, const tw_gpu_set *set,
                       const tw_problem *p)
{
    double best = r->all[fastest_of(r->all, count)].measured_us;
    for (int i = 0; i < count; i++) {
        const candidate *c = &r->all[i];
        const tw_gpu_case one = {c->kernel, *p, c->tiling, &set->options};
        tw_gpu_write_case(s->csv.file, s, &one);
        fprintf(s->csv.file, ",%d,%.3f,%.3f,%.4f\n", i + 1, c->predicted_us, c->measured_us,
                c->measured_us / best - 1);
    }
    fflush(s->csv.file);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static tw_status tune_ranked(tw_gpu_program *s, const tw_gpu_set *set, const tw_problem *p,
                             const tw_machine *machine, ranking *r)
{
    tw_gpu_tensors tensors = {0};
    int count = r->count < s->options.top ? r->count : s->options.top;
    if (count == 0)
        return tw_fail(TW_EUNSUPPORTED,
                       "none of the kernels takes this shape, or none that does can be predicted%s%s",
                       r->unknown[0] != '\0' ? ": " : "", r->unknown);
    double *us = calloc((size_t)(count * s->options.rounds), sizeof *us);
    if (us == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d times", count * s->options.rounds);
    for (int i = 0; i < count; i++)
        r->all[i].us = us + (size_t)(i * s->options.rounds);
    tw_status status = tw_gpu_tensors_make(&tensors, p, set->options.shared.seed, 1.0);
    if (status == TW_OK)
        status = measure(s, &set->options, r->all, count, &tensors);
    tw_gpu_tensors_free(&tensors);
    if (status == TW_OK && s->csv.file != stdout)
        print_table(r, count, p, machine);
    if (status == TW_OK && s->csv.file != NULL)
        write_rows(s, r, count, set, p);
    free(us);
    return status;
}

static tw_status tune_all(tw_gpu_program *s, const tw_machine *machine)
{
    static ranking r;
    bool first = true;
    for (int n = 0; n < s->num_sets; n++) {
        const tw_gpu_set *set = &s->sets[n];
        for (size_t i = 0; i < set->num_problems; i++, first = false) {
            if (!first && s->csv.file != stdout)
                putchar('\n');
            rank(&r, s, set, &set->problems[i], machine);
            TW_TRY(tune_ranked(s, set, &set->problems[i], machine, &r));
        }
    }
    return TW_OK;
}

tw_status tw_gpu_tune_command(tw_gpu_program *s)
{
    tw_machine machine;
    if (*tw_gpu_order_columns(s) != '\0')
        return tw_fail(TW_EINVAL, "tune takes no --order or --kv-order, bench and launch do");
    if (s->options.shared.machine == NULL)
        s->options.shared.machine = strdup(s->device.machine);
    if (s->options.shared.machine == NULL)
        return tw_fail(TW_ENOMEM, "no memory for a name");
    TW_TRY(tw_options_machine(&machine, &s->options.shared));
    if (machine.kind != TW_MACHINE_GPU)
        return tw_fail(TW_EINVAL, "--machine is '%s', it must be a GPU", machine.name);
    if (s->csv.file != NULL) {
        tw_gpu_write_header(s->csv.file, &s->device, s->command_line);
        TW_TRY(tw_gpu_write_examination(s->csv.file, &s->device, s->stream));
        fprintf(s->csv.file,
                "# predicted for machine %s%s\n" TW_GPU_CSV_COLUMNS
                ",rank,predicted_time_us,time_us,regret\n",
                machine.name, tw_machine_caveat(&machine));
    }
    return tune_all(s, &machine);
}
