/* tilewise-gpu soak without a GPU: its random shapes, and its judge against cpu_ref. */
#include "../cpu_ref/attention.h"
#include "../gpu/exact_row.h"
#include "../gpu/soak_case.h"
#include "check_tilewise.h"

#include <stdlib.h>
#include <string.h>

/* ---- shapes --------------------------------------------------------------------------------------------- */

enum { SHAPES = 20000 };

START_TEST(test_shapes_are_within_bounds)
{
    for (uint64_t n = 1; n <= SHAPES; n++) {
        const tw_gpu_soak_case one = tw_gpu_soak_case_at(7, n);
        const tw_problem *p = &one.problem;
        ck_assert_msg(tw_problem_check(p) == TW_OK, "shape %d: %s", (int)n, tw_error_message());
        ck_assert_uint_le(tw_problem_lse_elements(p), TW_GPU_SOAK_MAX_ROWS);
        ck_assert_uint_le(tw_problem_k_elements(p) / (size_t)p->head_dim, TW_GPU_SOAK_MAX_ROWS);
        ck_assert_uint_le(tw_problem_lse_elements(p) * (size_t)p->seqlen_k, TW_GPU_SOAK_MAX_PAIRS);
        ck_assert_int_le(p->head_dim, TW_GPU_SOAK_MAX_HEAD_DIM);
        /* with the largest scores, every score is still within fp16 */
        double deviation = one.q_factor * tw_problem_scale(p) * sqrt(p->head_dim);
        ck_assert_msg(6.0 * deviation < 65504.0, "shape %d: scores of %g", (int)n, deviation);
    }
}
END_TEST

START_TEST(test_shapes_are_of_every_kind)
{
    enum {
        CAUSAL,
        FULL,
        FP16,
        BF16,
        D64,
        D96,
        D128,
        D256,
        MORE_KEYS,
        MORE_QUERIES,
        SAME,
        GROUPED,
        LONE,
        ONE_QUERY,
        ONE_KEY,
        WHOLE_TILES,
        LONG,
        BLIND_ROWS,
        OWN_SCALE,
        FLAT,
        LARGE,
        NUM_KINDS
    };
    int seen[NUM_KINDS] = {0};
    for (uint64_t n = 1; n <= SHAPES; n++) {
        const tw_gpu_soak_case one = tw_gpu_soak_case_at(1, n);
        const tw_problem *p = &one.problem;
        const int is[NUM_KINDS] = {p->causal,
                                   !p->causal,
                                   p->dtype == TW_FP16,
                                   p->dtype == TW_BF16,
                                   p->head_dim == 64,
                                   p->head_dim == 96,
                                   p->head_dim == 128,
                                   p->head_dim == 256,
                                   p->seqlen_k > p->seqlen_q,
                                   p->seqlen_q > p->seqlen_k,
                                   p->seqlen_q == p->seqlen_k,
                                   p->num_heads > p->num_heads_kv,
                                   p->num_heads == p->num_heads_kv,
                                   p->seqlen_q == 1,
                                   p->seqlen_k == 1,
                                   p->seqlen_q % 128 == 0 && p->seqlen_k % 128 == 0,
                                   p->seqlen_k > 2000,
                                   p->causal && p->seqlen_q > p->seqlen_k,
                                   p->softmax_scale != 0.0,
                                   one.q_factor == 0.0,
                                   one.large_scores};
        for (int i = 0; i < NUM_KINDS; i++)
            seen[i] += is[i];
    }
    for (int i = 0; i < NUM_KINDS; i++)
        ck_assert_msg(seen[i] >= SHAPES / 200, "kind %d: %d of %d shapes", i, seen[i], SHAPES);
}
END_TEST

START_TEST(test_a_number_is_one_shape)
{
    const tw_gpu_soak_case a = tw_gpu_soak_case_at(3, 1234), b = tw_gpu_soak_case_at(3, 1234),
                           other = tw_gpu_soak_case_at(4, 1234);
    char text[2][200];
    tw_gpu_soak_case_name(text[0], sizeof text[0], &a);
    tw_gpu_soak_case_name(text[1], sizeof text[1], &b);
    ck_assert_str_eq(text[0], text[1]);
    ck_assert(a.data_seed == b.data_seed && a.tiling_draw == b.tiling_draw);
    ck_assert(a.data_seed != other.data_seed);
}
END_TEST

/* ---- number formats ------------------------------------------------------------------------------------- */

static const tw_dtype dtypes[] = {TW_FP16, TW_BF16};

START_TEST(test_every_pattern_is_widened)
{
    tw_dtype dtype = dtypes[_i];
    for (uint32_t pattern = 0; pattern < 0x10000; pattern++) {
        uint16_t bits = (uint16_t)pattern;
        double mine = tw_exact_widen(bits, dtype == TW_BF16), theirs = tw_dtype_load(&bits, dtype, 0);
        ck_assert_msg(mine == theirs || (isnan(mine) && isnan(theirs)), "%s %04x is %g, not %g",
                      tw_dtype_name(dtype), pattern, theirs, mine);
    }
}
END_TEST

/* Numbers, halfway points between them, and what lies beside those. */
START_TEST(test_rounding_is_that_of_cpu_ref)
{
    tw_dtype dtype = dtypes[_i];
    for (uint32_t pattern = 0; pattern < 0x7c00; pattern++) {
        uint16_t bits = (uint16_t)(dtype == TW_BF16 ? pattern + 1 : pattern), next = (uint16_t)(bits + 1);
        double low = tw_dtype_load(&bits, dtype, 0), high = tw_dtype_load(&next, dtype, 0);
        double half = isfinite(high) ? low + (high - low) / 2 : low * (1 + 0x1p-12);
        const double tried[] = {low, half, nextafter(half, 0), nextafter(half, INFINITY), -half};
        for (int i = 0; i < 5; i++)
            ck_assert_msg(tw_exact_round(tried[i], dtype == TW_BF16) == tw_dtype_round(dtype, tried[i]),
                          "%s of %a is %a, not %a", tw_dtype_name(dtype), tried[i],
                          tw_dtype_round(dtype, tried[i]), tw_exact_round(tried[i], dtype == TW_BF16));
    }
    ck_assert(isinf(tw_exact_round(1e39, dtype == TW_BF16)) && tw_exact_round(0.0, true) == 0.0);
}
END_TEST

/* ---- the judge ------------------------------------------------------------------------------------------ */

/* A problem of two heads on one, in both precisions. */
typedef struct tensors {
    tw_problem problem;
    uint16_t *q, *k, *v;
    double *q64, *k64, *v64;
} tensors;

static void fill(uint16_t **bits, double **wide, size_t n, tw_dtype dtype, uint64_t stream, double factor)
{
    *bits = malloc(n * sizeof **bits);
    *wide = malloc(n * sizeof **wide);
    ck_assert(*bits && *wide);
    tw_random_normal(*wide, n, 11, stream);
    for (size_t i = 0; i < n; i++)
        tw_dtype_store(*bits, dtype, i, factor * (*wide)[i]);
    tw_dtype_convert(*wide, TW_FP64, *bits, dtype, n);
}

static tensors make(const tw_problem *p, double q_factor)
{
    tensors t = {.problem = *p};
    fill(&t.q, &t.q64, tw_problem_q_elements(p), p->dtype, 0, q_factor);
    fill(&t.k, &t.k64, tw_problem_k_elements(p), p->dtype, 1, 1.0);
    fill(&t.v, &t.v64, tw_problem_k_elements(p), p->dtype, 2, 1.0);
    return t;
}

static void discard(tensors *t)
{
    free(t->q);
    free(t->k);
    free(t->v);
    free(t->q64);
    free(t->k64);
    free(t->v64);
}

static void check_row(const tensors *t, int head, int row)
{
    const tw_problem *p = &t->problem;
    double exact[256], rounded[256], mine[256], lse, scratch[2 * 512], error = 0.0, largest = 0.0;
    const size_t k_at = tw_problem_k_row(p, 0, tw_problem_kv_head(p, head), 0);
    const tw_exact_row r = {.q = t->q + tw_problem_q_row(p, 0, head, row),
                            .k = t->k + k_at,
                            .v = t->v + k_at,
                            .stride = (size_t)p->num_heads_kv * (size_t)p->head_dim,
                            .num_keys = tw_problem_keys_seen(p, row),
                            .head_dim = p->head_dim,
                            .bf16 = p->dtype == TW_BF16,
                            .scale = tw_problem_scale(p),
                            .scratch = scratch};
    const tw_exact_result result = tw_exact_attend(mine, &r, 0);
    double largest_score =
        0.0; /* rounded scores are left in scratch; LSE moves by no more than the worst of them */
    for (int j = 0; j < r.num_keys; j++)
        largest_score = fmax(largest_score, fabs(scratch[j]));
    const double unit = r.bf16 ? 0x1p-8 : 0x1p-11;
    ck_assert_double_le(result.baseline_lse_error, unit * fmax(largest_score, r.bf16 ? 0 : 0x1p-14) + 1e-11);
    if (r.num_keys == 1) /* a single score is LSE */
        ck_assert_double_eq_tol(result.baseline_lse_error, fabs(scratch[0] - result.lse), 1e-12);
    tw_attention_gold_row(exact, &lse, p, t->q64, t->k64, t->v64, 0, head, row, scratch);
    tw_attention_rounded_row(rounded, p, t->q64, t->k64, t->v64, 0, head, row, scratch);
    for (int c = 0; c < p->head_dim; c++) {
        ck_assert_double_eq_tol(mine[c], exact[c], 1e-11);
        error = fmax(error, fabs(rounded[c] - exact[c]));
        largest = fmax(largest, fabs(exact[c]));
    }
    ck_assert_msg(result.lse == lse || fabs(result.lse - lse) <= 1e-11 * (1 + fabs(lse)), "%g, not %g",
                  result.lse, lse);
    ck_assert_double_eq_tol(result.baseline_error, error, 1e-9 * (1 + error));
    ck_assert_double_eq_tol(result.max_abs_o, largest, 1e-11);
}

static const struct {
    int seqlen_q, seqlen_k, head_dim;
    bool causal;
    double q_factor, scale;
} judged[] = {{1, 1, 64, false, 1, 0},   {33, 97, 64, true, 1, 0},  {97, 31, 128, true, 1, 0.3},
              {5, 500, 96, false, 4, 0}, {40, 40, 256, true, 0, 0}, {17, 300, 128, false, 2000, 0},
              {3, 2, 64, true, 1, 0.001}};

START_TEST(test_judge_is_cpu_ref)
{
    for (int d = 0; d < 2; d++) {
        const tw_problem p = {.batch = 1,
                              .num_heads = 2,
                              .num_heads_kv = 1,
                              .seqlen_q = judged[_i].seqlen_q,
                              .seqlen_k = judged[_i].seqlen_k,
                              .head_dim = judged[_i].head_dim,
                              .dtype = dtypes[d],
                              .causal = judged[_i].causal,
                              .softmax_scale = judged[_i].scale};
        tensors t = make(&p, judged[_i].q_factor);
        for (int head = 0; head < 2; head++)
            for (int row = 0; row < p.seqlen_q; row++)
                check_row(&t, head, row);
        discard(&t);
    }
}
END_TEST

START_TEST(test_what_is_wrong)
{
    const double inf = (double)INFINITY, nan = (double)NAN;
    ck_assert(!tw_exact_is_wrong(1.0, 1.1, 0.2) && tw_exact_is_wrong(1.0, 1.1, 0.05));
    ck_assert(tw_exact_is_wrong(nan, 1.0, inf) && tw_exact_is_wrong(inf, 1.0, 1.0));
    /* a row that sees nothing: −∞ and nothing else, whatever is allowed */
    ck_assert(!tw_exact_is_wrong(-inf, -inf, tw_exact_lse_allowed(-inf, false)));
    ck_assert(tw_exact_is_wrong(-50.0, -inf, tw_exact_lse_allowed(-inf, false)));
    ck_assert(tw_exact_is_wrong(nan, -inf, tw_exact_lse_allowed(-inf, true)));
}
END_TEST

Suite *tw_suite_gpu_soak(void)
{
    Suite *suite = suite_create("gpu_soak");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_shapes_are_within_bounds);
    tcase_add_test(core, test_shapes_are_of_every_kind);
    tcase_add_test(core, test_a_number_is_one_shape);
    tcase_add_loop_test(core, test_every_pattern_is_widened, 0, 2);
    tcase_add_loop_test(core, test_rounding_is_that_of_cpu_ref, 0, 2);
    tcase_add_loop_test(core, test_judge_is_cpu_ref, 0, (int)(sizeof judged / sizeof judged[0]));
    tcase_add_test(core, test_what_is_wrong);
    suite_add_tcase(suite, core);
    return suite;
}
