/* The GPU that everything runs on. */
#include "device.h"

#include "../sim/version.h"
#include "cuda_try.h"
#include "nvml.h"

#include <math.h>
#include <string.h>

static tw_status count_devices(void)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess)
        return tw_fail(TW_EGPU, "no GPU can be used: %s (%s)", cudaGetErrorName(error),
                       cudaGetErrorString(error));
    if (count == 0)
        return tw_fail(TW_EGPU, "no GPU can be used: the driver finds none");
    return TW_OK;
}

tw_status tw_gpu_device_open(tw_gpu_device *device)
{
    TW_TRY(count_devices());
    struct cudaDeviceProp properties;
    char bus_id[32];
    int runtime;
    TW_CUDA_TRY(cudaSetDevice(0));
    TW_CUDA_TRY(cudaGetDeviceProperties(&properties, 0));
    TW_CUDA_TRY(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, 0));
    TW_CUDA_TRY(cudaRuntimeGetVersion(&runtime));
    tw_nvml_open(bus_id);

    memset(device, 0, sizeof *device);
    memcpy(device->name, properties.name, sizeof device->name);
    tw_gpu_machine_name(device->machine, sizeof device->machine, device->name);
    tw_nvml_driver_version(device->driver, sizeof device->driver);
    snprintf(device->cuda, sizeof device->cuda, "%d.%d", runtime / 1000, runtime % 1000 / 10);
    double max_clock = tw_nvml_max_sm_clock_mhz();
    if (isnan(max_clock))
        snprintf(device->clock, sizeof device->clock, "unknown");
    else
        snprintf(device->clock, sizeof device->clock,
                 "SM up to %.0f MHz, memory %.0f MHz, power limit %.0f W", max_clock,
                 tw_nvml_memory_clock_mhz(), tw_nvml_power_limit_w());
    device->arch = 10 * properties.major + properties.minor;
    return TW_OK;
}

void tw_gpu_write_header(FILE *file, const tw_gpu_device *device, const char *command_line)
{
    fprintf(file, "# gpu: %s\n# driver: %s\n# cuda: %s\n# clock: %s\n# commit: %s\n# command: %s\n",
            device->name, device->driver, device->cuda, device->clock, tw_commit(), command_line);
}

/* Tensors, workspace and a little room for what the libraries take beside them. */
static tw_status check_memory(const tw_gpu_kernel *k, const tw_problem *p, const tw_tiling *t,
                              size_t held_bytes)
{
    size_t free_bytes, total_bytes;
    TW_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    double element = tw_dtype_bytes(p->dtype);
    double need = element * 2.0 * ((double)tw_problem_q_elements(p) + (double)tw_problem_k_elements(p)) +
                  4.0 * (double)tw_problem_lse_elements(p) + (double)k->workspace_bytes(p, t) + 64e6;
    double there = (double)free_bytes + (double)held_bytes;
    if (need > there)
        return tw_fail(
            TW_ENOMEM,
            "%s needs %.1f GB of GPU memory for batch %d, %d heads, %d queries and %d keys; %.1f GB of %.1f "
            "are free",
            k->name, need / 1e9, p->batch, p->num_heads, p->seqlen_q, p->seqlen_k, there / 1e9,
            (double)total_bytes / 1e9);
    return TW_OK;
}

tw_status tw_gpu_can_run(const tw_gpu_device *device, const tw_gpu_kernel *kernel, const tw_problem *problem,
                         const tw_tiling *tiling, size_t held_bytes)
{
    if (device->arch < kernel->min_arch)
        return tw_fail(TW_EUNSUPPORTED, "%s needs compute capability %d.%d, the %s has %d.%d", kernel->name,
                       kernel->min_arch / 10, kernel->min_arch % 10, device->name, device->arch / 10,
                       device->arch % 10);
    if (!kernel->takes_orders && (tiling->order != TW_ORDER_OWN || tiling->kv_order != TW_KV_FORWARD))
        return tw_fail(TW_EUNSUPPORTED, "%s works in its own order alone", kernel->name);
    TW_TRY(kernel->supports(problem, tiling));
    return check_memory(kernel, problem, tiling, held_bytes);
}
