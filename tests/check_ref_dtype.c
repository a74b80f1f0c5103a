/* Number formats: every 16-bit pattern, every halfway case, from float and from double. What a pattern is worth is
 * computed here anew, by ldexp from the definition. Loops over patterns abort themselves: a million Check
 * assertions would take minutes. */
#include "check_tilewise.h"
#include "cpu_ref/dtype.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct format {
    tw_dtype dtype;
    int fraction_bits, bias;
    uint16_t (*from_float)(float);
    uint16_t (*from_double)(double);
    float (*to_float)(uint16_t);
} format;

static const format formats[] = {
    {TW_FP16, 10, 15, tw_fp16_from_float, tw_fp16_from_double, tw_fp16_to_float},
    {TW_BF16, 7, 127, tw_bf16_from_float, tw_bf16_from_double, tw_bf16_to_float},
};
enum { NUM_FORMATS = sizeof formats / sizeof formats[0] };

static unsigned infinity_bits(const format *f)
{
    return (2U * (unsigned)f->bias + 1) << f->fraction_bits;
}

/* The value of a positive finite pattern; of infinity's pattern, what would come next without overflow. */
static double worth(const format *f, unsigned bits)
{
    int field = (int)(bits >> f->fraction_bits);
    double fraction = bits & ((1U << f->fraction_bits) - 1);
    if (field == 0)
        return ldexp(fraction, 1 - f->bias - f->fraction_bits);
    return ldexp(fraction + (1 << f->fraction_bits), field - f->bias - f->fraction_bits);
}

static void expect_bits(const format *f, double x, unsigned wanted)
{
    unsigned found = f->from_double(x);
    if (found != wanted)
        ck_abort_msg("%s from double %a is %04x, it must be %04x", tw_dtype_name(f->dtype), x, found, wanted);
}

static void expect_bits_from_float(const format *f, float x, unsigned wanted)
{
    unsigned found = f->from_float(x);
    if (found != wanted)
        ck_abort_msg("%s from float %a is %04x, it must be %04x", tw_dtype_name(f->dtype), (double)x, found,
                     wanted);
}

START_TEST(finite_patterns_have_their_value)
{
    const format *f = &formats[_i];
    for (unsigned bits = 0; bits < infinity_bits(f); bits++) {
        double plus = (double)f->to_float((uint16_t)bits),
               minus = (double)f->to_float((uint16_t)(bits | 0x8000));
        if (plus != worth(f, bits) || minus != -worth(f, bits) || signbit(plus) || !signbit(minus))
            ck_abort_msg("%s %04x is %a and %a, it must be ±%a", tw_dtype_name(f->dtype), bits, plus, minus,
                         worth(f, bits));
    }
}
END_TEST

START_TEST(every_pattern_round_trips)
{
    const format *f = &formats[_i];
    unsigned quiet = 1U << (f->fraction_bits - 1);
    for (unsigned bits = 0; bits < 65536; bits++) {
        bool is_nan = (bits & 0x7fff) > infinity_bits(f);
        float x = f->to_float((uint16_t)bits);
        unsigned wanted = is_nan ? bits | quiet : bits; /* a signalling NaN becomes quiet, and stays itself */
        if ((isnan(x) != 0) != is_nan)
            ck_abort_msg("%s %04x becomes %a", tw_dtype_name(f->dtype), bits, (double)x);
        expect_bits_from_float(f, x, wanted);
        expect_bits(f, (double)x, wanted);
        if (!is_nan && tw_dtype_round(f->dtype, (double)x) != (double)x)
            ck_abort_msg("%s %04x is changed by rounding", tw_dtype_name(f->dtype), bits);
    }
}
END_TEST

/* Halfway between neighbours, subnormal ones and the step to infinity included, and one step either side. */
START_TEST(halfway_goes_to_even_and_beside_it_to_the_nearer)
{
    const format *f = &formats[_i];
    for (unsigned bits = 0; bits < infinity_bits(f); bits++) {
        double half = 0.5 * (worth(f, bits) + worth(f, bits + 1));
        unsigned even = bits & 1 ? bits + 1 : bits;
        expect_bits(f, half, even);
        expect_bits(f, -half, even | 0x8000);
        expect_bits(f, nextafter(half, 0.0), bits);
        expect_bits(f, -nextafter(half, 0.0), bits | 0x8000);
        expect_bits(f, nextafter(half, INFINITY), bits + 1);
        expect_bits(f, -nextafter(half, INFINITY), (bits + 1) | 0x8000);

        float half_float = (float)half; /* exact: either format has far fewer bits */
        expect_bits_from_float(f, half_float, even);
        expect_bits_from_float(f, -half_float, even | 0x8000);
        expect_bits_from_float(f, nextafterf(half_float, 0.0F), bits);
        expect_bits_from_float(f, nextafterf(half_float, INFINITY), bits + 1);
        expect_bits_from_float(f, -nextafterf(half_float, INFINITY), (bits + 1) | 0x8000);
    }
}
END_TEST

/* Just above halfway by less than a float can say: through float it would become a tie. */
START_TEST(double_is_rounded_once)
{
    const format *f = &formats[_i];
    double half = 1.0 + ldexp(1.0, -f->fraction_bits - 1);
    double above = nextafter(half, 2.0);
    ck_assert_float_eq((float)above, (float)half);
    ck_assert_double_eq(tw_dtype_round(f->dtype, half), 1.0);
    ck_assert_double_eq(tw_dtype_round(f->dtype, above), 1.0 + ldexp(1.0, -f->fraction_bits));
}
END_TEST

START_TEST(the_very_large_and_the_very_small)
{
    const format *f = &formats[_i];
    unsigned infinity = infinity_bits(f);
    const double large[] = {INFINITY, DBL_MAX, ldexp(1.0, f->bias + 1), 1e300};
    for (int i = 0; i < 4; i++) {
        expect_bits(f, large[i], infinity);
        expect_bits(f, -large[i], infinity | 0x8000);
    }
    const double small[] = {0.0,    DBL_TRUE_MIN,           DBL_MIN,
                            1e-300, ldexp(worth(f, 1), -2), ldexp(worth(f, 1), -30)};
    for (int i = 0; i < 6; i++) {
        expect_bits(f, small[i], 0);
        expect_bits(f, -small[i], 0x8000);
    }
}
END_TEST

START_TEST(nan_stays_nan)
{
    const format *f = &formats[_i];
    ck_assert(isnan(f->to_float(f->from_float(NAN))));
    ck_assert(isnan(f->to_float(f->from_double((double)NAN))));
    ck_assert(isnan(tw_dtype_round(f->dtype, (double)NAN)));
    /* A payload that has no bit among those that are kept must not turn into infinity. */
    uint64_t bits = UINT64_C(0x7ff0000000000001);
    double signalling;
    memcpy(&signalling, &bits, sizeof bits);
    ck_assert(isnan(f->to_float(f->from_double(signalling))));
}
END_TEST

START_TEST(round_to_the_wide_formats)
{
    ck_assert_double_eq(tw_dtype_round(TW_FP64, 0.1), 0.1);
    ck_assert_double_eq(tw_dtype_round(TW_FP32, 0.1), (double)0.1F);
    ck_assert_double_eq(tw_dtype_round(TW_FP16, 65519.0), 65504.0);
    ck_assert_double_infinite(tw_dtype_round(TW_FP16, 65520.0));
}
END_TEST

static const struct {
    tw_dtype dtype;
    const char *name;
    int bytes;
} names[] = {{TW_FP32, "fp32", 4}, {TW_FP16, "fp16", 2}, {TW_BF16, "bf16", 2}, {TW_FP64, "fp64", 8}};

START_TEST(names_and_sizes)
{
    tw_dtype found = TW_FP32;
    ck_assert_str_eq(tw_dtype_name(names[_i].dtype), names[_i].name);
    ck_assert_int_eq(tw_dtype_bytes(names[_i].dtype), names[_i].bytes);
    ck_assert_int_eq(tw_dtype_parse(&found, names[_i].name), TW_OK);
    ck_assert_int_eq(found, names[_i].dtype);
}
END_TEST

START_TEST(unknown_names_are_refused)
{
    static const char *const wrong[] = {"", "fp8", "FP16", "fp16 ", "half", "float32"};
    tw_dtype untouched = TW_BF16;
    ck_assert_int_eq(tw_dtype_parse(&untouched, wrong[_i]), TW_EINVAL);
    ck_assert_int_eq(untouched, TW_BF16);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "it must be fp16, bf16, fp32 or fp64"));
}
END_TEST

START_TEST(values_outside_the_enumeration)
{
    ck_assert_int_eq(tw_dtype_bytes((tw_dtype)7), 0);
    ck_assert_int_eq(tw_dtype_bytes((tw_dtype)-1), 0);
    ck_assert_str_eq(tw_dtype_name((tw_dtype)9), "unknown dtype");
}
END_TEST

/* From each format to each: the same as one rounding of the value. */
START_TEST(convert_between_any_two)
{
    static const double values[] = {0.0, -0.0, 1.0, -1.0 / 3.0, 65504.0, 1e-7, 3.14159, -1e9, 1e-40};
    enum { N = sizeof values / sizeof values[0] };
    const tw_dtype from = (tw_dtype)(_i / 4), to = (tw_dtype)(_i % 4);
    double source[N], target[N]; /* room for either format */
    tw_dtype_convert(source, from, values, TW_FP64, N);
    tw_dtype_convert(target, to, source, from, N);
    for (size_t i = 0; i < N; i++) {
        double wanted = tw_dtype_round(to, tw_dtype_round(from, values[i]));
        ck_assert_double_eq(tw_dtype_load(source, from, i), tw_dtype_round(from, values[i]));
        ck_assert_double_eq(tw_dtype_load(target, to, i), wanted);
        ck_assert_int_eq(!!signbit(tw_dtype_load(target, to, i)), !!signbit(values[i]));
    }
}
END_TEST

START_TEST(convert_touches_n_elements)
{
    uint16_t target[3] = {7, 7, 7};
    const float source[3] = {1.0F, 2.0F, 3.0F};
    tw_dtype_convert(target, TW_FP16, source, TW_FP32, 0);
    ck_assert_uint_eq(target[0], 7);
    tw_dtype_convert(target, TW_FP16, source, TW_FP32, 2);
    ck_assert_uint_eq(target[0], 0x3c00);
    ck_assert_uint_eq(target[1], 0x4000);
    ck_assert_uint_eq(target[2], 7);
    tw_dtype_convert(NULL, TW_FP16, NULL, TW_FP16, 0);
}
END_TEST

START_TEST(store_rounds_into_one_element)
{
    uint16_t half[2] = {0, 0};
    float single[2] = {0.0F, 0.0F};
    double wide[2] = {0.0, 0.0};
    tw_dtype_store(half, TW_FP16, 1, 1.0 + 0x1p-11);
    tw_dtype_store(single, TW_FP32, 1, 0.1);
    tw_dtype_store(wide, TW_FP64, 1, 0.1);
    ck_assert_uint_eq(half[1], 0x3c00);
    tw_dtype_store(half, TW_BF16, 0, -2.0);
    ck_assert_uint_eq(half[0], 0xc000);
    ck_assert_float_eq(single[1], 0.1F);
    ck_assert_double_eq(wide[1], 0.1);
    ck_assert_float_eq(single[0], 0.0F);
}
END_TEST

Suite *tw_suite_ref_dtype(void)
{
    Suite *suite = suite_create("ref_dtype");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, finite_patterns_have_their_value, 0, NUM_FORMATS);
    tcase_add_loop_test(core, every_pattern_round_trips, 0, NUM_FORMATS);
    tcase_add_loop_test(core, halfway_goes_to_even_and_beside_it_to_the_nearer, 0, NUM_FORMATS);
    tcase_add_loop_test(core, names_and_sizes, 0, 4);
    tcase_add_loop_test(core, convert_between_any_two, 0, 16);
    tcase_add_test(core, convert_touches_n_elements);
    tcase_add_test(core, store_rounds_into_one_element);
    tcase_add_test(core, round_to_the_wide_formats);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_loop_test(limits, double_is_rounded_once, 0, NUM_FORMATS);
    tcase_add_loop_test(limits, the_very_large_and_the_very_small, 0, NUM_FORMATS);
    tcase_add_loop_test(limits, nan_stays_nan, 0, NUM_FORMATS);
    suite_add_tcase(suite, limits);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, unknown_names_are_refused, 0, 6);
    tcase_add_test(errors, values_outside_the_enumeration);
    suite_add_tcase(suite, errors);
    return suite;
}
