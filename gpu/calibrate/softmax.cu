/*
 * A step of online softmax as the Hopper rungs do it: 64 rows of S in the registers of a warpgroup become P, packed for
 * the next product. The very function of those rungs is timed (softmax and narrow_scores of kernels/hopper_tile.cuh).
 *
 *     alone     one warpgroup, N keys: cycles = a + b · N
 *     2, 3      so many warpgroups at once share the CUDA cores
 *     busy      one more warpgroup keeps the tensor cores at work meanwhile
 *
 * Speeds are against one warpgroup alone at the same N, averaged over the N that were run. How far wgmma itself is slowed
 * down is measured against the same loop beside a warpgroup that sleeps.
 */
#include "calibrate.h"
#include "device.cuh"
#include "fit.h"

#include "../kernels/hopper_tile.cuh"

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TW_HAS_WGMMA 1
#endif

enum { ROUNDS = 1500, WGMMA_N = 128, GROUP = 16, LONGEST_GROUPS = 50000 };
enum { A_BYTES = 64 * 128, B_BYTES = WGMMA_N * 128, SMEM_BYTES = 1024 + A_BYTES + B_BYTES };
static const float SCALE_LOG2 = 0.125f;

struct step_args {
    int rounds;       /* of softmax; 0: the workers sleep instead, for as long as SLEEP_CYCLES */
    long long *steps; /* [blocks][4]: cycles of the slowest warp; cycles and groups of wgmma */
    uint32_t *sink;
};
static const long long SLEEP_CYCLES = 300000;

/* What the workers and the multiplier of a block tell each other. */
struct block_state {
    unsigned long long slowest;
    unsigned done;    /* warps that have finished */
    unsigned stop[2]; /* of an even and an odd group */
};

template <int N> static __device__ __forceinline__ void softmax_worker(const step_args &a, block_state *state)
{
    typedef form<64, 64, N, 1> F;
    float s[N / 2], alpha[2];
    uint32_t p[N / 4];
    rows<F> x;
    for (int i = 0; i < N / 2; i++)
        s[i] = random_number(threadIdx.x * 128 + i);
    rows_init(x);
    __syncwarp();
    const long long start = cycles_now();
#pragma unroll 1
    for (int round = 0; round < a.rounds; round++) {
        pinned(s); /* as if wgmma had just written it */
        softmax<false, F>(s, x, alpha, SCALE_LOG2);
        narrow_scores<__half, F>(p, s);
#pragma unroll
        for (int i = 0; i < N / 4;
             i++) /* P stands for a part of the next S: what nobody used would not be done */
            s[i] = __uint_as_float(p[i]);
        pinned(alpha);
    }
    while (a.rounds == 0 && cycles_now() - start < SLEEP_CYCLES)
        __nanosleep(200);
    const unsigned long long cycles = (unsigned long long)(cycles_now() - start);
    if (threadIdx.x % 32 == 0) {
        atomicMax(&state->slowest, cycles);
        __threadfence_block();
        atomicAdd(&state->done, 1u);
    }
    keep(__float_as_uint(x.l[0] + x.l[1] + alpha[0] + s[0]), a.sink);
}

/* Multiplies until all workers have finished; every warp of the group must see that at the same group. */
template <int WORKERS>
static __device__ __forceinline__ void multiplier(const step_args &a, block_state *state, uint32_t smem)
{
#ifdef TW_HAS_WGMMA
    const uint64_t q = tile_descriptor(smem, A_BYTES), k = tile_descriptor(smem + A_BYTES, B_BYTES);
    float d[WGMMA_N / 2] = {};
    int groups = 0;
    const long long start = cycles_now();
    pinned(d);
    for (bool stop = false; !stop && groups < LONGEST_GROUPS; groups++) {
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < GROUP; i++)
            wgmma_nt<__half, WGMMA_N>(d, q + descriptor_step(i % 4 * 32), k + descriptor_step(i % 4 * 32),
                                      true);
        wgmma_commit();
        if (threadIdx.x % WARPGROUP == 0)
            *(volatile unsigned *)&state->stop[groups % 2] = *(volatile unsigned *)&state->done ==
                                                             4 * WORKERS;
        named_barrier_wait(1, WARPGROUP);
        stop = *(volatile unsigned *)&state->stop[groups % 2] != 0;
        wgmma_wait<1>();
    }
    wgmma_wait<0>();
    pinned(d);
    const long long cycles = cycles_now() - start;
    if (threadIdx.x % WARPGROUP == 0) {
        a.steps[4 * blockIdx.x + 1] = cycles;
        a.steps[4 * blockIdx.x + 2] = groups;
    }
    float sum = 0;
    for (int i = 0; i < WGMMA_N / 2; i++)
        sum += d[i];
    keep(__float_as_uint(sum), a.sink);
#endif
}

/* WORKERS warpgroups with softmax, and behind them, if BUSY, one that multiplies. */
template <int N, int WORKERS, bool BUSY>
static __global__ void __launch_bounds__(WARPGROUP *(WORKERS + BUSY), 1) tw_cal_softmax_step(step_args a)
{
    __shared__ block_state state;
    const uint32_t base = (shared_address(hopper_smem) + 1023) & ~1023u;
    unsigned char *const tiles = hopper_smem + (base - shared_address(hopper_smem));
    if (threadIdx.x == 0) {
        state.slowest = 0;
        state.done = 0;
        state.stop[0] = state.stop[1] = 0;
    }
    for (int i = threadIdx.x; BUSY && i < (A_BYTES + B_BYTES) / 2; i += blockDim.x)
        ((__half *)tiles)[i] = __float2half_rn(random_number(i));
#ifdef TW_HAS_WGMMA
    if (BUSY)
        fence_for_async();
#endif
    __syncthreads();
    if (!BUSY || threadIdx.x < WARPGROUP * WORKERS)
        softmax_worker<N>(a, &state);
    else
        multiplier<WORKERS>(a, &state, base);
    __syncthreads();
    if (threadIdx.x == 0)
        a.steps[4 * blockIdx.x] = (long long)state.slowest;
}

/* ---- host ----------------------------------------------------------------------------------------------- */

static const struct {
    int n, workers;
    bool busy;
    const void *function;
} cases[] = {
#define ROW(N, WORKERS, BUSY)                                                                                \
    {                                                                                                        \
        N, WORKERS, BUSY, (const void *)tw_cal_softmax_step<N, WORKERS, BUSY>                                \
    }
    ROW(64, 1, false),  ROW(80, 1, false),  ROW(96, 1, false),  ROW(128, 1, false),
    ROW(176, 1, false), ROW(192, 1, false), ROW(64, 1, true),   ROW(128, 1, true),
    ROW(192, 1, true),  ROW(64, 2, false),  ROW(128, 2, false), ROW(64, 2, true),
    ROW(128, 2, true),  ROW(64, 3, false),  ROW(128, 3, false), ROW(64, 3, true),
#undef ROW
};
enum { NUM_CASES = sizeof cases / sizeof cases[0] };

/* What one case gave: medians over SMs. */
struct outcome {
    double step_cycles, spread; /* of one step; spread over SMs */
    double wgmma_cycles;        /* of one wgmma beside it; NaN if none ran */
};

static tw_status run_case(tw_calibration *c, int which, int rounds, void *memory, outcome *result)
{
    static long long steps[4 * TW_CAL_MAX_SMS];
    static double cycles[TW_CAL_MAX_SMS], wgmma[TW_CAL_MAX_SMS];
    const int n = c->facts.num_sms;
    step_args a = {rounds, (long long *)memory, (uint32_t *)c->memory};
    tw_cal_kernel k = tw_cal_one_per_sm(c, "softmax steps", cases[which].function, &a,
                                        WARPGROUP * (cases[which].workers + cases[which].busy));
    k.together = false;
    TW_TRY(tw_cal_run(c, &k)); /* the first one warms up */
    TW_TRY(tw_cal_run(c, &k));
    TW_TRY(tw_cal_fetch(c, steps, memory, sizeof *steps * 4 * (size_t)n));
    for (int i = 0; i < n; i++) {
        cycles[i] = (double)steps[4 * i] / (rounds > 0 ? rounds : 1);
        wgmma[i] = cases[which].busy && steps[4 * i + 2] > 0
                       ? (double)steps[4 * i + 1] / ((double)steps[4 * i + 2] * GROUP)
                       : (double)NAN;
    }
    result->step_cycles = tw_median(cycles, n);
    result->spread = tw_spread(cycles, n);
    result->wgmma_cycles = tw_median(wgmma, n);
    return TW_OK;
}

static double alone(const outcome *outcomes, int n)
{
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == 1 && !cases[i].busy && cases[i].n == n)
            return outcomes[i].step_cycles;
    return (double)NAN;
}

static void add_line(tw_calibration *c, const outcome *outcomes)
{
    double n[NUM_CASES], cycles[NUM_CASES];
    int points = 0;
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == 1 && !cases[i].busy) {
            n[points] = cases[i].n;
            cycles[points++] = outcomes[i].step_cycles;
        }
    const tw_line line = tw_fit_line(n, cycles, points);
    static const char how[] = "64 rows, S to P in registers, one warpgroup alone, N = 64 to 192: a + b N";
    tw_readings_add_value(&c->readings, "softmax_cycles", line.at_0, line.spread, points, {0, 1000, 0.05},
                          "%s; a", how);
    tw_readings_add_value(&c->readings, "softmax_cycles_per_key", line.slope, line.spread, points,
                          {1, 30, 0.05}, "%s; b", how);
}

static void add_speed(tw_calibration *c, const outcome *outcomes, int workers, bool busy)
{
    char number[40];
    double speeds[NUM_CASES];
    int n = 0;
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == workers && cases[i].busy == busy)
            speeds[n++] = alone(outcomes, cases[i].n) / outcomes[i].step_cycles;
    snprintf(number, sizeof number, "softmax_speed_%d_%s", workers, busy ? "busy" : "idle");
    tw_readings_add(&c->readings, number, speeds, n, {0.05, 1.05, 0.2},
                    "%d warpgroup%s, tensor cores %s, against one alone; over N", workers,
                    workers == 1 ? "" : "s", busy ? "busy" : "idle");
}

/* One wgmma beside one worker, against one beside a sleeper. */
static void add_wgmma_speed(tw_calibration *c, const outcome *outcomes, double beside_sleeper)
{
    double speeds[NUM_CASES];
    int n = 0;
    for (int i = 0; i < NUM_CASES; i++)
        if (cases[i].workers == 1 && cases[i].busy)
            speeds[n++] = beside_sleeper / outcomes[i].wgmma_cycles;
    tw_readings_add(&c->readings, "wgmma_speed_beside_softmax", speeds, n, {0.3, 1.02, 0.1},
                    "m64n%dk16 fp16, %.1f cycles each beside a warpgroup that sleeps; over N", WGMMA_N,
                    beside_sleeper);
}

static tw_status measure(tw_calibration *c, void *memory, tw_csv *csv)
{
    static outcome outcomes[NUM_CASES];
    outcome sleeper = {0, 0, 0};
    for (int i = 0; i < NUM_CASES; i++) {
        if (cases[i].busy && c->facts.arch != 90)
            continue;
        TW_TRY(run_case(c, i, ROUNDS, memory, &outcomes[i]));
        if (cases[i].busy && cases[i].workers == 1 && sleeper.wgmma_cycles == 0)
            TW_TRY(run_case(c, i, 0, memory, &sleeper));
        if (csv->file)
            fprintf(csv->file, "%d,%d,%d,%.5g,%.3g,%.4g\n", cases[i].n, cases[i].workers, cases[i].busy,
                    outcomes[i].step_cycles, outcomes[i].spread, outcomes[i].wgmma_cycles);
    }
    add_line(c, outcomes);
    for (int workers = 1; workers <= 3; workers++)
        for (int busy = 0; busy < 2; busy++)
            if ((workers > 1 || busy) && (!busy || c->facts.arch == 90))
                add_speed(c, outcomes, workers, busy);
    if (c->facts.arch == 90)
        add_wgmma_speed(c, outcomes, sleeper.wgmma_cycles);
    return TW_OK;
}

tw_status tw_cal_softmax(tw_calibration *c)
{
    void *memory = NULL;
    tw_csv csv;
    TW_TRY(
        tw_cal_curve_open(&csv, c, "softmax", "keys,warpgroups,tensor_busy,step_cycles,spread,wgmma_cycles"));
    tw_status status = tw_cal_zeros(&memory, 4 * sizeof(long long) * (size_t)c->facts.num_sms);
    if (status == TW_OK)
        status = measure(c, memory, &csv);
    tw_cal_release(c, memory);
    if (status == TW_OK)
        status = tw_csv_commit(&csv);
    tw_csv_discard(&csv);
    return status;
}
