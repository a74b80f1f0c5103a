/* Number formats and the roundings between them. All 16-bit rounding is one function, narrow(), on the bits of
 * a double: a float is a double exactly, so neither way rounds twice. */
#include "dtype.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A 16-bit IEEE-like format: one sign bit, the exponent, the fraction. */
typedef struct format {
    int fraction_bits;
    int bias; /* also the largest exponent of a finite number */
} format;

static const format fp16 = {.fraction_bits = 10, .bias = 15};
static const format bf16 = {.fraction_bits = 7, .bias = 127};

/* The same of 8 bits. It has no use for infinity: what is larger than the largest number becomes that. */
typedef struct format8 {
    int fraction_bits;
    int bias;
    uint32_t largest, nan; /* codes */
} format8;

static const format8 e4m3 = {.fraction_bits = 3, .bias = 7, .largest = 0x7e, .nan = 0x7f};
static const format8 e5m2 = {.fraction_bits = 2, .bias = 15, .largest = 0x7b, .nan = 0x7e};

static const struct {
    const char *name;
    int bytes;
    double largest;
} dtypes[] = {
    [TW_FP32] = {"fp32", 4, (double)FLT_MAX}, [TW_FP16] = {"fp16", 2, 65504.0},
    [TW_BF16] = {"bf16", 2, 0x1.fep127},      [TW_FP64] = {"fp64", 8, DBL_MAX},
    [TW_E4M3] = {"e4m3", 1, 448.0},           [TW_E5M2] = {"e5m2", 1, 57344.0},
    [TW_INT8] = {"int8", 1, 127.0},
};
enum { NUM_DTYPES = sizeof dtypes / sizeof dtypes[0] };

int tw_dtype_bytes(tw_dtype dtype)
{
    return (unsigned)dtype < NUM_DTYPES ? dtypes[dtype].bytes : 0;
}

const char *tw_dtype_name(tw_dtype dtype)
{
    return (unsigned)dtype < NUM_DTYPES ? dtypes[dtype].name : "unknown dtype";
}

bool tw_dtype_is_code(tw_dtype dtype)
{
    return tw_dtype_bytes(dtype) == 1;
}

double tw_dtype_largest(tw_dtype dtype)
{
    return (unsigned)dtype < NUM_DTYPES ? dtypes[dtype].largest : 0.0;
}

tw_status tw_dtype_parse(tw_dtype *dtype, const char *name)
{
    for (int i = 0; i < NUM_DTYPES; i++) {
        if (!tw_dtype_is_code((tw_dtype)i) && strcmp(name, dtypes[i].name) == 0) {
            *dtype = (tw_dtype)i;
            return TW_OK;
        }
    }
    return tw_fail(TW_EINVAL, "dtype is '%s', it must be fp16, bf16, fp32 or fp64", name);
}

/* full / 2^shift, to nearest, ties to even; 1 <= shift. */
static uint32_t shift_right_rounding(uint64_t full, int shift)
{
    if (shift > 53) /* full < 2^53: less than half */
        return 0;
    uint64_t kept = full >> shift;
    uint64_t rest = full & ((UINT64_C(1) << shift) - 1);
    uint64_t half = UINT64_C(1) << (shift - 1);
    return (uint32_t)(kept + (rest > half || (rest == half && (kept & 1))));
}

static uint16_t narrow(double x, format to)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = (uint32_t)(bits >> 63) << 15;
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    uint32_t infinity = (uint32_t)(2 * to.bias + 1) << to.fraction_bits;

    if (exponent == 1024 && fraction != 0) { /* NaN: keep what fits of its payload, make it quiet */
        uint32_t quiet = UINT32_C(1) << (to.fraction_bits - 1);
        return (uint16_t)(sign | infinity | quiet | (uint32_t)(fraction >> (52 - to.fraction_bits)));
    }
    if (exponent > to.bias) /* infinity, and what is a whole binade too large */
        return (uint16_t)(sign | infinity);
    if (exponent == -1023) /* zero, and subnormal doubles: far below half the smallest number */
        return (uint16_t)sign;

    /* Below the smallest normal exponent, 1 - bias, each step down costs one more bit. The leading 1 of the
     * kept bits then adds itself to the exponent field; so does a carry, which may reach infinity. */
    int below = exponent < 1 - to.bias ? 1 - to.bias - exponent : 0;
    uint32_t kept = shift_right_rounding(fraction | UINT64_C(1) << 52, 52 - to.fraction_bits + below);
    uint32_t field = below > 0 ? 0 : (uint32_t)(exponent + to.bias - 1);
    return (uint16_t)(sign | ((field << to.fraction_bits) + kept));
}

/* As narrow(), but the code after the largest exponent's last is simply cut back to the largest number. */
static uint8_t narrow8(double x, format8 to)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = (uint32_t)(bits >> 63) << 7;
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);

    if (exponent == 1024 && fraction != 0) /* NaN: sign and what fits of its payload */
        return (uint8_t)(sign | to.nan | (uint32_t)(fraction >> (52 - to.fraction_bits)));
    if (exponent == -1023)
        return (uint8_t)sign;

    int below = exponent < 1 - to.bias ? 1 - to.bias - exponent : 0;
    uint32_t kept = shift_right_rounding(fraction | UINT64_C(1) << 52, 52 - to.fraction_bits + below);
    uint32_t field = below > 0 ? 0 : (uint32_t)(exponent + to.bias - 1);
    uint32_t code = (field << to.fraction_bits) + kept;
    return (uint8_t)(sign | (code < to.largest ? code : to.largest));
}

static float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The number of a code that is neither infinity nor NaN; float_of_bits() makes it, as for the wider formats. */
static float widen8(uint8_t bits, format8 from)
{
    uint32_t sign = (uint32_t)(bits >> 7) << 31, code = bits & 0x7f;
    uint32_t field = code >> from.fraction_bits, steps = code & ((UINT32_C(1) << from.fraction_bits) - 1);
    if (field == 0) /* subnormal or zero: steps of 2^(1 − bias − fraction bits) */
        return (sign ? -1.0F : 1.0F) * (float)steps *
               float_of_bits((uint32_t)(1 - from.bias - from.fraction_bits + 127) << 23);
    return float_of_bits(sign | (uint32_t)((int)field - from.bias + 127) << 23 |
                         steps << (23 - from.fraction_bits));
}

uint8_t tw_e4m3_from_double(double x)
{
    return narrow8(x, e4m3);
}

uint8_t tw_e5m2_from_double(double x)
{
    return narrow8(x, e5m2);
}

float tw_e4m3_to_float(uint8_t bits)
{
    return (bits & 0x7f) == 0x7f ? NAN : widen8(bits, e4m3);
}

float tw_e5m2_to_float(uint8_t bits)
{
    if ((bits & 0x7c) != 0x7c)
        return widen8(bits, e5m2);
    if (bits & 3)
        return NAN;
    return bits & 0x80 ? -INFINITY : INFINITY;
}

int8_t tw_int8_from_double(double x)
{
    if (isnan(x))
        return 0;
    double whole = nearbyint(x);
    return (int8_t)(whole > 127.0 ? 127.0 : whole < -127.0 ? -127.0 : whole);
}

uint16_t tw_fp16_from_float(float x)
{
    return narrow((double)x, fp16);
}

uint16_t tw_bf16_from_float(float x)
{
    return narrow((double)x, bf16);
}

uint16_t tw_fp16_from_double(double x)
{
    return narrow(x, fp16);
}

uint16_t tw_bf16_from_double(double x)
{
    return narrow(x, bf16);
}

float tw_fp16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits >> 15) << 31;
    uint32_t exponent = bits >> 10 & 0x1f;
    uint32_t fraction = bits & 0x3ff;
    if (exponent == 0x1f)
        return float_of_bits(sign | UINT32_C(0x7f800000) | fraction << 13);
    if (exponent == 0) /* subnormal or zero: exact in a float */
        return (sign ? -1.0F : 1.0F) * (float)fraction * 0x1p-24F;
    return float_of_bits(sign | (exponent - 15 + 127) << 23 | fraction << 13);
}

float tw_bf16_to_float(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

double tw_dtype_round(tw_dtype dtype, double x)
{
    switch (dtype) {
    case TW_FP16:
        return (double)tw_fp16_to_float(tw_fp16_from_double(x));
    case TW_BF16:
        return (double)tw_bf16_to_float(tw_bf16_from_double(x));
    case TW_FP32:
        return (double)(float)x;
    case TW_E4M3:
        return (double)tw_e4m3_to_float(tw_e4m3_from_double(x));
    case TW_E5M2:
        return (double)tw_e5m2_to_float(tw_e5m2_from_double(x));
    case TW_INT8:
        return (double)tw_int8_from_double(x);
    case TW_FP64:
        break;
    }
    return x;
}

double tw_dtype_load(const void *array, tw_dtype dtype, size_t i)
{
    switch (dtype) {
    case TW_FP16:
        return (double)tw_fp16_to_float(((const uint16_t *)array)[i]);
    case TW_BF16:
        return (double)tw_bf16_to_float(((const uint16_t *)array)[i]);
    case TW_FP32:
        return (double)((const float *)array)[i];
    case TW_E4M3:
        return (double)tw_e4m3_to_float(((const uint8_t *)array)[i]);
    case TW_E5M2:
        return (double)tw_e5m2_to_float(((const uint8_t *)array)[i]);
    case TW_INT8:
        return (double)((const int8_t *)array)[i];
    case TW_FP64:
        break;
    }
    return ((const double *)array)[i];
}

void tw_dtype_store(void *array, tw_dtype dtype, size_t i, double x)
{
    switch (dtype) {
    case TW_FP16:
        ((uint16_t *)array)[i] = tw_fp16_from_double(x);
        return;
    case TW_BF16:
        ((uint16_t *)array)[i] = tw_bf16_from_double(x);
        return;
    case TW_FP32:
        ((float *)array)[i] = (float)x;
        return;
    case TW_E4M3:
        ((uint8_t *)array)[i] = tw_e4m3_from_double(x);
        return;
    case TW_E5M2:
        ((uint8_t *)array)[i] = tw_e5m2_from_double(x);
        return;
    case TW_INT8:
        ((int8_t *)array)[i] = tw_int8_from_double(x);
        return;
    case TW_FP64:
        break;
    }
    ((double *)array)[i] = x;
}

void tw_dtype_convert(void *dst, tw_dtype dst_dtype, const void *src, tw_dtype src_dtype, size_t n)
{
    if (dst_dtype == src_dtype) {
        if (n > 0)
            memcpy(dst, src, n * (size_t)tw_dtype_bytes(src_dtype));
        return;
    }
    for (size_t i = 0; i < n; i++)
        tw_dtype_store(dst, dst_dtype, i, tw_dtype_load(src, src_dtype, i));
}
