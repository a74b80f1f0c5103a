/* Inside lab 1's judge: what its parts share. */
#ifndef LAB1_JUDGE_H
#define LAB1_JUDGE_H

#include "../grader/judge.h"

enum { LAB1_MAX_N = 80, LAB1_MAX_D = 24 };

/* The state of a row: m, l, then o, as questions and answers have it. */
typedef struct lab1_state {
    double m, l, o[LAB1_MAX_D];
} lab1_state;

/* The beginning of a question: function, and its ints. */
void lab1_ask_for(lab_judge *judge, int function, int n, int d, int block);

/*
 * Asks. The item is lost if there is no answer of num_reals reals, if an array was written to where it must not be, and
 * if the function has never done anything: then it left what it should have changed as it was before, which is
 * `before`, or NaN where that is NULL.
 */
bool lab1_ask(lab_judge *judge, lab_item *item, size_t num_reals, const double *before);

/* The item about attention_row, which uses the functions of the items before it. */
void lab1_judge_row(lab_judge *judge);

#endif
