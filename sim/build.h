/**
 * @file build.h
 * @brief How a kernel is built, as far as its time depends on it: what stands in its source, and nothing measured.
 *
 * The stream of tile operations says what happens and who waits for whom; this says with which instructions, by how
 * many warps, and how many blocks share an SM. sim/builds.def has one row for each kernel and shape.
 */
#ifndef TW_BUILD_H
#define TW_BUILD_H

#include "../cpu_ref/problem.h"
#include "../cpu_ref/status.h"
#include "machine.h"
#include "tiling.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What multiplies. */
typedef enum tw_multiplier {
    TW_BY_FMA,  /**< fp32 fused multiply-add: a thread owns a small tile of the result */
    TW_BY_MMA,  /**< mma.sync: a warp multiplies fragments that it holds in registers */
    TW_BY_WGMMA /**< wgmma: four warps start products, which the tensor cores take from shared memory */
} tw_multiplier;

/** How operands get from shared memory to who multiplies. */
typedef enum tw_operands {
    TW_OPERANDS_SCALAR,   /**< one number a load */
    TW_OPERANDS_VECTOR,   /**< 16 bytes a load */
    TW_OPERANDS_BY_HAND,  /**< a register of a fragment a load, of V half a register */
    TW_OPERANDS_LDMATRIX, /**< four 8 × 8 pieces a load */
    TW_OPERANDS_Q_HELD,   /**< the same, and Q stays in registers */
    TW_OPERANDS_IN_PLACE  /**< wgmma reads them itself */
} tw_operands;

/** How tiles get on chip. */
typedef enum tw_copier {
    TW_COPY_ONE_BY_ONE, /**< through registers, two bytes a load, each stored before the next is asked for */
    TW_COPY_REGISTERS,  /**< through registers, 16 bytes a load, all of a tile at once */
    TW_COPY_AHEAD,      /**< the same, asked for before a product and stored behind it */
    TW_COPY_CP_ASYNC,   /**< cp.async by all threads */
    TW_COPY_TMA         /**< bulk copies by one thread */
} tw_copier;

/** Which query tiles an SM gets, and when. */
typedef enum tw_deal {
    TW_DEAL_ASCENDING,  /**< a block each, started in order as places become free */
    TW_DEAL_DESCENDING, /**< the same, last query tile of a head first */
    TW_DEAL_STRIDE,     /**< one block an SM, which takes tile i, i + SMs, … */
    TW_DEAL_SNAKE,      /**< one block an SM, longest tiles first, forth and back over the SMs */
    TW_DEAL_DYNAMIC     /**< one block an SM, longest tiles first, each to who asks first */
} tw_deal;

/** Most tilings that a row of the table stands for. */
#define TW_MOST_TILES 16

/** A tiling that a kernel is built for. */
typedef struct tw_build_tile {
    int head_dim; /**< for which; 0 ends a list */
    int block_m;  /**< query rows */
    int block_n;  /**< key rows */
} tw_build_tile;

/** A kernel for one head_dim and tile size. */
typedef struct tw_build {
    const char *kernel;       /**< its name */
    int head_dim;             /**< 0 in the table: any */
    int causal;               /**< 0, 1; −1 in the table: either */
    int block_m;              /**< query rows of a tile; 0 in the table: any */
    int block_n;              /**< key rows; 0 in the table: any */
    const char *schedule;     /**< whose stream the clock plays */
    tw_multiplier multiplier; /**< what multiplies */
    tw_operands operands;     /**< how operands come */
    tw_copier copier;         /**< how tiles come */
    int warps;                /**< of a block that calculate */
    int blocks_per_sm;        /**< as registers, threads and shared memory allow */
    int blocks_of_last;       /**< the same of the last launch, where it differs; 0: it does not */
    int stages;     /**< places of shared memory for each streamed tensor; 0: as the stream has them */
    tw_deal deal;   /**< order of query tiles */
    int num_splits; /**< parts of the keys; 0: as fill the SMs, where the schedule splits them */
    tw_build_tile tiles
        [TW_MOST_TILES]; /**< that the row stands for, up to head_dim 0; all 0: those of its own columns */
    int multicast;       /**< blocks of a cluster that share each K and V copy; 0 or 1: none */
    bool rare_rescale;   /**< O is rescaled only when a maximum has grown much */
    bool p_in_smem;      /**< P goes to wgmma through shared memory */
    bool o_through_v;    /**< O leaves by way of V's places; otherwise by Q's */
    bool inferred;       /**< nobody here wrote it: what stands here was inferred */
    bool supposed;       /**< there is no such kernel: an algorithm, built as one would */
    bool measured;       /**< its cycles were measured on an H100, over a grid of shapes */
} tw_build;

/**
 * @brief Finds how a kernel is built for a shape and tiles, or how one would build an algorithm.
 * @param[out] build    complete, but for blocks_per_sm of an algorithm; untouched on error
 * @param[in]  name     kernel of kernels.def, library kernel (fa2, fa3, cudnn, flex) or algorithm
 * @param[in]  problem  the shape
 * @param[in]  machine  decides by what means an algorithm would be built
 * @param[in]  block_m  0: as the kernel or the algorithm has it
 * @param[in]  block_n  likewise
 * @return TW_OK; TW_EINVAL (neither kernel nor algorithm: the line lists the kernels); TW_EUNSUPPORTED (not built for
 *         this head_dim or these tiles)
 */
TW_MUST_CHECK tw_status tw_build_find(tw_build *build, const char *name, const tw_problem *problem,
                                      const tw_machine *machine, int block_m, int block_n);

/** Is this the name of a kernel, ours or a library's? */
bool tw_build_is_kernel(const char *name);

/**
 * @brief The i-th tiling that a kernel is built for, for a problem's head_dim and mask.
 * @param[in]  kernel   its name
 * @param[in]  problem  the shape
 * @param[in]  i        from 0
 * @param[out] block_m  untouched if there is none
 * @param[out] block_n  likewise
 * @return whether there is one
 */
bool tw_build_tiling(const char *kernel, const tw_problem *problem, int i, int *block_m, int *block_n);

#ifdef __cplusplus
}
#endif

#endif
