/* The few functions of the management library that are used, declared here: its header is not always there. */
#include "nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct nvmlDevice_st *nvml_device;
enum { NVML_SUCCESS = 0, NVML_CLOCK_SM = 1, NVML_CLOCK_MEM = 2 };

static struct {
    nvml_device device; /* NULL: not open */
    int (*init)(void);
    int (*device_by_bus_id)(const char *bus_id, nvml_device *device);
    int (*driver_version)(char *text, unsigned int length);
    int (*energy)(nvml_device device, unsigned long long *millijoules);
    int (*clock)(nvml_device device, int type, unsigned int *mhz);
    int (*max_clock)(nvml_device device, int type, unsigned int *mhz);
    int (*power_limit)(nvml_device device, unsigned int *milliwatts);
} nvml;

/* ISO C has no cast from an object pointer to a function pointer; the bytes are the same. */
static int find(void *library, void *function, const char *name)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

void tw_nvml_open(const char *pci_bus_id)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return;
    int complete = find(library, &nvml.init, "nvmlInit_v2") &&
                   find(library, &nvml.device_by_bus_id, "nvmlDeviceGetHandleByPciBusId_v2") &&
                   find(library, &nvml.driver_version, "nvmlSystemGetDriverVersion") &&
                   find(library, &nvml.energy, "nvmlDeviceGetTotalEnergyConsumption") &&
                   find(library, &nvml.clock, "nvmlDeviceGetClockInfo") &&
                   find(library, &nvml.max_clock, "nvmlDeviceGetMaxClockInfo") &&
                   find(library, &nvml.power_limit, "nvmlDeviceGetEnforcedPowerLimit");
    nvml_device device = NULL;
    if (complete && nvml.init() == NVML_SUCCESS && nvml.device_by_bus_id(pci_bus_id, &device) == NVML_SUCCESS)
        nvml.device = device;
}

void tw_nvml_driver_version(char *text, size_t size)
{
    if (nvml.device == NULL || nvml.driver_version(text, (unsigned int)size) != NVML_SUCCESS)
        snprintf(text, size, "unknown");
}

double tw_nvml_energy_mj(void)
{
    unsigned long long millijoules;
    if (nvml.device == NULL || nvml.energy(nvml.device, &millijoules) != NVML_SUCCESS)
        return NAN;
    return (double)millijoules;
}

static double clock_mhz(int type)
{
    unsigned int mhz;
    if (nvml.device == NULL || nvml.clock(nvml.device, type, &mhz) != NVML_SUCCESS)
        return NAN;
    return mhz;
}

double tw_nvml_sm_clock_mhz(void)
{
    return clock_mhz(NVML_CLOCK_SM);
}

double tw_nvml_memory_clock_mhz(void)
{
    return clock_mhz(NVML_CLOCK_MEM);
}

double tw_nvml_max_sm_clock_mhz(void)
{
    unsigned int mhz;
    if (nvml.device == NULL || nvml.max_clock(nvml.device, NVML_CLOCK_SM, &mhz) != NVML_SUCCESS)
        return NAN;
    return mhz;
}

double tw_nvml_power_limit_w(void)
{
    unsigned int milliwatts;
    if (nvml.device == NULL || nvml.power_limit(nvml.device, &milliwatts) != NVML_SUCCESS)
        return NAN;
    return milliwatts / 1000.0;
}
