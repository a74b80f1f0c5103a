/* tilewise predict: bytes, cycles, clock, time, energy and what limits, of kernels and algorithms on shapes. */
#include "commands.h"
#include "contenders.h"
#include "csv.h"
#include "predict_errors.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] = "predicts bytes, cycles, clock, time and energy, and says what limits";

typedef struct predict_options {
    tw_options shared;
    char *kernels, *hit_rate;
    tw_text_list against, cases;
    int seeds;
    bool cold;
} predict_options;

static const tw_option own[] = {
    {"kernel", "A,B", TW_OPTION_TEXT, offsetof(predict_options, kernels), 0,
     "kernels of `tilewise list kernels`, or fa2, fa3, cudnn, flex: libraries' kernels, with tiles inferred"},
    {"l2-hit-rate", "SHARE", TW_OPTION_TEXT, offsetof(predict_options, hit_rate), 0,
     "of K and V, 0 to 1 (default: what a cache that keeps all it has room for would give)"},
    {"cold", NULL, TW_OPTION_FLAG, offsetof(predict_options, cold), 0,
     "nothing is in any cache at the start, as under a profiler (default: launches back to back)"},
    {"against", "FILE.csv", TW_OPTION_TEXTS, offsetof(predict_options, against), 0,
     "measurements: print how far predictions of their rows are off; may be given several times; predictions "
     "that were written before, with --csv, are judged in place of new ones if they are given too"},
    {"cases", "FILE.csv", TW_OPTION_TEXTS, offsetof(predict_options, cases), 0,
     "instead: HBM traffic and L2 requests of these cases, by replay: columns of a file of measurements up "
     "to "
     "kernel, and if you like order, kv_order, start, blocks_per_sm, workers, dispatch; may be repeated"},
    {"seeds", "NUMBER", TW_OPTION_INT, offsetof(predict_options, seeds), 0,
     "with --cases: replays of each case, with seeds from --seed on; the mean is predicted (default: 3)"},
};

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "kernel,"
    "predicted_fill_bytes,predicted_drain_bytes,predicted_hbm_bytes,predicted_sm_cycles,predicted_"
    "cold_"
    "cycles,predicted_clock_mhz,predicted_lasting_clock_mhz,"
    "predicted_time_us,predicted_lasting_time_us,predicted_energy_mj,predicted_power_w,limiter,products_busy,"
    "cuda_cores_busy,smem_busy,"
    "l2_busy,"
    "hbm_busy,outside,num_splits";

/* ---- output --------------------------------------------------------------------------------------------- */

static void csv_row(FILE *out, const tw_contender *c, const tw_machine *machine)
{
    const tw_problem *p = &c->problem;
    const tw_prediction *r = c->result;
    const tw_counts *n = &r->counts.total;
    const tw_pipe_busy *busy = &r->total.busy;
    const char *algorithm = r->schedule->variant_of ? r->schedule->variant_of : r->schedule->name;
    fprintf(out, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s,%lld,%lld,%.0f", algorithm, machine->name, p->batch,
            p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim, tw_dtype_name(p->dtype),
            p->causal, r->build.block_m, r->build.block_n, c->name, (long long)n->sram_fill_bytes,
            (long long)n->sram_drain_bytes, r->hbm_bytes);
    fprintf(out, ",%.0f,%.0f,%.0f,%.0f,%.3f,%.3f,%.4g,%.0f,%s", r->total.cycles, r->cold_cycles,
            r->power.clock_hz / 1e6, r->power.lasting_clock_hz / 1e6, r->power.time_s * 1e6,
            r->power.lasting_time_s * 1e6, r->power.energy_j * 1e3, r->power.power_w, r->limiter);
    const double taken[] = {busy->products, busy->cores, busy->smem, busy->l2, busy->hbm};
    for (int i = 0; i < 5; i++)
        fprintf(out, ",%.3f", fmin(1, taken[i] / r->total.cycles));
    fprintf(out, ",%s,%d\n", r->outside, r->num_splits);
}

static tw_status write_csv(const tw_contenders *list, const predict_options *o, const tw_machine *machine,
                           int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, o->shared.csv));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise predict", argc, argv);
    fprintf(csv.file, "# cycles: of one SM, the busiest, its launches included; %s%s\n",
            o->cold ? "cold caches" : "launches back to back", tw_machine_caveat(machine));
    fprintf(csv.file, "%s\n", columns);
    for (size_t i = 0; i < list->count; i++)
        csv_row(csv.file, &list->all[i], machine);
    return tw_csv_commit(&csv);
}

static void put_case(tw_table *t, const tw_contender *c)
{
    char length[16];
    const tw_prediction *r = c->result;
    const tw_problem *p = &c->problem;
    double tera_flops = (double)r->counts.total.flops / r->power.time_s / 1e12;
    tw_seqlen_name(length, sizeof length, p->seqlen_k);
    tw_table_row(t);
    tw_table_cell(t, 0, "%s", length);
    tw_table_cell(t, 1, "%d", p->head_dim);
    tw_table_cell(t, 2, "%s", c->name);
    tw_table_cell(t, 3, "%d x %d", r->build.block_m, r->build.block_n);
    tw_table_number(t, 4, (double)(r->counts.total.sram_fill_bytes + r->counts.total.sram_drain_bytes) / 1e6,
                    1);
    tw_table_number(t, 5, r->hbm_bytes / 1e6, 1);
    tw_table_number(t, 6, r->total.cycles / 1e3, 1);
    tw_table_number(t, 7, r->power.clock_hz / 1e9, 2);
    tw_table_number(t, 8, r->power.time_s * 1e3, 3);
    tw_table_number(t, 9, r->power.energy_j * 1e3, 1);
    tw_table_number(t, 10, tera_flops, 0);
    tw_table_cell(t, 11, "%s", r->limiter);
    tw_table_cell(t, 12, "%s", *r->outside ? "!" : "");
}

/* Under the table: what "!" means, each reason once. */
static void print_outside(const tw_contenders *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const tw_prediction *r = list->all[i].result;
        bool told = *r->outside == '\0';
        for (size_t j = 0; j < i && !told; j++)
            told = strcmp(list->all[j].result->outside, r->outside) == 0 &&
                   strcmp(list->all[j].name, list->all[i].name) == 0;
        if (!told)
            printf("! %s: outside of what was held against measurements: %s\n", list->all[i].name,
                   r->outside);
    }
}

static tw_status print_table(const tw_contenders *list, const tw_machine *machine)
{
    static const tw_column titles[] = {{"seqlen", "", false},
                                       {"d", "", false},
                                       {"kernel", "", true},
                                       {"tiles", "m x n", false},
                                       {"in + out", "MB", false},
                                       {"HBM", "MB", false},
                                       {"cycles", "k", false},
                                       {"clock", "GHz", false},
                                       {"time", "ms", false},
                                       {"energy", "mJ", false},
                                       {"TFLOP/s", "", false},
                                       {"limited by", "", true},
                                       {"", "", true}};
    const tw_problem *p = &list->all[0].problem;
    tw_table t = {.num_columns = 0};
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        tw_table_column(&t, titles[i].title, titles[i].unit, titles[i].left);
    printf("Prediction for %s (%s)%s\n%s, %s\n\n", machine->name, machine->description,
           tw_machine_caveat(machine), tw_dtype_name(p->dtype), p->causal ? "causal" : "no mask");
    for (size_t i = 0; i < list->count; i++)
        put_case(&t, &list->all[i]);
    TW_TRY(tw_table_print(&t, stdout));
    print_outside(list);
    return TW_OK;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static tw_status read_how(tw_predict_options *how, const predict_options *o)
{
    *how = (tw_predict_options)TW_PREDICT_DEFAULTS;
    how->cold = o->cold;
    if (!o->hit_rate)
        return TW_OK;
    char *end;
    how->kv_hit_rate = strtod(o->hit_rate, &end);
    if (*end != '\0' || !(how->kv_hit_rate >= 0 && how->kv_hit_rate <= 1))
        return tw_fail(TW_EINVAL, "--l2-hit-rate is '%s', it must be a number from 0 to 1",
                       tw_quote(o->hit_rate).text);
    return TW_OK;
}

static tw_status predict_shapes(const predict_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_predict_options how;
    tw_contenders list;
    TW_TRY(tw_options_machine(&machine, &o->shared));
    TW_TRY(read_how(&how, o));
    TW_TRY(tw_contenders_of(&list, o->kernels, &o->shared, &machine));
    tw_status status = tw_contenders_predict(&list, &machine, &how);
    if (status == TW_OK)
        status = write_csv(&list, o, &machine, argc, argv);
    if (status == TW_OK && !(o->shared.csv && strcmp(o->shared.csv, "-") == 0))
        status = print_table(&list, &machine);
    tw_contenders_free(&list);
    return status;
}

static tw_status write_errors(const predict_options *o, const tw_row_error *errors, size_t count, int argc,
                              char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, o->shared.csv));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise predict", argc, argv);
    tw_predict_errors_csv(csv.file, errors, count);
    return tw_csv_commit(&csv);
}

static tw_status compare(const predict_options *o, int argc, char **argv)
{
    tw_measured_list list = {.rows = NULL};
    tw_row_error *errors = NULL;
    tw_status status = TW_OK;
    for (int i = 0; i < o->against.count && status == TW_OK; i++)
        status = tw_measured_read(&list, o->against.values[i]);
    if (status == TW_OK)
        status = tw_predict_errors(&errors, &list);
    if (status == TW_OK)
        status = write_errors(o, errors, list.count, argc, argv);
    if (status == TW_OK && !(o->shared.csv && strcmp(o->shared.csv, "-") == 0))
        status = tw_predict_errors_print(stdout, errors, list.count);
    free(errors);
    tw_measured_free(&list);
    return status;
}

int tw_cmd_predict(int argc, char **argv)
{
    predict_options o = {.shared = tw_options_default(), .seeds = 3};
    unsigned groups = TW_GROUP_ALGORITHM | TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING |
                      TW_GROUP_MACHINE | TW_GROUP_CSV | TW_GROUP_SEED | TW_GROUP_SPLITS | TW_GROUP_PAGES;
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0}, tw_options_shared(&o.shared, groups)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise predict", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = o.cases.count > 0     ? tw_predict_cases(&o.shared, &o.cases, o.seeds, argc, argv)
                 : o.against.count > 0 ? compare(&o, argc, argv)
                                       : predict_shapes(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
