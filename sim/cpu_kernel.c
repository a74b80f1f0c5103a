/* The inner loops of calibrate-cpu. module.mk compiles this with other -m flags and another TW_ISA each time; the width
 * of a vector follows from the flags. Nothing but the struct may have external linkage, as in cpu_ref/tiled_kernel.c. */
#include "cpu_kernel.h"

#ifndef TW_ISA
#define TW_ISA     baseline
#define TW_CHOOSES /* this copy also holds the choice between them */
#endif

#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX2__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
enum { STREAMS = 8, ACCUMULATORS = 12 }; /* two pipes with a latency of four need eight */

typedef float vec __attribute__((vector_size(WIDTH * sizeof(float))));
_Static_assert(TW_CPU_KERNEL_FLOATS % (STREAMS * WIDTH) == 0, "a round takes STREAMS vectors");

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static vec splat(float x)
{
    return x - (vec){0};
}

static float sum_of(const vec *x, int n)
{
    float sum = 0.0F;
    for (int i = 0; i < n; i++)
        for (int lane = 0; lane < WIDTH; lane++)
            sum += x[i][lane];
    return sum;
}

static float read_all(const float *x, size_t n, long rounds)
{
    vec sums[STREAMS] = {{0}};
    for (; rounds > 0; rounds--)
        for (const float *at = x; at < x + n; at += (size_t)STREAMS * WIDTH) {
            UNROLL
            for (int i = 0; i < STREAMS; i++)
                sums[i] += *(const vec *)(at + (size_t)i * WIDTH);
        }
    return sum_of(sums, STREAMS);
}

static void write_all(float *x, size_t n, long rounds)
{
    for (; rounds > 0; rounds--) {
        const vec v = splat((float)rounds);
        for (float *at = x; at < x + n; at += (size_t)STREAMS * WIDTH) {
            UNROLL
            for (int i = 0; i < STREAMS; i++)
                *(vec *)(at + (size_t)i * WIDTH) = v;
            __asm__ volatile(
                "" ::
                    : "memory"); /* otherwise it becomes memset, which may store past the caches */
        }
    }
}

static float multiply_add(long steps, float seed)
{
    const vec a = splat(0.999F), b = splat(seed);
    vec acc[ACCUMULATORS];
    for (int i = 0; i < ACCUMULATORS; i++)
        acc[i] = splat(seed + (float)i);
    for (; steps > 0; steps--) {
        UNROLL
        for (int i = 0; i < ACCUMULATORS; i++)
            acc[i] = acc[i] * a + b;
    }
    return sum_of(acc, ACCUMULATORS);
}

#define NAME_(isa)  tw_cpu_kernel_##isa
#define NAME(isa)   NAME_(isa)
#define TEXT_(text) #text
#define TEXT(text)  TEXT_(text)

const tw_cpu_kernel NAME(TW_ISA) = {.isa = TEXT(TW_ISA),
                                    .read = read_all,
                                    .write = write_all,
                                    .fma = multiply_add,
                                    .flops_per_step = 2 * ACCUMULATORS * WIDTH};

#ifdef TW_CHOOSES
const tw_cpu_kernel *tw_cpu_kernel_best(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return &tw_cpu_kernel_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &tw_cpu_kernel_avx2;
#endif
    return &tw_cpu_kernel_baseline;
}
#endif
