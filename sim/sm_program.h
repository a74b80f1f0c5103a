/**
 * @file sm_program.h
 * @brief What an SM is to do: the tile operations of blocks, with their costs and who waits for whom.
 *
 * A block's stream becomes a list of steps. A step needs others before it can begin: those that wrote what it reads
 * (read after write), and those that read what it overwrites (write after read). Both follow from slots. A slot that
 * is released and taken again is a place that is used again, for tiles of the same tensor first in, first out: so the
 * number of slots that are live at a time is the depth of the pipeline, and nothing else says it.
 */
#ifndef TW_SM_PROGRAM_H
#define TW_SM_PROGRAM_H

#include "build.h"
#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a step occupies. */
typedef enum tw_pipe {
    TW_PIPE_NONE,   /**< nothing: a turn, a release */
    TW_PIPE_TENSOR, /**< wgmma: a queue that all warpgroups share */
    TW_PIPE_MMA,    /**< mma.sync: the warp's own, while it lasts */
    TW_PIPE_FMA,    /**< products on the CUDA cores */
    TW_PIPE_CORES,  /**< everything else on the CUDA cores: exponentials, maxima, conversions */
    TW_PIPE_COPY,   /**< on chip */
    TW_PIPE_STORE,  /**< off chip */
    TW_NUM_PIPES
} tw_pipe;

/** "tensor cores", "mma", … */
const char *tw_pipe_name(tw_pipe pipe);

/** What a step costs, all of it in cycles of an SM on which nothing else happens, or in bytes. */
typedef struct tw_cost {
    tw_pipe pipe;
    double cycles; /**< of who issues it; of wgmma: of one piece */
    double
        busy; /**< share of these cycles in which its pipe is taken, 0 to 1: the rest is waiting for operands */
    double smem;      /**< cycles of the SM's shared memory */
    double latency;   /**< from the end to the result */
    double l2_bytes;  /**< through the SM's port to the L2 */
    double hbm_bytes; /**< the SM's share of what must come from, or go to, HBM */
    int pieces;       /**< wgmma instructions */
} tw_cost;

/** A step that must be over before another begins. */
typedef struct tw_need {
    int step;
    bool all_lanes; /**< of every warp of the block: what lies in shared memory is everybody's */
} tw_need;

typedef struct tw_sm_step {
    tw_op_kind kind;
    tw_tensor tensor; /**< load, store */
    int agent;
    int tile; /**< of keys: which turn of the loop this belongs to, from 0; −1 before and behind it */
    int item; /**< the query tile that it belongs to, counted by a persistent block */
    int line; /**< of the schedule's source */
    tw_cost cost;
    int first_need, num_needs;
} tw_sm_step;

#define TW_MOST_AGENTS 8

/** The steps of one block, or of all query tiles of a persistent one. */
typedef struct tw_program {
    tw_sm_step *steps; /**< in the order of emission, which is a legal order */
    int num_steps, steps_capacity;
    tw_need *needs;
    int num_needs, needs_capacity;
    int num_items;
    int lanes; /**< warps on a quarter of the SM that each run all steps on their own rows; 1 for warpgroups */
} tw_program;

/** Everything that costs depend on. */
typedef struct tw_play {
    const tw_schedule *schedule;
    const tw_problem *problem; /**< as the schedule sees it: heads packed, keys split */
    const tw_problem *whole;   /**< as it was asked for */
    const tw_tiling *tiling;
    const tw_machine *machine;
    const tw_build *build;
    int launch;                       /**< number of the launch */
    int active_sms;                   /**< that have work */
    double clock_hz;                  /**< at which bytes a second become bytes a cycle */
    double hbm_bytes_per_s;           /**< of all SMs, as reads and writes are mixed */
    bool same_order;                  /**< SMs ask for the same tiles at the same time */
    double hbm_share[TW_NUM_TENSORS]; /**< of the bytes that an SM asks for: what HBM must deliver for them */
} tw_play;

/** Blocks that are recorded: tiles of the launch's two axes. */
typedef struct tw_block_index {
    int i, j;
} tw_block_index;

/**
 * @brief Appends the steps of one block to a program ({0} is an empty one). What went before in the same program is
 *        the same persistent block's earlier work: its places are used again.
 * @return TW_OK; TW_ENOMEM; as tw_emit()
 */
TW_MUST_CHECK tw_status tw_program_append(tw_program *program, const tw_play *play,
                                          const tw_block_index *blocks, int num_blocks);

void tw_program_free(tw_program *program);

/** @name The build's, or, of a pass over single rows, its own
 * Warps of a block that calculate, and blocks that share an SM.
 * @{ */
int tw_play_warps(const tw_play *play);
/** Blocks that are played as one: rows with fewer than four warps each fill a quarter of the SM together. */
int tw_play_rows(const tw_play *play);
int tw_play_blocks(const tw_play *play);
/** @} */

/** @brief Costs one operation; `e` is the emitter as it stands when the operation is seen. */
tw_cost tw_cost_of(const tw_play *play, const tw_emitter *e, const tw_op *op);

#ifdef __cplusplus
}
#endif

#endif
