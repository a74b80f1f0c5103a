/* The labs: every starter fails as it should, every solution gets full marks, every wrong submission loses the right
 * points with a reason that helps, every attack gains nothing, and no handout holds an answer. */
#include "check_tilewise.h"
#include "labs/lab_tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char quick[] = "TW_LAB_SECONDS=1"; /* for what never ends */
static bool confined;                           /* set once, before tests run: can anything be graded here? */

/* ---- solutions, starters and wrong submissions --------------------------------------------------------------- */

static const struct solution {
    int lab;
    const char *folder, *seed;
} solutions[] = {
    {1, "tests/labs/lab1/solution", "1"},         {2, "tests/labs/lab2/solution", "1"},
    {3, "tests/labs/lab3/solution_k_outer", "7"}, {3, "tests/labs/lab3/solution_window", "3"},
    {3, "tests/labs/lab3/solution_sinks", "9"},   {3, "tests/labs/lab3/solution_two_tiles", "1"},
};
enum { NUM_SOLUTIONS = sizeof solutions / sizeof solutions[0] };

static void grader_of(char *path, size_t size, int lab)
{
    snprintf(path, size, "%s/lab%d/grade", lab_kit(), lab);
}

START_TEST(test_solution_gets_full_marks)
{
    const struct solution *s = &solutions[_i];
    char grader[1100];
    grader_of(grader, sizeof grader, s->lab);
    lab_grade_result r = lab_grade_folder(grader, "", s->folder, s->seed);
    ck_assert_int_eq(r.max, 100);
    ck_assert_msg(r.points == 100, "%s with seed %s has %d points: %s", s->folder, s->seed, r.points,
                  r.reasons);
}
END_TEST

START_TEST(test_starter_compiles_and_fails)
{
    char grader[1100], folder[100];
    grader_of(grader, sizeof grader, _i);
    snprintf(folder, sizeof folder, "docs/labs/lab%d", _i);
    lab_grade_result r = lab_grade_folder(grader, "", folder, "1");
    ck_assert_int_eq(r.max, 100);
    ck_assert_msg(r.points == 0, "the starter of lab %d is worth %d points", _i, r.points);
    ck_assert_msg(!strstr(r.reasons, "does not compile"), "%s", r.reasons);
}
END_TEST

static lab_row wrong[4][LAB_MAX_ROWS];
static int num_wrong[4];

/* The solution of `lab`, changed as a row of wrong.txt says, in `folder`. */
static void make_wrong(const char *folder, int lab, const lab_row *row)
{
    const char *name = row->field[0], *file = row->field[4], *edit = row->field[5];
    char base[200];
    snprintf(base, sizeof base, "tests/labs/lab%d", lab);
    /* Lab 3 has a solution for each of its tasks: the row's name begins with the task's. */
    const char *task = lab == 3 ? name : "solution";
    int length = lab == 3 ? (int)strcspn(name, ":") : (int)strlen(task);
    ck_assert_int_eq(lab_run("cp -r %s/%s%.*s %s", base, lab == 3 ? "solution_" : "", length, task, folder),
                     0);
    if (!edit[0]) {
        ck_assert_int_eq(
            lab_run("cp %s/wrong/%s/* %s/", base, strrchr(name, ' ') ? strrchr(name, ' ') + 1 : name, folder),
            0);
        return;
    }
    ck_assert_int_eq(
        lab_run("cp %s/%s %s.before && sed -i '%s' %s/%s", folder, file, folder, edit, folder, file), 0);
    ck_assert_msg(lab_run("cmp -s %s/%s %s.before", folder, file, folder) == 1,
                  "%s: the sed expression changes nothing", name);
}

static void check_wrong(int lab, const lab_row *row)
{
    char scratch[100], folder[120], grader[1100];
    lab_make_scratch(scratch, sizeof scratch);
    snprintf(folder, sizeof folder, "%s/wrong", scratch);
    make_wrong(folder, lab, row);
    grader_of(grader, sizeof grader, lab);
    lab_grade_result r = lab_grade_folder(grader, "", folder, row->field[1]);
    ck_assert_msg(r.points == atoi(row->field[2]), "lab %d, %s: %d points, not %s: %s", lab, row->field[0],
                  r.points, row->field[2], r.reasons);
    ck_assert_msg(strstr(r.reasons, row->field[3]) != NULL, "lab %d, %s: no reason says '%s': %s", lab,
                  row->field[0], row->field[3], r.reasons);
    lab_remove_scratch(scratch);
}

START_TEST(test_wrong_1)
{
    check_wrong(1, &wrong[1][_i]);
}
END_TEST

START_TEST(test_wrong_2)
{
    check_wrong(2, &wrong[2][_i]);
}
END_TEST

START_TEST(test_wrong_3)
{
    check_wrong(3, &wrong[3][_i]);
}
END_TEST

/* ---- attacks ------------------------------------------------------------------------------------------------- */

static lab_row attacks[LAB_MAX_ROWS];
static int num_attacks;

/* The starter with the attack behind it. `root` is where the solutions are, and must be out of reach. */
static void make_attack(const char *scratch, const char *name, const char *root)
{
    ck_assert_int_eq(
        lab_run("mkdir %s/attack && { cat docs/labs/lab1/softmax.c; sed \"s#@ROOT@#%s#; s#@OUT@#%s/out#\" "
                "tests/labs/attacks/%s.c; } > %s/attack/softmax.c",
                scratch, root, scratch, name, scratch),
        0);
}

static void check_attack(const char *grader, const char *settings, const char *root, const lab_row *row)
{
    char scratch[100], folder[120];
    lab_make_scratch(scratch, sizeof scratch);
    snprintf(folder, sizeof folder, "%s/attack", scratch);
    make_attack(scratch, row->field[0], root);
    lab_grade_result r = lab_grade_folder(grader, settings, folder, "1");
    ck_assert_msg(r.points == 0, "the attack %s gained %d points: %s", row->field[0], r.points, r.reasons);
    ck_assert_msg(strstr(r.reasons, row->field[1]) != NULL, "the attack %s: no reason says '%s': %s",
                  row->field[0], row->field[1], r.reasons);
    ck_assert_msg(lab_run("test -z \"$(ls %s/out)\"", scratch) == 0, "the attack %s has written a file",
                  row->field[0]);
    /* As root, confined processes belong to users whose numbers follow from the grader's own process: confine.c. */
    ck_assert_msg(
        lab_run(
            "! ps -eo uid= | awk -v low=%ld '$1 >= low && $1 < low + 64 { found = 1 } END { exit !found }'",
            0x10000000 + r.pid % 4194304 * 64) == 0,
        "the attack %s left a process behind", row->field[0]);
    lab_remove_scratch(scratch);
}

START_TEST(test_attack)
{
    char grader[1100];
    grader_of(grader, sizeof grader, 1);
    char root[1000];
    ck_assert_ptr_nonnull(getcwd(root, sizeof root));
    check_attack(grader, strcmp(attacks[_i].field[2], "slow") == 0 ? "" : quick, root, &attacks[_i]);
}
END_TEST

/* As Gradescope runs it, in a container without namespaces: unpacked where others cannot read, a separate user. */
static void unpack_autograder(const char *scratch, int lab, const char *seed)
{
    ck_assert_int_eq(lab_run("TW_BUILD=%s docs/labs/gradescope.sh %d '%s' >/dev/null",
                             getenv("TW_BUILD") ? getenv("TW_BUILD") : "build", lab, seed),
                     0);
    ck_assert_int_eq(lab_run("mkdir -m 0711 %s/autograder && mkdir -m 0700 %s/autograder/source && "
                             "cd %s/autograder/source && unzip -q $OLDPWD/%s/../gradescope/lab%d.zip",
                             scratch, scratch, scratch, lab_kit(), lab),
                     0);
}

START_TEST(test_attack_on_a_separate_user)
{
    char scratch[100], grader[200];
    lab_make_scratch(scratch, sizeof scratch);
    unpack_autograder(scratch, 1, "");
    snprintf(grader, sizeof grader, "%s/autograder/source/lab1/grade", scratch);
    char settings[100], root[120];
    snprintf(settings, sizeof settings, "TW_CONFINE=user %s",
             strcmp(attacks[_i].field[2], "slow") == 0 ? "" : quick);
    snprintf(root, sizeof root, "%s/autograder/source",
             scratch); /* solutions as unreadable as the grader itself */
    ck_assert_int_eq(
        lab_run("mkdir -p %s/tests/labs && cp -r tests/labs/lab1 README.md %s/tests/labs/", root, root), 0);
    check_attack(grader, settings, root, &attacks[_i]);
    lab_remove_scratch(scratch);
}
END_TEST

START_TEST(test_links_are_refused)
{
    char scratch[100], folder[120], grader[1100];
    lab_make_scratch(scratch, sizeof scratch);
    snprintf(folder, sizeof folder, "%s/attack", scratch);
    grader_of(grader, sizeof grader, 1);
    for (int i = 0; i < 3; i++) {
        char command[300];
        snprintf(command, sizeof command,
                 i == 0   ? "ln -s $PWD/tests/labs/lab1/solution/softmax.c %s/softmax.c"
                 : i == 1 ? "mkdir %s/more && ln -s / $_/all"
                          : "mkfifo %s/softmax.c",
                 folder);
        ck_assert_int_eq(lab_run("mkdir %s && bash -c '%s'", folder, command), 0);
        lab_grade_result r = lab_grade_folder(grader, quick, folder, "1");
        ck_assert_int_eq(r.points, 0);
        ck_assert_msg(strstr(r.reasons, i < 2 ? "symbolic link" : "neither a file") != NULL, "%s", r.reasons);
        ck_assert_int_eq(lab_run("rm -r %s", folder), 0);
    }
    lab_remove_scratch(scratch);
}
END_TEST

START_TEST(test_refused_where_nothing_confines)
{
    /* A separate user who could read the solutions will not do. */
    int status = lab_run(
        "TW_CONFINE=user %s/lab1/grade --submission tests/labs/lab1/solution --seed 1 >/dev/null "
        "2>%s/refused.txt",
        lab_kit(), lab_kit());
    ck_assert_int_eq(status, 2);
    ck_assert_int_eq(
        lab_run("grep -q 'refused, nothing was compiled or run: TW_CONFINE=user rules' %s/refused.txt",
                lab_kit()),
        0);
}
END_TEST

/* ---- many submissions, and Gradescope -------------------------------------------------------------------------- */

START_TEST(test_grade_all_goes_on_where_it_stopped)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    ck_assert_int_eq(
        lab_run("cd %s && mkdir all && mkdir all/a 'all/b, \"b\"' all/=c && ln -s / all/d", scratch), 0);
    ck_assert_int_eq(
        lab_run("cp tests/labs/lab1/solution/* %s/all/a && cp docs/labs/lab1/* %s/all/=c", scratch, scratch),
        0);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(
            lab_run("%s %s/lab1/grade --all %s/all --csv %s/grades.csv --jobs 2 --seed 1 2>%s/log", quick,
                    lab_kit(), scratch, scratch, scratch),
            0);
        ck_assert_int_eq(
            lab_run("grep -q '%s; the grades are in %s/grades.csv' %s/log",
                    round ? ": 0 graded, 0 could not be, 4 had been before" : ": 4 graded, 0 could not be",
                    scratch, scratch),
            0);
        ck_assert_int_eq(lab_run("test $(wc -l < %s/grades.csv) = 5", scratch), 0);
    }
    static const char *const rows[] = {"^\"a\",100,100,\"\"$", "^\"b, \"\"b\"\"\",0,100,\"the submission",
                                       "^\" =c\",0,100,", "^\"d\",0,100,.*symbolic link"};
    for (int i = 0; i < 4; i++)
        ck_assert_msg(lab_run("grep -q '%s' %s/grades.csv", rows[i], scratch) == 0, "no row %s", rows[i]);
    ck_assert_int_eq(
        lab_run(
            "sed -i 's/^\"a\",100/\"a\",42/; /^\"d\"/d' %s/grades.csv && %s %s/lab1/grade --all %s/all --csv "
            "%s/grades.csv --seed 1 2>/dev/null && grep -q '\"a\",42' %s/grades.csv",
            scratch, quick, lab_kit(), scratch, scratch, scratch),
        0);
    lab_remove_scratch(scratch);
}
END_TEST

START_TEST(test_gradescope)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    unpack_autograder(scratch, 1, "1");
    ck_assert_int_eq(lab_run("cp -r tests/labs/lab1/solution %s/autograder/submission", scratch), 0);
    ck_assert_int_eq(
        lab_run("%s AUTOGRADER=%s/autograder %s/autograder/source/run_autograder >/dev/null 2>&1",
                geteuid() == 0 ? "TW_CONFINE=user" : "", scratch, scratch),
        0);
    ck_assert_int_eq(lab_run("grep -q '\"score\": 100,' %s/autograder/results/results.json", scratch), 0);
    ck_assert_int_eq(lab_run("! grep -rl 'solved' %s/autograder/source", scratch), 0);
    lab_remove_scratch(scratch);
}
END_TEST

/* ---- handouts -------------------------------------------------------------------------------------------------- */

static void make_handout(const char *scratch, int lab, const char *seed)
{
    ck_assert_int_eq(lab_run("rm -rf %s/handout && docs/labs/handout.sh %d %s %s/handout >/dev/null", scratch,
                             lab, seed, scratch),
                     0);
}

/* No line of a solution, other than those that the starter has too, is anywhere in the handout. */
START_TEST(test_handout_holds_no_answer)
{
    const struct solution *s = &solutions[_i];
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    make_handout(scratch, s->lab, s->seed);
    ck_assert_int_eq(
        lab_run("sed 's/^ *//; s/ *$//' docs/labs/lab%d/*.[ch] | sort -u > %s/known; "
                "sed 's/^ *//; s/ *$//' %s/*.[ct]* | awk 'length > 11 && !/^#/ && !/^return/' | sort -u | "
                "grep -vxFf %s/known > %s/answers; test -s %s/answers",
                s->lab, scratch, s->folder, scratch, scratch, scratch),
        0);
    ck_assert_msg(lab_run("! grep -rFf %s/answers --include='*' -I %s/handout", scratch, scratch) == 0,
                  "the handout of lab %d holds a line of the solution", s->lab);
    ck_assert_msg(
        lab_run("! find %s/handout | grep -iE 'solution|wrong|attack|judge|/flash|schedules'", scratch) == 0,
        "the handout of lab %d holds a file that it should not", s->lab);
    ck_assert_msg(lab_run("! nm --defined-only %s/handout/*.a | grep -E ' T ' | grep -vE ' "
                          "(main|lab_dispatch|lab3_[a-z_]+|tw_[a-z0-9_]+)$'",
                          scratch) == 0,
                  "the library of lab %d shows names that it should not", s->lab);
    ck_assert_msg(lab_run("! nm --defined-only --extern-only %s/handout/*.a | grep -E "
                          "'flash|tw_online_(max|exp|sum|merge|rescale)|tw_schedule_'",
                          scratch) == 0,
                  "the library of lab %d holds a solved schedule", s->lab);
    /* Programs, too: lab 2's shows walks, but no line of a schedule, as lab 3 asks for one. */
    ck_assert_int_eq(
        lab_run("grep -hE '\\(e, ' sim/schedules/*.c | sed 's/^ *//' | awk 'length > 24' >%s/lines; "
                "grep -q 'matmul_add(e' %s/lines",
                scratch, scratch),
        0);
    ck_assert_msg(lab_run("! grep -rlaFf %s/lines --exclude='*.md' %s/handout", scratch, scratch) == 0,
                  "the handout of lab %d holds a line of a schedule", s->lab);
    lab_remove_scratch(scratch);
}
END_TEST

/* Every command of the handout, in its folder, as a student who has solved the lab would run them. */
START_TEST(test_commands_of_the_handout)
{
    const struct solution *s = &solutions[_i];
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    make_handout(scratch, s->lab, s->seed);
    ck_assert_msg(
        lab_run("cd %s/handout && make -s >/dev/null 2>&1 && make -s check >/dev/null 2>&1", scratch) == 2,
        "the starter of lab %d must compile and fail", s->lab);
    static const char plain_make[] = "env -u CC -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n -B";
    ck_assert_int_eq(lab_run("cd %s/handout && %s | grep -q '^gcc ' && %s CC=clang | grep -q '^clang '",
                             scratch, plain_make, plain_make),
                     0);
    ck_assert_int_eq(lab_run("cp %s/* %s/handout/", s->folder, scratch), 0);
    ck_assert_int_eq(lab_run("sed -n 's/^\\$ //p' %s/handout/handout.md > %s/commands; test -s %s/commands",
                             scratch, scratch, scratch),
                     0);
    ck_assert_msg(
        lab_run(
            "cd %s/handout && PATH=$PWD:$PATH bash -e ../commands > ../log 2>&1 || { cat ../log; false; }",
            scratch) == 0,
        "a command of the handout of lab %d fails", s->lab);
    lab_remove_scratch(scratch);
}
END_TEST

/* The page of lab 2's program shows the walk without the schedule's source. */
START_TEST(test_walk_of_the_handout)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    make_handout(scratch, 2, "1");
    ck_assert_int_eq(lab_run("cd %s/handout && ./tilewise step --example --html ../walk.html", scratch), 0);
    ck_assert_int_eq(lab_run("grep -q '\"source\":\"\"' %s/walk.html && grep -q '\"frames\":' %s/walk.html",
                             scratch, scratch),
                     0);
    lab_remove_scratch(scratch);
}
END_TEST

START_TEST(test_make_check_of_large_answers)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    make_handout(scratch, 1, "1");
    lab_run("cd %s/handout && head -c 300000 /dev/zero >>answers.txt && make -s check >../log 2>&1", scratch);
    ck_assert_int_eq(lab_run("grep -q 'answers.txt is not a file of at most 262144 bytes' %s/log", scratch),
                     0);
    lab_remove_scratch(scratch);
}
END_TEST

/* What is told before anything was tried must not be what is to be found out. */
START_TEST(test_untouched_handout_is_told_nothing)
{
    char scratch[100];
    lab_make_scratch(scratch, sizeof scratch);
    make_handout(scratch, _i, "1");
    lab_run("cd %s/handout && make -s && make -s check >../log 2>&1", scratch);
    ck_assert_int_eq(lab_run("grep -q 'is not written yet' %s/log", scratch), 0);
    ck_assert_int_eq(lab_run("grep -q '^  0 / %d *points' %s/log",
                             _i == 1   ? 80
                             : _i == 2 ? 65
                                       : 90,
                             scratch),
                     0);
    ck_assert_msg(lab_run("! grep -iE 'should be|rescale|e\\^|once|guard|enough' %s/log", scratch) == 0,
                  "make check of lab %d explains what nobody has tried", _i);
    lab_remove_scratch(scratch);
}
END_TEST

static lab_row rehearsals[LAB_MAX_ROWS];
static int num_rehearsals;

/* As somebody finds it who works on the lab: a solution, changed, and what `make check` says about it. */
START_TEST(test_make_check_says)
{
    const lab_row *row = &rehearsals[_i];
    const char *name = row->field[0], *settings = row->field[2], *says = row->field[3], *file = row->field[4];
    int lab = atoi(row->field[1]);
    char scratch[100], path[120], log[LAB_TEXT];
    lab_make_scratch(scratch, sizeof scratch);
    make_handout(scratch, lab, lab == 3 ? "3" : "1");
    ck_assert_int_eq(
        lab_run("cp tests/labs/lab%d/solution%s/* %s/handout/", lab, lab == 3 ? "_window" : "", scratch), 0);
    ck_assert_int_eq(
        lab_run("cd %s/handout && cp %s ../before && sed -i '%s' %s", scratch, file, row->field[5], file), 0);
    ck_assert_msg(lab_run("cmp -s %s/before %s/handout/%s", scratch, scratch, file) == 1,
                  "%s: the sed expression changes nothing", name);
    lab_run("cd %s/handout && make -s check CFLAGS='-O0 -g -w' %s >../log 2>&1", scratch, settings);
    snprintf(path, sizeof path, "%s/log", scratch);
    lab_read(log, sizeof log, path);
    ck_assert_msg(strstr(log, says) != NULL, "%s: make check does not say '%s': %s", name, says, log);
    lab_remove_scratch(scratch);
}
END_TEST

/* The points that the handout promises, task by task, are a hundred; so are the syllabus' for paper, and all others. */
START_TEST(test_points)
{
    ck_assert_int_eq(
        lab_run("grep -oE '\\([0-9]+ points[^)]*\\)' docs/labs/lab%d/handout.md | grep -oE '[0-9]+' | "
                "awk '{ sum += $1 } END { exit sum != 100 }'",
                _i),
        0);
    ck_assert_int_eq(
        lab_run("awk -F'|' '/^\\| lab \\| on paper/ { found = 1 } found && $2 == %d { exit !($3 + $4 + $5 == "
                "100 && $4 + $5 == %d) }' docs/labs/syllabus.md",
                _i,
                _i == 1   ? 80
                : _i == 2 ? 65
                          : 90),
        0);
}
END_TEST

static TCase *graded(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static void load_tables(void)
{
    num_attacks = lab_table(attacks, "tests/labs/attacks/attacks.txt");
    num_rehearsals = lab_table(rehearsals, "tests/labs/rehearsals.txt");
    for (int lab = 1; lab <= 3; lab++) {
        char path[100];
        snprintf(path, sizeof path, "tests/labs/lab%d/wrong.txt", lab);
        num_wrong[lab] = lab_table(wrong[lab], path);
    }
}

Suite *tw_suite_labs(void)
{
    Suite *suite = suite_create("labs");
    load_tables();
    TCase *handouts = graded(suite, "handouts");
    tcase_add_loop_test(handouts, test_handout_holds_no_answer, 0, NUM_SOLUTIONS);
    tcase_add_loop_test(handouts, test_commands_of_the_handout, 0, NUM_SOLUTIONS);
    tcase_add_test(handouts, test_walk_of_the_handout);
    tcase_add_test(handouts, test_make_check_of_large_answers);
    tcase_add_loop_test(handouts, test_untouched_handout_is_told_nothing, 1, 4);
    tcase_add_loop_test(handouts, test_make_check_says, 0, num_rehearsals);
    tcase_add_loop_test(handouts, test_points, 1, 4);
    confined = lab_can_confine("");
    if (!confined)
        return suite;
    TCase *grades = graded(suite, "grades"), *safety = graded(suite, "safety"), *many = graded(suite, "many");
    tcase_add_loop_test(grades, test_solution_gets_full_marks, 0, NUM_SOLUTIONS);
    tcase_add_loop_test(grades, test_starter_compiles_and_fails, 1, 4);
    tcase_add_loop_test(grades, test_wrong_1, 0, num_wrong[1]);
    tcase_add_loop_test(grades, test_wrong_2, 0, num_wrong[2]);
    tcase_add_loop_test(grades, test_wrong_3, 0, num_wrong[3]);
    tcase_add_loop_test(safety, test_attack, 0, num_attacks);
    tcase_add_test(safety, test_links_are_refused);
    tcase_add_test(safety, test_refused_where_nothing_confines);
    bool zipped = lab_run("command -v zip >/dev/null && command -v unzip >/dev/null") == 0;
    if (!zipped)
        printf("labs: zip or unzip is missing, so what Gradescope gets is not tested\n");
    if (zipped && geteuid() == 0)
        tcase_add_loop_test(safety, test_attack_on_a_separate_user, 0, num_attacks);
    tcase_add_test(many, test_grade_all_goes_on_where_it_stopped);
    if (zipped)
        tcase_add_test(many, test_gradescope);
    return suite;
}
