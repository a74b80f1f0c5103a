/* tilewise run: executes schedules on real tensors, and compares what comes out with exact attention. */
#include "commands.h"
#include "csv.h"
#include "execution.h"
#include "page_tables.h"
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>

static const char summary[] = "executes algorithms tile by tile and compares the result with exact attention";

typedef struct run_options {
    tw_options shared;
    char *q, *k, *v, *o, *lse, *d_o, *gradient[TW_NUM_GRADIENTS];
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
    {"do", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, d_o), 0,
     "gradient of the output, beside --q, --k and --v, for --pass backward or both"},
    {"dq", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, gradient[TW_GRADIENT_Q]), 0,
     "writes the gradient of the queries; one case only"},
    {"dk", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, gradient[TW_GRADIENT_K]), 0, "of the keys"},
    {"dv", "FILE.npy", TW_OPTION_TEXT, offsetof(run_options, gradient[TW_GRADIENT_V]), 0, "of the values"},
    {"layout", TW_LAYOUT_CHOICES, TW_OPTION_CHOICE, offsetof(run_options, layout), 0,
     "axes of the files: batch, seqlen, heads, head_dim, or heads before seqlen (default: bshd)"},
    {"softmax-scale", "NUMBER", TW_OPTION_POSITIVE, offsetof(run_options, softmax_scale), 0,
     "factor of Q K^T (default: 1 / sqrt(head_dim))"},
    {"exact", NULL, TW_OPTION_FLAG, offsetof(run_options, exact), 0,
     "double precision throughout, instead of rounding as a GPU would"},
};

/* ---- cases ---------------------------------------------------------------------------------------------- */

/* What files gave in place of random numbers. */
typedef struct given_tensors {
    tw_inputs inputs;
    double *d_o;
} given_tensors;

static tw_status write_results(const tw_execution *x, const tw_case *c, const run_options *o)
{
    static const tw_like like[TW_NUM_GRADIENTS] = {TW_LIKE_Q, TW_LIKE_K, TW_LIKE_V};
    tw_layout layout = (tw_layout)o->layout;
    if (o->o)
        TW_TRY(tw_output_write(o->o, x->o, &c->problem, layout));
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        if (o->gradient[g])
            TW_TRY(tw_gradient_write(o->gradient[g], x->gradient[g], &c->problem, like[g], layout));
    return o->lse ? tw_lse_write(o->lse, x->lse, &c->problem) : TW_OK;
}

/* Tensors that no file gave. */
static tw_status make_tensors(given_tensors *made, const given_tensors *given, const tw_case *c,
                              bool backward, uint64_t seed)
{
    if (!given)
        TW_TRY(tw_inputs_random(&made->inputs, &c->problem, seed));
    return backward && !(given && given->d_o) ? tw_gradient_random(&made->d_o, &c->problem, seed) : TW_OK;
}

static tw_status run_case(tw_execution *x, const tw_case *c, const given_tensors *given,
                          const tw_machine *machine, const run_options *o)
{
    given_tensors made = {.d_o = NULL};
    const tw_execution_options options = {
        .exact = o->exact, .inputs_there = given != NULL, .seed = o->shared.seed};
    tw_status status = tw_execution_begin(x, c, machine, &options); /* first: it may refuse */
    if (status == TW_OK)
        status = make_tensors(&made, given, c, x->backward.schedule != NULL, o->shared.seed);
    if (status == TW_OK)
        status = tw_execution_run(x, c, machine, given ? &given->inputs : &made.inputs,
                                  made.d_o ? made.d_o
                                  : given  ? given->d_o
                                           : NULL,
                                  &options);
    if (status == TW_OK)
        status = write_results(x, c, o);
    tw_inputs_free(&made.inputs);
    free(made.d_o);
    return status;
}

/* How much of the last case was compared. */
typedef struct compared {
    bool forward, backward;
    tw_row_sample rows;
    int64_t heads, of_heads;
} compared;

static void note_compared(compared *all, const tw_execution *x)
{
    if (x->forward.judged)
        all->forward = true, all->rows = x->verdict.sample;
    if (x->backward.judged) {
        all->backward = true;
        all->heads = x->gradients.heads, all->of_heads = x->gradients.of_heads;
    }
}

static void print_notes(const tw_case *c, const compared *all, const run_options *o)
{
    char rows[TW_CELL_BYTES], total[TW_CELL_BYTES];
    const char *format = o->exact ? "fp64" : tw_dtype_name(c->problem.dtype);
    tw_format_number(rows, (double)all->rows.count, 0);
    tw_format_number(total, (double)all->rows.total, 0);
    if (all->forward)
        printf(
            "\nErrors are against attention in double precision, on %s of %s rows (the last case). Allowed: "
            "twice the "
            "error of\nstandard attention in %s, plus FlashAttention's atol.\n",
            rows, total, format);
    if (all->backward)
        printf(
            "\nErrors of gradients are against those in double precision, on %lld of %lld K/V heads and the "
            "query heads that\nread them (the last case). Allowed: twice the error of a plain backward pass "
            "in %s, plus FlashAttention's atol.\n",
            (long long)all->heads, (long long)all->of_heads, format);
}

static void print_head(const tw_case *c, const tw_machine *machine, const run_options *o)
{
    const tw_problem *p = &c->problem;
    char setting[TW_EXTRAS_NAME];
    tw_extras_name(setting, p);
    printf("Executed tile by tile on %s%s: %s, batch %d, %d heads on %d, head_dim %d, %s, %s\n\n",
           machine->name, tw_machine_caveat(machine), tw_dtype_name(p->dtype), p->batch, p->num_heads,
           p->num_heads_kv, p->head_dim, setting, o->exact ? "nothing rounded" : "rounded as a GPU would");
}

/* Forward passes and backward passes have a table each. */
static tw_status print_tables(tw_table *forward, tw_table *backward, const compared *all)
{
    tw_status status = all->forward ? tw_table_print(forward, stdout) : TW_OK;
    if (all->forward && all->backward)
        putchar('\n');
    return all->backward && status == TW_OK ? tw_table_print(backward, stdout) : status;
}

static tw_status run_all(const tw_case *cases, size_t count, const given_tensors *given,
                         const tw_machine *machine, const run_options *o)
{
    tw_table forward = tw_execution_forward_table(), backward = tw_execution_backward_table();
    compared all = {.forward = false};
    bool all_agree = true;
    tw_status status = TW_OK;
    for (size_t i = 0; i < count && status == TW_OK; i++) {
        tw_execution x;
        tw_progress_show((double)i, (double)count, cases[i].schedule->name);
        status = run_case(&x, &cases[i], given, machine, o);
        if (status == TW_OK) {
            tw_execution_add_rows(&forward, &backward, &cases[i], &x);
            note_compared(&all, &x);
            all_agree = all_agree && tw_execution_agrees(&x);
        }
        tw_execution_free(&x);
    }
    tw_progress_clear();
    if (status != TW_OK) {
        free(forward.cells);
        free(backward.cells);
        return status;
    }
    print_head(&cases[0], machine, o);
    TW_TRY(print_tables(&forward, &backward, &all));
    print_notes(&cases[count - 1], &all, o);
    return all_agree ? TW_OK : TW_EMISMATCH;
}

/* A file that an option names. */
typedef struct named_file {
    const char *name, *path;
} named_file;

enum { NUM_INPUTS = 4, NUM_OUTPUTS = 2 + TW_NUM_GRADIENTS };

static void list_outputs(named_file outputs[NUM_OUTPUTS], const run_options *o)
{
    static const char *const names[TW_NUM_GRADIENTS] = {"dq", "dk", "dv"};
    outputs[0] = (named_file){"o", o->o};
    outputs[1] = (named_file){"lse", o->lse};
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        outputs[2 + g] = (named_file){names[g], o->gradient[g]};
}

/* No output may take another's place, nor an input's. */
static tw_status check_paths(const run_options *o)
{
    const named_file inputs[NUM_INPUTS] = {{"q", o->q}, {"k", o->k}, {"v", o->v}, {"do", o->d_o}};
    named_file out[NUM_OUTPUTS];
    list_outputs(out, o);
    for (int i = 0; i < NUM_OUTPUTS; i++) {
        for (int j = 0; j < NUM_INPUTS; j++)
            if (out[i].path && inputs[j].path && tw_same_file(out[i].path, inputs[j].path))
                return tw_fail(TW_EINVAL, "--%s is %s, the file of --%s: it must be another, or that is lost",
                               out[i].name, out[i].path, inputs[j].name);
        for (int j = i + 1; j < NUM_OUTPUTS; j++)
            if (out[i].path && out[j].path && tw_same_file(out[i].path, out[j].path))
                return tw_fail(TW_EINVAL, "--%s and --%s are both %s, they must be two files", out[i].name,
                               out[j].name, out[i].path);
    }
    return TW_OK;
}

/* Gradients come of a backward pass, and O and LSE are shown to be right of a forward pass alone. */
static tw_status check_passes(const tw_case *c, const run_options *o)
{
    bool backward = c->backward || c->schedule->pass == TW_PASS_BACKWARD;
    named_file out[NUM_OUTPUTS];
    list_outputs(out, o);
    for (int i = 2; i < NUM_OUTPUTS && !backward; i++)
        if (out[i].path)
            return tw_fail(TW_EINVAL, "--%s is given, but no backward pass: --pass must be backward or both",
                           out[i].name);
    if (o->d_o && !backward)
        return tw_fail(TW_EINVAL, "--do is given, but no backward pass: --pass must be backward or both");
    for (int i = 0; i < 2; i++)
        if (out[i].path && c->schedule->pass == TW_PASS_BACKWARD)
            return tw_fail(TW_EINVAL, "--%s is of a forward pass: --pass must be forward or both",
                           out[i].name);
    return TW_OK;
}

/* What would fail after the work is asked before it. */
static tw_status check_results(const tw_case *cases, size_t count, const run_options *o)
{
    named_file out[NUM_OUTPUTS];
    list_outputs(out, o);
    for (int i = 0; i < NUM_OUTPUTS; i++)
        if (out[i].path && count > 1)
            return tw_fail(
                TW_EINVAL,
                "--%s takes the result of one case, there are %zu: name one --algorithm and one shape",
                out[i].name, count);
    for (size_t i = 0; i < count; i++)
        TW_TRY(check_passes(&cases[i], o));
    if (o->lse && !cases[0].schedule->writes_lse)
        return tw_fail(TW_EUNSUPPORTED, "--lse: %s writes no LSE, it must be another algorithm",
                       cases[0].schedule->name);
    for (int i = 0; i < NUM_OUTPUTS; i++)
        if (out[i].path)
            TW_TRY(tw_check_writable(out[i].path));
    return TW_OK;
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
static tw_status read_files(given_tensors *given, const run_options *o)
{
    tw_dtype d_o_dtype;
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
        status = tw_inputs_read(&given->inputs, o->q, o->k, o->v, &how);
    if (status == TW_OK && o->d_o)
        status = tw_gradient_read(&given->d_o, &d_o_dtype, o->d_o, &given->inputs.problem, TW_LIKE_O,
                                  how.layout);
    if (status == TW_OK && o->d_o)
        given->inputs.problem.dtype = tw_coarser(given->inputs.problem.dtype, d_o_dtype);
    given->inputs.problem.cu_seqlens_q = given->inputs.problem.cu_seqlens_k =
        NULL; /* the cases read them anew */
    tw_attached_release(lengths);
    return status;
}

/* Puts the files' shape where the options' lists would have been. */
static tw_status read_given(given_tensors *given, tw_options *shape, const run_options *o)
{
    TW_TRY(check_given(o));
    TW_TRY(read_files(given, o));
    const tw_problem *p = &given->inputs.problem;
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

static tw_status run_cases_of(const tw_options *shape, given_tensors *given, const run_options *o)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t count = 0;
    TW_TRY(tw_options_machine(&machine, shape));
    TW_TRY(tw_options_cases(&cases, &count, shape, &machine));
    for (size_t i = 0; i < count; i++)
        cases[i].problem.softmax_scale = o->softmax_scale;
    tw_status status = check_results(cases, count, o);
    if (status == TW_OK && given && count > 0 && cases[0].problem.page_size > 0)
        status = tw_inputs_page(&given->inputs,
                                &cases[0].problem); /* of one shape, all cases have the same */
    if (status == TW_OK)
        status = run_all(cases, count, given, &machine, o);
    tw_cases_free(cases, count);
    return status;
}

static tw_status run(const run_options *o)
{
    given_tensors given = {.d_o = NULL};
    tw_options shape = o->shared;
    bool files = o->q || o->k || o->v || o->d_o;
    TW_TRY(check_paths(o));
    TW_TRY(tw_check_softmax_scale(o->softmax_scale));
    tw_status status = files ? read_given(&given, &shape, o) : TW_OK;
    if (status == TW_OK)
        status = run_cases_of(&shape, files ? &given : NULL, o);
    tw_inputs_free(&given.inputs);
    free(given.d_o);
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
