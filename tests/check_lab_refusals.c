/* What is wrong around a submission: settings, seeds, files that cannot be had. One line that says so, and no zero
 * that nobody deserves. */
#include "check_tilewise.h"
#include "labs/lab_tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What nobody would notice otherwise: a setting that says nothing to the grader. */
START_TEST(test_wrong_settings_are_refused)
{
    static const char *const wrong_settings[][2] = {
        {"TW_CONFINE=none", "grade: TW_CONFINE is 'none', it must be bwrap or user, or not be set"},
        {"TW_LAB_SECONDS=x",
         "grade: TW_LAB_SECONDS is 'x', it must be a number of seconds above 0, at most 3600"},
        {"TW_LAB_SECONDS=0", "TW_LAB_SECONDS is '0', it must be"},
        {"TW_LAB_SECONDS=-1", "TW_LAB_SECONDS is '-1', it must be"},
        {"TW_LAB_SECONDS=nan", "TW_LAB_SECONDS is 'nan', it must be"},
        {"TW_LAB_SECONDS=5s", "TW_LAB_SECONDS is '5s', it must be"},
        {"TW_LAB_SECONDS=1e9", "TW_LAB_SECONDS is '1e9', it must be"},
    };
    for (size_t i = 0; i < sizeof wrong_settings / sizeof wrong_settings[0]; i++) {
        const char *settings = wrong_settings[i][0], *says = wrong_settings[i][1];
        int status = lab_run("%s %s/lab1/grade --submission docs/labs/lab1 --seed 1 >%s/settings.txt 2>&1",
                             settings, lab_kit(), lab_kit());
        ck_assert_msg(status == 2, "%s: status %d", settings, status);
        ck_assert_msg(lab_run("test $(wc -l <%s/settings.txt) = 1 && grep -qF \"%s\" %s/settings.txt",
                              lab_kit(), says, lab_kit()) == 0,
                      "%s is not refused in one line", settings);
    }
}
END_TEST

/* A make within make, but it ends before it builds anything. */
START_TEST(test_wrong_labs_are_refused)
{
    static const char *const labs[] = {"1 2", "4", "", "1 1"};
    for (size_t i = 0; i < sizeof labs / sizeof labs[0]; i++) {
        int status = lab_run("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s grade LAB='%s' SUBMISSION=. "
                             ">%s/lab.txt 2>&1",
                             labs[i], lab_kit());
        ck_assert_int_eq(status, 2);
        ck_assert_msg(
            lab_run("grep -qF \"LAB is '%s', it must be one of 1 2 3\" %s/lab.txt", labs[i], lab_kit()) == 0,
            "LAB='%s' is not refused", labs[i]);
    }
}
END_TEST

START_TEST(test_wrong_seeds_are_refused)
{
    static const char *const seeds[] = {"q", "-1", "1.5", "1 2", "1234567890123456789"};
    const char *build = getenv("TW_BUILD") ? getenv("TW_BUILD") : "build";
    ck_assert_int_eq(lab_run("mkdir -p %s/gradescope && touch -d @1 %s/gradescope/lab3.zip", build, build),
                     0);
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        int status = lab_run("TW_BUILD=%s docs/labs/gradescope.sh 3 '%s' 2>%s/seed.txt", build, seeds[i],
                             lab_kit());
        ck_assert_int_eq(status, 2);
        ck_assert_msg(lab_run("grep -qF \"gradescope: SEED is '%s', it must be\" %s/seed.txt", seeds[i],
                              lab_kit()) == 0,
                      "SEED='%s' is not refused", seeds[i]);
    }
    ck_assert_int_eq(
        lab_run("test $(stat -c %%Y %s/gradescope/lab3.zip) = 1 && rm %s/gradescope/lab3.zip", build, build),
        0);
}
END_TEST

/* answers.txt is lost for what is wrong with the file, the code is judged all the same. */
START_TEST(test_answers_that_cannot_be_had)
{
    static const char *const wrongs[][2] = {
        {"head -c 300000 /dev/zero | tr '\\0' x >>", "answers.txt is not a file of at most 262144 bytes"},
        {"rm", "answers.txt is missing"},
    };
    char scratch[100], folder[120], grader[1100];
    lab_make_scratch(scratch, sizeof scratch);
    snprintf(folder, sizeof folder, "%s/submission", scratch);
    snprintf(grader, sizeof grader, "%s/lab1/grade", lab_kit());
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(lab_run("rm -rf %s && cp -r tests/labs/lab1/solution %s && %s %s/answers.txt",
                                 folder, folder, wrongs[i][0], folder),
                         0);
        lab_grade_result r = lab_grade_folder(grader, "", folder, "1");
        ck_assert_int_eq(r.points, 80);
        ck_assert_msg(strstr(r.reasons, wrongs[i][1]) != NULL, "%s", r.reasons);
        ck_assert_msg(strstr(r.reasons, "has no line") == NULL, "%s", r.reasons);
    }
    lab_remove_scratch(scratch);
}
END_TEST

START_TEST(test_seed_that_is_none)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    ck_assert_int_eq(lab_run("cp -r tests/labs/lab1/solution %s/s && echo seven >%s/s/seed && %s/lab1/grade "
                             "--submission %s/s >%s/log 2>&1",
                             scratch, scratch, lab_kit(), scratch, scratch),
                     0);
    ck_assert_int_eq(lab_run("grep -q 'must hold the one number of the handout' %s/log", scratch), 0);
    ck_assert_int_eq(lab_run("! grep -q 'Seed 0' %s/log", scratch), 0);
    lab_remove_scratch(scratch);
}
END_TEST

START_TEST(test_grade_all_has_nowhere_to_write)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    ck_assert_int_eq(lab_run("%s/lab1/grade --all docs/labs --csv %s/no/x.csv --seed 1 2>%s/log", lab_kit(),
                             scratch, scratch),
                     2);
    ck_assert_int_eq(lab_run("grep -q 'no/x.csv cannot be written' %s/log", scratch), 0);
    ck_assert_int_eq(lab_run("! grep -q 'the grades are in' %s/log", scratch), 0);
    lab_remove_scratch(scratch);
}
END_TEST

Suite *tw_suite_lab_refusals(void)
{
    Suite *suite = suite_create("lab_refusals");
    TCase *refusals = tcase_create("refusals");
    tcase_set_timeout(refusals, 120);
    tcase_add_test(refusals, test_wrong_labs_are_refused);
    tcase_add_test(refusals, test_wrong_seeds_are_refused);
    suite_add_tcase(suite, refusals);
    if (!lab_can_confine(""))
        return suite;
    TCase *grades = tcase_create("grades");
    tcase_set_timeout(grades, 120);
    tcase_add_test(grades, test_wrong_settings_are_refused);
    tcase_add_test(grades, test_answers_that_cannot_be_had);
    tcase_add_test(grades, test_seed_that_is_none);
    tcase_add_test(grades, test_grade_all_has_nowhere_to_write);
    suite_add_tcase(suite, grades);
    return suite;
}
