/* tilewise orders: the same problem in every order of its blocks and keys, ranked by what HBM sees. */
#include "commands.h"
#include "csv.h"
#include "l2_jobs.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] = "ranks the orders in which blocks, and within them K and V, can run";

static const char *const order_names[] = TW_ORDER_NAMES, *const kv_order_names[] = TW_KV_ORDER_NAMES;

enum { NUM_RANKED = (TW_NUM_ORDERS - 1) * TW_NUM_KV_ORDERS }; /* OWN is one of the others */

static int64_t hbm_bytes(const tw_l2_job *job)
{
    const tw_l2_traffic *t = &job->result.total.traffic;
    return t->hbm_read_bytes + t->hbm_write_bytes;
}

/* Fewest bytes first; equal ones as they were listed. */
static int by_hbm(const void *a, const void *b)
{
    const tw_l2_job *x = a, *y = b;
    if (hbm_bytes(x) != hbm_bytes(y))
        return hbm_bytes(x) < hbm_bytes(y) ? -1 : 1;
    int by_order = (int)x->c.tiling.order - (int)y->c.tiling.order;
    return by_order != 0 ? by_order : (int)x->c.tiling.kv_order - (int)y->c.tiling.kv_order;
}

/* ---- output --------------------------------------------------------------------------------------------- */

static void print_title(const tw_case *c, const tw_machine *machine)
{
    const tw_problem *p = &c->problem;
    bool calibrated;
    tw_l2_shape_of(&calibrated, machine);
    printf("%s on %s%s, %s, batch %d, %d heads", c->schedule->name, machine->name, tw_machine_caveat(machine),
           tw_dtype_name(p->dtype), p->batch, p->num_heads);
    if (p->num_heads_kv != p->num_heads)
        printf(" on %d key/value heads", p->num_heads_kv);
    printf(", %d x %d, head_dim %d, %s, tiles %d x %d%s\n\n", p->seqlen_q, p->seqlen_k, p->head_dim,
           p->causal ? "causal" : "no mask", c->tiling.block_m, c->tiling.block_n,
           calibrated ? "" : "; the L2 is not calibrated");
}

static tw_status print_ranking(const tw_l2_job *ranked, const tw_machine *machine)
{
    tw_table t = {.num_columns = 0};
    int64_t compulsory = 0; /* reads of the best order that a cold L2 cannot avoid */
    tw_table_column(&t, "block order", "", true);
    tw_table_column(&t, "K and V", "", true);
    tw_table_column(&t, "HBM read", "MB", false);
    tw_table_column(&t, "HBM write", "MB", false);
    tw_table_column(&t, "reads of the best", "", false);
    tw_table_column(&t, "hit rate", "reads", false);
    for (int i = 0; i < NUM_RANKED; i++) {
        const tw_l2_traffic *x = &ranked[i].result.total.traffic;
        if (i == 0)
            compulsory = x->hbm_read_bytes;
        tw_table_row(&t);
        tw_table_cell(&t, 0, "%s", order_names[ranked[i].c.tiling.order]);
        tw_table_cell(&t, 1, "%s", kv_order_names[ranked[i].c.tiling.kv_order]);
        tw_table_number(&t, 2, (double)x->hbm_read_bytes / 1e6, 1);
        tw_table_number(&t, 3, (double)x->hbm_write_bytes / 1e6, 1);
        tw_table_cell(&t, 4, "%.2fx", (double)x->hbm_read_bytes / fmax(1.0, (double)compulsory));
        tw_table_cell(&t, 5, "%.2f%%", 100.0 * tw_cache_hit_rate(x));
    }
    print_title(&ranked[0].c, machine);
    return tw_table_print(&t, stdout);
}

static const char columns[] =
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,"
    "order,kv_order,rank,hbm_read_bytes,hbm_write_bytes,fabric_bytes";

static tw_status write_csv(const tw_l2_job *ranked, size_t num_cases, const tw_machine *machine,
                           const char *path, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, path));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise orders", argc, argv);
    fprintf(csv.file, "%s\n", columns);
    for (size_t i = 0; i < num_cases * NUM_RANKED; i++) {
        const tw_problem *p = &ranked[i].c.problem;
        const tw_tiling *t = &ranked[i].c.tiling;
        const tw_l2_traffic *x = &ranked[i].result.total.traffic;
        fprintf(csv.file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s,%s,%d,%lld,%lld,%lld\n",
                ranked[i].c.schedule->name, machine->name, p->batch, p->num_heads, p->num_heads_kv,
                p->seqlen_q, p->seqlen_k, p->head_dim, tw_dtype_name(p->dtype), p->causal, t->block_m,
                t->block_n, order_names[t->order], kv_order_names[t->kv_order], (int)(i % NUM_RANKED) + 1,
                (long long)x->hbm_read_bytes, (long long)x->hbm_write_bytes, (long long)x->fabric_bytes);
    }
    return tw_csv_commit(&csv);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static tw_status rank(tw_l2_job *jobs, const tw_case *cases, size_t num_cases, const tw_machine *machine,
                      const tw_options *o, int argc, char **argv)
{
    size_t count = num_cases * NUM_RANKED;
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (tw_l2_job){.c = cases[i / NUM_RANKED], .machine = machine, .options = tw_l2_options(o)};
        jobs[i].c.tiling.order = (tw_order)(TW_ORDER_OWN + 1 + i % NUM_RANKED / TW_NUM_KV_ORDERS);
        jobs[i].c.tiling.kv_order = (tw_kv_order)(i % TW_NUM_KV_ORDERS);
    }
    TW_TRY(tw_l2_run_jobs(jobs, count, INFINITY));
    for (size_t i = 0; i < count; i++)
        if (jobs[i].status != TW_OK)
            return tw_fail(jobs[i].status, "%s", jobs[i].why);
    for (size_t i = 0; i < num_cases; i++)
        qsort(jobs + i * NUM_RANKED, NUM_RANKED, sizeof *jobs, by_hbm);
    TW_TRY(write_csv(jobs, num_cases, machine, o->csv, argc, argv));
    for (size_t i = 0; i < num_cases && !(o->csv && strcmp(o->csv, "-") == 0); i++) {
        if (i > 0)
            putchar('\n');
        TW_TRY(print_ranking(jobs + i * NUM_RANKED, machine));
    }
    return TW_OK;
}

static tw_status orders(tw_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t num_cases = 0;
    if (o->algorithms.count == 0)
        o->algorithms = (tw_algorithm_list){.count = 1, .values = {&tw_schedule_flash2}};
    TW_TRY(tw_options_machine(&machine, o));
    TW_TRY(tw_options_cases(&cases, &num_cases, o, &machine));
    tw_l2_job *jobs = calloc(num_cases * NUM_RANKED, sizeof *jobs);
    tw_status status = jobs ? rank(jobs, cases, num_cases, &machine, o, argc, argv)
                            : tw_fail(TW_ENOMEM, "no memory for %zu replays", num_cases * NUM_RANKED);
    free(jobs);
    free(cases);
    return status;
}

int tw_cmd_orders(int argc, char **argv)
{
    tw_options o = tw_options_default();
    tw_option_set set = tw_options_shared(&o, TW_GROUP_ALL & ~(unsigned)(TW_GROUP_UNIT | TW_GROUP_ORDER));
    bool help;
    tw_status status = tw_options_read(&help, "tilewise orders", summary, &set, 1, argc, argv);
    if (status == TW_OK && !help)
        status = orders(&o, argc, argv);
    tw_options_free(&set, 1);
    return tw_exit_code(status);
}
