/*
 * Latencies of atomics and of loads, for l2_sides.c. An atomic that adds 0 changes nothing; the 0 comes from the host, so
 * that the compiler does not know it.
 */
#include "device.cuh"
#include "kernels.h"

enum { TRIES = 6 }; /* the fastest counts: others may be in the way */

static __device__ __forceinline__ uint32_t atomic_add(void *gmem, uint32_t x)
{
    uint32_t before;
    asm volatile("atom.global.add.u32 %0, [%1], %2;" : "=r"(before) : "l"(gmem), "r"(x) : "memory");
    return before;
}

/* Cycles of the fastest of a few atomics on one line. */
static __device__ __forceinline__ float time_atomics(char *gmem, uint32_t zero)
{
    long long best = 1 << 20;
    for (int i = 0; i < TRIES; i++) {
        const long long start = cycles_after((uint32_t)(uintptr_t)gmem);
        const long long cycles = cycles_after(atomic_add(gmem, zero)) - start;
        best = cycles < best ? cycles : best;
    }
    return (float)best;
}

static __global__ void tw_cal_time_pages(tw_cal_table_args a)
{
    if (!meet(a.all, 1) || threadIdx.x > 0)
        return;
    a.smid[blockIdx.x] = sm_number();
    for (int i = 0; i < TW_CAL_COLUMNS; i++) {
        const int column = (i + 7 * blockIdx.x) % TW_CAL_COLUMNS; /* not all at one page */
        char *line = a.memory + column * a.stride + blockIdx.x % 32 * TW_CAL_LINE_BYTES;
        a.latency[blockIdx.x * TW_CAL_COLUMNS + column] = time_atomics(line, a.zero);
    }
}

static __global__ void tw_cal_time_units(tw_cal_home_args a)
{
    if (!meet(a.all, 1) || threadIdx.x % 32 > 0)
        return;
    const int sm = sm_number(), side = a.sides->side_of[sm];
    const int worker = a.sides->rank_of[sm] * TW_CAL_HOME_WARPS + threadIdx.x / 32;
    for (int unit = worker; unit < a.units; unit += a.sides->count[side] * TW_CAL_HOME_WARPS)
        a.latency[side * a.units + unit] = time_atomics(a.memory + unit * a.unit_bytes, a.zero);
}

static __global__ void tw_cal_time_loads(tw_cal_load_args a)
{
    if (!meet(a.all, 1) || threadIdx.x > 0 || sm_number() != a.smid)
        return;
    uint32_t sum = 0;
    for (int i = 0; i < a.n; i++) {
        uint32_t x;
        a.latency[i] = (float)time_load(a.memory + (size_t)a.lines[i] * TW_CAL_LINE_BYTES, x);
        sum ^= x;
    }
    keep(sum, a.sink);
}

extern "C" const void *tw_cal_time_pages_kernel(void)
{
    return (const void *)tw_cal_time_pages;
}

extern "C" const void *tw_cal_time_units_kernel(void)
{
    return (const void *)tw_cal_time_units;
}

extern "C" const void *tw_cal_time_loads_kernel(void)
{
    return (const void *)tw_cal_time_loads;
}
