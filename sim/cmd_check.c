/* tilewise check: somebody's output against exact attention, and which of the usual mistakes it is. */
#include "commands.h"
#include "page_tables.h"
#include "tensors.h"
#include "verdict_text.h"
#include "verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] =
    "compares an attention output, or gradients, in .npy files with exact attention";

typedef struct check_options {
    tw_options shared;
    char *q, *k, *v, *o, *lse, *d_o, *gradient[TW_NUM_GRADIENTS];
    int layout;
    double softmax_scale;
} check_options;

static const tw_option own[] = {
    {"q", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, q), 0, "queries"},
    {"k", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, k), 0,
     "keys; fewer heads than Q are grouped heads"},
    {"v", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, v), 0, "values"},
    {"o", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, o), 0, "the output to be checked"},
    {"lse", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, lse), 0,
     "its log-sum-exp [batch, heads, seqlen_q], natural logarithm"},
    {"do", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, d_o), 0,
     "gradient of the output, for gradients to be checked"},
    {"dq", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, gradient[TW_GRADIENT_Q]), 0,
     "gradient of the queries, to be checked; likewise"},
    {"dk", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, gradient[TW_GRADIENT_K]), 0, "of the keys"},
    {"dv", "FILE.npy", TW_OPTION_TEXT, offsetof(check_options, gradient[TW_GRADIENT_V]), 0, "of the values"},
    {"layout", TW_LAYOUT_CHOICES, TW_OPTION_CHOICE, offsetof(check_options, layout), 0,
     "axes of Q, K, V, O: batch, seqlen, heads, head_dim, or heads before seqlen (default: bshd)"},
    {"softmax-scale", "NUMBER", TW_OPTION_POSITIVE, offsetof(check_options, softmax_scale), 0,
     "factor of Q K^T (default: 1 / sqrt(head_dim))"},
};

/* The shape comes with the files, which say more than some options. */
static tw_status check_extras(const check_options *o)
{
    const tw_extras *x = &o->shared.extras;
    if (x->latent && o->v)
        return tw_fail(TW_EINVAL, "--v is %s, but with --latent V is a part of K: leave it out", o->v);
    if (!x->latent && x->head_dim_v > 0)
        return tw_fail(TW_EINVAL, "--head-dim-v is %d, but V has the columns of --v: leave it out",
                       x->head_dim_v);
    return tw_extras_check(x, o->shared.causal);
}

/* The first gradient that is given; NULL if none is. */
static const char *a_gradient(const check_options *o)
{
    static const char *const names[TW_NUM_GRADIENTS] = {"dq", "dk", "dv"};
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        if (o->gradient[g])
            return names[g];
    return NULL;
}

static tw_status require(const check_options *o)
{
    const char *gradient = a_gradient(o);
    const struct {
        const char *name, *path;
    } needed[] = {{"q", o->q}, {"k", o->k}, {"v", o->v}, {"o", o->o}};
    if (gradient && !o->d_o)
        return tw_fail(TW_EINVAL, "--do is missing, --%s is the gradient of sum(dO * O)", gradient);
    if (o->d_o && !gradient)
        return tw_fail(TW_EINVAL, "--do is given, but no gradient: it must come with --dq, --dk or --dv");
    if (gradient && o->lse && !o->o)
        return tw_fail(TW_EINVAL, "--lse is given without --o, they are checked together");
    for (int i = 0; i < 4; i++)
        if (!needed[i].path && !(i == 2 && o->shared.extras.latent) && !(i == 3 && gradient))
            return tw_fail(TW_EINVAL, "--%s is missing, check needs --q, --k, --v and --o, each a .npy file",
                           needed[i].name);
    return check_extras(o);
}

/* Exact attention of a number that is not finite says nothing. */
static tw_status check_finite(const double *x, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return tw_fail(TW_EFORMAT, "%s: number %zu is %g, Q, K, V and dO must be finite", path, i, x[i]);
    return TW_OK;
}

/* Everything that is read; freed by its owner, whatever could be read of it. */
typedef struct files {
    tw_inputs inputs;
    double *o, *lse, *d_o, *gradient[TW_NUM_GRADIENTS];
    tw_dtype lse_dtype;
    tw_attached *attached; /* what masks, biases and offsets are */
    bool o_swapped;        /* O has heads and sequence the other way round than Q, and was read that way */
    char refusal[400];     /* what is said if it does not agree even so */
} files;

/* O in Q's layout; failing that, in the other one: whether that explains it is seen later. */
static tw_status read_output(files *f, tw_dtype *dtype, const char *path, tw_layout layout)
{
    const tw_problem *p = &f->inputs.problem;
    tw_layout other = layout == TW_LAYOUT_BSHD ? TW_LAYOUT_BHSD : TW_LAYOUT_BSHD;
    tw_status status = tw_output_read(&f->o, dtype, path, p, layout);
    if (status != TW_EFORMAT)
        return status;
    snprintf(f->refusal, sizeof f->refusal, "%.300s", tw_error_message());
    f->o_swapped = tw_output_read(&f->o, dtype, path, p, other) == TW_OK;
    if (!f->o_swapped)
        return tw_fail(status, "%s", f->refusal);
    size_t used = strlen(f->refusal);
    snprintf(f->refusal + used, sizeof f->refusal - used, "; it is in the order of --layout %s, Q is not",
             tw_layout_name(other));
    return TW_OK;
}

/* Q, K and V; the lengths of packed sequences must be known before. */
static tw_status read_inputs(files *f, const check_options *o)
{
    const tw_extras *x = &o->shared.extras;
    tw_problem packed = {.batch = 0};
    f->attached = calloc(1, sizeof *f->attached);
    if (!f->attached)
        return tw_fail(TW_ENOMEM, "no memory for the lengths of sequences");
    f->attached->users = 1;
    TW_TRY(tw_extras_lengths(f->attached, &packed, x));
    const tw_reading how = {.layout = (tw_layout)o->layout,
                            .latent = x->latent,
                            .head_dim_v = x->head_dim_v,
                            .packed = packed.cu_seqlens_q ? &packed : NULL};
    TW_TRY(tw_inputs_read(&f->inputs, o->q, o->k, o->v, &how));
    const tw_problem *p = &f->inputs.problem;
    TW_TRY(check_finite(f->inputs.q, tw_problem_q_elements(p), o->q));
    TW_TRY(check_finite(f->inputs.k, tw_problem_k_elements(p), o->k));
    return x->latent ? TW_OK : check_finite(f->inputs.v, tw_problem_v_elements(p), o->v);
}

/* dO and what is said to be the gradients; the coarsest of their types is forgiven. */
static tw_status read_gradients(files *f, const check_options *o, tw_dtype *dtype)
{
    static const tw_like like[TW_NUM_GRADIENTS] = {TW_LIKE_Q, TW_LIKE_K, TW_LIKE_V};
    const tw_problem *p = &f->inputs.problem;
    tw_dtype dtype_of_file;
    if (!o->d_o)
        return TW_OK;
    TW_TRY(tw_gradient_read(&f->d_o, &dtype_of_file, o->d_o, p, TW_LIKE_O, (tw_layout)o->layout));
    TW_TRY(check_finite(f->d_o, tw_problem_o_elements(p), o->d_o));
    *dtype = tw_coarser(*dtype, dtype_of_file);
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        if (!o->gradient[g])
            continue;
        TW_TRY(tw_gradient_read(&f->gradient[g], &dtype_of_file, o->gradient[g], p, like[g],
                                (tw_layout)o->layout));
        *dtype = tw_coarser(*dtype, dtype_of_file);
    }
    return TW_OK;
}

static tw_status read_files(files *f, const check_options *o)
{
    TW_TRY(read_inputs(f, o));
    tw_problem *p = &f->inputs.problem;
    tw_dtype o_dtype = p->dtype;
    if (o->o)
        TW_TRY(read_output(f, &o_dtype, o->o, (tw_layout)o->layout));
    if (o->lse)
        TW_TRY(tw_lse_read(&f->lse, &f->lse_dtype, o->lse, p));
    TW_TRY(read_gradients(f, o, &o_dtype));
    p->dtype = tw_coarser(p->dtype, o_dtype);
    p->causal = o->shared.causal;
    p->softmax_scale = o->softmax_scale;
    tw_extras extras = o->shared.extras;
    extras.head_dim_v = p->head_dim_v; /* the files' */
    TW_TRY(tw_extras_attach(f->attached, p, &extras, o->shared.seed, true));
    return p->page_size > 0 ? tw_inputs_page(&f->inputs, p) : TW_OK;
}

static void print_headline(const tw_claim *claim, const tw_verdict *verdict)
{
    if (verdict->o_not_finite > 0) {
        printf("does not agree: O is not finite at ");
        tw_place_print(stdout, &claim->problem, verdict->o_first_not_finite);
        printf(" (%g)\n", claim->o[verdict->o_first_not_finite]);
    } else {
        printf("does not agree: %s\n", verdict->o_agrees ? "O does, LSE does not" : "O is too far off");
    }
}

static tw_status explain(const tw_claim *claim, const tw_verdict *verdict, const check_options *o)
{
    char mistake[256] = "";
    bool base2 = false;
    print_headline(claim, verdict);
    if (!verdict->o_agrees && verdict->o_not_finite == 0)
        TW_TRY(tw_diagnose(mistake, sizeof mistake, claim, o->shared.seed));
    if (claim->lse && !verdict->lse_agrees && verdict->lse_nans == 0)
        TW_TRY(tw_lse_is_base2(&base2, claim, o->shared.seed));
    if (*mistake)
        printf("this would explain it: %s\n", mistake);
    if (base2)
        printf("this would explain LSE: it is in base 2; multiplied by ln 2 it agrees\n");
    if (verdict->o_nans + verdict->lse_nans > 0)
        printf("NaN is never right: a fully masked row has O = 0 and LSE = -inf\n");
    else if (verdict->o_not_finite > 0)
        printf("infinity is never right in O: its rows are weighted means of rows of V\n");
    else if (!*mistake && !base2)
        printf(
            "none of the usual mistakes fits (mask, scale, LSE in base 2, last tile, K/V heads, layout)\n");
    return TW_EMISMATCH;
}

/* O agrees once its axes are changed about, which is a mistake all the same. */
static tw_status explain_swapped(const tw_claim *claim, const tw_verdict *verdict, const check_options *o)
{
    printf(
        "does not agree: O has another shape than Q\n"
        "this would explain it: the layout of O is swapped: heads and sequence are the other way round in it "
        "than in Q; read that way it agrees\n");
    return claim->lse && !verdict->lse_agrees ? explain(claim, verdict, o) : TW_EMISMATCH;
}

static tw_status compare_with_exact(const files *f, const check_options *o)
{
    tw_claim claim = {.problem = f->inputs.problem,
                      .q = f->inputs.q,
                      .k = f->inputs.k,
                      .v = f->inputs.v,
                      .o = f->o,
                      .lse = f->lse,
                      .lse_dtype = f->lse_dtype};
    tw_row_sample sample = tw_row_sample_for(&claim.problem, o->shared.seed, 0.5);
    tw_variant right = tw_variant_of(&claim.problem);
    tw_verdict verdict;
    TW_TRY(tw_verify(&verdict, &claim, &right, &sample));
    TW_TRY(tw_check_exact(&verdict, &claim.problem));
    if (f->o_swapped && !verdict.o_agrees)
        return tw_fail(TW_EFORMAT, "%s", f->refusal);
    printf("%s (%s) against exact attention\n  ", o->o, tw_layout_name((tw_layout)o->layout));
    tw_problem_print(stdout, &claim.problem);
    tw_verdict_print(stdout, &verdict, &claim);
    if (f->o_swapped)
        return explain_swapped(&claim, &verdict, o);
    if (!verdict.o_agrees || !verdict.lse_agrees)
        return explain(&claim, &verdict, o);
    printf("agrees\n");
    return TW_OK;
}

static tw_status explain_gradients(const tw_gradient_claim *claim, const tw_gradients_verdict *verdict,
                                   const check_options *o)
{
    char mistake[256];
    bool finite = true;
    printf("does not agree:");
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        if (!verdict->of[g].agrees)
            printf(" %s", tw_gradient_name(g));
        finite = finite && verdict->of[g].not_finite == 0;
    }
    putchar('\n');
    TW_TRY(tw_diagnose_gradients(mistake, sizeof mistake, claim, verdict, o->shared.seed));
    if (*mistake)
        printf("this would explain it: %s\n", mistake);
    else if (!finite)
        printf("NaN and infinity are never right: a row whose LSE is -inf has dQ = 0 and adds nothing to dK "
               "and dV\n");
    else
        printf("none of the usual mistakes fits (softmax_scale, sign, mask, dropout, mean over grouped "
               "heads)\n");
    return TW_EMISMATCH;
}

static tw_status compare_gradients(const files *f, const check_options *o)
{
    const tw_gradient_claim claim = {.problem = f->inputs.problem,
                                     .q = f->inputs.q,
                                     .k = f->inputs.k,
                                     .v = f->inputs.v,
                                     .d_o = f->d_o,
                                     .gradient = {f->gradient[0], f->gradient[1], f->gradient[2]}};
    tw_gradients_verdict verdict;
    TW_TRY(tw_verify_gradients(&verdict, &claim, o->shared.seed, 4.0));
    printf("gradients (%s) against exact ones\n  ", tw_layout_name((tw_layout)o->layout));
    tw_problem_print(stdout, &claim.problem);
    tw_gradients_print(stdout, &verdict, &claim);
    if (!verdict.agree)
        return explain_gradients(&claim, &verdict, o);
    printf("agrees\n");
    return TW_OK;
}

/* O and gradients are judged each by itself; one that disagrees is enough. */
static tw_status compare_all(const files *f, const check_options *o)
{
    tw_status forward = o->o ? compare_with_exact(f, o) : TW_OK;
    if (forward != TW_OK && forward != TW_EMISMATCH)
        return forward;
    if (o->o && o->d_o)
        putchar('\n');
    tw_status backward = o->d_o ? compare_gradients(f, o) : TW_OK;
    return backward != TW_OK ? backward : forward;
}

static tw_status check(const check_options *o)
{
    files f = {.o = NULL};
    TW_TRY(require(o));
    TW_TRY(tw_check_softmax_scale(o->softmax_scale));
    tw_status status = read_files(&f, o);
    if (status == TW_OK)
        status = compare_all(&f, o);
    tw_inputs_free(&f.inputs);
    free(f.o);
    free(f.lse);
    free(f.d_o);
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        free(f.gradient[g]);
    tw_attached_release(f.attached);
    return status;
}

int tw_cmd_check(int argc, char **argv)
{
    check_options o = {.shared = tw_options_default()};
    tw_option_set sets[] = {
        {own, sizeof own / sizeof own[0], &o, 0},
        tw_options_shared(&o.shared, TW_GROUP_CAUSAL | TW_GROUP_SEED | TW_GROUP_EXTRAS | TW_GROUP_PAGES)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise check", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = check(&o);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
