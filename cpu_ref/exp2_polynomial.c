/* 2^x on FMA units. */
#include "exp2_polynomial.h"

#include <math.h>

/* Minimax in relative error on [0, 1], lowest power first; and that error. */
static const struct {
    float coefficient[TW_POLY_DEGREE_MAX + 1];
    double error;
} fits[] = {
    {{1.001724763157f, 0.657636276277f, 0.337189434252f}, 1.7247631569e-3},
    {{0.999925218566f, 0.695833540479f, 0.226067155397f, 0.078024522690f}, 7.4781434086e-5},
    {{1.000002593369f, 0.693003834432f, 0.241442757098f, 0.052011460299f, 0.013534168062f}, 2.5933692665e-6},
    {{0.999999925064f, 0.693153073203f, 0.240153617021f, 0.055826318116f, 0.008989340024f, 0.001877576700f},
     7.4936412228e-8},
};

static int degree_or(int degree)
{
    return degree >= TW_POLY_DEGREE_MIN && degree <= TW_POLY_DEGREE_MAX ? degree : TW_POLY_DEGREE;
}

float tw_exp2_polynomial(float x, int degree)
{
    degree = degree_or(degree);
    const float *c = fits[degree - TW_POLY_DEGREE_MIN].coefficient;
    float whole = floorf(x), f = x - whole, sum = c[degree];
    if (!(x >= -126.0f))
        return 0.0f;
    for (int k = degree - 1; k >= 0; k--)
        sum = fmaf(sum, f, c[k]);
    return ldexpf(sum, (int)whole);
}

double tw_exp2_polynomial_error(int degree)
{
    return fits[degree_or(degree) - TW_POLY_DEGREE_MIN].error;
}

int tw_exp2_polynomial_flops(int degree)
{
    enum { SCALE = 2, FRACTION = 2, EXPONENT = 2 };
    return SCALE + FRACTION + 2 * degree_or(degree) + EXPONENT;
}
