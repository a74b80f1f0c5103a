/**
 * @file l2_jobs.h
 * @brief Many replays through an L2, side by side on all cores, with a bar where it takes long.
 */
#ifndef TW_L2_JOBS_H
#define TW_L2_JOBS_H

#include "backend_cache.h"
#include "measured.h"
#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One replay: what is asked, and what came of it. */
typedef struct tw_l2_job {
    tw_case c;
    const tw_machine *machine;
    tw_cache_options options;
    int index;         /**< the caller's */
    double operations; /**< tw_l2_operations(), set by tw_l2_run_jobs() */
    /** TW_OK; TW_EUNSUPPORTED (there is nothing to replay, or too much: `why` tells); what tw_cache() returned. */
    tw_status status;
    tw_cache_result result; /**< if status is TW_OK */
    char why[256];          /**< otherwise the line that says why not */
} tw_l2_job;

/** A replay of more loads and stores than this is not made unless somebody asked for just that: some five seconds' work. */
#define TW_L2_MOST_OPERATIONS 5e7

/**
 * @brief The work of a replay: loads and stores of tiles, each as often as it is executed.
 *
 * Counted by a walk through the schedule in which alike tiles are one, as tw_count() does it; so it holds for every
 * schedule, rows that are too long to be kept on chip included. 0 for what cannot be executed.
 */
double tw_l2_operations(const tw_case *c, const tw_machine *machine);

/**
 * @brief Runs all jobs, the largest first, one a core.
 * @param[in] limit  jobs of more operations get TW_EUNSUPPORTED; INFINITY: none
 * @return TW_OK, also where single jobs have failed; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_l2_run_jobs(tw_l2_job *jobs, size_t count, double limit);

/** The job of a measured case: its kernel's own order and occupancy where the row does not say. */
tw_l2_job tw_l2_job_of(const tw_measured *row, const tw_machine *machine, int index);

/** What the shared options say about a launch. */
tw_cache_options tw_l2_options(const tw_options *options);

#ifdef __cplusplus
}
#endif

#endif
