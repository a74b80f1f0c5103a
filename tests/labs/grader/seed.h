/* Choices that follow from a task's seed: the same for the handout and for the grader. */
#ifndef LAB_SEED_H
#define LAB_SEED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The one number that the handout's file `seed` holds; false if the text is anything else. */
bool lab_seed_parse(uint64_t *seed, const char *text);

/* One of low … high, for choice number `which` of this seed. */
int lab_seed_pick(uint64_t seed, int which, int low, int high);

/* Each lab's own: its number, and the file that holds the student's code. */
extern const int lab_number;
extern const char *const lab_source;

/* Writes what the handout is filled in with: one NAME=VALUE a line, for its @NAME@. */
void lab_describe(FILE *out, uint64_t seed);

#endif
