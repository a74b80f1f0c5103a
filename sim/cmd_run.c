/* tilewise run: executes schedules on real tensors, and compares what comes out with exact attention. */
#include "backend_count.h"
#include "backend_numeric.h"
#include "commands.h"
#include "csv.h"
#include "progress.h"
#include "table.h"
#include "tensors.h"
#include "verify.h"

#include "../cpu_ref/memory.h"

#include <stdio.h>
#include <stdlib.h>

static const char summary[] = "executes algorithms tile by tile and compares the result with exact attention";

typedef struct run_options {
    tw_options shared;
    char *q, *k, *v, *o, *lse;
    int layout;
    bool exact;
    double softmax_scale;
} run_options;

static const tw_option own[] = {
    {"q", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, q), 0,
     "queries; with --k and --v, instead of random numbers. The shape is theirs"},
    {"k", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, k), 0, "keys"},
    {"v", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, v), 0, "values"},
    {"o", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, o), 0, "writes the output; one case only"},
    {"lse", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, lse), 0,
     "writes the log-sum-exp; one case only"},
    {"layout", TW_LAYOUT_CHOICES, TW_OPTION_CHOICE, offsetof(run_options, layout), 0,
     "axes of the files: batch, seqlen, heads, head_dim, or heads before seqlen (default: bshd)"},
    {"softmax-scale", "NUMBER", TW_OPTION_POSITIVE, offsetof(run_options, softmax_scale), 0,
     "factor of Q K^T (default: 1 / sqrt(head_dim))"},
    {"exact", NULL, TW_OPTION_FLAG, offsetof(run_options, exact), 0,
     "double precision throughout, instead of rounding as a GPU would"},
};

/* One case on its way: what came out, and how it was judged. */
typedef struct execution {
    double *o, *lse;
    tw_numeric_stats stats;
    tw_counts counts;
    tw_verdict verdict;
} execution;

static tw_status check_memory(const tw_case *c, bool inputs_there)
{
    const tw_problem *p = &c->problem;
    double inputs = (double)tw_problem_q_elements(p) + (double)tw_problem_k_elements(p) +
                    (double)tw_problem_v_elements(p);
    double outputs = (double)tw_problem_o_elements(p) + (double)tw_problem_lse_elements(p);
    double bytes = ((inputs_there ? 0.0 : inputs) + outputs) * sizeof(double) +
                   tw_numeric_bytes(c->schedule, p, &c->tiling);
    char what[96];
    snprintf(what, sizeof what, "running %s on %d x %d", c->schedule->name, p->seqlen_q, p->seqlen_k);
    return tw_memory_check(bytes, what);
}

static tw_status execute(execution *x, const tw_case *c, const tw_inputs *in, const tw_machine *machine,
                         const run_options *o)
{
    tw_problem judged = c->problem;
    x->o = malloc(tw_problem_o_elements(&c->problem) * sizeof *x->o);
    x->lse = malloc(tw_problem_lse_elements(&c->problem) * sizeof *x->lse);
    if (!x->o || !x->lse)
        return tw_fail(TW_ENOMEM, "no memory for O and LSE");
    const tw_numeric_options numeric = {.rounding = o->exact ? TW_ROUND_NEVER : TW_ROUND_AS_GPU};
    TW_TRY(tw_numeric_run(x->o, x->lse, &x->stats, c->schedule, &c->problem, &c->tiling, machine, in->q,
                          in->k, in->v, &numeric));
    if (o->exact)
        judged.dtype = TW_FP64;
    tw_claim claim = {.problem = judged, .q = in->q, .k = in->k, .v = in->v, .o = x->o};
    if (c->schedule->writes_lse)
        claim.lse = x->lse;
    claim.lse_dtype = o->exact ? TW_FP64 : TW_FP32;
    tw_variant right = tw_variant_of(&judged);
    tw_row_sample sample = tw_row_sample_for(&judged, o->shared.seed, 0.25);
    TW_TRY(tw_verify(&x->verdict, &claim, &right, &sample));
    return tw_check_exact(&x->verdict, &judged);
}

/* ---- the table ------------------------------------------------------------------------------------------ */

enum {
    COL_SHAPE,
    COL_ALGORITHM,
    COL_TILES,
    COL_MAX,
    COL_ALLOWED,
    COL_RMS,
    COL_RELATIVE,
    COL_LSE,
    COL_EXECUTED,
    COL_COUNTED,
    COL_VERDICT
};

static tw_table new_table(void)
{
    tw_table t = {.num_columns = 0};
    tw_table_column(&t, "queries x keys", "", false);
    tw_table_column(&t, "algorithm", "", true);
    tw_table_column(&t, "tiles", "m x n", false);
    tw_table_column(&t, "max error", "of O", false);
    tw_table_column(&t, "allowed", "", false);
    tw_table_column(&t, "RMS error", "", false);
    tw_table_column(&t, "relative", "", false);
    tw_table_column(&t, "max error", "of LSE", false);
    tw_table_column(&t, "executed", "bytes in + out", false);
    tw_table_column(&t, "counted", "bytes in + out", false);
    tw_table_column(&t, "", "", true);
    return t;
}

static bool bytes_agree(const execution *x)
{
    return x->stats.sram_fill_bytes == x->counts.sram_fill_bytes &&
           x->stats.sram_drain_bytes == x->counts.sram_drain_bytes;
}

static bool agrees(const execution *x)
{
    return x->verdict.o_agrees && x->verdict.lse_agrees && bytes_agree(x);
}

static void add_row(tw_table *t, const tw_case *c, const execution *x)
{
    const tw_verdict *v = &x->verdict;
    tw_table_row(t);
    tw_table_cell(t, COL_SHAPE, "%d x %d", c->problem.seqlen_q, c->problem.seqlen_k);
    tw_table_cell(t, COL_ALGORITHM, "%s", c->schedule->name);
    if (c->schedule->ignores_sram)
        tw_table_cell(t, COL_TILES, "whole");
    else
        tw_table_cell(t, COL_TILES, "%d x %d", c->tiling.block_m, c->tiling.block_n);
    tw_table_cell(t, COL_MAX, "%.2e", v->o.max_abs_error);
    tw_table_cell(t, COL_ALLOWED, "%.2e", 2.0 * v->o_baseline + v->o_atol);
    tw_table_cell(t, COL_RMS, "%.2e", v->o.rms_error);
    tw_table_cell(t, COL_RELATIVE, "%.2e", v->o.relative_error);
    tw_table_cell(t, COL_LSE, c->schedule->writes_lse ? "%.2e" : "-", v->lse.max_abs_error);
    tw_table_number(t, COL_EXECUTED, (double)(x->stats.sram_fill_bytes + x->stats.sram_drain_bytes), 0);
    tw_table_number(t, COL_COUNTED, (double)(x->counts.sram_fill_bytes + x->counts.sram_drain_bytes), 0);
    tw_table_cell(t, COL_VERDICT, "%s",
                  !bytes_agree(x) ? "BYTES DIFFER"
                  : agrees(x)     ? "agrees"
                                  : "DOES NOT AGREE");
}

static void print_notes(const tw_case *c, const tw_verdict *v, const run_options *o)
{
    char rows[TW_CELL_BYTES], total[TW_CELL_BYTES];
    tw_format_number(rows, (double)v->sample.count, 0);
    tw_format_number(total, (double)v->sample.total, 0);
    printf("\nErrors are against attention in double precision, on %s of %s rows (the last case). Allowed: "
           "twice the "
           "error of\nstandard attention in %s, plus FlashAttention's atol.\n",
           rows, total, o->exact ? "fp64" : tw_dtype_name(c->problem.dtype));
}

/* ---- cases ---------------------------------------------------------------------------------------------- */

static tw_status write_results(const execution *x, const tw_case *c, const run_options *o)
{
    if (o->o)
        TW_TRY(tw_output_write(o->o, x->o, &c->problem, (tw_layout)o->layout));
    return o->lse ? tw_lse_write(o->lse, x->lse, &c->problem) : TW_OK;
}

static tw_status run_case(tw_table *table, const tw_case *c, const tw_inputs *given,
                          const tw_machine *machine, const run_options *o, tw_verdict *verdict,
                          bool *all_agree)
{
    execution x = {.o = NULL};
    tw_inputs made = {.q = NULL};
    tw_count_result counted;
    tw_status status = tw_count(&counted, c->schedule, &c->problem, &c->tiling,
                                machine); /* first: it may refuse */
    if (status == TW_OK)
        status = check_memory(c, given != NULL);
    if (status == TW_OK)
        x.counts = counted.total;
    if (status == TW_OK && !given)
        status = tw_inputs_random(&made, &c->problem, o->shared.seed);
    if (status == TW_OK)
        status = execute(&x, c, given ? given : &made, machine, o);
    if (status == TW_OK)
        status = write_results(&x, c, o);
    if (status == TW_OK) {
        add_row(table, c, &x);
        *verdict = x.verdict;
        *all_agree = *all_agree && agrees(&x);
    }
    tw_inputs_free(&made);
    free(x.o);
    free(x.lse);
    return status;
}

static tw_status run_all(const tw_case *cases, size_t count, const tw_inputs *given,
                         const tw_machine *machine, const run_options *o)
{
    tw_table table = new_table();
    tw_verdict last = {.o_agrees = false};
    bool all_agree = true;
    tw_status status = TW_OK;
    for (size_t i = 0; i < count && status == TW_OK; i++) {
        tw_progress_show((double)i, (double)count, cases[i].schedule->name);
        status = run_case(&table, &cases[i], given, machine, o, &last, &all_agree);
    }
    tw_progress_clear();
    if (status != TW_OK) {
        free(table.cells);
        return status;
    }
    const tw_problem *p = &cases[0].problem;
    char setting[TW_EXTRAS_NAME];
    tw_extras_name(setting, p);
    printf("Executed tile by tile on %s%s: %s, batch %d, %d heads on %d, head_dim %d, %s, %s\n\n",
           machine->name, tw_machine_caveat(machine), tw_dtype_name(p->dtype), p->batch, p->num_heads,
           p->num_heads_kv, p->head_dim, setting, o->exact ? "nothing rounded" : "rounded as a GPU would");
    TW_TRY(tw_table_print(&table, stdout));
    print_notes(&cases[count - 1], &last, o);
    return all_agree ? TW_OK : TW_EMISMATCH;
}

/* No output may take another's place, nor an input's. */
static tw_status check_paths(const run_options *o)
{
    const struct {
        const char *name, *path;
    } inputs[] = {{"q", o->q}, {"k", o->k}, {"v", o->v}}, outputs[] = {{"o", o->o}, {"lse", o->lse}};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            if (outputs[i].path && inputs[j].path && tw_same_file(outputs[i].path, inputs[j].path))
                return tw_fail(TW_EINVAL, "--%s is %s, the file of --%s: it must be another, or that is lost",
                               outputs[i].name, outputs[i].path, inputs[j].name);
    if (o->o && o->lse && tw_same_file(o->o, o->lse))
        return tw_fail(TW_EINVAL, "--o and --lse are both %s, they must be two files", o->o);
    return TW_OK;
}

/* What would fail after the work is asked before it. */
static tw_status check_results(const tw_case *cases, size_t count, const run_options *o)
{
    if ((o->o || o->lse) && count > 1)
        return tw_fail(TW_EINVAL,
                       "--%s takes the result of one case, there are %zu: name one --algorithm and one shape",
                       o->o ? "o" : "lse", count);
    if (o->lse && !cases[0].schedule->writes_lse)
        return tw_fail(TW_EUNSUPPORTED, "--lse: %s writes no LSE, it must be another algorithm",
                       cases[0].schedule->name);
    if (o->o)
        TW_TRY(tw_check_writable(o->o));
    return o->lse ? tw_check_writable(o->lse) : TW_OK;
}

/* The shape comes with the files: it must not be said again. */
static tw_status check_given(const run_options *o)
{
    bool v_wanted = !o->shared.extras.latent;
    if (!v_wanted && o->v)
        return tw_fail(TW_EINVAL, "--v is %s, but with --latent V is a part of K: leave it out", o->v);
    if (!o->q || !o->k || (v_wanted && !o->v))
        return tw_fail(TW_EINVAL, "--%s is missing, --q, --k and --v belong together",
                       !o->q   ? "q"
                       : !o->k ? "k"
                               : "v");
    if (tw_options_shape_given(&o->shared))
        return tw_fail(TW_EINVAL,
                       "the shape is that of --q, --k and --v, leave --seqlen, --heads and their like out");
    if (v_wanted && o->shared.extras.head_dim_v > 0)
        return tw_fail(TW_EINVAL, "--head-dim-v is %d, but V has the columns of --v: leave it out",
                       o->shared.extras.head_dim_v);
    if (o->shared.dtype_given)
        return tw_fail(TW_EINVAL, "--dtype is %s, but the type is that of --q, --k and --v: leave it out",
                       tw_dtype_name(o->shared.dtype));
    return TW_OK;
}

/* The lengths of packed sequences must be known before their files can be read. */
static tw_status read_files(tw_inputs *given, const run_options *o)
{
    tw_attached *lengths = calloc(1, sizeof *lengths);
    tw_problem packed = {.batch = 0};
    if (!lengths)
        return tw_fail(TW_ENOMEM, "no memory for the lengths of sequences");
    lengths->users = 1;
    tw_status status = tw_extras_lengths(lengths, &packed, &o->shared.extras);
    const tw_reading how = {.layout = (tw_layout)o->layout,
                            .latent = o->shared.extras.latent,
                            .head_dim_v = o->shared.extras.head_dim_v,
                            .packed = packed.cu_seqlens_q ? &packed : NULL};
    if (status == TW_OK)
        status = tw_inputs_read(given, o->q, o->k, o->v, &how);
    given->problem.cu_seqlens_q = given->problem.cu_seqlens_k = NULL; /* the cases read them anew */
    tw_attached_release(lengths);
    return status;
}

/* Puts the files' shape where the options' lists would have been. */
static tw_status read_given(tw_inputs *given, tw_options *shape, const run_options *o)
{
    TW_TRY(check_given(o));
    TW_TRY(read_files(given, o));
    const tw_problem *p = &given->problem;
    if (p->dtype == TW_FP64 && !o->exact)
        return tw_fail(TW_EUNSUPPORTED,
                       "%s: is float64, which no GPU kernel reads; add --exact, or convert it", o->q);
    bool packed = shape->extras.cu_seqlens || shape->extras.cu_seqlens_q || shape->extras.cu_seqlens_k;
    if (!packed) {
        shape->batch = (tw_int_list){1, {p->batch}};
        shape->seqlen_q = (tw_int_list){1, {p->seqlen_q}};
        shape->seqlen_k = (tw_int_list){1, {p->seqlen_k}};
    }
    shape->extras.head_dim_v = p->head_dim_v;
    shape->heads = (tw_int_list){1, {p->num_heads}};
    shape->heads_kv = (tw_int_list){1, {p->num_heads_kv}};
    shape->head_dim = (tw_int_list){1, {p->head_dim}};
    shape->dtype = p->dtype;
    return TW_OK;
}

static tw_status run_cases_of(const tw_options *shape, const tw_inputs *given, const run_options *o)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t count = 0;
    TW_TRY(tw_options_machine(&machine, shape));
    TW_TRY(tw_options_cases(&cases, &count, shape, &machine));
    for (size_t i = 0; i < count; i++)
        cases[i].problem.softmax_scale = o->softmax_scale;
    tw_status status = check_results(cases, count, o);
    if (status == TW_OK)
        status = run_all(cases, count, given, &machine, o);
    tw_cases_free(cases, count);
    return status;
}

static tw_status run(const run_options *o)
{
    tw_inputs given = {.q = NULL};
    tw_options shape = o->shared;
    bool files = o->q || o->k || o->v;
    TW_TRY(check_paths(o));
    TW_TRY(tw_check_softmax_scale(o->softmax_scale));
    tw_status status = files ? read_given(&given, &shape, o) : TW_OK;
    if (status == TW_OK)
        status = run_cases_of(&shape, files ? &given : NULL, o);
    tw_inputs_free(&given);
    return status;
}

int tw_cmd_run(int argc, char **argv)
{
    run_options o = {.shared = tw_options_default()};
    tw_option_set sets[] = {
        {own, sizeof own / sizeof own[0], &o, 0},
        tw_options_shared(&o.shared, TW_GROUP_ALL & ~(unsigned)(TW_GROUP_UNIT | TW_GROUP_CSV))};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise run", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = run(&o);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
