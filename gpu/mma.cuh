/*
 * Tensor cores and asynchronous copies as they were before Hopper: one thin wrapper per PTX instruction, all of
 * them in sm_80. Sections are those of the PTX ISA.
 *
 * Who holds what in mma.m16n8k16 (9.7.14.5.8), for lane = 4g + t, g 0-7, t 0-3; a register of A or B is two
 * neighbours along k, the first in the low half:
 *
 *          A, 16 x 16 (m x k)           B, 16 x 8 (k x n)         C, D, 16 x 8 (m x n), fp32
 *          k 2t, +1    k 8+2t, +1             n = g                   n 2t     2t+1
 *     m g     a[0]        a[2]      k 2t, +1    b0            m g     c[0]     c[1]
 *     m g+8   a[1]        a[3]      k 8+2t, +1  b1            m g+8   c[2]     c[3]
 *
 * So two neighbouring C tiles, rounded and packed in pairs, are an A tile: P need not leave the registers.
 */
#ifndef TW_MMA_CUH
#define TW_MMA_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

/* An address as ldmatrix and cp.async want it: 32 bits, counted from the start of shared memory. */
static __device__ __forceinline__ uint32_t shared_address(const void *smem)
{
    return (uint32_t)__cvta_generic_to_shared(smem);
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* C += A B. */
template <typename T>
static __device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ __forceinline__ void mma<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ __forceinline__ void mma<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                                   uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* ---- fragments from shared memory (9.7.14.5.15) -------------------------------------------------------- */

/*
 * Four 8 x 8 matrices of 16-bit elements. Lanes 8i … 8i + 7 give the addresses of the eight rows, 16 bytes each,
 * of matrix i; lane 4g + t gets elements 2t, 2t + 1 of its row g in x[i].
 */
static __device__ __forceinline__ void ldmatrix(uint32_t (&x)[4], uint32_t smem)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(smem)
                 : "memory");
}

/* The same, each matrix transposed: lane 4g + t gets elements 2t, 2t + 1 of its column g. */
static __device__ __forceinline__ void ldmatrix_trans(uint32_t (&x)[4], uint32_t smem)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(smem)
                 : "memory");
}

/* ---- copies that need no register and no waiting (9.7.9.25.3) ------------------------------------------ */

/* 16 bytes from global to shared memory; .cg goes past L1, so that every copy is a fill. */
static __device__ __forceinline__ void cp_async(uint32_t smem, const void *gmem)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(smem), "l"(gmem) : "memory");
}

/* The same if `valid`, otherwise 16 bytes of zeros and nothing is read. */
static __device__ __forceinline__ void cp_async_or_zeros(uint32_t smem, const void *gmem, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(smem), "l"(gmem), "r"(valid ? 16 : 0)
                 : "memory");
}

/* Closes a group: this thread's copies since the last group was closed. */
static __device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" : : : "memory");
}

/* Waits until at most `PENDING` of this thread's groups are under way; others' copies need a barrier as well. */
template <int PENDING> static __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" : : "n"(PENDING) : "memory");
}

#endif
