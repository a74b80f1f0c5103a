/* A recorded schedule, checked and run again with the real tile language. */
#ifndef LAB3_REPLAY_H
#define LAB3_REPLAY_H

#include "../../../sim/backend_count.h"
#include "case.h"

#include <stdbool.h>
#include <stddef.h>

/* Is every field of the records what it may be, and does the block order hold? If not, `why` says what is not. */
bool lab3_records_check(const int64_t *ints, size_t num_ints, const lab3_case *c, char *why, size_t size);

/* What came of a replay. */
typedef struct lab3_outcome {
    tw_counts counts;    /* of the count back end, on a machine that holds anything */
    int64_t fill, drain; /* bytes that loads and stores really copied */
} lab3_outcome;

/*
 * Counts and executes checked records. o as in problem.h; lse [batch, num_heads, seqlen_q]. False, with the broken rule
 * and the line of the student's source, if the schedule is none.
 */
bool lab3_replay(lab3_outcome *outcome, double *o, double *lse, const int64_t *ints, size_t num_ints,
                 const lab3_case *c, const double *q, const double *k, const double *v, char *why,
                 size_t size);

/* What a broken rule usually means, by the operation that broke it (-1: none) and the message; "" if nothing is known. */
const char *lab3_advice(int64_t op, const char *message);

/* Does query row `row` see key `key`? Does any of the rows row0 … row1 - 1 see any of the keys key0 … key1 - 1? */
bool lab3_visible(const lab3_case *c, int64_t row, int64_t key);
bool lab3_any_visible(const lab3_case *c, int64_t row0, int64_t row1, int64_t key0, int64_t key1);

#endif
