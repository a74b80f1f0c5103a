/* The subcommands of tilewise-gpu by name, and its --help. */
#include "help.h"

#include "../sim/parse.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

enum {
    GROUPS_CASES = TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SHAPES | TW_GPU_GROUP_CASES | TW_GPU_GROUP_CSV,
    GROUPS_TIMES = GROUPS_CASES | TW_GPU_GROUP_TIMES
};

#define COMMAND(name, needs_gpu, groups, what)                                                               \
    {                                                                                                        \
        name, "tilewise-gpu " name, what, needs_gpu, groups                                                  \
    }

static const tw_gpu_command commands[] = {
    COMMAND("list", false, TW_GPU_GROUP_EVERY, "the kernels: schedule, tilings, idea"),
    COMMAND("doctor", true, 0,
            "is this GPU fit to measure on? Clock, power, memory, other processes, rates, and a verdict"),
    COMMAND("validate", true, TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SHAPES,
            "every kernel against the CPU reference, on a table of awkward shapes or on the shapes given"),
    COMMAND("soak", true, TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SOAK,
            "every kernel on random shapes, thousands a minute, against a reference on the GPU"),
    COMMAND("bench", true, GROUPS_TIMES, "validates, then measures time and energy of every case"),
    COMMAND("ladder", true, GROUPS_TIMES | TW_GPU_GROUP_ROUNDS,
            "the same in rounds, a matrix product of cuBLAS among the kernels; see `make ladder`"),
    COMMAND("tune", true,
            TW_GPU_GROUP_EVERY | TW_GPU_GROUP_SHAPES | TW_GPU_GROUP_CASES | TW_GPU_GROUP_TUNE |
                TW_GPU_GROUP_CSV,
            "measures the kernels and tiles that are predicted to be fastest, and tells the regret"),
    COMMAND("launch", true, GROUPS_CASES | TW_GPU_GROUP_LAUNCH,
            "runs every case once, for a profiler; see `make counters`"),
    COMMAND("calibrate", true, 0, "measures this GPU in under two minutes, and writes its machine file"),
};
enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

const tw_gpu_command *tw_gpu_command_at(int i)
{
    return i >= 0 && i < NUM_COMMANDS ? &commands[i] : NULL;
}

tw_status tw_gpu_command_find(int *index, const char *name)
{
    char names[128] = "";
    for (int i = 0; i < NUM_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            *index = i;
            return TW_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", commands[i].name);
    }
    return tw_fail(TW_EINVAL, "'%s' is not a command, it must be one of %s", tw_quote(name).text, names);
}

void tw_gpu_print_help(void)
{
    printf("tilewise-gpu runs attention kernels on a GPU, checks them, and measures time and energy.\n\n"
           "For example, every kernel on 16 heads of 4096 queries and keys:\n\n"
           "    tilewise-gpu bench --seqlen 4k --heads 16\n\n"
           "Commands\n\n");
    for (int i = 0; i < NUM_COMMANDS; i++)
        printf("    %-9s  %s\n", commands[i].name, commands[i].what);
    printf("\nEach has --help. Exit status: 0 done, 1 a kernel is wrong, the GPU not fit or a reading not "
           "believed, 2 could not be done.\n");
}
