/**
 * @file backend_trace.h
 * @brief Records a walk: what is on chip, the row state and the bytes moved, at every stop of a run.
 *
 * A run is executed by the numeric back end and written down, so that it can be shown forward and back. A stop is
 * a tile (it ends where its tile of scores leaves the chip: one step of online softmax where a schedule has them)
 * or the end of a block, where O is divided by l and LSE is taken, or dK and dV are stored.
 */
#ifndef TW_BACKEND_TRACE_H
#define TW_BACKEND_TRACE_H

#include "step_tally.h"
#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** In place of an index: there is none. */
#define TW_TRACE_NONE ((size_t)-1)

/** A slot as it was: its number, what people call it, and what the emitter knew of it. */
typedef struct tw_trace_slot {
    int id;            /**< as tw_slot has it */
    const char *name;  /**< "Q", "S", "m", "alpha" */
    tw_slot_info info; /**< place, type, size, at that moment */
} tw_trace_slot;

/** What one operation left in one slot: `count` numbers, row-major, from numbers[first] on. */
typedef struct tw_trace_write {
    int slot;     /**< id */
    size_t first; /**< in numbers[] */
    size_t count; /**< how many */
} tw_trace_write;

/** What is on chip at some moment. */
typedef struct tw_trace_chip {
    tw_moved moved;                    /**< since the run began */
    int64_t live_bytes[TW_NUM_PLACES]; /**< held by this block now */
    size_t first_slot;                 /**< in slots[] */
    size_t num_slots;                  /**< from there on */
} tw_trace_chip;

/** One operation; recorded in a full trace only. A released slot is in its list for the last time. */
typedef struct tw_trace_frame {
    tw_op_kind kind;    /**< what was done */
    const char *name;   /**< of the slot that it is about, before the operation */
    int slot;           /**< its id */
    int line;           /**< of the schedule's source */
    size_t stop;        /**< to which stop it belongs */
    tw_trace_chip chip; /**< after the operation */
    size_t first_write; /**< in writes[] */
    size_t num_writes;  /**< from there on */
} tw_trace_frame;

/** A tile, or the end of a block. Indices are into numbers[], TW_TRACE_NONE where a schedule keeps no such thing. */
typedef struct tw_trace_stop {
    int64_t tile;       /**< 1, 2, …; 0 for the end of a block */
    int launch;         /**< index in the schedule */
    int batch;          /**< of the block */
    int head;           /**< query head of the block */
    tw_tile rows;       /**< query rows of the scores */
    tw_tile cols;       /**< keys of the scores; at the end of a block it has no rows */
    int first_line;     /**< of the schedule's source, that ran since the stop before */
    int last_line;      /**< likewise */
    size_t m;           /**< one number a row of `rows` */
    size_t l;           /**< likewise */
    size_t o;           /**< head_dim numbers: row o_row of O; none if the stop does not hold that row */
    int64_t o_row;      /**< −1 if the stop does not hold the row asked for */
    bool m_is_lse;      /**< m has become LSE */
    bool o_normalized;  /**< O has been divided by l */
    tw_tensor o_tensor; /**< what `o` is a row of: O, or in a backward pass dQ or its sums */
    size_t dk;          /**< head_dim numbers: row `key` of dK; none if the stop does not hold it */
    size_t dv;          /**< likewise of dV, head_dim_v numbers */
    int64_t key;        /**< of dk and dv; −1 if neither dK nor dV is on chip */
    bool no_such_key;   /**< one of them is, without the row asked for */
    bool of_keys;       /**< the end of a block whose rows are keys */
    tw_trace_chip chip; /**< at the stop */
    size_t first_frame; /**< in a full trace, as the next two */
    size_t at_frame;    /**< what the stop shows is after this one */
    size_t last_frame;  /**< of the stop */
} tw_trace_stop;

/** A recorded run. */
typedef struct tw_trace {
    const tw_schedule *schedule; /**< what ran … */
    tw_problem problem;          /**< … on which shape, … */
    tw_tiling tiling;            /**< … in which tiles, … */
    tw_machine machine;          /**< … on which machine */
    int64_t row;                 /**< as asked for; −1 for the first of each tile */
    tw_trace_stop *stops;        /**< owned, as all arrays below */
    size_t num_stops;            /**< length of stops[] */
    int64_t num_tiles;           /**< stops that are tiles */
    tw_trace_frame *frames;      /**< empty unless the trace is full */
    size_t num_frames;           /**< length of frames[] */
    tw_trace_slot *slots;        /**< what was on chip, for stops and frames */
    size_t num_slots;            /**< length of slots[] */
    tw_trace_write *writes;      /**< what frames left in slots */
    size_t num_writes;           /**< length of writes[] */
    double *numbers;             /**< what stops and writes point to */
    size_t num_numbers;          /**< length of numbers[] */
    size_t capacity[5];          /**< private */
} tw_trace;

/** What to record. */
typedef struct tw_trace_options {
    bool full;                  /**< every operation, and whatever it wrote of S, P, O, m, l */
    int64_t row;                /**< whose row of O a stop keeps; −1 for the first row of its tile */
    int64_t max_tiles;          /**< a longer walk is refused before it is run */
    int64_t max_numbers;        /**< likewise one with more numbers to keep */
    const tw_schedule *forward; /**< of a backward schedule: what goes before it, unrecorded */
    tw_tiling forward_tiling;   /**< its tiles */
    const double *d_o;          /**< the gradient of O, as O */
} tw_trace_options;

/** Is a slot a tile of scores, or of what they become or are the gradient of? */
bool tw_trace_is_scores(tw_tensor tensor);

/**
 * @brief Refuses a walk that is too long or too large, before there are any tensors.
 * @return TW_OK; as tw_count(); TW_EUNSUPPORTED (more tiles or numbers than `options` allows); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_trace_check(const tw_schedule *schedule, const tw_problem *problem,
                                       const tw_tiling *tiling, const tw_machine *machine,
                                       const tw_trace_options *options);

/**
 * @brief Runs a schedule on q, k, v in double precision and records it.
 *
 * Memory: bounded by max_tiles and max_numbers; and what tw_numeric_run() takes.
 * @param[out] trace     untouched on error; tw_trace_free() it
 * @param[in]  schedule  what to run
 * @param[in]  problem   shapes, mask, number format
 * @param[in]  tiling    block_m, block_n in rows; need not divide the sequence
 * @param[in]  machine   what a block may hold on chip
 * @param[in]  q         [batch, seqlen_q, num_heads, head_dim]
 * @param[in]  k, v      [batch, seqlen_k, num_heads_kv, head_dim]
 * @param[in]  options   what to record, and how much at most
 * @return TW_OK; as tw_trace_check() and tw_numeric_run()
 */
TW_MUST_CHECK tw_status tw_trace_record(tw_trace *trace, const tw_schedule *schedule,
                                        const tw_problem *problem, const tw_tiling *tiling,
                                        const tw_machine *machine, const double *q, const double *k,
                                        const double *v, const tw_trace_options *options);

/** Frees the arrays and clears the struct. */
void tw_trace_free(tw_trace *trace);

/** The slots whose numbers a full trace keeps after an operation: how many, at most four, and their ids. */
int tw_trace_written(int ids[4], const tw_op *op);

#ifdef __cplusplus
}
#endif

#endif
