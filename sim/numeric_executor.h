/* Inside the numeric back end: what is being executed, and where numbers are. */
#ifndef TW_NUMERIC_EXECUTOR_H
#define TW_NUMERIC_EXECUTOR_H

#include "backend_numeric.h"

#include <stddef.h>

/* Contents of the slots, row-major, and of the tensors in HBM. */
typedef struct tw_executor {
    double *slots[TW_MAX_SLOTS];
    size_t capacity[TW_MAX_SLOTS]; /* elements */
    const double *inputs[TW_NUM_TENSORS];
    double *outputs[TW_NUM_TENSORS]; /* O, LSE, S, P, L, …: read and written */
    unsigned made, owned; /* sets of those that hold something, and of those that are not the caller's */
    tw_rounding rounding;
    const tw_numeric_observer *observer;
    tw_numeric_stats stats;
    tw_status status;   /* what the arithmetic itself found wrong */
    int64_t drop, seen; /* a test's: which operation to leave out, how many were offered so far */
} tw_executor;

/* Row `row` of the tile in a slot. */
double *tw_executor_row(tw_executor *x, const tw_emitter *e, int id, int row);

/* Index of element (row, 0) of a tensor. */
size_t tw_executor_tensor_row(const tw_emitter *e, tw_tensor tensor, int batch, int head, int64_t row);

/* Index of key `row` of K or V, from the entries of the page table that the load has on chip. */
size_t tw_executor_paged_row(const tw_executor *x, const tw_emitter *e, const tw_op *op, int64_t row);

/* The arithmetic of an operation on parts of the keys, or of a fixed maximum; false if it is none of those. */
bool tw_execute_decode(tw_executor *x, const tw_emitter *e, const tw_op *op);

/* Is a row's sum infinite, because its scores are out of range? `self` is the executor. */
bool tw_executor_left_range(void *self, const tw_emitter *e, tw_row_stats st);

/* The arithmetic of an operation of the backward pass, or of dropout; false if it is none of those. */
bool tw_execute_backward(tw_executor *x, const tw_emitter *e, const tw_op *op);

#endif
