/* The cases that a schedule of lab 3 is tried on. */
#ifndef LAB3_CASES_H
#define LAB3_CASES_H

#include "../grader/judge.h"
#include "case.h"

/* What a case is about: one item of the report each. */
typedef enum lab3_kind {
    LAB3_ONE_TILE,
    LAB3_DIVIDED,
    LAB3_TAILS,
    LAB3_EDGES,
    LAB3_HEADS,
    LAB3_LARGE,
    LAB3_NUM_KINDS
} lab3_kind;

typedef struct lab3_trial {
    lab3_kind kind;
    const char *name;
    lab3_case c;
    double offset; /* of all scores */
} lab3_trial;

enum { LAB3_MAX_TRIALS = 24 };

/* All cases for the task of `paper`, by kind; their number. What is random of them is drawn here, before any answer. */
int lab3_trials(lab3_trial trials[LAB3_MAX_TRIALS], lab_judge *judge, const lab3_case *paper);

#endif
