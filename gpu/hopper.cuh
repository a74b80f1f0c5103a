/*
 * What Hopper (sm_90a) adds for attention: one thin wrapper per PTX instruction. Sections are those of the PTX ISA.
 *
 *     mbarrier     a counter in shared memory that threads and copies arrive at, and that others wait for
 *     TMA          one thread starts the copy of a whole box of a tensor; the copy arrives at an mbarrier by itself
 *     wgmma        four warps multiply 64 rows at once, B always and A optionally straight from shared memory
 *     setmaxnreg   a warpgroup gives registers back, or takes them
 *
 * A tile in shared memory, as TMA writes it and wgmma reads it (128-byte swizzle): slabs of 64 columns one behind the
 * other; in a slab a row has 128 bytes; chunk c (16 bytes) of row r lies where chunk c ^ (r % 8) would. Tiles begin
 * at multiples of 1,024 bytes.
 *
 *             slab 0: columns 0-63          slab 1: columns 64-127
 *     row 0   [c0 c1 c2 c3 c4 c5 c6 c7]     [ ...          ]
 *     row 1   [c1 c0 c3 c2 c5 c4 c7 c6]     rows · 128 bytes further on
 *     ...
 */
#ifndef TW_HOPPER_CUH
#define TW_HOPPER_CUH

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

static const int WARPGROUP = 128; /* threads */

static __device__ __forceinline__ uint32_t shared_address(const void *smem)
{
    return (uint32_t)__cvta_generic_to_shared(smem);
}

/* ---- mbarrier (9.7.13.15) ------------------------------------------------------------------------------ */

/* A phase of the barrier is over when `arrivals` have come and all bytes that were announced. */
static __device__ __forceinline__ void mbarrier_init(uint32_t barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/* After the inits, before the barriers' first use by a copy or another block of the cluster. */
static __device__ __forceinline__ void mbarrier_init_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

static __device__ __forceinline__ void mbarrier_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/* Arrives, and announces that copies will bring `bytes`. */
static __device__ __forceinline__ void mbarrier_arrive_expecting(uint32_t barrier, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

/* Sleeps until the phase of this parity is over: 0 for the first, 1 for the second, 0 for the third … */
static __device__ __forceinline__ void mbarrier_wait(uint32_t barrier, unsigned parity)
{
    uint32_t over;
    do
        asm volatile("{\n"
                     "    .reg .pred over;\n"
                     "    mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
                     "    selp.u32 %0, 1, 0, over;\n"
                     "}"
                     : "=r"(over)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    while (!over);
}

/* ---- named barriers: for some of the block's warps, which wait or only announce themselves (9.7.13.1) -- */

static __device__ __forceinline__ void named_barrier_wait(int barrier, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

static __device__ __forceinline__ void named_barrier_arrive(int barrier, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/* ---- TMA (9.7.9.27): boxes of a tensor [batch, seqlen, heads, head_dim] -------------------------------- */

/*
 * Starts copying rows row0 … of one head to shared memory: the map's box, past the sequence's end zeros. The barrier
 * must expect the bytes of the whole box. Dimensions of the map: column in a slab, row, slab, head, batch.
 */
static __device__ __forceinline__ void tma_load(uint32_t smem, const CUtensorMap *map, uint32_t barrier,
                                                int row0, int head, int batch)
{
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %3, %5, %6}], [%2];"
                 :
                 : "r"(smem), "l"(map), "r"(barrier), "r"(0), "r"(row0), "r"(head), "r"(batch)
                 : "memory");
}

/* Starts copying a box from shared memory; rows past the sequence's end are left out. */
static __device__ __forceinline__ void tma_store(const CUtensorMap *map, uint32_t smem, int row0, int head,
                                                 int batch)
{
    asm volatile("cp.async.bulk.tensor.5d.global.shared::cta.bulk_group [%0, {%2, %3, %2, %4, %5}], [%1];\n"
                 "cp.async.bulk.commit_group;"
                 :
                 : "l"(map), "r"(smem), "r"(0), "r"(row0), "r"(head), "r"(batch)
                 : "memory");
}

/* Until this thread's stores have read their shared memory, which may then be written again, or vanish. */
static __device__ __forceinline__ void tma_stores_read()
{
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

/* What this thread wrote to shared memory can be seen by copies and wgmma, which take another way (9.7.13.4). */
static __device__ __forceinline__ void fence_for_async()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- registers (9.7.19.5) ------------------------------------------------------------------------------ */

template <int N> static __device__ __forceinline__ void give_registers_back()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

template <int N> static __device__ __forceinline__ void take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* ---- wgmma (9.7.15) ------------------------------------------------------------------------------------
 *
 * Thread 32w + 4g + t of a warpgroup holds of D, 64 x N fp32, and of A, 64 x 16 in 16 bits:
 *
 *     d[4i + 2j + e]   row 16w + g + 8j, column 8i + 2t + e
 *     a[2h + j]        row 16w + g + 8j, columns 8h + 2t, 8h + 2t + 1
 *
 * so that D, rounded and packed in pairs, is A: pair 4x + 2h + j of S is a[2h + j] of keys 16x … 16x + 15.
 *
 * Between issue and wait nobody may touch D or A: pinned() keeps the compiler from moving such code in.
 */

/*
 * A tile in shared memory as wgmma wants it named (9.7.15.5.1). Adding descriptor_step(bytes) moves on; the
 * swizzle applies to the final address. `slab_bytes` matters only where columns run along N (V).
 */
static __device__ __forceinline__ uint64_t tile_descriptor(uint32_t smem, int slab_bytes)
{
    const uint64_t swizzle_128 = 1, eight_rows = 1024;
    return (smem & 0x3ffff) >> 4 | (uint64_t)(slab_bytes >> 4) << 16 | eight_rows >> 4 << 32 |
           swizzle_128 << 62;
}

static __host__ __device__ constexpr uint64_t descriptor_step(int bytes)
{
    return bytes >> 4;
}

/* Registers written before are seen by the products after. */
static __device__ __forceinline__ void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Closes a group of products. */
static __device__ __forceinline__ void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Waits until at most PENDING groups are under way. */
template <int PENDING> static __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

template <int N> static __device__ __forceinline__ void pinned(float (&x)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+f"(x[i])::"memory");
}

template <int N> static __device__ __forceinline__ void pinned(uint32_t (&x)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+r"(x[i])::"memory");
}

/* D = A Bᵀ + (add ? D : 0), 16 columns of A and B, both tiles of rows: S = Q Kᵀ. B has N rows. */
template <typename T, int N>
static __device__ __forceinline__ void wgmma_nt(float (&d)[N / 2], uint64_t a, uint64_t b, bool add);

/* D += A B, 16 rows of B; A in registers: O += P V. B has N columns. */
template <typename T, int N>
static __device__ __forceinline__ void wgmma_add(float (&d)[N / 2], uint32_t a0, uint32_t a1, uint32_t a2,
                                                 uint32_t a3, uint64_t b);

/* clang-format off */
#define TW_D8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define TW_D16 TW_D8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define TW_D24 TW_D16 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define TW_D32 TW_D24 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define TW_D40 TW_D32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define TW_D48 TW_D40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define TW_D56 TW_D48 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define TW_D64 TW_D56 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define TW_D72 TW_D64 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define TW_D80 TW_D72 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define TW_D88 TW_D80 ", %80, %81, %82, %83, %84, %85, %86, %87"
#define TW_D96 TW_D88 ", %88, %89, %90, %91, %92, %93, %94, %95"
#define TW_D104 TW_D96 ", %96, %97, %98, %99, %100, %101, %102, %103"
#define TW_D112 TW_D104 ", %104, %105, %106, %107, %108, %109, %110, %111"
#define TW_D120 TW_D112 ", %112, %113, %114, %115, %116, %117, %118, %119"
#define TW_D128 TW_D120 ", %120, %121, %122, %123, %124, %125, %126, %127"
#define TW_X8(x, i) "+f"(x[i]), "+f"(x[i + 1]), "+f"(x[i + 2]), "+f"(x[i + 3]), \
                    "+f"(x[i + 4]), "+f"(x[i + 5]), "+f"(x[i + 6]), "+f"(x[i + 7])
#define TW_X16(x, i) TW_X8(x, i), TW_X8(x, i + 8)
#define TW_X32(x, i) TW_X16(x, i), TW_X16(x, i + 16)
#define TW_X40(x, i) TW_X32(x, i), TW_X8(x, i + 32)
#define TW_X48(x, i) TW_X32(x, i), TW_X16(x, i + 32)
#define TW_X64(x, i) TW_X32(x, i), TW_X32(x, i + 32)
#define TW_X88(x, i) TW_X64(x, i), TW_X16(x, i + 64), TW_X8(x, i + 80)
#define TW_X96(x, i) TW_X64(x, i), TW_X32(x, i + 64)
#define TW_X128(x, i) TW_X64(x, i), TW_X64(x, i + 64)

/* R = N / 2 registers of D are operands 0 … R - 1; U … Z are the numbers R … R + 5. */
#define TW_WGMMA_NT(T, TYPE, N, R, U, V, W)                                                                  \
    template <> __device__ __forceinline__ void wgmma_nt<T, N>(float (&d)[R], uint64_t a, uint64_t b, bool add) \
    {                                                                                                        \
        asm volatile("{\n    .reg .pred add;\n    setp.ne.b32 add, %" #W ", 0;\n    "                        \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" TW_D##R "}, "      \
                     "%" #U ", %" #V ", add, 1, 1, 0, 0;\n}"                                                 \
                     : TW_X##R(d, 0) : "l"(a), "l"(b), "r"((int)add));                                       \
    }
#define TW_WGMMA_ADD(T, TYPE, N, R, U, V, W, X, Y, Z)                                                        \
    template <> __device__ __forceinline__ void wgmma_add<T, N>(float (&d)[R], uint32_t a0, uint32_t a1,     \
                                                                uint32_t a2, uint32_t a3, uint64_t b)        \
    {                                                                                                        \
        asm volatile("{\n    .reg .pred add;\n    setp.ne.b32 add, %" #Z ", 0;\n    "                        \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" TW_D##R "}, "      \
                     "{%" #U ", %" #V ", %" #W ", %" #X "}, %" #Y ", add, 1, 1, 1;\n}"                       \
                     : TW_X##R(d, 0) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(1));                  \
    }
#define TW_WGMMA(T, TYPE)                                                                                    \
    TW_WGMMA_NT(T, TYPE, 64, 32, 32, 33, 34)                                                                 \
    TW_WGMMA_NT(T, TYPE, 80, 40, 40, 41, 42)                                                                 \
    TW_WGMMA_NT(T, TYPE, 96, 48, 48, 49, 50)                                                                 \
    TW_WGMMA_NT(T, TYPE, 128, 64, 64, 65, 66)                                                                \
    TW_WGMMA_NT(T, TYPE, 176, 88, 88, 89, 90)                                                                \
    TW_WGMMA_NT(T, TYPE, 192, 96, 96, 97, 98)                                                                \
    TW_WGMMA_ADD(T, TYPE, 64, 32, 32, 33, 34, 35, 36, 37)                                                        \
    TW_WGMMA_ADD(T, TYPE, 128, 64, 64, 65, 66, 67, 68, 69)                                                       \
    TW_WGMMA_ADD(T, TYPE, 256, 128, 128, 129, 130, 131, 132, 133)
TW_WGMMA(__half, "f16")
TW_WGMMA(__nv_bfloat16, "bf16")
/* clang-format on */

#endif
