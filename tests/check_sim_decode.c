/* Keys in splits and shares, a fixed maximum, pages: executed against gold, and counted as the papers' words say. */
#include "../cpu_ref/attention.h"
#include "../cpu_ref/pages.h"
#include "../cpu_ref/split_keys.h"
#include "../sim/backend_cache.h"
#include "../sim/backend_count.h"
#include "../sim/backend_numeric.h"
#include "../sim/bounds.h"
#include "../sim/predict.h"
#include "../sim/schedules/registry.h"
#include "../sim/splits.h"
#include "mask_cases.h"

#include <check.h>
#include <math.h>

Suite *tw_suite_sim_decode(void);

static tw_machine machine(void)
{
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, "h100"), TW_OK);
    return m;
}

static double *numbers(size_t n, uint64_t stream)
{
    double *x = malloc((n + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 5, stream);
    return x;
}

typedef struct tensors {
    double *q, *k, *v, *o, *lse, *gold, *gold_lse;
    size_t num_o, num_lse;
} tensors;

static tensors make_tensors(const tw_problem *p)
{
    tensors t = {.num_o = tw_problem_o_elements(p), .num_lse = tw_problem_lse_elements(p)};
    t.q = numbers(tw_problem_q_elements(p), 0), t.k = numbers(tw_problem_k_elements(p), 1);
    t.v = numbers(tw_problem_v_elements(p), 2);
    t.o = numbers(t.num_o, 3), t.lse = numbers(t.num_lse, 4);
    t.gold = numbers(t.num_o, 5), t.gold_lse = numbers(t.num_lse, 6);
    ck_assert_msg(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v) == TW_OK, "%s", tw_error_message());
    return t;
}

static void free_tensors(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->o), free(t->lse), free(t->gold), free(t->gold_lse);
}

/* Executed it is attention, and what it copied is what was counted and what the closed form says. */
static tw_numeric_stats check_run(const tw_schedule *schedule, const tw_problem *p, tw_tiling tiling,
                                  const tw_machine *m, tensors *t, const char *what)
{
    const tw_numeric_options exact = {.rounding = TW_ROUND_NEVER};
    tw_numeric_stats executed;
    tw_count_result counted;
    int64_t fill, drain;
    ck_assert_msg(
        tw_numeric_run(t->o, t->lse, &executed, schedule, p, &tiling, m, t->q, t->k, t->v, &exact) == TW_OK,
        "%s, %s: %s", schedule->name, what, tw_error_message());
    tw_error_metrics o = tw_error_of(t->o, t->gold, t->num_o),
                     lse = tw_error_of(t->lse, t->gold_lse, t->num_lse);
    ck_assert_msg(o.num_nan == 0 && o.max_abs_error <= 1e-11, "%s, %s, %d splits: O differs by %g",
                  schedule->name, what, tiling.num_splits, o.max_abs_error);
    ck_assert_msg(!schedule->writes_lse || (lse.num_nan == 0 && lse.max_abs_error <= 1e-10),
                  "%s, %s: LSE differs by %g", schedule->name, what, lse.max_abs_error);
    ck_assert_int_eq(tw_count(&counted, schedule, p, &tiling, m), TW_OK);
    ck_assert_int_eq(executed.sram_fill_bytes - executed.recomputed_fill_bytes,
                     counted.total.sram_fill_bytes);
    ck_assert_int_eq(executed.sram_drain_bytes, counted.total.sram_drain_bytes);
    ck_assert_int_eq(counted.total.flops, tw_problem_flops(p));
    if (tw_closed_form_bytes(&fill, &drain, schedule->name, p, &tiling, m) == TW_OK) {
        ck_assert_msg(fill == counted.total.sram_fill_bytes && drain == counted.total.sram_drain_bytes,
                      "%s, %s: counted %lld + %lld, closed form %lld + %lld", schedule->name, what,
                      (long long)counted.total.sram_fill_bytes, (long long)counted.total.sram_drain_bytes,
                      (long long)fill, (long long)drain);
    }
    return executed;
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static const struct shape {
    const char *name;
    int batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, block_m, block_n;
} shapes[] = {
    {"one query", 1, 2, 2, 1, 61, 6, 4, 5},
    {"one query, grouped heads", 2, 6, 2, 1, 40, 5, 4, 8},
    {"one tile of keys", 1, 2, 1, 1, 7, 6, 2, 16},
    {"a few queries", 2, 4, 2, 3, 53, 6, 4, 4},
    {"as many queries as keys", 1, 2, 2, 19, 19, 4, 4, 3},
    {"more queries than keys", 1, 3, 1, 31, 9, 6, 8, 2},
};
enum { NUM_SHAPES = sizeof shapes / sizeof shapes[0] };

static tw_problem problem_of(const struct shape *s)
{
    return (tw_problem){.batch = s->batch,
                        .num_heads = s->heads,
                        .num_heads_kv = s->heads_kv,
                        .seqlen_q = s->seqlen_q,
                        .seqlen_k = s->seqlen_k,
                        .head_dim = s->head_dim,
                        .dtype = TW_FP32};
}

static const int split_counts[] = {1, 2, 3, 7, 40}; /* 40: more than there are tiles */
enum { NUM_SPLITS = sizeof split_counts / sizeof split_counts[0] };

/* Machines on which shares end elsewhere. */
static const int sm_counts[] = {1, 2, 5, 66};
enum { NUM_SMS = sizeof sm_counts / sizeof sm_counts[0] };

static void check_all(const tw_problem *p, const struct shape *s, const char *what)
{
    tensors t = make_tensors(p);
    tw_machine m = machine();
    for (int i = 0; i < NUM_SPLITS; i++) {
        const tw_tiling tiling = {
            .block_m = s->block_m, .block_n = s->block_n, .num_splits = split_counts[i]};
        check_run(&tw_schedule_flash_decoding, p, tiling, &m, &t, what);
        check_run(&tw_schedule_flash_decoding_plus_plus, p, tiling, &m, &t, what);
    }
    for (int i = 0; i < NUM_SMS; i++) {
        const tw_tiling tiling = {.block_m = s->block_m, .block_n = s->block_n};
        m.num_sms = sm_counts[i];
        check_run(&tw_schedule_lean_attention, p, tiling, &m, &t, what);
    }
    free_tensors(&t);
}

/* Every mask cuts the keys of a query tile elsewhere; some leave splits of which no row sees anything. */
START_TEST(every_mask_and_number_of_splits)
{
    const struct shape *s = &shapes[_i % NUM_SHAPES];
    tw_problem p = problem_of(s);
    mask_arrays arrays = mask_case_apply(&p, &mask_cases[_i / NUM_SHAPES]);
    check_all(&p, s, mask_cases[_i / NUM_SHAPES].name);
    mask_arrays_free(&arrays);
}
END_TEST

static const int cu_q[] = {0, 1, 2, 2, 6, 7}, cu_k[] = {0, 40, 41, 44, 44, 61}; /* no queries; no keys */

START_TEST(packed_sequences)
{
    static const double sinks[] = {0.3, -1.5, 2.0, 0.0};
    const struct shape *s = &shapes[3];
    tw_problem p = problem_of(s);
    p.batch = 5, p.seqlen_q = 4, p.seqlen_k = 40;
    p.cu_seqlens_q = cu_q, p.cu_seqlens_k = cu_k;
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        check_all(&p, s, "packed");
    }
    p.scoring.sink_logits = sinks; /* one for the whole row, not one for each split */
    p.scoring.softcap = 1.5;
    check_all(&p, s, "packed, with sink logits");
    p.dropout = (tw_dropout){0.3, 7};
    check_all(&p, s, "packed, with dropout");
}
END_TEST

/* ---- closed forms by hand ------------------------------------------------------------------------------------- */

static tw_counts count(const tw_schedule *schedule, const tw_problem *p, tw_tiling tiling,
                       const tw_machine *m)
{
    tw_count_result counted;
    ck_assert_msg(tw_count(&counted, schedule, p, &tiling, m) == TW_OK, "%s", tw_error_message());
    return counted.total;
}

/* S splits of one query tile: S R d + 2 N d elements in and 4 S R (d + 1) bytes out and in, R packed rows. */
START_TEST(splits_cost_what_the_formula_says)
{
    static const struct {
        int batch, heads, heads_kv, seqlen_k, head_dim, splits;
    } named[] = {{1, 32, 8, 65536, 128, 16}, {16, 32, 8, 8192, 128, 4}, {2, 16, 16, 1000, 64, 3}};
    tw_machine m = machine();
    for (int i = 0; i < 3; i++) {
        int64_t d = named[i].head_dim, g = named[i].heads / named[i].heads_kv, n = named[i].seqlen_k,
                s = named[i].splits, kv_heads = (int64_t)named[i].batch * named[i].heads_kv;
        tw_problem p = {.batch = named[i].batch,
                        .num_heads = named[i].heads,
                        .num_heads_kv = named[i].heads_kv,
                        .seqlen_q = 1,
                        .seqlen_k = named[i].seqlen_k,
                        .head_dim = named[i].head_dim,
                        .dtype = TW_FP16};
        tw_tiling t = {.block_m = 64, .block_n = 128, .num_splits = named[i].splits};
        for (int fixed = 0; fixed < 2; fixed++) {
            tw_counts c = count(fixed ? &tw_schedule_flash_decoding_plus_plus : &tw_schedule_flash_decoding,
                                &p, t, &m);
            int64_t parts = 4 * s * g * (d + 1);
            ck_assert_int_eq(c.sram_fill_bytes, kv_heads * (2 * (s * g * d + 2 * n * d) + parts));
            ck_assert_int_eq(c.sram_drain_bytes, kv_heads * (2 * g * d + 4 * g + parts));
        }
        t.num_splits = 1;
        ck_assert_int_eq(count(&tw_schedule_flash_decoding, &p, t, &m).sram_fill_bytes,
                         count(&tw_schedule_gqa_packed, &p, (tw_tiling){.block_m = 64, .block_n = 128}, &m)
                             .sram_fill_bytes);
    }
}
END_TEST

/* T tiles a head for G blocks: heads are cut at multiples of H T / G, of which those between two heads cost nothing. */
START_TEST(shares_cost_what_the_formula_says)
{
    static const struct {
        int heads, seqlen_k, sms, cuts;
    } named[] = {{8, 1280, 2, 0},
                 {3, 1280, 2, 3},
                 {8, 65536, 132, 259}}; /* 4, 4 and 264 blocks; 4 of 263 cuts lie between heads */
    for (int i = 0; i < 3; i++) {
        tw_machine m = machine();
        m.num_sms = named[i].sms;
        int64_t d = 64, h = named[i].heads, n = named[i].seqlen_k, cuts = named[i].cuts;
        tw_problem p = {.batch = 1,
                        .num_heads = named[i].heads,
                        .num_heads_kv = named[i].heads,
                        .seqlen_q = 1,
                        .seqlen_k = named[i].seqlen_k,
                        .head_dim = 64,
                        .dtype = TW_FP16};
        tw_counts c = count(&tw_schedule_lean_attention, &p, (tw_tiling){.block_m = 64, .block_n = 128}, &m);
        ck_assert_int_eq(c.sram_fill_bytes, 2 * ((h + cuts) * d + 2 * h * n * d) + 4 * cuts * (d + 1));
        ck_assert_int_eq(c.sram_drain_bytes, h * (2 * d + 4) + 4 * cuts * (d + 1));
    }
}
END_TEST

/* Of the last block to the first no two have more than one tile between them. */
START_TEST(shares_are_equal)
{
    tw_shares s = {.items = NULL};
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(tw_shares_add(&s, (tw_work_item){.tile = i, .end = i * 7 % 11}), TW_OK);
    for (s.blocks = 1; s.blocks <= s.total; s.blocks++) {
        int64_t all = 0;
        for (int64_t b = 0; b < s.blocks; b++) {
            int64_t share = tw_share_begin(&s, b + 1) - tw_share_begin(&s, b);
            ck_assert(share == s.total / s.blocks || share == s.total / s.blocks + 1);
            ck_assert_int_eq(tw_share_of(&s, tw_share_begin(&s, b)), b);
            ck_assert_int_eq(tw_share_of(&s, tw_share_begin(&s, b + 1) - 1), b);
            all += share;
        }
        ck_assert_int_eq(all, s.total);
    }
    tw_shares_free(&s);
}
END_TEST

START_TEST(splits_that_fill_the_sms)
{
    tw_machine m = machine();
    tw_tiling t = {.block_m = 64, .block_n = 128};
    tw_problem p = {
        .batch = 1, .num_heads = 8, .num_heads_kv = 8, .seqlen_q = 1, .seqlen_k = 65536, .head_dim = 128};
    int splits = tw_splits_of(&tw_schedule_flash_decoding, &p, &t, &m);
    ck_assert_int_ge(8 * splits, 264 * 8 / 10); /* of the places that two blocks an SM have */
    ck_assert_int_le(8 * splits, 264);
    p.batch = 64; /* blocks are enough without */
    ck_assert_int_eq(tw_splits_of(&tw_schedule_flash_decoding, &p, &t, &m), 1);
    p.batch = 1, p.seqlen_k = 300; /* three tiles are in three parts at most */
    ck_assert_int_eq(tw_splits_of(&tw_schedule_flash_decoding, &p, &t, &m), 3);
    ck_assert_int_eq(tw_splits_of(&tw_schedule_flash2, &p, &t, &m), 1);
    t.num_splits = 5;
    ck_assert_int_eq(tw_splits_of(&tw_schedule_flash_decoding, &p, &t, &m), 5);
}
END_TEST

/* ---- a fixed maximum -------------------------------------------------------------------------------------------- */

/* Of head 0 row 2 has a score far above 0, and row 3 one far below; all others are around it. */
static tensors make_overflowing(const tw_problem *p, double far)
{
    tensors t = make_tensors(p);
    for (int row = 0; row < p->seqlen_q; row++)
        t.q[tw_problem_q_row(p, 0, 0, row)] = row == 2 ? 1.0 : row == 3 ? -1.0 : 0.0;
    for (int c = 0; c < p->head_dim; c++)
        t.k[tw_problem_k_row(p, 0, 0, 17) + (size_t)c] = c == 0 ? far * sqrt(p->head_dim) : 0.0;
    ck_assert_int_eq(tw_attention_gold(t.gold, t.gold_lse, p, t.q, t.k, t.v), TW_OK);
    return t;
}

START_TEST(scores_out_of_range_are_done_again)
{
    const struct shape s = {"overflow", 1, 2, 2, 8, 40, 6, 2, 5};
    tw_problem p = problem_of(&s);
    tw_machine m = machine();
    tensors t = make_overflowing(&p, 90.0);
    for (int splits = 1; splits <= 3; splits += 2) {
        tw_tiling tiling = {.block_m = 2, .block_n = 5, .num_splits = splits};
        tw_numeric_stats stats = check_run(&tw_schedule_flash_decoding_plus_plus, &p, tiling, &m, &t,
                                           "overflow");
        ck_assert_int_eq(stats.num_recomputed, 1); /* the tile of rows 2 and 3, and no other */
        ck_assert_int_eq(stats.recomputed_fill_bytes, 4 * 6 * (2 + 2 * 40)); /* Q once, K and V */
        tiling.phi = 40.0; /* now row 2 is in range, and everything else still is */
        stats = check_run(&tw_schedule_flash_decoding_plus_plus, &p, tiling, &m, &t, "phi of 40");
        ck_assert_int_eq(stats.num_recomputed, 1); /* row 3 is at -90 - 40 */
        tiling.phi = 200.0;
        stats = check_run(&tw_schedule_flash_decoding_plus_plus, &p, tiling, &m, &t, "phi of 200");
        ck_assert_int_eq(stats.num_recomputed, 8); /* 4 tiles of 2 heads */
    }
    free_tensors(&t);
    t = make_overflowing(&p, 5.0);
    ck_assert_int_eq(check_run(&tw_schedule_flash_decoding_plus_plus, &p,
                               (tw_tiling){.block_m = 2, .block_n = 5, .num_splits = 2}, &m, &t, "in range")
                         .num_recomputed,
                     0);
    free_tensors(&t);
}
END_TEST

/* In fp16 on tensor cores P would be infinite above e^11: what is rounded as on a GPU is still attention. */
START_TEST(half_precision_has_a_narrow_range)
{
    double range[2];
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 1,
                    .seqlen_k = 64,
                    .head_dim = 16,
                    .dtype = TW_FP16};
    tw_tiling t = {.block_m = 4, .block_n = 8, .num_splits = 3, .unit = TW_UNIT_TENSOR};
    tw_machine m = machine();
    tensors x = make_tensors(&p);
    for (size_t i = 0; i < 16; i++)
        x.q[i] = 4.0, x.k[i] = 1.0; /* a score of 16 */
    for (size_t i = 0; i < tw_problem_k_elements(&p); i++)
        x.k[i] = tw_dtype_round(TW_FP16, x.k[i]), x.v[i] = tw_dtype_round(TW_FP16, x.v[i]);
    ck_assert_int_eq(tw_attention_gold(x.gold, x.gold_lse, &p, x.q, x.k, x.v), TW_OK);
    tw_fixed_range(range, &p, &t);
    ck_assert_double_eq(tw_dtype_round(TW_FP16, exp(range[1] - 1e-9)), 65504.0);
    ck_assert_double_eq(tw_dtype_round(TW_FP16, exp(range[0])), 0x1p-14);
    const tw_numeric_options as_gpu = {.rounding = TW_ROUND_AS_GPU};
    tw_numeric_stats stats;
    ck_assert_int_eq(tw_numeric_run(x.o, x.lse, &stats, &tw_schedule_flash_decoding_plus_plus, &p, &t, &m,
                                    x.q, x.k, x.v, &as_gpu),
                     TW_OK);
    tw_error_metrics o = tw_error_of(x.o, x.gold, x.num_o);
    ck_assert_int_eq(stats.num_recomputed, 1);
    ck_assert(o.num_nan == 0 && o.max_abs_error < 4e-3);
    free_tensors(&x);
}
END_TEST

/* ---- pages ---------------------------------------------------------------------------------------------------- */

static const int page_sizes[] = {1, 3, 4, 5, 16, 64};
enum { NUM_PAGE_SIZES = sizeof page_sizes / sizeof page_sizes[0] };

/* The same numbers in shuffled pages: gold of what is not paged says what is right. */
START_TEST(pages_change_no_result)
{
    const struct shape *s = &shapes[_i / NUM_PAGE_SIZES];
    tw_problem plain = problem_of(s), p = plain;
    tw_machine m = machine();
    tensors t = make_tensors(&plain);
    p.page_size = page_sizes[_i % NUM_PAGE_SIZES];
    p.table_width = (p.seqlen_k + p.page_size - 1) / p.page_size;
    p.num_pages = p.batch * p.table_width;
    int *table = calloc((size_t)p.num_pages, sizeof *table);
    ck_assert_ptr_nonnull(table);
    tw_page_table_shuffled(table, p.batch, p.table_width, 3);
    p.page_table = table;
    double *k = numbers(tw_problem_k_elements(&p), 8), *v = numbers(tw_problem_v_elements(&p), 9);
    tw_pages_scatter(k, t.k, &p, p.head_dim);
    tw_pages_scatter(v, t.v, &p, p.head_dim);
    double *back = numbers(tw_problem_k_elements(&plain), 7);
    tw_pages_gather(back, k, &p, p.head_dim);
    ck_assert_mem_eq(back, t.k, tw_problem_k_elements(&plain) * sizeof *back);
    free(back), free(t.k), free(t.v);
    t.k = k, t.v = v;
    for (int i = 0; i < tw_schedule_count(); i++) {
        const tw_schedule *schedule = tw_schedule_at(i);
        if (tw_honours_check(schedule, &p) == TW_OK)
            check_run(schedule, &p, (tw_tiling){.block_m = s->block_m, .block_n = s->block_n}, &m, &t,
                      "pages");
    }
    free_tensors(&t);
    free(table);
}
END_TEST

/* 64k keys of 8 heads in pages of 16: an entry of 4 bytes for each page, for K and for V. */
START_TEST(table_bytes)
{
    tw_machine m = machine();
    int *table = calloc(4096, sizeof *table);
    ck_assert_ptr_nonnull(table);
    tw_page_table_shuffled(table, 1, 4096, 1);
    tw_problem p = {.batch = 1,
                    .num_heads = 32,
                    .num_heads_kv = 8,
                    .seqlen_q = 1,
                    .seqlen_k = 65536,
                    .head_dim = 128,
                    .dtype = TW_FP16};
    tw_tiling t = {.block_m = 64, .block_n = 128};
    int64_t without = count(&tw_schedule_gqa_packed, &p, t, &m).sram_fill_bytes;
    int64_t hbm_without = count(&tw_schedule_gqa_packed, &p, t, &m).hbm_read_bytes;
    p.page_size = 16, p.num_pages = p.table_width = 4096, p.page_table = table;
    ck_assert_int_eq(count(&tw_schedule_gqa_packed, &p, t, &m).sram_fill_bytes, without + 8 * 2 * 4096 * 4);
    ck_assert_int_eq(count(&tw_schedule_gqa_packed, &p, t, &m).hbm_read_bytes, hbm_without + 4096 * 4);
    table[7] = 4096;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    table[7] = -1;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    table[7] = 0; /* two places for one page: sequences may share what they begin with */
    ck_assert_int_eq(tw_problem_check(&p), TW_OK);
    p.table_width = 4095;
    ck_assert_int_eq(tw_problem_check(&p), TW_EINVAL);
    free(table);
}
END_TEST

/* ---- the plain reference ------------------------------------------------------------------------------------- */

/* Parts of the keys, by themselves and combined, without a schedule. */
START_TEST(combined_parts_are_attention)
{
    const struct shape *s = &shapes[_i % NUM_SHAPES];
    tw_problem p = problem_of(s);
    mask_arrays arrays = mask_case_apply(&p, &mask_cases[_i / NUM_SHAPES]);
    enum { PARTS = 3 };
    tensors t = make_tensors(&p);
    double *o[PARTS], *lse[PARTS];
    for (int c = 0; c < PARTS; c++) {
        o[c] = numbers(t.num_o, 10), lse[c] = numbers(t.num_lse, 11);
        ck_assert_int_eq(tw_attention_part(o[c], lse[c], &p, t.q, t.k, t.v, c * p.seqlen_k / PARTS,
                                           (c + 1) * p.seqlen_k / PARTS),
                         TW_OK);
    }
    for (int b = 0; b < p.batch; b++)
        for (int h = 0; h < p.num_heads; h++)
            for (int i = 0; i < p.seqlen_q; i++) {
                size_t at = tw_problem_o_row(&p, b, h, i), l = tw_problem_lse_at(&p, b, h, i);
                const double *rows[PARTS] = {o[0] + at, o[1] + at, o[2] + at};
                tw_combine_parts(t.o + at, &t.lse[l], rows, (double[]){lse[0][l], lse[1][l], lse[2][l]},
                                 PARTS, p.head_dim);
            }
    tw_error_metrics error = tw_error_of(t.o, t.gold, t.num_o),
                     of_lse = tw_error_of(t.lse, t.gold_lse, t.num_lse);
    ck_assert(error.num_nan == 0 && error.max_abs_error < 1e-12);
    ck_assert(of_lse.num_nan == 0 && of_lse.max_abs_error < 1e-12);
    for (int c = 0; c < PARTS; c++)
        free(o[c]), free(lse[c]);
    free_tensors(&t);
    mask_arrays_free(&arrays);
}
END_TEST

/* ---- time and the L2 ------------------------------------------------------------------------------------------- */

static tw_problem decoding(int batch, int seqlen_k)
{
    return (tw_problem){.batch = batch,
                        .num_heads = 32,
                        .num_heads_kv = 8,
                        .seqlen_q = 1,
                        .seqlen_k = seqlen_k,
                        .head_dim = 128,
                        .dtype = TW_BF16};
}

static tw_prediction predict(const char *name, const tw_problem *p, int splits)
{
    const tw_predict_options how = TW_PREDICT_DEFAULTS;
    tw_machine m = machine();
    tw_build build;
    tw_prediction r;
    ck_assert_int_eq(tw_build_find(&build, name, p, &m, 0, 0), TW_OK);
    build.num_splits = splits;
    ck_assert_msg(tw_predict(&r, &build, p, &m, &how) == TW_OK, "%s", tw_error_message());
    return r;
}

/* 8 heads leave 124 SMs idle, unless keys are split. */
START_TEST(splits_fill_the_sms_in_time_too)
{
    tw_problem p = decoding(1, 65536);
    tw_prediction one = predict("flash_decoding", &p, 1), many = predict("flash_decoding", &p, 0),
                  lean = predict("lean_attention", &p, 0);
    double bytes = 2.0 * 8 * 65536 * 128 * 2, limit = machine().hbm_read_bytes_per_s;
    ck_assert_int_eq(one.active_sms[0], 8);
    ck_assert_int_gt(many.active_sms[0], 100);
    ck_assert_int_eq(lean.active_sms[0], 132);
    ck_assert_double_gt(one.power.time_s, 10 * many.power.time_s);
    ck_assert_double_gt(many.power.time_s, bytes / limit); /* nothing is faster than HBM */
    ck_assert_double_gt(lean.power.time_s, bytes / limit);
    ck_assert_double_eq(one.launch[1].cycles, 0); /* nothing to combine, no launch */
    ck_assert_double_gt(many.launch[1].cycles, 0);
    ck_assert_double_eq_tol(one.hbm_bytes, bytes, 0.05 * bytes); /* 8 SMs cannot ask for more than there is */
}
END_TEST

/* What a replay through the L2 reads from HBM is K and V once; partial results stay in the L2. */
START_TEST(l2_keeps_partial_results)
{
    static const tw_schedule *const schedules[] = {&tw_schedule_flash_decoding, &tw_schedule_lean_attention};
    const tw_cache_options options = {.seed = 1};
    tw_problem p = decoding(2, 4096);
    tw_tiling t = {.block_m = 64, .block_n = 128};
    tw_machine m = machine();
    double bytes = 2.0 * 2 * 8 * 4096 * 128 * 2;
    for (int i = 0; i < 2; i++) {
        tw_cache_result r;
        tw_counts c = count(schedules[i], &p, t, &m);
        ck_assert_msg(tw_cache(&r, schedules[i], &p, &t, &m, &options) == TW_OK, "%s", tw_error_message());
        ck_assert_double_eq_tol((double)r.total.traffic.hbm_read_bytes, bytes, 0.01 * bytes);
        ck_assert_double_eq_tol((double)r.total.traffic.read_request_bytes, (double)c.sram_fill_bytes,
                                0.02 * bytes);
    }
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------------------------- */

START_TEST(refuses_what_means_nothing)
{
    tw_machine m = machine();
    tw_problem p = decoding(1, 256);
    tw_count_result r;
    tw_tiling t = {.block_m = 64, .block_n = 128, .num_splits = 2};
    ck_assert_int_eq(tw_count(&r, &tw_schedule_flash2, &p, &t, &m), TW_EUNSUPPORTED);
    ck_assert_int_eq(tw_count(&r, &tw_schedule_lean_attention, &p, &t, &m), TW_EUNSUPPORTED);
    t.num_splits = -1;
    ck_assert_int_eq(tw_count(&r, &tw_schedule_flash_decoding, &p, &t, &m), TW_EINVAL);
    t = (tw_tiling){.block_m = 64, .block_n = 128, .phi = 1.0};
    ck_assert_int_eq(tw_count(&r, &tw_schedule_flash_decoding, &p, &t, &m), TW_EUNSUPPORTED);
    t.phi = INFINITY;
    ck_assert_int_eq(tw_count(&r, &tw_schedule_flash_decoding_plus_plus, &p, &t, &m), TW_EINVAL);
    t = (tw_tiling){.block_m = 64, .block_n = 128, .order = TW_ORDER_REVERSED};
    ck_assert_int_eq(tw_count(&r, &tw_schedule_lean_attention, &p, &t, &m), TW_EUNSUPPORTED);
    static const int table[] = {0};
    p.page_size = 256, p.num_pages = p.table_width = 1, p.page_table = table;
    ck_assert_int_eq(tw_problem_check_backward(&p), TW_EUNSUPPORTED);
}
END_TEST

Suite *tw_suite_sim_decode(void)
{
    Suite *suite = suite_create("sim_decode");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, every_mask_and_number_of_splits, 0, NUM_MASK_CASES * NUM_SHAPES);
    tcase_add_test(core, packed_sequences);
    tcase_add_test(core, splits_cost_what_the_formula_says);
    tcase_add_test(core, shares_cost_what_the_formula_says);
    tcase_add_test(core, shares_are_equal);
    tcase_add_test(core, splits_that_fill_the_sms);
    tcase_add_test(core, scores_out_of_range_are_done_again);
    tcase_add_test(core, half_precision_has_a_narrow_range);
    tcase_add_loop_test(core, pages_change_no_result, 0, NUM_SHAPES * NUM_PAGE_SIZES);
    tcase_add_test(core, table_bytes);
    tcase_add_loop_test(core, combined_parts_are_attention, 0, NUM_MASK_CASES * NUM_SHAPES);
    tcase_add_test(core, splits_fill_the_sms_in_time_too);
    tcase_add_test(core, l2_keeps_partial_results);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, refuses_what_means_nothing);
    suite_add_tcase(suite, errors);
    return suite;
}
