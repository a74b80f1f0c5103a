/* The command line of tilewise-gpu. */
#include "options.h"

#include "../sim/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(tw_gpu_options, field)

static const tw_option own[] = {
    {"kernel", "A,B", TW_OPTION_TEXT, AT(kernels), TW_GPU_GROUP_EVERY,
     "kernels by name; `tilewise-gpu list` names them (default: all)"},
    {"plugin", "FILE.so", TW_OPTION_TEXT, AT(plugin), TW_GPU_GROUP_EVERY,
     "adds the kernel of a shared object; see gpu/plugin_example.cu"},
    {"mask", "none|causal|both", TW_OPTION_CHOICE, AT(mask), TW_GPU_GROUP_SHAPES,
     "which masks to run; --causal is --mask causal"},
    {"order", TW_ORDER_CHOICES, TW_OPTION_CHOICE, AT(order), TW_GPU_GROUP_SHAPES,
     "in which blocks start, for kernels that take it (default: the kernel's own)"},
    {"kv-order", TW_KV_ORDER_CHOICES, TW_OPTION_CHOICE, AT(kv_order), TW_GPU_GROUP_SHAPES,
     "in which a block walks over K and V (default: forward)"},
    {"cases", "FILE", TW_OPTION_TEXT, AT(cases), TW_GPU_GROUP_CASES,
     "a list of cases instead of one: each line holds options such as these"},
    {"warm", NULL, TW_OPTION_FLAG, AT(warm), TW_GPU_GROUP_LAUNCH,
     "run each case once before the profiler looks, so that caches hold what a run leaves there"},
    {"reps", "NUMBER", TW_OPTION_INT, AT(reps), TW_GPU_GROUP_TIMES | TW_GPU_GROUP_TUNE,
     "timed launches of a case (default: 20)"},
    {"no-energy", NULL, TW_OPTION_FLAG, AT(no_energy), TW_GPU_GROUP_TIMES,
     "measure times alone, which is quicker"},
    {"rounds", "NUMBER", TW_OPTION_INT, AT(rounds), TW_GPU_GROUP_ROUNDS | TW_GPU_GROUP_TUNE,
     "how often everything is measured, in turn (default: 5)"},
    {"top", "NUMBER", TW_OPTION_INT, AT(top), TW_GPU_GROUP_TUNE,
     "measure so many, the fastest by prediction (default: 5)"},
    {"paced", NULL, TW_OPTION_FLAG, AT(paced), TW_GPU_GROUP_ROUNDS,
     "wait for a line on stdin before every round, so that others can be measured in between"},
    {"seconds", "SECONDS", TW_OPTION_POSITIVE, AT(seconds), TW_GPU_GROUP_SOAK,
     "how long to go on (default: 60)"},
    {"only", "NUMBER", TW_OPTION_SEED, AT(only), TW_GPU_GROUP_SOAK,
     "this shape alone, by the number that a failure was printed with"},
};

enum { MASK_NONE, MASK_CAUSAL, MASK_BOTH, MAX_REPS = 1000000, MAX_ROUNDS = 1000 };

/* A subcommand that has none of a kind's options has none of the shared ones that go with them. */
static void option_sets(tw_option_set sets[2], tw_gpu_options *o, unsigned groups)
{
    unsigned shared = (groups & TW_GPU_GROUP_SHAPES)
                          ? TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING | TW_GROUP_SEED
                          : 0;
    shared |= (groups & TW_GPU_GROUP_SOAK) ? TW_GROUP_SEED : 0;
    shared |= (groups & TW_GPU_GROUP_TUNE) ? TW_GROUP_MACHINE : 0;
    shared |= (groups & TW_GPU_GROUP_CSV) ? TW_GROUP_CSV : 0;
    sets[0] = (tw_option_set){.into = o};
    sets[1] = sets[0];
    if (shared != 0)
        sets[0] = tw_options_shared(&o->shared, shared);
    if (groups != 0)
        sets[1] = (tw_option_set){
            .rows = own, .count = (int)(sizeof own / sizeof own[0]), .into = o, .groups = groups};
}

static tw_status check_together(tw_gpu_options *o)
{
    if (o->reps > MAX_REPS)
        return tw_fail(TW_EINVAL, "--reps is %d, it must be at most %d", o->reps, MAX_REPS);
    if (o->rounds > MAX_ROUNDS)
        return tw_fail(TW_EINVAL, "--rounds is %d, it must be at most %d", o->rounds, MAX_ROUNDS);
    if (o->shared.causal && o->mask == MASK_NONE)
        o->mask = MASK_CAUSAL;
    return TW_OK;
}

tw_status tw_gpu_options_read(tw_gpu_options *options, bool *help, unsigned groups, const char *command,
                              const char *summary, int argc, char **argv)
{
    tw_option_set sets[2];
    *options = (tw_gpu_options){
        .shared = tw_options_default(), .reps = 20, .rounds = 5, .top = 5, .seconds = 60.0};
    option_sets(sets, options, groups);
    TW_TRY(tw_options_read(help, command, summary, sets, 2, argc, argv));
    return check_together(options);
}

void tw_gpu_options_free(tw_gpu_options *options)
{
    tw_option_set sets[2];
    option_sets(sets, options, TW_GPU_GROUP_ALL);
    tw_options_free(sets, 2);
}

bool tw_gpu_shape_given(const tw_gpu_options *o)
{
    return tw_options_shape_given(&o->shared) || o->mask != MASK_NONE;
}

/* Appends the problems of one mask. Algorithm and tiles vary inside a problem, so they get one value here. */
static tw_status append_problems(tw_problem **problems, size_t *count, const tw_gpu_options *o, bool causal)
{
    tw_options shared = o->shared;
    shared.causal = causal;
    shared.block_m.count = shared.block_n.count = 0;
    shared.algorithms = (tw_algorithm_list){.count = 1, .values = {tw_schedule_at(0)}};
    tw_machine machine;
    tw_case *cases;
    size_t n;
    TW_TRY(tw_options_machine(&machine, &shared));
    TW_TRY(tw_options_cases(&cases, &n, &shared, &machine));
    tw_problem *longer = realloc(*problems, (*count + n) * sizeof *longer);
    tw_status status = longer != NULL ? TW_OK : tw_fail(TW_ENOMEM, "no memory for %zu problems", *count + n);
    if (longer != NULL)
        *problems = longer;
    for (size_t i = 0; status == TW_OK && i < n; i++)
        longer[(*count)++] = cases[i].problem;
    free(cases);
    return status;
}

tw_status tw_gpu_problems(tw_problem **problems, size_t *count, const tw_gpu_options *options)
{
    tw_problem *all = NULL;
    size_t n = 0;
    tw_status status = TW_OK;
    if (options->mask != MASK_CAUSAL)
        status = append_problems(&all, &n, options, false);
    if (status == TW_OK && options->mask != MASK_NONE)
        status = append_problems(&all, &n, options, true);
    if (status != TW_OK) {
        free(all);
        return status;
    }
    *problems = all;
    *count = n;
    return TW_OK;
}

/* ---- a file of cases ------------------------------------------------------------------------------------ */

enum { MAX_LINE = 1024, MAX_WORDS = 64, MAX_LINES = 4096 };

/* A command line being put together: that of the program without --cases, then the words of a line. */
typedef struct words {
    char *word[MAX_WORDS + 1];
    int count;
} words;

static tw_status add_word(words *w, char *word)
{
    if (w->count == MAX_WORDS)
        return tw_fail(TW_EINVAL, "more than %d words", MAX_WORDS);
    w->word[w->count++] = word;
    return TW_OK;
}

static tw_status add_command_line(words *w, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (i > 0 && strcmp(argv[i], "--cases") == 0)
            i++; /* and its value */
        else if (i == 0 || strncmp(argv[i], "--cases=", 8) != 0)
            TW_TRY(add_word(w, argv[i]));
    }
    return TW_OK;
}

static bool is_option(const char *word, const char *name)
{
    size_t length = strlen(name);
    return strncmp(word, name, length) == 0 && (word[length] == '\0' || word[length] == '=');
}

/* What belongs to the whole run does not belong into a line. */
static tw_status add_line(words *w, char *text)
{
    static const char *const whole_run[] = {"--csv", "--plugin", "--cases", "--help",
                                            "-h",    "--rounds", "--paced"};
    char *rest = NULL;
    for (char *word = strtok_r(text, " \t\r\n", &rest); word; word = strtok_r(NULL, " \t\r\n", &rest)) {
        for (size_t i = 0; i < sizeof whole_run / sizeof whole_run[0]; i++)
            if (is_option(word, whole_run[i]))
                return tw_fail(TW_EINVAL, "%s belongs on the command line", whole_run[i]);
        TW_TRY(add_word(w, word));
    }
    return TW_OK;
}

static tw_status read_line(tw_gpu_options *options, char *text, unsigned groups, const char *command,
                           int argc, char **argv)
{
    words w = {.count = 0};
    bool help;
    TW_TRY(add_command_line(&w, argc, argv));
    TW_TRY(add_line(&w, text));
    return tw_gpu_options_read(options, &help, groups, command, "", w.count, w.word);
}

static tw_status append_line(tw_gpu_line **lines, int *count, int number)
{
    if (*count == MAX_LINES)
        return tw_fail(TW_EFORMAT, "more than %d lines of cases", MAX_LINES);
    tw_gpu_line *longer = realloc(*lines, (size_t)(*count + 1) * sizeof *longer);
    if (longer == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d lines", *count + 1);
    *lines = longer;
    longer[(*count)++] = (tw_gpu_line){.number = number};
    return TW_OK;
}

static tw_status read_lines(tw_gpu_line **lines, int *count, FILE *file, int *number, unsigned groups,
                            const char *command, int argc, char **argv)
{
    char text[MAX_LINE];
    for (*number = 1; fgets(text, sizeof text, file) != NULL; (*number)++) {
        if (strchr(text, '\n') == NULL && !feof(file))
            return tw_fail(TW_EFORMAT, "longer than %d characters", MAX_LINE - 2);
        text[strcspn(text, "#")] = '\0';
        if (text[strspn(text, " \t\r\n")] == '\0')
            continue;
        TW_TRY(append_line(lines, count, *number));
        TW_TRY(read_line(&(*lines)[*count - 1].options, text, groups, command, argc, argv));
    }
    return TW_OK;
}

tw_status tw_gpu_lines_read(tw_gpu_line **lines, int *count, const char *path, unsigned groups,
                            const char *command, int argc, char **argv)
{
    FILE *file;
    int number = 0;
    *lines = NULL;
    *count = 0;
    TW_TRY(tw_open_to_read(&file, path, "a file of cases"));
    tw_status status = read_lines(lines, count, file, &number, groups, command, argc, argv);
    fclose(file);
    if (status != TW_OK) {
        char why[400];
        snprintf(why, sizeof why, "%.399s", tw_error_message());
        status = tw_fail(status, "%s, line %d: %s", path, number, why);
    } else if (*count == 0)
        status = tw_fail(TW_EFORMAT, "%s has no line with a case", path);
    if (status != TW_OK) {
        tw_gpu_lines_free(*lines, *count);
        *lines = NULL;
        *count = 0;
    }
    return status;
}

void tw_gpu_lines_free(tw_gpu_line *lines, int count)
{
    for (int i = 0; i < count; i++)
        tw_gpu_options_free(&lines[i].options);
    free(lines);
}
