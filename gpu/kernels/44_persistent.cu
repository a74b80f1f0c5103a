/*
 * 44_persistent: one block an SM, which takes one query tile after the other.
 *
 * What it teaches: a block that ends leaves its SM with nothing to do until the next one has set up its barriers and
 * its first tiles have come. A block that stays lets the producer run ahead into the next query tile: its first K
 * and V arrive while the consumers still finish the last one. And which tile goes to which SM is now ours to say.
 *
 * What changed from 43_overlap: work_number() in place of the grid, and a loop around everything. Q has an "empty"
 * barrier, since its place is used again: O must have left it first.
 *
 * Order: without a mask, the query tiles of a head one after the other, so that those that run together share K and V.
 * With a causal mask, longest first, and in turn from the first SM to the last and back, which gives all SMs nearly
 * the same sum; in sections of as many heads as the L2 holds K and V of.
 *
 * Shared memory: as in 41_warp_specialized.
 *
 *     time ─────▶
 *     producer     Q K0 V0 K1 V1 … │ K0 V0 │ Q  K1 V1 …        of the next query tile
 *     consumers    S0 … O_last  1/l │ O out │ S0 …
 *
 * Prediction, made before it ran: nothing in the loop changes. About 2,000 of the 2,700 cycles a query tile spends on
 * its beginning and end go away: 3 % at 4k (32 tiles of keys), 15 % at 512.
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
        softmax_of_tile(s, x, alpha, a, row, w.num_tiles - 1, w.num_cut > 0);
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
        softmax_of_tile(s, x, alpha, a, row, w.num_tiles - 1 - n, n < w.num_cut);
        wgmma_wait<0>(); /* O is there, P may be overwritten */
        pinned(x.o);
        pinned(p);
        if (speaks)
            mbarrier_arrive(smem.v_empty(v.place));
        k.next();
        v.next();
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
    persistent(const attention<T> a, const __grid_constant__ tensor_maps maps)
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
        d, bm, bn, (const void *)persistent<__half, form<d, bm, bn, 2>>,                                     \
            (const void *)persistent<__nv_bfloat16, form<d, bm, bn, 2>>, form<d, bm, bn, 2>::NUM_THREADS,    \
            form<d, bm, bn, 2>::SMEM_BYTES                                                                   \
    }
static const hopper_variant variants[] = {VARIANT(64, 192, 128),  VARIANT(64, 128, 128),
                                          VARIANT(128, 128, 128), VARIANT(128, 128, 176),
                                          VARIANT(256, 128, 80),  {}};

#define TILING(block_m, block_n)                                                                             \
    {                                                                                                        \
        block_m, block_n, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD                          \
    }
extern "C" const tw_tiling tw_persistent_tilings[] = {
    TILING(128, 128), TILING(192, 128), TILING(128, 176), TILING(128, 80), {}};

extern "C" tw_status tw_persistent_supports(const tw_problem *p, const tw_tiling *t)
{
    return hopper_supports("44_persistent", variants, p, t);
}

extern "C" size_t tw_persistent_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_persistent_launch(const tw_gpu_args *args)
{
    int device, sms;
    TW_CUDA_TRY(cudaGetDevice(&device));
    TW_CUDA_TRY(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device));
    const tw_problem *p = &args->problem;
    const int64_t total = (int64_t)ceil_div(p->seqlen_q, args->tiling.block_m) * p->num_heads * p->batch;
    return hopper_launch(args, variants, total < sms ? (unsigned)total : (unsigned)sms);
}
