/* tilewise-gpu ladder: all kernels in turn, and again, so that what the GPU does in the meantime (clock, heat) falls on
 * all of them alike. A matrix product of cuBLAS is timed in every round: the rate that shares are taken of. */
#include "commands.h"
#include "doctor.h"
#include "product.h"
#include "reference.h"

#include <math.h>
#include <string.h>

static const int REFERENCE_ROWS = 256; /* all of them up to here, a sample beyond */
static const double ENERGY_SECONDS = 1.2;

typedef struct ladder {
    int round; /* from 1 */
    tw_gpu_product product;
    tw_gpu_reference reference; /* of the current problem, in the first round */
} ladder;

static FILE *output(const tw_gpu_program *s)
{
    return s->csv.file != NULL ? s->csv.file : stdout;
}

/* Energy is measured once, in the last round, when everything is warm. */
static double energy_seconds(const tw_gpu_program *s, const tw_gpu_options *o, const ladder *l)
{
    return l->round == s->options.rounds && !o->no_energy ? ENERGY_SECONDS : 0.0;
}

/* NAN as an empty field: it was not measured. */
static void write_value(FILE *out, const char *format, double value)
{
    fputc(',', out);
    if (!isnan(value))
        fprintf(out, format, value);
}

static void write_timing(FILE *out, const tw_gpu_timing *t)
{
    fprintf(out, ",%.3f,%.3f,%.3f", t->time_us, t->time_min_us, t->time_max_us);
    write_value(out, "%.5g", t->energy_mj);
    write_value(out, "%.0f", t->sm_clock_mhz);
    fputc('\n', out);
    fflush(out);
}

static tw_status time_product(tw_gpu_program *s, ladder *l)
{
    tw_gpu_timing timing;
    const tw_gpu_work work = tw_gpu_product_work(&l->product);
    TW_TRY(tw_gpu_time(&timing, &work, s->options.reps, energy_seconds(s, &s->options, l)));
    fprintf(output(s), "%d,matrix_product,%s,1,1,1,%d,%d,%d,fp16,0,0,0,matrix_product", l->round,
            s->device.machine, TW_GPU_PRODUCT_SIZE, TW_GPU_PRODUCT_SIZE, TW_GPU_PRODUCT_SIZE);
    write_timing(output(s), &timing);
    return TW_OK;
}

static tw_status prepare_problem(tw_gpu_program *s, tw_gpu_tensors *tensors, void *context)
{
    ladder *l = context;
    tw_gpu_reference_free(&l->reference);
    if (l->round > 1)
        return TW_OK;
    return tw_gpu_reference_make(&l->reference, tensors, REFERENCE_ROWS, s->options.shared.seed);
}

/* A ladder with a wrong rung is none. */
static tw_status check_case(const tw_gpu_program *s, const tw_gpu_case *one, tw_gpu_tensors *tensors,
                            const ladder *l)
{
    tw_gpu_verdict verdict;
    TW_TRY(tw_gpu_validate_launch(&verdict, &l->reference, tensors, one->kernel, &one->tiling, s->stream));
    if (!verdict.agrees)
        return tw_fail(TW_EMISMATCH, "%s %dx%d disagrees with the reference: %s", one->kernel->name,
                       one->tiling.block_m, one->tiling.block_n, verdict.line);
    return TW_OK;
}

static tw_status time_case(tw_gpu_program *s, const tw_gpu_case *one, tw_gpu_tensors *tensors, void *context)
{
    ladder *l = context;
    tw_gpu_timing timing;
    if (l->round == 1)
        TW_TRY(check_case(s, one, tensors, l));
    const tw_gpu_kernel_launch launch = {one->kernel, tw_gpu_tensors_args(tensors, &one->tiling, s->stream)};
    const tw_gpu_work work = tw_gpu_kernel_work(&launch);
    TW_TRY(tw_gpu_time(&timing, &work, one->options->reps, energy_seconds(s, one->options, l)));
    fprintf(output(s), "%d,", l->round);
    tw_gpu_write_case(output(s), s, one);
    write_timing(output(s), &timing);
    return TW_OK;
}

/* Whoever paces the rounds measures something else in between. */
static tw_status wait_for_pacer(const tw_gpu_program *s, int round)
{
    char line[64];
    fflush(output(s));
    if (s->options.paced && fgets(line, sizeof line, stdin) == NULL)
        return tw_fail(TW_EIO, "stdin ended before round %d of %d", round, s->options.rounds);
    return TW_OK;
}

static tw_status run_rounds(tw_gpu_program *s, ladder *l)
{
    for (l->round = 1; l->round <= s->options.rounds; l->round++) {
        TW_TRY(wait_for_pacer(s, l->round));
        TW_TRY(time_product(s, l));
        TW_TRY(tw_gpu_for_each_case(s, prepare_problem, time_case, l));
        fprintf(output(s), "# round %d done\n", l->round);
        fflush(output(s));
    }
    return TW_OK;
}

tw_status tw_gpu_ladder_command(tw_gpu_program *s)
{
    ladder l = {.round = 0};
    if (*tw_gpu_order_columns(s) != '\0')
        return tw_fail(TW_EINVAL, "ladder takes no --order or --kv-order, bench and launch do");
    tw_gpu_write_header(output(s), &s->device, s->command_line);
    TW_TRY(tw_gpu_write_examination(output(s), &s->device, s->stream));
    fprintf(output(s),
            "round," TW_GPU_CSV_COLUMNS ",time_us,time_min_us,time_max_us,energy_mj,sm_clock_mhz\n");
    TW_TRY(tw_gpu_product_make(&l.product, 1, s->stream));
    tw_status status = run_rounds(s, &l);
    tw_gpu_reference_free(&l.reference);
    tw_gpu_product_free(&l.product);
    return status;
}
