/*
 * Tensor cores the way every GPU since compute capability 8.0 has them: mma.sync m16n8k16, fp16 and bf16, fp32
 * accumulators. 16 warps an SM, 8 independent accumulators each; operands stay in registers.
 */
#include "calibrate.h"
#include "device.cuh"

#include "../cuda_try.h"
#include "../mma.cuh"

enum { THREADS = 512, TILES = 8, ROUNDS = 2000, REPS = 5 };
static const double FLOPS = 2.0 * 16 * 8 * 16; /* of one instruction */

/* Two numbers between -1 and 1, packed. */
static __device__ __forceinline__ uint32_t random_pair(__half2 *, uint32_t seed)
{
    const __half2 pair = __floats2half2_rn(random_number(seed), random_number(seed + 1));
    return *(const uint32_t *)&pair;
}

static __device__ __forceinline__ uint32_t random_pair(__nv_bfloat162 *, uint32_t seed)
{
    const __nv_bfloat162 pair = __floats2bfloat162_rn(random_number(seed), random_number(seed + 1));
    return *(const uint32_t *)&pair;
}

template <typename T, typename PAIR>
static __global__ void __launch_bounds__(THREADS) tw_cal_mma_loop(tw_cal_loop loop)
{
    float c[TILES][4] = {};
    uint32_t a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i] = random_pair((PAIR *)NULL, threadIdx.x * 16 + 2 * i);
    for (int i = 0; i < 2; i++)
        b[i] = random_pair((PAIR *)NULL, threadIdx.x * 16 + 8 + 2 * i);
    __syncthreads();
    const long long start = cycles_now();
#pragma unroll 1
    for (int round = 0; round < loop.rounds; round++)
#pragma unroll
        for (int i = 0; i < TILES; i++)
            mma<T>(c[i], a, b[0], b[1]);
    __syncthreads();
    if (threadIdx.x == 0)
        loop.cycles[blockIdx.x] = cycles_now() - start;
    float sum = 0;
    for (int i = 0; i < TILES; i++)
        sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    keep(__float_as_uint(sum), loop.sink);
}

static tw_status measure(tw_calibration *c, const char *number, const void *function, const char *format)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double flops = FLOPS * TILES * ROUNDS * (THREADS / 32);
    TW_TRY(tw_cal_time_loop(c, "mma.sync", function, THREADS, 0, loop, cycles, seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = flops / cycles[i];
    tw_readings_add(&c->readings, number, cycles, c->facts.num_sms, {400, 8200, 0.02},
                    "mma.sync m16n8k16 %s, %d warps with %d accumulators; over SMs", format, THREADS / 32,
                    TILES);
    return TW_OK;
}

tw_status tw_cal_mma(tw_calibration *c)
{
    TW_TRY(measure(c, "mma_fp16_flops_per_clock", (const void *)tw_cal_mma_loop<__half, __half2>, "fp16"));
    return measure(c, "mma_bf16_flops_per_clock",
                   (const void *)tw_cal_mma_loop<__nv_bfloat16, __nv_bfloat162>, "bf16");
}
