/*
 * 45_lazy_rescale: the reference of a row's exponents follows its maximum only when it must.
 *
 * What it teaches: O / l does not depend on m. Any reference will do that keeps 2^(S - m) in range, so m need not be
 * the maximum: as long as no row of the warp has outgrown its m by 2^8, O and l are not rescaled, and the four lanes
 * of a row need not agree on a new maximum either. P <= 2^8 loses no bits in 16 bits of floating point, and l and O
 * are held in fp32.
 *
 * What changed from 44_persistent: softmax_lazily(), and O is rescaled if the warp's vote says so: block_n shuffles,
 * d / 2 products less in nearly every tile. A row that has seen nothing needs no guard: m starts at a finite number.
 *
 * Shared memory: as in 41_warp_specialized. Time: as in 44_persistent.
 *
 * Prediction, made before it ran: a warp's softmax step loses 80 of 740 instructions at head_dim 128: 2 to 3 %; 4 % at
 * head_dim 256, where the rescaling of O is a larger part; and the clock rises a little.
 */
#include "hopper_tile.cuh"

/* Number of heads whose K and V stay in the L2 together: a power of two, so that it divides what it can. */
template <typename F, typename T> static __device__ __forceinline__ int heads_in_l2(const attention<T> &a)
{
    const int64_t room = 32 << 20, bytes = (int64_t)a.seqlen_k * F::D * 4;
    int heads = 1;
    while (2 * heads * bytes <= room)
        heads *= 2;
    return heads * (a.num_heads / a.num_heads_kv); /* query heads that share K and V run together */
}

/* Query tiles of all heads, counted in the order in which they are handed out. */
template <typename F, typename T>
static __device__ __forceinline__ work work_number(const attention<T> &a, const tensor_maps &maps, int i)
{
    const int tiles = (a.seqlen_q - 1) / F::BM + 1, heads = maps.num_heads;
    int tile = i % tiles, head = i / tiles;
    if (a.causal) {
        const int section = min(heads_in_l2<F>(a), heads), first = i / (section * tiles) * section;
        const int in_section = min(section, heads - first), rest = i - first * tiles;
        tile = tiles - 1 - rest / in_section;
        head = first + rest % in_section;
    }
    return work_at<F>(a, tile, head % a.num_heads, head / a.num_heads);
}

/* The next piece of work of this block, for turn 0, 1, 2 …; −1 if there is none. */
template <typename F, typename T>
static __device__ __forceinline__ int work_in_turn(const attention<T> &a, const tensor_maps &maps, int turn)
{
    const int total = ((a.seqlen_q - 1) / F::BM + 1) * maps.num_heads, blocks = gridDim.x;
    const bool backwards = a.causal && turn % 2 == 1;
    const int i = turn * blocks + (backwards ? blocks - 1 - (int)blockIdx.x : (int)blockIdx.x);
    return i < total ? i : -1;
}

/* The producer: one thread, which keeps every place of the ring full, and Q's. */
template <typename F, typename T>
static __device__ __forceinline__ void produce(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem)
{
    ring<F> at = {0, 1}; /* what is empty from the start counts as emptied */
    int i;
    for (int turn = 0; (i = work_in_turn<F>(a, maps, turn)) >= 0; turn++) {
        const work w = work_number<F>(a, maps, i);
        const int head_kv = head_kv_of(w.head, a.num_heads, a.num_heads_kv);
        if (w.num_tiles == 0) {
            mbarrier_wait(smem.q_empty(), (turn & 1) ^ 1);
            mbarrier_arrive(smem.q_full()); /* nothing to copy: the consumers write zeros */
        }
        for (int j = w.num_tiles - 1; j >= 0; j--, at.next()) {
            mbarrier_wait(smem.k_empty(at.place), at.parity);
            load_k(smem, maps, w, head_kv, j, at.place);
            mbarrier_wait(smem.v_empty(at.place), at.parity);
            load_v(smem, maps, w, head_kv, j, at.place);
            if (j == w.num_tiles - 1) {
                mbarrier_wait(smem.q_empty(), (turn & 1) ^ 1);
                load_q(smem, maps, w);
            }
        }
    }
}

/*
 * Turns. Each consumer has a named barrier at which it waits, and at which its predecessor announces itself; the last
 * one gives the first its first turn. (Barriers 1 to CONSUMERS serve finish_rows().)
 */
template <typename F> static __device__ __forceinline__ void give_turn_to(int consumer)
{
    named_barrier_arrive(1 + F::CONSUMERS + consumer, 2 * WARPGROUP);
}

template <typename F> static __device__ __forceinline__ void wait_for_turn(int consumer)
{
    named_barrier_wait(1 + F::CONSUMERS + consumer, 2 * WARPGROUP);
}

template <typename F> static __device__ __forceinline__ int next_consumer(int consumer)
{
    return consumer == F::CONSUMERS - 1 ? 0 : consumer + 1;
}

/*
 * S becomes 2^(c S - m), l advances. If a row of this warp has outgrown its m by 2^8, all its rows' m become the
 * maximum, and O must be multiplied by alpha: that is what true says.
 */
template <typename F>
static __device__ __forceinline__ bool softmax_lazily(float (&s)[F::BN / 2], rows<F> &x, float (&alpha)[2],
                                                      float c)
{
    float top[2];
#pragma unroll
    for (int j = 0; j < 2; j++) {
        top[j] = -INFINITY;
#pragma unroll
        for (int i = 0; i < F::BN / 8; i++)
            top[j] = fmaxf(top[j], fmaxf(s[4 * i + 2 * j], s[4 * i + 2 * j + 1]));
        top[j] *= c;
    }
    const bool outgrown = __any_sync(0xffffffffu, top[0] > x.m[0] + 8.0f || top[1] > x.m[1] + 8.0f);
    if (outgrown)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            top[j] = fmaxf(top[j], __shfl_xor_sync(0xffffffffu, top[j], 1));
            top[j] = fmaxf(x.m[j], fmaxf(top[j], __shfl_xor_sync(0xffffffffu, top[j], 2)));
            alpha[j] = exp2_approx(x.m[j] - top[j]);
            x.m[j] = top[j];
            x.l[j] *= alpha[j];
        }
#pragma unroll
    for (int j = 0; j < 2; j++)
        x.l[j] += exponentials<F>(s, j, x.m[j], c);
    return outgrown;
}

/* The whole step for tile j; `row` is this thread's first row. */
template <typename F, typename T>
static __device__ __forceinline__ bool softmax_of_tile_lazily(float (&s)[F::BN / 2], rows<F> &x,
                                                              float (&alpha)[2], const attention<T> &a,
                                                              int row, int j, bool cut)
{
    if (cut)
        mask<F>(s, a, row, j * F::BN);
    return softmax_lazily(s, x, alpha, a.scale_log2);
}

/* A consumer's part of one piece of work: 64 query rows. `turn` counts the block's pieces. */
template <typename T, typename F>
static __device__ __forceinline__ void consume(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem, const work &w, int consumer,
                                               int turn, ring<F> &k, ring<F> &v)
{
    const int row = w.row0 + 64 * consumer + threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
    const bool speaks = threadIdx.x % 32 == 0; /* for its warp */
    rows<F> x;
    rows_init(x);
    x.m[0] = x.m[1] = -FLT_MAX;
    const int next = next_consumer<F>(consumer);
    float s[F::BN / 2], alpha[2];
    uint32_t p[F::BN / 4];
    mbarrier_wait(smem.q_full(), turn & 1);
    if (w.num_tiles > 0) {
        mbarrier_wait(smem.k_full(k.place), k.parity);
        wait_for_turn<F>(consumer);
        wgmma_fence();
        issue_scores<T, F>(s, smem.q(consumer), smem.k(k.place));
        wgmma_commit();
        give_turn_to<F>(next);
        wgmma_wait<0>();
        pinned(s);
        if (speaks)
            mbarrier_arrive(smem.k_empty(k.place));
        k.next();
        softmax_of_tile_lazily(s, x, alpha, a, row, w.num_tiles - 1, w.num_cut > 0);
        narrow_scores<T, F>(p, s);
    }
    for (int n = 1; n < w.num_tiles; n++) {
        mbarrier_wait(smem.k_full(k.place), k.parity);
        mbarrier_wait(smem.v_full(v.place), v.parity);
        wait_for_turn<F>(consumer);
        pinned(x.o);
        pinned(p);
        wgmma_fence();
        issue_scores<T, F>(s, smem.q(consumer), smem.k(k.place));
        wgmma_commit();
        issue_output<T, F>(x.o, p, smem.v(v.place));
        wgmma_commit();
        give_turn_to<F>(next);
        wgmma_wait<1>(); /* S is there; O += P V runs on */
        pinned(s);
        if (speaks)
            mbarrier_arrive(smem.k_empty(k.place));
        const bool outgrown = softmax_of_tile_lazily(s, x, alpha, a, row, w.num_tiles - 1 - n, n < w.num_cut);
        wgmma_wait<0>(); /* O is there, P may be overwritten */
        pinned(x.o);
        pinned(p);
        if (speaks)
            mbarrier_arrive(smem.v_empty(v.place));
        k.next();
        v.next();
        if (outgrown)
            rescale(x, alpha);
        narrow_scores<T, F>(p, s);
    }
    if (w.num_tiles > 0) {
        mbarrier_wait(smem.v_full(v.place), v.parity);
        pinned(x.o);
        pinned(p);
        wgmma_fence();
        issue_output<T, F>(x.o, p, smem.v(v.place));
        wgmma_commit();
        wgmma_wait<0>();
        pinned(x.o);
        if (speaks)
            mbarrier_arrive(smem.v_empty(v.place));
        v.next();
    }
    finish_rows(x, a, w, consumer, smem.q(consumer), &maps.o, 1 + consumer);
    if (threadIdx.x % WARPGROUP == 0)
        mbarrier_arrive(smem.q_empty()); /* O has left Q's place */
}

template <typename T, typename F>
__global__ void __launch_bounds__(F::NUM_THREADS, 1)
    lazy_rescale(const attention<T> a, const __grid_constant__ tensor_maps maps)
{
    const shared_map<F> smem = shared_map_init<F>(
        4 * F::CONSUMERS); /* a place is empty when every warp says so */
    __syncthreads();       /* the barriers are set up */
    if (threadIdx.x < WARPGROUP) {
        give_registers_back<F::PRODUCER_REGISTERS>();
        if (threadIdx.x == 0)
            produce(a, maps, smem);
    } else {
        take_registers<F::CONSUMER_REGISTERS>();
        const int consumer = threadIdx.x / WARPGROUP - 1;
        ring<F> k = {0, 0}, v = {0, 0};
        if (consumer == F::CONSUMERS - 1)
            give_turn_to<F>(0);
        int i;
        for (int turn = 0; (i = work_in_turn<F>(a, maps, turn)) >= 0; turn++)
            consume<T>(a, maps, smem, work_number<F>(a, maps, i), consumer, turn, k, v);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

#define VARIANT(d, bm, bn)                                                                                   \
    {                                                                                                        \
        d, bm, bn, (const void *)lazy_rescale<__half, form<d, bm, bn, 2>>,                                   \
            (const void *)lazy_rescale<__nv_bfloat16, form<d, bm, bn, 2>>, form<d, bm, bn, 2>::NUM_THREADS,  \
            form<d, bm, bn, 2>::SMEM_BYTES                                                                   \
    }
static const hopper_variant variants[] = {VARIANT(64, 192, 128),  VARIANT(64, 128, 128),
                                          VARIANT(128, 128, 128), VARIANT(128, 128, 176),
                                          VARIANT(256, 128, 80),  {}};

#define TILING(block_m, block_n)                                                                             \
    {                                                                                                        \
        block_m, block_n, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD                          \
    }
extern "C" const tw_tiling tw_lazy_rescale_tilings[] = {
    TILING(128, 128), TILING(192, 128), TILING(128, 176), TILING(128, 80), {}};

extern "C" tw_status tw_lazy_rescale_supports(const tw_problem *p, const tw_tiling *t)
{
    return hopper_supports("45_lazy_rescale", variants, p, t);
}

extern "C" size_t tw_lazy_rescale_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_lazy_rescale_launch(const tw_gpu_args *args)
{
    int device, sms;
    TW_CUDA_TRY(cudaGetDevice(&device));
    TW_CUDA_TRY(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device));
    const tw_problem *p = &args->problem;
    const int64_t total = (int64_t)ceil_div(p->seqlen_q, args->tiling.block_m) * p->num_heads * p->batch;
    return hopper_launch(args, variants, total < sms ? (unsigned)total : (unsigned)sms);
}
