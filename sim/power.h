/**
 * @file power.h
 * @brief Clock and energy: what runs takes power, and where the limit is reached the clock gives way.
 *
 * Energies a piece of work, from loops of one kind each, are added up; the sum at the highest clock against the limit
 * says how far the clock falls. For launches back to back, after about a second; a single one runs faster.
 */
#ifndef TW_POWER_H
#define TW_POWER_H

#include "backend_count.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Work of a launch, or of many, that takes energy. */
typedef struct tw_energy_work {
    double tensor_flops, fmas, exps, plain_operations, smem_bytes, l2_bytes, hbm_bytes;
} tw_energy_work;

typedef struct tw_power {
    double clock_hz; /**< that lasts */
    double time_s;   /**< at it */
    double energy_j; /**< of the launch, idle power included */
    double power_w;
} tw_power;

/**
 * @brief Clock, time and energy of work that takes `cycles`.
 * @return TW_OK; TW_EUNSUPPORTED (the machine has no clock_hz); without energies the clock stays at its highest and
 *         energy and power are NaN
 */
TW_MUST_CHECK tw_status tw_power_of(tw_power *power, const tw_energy_work *work, double cycles,
                                    const tw_machine *machine);

/** What counts say of the work: products by tensor cores or FMA, exponentials with what goes along with each, bytes. */
tw_energy_work tw_energy_work_of(const tw_counts *counts, bool tensor, double l2_bytes, double hbm_bytes);

#ifdef __cplusplus
}
#endif

#endif
