/**
 * @file bounds.h
 * @brief Closed forms of what schedules move, and lower bounds on what any algorithm must: from the papers.
 *
 * Written from the formulas alone, never from the stream: what is counted and what is executed must agree with
 * them. Elements, for one head; N for both sequence lengths where they are equal.
 */
#ifndef TW_BOUNDS_H
#define TW_BOUNDS_H

#include "../cpu_ref/problem.h"
#include "../cpu_ref/status.h"
#include "machine.h"
#include "tiling.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Fill and drain of a schedule by its closed form, whole problem, in bytes.
 *
 * All shapes: seqlen_q and seqlen_k apart, tiles that do not divide, grouped heads, packed sequences, other widths of V,
 * bias and sink logits; Q, K and V as codes with scales, blocks of which are tiles; causal, window, prefix, sinks, and block masks of the tiles' own size; fetch by rows.
 * @param[out] fill_bytes, drain_bytes  untouched on error
 * @param[in]  problem   shapes and mask; bytes are those of its number format, 4 for a row statistic
 * @param[in]  tiling    block_m, block_n in rows
 * @param[in]  machine   says whether a row of S fits on chip
 * @param[in]  schedule  a name of the registry, of either pass
 * @return TW_OK; TW_EUNSUPPORTED (no closed form for that schedule, or none under that mask)
 */
TW_MUST_CHECK tw_status tw_closed_form_bytes(int64_t *fill_bytes, int64_t *drain_bytes, const char *schedule,
                                             const tw_problem *problem, const tw_tiling *tiling,
                                             const tw_machine *machine);

/** @name Lower bounds, elements of one head, constants left out; M is the SRAM in elements
 * @{ */
/** N²d²/M: no exact algorithm does asymptotically less for all M in [d, Nd]. Dao et al. 2022, Proposition 3. */
double tw_bound_dao_elements(double n, double d, double m);
/** min(N²d/√M, N²d²/M): the two meet at M = d². Saha and Ye 2024, arXiv:2402.07443. */
double tw_bound_saha_ye_elements(double n, double d, double m);
/** M (h − 1) where h is the size of the smallest 2M-partition. Hong and Kung 1981. */
double tw_bound_hong_kung_elements(double m, double h);
/** 4Nd + N: Q, K, V read once, O and LSE written once. What a perfect cache would leave. */
double tw_bound_compulsory_elements(double n, double d);
/** @} */

#ifdef __cplusplus
}
#endif

#endif
