/* Codes of one byte, scales and the Hadamard matrix: every code by its definition, every tie, and what rounding may cost. */
#include "../cpu_ref/attention.h"
#include "../cpu_ref/quantized.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *tw_suite_ref_quantize(void);

static double *numbers(size_t n)
{
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* ---- fp8 ------------------------------------------------------------------------------------------------- */

static const struct format {
    tw_dtype dtype;
    int fraction_bits, bias;
    unsigned largest; /* code of the largest number */
    double largest_number;
    uint8_t (*from_double)(double);
    float (*to_float)(uint8_t);
} formats[] = {
    {TW_E4M3, 3, 7, 0x7e, 448.0, tw_e4m3_from_double, tw_e4m3_to_float},
    {TW_E5M2, 2, 15, 0x7b, 57344.0, tw_e5m2_from_double, tw_e5m2_to_float},
};
enum { NUM_FORMATS = sizeof formats / sizeof formats[0] };

/* The value of a positive code by the definition. */
static double worth(const struct format *f, unsigned code)
{
    int field = (int)(code >> f->fraction_bits), steps = (int)(code & ((1U << f->fraction_bits) - 1));
    return field == 0 ? ldexp(steps, 1 - f->bias - f->fraction_bits)
                      : ldexp(steps + (1 << f->fraction_bits), field - f->bias - f->fraction_bits);
}

START_TEST(all_256_codes_have_their_value_and_round_trip)
{
    const struct format *f = &formats[_i];
    for (unsigned code = 0; code < 256; code++) {
        unsigned positive = code & 0x7f;
        double x = (double)f->to_float((uint8_t)code);
        if (positive <= f->largest) {
            ck_assert_double_eq(x, code & 0x80 ? -worth(f, positive) : worth(f, positive));
            ck_assert_int_eq(signbit(x) != 0, code >> 7);
            ck_assert_uint_eq(f->from_double(x), code);
            ck_assert_double_eq(tw_dtype_round(f->dtype, x), x);
        } else if (f->dtype == TW_E5M2 &&
                   positive == 0x7c) { /* infinity is read, and saturates when written */
            ck_assert_double_infinite(x);
            ck_assert_uint_eq(f->from_double(x), (code & 0x80) | f->largest);
        } else {
            ck_assert_double_nan(x);
            ck_assert_double_nan((double)f->to_float(f->from_double(x)));
        }
    }
    ck_assert_double_eq(worth(f, f->largest), f->largest_number);
    ck_assert_double_eq(tw_dtype_largest(f->dtype), f->largest_number);
}
END_TEST

START_TEST(ties_go_to_even_codes)
{
    const struct format *f = &formats[_i];
    for (unsigned code = 0; code < f->largest; code++) {
        double low = worth(f, code), high = worth(f, code + 1), half = (low + high) / 2;
        unsigned even = code % 2 == 0 ? code : code + 1;
        ck_assert_uint_eq(f->from_double(half), even);
        ck_assert_uint_eq(f->from_double(-half), 0x80 | even);
        ck_assert_uint_eq(f->from_double(nextafter(half, 0.0)), code);
        ck_assert_uint_eq(f->from_double(nextafter(half, INFINITY)), code + 1);
    }
}
END_TEST

START_TEST(what_is_too_large_saturates)
{
    const struct format *f = &formats[_i];
    const double large[] = {f->largest_number,
                            f->largest_number * 1.03,
                            f->largest_number * 1.1,
                            f->largest_number * 2,
                            1e30,
                            DBL_MAX,
                            INFINITY};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        ck_assert_uint_eq(f->from_double(large[i]), f->largest);
        ck_assert_uint_eq(f->from_double(-large[i]), 0x80 | f->largest);
    }
    ck_assert_uint_eq(f->from_double(0.0), 0);
    ck_assert_uint_eq(f->from_double(-0.0), 0x80);
    ck_assert_uint_eq(f->from_double(DBL_TRUE_MIN), 0);
    ck_assert_double_nan((double)f->to_float(f->from_double(NAN)));
}
END_TEST

START_TEST(int8_rounds_to_even_and_saturates)
{
    const struct {
        double x;
        int code;
    } cases[] = {{0.5, 0},        {1.5, 2},          {-0.5, 0},    {-1.5, -2}, {2.5, 2},
                 {126.5, 126},    {126.51, 127},     {127.5, 127}, {1e9, 127}, {-128, -127},
                 {INFINITY, 127}, {-INFINITY, -127}, {NAN, 0},     {-3.2, -3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_int_eq(tw_int8_from_double(cases[i].x), cases[i].code);
    unsigned char bytes[1];
    for (int code = -127; code <= 127; code++) {
        tw_dtype_store(bytes, TW_INT8, 0, code);
        ck_assert_double_eq(tw_dtype_load(bytes, TW_INT8, 0), code);
    }
}
END_TEST

/* ---- Hadamard -------------------------------------------------------------------------------------------- */

/* Entry (i, j) of Sylvester's matrix is −1 where i and j have an odd number of ones in common. */
START_TEST(fast_transform_is_the_matrix)
{
    int n = 1 << _i;
    double *x = numbers((size_t)n), *y = numbers((size_t)n);
    tw_random_normal(x, (size_t)n, 3, 0);
    memcpy(y, x, (size_t)n * sizeof *x);
    tw_hadamard(y, n);
    for (int i = 0; i < n; i++) {
        double sum = 0.0;
        for (int j = 0; j < n; j++)
            sum += __builtin_parity((unsigned)(i & j)) ? -x[j] : x[j];
        ck_assert_double_eq_tol(y[i], sum / sqrt(n), 1e-12);
    }
    tw_hadamard(y, n); /* its own inverse */
    for (int i = 0; i < n; i++)
        ck_assert_double_eq_tol(y[i], x[i], 1e-12);
    free(x), free(y);
}
END_TEST

START_TEST(signs_are_of_the_seed)
{
    double a[256], b[256];
    int plus = 0, differ = 0;
    tw_hadamard_signs(a, 256, 1);
    tw_hadamard_signs(b, 256, 2);
    for (int i = 0; i < 256; i++) {
        ck_assert_double_eq(fabs(a[i]), 1.0);
        plus += a[i] > 0;
        differ += a[i] != b[i];
    }
    ck_assert_int_gt(plus, 96); /* four standard deviations */
    ck_assert_int_lt(plus, 160);
    ck_assert_int_gt(differ, 64);
}
END_TEST

/* ---- codes and scales ------------------------------------------------------------------------------------ */

static const tw_quantize quantizes[] = {
    {.format = TW_E4M3},
    {.format = TW_E5M2, .scales = TW_SCALES_BLOCK, .block_rows = 4, .block_keys = 5},
    {.format = TW_E4M3, .scales = TW_SCALES_BLOCK, .block_rows = 16, .block_keys = 8, .hadamard = true},
    {.format = TW_INT8, .scales = TW_SCALES_TOKEN},
    {.format = TW_INT8, .hadamard = true},
    {.format = TW_E4M3, .scales = TW_SCALES_TOKEN},
};
enum { NUM_QUANTIZES = sizeof quantizes / sizeof quantizes[0] };

static tw_problem problem_of(int i)
{
    return (tw_problem){.batch = 2,
                        .num_heads = 4,
                        .num_heads_kv = 2,
                        .seqlen_q = 13,
                        .seqlen_k = 11,
                        .head_dim = 16,
                        .head_dim_v = 7,
                        .dtype = TW_FP16,
                        .quantize = quantizes[i]};
}

/* Half of the distance between codes around x, at most; x is within the range. */
static double half_spacing(tw_dtype format, double x)
{
    if (format == TW_INT8)
        return 0.5;
    int fraction_bits = format == TW_E4M3 ? 3 : 2, least = format == TW_E4M3 ? -6 : -14;
    int exponent = x == 0.0 ? least : ilogb(x);
    return ldexp(0.5, (exponent > least ? exponent : least) - fraction_bits);
}

/* Of V, which no matrix changes: scale · code is as near as the format allows, and a block's largest number is the largest. */
START_TEST(codes_are_as_near_as_they_can_be)
{
    tw_problem p = problem_of(_i);
    size_t nq = tw_problem_q_elements(&p), nk = tw_problem_k_elements(&p), nv = tw_problem_v_elements(&p);
    double *q = numbers(nq), *k = numbers(nk), *v = numbers(nv), *worth = numbers(nv);
    tw_random_normal(q, nq, 5, 0), tw_random_normal(k, nk, 5, 1), tw_random_normal(v, nv, 5, 2);
    v[3] = 40.0;
    tw_quantized codes;
    ck_assert_int_eq(tw_quantize_inputs(&codes, &p, q, k, v), TW_OK);
    tw_dequantize(worth, TW_QUANTIZED_V, &p, &codes);
    double largest_code = 0.0;
    for (int b = 0; b < p.batch; b++)
        for (int h = 0; h < p.num_heads_kv; h++)
            for (int row = 0; row < p.seqlen_k; row++)
                for (int c = 0; c < 7; c++) {
                    size_t i = tw_problem_v_row(&p, b, h, row) + (size_t)c;
                    double s = codes.scale[2][tw_quantized_scale_at(&p, TW_QUANTIZED_V, b, h, row)];
                    ck_assert_double_eq(worth[i], codes.code[2][i] * s);
                    ck_assert_double_eq(codes.code[2][i],
                                        tw_dtype_round(p.quantize.format, codes.code[2][i]));
                    double error = fabs(worth[i] - v[i]) / s; /* 2^-20: the scale is rounded to fp32 */
                    ck_assert_double_le(error,
                                        half_spacing(p.quantize.format, v[i] / s) + 0x1p-20 * fabs(v[i] / s));
                    largest_code = fmax(largest_code, fabs(codes.code[2][i]));
                }
    ck_assert_double_eq(largest_code, tw_dtype_largest(p.quantize.format));
    tw_quantized_free(&codes);
    free(q), free(k), free(v), free(worth);
}
END_TEST

START_TEST(scales_are_shared_as_said)
{
    const struct {
        int quantize;
        size_t scales[3];
    } cases[] = {{0, {8, 4, 4}}, {1, {32, 12, 12}}, {2, {8, 8, 8}}, {3, {104, 44, 4}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tw_problem p = problem_of(cases[i].quantize);
        for (int t = 0; t < 3; t++)
            ck_assert_uint_eq(tw_quantized_num_scales(&p, (tw_quantized_tensor)t), cases[i].scales[t]);
    }
    tw_problem p = problem_of(1);
    size_t head = tw_quantized_scale_at(&p, TW_QUANTIZED_K, 1, 1, 0);
    ck_assert_uint_eq(head, 9);
    ck_assert_uint_eq(tw_quantized_scale_at(&p, TW_QUANTIZED_K, 1, 1, 4), head);
    ck_assert_uint_eq(tw_quantized_scale_at(&p, TW_QUANTIZED_K, 1, 1, 5), head + 1);
    ck_assert_uint_eq(tw_quantized_scale_at(&p, TW_QUANTIZED_K, 1, 1, 10), head + 2);
}
END_TEST

/* (H q) · (H k) = q · k: what is left is the rounding of 2 · head_dim factors, which Cauchy and Schwarz bound. */
START_TEST(rotation_leaves_products_alone)
{
    tw_problem p = problem_of(2);
    size_t nq = tw_problem_q_elements(&p), nk = tw_problem_k_elements(&p), nv = tw_problem_v_elements(&p);
    double *q = numbers(nq), *k = numbers(nk), *v = numbers(nv), *wq = numbers(nq), *wk = numbers(nk);
    tw_random_normal(q, nq, 5, 0), tw_random_normal(k, nk, 5, 1), tw_random_normal(v, nv, 5, 2);
    tw_quantized codes;
    ck_assert_int_eq(tw_quantize_inputs(&codes, &p, q, k, v), TW_OK);
    tw_dequantize(wq, TW_QUANTIZED_Q, &p, &codes);
    tw_dequantize(wk, TW_QUANTIZED_K, &p, &codes);
    const double u = 0x1p-4 + 0x1p-9; /* of e4m3, and what subnormal codes of blocks like these add */
    for (int row = 0; row < p.seqlen_q; row++) {
        for (int key = 0; key < p.seqlen_k; key++) {
            double exact = 0.0, rounded = 0.0, qq = 0.0, kk = 0.0, moved = 0.0;
            for (int c = 0; c < p.head_dim; c++) {
                size_t i = tw_problem_q_row(&p, 1, 3, row) + (size_t)c,
                       j = tw_problem_k_row(&p, 1, 1, key) + (size_t)c;
                exact += q[i] * k[j], rounded += wq[i] * wk[j];
                qq += q[i] * q[i], kk += k[j] * k[j];
                moved += fabs(wq[i] - q[i]);
            }
            ck_assert_double_le(fabs(exact - rounded), (2 * u + u * u) * sqrt(qq * kk));
            ck_assert_double_gt(moved, 1.0); /* it was rotated indeed */
        }
    }
    tw_quantized_free(&codes);
    free(q), free(k), free(v), free(wq), free(wk);
}
END_TEST

/* Rounding P moves O by half a spacing of each P at most: u P where P is normal, η where it is not. */
START_TEST(rounding_p_costs_what_it_may)
{
    tw_problem p = problem_of(_i);
    size_t nq = tw_problem_q_elements(&p), nk = tw_problem_k_elements(&p), nv = tw_problem_v_elements(&p);
    double *q = numbers(nq), *k = numbers(nk), *v = numbers(nv), s[16], o[16], exact[16], lse, exact_lse;
    tw_random_normal(q, nq, 6, 0), tw_random_normal(k, nk, 6, 1), tw_random_normal(v, nv, 6, 2);
    const double p_scale = tw_quantize_p_scale(&p.quantize);
    ck_assert_double_eq(p_scale, p.quantize.format == TW_E4M3   ? 256.0
                                 : p.quantize.format == TW_E5M2 ? 32768.0
                                                                : 127.0);
    for (int row = 0; row < p.seqlen_q; row++) {
        tw_attention_gold_row(exact, &exact_lse, &p, q, k, v, 1, 2, row, s);
        for (int c = 0; c < 7; c++) {
            double allowed = 0.0, sum = 0.0, m = -INFINITY;
            tw_attention_quantized_row(o, &lse, &p, q, k, v, 1, 2, row, s);
            for (int j = 0; j < p.seqlen_k; j++) {
                s[j] = 0.0;
                for (int i = 0; i < p.head_dim; i++)
                    s[j] += q[tw_problem_q_row(&p, 1, 2, row) + (size_t)i] *
                            k[tw_problem_k_row(&p, 1, 1, j) + (size_t)i];
                m = fmax(m, s[j] * tw_problem_scale(&p));
            }
            for (int j = 0; j < p.seqlen_k; j++) {
                double weight = exp(s[j] * tw_problem_scale(&p) - m);
                sum += weight;
                allowed += half_spacing(p.quantize.format, weight * p_scale) / p_scale *
                           fabs(v[tw_problem_v_row(&p, 1, 1, j) + (size_t)c]);
            }
            ck_assert_double_eq_tol(lse, exact_lse, 1e-12);
            ck_assert_double_le(fabs(o[c] - exact[c]), allowed / sum + 0x1p-11 * fabs(exact[c]) + 0x1p-14);
        }
    }
    free(q), free(k), free(v);
}
END_TEST

START_TEST(refuses_what_has_no_meaning)
{
    tw_problem p = problem_of(0);
    tw_quantized codes;
    double x[1] = {0.0};
    p.quantize.format = TW_FP16;
    ck_assert_int_eq(tw_quantize_inputs(&codes, &p, x, x, x), TW_EINVAL);
    p = problem_of(1);
    p.quantize.block_rows = 0;
    ck_assert_int_eq(tw_quantize_inputs(&codes, &p, x, x, x), TW_EINVAL);
    p = problem_of(2);
    p.head_dim = 24;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    p = problem_of(0);
    p.quantize.scales = (tw_scales)3;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    p = problem_of(0);
    p.dtype = TW_E4M3;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    p = problem_of(0);
    p.head_dim_v = 0;
    p.v_in_k = true;
    ck_assert_int_eq(tw_problem_check(&p), TW_EUNSUPPORTED);
    p = problem_of(0);
    ck_assert_int_eq(tw_problem_check_backward(&p), TW_EUNSUPPORTED);
}
END_TEST

Suite *tw_suite_ref_quantize(void)
{
    Suite *suite = suite_create("ref_quantize");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, all_256_codes_have_their_value_and_round_trip, 0, NUM_FORMATS);
    tcase_add_loop_test(core, ties_go_to_even_codes, 0, NUM_FORMATS);
    tcase_add_loop_test(core, what_is_too_large_saturates, 0, NUM_FORMATS);
    tcase_add_test(core, int8_rounds_to_even_and_saturates);
    tcase_add_loop_test(core, fast_transform_is_the_matrix, 0, 9);
    tcase_add_test(core, signs_are_of_the_seed);
    tcase_add_loop_test(core, codes_are_as_near_as_they_can_be, 0, NUM_QUANTIZES);
    tcase_add_test(core, scales_are_shared_as_said);
    tcase_add_test(core, rotation_leaves_products_alone);
    tcase_add_loop_test(core, rounding_p_costs_what_it_may, 0, NUM_QUANTIZES);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_what_has_no_meaning);
    suite_add_tcase(suite, errors);
    return suite;
}
