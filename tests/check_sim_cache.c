/* The cache back end: what goes in comes out, what can be worked out by hand comes out by hand, and what was measured
 * comes out as nearly as docs/theory/accuracy.md says. */
#include "check_tilewise.h"
#include "support_shapes.h"

#include "../sim/backend_count.h"
#include "../sim/l2_jobs.h"
#include "../sim/saving.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tw_problem shape(int batch, int heads, int heads_kv, int seqlen_q, int seqlen_k, int head_dim,
                        bool causal)
{
    return (tw_problem){.batch = batch,
                        .num_heads = heads,
                        .num_heads_kv = heads_kv,
                        .seqlen_q = seqlen_q,
                        .seqlen_k = seqlen_k,
                        .head_dim = head_dim,
                        .dtype = TW_FP16,
                        .causal = causal};
}

static tw_tiling tiles(int block_m, int block_n)
{
    return (tw_tiling){.block_m = block_m, .block_n = block_n, .unit = TW_UNIT_TENSOR};
}

static tw_cache_result replay(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                              const tw_machine *m, tw_cache_options o)
{
    tw_cache_result r;
    o.seed = 1;
    ck_assert_msg(tw_cache(&r, schedule, p, t, m, &o) == TW_OK, "%s", tw_error_message());
    return r;
}

/* ---- conservation --------------------------------------------------------------------------------------- */

static const struct {
    int batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, block_m, block_n;
    bool causal;
} shapes[] = {
    {1, 2, 2, 1024, 1024, 128, 128, 128, false}, {2, 3, 3, 1024, 1024, 64, 128, 128, true},
    {1, 4, 2, 997, 997, 128, 128, 64, true},     {1, 6, 1, 701, 1409, 64, 64, 128, true},
    {1, 1, 1, 1, 1, 128, 128, 128, false},       {3, 2, 2, 1, 4099, 128, 64, 64, false},
    {1, 2, 2, 4096, 512, 128, 128, 128, true}, /* most rows see no key */
};
enum {
    NUM_SHAPES = sizeof shapes / sizeof shapes[0],
    NUM_ORDERINGS = (int)TW_NUM_ORDERS * (int)TW_NUM_KV_ORDERS
};

static const tw_schedule *const schedules[] = {&tw_schedule_flash2, &tw_schedule_flash1,
                                               &tw_schedule_standard_tiled};

/* Each launch: requests are what was counted, each is served once, and no byte of HBM is invented or lost. */
static void check_conserved(const tw_cache_result *r, const tw_count_result *counted)
{
    ck_assert_int_eq(r->num_launches, counted->num_launches);
    for (int i = 0; i < r->num_launches; i++) {
        const tw_l2_traffic *t = &r->launch[i].traffic;
        const tw_cache_analysis *a = &r->launch[i].analysis;
        ck_assert_int_eq(t->near_hit_bytes + t->far_hit_bytes + t->hbm_read_bytes, t->read_request_bytes);
        ck_assert_int_eq(a->compulsory_bytes + a->capacity_bytes + a->conflict_bytes, t->hbm_read_bytes);
        int64_t touched = a->first_touch_bytes;
        for (int bin = 0; bin < TW_REUSE_BINS; bin++)
            touched += a->reuse_bytes[bin];
        ck_assert_int_eq(touched, t->read_request_bytes + t->write_request_bytes);
    }
    const tw_l2_traffic *t = &r->total.traffic;
    ck_assert_int_eq(t->write_request_bytes, counted->total.sram_drain_bytes);
    ck_assert_int_ge(t->hbm_write_bytes + r->dirty_bytes,
                     counted->launch[counted->num_launches - 1].hbm_write_bytes);
    ck_assert_int_le(t->hbm_write_bytes + r->dirty_bytes, t->write_request_bytes);
}

/* Schedules and orders vary inside, so that one test covers a shape. */
START_TEST(test_bytes_are_conserved)
{
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(shapes[_i].batch, shapes[_i].heads, shapes[_i].heads_kv, shapes[_i].seqlen_q,
                               shapes[_i].seqlen_k, shapes[_i].head_dim, shapes[_i].causal);
    for (int s = 0; s < 3; s++) {
        for (int n = 0; n < NUM_ORDERINGS; n++) {
            tw_tiling t = tiles(shapes[_i].block_m, shapes[_i].block_n);
            tw_count_result counted;
            t.order = (tw_order)(n / TW_NUM_KV_ORDERS);
            t.kv_order = (tw_kv_order)(n % TW_NUM_KV_ORDERS);
            ck_assert_msg(tw_count(&counted, schedules[s], &p, &t, &m) == TW_OK, "%s", tw_error_message());
            tw_cache_result r = replay(schedules[s], &p, &t, &m, (tw_cache_options){.analyse = true});
            check_conserved(&r, &counted);
            /* Cold, and all of it fits: every byte comes once. */
            if (s < 2 && counted.total.hbm_read_bytes < 10000000)
                ck_assert_int_eq(r.total.traffic.hbm_read_bytes, counted.total.hbm_read_bytes);
            ck_assert_int_ge(r.total.traffic.read_request_bytes, counted.total.sram_fill_bytes);
        }
    }
}
END_TEST

/* Where units are not larger than tiles, requests are the fill to the byte: no unit is taken for its neighbour. */
START_TEST(test_requests_are_the_fill)
{
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, 4, 2, 1500, 1500, 128, _i % 2);
    for (int s = 0; s < 2; s++) {
        tw_tiling t = tiles(128, 128);
        tw_count_result counted;
        ck_assert_int_eq(tw_count(&counted, schedules[s], &p, &t, &m), TW_OK);
        tw_cache_result r = replay(schedules[s], &p, &t, &m, (tw_cache_options){.start = TW_L2_COLD});
        ck_assert_int_eq(r.total.traffic.read_request_bytes, counted.total.sram_fill_bytes);
    }
}
END_TEST

/* The same seed gives the same bytes; another one nearly the same. */
START_TEST(test_seeds)
{
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, 16, 16, 16384, 16384, 128, false);
    const tw_tiling t = tiles(128, 64);
    tw_cache_result a, b, c;
    ck_assert_int_eq(tw_cache(&a, &tw_schedule_flash2, &p, &t, &m, &(tw_cache_options){.seed = 3}), TW_OK);
    ck_assert_int_eq(tw_cache(&b, &tw_schedule_flash2, &p, &t, &m, &(tw_cache_options){.seed = 3}), TW_OK);
    ck_assert_int_eq(tw_cache(&c, &tw_schedule_flash2, &p, &t, &m, &(tw_cache_options){.seed = 4}), TW_OK);
    ck_assert_mem_eq(&a.total.traffic, &b.total.traffic, sizeof a.total.traffic);
    ck_assert_int_ne(a.total.traffic.hbm_read_bytes, c.total.traffic.hbm_read_bytes);
    double ratio = (double)a.total.traffic.hbm_read_bytes / (double)c.total.traffic.hbm_read_bytes;
    ck_assert_double_eq_tol(ratio, 1.0, 0.02);
}
END_TEST

/* ---- by hand -------------------------------------------------------------------------------------------- */

/* K and V of a head outgrow a side: every wave reads its head's again. Q + V (waves + head borders inside a wave). */
static const struct {
    int heads, seqlen, head_dim, block_m, block_n, blocks_per_sm, waves, borders;
} passes[] = {
    {8, 65536, 128, 128, 128, 1, 32, 7}, /* 4,096 blocks, 132 at a time */
    {8, 65536, 128, 128, 64, 2, 16, 7},  /* 264 at a time */
    {8, 32768, 256, 64, 64, 2, 16, 7},
};

START_TEST(test_passes)
{
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, passes[_i].heads, passes[_i].heads, passes[_i].seqlen, passes[_i].seqlen,
                               passes[_i].head_dim, false);
    const tw_tiling t = tiles(passes[_i].block_m, passes[_i].block_n);
    tw_cache_result r = replay(&tw_schedule_flash2, &p, &t, &m,
                               (tw_cache_options){.blocks_per_sm = passes[_i].blocks_per_sm});
    double head = 2.0 * passes[_i].seqlen * passes[_i].head_dim; /* bytes of K, of V, of Q */
    double by_hand = head * passes[_i].heads + 2.0 * head * (passes[_i].waves + passes[_i].borders);
    double ratio = (double)r.total.traffic.hbm_read_bytes / by_hand;
    ck_assert_msg(fabs(ratio - 1.0) < 0.015, "%.1f MB, by hand %.1f",
                  (double)r.total.traffic.hbm_read_bytes / 1e6, by_hand / 1e6);
}
END_TEST

/* All heads of a wave and the Q and O that pass meanwhile fit into a side: nothing is read twice. */
START_TEST(test_all_fits)
{
    static const struct {
        int batch, heads, seqlen, head_dim;
    } fitting[] = {{16, 16, 1024, 128}, {4, 16, 4096, 128}, {32, 32, 512, 64}, {2, 32, 8192, 64}};
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(fitting[_i].batch, fitting[_i].heads, fitting[_i].heads, fitting[_i].seqlen,
                               fitting[_i].seqlen, fitting[_i].head_dim, false);
    const tw_tiling t = tiles(128, 128);
    tw_cache_result r = replay(&tw_schedule_flash2, &p, &t, &m, (tw_cache_options){.blocks_per_sm = 1});
    double compulsory = 3.0 * 2.0 * fitting[_i].seqlen * fitting[_i].head_dim * fitting[_i].heads *
                        fitting[_i].batch;
    ck_assert_double_eq_tol((double)r.total.traffic.hbm_read_bytes / compulsory, 1.0, 0.005);
}
END_TEST

/* What a start means. Here everything fits, so a warm start reads nothing and a flushed one reads between launches. */
START_TEST(test_starts)
{
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, 2, 2, 1024, 1024, 64, false);
    const tw_tiling t = tiles(128, 128);
    const tw_schedule *s = &tw_schedule_standard_tiled;
    tw_count_result counted;
    ck_assert_int_eq(tw_count(&counted, s, &p, &t, &m), TW_OK);
    tw_cache_result cold = replay(s, &p, &t, &m, (tw_cache_options){.start = TW_L2_COLD});
    tw_cache_result warm = replay(s, &p, &t, &m, (tw_cache_options){.start = TW_L2_WARM});
    tw_cache_result flushed = replay(s, &p, &t, &m, (tw_cache_options){.start = TW_L2_FLUSHED});
    ck_assert_int_eq(cold.total.traffic.hbm_read_bytes, 3 * 2 * 1024 * 64 * 2); /* Q, K and V */
    ck_assert_int_eq(warm.total.traffic.hbm_read_bytes, 0);
    ck_assert_int_eq(flushed.total.traffic.hbm_read_bytes, counted.total.hbm_read_bytes); /* and S and P */
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(flushed.launch[i].traffic.hbm_read_bytes, counted.launch[i].hbm_read_bytes);
}
END_TEST

/* The same where the L2 is in one piece: nothing crosses it, and what a profiler leaves dirty is written in the end. */
START_TEST(test_one_side)
{
    tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, 8, 8, 8192, 8192, 128, false);
    const tw_tiling t = tiles(128, 128);
    m.l2_sides = 1;
    m.l2_side_bytes = 10485760;
    tw_cache_result cold = replay(&tw_schedule_flash2, &p, &t, &m, (tw_cache_options){.start = TW_L2_COLD});
    tw_cache_result flushed = replay(&tw_schedule_flash2, &p, &t, &m,
                                     (tw_cache_options){.start = TW_L2_FLUSHED});
    ck_assert_int_eq(cold.total.traffic.fabric_bytes, 0);
    ck_assert_int_eq(cold.total.traffic.far_hit_bytes, 0);
    double more = (double)(flushed.total.traffic.hbm_write_bytes - cold.total.traffic.hbm_write_bytes);
    ck_assert_double_eq_tol(more, m.profiler_dirty_bytes, 1e6);
}
END_TEST

/* What a larger cache cannot do: read more. And one with room for everything reads what must be read. */
START_TEST(test_size_helps)
{
    tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, 8, 8, 16384, 16384, 128, true);
    tw_tiling t = tiles(128, 128);
    int64_t before = INT64_MAX;
    t.kv_order = TW_KV_BACKWARD;
    for (double mib = 2; mib <= 128; mib *= 4) {
        m.l2_side_bytes = mib * 1048576;
        m.l2_dirty_bytes = 0;
        tw_cache_result r = replay(&tw_schedule_flash2, &p, &t, &m, (tw_cache_options){.blocks_per_sm = 1});
        ck_assert_int_le(r.total.traffic.hbm_read_bytes, before);
        before = r.total.traffic.hbm_read_bytes;
    }
    ck_assert_int_eq(before, INT64_C(3) * 8 * 16384 * 128 * 2);
}
END_TEST

/* The effect of order alone, on one causal problem at 64k. */
START_TEST(test_order_effect)
{
    const tw_machine m = tw_machine_named("h100");
    const tw_problem p = shape(1, 4, 4, 65536, 65536, 128, true);
    tw_tiling good = tiles(128, 128), bad = good;
    good.order = TW_ORDER_REVERSED;
    bad.order = TW_ORDER_HEAD_MAJOR;
    tw_cache_result few = replay(&tw_schedule_flash2, &p, &good, &m, (tw_cache_options){.blocks_per_sm = 1});
    tw_cache_result many = replay(&tw_schedule_flash2, &p, &bad, &m, (tw_cache_options){.blocks_per_sm = 1});
    ck_assert_int_gt(many.total.traffic.hbm_read_bytes, 5 * few.total.traffic.hbm_read_bytes);
    ck_assert_int_eq(many.total.traffic.read_request_bytes, few.total.traffic.read_request_bytes);
}
END_TEST

/* ---- against counters ------------------------------------------------------------------------------------ */

/* The errors of HBM reads and writes of a file's rows. */
typedef struct errors {
    int num_reads, num_writes;
    double reads[1000], writes[1000];
    const char *kernels[1000];
} errors;

/* Is a row's replay quick enough? Four units a tile; standard attention reads and writes S and P besides. */
static bool is_quick(const tw_measured *row, double most_units)
{
    const tw_problem *p = &row->c.problem;
    double tiles = ceil((double)p->seqlen_q / row->c.tiling.block_m) *
                   ceil((double)p->seqlen_k / row->c.tiling.block_n);
    double units = 4.0 * tiles * p->num_heads * p->batch * (p->causal ? 0.5 : 1.0) + 1.0;
    return units * (tw_is_baseline(row->c.schedule) ? 10 : 1) < most_units && row->hbm_read_bytes > 10e6;
}

/* The mean of some seeds: where a working set comes near to what fits, chance moves the result by several percent. */
static void replay_file(errors *e, tw_measured_list *list, const char *path, const tw_machine *m,
                        size_t seeds, double most_units)
{
    size_t count = 0;
    ck_assert_msg(tw_measured_read(list, path) == TW_OK, "%s", tw_error_message());
    tw_l2_job *jobs = calloc(list->count * seeds, sizeof *jobs);
    for (size_t i = 0; i < list->count; i++)
        for (uint64_t seed = 1; seed <= seeds && is_quick(&list->rows[i], most_units); seed++) {
            jobs[count] = tw_l2_job_of(&list->rows[i], m, (int)i);
            jobs[count++].options.seed = seed;
        }
    ck_assert_int_eq(tw_l2_run_jobs(jobs, count, INFINITY), TW_OK);
    for (size_t i = 0; i < count; i += seeds) {
        const tw_measured *row = &list->rows[jobs[i].index];
        double reads = 0, writes = 0;
        for (size_t s = 0; s < seeds; s++) {
            ck_assert_msg(jobs[i + s].status == TW_OK, "%s", jobs[i + s].why);
            reads += (double)jobs[i + s].result.total.traffic.hbm_read_bytes / (double)seeds;
            writes += (double)jobs[i + s].result.total.traffic.hbm_write_bytes / (double)seeds;
        }
        e->kernels[e->num_reads] = row->kernel;
        e->reads[e->num_reads++] = reads / row->hbm_read_bytes - 1.0;
        if (row->hbm_write_bytes > 10e6)
            e->writes[e->num_writes++] = writes / row->hbm_write_bytes - 1.0;
    }
    free(jobs);
}

static int by_size(const void *a, const void *b)
{
    double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x > y) - (x < y);
}

static double median_size(double *sizes, int count)
{
    ck_assert_int_gt(count, 0);
    qsort(sizes, (size_t)count, sizeof *sizes, by_size);
    return fabs(sizes[count / 2]);
}

static double share_within(const double *found, int count, double limit)
{
    int within = 0;
    for (int i = 0; i < count; i++)
        within += fabs(found[i]) <= limit;
    return (double)within / count;
}

/* The kernels of this repository, as counted on an H100 before the model was written. */
START_TEST(test_recorded_counters)
{
    static errors e;
    tw_measured_list list = {.rows = NULL};
    const tw_machine m = tw_machine_named("h100");
    if (access("notebooks_data/h100/counters.csv", F_OK) != 0)
        return;
    replay_file(&e, &list, "notebooks_data/h100/counters.csv", &m, 1, 2.5e6);
    ck_assert_int_gt(e.num_reads, 100);
    ck_assert_msg(share_within(e.reads, e.num_reads, 0.05) >= 0.94, "reads within 5 %%: %g",
                  share_within(e.reads, e.num_reads, 0.05));
    ck_assert_msg(share_within(e.writes, e.num_writes, 0.05) >= 0.9, "writes within 5 %%: %g",
                  share_within(e.writes, e.num_writes, 0.05));
    ck_assert_double_lt(median_size(e.reads, e.num_reads), 0.002);
    ck_assert_double_lt(median_size(e.writes, e.num_writes), 0.01);
    tw_measured_free(&list);
}
END_TEST

/* Library kernels, and kernels that only load and store in orders chosen to show the L2. Spills are not modelled. */
START_TEST(test_recorded_orders)
{
    static errors e;
    tw_measured_list list = {.rows = NULL};
    const tw_machine m = tw_machine_named("h100");
    if (access("notebooks_data/h100/l2_kernels.csv", F_OK) != 0)
        return;
    replay_file(&e, &list, "notebooks_data/h100/l2_kernels.csv", &m, 3, 4.3e6);
    int chosen = 0;
    for (int i = 0; i < e.num_reads; i++) {
        bool own_order = strcmp(e.kernels[i], "dynamic") == 0 || strcmp(e.kernels[i], "two_an_sm") == 0;
        ck_assert_msg(!own_order || fabs(e.reads[i]) < 0.13, "%s: %g", e.kernels[i], e.reads[i]);
        chosen += own_order;
    }
    ck_assert_int_gt(chosen, 4);
    ck_assert_double_lt(median_size(e.reads, e.num_reads), 0.02);
    tw_measured_free(&list);
}
END_TEST

/* Work is what is loaded and stored, by hand: what a replay says how long it takes by. */
START_TEST(test_work_is_loads_and_stores)
{
    tw_machine h100 = tw_machine_named("h100");
    tw_case c = {.schedule = &tw_schedule_flash2, .problem = shape(2, 16, 16, 1024, 2048, 128, false)};
    c.tiling = tiles(128, 128);
    /* a block loads Q, then K and V of 16 tiles, stores O and LSE: 2 · 16 · 8 blocks */
    ck_assert_double_eq(tw_l2_operations(&c, &h100), 256.0 * (1 + 2 * 16 + 2));
    c.problem.causal = true; /* the diagonal is bottom-right: 9 to 16 tiles */
    ck_assert_double_eq(tw_l2_operations(&c, &h100), 32.0 * (8 * 3 + 2 * (9 + 16) * 8 / 2));
    /* rows of 64k keys do not stay on chip: each is loaded twice and stored once, tile by tile */
    c = (tw_case){.schedule = &tw_schedule_standard_tiled,
                  .problem = shape(1, 1, 1, 65536, 65536, 128, false)};
    c.tiling = tiles(128, 128);
    ck_assert_double_gt(tw_l2_operations(&c, &h100), 65536.0 * 512 * 3);
    ck_assert_double_lt(tw_l2_operations(&c, &h100), 65536.0 * 512 * 3 * 1.1);
}
END_TEST

/* ---- limits --------------------------------------------------------------------------------------------- */

START_TEST(test_refused)
{
    tw_machine h100 = tw_machine_named("h100"), paper = tw_machine_named("paper"), tiny = h100;
    const tw_problem p = shape(1, 1, 1, 256, 256, 128, false);
    const tw_tiling t = tiles(128, 128);
    const tw_cache_options plain = {.seed = 1}, negative = {.blocks_per_sm = -1};
    tw_cache_result r = {.num_launches = 77};
    tiny.l2_side_bytes = 1000;
    ck_assert_int_eq(tw_cache(&r, &tw_schedule_flash2, &p, &t, &paper, &plain), TW_EUNSUPPORTED);
    ck_assert_int_eq(tw_cache(&r, &tw_schedule_standard, &p, &t, &h100, &plain), TW_EUNSUPPORTED);
    ck_assert_int_eq(tw_cache(&r, &tw_schedule_flash2, &p, &t, &h100, &negative), TW_EINVAL);
    ck_assert_int_eq(tw_cache(&r, &tw_schedule_flash2, &p, &t, &tiny, &plain), TW_EINVAL);
    tw_tiling bad = t;
    bad.order = TW_NUM_ORDERS;
    ck_assert_int_eq(tw_cache(&r, &tw_schedule_flash2, &p, &bad, &h100, &plain), TW_EINVAL);
    ck_assert_int_eq(r.num_launches, 77);
}
END_TEST

/* A machine without an L2 of its own description is replayed, too, and says so. */
START_TEST(test_uncalibrated)
{
    const tw_problem p = shape(1, 2, 2, 512, 512, 64, false);
    const tw_tiling t = tiles(64, 64);
    const tw_machine t4 = tw_machine_named("t4"), h100 = tw_machine_named("h100");
    ck_assert(!replay(&tw_schedule_flash2, &p, &t, &t4, (tw_cache_options){.seed = 1}).calibrated);
    ck_assert(replay(&tw_schedule_flash2, &p, &t, &h100, (tw_cache_options){.seed = 1}).calibrated);
}
END_TEST

Suite *tw_suite_sim_cache(void)
{
    Suite *s = suite_create("sim_cache");
    TCase *core = tcase_create("core"), *by_hand = tcase_create("by hand"),
          *measured = tcase_create("measured");
    TCase *limits = tcase_create("limits");
    tcase_set_timeout(core, 60);
    tcase_set_timeout(by_hand, 60);
    tcase_set_timeout(measured, 120);
    tcase_add_loop_test(core, test_bytes_are_conserved, 0, NUM_SHAPES);
    tcase_add_loop_test(core, test_requests_are_the_fill, 0, 2);
    tcase_add_test(core, test_seeds);
    tcase_add_test(core, test_starts);
    tcase_add_test(core, test_one_side);
    tcase_add_loop_test(by_hand, test_passes, 0, 3);
    tcase_add_loop_test(by_hand, test_all_fits, 0, 4);
    tcase_add_test(by_hand, test_size_helps);
    tcase_add_test(by_hand, test_order_effect);
    tcase_add_test(measured, test_recorded_counters);
    tcase_add_test(measured, test_recorded_orders);
    tcase_add_test(core, test_work_is_loads_and_stores);
    tcase_add_test(limits, test_refused);
    tcase_add_test(limits, test_uncalibrated);
    suite_add_tcase(s, core);
    suite_add_tcase(s, by_hand);
    suite_add_tcase(s, measured);
    suite_add_tcase(s, limits);
    return s;
}
