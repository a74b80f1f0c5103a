/* Tiled attention against gold: every kernel that this CPU can run, every problem of the table, tiles that divide
 * and tiles that do not. */
#include "check_tilewise.h"
#include "cpu_ref/tiled_kernel.h"
#include "mask_cases.h"
#include "ref_problems.h"

#include <limits.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static const int tiles[][2] = {{64, 64},           {1, 1}, {13, 7}, {7, 200}, {128, 31}, {33, 6},
                               {INT_MAX, INT_MAX}, {5, 48}};
enum { NUM_TILES = sizeof tiles / sizeof tiles[0] };

/* How far fp32 may be off. A score's error is that of a sum of head_dim products (Cauchy-Schwarz bounds the sum of
 * their sizes), and a weight's relative error is the score's error; whole-number scores have none. */
static double tolerance(const ref_problem *r, const ref_case *c)
{
    double q_max = 0.0, k_max = 0.0, v_max = 0.0, score_error = 0.0;
    for (size_t i = 0; i < c->num_o; i++)
        q_max = fmax(q_max, fabs(c->q[i]));
    for (size_t i = 0; i < c->num_k; i++) {
        k_max = fmax(k_max, fabs(c->k[i]));
        v_max = fmax(v_max, fabs(c->v[i]));
    }
    if (r->inputs != WHOLE)
        score_error = sqrt(r->head_dim) * 0x1p-24 * fabs(tw_problem_scale(&c->p)) * r->head_dim * q_max *
                      k_max;
    return v_max * (2e-6 + score_error);
}

static void expect_gold(const ref_problem *r, const ref_case *c, const float *o, const float *lse)
{
    double allowed = tolerance(r, c);
    for (size_t i = 0; i < c->num_o; i++) {
        if (!(fabs((double)o[i] - c->o[i]) <= allowed))
            ck_abort_msg("O[%zu] is %.9g, gold %.9g, allowed %.2g", i, (double)o[i], c->o[i], allowed);
    }
    for (size_t i = 0; i < c->num_lse; i++) {
        bool same = isinf(c->lse[i]) ? (double)lse[i] == c->lse[i]
                                     : fabs((double)lse[i] - c->lse[i]) <= allowed + 2e-7 * fabs(c->lse[i]);
        if (!same)
            ck_abort_msg("LSE[%zu] is %.9g, gold %.9g", i, (double)lse[i], c->lse[i]);
    }
}

/* One problem, all kernels, all tiles. */
START_TEST(every_kernel_and_tile_gives_gold)
{
    const tw_tiled_kernel *kernels[3];
    const ref_problem *r = &ref_problems[_i];
    ref_case c = ref_case_create(r);
    float *o = calloc(c.num_o, sizeof *o), *lse = calloc(c.num_lse, sizeof *lse);
    ck_assert_int_eq(tw_attention_gold(c.o, c.lse, &c.p, c.q, c.k, c.v), TW_OK);
    for (int n = tw_tiled_kernels(kernels); n > 0; n--) {
        for (int t = 0; t < NUM_TILES; t++) {
            memset(o, 0x7f, c.num_o * sizeof *o); /* 3.4e38: whatever is not written shows */
            memset(lse, 0x7f, c.num_lse * sizeof *lse);
            ck_assert_int_eq(tw_attention_tiled_by(kernels[n - 1], o, lse, &c.p, c.q_f, c.k_f, c.v_f,
                                                   tiles[t][0], tiles[t][1]),
                             TW_OK);
            expect_gold(r, &c, o, lse);
        }
    }
    free(o), free(lse);
    ref_case_free(&c);
}
END_TEST

/* Standard attention in three passes is the same function. */
START_TEST(standard_gives_gold)
{
    const ref_problem *r = &ref_problems[_i];
    ref_case c = ref_case_create(r);
    float *o = calloc(c.num_o, sizeof *o), *lse = calloc(c.num_lse, sizeof *lse);
    ck_assert_int_eq(tw_attention_gold(c.o, c.lse, &c.p, c.q, c.k, c.v), TW_OK);
    memset(o, 0x7f, c.num_o * sizeof *o);
    memset(lse, 0x7f, c.num_lse * sizeof *lse);
    ck_assert_int_eq(tw_attention_standard(o, lse, NULL, &c.p, c.q_f, c.k_f, c.v_f), TW_OK);
    expect_gold(r, &c, o, lse);
    void *workspace = aligned_alloc(64, tw_attention_standard_workspace(&c.p));
    memset(o, 0x7f, c.num_o * sizeof *o);
    memset(workspace, 0xff, tw_attention_standard_workspace(&c.p)); /* NaN */
    ck_assert_int_eq(tw_attention_standard(o, NULL, workspace, &c.p, c.q_f, c.k_f, c.v_f), TW_OK);
    expect_gold(r, &c, o, lse);
    free(workspace);
    free(o), free(lse);
    ref_case_free(&c);
}
END_TEST

/* ---- masks, changed scores, packed sequences ------------------------------------------------------------ */

/* Gold and every kernel on random inputs of a problem. */
static void expect_gold_of(const tw_problem *p, const char *what)
{
    const tw_tiled_kernel *kernels[3];
    size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p), nv = tw_problem_v_elements(p);
    ref_case c = {.p = *p, .num_o = tw_problem_o_elements(p), .num_lse = tw_problem_lse_elements(p)};
    c.q = ref_array(nq), c.k = ref_array(nk), c.v = ref_array(nv);
    c.o = ref_array(c.num_o), c.lse = ref_array(c.num_lse);
    ref_fill(c.q, nq, 0, NORMAL), ref_fill(c.k, nk, 1, NORMAL), ref_fill(c.v, nv, 2, NORMAL);
    c.q_f = ref_floats(c.q, nq), c.k_f = ref_floats(c.k, nk), c.v_f = ref_floats(c.v, nv);
    double *v = p->v_in_k ? c.k : c.v;
    float *v_f = p->v_in_k ? c.k_f : c.v_f, *o = calloc(c.num_o, sizeof *o);
    float *lse = calloc(c.num_lse, sizeof *lse);
    ck_assert_msg(tw_attention_gold(c.o, c.lse, p, c.q, c.k, v) == TW_OK, "%s: %s", what, tw_error_message());
    for (int n = tw_tiled_kernels(kernels); n > 0; n--) {
        memset(o, 0x7f, c.num_o * sizeof *o);
        memset(lse, 0x7f, c.num_lse * sizeof *lse);
        ck_assert_int_eq(tw_attention_tiled_by(kernels[n - 1], o, lse, p, c.q_f, c.k_f, v_f, 48, 13), TW_OK);
        for (size_t i = 0; i < c.num_o; i++)
            if (!(fabs((double)o[i] - c.o[i]) <= 1e-5))
                ck_abort_msg("%s: O[%zu] is %.9g, gold %.9g", what, i, (double)o[i], c.o[i]);
        for (size_t i = 0; i < c.num_lse; i++) {
            bool same = isinf(c.lse[i]) ? (double)lse[i] == c.lse[i]
                                        : fabs((double)lse[i] - c.lse[i]) <= 1e-5;
            if (!same)
                ck_abort_msg("%s: LSE[%zu] is %.9g, gold %.9g", what, i, (double)lse[i], c.lse[i]);
        }
    }
    free(o), free(lse);
    ref_case_free(&c);
}

static tw_problem masked_problem(void)
{
    return (tw_problem){
        .batch = 2, .num_heads = 4, .num_heads_kv = 2, .seqlen_q = 70, .seqlen_k = 83, .head_dim = 24};
}

START_TEST(every_mask_gives_gold)
{
    tw_problem p = masked_problem();
    mask_arrays arrays = mask_case_apply(&p, &mask_cases[_i]);
    expect_gold_of(&p, mask_cases[_i].name);
    float none = 0; /* standard attention takes causal alone, and looks before it reads */
    tw_problem without = p;
    without.causal = false;
    if (tw_mask_is_on(&without) || p.mask.prefix > 0)
        ck_assert_int_eq(tw_attention_standard(&none, NULL, NULL, &p, &none, &none, &none), TW_EUNSUPPORTED);
    p.softmax_scale = -0.3;
    expect_gold_of(&p, mask_cases[_i].name);
    mask_arrays_free(&arrays);
}
END_TEST

static double falls_off(void *user, double score, int batch, int head, int row, int key)
{
    (void)user;
    return score - 0.05 * (1 + batch + head) * abs(row - key);
}

START_TEST(changed_scores_give_gold)
{
    static const double sinks[] = {0.5, -2.0, 3.0, 0.0};
    const tw_score_mods mods[] = {{.softcap = 2.0},       {.alibi = true},
                                  {.mod = falls_off},     {.bias = NULL},
                                  {.sink_logits = sinks}, {.softcap = 1.0, .sink_logits = sinks}};
    tw_problem p = masked_problem();
    double *bias = ref_array((size_t)(4 * 70 * 83));
    ref_fill(bias, (size_t)(4 * 70 * 83), 7, NORMAL);
    p.scoring = mods[_i / 2];
    p.causal = _i % 2;
    if (_i / 2 == 3) {
        p.scoring.bias = bias;
        p.scoring.bias_per_head = true;
    }
    expect_gold_of(&p, "changed scores");
    free(bias);
}
END_TEST

START_TEST(packed_sequences_and_widths_give_gold)
{
    const int cu_q[] = {0, 70, 70, 73, 100}, cu_k[] = {0, 10, 93, 100, 100};
    tw_problem p = masked_problem();
    p.head_dim_v = 41;
    expect_gold_of(&p, "a wider V");
    p.head_dim_v = 5;
    p.v_in_k = true;
    expect_gold_of(&p, "V in K");
    p.batch = 4;
    p.cu_seqlens_q = cu_q, p.cu_seqlens_k = cu_k;
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        expect_gold_of(&p, "packed sequences");
    }
}
END_TEST

static const ref_problem medium = {2, 4, 2, 150, 170, 40, true, 0.0, NORMAL};

START_TEST(threads_do_not_matter)
{
    ref_case c = ref_case_create(&medium);
    float *one = calloc(c.num_o, sizeof *one), *more = calloc(c.num_o, sizeof *more);
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
    ck_assert_int_eq(tw_attention_tiled(one, NULL, &c.p, c.q_f, c.k_f, c.v_f, 16, 32), TW_OK);
#ifdef _OPENMP
    omp_set_num_threads(_i);
#endif
    ck_assert_int_eq(tw_attention_tiled(more, NULL, &c.p, c.q_f, c.k_f, c.v_f, 16, 32), TW_OK);
    ck_assert_mem_eq(one, more, c.num_o * sizeof *one);
    free(one), free(more);
    ref_case_free(&c);
}
END_TEST

START_TEST(best_kernel_is_the_default)
{
    const tw_tiled_kernel *kernels[3];
    int n = tw_tiled_kernels(kernels);
    ref_case c = ref_case_create(&medium);
    float *chosen = calloc(c.num_o, sizeof *chosen), *first = calloc(c.num_o, sizeof *first);
    ck_assert_str_eq(tw_attention_tiled_isa(), kernels[0]->isa);
    ck_assert_str_eq(kernels[n - 1]->isa, "baseline");
    ck_assert_int_eq(tw_attention_tiled(chosen, NULL, &c.p, c.q_f, c.k_f, c.v_f, 64, 64), TW_OK);
    ck_assert_int_eq(tw_attention_tiled_by(kernels[0], first, NULL, &c.p, c.q_f, c.k_f, c.v_f, 64, 64),
                     TW_OK);
    ck_assert_mem_eq(chosen, first, c.num_o * sizeof *chosen);
    free(chosen), free(first);
    ref_case_free(&c);
}
END_TEST

/* A query that is NaN spoils its own row; a key that is NaN spoils the rows that see it; neither is hidden by the
 * maximum, and neither reaches the rest. */
START_TEST(nan_is_not_hidden)
{
    const tw_tiled_kernel *kernels[3];
    const ref_problem shape = {1, 1, 1, 20, 20, 8, true, 0.0, NORMAL};
    ref_case c = ref_case_create(&shape);
    float o[20 * 8], lse[20];
    c.q_f[3 * 8 + 1] = NAN;
    c.k_f[15 * 8 + 2] = NAN;
    for (int n = tw_tiled_kernels(kernels); n > 0; n--) {
        ck_assert_int_eq(tw_attention_tiled_by(kernels[n - 1], o, lse, &c.p, c.q_f, c.k_f, c.v_f, 6, 5),
                         TW_OK);
        for (int i = 0; i < 20; i++) {
            ck_assert_int_eq(!!isnan(o[i * 8]), i == 3 || i >= 15);
            ck_assert_int_eq(!!isnan(lse[i]), i == 3 || i >= 15);
        }
    }
    ref_case_free(&c);
}
END_TEST

/* The bound that exp2_vector() states, over its whole range, and its edges. */
START_TEST(exp2_keeps_its_bound)
{
    enum { LANES = 64, STEPS = 200000 };
    const tw_tiled_kernel *kernels[3];
    if (_i >= tw_tiled_kernels(kernels))
        return; /* this CPU lacks that instruction set */
    _Alignas(64) float x[LANES], y[LANES];
    double worst = 0.0;
    for (int i = 0; i < STEPS; i += LANES) {
        for (int lane = 0; lane < LANES; lane++)
            x[lane] = -125.0F * (float)(i + lane) / STEPS;
        kernels[_i]->exp2(y, x, LANES);
        for (int lane = 0; lane < LANES; lane++)
            worst = fmax(worst, fabs((double)y[lane] / exp2((double)x[lane]) - 1.0));
    }
    ck_assert_double_le(worst, 2.5e-7);

    const float edges[] = {0.0F, -0.0F, -1.0F, -100.0F, -126.0F, -1e30F, -INFINITY, NAN};
    const float wanted[] = {1.0F, 1.0F, 0.5F, 0x1p-100F, 0.0F, 0.0F, 0.0F};
    for (int lane = 0; lane < LANES; lane++)
        x[lane] = edges[lane % 8];
    kernels[_i]->exp2(y, x, LANES);
    for (int lane = 0; lane < LANES; lane++) {
        if (lane % 8 == 7)
            ck_assert_float_nan(y[lane]);
        else
            ck_assert_float_eq(y[lane], wanted[lane % 8]);
    }
}
END_TEST

static const struct {
    int block_m, block_n;
    const char *message;
} bad_tiles[] = {{0, 4, "the tile is block_m 0 x block_n 4, both must be at least 1"},
                 {4, -1, "the tile is block_m 4 x block_n -1, both must be at least 1"}};

START_TEST(bad_tiles_leave_outputs_alone)
{
    const float x[] = {1.0F};
    float o = 7.0F, lse = 8.0F;
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1, .seqlen_k = 1, .head_dim = 1};
    ck_assert_int_eq(tw_attention_tiled(&o, &lse, &p, x, x, x, bad_tiles[_i].block_m, bad_tiles[_i].block_n),
                     TW_EINVAL);
    ck_assert_str_eq(tw_error_message(), bad_tiles[_i].message);
    p.head_dim = 0;
    ck_assert_int_eq(tw_attention_tiled(&o, &lse, &p, x, x, x, 1, 1), TW_EINVAL);
    ck_assert_float_eq(o, 7.0F);
    ck_assert_float_eq(lse, 8.0F);
}
END_TEST

/* The tensors are never looked at: their tiles alone are more than any machine has. */
START_TEST(tiles_beyond_memory_are_refused)
{
    const float x[] = {1.0F};
    float o = 7.0F;
    tw_problem p = {.batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 1 << 20, .seqlen_k = 1 << 20};
    p.head_dim = 1 << 19;
    ck_assert_int_eq(tw_attention_tiled(&o, NULL, &p, x, x, x, 1 << 20, 1 << 20), TW_ENOMEM);
    ck_assert_float_eq(o, 7.0F);
    ck_assert_ptr_eq(strstr(tw_error_message(), "tiled attention: needs "), tw_error_message());
}
END_TEST

Suite *tw_suite_ref_tiled(void)
{
    Suite *suite = suite_create("ref_tiled");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 300.0); /* valgrind and sanitizers */
    tcase_add_loop_test(core, every_kernel_and_tile_gives_gold, 0, NUM_REF_PROBLEMS);
    tcase_add_loop_test(core, standard_gives_gold, 0, NUM_REF_PROBLEMS);
    tcase_add_loop_test(core, threads_do_not_matter, 1, 5);
    tcase_add_test(core, best_kernel_is_the_default);
    tcase_add_loop_test(core, exp2_keeps_its_bound, 0, 3);
    tcase_add_loop_test(core, every_mask_gives_gold, 0, NUM_MASK_CASES);
    tcase_add_loop_test(core, changed_scores_give_gold, 0, 12);
    tcase_add_test(core, packed_sequences_and_widths_give_gold);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, nan_is_not_hidden);
    suite_add_tcase(suite, limits);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, bad_tiles_leave_outputs_alone, 0, 2);
    tcase_add_test(errors, tiles_beyond_memory_are_refused);
    suite_add_tcase(suite, errors);
    return suite;
}
