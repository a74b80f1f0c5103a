/* tilewise-gpu launch: every case once, each behind a launch of tw_init_case, for a profiler to count. */
#include "commands.h"
#include "cuda_try.h"
#include "spin.h"

#include <cuda_profiler_api.h>

static tw_status launch_case(tw_gpu_program *s, const tw_gpu_case *one, tw_gpu_tensors *tensors,
                             void *context)
{
    (void)context;
    tw_gpu_args args = tw_gpu_tensors_args(tensors, &one->tiling, s->stream);
    if (one->options->warm) {
        TW_TRY(one->kernel->launch(&args));
        TW_CUDA_TRY(cudaStreamSynchronize(s->stream));
    }
    TW_CUDA_TRY(cudaProfilerStart()); /* a profiler need look at nothing that prepares the tensors */
    TW_TRY(tw_gpu_mark_case(s->stream));
    TW_TRY(one->kernel->launch(&args));
    TW_CUDA_TRY(cudaStreamSynchronize(s->stream));
    TW_CUDA_TRY(cudaProfilerStop());
    FILE *out = s->csv.file != NULL ? s->csv.file : stdout;
    tw_gpu_write_case(out, s, one);
    fprintf(out, "\n");
    return TW_OK;
}

tw_status tw_gpu_launch_command(tw_gpu_program *s)
{
    FILE *out = s->csv.file != NULL ? s->csv.file : stdout;
    tw_gpu_write_header(out, &s->device, s->command_line);
    fprintf(out, "%s%s\n", TW_GPU_CSV_COLUMNS, tw_gpu_order_columns(s));
    return tw_gpu_for_each_case(s, NULL, launch_case, NULL);
}
