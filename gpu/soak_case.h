/**
 * @file soak_case.h
 * @brief The random shapes of `tilewise-gpu soak`: number n of a seed is the same shape everywhere. No CUDA in here.
 */
#ifndef TW_GPU_SOAK_CASE_H
#define TW_GPU_SOAK_CASE_H

#include "../cpu_ref/problem.h"
#include "../sim/order.h"

#include <stdint.h>

/** @name No shape has more
 * Batches and heads counted in; so that memory can be had once for all shapes, and none takes long.
 * @{ */
#define TW_GPU_SOAK_MAX_ROWS     16384  /**< query rows, and rows of K */
#define TW_GPU_SOAK_MAX_PAIRS    524288 /**< of a query row and a key */
#define TW_GPU_SOAK_MAX_HEAD_DIM 256
/** @} */

/** One random shape. */
typedef struct tw_gpu_soak_case {
    tw_problem problem;
    double q_factor;        /**< scores have this standard deviation, times softmax_scale · sqrt(head_dim) */
    bool large_scores;      /**< so large that rounding S changes everything: not for kernels that round it */
    uint64_t data_seed;     /**< of Q, K and V */
    uint32_t tiling_draw;   /**< picks a kernel's tiling: modulo how many it has for the shape */
    bool tiling_is_default; /**< or its own choice */
    tw_order order;         /**< for kernels that take one, with their own tiles */
    tw_kv_order kv_order;   /**< likewise */
} tw_gpu_soak_case;

/** Shape number 1, 2, 3, … of a seed. */
tw_gpu_soak_case tw_gpu_soak_case_at(uint64_t seed, uint64_t number);

/** "bf16, batch 2, heads 8 on 2, 97 x 300, head_dim 64, causal, scale 0.0313, scores x 4", for a line about it. */
void tw_gpu_soak_case_name(char *text, size_t size, const tw_gpu_soak_case *one);

#endif
