/* tilewise cache: one problem's loads and stores replayed through the L2, with everything that the replay knows. */
#include "commands.h"
#include "csv.h"
#include "l2_jobs.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] =
    "replays all loads and stores through the L2: hits, kinds of misses, HBM traffic";

typedef struct cache_options {
    tw_options shared;
    bool quick;
} cache_options;

static const tw_option own[] = {
    {"quick", NULL, TW_OPTION_FLAG, offsetof(cache_options, quick), 0,
     "hits and misses alone: neither kinds of misses nor reuse distances, in a third of the time"},
};

/* ---- text ----------------------------------------------------------------------------------------------- */

static void print_l2(const tw_machine *machine)
{
    bool calibrated;
    tw_l2_shape l2 = tw_l2_shape_of(&calibrated, machine);
    printf("L2 of %s%s: %d side%s of %.1f MiB", machine->name, tw_machine_caveat(machine), l2.sides,
           l2.sides == 2 ? "s" : "", (double)l2.side_bytes / 1048576.0);
    if (l2.victims == 0)
        printf(", least recently used out");
    else
        printf(", oldest of %d drawn out", l2.victims);
    if (l2.dirty_bytes > 0)
        printf(", at most %.1f MB dirty", (double)l2.dirty_bytes * l2.sides / 1e6);
    printf("%s\n", calibrated ? "" : "; not calibrated: the machine file has no measured numbers for it");
}

static void print_case(const tw_l2_job *job)
{
    static const char *const starts[] = {"cold", "warm", "flushed"};
    static const char *const orders[] = TW_ORDER_NAMES, *const kv_orders[] = TW_KV_ORDER_NAMES;
    const tw_problem *p = &job->c.problem;
    const tw_tiling *t = &job->c.tiling;
    printf("%s, %s, batch %d, %d heads", job->c.schedule->name, tw_dtype_name(p->dtype), p->batch,
           p->num_heads);
    if (p->num_heads_kv != p->num_heads)
        printf(" on %d key/value heads", p->num_heads_kv);
    printf(", %d x %d, head_dim %d, %s\n", p->seqlen_q, p->seqlen_k, p->head_dim,
           p->causal ? "causal" : "no mask");
    printf("tiles %d x %d, block order %s, K and V %s, L2 %s\n\n", t->block_m, t->block_n, orders[t->order],
           kv_orders[t->kv_order], starts[job->options.start]);
}

static void put_mb(tw_table *t, int column, int64_t bytes)
{
    tw_table_number(t, column, (double)bytes / 1e6, 1);
}

static void add_row(tw_table *t, const char *name, const tw_cache_counts *n, bool analysed)
{
    const tw_l2_traffic *x = &n->traffic;
    int column = 0;
    tw_table_row(t);
    tw_table_cell(t, column++, "%s", name);
    tw_table_number(t, column++, n->workers, 0);
    put_mb(t, column++, x->read_request_bytes);
    put_mb(t, column++, x->near_hit_bytes);
    put_mb(t, column++, x->far_hit_bytes);
    put_mb(t, column++, x->hbm_read_bytes);
    if (analysed) {
        put_mb(t, column++, n->analysis.compulsory_bytes);
        put_mb(t, column++, n->analysis.capacity_bytes);
        put_mb(t, column++, n->analysis.conflict_bytes);
    }
    put_mb(t, column++, x->write_request_bytes);
    put_mb(t, column++, x->hbm_write_bytes);
    put_mb(t, column++, x->fabric_bytes);
    tw_table_cell(t, column, "%.2f%%", 100.0 * tw_cache_hit_rate(x));
}

static void add_columns(tw_table *t, bool analysed)
{
    tw_table_column(t, "launch", "", true);
    tw_table_column(t, "in flight", "blocks", false);
    tw_table_column(t, "read", "MB", false);
    tw_table_column(t, "near hits", "MB", false);
    tw_table_column(t, "far hits", "MB", false);
    tw_table_column(t, "HBM read", "MB", false);
    if (analysed) {
        tw_table_column(t, "compulsory", "MB", false);
        tw_table_column(t, "capacity", "MB", false);
        tw_table_column(t, "conflict", "MB", false);
    }
    tw_table_column(t, "written", "MB", false);
    tw_table_column(t, "HBM write", "MB", false);
    tw_table_column(t, "fabric", "MB", false);
    tw_table_column(t, "hit rate", "reads", false);
}

static tw_status print_counts(const tw_l2_job *job, bool analysed)
{
    tw_table t = {.num_columns = 0};
    const tw_cache_result *r = &job->result;
    add_columns(&t, analysed);
    for (int i = 0; i < r->num_launches; i++)
        add_row(&t, job->c.schedule->launches[i].name, &r->launch[i], analysed);
    if (r->num_launches > 1)
        add_row(&t, "all", &r->total, analysed);
    TW_TRY(tw_table_print(&t, stdout));
    printf("\nAt the end %.1f MB are dirty in the L2: written, and not yet in HBM.\n",
           (double)r->dirty_bytes / 1e6);
    return TW_OK;
}

/* "64 KiB", "2 MiB" */
static void size_name(char *text, size_t size, int64_t bytes)
{
    if (bytes >= 1 << 20)
        snprintf(text, size, "%lld MiB", (long long)(bytes >> 20));
    else
        snprintf(text, size, "%lld KiB", (long long)(bytes >> 10));
}

static void print_bin(const char *name, int64_t bytes, int64_t all)
{
    char bar[41];
    double share = all > 0 ? (double)bytes / (double)all : 0.0;
    int filled = (int)ceil(40.0 * share);
    memset(bar, '#', (size_t)filled);
    bar[filled] = '\0';
    printf("  %-14s %6.2f%%  %s\n", name, 100.0 * share, bar);
}

/* How far apart two touches of the same bytes are, in different bytes touched in between. */
static void print_reuse(const tw_cache_counts *n)
{
    const tw_cache_analysis *a = &n->analysis;
    int64_t all = n->traffic.read_request_bytes + n->traffic.write_request_bytes;
    char name[48], size[24];
    printf(
        "\nReuse distance: different bytes touched since the last touch, share of all bytes requested\n\n");
    print_bin("first touch", a->first_touch_bytes, all);
    for (int i = 0; i < TW_REUSE_BINS; i++) {
        bool last = i == TW_REUSE_BINS - 1;
        size_name(size, sizeof size, (int64_t)TW_REUSE_BIN0_BYTES << (last ? i - 1 : i));
        snprintf(name, sizeof name, "%s %s", last ? "more than" : "to", size);
        if (a->reuse_bytes[i] > 0)
            print_bin(name, a->reuse_bytes[i], all);
    }
}

static tw_status print(const tw_l2_job *jobs, size_t count, const tw_machine *machine, bool analysed)
{
    print_l2(machine);
    for (size_t i = 0; i < count; i++) {
        putchar('\n');
        print_case(&jobs[i]);
        TW_TRY(print_counts(&jobs[i], analysed));
        if (analysed)
            print_reuse(&jobs[i].result.total);
    }
    return TW_OK;
}

/* ---- CSV ------------------------------------------------------------------------------------------------ */

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "order,kv_order,start,launch,l2_bytes,workers,read_request_bytes,write_request_bytes,near_hit_bytes,"
    "far_hit_bytes,hbm_read_bytes,hbm_write_bytes,fabric_bytes,compulsory_bytes,capacity_bytes,"
    "conflict_bytes,first_touch_bytes";

static void csv_header(const tw_csv *csv, const tw_machine *machine, int argc, char **argv)
{
    bool calibrated;
    tw_l2_shape_of(&calibrated, machine);
    tw_csv_header(csv, "tilewise cache", argc, argv);
    if (!calibrated)
        fprintf(csv->file, "# l2: not calibrated, %s has no measured numbers for it\n", machine->name);
    fprintf(csv->file, "%s", columns);
    for (int i = 0; i < TW_REUSE_BINS; i++)
        fprintf(csv->file, i < TW_REUSE_BINS - 1 ? ",reuse_%lldk_bytes" : ",reuse_more_bytes",
                ((long long)TW_REUSE_BIN0_BYTES << i) / 1024);
    fputc('\n', csv->file);
}

static void csv_row(const tw_csv *csv, const tw_l2_job *job, const char *launch, const tw_cache_counts *n)
{
    static const char *const starts[] = {"cold", "warm", "flushed"};
    static const char *const orders[] = TW_ORDER_NAMES, *const kv_orders[] = TW_KV_ORDER_NAMES;
    const tw_problem *p = &job->c.problem;
    const tw_tiling *t = &job->c.tiling;
    const tw_l2_traffic *x = &n->traffic;
    const tw_cache_analysis *a = &n->analysis;
    bool calibrated;
    tw_l2_shape l2 = tw_l2_shape_of(&calibrated, job->machine);
    fprintf(csv->file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s,%s,%s,%s,%lld,%d", job->c.schedule->name,
            job->machine->name, p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k,
            p->head_dim, tw_dtype_name(p->dtype), p->causal, t->block_m, t->block_n, orders[t->order],
            kv_orders[t->kv_order], starts[job->options.start], launch, (long long)(l2.side_bytes * l2.sides),
            n->workers);
    const int64_t values[] = {x->read_request_bytes, x->write_request_bytes, x->near_hit_bytes,
                              x->far_hit_bytes,      x->hbm_read_bytes,      x->hbm_write_bytes,
                              x->fabric_bytes,       a->compulsory_bytes,    a->capacity_bytes,
                              a->conflict_bytes,     a->first_touch_bytes};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        fprintf(csv->file, ",%lld", (long long)values[i]);
    for (int i = 0; i < TW_REUSE_BINS; i++)
        fprintf(csv->file, ",%lld", (long long)a->reuse_bytes[i]);
    fputc('\n', csv->file);
}

static tw_status write_csv(const tw_l2_job *jobs, size_t count, const tw_machine *machine, const char *path,
                           int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, path));
    if (!csv.file)
        return TW_OK;
    csv_header(&csv, machine, argc, argv);
    for (size_t i = 0; i < count; i++) {
        const tw_cache_result *r = &jobs[i].result;
        for (int l = 0; l < r->num_launches; l++)
            csv_row(&csv, &jobs[i], jobs[i].c.schedule->launches[l].name, &r->launch[l]);
        csv_row(&csv, &jobs[i], "all", &r->total);
    }
    return tw_csv_commit(&csv);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static tw_status first_failure(const tw_l2_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i].status != TW_OK)
            return tw_fail(jobs[i].status, "%s", jobs[i].why);
    return TW_OK;
}

static tw_status replay(tw_l2_job *jobs, const tw_case *cases, size_t count, const tw_machine *machine,
                        const cache_options *o, int argc, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (tw_l2_job){.c = cases[i], .machine = machine, .options = tw_l2_options(&o->shared)};
        jobs[i].options.analyse = !o->quick;
    }
    TW_TRY(tw_l2_run_jobs(jobs, count, INFINITY));
    TW_TRY(first_failure(jobs, count));
    TW_TRY(write_csv(jobs, count, machine, o->shared.csv, argc, argv));
    bool csv_alone = o->shared.csv && strcmp(o->shared.csv, "-") == 0;
    return csv_alone ? TW_OK : print(jobs, count, machine, !o->quick);
}

static tw_status cache(cache_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t count = 0;
    if (o->shared.algorithms.count == 0)
        o->shared.algorithms = (tw_algorithm_list){.count = 1, .values = {&tw_schedule_flash2}};
    TW_TRY(tw_options_machine(&machine, &o->shared));
    TW_TRY(tw_options_cases(&cases, &count, &o->shared, &machine));
    tw_l2_job *jobs = calloc(count, sizeof *jobs);
    tw_status status = jobs ? replay(jobs, cases, count, &machine, o, argc, argv)
                            : tw_fail(TW_ENOMEM, "no memory for %zu replays", count);
    free(jobs);
    free(cases);
    return status;
}

int tw_cmd_cache(int argc, char **argv)
{
    cache_options o = {.shared = tw_options_default()};
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0},
                            tw_options_shared(&o.shared, TW_GROUP_ALL & ~(unsigned)TW_GROUP_UNIT)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise cache", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = cache(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
