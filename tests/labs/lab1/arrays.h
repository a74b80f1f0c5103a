/*
 * The arrays that a student's function is called with. Each is exactly as long as promised, and lies by itself on the
 * heap: between guards, so that a write beside it is noticed, or, where the code is compiled with a sanitizer, without
 * them, so that the sanitizer sees it. Inputs must come back as they went in.
 */
#ifndef LAB1_ARRAYS_H
#define LAB1_ARRAYS_H

#include <stdbool.h>
#include <stddef.h>

enum { LAB1_MAX_ARRAYS = 8 };

typedef struct lab1_arrays {
    int count;
    bool failed; /* memory ran out */
    struct lab1_array {
        double *at;        /* the array */
        const double *was; /* an input: what it must still be; else NULL */
        size_t n;
        unsigned char *block; /* guard, array, guard */
    } array[LAB1_MAX_ARRAYS];
} lab1_arrays;

/* The next argument: n numbers to be read alone, to be changed, or to be written (NaN so far). NULL without memory. */
double *lab1_input(lab1_arrays *arrays, const double *values, size_t n);
double *lab1_in_out(lab1_arrays *arrays, const double *values, size_t n);
double *lab1_output(lab1_arrays *arrays, size_t n);

/* The first stray write, as questions.h encodes it; 0 if there was none. Frees the arrays. */
int lab1_take_back(lab1_arrays *arrays);

#endif
