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

/** The power limit in watts; NAN if not known. */
double tw_nvml_power_limit_w(void);

#endif
