/**
 * @file nvml.h
 * @brief Energy, clocks and the driver's version, from the driver's management library if there is one.
 *
 * libnvidia-ml.so.1 comes with the driver, so it is loaded when the program runs. Where it is missing,
 * numbers are NAN and texts are "unknown": nothing else depends on it.
 */
#ifndef TW_GPU_NVML_H
#define TW_GPU_NVML_H

#include <stddef.h>

/** Loads the library and finds the GPU by its PCI bus id; harmless if it fails. */
void tw_nvml_open(const char *pci_bus_id);

/** "580.159.04", or "unknown". */
void tw_nvml_driver_version(char *text, size_t size);

/** Energy since the driver was loaded, in millijoules; NAN if it is not known. Advances in steps of some 20 ms. */
double tw_nvml_energy_mj(void);

/** The clock of the SMs now, and the highest there is, in MHz; NAN if not known. */
double tw_nvml_sm_clock_mhz(void);
double tw_nvml_max_sm_clock_mhz(void);
double tw_nvml_memory_clock_mhz(void);

/** The power limit, and the one the GPU was sold with, in watts; NAN if not known. */
double tw_nvml_power_limit_w(void);
double tw_nvml_default_power_limit_w(void);

/** Temperature in degrees Celsius; NAN if not known. */
double tw_nvml_temperature_c(void);

/** How busy the GPU was in the last sampling period, in percent; NAN if not known. */
double tw_nvml_utilisation_percent(void);

/** Is error correction on: 1 or 0; NAN if not known. */
double tw_nvml_ecc(void);

/** Errors that could not be corrected since the driver was loaded; NAN if not known. */
double tw_nvml_uncorrected_errors(void);

/** Processes of others that have a context on the GPU; NAN if not known. */
double tw_nvml_other_processes(void);

/** What holds the clock back, as bits of the driver's own numbering; the power limit is no fault. */
enum {
    TW_NVML_SLOWED_BY_POWER_LIMIT = 0x4,
    TW_NVML_SLOWED_BY_HARDWARE = 0x8,
    TW_NVML_SLOWED_BY_HEAT_SOFTWARE = 0x20,
    TW_NVML_SLOWED_BY_HEAT_HARDWARE = 0x40,
    TW_NVML_SLOWED_BY_POWER_BRAKE = 0x80
};

/** Those that hold it back now; 0 if none, or if not known. */
unsigned tw_nvml_slowdowns(void);

#endif
