/* tilewise-gpu bench: a case is validated, then timed, then run back to back for its energy. */
#include "commands.h"
#include "doctor.h"
#include "reference.h"
#include "timing.h"

#include <math.h>
#include <string.h>

static const int REFERENCE_ROWS = 256; /* all of them up to here, a sample beyond */
static const double ENERGY_SECONDS = 0.5;

static bool table_wanted(const tw_gpu_program *s)
{
    return s->csv.file != stdout; /* --csv -: standard output is the CSV alone */
}

static tw_status prepare_problem(tw_gpu_program *s, tw_gpu_tensors *tensors, void *context)
{
    tw_gpu_reference *reference = context;
    tw_gpu_reference_free(reference);
    return tw_gpu_reference_make(reference, tensors, REFERENCE_ROWS, s->options.shared.seed);
}

static void report_disagreement(tw_gpu_program *s, const tw_gpu_case *one, const tw_gpu_verdict *verdict)
{
    s->num_disagreements++;
    fprintf(stderr, "tilewise-gpu: %s %dx%d disagrees with the reference: %s\n", one->kernel->name,
            one->tiling.block_m, one->tiling.block_n, verdict->line);
    if (s->csv.file != NULL)
        fprintf(s->csv.file, "# %s disagrees with the reference, not timed: %s\n", one->kernel->name,
                verdict->line);
}

static void report_case(tw_gpu_program *s, const tw_gpu_case *one, const tw_gpu_verdict *v,
                        const tw_gpu_timing *t)
{
    const tw_problem *p = &one->problem;
    double tflops_per_s = (double)tw_problem_flops(p) / t->time_us / 1e6;
    if (s->csv.file != NULL) {
        tw_gpu_write_case(s->csv.file, s, one);
        fprintf(s->csv.file, ",%.3f,%.3f,%.3f,%d,%.4g,%.0f,%.3g\n", t->time_us, t->time_min_us,
                t->time_max_us, t->reps, t->energy_mj, t->sm_clock_mhz, v->o.max_abs_error);
        fflush(s->csv.file);
    }
    if (table_wanted(s))
        printf("%-20s %5d %5d %7d %7d %4d %-5s %-6s %3dx%-3d %11.1f %5.1f%% %8.2f %9.1f %6.0f %9.2g\n",
               one->kernel->name, p->batch, p->num_heads, p->seqlen_q, p->seqlen_k, p->head_dim,
               tw_dtype_name(p->dtype), p->causal ? "causal" : "none", one->tiling.block_m,
               one->tiling.block_n, t->time_us, 100.0 * (t->time_max_us - t->time_min_us) / t->time_us,
               tflops_per_s, t->energy_mj, t->sm_clock_mhz, v->o.max_abs_error);
    fflush(stdout);
}

static tw_status bench_case(tw_gpu_program *s, const tw_gpu_case *one, tw_gpu_tensors *tensors, void *context)
{
    tw_gpu_verdict verdict;
    tw_gpu_timing timing;
    TW_TRY(tw_gpu_validate_launch(&verdict, context, tensors, one->kernel, &one->tiling, s->stream));
    if (!verdict.agrees) {
        report_disagreement(s, one, &verdict);
        return TW_OK;
    }
    const tw_gpu_kernel_launch launch = {one->kernel, tw_gpu_tensors_args(tensors, &one->tiling, s->stream)};
    const tw_gpu_work work = tw_gpu_kernel_work(&launch);
    TW_TRY(tw_gpu_time(&timing, &work, one->options->reps, one->options->no_energy ? 0.0 : ENERGY_SECONDS));
    report_case(s, one, &verdict, &timing);
    return TW_OK;
}

tw_status tw_gpu_bench_command(tw_gpu_program *s)
{
    tw_gpu_reference reference = {0};
    if (s->csv.file != NULL) {
        tw_gpu_write_header(s->csv.file, &s->device, s->command_line);
        TW_TRY(tw_gpu_write_examination(s->csv.file, &s->device, s->stream));
        fprintf(s->csv.file,
                "%s%s,time_us,time_min_us,time_max_us,reps,energy_mj,sm_clock_mhz,max_abs_error\n",
                TW_GPU_CSV_COLUMNS, tw_gpu_order_columns(s));
    }
    if (table_wanted(s))
        printf("%-20s %5s %5s %7s %7s %4s %-5s %-6s %-7s %11s %6s %8s %9s %6s %9s\n", "kernel", "batch",
               "heads", "queries", "keys", "d", "dtype", "mask", "tile", "median us", "spread", "TFLOP/s",
               "mJ", "MHz", "error");
    tw_status status = tw_gpu_for_each_case(s, prepare_problem, bench_case, &reference);
    tw_gpu_reference_free(&reference);
    return status;
}
