/* Are these tensors the gradients of that attention? Whole K/V heads are compared, because a key's gradient comes from
 * every query row. */
#include "verify_gradients.h"

#include "../cpu_ref/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tw_gradient_name(int gradient)
{
    static const char *const names[TW_NUM_GRADIENTS] = {"dQ", "dK", "dV"};
    return names[gradient];
}

static size_t elements_of(int gradient, const tw_problem *p)
{
    return gradient == TW_GRADIENT_Q   ? tw_problem_q_elements(p)
           : gradient == TW_GRADIENT_K ? tw_problem_k_elements(p)
                                       : tw_problem_v_elements(p);
}

/* ---- which heads -------------------------------------------------------------------------------------------- */

/* Multiply-adds of one K/V head and its query heads, exact and rounded. */
static double work_of_a_head(const tw_problem *p)
{
    double pairs = (double)p->seqlen_q * p->seqlen_k * (p->num_heads / p->num_heads_kv);
    return 7.5 * pairs * ((double)p->head_dim + tw_problem_head_dim_v(p));
}

static tw_status choose_heads(tw_gradients_verdict *verdict, const tw_problem *p, double effort)
{
    double work = work_of_a_head(p), affordable = floor(0x1p31 * effort / work);
    if (work > 0x1p37)
        return tw_fail(
            TW_EUNSUPPORTED,
            "exact gradients of one head of %d x %d take %.1e multiply-adds, at most %.1e are done: "
            "sequences must be shorter",
            p->seqlen_q, p->seqlen_k, work, 0x1p37);
    verdict->of_heads = (int64_t)p->batch * p->num_heads_kv;
    verdict->heads = affordable < 1.0                         ? 1
                     : affordable < (double)verdict->of_heads ? (int64_t)affordable
                                                              : verdict->of_heads;
    return TW_OK;
}

/* The i-th of the heads that are compared: they are cut into equal parts, and one drawn of each. */
static int64_t head_at(const tw_gradients_verdict *v, uint64_t seed, int64_t i)
{
    int64_t begin = i * v->of_heads / v->heads, end = (i + 1) * v->of_heads / v->heads;
    uint64_t x = (seed + (uint64_t)i) * UINT64_C(0x9e3779b97f4a7c15);
    return begin + (int64_t)((x ^ x >> 29) % (uint64_t)(end - begin));
}

/* ---- the comparison ------------------------------------------------------------------------------------------- */

/* Exact gradients, those of a plain program, and what is gathered of them. */
typedef struct comparison {
    const tw_gradient_claim *claim;
    double *exact[TW_NUM_GRADIENTS], *plain[TW_NUM_GRADIENTS];
    tw_error_metrics error[TW_NUM_GRADIENTS], plain_error[TW_NUM_GRADIENTS];
    double largest[TW_NUM_GRADIENTS], squares[TW_NUM_GRADIENTS], products[TW_NUM_GRADIENTS];
    size_t exact_not_finite;
} comparison;

static tw_status allocate(comparison *c)
{
    const tw_problem *p = &c->claim->problem;
    double all = 0;
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        all += 2.0 * (double)elements_of(g, p) * sizeof(double);
    TW_TRY(tw_memory_check(all, "exact gradients"));
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        c->exact[g] = calloc(elements_of(g, p), sizeof(double));
        c->plain[g] = calloc(elements_of(g, p), sizeof(double));
        if (!c->exact[g] || !c->plain[g])
            return tw_fail(TW_ENOMEM, "no memory for %zu numbers of %s", elements_of(g, p),
                           tw_gradient_name(g));
    }
    return TW_OK;
}

static void free_comparison(comparison *c)
{
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        free(c->exact[g]);
        free(c->plain[g]);
    }
}

/* Takes `n` numbers of a gradient in, which begin at index `first`. */
static void gather(comparison *c, int g, size_t first, int n)
{
    const double *x = c->claim->gradient[g];
    for (size_t i = first; i < first + (size_t)n; i++) {
        double exact = c->exact[g][i];
        c->exact_not_finite += isfinite(exact) ? 0 : 1;
        c->largest[g] = fmax(c->largest[g], fabs(exact));
        tw_error_add(&c->error[g], i, x[i], exact);
        tw_error_add(&c->plain_error[g], i, c->plain[g][i], exact);
        c->squares[g] += exact * exact;
        c->products[g] += isfinite(x[i]) ? x[i] * exact : 0.0;
    }
}

static void gather_head(comparison *c, int batch, int head_kv)
{
    const tw_problem *whole = &c->claim->problem;
    tw_problem p = tw_problem_sequence(whole, batch);
    int group = p.num_heads / p.num_heads_kv;
    for (int h = head_kv * group; h < (head_kv + 1) * group && c->claim->gradient[TW_GRADIENT_Q]; h++)
        for (int i = 0; i < p.seqlen_q; i++)
            gather(c, TW_GRADIENT_Q, tw_problem_q_row(&p, batch, h, i), p.head_dim);
    for (int j = 0; j < p.seqlen_k && c->claim->gradient[TW_GRADIENT_K]; j++)
        gather(c, TW_GRADIENT_K, tw_problem_k_row(&p, batch, head_kv, j), p.head_dim);
    for (int j = 0; j < p.seqlen_k && c->claim->gradient[TW_GRADIENT_V]; j++)
        gather(c, TW_GRADIENT_V, tw_problem_v_row(&p, batch, head_kv, j), tw_problem_head_dim_v(&p));
}

static tw_status compare_head(comparison *c, const tw_problem *exact, int batch, int head_kv)
{
    const tw_gradient_claim *claim = c->claim;
    TW_TRY(tw_attention_backward_gold_group(c->exact[0], c->exact[1], c->exact[2], exact, claim->q, claim->k,
                                            claim->v, claim->d_o, batch, head_kv));
    TW_TRY(tw_attention_backward_rounded_group(c->plain[0], c->plain[1], c->plain[2], exact, claim->q,
                                               claim->k, claim->v, claim->d_o, batch, head_kv));
    gather_head(c, batch, head_kv);
    return TW_OK;
}

static void count_not_finite(tw_gradient_verdict *v, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]) && v->not_finite++ == 0)
            v->first_not_finite = i;
}

static void judge(tw_gradients_verdict *verdict, comparison *c)
{
    const tw_problem *p = &c->claim->problem;
    verdict->agree = true;
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        const double *x = c->claim->gradient[g];
        tw_gradient_verdict *v = &verdict->of[g];
        v->agrees = true;
        if (!x)
            continue;
        tw_error_finish(&c->error[g]);
        v->error = c->error[g];
        v->worst = x[v->error.worst_index];
        v->worst_exact = c->exact[g][v->error.worst_index];
        v->baseline = c->plain_error[g].max_abs_error;
        v->atol = tw_error_atol(p->dtype, c->largest[g]) + (p->dtype == TW_FP64 ? 1e-9 * c->largest[g] : 0.0);
        v->factor = c->squares[g] > 0.0 ? c->products[g] / c->squares[g] : 1.0;
        count_not_finite(v, x, elements_of(g, p));
        v->agrees = v->not_finite == 0 && tw_error_acceptable(&v->error, v->baseline, v->atol);
        verdict->agree = verdict->agree && v->agrees;
    }
}

/* With the exact gradients of `exact`, which differs from the claim's problem where mistakes are tried. */
static tw_status verify(tw_gradients_verdict *verdict, const tw_gradient_claim *claim,
                        const tw_problem *exact, uint64_t seed, double effort)
{
    comparison c = {.claim = claim};
    tw_gradients_verdict result = {.agree = false};
    TW_TRY(tw_problem_check_backward(exact));
    TW_TRY(choose_heads(&result, &claim->problem, effort));
    tw_status status = allocate(&c);
    for (int64_t i = 0; i < result.heads && status == TW_OK; i++) {
        int64_t head = head_at(&result, seed, i);
        status = compare_head(&c, exact, (int)(head / exact->num_heads_kv),
                              (int)(head % exact->num_heads_kv));
    }
    if (status == TW_OK && c.exact_not_finite > 0)
        status = tw_fail(
            TW_EINVAL,
            "exact gradients with scale %g are not finite in %zu numbers, nothing can be compared "
            "with that: Q, K, V, dO or the scale must be smaller",
            tw_problem_scale(exact), c.exact_not_finite);
    if (status == TW_OK) {
        judge(&result, &c);
        *verdict = result;
    }
    free_comparison(&c);
    return status;
}

tw_status tw_verify_gradients(tw_gradients_verdict *verdict, const tw_gradient_claim *claim, uint64_t seed,
                              double effort)
{
    return verify(verdict, claim, &claim->problem, seed, effort);
}

/* ---- the usual mistakes ----------------------------------------------------------------------------------------- */

/* Would all agree if attention were that of another problem? */
static tw_status try_problem(char *mistake, size_t size, const tw_gradient_claim *claim,
                             const tw_problem *other, uint64_t seed, const char *sentence)
{
    tw_gradients_verdict verdict;
    if (*mistake)
        return TW_OK;
    TW_TRY(verify(&verdict, claim, other, seed, 0.125));
    if (verdict.agree)
        snprintf(mistake, size, "%s", sentence);
    return TW_OK;
}

/* Would a gradient agree if the exact one were multiplied by a number? */
static bool is_multiple(const tw_gradient_verdict *v, double factor)
{
    const tw_error_metrics *e = &v->error;
    return fabs(v->factor / factor - 1.0) < 0.01 && fabs(e->cosine) > 0.9999;
}

static void try_factor(char *mistake, size_t size, const tw_gradient_claim *claim,
                       const tw_gradients_verdict *verdict, double factor, const char *what)
{
    for (int g = 0; g < TW_NUM_GRADIENTS && !*mistake; g++)
        if (claim->gradient[g] && !verdict->of[g].agrees && verdict->of[g].not_finite == 0 &&
            is_multiple(&verdict->of[g], factor))
            snprintf(mistake, size, "%s is %.4g times what it should be: %s", tw_gradient_name(g), factor,
                     what);
}

static tw_status try_problems(char *mistake, size_t size, const tw_gradient_claim *claim, uint64_t seed)
{
    tw_problem other = claim->problem;
    other.causal = !other.causal;
    TW_TRY(try_problem(mistake, size, claim, &other, seed,
                       other.causal ? "a causal mask was applied; none was asked for (--causal)"
                                    : "the causal mask was not applied: every row sees all keys"));
    other = claim->problem;
    other.dropout.probability = 0.0;
    if (!tw_dropout_is_on(&claim->problem.dropout))
        return TW_OK;
    return try_problem(mistake, size, claim, &other, seed, "dropout was not applied");
}

tw_status tw_diagnose_gradients(char *mistake, size_t size, const tw_gradient_claim *claim,
                                const tw_gradients_verdict *verdict, uint64_t seed)
{
    double scale = tw_problem_scale(&claim->problem),
           group = claim->problem.num_heads / claim->problem.num_heads_kv;
    *mistake = '\0';
    try_factor(mistake, size, claim, verdict, 1.0 / scale, "softmax_scale was left out of it");
    try_factor(mistake, size, claim, verdict, scale, "softmax_scale is in it twice");
    try_factor(mistake, size, claim, verdict, -1.0, "its sign is wrong");
    if (group > 1.0)
        try_factor(mistake, size, claim, verdict, 1.0 / group,
                   "a mean was taken over the query heads of a group, not the sum");
    return *mistake ? TW_OK : try_problems(mistake, size, claim, seed);
}
