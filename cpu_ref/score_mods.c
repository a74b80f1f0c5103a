/* What becomes of a score before its softmax. */
#include "score_mods.h"
#include "problem.h"

#include <math.h>
#include <stdlib.h>

static tw_status check_numbers(const char *name, const double *x, int n)
{
    for (int i = 0; x != NULL && i < n; i++)
        if (!isfinite(x[i]))
            return tw_fail(TW_EINVAL, "%s of head %d is %g, it must be finite", name, i, x[i]);
    return TW_OK;
}

tw_status tw_score_mods_check(const tw_problem *p)
{
    const tw_score_mods *m = &p->scoring;
    if (!(m->softcap >= 0.0 && isfinite(m->softcap)))
        return tw_fail(TW_EINVAL, "softcap is %g, it must be positive and finite, or 0 for none", m->softcap);
    if (m->bias != NULL && p->cu_seqlens_q != NULL)
        return tw_fail(TW_EINVAL, "a bias is given beside packed sequences, it must be one or the other");
    TW_TRY(check_numbers("the ALiBi slope", m->alibi_slopes, p->num_heads));
    return check_numbers("the sink logit", m->sink_logits, p->num_heads);
}

bool tw_score_mods_are_on(const tw_problem *p)
{
    const tw_score_mods *m = &p->scoring;
    return m->softcap > 0.0 || m->alibi || m->bias != NULL || m->mod != NULL;
}

double tw_alibi_slope(int head, int num_heads)
{
    int power = 1; /* the largest power of two that is not above num_heads */
    while (power <= num_heads / 2)
        power *= 2;
    if (head < power)
        return exp2(-8.0 * (head + 1) / power);
    return exp2(-4.0 * (2 * (head - power) + 1) / power); /* every other slope of twice as many heads */
}

int64_t tw_bias_row(const tw_problem *p, int batch, int head, int row)
{
    const tw_score_mods *m = &p->scoring;
    int packed = p->heads_in_rows > 1 ? p->heads_in_rows : 1;
    int64_t heads = m->bias_per_head ? (int64_t)p->num_heads * packed : 1, rows = p->seqlen_q / packed;
    int64_t matrix = m->bias_per_batch ? batch * heads : 0;
    if (m->bias_per_head)
        matrix += tw_problem_query_head(p, head, row);
    return (matrix * rows + tw_problem_query_row(p, row)) * p->seqlen_k;
}

double tw_score_modified(const tw_problem *p, double s, int batch, int head, int row, int key)
{
    const double *bias = p->scoring.bias;
    return tw_score_modified_with(p, s, bias ? &bias[tw_bias_row(p, batch, head, row) + key] : NULL, batch,
                                  head, row, key);
}

double tw_score_modified_with(const tw_problem *p, double s, const double *bias, int batch, int head, int row,
                              int key)
{
    const tw_score_mods *m = &p->scoring;
    int query = tw_problem_query_row(p, row), query_head = tw_problem_query_head(p, head, row);
    int packed = p->heads_in_rows > 1 ? p->heads_in_rows : 1;
    if (m->softcap > 0.0)
        s = m->softcap * tanh(s / m->softcap);
    if (m->alibi) {
        double slope = m->alibi_slopes ? m->alibi_slopes[query_head]
                                       : tw_alibi_slope(query_head, p->num_heads * packed);
        s -= slope * abs(query + p->seqlen_k - p->seqlen_q / packed - key);
    }
    if (bias != NULL)
        s += *bias;
    return m->mod != NULL ? m->mod(m->mod_user, s, batch, query_head, query, key) : s;
}

double tw_sink_logit(const tw_problem *p, int head, int row)
{
    return p->scoring.sink_logits ? p->scoring.sink_logits[tw_problem_query_head(p, head, row)] : -INFINITY;
}

int tw_score_mods_flops(const tw_problem *p)
{
    const tw_score_mods *m = &p->scoring;
    return (m->softcap > 0.0 ? 3 : 0) + (m->alibi ? 3 : 0) + (m->bias != NULL ? 1 : 0) +
           (m->mod != NULL ? m->mod_flops : 0);
}
