/* Lab 2's questions to the student's code: the ints are the arguments, in their order; the answer is one int. */
#ifndef LAB2_QUESTIONS_H
#define LAB2_QUESTIONS_H

enum {
    LAB2_STANDARD = 1,
    LAB2_STANDARD_TILED,
    LAB2_FLASH1,
    LAB2_FLASH2,
    LAB2_CAUSAL,
    LAB2_BYTES,
    LAB2_BLOCK_N,
    LAB2_BLOCK_M,
    LAB2_CROSSOVER
};

#endif
