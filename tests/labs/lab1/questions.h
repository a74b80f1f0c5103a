/* Lab 1's questions to the student's code: ints n, d, block; then the reals in the order of the arguments. */
#ifndef LAB1_QUESTIONS_H
#define LAB1_QUESTIONS_H

enum { LAB1_SOFTMAX = 1, LAB1_START, LAB1_STEP, LAB1_FINISH, LAB1_MERGE, LAB1_ROW };

#endif
