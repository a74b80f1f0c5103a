/*
 * A step of online softmax as the Hopper rungs do it: 64 rows of S in the registers of a warpgroup become P, packed for
 * the next product. The very function of those rungs is timed (softmax and narrow_scores of kernels/hopper_rows.cuh).
 *
 *     alone     one warpgroup, N keys: cycles = a + b · N
 *     2, 3      so many warpgroups at once share the CUDA cores
 *     busy      one more warpgroup keeps the tensor cores at work meanwhile
 */
#include "device.cuh"
#include "kernels.h"

#include "../kernels/hopper_rows.cuh"

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TW_HAS_WGMMA 1
#endif

enum { WGMMA_N = TW_CAL_STEP_WGMMA_N, GROUP = TW_CAL_STEP_GROUP, LONGEST_GROUPS = 50000 };
enum { A_BYTES = 64 * 128, B_BYTES = WGMMA_N * 128 };
static const float SCALE_LOG2 = 0.125f;

static const long long SLEEP_CYCLES = 300000;

/* What the workers and the multiplier of a block tell each other. */
struct block_state {
    unsigned long long slowest;
    unsigned done;    /* warps that have finished */
    unsigned stop[2]; /* of an even and an odd group */
};

template <int N>
static __device__ __forceinline__ void softmax_worker(const tw_cal_step_args &a, block_state *state)
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
static __device__ __forceinline__ void multiplier(const tw_cal_step_args &a, block_state *state,
                                                  uint32_t smem)
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
            *(volatile unsigned *)&state->stop[groups % 2] = atomicAdd(&state->done, 0u) == 4 * WORKERS;
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
static __global__ void __launch_bounds__(WARPGROUP *(WORKERS + BUSY), 1)
    tw_cal_softmax_step(tw_cal_step_args a)
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

extern "C" const void *tw_cal_step_kernel(int keys, int workers, bool busy)
{
#define FIND(N, WORKERS, BUSY)                                                                               \
    if (keys == N && workers == WORKERS && busy == BUSY)                                                     \
        return (const void *)tw_cal_softmax_step<N, WORKERS, BUSY>;
    TW_CAL_STEPS(FIND)
#undef FIND
    return NULL;
}
