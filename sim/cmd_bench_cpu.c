/* tilewise bench-cpu: standard and tiled attention on this CPU, predicted from its machine file and then timed. */
#include "../cpu_ref/attention.h"
#include "../cpu_ref/memory.h"
#include "commands.h"
#include "cpu.h"
#include "cpu_predict.h"
#include "csv.h"
#include "progress.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char summary[] =
    "predicts standard and tiled attention on this CPU from its machine file, then times both";

enum { NUM_KINDS = 2, MAX_ROUNDS = 1000 };
static const char *const kinds[NUM_KINDS] = {"standard", "tiled"};

typedef struct bench_options {
    tw_options shared;
    int rounds;
} bench_options;

static const tw_option own[] = {
    {"rounds", "NUMBER", TW_OPTION_INT, offsetof(bench_options, rounds), 0,
     "how often both are timed, in turn; medians are told (default: 5)"},
};

/* One shape: what was predicted of each kind, and how long it took. */
typedef struct trial {
    tw_problem problem;
    int block_m, block_n;
    tw_cpu_prediction predicted[NUM_KINDS];
    double measured_s[NUM_KINDS];
} trial;

/* ---- measuring ------------------------------------------------------------------------------------------ */

typedef struct tensors {
    float *q, *k, *v, *o;
    void *workspace; /* of standard attention: kept, so that fresh pages are not charged to it */
} tensors;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static tw_status fill(float **x, size_t n, uint64_t stream, uint64_t seed)
{
    double *wide = malloc(n * sizeof *wide);
    *x = malloc(n * sizeof **x);
    if (!wide || !*x) {
        free(wide);
        return tw_fail(TW_ENOMEM, "no memory for %zu numbers", n);
    }
    tw_random_normal(wide, n, seed, stream);
    tw_dtype_convert(*x, TW_FP32, wide, TW_FP64, n);
    free(wide);
    return TW_OK;
}

static void free_tensors(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->o), free(t->workspace);
}

static tw_status make_tensors(tensors *t, const tw_problem *p, uint64_t seed)
{
    size_t bytes = tw_attention_standard_workspace(p);
    TW_TRY(tw_memory_check((double)bytes, "standard attention"));
    t->workspace = aligned_alloc(64, bytes);
    if (!t->workspace)
        return tw_fail(TW_ENOMEM, "no memory for S and P of %zu bytes", bytes);
    TW_TRY(fill(&t->q, tw_problem_q_elements(p), 0, seed));
    TW_TRY(fill(&t->k, tw_problem_k_elements(p), 1, seed));
    TW_TRY(fill(&t->v, tw_problem_v_elements(p), 2, seed));
    return fill(&t->o, tw_problem_o_elements(p), 3, seed);
}

static tw_status run_once(const tensors *t, const trial *x, int kind)
{
    const tw_problem *p = &x->problem;
    return kind == 0 ? tw_attention_standard(t->o, NULL, t->workspace, p, t->q, t->k, t->v)
                     : tw_attention_tiled(t->o, NULL, p, t->q, t->k, t->v, x->block_m, x->block_n);
}

static tw_status time_rounds(trial *x, const tensors *t, int rounds, double *seconds)
{
    for (int kind = 0; kind < NUM_KINDS; kind++)
        TW_TRY(run_once(t, x, kind)); /* pages are there, caches and clock are warm */
    for (int i = 0; i < rounds; i++)
        for (int kind = 0; kind < NUM_KINDS; kind++) {
            double start = now_s();
            TW_TRY(run_once(t, x, kind));
            seconds[kind * rounds + i] = now_s() - start;
        }
    for (int kind = 0; kind < NUM_KINDS; kind++)
        x->measured_s[kind] = tw_median(seconds + (size_t)(kind * rounds), rounds);
    return TW_OK;
}

static tw_status measure(trial *x, const bench_options *o)
{
    tensors t = {.q = NULL};
    double *seconds = calloc((size_t)(NUM_KINDS * o->rounds), sizeof *seconds);
    tw_status status = seconds ? make_tensors(&t, &x->problem, o->shared.seed)
                               : tw_fail(TW_ENOMEM, "no memory for %d times", o->rounds);
    if (status == TW_OK)
        status = time_rounds(x, &t, o->rounds, seconds);
    free_tensors(&t);
    free(seconds);
    return status;
}

/* ---- the machine ---------------------------------------------------------------------------------------- */

static tw_status this_machine(tw_machine *machine, const bench_options *o)
{
    static tw_readings readings;
    tw_cpu cpu;
    tw_cpu_curve curve;
    char date[16];
    if (o->shared.machine)
        return tw_options_machine(machine, &o->shared);
    TW_TRY(tw_cpu_describe(&cpu, ""));
    tw_progress_show(0.1, 1.0, "calibrating this CPU");
    tw_status status = tw_cpu_measure(&readings, &curve, &cpu, NULL);
    tw_progress_clear();
    TW_TRY(status);
    *machine = (tw_machine){.name = "this CPU"};
    tw_today(date);
    return tw_cpu_machine(machine, &cpu, &readings, date);
}

/* ---- output --------------------------------------------------------------------------------------------- */

static tw_status print_table(const trial *all, size_t count, const tw_machine *machine)
{
    static const char *const titles[] = {"seqlen", "algorithm", "products", "softmax",
                                         "memory", "predicted", "measured", "error"};
    static const char *const units[] = {"", "", "ms", "ms", "ms", "ms", "ms", ""};
    const tw_problem *p = &all[0].problem;
    tw_table t = {.num_columns = 0};
    for (int i = 0; i < 8; i++)
        tw_table_column(&t, titles[i], units[i], i == 1);
    printf("%s%s\nfp32 (%s), batch %d, %d heads of %d%s; standard: S and P of all heads in memory; tiled: %d "
           "x %d\n\n",
           machine->description, tw_machine_caveat(machine), tw_attention_tiled_isa(), p->batch, p->num_heads,
           p->head_dim, p->causal ? ", causal" : "", all[0].block_m, all[0].block_n);
    for (size_t i = 0; i < count; i++)
        for (int kind = 0; kind < NUM_KINDS; kind++) {
            const tw_cpu_prediction *x = &all[i].predicted[kind];
            const double values[] = {x->products_s, x->softmax_s, x->memory_s, x->total_s,
                                     all[i].measured_s[kind]};
            char length[16];
            tw_seqlen_name(length, sizeof length, all[i].problem.seqlen_k);
            tw_table_row(&t);
            tw_table_cell(&t, 0, "%s", length);
            tw_table_cell(&t, 1, "%s", kinds[kind]);
            for (int c = 0; c < 5; c++)
                tw_table_number(&t, 2 + c, values[c] * 1e3, 2);
            tw_table_cell(&t, 7, "%+.1f %%", 100 * (x->total_s / all[i].measured_s[kind] - 1));
        }
    TW_TRY(tw_table_print(&t, stdout));
    putchar('\n');
    for (size_t i = 0; i < count; i++) {
        double predicted = all[i].predicted[0].total_s / all[i].predicted[1].total_s;
        double measured = all[i].measured_s[0] / all[i].measured_s[1];
        printf("N = %d: tiled is %.2f times as fast, predicted %.2f (%+.1f %%)\n", all[i].problem.seqlen_k,
               measured, predicted, 100 * (predicted / measured - 1));
    }
    return TW_OK;
}

static tw_status write_csv(const trial *all, size_t count, const bench_options *o, const tw_machine *machine,
                           int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, o->shared.csv));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise bench-cpu", argc, argv);
    fprintf(csv.file,
            "# cpu: %s\nalgorithm,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,causal,block_m,"
            "block_n,predicted_products_us,predicted_softmax_us,predicted_memory_us,predicted_time_us,"
            "time_us\n",
            machine->description);
    for (size_t i = 0; i < count; i++)
        for (int kind = 0; kind < NUM_KINDS; kind++) {
            const tw_problem *p = &all[i].problem;
            const tw_cpu_prediction *x = &all[i].predicted[kind];
            fprintf(csv.file, "%s,%d,%d,%d,%d,%d,%d,%d,%d,%d,%.1f,%.1f,%.1f,%.1f,%.1f\n", kinds[kind],
                    p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim, p->causal,
                    kind ? all[i].block_m : 0, kind ? all[i].block_n : 0, x->products_s * 1e6,
                    x->softmax_s * 1e6, x->memory_s * 1e6, x->total_s * 1e6, all[i].measured_s[kind] * 1e6);
        }
    return tw_csv_commit(&csv);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static tw_status predict(trial *x, const tw_machine *machine)
{
    TW_TRY(tw_cpu_predict_standard(&x->predicted[0], &x->problem, machine));
    return tw_cpu_predict_tiled(&x->predicted[1], &x->problem, x->block_m, x->block_n, machine);
}

static tw_status bench_all(trial *all, size_t count, const bench_options *o, int argc, char **argv)
{
    tw_machine machine;
    TW_TRY(this_machine(&machine, o));
    for (size_t i = 0; i < count; i++)
        TW_TRY(predict(&all[i], &machine));
    for (size_t i = 0; i < count; i++) {
        tw_progress_show((double)i, (double)count, "timing");
        tw_status status = measure(&all[i], o);
        tw_progress_clear();
        TW_TRY(status);
    }
    TW_TRY(write_csv(all, count, o, &machine, argc, argv));
    return o->shared.csv && strcmp(o->shared.csv, "-") == 0 ? TW_OK : print_table(all, count, &machine);
}

static tw_status bench(bench_options *o, int argc, char **argv)
{
    enum { BLOCK_M = 256, BLOCK_N = 128 }; /* what tw_attention_tiled() is fast with */
    tw_machine any;
    tw_case *cases;
    size_t count;
    if (o->rounds > MAX_ROUNDS)
        return tw_fail(TW_EINVAL, "--rounds is %d, it must be at most %d", o->rounds, MAX_ROUNDS);
    int block_m = o->shared.block_m.count > 0 ? o->shared.block_m.values[0] : BLOCK_M;
    int block_n = o->shared.block_n.count > 0 ? o->shared.block_n.values[0] : BLOCK_N;
    o->shared.algorithms = (tw_algorithm_list){.count = 1, .values = {tw_schedule_at(0)}};
    o->shared.block_m.count = o->shared.block_n.count = 0;
    TW_TRY(tw_machine_find(&any, "laptop"));
    TW_TRY(tw_options_cases(&cases, &count, &o->shared, &any));
    trial *all = calloc(count, sizeof *all);
    tw_status status = all ? TW_OK : tw_fail(TW_ENOMEM, "no memory for %zu shapes", count);
    for (size_t i = 0; all && i < count; i++)
        all[i] = (trial){.problem = cases[i].problem, .block_m = block_m, .block_n = block_n};
    free(cases);
    if (status == TW_OK)
        status = bench_all(all, count, o, argc, argv);
    free(all);
    return status;
}

int tw_cmd_bench_cpu(int argc, char **argv)
{
    bench_options o = {.shared = tw_options_default(), .rounds = 5};
    unsigned groups = TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING | TW_GROUP_MACHINE | TW_GROUP_CSV |
                      TW_GROUP_SEED;
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0}, tw_options_shared(&o.shared, groups)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise bench-cpu", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = bench(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
