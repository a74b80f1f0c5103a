/**
 * @file exp2_polynomial.h
 * @brief 2^x without the unit for exponentials: a polynomial on the fraction, an addition to the exponent.
 *
 * x = n + f with n = ⌊x⌋ and 0 <= f < 1; 2^f is a polynomial of low degree, evaluated in fp32 by Horner's rule as fused
 * multiply-adds do it, and 2^n goes into the exponent. Coefficients are those whose largest relative error on [0, 1] is
 * the least (Remez); degree 3 errs by 7.5e-5, less than half a unit of fp16's last place.
 * @see Zadouri et al. 2026, FlashAttention-4, arXiv:2603.05451; Cody and Waite 1980
 */
#ifndef TW_EXP2_POLYNOMIAL_H
#define TW_EXP2_POLYNOMIAL_H

#ifdef __cplusplus
extern "C" {
#endif

/** The degree where none is given. */
#define TW_POLY_DEGREE 3
/** Lowest degree that there are coefficients for. */
#define TW_POLY_DEGREE_MIN 2
/** Highest: its error is that of fp32. */
#define TW_POLY_DEGREE_MAX 5

/** 2^x in fp32 arithmetic; `degree` from 2 to 5, 0 for TW_POLY_DEGREE. 0 below −126, as without denormals. */
float tw_exp2_polynomial(float x, int degree);

/** The largest relative error that the coefficients of a degree have by themselves, in exact arithmetic. */
double tw_exp2_polynomial_error(int degree);

/** FLOPs of FMA units for one: the fraction, a fused multiply-add a degree, the exponent. */
int tw_exp2_polynomial_flops(int degree);

#ifdef __cplusplus
}
#endif

#endif
