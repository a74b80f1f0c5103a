/* The tensors of one case of lab 3, and what is wrong with a result. */
#ifndef LAB3_TENSORS_H
#define LAB3_TENSORS_H

#include "../grader/judge.h"
#include "expect.h"

/* On one heap block. */
typedef struct lab3_tensors {
    double *q, *k, *v, *o, *lse, *scratch, *want;
    double *all;
} lab3_tensors;

/* Random Q, K, V; all scores grow by `offset`, and differ as before. False if there is no memory. Free x->all. */
bool lab3_make_tensors(lab3_tensors *x, lab_judge *judge, const lab3_case *c, double offset);

/* Loses the item if a row of x->o or of x->lse is not attention, with the mistake that explains it best. */
void lab3_compare(const lab3_tensors *x, const lab3_case *c, lab_item *item, const char *name);

#endif
