/**
 * @file backend_clock.h
 * @brief Plays one SM in time: agents take their steps in order, pipes are shared, time goes on from event to event.
 */
#ifndef TW_BACKEND_CLOCK_H
#define TW_BACKEND_CLOCK_H

#include "sm_program.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What an SM was doing at an instant: the first of these that is true. They add up to all cycles. */
typedef enum tw_term {
    TW_TERM_PRODUCTS, /**< something multiplies; whatever else runs beside it is hidden */
    TW_TERM_CORES,    /**< nothing multiplies; CUDA cores work: exponentials, maxima, conversions */
    TW_TERM_HBM,      /**< an agent waits for bytes that HBM delivers too slowly */
    TW_TERM_L2,       /**< an agent waits for bytes on their way from the L2, or to it */
    TW_TERM_WAITS,    /**< barriers, turns, latencies of results */
    TW_TERM_BLOCKS,   /**< a block begins, ends or changes */
    TW_TERM_LAUNCH,   /**< the launch itself */
    TW_NUM_TERMS
} tw_term;

/** "products", "waits for HBM", … */
const char *tw_term_name(tw_term term);

/** Cycles of one SM in which each pipe was taken; they overlap. */
typedef struct tw_pipe_busy {
    double products; /**< whatever multiplies */
    double cores;    /**< at least one agent has the CUDA cores */
    double smem;     /**< shared memory */
    double l2;       /**< the port to the L2 */
    double hbm;      /**< the SM's share of HBM */
} tw_pipe_busy;

/** Parts of a query tile's time, from the view of who calculates. */
typedef enum tw_phase {
    TW_PHASE_START, /**< until its first scores are there */
    TW_PHASE_LOOP,  /**< over key tiles */
    TW_PHASE_END,   /**< O is normalised and stored */
    TW_NUM_PHASES
} tw_phase;

/** A stretch of time in which an agent, or a pipe, was at something: for timelines. */
typedef struct tw_span {
    int place;        /**< of the blocks that share the SM */
    int agent;        /**< of the block, as its operations name it */
    int lane;         /**< which warp of a quarter of the SM, where an agent is several */
    int item;         /**< query tile, counted by the SM */
    int tile;         /**< key tile; −1 outside the loop */
    tw_op_kind kind;  /**< what it did */
    tw_tensor tensor; /**< loaded or stored */
    tw_pipe pipe;     /**< where */
    int line;         /**< of the schedule's source */
    double begin;     /**< cycle */
    double end;       /**< cycle */
} tw_span;

/** Told of every span when it is over; NULL: nobody is. */
typedef struct tw_clock_observer {
    void (*span)(void *self, const tw_span *span); /**< is told */
    void *self;                                    /**< handed to it */
} tw_clock_observer;

/** What one launch takes on the SM that has most to do. */
typedef struct tw_clock_result {
    double cycles;              /**< from its start to its end */
    double terms[TW_NUM_TERMS]; /**< sum to cycles */
    double phases[TW_NUM_PHASES]
                 [TW_NUM_TERMS]; /**< the same instants, by where the last calculating agent was */
    tw_pipe_busy busy;           /**< of these cycles */
} tw_clock_result;

/**
 * @brief Plays an SM: a queue of programs, `places` of which run at a time.
 * @param[out] result        untouched on error
 * @param[in]  play          what costs depend on
 * @param[in]  programs      in the order in which they start; the same one may come several times
 * @param[in]  num_programs  how many
 * @param[in]  places        blocks that fit an SM
 * @param[in]  observer      NULL: nobody watches
 * @return TW_OK; TW_ENOMEM; TW_ESCHEDULE (agents wait for each other for ever: the line says which step)
 */
TW_MUST_CHECK tw_status tw_clock_play(tw_clock_result *result, const tw_play *play,
                                      const tw_program *const *programs, int num_programs, int places,
                                      const tw_clock_observer *observer);

#ifdef __cplusplus
}
#endif

#endif
