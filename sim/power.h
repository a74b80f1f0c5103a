/**
 * @file power.h
 * @brief Clock and energy: what runs takes power, and where the limit is reached the clock gives way.
 *
 * Energies a piece of work, from loops of one kind each, are added up; the sum at the highest clock against the limit
 * says how far the clock falls. The limit holds an average: launches back to back feel it after about a second, those
 * with pauses between may take more. And where tensor and CUDA cores work together, the clock never is the highest.
 */
#ifndef TW_POWER_H
#define TW_POWER_H

#include "backend_count.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Work of a launch, or of many, that takes energy. */
typedef struct tw_energy_work {
    double cycles;           /**< of the SM, all launches */
    double tensor_cycles;    /**< of these, those of launches that use tensor cores */
    double tensor_flops;     /**< of products by tensor cores */
    double fmas;             /**< of products without */
    double exps;             /**< exponentials */
    double plain_operations; /**< what goes along with them on the CUDA cores */
    double smem_bytes;       /**< from shared memory, other than to wgmma */
    double l2_bytes;         /**< between L2 and SMs */
    double hbm_bytes;        /**< of HBM, read and written */
} tw_energy_work;

/** Clock, time and energy of a launch. */
typedef struct tw_power {
    double clock_hz; /**< of launches with pauses between, as benchmarks time them: cycles over time */
    double time_s;   /**< at it */
    double lasting_clock_hz; /**< of launches back to back, after a second, as the driver reports it */
    double lasting_time_s;   /**< of each of them */
    double energy_j;         /**< of one of them, idle power included */
    double power_w;          /**< while they run */
} tw_power;

/**
 * @brief Clock, time and energy of work.
 * @param[out] power    untouched on error
 * @param[in]  work     of all launches
 * @param[in]  machine  whose energies, limits and clocks count
 * @return TW_OK; TW_EUNSUPPORTED (the machine has no clock_hz); without energies the clock stays at its highest and
 *         energy and power are NaN
 */
TW_MUST_CHECK tw_status tw_power_of(tw_power *power, const tw_energy_work *work, const tw_machine *machine);

/** What counts say of the work: products by tensor cores or FMA, exponentials with what goes along with each, bytes. */
tw_energy_work tw_energy_work_of(const tw_counts *counts, bool tensor, double l2_bytes, double hbm_bytes);

#ifdef __cplusplus
}
#endif

#endif
