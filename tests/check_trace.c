/* The recorded walk: its row states against the definition, its bytes against what is counted, its refusals. */
#include "check_tilewise.h"

#include "../cpu_ref/attention.h"
#include "../sim/backend_count.h"
#include "../sim/backend_trace.h"
#include "../sim/schedules/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct shape {
    int batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, block_m, block_n;
    bool causal;
} shapes[] = {
    {1, 1, 1, 4, 4, 2, 2, 2, false},   {1, 1, 1, 1, 1, 1, 1, 1, false},  {1, 2, 1, 31, 31, 8, 8, 8, false},
    {2, 4, 2, 17, 23, 5, 4, 6, false}, {1, 2, 2, 31, 31, 8, 8, 8, true}, {1, 1, 1, 13, 29, 3, 5, 7, true},
    {2, 2, 1, 29, 13, 3, 5, 7, true},  {1, 1, 1, 9, 9, 4, 16, 16, true}, {1, 3, 3, 7, 2, 4, 1, 1, true},
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
                        .dtype = TW_FP16,
                        .causal = s->causal};
}

/* A problem, random tensors for it, and its walk. */
typedef struct walked {
    tw_problem p;
    double *q, *k, *v, *d_o;
    tw_trace trace;
} walked;

static double *random_numbers(size_t n, uint64_t stream)
{
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 11, stream);
    return x;
}

/* Can a schedule do these plain problems? */
static bool walks(const tw_schedule *schedule, const struct shape *s)
{
    tw_problem p = problem_of(s);
    return tw_honours_check(schedule, &p) == TW_OK;
}

static walked walk_through(const tw_schedule *schedule, const struct shape *s, const char *machine_name,
                           bool full)
{
    walked w = {.p = problem_of(s)};
    tw_machine machine;
    tw_tiling tiling = {.block_m = s->block_m, .block_n = s->block_n};
    tw_trace_options options = {.full = full, .row = -1, .max_tiles = 10000, .max_numbers = 10000000};
    ck_assert_int_eq(tw_machine_find(&machine, machine_name), TW_OK);
    w.q = random_numbers(tw_problem_q_elements(&w.p), 0);
    w.k = random_numbers(tw_problem_k_elements(&w.p), 1);
    w.v = random_numbers(tw_problem_k_elements(&w.p), 2);
    w.d_o = random_numbers(tw_problem_o_elements(&w.p), 3);
    options.forward = tw_schedule_forward_of(schedule);
    options.forward_tiling = tiling;
    options.d_o = w.d_o;
    ck_assert_msg(tw_trace_record(&w.trace, schedule, &w.p, &tiling, &machine, w.q, w.k, w.v, &options) ==
                      TW_OK,
                  "%s: %s", schedule->name, tw_error_message());
    return w;
}

static void free_walk(walked *w)
{
    free(w->q);
    free(w->k);
    free(w->v);
    free(w->d_o);
    tw_trace_free(&w->trace);
}

/* ---- the row state, from the definition ----------------------------------------------------------------- */

/* max S, Σ e^(S − max) and Σ e^(S − max) V over the first `keys` keys that a row sees. */
static void state_by_definition(double *m, double *l, double *o, const walked *w, int batch, int head,
                                int row, int keys)
{
    const tw_problem *p = &w->p;
    int seen = tw_problem_keys_seen(p, row), n = keys < seen ? keys : seen, d = p->head_dim;
    const double *q = w->q + tw_problem_q_row(p, batch, head, row);
    double *s = calloc((size_t)keys + 1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    *m = -INFINITY;
    *l = 0;
    memset(o, 0, (size_t)d * sizeof *o);
    for (int j = 0; j < n; j++) {
        const double *k = w->k + tw_problem_k_row(p, batch, tw_problem_kv_head(p, head), j);
        for (int c = 0; c < d; c++)
            s[j] += q[c] * k[c] / sqrt(d);
        *m = fmax(*m, s[j]);
    }
    for (int j = 0; j < n; j++) {
        const double *v = w->v + tw_problem_k_row(p, batch, tw_problem_kv_head(p, head), j);
        *l += exp(s[j] - *m);
        for (int c = 0; c < d; c++)
            o[c] += exp(s[j] - *m) * v[c];
    }
    free(s);
}

static bool close_to(double a, double b)
{
    return a == b || fabs(a - b) <= 1e-12 * (1 + fabs(b));
}

static void check_stop(const walked *w, const tw_trace_stop *stop)
{
    const tw_trace *t = &w->trace;
    int keys = stop->tile > 0 ? (int)stop->cols.row0 + stop->cols.rows : w->p.seqlen_k;
    double m, l, o[16];
    for (int r = 0; r < stop->rows.rows; r++) {
        state_by_definition(&m, &l, o, w, stop->batch, stop->head, (int)stop->rows.row0 + r, keys);
        double lse = l > 0 ? m + log(l) : -INFINITY, got = t->numbers[stop->m + (size_t)r];
        ck_assert_msg(close_to(got, stop->m_is_lse ? lse : m),
                      "tile %lld, row %d: m or LSE is %.17g, not %.17g", (long long)stop->tile, r, got,
                      stop->m_is_lse ? lse : m);
        ck_assert_msg(close_to(t->numbers[stop->l + (size_t)r], l),
                      "tile %lld, row %d: l is %.17g, not %.17g", (long long)stop->tile, r,
                      t->numbers[stop->l + (size_t)r], l);
    }
    state_by_definition(&m, &l, o, w, stop->batch, stop->head, (int)stop->o_row, keys);
    ck_assert_int_eq(stop->o_row, stop->rows.row0);
    for (int c = 0; c < w->p.head_dim; c++) {
        double want = !stop->o_normalized ? o[c] : l > 0 ? o[c] / l : 0;
        ck_assert_msg(close_to(t->numbers[stop->o + (size_t)c], want), "tile %lld: O[%d] is %.17g, not %.17g",
                      (long long)stop->tile, c, t->numbers[stop->o + (size_t)c], want);
    }
}

START_TEST(test_row_state_is_that_of_the_keys_so_far)
{
    const tw_schedule *both[2] = {&tw_schedule_flash1, &tw_schedule_flash2};
    for (int i = 0; i < 2; i++) {
        walked w = walk_through(both[i], &shapes[_i], "h100", false);
        for (size_t at = 0; at < w.trace.num_stops; at++)
            check_stop(&w, &w.trace.stops[at]);
        free_walk(&w);
    }
}
END_TEST

/* ---- which tiles, and what they cost -------------------------------------------------------------------- */

/* Tiles of flash2: those of which at least one pair is unmasked, row by row. */
START_TEST(test_tiles_of_flash2_are_those_with_work)
{
    const struct shape *s = &shapes[_i];
    walked w = walk_through(&tw_schedule_flash2, s, "h100", false);
    int64_t tiles = 0, ends = 0;
    for (int row0 = 0; row0 < s->seqlen_q; row0 += s->block_m) {
        int last = row0 + s->block_m < s->seqlen_q ? row0 + s->block_m - 1 : s->seqlen_q - 1;
        tiles += (tw_problem_keys_seen(&w.p, last) + s->block_n - 1) / s->block_n;
        ends++;
    }
    tiles *= (int64_t)s->batch * s->heads;
    ends *= (int64_t)s->batch * s->heads;
    ck_assert_int_eq(w.trace.num_tiles, tiles);
    ck_assert_uint_eq(w.trace.num_stops, (size_t)(tiles + ends));
    for (size_t at = 0, tile = 0; at < w.trace.num_stops; at++)
        if (w.trace.stops[at].tile > 0)
            ck_assert_int_eq(w.trace.stops[at].tile, (int64_t)++tile);
    free_walk(&w);
}
END_TEST

START_TEST(test_bytes_end_at_what_is_counted)
{
    static const char *const machines[2] = {"paper", "h100"};
    for (int i = 0; i < 2 * tw_schedule_count(); i++) {
        const tw_schedule *schedule = tw_schedule_at(i / 2);
        if (!walks(schedule, &shapes[_i]))
            continue;
        walked w = walk_through(schedule, &shapes[_i], machines[i % 2], false);
        tw_count_result counted;
        ck_assert_int_eq(tw_count(&counted, schedule, &w.p, &w.trace.tiling, &w.trace.machine), TW_OK);
        const tw_moved *moved = &w.trace.stops[w.trace.num_stops - 1].chip.moved;
        ck_assert_int_eq(moved->sram_fill_bytes, counted.total.sram_fill_bytes);
        ck_assert_int_eq(moved->sram_drain_bytes, counted.total.sram_drain_bytes);
        ck_assert_msg(moved->hbm_read_bytes == counted.total.hbm_read_bytes,
                      "%s on %s: %lld bytes read, %lld counted", schedule->name, machines[i % 2],
                      (long long)moved->hbm_read_bytes, (long long)counted.total.hbm_read_bytes);
        ck_assert_int_eq(moved->hbm_write_bytes, counted.total.hbm_write_bytes);
        free_walk(&w);
    }
}
END_TEST

/* Of backward walks too, on both kinds of machine; tiles of scores are stops, each once, and so are ends of blocks. */
START_TEST(test_backward_walks)
{
    static const char *const machines[] = {"h100", "paper"};
    for (int i = 0; i < 2 * tw_schedule_count(); i++) {
        const tw_schedule *schedule = tw_schedule_backward_of(tw_schedule_at(i / 2));
        if (!schedule)
            continue;
        walked w = walk_through(schedule, &shapes[_i], machines[i % 2], i % 2);
        const tw_trace *t = &w.trace;
        const tw_moved *moved = &t->stops[t->num_stops - 1].chip.moved;
        tw_tiling tiling = {.block_m = shapes[_i].block_m, .block_n = shapes[_i].block_n};
        tw_count_result counted;
        ck_assert_int_eq(tw_count(&counted, schedule, &w.p, &tiling, &t->machine), TW_OK);
        ck_assert_int_eq(moved->sram_fill_bytes, counted.total.sram_fill_bytes);
        ck_assert_int_eq(moved->sram_drain_bytes, counted.total.sram_drain_bytes);
        ck_assert_int_eq(moved->hbm_read_bytes, counted.total.hbm_read_bytes);
        ck_assert_int_eq(moved->hbm_write_bytes, counted.total.hbm_write_bytes);
        for (size_t at = 0, tiles = 0; at < t->num_stops; at++) {
            tiles += t->stops[at].tile > 0;
            ck_assert(t->stops[at].tile == 0 || t->stops[at].tile == (int64_t)tiles);
            ck_assert_int_gt(t->stops[at].rows.rows, 0);
        }
        free_walk(&w);
    }
}
END_TEST

START_TEST(test_slots_add_up_to_what_is_held)
{
    walked w = walk_through(&tw_schedule_flash2, &shapes[_i], "h100", true);
    const tw_trace *t = &w.trace;
    for (size_t f = 0; f < t->num_frames; f++) {
        const tw_trace_chip *chip = &t->frames[f].chip;
        int64_t held[TW_NUM_PLACES] = {0};
        for (size_t i = 0; i < chip->num_slots; i++)
            held[t->slots[chip->first_slot + i].info.place] += t->slots[chip->first_slot + i].info.bytes;
        ck_assert_int_eq(held[TW_PLACE_SMEM], chip->live_bytes[TW_PLACE_SMEM]);
        ck_assert_int_eq(held[TW_PLACE_REGISTERS], chip->live_bytes[TW_PLACE_REGISTERS]);
    }
    free_walk(&w);
}
END_TEST

/* In a full trace every operation belongs to one stop, in order, and each stop shows one of its own. */
START_TEST(test_frames_belong_to_stops)
{
    for (int i = 0; i < tw_schedule_count(); i++) {
        if (!walks(tw_schedule_at(i), &shapes[_i]))
            continue;
        walked w = walk_through(tw_schedule_at(i), &shapes[_i], "h100", true);
        const tw_trace *t = &w.trace;
        size_t next = 0;
        for (size_t at = 0; at < t->num_stops; at++) {
            const tw_trace_stop *stop = &t->stops[at];
            ck_assert_uint_eq(stop->first_frame, next);
            ck_assert(stop->first_frame <= stop->at_frame && stop->at_frame <= stop->last_frame);
            for (; next <= stop->last_frame; next++)
                ck_assert_uint_eq(t->frames[next].stop, at);
        }
        ck_assert_uint_eq(next, t->num_frames);
        free_walk(&w);
    }
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------- */

START_TEST(test_refuses_what_is_too_long)
{
    const struct shape *s = &shapes[2]; /* 31 x 31 in tiles of 8 x 8, two heads: 32 tiles */
    tw_problem p = problem_of(s);
    tw_tiling tiling = {.block_m = 8, .block_n = 8};
    tw_machine machine;
    tw_trace trace = {.num_stops = 77};
    tw_trace_options options = {.row = -1, .max_tiles = 31, .max_numbers = 100000};
    ck_assert_int_eq(tw_machine_find(&machine, "h100"), TW_OK);
    ck_assert_int_eq(
        tw_trace_record(&trace, &tw_schedule_flash2, &p, &tiling, &machine, NULL, NULL, NULL, &options),
        TW_EUNSUPPORTED);
    options.max_tiles = 32;
    options.max_numbers = 10;
    ck_assert_int_eq(
        tw_trace_record(&trace, &tw_schedule_flash2, &p, &tiling, &machine, NULL, NULL, NULL, &options),
        TW_EUNSUPPORTED);
    tiling.block_m = 1 << 20;
    p.seqlen_q = 1 << 20;
    ck_assert_int_eq(
        tw_trace_record(&trace, &tw_schedule_flash2, &p, &tiling, &machine, NULL, NULL, NULL, &options),
        TW_ESRAM);
    ck_assert_uint_eq(trace.num_stops, 77);
}
END_TEST

Suite *tw_suite_trace(void)
{
    Suite *suite = suite_create("trace");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_row_state_is_that_of_the_keys_so_far, 0, NUM_SHAPES);
    tcase_add_loop_test(core, test_tiles_of_flash2_are_those_with_work, 0, NUM_SHAPES);
    tcase_add_loop_test(core, test_bytes_end_at_what_is_counted, 0, NUM_SHAPES);
    tcase_add_loop_test(core, test_backward_walks, 0, NUM_SHAPES);
    tcase_add_loop_test(core, test_slots_add_up_to_what_is_held, 0, NUM_SHAPES);
    tcase_add_loop_test(core, test_frames_belong_to_stops, 0, NUM_SHAPES);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, test_refuses_what_is_too_long);
    suite_add_tcase(suite, errors);
    return suite;
}
