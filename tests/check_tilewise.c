/* Runs the Check suites named on the command line, or all of suites.def. Each test runs in a process of its own
 * unless CK_FORK=no. Failures are printed one a line; the last line is always the count over all suites. Exits 0 if
 * everything passed, 1 if not, 2 if a name is not a suite's. */
#include "check_tilewise.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    Suite *(*create)(void);
} suites[] = {
#define TW_SUITE(name) {#name, tw_suite_##name},
#include "suites.def"
#undef TW_SUITE
};
enum { NUM_SUITES = sizeof suites / sizeof suites[0] };

static bool is_suite(const char *name)
{
    for (int i = 0; i < NUM_SUITES; i++) {
        if (strcmp(name, suites[i].name) == 0)
            return true;
    }
    return false;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc < 2;
}

static int complain(const char *name)
{
    fprintf(stderr, "check_tilewise: there is no suite '%s', there are:", name);
    for (int i = 0; i < NUM_SUITES; i++)
        fprintf(stderr, " %s", suites[i].name);
    fprintf(stderr, "\n");
    return 2;
}

static void print_failures(SRunner *runner)
{
    int failed = srunner_ntests_failed(runner);
    TestResult **results = srunner_failures(runner);
    for (int i = 0; i < failed; i++)
        printf("%s:%d: %s: %s\n", tr_lfile(results[i]), tr_lno(results[i]), tr_tcname(results[i]),
               tr_msg(results[i]));
    free(results);
}

/* How many of the failed ones did not fail a check but crashed, hung or could not be set up. */
static int count_errors(SRunner *runner)
{
    int failed = srunner_ntests_failed(runner), errors = 0;
    TestResult **results = srunner_failures(runner);
    for (int i = 0; i < failed; i++)
        errors += tr_rtype(results[i]) == CK_ERROR;
    free(results);
    return errors;
}

int main(int argc, char **argv)
{
    SRunner *runner = srunner_create(NULL);
    for (int i = 1; i < argc; i++) {
        if (!is_suite(argv[i])) {
            srunner_free(runner);
            return complain(argv[i]);
        }
    }
    for (int i = 0; i < NUM_SUITES; i++) {
        if (is_wanted(suites[i].name, argc, argv))
            srunner_add_suite(runner, suites[i].create());
    }
    srunner_run_all(runner, CK_SILENT);
    print_failures(runner);

    int run = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner),
        errors = count_errors(runner);
    srunner_free(runner);
    printf("%d%%: Checks: %d, Failures: %d, Errors: %d\n", run == 0 ? 100 : 100 * (run - failed) / run, run,
           failed - errors, errors);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
