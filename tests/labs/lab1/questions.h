/*
 * Lab 1's questions to the student's code: ints n, d, block; then the reals in the order of the arguments. Answers have
 * the reals that were to be written, and one int: which array was written to where it must not be.
 */
#ifndef LAB1_QUESTIONS_H
#define LAB1_QUESTIONS_H

enum { LAB1_SOFTMAX = 1, LAB1_START, LAB1_STEP, LAB1_FINISH, LAB1_MERGE, LAB1_ROW, LAB1_NUM_FUNCTIONS };

/* A stray write: LAB1_STRAY * kind + the argument's number; 0 if there was none. */
enum { LAB1_STRAY = 16, LAB1_BEHIND = 1, LAB1_BEFORE, LAB1_INPUT };

#endif
