/*
 * Shared memory: 1,024 threads load 16 bytes each, neighbours side by side, so that no two lanes of a quarter of a warp
 * meet in a bank. Hardware can give 128 bytes a clock and SM: 32 banks of 4 bytes.
 */
#include "calibrate.h"
#include "device.cuh"

#include "../cuda_try.h"

enum { THREADS = 1024, LOADS = 8, ROUNDS = 2000, REPS = 11 };
static const int BYTES = 16 * THREADS; /* read again and again */

extern __shared__ uint4 calibrate_smem[];

/* Volatile (9.7.9.8), or else loads of one address become one. */
static __device__ __forceinline__ uint4 load_16_from_shared(uint32_t smem)
{
    uint4 x;
    asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(smem));
    return x;
}

static __global__ void __launch_bounds__(THREADS) tw_cal_read_smem(tw_cal_loop a)
{
    const uint32_t smem = (uint32_t)__cvta_generic_to_shared(calibrate_smem) + 16 * threadIdx.x;
    uint32_t sum = 0;
    calibrate_smem[threadIdx.x] = make_uint4(threadIdx.x, 1, 2, 3);
    __syncthreads();
    const long long start = cycles_now();
    for (int round = 0; round < a.rounds; round++) {
        uint4 x[LOADS];
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            x[i] = load_16_from_shared(smem);
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            sum ^= folded(x[i]) + i;
    }
    __syncthreads();
    if (threadIdx.x == 0)
        a.cycles[blockIdx.x] = cycles_now() - start;
    keep(sum, a.sink);
}

tw_status tw_cal_smem(tw_calibration *c)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double bytes = 16.0 * THREADS * LOADS * ROUNDS;
    TW_TRY(tw_cal_time_loop(c, "loads from shared memory", (const void *)tw_cal_read_smem, THREADS, BYTES,
                            loop, cycles, seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = bytes / cycles[i];
    for (int i = 0; i < REPS; i++)
        seconds[i] = bytes * c->facts.num_sms / seconds[i];
    tw_readings_add(&c->readings, "smem_bytes_per_clock", cycles, c->facts.num_sms, {60, 129, 0.02},
                    "ld.shared of 16 bytes, %d threads, no conflicts; over SMs", THREADS);
    tw_readings_add(&c->readings, "smem_bytes_per_s", seconds, REPS, {1e11, 1e15, 0.1},
                    "the same, all SMs over the time between two events");
    return TW_OK;
}
