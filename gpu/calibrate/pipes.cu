/*
 * The pipes of a softmax, alone: fused multiply-adds, maxima, exponentials (base 2), conversions to fp16. Every thread
 * has CHAINS chains of dependent operations, so that a result is waited for by nobody but its own chain; 32 warps an SM.
 * Counted are instructions x threads, per clock and SM; a conversion makes two fp16 numbers.
 *
 * What each operation gives is fed into the next one, so none of them can be left out, taken out of the loop, or merged.
 */
#include "calibrate.h"
#include "device.cuh"

#include "../cuda_try.h"

enum {
    THREADS = 1024,
    CHAINS = 8,
    LINKS = 32,
    ADDENDS = 4,
    ROUNDS = 80,
    REPS = 9
}; /* long: the loop's own count 1 % */
typedef enum pipe { PIPE_FMA, PIPE_MAX, PIPE_EXP, PIPE_CVT, NUM_PIPES } pipe;

template <int PIPE> static __device__ __forceinline__ float one(float x, float y, float z)
{
    float result;
    if (PIPE == PIPE_FMA)
        asm volatile("fma.rn.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(x), "f"(y), "f"(z));
    if (PIPE == PIPE_MAX)
        asm volatile("max.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(y));
    if (PIPE == PIPE_EXP)
        asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    if (PIPE == PIPE_CVT) {
        uint32_t pair;
        asm volatile("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(x), "f"(y));
        result = __uint_as_float(pair);
    }
    return result;
}

template <int PIPE> static __global__ void __launch_bounds__(THREADS) tw_cal_pipe(tw_cal_loop a)
{
    float x[CHAINS], y[ADDENDS];
    const float z = 1e-3f * (float)a.rounds;
#pragma unroll
    for (int i = 0; i < ADDENDS; i++)
        y[i] = 1e-4f * (float)(a.rounds + i * (int)blockDim.x);
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        x[i] = 1e-3f * (float)(threadIdx.x + i);
    __syncthreads();
    const long long start = cycles_now();
#pragma unroll 1
    for (int round = 0; round < a.rounds; round++)
#pragma unroll
        for (int link = 0; link < LINKS; link++)
#pragma unroll
            for (int i = 0; i < CHAINS; i++)
                x[i] = one<PIPE>(x[i], y[link % ADDENDS], z);
    __syncthreads();
    if (threadIdx.x == 0)
        a.cycles[blockIdx.x] = cycles_now() - start;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        sum += x[i];
    keep(__float_as_uint(sum), a.sink);
}

static const struct {
    const char *per_clock, *per_second; /* NULL: not asked for */
    double operations;                  /* that one instruction is, in per_second */
    const char *instruction;
    const void *function;
    double lowest, highest; /* per clock and SM */
} pipes[NUM_PIPES] = {
    {"fmas_per_clock", "fma_flops_per_s", 2, "fma.rn.f32", (const void *)tw_cal_pipe<PIPE_FMA>, 30, 257},
    {"maxs_per_clock", NULL, 1, "max.f32", (const void *)tw_cal_pipe<PIPE_MAX>, 15, 257},
    {"exps_per_clock", "exps_per_s", 1, "ex2.approx.ftz.f32", (const void *)tw_cal_pipe<PIPE_EXP>, 3, 65},
    {"cvts_per_clock", NULL, 1, "cvt.rn.f16x2.f32", (const void *)tw_cal_pipe<PIPE_CVT>, 7, 257},
};

static tw_status measure(tw_calibration *c, int which)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double instructions = (double)THREADS * CHAINS * LINKS * ROUNDS;
    TW_TRY(tw_cal_time_loop(c, pipes[which].instruction, pipes[which].function, THREADS, 0, loop, cycles,
                            seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = instructions / cycles[i];
    tw_readings_add(&c->readings, pipes[which].per_clock, cycles, c->facts.num_sms,
                    {pipes[which].lowest, pipes[which].highest, 0.02},
                    "%s, %d independent a thread, %d threads; over SMs", pipes[which].instruction, CHAINS,
                    THREADS);
    if (pipes[which].per_second == NULL)
        return TW_OK;
    for (int i = 0; i < REPS; i++)
        seconds[i] = pipes[which].operations * instructions * c->facts.num_sms / seconds[i];
    const double clocks = c->facts.num_sms * (c->facts.clock_hz > 0 ? c->facts.clock_hz : 4e9);
    tw_readings_add(&c->readings, pipes[which].per_second, seconds, REPS,
                    {0.05 * pipes[which].operations * pipes[which].lowest * clocks,
                     pipes[which].operations * pipes[which].highest * clocks, 0.1},
                    "the same over the time between two events, all SMs");
    return TW_OK;
}

tw_status tw_cal_pipes(tw_calibration *c)
{
    for (int i = 0; i < NUM_PIPES; i++)
        TW_TRY(measure(c, i));
    return TW_OK;
}
