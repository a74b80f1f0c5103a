/* Times tiled attention beside the product that it is made of.
 *
 * tw_attention_tiled() at N = 4096, head_dim 128, 8 heads against OpenBLAS' sgemm of 4096 x 4096 x 128, in one
 * process, in turns, with the same number of threads. A sgemm round is as many products as attention does (2 for
 * each head), so that both run for about as long and meet the same clock and the same neighbours. Before each
 * measurement there is a pause, because the other library's threads spin for a while after their work.
 *
 * Usage: bench_tiled [rounds [block_m block_n]] */
#include "cpu_ref/attention.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

extern void openblas_set_num_threads(int n);
extern char *openblas_get_corename(void);

enum { SEQLEN = 4096, HEAD_DIM = 128, NUM_HEADS = 8, PRODUCTS = 2 * NUM_HEADS, MAX_ROUNDS = 101 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = 0, .tv_nsec = ms * 1000000L};
    nanosleep(&t, NULL);
}

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

static float *random_floats(size_t n, uint64_t stream)
{
    double *x = malloc(n * sizeof *x);
    float *rounded = aligned_alloc(64, n * sizeof *rounded);
    if (x == NULL || rounded == NULL) {
        fprintf(stderr, "bench_tiled: no memory for %zu numbers\n", n);
        exit(2);
    }
    tw_random_normal(x, n, 1, stream);
    tw_dtype_convert(rounded, TW_FP32, x, TW_FP64, n);
    free(x);
    return rounded;
}

static double time_one_sgemm(float *s, const float *q, const float *k)
{
    double start = now_s();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SEQLEN, SEQLEN, HEAD_DIM, 1.0F, q, HEAD_DIM, k,
                HEAD_DIM, 0.0F, s, SEQLEN);
    return now_s() - start;
}

/* The median of PRODUCTS timed one by one, after one to warm up. */
static double time_sgemm(float *s, const float *q, const float *k)
{
    double seconds[PRODUCTS] = {time_one_sgemm(s, q, k)};
    for (int i = 0; i < PRODUCTS; i++)
        seconds[i] = time_one_sgemm(s, q, k);
    return median(seconds, PRODUCTS);
}

static double time_tiled(float *o, const float *const qkv[3], int block_m, int block_n)
{
    tw_problem p = {.batch = 1,
                    .num_heads = NUM_HEADS,
                    .num_heads_kv = NUM_HEADS,
                    .seqlen_q = SEQLEN,
                    .seqlen_k = SEQLEN,
                    .head_dim = HEAD_DIM};
    double start = now_s();
    if (tw_attention_tiled(o, NULL, &p, qkv[0], qkv[1], qkv[2], block_m, block_n) != TW_OK) {
        fprintf(stderr, "bench_tiled: %s\n", tw_error_message());
        exit(2);
    }
    return now_s() - start;
}

static int argument(char **argv, int argc, int i, int fallback)
{
    if (i >= argc)
        return fallback;
    char *end;
    long value = strtol(argv[i], &end, 10);
    if (*end != '\0' || value < 1 || value > INT_MAX) {
        fprintf(stderr, "bench_tiled: argument %d is '%s', it must be a whole number of at least 1\n", i,
                argv[i]);
        exit(2);
    }
    return (int)value;
}

/* OpenBLAS' name of the best kernels that this CPU can run; NULL if that is for OpenBLAS to find out. */
static const char *best_core(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2"))
        return "Haswell";
#endif
    return NULL;
}

/* An OpenBLAS that is older than the CPU takes it for one of 2004 (Prescott) and runs at a fifth of what it can.
 * That would be no yardstick, so the program starts itself again with the core named. OpenBLAS looks at the
 * environment once, while it is loaded. */
static void name_the_core(char **argv)
{
    const char *core = best_core();
    if (core == NULL || getenv("OPENBLAS_CORETYPE") != NULL ||
        strcmp(openblas_get_corename(), "Prescott") != 0)
        return;
    setenv("OPENBLAS_CORETYPE", core, 1);
    execv("/proc/self/exe", argv);
    fprintf(stderr, "bench_tiled: OpenBLAS does not know this CPU; set OPENBLAS_CORETYPE=%s\n", core);
}

int main(int argc, char **argv)
{
    name_the_core(argv);
    int rounds = argument(argv, argc, 1, 9);
    int block_m = argument(argv, argc, 2, 256), block_n = argument(argv, argc, 3, 128);
    if (rounds > MAX_ROUNDS)
        rounds = MAX_ROUNDS;
    int threads = 1;
#ifdef _OPENMP
    threads = omp_get_max_threads();
#endif
    openblas_set_num_threads(threads);

    size_t elements = (size_t)SEQLEN * NUM_HEADS * HEAD_DIM;
    float *q = random_floats(elements, 0), *k = random_floats(elements, 1), *v = random_floats(elements, 2);
    float *o = random_floats(elements, 3), *s = random_floats((size_t)SEQLEN * SEQLEN, 4);
    const float *const qkv[3] = {q, k, v};
    const double sgemm_flops = 2.0 * SEQLEN * SEQLEN * HEAD_DIM;
    const double tiled_flops = 4.0 * SEQLEN * SEQLEN * HEAD_DIM * NUM_HEADS;
    printf("tiled: %s, block_m %d, block_n %d; sgemm: OpenBLAS %s; %d threads, %d rounds\n",
           tw_attention_tiled_isa(), block_m, block_n, openblas_get_corename(), threads, rounds);

    static double sgemm_s[MAX_ROUNDS], tiled_s[MAX_ROUNDS], ratio[MAX_ROUNDS];
    time_tiled(o, qkv, block_m, block_n); /* warm-up; time_sgemm() has its own */
    for (int i = 0; i < rounds; i++) {
        pause_ms(200);
        sgemm_s[i] = time_sgemm(s, q, k);
        pause_ms(200);
        tiled_s[i] = time_tiled(o, qkv, block_m, block_n);
        ratio[i] = tiled_flops / tiled_s[i] / (sgemm_flops / sgemm_s[i]);
    }
    double sgemm_rate = sgemm_flops / median(sgemm_s, rounds),
           tiled_rate = tiled_flops / median(tiled_s, rounds);
    double middle = median(ratio, rounds); /* sorts */
    printf("sgemm %d x %d x %d: %7.1f GFLOP/s (median)\n", SEQLEN, SEQLEN, HEAD_DIM, sgemm_rate / 1e9);
    printf("tiled N = %d, d = %d, %d heads: %7.1f GFLOP/s (median)\n", SEQLEN, HEAD_DIM, NUM_HEADS,
           tiled_rate / 1e9);
    printf("ratio of the medians: %.1f %%; round by round: median %.1f %%, from %.1f %% to %.1f %%; goal 40 "
           "%%\n",
           100.0 * tiled_rate / sgemm_rate, 100.0 * middle, 100.0 * ratio[0], 100.0 * ratio[rounds - 1]);
    free(q), free(k), free(v), free(o), free(s);
    return 0;
}
