/*
 * 41_warp_specialized: one warp copies, the others calculate.
 *
 * What it teaches: copies need one thread and no registers, products need registers and no copying. So one warpgroup,
 * the producer, does nothing but fill a ring of places, and gives its registers to the consumers, which need not
 * stop for each other: they meet at mbarriers, a "full" and an "empty" one for each place.
 *
 * What changed from 40_wgmma: two or three consumer warpgroups a block share each K and V tile, which halves (thirds)
 * what enters the SM; no __syncthreads in the loop; setmaxnreg.
 *
 * What it does not do: see to it that one consumer's softmax falls under another's products. They may, by luck.
 *
 * Shared memory, in bytes (d = head_dim, C = consumers = block_m / 64):
 *
 *     0              Q, at the end O     C x 64 x 2d       each consumer its own rows
 *                    K  places 0, 1      block_n x 2d each
 *                    V  places 0, 1      block_n x 2d each
 *                    mbarriers           Q full; K, V full; K, V empty
 *
 *     time ─────▶
 *     producer     Q K0 V0 K1 V1 │ wait │ K2   V2 │ …
 *     consumer 0           S0 ░░S→P░░ O0  S1 ░░S→P░░ O1
 *     consumer 1           S0 ░░S→P░░ O0  S1 ░░S→P░░ O1      both wait for the tensor cores, then both do not
 *
 * Prediction, made before it ran: a step of 128 rows and 128 keys at head_dim 128 takes 3,100 cycles, of which the
 * products need 2,048: 540 TFLOP/s from 4k on. Against 40_wgmma hardly faster, but with half the bytes.
 */
#include "hopper_tile.cuh"

/* The producer: one thread, which keeps every place of the ring full. */
template <typename F, typename T>
static __device__ __forceinline__ void produce(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem, const work &w)
{
    const int head_kv = head_kv_of(w.head, a.num_heads, a.num_heads_kv);
    ring<F> at = {0, 1}; /* what is empty from the start counts as emptied */
    for (int j = w.num_tiles - 1; j >= 0; j--, at.next()) {
        mbarrier_wait(smem.k_empty(at.place), at.parity);
        load_k(smem, maps, w, head_kv, j, at.place);
        if (j == w.num_tiles - 1)
            load_q(smem, maps, w);
        mbarrier_wait(smem.v_empty(at.place), at.parity);
        load_v(smem, maps, w, head_kv, j, at.place);
    }
}

/* A consumer: 64 query rows. */
template <typename T, typename F>
static __device__ __forceinline__ void consume(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem, const work &w, int consumer)
{
    const int row = w.row0 + 64 * consumer + threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
    const bool speaks = threadIdx.x % 32 == 0; /* for its warp */
    rows<F> x;
    rows_init(x);
    ring<F> at = {0, 0};
    if (w.num_tiles > 0)
        mbarrier_wait(smem.q_full(), 0);
    for (int n = 0; n < w.num_tiles; n++, at.next()) {
        float s[F::BN / 2], alpha[2];
        mbarrier_wait(smem.k_full(at.place), at.parity);
        wgmma_fence();
        issue_scores<T, F>(s, smem.q(consumer), smem.k(at.place));
        wgmma_commit();
        wgmma_wait<0>();
        pinned(s);
        if (speaks)
            mbarrier_arrive(smem.k_empty(at.place));

        softmax_of_tile(s, x, alpha, a, row, w.num_tiles - 1 - n, n < w.num_cut);
        rescale(x, alpha);
        uint32_t p[F::BN / 4];
        narrow_scores<T, F>(p, s);

        mbarrier_wait(smem.v_full(at.place), at.parity);
        pinned(x.o);
        pinned(p);
        wgmma_fence();
        issue_output<T, F>(x.o, p, smem.v(at.place));
        wgmma_commit();
        wgmma_wait<0>();
        pinned(x.o);
        if (speaks)
            mbarrier_arrive(smem.v_empty(at.place));
    }
    finish_rows(x, a, w, consumer, smem.q(consumer), &maps.o, 1 + consumer);
}

template <typename T, typename F>
__global__ void __launch_bounds__(F::NUM_THREADS, 1)
    warp_specialized(const attention<T> a, const __grid_constant__ tensor_maps maps)
{
    const shared_map<F> smem = shared_map_init<F>(
        4 * F::CONSUMERS); /* a place is empty when every warp says so */
    const work w = work_of_block<F>(a);
    __syncthreads(); /* the barriers are set up */
    if (threadIdx.x < WARPGROUP) {
        give_registers_back<F::PRODUCER_REGISTERS>();
        if (threadIdx.x == 0)
            produce(a, maps, smem, w);
    } else {
        take_registers<F::CONSUMER_REGISTERS>();
        consume<T>(a, maps, smem, w, threadIdx.x / WARPGROUP - 1);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

#define VARIANT(d, bm, bn)                                                                                   \
    {                                                                                                        \
        d, bm, bn, (const void *)warp_specialized<__half, form<d, bm, bn, 2>>,                               \
            (const void *)warp_specialized<__nv_bfloat16, form<d, bm, bn, 2>>,                               \
            form<d, bm, bn, 2>::NUM_THREADS, form<d, bm, bn, 2>::SMEM_BYTES                                  \
    }
static const hopper_variant variants[] = {VARIANT(64, 192, 128),  VARIANT(64, 128, 128),
                                          VARIANT(128, 128, 128), VARIANT(128, 128, 176),
                                          VARIANT(256, 128, 80),  {}};

#define TILING(block_m, block_n)                                                                             \
    {                                                                                                        \
        block_m, block_n, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD                          \
    }
extern "C" const tw_tiling tw_warp_specialized_tilings[] = {
    TILING(128, 128), TILING(192, 128), TILING(128, 176), TILING(128, 80), {}};

extern "C" tw_status tw_warp_specialized_supports(const tw_problem *p, const tw_tiling *t)
{
    return hopper_supports("41_warp_specialized", variants, p, t);
}

extern "C" size_t tw_warp_specialized_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_warp_specialized_launch(const tw_gpu_args *args)
{
    return hopper_launch(args, variants, 0);
}
