/**
 * @file backend_numeric.h
 * @brief Executes a schedule on real tensors: the proof that what was counted is attention.
 *
 * Every block runs, in the order of the launch; every operation does its arithmetic on the slots, in double
 * precision, through the step functions of cpu_ref/online_softmax.h. Slots and tensors start poisoned with NaN.
 */
#ifndef TW_BACKEND_NUMERIC_H
#define TW_BACKEND_NUMERIC_H

#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How numbers are kept while a schedule is executed. */
typedef enum tw_rounding {
    TW_ROUND_NEVER, /**< double throughout: the result is exact attention to 1e-12 or so */
    TW_ROUND_AS_GPU /**< slots in fp32, P in the input's type for tensor cores, tensors in HBM in theirs */
} tw_rounding;

/** What was executed, besides the results. */
typedef struct tw_numeric_stats {
    int64_t sram_fill_bytes;  /**< bytes that loads really copied: real rows, never boxes */
    int64_t sram_drain_bytes; /**< bytes that stores really copied */
    int64_t num_ops;          /**< operations executed */
    int64_t
        num_recomputed; /**< blocks that were done again, because scores left the range of a fixed maximum */
    int64_t
        recomputed_fill_bytes; /**< of sram_fill_bytes, those that came in for that: no count can know of them */
} tw_numeric_stats;

/** Sees every operation after it was executed; for step-through. `slots[id]` is the row-major content. */
typedef struct tw_numeric_observer {
    /** Called with `self` below. */
    void (*after)(void *self, const tw_emitter *e, const tw_op *op, double *const *slots);
    void *self; /**< the observer's own */
} tw_numeric_observer;

/** How to run; all zero is a plain exact run. */
typedef struct tw_numeric_options {
    tw_rounding rounding;                /**< exact, or as a GPU would */
    const tw_numeric_observer *observer; /**< may be NULL */
    bool drop_one;                       /**< for tests: leave one operation out of the stream … */
    int64_t drop;                        /**< … this one; 0 is the first of the run */
} tw_numeric_options;

/**
 * @brief Executes a schedule.
 *
 * Layouts as in problem.h. Time O(4 · head_dim · pairs) and some; memory tw_numeric_bytes().
 * @param[out] o      [batch, seqlen_q, num_heads, head_dim]; contents undefined on error
 * @param[out] lse    [batch, num_heads, seqlen_q]; derived from m and l where a schedule keeps those; NaN throughout
 *                 if it has neither; may be NULL
 * @param[out] stats  may be NULL
 * @param[in]  schedule  what to run
 * @param[in]  problem   shapes, mask, number format
 * @param[in]  tiling    block_m, block_n in rows; need not divide the sequence
 * @param[in]  machine   what a block may hold on chip
 * @param[in]  q         [batch, seqlen_q, num_heads, head_dim]
 * @param[in]  k, v      [batch, seqlen_k, num_heads_kv, head_dim]
 * @param[in]  options   may be all zero
 * @return TW_OK; as tw_emit(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_numeric_run(double *o, double *lse, tw_numeric_stats *stats,
                                       const tw_schedule *schedule, const tw_problem *problem,
                                       const tw_tiling *tiling, const tw_machine *machine, const double *q,
                                       const double *k, const double *v, const tw_numeric_options *options);

/** A forward pass, and the backward pass that reads what it leaves in HBM: O, LSE, P, … */
typedef struct tw_training_step {
    const tw_schedule *forward;  /**< runs first */
    const tw_schedule *backward; /**< runs behind it */
    tw_tiling forward_tiling;    /**< of the first */
    tw_tiling backward_tiling;   /**< of the second */
} tw_training_step;

/** What comes out of a training step. o and lse may be NULL. */
typedef struct tw_step_results {
    double *o;   /**< [batch, seqlen_q, num_heads, head_dim_v] */
    double *lse; /**< [batch, num_heads, seqlen_q] */
    double *dq;  /**< as q */
    double *dk;  /**< as k */
    double *dv;  /**< as v */
} tw_step_results;

/**
 * @brief Executes both passes of a training step, one behind the other, on the same tensors in HBM.
 *
 * An operation to be dropped is counted from the first of the forward pass; the observer sees the backward pass alone.
 * @param[out] results  contents undefined on error
 * @param[out] stats    of the forward and of the backward pass; may be NULL
 * @param[in]  step     both passes and their tiles
 * @param[in]  problem  shapes, mask, number format
 * @param[in]  machine  what a block may hold on chip
 * @param[in]  q        [batch, seqlen_q, num_heads, head_dim]
 * @param[in]  k, v     [batch, seqlen_k, num_heads_kv, head_dim]
 * @param[in]  d_o      as o
 * @param[in]  options  may be all zero
 * @return as tw_numeric_run()
 */
TW_MUST_CHECK tw_status tw_numeric_run_step(const tw_step_results *results, tw_numeric_stats stats[2],
                                            const tw_training_step *step, const tw_problem *problem,
                                            const tw_machine *machine, const double *q, const double *k,
                                            const double *v, const double *d_o,
                                            const tw_numeric_options *options);

/**
 * @brief Bytes of memory that tw_numeric_run() takes besides q, k, v, o and their gradients: intermediate tensors and slots.
 *
 * As double, since S of a long sequence does not fit 63 bits of bytes sooner than one would think.
 */
double tw_numeric_bytes(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling);

#ifdef __cplusplus
}
#endif

#endif
