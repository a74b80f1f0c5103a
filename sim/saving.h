/**
 * @file saving.h
 * @brief How much a tiled algorithm saves against standard attention, and why when that is little.
 */
#ifndef TW_SAVING_H
#define TW_SAVING_H

#include "backend_count.h"
#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Why a saving is below 2x. */
typedef enum tw_saving_reason {
    TW_SAVING_FINE,     /**< it is not */
    TW_SAVING_SHORT,    /**< S and P are small beside Q, K, V, O: there is little to be saved */
    TW_SAVING_TEXTBOOK, /**< the baseline is charged each operand once, the tiled algorithm every time */
    TW_SAVING_RELOADS   /**< the tiles are small beside head_dim, so too much is loaded again */
} tw_saving_reason;

/** Bytes of standard attention over bytes of the algorithm, at both levels. */
typedef struct tw_saving {
    double sram,
        hbm; /**< ratios of fill + drain and of HBM read + write; NaN where the baseline does not fit */
    double sram_best, hbm_best; /**< what moving Q, K, V, O and LSE once and nothing else would save */
    tw_saving_reason sram_reason, hbm_reason;
} tw_saving;

/** Standard attention in one of its ledgers, which others are measured against. */
bool tw_is_baseline(const tw_schedule *schedule);

/**
 * @brief The saving of a case whose counts are known.
 * @param[in] baseline  counted with the same block sizes where the user gave them, else with its own
 */
tw_saving tw_saving_of(const tw_counts *counts, const tw_case *c, const tw_machine *machine,
                       const tw_schedule *baseline);

/**
 * @brief What the saving of fill + drain tends to as the sequence grows: its value at 128k or more, without mask.
 * @return NaN where that has no meaning (seqlen_q and seqlen_k differ) or cannot be counted
 */
double tw_saving_limit(const tw_case *c, const tw_machine *machine, const tw_schedule *baseline);

#ifdef __cplusplus
}
#endif

#endif
