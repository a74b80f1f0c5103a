/*
 * 40_wgmma: Hopper's own products and copies, nothing else. FlashAttention-2's loop, one warpgroup a block.
 *
 * What it teaches: wgmma multiplies 64 rows at once and takes Q, K and V straight from shared memory, so no fragment
 * is loaded by hand; one thread asks TMA for a whole tile, and everybody waits at an mbarrier until it has come.
 *
 * What changed from 30_flash2_mma: mma.sync and ldmatrix → wgmma; cp.async by all threads → TMA by one; the chunks'
 * places are now the hardware's business. Exponentials are not yet hidden among products.
 *
 * What it does not do: overlap anything within a block. A warpgroup waits for its product, then does its softmax
 * while the tensor cores wait for it; two or three blocks an SM fill some of the gaps.
 *
 * Shared memory, in bytes (d = head_dim):
 *
 *     0              Q, at the end O     64 x 2d
 *     + 128 d        K  tiles 0, 2, …    block_n x 2d      a ring of two places: tile n + 1 is on its way
 *                    K  tiles 1, 3, …    block_n x 2d      while tile n is used
 *                    V  tiles 0, 2, …    block_n x 2d
 *                    V  tiles 1, 3, …    block_n x 2d
 *                    mbarriers
 *
 *     time ─────▶
 *     copies     Q K0 V0 │ K1 V1         │ K2 V2         │
 *     tensor             │ S0 ░░░░░░ O0  │ S1 ░░░░░░ O1  │      ░ idle
 *     softmax            │ ░░ S→P ░░     │ ░░ S→P ░░     │
 *
 * Prediction, made before it ran, from the costs of wgmma and softmax by themselves (a warpgroup's softmax of 64 keys
 * takes 465 cycles alone, the two products of 64 x 64 x 128 take 256 each and 50 to come back): two blocks an SM keep
 * the tensor cores 60 to 65 % busy at head_dim 128: 500 to 540 TFLOP/s; at head_dim 64 exponentials bind, 350.
 */
#include "hopper_tile.cuh"

template <typename T, typename F>
__global__ void __launch_bounds__(WARPGROUP)
    wgmma_attention(const attention<T> a, const __grid_constant__ tensor_maps maps)
{
    const shared_map<F> smem = shared_map_init<F>(1);
    const work w = work_of_block<F>(a);
    const int head_kv = head_kv_of(w.head, a.num_heads, a.num_heads_kv);
    const int row = w.row0 + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    __syncthreads(); /* the barriers are set up */

    if (threadIdx.x == 0 && w.num_tiles > 0) {
        load_q(smem, maps, w);
        load_k(smem, maps, w, head_kv, w.num_tiles - 1, 0);
        load_v(smem, maps, w, head_kv, w.num_tiles - 1, 0);
    }

    rows<F> x;
    rows_init(x);
    ring<F> here = {0, 0};
    for (int n = 0; n < w.num_tiles; n++, here.next()) {
        const int j = w.num_tiles - 1 - n;
        __syncthreads(); /* nobody reads the tiles before these any more: refill their places */
        if (threadIdx.x == 0 && j > 0) {
            load_k(smem, maps, w, head_kv, j - 1, here.place ^ 1);
            load_v(smem, maps, w, head_kv, j - 1, here.place ^ 1);
        }

        float s[F::BN / 2], alpha[2];
        if (n == 0)
            mbarrier_wait(smem.q_full(), 0);
        mbarrier_wait(smem.k_full(here.place), here.parity);
        wgmma_fence();
        issue_scores<T, F>(s, smem.q(), smem.k(here.place));
        wgmma_commit();
        wgmma_wait<0>();
        pinned(s);

        softmax_of_tile(s, x, alpha, a, row, j, n < w.num_cut);
        rescale(x, alpha);
        uint32_t p[F::BN / 4];
        narrow_scores<T, F>(p, s);

        mbarrier_wait(smem.v_full(here.place), here.parity);
        pinned(x.o);
        pinned(p);
        wgmma_fence();
        issue_output<T, F>(x.o, p, smem.v(here.place));
        wgmma_commit();
        wgmma_wait<0>();
        pinned(x.o);
    }
    finish_rows(x, a, w, 0, smem.q(), &maps.o, 1);
}

/* ---- host ---------------------------------------------------------------------------------------------- */

#define VARIANT(d, bn)                                                                                       \
    {                                                                                                        \
        d, 64, bn, (const void *)wgmma_attention<__half, form<d, 64, bn, 2>>,                                \
            (const void *)wgmma_attention<__nv_bfloat16, form<d, 64, bn, 2>>, WARPGROUP,                     \
            form<d, 64, bn, 2>::SMEM_BYTES                                                                   \
    }
static const hopper_variant variants[] = {VARIANT(64, 64),   VARIANT(64, 128), VARIANT(128, 64),
                                          VARIANT(128, 128), VARIANT(256, 64), {}};

extern "C" const tw_tiling tw_wgmma_tilings[] = {
    {64, 64, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
    {64, 128, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},
    {}};

extern "C" tw_status tw_wgmma_supports(const tw_problem *p, const tw_tiling *t)
{
    return hopper_supports("40_wgmma", variants, p, t);
}

extern "C" size_t tw_wgmma_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_wgmma_launch(const tw_gpu_args *args)
{
    return hopper_launch(args, variants, 0);
}
