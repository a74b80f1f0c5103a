/* Lab 1: what is asked of safe and online softmax, and what each wrong answer usually means. */
#include "judge.h"
#include "../../../cpu_ref/attention.h"
#include "questions.h"

#include <math.h>
#include <string.h>

enum { MAX_N = LAB1_MAX_N, MAX_D = LAB1_MAX_D };

typedef lab1_state state;

/* ---- safe softmax ---------------------------------------------------------------------------------------- */

static void expect_softmax(lab_judge *judge, lab_item *item, const double *s, int n, const char *hint)
{
    double p[MAX_N], m = tw_online_max(-INFINITY, s, n);
    char what[60];
    tw_online_exp(p, s, m, n);
    tw_online_normalize(p, tw_online_sum(0.0, 0.0, p, n), n);
    lab1_ask_for(judge, LAB1_SOFTMAX, n, 1, 1);
    lab_message_reals(&judge->question, s, (size_t)n);
    if (!lab1_ask(judge, item, (size_t)n, NULL))
        return;
    for (int j = 0; j < n; j++) {
        snprintf(what, sizeof what, "safe_softmax of %d scores: p[%d]", n, j);
        if (!lab_close(judge->answer.reals[j], p[j]))
            lab_lose_number(item, what, judge->answer.reals[j], p[j], hint);
    }
}

/* By whether the maximum is below 0, where who starts to search for it at 0 goes wrong. */
static void expect_large_softmax(lab_judge *judge, lab_item *item, const double *s, int n)
{
    bool below = tw_online_max(-INFINITY, s, n) < 0.0;
    expect_softmax(
        judge, item, s, n,
        below ? "Is the maximum of the row subtracted before the exponential is taken, also here, where all "
                "scores are far below 0: where does the search for it start?"
              : "Is the maximum of the row subtracted before the exponential is taken? Without that, e^s "
                "overflows, or all of them underflow to 0.");
}

static void judge_large_softmax(lab_judge *judge, lab_item *item, double *s, int n, int round)
{
    lab_judge_normal(judge, s, (size_t)n, 4000.0);
    s[0] = round % 2 ? -9999.0 : 9999.0;
    expect_large_softmax(judge, item, s, n);
    lab_judge_normal(judge, s, (size_t)n, 1.0);
    for (int j = 0; j < n; j++)
        s[j] -= 5000.0;
    expect_large_softmax(judge, item, s, n);
}

static void judge_softmax(lab_judge *judge)
{
    lab_item *plain = lab_report_item(judge->report, 5, "safe softmax: ordinary scores");
    lab_item *large = lab_report_item(judge->report, 5, "safe softmax: scores as large as 10000");
    lab_item *masked = lab_report_item(judge->report, 5, "safe softmax: masked scores");
    double s[MAX_N];
    for (int i = 0; i < 4; i++) {
        int n = i == 0 ? 1 : lab_judge_pick(judge, 2, 40);
        lab_judge_normal(judge, s, (size_t)n, 2.0);
        expect_softmax(judge, plain, s, n, "Divide each e^s by the sum of all n of them.");
        judge_large_softmax(judge, large, s, n, i);
        lab_judge_normal(judge, s, (size_t)n, 2.0);
        s[n - 1] = -INFINITY;
        expect_softmax(judge, masked, s, n,
                       "A masked score counts for nothing. Where all are masked, the maximum is "
                       "-INFINITY, and -INFINITY minus itself is NaN: this case needs a guard.");
    }
}

/* ---- one step -------------------------------------------------------------------------------------------- */

/* Scores s, and the value row of score j at v[j * row], its columns `column` apart. */
static void step_over(state *st, const double *s, const double *v, int n, int d, int row, int column)
{
    double p[MAX_N], m = tw_online_max(st->m, s, n), alpha = tw_online_rescale_factor(st->m, m);
    tw_online_exp(p, s, m, n);
    st->l = tw_online_sum(st->l, alpha, p, n);
    tw_online_rescale(st->o, alpha, d);
    for (int j = 0; j < n; j++)
        for (int c = 0; c < d; c++)
            st->o[c] += p[j] * v[j * row + c * column];
    st->m = m;
}

static void step(state *st, const double *s, const double *v, int n, int d)
{
    step_over(st, s, v, n, d, d, 1);
}

static bool ask_step(lab_judge *judge, lab_item *item, const state *st, const double *s, const double *v,
                     int n, int d)
{
    lab1_ask_for(judge, LAB1_STEP, n, d, 1);
    lab_message_reals(&judge->question, &st->m, 1);
    lab_message_reals(&judge->question, &st->l, 1);
    lab_message_reals(&judge->question, st->o, (size_t)d);
    lab_message_reals(&judge->question, s, (size_t)n);
    lab_message_reals(&judge->question, v, (size_t)n * (size_t)d);
    return lab1_ask(judge, item, (size_t)d + 2, &st->m);
}

/* m and l; `m_is` says what m is the larger of. */
static void expect_sums(lab_item *item, const double *got, const state *want, const char *m_is,
                        const char *hint)
{
    char m_hint[LAB_REASON];
    snprintf(m_hint, sizeof m_hint, "It is the larger of %s. %s", m_is, hint);
    if (!lab_close(got[0], want->m))
        lab_lose_number(item, "m", got[0], want->m, m_hint);
    if (!lab_close(got[1], want->l))
        lab_lose_number(item, "l", got[1], want->l, hint);
}

/* The first wrong number of o; -1 if all are right. */
static int wrong_output(const double *got, const state *want, int d)
{
    for (int c = 0; c < d; c++)
        if (!lab_close(got[2 + c], want->o[c]))
            return c;
    return -1;
}

static void expect_output(lab_item *item, const double *got, const state *want, int d, const char *hint)
{
    char what[20];
    int c = wrong_output(got, want, d);
    if (c < 0)
        return;
    snprintf(what, sizeof what, "o[%d]", c);
    lab_lose_number(item, what, got[2 + c], want->o[c], hint);
}

/* A state after a few scores around `centre`, and the next piece around `next`. */
typedef struct piece {
    int n, d;
    state before, after;
    double s[MAX_N], v[MAX_N * MAX_D];
} piece;

static void new_piece(lab_judge *judge, piece *x, double centre, double next, double size)
{
    x->n = lab_judge_pick(judge, 1, 9);
    x->d = lab_judge_pick(judge, 1, 8);
    x->before = (state){.m = -INFINITY};
    for (int i = 0; i < 2; i++) {
        lab_judge_normal(judge, x->s, (size_t)x->n, size);
        lab_judge_normal(judge, x->v, (size_t)x->n * (size_t)x->d, 1.0);
        for (int j = 0; j < x->n; j++)
            x->s[j] += i ? next : centre;
        if (i == 0 && isfinite(centre))
            step(&x->before, x->s, x->v, x->n, x->d);
    }
    x->after = x->before;
    step(&x->after, x->s, x->v, x->n, x->d);
}

/* Right but for v, which was read column by column? */
static bool is_other_layout(const piece *x, const double *got)
{
    state other = x->before;
    step_over(&other, x->s, x->v, x->n, x->d, 1, x->n);
    return wrong_output(got, &other, x->d) < 0;
}

static void expect_step(lab_judge *judge, lab_item *sums, lab_item *output, piece *x, const char *hint)
{
    lab_item *asker = sums->lost ? output : sums;
    if (!ask_step(judge, asker, &x->before, x->s, x->v, x->n, x->d)) {
        if (asker->lost)
            lab_lose(output, "%s", asker->reason);
        return;
    }
    expect_sums(sums, judge->answer.reals, &x->after, "the old m and the new scores", hint);
    expect_output(output, judge->answer.reals, &x->after, x->d,
                  is_other_layout(x, judge->answer.reals)
                      ? "The value row of score j begins at v[j * d], and its d columns lie side by side."
                      : hint);
}

static void judge_start(lab_judge *judge)
{
    lab_item *item = lab_report_item(judge->report, 5, "online: the state at the start");
    lab1_ask_for(judge, LAB1_START, 0, 3, 1);
    if (!lab1_ask(judge, item, 5, NULL))
        return;
    const double *got = judge->answer.reals;
    if (isnan(got[0]))
        lab_lose(item, "online_start leaves m as it was; it should be -INFINITY.");
    if (got[0] != -INFINITY)
        lab_lose(item, "m starts at %g, it should be -INFINITY: a row may have nothing but scores below %g.",
                 got[0], got[0]);
    for (int i = 1; i < 5; i++)
        if (got[i] != 0.0)
            lab_lose(item, "%s starts at %g, it should be 0.", i == 1 ? "l" : "o", got[i]);
}

static void judge_steps(lab_judge *judge)
{
    lab_item *first = lab_report_item(judge->report, 5, "online: the first piece of a row");
    lab_item *sums = lab_report_item(judge->report, 5,
                                     "online: m and l when a piece brings a larger maximum");
    lab_item *output = lab_report_item(judge->report, 5, "online: o when a piece brings a larger maximum");
    lab_item *smaller = lab_report_item(judge->report, 5,
                                        "online: a piece of smaller scores, and scores to 10000");
    piece x;
    for (int i = 0; i < 4; i++) { /* whether the maximum grows is never left to chance */
        new_piece(judge, &x, -INFINITY, i == 3 ? -900.0 : 0.0, 1.0);
        expect_step(judge, first, first, &x,
                    "First piece: m is its maximum, l the sum of e^(s - m), o the sum of e^(s - m) v.");
        new_piece(judge, &x, 0.0, 8.0, 1.0);
        expect_step(
            judge, sums, output, &x,
            "When the maximum grows from m to m', the sums so far were taken relative to the old one: both l "
            "and o must be rescaled by e^(m - m') before the piece is added.");
        new_piece(judge, &x, 2.0, -2.0, 0.5);
        expect_step(
            judge, smaller, smaller, &x,
            "A piece of smaller scores leaves m as it is and needs no rescaling, but its own terms are "
            "still added to l and o.");
        new_piece(judge, &x, i % 2 ? -3000.0 : 8000.0, i % 2 ? -9000.0 : -8000.0, 300.0);
        expect_step(judge, smaller, smaller, &x,
                    "Every exponential should be of a score minus the new maximum, so "
                    "that none is above 1.");
    }
}

/* ---- the end, and merging ---------------------------------------------------------------------------------- */

static void compare_finish(lab_judge *judge, lab_item *o_item, lab_item *lse_item, const state *st, int d,
                           const char *hint)
{
    const double *got = judge->answer.reals, lse = tw_online_lse(st->m, st->l);
    state want = *st;
    char what[30];
    tw_online_normalize(want.o, st->l, d);
    for (int c = 0; c < d; c++) {
        snprintf(what, sizeof what, "o[%d] at the end", c);
        if (!lab_close(got[c], want.o[c]))
            lab_lose_number(o_item, what, got[c], want.o[c], hint);
    }
    if (!lab_close(got[d], lse))
        lab_lose_number(lse_item, "lse", got[d], lse,
                        isinf(lse) ? "It is the logarithm of an empty sum. Where l is 0, a guard is needed."
                                   : "It is ln(sum of e^s) = m + ln l, since l is relative to m.");
}

static void expect_finish(lab_judge *judge, lab_item *o_item, lab_item *lse_item, const state *st, int d,
                          const char *hint)
{
    double before[MAX_D + 1];
    memcpy(before, st->o, (size_t)d * sizeof *before);
    before[d] = NAN;
    lab1_ask_for(judge, LAB1_FINISH, 0, d, 1);
    lab_message_reals(&judge->question, &st->m, 1);
    lab_message_reals(&judge->question, &st->l, 1);
    lab_message_reals(&judge->question, st->o, (size_t)d);
    lab_item *asker = o_item->lost ? lse_item : o_item;
    if (lab1_ask(judge, asker, (size_t)d + 1, before))
        compare_finish(judge, o_item, lse_item, st, d, hint);
    else if (asker->lost)
        lab_lose(lse_item, "%s", asker->reason);
}

static void judge_finish(lab_judge *judge)
{
    lab_item *o = lab_report_item(judge->report, 5, "the end of a row: o is divided by l");
    lab_item *lse = lab_report_item(judge->report, 5, "the end of a row: LSE");
    piece x;
    for (int i = 0; i < 3; i++) {
        new_piece(judge, &x, 3.0, i * 200.0, 1.0);
        expect_finish(judge, o, lse, &x.after, x.d,
                      "o holds a sum relative to m; dividing it by l, once, normalises it.");
    }
}

static void expect_merge(lab_judge *judge, lab_item *item, const state *a, const state *b, int d,
                         const char *hint)
{
    state want = *a;
    tw_online_merge(&want.m, &want.l, want.o, b->m, b->l, b->o, d);
    lab1_ask_for(judge, LAB1_MERGE, 0, d, 1);
    lab_message_reals(&judge->question, (const double[]){a->m, a->l, b->m, b->l}, 4);
    lab_message_reals(&judge->question, a->o, (size_t)d);
    lab_message_reals(&judge->question, b->o, (size_t)d);
    if (!lab1_ask(judge, item, (size_t)d + 2, &a->m))
        return;
    expect_sums(item, judge->answer.reals, &want, "the two parts' m", hint);
    expect_output(item, judge->answer.reals, &want, d, hint);
}

static void judge_merge(lab_judge *judge)
{
    lab_item *second = lab_report_item(judge->report, 5, "merge: the second part has the larger maximum");
    lab_item *first = lab_report_item(judge->report, 5, "merge: the first part has the larger maximum");
    lab_item *empty = lab_report_item(judge->report, 5, "merge: a part that saw nothing");
    static const char hint[] =
        "Both parts must be brought to the common maximum max(m_a, m_b): each is scaled by "
        "e^(its m - common m), l and o alike.";
    static const char guard[] =
        "A part that saw nothing (m = -INFINITY, l = 0) changes nothing, on either side; two of "
        "them stay one. e^(-INFINITY + INFINITY) is NaN and needs a guard.";
    piece x, y;
    for (int i = 0; i < 3; i++) {
        new_piece(judge, &x, 0.0, 1.0, 1.0);
        new_piece(judge, &y, 5.0, 8.0 + 400.0 * i, 1.0);
        state nothing = {.m = -INFINITY};
        expect_merge(judge, second, &x.after, &y.after, x.d < y.d ? x.d : y.d, hint);
        expect_merge(judge, first, &y.after, &x.after, x.d < y.d ? x.d : y.d, hint);
        expect_merge(judge, empty, &nothing, &x.after, x.d, guard);
        expect_merge(judge, empty, &x.after, &nothing, x.d, guard);
        expect_merge(judge, empty, &nothing, &nothing, x.d, guard);
    }
}

/* ---- masked rows, and everything ---------------------------------------------------------------------------- */

static void judge_masked(lab_judge *judge)
{
    lab_item *pieces = lab_report_item(judge->report, 5,
                                       "masked: pieces of which nothing, or not all, is seen");
    lab_item *rows = lab_report_item(judge->report, 5,
                                     "masked: a row that sees nothing ends as 0 and -INFINITY");
    static const char hint[] =
        "A masked score has weight 0, the others of its piece count as ever. While nothing has been seen, m' "
        "is still -INFINITY, and e^(m - m') and e^(s - m') would "
        "be NaN: they have to be 0.";
    piece x;
    for (int i = 0; i < 2; i++) {
        new_piece(judge, &x, i ? 2.0 : -INFINITY, -INFINITY, 1.0);
        expect_step(judge, pieces, pieces, &x, hint);
        new_piece(judge, &x, i ? 2.0 : -INFINITY, -8.0, 1.0);
        x.s[x.n - 1] = -INFINITY;
        x.after = x.before;
        step(&x.after, x.s, x.v, x.n, x.d);
        expect_step(judge, pieces, pieces, &x, hint);
    }
    state nothing = {.m = -INFINITY};
    expect_finish(judge, rows, rows, &nothing, 4,
                  "By convention a row that sees nothing gives 0, not 0 / 0.");
}

void lab_judge_code(lab_judge *judge)
{
    static void (*const parts[])(lab_judge * judge) = {
        judge_softmax, judge_start, judge_steps, judge_finish, judge_merge, judge_masked, lab1_judge_row};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        parts[i](judge);
        lab_report_settle(judge->report);
    }
}
