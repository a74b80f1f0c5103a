/* Random tensors: the generator against its authors' known answers, the series against libm, the distribution
 * against its moments. */
#include "check_tilewise.h"
#include "cpu_ref/attention.h"
#include "cpu_ref/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* From the known-answer file that Random123 publishes: counter, key, result. */
static const uint32_t known[][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
     0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
     0x5001e420, 0x24126ea1},
};

START_TEST(philox_known_answers)
{
    uint32_t word[4];
    memcpy(word, known[_i], sizeof word);
    tw_philox4x32(word, known[_i][4], known[_i][5]);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(word[i], known[_i][6 + i]);
}
END_TEST

START_TEST(logarithm_is_libms)
{
    for (int i = 1; i <= 20000; i++) {
        double u = _i == 0 ? i / 20000.0 : ldexp(1.0 - i * 1e-5, -(i % 53)), wanted = log(u);
        if (fabs(tw_philox_log(u) - wanted) > 4e-16 * fabs(wanted) + 1e-300)
            ck_abort_msg("ln %a is %a, it must be %a", u, tw_philox_log(u), wanted);
    }
    ck_assert_double_eq(tw_philox_log(1.0), 0.0);
    ck_assert_double_eq_tol(tw_philox_log(0x1p-53), -53.0 * log(2.0), 1e-14);
}
END_TEST

START_TEST(cosine_and_sine_are_libms)
{
    for (int i = 0; i < 40000; i++) {
        double t = i / 40000.0, c, s;
        tw_philox_cos_sin(&c, &s, t);
        if (fabs(c - cos(2.0 * acos(-1.0) * t)) > 1.5e-15 || fabs(s - sin(2.0 * acos(-1.0) * t)) > 1.5e-15)
            ck_abort_msg("at %g of a turn: %.17g and %.17g", t, c, s);
    }
}
END_TEST

/* The first numbers of seed 1: whoever changes the recipe changes every tensor that was ever made with it. */
START_TEST(numbers_stay_what_they_are)
{
    static const double wanted[] = {-0x1.d1a253882cf86p-4, -0x1.d4dbc714217a3p-2, -0x1.27859d3b9ebcep-2,
                                    -0x1.b965d20bf99c3p-2, 0x1.e866ccaed0526p-1,  -0x1.06302e99b6a1p-1};
    double x[6];
    tw_random_normal(x, 6, 1, 0);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(x[i], wanted[i]);
}
END_TEST

START_TEST(element_depends_on_its_index_alone)
{
    double all[101], some[101];
    tw_random_normal(all, 101, 5, 3);
    tw_random_normal(some, (size_t)_i, 5, 3);
    for (int i = 0; i < _i; i++)
        ck_assert_double_eq(some[i], all[i]);
    double pair[2];
    tw_philox_normal_pair(pair, 5, 3, 50);
    ck_assert_double_eq(pair[0], all[100]);
}
END_TEST

START_TEST(threads_do_not_matter)
{
    double one[1001], more[1001];
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
    tw_random_normal(one, 1001, 9, 9);
#ifdef _OPENMP
    omp_set_num_threads(3);
#endif
    tw_random_normal(more, 1001, 9, 9);
    ck_assert_mem_eq(one, more, sizeof one);
}
END_TEST

enum { SAMPLES = 200000 };

/* Moments of the standard normal: each within five standard deviations of the estimate. */
START_TEST(moments_are_the_normals)
{
    double *x = malloc(SAMPLES * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, SAMPLES, UINT64_C(0xfedcba9876543210), (uint64_t)_i);
    double sum[5] = {0};
    for (int i = 0; i < SAMPLES; i++) {
        for (int k = 1; k <= 4; k++)
            sum[k] += pow(x[i], k) / SAMPLES;
    }
    free(x);
    double tolerance = 5.0 / sqrt(SAMPLES);
    ck_assert_double_eq_tol(sum[1], 0.0, tolerance);
    ck_assert_double_eq_tol(sum[2], 1.0, sqrt(2.0) * tolerance);
    ck_assert_double_eq_tol(sum[3], 0.0, sqrt(15.0) * tolerance);
    ck_assert_double_eq_tol(sum[4], 3.0, sqrt(96.0) * tolerance);
}
END_TEST

/* Seeds and streams that differ in one bit, the high ones included, have nothing to do with each other. */
START_TEST(seeds_and_streams_are_independent)
{
    static const uint64_t other[][2] = {{2, 0}, {1, 1}, {1 | UINT64_C(1) << 63, 0}, {1, UINT64_C(1) << 63}};
    enum { N = 20000 };
    static double x[N], y[N];
    tw_random_normal(x, N, 1, 0);
    tw_random_normal(y, N, other[_i][0], other[_i][1]);
    double correlation = 0.0;
    for (int i = 0; i < N; i++)
        correlation += x[i] * y[i] / N;
    ck_assert_double_eq_tol(correlation, 0.0, 5.0 / sqrt(N));
    ck_assert_double_ne(x[0], y[0]);
}
END_TEST

Suite *tw_suite_ref_random(void)
{
    Suite *suite = suite_create("ref_random");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, philox_known_answers, 0, 3);
    tcase_add_loop_test(core, logarithm_is_libms, 0, 2);
    tcase_add_test(core, cosine_and_sine_are_libms);
    tcase_add_test(core, numbers_stay_what_they_are);
    tcase_add_loop_test(core, element_depends_on_its_index_alone, 0, 8);
    tcase_add_test(core, threads_do_not_matter);
    tcase_add_loop_test(core, moments_are_the_normals, 0, 3);
    tcase_add_loop_test(core, seeds_and_streams_are_independent, 0, 4);
    suite_add_tcase(suite, core);
    return suite;
}
