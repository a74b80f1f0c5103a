/**
 * @file ring.h
 * @brief The time of attention that is spread over memories: work and link side by side, step by step.
 */
#ifndef TW_RING_H
#define TW_RING_H

#include "backend_count.h"
#include "machine.h"
#include "tiling.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a ring, or an offloaded attention, takes. */
typedef struct tw_ring_time {
    int parts;          /**< steps */
    int64_t link_bytes; /**< all that travels, of all devices */
    double link_s;      /**< one part over the link */
    double slowest_s;   /**< work of the slowest device in a step: the mean over steps, by the roofline */
    double mean_s;      /**< of the mean device */
    double time_s;      /**< all steps; while a device works, the next part is under way */
    double exposed_s;   /**< of that, what waits for the link alone */
    double threshold;   /**< rows a part from which the link is hidden; 0 where rates are not known */
    bool link_known;    /**< the machine file has a rate for this link */
} tw_ring_time;

/**
 * @brief Rows a part from which passing on K and V hides behind the work on it: c >= F / B for fp16 and as many K/V heads.
 *
 * A part of c keys takes 2 c heads_kv (d + d_v) bytes an element on the link, its work with c queries 2 c² heads (d + d_v)
 * FLOPs; offloaded, its work is with all queries, and the answer is how many queries there must be.
 * @see Liu, Zaharia and Abbeel 2023, arXiv:2310.01889, section 3.2
 */
double tw_ring_threshold(const tw_problem *problem, const tw_machine *machine, tw_sharing sharing);

/**
 * @brief Step by step: the slowest device's roofline beside the link; whoever is slower says how long the step is.
 * @param[out] time  untouched on error
 * @param[in]  schedule, problem, tiling, machine  as for tw_count_parts()
 * @return TW_OK; as tw_count_parts(); TW_EUNSUPPORTED (a machine without rates)
 */
TW_MUST_CHECK tw_status tw_ring_time_of(tw_ring_time *time, const tw_schedule *schedule,
                                        const tw_problem *problem, const tw_tiling *tiling,
                                        const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
