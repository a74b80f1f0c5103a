/* The command line of a lab's grader: what `make grade`, `make grade-all`, `make handout` and Gradescope call. */
#define _GNU_SOURCE
#include "grade.h"
#include "seed.h"

#include <errno.h>
#include <popt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LAB_SOLUTIONS
#error "LAB_SOLUTIONS, the folder that no student may read, comes from docs/labs/module.mk"
#endif

enum { GRADED = 0, NOT_GRADED = 1, USAGE = 2 };

static char *submission, *json, *folder, *csv, *seed_text, *inputs_text;
static int jobs = 1, describe;

static const struct poptOption options[] = {
    {"submission", 0, POPT_ARG_STRING, &submission, 0, "grade this folder", "DIR"},
    {"json", 0, POPT_ARG_STRING, &json, 0, "also write Gradescope's results.json", "FILE"},
    {"all", 0, POPT_ARG_STRING, &folder, 0, "grade every folder in this one", "DIR"},
    {"csv", 0, POPT_ARG_STRING, &csv, 0, "with --all: the list of grades; what is in it is not graded again",
     "FILE"},
    {"jobs", 0, POPT_ARG_INT, &jobs, 0, "with --all: so many at a time (default: 1)", "N"},
    {"seed", 0, POPT_ARG_STRING, &seed_text, 0, "of the task (default: the submission's file 'seed')", "N"},
    {"inputs", 0, POPT_ARG_STRING, &inputs_text, 0,
     "seed of the hidden inputs, to repeat a grading (default: new ones)", "N"},
    {"describe", 0, POPT_ARG_NONE, &describe, 0, "print what the handout of --seed is filled in with", NULL},
    POPT_AUTOHELP POPT_TABLEEND};

static int complain(const char *what, const char *value, const char *right)
{
    fprintf(stderr, "grade: %s%s%s\n", what, value, right);
    return USAGE;
}

static bool parse_number(uint64_t *number, bool *given, const char *text)
{
    char *end = NULL;
    errno = 0;
    *given = text != NULL && text[0] != '\0';
    if (*given)
        *number = strtoull(text, &end, 10);
    return !*given || (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0);
}

/* The folder above this program's own: build/labs. */
static bool find_kit(char *kit, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", kit, size - 1);
    for (int up = 0; n > 0 && up < 2; up++) {
        kit[n] = '\0';
        char *slash = strrchr(kit, '/');
        if (!slash)
            return false;
        *slash = '\0';
        n = slash - kit;
    }
    return n > 0;
}

static int grade_one(const lab_course *course)
{
    static lab_report report;
    char why[600];
    if (!lab_grade(&report, course, submission, why, sizeof why))
        return complain(why, "", "");
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    lab_report_print(stdout, &report, colour);
    if (json && *json && !lab_write_json(json, &report, why, sizeof why))
        return complain(why, "", "");
    return GRADED;
}

static int run(lab_course *course)
{
    char why[900];
    if (describe) {
        printf("SOURCE=%s\n", lab_source);
        lab_describe(stdout, course->seed);
        return GRADED;
    }
    if (!submission == !folder)
        return complain("either --submission DIR or --all DIR is needed; see --help", "", "");
    if (folder && !csv)
        return complain("--all needs --csv FILE", "", "");
    if (jobs < 1 || jobs > 64)
        return complain("--jobs must be from 1 to 64", "", "");
    if (!find_kit(course->kit, sizeof course->kit))
        return complain("cannot find out where this program lies", "", "");
    lab_wish wish;
    if (!lab_setting_seconds(&course->seconds, why, sizeof why) ||
        !lab_setting_confinement(&wish, why, sizeof why))
        return complain(why, "", "");
    const char *secret = access(LAB_SOLUTIONS, F_OK) == 0 ? LAB_SOLUTIONS : NULL;
    course->how = lab_confine_choose(course->kit, secret, wish, why, sizeof why);
    if (course->how == LAB_SEPARATE_USER && folder && lab_confine_can_read(folder))
        return complain("refused: a separate user could read other submissions; run chmod go-rwx ", folder,
                        "");
    if (course->how == LAB_REFUSED)
        return complain("refused, nothing was compiled or run: ", why, "");
    fprintf(stderr, "confined by %s\n", why);
    if (!folder)
        return grade_one(course);
    int failed = lab_grade_all(course, folder, csv, jobs);
    return failed < 0 ? USAGE : failed > 0 ? NOT_GRADED : GRADED;
}

int main(int argc, const char **argv)
{
    lab_course course = {.lab = lab_number, .source = lab_source, .has_answers = true};
    poptContext context = poptGetContext(NULL, argc, argv, options, 0);
    signal(SIGPIPE, SIG_IGN);
    int option = poptGetNextOpt(context), status;
    const char *rest = poptPeekArg(context);
    if (option < -1)
        status = complain(poptBadOption(context, 0), ": ", poptStrerror(option));
    else if (rest)
        status = complain("what is '", rest, "'? see --help");
    else if (!parse_number(&course.seed, &course.seed_given, seed_text))
        status = complain("--seed is '", seed_text, "', it must be a whole number");
    else if (!parse_number(&course.inputs, &course.inputs_given, inputs_text))
        status = complain("--inputs is '", inputs_text, "', it must be a whole number");
    else
        status = run(&course);
    poptFreeContext(context);
    return status;
}
