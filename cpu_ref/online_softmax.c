/* The online-softmax recurrence. Nothing here is fast; every line is one line of the derivation. */
#include "online_softmax.h"

#include <math.h>

double tw_online_max(double m, const double *s, int n)
{
    for (int j = 0; j < n; j++)
        m = fmax(m, s[j]);
    return m;
}

double tw_online_rescale_factor(double m, double m_new)
{
    return m_new == -INFINITY ? 0.0 : exp(m - m_new);
}

void tw_online_exp(double *p, const double *s, double m_new, int n)
{
    for (int j = 0; j < n; j++)
        p[j] = s[j] == -INFINITY ? 0.0 : exp(s[j] - m_new);
}

double tw_online_sum(double l, double alpha, const double *p, int n)
{
    double sum = alpha * l;
    for (int j = 0; j < n; j++)
        sum += p[j];
    return sum;
}

void tw_online_rescale(double *o, double alpha, int head_dim)
{
    for (int c = 0; c < head_dim; c++)
        o[c] *= alpha;
}

void tw_online_accumulate(double *o, const double *p, const double *v, int n, int head_dim, int stride)
{
    for (int j = 0; j < n; j++) {
        const double *v_row = v + (long long)j * stride;
        for (int c = 0; c < head_dim; c++)
            o[c] += p[j] * v_row[c];
    }
}

void tw_online_normalize(double *o, double l, int head_dim)
{
    for (int c = 0; c < head_dim; c++)
        o[c] = l == 0.0 ? 0.0 : o[c] / l;
}

double tw_online_lse(double m, double l)
{
    return l == 0.0 ? -INFINITY : m + log(l);
}

void tw_online_merge(double *m, double *l, double *o, double m_b, double l_b, const double *o_b, int head_dim)
{
    double m_new = fmax(*m, m_b);
    double alpha = tw_online_rescale_factor(*m, m_new);
    double beta = tw_online_rescale_factor(m_b, m_new);
    for (int c = 0; c < head_dim; c++)
        o[c] = alpha * o[c] + beta * o_b[c];
    *l = alpha * *l + beta * l_b;
    *m = m_new;
}

bool tw_fixed_max_holds(const double *s, double phi, const double range[2], int n)
{
    for (int j = 0; j < n; j++)
        if (s[j] != -INFINITY && !(s[j] - phi >= range[0] && s[j] - phi <= range[1]))
            return false;
    return true;
}
