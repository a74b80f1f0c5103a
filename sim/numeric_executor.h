/* Inside the numeric back end: what is being executed, and where numbers are. */
#ifndef TW_NUMERIC_EXECUTOR_H
#define TW_NUMERIC_EXECUTOR_H

#include "../cpu_ref/quantized.h"
#include "backend_numeric.h"

#include <stddef.h>

/* Contents of the slots, row-major, and of the tensors in HBM. */
typedef struct tw_executor {
    double *slots[TW_MAX_SLOTS];
    size_t capacity[TW_MAX_SLOTS]; /* elements */
    const double *inputs[TW_NUM_TENSORS];
    double *outputs[TW_NUM_TENSORS]; /* O, LSE, S, P, L, …: read and written */
    uint64_t made, owned; /* sets of those that hold something, and of those that are not the caller's */
    tw_rounding rounding;
    tw_sums sums;
    int fraction_bits;
    tw_quantized codes;     /* of Q, K, V, where the problem wants them */
    double *turned;         /* a tile of K, transposed */
    size_t turned_capacity; /* elements */
    const tw_numeric_observer *observer;
    tw_numeric_stats stats;
    tw_status status; /* what the arithmetic itself found wrong */
    uint64_t
        holders[2][TW_MAX_PARTS]; /* of each part of K, and of V: the devices that have it in their memory */
    int64_t drop, seen;           /* a test's: which operation to leave out, how many were offered so far */
} tw_executor;

/* A number as it is kept on chip, or in HBM in a type. */
void tw_executor_round(const tw_executor *x, double *numbers, size_t n, tw_dtype dtype);

/* S = scale · Q Kᵀ and O += P V, of numbers or of codes with scales. numeric_products.c */
void tw_execute_matmul_nt(tw_executor *x, const tw_emitter *e, const tw_op *op);
void tw_execute_matmul_add(tw_executor *x, const tw_emitter *e, const tw_op *op);

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
/* What a lazy row takes its exponentials against: m, until the row outgrows it by too much (flash4). */
double tw_executor_lazy_reference(tw_executor *x, const tw_emitter *e, double m, double m_new);

/* s = e^(s − m) of a row of n, of a lazy step some by polynomial. */
void tw_executor_exponentials(tw_executor *x, const tw_emitter *e, const tw_op *op, double *s, double m,
                              int n);

/* The arithmetic of an operation of the backward pass, or of dropout; false if it is none of those. */
bool tw_execute_backward(tw_executor *x, const tw_emitter *e, const tw_op *op);

#endif
