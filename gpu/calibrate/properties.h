/**
 * @file properties.h
 * @brief What a driver says about its GPU, and the machine that follows from that alone. No CUDA in here.
 */
#ifndef TW_CALIBRATE_PROPERTIES_H
#define TW_CALIBRATE_PROPERTIES_H

#include "../../sim/machine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_cal_facts {
    char name[128];   /**< "NVIDIA H100 80GB HBM3" */
    char machine[64]; /**< "h100" */
    char driver[64];
    int arch; /**< 90 for 9.0 */
    int num_sms;
    int smem_bytes, smem_bytes_per_sm; /**< that one block, one SM may have */
    int register_bytes_per_sm;
    double l2_bytes, hbm_bytes;
    double clock_hz, memory_clock_hz; /**< highest; 0 if not known */
    int memory_bits;                  /**< 0 if not known */
} tw_cal_facts;

/** Bytes a second that memory clock and width allow, two transfers a clock; 0 if not known. */
double tw_cal_peak_bytes_per_s(const tw_cal_facts *facts);

/**
 * @brief A machine of the driver's word alone: usable, and uncalibrated.
 *
 * Sizes are the driver's. Rates are peaks: memory clock x width, and what an SM of that compute capability does in a
 * clock.
 * @param[in] date  YYYY-MM-DD
 * @return TW_OK; TW_EINVAL (a fact that no machine can have)
 */
TW_MUST_CHECK tw_status tw_cal_machine_of_facts(tw_machine *machine, const tw_cal_facts *facts,
                                                const char *date);

/**
 * @brief What a calibration starts from: the built-in machine of that name with the driver's sizes, or else
 *        tw_cal_machine_of_facts(). Numbers that calibration does not measure stay, with the source that they have.
 */
TW_MUST_CHECK tw_status tw_cal_base_machine(tw_machine *machine, const tw_cal_facts *facts, const char *date);

#ifdef __cplusplus
}
#endif

#endif
