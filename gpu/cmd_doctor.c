/* tilewise-gpu doctor: one screen and a verdict. */
#include "commands.h"
#include "doctor.h"

static const char *mark_of(tw_gpu_fitness fitness)
{
    return fitness == TW_GPU_FIT ? "ok" : fitness == TW_GPU_REMARK ? "note" : "BAD";
}

tw_status tw_gpu_doctor_command(tw_gpu_program *s)
{
    const double LOAD_SECONDS = 1.5;
    tw_gpu_checkup checkup;
    tw_gpu_finding findings[TW_GPU_MAX_FINDINGS];
    char verdict[200];
    TW_TRY(tw_gpu_examine(&checkup, &s->device, s->stream, LOAD_SECONDS));
    int n = tw_gpu_checkup_findings(findings, &checkup);
    printf("%s, machine file %s\ndriver %s, CUDA %s\n\n", s->device.name, s->device.machine, s->device.driver,
           s->device.cuda);
    for (int i = 0; i < n; i++)
        printf("%-5s %-20s %s%s%s\n", mark_of(findings[i].fitness), findings[i].what, findings[i].value,
               findings[i].remark[0] != '\0' ? ": " : "", findings[i].remark);
    tw_gpu_checkup_verdict(verdict, sizeof verdict, &checkup);
    printf("\nThis GPU is %s.\n", verdict);
    s->num_disagreements = tw_gpu_checkup_fitness(&checkup) == TW_GPU_UNFIT;
    return TW_OK;
}
