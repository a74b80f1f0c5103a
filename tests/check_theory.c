/* Tables of the theory pages, written anew from the library's functions and compared with what stands there, behind
 * <!-- generated: NAME -->. Where one differs, what it should be is left in $TW_BUILD/generated.txt. */
#include "check_tilewise.h"
#include "support_markdown.h"
#include "support_process.h"

#include "../sim/backend_count.h"
#include "../sim/bounds.h"
#include "../sim/roofline.h"
#include "../sim/schedules/registry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One head, fp16, no mask. */
static tw_problem one_head(int n, int d)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 1,
                        .num_heads_kv = 1,
                        .seqlen_q = n,
                        .seqlen_k = n,
                        .head_dim = d,
                        .dtype = TW_FP16,
                        .softmax_scale = 1};
}

/* Elements in and out of a schedule; block sizes of 0 are its own choice. */
static double elements(const char *name, const tw_problem *p, const tw_machine *machine, tw_tiling *tiling)
{
    const tw_schedule *schedule;
    tw_count_result count;
    tw_tiling own = *tiling;
    ck_assert_int_eq(tw_schedule_find(&schedule, name), TW_OK);
    tw_schedule_default_tiling(schedule, &own, p, machine);
    if (tiling->block_m == 0)
        *tiling = own;
    ck_assert_msg(tw_count(&count, schedule, p, tiling, machine) == TW_OK, "%s", tw_error_message());
    return (double)(count.total.sram_fill_elements + count.total.sram_drain_elements);
}

/* N²d/M, N²d/√M and what flash1 moves, for SRAM below, at and above d². */
static void write_bounds_by_sram(FILE *out)
{
    enum { N = 4096, D = 128 };
    const tw_problem p = one_head(N, D);
    tw_machine machine;
    ck_assert_int_eq(tw_machine_find(&machine, "paper"), TW_OK);
    fprintf(out, "%6s %11s %12s %13s %16s %17s\n", "M", "tiles", "flash1", "N^2 d^2 / M", "N^2 d / sqrt M",
            "flash1 / lesser");
    for (int64_t m = 1024; m <= N * D; m *= m < D * D ? 4 : 2) {
        tw_tiling tiling = {0};
        char tiles[40];
        double sram = (double)m;
        machine.smem_bytes = 2 * sram;
        double moved = elements("flash1", &p, &machine, &tiling);
        snprintf(tiles, sizeof tiles, "%d x %d", tiling.block_m, tiling.block_n);
        fprintf(out, "%6.0f %11s %12.0f %13.0f %16.0f %17.1f\n", sram, tiles, moved,
                tw_bound_dao_elements(N, D, sram), (double)N * N * D / sqrt(sram),
                moved / tw_bound_saha_ye_elements(N, D, sram));
    }
}

static void write_row(FILE *out, const char *what, double value)
{
    fprintf(out, "%-52s %13.0f\n", what, value);
}

/* One head at the border of an SM of an H100, and at that of its L2. */
static void write_bounds_on_h100(FILE *out)
{
    const tw_problem p = one_head(16384, 128);
    double n = p.seqlen_q, d = p.head_dim;
    tw_machine machine;
    tw_tiling flash1 = {0}, flash2 = {.block_m = 128, .block_n = 128};
    ck_assert_int_eq(tw_machine_find(&machine, "h100"), TW_OK);
    double sram = machine.smem_bytes / 2, l2 = machine.l2_bytes / 2;
    double moved_by_flash1 = elements("flash1", &p, &machine, &flash1);
    char what[80];
    write_row(out, "M: shared memory of a block", sram);
    snprintf(what, sizeof what, "flash1, tiles of %d x %d", flash1.block_m, flash1.block_n);
    write_row(out, what, moved_by_flash1);
    write_row(out, "flash2, tiles of 128 x 128", elements("flash2", &p, &machine, &flash2));
    write_row(out, "bound: N^2 d^2 / M", tw_bound_saha_ye_elements(n, d, sram));
    write_row(out, "one product by itself: M (h - 1)",
              tw_bound_hong_kung_elements(sram, n * n * d / pow(2 * sram, 1.5)));
    write_row(out, "M: L2", l2);
    write_row(out, "one head: Q, K and V", 3 * n * d);
    write_row(out, "bound: what must move once, 4Nd + N", tw_bound_compulsory_elements(n, d));
}

/* 16k tokens, 16 heads of 64, rank 256: FLOPs and the roofline's time. */
static void write_linformer(FILE *out)
{
    tw_machine machine;
    ck_assert_int_eq(tw_machine_find(&machine, "h100"), TW_OK);
    const tw_tiling t = {.block_m = 128, .block_n = 128, .unit = TW_UNIT_TENSOR};
    fprintf(out, "             flash2            linformer\n");
    fprintf(out, "    N   GFLOP       us      GFLOP       us\n");
    for (int n = 512; n <= 8192; n *= 2) {
        tw_problem p = one_head(n, 64);
        tw_count_result exact, approximate;
        tw_roofline slow, fast;
        p.batch = 16384 / n, p.num_heads = p.num_heads_kv = 16, p.rank = 256;
        ck_assert_int_eq(tw_count(&exact, &tw_schedule_flash2, &p, &t, &machine), TW_OK);
        ck_assert_int_eq(tw_count(&approximate, &tw_schedule_linformer, &p, &t, &machine), TW_OK);
        ck_assert_int_eq(tw_roofline_time(&slow, &exact, p.dtype, t.unit, &machine), TW_OK);
        ck_assert_int_eq(tw_roofline_time(&fast, &approximate, p.dtype, t.unit, &machine), TW_OK);
        fprintf(out, "%5d  %6.1f  %7.1f     %6.1f  %7.1f\n", n, (double)exact.total.flops / 1e9,
                slow.time_s * 1e6, (double)approximate.total.flops / 1e9, fast.time_s * 1e6);
    }
}

static const struct {
    const char *page, *name;
    void (*write)(FILE *out);
} tables[] = {
    {"docs/theory/bounds.md", "bounds by SRAM", write_bounds_by_sram},
    {"docs/theory/bounds.md", "bounds on h100", write_bounds_on_h100},
    {"docs/theory/family.md", "linformer", write_linformer},
};
enum { NUM_TABLES = sizeof tables / sizeof tables[0] };

START_TEST(test_generated)
{
    char path[600], mark[100], *page = tw_read_text(tables[_i].page);
    snprintf(path, sizeof path, "%s/generated.txt", tw_build_folder());
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    tables[_i].write(out);
    fclose(out);
    snprintf(mark, sizeof mark, "<!-- generated: %s -->\n", tables[_i].name);
    const char *at = strstr(page, mark);
    ck_assert_msg(at != NULL, "%s has no %s", tables[_i].page, mark);
    at += strlen(mark);
    tw_markdown_part block;
    ck_assert(tw_next_block(&block, &at));
    char *is = tw_part_text(&block, false), *should_be = tw_read_text(path);
    ck_assert_str_eq(is, should_be);
    remove(path);
    free(is);
    free(should_be);
    free(page);
}
END_TEST

Suite *tw_suite_theory(void)
{
    Suite *suite = suite_create("theory");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, test_generated, 0, NUM_TABLES);
    suite_add_tcase(suite, core);
    return suite;
}
