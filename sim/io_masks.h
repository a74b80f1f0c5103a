/**
 * @file io_masks.h
 * @brief What `tilewise io` says of masks and of packed sequences, under its table of counts.
 */
#ifndef TW_IO_MASKS_H
#define TW_IO_MASKS_H

#include "io_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Tiles of each mask beyond causal: how many are visited, how many of those the mask cuts, what their list costs.
 *
 * Nothing where no case has such a mask.
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_io_masks_print(FILE *out, const tw_counted *cases, size_t count);

/**
 * @brief Packed sequences beside the same ones padded to the longest: rows, memory of Q, K, V and O, traffic.
 *
 * Nothing where no sequences are packed.
 * @return TW_OK; TW_ENOMEM; as tw_count()
 */
TW_MUST_CHECK tw_status tw_io_packing_print(FILE *out, const tw_counted *cases, size_t count,
                                            const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
