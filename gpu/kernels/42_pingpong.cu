/*
 * 42_pingpong: the consumers take turns, so that one's softmax runs under the other's products.
 *
 * What it teaches: with two consumers the tensor cores can always be busy, if one calculates exponentials exactly
 * while the other multiplies. Left alone they fall into step and then both wait; a turn, passed on by named barriers,
 * keeps them apart.
 *
 * What changed from 41_warp_specialized: what a consumer multiplies in one turn stands together, O += P V of the last
 * tile and S = Q Kᵀ of this one. It issues both when it is its turn and passes the turn on at once: what it issued is
 * in the tensor cores' queue ahead of the next one's.
 *
 * What it does not do: within a consumer, the softmax still waits for O += P V, although it does not need it.
 *
 * Shared memory: as in 41_warp_specialized.
 *
 *     time ─────▶
 *     tensor       S0   S0   O0 S1  O0 S1  O1 S2  O1 S2        consumers 0 and 1 alternate
 *     consumer 0   ▒▒ S→P ░░ ▒▒▒▒▒ S→P     ▒▒▒▒▒ S→P           ▒ its products run, ░ waits for its turn
 *     consumer 1      ▒▒  S→P      ▒▒▒▒▒ S→P      ▒▒▒▒▒
 *
 * Prediction, made before it ran: 3,050 cycles a step in place of 3,100. Turns alone gain little while a consumer's own
 * products and softmax stand one behind the other: together they are longer than the other's products.
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

/* A consumer: 64 query rows. */
template <typename T, typename F>
static __device__ __forceinline__ void consume(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem, const work &w, int consumer)
{
    const int row = w.row0 + 64 * consumer + threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
    const bool speaks = threadIdx.x % 32 == 0; /* for its warp */
    rows<F> x;
    rows_init(x);
    const int next = next_consumer<F>(consumer);
    if (consumer == F::CONSUMERS - 1)
        give_turn_to<F>(0);
    float s[F::BN / 2], alpha[2];
    uint32_t p[F::BN / 4];
    ring<F> k = {0, 0}, v = {0, 0};
    if (w.num_tiles > 0) {
        mbarrier_wait(smem.q_full(), 0);
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
        issue_output<T, F>(x.o, p, smem.v(v.place));
        issue_scores<T, F>(s, smem.q(consumer), smem.k(k.place));
        wgmma_commit();
        give_turn_to<F>(next);
        wgmma_wait<0>();
        pinned(s);
        pinned(x.o);
        if (speaks) {
            mbarrier_arrive(smem.k_empty(k.place));
            mbarrier_arrive(smem.v_empty(v.place));
        }
        k.next();
        v.next();
        softmax_of_tile(s, x, alpha, a, row, w.num_tiles - 1 - n, n < w.num_cut);
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
    }
    finish_rows(x, a, w, consumer, smem.q(consumer), &maps.o, 1 + consumer);
}

template <typename T, typename F>
__global__ void __launch_bounds__(F::NUM_THREADS, 1)
    pingpong(const attention<T> a, const __grid_constant__ tensor_maps maps)
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
        d, bm, bn, (const void *)pingpong<__half, form<d, bm, bn, 2>>,                                       \
            (const void *)pingpong<__nv_bfloat16, form<d, bm, bn, 2>>, form<d, bm, bn, 2>::NUM_THREADS,      \
            form<d, bm, bn, 2>::SMEM_BYTES                                                                   \
    }
static const hopper_variant variants[] = {VARIANT(64, 192, 128),  VARIANT(64, 128, 128),
                                          VARIANT(128, 128, 128), VARIANT(128, 128, 176),
                                          VARIANT(256, 128, 80),  {}};

#define TILING(block_m, block_n)                                                                             \
    {                                                                                                        \
        block_m, block_n, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD                          \
    }
extern "C" const tw_tiling tw_pingpong_tilings[] = {
    TILING(128, 128), TILING(192, 128), TILING(128, 176), TILING(128, 80), {}};

extern "C" tw_status tw_pingpong_supports(const tw_problem *p, const tw_tiling *t)
{
    return hopper_supports("42_pingpong", variants, p, t);
}

extern "C" size_t tw_pingpong_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_pingpong_launch(const tw_gpu_args *args)
{
    return hopper_launch(args, variants, 0);
}
