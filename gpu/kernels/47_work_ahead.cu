/*
 * 47_work_ahead: the next query tile begins before this one has ended; tiles are chosen by length.
 *
 * What it teaches: at the seam between two query tiles nothing multiplies: O is scaled and stored, Q comes, the first
 * S is waited for. With two places for Q the next Q is there in time, and S = Q K_0ᵀ of the next query tile is issued
 * together with O += P V of this one's last keys; O is written under that product. It leaves by way of its own Q's
 * place, which is refilled for the query tile after the next: nobody waits for the copy.
 *
 * What changed from 46_without_maximum: Q_PLACES, consume() walks over all work, and the producer, which knows what
 * comes next, leaves a note of it beside Q: finding out takes five divisions, and the consumers have better things to
 * do. Short causal sequences at head_dim 64 take query tiles of 64 rows, three blocks an SM: less of the diagonal's
 * tiles is masked, and three blocks ask HBM for their tiles at different times. At head_dim 256 two Qs do not fit.
 *
 * Shared memory, in bytes (d = head_dim):
 *
 *     0                  Q  works 0, 2, …   block_m x 2d     each becomes O, at its end
 *     + block_m 2d       Q  works 1, 3, …   block_m x 2d
 *     + block_m 4d       K  two or more places of block_n x 2d, then as many for V
 *                        notes, mbarriers
 *
 *     time ─────▶        last keys of a query tile │ first keys of the next one
 *     tensor        … S_last O_last-1   O_last │ S_0                 S_1 O_0
 *     consumer                  2^S, P             O / l ─▶ copy  m, 2^S, P
 *
 * Prediction, made before it ran: 1,500 of about 4,000 cycles a query tile: 10 % at 512, 5 % at 1k, 1 % at 4k.
 */
#include "hopper_tile.cuh"

/* What the producer leaves beside a Q; no tiles: that was all. The barrier of Q carries it over. */
template <typename F>
static __device__ __forceinline__ void leave_note(const shared_map<F> &smem, int place, const work &w)
{
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};\n"
                 "st.shared.b32 [%0 + 16], %5;" ::"r"(smem.note(place)),
                 "r"(w.batch), "r"(w.head), "r"(w.row0), "r"(w.num_tiles), "r"(w.num_cut)
                 : "memory");
}

/* Waits for Q and reads the note; every lane the same, which the compiler is told by a shuffle. */
template <typename F>
static __device__ __forceinline__ work wait_for_work(const shared_map<F> &smem, int number)
{
    const int place = number % F::Q_PLACES;
    int note[5];
    mbarrier_wait(smem.q_full(place), number / F::Q_PLACES & 1);
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%5];\n"
                 "ld.shared.b32 %4, [%5 + 16];"
                 : "=r"(note[0]), "=r"(note[1]), "=r"(note[2]), "=r"(note[3]), "=r"(note[4])
                 : "r"(smem.note(place))
                 : "memory");
#pragma unroll
    for (int i = 0; i < 5; i++)
        note[i] = __shfl_sync(0xffffffffu, note[i], 0);
    return {note[0], note[1], note[2], note[3], note[4]};
}

/* The producer: one thread, which keeps every place of the rings full. */
template <typename F, typename T>
static __device__ __forceinline__ void produce(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem)
{
    ring<F> at = {0, 1}; /* what is empty from the start counts as emptied */
    int turn = 0, number = 0;
    work w;
    for (; next_work<F>(turn, w, a, maps); number++) {
        const int head_kv = head_kv_of(w.head, a.num_heads, a.num_heads_kv);
        const int q_place = number % F::Q_PLACES;
        for (int j = w.num_tiles - 1; j >= 0; j--, at.next()) {
            mbarrier_wait(smem.k_empty(at.place), at.parity);
            load_k(smem, maps, w, head_kv, j, at.place);
            if (j == w.num_tiles - 1) {
                mbarrier_wait(smem.q_empty(q_place), number / F::Q_PLACES & 1 ^ 1);
                leave_note(smem, q_place, w);
                load_q(smem, maps, w, q_place);
            }
            mbarrier_wait(smem.v_empty(at.place), at.parity);
            load_v(smem, maps, w, head_kv, j, at.place);
        }
    }
    const int q_place = number % F::Q_PLACES;
    mbarrier_wait(smem.q_empty(q_place), number / F::Q_PLACES & 1 ^ 1);
    leave_note(smem, q_place, {0, 0, 0, 0, 0});
    mbarrier_arrive(smem.q_full(q_place));
}

/* A warp has read the note and O has left Q's place, which its warpgroup's first thread knows. One lane of each warp. */
template <typename F> static __device__ __forceinline__ void leave_q(const shared_map<F> &smem, int place)
{
    if (threadIdx.x % WARPGROUP == 0)
        tma_stores_read();
    mbarrier_arrive(smem.q_empty(place));
}

/* The first product of a query tile, where nothing else is under way. */
template <typename T, typename F>
static __device__ __forceinline__ void first_scores(float (&s)[F::BN / 2], const shared_map<F> &smem,
                                                    int consumer, int q_place, const ring<F> &k)
{
    mbarrier_wait(smem.k_full(k.place), k.parity);
    wgmma_fence();
    issue_scores<T, F>(s, smem.q(consumer, q_place), smem.k(k.place));
    wgmma_commit();
    wgmma_wait<0>();
    pinned(s);
}

/* A consumer: 64 query rows of each piece of work. At the loop's head S of the first keys is there. */
template <typename T, typename F>
static __device__ __forceinline__ void consume(const attention<T> &a, const tensor_maps &maps,
                                               const shared_map<F> &smem, int consumer)
{
    const bool ahead = F::Q_PLACES > 1, speaks = threadIdx.x % 32 == 0 /* for its warp */;
    const int next = next_consumer<F>(consumer);
    ring<F> k = {0, 0}, v = {0, 0};
    rows<F> x;
    float s[F::BN / 2];
    uint32_t p[F::BN / 4];
    work w = wait_for_work(smem, 0);
    if (w.num_tiles > 0)
        first_scores<T, F>(s, smem, consumer, 0, k);
    for (int number = 0; w.num_tiles > 0; number++) {
        const int q_place = number % F::Q_PLACES;
        const int row = w.row0 + 64 * consumer + threadIdx.x % WARPGROUP / 32 * 16 + threadIdx.x % 32 / 4;
        if (speaks)
            mbarrier_arrive(smem.k_empty(k.place));
        k.next();
        if (w.num_cut > 0)
            mask<F>(s, a, row, (w.num_tiles - 1) * F::BN);
        first_weights<T, F>(p, s, x, a.scale_log2);
        if (ahead && number > 0 && speaks)
            leave_q<F>(smem, q_place ^ 1);
        for (int n = 1; n < w.num_tiles; n++) {
            mbarrier_wait(smem.k_full(k.place), k.parity);
            mbarrier_wait(smem.v_full(v.place), v.parity);
            wait_for_turn<F>(consumer);
            pinned(x.o);
            pinned(p);
            wgmma_fence();
            issue_scores<T, F>(s, smem.q(consumer, q_place), smem.k(k.place));
            wgmma_commit();
            issue_output<T, F>(x.o, p, smem.v(v.place));
            wgmma_commit();
            give_turn_to<F>(next);
            wgmma_wait<1>(); /* S is there; O += P V runs on */
            pinned(s);
            if (speaks)
                mbarrier_arrive(smem.k_empty(k.place));
            if (n < w.num_cut)
                mask<F>(s, a, row, (w.num_tiles - 1 - n) * F::BN);
            wgmma_wait<0>(); /* O is there, P may be overwritten */
            pinned(x.o);
            pinned(p);
            if (speaks)
                mbarrier_arrive(smem.v_empty(v.place));
            k.next();
            v.next();
            next_weights<T, F>(p, s, x, a.scale_log2);
        }
        work then = {0, 0, 0, 0, 0};
        mbarrier_wait(smem.v_full(v.place), v.parity);
        if (ahead) {
            then = wait_for_work(smem, number + 1);
            if (then.num_tiles > 0)
                mbarrier_wait(smem.k_full(k.place), k.parity);
            wait_for_turn<F>(consumer);
        }
        pinned(x.o);
        pinned(p);
        wgmma_fence();
        issue_output<T, F>(x.o, p, smem.v(v.place));
        wgmma_commit();
        if (ahead) { /* of the next query tile; if there is none, of what lies there, for nobody */
            issue_scores<T, F>(s, smem.q(consumer, q_place ^ 1), smem.k(k.place));
            wgmma_commit();
            give_turn_to<F>(next);
            wgmma_wait<1>();
        } else {
            wgmma_wait<0>();
        }
        pinned(x.o);
        if (speaks)
            mbarrier_arrive(smem.v_empty(v.place));
        v.next();
        write_rows(x, a, w, consumer, smem.q(consumer, q_place), &maps.o, 1 + consumer);
        if (ahead) {
            wgmma_wait<0>();
            pinned(s);
        } else {
            if (speaks)
                leave_q<F>(smem, 0);
            then = wait_for_work(smem, number + 1);
            if (then.num_tiles > 0)
                first_scores<T, F>(s, smem, consumer, 0, k);
        }
        w = then;
    }
    if (threadIdx.x % WARPGROUP == 0)
        tma_stores_read(); /* shared memory may vanish now */
}

template <typename T, typename F>
__global__ void __launch_bounds__(F::NUM_THREADS, F::BLOCKS)
    work_ahead(const attention<T> a, const __grid_constant__ tensor_maps maps)
{
    const shared_map<F> smem = shared_map_init<F>(
        4 * F::CONSUMERS, 4 * F::CONSUMERS); /* a place is empty when every warp says so */
    __syncthreads();                         /* the barriers are set up */
    const int warpgroup = warpgroup_index();
    if (warpgroup == 0) {
        give_registers_back<F::PRODUCER_REGISTERS>();
        if (threadIdx.x == 0)
            produce(a, maps, smem);
    } else {
        take_registers<F::CONSUMER_REGISTERS>();
        const int consumer = warpgroup - 1;
        if (consumer == F::CONSUMERS - 1)
            give_turn_to<F>(0);
        consume<T>(a, maps, smem, consumer);
        write_unseen_tiles<F>(a, maps);
    }
}

/* ---- host ---------------------------------------------------------------------------------------------- */

template <typename F> static constexpr hopper_variant variant()
{
    return {F::D,
            F::BM,
            F::BN,
            (const void *)work_ahead<__half, F>,
            (const void *)work_ahead<__nv_bfloat16, F>,
            F::NUM_THREADS,
            F::SMEM_BYTES,
            F::BLOCKS};
}
/*                                      head_dim, block_m, block_n, places of K and V, of Q, blocks an SM */
static const hopper_variant variants[] = {
    variant<form<64, 192, 128, 3, 2>>(),  variant<form<64, 64, 64, 3, 2, 3>>(),
    variant<form<128, 128, 128, 2, 2>>(), variant<form<128, 128, 64, 4, 2>>(),
    variant<form<256, 128, 64, 2, 1>>(),  {}};

#define TILING(block_m, block_n)                                                                             \
    {                                                                                                        \
        block_m, block_n, TW_FETCH_BOX, TW_UNIT_TENSOR, TW_ORDER_OWN, TW_KV_FORWARD                          \
    }
extern "C" const tw_tiling tw_work_ahead_tilings[] = {
    TILING(128, 128), TILING(192, 128), TILING(128, 64), TILING(64, 64), {}};

extern "C" tw_status tw_work_ahead_supports(const tw_problem *p, const tw_tiling *t)
{
    return hopper_supports("47_work_ahead", variants, p, t);
}

extern "C" size_t tw_work_ahead_workspace_bytes(const tw_problem *, const tw_tiling *)
{
    return 0;
}

extern "C" tw_status tw_work_ahead_launch(const tw_gpu_args *args)
{
    return hopper_launch_persistent(args, variants);
}
