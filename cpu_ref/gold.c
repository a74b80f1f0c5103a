/* Attention in double precision, straight from the definition: scores of a row, their softmax, the weighted sum
 * of V. It shares no code with online_softmax.c or tiled.c, because it is what they are checked against. */
#include "gold.h"
#include "attention.h"
#include "dot.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>

/* Scores of the keys of one run, which a listed mask may still hide. */
static void score_run(double *s, const tw_problem *one, const double *q_row, const double *k, tw_gold_row at,
                      int begin, int end, double (*sum)(const double *, const double *, int))
{
    double scale = tw_problem_scale(one);
    bool changed = tw_score_mods_are_on(one), listed = tw_mask_is_listed(one);
    for (int j = begin; j < end; j++) {
        if (listed && !tw_mask_visible(one, at.batch, at.head, at.row, j))
            continue;
        s[j] = scale * sum(q_row, k + tw_problem_k_row(one, at.batch, at.head_kv, j), one->head_dim);
        if (changed)
            s[j] = tw_score_modified(one, s[j], at.batch, at.head, at.row, j);
    }
}

int tw_gold_scores(double *s, const tw_problem *p, const double *q, const double *k, tw_gold_row at,
                   double (*sum)(const double *, const double *, int))
{
    tw_problem one = tw_problem_sequence(p, at.batch);
    const double *q_row = q + tw_problem_q_row(&one, at.batch, at.head, at.row);
    tw_spans spans = tw_mask_spans(&one, at.row);
    for (int j = 0; j < one.seqlen_k; j++)
        s[j] = -INFINITY;
    for (int run = 0; run < 2; run++)
        score_run(s, &one, q_row, k, at, spans.begin[run], spans.end[run], sum != NULL ? sum : tw_dot);
    return one.seqlen_k;
}

/* s becomes softmax(s) beside a sink logit; returns LSE, −INFINITY if there is nothing to be seen. The maximum is
 * taken off first, so that no exponential overflows. */
static double softmax(double *s, int n, double sink)
{
    double m = sink;
    for (int j = 0; j < n; j++)
        m = fmax(m, s[j]);
    double l = m == -INFINITY ? 0.0 : exp(sink - m);
    for (int j = 0; j < n; j++) {
        s[j] = s[j] == -INFINITY ? 0.0 : exp(s[j] - m);
        l += s[j];
    }
    for (int j = 0; j < n && l != 0.0; j++)
        s[j] /= l;
    return l == 0.0 ? -INFINITY : m + log(l);
}

/* o = Σ_j weight[j] · v_j; 0 if there are no keys. A key of weight 0 may be hidden, and then its V is not looked at. */
static void weighted_sum(double *o, const tw_problem *p, const double *weight, int n, const double *v,
                         tw_gold_row at)
{
    tw_problem one = tw_problem_sequence(p, at.batch);
    int width = tw_problem_head_dim_v(p);
    for (int c = 0; c < width; c++)
        o[c] = 0.0;
    for (int j = 0; j < n; j++) {
        const double *v_row = v + tw_problem_v_row(&one, at.batch, at.head_kv, j);
        if (weight[j] == 0.0)
            continue;
        for (int c = 0; c < width; c++)
            o[c] += weight[j] * v_row[c];
    }
}

void tw_gold_attend(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                    const double *v, tw_gold_row at, double *scratch)
{
    int n = tw_gold_scores(scratch, p, q, k, at, NULL);
    double row_lse = softmax(scratch, n, tw_sink_logit(p, at.head, at.row));
    tw_dropout_apply(scratch, &p->dropout, at.batch, at.head, at.row, 0, n);
    weighted_sum(o, p, scratch, n, v, at);
    if (lse != NULL)
        *lse = row_lse;
}

/* A score beyond the format's range would be infinite there and the whole row NaN, which measures nothing: such
 * a score stays as it is. */
static double round_score(tw_dtype dtype, double s)
{
    double rounded = tw_dtype_round(dtype, s);
    return isfinite(rounded) ? rounded : s;
}

void tw_gold_attend_rounded(double *o, const tw_problem *p, const double *q, const double *k, const double *v,
                            tw_gold_row at, double *scratch)
{
    int n = tw_gold_scores(scratch, p, q, k, at, NULL);
    for (int j = 0; j < n; j++)
        scratch[j] = round_score(p->dtype, scratch[j]);
    softmax(scratch, n, tw_sink_logit(p, at.head, at.row));
    for (int j = 0; j < n; j++)
        scratch[j] = tw_dtype_round(p->dtype, scratch[j]);
    tw_dropout_apply(scratch, &p->dropout, at.batch, at.head, at.row, 0, n);
    for (int j = 0; j < n; j++)
        scratch[j] = tw_dtype_round(p->dtype, scratch[j]);
    weighted_sum(o, p, scratch, n, v, at);
    for (int c = 0; c < tw_problem_head_dim_v(p); c++)
        o[c] = tw_dtype_round(p->dtype, o[c]);
}

static tw_gold_row row_of(const tw_problem *p, int batch, int head, int row)
{
    return (tw_gold_row){batch, head, tw_problem_kv_head(p, head), row};
}

void tw_attention_gold_row(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                           const double *v, int batch, int head, int row, double *scratch)
{
    tw_gold_attend(o, lse, p, q, k, v, row_of(p, batch, head, row), scratch);
}

void tw_attention_rounded_row(double *o, const tw_problem *p, const double *q, const double *k,
                              const double *v, int batch, int head, int row, double *scratch)
{
    tw_gold_attend_rounded(o, p, q, k, v, row_of(p, batch, head, row), scratch);
}

tw_status tw_attention_gold(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                            const double *v)
{
    TW_TRY(tw_problem_check(p));
    size_t row_of_s = (size_t)p->seqlen_k;
    double *scratch = calloc((size_t)tw_max_threads() * row_of_s, sizeof *scratch);
    if (scratch == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d rows of %d scores", tw_max_threads(), p->seqlen_k);

#pragma omp parallel for collapse(3) schedule(dynamic, 16)
    for (int b = 0; b < p->batch; b++) {
        for (int h = 0; h < p->num_heads; h++) {
            for (int i = 0; i < p->seqlen_q; i++) {
                if (i >= tw_problem_sequence(p, b).seqlen_q)
                    continue;
                tw_attention_gold_row(o + tw_problem_o_row(p, b, h, i),
                                      lse == NULL ? NULL : lse + tw_problem_lse_at(p, b, h, i), p, q, k, v, b,
                                      h, i, scratch + (size_t)tw_thread_index() * row_of_s);
            }
        }
    }
    free(scratch);
    return TW_OK;
}
