/*
 * What the microbenchmarks share on the device: clocks, where a block runs, blocks that begin together, loads that
 * cannot be left out. Sections are those of the PTX ISA.
 */
#ifndef TW_CALIBRATE_DEVICE_CUH
#define TW_CALIBRATE_DEVICE_CUH

#include "kernels.h"

#include <stdint.h>

/* Between -1 and 1. */
static __host__ __device__ __forceinline__ float random_number(uint32_t seed)
{
    return (float)(int32_t)tw_cal_hash(seed) * (1.0f / 2147483648.0f);
}

/* The SM that this thread runs on (10, %smid). */
static __device__ __forceinline__ int sm_number()
{
    uint32_t id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return (int)id;
}

/* The SM's clock (10, %clock64); volatile and with "memory" it stays where it stands among other such statements. */
static __device__ __forceinline__ long long cycles_now()
{
    long long cycles;
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(cycles)::"memory");
    return cycles;
}

/* The clock, read not before `value` has arrived: the address of the read depends on it. */
static __device__ __forceinline__ long long cycles_after(uint32_t value)
{
    long long cycles;
    asm volatile("{\n"
                 "    .reg .pred never;\n"
                 "    setp.eq.u32 never, %1, 0x9e3779b9;\n"
                 "    @never nanosleep.u32 1;\n"
                 "    mov.u64 %0, %%clock64;\n"
                 "}"
                 : "=l"(cycles)
                 : "r"(value)
                 : "memory");
    return cycles;
}

/* 4 bytes from L2, never from L1 (9.7.9.8). */
static __device__ __forceinline__ uint32_t load_4_from_l2(const void *gmem)
{
    uint32_t x;
    asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(x) : "l"(gmem) : "memory");
    return x;
}

/*
 * Cycles that a load takes from when its address is known until its value can be used. Whoever calls this spends the
 * same instructions on it: two kernels' cycles can be compared.
 */
static __device__ __forceinline__ int time_load(const void *gmem, uint32_t &x)
{
    const long long start = cycles_after((uint32_t)(uintptr_t)gmem);
    x = load_4_from_l2(gmem);
    const long long cycles = cycles_after(x) - start;
    return (int)(cycles < 1 << 20 ? cycles
                                  : 1 << 20); /* compared in 64 bits: a clock of 32 is read more slowly */
}

/* 16 bytes from L2, never from L1. */
static __device__ __forceinline__ uint4 load_16_from_l2(const void *gmem)
{
    uint4 x;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(gmem));
    return x;
}

static __device__ __forceinline__ void store_16(uint4 *gmem, uint4 x)
{
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(gmem), "r"(x.x), "r"(x.y), "r"(x.z),
                 "r"(x.w)
                 : "memory");
}

static __device__ __forceinline__ uint32_t folded(uint4 x)
{
    return x.x ^ x.y ^ x.z ^ x.w;
}

/* Stores a result that nobody reads, if it is a number that it hardly ever is: the work before it must be done. */
static __device__ __forceinline__ void keep(uint32_t result, uint32_t *sink)
{
    if (result == 0x5bd1e995u)
        *sink = result;
}

/* ---- blocks that wait for each other -------------------------------------------------------------------- */

static const long long LONGEST_WAIT = 2000000000; /* cycles, 1 s: then somebody is missing, and all give up */

/*
 * All blocks of a cooperative launch: nobody goes on before everybody has come for the nth time (n from 1). False if
 * that took too long; then it is false for all that come later too. To be called by all threads of a block.
 */
static __device__ __forceinline__ bool meet(tw_cal_meeting *m, unsigned nth)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        const unsigned wanted = nth * gridDim.x;
        const long long start = cycles_now();
        unsigned arrived;
        __threadfence();
        atomicAdd(&m->arrived, 1u);
        do
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(arrived) : "l"(&m->arrived) : "memory");
        while (arrived < wanted && cycles_now() - start < LONGEST_WAIT);
        if (arrived < wanted) {
            atomicExch(&m->failed, 1u);
            atomicAdd(&m->arrived, 0x40000000u); /* lets the others go */
        }
    }
    __syncthreads();
    unsigned failed;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(failed) : "l"(&m->failed) : "memory");
    return failed == 0;
}

#endif
