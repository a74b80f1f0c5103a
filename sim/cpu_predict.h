/**
 * @file cpu_predict.h
 * @brief How long attention takes on a CPU: both algorithms of cpu_ref, from what calibrate-cpu measures.
 *
 * A roofline of passes. Products and softmax take what one panel and one tile take in a core's own cache; a pass that
 * streams a matrix takes its arithmetic, or the time of the level of memory that the matrix lies in, if that is longer.
 * What is calibrated are these parts, never a whole attention.
 */
#ifndef TW_CPU_PREDICT_H
#define TW_CPU_PREDICT_H

#include "../cpu_ref/problem.h"
#include "machine.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where the time goes, in seconds; what runs under something slower is not in it. */
typedef struct tw_cpu_prediction {
    double products_s; /**< Q Kᵀ and P V */
    double softmax_s;  /**< exponentials, maxima, sums, rescaling */
    double memory_s;   /**< waiting for a level of memory, beyond what arithmetic hides */
    double total_s;    /**< all of it; cores that are done wait for the last */
} tw_cpu_prediction;

/** @brief tw_attention_tiled(). @return TW_OK; TW_EUNSUPPORTED (the machine is no CPU, or lacks a number: it is named) */
TW_MUST_CHECK tw_status tw_cpu_predict_tiled(tw_cpu_prediction *prediction, const tw_problem *problem,
                                             int block_m, int block_n, const tw_machine *machine);

/** @brief tw_attention_standard(). @return as tw_cpu_predict_tiled() */
TW_MUST_CHECK tw_status tw_cpu_predict_standard(tw_cpu_prediction *prediction, const tw_problem *problem,
                                                const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
