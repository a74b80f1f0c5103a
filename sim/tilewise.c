/* The program: finds the subcommand and hands the rest of the line to it. */
#include "commands.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"io", tw_cmd_io, "bytes per memory level, FLOPs and exponentials of an algorithm, counted"},
    {"cache", tw_cmd_cache,
     "all loads and stores replayed through the L2: hits, kinds of misses, HBM traffic"},
    {"orders", tw_cmd_orders, "ranks the orders in which blocks can run, by what HBM sees"},
    {"run", tw_cmd_run, "executes an algorithm tile by tile, and compares the result with exact attention"},
    {"check", tw_cmd_check, "somebody's output in .npy files against exact attention"},
    {"compare", tw_cmd_compare, "predictions beside measurements"},
    {"predict", tw_cmd_predict, "cycles, clock, time, energy and HBM traffic, written down beforehand"},
    {"explain", tw_cmd_explain, "why one is faster than the other, term by term"},
    {"tune", tw_cmd_tune, "all tilings of a kernel or algorithm, ranked, and why others are refused"},
    {"advise", tw_cmd_advise, "one decision for a shape: kernel, tiles, order"},
    {"timeline", tw_cmd_timeline, "what one SM does in time, for Perfetto and as a picture"},
    {"step", tw_cmd_step, "walks through a schedule tile by tile: what is on chip, m, l, O, bytes so far"},
    {"calibrate-cpu", tw_cmd_calibrate_cpu, "measures this CPU and writes its machine file"},
    {"bench-cpu", tw_cmd_bench_cpu,
     "standard and tiled attention on this CPU: predicted from its machine file, then timed"},
    {"list", tw_cmd_list, "algorithms, machines, kernels"},
};

enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

int tw_exit_code(tw_status status)
{
    if (status == TW_OK)
        return 0;
    if (status == TW_EMISMATCH)
        return 1;
    fflush(stdout);
    fprintf(stderr, "tilewise: %s\n", tw_error_message());
    return 2;
}

static int help(void)
{
    printf("tilewise counts every byte that an attention algorithm moves between memory levels.\n"
           "\n"
           "For example, standard attention and FlashAttention 2 at three sequence lengths, on an H100:\n"
           "\n"
           "    tilewise io --algorithm standard_tiled,flash2 --seqlen 1k,4k,16k\n"
           "\n"
           "Then try\n"
           "\n"
           "    tilewise io --help               every option\n"
           "    tilewise list algorithms         what can be counted\n"
           "    tilewise run --seqlen 300        the same schedules executed, and compared with exact "
           "attention\n"
           "\n"
           "Commands\n"
           "\n");
    for (int i = 0; i < NUM_COMMANDS; i++)
        printf("    %-14s%s\n", commands[i].name, commands[i].what);
    printf(
        "\nEach has --help. Exit status: 0 done, 1 compared and found to disagree, 2 could not be done.\n");
    return 0;
}

static int unknown_command(const char *name)
{
    char list[320] = "";
    for (int i = 0; i < NUM_COMMANDS; i++) {
        if (tw_is_near(name, commands[i].name))
            return tw_exit_code(tw_fail(TW_EINVAL, "'%s' is not a command; did you mean '%s'?",
                                        tw_quote(name).text, commands[i].name));
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", commands[i].name);
    }
    return tw_exit_code(
        tw_fail(TW_EINVAL, "'%s' is not a command, it must be one of %s", tw_quote(name).text, list));
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("tilewise, commit %s\n", tw_commit());
        return 0;
    }
    for (int i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
    int code = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout))
        return tw_exit_code(tw_fail(TW_EIO, "stdout cannot be written (%s)", strerror(errno)));
    return code;
}
