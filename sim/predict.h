/**
 * @file predict.h
 * @brief Bytes, cycles, clock, time and energy of a kernel on a shape, and what limits it.
 */
#ifndef TW_PREDICT_H
#define TW_PREDICT_H

#include "backend_clock.h"
#include "backend_count.h"
#include "power.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a prediction supposes. */
typedef struct tw_predict_options {
    double kv_hit_rate; /**< of K and V in the L2; < 0: by its capacity */
    bool cold;          /**< nothing is in any cache when it starts, as under a profiler that empties them */
} tw_predict_options;

/** Defaults: hit rate by capacity, warm. */
#define TW_PREDICT_DEFAULTS                                                                                  \
    {                                                                                                        \
        .kv_hit_rate = -1                                                                                    \
    }

/** All that is said of a kernel on a shape. */
typedef struct tw_prediction {
    tw_build build;              /**< how it is built; blocks_per_sm filled in */
    const tw_schedule *schedule; /**< what was played */
    tw_count_result counts;      /**< bytes, FLOPs, exponentials */
    int num_splits; /**< parts of the keys; 1 where they are not split, the most of a query tile where all is shared */
    int num_launches;                        /**< of the schedule */
    tw_clock_result launch[TW_MAX_LAUNCHES]; /**< of the SM that has most to do */
    int active_sms[TW_MAX_LAUNCHES];         /**< SMs with work */
    double mean_share[TW_MAX_LAUNCHES];      /**< work of the average SM over that of the busiest */
    tw_clock_result total;                   /**< of all launches, their overhead included */
    double cold_cycles;  /**< of the total with nothing in any cache, as under a profiler that empties them */
    double smem_bytes;   /**< that loads took from shared memory, or copies brought there */
    double hbm_bytes;    /**< what the clock assumed that HBM moves, read and written */
    tw_power power;      /**< clock, time, energy */
    const char *limiter; /**< the pipe that is taken most of the time; "latency" if none is */
    char outside[160];   /**< why this lies outside of what was validated; "" if it does not */
} tw_prediction;

/**
 * @brief Predicts one kernel on one shape.
 * @param[out] prediction  untouched on error
 * @param[in]  build       from tw_build_find()
 * @param[in]  problem     the shape
 * @param[in]  machine     a GPU
 * @param[in]  options     TW_PREDICT_DEFAULTS
 * @return TW_OK; as tw_count(), tw_clock_play() and tw_power_of(); TW_EUNSUPPORTED (the machine lacks a number that the
 *         clock needs: the line names it; a problem whose heads or sequences differ)
 */
TW_MUST_CHECK tw_status tw_predict(tw_prediction *prediction, const tw_build *build,
                                   const tw_problem *problem, const tw_machine *machine,
                                   const tw_predict_options *options);

/**
 * @brief Plays the first blocks of one launch again, at the clock that was predicted, and tells of every span.
 * @param[in] prediction  from tw_predict()
 * @param[in] problem     the same as there
 * @param[in] machine     the same as there
 * @param[in] launch      from 0
 * @param[in] num_blocks  of the SM with most to do; of a persistent kernel, query tiles
 * @param[in] observer    is told
 * @return as tw_predict()
 */
TW_MUST_CHECK tw_status tw_predict_watch(const tw_prediction *prediction, const tw_problem *problem,
                                         const tw_machine *machine, int launch, int num_blocks,
                                         const tw_clock_observer *observer);

/** Why a prediction lies outside of what was held against measurements; "" if it does not. */
void tw_predict_outside(char text[160], const tw_build *build, const tw_problem *problem,
                        const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
