/* tilewise io: bytes per level, FLOPs, exponentials and peaks, counted. */
#include "commands.h"
#include "csv.h"
#include "io_table.h"

#include <stdlib.h>
#include <string.h>

static const char summary[] = "counts the bytes that algorithms move, and what they compute";

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "sram_fill_bytes,sram_drain_bytes,hbm_read_bytes,hbm_write_bytes,sram_peak_bytes,register_peak_bytes,"
    "flops,exps,score_flops,head_dim_v,setting";

static void csv_header(const tw_csv *csv, const tw_options *o, const tw_machine *machine, int argc,
                       char **argv)
{
    if (!csv->file)
        return;
    tw_csv_header(csv, "tilewise io", argc, argv);
    if (o->sram_bytes > 0)
        fprintf(csv->file, "# sram: %lld bytes in place of the machine's own\n", (long long)o->sram_bytes);
    if (machine->uncalibrated)
        fprintf(csv->file, "# machine: %s%s, its numbers were looked up and not measured\n", machine->name,
                tw_machine_caveat(machine));
    if (tw_machine_has_l2(machine))
        fprintf(csv->file,
                "# hbm: compulsory, what each launch touches moved once; L2 misses are not modelled yet\n");
    if (o->unit == 1)
        fprintf(csv->file,
                "# unit: CSV columns are bytes, as their names say; --unit elements is for the table\n");
    fprintf(csv->file, "%s\n", columns);
}

static void csv_row(const tw_csv *csv, const tw_counted *counted, const tw_machine *machine)
{
    const tw_problem *p = &counted->c.problem;
    const tw_counts *n = &counted->result.total;
    if (!csv->file)
        return;
    fprintf(csv->file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d", counted->c.schedule->name, machine->name,
            p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim,
            tw_dtype_name(p->dtype), p->causal, counted->c.tiling.block_m, counted->c.tiling.block_n);
    const int64_t values[] = {
        n->sram_fill_bytes, n->sram_drain_bytes,     n->hbm_read_bytes, n->hbm_write_bytes,
        n->sram_peak_bytes, n->register_peak_bytes,  n->flops,          n->exps,
        n->score_flops,     tw_problem_head_dim_v(p)};
    char setting[TW_EXTRAS_NAME];
    tw_extras_name(setting, p);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        fprintf(csv->file, ",%lld", (long long)values[i]);
    fprintf(csv->file, ",\"%s\"\n", setting); /* names of masks have commas */
}

static tw_status count_all(tw_counted *counted, const tw_case *cases, size_t count, const tw_machine *machine)
{
    for (size_t i = 0; i < count; i++) {
        counted[i].c = cases[i];
        TW_TRY(tw_count(&counted[i].result, cases[i].schedule, &cases[i].problem, &cases[i].tiling, machine));
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

/* Everything is counted before the first byte is written, so that a refused case leaves nothing half done. */
static tw_status report(const tw_case *cases, size_t count, const tw_options *o, const tw_machine *machine,
                        int argc, char **argv)
{
    tw_csv csv = {.file = NULL};
    tw_counted *counted = calloc(count, sizeof *counted);
    if (!counted)
        return tw_fail(TW_ENOMEM, "no memory for %zu cases", count);
    tw_status status = count_all(counted, cases, count, machine);
    if (status == TW_OK)
        status = tw_csv_open(&csv, o->csv);
    if (status == TW_OK) {
        csv_header(&csv, o, machine, argc, argv);
        for (size_t i = 0; i < count; i++)
            csv_row(&csv, &counted[i], machine);
        status = tw_csv_commit(&csv);
    }
    if (status == TW_OK && !(o->csv && strcmp(o->csv, "-") == 0))
        status = print_tables(counted, count, machine, o->unit == 1);
    tw_csv_discard(&csv);
    free(counted);
    return status;
}

static tw_status io(const tw_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t count = 0;
    TW_TRY(tw_options_machine(&machine, o));
    TW_TRY(tw_options_cases(&cases, &count, o, &machine));
    tw_status status = report(cases, count, o, &machine, argc, argv);
    tw_cases_free(cases, count);
    return status;
}

int tw_cmd_io(int argc, char **argv)
{
    tw_options options = tw_options_default();
    options.counts_only = true;
    tw_option_set set = tw_options_shared(&options, TW_GROUP_ALL & ~(unsigned)TW_GROUP_SEED);
    bool help;
    tw_status status = tw_options_read(&help, "tilewise io", summary, &set, 1, argc, argv);
    if (status == TW_OK && !help)
        status = io(&options, argc, argv);
    tw_options_free(&set, 1);
    return tw_exit_code(status);
}
