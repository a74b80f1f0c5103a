/**
 * @file kernels.h
 * @brief What the host and the device part of each subject share: arguments of kernels, and their sizes.
 *
 * X.cu has a subject's kernels, X.c launches them and makes numbers of what they return. A kernel takes one struct.
 * Where it ran and what it found it writes to device memory that the struct names.
 */
#ifndef TW_CALIBRATE_KERNELS_H
#define TW_CALIBRATE_KERNELS_H

#include "sides.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The map of homes is kept for units of this size, which divides the real one wherever there is one. */
#define TW_CAL_PAGE_BYTES 4096
#define TW_CAL_LINE_BYTES 128

#ifdef __CUDACC__
#define TW_CAL_INLINE static __host__ __device__ __forceinline__
#else
#define TW_CAL_INLINE static inline
#endif

/** A random 32 bits of a number (the finalizer of MurmurHash3: a bijection that mixes every bit). */
TW_CAL_INLINE uint32_t tw_cal_hash(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

/** Where blocks of a cooperative launch wait for each other; zero before it. */
typedef struct tw_cal_meeting {
    unsigned arrived, failed;
} tw_cal_meeting;

/** In which order lines are read; as l2_rate and l2_hits have it. */
typedef enum tw_cal_order {
    TW_CAL_FORWARD,
    TW_CAL_BACKWARD,
    TW_CAL_ALTERNATING,
    TW_CAL_RANDOM,
    TW_CAL_NUM_ORDERS
} tw_cal_order;

/** Does a pass begin at the end? ALTERNATING: to and fro. */
TW_CAL_INLINE bool tw_cal_is_backward(int order, unsigned pass)
{
    return order == TW_CAL_BACKWARD || (order == TW_CAL_ALTERNATING && pass % 2 == 1);
}

/* ---- launch --------------------------------------------------------------------------------------------- */

typedef struct tw_cal_nothing {
    int unused;
} tw_cal_nothing;
const void *tw_cal_empty_kernel(void);

/* ---- hbm ------------------------------------------------------------------------------------------------ */

enum { TW_CAL_HBM_THREADS = 512, TW_CAL_HBM_BLOCKS_PER_SM = 4, TW_CAL_HBM_UNROLL = 4 };

typedef struct tw_cal_stream_args {
    const void *from; /**< NULL: write alone */
    void *to;         /**< NULL: read alone */
    size_t vectors;   /**< of 16 bytes; of what read, write and copy do in one round of the grid a multiple */
    uint32_t *sink;
} tw_cal_stream_args;
const void *tw_cal_hbm_read_kernel(void);
const void *tw_cal_hbm_write_kernel(void);
const void *tw_cal_hbm_copy_kernel(void);
/** Random bits; named tw_init_…, so that a profiler's counts leave it out. */
const void *tw_cal_fill_kernel(void);
/** For a profiler: every vector once. */
const void *tw_cal_write_once_kernel(void);

/* ---- l2_rate -------------------------------------------------------------------------------------------- */

enum { TW_CAL_RATE_THREADS = 512, TW_CAL_RATE_BLOCKS_PER_SM = 4, TW_CAL_RATE_UNROLL = 4 };
#define TW_CAL_RATE_TILE_BYTES ((size_t)16 * TW_CAL_RATE_THREADS)

typedef struct tw_cal_rate_args {
    const void *from;
    unsigned tiles;  /**< that one block walks over */
    unsigned stride; /**< from one of them to the next, in tiles: blocks, or 1 */
    unsigned passes; /**< a multiple of UNROLL */
    bool shared;     /**< all blocks begin at the same tile */
    uint32_t *sink;
} tw_cal_rate_args;
const void *tw_cal_l2_read_kernel(tw_cal_order order);

/* ---- l2_sides ------------------------------------------------------------------------------------------- */

enum { TW_CAL_COLUMNS = 128, TW_CAL_HOME_WARPS = 4 };

/** Atomics from every SM on a page of each column. */
typedef struct tw_cal_table_args {
    char *memory;
    size_t stride; /**< from one column's page to the next's, in bytes */
    uint32_t zero;
    tw_cal_meeting *all;
    int *smid;      /**< [blocks] */
    float *latency; /**< [blocks][TW_CAL_COLUMNS] */
} tw_cal_table_args;
const void *tw_cal_time_pages_kernel(void);

/** Atomics on each unit of memory from an SM of either side. */
typedef struct tw_cal_home_args {
    char *memory;
    size_t unit_bytes;
    int units;
    uint32_t zero;
    tw_cal_meeting *all;
    const tw_cal_sides *sides;
    float *latency; /**< [2][units] */
} tw_cal_home_args;
const void *tw_cal_time_units_kernel(void);

/** Loads, one after the other by one thread of one SM. */
typedef struct tw_cal_load_args {
    const char *memory;
    const uint32_t *lines; /**< [n], numbers of lines */
    int n, smid;           /**< the SM that loads */
    tw_cal_meeting *all;
    float *latency; /**< [n] */
    uint32_t *sink;
} tw_cal_load_args;
const void *tw_cal_time_loads_kernel(void);

/* ---- l2_hits -------------------------------------------------------------------------------------------- */

enum { TW_CAL_CHUNK_PAGES = 64, TW_CAL_HITS_WARPS = 2 };

/** Which SM reads a line; see l2_hits.cu. */
typedef enum tw_cal_access {
    TW_CAL_PRIVATE,
    TW_CAL_NEAR,
    TW_CAL_FAR,
    TW_CAL_SHARED,
    TW_CAL_NUM_ACCESSES
} tw_cal_access;

typedef struct tw_cal_hits_args {
    const char *memory;
    const unsigned long long *home_of; /**< [chunks], a bit for each page: 1 if its home is side 1 */
    const tw_cal_sides *sides;
    unsigned chunks, passes, warm_passes;
    int access, order;
    int far_from[2],
        hbm_from[2]; /**< a load of so many cycles, or more, came from there; [1]: home on the far side */
    tw_cal_meeting *all;
    unsigned long long *counts; /**< [3]: near, far, HBM */
    uint32_t *sink;
} tw_cal_hits_args;
const void *tw_cal_count_hits_kernel(void);

/* ---- l2_cross ------------------------------------------------------------------------------------------- */

enum { TW_CAL_CROSS_THREADS = 1024 };

typedef struct tw_cal_cross_args {
    char *memory;
    const tw_cal_sides *sides;
    const uint32_t *pages; /**< [2][pages_a_side]: numbers of pages, by home */
    int pages_a_side;      /**< at most as many as the warps of either side's SMs */
    int passes;
    bool far; /**< SMs write pages of the other side */
} tw_cal_cross_args;
const void *tw_cal_write_pages_kernel(void);

/* ---- loops that time themselves: smem, pipes, mma, wgmma -------------------------------------------------- */

/** One block an SM. */
typedef struct tw_cal_loop {
    int rounds;
    int idle_cycles;   /**< between two rounds; for `clock` */
    long long *cycles; /**< [blocks], each block's: set by tw_cal_time_loop() */
    uint32_t *sink;
} tw_cal_loop;

enum { TW_CAL_SMEM_THREADS = 1024, TW_CAL_SMEM_LOADS = 8 }; /* of 16 bytes, in a round */
const void *tw_cal_smem_kernel(void);

typedef enum tw_cal_pipe {
    TW_CAL_PIPE_FMA,
    TW_CAL_PIPE_MAX,
    TW_CAL_PIPE_EXP,
    TW_CAL_PIPE_CVT,
    TW_CAL_NUM_PIPES
} tw_cal_pipe;
enum {
    TW_CAL_PIPE_THREADS = 1024,
    TW_CAL_PIPE_CHAINS = 8,
    TW_CAL_PIPE_LINKS = 32
}; /* links of each chain in a round */
const void *tw_cal_pipe_kernel(tw_cal_pipe pipe);

enum { TW_CAL_MMA_THREADS = 512, TW_CAL_MMA_TILES = 8 }; /* of 16 x 8 x 16, by each warp in a round */
const void *tw_cal_mma_kernel(bool bf16);

typedef enum tw_cal_format { TW_CAL_FP16, TW_CAL_BF16, TW_CAL_FP8, TW_CAL_NUM_FORMATS } tw_cal_format;
enum { TW_CAL_WGMMA_N = 256, TW_CAL_WGMMA_GROUP = 8 }; /* products of a warpgroup in a round */
enum { TW_CAL_WGMMA_SMEM = 1024 + 2 * 64 * 128 + TW_CAL_WGMMA_N * 128 };
/** `paced` waits after each round, and is there for fp16 alone. */
const void *tw_cal_wgmma_kernel(tw_cal_format format, bool paced);

/* ---- softmax -------------------------------------------------------------------------------------------- */

enum { TW_CAL_STEP_WGMMA_N = 128, TW_CAL_STEP_GROUP = 16 };

typedef struct tw_cal_step_args {
    int rounds;       /**< of softmax; 0: the workers sleep instead, for a fixed time */
    long long *steps; /**< [blocks][4]: cycles of the slowest warp; cycles and groups of wgmma; not used */
    uint32_t *sink;
} tw_cal_step_args;

/** What is built: X(keys, warpgroups with softmax, and one more that multiplies) */
/* clang-format off */
#define TW_CAL_STEPS(X)                    \
    X(64, 1, false) X(80, 1, false) X(96, 1, false) X(128, 1, false) X(176, 1, false) X(192, 1, false) \
    X(64, 1, true) X(128, 1, true) X(192, 1, true) \
    X(64, 2, false) X(128, 2, false) X(64, 2, true) X(128, 2, true) \
    X(64, 3, false) X(128, 3, false) X(64, 3, true)
/* clang-format on */
/** NULL if it is not. */
const void *tw_cal_step_kernel(int keys, int workers, bool busy);

/* ---- copy ----------------------------------------------------------------------------------------------- */

enum { TW_CAL_COPY_SIZES = 8, TW_CAL_COPIES = 40, TW_CAL_LARGEST_COPY = 64 << 10 };

/** One thread copies each size TW_CAL_COPIES times, from other addresses each time; then all of that again. */
typedef struct tw_cal_latency_args {
    const char *from;
    int sizes[TW_CAL_COPY_SIZES];
    float *cycles; /**< [2][sizes][copies]: the first time, the second; 0 where a copy did not arrive */
} tw_cal_latency_args;
const void *tw_cal_copy_latency_kernel(void);

enum { TW_CAL_COPY_TILE_BYTES = 32 << 10, TW_CAL_COPY_STAGES = 4 };

typedef struct tw_cal_copy_rate_args {
    const char *from;
    int tiles, stride, passes; /**< of one block's walk; from one tile to the next, in tiles */
    bool shared;
    unsigned *failed;
} tw_cal_copy_rate_args;
const void *tw_cal_copy_rate_kernel(void);

/* ---- product -------------------------------------------------------------------------------------------- */

/** n numbers between -1 and 1. */
typedef struct tw_cal_random_args {
    void *to;
    size_t n;
    bool bf16;
} tw_cal_random_args;
const void *tw_cal_random_kernel(void);

#ifdef __cplusplus
}
#endif

#endif
