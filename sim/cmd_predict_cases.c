/* tilewise predict --cases: what the counters will say of a list of cases, written down before anybody looks. */
#include "backend_count.h"
#include "commands.h"
#include "csv.h"
#include "l2_jobs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is asked for. */
typedef struct predict_options {
    const tw_options *shared;
    const tw_text_list *cases;
    int seeds;
} predict_options;

#define MAX_SEEDS 64

/* One row on its way; bytes are means over its replays. */
typedef struct prediction {
    const tw_measured *row;
    tw_counts counts;
    tw_cache_options launch;
    int workers;
    double request_bytes, fabric_bytes, hit_rate, hbm_read_bytes, hbm_write_bytes;
    double least_read_bytes, most_read_bytes; /* of any seed */
} prediction;

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "kernel,order,kv_order,start,blocks_per_sm,workers,dispatch,predicted_fill_bytes,predicted_drain_bytes,"
    "predicted_l2_request_bytes,predicted_l2_fabric_bytes,predicted_l2_hit_rate,predicted_l2_hbm_read_bytes,"
    "predicted_l2_hbm_write_bytes,predicted_l2_hbm_read_least_bytes,predicted_l2_hbm_read_most_bytes";

/* Every number of the machine that the replay used: a prediction without them could not be made again. */
static void print_l2_numbers(FILE *out, const tw_machine *m)
{
    bool calibrated;
    tw_l2_shape l2 = tw_l2_shape_of(&calibrated, m);
    fprintf(
        out,
        "# l2 of %s%s: %d sides of %lld bytes, victims %d, dirty %lld bytes a side, page %.0f bytes, block "
        "begin %.0f and end %.0f cycles, stagger %.0f cycles, pace %g, drift %g and %g, profiler's dirty "
        "%.0f bytes\n",
        m->name, calibrated ? tw_machine_caveat(m) : " (not calibrated)", l2.sides, (long long)l2.side_bytes,
        l2.victims, (long long)l2.dirty_bytes, m->l2_page_bytes, m->block_begin_cycles, m->block_end_cycles,
        m->start_stagger_cycles, m->tile_pace, m->drift_one_block, m->drift_more_blocks,
        m->profiler_dirty_bytes);
}

static void csv_row(FILE *out, const prediction *p)
{
    static const char *const starts[] = {"cold", "warm", "flushed"};
    static const char *const orders[] = TW_ORDER_NAMES, *const kv_orders[] = TW_KV_ORDER_NAMES;
    const tw_problem *q = &p->row->c.problem;
    const tw_tiling *t = &p->row->c.tiling;
    fprintf(out, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s", p->row->c.schedule->name, p->row->machine,
            q->batch, q->num_heads, q->num_heads_kv, q->seqlen_q, q->seqlen_k, q->head_dim,
            tw_dtype_name(q->dtype), q->causal, t->block_m, t->block_n, p->row->kernel);
    fprintf(out, ",%s,%s,%s,", orders[t->order], kv_orders[t->kv_order], starts[p->row->start]);
    if (p->launch.blocks_per_sm > 0)
        fprintf(out, "%d", p->launch.blocks_per_sm);
    fprintf(out, ",%d,%s,%lld,%lld,%.0f,%.0f,%.6f", p->workers, p->row->static_stride ? "static" : "hardware",
            (long long)p->counts.sram_fill_bytes, (long long)p->counts.sram_drain_bytes, p->request_bytes,
            p->fabric_bytes, p->hit_rate);
    fprintf(out, ",%.0f,%.0f,%.0f,%.0f\n", p->hbm_read_bytes, p->hbm_write_bytes, p->least_read_bytes,
            p->most_read_bytes);
}

static tw_status failed(const tw_measured *row, tw_status status, const char *why)
{
    char line[400];
    snprintf(line, sizeof line, "%.399s", why);
    return tw_fail(status, "%s, line %d: %.350s", row->file, row->line, line);
}

static tw_status count_all(prediction *predictions, tw_l2_job *jobs, const tw_measured_list *list,
                           const predict_options *o, const tw_machine *machine)
{
    for (size_t i = 0; i < list->count; i++) {
        const tw_measured *row = &list->rows[i];
        tw_count_result counted;
        if (strcmp(row->machine, machine->name) != 0)
            return failed(row, TW_EINVAL, "is of another machine than --machine (default: h100) names");
        tw_status status = tw_count(&counted, row->c.schedule, &row->c.problem, &row->c.tiling, machine);
        if (status != TW_OK)
            return failed(row, status, tw_error_message());
        predictions[i] = (prediction){.row = row, .counts = counted.total};
        for (size_t seed = 0; seed < (size_t)o->seeds; seed++) {
            tw_l2_job *job = &jobs[i * (size_t)o->seeds + seed];
            *job = tw_l2_job_of(row, machine, (int)i);
            job->options.seed = o->shared->seed + seed;
        }
    }
    return TW_OK;
}

/* Takes one of `seeds` replays of a row into its means. */
static void add_replay(prediction *p, const tw_l2_job *job, int seeds)
{
    const tw_l2_traffic *t = &job->result.total.traffic;
    double read = (double)t->hbm_read_bytes;
    p->launch = job->options;
    p->workers = job->result.total.workers;
    p->request_bytes += (double)(t->read_request_bytes + t->write_request_bytes) / seeds;
    p->fabric_bytes += (double)t->fabric_bytes / seeds;
    p->hit_rate += tw_cache_hit_rate(t) / seeds;
    p->hbm_read_bytes += read / seeds;
    p->hbm_write_bytes += (double)t->hbm_write_bytes / seeds;
    p->least_read_bytes = p->least_read_bytes > 0 ? fmin(p->least_read_bytes, read) : read;
    p->most_read_bytes = fmax(p->most_read_bytes, read);
}

static tw_status write_all(const prediction *predictions, size_t count, const tw_machine *machine,
                           const char *path, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, path ? path : "-"));
    tw_csv_header(&csv, "tilewise predict", argc, argv);
    print_l2_numbers(csv.file, machine);
    fprintf(csv.file, "%s\n", columns);
    for (size_t i = 0; i < count; i++)
        csv_row(csv.file, &predictions[i]);
    return tw_csv_commit(&csv);
}

static tw_status predict_all(prediction *predictions, tw_l2_job *jobs, const tw_measured_list *list,
                             const predict_options *o, const tw_machine *machine, int argc, char **argv)
{
    size_t count = list->count * (size_t)o->seeds;
    TW_TRY(count_all(predictions, jobs, list, o, machine));
    TW_TRY(tw_l2_run_jobs(jobs, count, INFINITY));
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].status != TW_OK)
            return failed(&list->rows[jobs[i].index], jobs[i].status, jobs[i].why);
        add_replay(&predictions[jobs[i].index], &jobs[i], o->seeds);
    }
    return write_all(predictions, list->count, machine, o->shared->csv, argc, argv);
}

static tw_status predict(const predict_options *o, int argc, char **argv)
{
    tw_measured_list list = {.rows = NULL};
    tw_machine machine;
    tw_status status = tw_options_machine(&machine, o->shared);
    if (status == TW_OK && o->seeds > MAX_SEEDS)
        status = tw_fail(TW_EINVAL, "--seeds is %d, it must be at most %d", o->seeds, MAX_SEEDS);
    if (status == TW_OK && o->cases->count == 0)
        status = tw_fail(TW_EINVAL, "--cases FILE.csv is missing: what is to be predicted");
    if (status == TW_OK && o->shared->csv && strcmp(o->shared->csv, "-") != 0)
        status = tw_check_writable(o->shared->csv);
    for (int i = 0; i < o->cases->count && status == TW_OK; i++)
        status = tw_measured_read_cases(&list, o->cases->values[i]);
    prediction *predictions = calloc(list.count + 1, sizeof *predictions);
    tw_l2_job *jobs = calloc((list.count + 1) * (size_t)o->seeds, sizeof *jobs);
    if (status == TW_OK && (!predictions || !jobs))
        status = tw_fail(TW_ENOMEM, "no memory for %zu predictions", list.count);
    if (status == TW_OK)
        status = predict_all(predictions, jobs, &list, o, &machine, argc, argv);
    free(predictions);
    free(jobs);
    tw_measured_free(&list);
    return status;
}

tw_status tw_predict_cases(const tw_options *shared, const tw_text_list *cases, int seeds, int argc,
                           char **argv)
{
    const predict_options o = {.shared = shared, .cases = cases, .seeds = seeds};
    return predict(&o, argc, argv);
}
