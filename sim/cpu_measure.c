/* What can be measured of a CPU: every core works at once, on a part of its own.
 *
 * A thread is charged the time that it ran, not the time that it waited for a core: on a busy system the figures are
 * those of the cores, not those of the queue. */
#include "cpu.h"

#include "../cpu_ref/attention.h"
#include "../cpu_ref/memory.h"
#include "../cpu_ref/threads.h"
#include "../cpu_ref/tiled_kernel.h"
#include "cpu_kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A sample is the best of a few tries, on a busy system a try may be disturbed; of one try if that is long. */
enum { REPEATS = 7, CURVE_REPEATS = 3, TRIES = 3, CHAIN = 16 };
static const double TRY_S = 0.005, LONG_S = 0.02, ENOUGH_S = 14.0;

typedef struct measuring {
    const tw_cpu *cpu;
    const tw_cpu_kernel *kernel;
    int threads, tries;
    float *memory; /* one part after the other, a part for each thread */
    size_t floats;
    double start_s;
    volatile float sink; /* results go here, so that they are wanted */
} measuring;

static double seconds_of(clockid_t clock)
{
    struct timespec t = {0, 0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now_s(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

/* Does `rounds` rounds of some work in one thread; `part` is its number. */
typedef float (*work_fn)(const measuring *m, size_t floats, long rounds, int part);

static float work_read(const measuring *m, size_t floats, long rounds, int part)
{
    return m->kernel->read(m->memory + (size_t)part * floats, floats, rounds);
}

static float work_write(const measuring *m, size_t floats, long rounds, int part)
{
    m->kernel->write(m->memory + (size_t)part * floats, floats, rounds);
    return 0.0F;
}

static float work_fma(const measuring *m, size_t floats, long rounds, int part)
{
    (void)floats;
    return m->kernel->fma(rounds,
                          1.0F + (float)part); /* towards 1000: never subnormal, which would be slow */
}

enum { EXPS = 2048 };

static float work_exp(const measuring *m, size_t floats, long rounds, int part)
{
    const tw_tiled_kernel *kernels[3];
    float *x = m->memory + (size_t)part * floats;
    tw_tiled_kernels(kernels);
    for (long i = 0; i < rounds; i++)
        kernels[0]->exp2(x, x + EXPS, EXPS);
    return x[0];
}

/* ---- what attention is made of: one panel of queries and one tile of keys, in a core's own cache -------- */

enum {
    TILE_KEYS = 120,
    TILE_DIM = 120,
    TILE_ARRAYS = 6,
    TILE_FLOATS = 128 * 128
}; /* multiples of block_rows */

/* Arrays of a thread's part: K, V, Q, S, O, and m, l behind each other. */
static tw_panel tile_of(const measuring *m, size_t floats, int part, int32_t *keys_seen, int lanes)
{
    float *at = m->memory + (size_t)part * floats;
    for (int i = 0; i < lanes; i++)
        keys_seen[i] = TILE_KEYS;
    return (tw_panel){.head_dim = TILE_DIM,
                      .padded_dim = TILE_DIM,
                      .n = TILE_KEYS,
                      .k = at,
                      .v = at + TILE_FLOATS,
                      .q = at + 2 * TILE_FLOATS,
                      .keys_seen = keys_seen,
                      .fewest_keys_seen = TILE_KEYS,
                      .exponent_scale = 0.1F,
                      .s = at + 3 * TILE_FLOATS,
                      .o = at + 4 * TILE_FLOATS,
                      .m = at + 5 * TILE_FLOATS,
                      .l = at + 5 * TILE_FLOATS + 128};
}

/* S = K Q and O += Vᵀ S. Sums grow without end where all numbers are −1, so O begins anew. */
static float work_product(const measuring *m, size_t floats, long rounds, int part)
{
    const tw_tiled_kernel *kernels[3];
    _Alignas(64) int32_t keys_seen[128];
    tw_tiled_kernels(kernels);
    tw_panel t = tile_of(m, floats, part, keys_seen, kernels[0]->lanes);
    for (long i = 0; i < rounds; i++) {
        if (i % 1024 == 0)
            memset(t.o, 0, (size_t)(TILE_DIM * kernels[0]->lanes) * sizeof *t.o);
        kernels[0]->scores(&t);
        kernels[0]->accumulate(t.o, t.v, t.s, TILE_DIM, TILE_KEYS);
    }
    return t.o[0];
}

/* Scores become weights, and these are the next round's scores. */
static float work_softmax(const measuring *m, size_t floats, long rounds, int part)
{
    const tw_tiled_kernel *kernels[3];
    _Alignas(64) int32_t keys_seen[128];
    tw_tiled_kernels(kernels);
    tw_panel t = tile_of(m, floats, part, keys_seen, kernels[0]->lanes);
    for (long i = 0; i < rounds; i++) {
        for (int lane = 0; lane < kernels[0]->lanes; lane++) {
            t.m[lane] = -INFINITY;
            t.l[lane] = 0.0F;
        }
        kernels[0]->softmax(&t);
    }
    return t.l[0];
}

/* Seconds that `rounds` rounds take where all threads work at once: threads / (sum of their speeds). */
static double run(measuring *m, work_fn work, size_t floats, long rounds)
{
    float sum = 0.0F;
    double speeds = 0.0;
#pragma omp parallel num_threads(m->threads) reduction(+ : sum, speeds)
    {
        int part = tw_thread_index();
#pragma omp barrier
        double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        sum += work(m, floats, rounds, part);
        speeds += 1.0 / fmax(seconds_of(CLOCK_THREAD_CPUTIME_ID) - start, 1e-9);
    }
    m->sink = sum;
    return m->threads / speeds;
}

static double best_of_tries(measuring *m, work_fn work, size_t floats, long rounds)
{
    double best = run(m, work, floats, rounds);
    for (int i = 1; i < m->tries && best < LONG_S; i++)
        best = fmin(best, run(m, work, floats, rounds));
    return best;
}

/* As many rounds as fill a try; this also warms up. */
static long rounds_for(measuring *m, work_fn work, size_t floats)
{
    long rounds = 1;
    double seconds = run(m, work, floats, rounds);
    while (seconds < TRY_S / 2 && rounds < 1L << 40) {
        rounds = (long)ceil((double)rounds * fmin(fmax(TRY_S / seconds, 2.0), 50.0));
        seconds = run(m, work, floats, rounds);
    }
    return rounds;
}

/* Samples of `amount` for each round and thread over the time. */
static void sample(double *rates, int n, measuring *m, work_fn work, size_t floats, double amount)
{
    long rounds = rounds_for(m, work, floats);
    for (int i = 0; i < n; i++)
        rates[i] = amount * (double)rounds * m->threads / best_of_tries(m, work, floats, rounds);
}

/* ---- clock ---------------------------------------------------------------------------------------------- */

/* A chain of additions, each of which waits for the one before, of a register: a constant may be added while renaming. */
static double time_chain(int links)
{
    unsigned long x = 1, y = 3;
    __asm__ volatile("" : "+r"(y));
    double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int j = 0; j < links; j++) {
#if defined(__clang__)
#pragma clang loop unroll(full)
#else
#pragma GCC unroll 16
#endif
        for (int k = 0; k < CHAIN; k++) {
            x += y;
            __asm__ volatile("" : "+r"(x));
        }
    }
    return seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
}

static void measure_clock(tw_readings *readings)
{
    enum { LINKS = 400000 };
    double hz[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        double best = time_chain(LINKS);
        for (int j = 1; j < TRIES; j++)
            best = fmin(best, time_chain(LINKS));
        hz[i] = (double)CHAIN * LINKS / best;
    }
    tw_readings_add(readings, "clock_hz", hz, REPEATS, (tw_limits){2e8, 1e10, 0.1},
                    "dependent additions on one core, one a cycle");
}

/* ---- arithmetic, regions -------------------------------------------------------------------------------- */

/* From the wish for several threads until the last of them has ended. */
static void measure_regions(tw_readings *readings, const measuring *m)
{
    double seconds[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        seconds[i] = INFINITY;
        for (int j = 0; j < 20; j++) {
            double start = now_s();
#pragma omp parallel num_threads(m->threads)
            {
                __asm__ volatile("" ::: "memory"); /* an empty one would be left out */
            }
            seconds[i] = fmin(seconds[i], now_s() - start);
        }
    }
    tw_readings_add(readings, "launch_overhead_s", seconds, REPEATS, (tw_limits){1e-8, 0.1, 1.0},
                    "an empty parallel region of %d threads, best of 20", m->threads);
}

static void measure_arithmetic(tw_readings *readings, measuring *m)
{
    double rates[REPEATS];
    const double cores = m->threads;
    sample(rates, REPEATS, m, work_fma, 0, m->kernel->flops_per_step);
    tw_readings_add(readings, "fma_flops_per_s", rates, REPEATS, (tw_limits){1e8 * cores, 1e12 * cores, 0.15},
                    "independent fp32 multiply-adds (%s) on %d cores at once", m->kernel->isa, m->threads);
    sample(rates, REPEATS, m, work_exp, (size_t)2 * EXPS, EXPS);
    tw_readings_add(readings, "exps_per_s", rates, REPEATS, (tw_limits){1e6 * cores, 1e11 * cores, 0.15},
                    "2^x of arrays by cpu_ref's polynomial (%s) on %d cores", tw_attention_tiled_isa(),
                    m->threads);
}

static void measure_tile(tw_readings *readings, measuring *m)
{
    const tw_tiled_kernel *kernels[3];
    double rates[REPEATS];
    const double cores = m->threads;
    const size_t floats = (size_t)TILE_ARRAYS * TILE_FLOATS;
    tw_tiled_kernels(kernels);
    const double scores = (double)TILE_KEYS * kernels[0]->lanes;
    sample(rates, REPEATS, m, work_product, floats, 4 * scores * TILE_DIM);
    tw_readings_add(readings, "product_flops_per_s", rates, REPEATS,
                    (tw_limits){1e8 * cores, 1e12 * cores, 0.15},
                    "cpu_ref's products (%s) of %d queries, %d keys, %d columns on %d cores", kernels[0]->isa,
                    kernels[0]->lanes, TILE_KEYS, TILE_DIM, m->threads);
    sample(rates, REPEATS, m, work_softmax, floats, scores);
    tw_readings_add(readings, "softmax_scores_per_s", rates, REPEATS,
                    (tw_limits){1e6 * cores, 1e11 * cores, 0.15},
                    "cpu_ref's softmax (%s) of such a tile on %d cores", kernels[0]->isa, m->threads);
}

/* ---- bandwidth ------------------------------------------------------------------------------------------ */

static size_t whole_rounds(double bytes_per_thread)
{
    size_t floats = (size_t)(bytes_per_thread / sizeof(float)) / TW_CPU_KERNEL_FLOATS * TW_CPU_KERNEL_FLOATS;
    return floats > 0 ? floats : TW_CPU_KERNEL_FLOATS;
}

static void measure_level(tw_readings *readings, measuring *m, const char *number, work_fn work, double bytes,
                          const char *what)
{
    double rates[REPEATS];
    size_t floats = whole_rounds(bytes / m->threads);
    sample(rates, REPEATS, m, work, floats, (double)(floats * sizeof(float)));
    tw_readings_add(readings, number, rates, REPEATS, (tw_limits){1e8, 1e15, 0.15},
                    "%s, %d cores with %.4g KiB each", what, m->threads,
                    (double)(floats * sizeof(float)) / 1024.0);
}

/* Bytes of all threads together that are in this level and in no faster one. */
static double beyond_caches(const tw_cpu *cpu)
{
    double caches = (double)cpu->shared_bytes + (double)cpu->private_bytes * cpu->cores;
    return fmax(3.0 * caches, 64.0 * 1024 * 1024);
}

static void measure_levels(tw_readings *readings, measuring *m)
{
    const tw_cpu *c = m->cpu;
    const double mine = (double)c->private_bytes * m->threads, memory = (double)(m->floats * sizeof(float));
    const double shared = 0.5 * (double)c->shared_bytes;
    if (c->l1_bytes > 0 && c->l1_bytes < c->private_bytes)
        measure_level(readings, m, "l1_bytes_per_s", work_read, 0.5 * (double)c->l1_bytes * m->threads,
                      "read from the first cache");
    measure_level(readings, m, "smem_bytes_per_s", work_read, 0.5 * mine, "read from each core's own cache");
    if (shared > 2.0 * mine)
        measure_level(readings, m, "l2_bytes_per_s", work_read, shared > 8.0 * mine ? 8.0 * mine : shared,
                      "read from the last cache");
    measure_level(readings, m, "hbm_read_bytes_per_s", work_read, memory, "read from memory");
    measure_level(readings, m, "hbm_write_bytes_per_s", work_write, memory,
                  "written to memory, plain stores");
}

static void measure_curve(tw_cpu_curve *curve, measuring *m)
{
    curve->count = 0;
    m->tries = 1; /* many points and little time: a picture, not a number */
    for (double bytes = 4096; curve->count < TW_CPU_POINTS_MAX; bytes *= 2.0) {
        size_t floats = whole_rounds(bytes);
        double rates[2][CURVE_REPEATS];
        if (floats * (size_t)m->threads > m->floats || now_s() - m->start_s > ENOUGH_S)
            return;
        sample(rates[0], CURVE_REPEATS, m, work_read, floats, (double)(floats * sizeof(float)));
        sample(rates[1], CURVE_REPEATS, m, work_write, floats, (double)(floats * sizeof(float)));
        curve->at[curve->count++] = (tw_cpu_point){.bytes = (int64_t)(floats * sizeof(float)) * m->threads,
                                                   .read_bytes_per_s = tw_median(rates[0], CURVE_REPEATS),
                                                   .write_bytes_per_s = tw_median(rates[1], CURVE_REPEATS)};
    }
}

static void touch(measuring *m)
{
    const size_t floats = m->floats / (size_t)m->threads;
#pragma omp parallel for schedule(static, 1) num_threads(m->threads)
    for (int part = 0; part < m->threads; part++)
        for (size_t i = (size_t)part * floats; i < (size_t)(part + 1) * floats; i++)
            m->memory[i] = -1.0F;
}

tw_status tw_cpu_measure(tw_readings *readings, tw_cpu_curve *curve, const tw_cpu *cpu,
                         tw_cpu_progress_fn progress)
{
    measuring m = {.cpu = cpu,
                   .kernel = tw_cpu_kernel_best(),
                   .threads = cpu->cores,
                   .tries = TRIES,
                   .start_s = now_s()};
#ifndef _OPENMP
    m.threads = 1;
#endif
    const double bytes = fmin(fmin(beyond_caches(cpu), 0.25 * tw_memory_available_bytes()), 2e9);
    m.floats = whole_rounds(bytes / m.threads) * (size_t)m.threads;
    TW_TRY(tw_memory_check((double)(m.floats * sizeof(float)), "calibrate-cpu"));
    m.memory = aligned_alloc(64, m.floats * sizeof(float));
    if (!m.memory)
        return tw_fail(TW_ENOMEM, "no memory for a working set of %.0f bytes", bytes);
    touch(&m);
    if (progress)
        progress(0.1, "clock and arithmetic");
    measure_clock(readings);
    measure_arithmetic(readings, &m);
    measure_tile(readings, &m);
    measure_regions(readings, &m);
    if (progress)
        progress(0.3, "bandwidth of each level");
    measure_levels(readings, &m);
    if (progress)
        progress(0.5, "bandwidth against working set");
    measure_curve(curve, &m);
    free(m.memory);
    return TW_OK;
}

/* ---- the machine ---------------------------------------------------------------------------------------- */

static tw_status set_bytes(tw_machine *machine, const char *number, int64_t bytes, const char *date,
                           const char *source)
{
    return bytes > 0 ? tw_machine_set_number(machine, number, (double)bytes, date, source) : TW_OK;
}

tw_status tw_cpu_machine(tw_machine *machine, const tw_cpu *cpu, const tw_readings *readings,
                         const char *date)
{
    static const char sysfs[] = "the system's own word, /sys/devices/system/cpu";
    tw_machine m = {.kind = TW_MACHINE_CPU};
    snprintf(m.name, sizeof m.name, "%s", machine->name);
    snprintf(m.description, sizeof m.description, "%s: %d core%s", cpu->model, cpu->cores,
             cpu->cores == 1 ? "" : "s");
    TW_TRY(tw_machine_set_number(&m, "num_sms", cpu->cores, date, sysfs));
    TW_TRY(set_bytes(&m, "smem_bytes", cpu->private_bytes, date,
                     "the largest cache that a core has for itself: /sys/devices/system/cpu"));
    TW_TRY(set_bytes(&m, "l2_bytes", cpu->shared_bytes, date,
                     "the last cache, which stands where a GPU's L2 stands: /sys/devices/system/cpu"));
    TW_TRY(set_bytes(&m, "hbm_bytes", cpu->memory_bytes, date, "the system's own word, pages of memory"));
    TW_TRY(tw_readings_to_machine(&m, readings, date));
    *machine = m;
    return TW_OK;
}
