/* Grading one submission, and a folder of them. */
#ifndef LAB_GRADE_H
#define LAB_GRADE_H

#include "confine.h"
#include "report.h"

#include <stdint.h>

typedef struct lab_course {
    int lab;
    const char *source; /* the file that holds the student's code */
    bool has_answers;   /* answers.txt is handed in, too */
    char kit[4096];     /* where this program's folder is */
    lab_confinement how;
    double seconds; /* how long one answer may take */
    bool seed_given;
    uint64_t seed;
    bool inputs_given;
    uint64_t inputs;
} lab_course;

/*
 * Grades one submission. Whatever is wrong with the submission is in the report, with 0 points where nothing could be
 * judged. False, with the reason, only if the grader itself could not work.
 */
bool lab_grade(lab_report *report, const lab_course *course, const char *submission, char *why, size_t size);

/* Gradescope's results.json, written whole or not at all. */
bool lab_write_json(const char *path, const lab_report *report, char *why, size_t size);

/*
 * Grades every folder in `folder` that has no row in the CSV file yet, `jobs` at a time; the file is replaced as a
 * whole after each. Returns how many could not be graded, -1 if none could be begun.
 */
int lab_grade_all(const lab_course *course, const char *folder, const char *csv, int jobs);

#endif
