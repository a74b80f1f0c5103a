/**
 * @file backend_cache.h
 * @brief HBM as the counters see it: all loads and stores of a launch, in time, through the L2.
 *
 * Blocks are placed on the SMs in the launch's order. Each works at a constant pace, tile after tile; SMs differ a
 * little in speed, so blocks that began together drift apart. Nobody waits for HBM: prefetching hides it.
 *
 * What is not modelled: requests for one line that merge on their way to the L2 (requests are counted as the SMs make
 * them), cache hints, register spills, what other programs do.
 */
#ifndef TW_BACKEND_CACHE_H
#define TW_BACKEND_CACHE_H

#include "l2.h"
#include "tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the L2 holds when a launch begins. */
typedef enum tw_l2_start {
    TW_L2_COLD,   /**< nothing at the first launch; then what the launch before has left */
    TW_L2_WARM,   /**< what all launches together left when they ran once before, its dirty units included */
    TW_L2_FLUSHED /**< nothing at every launch, as a profiler leaves it between passes */
} tw_l2_start;

/** Their names, as --start takes them. */
#define TW_L2_START_CHOICES "cold|warm|flushed"

/** How a problem is launched. All zeros: cold, as many blocks an SM as their slots allow, handed out by the hardware. */
typedef struct tw_cache_options {
    tw_l2_start start; /**< what the L2 holds at first */
    int blocks_per_sm; /**< that share an SM; 0: as shared memory and registers of the schedule's slots allow */
    int num_workers;   /**< blocks in flight; 0: blocks_per_sm on every SM */
    /** Persistent workers, each takes every num_workers-th block; else whoever is free the next. */
    bool static_stride;
    bool analyse;  /**< also tell misses apart and measure reuse distances; several times slower */
    uint64_t seed; /**< of speeds, start times and victims */
    void (*progress)(void *context, double share); /**< called now and then with the share done; NULL: not */
    void *progress_context;                        /**< handed to it */
} tw_cache_options;

/** Reuse distances are counted by powers of two: bin i has those up to 2^i times the next, the last all longer ones. */
#define TW_REUSE_BINS 16
/** Bytes that bin 0 goes up to. */
#define TW_REUSE_BIN0_BYTES 65536

/**
 * Misses told apart: each read that went to HBM is the first touch of its unit (compulsory); or would miss in one
 * fully associative LRU cache of all the L2's bytes, too (capacity); or would not (conflict: copies in both sides,
 * and a replacement that is not quite LRU).
 */
typedef struct tw_cache_analysis {
    int64_t compulsory_bytes;  /**< misses of the first kind */
    int64_t capacity_bytes;    /**< of the second */
    int64_t conflict_bytes;    /**< of the third */
    int64_t first_touch_bytes; /**< requested bytes, read or written, that nobody had touched before */
    int64_t reuse_bytes[TW_REUSE_BINS]; /**< the other requested bytes, by reuse distance */
} tw_cache_analysis;

/** What one launch, or all of them, did. */
typedef struct tw_cache_counts {
    tw_l2_traffic traffic;      /**< in bytes */
    int64_t operations;         /**< units read or written: what a replay costs */
    int workers;                /**< blocks in flight */
    tw_cache_analysis analysis; /**< zeros unless asked for */
} tw_cache_counts;

/** What a schedule did. */
typedef struct tw_cache_result {
    int num_launches;                        /**< of the schedule */
    tw_cache_counts launch[TW_MAX_LAUNCHES]; /**< each of them */
    tw_cache_counts total;                   /**< workers: of the last launch */
    int64_t dirty_bytes;                     /**< in the L2 at the end, on their way to HBM some time */
    bool calibrated;                         /**< the machine's L2 was measured */
} tw_cache_result;

/**
 * @brief Replays a schedule through the machine's L2.
 *
 * Deterministic for a seed. Time O(operations), near 10^7 a second; memory tens of bytes a unit (half a tile).
 * @param[out] result  untouched on error
 * @param[in]  schedule, problem, tiling, machine  as for tw_emit(); the machine has an L2
 * @param[in]  options  how it is launched
 * @return TW_OK; as tw_emit(); TW_EUNSUPPORTED (the machine has no L2; a backward pass; a ledger whose tiles are whole
 *         matrices; heads or sequences that differ: packed sequences, masks per head);
 *         TW_EINVAL (options below 0; a tile that is larger than the L2); TW_EOVERFLOW (more than 2^28 units);
 *         TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_cache(tw_cache_result *result, const tw_schedule *schedule,
                                 const tw_problem *problem, const tw_tiling *tiling,
                                 const tw_machine *machine, const tw_cache_options *options);

/** Share of the read requests' bytes that the L2 served. 1 if there were none. */
double tw_cache_hit_rate(const tw_l2_traffic *traffic);

/** Blocks that fit on one SM together, by what each holds; 0 if the machine does not say. */
int tw_blocks_per_sm(const tw_machine *machine, int64_t smem_bytes, int64_t register_bytes);

#ifdef __cplusplus
}
#endif

#endif
