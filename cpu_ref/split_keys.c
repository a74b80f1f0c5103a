/* Parts of the keys, from the definition: the scores of gold.c, of which each part keeps its own. */
#include "split_keys.h"

#include "gold.h"

#include <math.h>
#include <stdlib.h>

static double largest(const double *x, int n)
{
    double m = -INFINITY;
    for (int j = 0; j < n; j++)
        m = fmax(m, x[j]);
    return m;
}

/* ln Σ e^x; −INFINITY where all of them are. */
static double log_sum_exp(const double *x, int n)
{
    double m = largest(x, n), sum = 0.0;
    for (int j = 0; j < n && m != -INFINITY; j++)
        sum += exp(x[j] - m);
    return sum > 0.0 ? m + log(sum) : -INFINITY;
}

/* O of keys [key0, key1) of one row, whose scores are known. */
static void attend(double *o, double lse, const tw_problem *p, const double *s, const double *v,
                   tw_gold_row at, int key0, int key1)
{
    tw_problem one = tw_problem_sequence(p, at.batch);
    int width = tw_problem_head_dim_v(p);
    for (int c = 0; c < width; c++)
        o[c] = 0.0;
    for (int j = key0; j < key1; j++) {
        double weight = s[j] == -INFINITY ? 0.0 : exp(s[j] - lse);
        tw_dropout_apply(&weight, &p->dropout, at.batch, at.head, at.row, j, 1);
        if (weight == 0.0)
            continue;
        const double *v_row = v + tw_problem_v_row(&one, at.batch, at.head_kv, j);
        for (int c = 0; c < width; c++)
            o[c] += weight * v_row[c];
    }
}

static void attend_row(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                       const double *v, tw_gold_row at, int key0, int key1, double *s)
{
    int keys = tw_gold_scores(s, p, q, k, at, NULL);
    int begin = key0 < keys ? key0 : keys, end = key1 < keys ? key1 : keys;
    *lse = log_sum_exp(s + begin, end - begin);
    attend(o, *lse, p, s, v, at, begin, end);
}

tw_status tw_attention_part(double *o, double *lse, const tw_problem *p, const double *q, const double *k,
                            const double *v, int key0, int key1)
{
    TW_TRY(tw_problem_check(p));
    double *s = calloc((size_t)p->seqlen_k, sizeof *s);
    if (!s)
        return tw_fail(TW_ENOMEM, "no memory for a row of %d scores", p->seqlen_k);
    for (int b = 0; b < p->batch; b++) {
        tw_problem one = tw_problem_sequence(p, b);
        for (int h = 0; h < p->num_heads; h++)
            for (int i = 0; i < one.seqlen_q; i++)
                attend_row(o + tw_problem_o_row(p, b, h, i), lse + tw_problem_lse_at(p, b, h, i), p, q, k, v,
                           (tw_gold_row){b, h, tw_problem_kv_head(p, h), i}, key0, key1, s);
    }
    free(s);
    return TW_OK;
}

void tw_combine_parts(double *o, double *lse, const double *const *o_part, const double *lse_part, int parts,
                      int head_dim_v)
{
    *lse = log_sum_exp(lse_part, parts);
    for (int c = 0; c < head_dim_v; c++)
        o[c] = 0.0;
    for (int part = 0; part < parts; part++) {
        double weight = lse_part[part] == -INFINITY ? 0.0 : exp(lse_part[part] - *lse);
        for (int c = 0; c < head_dim_v && weight > 0.0; c++)
            o[c] += weight * o_part[part][c];
    }
}
