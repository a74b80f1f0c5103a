/*
 * A block of a Hopper rung: what is fixed when it is compiled, where things lie in its shared memory, which query tile of
 * which head it works on, the copies of Q, K and V, and whose turn it is.
 */
#ifndef TW_HOPPER_FORM_CUH
#define TW_HOPPER_FORM_CUH

#include "../hopper.cuh"
#include "tile.cuh"

/* ---- what is fixed when a kernel is compiled ----------------------------------------------------------- */

/*
 * CONSUMERS warpgroups of 64 query rows each; rings of STAGES places for K, as many for V, and Q_PLACES for Q. An SM
 * runs BLOCKS such blocks.
 */
template <int HEAD_DIM, int BLOCK_M, int BLOCK_N, int NUM_STAGES, int NUM_Q_PLACES = 1, int NUM_BLOCKS = 1>
struct form {
    static const int D = HEAD_DIM, BM = BLOCK_M, BN = BLOCK_N, STAGES = NUM_STAGES, Q_PLACES = NUM_Q_PLACES,
                     BLOCKS = NUM_BLOCKS, CONSUMERS = BM / 64;
    static const int ROWS_BYTES = 64 * D * 2;          /* Q or O of one warpgroup */
    static const int Q_BYTES = CONSUMERS * ROWS_BYTES; /* [warpgroup][slab][64][64] */
    static const int TILE_BYTES = BN * D * 2;          /* a K or V tile: [slab][block_n][64] */
    static const int RING_BYTES = STAGES * TILE_BYTES;
    static const int BARRIERS = 2 * Q_PLACES + 4 * STAGES;
    static const int NOTE_BYTES = 32; /* what the work at a place of Q is */
    /* Where one warpgroup only copies, it gives registers to those that calculate: an SM has 512 for each of 128. */
    static const int NUM_THREADS = WARPGROUP * (1 + CONSUMERS);
    static const int PRODUCER_REGISTERS = CONSUMERS == 3 ? 32 : 40;
    static const int CONSUMER_REGISTERS = (512 / BLOCKS / (1 + CONSUMERS) / 8 * 8 * (1 + CONSUMERS) -
                                           PRODUCER_REGISTERS) /
                                          CONSUMERS / 8 * 8;
    static const int SMEM_BYTES = 1024 + Q_PLACES * (Q_BYTES + NOTE_BYTES) + 2 * RING_BYTES +
                                  BARRIERS * 8; /* 1,024 to align by hand */
    static_assert(BM % 64 == 0 && BN % 16 == 0 && D % 64 == 0, "wgmma takes 64 rows, 16 keys, slabs of 64");
};

/* The tensor maps of one launch. */
typedef struct tensor_maps {
    CUtensorMap q, k, v, o;
    int num_heads;                    /* of all batch elements */
    int first_tile, tiles;            /* query tiles of a head; those before the first see no key */
    int section_heads, section_turns; /* see next_work() */
} tensor_maps;

/* Where things lie in shared memory; places of the ring are numbered as tiles are, modulo STAGES. */
template <typename F> struct shared_map {
    uint32_t base;
    __device__ __forceinline__ uint32_t q(int consumer = 0, int place = 0) const
    {
        return base + place * F::Q_BYTES + consumer * F::ROWS_BYTES;
    }
    __device__ __forceinline__ uint32_t k(int place) const
    {
        return base + F::Q_PLACES * F::Q_BYTES + place * F::TILE_BYTES;
    }
    __device__ __forceinline__ uint32_t v(int place) const
    {
        return base + F::Q_PLACES * F::Q_BYTES + F::RING_BYTES + place * F::TILE_BYTES;
    }
    __device__ __forceinline__ uint32_t barrier(int i) const
    {
        return base + F::Q_PLACES * (F::Q_BYTES + F::NOTE_BYTES) + 2 * F::RING_BYTES + i * 8;
    }
    __device__ __forceinline__ uint32_t note(int place) const
    {
        return base + F::Q_PLACES * F::Q_BYTES + 2 * F::RING_BYTES + place * F::NOTE_BYTES;
    }
    /* full: the copy has arrived. empty: every consumer has finished reading. */
    __device__ __forceinline__ uint32_t q_full(int place = 0) const
    {
        return barrier(place);
    }
    __device__ __forceinline__ uint32_t q_empty(int place = 0) const
    {
        return barrier(F::Q_PLACES + place);
    }
    __device__ __forceinline__ uint32_t k_full(int place) const
    {
        return barrier(2 * F::Q_PLACES + place);
    }
    __device__ __forceinline__ uint32_t v_full(int place) const
    {
        return barrier(2 * F::Q_PLACES + F::STAGES + place);
    }
    __device__ __forceinline__ uint32_t k_empty(int place) const
    {
        return barrier(2 * F::Q_PLACES + 2 * F::STAGES + place);
    }
    __device__ __forceinline__ uint32_t v_empty(int place) const
    {
        return barrier(2 * F::Q_PLACES + 3 * F::STAGES + place);
    }
};

extern __shared__ unsigned char hopper_smem[];

/*
 * One thread sets all barriers up; the block must synchronise before they are used. `readers` arrive at "empty" of K and
 * V, `q_readers` at that of Q.
 */
template <typename F>
static __device__ __forceinline__ shared_map<F> shared_map_init(int readers, int q_readers = F::CONSUMERS)
{
    shared_map<F> smem = {(shared_address(hopper_smem) + 1023) & ~1023u};
    if (threadIdx.x == 0) {
        for (int place = 0; place < F::Q_PLACES; place++) {
            mbarrier_init(smem.q_full(place), 1);
            mbarrier_init(smem.q_empty(place), q_readers);
        }
        for (int place = 0; place < F::STAGES; place++) {
            mbarrier_init(smem.k_full(place), 1);
            mbarrier_init(smem.v_full(place), 1);
            mbarrier_init(smem.k_empty(place), readers);
            mbarrier_init(smem.v_empty(place), readers);
        }
        mbarrier_init_fence();
    }
    return smem;
}

/* This thread's warpgroup; taken from one lane, so that the compiler knows that it is the warp's. */
static __device__ __forceinline__ int warpgroup_index()
{
    return __shfl_sync(0xffffffffu, threadIdx.x / WARPGROUP, 0);
}

/* ---- the block's work: one query tile of one head ------------------------------------------------------ */

typedef struct work {
    int batch, head, row0;
    int num_tiles; /* of keys that at least one of its rows sees; they are walked from the last to the first */
    int num_cut;   /* of these, the first few of the walk are cut by the mask or the sequence's end */
} work;

template <typename F, typename T>
static __device__ __forceinline__ work work_at(const attention<T> &a, int tile, int head, int batch)
{
    work w;
    w.batch = batch;
    w.head = head;
    w.row0 = tile * F::BM;
    int last_row = min(w.row0 + F::BM, a.seqlen_q) - 1;
    w.num_tiles = (keys_seen(a, last_row) + F::BN - 1) / F::BN;
    w.num_cut = w.num_tiles - keys_seen(a, w.row0) / F::BN;
    return w;
}

/* The block's own; longest first where the mask makes lengths differ. */
template <typename F, typename T> static __device__ __forceinline__ work work_of_block(const attention<T> &a)
{
    return work_at<F>(a, a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x, blockIdx.y, blockIdx.z);
}

/*
 * From 44_persistent on: the next piece of this block's work; false if there is none. Work is dealt in turns, one piece
 * for each block. Under a causal mask a section of heads is dealt longest first, and in every other turn from the last
 * block to the first, so that all blocks come to nearly the same sum. A section begins with a new turn.
 */
template <typename F, typename T>
static __device__ __forceinline__ bool next_work(int &turn, work &w, const attention<T> &a,
                                                 const tensor_maps &maps)
{
    for (;;) {
        const int first = turn / maps.section_turns * maps.section_heads;
        if (first >= maps.num_heads)
            return false;
        const int block = a.causal && turn % 2 == 1 ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
        const int i = turn % maps.section_turns * (int)gridDim.x + block;
        const int heads = min(maps.section_heads, maps.num_heads - first);
        turn++;
        if (i < heads * maps.tiles) {
            const int tile = maps.first_tile + (a.causal ? maps.tiles - 1 - i / heads : i % maps.tiles);
            const int head = first + (a.causal ? i % heads : i / maps.tiles);
            w = work_at<F>(a, tile, head % a.num_heads, head / a.num_heads);
            return true;
        }
    }
}

/* Query tiles whose rows see no key are nobody's work: O = 0, LSE = −∞. By all consumers' threads of all blocks. */
template <typename F, typename T>
static __device__ __forceinline__ void write_unseen_tiles(const attention<T> &a, const tensor_maps &maps)
{
    const int rows = maps.first_tile * F::BM, threads = gridDim.x * F::CONSUMERS * WARPGROUP;
    const int64_t first = (int64_t)blockIdx.x * F::CONSUMERS * WARPGROUP + threadIdx.x - WARPGROUP;
    for (int64_t i = first; i < (int64_t)rows * maps.num_heads; i += threads) {
        const int row = (int)(i % rows), head = (int)(i / rows) % a.num_heads;
        const int batch = (int)(i / rows) / a.num_heads;
        uint4 *o = reinterpret_cast<uint4 *>(
            a.o + (((int64_t)batch * a.seqlen_q + row) * a.num_heads + head) * F::D);
        for (int x = 0; x < F::D / 8; x++)
            o[x] = make_uint4(0, 0, 0, 0);
        a.lse[lse_at(a, batch, head, row)] = -INFINITY;
    }
}

static __device__ __forceinline__ int head_kv_of(int head, int num_heads, int num_heads_kv)
{
    return head / (num_heads / num_heads_kv);
}

/* One thread starts the copies of Q, of K tile j and of V tile j, and says at which barrier to wait for them. */
template <typename F>
static __device__ __forceinline__ void load_q(const shared_map<F> &smem, const tensor_maps &maps,
                                              const work &w, int place = 0)
{
    mbarrier_arrive_expecting(smem.q_full(place), F::Q_BYTES);
    for (int i = 0; i < F::CONSUMERS; i++)
        tma_load(smem.q(i, place), &maps.q, smem.q_full(place), w.row0 + 64 * i, w.head, w.batch);
}

template <typename F>
static __device__ __forceinline__ void load_k(const shared_map<F> &smem, const tensor_maps &maps,
                                              const work &w, int head_kv, int j, int place)
{
    mbarrier_arrive_expecting(smem.k_full(place), F::TILE_BYTES);
    tma_load(smem.k(place), &maps.k, smem.k_full(place), j * F::BN, head_kv, w.batch);
}

template <typename F>
static __device__ __forceinline__ void load_v(const shared_map<F> &smem, const tensor_maps &maps,
                                              const work &w, int head_kv, int j, int place)
{
    mbarrier_arrive_expecting(smem.v_full(place), F::TILE_BYTES);
    tma_load(smem.v(place), &maps.v, smem.v_full(place), j * F::BN, head_kv, w.batch);
}

/* Which place of the ring is next, and the parity of its phase there. */
template <typename F> struct ring {
    int place;
    unsigned parity;
    __device__ __forceinline__ void next()
    {
        place++;
        if (place == F::STAGES) {
            place = 0;
            parity ^= 1;
        }
    }
};

/* ---- turns, from 42_pingpong on --------------------------------------------------------------------------
 *
 * Each consumer has a named barrier at which it waits, and at which its predecessor announces itself; the last one
 * gives the first its first turn. (Barriers 1 to CONSUMERS serve write_rows().)
 */
template <typename F> static __device__ __forceinline__ void give_turn_to(int consumer)
{
    if (F::CONSUMERS > 1)
        named_barrier_arrive(1 + F::CONSUMERS + consumer, 2 * WARPGROUP);
}

template <typename F> static __device__ __forceinline__ void wait_for_turn(int consumer)
{
    if (F::CONSUMERS > 1)
        named_barrier_wait(1 + F::CONSUMERS + consumer, 2 * WARPGROUP);
}

template <typename F> static __device__ __forceinline__ int next_consumer(int consumer)
{
    return consumer == F::CONSUMERS - 1 ? 0 : consumer + 1;
}

#endif
