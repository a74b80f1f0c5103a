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

/* The producer: one thread, which keeps every place of the ring full, and Q's. */
template <typename F, typename T>
static __device__ __forceinline__ void produce(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem)
{
    ring<F> at = {0, 1}; /* what is empty from the start counts as emptied */
    int turn = 0;
    work w;
    for (int number = 0; next_work<F>(turn, w, a, maps); number++) {
        const int head_kv = head_kv_of(w.head, a.num_heads, a.num_heads_kv);
        for (int j = w.num_tiles - 1; j >= 0; j--, at.next()) {
            mbarrier_wait(smem.k_empty(at.place), at.parity);
            load_k(smem, maps, w, head_kv, j, at.place);
            mbarrier_wait(smem.v_empty(at.place), at.parity);
            load_v(smem, maps, w, head_kv, j, at.place);
            if (j == w.num_tiles - 1) {
                mbarrier_wait(smem.q_empty(), (number & 1) ^ 1);
                load_q(smem, maps, w);
            }
        }
    }
}

/* A consumer's part of one piece of work: 64 query rows. `number` counts the block's pieces. */
template <typename T, typename F>
static __device__ __forceinline__ void consume(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem, const work &w, int consumer,
                                               int number, ring<F> &k, ring<F> &v)
{
    const int row = w.row0 + 64 * consumer + threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
    const bool speaks = threadIdx.x % 32 == 0; /* for its warp */
    rows<F> x;
    rows_init(x);
    const int next = next_consumer<F>(consumer);
    float s[F::BN / 2], alpha[2];
    uint32_t p[F::BN / 4];
    mbarrier_wait(smem.q_full(), number & 1);
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
    const int warpgroup = warpgroup_index();
    if (warpgroup == 0) {
        give_registers_back<F::PRODUCER_REGISTERS>();
        if (threadIdx.x == 0)
            produce(a, maps, smem);
    } else {
        take_registers<F::CONSUMER_REGISTERS>();
        const int consumer = warpgroup - 1;
        ring<F> k = {0, 0}, v = {0, 0};
        if (consumer == F::CONSUMERS - 1)
            give_turn_to<F>(0);
        int turn = 0;
        work w;
        for (int number = 0; next_work<F>(turn, w, a, maps); number++)
            consume<T>(a, maps, smem, w, consumer, number, k, v);
        write_unseen_tiles<F>(a, maps);
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
    return hopper_launch_persistent(args, variants);
}
