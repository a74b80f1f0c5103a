/**
 * @file bounds_decode.h
 * @brief Inside bounds.h: closed forms of algorithms that cut the keys into parts, and of page tables.
 */
#ifndef TW_BOUNDS_DECODE_H
#define TW_BOUNDS_DECODE_H

#include "bounds.h"

/** Is the schedule one of those? */
bool tw_splits_keys(const char *schedule);

/** tw_closed_form_bytes() of those. @return TW_OK; TW_EUNSUPPORTED (a block mask, documents or a callback) */
TW_MUST_CHECK tw_status tw_closed_form_of_parts(int64_t *fill_bytes, int64_t *drain_bytes,
                                                const char *schedule, const tw_problem *problem,
                                                const tw_tiling *tiling, const tw_machine *machine);

/** Entries of the page table that one head of one sequence reads: of each tile of K and of V those of its pages. */
int64_t tw_page_entries(const tw_problem *problem, const tw_tiling *tiling);

#endif
