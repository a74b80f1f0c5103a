/* The subcommands of tilewise-gpu by name, and its --help. */
#include "help.h"
#include "../sim/parse.h"

#include <stdio.h>
#include <string.h>

#define COMMAND(name, needs_gpu, what)                                                                       \
    {                                                                                                        \
        name, "tilewise-gpu " name, what, needs_gpu                                                          \
    }

static const tw_gpu_command commands[] = {
    COMMAND("list", false, "the kernels: schedule, tilings, idea"),
    COMMAND("validate", true,
            "every kernel against the CPU reference, on a table of awkward shapes or on the shapes given"),
    COMMAND("bench", true, "validates, then measures time and energy of every case"),
    COMMAND("launch", true, "runs every case once, for a profiler; see `make counters`"),
};
enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

const tw_gpu_command *tw_gpu_command_at(int i)
{
    return i >= 0 && i < NUM_COMMANDS ? &commands[i] : NULL;
}

tw_status tw_gpu_command_find(int *index, const char *name)
{
    for (int i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) {
            *index = i;
            return TW_OK;
        }
    return tw_fail(TW_EINVAL, "'%s' is not a command, it must be one of list, validate, bench, launch",
                   tw_quote(name).text);
}

void tw_gpu_print_help(void)
{
    printf("tilewise-gpu runs attention kernels on a GPU, checks them, and measures time and energy.\n\n"
           "For example, every kernel on 16 heads of 4096 queries and keys:\n\n"
           "    tilewise-gpu bench --seqlen 4k --heads 16\n\n"
           "Commands\n\n");
    for (int i = 0; i < NUM_COMMANDS; i++)
        printf("    %-8s  %s\n", commands[i].name, commands[i].what);
    printf("\nEach has --help. Exit status: 0 done, 1 a kernel disagrees with the reference, 2 could not be "
           "done.\n");
}
