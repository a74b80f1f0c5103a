/**
 * @file compare_element.h
 * @brief One element of O or LSE against what it should be: inline, so that the GPU and a test on the host share it.
 */
#ifndef TW_GPU_COMPARE_ELEMENT_H
#define TW_GPU_COMPARE_ELEMENT_H

#include "exact_row.h"
#include "soak_kernels.h"

/* ---- what many threads do to one number ----------------------------------------------------------------- */

#ifdef __CUDA_ARCH__
static __device__ inline void tw_count(unsigned long long *to)
{
    atomicAdd(to, 1ull);
}
static __device__ inline void tw_lower(unsigned long long *to, unsigned long long x)
{
    atomicMin(to, x);
}
/** Doubles that are not negative are ordered as their bit patterns are. */
static __device__ inline void tw_raise(double *to, double x)
{
    atomicMax((unsigned long long *)to, (unsigned long long)__double_as_longlong(x));
}
#else
static inline void tw_count(unsigned long long *to)
{
    (*to)++;
}
static inline void tw_lower(unsigned long long *to, unsigned long long x)
{
    *to = x < *to ? x : *to;
}
static inline void tw_raise(double *to, double x)
{
    *to = x > *to ? x : *to;
}
#endif

/* ---- elements ------------------------------------------------------------------------------------------- */

/** Element i of O. */
TW_EXACT_INLINE void tw_compare_o(const tw_gpu_comparison *c, size_t i)
{
    const double found = tw_exact_widen(c->o[0][i], c->bf16), error = fabs(found - c->exact_o[i]);
    if (!isnan(error))
        tw_raise(&c->found->worst_o, error);
    if (tw_exact_is_wrong(found, c->exact_o[i], c->o_allowed)) {
        tw_count(&c->found->wrong_o);
        tw_lower(&c->found->first_wrong_o, i);
    }
    if (c->o[0][i] != c->o[1][i])
        tw_count(&c->found->changed);
}

/** Element i of LSE. */
TW_EXACT_INLINE void tw_compare_lse(const tw_gpu_comparison *c, size_t i)
{
    const double exact = c->exact_lse[i];
    const float first = c->lse[0][i], second = c->lse[1][i];
    uint32_t bits[2];
    memcpy(&bits[0], &first, sizeof first);
    memcpy(&bits[1], &second, sizeof second);
    if (tw_exact_is_wrong((double)first, exact, tw_exact_lse_allowed(exact, c->bf16) + c->lse_allowed)) {
        tw_count(&c->found->wrong_lse);
        tw_lower(&c->found->first_wrong_lse, i);
    }
    if (bits[0] != bits[1])
        tw_count(&c->found->changed);
}

/** Byte i of guard g. */
TW_EXACT_INLINE void tw_compare_guard(const tw_gpu_comparison *c, int g, size_t i)
{
    const unsigned char *guard = c->guards[g].first;
    if (guard != NULL && guard[i] != TW_GPU_SOAK_POISON)
        tw_count(&c->found->overrun);
}

#endif
