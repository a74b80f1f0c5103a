/* tilewise io: bytes per level, FLOPs, exponentials and peaks, counted. */
#include "commands.h"
#include "csv.h"
#include "io_table.h"

#include <stdlib.h>
#include <string.h>

static const char summary[] = "counts the bytes that algorithms move, and what they compute";

typedef struct io_options {
    tw_options shared;
    bool no_l2;
} io_options;

static const tw_option own[] = {
    {"no-l2", NULL, TW_OPTION_FLAG, offsetof(io_options, no_l2), 0,
     "count alone: no replay through the L2, and so no predicted HBM bytes"},
};

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "sram_fill_bytes,sram_drain_bytes,hbm_read_bytes,hbm_write_bytes,sram_peak_bytes,register_peak_bytes,"
    "flops,exps,"
    "l2_request_bytes,l2_hit_rate,l2_fabric_bytes,l2_hbm_read_bytes,l2_hbm_write_bytes,"
    "score_flops,head_dim_v,setting,pass,backward_block_m,backward_block_n";

static void warn_uncalibrated(const tw_csv *csv, const tw_machine *machine)
{
    bool calibrated = true;
    if (tw_machine_has_l2(machine))
        tw_l2_shape_of(&calibrated, machine);
    if (!calibrated)
        fprintf(csv->file, "# l2: not calibrated, %s has no measured numbers for it\n", machine->name);
}

/* Why fields of some rows are empty, once. */
static void say_left_out(const tw_csv *csv, const tw_counted *counted, size_t count)
{
    const char *why = NULL;
    size_t left_out = 0;
    for (size_t i = 0; i < count; i++)
        if (counted[i].l2 && counted[i].l2->operations > TW_L2_MOST_OPERATIONS &&
            !counted[i].c.schedule->ignores_sram && !counted[i].c.backward) {
            why = counted[i].l2->why;
            left_out++;
        }
    if (why)
        fprintf(csv->file, "# l2: left out of %zu of %zu rows: %s\n", left_out, count, why);
}

static void csv_comments(const tw_csv *csv, const tw_options *o, const tw_machine *machine, int argc,
                         char **argv)
{
    tw_csv_header(csv, "tilewise io", argc, argv);
    if (o->sram_bytes > 0)
        fprintf(csv->file, "# sram: %lld bytes in place of the machine's own\n", (long long)o->sram_bytes);
    if (machine->uncalibrated)
        fprintf(csv->file, "# machine: %s%s, its numbers were looked up and not measured\n", machine->name,
                tw_machine_caveat(machine));
    if (tw_machine_has_l2(machine))
        fprintf(csv->file, "# hbm: compulsory, what each launch touches moved once; l2_hbm: predicted, what "
                           "the L2 leaves of it all\n");
    warn_uncalibrated(csv, machine);
    if (o->unit == 1)
        fprintf(csv->file,
                "# unit: CSV columns are bytes, as their names say; --unit elements is for the table\n");
}

/* The rest of a row: empty fields where nothing was replayed. */
static void csv_replay(const tw_csv *csv, const tw_l2_job *l2)
{
    if (!l2 || l2->status != TW_OK) {
        fprintf(csv->file, ",,,,,");
        return;
    }
    const tw_l2_traffic *t = &l2->result.total.traffic;
    fprintf(csv->file, ",%lld,%.6f,%lld,%lld,%lld",
            (long long)(t->read_request_bytes + t->write_request_bytes), tw_cache_hit_rate(t),
            (long long)t->fabric_bytes, (long long)t->hbm_read_bytes, (long long)t->hbm_write_bytes);
}

/* Which pass, and where both are counted the tiles of the second. */
static void csv_pass(const tw_csv *csv, const tw_case *c)
{
    if (c->backward)
        fprintf(csv->file, ",both,%d,%d\n", c->backward_tiling.block_m, c->backward_tiling.block_n);
    else
        fprintf(csv->file, ",%s,,\n", c->schedule->pass == TW_PASS_BACKWARD ? "backward" : "forward");
}

static void csv_row(const tw_csv *csv, const tw_counted *counted, const tw_machine *machine)
{
    const tw_problem *p = &counted->c.problem;
    const tw_counts *n = &counted->result.total;
    fprintf(csv->file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d", counted->c.schedule->name, machine->name,
            p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim,
            tw_dtype_name(p->dtype), p->causal, counted->c.tiling.block_m, counted->c.tiling.block_n);
    const int64_t values[] = {
        n->sram_fill_bytes, n->sram_drain_bytes,    n->hbm_read_bytes, n->hbm_write_bytes,
        n->sram_peak_bytes, n->register_peak_bytes, n->flops,          n->exps};
    char setting[TW_EXTRAS_NAME];
    tw_extras_name(setting, p);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        fprintf(csv->file, ",%lld", (long long)values[i]);
    csv_replay(csv, counted->l2);
    fprintf(csv->file, ",%lld,%d,\"%s\"", (long long)n->score_flops, tw_problem_head_dim_v(p),
            setting); /* names of masks have commas */
    csv_pass(csv, &counted->c);
}

static tw_status count_all(tw_counted *counted, const tw_case *cases, size_t count, const tw_machine *machine)
{
    for (size_t i = 0; i < count; i++) {
        counted[i].c = cases[i];
        TW_TRY(tw_case_count(&counted[i].result, &cases[i], machine));
    }
    return TW_OK;
}

/* One table for each run of cases that differ in lengths, algorithm and tiles alone. */
static tw_status print_tables(const tw_counted *counted, size_t count, const tw_machine *machine,
                              bool elements)
{
    for (size_t begin = 0; begin < count;) {
        size_t end = begin + 1;
        while (end < count && tw_same_setting(&counted[begin].c.problem, &counted[end].c.problem))
            end++;
        if (begin > 0)
            putchar('\n');
        TW_TRY(tw_io_table_print(stdout, counted + begin, end - begin, machine, elements));
        begin = end;
    }
    return TW_OK;
}

/* The replays of all cases, on a machine that has an L2; their order is that of the cases. */
static tw_status replay_all(tw_l2_job **jobs, tw_counted *counted, size_t count, const tw_options *o,
                            const tw_machine *machine)
{
    *jobs = calloc(count, sizeof **jobs);
    if (!*jobs)
        return tw_fail(TW_ENOMEM, "no memory for %zu replays", count);
    for (size_t i = 0; i < count; i++) {
        (*jobs)[i] = (tw_l2_job){.c = counted[i].c, .machine = machine, .options = tw_l2_options(o)};
        counted[i].l2 = &(*jobs)[i];
    }
    return tw_l2_run_jobs(*jobs, count, TW_L2_MOST_OPERATIONS);
}

static tw_status write_csv(const tw_counted *counted, size_t count, const tw_options *o,
                           const tw_machine *machine, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, o->csv));
    if (!csv.file)
        return TW_OK;
    csv_comments(&csv, o, machine, argc, argv);
    say_left_out(&csv, counted, count);
    fprintf(csv.file, "%s\n", columns);
    for (size_t i = 0; i < count; i++)
        csv_row(&csv, &counted[i], machine);
    return tw_csv_commit(&csv);
}

/* Everything is counted before the first byte is written, so that a refused case leaves nothing half done. */
static tw_status report(const tw_case *cases, size_t count, const io_options *o, const tw_machine *machine,
                        int argc, char **argv)
{
    tw_l2_job *jobs = NULL;
    tw_counted *counted = calloc(count, sizeof *counted);
    if (!counted)
        return tw_fail(TW_ENOMEM, "no memory for %zu cases", count);
    tw_status status = count_all(counted, cases, count, machine);
    if (status == TW_OK && tw_machine_has_l2(machine) && !o->no_l2)
        status = replay_all(&jobs, counted, count, &o->shared, machine);
    if (status == TW_OK)
        status = write_csv(counted, count, &o->shared, machine, argc, argv);
    if (status == TW_OK && !(o->shared.csv && strcmp(o->shared.csv, "-") == 0))
        status = print_tables(counted, count, machine, o->shared.unit == 1);
    free(jobs);
    free(counted);
    return status;
}

static tw_status io(const io_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t count = 0;
    TW_TRY(tw_options_machine(&machine, &o->shared));
    TW_TRY(tw_options_cases(&cases, &count, &o->shared, &machine));
    tw_status status = report(cases, count, o, &machine, argc, argv);
    tw_cases_free(cases, count);
    return status;
}

int tw_cmd_io(int argc, char **argv)
{
    io_options o = {.shared = tw_options_default()};
    o.shared.counts_only = true;
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0},
                            tw_options_shared(&o.shared, TW_GROUP_ALL & ~(unsigned)TW_GROUP_SEED)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise io", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = io(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
