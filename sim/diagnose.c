/* The usual mistakes, tried one by one on an O that does not agree. A mistake is named only if attention done that
 * way agrees with O. */
#include "verify.h"

#include "tensors.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* What the trials share. Most guesses are wrong, so a few rows are tried before the whole sample. */
typedef struct trial {
    const tw_claim *claim;
    tw_row_sample few, all;
    char *mistake;
    size_t size;
    bool found;
} trial;

static void name_it(trial *t, const char *format, ...) TW_PRINTF(2, 3);

static void name_it(trial *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->mistake, t->size, format, args);
    va_end(args);
    t->found = true;
}

/* Does O agree with this variant? */
static tw_status fits(bool *yes, const trial *t, const tw_claim *claim, const tw_variant *variant)
{
    tw_verdict verdict;
    *yes = false;
    TW_TRY(tw_verify(&verdict, claim, variant, &t->few));
    if (verdict.o_agrees) {
        TW_TRY(tw_verify(&verdict, claim, variant, &t->all));
        *yes = verdict.o_agrees;
    }
    return TW_OK;
}

/* ---- masks and heads ------------------------------------------------------------------------------------ */

static tw_status try_masks(trial *t)
{
    const tw_problem *p = &t->claim->problem;
    static const struct {
        tw_mask_kind mask;
        const char *if_causal, *if_not;
    } masks[] = {
        {TW_MASK_NONE, "the causal mask was not applied: every row sees all keys", NULL},
        {TW_MASK_TOP_LEFT,
         "the causal mask is aligned top-left (row i sees keys up to i); here it is aligned bottom-right (up "
         "to i + "
         "seqlen_k - seqlen_q)",
         "a causal mask was applied, aligned top-left (row i sees keys up to i); none was asked for "
         "(--causal)"},
        {TW_MASK_BOTTOM_RIGHT, NULL, "a causal mask was applied; none was asked for (--causal)"},
    };
    for (int i = COUNT(masks) - 1; i >= 0 && !t->found; i--) {
        tw_variant variant = tw_variant_of(p);
        const char *sentence = p->causal ? masks[i].if_causal : masks[i].if_not;
        bool yes;
        if (!sentence)
            continue;
        variant.mask = masks[i].mask;
        TW_TRY(fits(&yes, t, t->claim, &variant));
        if (yes)
            name_it(t, "%s", sentence);
    }
    return TW_OK;
}

/* What was asked for beyond causal, each left out by itself. */
static tw_status try_parts(trial *t)
{
    static const struct {
        unsigned part;
        const char *sentence;
    } parts[] = {{TW_PART_WINDOW, "the window was not applied"},
                 {TW_PART_PREFIX, "the prefix was masked like other keys"},
                 {TW_PART_SINKS, "the sinks were hidden behind the window"},
                 {TW_PART_DOCUMENTS, "rows see keys of other documents"},
                 {TW_PART_BLOCKS, "the block mask was not applied"},
                 {TW_PART_SOFTCAP, "the soft cap was not applied"},
                 {TW_PART_ALIBI, "ALiBi was not added"},
                 {TW_PART_BIAS, "the bias was not added"},
                 {TW_PART_SINK_LOGITS, "the sink logit was left out of the sum under the softmax"},
                 {TW_PART_DROPOUT, "dropout was not applied"}};
    unsigned asked = tw_parts_of(&t->claim->problem);
    for (int i = 0; i < COUNT(parts) && !t->found; i++) {
        tw_variant variant = tw_variant_of(&t->claim->problem);
        bool yes;
        if (!(asked & parts[i].part))
            continue;
        variant.left_out = parts[i].part;
        TW_TRY(fits(&yes, t, t->claim, &variant));
        if (yes)
            name_it(t, "%s", parts[i].sentence);
    }
    return TW_OK;
}

static tw_status try_heads(trial *t)
{
    const tw_problem *p = &t->claim->problem;
    tw_variant variant = tw_variant_of(p);
    bool yes;
    variant.heads_modulo = true;
    if (p->num_heads == p->num_heads_kv || p->num_heads_kv == 1)
        return TW_OK;
    TW_TRY(fits(&yes, t, t->claim, &variant));
    if (yes)
        name_it(t,
                "K/V heads are mapped wrongly: query head h reads head h %% %d; it should read head h / %d",
                p->num_heads_kv, p->num_heads / p->num_heads_kv);
    return TW_OK;
}

/* ---- scales --------------------------------------------------------------------------------------------- */

static tw_status try_scale(trial *t, double scale, const char *what)
{
    tw_variant variant = tw_variant_of(&t->claim->problem);
    double right = variant.scale;
    bool yes;
    if (t->found || fabs(scale - right) <= 1e-9 * right)
        return TW_OK;
    variant.scale = scale;
    TW_TRY(fits(&yes, t, t->claim, &variant));
    if (yes)
        name_it(t, "the scale is wrong: Q K^T was multiplied by %.4g (%s), not by %.4g", scale, what, right);
    return TW_OK;
}

static tw_status try_named_scales(trial *t)
{
    const tw_problem *p = &t->claim->problem;
    double right = tw_problem_scale(p), d = (double)p->head_dim;
    TW_TRY(try_scale(t, 1.0, "none"));
    TW_TRY(try_scale(t, 1.0 / sqrt(d), "1/sqrt(head_dim)"));
    TW_TRY(try_scale(t, 1.0 / d, "1/head_dim"));
    TW_TRY(try_scale(t, sqrt(d), "sqrt(head_dim): multiplied instead of divided"));
    TW_TRY(try_scale(t, right * right, "the scale twice"));
    TW_TRY(try_scale(t, right * log(2.0), "2^x was taken for e^x, without log2(e) in the scale"));
    TW_TRY(try_scale(t, right / log(2.0), "log2(e) is in the scale, but e^x was taken"));
    return try_scale(t, 1.0 / sqrt(d * p->num_heads), "1/sqrt(num_heads head_dim)");
}

/* RMS error as a function of ln(scale), on rows of the first two heads: a scale is the same for all. */
static tw_status rms_at(double *rms, const trial *t, double ln_scale)
{
    tw_variant variant = tw_variant_of(&t->claim->problem);
    tw_row_sample rows = t->few;
    tw_verdict verdict;
    variant.scale = exp(ln_scale);
    rows.rows_per_head = rows.rows_per_head < 8 ? rows.rows_per_head : 8;
    rows.count = rows.rows_per_head * (t->claim->problem.num_heads > 1 ? 2 : 1);
    TW_TRY(tw_verify(&verdict, t->claim, &variant, &rows));
    *rms = verdict.o.rms_error;
    return TW_OK;
}

/* Narrows [low, high] down to the minimum inside, by golden-section search. */
static tw_status narrow(double *low, double *high, const trial *t)
{
    const double golden = 0.6180339887498949;
    double a = *high - golden * (*high - *low), b = *low + golden * (*high - *low), at_a, at_b;
    TW_TRY(rms_at(&at_a, t, a));
    TW_TRY(rms_at(&at_b, t, b));
    for (int i = 0; i < 40; i++) {
        if (at_a < at_b) {
            *high = b;
            b = a;
            at_b = at_a;
            a = *high - golden * (*high - *low);
            TW_TRY(rms_at(&at_a, t, a));
        } else {
            *low = a;
            a = b;
            at_a = at_b;
            b = *low + golden * (*high - *low);
            TW_TRY(rms_at(&at_b, t, b));
        }
    }
    return TW_OK;
}

/* Any other scale: the best of a coarse walk, then a search around it. */
static tw_status try_fitted_scale(trial *t)
{
    const double step = 0.25, centre = log(tw_problem_scale(&t->claim->problem));
    double best = centre, least = INFINITY, rms = 0.0;
    for (int i = -24; i <= 24; i++) {
        TW_TRY(rms_at(&rms, t, centre + step * i));
        if (rms < least) {
            least = rms;
            best = centre + step * i;
        }
    }
    double low = best - step, high = best + step;
    TW_TRY(narrow(&low, &high, t));
    bool as_right = fabs(0.5 * (low + high) - centre) < 1e-3; /* then it is not the scale */
    return as_right ? TW_OK : try_scale(t, exp(0.5 * (low + high)), "found by fitting");
}

/* ---- tiles ---------------------------------------------------------------------------------------------- */

static tw_status try_tile(trial *t, int tile, bool per_row)
{
    const tw_problem *p = &t->claim->problem;
    tw_variant variant = tw_variant_of(p);
    bool yes;
    if (t->found || tile >= p->seqlen_k || (per_row && !p->causal))
        return TW_OK;
    variant.dropped_tile = tile;
    variant.dropped_per_row = per_row;
    TW_TRY(fits(&yes, t, t->claim, &variant));
    if (yes && per_row)
        name_it(t, "the last key tile that a row sees was dropped (tiles of %d keys)", tile);
    else if (yes)
        name_it(t, "the last key tile was dropped: keys %d to %d of %d (tiles of %d)",
                (p->seqlen_k - 1) / tile * tile, p->seqlen_k - 1, p->seqlen_k, tile);
    return TW_OK;
}

static tw_status try_tiles(trial *t)
{
    static const int tiles[] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 176, 192, 256};
    for (int per_row = 0; per_row < 2; per_row++)
        for (int i = 0; i < COUNT(tiles); i++)
            TW_TRY(try_tile(t, tiles[i], per_row == 1));
    return TW_OK;
}

/* ---- layouts -------------------------------------------------------------------------------------------- */

/* O alone has its axes the other way round: its bytes are [batch, heads, seqlen, head_dim]. */
static tw_status try_output_layout(trial *t)
{
    const tw_problem *p = &t->claim->problem;
    if (p->cu_seqlens_q)
        return TW_OK; /* packed sequences have one layout */
    tw_claim swapped = *t->claim;
    tw_variant right = tw_variant_of(p);
    bool yes;
    double *o = tw_swap_axes(t->claim->o, p->batch, p->num_heads, p->seqlen_q, tw_problem_head_dim_v(p));
    if (!o)
        return tw_fail(TW_ENOMEM, "no memory to try the other layout");
    swapped.o = o;
    tw_status status = fits(&yes, t, &swapped, &right);
    free(o);
    if (status == TW_OK && yes)
        name_it(t, "the layout of O is swapped: heads and sequence are the other way round in it than in Q");
    return status;
}

/* All four have: what was read as rows are heads. */
static tw_status try_all_layouts(trial *t)
{
    const tw_claim *c = t->claim;
    tw_problem p = c->problem;
    p.seqlen_q = c->problem.num_heads;
    p.num_heads = c->problem.seqlen_q;
    p.seqlen_k = c->problem.num_heads_kv;
    p.num_heads_kv = c->problem.seqlen_k;
    bool by_length = tw_parts_of(&p) &
                     (TW_PART_DOCUMENTS | TW_PART_BLOCKS | TW_PART_BIAS | TW_PART_SINK_LOGITS);
    if (by_length || p.cu_seqlens_q || p.v_in_k || tw_problem_check(&p) != TW_OK)
        return TW_OK;
    double *q = tw_swap_axes(c->q, p.batch, p.num_heads, p.seqlen_q, p.head_dim);
    double *k = tw_swap_axes(c->k, p.batch, p.num_heads_kv, p.seqlen_k, p.head_dim);
    double *v = tw_swap_axes(c->v, p.batch, p.num_heads_kv, p.seqlen_k, tw_problem_head_dim_v(&p));
    double *o = tw_swap_axes(c->o, p.batch, p.num_heads, p.seqlen_q, tw_problem_head_dim_v(&p));
    tw_claim swapped = {.problem = p, .q = q, .k = k, .v = v, .o = o};
    tw_variant right = tw_variant_of(&p);
    trial other = *t;
    other.few = tw_row_sample_for(&p, t->few.seed, 0x1p-7);
    other.all = tw_row_sample_for(&p, t->all.seed, 0.25);
    bool yes = false;
    tw_status status = q && k && v && o ? fits(&yes, &other, &swapped, &right)
                                        : tw_fail(TW_ENOMEM, "no memory to try the other layout");
    free(q);
    free(k);
    free(v);
    free(o);
    if (status == TW_OK && yes)
        name_it(
            t, "the layout is swapped: with heads and sequence the other way round in all tensors (the other "
               "--layout) it agrees");
    return status;
}

tw_status tw_diagnose(char *mistake, size_t size, const tw_claim *claim, uint64_t seed)
{
    static tw_status (*const trials[])(trial *) = {try_masks,        try_parts,       try_heads,
                                                   try_named_scales, try_tiles,       try_output_layout,
                                                   try_all_layouts,  try_fitted_scale};
    tw_claim only_o = *claim;
    only_o.lse = NULL;
    trial t = {.claim = &only_o,
               .few = tw_row_sample_for(&claim->problem, seed, 0x1p-7),
               .all = tw_row_sample_for(&claim->problem, seed, 0.25),
               .mistake = mistake,
               .size = size};
    snprintf(mistake, size, "%s", "");
    for (int i = 0; i < COUNT(trials) && !t.found; i++)
        TW_TRY(trials[i](&t));
    return TW_OK;
}
