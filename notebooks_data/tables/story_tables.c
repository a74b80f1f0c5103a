/* The tables and figures of docs/theory/ladder.md, from bench.csv and counters.csv. Predictions are made here. */
#include "../../sim/roofline.h"
#include "tables.h"

#include <math.h>
#include <string.h>

static const char machine_name[] = "h100";

/* The grid of notebooks_data/: 16k tokens in all, hidden size 2048, fp16. */
static tw_problem grid_shape(int seqlen, int head_dim)
{
    const int TOKENS = 16384, HIDDEN = 2048;
    return (tw_problem){.batch = TOKENS / seqlen,
                        .num_heads = HIDDEN / head_dim,
                        .num_heads_kv = HIDDEN / head_dim,
                        .seqlen_q = seqlen,
                        .seqlen_k = seqlen,
                        .head_dim = head_dim,
                        .dtype = TW_FP16};
}

/* What was measured and what is counted of one kernel on one shape. */
typedef struct entry {
    tw_measured row;
    tw_count_result count;
    tw_roofline roofline;
    double fill, drain, hbm, hbm_s,
        flops_s; /* counted fill, drain; measured HBM bytes; roofline's times, summed */
} entry;

static bool complete(const tw_measured *row)
{
    return !isnan(row->time_us) && !isnan(row->fill_bytes);
}

/* With the tiles that the kernel uses by itself, or, where those were not measured, with others that were. */
static const tw_measured *find_row(const tw_measured_list *list, const tw_kernel_claim *kernel,
                                   const tw_problem *p)
{
    const tw_tiling own = tw_kernel_tiling(kernel, p->head_dim);
    const tw_measured *row = tw_measured_find(list, kernel->name, p, own.block_m, own.block_n);
    return row != NULL && complete(row) ? row : tw_measured_find(list, kernel->name, p, 0, 0);
}

/* A rung of which no row was recorded on any shape; the tables say so instead of leaving it out. */
static bool never_measured(const tw_measured_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->rows[i].kernel, name) == 0)
            return false;
    return true;
}

static tw_status find_entry(entry *e, const tw_measured_list *list, const char *name, const tw_problem *p)
{
    tw_machine m;
    const tw_kernel_claim *kernel = tw_kernel_find(name);
    const tw_measured *row = kernel != NULL ? find_row(list, kernel, p) : NULL;
    if (row == NULL || !complete(row))
        return tw_fail(TW_EFORMAT, "%s at N = %d, head_dim %d has no time or no counters", name, p->seqlen_k,
                       p->head_dim);
    *e = (entry){.row = *row};
    const tw_tiling *t = &e->row.c.tiling;
    TW_TRY(tw_count_kernel(&e->count, kernel, p, t->block_m, t->block_n, machine_name));
    TW_TRY(tw_machine_find(&m, machine_name));
    TW_TRY(tw_roofline_time(&e->roofline, &e->count, p->dtype, t->unit, &m));
    e->fill = (double)e->count.total.sram_fill_bytes;
    e->drain = (double)e->count.total.sram_drain_bytes;
    e->hbm = e->row.hbm_read_bytes + e->row.hbm_write_bytes;
    e->hbm_s = e->row.hbm_read_bytes / m.hbm_read_bytes_per_s +
               e->row.hbm_write_bytes / m.hbm_write_bytes_per_s;
    for (int i = 0; i < e->roofline.num_launches; i++)
        e->flops_s += e->roofline.launch[i].flops_s;
    return TW_OK;
}

static double tflops_per_s(const entry *e)
{
    return 1e-6 * (double)tw_problem_flops(&e->row.c.problem) / e->row.time_us;
}

/* ---- what each rung gained ------------------------------------------------------------------------------- */

static tw_status write_gains(FILE *out, const tw_measured_list *list)
{
    const tw_problem p = grid_shape(4096, 128);
    const tw_kernel_claim *kernel;
    double above_us = (double)NAN;
    fprintf(out, "\n| rung | time | times as fast as the rung above | TFLOP/s | million SM cycles |\n");
    fprintf(out, "| --- | ---: | ---: | ---: | ---: |\n");
    for (int k = 0; (kernel = tw_kernel_at(k)) != NULL; k++) {
        entry e;
        if (never_measured(list, kernel->name)) {
            fprintf(out, "| `%s` | not measured yet | | | |\n", kernel->name);
            above_us = (double)NAN;
            continue;
        }
        TW_TRY(find_entry(&e, list, kernel->name, &p));
        fprintf(out, "| `%s` | %.2f ms |", kernel->name, 1e-3 * e.row.time_us);
        if (isnan(above_us))
            fprintf(out, " |");
        else
            fprintf(out, " %.2f |", above_us / e.row.time_us);
        fprintf(out, " %.1f | %.2f |\n", tflops_per_s(&e), 1e-6 * e.row.sm_cycles);
        above_us = e.row.time_us;
    }
    fprintf(out, "\n");
    return TW_OK;
}

/* ---- bytes ----------------------------------------------------------------------------------------------- */

static tw_status write_bytes(FILE *out, const tw_measured_list *list)
{
    const tw_problem p = grid_shape(4096, 128);
    const tw_kernel_claim *kernel;
    fprintf(out, "\n| rung | fill, counted | fill | drain, counted | drain | L2 requests | HBM read | HBM "
                 "written |\n");
    fprintf(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for (int k = 0; (kernel = tw_kernel_at(k)) != NULL; k++) {
        entry e;
        if (never_measured(list, kernel->name)) {
            fprintf(out, "| `%s` | not measured yet | | | | | | |\n", kernel->name);
            continue;
        }
        TW_TRY(find_entry(&e, list, kernel->name, &p));
        fprintf(out, "| `%s` | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n", kernel->name,
                1e-9 * e.fill, 1e-9 * e.row.fill_bytes, 1e-9 * e.drain, 1e-9 * e.row.drain_bytes,
                1e-9 * e.row.l2_request_bytes, 1e-9 * e.row.hbm_read_bytes, 1e-9 * e.row.hbm_write_bytes);
    }
    fprintf(out, "\n");
    return TW_OK;
}

/* ---- the trap --------------------------------------------------------------------------------------------- */

static tw_status write_trap(FILE *out, const tw_measured_list *list)
{
    static const int lengths[] = {1024, 4096, 16384};
    static const char *const rungs[] = {"01_standard_cublas", "10_flash1", "20_flash2", "25_mma"};
    fprintf(out, "\n| N | rung | HBM | which takes | products on | which take | roofline | limited by | "
                 "measured |\n");
    fprintf(out, "| ---: | --- | ---: | ---: | --- | ---: | ---: | --- | ---: |\n");
    for (int i = 0; i < 3 * 4; i++) {
        const tw_problem p = grid_shape(lengths[i / 4], 128);
        char length[16];
        entry e;
        TW_TRY(find_entry(&e, list, rungs[i % 4], &p));
        tw_length_name(length, sizeof length, p.seqlen_k);
        fprintf(out, "| %s | `%s` | %.2f GB | %.2f ms | %s | %.2f ms | %.2f ms | %s | %.2f ms |\n", length,
                rungs[i % 4], 1e-9 * e.hbm, 1e3 * e.hbm_s,
                e.row.c.tiling.unit == TW_UNIT_FMA ? "FMA units" : "tensor cores", 1e3 * e.flops_s,
                1e3 * e.roofline.time_s, e.roofline.limit, 1e-3 * e.row.time_us);
    }
    fprintf(out, "\n");
    return TW_OK;
}

/* A figure of the text: one rung over another at N = 4k, head_dim 128. */
static tw_status write_ratio(FILE *out, const tw_measured_list *list, const char *above, const char *below,
                             double (*value)(const entry *e), const char *format)
{
    const tw_problem p = grid_shape(4096, 128);
    entry a, b;
    TW_TRY(find_entry(&a, list, above, &p));
    TW_TRY(find_entry(&b, list, below, &p));
    fprintf(out, format, value(&a) / value(&b));
    return TW_OK;
}

static double time_of(const entry *e)
{
    return e->row.time_us;
}

static double hbm_of(const entry *e)
{
    return e->hbm;
}

static double fill_of(const entry *e)
{
    return e->row.fill_bytes;
}

static tw_status write_trap_slower(FILE *out, const tw_measured_list *list)
{
    return write_ratio(out, list, "20_flash2", "01_standard_cublas", time_of, "%.1f");
}

static tw_status write_trap_bytes(FILE *out, const tw_measured_list *list)
{
    return write_ratio(out, list, "01_standard_cublas", "20_flash2", hbm_of, "%.0f");
}

static tw_status write_escape(FILE *out, const tw_measured_list *list)
{
    return write_ratio(out, list, "20_flash2", "25_mma", time_of, "%.1f");
}

static tw_status write_excess(FILE *out, const tw_measured_list *list)
{
    return write_ratio(out, list, "26_cp_async", "27_swizzle", fill_of, "%.2f");
}

/* How far the two units are apart, by the machine file. */
static tw_status write_units(FILE *out, const tw_measured_list *list)
{
    tw_machine m;
    (void)list;
    TW_TRY(tw_machine_find(&m, machine_name));
    fprintf(out, "%.0f", m.tensor_fp16_flops_per_s / m.fma_flops_per_s);
    return TW_OK;
}

/* ---- what is still lost ------------------------------------------------------------------------------------ */

/* By the data sheet: 989 TFLOP/s of dense fp16 at 1.83 GHz on 132 SMs. */
static const double MMA_FLOPS_PER_CYCLE = 4096.0;
/* By measurement (machine file): ex2.approx, 16 a clock and SM. */
static const double EXPS_PER_CYCLE = 16.0;

static tw_status write_lost(FILE *out, const tw_measured_list *list)
{
    static const char *const rungs[] = {"25_mma", "26_cp_async", "27_swizzle", "30_flash2_mma"};
    static const int head_dims[] = {64, 128};
    tw_machine m;
    TW_TRY(tw_machine_find(&m, machine_name));
    fprintf(out, "\n| head_dim | rung | million SM cycles | products need | of that | exponentials need | of "
                 "that |\n");
    fprintf(out, "| ---: | --- | ---: | ---: | ---: | ---: | ---: |\n");
    for (int i = 0; i < 2 * 4; i++) {
        const tw_problem p = grid_shape(16384, head_dims[i / 4]);
        entry e = {.fill = 0.0};
        TW_TRY(find_entry(&e, list, rungs[i % 4], &p));
        double products = (double)e.count.total.flops_executed / (m.num_sms * MMA_FLOPS_PER_CYCLE);
        double exps = (double)e.count.total.exps / (m.num_sms * EXPS_PER_CYCLE);
        fprintf(out, "| %d | `%s` | %.2f | %.2f | %.0f %% | %.2f | %.0f %% |\n", p.head_dim, rungs[i % 4],
                1e-6 * e.row.sm_cycles, 1e-6 * products, 100.0 * products / e.row.sm_cycles, 1e-6 * exps,
                100.0 * exps / e.row.sm_cycles);
    }
    fprintf(out, "\n");
    return TW_OK;
}

const tw_story_table tw_story_tables[] = {{"gains", write_gains},
                                          {"bytes", write_bytes},
                                          {"trap", write_trap},
                                          {"trap slower", write_trap_slower},
                                          {"trap bytes", write_trap_bytes},
                                          {"units apart", write_units},
                                          {"escape", write_escape},
                                          {"excess", write_excess},
                                          {"lost", write_lost},
                                          {NULL, NULL}};
