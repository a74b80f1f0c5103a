/* What this CPU can do: loops that do one thing, timed. */
#define _DEFAULT_SOURCE /* sysconf()'s cache sizes */
#include "cpu_probe.h"

#include "../cpu_ref/threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SMALLEST_BYTES (INT64_C(16) << 10)
#define LARGEST_BYTES  (INT64_C(256) << 20)
#define QUICK_BYTES    (INT64_C(32) << 20)

/* A run must take so long to be believed, and the best of so many counts. */
typedef struct patience {
    double seconds;
    int runs;
} patience;

static double seconds_on(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- loops ---------------------------------------------------------------------------------------------- */

/*
 * Loops are compiled three times, for registers of 16, 32 and 64 bytes, and the widest that the CPU has is taken. Their
 * vectors have 64 bytes, in as many registers as it takes.
 */
typedef uint64_t words8 __attribute__((vector_size(64)));
typedef float floats16 __attribute__((vector_size(64)));

/* Four sums, so that no addition waits for the one before. */
#define READ_BODY                                                                                            \
    words8 sum[4] = {{0}};                                                                                   \
    for (size_t i = 0; i + 4 <= count; i += 4)                                                               \
        for (size_t k = 0; k < 4; k++)                                                                       \
            sum[k] += vectors[i + k];                                                                        \
    sum[0] += sum[1] + sum[2] + sum[3];                                                                      \
    return sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3] + sum[0][4] + sum[0][5] + sum[0][6] + sum[0][7]

/*
 * Twelve vectors, each multiplied and added `rounds` times. Compiled with -ffp-contract=fast, so that it is one
 * instruction where there is one.
 */
enum { CHAINS = 12, LANES = 16 };
#define FMA_BODY                                                                                             \
    floats16 x[CHAINS];                                                                                      \
    floats16 factor = (floats16){0} + 0.999f, addend = (floats16){0} + 0.001f;                               \
    for (int c = 0; c < CHAINS; c++)                                                                         \
        x[c] = (floats16){0} + (float)c;                                                                     \
    for (int64_t i = 0; i < rounds; i++)                                                                     \
        for (int c = 0; c < CHAINS; c++)                                                                     \
            x[c] = x[c] * factor + addend;                                                                   \
    float sum = 0.0f;                                                                                        \
    for (int c = 0; c < CHAINS; c++)                                                                         \
        for (int l = 0; l < LANES; l++)                                                                      \
            sum += x[c][l];                                                                                  \
    return sum

static uint64_t read_any(const words8 *vectors, size_t count)
{
    READ_BODY;
}

static float fma_any(int64_t rounds)
{
    FMA_BODY;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static uint64_t read_avx2(const words8 *vectors, size_t count)
{
    READ_BODY;
}

__attribute__((target("avx2,fma"))) static float fma_avx2(int64_t rounds)
{
    FMA_BODY;
}

__attribute__((target("avx512f"))) static uint64_t read_avx512(const words8 *vectors, size_t count)
{
    READ_BODY;
}

__attribute__((target("avx512f"))) static float fma_avx512(int64_t rounds)
{
    FMA_BODY;
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

static uint64_t read_words(const uint64_t *words, size_t count)
{
    const words8 *vectors = (const words8 *)(const void *)words; /* memory is aligned to 64 bytes */
#if defined(__x86_64__)
    if (has_avx512())
        return read_avx512(vectors, count / 8);
    if (has_avx2())
        return read_avx2(vectors, count / 8);
#endif
    return read_any(vectors, count / 8);
}

static float run_fma(int64_t rounds)
{
#if defined(__x86_64__)
    if (has_avx512())
        return fma_avx512(rounds);
    if (has_avx2())
        return fma_avx2(rounds);
#endif
    return fma_any(rounds);
}

static void write_words(uint64_t *words, size_t count, uint64_t value)
{
    for (size_t i = 0; i < count; i++)
        words[i] = value;
}

static float run_exps(int64_t rounds)
{
    float sum = 0.0f;
    for (int64_t i = 0; i < rounds; i++)
        sum += expf(-1e-3f * (float)(i & 1023));
    return sum;
}

/* Each addition waits for the one before: one a cycle, wherever integers are added in one. */
static uint64_t run_chain(int64_t rounds)
{
    uint64_t x = 0;
    for (int64_t i = 0; i < rounds; i++) {
        x += 3;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

/* ---- timing ---------------------------------------------------------------------------------------------- */

/* What a timed loop works on. Results go to `sink`, so that no compiler leaves a loop out. */
typedef struct work {
    uint64_t
        *memory; /* words_each of every core, one behind the other; the first alone if all read the same */
    size_t words_each;
    bool same;
    volatile double sink;
} work;

typedef void (*loop)(work *w, int core, int64_t rounds);

static uint64_t *memory_of(work *w, int core)
{
    return w->memory + (w->same ? 0 : (size_t)core * w->words_each);
}

static void read_loop(work *w, int core, int64_t rounds)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < rounds; i++)
        sum += read_words(memory_of(w, core), w->words_each);
    w->sink = (double)sum;
}

static void write_loop(work *w, int core, int64_t rounds)
{
    for (int64_t i = 0; i < rounds; i++)
        write_words(memory_of(w, core), w->words_each, (uint64_t)i);
}

static void fma_loop(work *w, int core, int64_t rounds)
{
    (void)core;
    w->sink = run_fma(rounds);
}

static void exp_loop(work *w, int core, int64_t rounds)
{
    (void)core;
    w->sink = run_exps(rounds);
}

static void chain_loop(work *w, int core, int64_t rounds)
{
    (void)core;
    w->sink = (double)run_chain(rounds);
}

static void no_loop(work *w, int core, int64_t rounds)
{
    (void)w, (void)core, (void)rounds;
}

/* Time that the slowest core spent on it: its own time, so that a core lent to others is not charged for that. */
static double seconds_of(work *w, loop body, int64_t rounds)
{
    double slowest = 0.0;
#pragma omp parallel reduction(max : slowest)
    {
        double begin = seconds_on(CLOCK_THREAD_CPUTIME_ID);
        body(w, tw_thread_index(), rounds);
        slowest = seconds_on(CLOCK_THREAD_CPUTIME_ID) - begin;
    }
    return slowest;
}

/* The shortest of some runs: what disturbs a run only makes it longer. */
static double shortest(work *w, loop body, int64_t rounds, int runs)
{
    double best = seconds_of(w, body, rounds);
    for (int i = 1; i < runs; i++) {
        double again = seconds_of(w, body, rounds);
        best = again < best ? again : best;
    }
    return best;
}

/* Rounds a second of each core: rounds are doubled until a run is long enough, then the best run counts. */
static double rounds_per_s(work *w, loop body, patience p)
{
    int64_t rounds = 1;
    double best = shortest(w, body, rounds, 2);
    while (best < p.seconds && rounds < INT64_C(1) << 40) {
        rounds *= 2;
        best = shortest(w, body, rounds, 2);
    }
    double again = shortest(w, body, rounds, p.runs);
    return (double)rounds / (again < best ? again : best);
}

/* ---- what is measured ------------------------------------------------------------------------------------- */

static double bandwidth(work *w, loop body, int64_t bytes, bool same, int cores, patience p)
{
    w->words_each = (size_t)bytes / sizeof(uint64_t);
    w->same = same;
    return rounds_per_s(w, body, p) * (double)bytes * cores;
}

/* Working sets by half an octave. */
static void measure_curves(tw_cpu_probe *c, work *w, int64_t largest, patience p)
{
    for (int who = TW_PROBE_OWN; who <= TW_PROBE_ALL; who++)
        for (double size = (double)SMALLEST_BYTES; size <= (double)largest * 1.01; size *= sqrt(2.0)) {
            int64_t bytes = (int64_t)(size / 4096.0 + 0.5) * 4096;
            if (c->num_points == TW_PROBE_MAX_POINTS)
                return;
            c->points[c->num_points++] = (tw_probe_point){
                .who = (tw_probe_who)who,
                .bytes = bytes,
                .bytes_per_s = bandwidth(w, read_loop, bytes, who == TW_PROBE_ALL, c->cores, p)};
        }
}

/* The largest working set of a curve that is read at `least` bytes a second or more. */
static int64_t largest_at(const tw_cpu_probe *c, tw_probe_who who, double least)
{
    int64_t bytes = SMALLEST_BYTES;
    for (int i = 0; i < c->num_points; i++)
        if (c->points[i].who == who && c->points[i].bytes_per_s >= least && c->points[i].bytes > bytes)
            bytes = c->points[i].bytes;
    return bytes;
}

static double rate_near(const tw_cpu_probe *c, tw_probe_who who, double bytes)
{
    const tw_probe_point *nearest = NULL;
    for (int i = 0; i < c->num_points; i++)
        if (c->points[i].who == who && (!nearest || fabs(log((double)c->points[i].bytes / bytes)) <
                                                        fabs(log((double)nearest->bytes / bytes))))
            nearest = &c->points[i];
    return nearest ? nearest->bytes_per_s : 0.0;
}

/* What the system says of a cache, in bytes; 0 if it does not. */
static int64_t reported(int level)
{
    long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE) && defined(_SC_LEVEL3_CACHE_SIZE)
    bytes = sysconf(level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE);
#else
    (void)level;
#endif
    return bytes > 0 ? bytes : 0;
}

/*
 * The private cache as the system reports it, otherwise where reading slows to half of the smallest set's rate. The shared
 * one as it serves this program, which may be little of what the system reports: the largest set that all cores
 * read together at 1.5 times memory's rate.
 */
static void find_caches(tw_cpu_probe *c)
{
    double fastest = rate_near(c, TW_PROBE_OWN, (double)SMALLEST_BYTES);
    c->private_reported_bytes = reported(2);
    c->shared_reported_bytes = reported(3);
    c->private_cache_bytes = c->private_reported_bytes > 0 ? c->private_reported_bytes
                                                           : largest_at(c, TW_PROBE_OWN, 0.5 * fastest);
    c->shared_cache_bytes = largest_at(c, TW_PROBE_ALL, 1.5 * c->memory_read_bytes_per_s);
    if (c->shared_cache_bytes < c->private_cache_bytes)
        c->shared_cache_bytes = c->private_cache_bytes;
    /* between the two */
    c->cache_bytes_per_s = rate_near(c, TW_PROBE_ALL,
                                     sqrt((double)c->private_cache_bytes * (double)c->shared_cache_bytes));
}

static void measure_rates(tw_cpu_probe *c, work *w, patience p)
{
    c->fma_flops_per_s = rounds_per_s(w, fma_loop, p) * 2.0 * CHAINS * LANES * c->cores;
    c->exps_per_s = rounds_per_s(w, exp_loop, p) * c->cores;
    c->clock_hz = rounds_per_s(w, chain_loop, p);
    double begin = seconds_on(CLOCK_MONOTONIC);
    enum { REGIONS = 1000 };
    for (int i = 0; i < REGIONS; i++)
        seconds_of(w, no_loop, 1);
    c->launch_overhead_s = (seconds_on(CLOCK_MONOTONIC) - begin) / REGIONS;
}

static void read_model(tw_cpu_probe *c)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(c->model, sizeof c->model, "unnamed CPU");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\r\n")] = '\0';
        snprintf(c->model, sizeof c->model, "%.95s", colon + 1 + strspn(colon + 1, " \t"));
        break;
    }
    if (file)
        fclose(file);
}

tw_status tw_cpu_probe_run(tw_cpu_probe *probe, bool quick)
{
    tw_cpu_probe c = {.cores = tw_max_threads()};
    const patience p = quick ? (patience){.seconds = 0.001, .runs = 1}
                             : (patience){.seconds = 0.02, .runs = 3};
    int64_t largest = quick ? QUICK_BYTES : LARGEST_BYTES;
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    while (largest > QUICK_BYTES && largest * c.cores > memory / 8)
        largest /= 2;
    work w = {.memory = aligned_alloc(64, (size_t)largest * (size_t)c.cores)};
    if (!w.memory)
        return tw_fail(TW_ENOMEM, "no memory for %lld bytes to measure with", (long long)largest * c.cores);
    read_model(&c);
    c.memory_bytes = memory;
    c.memory_write_bytes_per_s = bandwidth(&w, write_loop, largest, false, c.cores,
                                           p); /* and maps the memory */
    c.memory_read_bytes_per_s = bandwidth(&w, read_loop, largest, false, c.cores, p);
    measure_curves(&c, &w, largest, p);
    find_caches(&c);
    measure_rates(&c, &w, p);
    free(w.memory);
    *probe = c;
    return TW_OK;
}
