/**
 * @file registry.h
 * @brief The list of schedules. A new algorithm is one file beside this and one row in registry.c.
 */
#ifndef TW_REGISTRY_H
#define TW_REGISTRY_H

#include "../tile_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const tw_schedule tw_schedule_standard;         /**< three passes, the textbook's ledger */
extern const tw_schedule tw_schedule_standard_tiled;   /**< three passes as kernels do them */
extern const tw_schedule tw_schedule_standard_unfused; /**< one launch an operation, as plain programs do */
extern const tw_schedule tw_schedule_flash1;           /**< FlashAttention: K and V outer */
extern const tw_schedule tw_schedule_flash2;           /**< FlashAttention 2: Q outer */
extern const tw_schedule tw_schedule_flash2_prefetch;  /**< the next K and V on their way meanwhile */
extern const tw_schedule tw_schedule_flash3; /**< FlashAttention 3: a producer, consumers in turns, overlap */
extern const tw_schedule tw_schedule_flash3_serial; /**< a producer and consumers, one step after the other */
extern const tw_schedule tw_schedule_flash3_pingpong; /**< a producer, and consumers in turns */
extern const tw_schedule tw_schedule_flex;            /**< FlexAttention: lists of full and partial tiles */
extern const tw_schedule tw_schedule_gqa_packed;      /**< query heads of a K/V head as rows of one tile */
extern const tw_schedule tw_schedule_mla;             /**< latent attention: V is a part of K */
extern const tw_schedule tw_schedule_flash_decoding;  /**< the keys in splits, then combined */
extern const tw_schedule tw_schedule_flash_decoding_plus_plus; /**< and a fixed maximum */
extern const tw_schedule tw_schedule_lean_attention; /**< the same number of key tiles for every block */
extern const tw_schedule tw_schedule_flash3_fp8;     /**< FlashAttention 3 on fp8 codes with scales */
extern const tw_schedule tw_schedule_int_flash;      /**< INT-FlashAttention: int8, a scale a token */

extern const tw_schedule tw_schedule_standard_backward;       /**< gradients, by the textbook's ledger */
extern const tw_schedule tw_schedule_standard_tiled_backward; /**< gradients as kernels of matrices do them */
extern const tw_schedule tw_schedule_standard_unfused_backward; /**< one launch an operation */
extern const tw_schedule tw_schedule_flash1_backward;           /**< FlashAttention, Algorithm 4 */
extern const tw_schedule tw_schedule_flash2_backward;           /**< FlashAttention 2, Algorithm 2 */

/** @name What algorithms for decoding share
 * @{ */
/** Few queries see many keys: all rows of a K/V head are one tile of 64, and keys are at least 16 times as many. */
bool tw_is_decoding(const tw_problem *problem);
/** 64 query rows, 128 where that is too few, and key tiles that get smaller as heads get wider. */
void tw_decoding_tiling(tw_tiling *tiling, const tw_problem *problem, const tw_machine *machine);
/** @} */
extern const tw_schedule tw_schedule_flash2_sawtooth; /**< flash2, every other query tile backwards */
extern const tw_schedule tw_schedule_flash4;          /**< FlashAttention 4: rescales seldom, polynomials */
extern const tw_schedule tw_schedule_flash_window;    /**< short windows: all scores on chip */
extern const tw_schedule tw_schedule_square_tiles;    /**< Saha and Ye: head_dim is cut, too */

extern const tw_schedule tw_schedule_ring;         /**< ring attention, contiguous parts */
extern const tw_schedule tw_schedule_ring_striped; /**< the same, rows dealt out in turn */
extern const tw_schedule tw_schedule_offload;      /**< K and V in a second memory */

extern const tw_schedule tw_schedule_scfa; /**< rows sorted by hash bucket */

extern const tw_schedule tw_schedule_linformer; /**< approximates: fewer keys */

/** For tw_schedule.suits: only who names it gets it. */
bool tw_suits_nobody(const tw_problem *problem);

/** Number of algorithms; each has a forward pass. */
int tw_schedule_count(void);

/** The forward pass of the i-th; NULL if there is none. */
const tw_schedule *tw_schedule_at(int i);

/** The backward pass that goes with a forward pass; NULL if there is none. */
const tw_schedule *tw_schedule_backward_of(const tw_schedule *forward);

/** The first forward pass that a backward pass goes with; NULL if it is none of ours. */
const tw_schedule *tw_schedule_forward_of(const tw_schedule *backward);

/**
 * @brief Finds a forward pass by its name or alias (fa1, fa2, fa3), or a backward pass by its name.
 * @param[out] schedule  untouched on error
 * @param[in]  name      "flash2"
 * @return TW_OK; TW_EINVAL (no such name; the line lists those there are)
 */
TW_MUST_CHECK tw_status tw_schedule_find(const tw_schedule **schedule, const char *name);

/**
 * @brief Fills in what the user left open (0): the blocks of a block mask, the schedule's own rule, or
 *        TW_DEFAULT_BLOCK, half of it where head_dim is above 256; less where that does not fit on chip.
 *
 * What was given stays, even if it cannot fit; tw_shrink_tiling() says how the rest is cut. The result may exceed the
 * sequence: tiles are cut at its end.
 */
void tw_schedule_default_tiling(const tw_schedule *schedule, tw_tiling *tiling, const tw_problem *problem,
                                const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
