/* Algorithms for special places: small SRAM, short windows, dear exponentials, several devices, sorted rows, fewer keys.
 * Executed they are attention, or what they say that they are; counts are their closed forms, written out here again. */
#define _POSIX_C_SOURCE 200809L
#include "../cpu_ref/attention.h"
#include "../cpu_ref/exp2_polynomial.h"
#include "../cpu_ref/linformer.h"
#include "../sim/backend_count.h"
#include "../sim/backend_numeric.h"
#include "../sim/bounds.h"
#include "../sim/buckets.h"
#include "../sim/diagram.h"
#include "../sim/diagram_record.h"
#include "../sim/ring.h"
#include "../sim/schedules/registry.h"
#include "mask_cases.h"
#include "support_markdown.h"
#include "support_shapes.h"

#include <check.h>
#include <math.h>
#include <string.h>

Suite *tw_suite_sim_family(void);

typedef struct tensors {
    double *q, *k, *v, *o, *lse, *gold, *gold_lse;
    size_t num_o, num_lse;
} tensors;

static double *numbers(size_t n, uint64_t stream, double scale)
{
    double *x = malloc((n + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 3, stream);
    for (size_t i = 0; i < n; i++)
        x[i] *= scale;
    return x;
}

static tensors make_tensors(const tw_problem *p, double score_size)
{
    tensors t = {.num_o = tw_problem_o_elements(p), .num_lse = tw_problem_lse_elements(p)};
    t.q = numbers(tw_problem_q_elements(p), 0, score_size), t.k = numbers(tw_problem_k_elements(p), 1, 1);
    t.v = numbers(tw_problem_v_elements(p), 2, 1);
    t.o = numbers(t.num_o, 3, 1), t.lse = numbers(t.num_lse, 4, 1);
    t.gold = numbers(t.num_o, 5, 1), t.gold_lse = numbers(t.num_lse, 6, 1);
    ck_assert_msg(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v) == TW_OK, "%s", tw_error_message());
    return t;
}

static void free_tensors(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->o), free(t->lse), free(t->gold), free(t->gold_lse);
}

static tw_problem square(int n, int d)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 2,
                        .num_heads_kv = 1,
                        .seqlen_q = n,
                        .seqlen_k = n,
                        .head_dim = d,
                        .dtype = TW_FP16};
}

static tw_counts count(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                       const tw_machine *m)
{
    tw_count_result result;
    ck_assert_msg(tw_count(&result, schedule, p, t, m) == TW_OK, "%s", tw_error_message());
    return result.total;
}

/* Executed exactly it is gold; bytes executed, counted and of the closed form, where there is one, are the same. */
static void check_exact(const tw_schedule *schedule, const tw_problem *p, tw_tiling tiling, const char *what)
{
    const tw_machine h100 = tw_machine_named("h100");
    tensors t = make_tensors(p, 1);
    tw_numeric_stats executed;
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    ck_assert_msg(tw_numeric_run(t.o, t.lse, &executed, schedule, p, &tiling, &h100, t.q, t.k, t.v, &exact) ==
                      TW_OK,
                  "%s, %s: %s", schedule->name, what, tw_error_message());
    tw_error_metrics o = tw_error_of(t.o, t.gold, t.num_o), lse = tw_error_of(t.lse, t.gold_lse, t.num_lse);
    ck_assert_msg(o.num_nan == 0 && o.max_abs_error <= 1e-11, "%s, %s: O differs by %g", schedule->name, what,
                  o.max_abs_error);
    ck_assert_msg(lse.num_nan == 0 && lse.max_abs_error <= 1e-10, "%s, %s: LSE differs by %g", schedule->name,
                  what, lse.max_abs_error);
    tw_counts c = count(schedule, p, &tiling, &h100);
    ck_assert_int_eq(executed.sram_fill_bytes, c.sram_fill_bytes);
    ck_assert_int_eq(executed.sram_drain_bytes, c.sram_drain_bytes);
    ck_assert_int_eq(executed.link_bytes, c.link_bytes);
    ck_assert_int_eq(c.flops, tw_problem_flops(p));
    int64_t fill, drain;
    if (tw_closed_form_bytes(&fill, &drain, schedule->name, p, &tiling, &h100) == TW_OK) {
        ck_assert_msg(fill == c.sram_fill_bytes && drain == c.sram_drain_bytes,
                      "%s, %s: counted %lld + %lld, closed form %lld + %lld", schedule->name, what,
                      (long long)c.sram_fill_bytes, (long long)c.sram_drain_bytes, (long long)fill,
                      (long long)drain);
    }
    free_tensors(&t);
}

/* ---- closed forms of the papers, for shapes that tiles divide --------------------------------------------------- */

static const struct {
    int n, d;
} sizes[] = {{256, 64}, {1024, 128}, {384, 32}};
enum { NUM_SIZES = sizeof sizes / sizeof sizes[0] };

START_TEST(square_tiles_move_5nnd_over_b)
{
    const tw_machine paper = tw_machine_named("paper");
    tw_problem p = square(sizes[_i].n, sizes[_i].d);
    p.num_heads = 1;
    int64_t n = p.seqlen_q, d = p.head_dim, b = 16;
    tw_tiling t = {.block_m = (int)b, .block_n = (int)b, .block_d = (int)b};
    tw_counts c = count(&tw_schedule_square_tiles, &p, &t, &paper);
    ck_assert_int_eq(c.sram_fill_elements, 4 * n * n * d / b);
    ck_assert_int_eq(c.sram_drain_elements, n * n * d / b + n);
    ck_assert_int_le(c.sram_peak_bytes, 4 * b * b * 2); /* four square tiles */
}
END_TEST

/* Below M = d² square tiles move less than flash1, of which not much fits; above, more; the two meet about there. */
START_TEST(small_sram_wants_square_tiles)
{
    tw_machine paper = tw_machine_named("paper");
    tw_problem p = square(1024, 128);
    int64_t before = 0;
    for (double m = 4096; m <= 4 * 128 * 128; m *= 4) { /* elements; d² is 16384 */
        paper.smem_bytes = 2 * m;
        tw_tiling squares = {0}, flash = {0};
        tw_schedule_default_tiling(&tw_schedule_square_tiles, &squares, &p, &paper);
        tw_schedule_default_tiling(&tw_schedule_flash1, &flash, &p, &paper);
        ck_assert_int_eq(squares.block_m, (int)sqrt(m / 4));
        tw_counts own = count(&tw_schedule_square_tiles, &p, &squares, &paper),
                  as = count(&tw_schedule_flash1, &p, &flash, &paper);
        int64_t own_bytes = own.sram_fill_bytes + own.sram_drain_bytes,
                flash_bytes = as.sram_fill_bytes + as.sram_drain_bytes;
        ck_assert_msg(m == 128 * 128 || (own_bytes < flash_bytes) == (m < 128 * 128), "M %g: %lld and %lld",
                      m, (long long)own_bytes, (long long)flash_bytes);
        if (before > 0) /* N²d/√M: twice the side, half the bytes, as far as tiles divide */
            ck_assert_double_eq_tol((double)before / (double)own_bytes, 2.0, 0.05);
        before = own_bytes;
    }
}
END_TEST

START_TEST(windows_move_everything_once)
{
    static const int lengths[] = {49, 64, 144};
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(lengths[_i], 96);
    p.batch = 64;
    tw_tiling t = {.block_m = 128, .block_n = 128, .block_d = 32};
    tw_counts c = count(&tw_schedule_flash_window, &p, &t, &h100);
    int64_t l = p.seqlen_q, d = 96, all = 64 * 2;
    ck_assert_int_eq(c.sram_fill_bytes, all * 3 * l * d * 2);
    ck_assert_int_eq(c.sram_drain_bytes, all * (l * d * 2 + l * 4));
    ck_assert_int_eq(c.sram_peak_bytes, 2 * l * 32 * 2); /* Q and K, 32 columns of each */
}
END_TEST

START_TEST(flash4_moves_as_flash2)
{
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(sizes[_i].n, sizes[_i].d);
    tw_tiling t = {.block_m = 64, .block_n = 96, .rescale_log2 = 8, .poly_share = 0.25};
    tw_counts own = count(&tw_schedule_flash4, &p, &t, &h100), as = count(&tw_schedule_flash2, &p, &t, &h100);
    int64_t pairs = (int64_t)p.num_heads * p.seqlen_q * p.seqlen_k;
    ck_assert_int_eq(own.sram_fill_bytes, as.sram_fill_bytes);
    ck_assert_int_eq(own.exps, as.exps);
    ck_assert_int_le(llabs((long long)own.exps_by_polynomial - pairs / 4), 100);
    ck_assert_int_eq(own.polynomial_flops, own.exps_by_polynomial * tw_exp2_polynomial_flops(0));
    ck_assert_int_eq(as.exps_by_polynomial, 0);
}
END_TEST

START_TEST(rings_pass_on_all_but_one_part)
{
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(sizes[_i].n, sizes[_i].d);
    int64_t n = p.seqlen_q, d = p.head_dim, g = 2;
    for (int devices = 1; devices <= 8; devices *= 2) {
        tw_tiling t = {.block_m = 16, .block_n = 16, .parts = devices};
        tw_counts ring = count(&tw_schedule_ring, &p, &t, &h100),
                  striped = count(&tw_schedule_ring_striped, &p, &t, &h100),
                  host = count(&tw_schedule_offload, &p, &t, &h100);
        int64_t q_tiles = n / 16, visits = g * devices;
        ck_assert_int_eq(ring.link_bytes, (devices - 1) * 2 * n * d * 2);
        ck_assert_int_eq(striped.link_bytes, ring.link_bytes);
        ck_assert_int_eq(host.link_bytes, devices > 1 ? 2 * n * d * 2 : 0);
        ck_assert_int_eq(ring.sram_fill_bytes,
                         visits * n * (2 * d * 2 + 2 * 4) + g * q_tiles * 2 * n * d * 2);
        ck_assert_int_eq(ring.sram_drain_bytes, visits * n * (d * 2 + 2 * 4));
        ck_assert_int_eq(host.sram_fill_bytes, ring.sram_fill_bytes);
    }
}
END_TEST

START_TEST(linformer_moves_by_its_formula)
{
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(sizes[_i].n, sizes[_i].d);
    tw_tiling t = {.block_m = 64, .block_n = 32};
    p.rank = 64;
    tw_counts c = count(&tw_schedule_linformer, &p, &t, &h100);
    int64_t n = p.seqlen_q, d = p.head_dim, r = 64, g = 2, fill, drain;
    ck_assert_int_eq(c.flops, 2 * r * n * 2 * d + g * 4 * n * r * d); /* 8Nrd where g is 1 */
    ck_assert_int_eq(tw_closed_form_bytes(&fill, &drain, "linformer", &p, &t, &h100), TW_OK);
    ck_assert_int_eq(c.sram_fill_bytes, fill);
    ck_assert_int_eq(c.sram_drain_bytes, drain);
    ck_assert_int_eq(drain, 2 * (2 * r * d + g * (2 * n * r + n * d)));
}
END_TEST

/* ---- the awkward table ------------------------------------------------------------------------------------------- */

static const struct {
    int batch, heads, heads_kv, seqlen_q, seqlen_k;
} shapes[] = {{1, 2, 2, 23, 23}, {2, 4, 2, 9, 31}, {1, 3, 1, 31, 9}, {1, 2, 1, 1, 29}, {1, 1, 1, 97, 97}};
enum { NUM_SHAPES = sizeof shapes / sizeof shapes[0] };

static tw_problem problem_of(int i)
{
    return (tw_problem){.batch = shapes[i].batch,
                        .num_heads = shapes[i].heads,
                        .num_heads_kv = shapes[i].heads_kv,
                        .seqlen_q = shapes[i].seqlen_q,
                        .seqlen_k = shapes[i].seqlen_k,
                        .head_dim = 6,
                        .dtype = TW_FP32};
}

static const tw_tiling tilings[] = {{.block_m = 4, .block_n = 5}, {.block_m = 16, .block_n = 2}};

/* Every mask that a ring does, on 1 to 5 devices, also where some have no rows. */
START_TEST(rings_under_every_mask)
{
    const tw_schedule *const rings[] = {&tw_schedule_ring, &tw_schedule_ring_striped, &tw_schedule_offload};
    const mask_case *c = &mask_cases[_i / NUM_SHAPES];
    tw_problem p = problem_of(_i % NUM_SHAPES);
    mask_arrays arrays = mask_case_apply(&p, c);
    for (int r = 0; r < 3; r++)
        for (int parts = 1; parts <= 5; parts += 2)
            for (int i = 0; i < 2 && tw_honours_check(rings[r], &p) == TW_OK; i++) {
                tw_tiling t = tilings[i];
                t.parts = parts;
                check_exact(rings[r], &p, t, c->name);
            }
    mask_arrays_free(&arrays);
}
END_TEST

START_TEST(rings_with_dropout_and_widths)
{
    const tw_schedule *const rings[] = {&tw_schedule_ring, &tw_schedule_ring_striped, &tw_schedule_offload};
    tw_problem p = problem_of(_i);
    p.causal = true;
    p.dropout = (tw_dropout){0.3, 5};
    p.head_dim_v = 4;
    for (int r = 0; r < 3; r++)
        check_exact(rings[r], &p, (tw_tiling){.block_m = 4, .block_n = 3, .parts = 3}, "dropout");
}
END_TEST

/* Sorted rows under masks that buckets come on top of; buckets without keys, dropped rows, one bucket. */
START_TEST(sorted_rows_under_every_mask)
{
    static const struct {
        int buckets;
        double keep;
    } kinds[] = {{1, 1}, {3, 1}, {40, 1}, {1, 0.5}, {4, 0.7}, {2, 0.05}};
    const mask_case *c = &mask_cases[_i / NUM_SHAPES];
    tw_problem p = problem_of(_i % NUM_SHAPES);
    mask_arrays arrays = mask_case_apply(&p, c);
    for (int k = 0; k < 6; k++) {
        tw_buckets buckets;
        ck_assert_int_eq(tw_buckets_make(&buckets, &p, kinds[k].buckets, kinds[k].keep, 9), TW_OK);
        tw_buckets_attach(&p, &buckets);
        for (int i = 0; i < 2; i++) {
            check_exact(&tw_schedule_scfa, &p, tilings[i], c->name);
            check_exact(&tw_schedule_flash2, &p, tilings[i], c->name); /* the same mask, unsorted */
        }
        tw_buckets_free(&buckets);
        p.mask.buckets_q = p.mask.buckets_k = p.mask.sorted_q = p.mask.sorted_k = NULL;
    }
    mask_arrays_free(&arrays);
}
END_TEST

/* Without another mask the closed form is there, and sorting leaves out most tiles. */
START_TEST(sorting_leaves_out_tiles)
{
    static const int lengths[] = {512, 1000, 333};
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(lengths[_i], 32);
    tw_buckets buckets;
    tw_tiling t = {.block_m = 16, .block_n = 16};
    int64_t fill, drain;
    ck_assert_int_eq(tw_buckets_make(&buckets, &p, 8, 0.9, 2), TW_OK);
    tw_buckets_attach(&p, &buckets);
    tw_counts sorted = count(&tw_schedule_scfa, &p, &t, &h100),
              plain = count(&tw_schedule_flash2, &p, &t, &h100);
    ck_assert_int_eq(tw_closed_form_bytes(&fill, &drain, "scfa", &p, &t, &h100), TW_OK);
    ck_assert_int_eq(sorted.sram_fill_bytes, fill);
    ck_assert_int_eq(sorted.sram_drain_bytes, drain);
    ck_assert_int_lt(3 * sorted.sram_fill_bytes, plain.sram_fill_bytes);
    ck_assert_int_eq(sorted.flops, plain.flops);
    tw_buckets_free(&buckets);
}
END_TEST

/* ---- FlashAttention 4's softmax ------------------------------------------------------------------------------------ */

/* Largest relative error of 2^x over a fine grid, against the bound of exact arithmetic and what fp32 adds. */
START_TEST(polynomial_errs_as_little_as_it_can)
{
    double worst = 0.0, bound = tw_exp2_polynomial_error(_i);
    for (int i = 0; i <= 40000; i++) {
        float x = (float)(-20.0 + i * 0.0005);
        worst = fmax(worst, fabs((double)tw_exp2_polynomial(x, _i) / exp2((double)x) - 1.0));
    }
    ck_assert_msg(worst <= bound + 3e-7 && worst >= 0.98 * bound, "degree %d: %g, bound %g", _i, worst,
                  bound);
    ck_assert_float_eq(tw_exp2_polynomial(-200.0f, _i), 0.0f);
    ck_assert_float_eq(tw_exp2_polynomial(-INFINITY, _i), 0.0f);
}
END_TEST

/* With large scores rows outgrow their maxima; exact runs stay exact however seldom O is rescaled, rounded ones acceptable. */
START_TEST(rescaling_seldom_is_attention)
{
    static const double limits[] = {0, 1, 8, 60};
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = problem_of(_i % NUM_SHAPES);
    p.head_dim = 40;
    p.dtype = TW_FP16;
    int64_t before = INT64_MAX;
    tensors t = make_tensors(&p, 6);
    for (int l = 0; l < 4; l++) {
        tw_tiling tiling = {.block_m = 8, .block_n = 4, .rescale_log2 = limits[l], .poly_share = 0.25};
        tw_numeric_stats stats;
        const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
        ck_assert_int_eq(tw_numeric_run(t.o, t.lse, &stats, &tw_schedule_flash4, &p, &tiling, &h100, t.q, t.k,
                                        t.v, &exact),
                         TW_OK);
        ck_assert_double_le(tw_error_of(t.o, t.gold, t.num_o).max_abs_error, 1e-11);
        ck_assert_double_le(tw_error_of(t.lse, t.gold_lse, t.num_lse).max_abs_error, 1e-10);
        ck_assert_int_eq(stats.exps_by_polynomial, 0);
        ck_assert_int_le(stats.rows_rescaled, before);
        before = stats.rows_rescaled;
    }
    ck_assert_int_eq(before, 0); /* nothing grows by 2^60 */
    free_tensors(&t);
}
END_TEST

START_TEST(polynomials_error_is_measured)
{
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(128, 64);
    tensors t = make_tensors(&p, 1);
    double error[6] = {0};
    for (int degree = 2; degree <= 5; degree++) {
        tw_tiling tiling = {
            .block_m = 32, .block_n = 32, .rescale_log2 = 8, .poly_share = 0.5, .poly_degree = degree};
        tw_numeric_stats stats;
        const tw_numeric_options as_gpu = {.rounding = TW_ROUND_AS_GPU};
        ck_assert_int_eq(tw_numeric_run(t.o, NULL, &stats, &tw_schedule_flash4, &p, &tiling, &h100, t.q, t.k,
                                        t.v, &as_gpu),
                         TW_OK);
        ck_assert_int_eq(2 * stats.exps_by_polynomial, stats.exps);
        ck_assert_double_le(stats.polynomial_error, tw_exp2_polynomial_error(degree) + 2e-6);
        ck_assert_double_ge(stats.polynomial_error, 0.5 * tw_exp2_polynomial_error(degree));
        error[degree] = tw_error_of(t.o, t.gold, t.num_o).rms_error;
    }
    ck_assert_double_gt(error[2], 1.2 * error[3]); /* degree 2 shows beside fp16's own roundings … */
    ck_assert_double_eq_tol(error[3], error[5], 0.1 * error[5]); /* … degree 3 does not */
    free_tensors(&t);
}
END_TEST

/* ---- approximation --------------------------------------------------------------------------------------------------- */

START_TEST(linformer_is_its_reference)
{
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = problem_of(_i);
    tensors t = make_tensors(&p, 1);
    double last = INFINITY;
    for (p.rank = 1; p.rank <= p.seqlen_k;
         p.rank = p.rank < p.seqlen_k && 3 * p.rank > p.seqlen_k ? p.seqlen_k : 3 * p.rank) {
        tw_tiling tiling = {.block_m = 8, .block_n = 4};
        tw_numeric_stats stats;
        const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
        double *reference = numbers(t.num_o, 7, 1);
        ck_assert_int_eq(tw_attention_linformer(reference, &p, t.q, t.k, t.v), TW_OK);
        ck_assert_msg(tw_numeric_run(t.o, NULL, &stats, &tw_schedule_linformer, &p, &tiling, &h100, t.q, t.k,
                                     t.v, &exact) == TW_OK,
                      "%s", tw_error_message());
        ck_assert_double_le(tw_error_of(t.o, reference, t.num_o).max_abs_error, 1e-12);
        last = tw_error_of(t.o, t.gold, t.num_o).max_abs_error;
        free(reference);
        tw_counts c = count(&tw_schedule_linformer, &p, &tiling, &h100);
        ck_assert_int_eq(c.sram_fill_bytes, stats.sram_fill_bytes);
        ck_assert_int_eq(c.sram_drain_bytes, stats.sram_drain_bytes);
        if (p.rank == p.seqlen_k)
            break;
        ck_assert_double_gt(last, 1e-3);
    }
    ck_assert_double_le(last, 1e-12); /* with as many means as keys it is attention */
    free_tensors(&t);
}
END_TEST

/* ---- nothing in vain --------------------------------------------------------------------------------------------------- */

/* K grows along the sequence, which begins at `offset`: the maximum moves on with every tile, and lies in another part
 * for another offset. */
static tensors growing_tensors(const tw_problem *p, int offset)
{
    tensors t = make_tensors(p, 1);
    for (size_t i = 0; i < tw_problem_q_elements(p); i++)
        t.q[i] = 0.5 + fabs(t.q[i]);
    for (int j = 0; j < p->seqlen_k; j++)
        for (int c = 0; c < p->head_dim; c++) {
            double *k = &t.k[tw_problem_k_row(p, 0, 0, j) + (size_t)c];
            *k = 0.1 * *k + 0.05 * ((j + offset) % p->seqlen_k);
        }
    ck_assert_int_eq(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v), TW_OK);
    return t;
}

static const struct {
    const tw_schedule *schedule;
    tw_tiling tiling;
    bool buckets, causal;
} deletions[] = {{&tw_schedule_ring, {.block_m = 2, .block_n = 2, .parts = 3}, false, false},
                 {&tw_schedule_ring_striped, {.block_m = 2, .block_n = 2, .parts = 3}, false, false},
                 {&tw_schedule_offload, {.block_m = 4, .block_n = 2, .parts = 3}, false, false},
                 {&tw_schedule_scfa, {.block_m = 4, .block_n = 3}, true, false},
                 {&tw_schedule_scfa, {.block_m = 4, .block_n = 3}, true, true},
                 {&tw_schedule_linformer, {.block_m = 4, .block_n = 3}, false, false}};
enum { NUM_DELETIONS = sizeof deletions / sizeof deletions[0] };

/* Does anybody notice that an operation is missing? −1: none is. */
static bool is_caught(int64_t drop, int64_t *num_ops, int which, const tw_problem *p, tensors *t)
{
    const tw_machine h100 = tw_machine_named("h100");
    const tw_schedule *schedule = deletions[which].schedule;
    tw_numeric_stats stats = {.num_ops = 0};
    const tw_numeric_options options = {.drop_one = drop >= 0, .drop = drop};
    tw_status status = tw_numeric_run(t->o, t->lse, &stats, schedule, p, &deletions[which].tiling, &h100,
                                      t->q, t->k, t->v, &options);
    tw_error_metrics o = tw_error_of(t->o, t->gold, t->num_o),
                     lse = tw_error_of(t->lse, t->gold_lse, t->num_lse);
    bool lse_differs = schedule->writes_lse && (lse.num_nan > 0 || lse.max_abs_error > 1e-9);
    *num_ops = stats.num_ops;
    return status != TW_OK || o.num_nan > 0 || o.max_abs_error > 1e-9 || lse_differs;
}

START_TEST(every_deletion_is_caught)
{
    const tw_schedule *schedule = deletions[_i].schedule;
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 12,
                    .seqlen_k = 12,
                    .head_dim = 3,
                    .dtype = TW_FP32,
                    .causal = deletions[_i].causal,
                    .rank = schedule->reference ? 5 : 0};
    tw_buckets buckets = {.bucket_q = NULL};
    if (deletions[_i].buckets) {
        ck_assert_int_eq(tw_buckets_make(&buckets, &p, 2, 0.9, 3), TW_OK);
        tw_buckets_attach(&p, &buckets);
    }
    static const int offsets[] = {0, 1, 2, 4, 8};
    tensors t[5];
    int64_t most = 0, ignored;
    for (int i = 0; i < 5; i++) {
        t[i] = growing_tensors(&p, offsets[i]);
        if (schedule->reference)
            ck_assert_int_eq(schedule->reference(t[i].gold, &p, t[i].q, t[i].k, t[i].v), TW_OK);
        ck_assert_msg(!is_caught(-1, &most, _i, &p, &t[i]), "%s", tw_error_message());
    }
    ck_assert_int_gt(most, 20);
    for (int64_t drop = 0; drop < most; drop++) {
        bool caught = false;
        for (int i = 0; i < 5 && !caught; i++)
            caught = is_caught(drop, &ignored, _i, &p, &t[i]);
        ck_assert_msg(caught, "%s without operation %lld passes", schedule->name, (long long)drop);
    }
    for (int i = 0; i < 5; i++)
        free_tensors(&t[i]);
    tw_buckets_free(&buckets);
}
END_TEST

/* ---- the page of diagrams ------------------------------------------------------------------------------------------------ */

START_TEST(page_of_diagrams_is_of_today)
{
    const tw_schedule *all[64];
    char *text = NULL,
         message[] =
             "docs/family.svg is not what the schedules emit: build/tilewise diagram --svg docs/family.svg";
    size_t size = 0;
    int count = 0;
    for (; count < tw_schedule_count(); count++)
        all[count] = tw_schedule_at(count);
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    ck_assert_msg(tw_diagram_write(out, all, count) == TW_OK, "%s", tw_error_message());
    fclose(out);
    char *is = tw_read_text("docs/family.svg");
    ck_assert_msg(strcmp(is, text) == 0, "%s", message);
    free(is);
    free(text);
}
END_TEST

/* Of each backward pass, too; and what stays, stays: Q of flash2 lives longer than any K. */
START_TEST(every_schedule_can_be_drawn)
{
    for (int i = 0; i < 2 * tw_schedule_count(); i++) {
        const tw_schedule *schedule = tw_schedule_at(i / 2);
        static tw_diagram_record r;
        if (i % 2 == 1)
            schedule = tw_schedule_backward_of(schedule);
        if (!schedule)
            continue;
        ck_assert_msg(tw_diagram_run(&r, schedule) == TW_OK, "%s: %s", schedule->name, tw_error_message());
        ck_assert_int_gt(r.num_bars, 3);
        for (int b = 0; b < r.num_bars; b++)
            ck_assert_int_ge(r.bars[b].end, r.bars[b].begin);
        int longest_q = 0, longest_k = 0;
        for (int b = 0; b < r.num_bars && schedule == &tw_schedule_flash2; b++) {
            int length = r.bars[b].end - r.bars[b].begin;
            if (r.bars[b].tensor == TW_Q)
                longest_q = length;
            if (r.bars[b].tensor == TW_K && length > longest_k)
                longest_k = length;
        }
        ck_assert(schedule != &tw_schedule_flash2 || longest_q > 3 * longest_k);
    }
}
END_TEST

/* ---- the clock of a ring -------------------------------------------------------------------------------------------------- */

/* Just below the threshold somebody waits for the link, and above it nobody does; stripes even out a causal mask. */
START_TEST(rings_hide_the_link_from_a_threshold_on)
{
    tw_machine m = tw_machine_named("h100");
    tw_problem p = square(1, 128);
    p.num_heads = p.num_heads_kv = 32;
    m.launch_overhead_s = 0;
    double c = tw_ring_threshold(&p, &m, TW_SPREAD_RING);
    ck_assert_double_eq_tol(c, m.tensor_fp16_flops_per_s / m.link_bytes_per_s, 1e-6);
    const tw_tiling t = {.block_m = 128, .block_n = 128, .unit = TW_UNIT_TENSOR, .parts = 4};
    for (int rows = 1024; rows <= 8192; rows *= 2) {
        tw_ring_time time, striped;
        p.causal = false;
        p.seqlen_q = p.seqlen_k = 4 * rows;
        ck_assert_int_eq(tw_ring_time_of(&time, &tw_schedule_ring, &p, &t, &m), TW_OK);
        ck_assert_msg((time.exposed_s > 0) == (rows < c), "%d rows: %g s", rows, time.exposed_s);
        ck_assert_int_eq(time.link_bytes, 3LL * 4 * rows * 32 * 128 * 2 * 2);
        p.causal = true;
        ck_assert_int_eq(tw_ring_time_of(&time, &tw_schedule_ring, &p, &t, &m), TW_OK);
        ck_assert_int_eq(tw_ring_time_of(&striped, &tw_schedule_ring_striped, &p, &t, &m), TW_OK);
        ck_assert_double_lt(striped.slowest_s, 1.01 * striped.mean_s);
        ck_assert_double_gt(time.slowest_s, 1.5 * time.mean_s);
    }
    m.link_bytes_per_s = 0;
    ck_assert_double_eq(tw_ring_threshold(&p, &m, TW_SPREAD_RING), 0.0);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------------------------ */

START_TEST(refuses_what_it_cannot_do)
{
    const tw_machine h100 = tw_machine_named("h100");
    tw_problem p = square(225, 64);
    tw_count_result result;
    tw_tiling t = {.block_m = 64, .block_n = 64};
    ck_assert_int_eq(tw_count(&result, &tw_schedule_flash_window, &p, &t, &h100), TW_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "225"));
    ck_assert_int_eq(tw_count(&result, &tw_schedule_scfa, &p, &t, &h100), TW_EUNSUPPORTED);
    ck_assert_int_eq(tw_count(&result, &tw_schedule_linformer, &p, &t, &h100), TW_EUNSUPPORTED);
    p.rank = 226;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_linformer, &p, &t, &h100), TW_EUNSUPPORTED);
    p.rank = 16, p.causal = true;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_linformer, &p, &t, &h100), TW_EUNSUPPORTED);
    t.parts = TW_MAX_PARTS + 1;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_ring, &p, &t, &h100), TW_EINVAL);
    p.scoring.softcap = 3.0;
    t.parts = 2;
    ck_assert_int_eq(tw_count(&result, &tw_schedule_ring, &p, &t, &h100), TW_EUNSUPPORTED);
}
END_TEST

Suite *tw_suite_sim_family(void)
{
    Suite *suite = suite_create("sim_family");
    TCase *forms = tcase_create("closed forms");
    tcase_set_timeout(forms, 60);
    tcase_add_loop_test(forms, square_tiles_move_5nnd_over_b, 0, NUM_SIZES);
    tcase_add_test(forms, small_sram_wants_square_tiles);
    tcase_add_loop_test(forms, windows_move_everything_once, 0, 3);
    tcase_add_loop_test(forms, flash4_moves_as_flash2, 0, NUM_SIZES);
    tcase_add_loop_test(forms, rings_pass_on_all_but_one_part, 0, NUM_SIZES);
    tcase_add_loop_test(forms, linformer_moves_by_its_formula, 0, NUM_SIZES);
    tcase_add_loop_test(forms, sorting_leaves_out_tiles, 0, 3);
    suite_add_tcase(suite, forms);
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, rings_under_every_mask, 0, NUM_MASK_CASES * NUM_SHAPES);
    tcase_add_loop_test(core, rings_with_dropout_and_widths, 0, NUM_SHAPES);
    tcase_add_loop_test(core, sorted_rows_under_every_mask, 0, NUM_MASK_CASES * NUM_SHAPES);
    tcase_add_loop_test(core, polynomial_errs_as_little_as_it_can, TW_POLY_DEGREE_MIN,
                        TW_POLY_DEGREE_MAX + 1);
    tcase_add_loop_test(core, rescaling_seldom_is_attention, 0, NUM_SHAPES);
    tcase_add_test(core, polynomials_error_is_measured);
    tcase_add_loop_test(core, linformer_is_its_reference, 0, NUM_SHAPES);
    tcase_add_test(core, page_of_diagrams_is_of_today);
    tcase_add_test(core, every_schedule_can_be_drawn);
    tcase_add_test(core, rings_hide_the_link_from_a_threshold_on);
    suite_add_tcase(suite, core);
    TCase *mutation = tcase_create("mutation");
    tcase_set_timeout(mutation, 120);
    tcase_add_loop_test(mutation, every_deletion_is_caught, 0, NUM_DELETIONS);
    suite_add_tcase(suite, mutation);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_what_it_cannot_do);
    suite_add_tcase(suite, errors);
    return suite;
}
