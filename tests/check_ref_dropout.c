/* Dropout: what is dropped depends on nothing but the seed and the place, is dropped as often as it should be, and
 * is the same in gold and in tiled attention. */
#include "check_tilewise.h"
#include "cpu_ref/philox.h"
#include "cpu_ref/tiled_kernel.h"
#include "ref_problems.h"

#include <string.h>

/* ---- the recipe ------------------------------------------------------------------------------------------- */

/* As philox.h tells it, without its functions for dropout. */
static bool dropped_by_hand(double p, uint64_t seed, int batch, int head, int row, int column)
{
    uint32_t word[4] = {(uint32_t)(column / 4), (uint32_t)row, (uint32_t)head, (uint32_t)batch | 1U << 31};
    tw_philox4x32(word, (uint32_t)(seed % (1ULL << 32)), (uint32_t)(seed / (1ULL << 32)));
    return word[column % 4] < (uint32_t)floor(p * 0x1p32);
}

START_TEST(words_are_those_of_the_recipe)
{
    const tw_dropout d = {.probability = 0.3, .seed = 0x123456789abcdefULL};
    double z[37];
    for (int batch = 0; batch < 3; batch++)
        for (int head = 0; head < 3; head++)
            for (int row = 0; row < 50; row += 7) {
                tw_dropout_row(z, &d, batch, head, row, 0, 37);
                for (int j = 0; j < 37; j++)
                    ck_assert_double_eq(z[j],
                                        dropped_by_hand(0.3, d.seed, batch, head, row, j) ? 0 : 1 / 0.7);
            }
}
END_TEST

START_TEST(pieces_of_a_row_are_the_row)
{
    const tw_dropout d = {.probability = 0.5, .seed = 3};
    double whole[200], part[200];
    float narrow[200];
    tw_dropout_row(whole, &d, 1, 2, 3, 0, 200);
    for (int begin = 0; begin < 200; begin += 11)
        for (int n = 0; begin + n <= 200; n += 13) {
            tw_dropout_row(part, &d, 1, 2, 3, begin, n);
            ck_assert_mem_eq(part, whole + begin, (size_t)n * sizeof *part);
            tw_dropout_row_float(narrow, &d, 1, 2, 3, begin, n);
            for (int j = 0; j < n; j++)
                ck_assert_float_eq(narrow[j], (float)whole[begin + j]);
        }
}
END_TEST

/* ---- statistics ------------------------------------------------------------------------------------------- */

enum { ROWS = 512, COLUMNS = 512, NUM_PAIRS = ROWS * COLUMNS };

/* 1 where dropped, for the pairs of one head. */
static void dropped_pairs(signed char *x, double p, uint64_t seed, int batch, int head)
{
    const tw_dropout d = {.probability = p, .seed = seed};
    double z[COLUMNS];
    for (int i = 0; i < ROWS; i++) {
        tw_dropout_row(z, &d, batch, head, i, 0, COLUMNS);
        for (int j = 0; j < COLUMNS; j++)
            x[i * COLUMNS + j] = z[j] == 0.0;
    }
}

static const double rates[] = {0.0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.999};
#define NUM_RATES ((int)(sizeof rates / sizeof rates[0]))

/* As many are dropped as should be, give or take five standard deviations of a binomial distribution. */
START_TEST(rate_is_right)
{
    double p = rates[_i];
    static signed char x[NUM_PAIRS];
    for (uint64_t seed = 0; seed < 4; seed++) {
        int64_t dropped = 0;
        dropped_pairs(x, p, seed, 1, 2);
        for (int i = 0; i < NUM_PAIRS; i++)
            dropped += x[i];
        double off = fabs((double)dropped - p * NUM_PAIRS), sigma = sqrt(p * (1 - p) * NUM_PAIRS);
        ck_assert_msg(off <= 5 * sigma, "p = %g: %lld of %d are dropped, off by %.1f sigma", p,
                      (long long)dropped, NUM_PAIRS, off / sigma);
    }
}
END_TEST

/* The mean of (x − p)(y − p) / (p (1 − p)) over independent pairs has standard deviation 1 / √n. */
static void expect_independent(const signed char *x, const signed char *y, int n, double p, const char *what)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (x[i] - p) * (y[i] - p);
    double correlation = sum / n / (p * (1 - p));
    ck_assert_msg(fabs(correlation) <= 5 / sqrt(n), "%s: correlation %g", what, correlation);
}

START_TEST(neighbours_are_independent)
{
    const double p = 0.3;
    static signed char x[NUM_PAIRS], y[NUM_PAIRS];
    dropped_pairs(x, p, 7, 0, 0);
    for (int step = 1; step <= 8; step++)
        expect_independent(x, x + step, NUM_PAIRS - step, p, "columns");
    expect_independent(x, x + COLUMNS, NUM_PAIRS - COLUMNS, p, "rows");
    dropped_pairs(y, p, 7, 0, 1);
    expect_independent(x, y, NUM_PAIRS, p, "heads");
    dropped_pairs(y, p, 7, 1, 0);
    expect_independent(x, y, NUM_PAIRS, p, "batch elements");
    dropped_pairs(y, p, 8, 0, 0);
    expect_independent(x, y, NUM_PAIRS, p, "seeds");
}
END_TEST

/* ---- attention -------------------------------------------------------------------------------------------- */

/* V is a unit matrix, so that O is P ∘ Z itself; Q is 0, so that P is 1 / seen. */
START_TEST(gold_and_every_tile_drop_the_same)
{
    const ref_problem r = {2, 2, 1, 45, 61, 61, true, 0.0, NORMAL};
    static const int tiles[][2] = {{64, 64}, {1, 1}, {7, 13}, {45, 4}, {16, 61}, {100, 3}};
    ref_case c = ref_case_create(&r);
    c.p.dropout = (tw_dropout){.probability = 0.4, .seed = 99};
    memset(c.q, 0, c.num_o * sizeof *c.q), memset(c.q_f, 0, c.num_o * sizeof *c.q_f);
    for (size_t i = 0; i < c.num_k; i++)
        c.v[i] = c.v_f[i] = (i / 61) % 61 == i % 61;
    ck_assert_int_eq(tw_attention_gold(c.o, c.lse, &c.p, c.q, c.k, c.v), TW_OK);
    for (int b = 0; b < 2; b++)
        for (int h = 0; h < 2; h++)
            for (int i = 0; i < 45; i++)
                for (int j = 0, seen = i + 17; j < 61; j++) {
                    bool kept = j < seen && !dropped_by_hand(0.4, 99, b, h, i, j);
                    double o = c.o[tw_problem_q_row(&c.p, b, h, i) + (size_t)j];
                    ck_assert_double_eq_tol(o, kept ? 1.0 / seen / 0.6 : 0.0, 1e-15);
                }
    float *o = calloc(c.num_o, sizeof *o), *lse = calloc(c.num_lse, sizeof *lse);
    const tw_tiled_kernel *kernels[3];
    for (int n = tw_tiled_kernels(kernels); n > 0; n--)
        for (size_t t = 0; t < sizeof tiles / sizeof tiles[0]; t++) {
            ck_assert_int_eq(tw_attention_tiled_by(kernels[n - 1], o, lse, &c.p, c.q_f, c.k_f, c.v_f,
                                                   tiles[t][0], tiles[t][1]),
                             TW_OK);
            for (size_t i = 0; i < c.num_o; i++) {
                ck_assert_int_eq(o[i] == 0.0F, c.o[i] == 0.0);
                ck_assert_double_eq_tol((double)o[i], c.o[i], 1e-7);
            }
        }
    free(o), free(lse);
    ref_case_free(&c);
}
END_TEST

START_TEST(lse_knows_nothing_of_it)
{
    ref_case c = ref_case_create(&(ref_problem){2, 4, 2, 33, 41, 16, true, 0.0, NORMAL});
    double *o = ref_array(c.num_o), *lse = ref_array(c.num_lse);
    ck_assert_int_eq(tw_attention_gold(c.o, c.lse, &c.p, c.q, c.k, c.v), TW_OK);
    c.p.dropout = (tw_dropout){.probability = 0.5, .seed = 1};
    ck_assert_int_eq(tw_attention_gold(o, lse, &c.p, c.q, c.k, c.v), TW_OK);
    ck_assert_mem_eq(lse, c.lse, c.num_lse * sizeof *lse);
    ck_assert_mem_ne(o, c.o, c.num_o * sizeof *o);
    free(o), free(lse);
    ref_case_free(&c);
}
END_TEST

/* Over many seeds O is on average what it is without dropout: that is what 1 / (1 − p) is for. */
START_TEST(mean_is_attention_without_it)
{
    enum { SEEDS = 400 };
    ref_case c = ref_case_create(&(ref_problem){1, 1, 1, 8, 24, 4, false, 0.0, NORMAL});
    double *o = ref_array(c.num_o), *sum = ref_array(c.num_o), *squares = ref_array(c.num_o);
    ck_assert_int_eq(tw_attention_gold(c.o, NULL, &c.p, c.q, c.k, c.v), TW_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        c.p.dropout = (tw_dropout){.probability = 0.3, .seed = seed};
        ck_assert_int_eq(tw_attention_gold(o, NULL, &c.p, c.q, c.k, c.v), TW_OK);
        for (size_t i = 0; i < c.num_o; i++)
            sum[i] += o[i], squares[i] += o[i] * o[i];
    }
    for (size_t i = 0; i < c.num_o; i++) {
        double mean = sum[i] / SEEDS, deviation = sqrt(squares[i] / SEEDS - mean * mean);
        ck_assert_double_eq_tol(mean, c.o[i], 4.5 * deviation / sqrt(SEEDS));
    }
    free(o), free(sum), free(squares);
    ref_case_free(&c);
}
END_TEST

START_TEST(refuses_what_is_no_probability)
{
    const double bad[] = {-0.1, 1.0, 1.5, NAN, INFINITY};
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 1, .head_dim = 1};
    for (int i = 0; i < 5; i++) {
        p.dropout.probability = bad[i];
        ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
        ck_assert_ptr_nonnull(strstr(tw_error_message(), "at least 0 and below 1"));
    }
    p.dropout.probability = 0.1;
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
}
END_TEST

Suite *tw_suite_ref_dropout(void)
{
    Suite *suite = suite_create("ref_dropout");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 30);
    tcase_add_test(core, words_are_those_of_the_recipe);
    tcase_add_test(core, pieces_of_a_row_are_the_row);
    tcase_add_loop_test(core, rate_is_right, 0, NUM_RATES);
    tcase_add_test(core, neighbours_are_independent);
    tcase_add_test(core, gold_and_every_tile_drop_the_same);
    tcase_add_test(core, lse_knows_nothing_of_it);
    tcase_add_test(core, mean_is_attention_without_it);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_what_is_no_probability);
    suite_add_tcase(suite, errors);
    return suite;
}
