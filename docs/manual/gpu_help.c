/* gpu_help [COMMAND] --help: what `tilewise-gpu [COMMAND] --help` prints, on any machine. The tables are the same, and so
 * are the functions that print them; only what needs CUDA is missing. */
#include "../../gpu/calibrate/options.h"
#include "../../gpu/help.h"
#include "../../gpu/options.h"

#include <stdio.h>
#include <string.h>

static tw_status print_calibrate_help(void)
{
    tw_cal_options options;
    char word[] = "--help", *argv[] = {word, word, NULL};
    bool help;
    tw_status status = tw_cal_options_read(&options, &help, 2, argv);
    tw_cal_options_free(&options);
    return status;
}

static tw_status print_command_help(const char *name)
{
    tw_gpu_options options;
    char word[] = "--help", *argv[] = {word, word, NULL};
    int index;
    bool help;
    if (strcmp(name, "calibrate") == 0) /* has a command line of its own */
        return print_calibrate_help();
    TW_TRY(tw_gpu_command_find(&index, name));
    const tw_gpu_command *c = tw_gpu_command_at(index);
    tw_status status = tw_gpu_options_read(&options, &help, c->groups, c->full_name, c->what, 2, argv);
    tw_gpu_options_free(&options);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 3 && print_command_help(argv[1]) == TW_OK)
        return 0;
    if (argc == 3) {
        fprintf(stderr, "gpu_help: %s\n", tw_error_message());
        return 2;
    }
    tw_gpu_print_help();
    return 0;
}
