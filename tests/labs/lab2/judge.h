/* Inside lab 2's judge: the counts that the simulator makes of its own schedules. */
#ifndef LAB2_JUDGE_H
#define LAB2_JUDGE_H

#include "../../../sim/backend_count.h"
#include "../grader/judge.h"

/* Counts of one head in fp16 on the paper's machine with an SRAM that holds anything. */
tw_counts lab2_count(const tw_schedule *schedule, int64_t n, int64_t d, int64_t block_m, int64_t block_n,
                     bool causal);

/* Elements in and out of SRAM. */
int64_t lab2_elements(const tw_schedule *schedule, int64_t n, int64_t d, int64_t block_m, int64_t block_n);

/* The smallest SRAM with which FlashAttention moves less than standard attention; 0 if there is none. */
int64_t lab2_crossover(int64_t n, int64_t d, int64_t element_bytes);

/* Which usual mistake gives `got` for this call, in a sentence; NULL if none does. */
const char *lab2_explain(int function, const int64_t a[4], int64_t got, int64_t want);

#endif
