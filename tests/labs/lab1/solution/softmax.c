/* Lab 1, solved. */
#include "lab1.h"

/* e^(x - m), or 0 while the maximum m is that of nothing but masked scores. */
static double weight(double x, double m)
{
    return m == -INFINITY ? 0.0 : exp(x - m);
}

void safe_softmax(double *p, const double *s, int n)
{
    double m = -INFINITY, sum = 0.0;
    for (int j = 0; j < n; j++)
        m = fmax(m, s[j]);
    for (int j = 0; j < n; j++)
        sum += p[j] = weight(s[j], m);
    for (int j = 0; j < n; j++)
        p[j] = sum == 0.0 ? 0.0 : p[j] / sum;
}

void online_start(row_state *state, double *o, int d)
{
    *state = (row_state){.m = -INFINITY, .l = 0.0};
    for (int c = 0; c < d; c++)
        o[c] = 0.0;
}

void online_step(row_state *state, double *o, const double *s, const double *v, int n, int d)
{
    double m = state->m;
    for (int j = 0; j < n; j++)
        m = fmax(m, s[j]);
    double alpha = weight(state->m, m);
    state->m = m;
    state->l *= alpha;
    for (int c = 0; c < d; c++)
        o[c] *= alpha;
    for (int j = 0; j < n; j++) {
        double p = weight(s[j], m);
        state->l += p;
        for (int c = 0; c < d; c++)
            o[c] += p * v[j * d + c];
    }
}

void online_finish(const row_state *state, double *o, double *lse, int d)
{
    *lse = state->l == 0.0 ? -INFINITY : state->m + log(state->l);
    for (int c = 0; c < d; c++)
        o[c] = state->l == 0.0 ? 0.0 : o[c] / state->l;
}

void online_merge(row_state *a, double *o_a, const row_state *b, const double *o_b, int d)
{
    double m = fmax(a->m, b->m);
    double alpha = weight(a->m, m), beta = weight(b->m, m);
    a->m = m;
    a->l = alpha * a->l + beta * b->l;
    for (int c = 0; c < d; c++)
        o_a[c] = alpha * o_a[c] + beta * o_b[c];
}

void attention_row(double *o, double *lse, const double *q, const double *k, const double *v, int n, int d,
                   double scale, int block)
{
    row_state state;
    online_start(&state, o, d);
    for (int first = 0; first < n; first += block) {
        double s[64];
        int last = first + block < n ? first + block : n;
        for (int j = first; j < last; j++) {
            s[j - first] = 0.0;
            for (int c = 0; c < d; c++)
                s[j - first] += scale * q[c] * k[j * d + c];
        }
        online_step(&state, o, s, v + first * d, last - first, d);
    }
    online_finish(&state, o, lse, d);
}
