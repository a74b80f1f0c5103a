/* Error metrics by hand, NaN and infinity, and the verdict. */
#include "check_tilewise.h"
#include "cpu_ref/compare.h"

#include <math.h>

START_TEST(metrics_by_hand)
{
    const double x[] = {3.0, 0.0, 4.0}, r[] = {3.0, 0.0, 2.0};
    tw_error_metrics m = tw_error_of(x, r, 3);
    ck_assert_uint_eq(m.n, 3);
    ck_assert_uint_eq(m.num_nan, 0);
    ck_assert_double_eq(m.max_abs_error, 2.0);
    ck_assert_uint_eq(m.worst_index, 2);
    ck_assert_double_eq_tol(m.rms_error, 2.0 / sqrt(3.0), 1e-15);
    ck_assert_double_eq_tol(m.relative_error, 2.0 / sqrt(13.0), 1e-15);
    ck_assert_double_eq_tol(m.cosine, 17.0 / (5.0 * sqrt(13.0)), 1e-15);
}
END_TEST

START_TEST(equal_tensors_have_no_error)
{
    const double x[] = {1.5, -2.5, 0.25};
    tw_error_metrics m = tw_error_of(x, x, 3);
    ck_assert_double_eq(m.max_abs_error, 0.0);
    ck_assert_double_eq(m.rms_error, 0.0);
    ck_assert_double_eq(m.relative_error, 0.0);
    ck_assert_double_eq_tol(m.cosine, 1.0, 1e-15);
    ck_assert(tw_error_acceptable(&m, 0.0, 0.0));
}
END_TEST

START_TEST(opposite_tensors)
{
    const double x[] = {1.0, 2.0}, r[] = {-1.0, -2.0};
    tw_error_metrics m = tw_error_of(x, r, 2);
    ck_assert_double_eq_tol(m.cosine, -1.0, 1e-15);
    ck_assert_double_eq_tol(m.relative_error, 2.0, 1e-15);
}
END_TEST

START_TEST(zeros_and_nothing)
{
    const double zero[] = {0.0, 0.0}, one[] = {1.0, 1.0};
    tw_error_metrics none = tw_error_of(NULL, NULL, 0);
    ck_assert_double_eq(none.rms_error, 0.0);
    ck_assert_double_eq(none.cosine, 1.0);
    tw_error_metrics both = tw_error_of(zero, zero, 2);
    ck_assert_double_eq(both.cosine, 1.0);
    ck_assert_double_eq(both.relative_error, 0.0);
    tw_error_metrics reference = tw_error_of(one, zero, 2);
    ck_assert_double_eq(reference.cosine, 0.0);
    ck_assert_double_infinite(reference.relative_error);
    tw_error_metrics output = tw_error_of(zero, one, 2);
    ck_assert_double_eq(output.cosine, 0.0);
    ck_assert_double_eq(output.relative_error, 1.0);
}
END_TEST

static const struct {
    double x, reference;
    size_t num_nan;
} non_numbers[] = {
    {NAN, 1.0, 1},
    {1.0, NAN, 1},
    {NAN, NAN, 0},
    {INFINITY, INFINITY, 0},
    {-INFINITY, -INFINITY, 0},
    {INFINITY, -INFINITY, 1},
    {INFINITY, 5.0, 1},
    {5.0, -INFINITY, 1},
    {NAN, INFINITY, 1},
    {INFINITY, NAN, 1},
};

START_TEST(non_numbers_are_counted_and_nothing_else)
{
    const double x[] = {1.0, non_numbers[_i].x, 2.0}, r[] = {1.0, non_numbers[_i].reference, 2.5};
    tw_error_metrics m = tw_error_of(x, r, 3);
    ck_assert_uint_eq(m.num_nan, non_numbers[_i].num_nan);
    ck_assert_uint_eq(m.first_nan_index, non_numbers[_i].num_nan);
    ck_assert_double_eq(m.max_abs_error, 0.5);
    ck_assert_uint_eq(m.worst_index, 2);
    ck_assert_double_eq_tol(m.rms_error, 0.5 / sqrt(3.0), 1e-15);
    ck_assert(tw_error_acceptable(&m, 10.0, 10.0) == (non_numbers[_i].num_nan == 0));
}
END_TEST

START_TEST(first_of_several_nans)
{
    tw_error_metrics m = {0};
    tw_error_add(&m, 40, 1.0, 1.0);
    tw_error_add(&m, 50, NAN, 1.0);
    tw_error_add(&m, 60, NAN, 1.0);
    tw_error_add(&m, 70, 3.0, 1.0);
    tw_error_finish(&m);
    ck_assert_uint_eq(m.num_nan, 2);
    ck_assert_uint_eq(m.first_nan_index, 50);
    ck_assert_uint_eq(m.worst_index, 70);
}
END_TEST

START_TEST(verdict_at_its_edge)
{
    tw_error_metrics m = {.n = 1, .max_abs_error = 0.5};
    ck_assert(tw_error_acceptable(&m, 0.25, 0.0));
    ck_assert(tw_error_acceptable(&m, 0.125, 0.25));
    ck_assert(!tw_error_acceptable(&m, 0.125, 0.2499));
    ck_assert(!tw_error_acceptable(&m, NAN, 0.25));
}
END_TEST

static const tw_dtype dtypes[] = {TW_FP16, TW_BF16, TW_FP32, TW_FP64};
static const double sizes[] = {0.0, 1e-9, 1e-3, 0.69, 0.71, 1.0, 3.3, 100.0, 5000.0};
enum { NUM_SIZES = sizeof sizes / sizeof sizes[0] };

/* What FlashAttention's tests compute, over a tensor whose largest number is r: never more than the bound, and, as
 * long as 0.3 is more than the spacing there, more than half of it. */
START_TEST(atol_bounds_adding_and_taking_off)
{
    tw_dtype dtype = dtypes[_i / NUM_SIZES];
    double r = sizes[_i % NUM_SIZES], worst = 0.0, atol = tw_error_atol(dtype, r);
    double step_up = ldexp(1.0, ilogb(r + 0.3)); /* adding 0.3 to what is just below costs a bit */
    for (int i = 0; i <= 20000; i++) {
        double x = i % 2 ? r * i / 20000.0 : step_up * (1.0 - i * 1e-6);
        x = tw_dtype_round(dtype, fmin(x, r));
        double back = tw_dtype_round(dtype, tw_dtype_round(dtype, x + 0.3) - 0.3);
        worst = fmax(worst, fabs(back - x));
    }
    ck_assert_double_le(2.0 * worst, atol);
    if (r > 1e-3 && atol < 0.3 && dtype != TW_FP64)
        ck_assert_double_gt(2.0 * worst, 0.5 * atol);
    ck_assert_double_eq(tw_error_atol(dtype, -r), atol);
}
END_TEST

START_TEST(atol_of_one_in_half_precision)
{
    ck_assert_double_eq(tw_error_atol(TW_FP16, 1.0), 0x1p-10);
    ck_assert_double_eq(tw_error_atol(TW_BF16, 1.0), 0x1p-7);
    ck_assert_double_eq(tw_error_atol(TW_FP16, 0.0), 0x1p-12);
}
END_TEST

START_TEST(atol_of_nonsense_is_zero)
{
    ck_assert_double_eq(tw_error_atol(TW_FP16, NAN), 0.0);
    ck_assert_double_eq(tw_error_atol(TW_FP16, INFINITY), 0.0);
    ck_assert_double_eq(tw_error_atol((tw_dtype)9, 1.0), 0.0);
}
END_TEST

Suite *tw_suite_ref_compare(void)
{
    Suite *suite = suite_create("ref_compare");
    TCase *core = tcase_create("core");
    tcase_add_test(core, metrics_by_hand);
    tcase_add_test(core, equal_tensors_have_no_error);
    tcase_add_test(core, opposite_tensors);
    tcase_add_test(core, verdict_at_its_edge);
    tcase_add_loop_test(core, atol_bounds_adding_and_taking_off, 0, 4 * NUM_SIZES);
    tcase_add_test(core, atol_of_one_in_half_precision);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, zeros_and_nothing);
    tcase_add_loop_test(limits, non_numbers_are_counted_and_nothing_else, 0, 10);
    tcase_add_test(limits, first_of_several_nans);
    tcase_add_test(limits, atol_of_nonsense_is_zero);
    suite_add_tcase(suite, limits);
    return suite;
}
