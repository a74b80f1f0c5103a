/*
 * What the grader and the process with the student's code say to each other: numbers, in frames, over two pipes.
 *
 *     frame = { magic, function, nonce, num_ints, num_reals } as int32, then the ints (int64), then the reals (double)
 *
 * The grader believes nothing that it reads: sizes are checked before memory is taken, and an answer must carry the
 * nonce of its question.
 */
#ifndef LAB_MESSAGE_H
#define LAB_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAB_MAGIC     0x7457474d
#define LAB_MAX_INTS  (1 << 21)
#define LAB_MAX_REALS (1 << 20)

/* Where the worker finds its pipes; 0, 1 and 2 are left to the student's code. */
enum { LAB_FD_QUESTION = 3, LAB_FD_ANSWER = 4 };

typedef struct lab_frame {
    int32_t magic, function, nonce, num_ints, num_reals;
} lab_frame;

typedef struct lab_message {
    int32_t function; /* which of the lab's functions is meant */
    size_t num_ints, num_reals;
    int64_t *ints;
    double *reals;
    size_t room_ints, room_reals;
    bool failed; /* memory ran out, or too much was added */
} lab_message;

void lab_message_clear(lab_message *message, int32_t function);
void lab_message_free(lab_message *message);
void lab_message_int(lab_message *message, int64_t value);
void lab_message_reals(lab_message *message, const double *values, size_t n);
void lab_message_real(lab_message *message, double value);
/* n more reals, all NaN; NULL when there is no room. The pointer is good until the next addition. */
double *lab_message_room(lab_message *message, size_t n);

#endif
