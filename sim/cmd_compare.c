/* tilewise compare: what is predicted for every measured row, set beside it. Predictions are computed here from the
 * row's shape, never stored. */
#include "commands.h"
#include "compare_table.h"
#include "csv.h"
#include "l2_jobs.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char summary[] = "sets predictions beside measurements";

/* Read where --measured names nothing; one of them may be missing. */
static const char *const recorded[] = {"notebooks_data/h100/bench.csv", "notebooks_data/h100/counters.csv"};

/* A measured row is replayed up to this many loads and stores of tiles: half a minute's work. */
#define MOST_OPERATIONS 2.5e8

typedef struct compare_options {
    tw_options shared;
    tw_text_list measured, predicted;
    bool summary, no_l2;
} compare_options;

static const tw_option own[] = {
    {"measured", "FILE.csv", TW_OPTION_TEXTS, offsetof(compare_options, measured), 0,
     "measurements; may be given several times (default: notebooks_data/h100/bench.csv and counters.csv)"},
    {"predicted", "FILE.csv", TW_OPTION_TEXTS, offsetof(compare_options, predicted), 0,
     "predictions of `tilewise predict`, made before; rows that they do not have are predicted now"},
    {"no-l2", NULL, TW_OPTION_FLAG, offsetof(compare_options, no_l2), 0,
     "no replay through the L2: HBM bytes are compulsory ones alone"},
    {"summary", NULL, TW_OPTION_FLAG, offsetof(compare_options, summary), 0,
     "standard beside tiled attention, by sequence length, instead of the errors of each kernel"},
};

/* ---- reading and predicting ----------------------------------------------------------------------------- */

static tw_status read_recorded(tw_measured_list *list)
{
    int found = 0;
    for (int i = 0; i < 2; i++) {
        if (access(recorded[i], F_OK) != 0)
            continue;
        found++;
        TW_TRY(tw_measured_read(list, recorded[i]));
    }
    if (found == 0)
        return tw_fail(
            TW_EIO, "%s: is not there; run this from the top of the repository, or give --measured FILE.csv",
            recorded[0]);
    return TW_OK;
}

static tw_status read_measured(tw_measured_list *list, const compare_options *o)
{
    if (o->measured.count == 0)
        TW_TRY(read_recorded(list));
    for (int i = 0; i < o->measured.count; i++)
        TW_TRY(tw_measured_read(list, o->measured.values[i]));
    size_t measured = list->count;
    for (int i = 0; i < o->predicted.count; i++)
        TW_TRY(tw_measured_read(list, o->predicted.values[i]));
    list->count = measured; /* what was predicted and never measured is nothing to compare */
    return TW_OK;
}

#define MAX_MACHINES 32

/* What is predicted; rows whose tiles do not fit the machine are not among it. */
typedef struct predictions {
    tw_compared *rows;
    size_t count, left_out;
    char uncalibrated[64]; /* name of the first machine that is; "" if all were measured */
    char why[512]; /* of the first row left out: where it is and by how much its tiles are too large */
    tw_machine machines[MAX_MACHINES];
    int num_machines;
} predictions;

static tw_status read_machine(tw_machine *machine, const tw_measured *row, const tw_options *o)
{
    if (o->machine || o->sram_bytes > 0)
        return tw_options_machine(machine, o);
    for (int i = 0; i < tw_machine_count(); i++) {
        if (strcmp(row->machine, tw_machine_name(i)) != 0)
            continue;
        tw_options same = *o;
        same.machine = (char *)row->machine; /* with what --set says */
        return tw_options_machine(machine, &same);
    }
    return tw_fail(TW_EFORMAT,
                   "machine '%s' has no machine file; `tilewise-gpu calibrate --out NAME.ini` makes one, "
                   "for --machine NAME.ini",
                   tw_quote(row->machine).text);
}

/* The machine that a row was measured on, unless the user names another. Each is read once. */
static tw_status machine_of(const tw_machine **machine, predictions *p, const tw_measured *row,
                            const tw_options *o)
{
    bool one_for_all = o->machine || o->sram_bytes > 0;
    for (int i = 0; i < p->num_machines; i++) {
        *machine = &p->machines[i];
        if (one_for_all || strcmp(row->machine, p->machines[i].name) == 0)
            return TW_OK;
    }
    if (p->num_machines == MAX_MACHINES)
        return tw_fail(TW_EFORMAT, "rows of more than %d machines cannot be compared at once", MAX_MACHINES);
    *machine = &p->machines[p->num_machines];
    TW_TRY(read_machine(&p->machines[p->num_machines], row, o));
    p->num_machines++;
    return TW_OK;
}

static tw_status predict_row(tw_compared *row, const tw_machine *machine)
{
    const tw_measured *m = row->measured;
    const tw_case *c = &m->c;
    TW_TRY(tw_count(&row->counts, c->schedule, &c->problem, &c->tiling, machine));
    if (tw_roofline_time(&row->roofline, &row->counts, tw_problem_input_dtype(&c->problem), c->tiling.unit,
                         machine) != TW_OK)
        row->roofline = (tw_roofline){.time_s = NAN, .limit = ""}; /* it predicts bytes alone */
    row->l2_request_bytes = m->predicted_l2_request_bytes;
    row->l2_hbm_read_bytes = m->predicted_l2_hbm_read_bytes;
    row->l2_hbm_write_bytes = m->predicted_l2_hbm_write_bytes;
    row->recorded = isfinite(row->l2_hbm_read_bytes);
    return TW_OK;
}

static tw_status count_rows(predictions *p, const tw_measured_list *list, const tw_options *o)
{
    for (size_t i = 0; i < list->count; i++) {
        tw_compared *row = &p->rows[p->count];
        const tw_machine *machine;
        row->measured = &list->rows[i];
        tw_status status = machine_of(&machine, p, row->measured, o);
        if (status == TW_OK)
            status = predict_row(row, machine);
        if (status == TW_OK) {
            p->count++;
            if (machine->uncalibrated && *p->uncalibrated == '\0')
                memcpy(p->uncalibrated, machine->name, sizeof p->uncalibrated);
            continue;
        }
        char line[512];
        snprintf(line, sizeof line, "%s, line %d: %.350s", list->rows[i].file, list->rows[i].line,
                 tw_error_message());
        if (status != TW_ESRAM)
            return tw_fail(status, "%s", line);
        if (p->left_out++ == 0)
            memcpy(p->why, line, sizeof line);
    }
    return p->count > 0 ? TW_OK : tw_fail(TW_ESRAM, "%s", p->why);
}

/* Is a replay wanted: was anything behind the L2 measured, and not predicted before? */
static bool wants_replay(const tw_compared *row)
{
    const tw_measured *m = row->measured;
    return !row->recorded && (isfinite(m->hbm_read_bytes) || isfinite(m->hbm_write_bytes));
}

static tw_status replay_rows(predictions *p, tw_l2_job *jobs, const tw_options *o)
{
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        const tw_machine *machine = NULL;
        TW_TRY(machine_of(&machine, p, p->rows[i].measured, o));
        if (wants_replay(&p->rows[i]) && tw_machine_has_l2(machine))
            jobs[count++] = tw_l2_job_of(p->rows[i].measured, machine, (int)i);
    }
    TW_TRY(tw_l2_run_jobs(jobs, count, MOST_OPERATIONS));
    for (size_t i = 0; i < count; i++) {
        const tw_l2_traffic *t = &jobs[i].result.total.traffic;
        tw_compared *row = &p->rows[jobs[i].index];
        if (jobs[i].status != TW_OK)
            continue; /* a ledger without tiles, or too much of it: nothing to compare */
        row->l2_request_bytes = (double)(t->read_request_bytes + t->write_request_bytes);
        row->l2_hbm_read_bytes = (double)t->hbm_read_bytes;
        row->l2_hbm_write_bytes = (double)t->hbm_write_bytes;
    }
    return TW_OK;
}

static tw_status predict(predictions *p, const tw_measured_list *list, const compare_options *o)
{
    TW_TRY(count_rows(p, list, &o->shared));
    if (o->no_l2 || o->summary)
        return TW_OK;
    tw_l2_job *jobs = calloc(p->count, sizeof *jobs);
    if (!jobs)
        return tw_fail(TW_ENOMEM, "no memory for %zu replays", p->count);
    tw_status status = replay_rows(p, jobs, &o->shared);
    free(jobs);
    return status;
}

/* "7 of 40 rows are left out, …"; nothing if none is. */
static void note_left_out(FILE *out, const predictions *p, const char *before)
{
    if (p->left_out > 0)
        fprintf(out, "%s%zu of %zu rows left out, their tiles do not fit the machine; the first: %s\n",
                before, p->left_out, p->left_out + p->count, p->why);
}

/* "Machine a100 is uncalibrated: …"; nothing if every machine was measured. */
static void note_uncalibrated(FILE *out, const predictions *p, const char *before)
{
    if (*p->uncalibrated != '\0')
        fprintf(out, "%smachine %s is uncalibrated: its numbers were looked up and not measured\n", before,
                p->uncalibrated);
}

/* ---- CSV ------------------------------------------------------------------------------------------------ */

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "kernel,flops,"
    "predicted_fill_bytes,predicted_drain_bytes,predicted_hbm_read_bytes,predicted_hbm_write_bytes,predicted_"
    "time_us,"
    "predicted_limit,measured_fill_bytes,measured_drain_bytes,measured_l2_request_bytes,measured_hbm_read_"
    "bytes,"
    "measured_hbm_write_bytes,measured_time_us,measured_time_min_us,measured_time_max_us,measured_sm_cycles,"
    "predicted_l2_request_bytes,predicted_l2_hbm_read_bytes,predicted_l2_hbm_write_bytes";

/* A value that is not known is an empty field. */
static void print_value(FILE *out, double value, const char *format)
{
    fputc(',', out);
    if (isfinite(value))
        fprintf(out, format, value);
}

static void csv_row(FILE *out, const tw_compared *row)
{
    const tw_measured *m = row->measured;
    const tw_problem *p = &m->c.problem;
    const tw_counts *n = &row->counts.total;
    fprintf(out, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s,%lld,%lld,%lld,%lld,%lld", m->c.schedule->name,
            m->machine, p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim,
            tw_dtype_name(p->dtype), p->causal, m->c.tiling.block_m, m->c.tiling.block_n, m->kernel,
            (long long)n->flops, (long long)n->sram_fill_bytes, (long long)n->sram_drain_bytes,
            (long long)n->hbm_read_bytes, (long long)n->hbm_write_bytes);
    print_value(out, row->roofline.time_s * 1e6, "%.3f");
    fprintf(out, ",%s", row->roofline.limit);
    const double bytes[] = {m->fill_bytes, m->drain_bytes, m->l2_request_bytes, m->hbm_read_bytes,
                            m->hbm_write_bytes};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
        print_value(out, bytes[i], "%.0f");
    print_value(out, m->time_us, "%.3f");
    print_value(out, m->time_min_us, "%.3f");
    print_value(out, m->time_max_us, "%.3f");
    print_value(out, m->sm_cycles, "%.0f");
    print_value(out, row->l2_request_bytes, "%.0f");
    print_value(out, row->l2_hbm_read_bytes, "%.0f");
    print_value(out, row->l2_hbm_write_bytes, "%.0f");
    fputc('\n', out);
}

static tw_status write_csv(const predictions *p, const char *path, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, path));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise compare", argc, argv);
    fprintf(csv.file,
            "# predicted time: roofline; predicted hbm: compulsory; predicted l2_hbm: behind the L2\n");
    note_left_out(csv.file, p, "# ");
    note_uncalibrated(csv.file, p, "# ");
    fprintf(csv.file, "%s\n", columns);
    for (size_t i = 0; i < p->count; i++)
        csv_row(csv.file, &p->rows[i]);
    return tw_csv_commit(&csv);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static tw_status print(const predictions *p, bool summary_wanted)
{
    TW_TRY((summary_wanted ? tw_compare_print_summary : tw_compare_print_errors)(stdout, p->rows, p->count));
    note_left_out(stdout, p, "\n");
    note_uncalibrated(stdout, p, "\n");
    return TW_OK;
}

static tw_status report(const tw_measured_list *list, const compare_options *o, int argc, char **argv)
{
    const char *csv = o->shared.csv;
    bool alone = csv && strcmp(csv, "-") == 0;
    static predictions p; /* its machines are too much for the stack */
    p = (predictions){.rows = list->count > 0 ? calloc(list->count, sizeof *p.rows) : NULL};
    if (!p.rows)
        return tw_fail(TW_ENOMEM, "no memory for %zu predictions", list->count);
    tw_status status = predict(&p, list, o);
    if (status == TW_OK && !alone && !o->summary && !tw_compare_any_error(p.rows, p.count))
        status = tw_fail(TW_EFORMAT,
                         "%s: no row has a measured value to set beside its prediction: time_us (of a "
                         "machine with rates), "
                         "fill_bytes, drain_bytes, or HBM bytes where over 100 MB are predicted",
                         list->rows[0].file);
    if (status == TW_OK)
        status = write_csv(&p, csv, argc, argv);
    if (status == TW_OK && !alone)
        status = print(&p, o->summary);
    free(p.rows);
    return status;
}

static tw_status compare(const compare_options *o, int argc, char **argv)
{
    tw_measured_list list = {.rows = NULL};
    tw_status status = read_measured(&list, o);
    if (status == TW_OK)
        status = report(&list, o, argc, argv);
    tw_measured_free(&list);
    return status;
}

int tw_cmd_compare(int argc, char **argv)
{
    compare_options o = {.shared = tw_options_default()};
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0},
                            tw_options_shared(&o.shared, TW_GROUP_MACHINE | TW_GROUP_CSV)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise compare", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = compare(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
