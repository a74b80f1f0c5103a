/* The few functions of the management library that are used, declared here: its header is not always there. */
#include "nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct nvmlDevice_st *nvml_device;
enum { NVML_SUCCESS = 0, NVML_CLOCK_SM = 1, NVML_CLOCK_MEM = 2, NVML_TEMPERATURE_GPU = 0 };
enum { NVML_MEMORY_ERROR_UNCORRECTED = 1, NVML_VOLATILE_ECC = 0, MAX_PROCESSES = 64 };

typedef struct nvml_utilisation {
    unsigned int gpu, memory;
} nvml_utilisation;

typedef struct nvml_process {
    unsigned int pid;
    unsigned long long used_bytes;
    unsigned int gpu_instance, compute_instance;
} nvml_process;

static struct {
    nvml_device device; /* NULL: not open */
    int (*init)(void);
    int (*device_by_bus_id)(const char *bus_id, nvml_device *device);
    int (*driver_version)(char *text, unsigned int length);
    int (*energy)(nvml_device device, unsigned long long *millijoules);
    int (*clock)(nvml_device device, int type, unsigned int *mhz);
    int (*max_clock)(nvml_device device, int type, unsigned int *mhz);
    int (*power_limit)(nvml_device device, unsigned int *milliwatts);
    /* Only for the doctor: NULL where a driver does not have them. */
    int (*default_power_limit)(nvml_device device, unsigned int *milliwatts);
    int (*temperature)(nvml_device device, int sensor, unsigned int *celsius);
    int (*utilisation)(nvml_device device, nvml_utilisation *percent);
    int (*ecc_mode)(nvml_device device, unsigned int *current, unsigned int *pending);
    int (*ecc_errors)(nvml_device device, int error, int counter, unsigned long long *count);
    int (*compute_processes)(nvml_device device, unsigned int *count, nvml_process *processes);
    int (*slowdowns)(nvml_device device, unsigned long long *reasons);
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
    find(library, &nvml.default_power_limit, "nvmlDeviceGetPowerManagementDefaultLimit");
    find(library, &nvml.temperature, "nvmlDeviceGetTemperature");
    find(library, &nvml.utilisation, "nvmlDeviceGetUtilizationRates");
    find(library, &nvml.ecc_mode, "nvmlDeviceGetEccMode");
    find(library, &nvml.ecc_errors, "nvmlDeviceGetTotalEccErrors");
    find(library, &nvml.compute_processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    if (!find(library, &nvml.slowdowns, "nvmlDeviceGetCurrentClocksEventReasons")) /* and its older name */
        find(library, &nvml.slowdowns, "nvmlDeviceGetCurrentClocksThrottleReasons");
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

double tw_nvml_default_power_limit_w(void)
{
    unsigned int milliwatts;
    if (nvml.device == NULL || nvml.default_power_limit == NULL ||
        nvml.default_power_limit(nvml.device, &milliwatts) != NVML_SUCCESS)
        return NAN;
    return milliwatts / 1000.0;
}

double tw_nvml_temperature_c(void)
{
    unsigned int celsius;
    if (nvml.device == NULL || nvml.temperature == NULL ||
        nvml.temperature(nvml.device, NVML_TEMPERATURE_GPU, &celsius) != NVML_SUCCESS)
        return NAN;
    return celsius;
}

double tw_nvml_utilisation_percent(void)
{
    nvml_utilisation percent;
    if (nvml.device == NULL || nvml.utilisation == NULL ||
        nvml.utilisation(nvml.device, &percent) != NVML_SUCCESS)
        return NAN;
    return percent.gpu;
}

double tw_nvml_ecc(void)
{
    unsigned int current, pending;
    if (nvml.device == NULL || nvml.ecc_mode == NULL ||
        nvml.ecc_mode(nvml.device, &current, &pending) != NVML_SUCCESS)
        return NAN;
    return current;
}

double tw_nvml_uncorrected_errors(void)
{
    unsigned long long count;
    if (nvml.device == NULL || nvml.ecc_errors == NULL ||
        nvml.ecc_errors(nvml.device, NVML_MEMORY_ERROR_UNCORRECTED, NVML_VOLATILE_ECC, &count) !=
            NVML_SUCCESS)
        return NAN;
    return (double)count;
}

/* In a container the driver may name this process by a number that getpid() does not know: then one of them is taken
 * to be this one. */
double tw_nvml_other_processes(void)
{
    nvml_process processes[MAX_PROCESSES];
    unsigned int count = MAX_PROCESSES;
    if (nvml.device == NULL || nvml.compute_processes == NULL ||
        nvml.compute_processes(nvml.device, &count, processes) != NVML_SUCCESS)
        return NAN;
    return count > 0 ? count - 1.0 : 0.0;
}

unsigned tw_nvml_slowdowns(void)
{
    unsigned long long reasons;
    if (nvml.device == NULL || nvml.slowdowns == NULL ||
        nvml.slowdowns(nvml.device, &reasons) != NVML_SUCCESS)
        return 0;
    return (unsigned)reasons;
}
