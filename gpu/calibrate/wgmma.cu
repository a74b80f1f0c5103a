/*
 * Tensor cores of Hopper: wgmma m64n256, both operands in shared memory, fp32 accumulators; fp16, bf16, fp8 (e4m3).
 *
 * Two warpgroups of one block an SM issue groups of 8; one group may be under way while the next is issued, so that the
 * queue never runs dry. Both operands are random numbers between -1 and 1: zeros would use less power.
 *
 * The paced loop is for `clock`: one warpgroup, which after each group waits for it and then does nothing for a while.
 */
#include "calibrate.h"
#include "device.cuh"

#include "../cuda_try.h"
#include "../hopper.cuh"

#include <cuda_fp8.h>

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TW_HAS_WGMMA 1
#endif

enum { GROUP = 8, ROUNDS = 1000, REPS = 7, N = 256, ROW_BYTES = 128 };
enum { A_BYTES = 64 * ROW_BYTES, B_BYTES = N * ROW_BYTES, SMEM_BYTES = 1024 + 2 * A_BYTES + B_BYTES };
typedef enum format { FORMAT_FP16, FORMAT_BF16, FORMAT_FP8, NUM_FORMATS } format;

extern __shared__ unsigned char wgmma_smem[];

/* Fills a row of 16 bytes after another with numbers of the format. */
template <int FORMAT> static __device__ __forceinline__ void fill_random(unsigned char *smem, int bytes)
{
    for (int i = threadIdx.x; i < bytes / 2; i += blockDim.x) {
        const float x = random_number(2 * i), y = random_number(2 * i + 1);
        if (FORMAT == FORMAT_FP16)
            ((__half *)smem)[i] = __float2half_rn(x);
        else if (FORMAT == FORMAT_BF16)
            ((__nv_bfloat16 *)smem)[i] = __float2bfloat16_rn(x);
        else
            ((__nv_fp8x2_storage_t *)smem)[i] = __nv_cvt_float2_to_fp8x2(make_float2(x, y), __NV_SATFINITE,
                                                                         __NV_E4M3);
    }
}

#ifdef TW_HAS_WGMMA

/* clang-format off */
#define WGMMA(SHAPE, TYPE, TAIL)                                                                             \
    asm volatile("{\n    .reg .pred add;\n    setp.ne.b32 add, %130, 0;\n    "                               \
                 "wgmma.mma_async.sync.aligned." SHAPE ".f32." TYPE "." TYPE " {" TW_D128 "}, "              \
                 "%128, %129, add, 1, 1" TAIL ";\n}"                                                         \
                 : TW_X128(d, 0) : "l"(a), "l"(b), "r"(1))
/* clang-format on */

/* D += A Bᵀ: 32 bytes of each row of A (64 rows) and of B (256 rows). */
template <int FORMAT>
static __device__ __forceinline__ void multiply_add(float (&d)[N / 2], uint64_t a, uint64_t b)
{
    if (FORMAT == FORMAT_FP16)
        WGMMA("m64n256k16", "f16", ", 0, 0");
    else if (FORMAT == FORMAT_BF16)
        WGMMA("m64n256k16", "bf16", ", 0, 0");
    else
        WGMMA("m64n256k32", "e4m3", "");
}

/* Eight products: twice over the four steps of 32 bytes that a row of 128 has. */
template <int FORMAT>
static __device__ __forceinline__ void issue_group(float (&d)[N / 2], uint64_t a, uint64_t b)
{
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        multiply_add<FORMAT>(d, a + descriptor_step(i % 4 * 32), b + descriptor_step(i % 4 * 32));
    wgmma_commit();
}

#endif

template <int FORMAT, bool PACED>
static __global__ void __launch_bounds__(2 * WARPGROUP, 1) tw_cal_wgmma_loop(tw_cal_loop loop)
{
#ifdef TW_HAS_WGMMA
    const uint32_t base = (shared_address(wgmma_smem) + 1023) & ~1023u;
    fill_random<FORMAT>(wgmma_smem + (base - shared_address(wgmma_smem)), 2 * A_BYTES + B_BYTES);
    fence_for_async();
    __syncthreads();
    const uint64_t a = tile_descriptor(base + threadIdx.x / WARPGROUP * A_BYTES, A_BYTES),
                   b = tile_descriptor(base + 2 * A_BYTES, B_BYTES);
    float d[N / 2] = {};
    const long long start = cycles_now();
    pinned(d);
#pragma unroll 1
    for (int round = 0; round < loop.rounds; round++) {
        issue_group<FORMAT>(d, a, b);
        wgmma_wait<PACED ? 0 : 1>();
        if (PACED) {
            const long long until = cycles_now() + loop.idle_cycles;
            while (cycles_now() < until)
                ;
        }
    }
    wgmma_wait<0>();
    pinned(d);
    __syncthreads();
    if (threadIdx.x == 0)
        loop.cycles[blockIdx.x] = cycles_now() - start;
    float sum = 0;
    for (int i = 0; i < N / 2; i++)
        sum += d[i];
    keep(__float_as_uint(sum), loop.sink);
#endif
}

static const struct {
    const char *name, *number, *per_second; /* the last NULL where a matrix product is measured for it */
    const void *function;
    int depth; /* columns of A and B in 32 bytes */
} formats[NUM_FORMATS] = {
    {"m64n256k16 fp16", "wgmma_fp16_flops_per_clock", NULL,
     (const void *)tw_cal_wgmma_loop<FORMAT_FP16, false>, 16},
    {"m64n256k16 bf16", "wgmma_bf16_flops_per_clock", NULL,
     (const void *)tw_cal_wgmma_loop<FORMAT_BF16, false>, 16},
    {"m64n256k32 e4m3", "wgmma_fp8_flops_per_clock", "tensor_fp8_flops_per_s",
     (const void *)tw_cal_wgmma_loop<FORMAT_FP8, false>, 32},
};

static double flops_of_group(int depth)
{
    return 2.0 * 64 * N * depth * GROUP;
}

tw_cal_wgmma_kernel tw_cal_wgmma_paced(void)
{
    return {(const void *)tw_cal_wgmma_loop<FORMAT_FP16, true>, WARPGROUP, SMEM_BYTES, flops_of_group(16)};
}

static tw_status measure_cycles(tw_calibration *c, int f)
{
    static double cycles[TW_CAL_MAX_SMS];
    double seconds[REPS];
    const tw_cal_loop loop = {ROUNDS, 0, NULL, NULL};
    const double flops = 2 * flops_of_group(formats[f].depth) * ROUNDS;
    TW_TRY(tw_cal_time_loop(c, formats[f].name, formats[f].function, 2 * WARPGROUP, SMEM_BYTES, loop, cycles,
                            seconds, REPS));
    for (int i = 0; i < c->facts.num_sms; i++)
        cycles[i] = flops / cycles[i];
    tw_readings_add(&c->readings, formats[f].number, cycles, c->facts.num_sms,
                    {500, 256.0 * formats[f].depth * 1.01, 0.02},
                    "wgmma %s, operands in shared memory, 2 warpgroups; over SMs", formats[f].name);
    return TW_OK;
}

/* What lasts: launches of some 10 ms for a second, those of its second half. */
static tw_status measure_lasting(tw_calibration *c, int f)
{
    void *cycles = NULL;
    tw_cal_load load;
    const int rounds = 8 * ROUNDS;
    TW_TRY(tw_cal_zeros(&cycles, sizeof(long long) * (size_t)c->facts.num_sms));
    tw_cal_loop loop = {rounds, 0, (long long *)cycles, (uint32_t *)c->memory};
    tw_cal_kernel k = tw_cal_one_per_sm(c, formats[f].name, formats[f].function, &loop, 2 * WARPGROUP);
    k.together = false;
    tw_status status = tw_cal_sustain(&load, c, tw_cal_queue_kernel, &k, c->options->quick ? 0.4 : 1.5);
    tw_cal_release(c, cycles);
    TW_TRY(status);
    const double flops = 2 * flops_of_group(formats[f].depth) * rounds * c->facts.num_sms;
    tw_readings_add_value(&c->readings, formats[f].per_second, flops / load.seconds, load.spread,
                          load.launches, {1e13, 1e16, 0.05},
                          "wgmma %s on random data after %.1f s at full load", formats[f].name,
                          c->options->quick ? 0.2 : 0.75);
    return TW_OK;
}

tw_status tw_cal_wgmma(tw_calibration *c)
{
    if (c->facts.arch != 90)
        return tw_fail(TW_EUNSUPPORTED, "wgmma is there at compute capability 9.0 alone");
    for (int f = 0; f < NUM_FORMATS; f++)
        TW_TRY(measure_cycles(c, f));
    for (int f = 0; f < NUM_FORMATS; f++)
        if (formats[f].per_second != NULL)
            TW_TRY(measure_lasting(c, f));
    return TW_OK;
}
