/* Lab 1: what is asked of safe and online softmax, and what each wrong answer usually means. */
#include "../../../cpu_ref/attention.h"
#include "../grader/judge.h"
#include "questions.h"
#include "variant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_N = 80, MAX_D = 24 };

/* The state of a row: m, l, then o, as questions and answers have it. */
typedef struct state {
    double m, l, o[MAX_D];
} state;

static void ask_for(lab_judge *judge, int function, int n, int d, int block)
{
    lab_message_clear(&judge->question, function);
    lab_message_int(&judge->question, n);
    lab_message_int(&judge->question, d);
    lab_message_int(&judge->question, block);
}

/* ---- safe softmax ---------------------------------------------------------------------------------------- */

static void expect_softmax(lab_judge *judge, lab_item *item, const double *s, int n, const char *hint)
{
    double p[MAX_N], m = tw_online_max(-INFINITY, s, n);
    tw_online_exp(p, s, m, n);
    tw_online_normalize(p, tw_online_sum(0.0, 0.0, p, n), n);
    ask_for(judge, LAB1_SOFTMAX, n, 1, 1);
    lab_message_reals(&judge->question, s, (size_t)n);
    if (!lab_judge_ask(judge, item, "safe_softmax", 0, (size_t)n))
        return;
    for (int j = 0; j < n; j++)
        if (!lab_close(judge->answer.reals[j], p[j]))
            lab_lose(item, "safe_softmax of %d scores: p[%d] is %.6g, it should be %.6g. %s", n, j,
                     judge->answer.reals[j], p[j], hint);
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
        lab_judge_normal(judge, s, (size_t)n, 4000.0);
        s[0] = i % 2 ? 9999.0 : -9999.0;
        expect_softmax(judge, large, s, n,
                       "Is the maximum of the row subtracted before the exponential is taken? "
                       "Without that, e^s overflows, or all of them underflow to 0.");
        lab_judge_normal(judge, s, (size_t)n, 2.0);
        s[n - 1] = -INFINITY;
        expect_softmax(judge, masked, s, n,
                       "A masked score counts for nothing. Where all are masked, the maximum is "
                       "-INFINITY, and -INFINITY minus itself is NaN: this case needs a guard.");
    }
}

/* ---- one step -------------------------------------------------------------------------------------------- */

static void step(state *st, const double *s, const double *v, int n, int d)
{
    double p[MAX_N], m = tw_online_max(st->m, s, n), alpha = tw_online_rescale_factor(st->m, m);
    tw_online_exp(p, s, m, n);
    st->l = tw_online_sum(st->l, alpha, p, n);
    tw_online_rescale(st->o, alpha, d);
    tw_online_accumulate(st->o, p, v, n, d, d);
    st->m = m;
}

static bool ask_step(lab_judge *judge, lab_item *item, const state *st, const double *s, const double *v,
                     int n, int d)
{
    ask_for(judge, LAB1_STEP, n, d, 1);
    lab_message_reals(&judge->question, &st->m, 1);
    lab_message_reals(&judge->question, &st->l, 1);
    lab_message_reals(&judge->question, st->o, (size_t)d);
    lab_message_reals(&judge->question, s, (size_t)n);
    lab_message_reals(&judge->question, v, (size_t)n * (size_t)d);
    return lab_judge_ask(judge, item, "online_step", 0, (size_t)d + 2);
}

static void expect_sums(lab_item *item, const double *got, const state *want, const char *hint)
{
    if (!lab_close(got[0], want->m))
        lab_lose(item, "m is %.6g, it should be %.6g: the larger of the old m and the new scores. %s", got[0],
                 want->m, hint);
    if (!lab_close(got[1], want->l))
        lab_lose(item, "l is %.6g, it should be %.6g. %s", got[1], want->l, hint);
}

static void expect_output(lab_item *item, const double *got, const state *want, int d, const char *hint)
{
    for (int c = 0; c < d; c++)
        if (!lab_close(got[2 + c], want->o[c]))
            lab_lose(item, "o[%d] is %.6g, it should be %.6g. %s", c, got[2 + c], want->o[c], hint);
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

static void expect_step(lab_judge *judge, lab_item *sums, lab_item *output, piece *x, const char *hint)
{
    lab_item *asker = sums->lost ? output : sums;
    if (!ask_step(judge, asker, &x->before, x->s, x->v, x->n, x->d)) {
        if (asker->lost)
            lab_lose(output, "%s", asker->reason);
        return;
    }
    expect_sums(sums, judge->answer.reals, &x->after, hint);
    expect_output(output, judge->answer.reals, &x->after, x->d, hint);
}

static void judge_start(lab_judge *judge)
{
    lab_item *item = lab_report_item(judge->report, 5, "online: the state at the start");
    ask_for(judge, LAB1_START, 0, 3, 1);
    if (!lab_judge_ask(judge, item, "online_start", 0, 5))
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
        new_piece(judge, &x, 5.0, -5.0, 1.0);
        expect_step(judge, smaller, smaller, &x,
                    "A piece of smaller scores leaves m and the sums so far as they are.");
        new_piece(judge, &x, i % 2 ? -3000.0 : 8000.0, i % 2 ? -9000.0 : -8000.0, 300.0);
        expect_step(judge, smaller, smaller, &x,
                    "Every exponential should be of a score minus the new maximum, so "
                    "that none is above 1.");
    }
}

/* ---- the end, and merging ---------------------------------------------------------------------------------- */

static void expect_finish(lab_judge *judge, lab_item *o_item, lab_item *lse_item, const state *st, int d,
                          const char *hint)
{
    state want = *st;
    tw_online_normalize(want.o, st->l, d);
    ask_for(judge, LAB1_FINISH, 0, d, 1);
    lab_message_reals(&judge->question, &st->m, 1);
    lab_message_reals(&judge->question, &st->l, 1);
    lab_message_reals(&judge->question, st->o, (size_t)d);
    lab_item *asker = o_item->lost ? lse_item : o_item;
    if (!lab_judge_ask(judge, asker, "online_finish", 0, (size_t)d + 1)) {
        if (asker->lost)
            lab_lose(lse_item, "%s", asker->reason);
        return;
    }
    const double *got = judge->answer.reals;
    for (int c = 0; c < d; c++)
        if (!lab_close(got[c], want.o[c]))
            lab_lose(o_item, "o[%d] is %.6g at the end, it should be %.6g. %s", c, got[c], want.o[c], hint);
    double lse = tw_online_lse(st->m, st->l);
    if (!lab_close(got[d], lse))
        lab_lose(lse_item, "lse is %.6g, it should be %.6g: %s", got[d], lse,
                 isinf(lse) ? "-INFINITY, as the logarithm of an empty sum. Where l is 0, a guard is needed."
                            : "ln(sum of e^s) = m + ln l, since l is relative to m.");
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
    ask_for(judge, LAB1_MERGE, 0, d, 1);
    lab_message_reals(&judge->question, (const double[]){a->m, a->l, b->m, b->l}, 4);
    lab_message_reals(&judge->question, a->o, (size_t)d);
    lab_message_reals(&judge->question, b->o, (size_t)d);
    if (!lab_judge_ask(judge, item, "online_merge", 0, (size_t)d + 2))
        return;
    expect_sums(item, judge->answer.reals, &want, hint);
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
        expect_merge(judge, empty, &x.after, &nothing, x.d, guard);
        expect_merge(judge, empty, &nothing, &x.after, x.d, guard);
        expect_merge(judge, empty, &nothing, &nothing, x.d, guard);
    }
}

/* ---- masked rows, and a whole row --------------------------------------------------------------------------- */

static void judge_masked(lab_judge *judge)
{
    lab_item *pieces = lab_report_item(judge->report, 5,
                                       "masked: pieces of which nothing, or not all, is seen");
    lab_item *rows = lab_report_item(judge->report, 5,
                                     "masked: a row that sees nothing ends as 0 and -INFINITY");
    static const char hint[] =
        "While nothing has been seen, m' is still -INFINITY, and e^(m - m') and e^(s - m') would "
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

static void expect_row(lab_judge *judge, lab_item *item, int n, int d, int block, double size)
{
    double q[MAX_D], k[MAX_N * MAX_D], v[MAX_N * MAX_D], o[MAX_D], lse, scratch[MAX_N];
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 1,
                    .seqlen_k = n,
                    .head_dim = d,
                    .dtype = TW_FP64,
                    .softmax_scale = 1.0 / sqrt(d)};
    lab_judge_normal(judge, q, (size_t)d, size);
    lab_judge_normal(judge, k, (size_t)n * (size_t)d, 1.0);
    lab_judge_normal(judge, v, (size_t)n * (size_t)d, 1.0);
    tw_attention_gold_row(o, &lse, &p, q, k, v, 0, 0, 0, scratch);
    ask_for(judge, LAB1_ROW, n, d, block);
    lab_message_real(&judge->question, p.softmax_scale);
    lab_message_reals(&judge->question, q, (size_t)d);
    lab_message_reals(&judge->question, k, (size_t)n * (size_t)d);
    lab_message_reals(&judge->question, v, (size_t)n * (size_t)d);
    if (!lab_judge_ask(judge, item, "attention_row", 0, (size_t)d + 1))
        return;
    static const char hint[] =
        "Is every key in exactly one piece, also where the last piece is shorter, and is each score "
        "scale * (q . k)?";
    for (int c = 0; c < d; c++)
        if (!lab_close(judge->answer.reals[c], o[c]))
            lab_lose(item, "attention_row with %d keys, %d at a time: o[%d] is %.6g, it should be %.6g. %s",
                     n, block, c, judge->answer.reals[c], o[c], hint);
    if (!lab_close(judge->answer.reals[d], lse))
        lab_lose(item, "attention_row with %d keys, %d at a time: lse is %.6g, it should be %.6g. %s", n,
                 block, judge->answer.reals[d], lse, hint);
}

static void judge_row(lab_judge *judge)
{
    lab_item *item = lab_report_item(judge->report, 5, "a whole row, any number of keys at a time");
    for (int i = 0; i < 3; i++) {
        int block = lab_judge_pick(judge, 2, 8), pieces = lab_judge_pick(judge, 2, 6);
        expect_row(judge, item, block * pieces, 8, block, i ? 40.0 : 1.0);
        expect_row(judge, item, block * pieces + 1, lab_judge_pick(judge, 1, 16), block, 1.0);
        expect_row(judge, item, block * pieces - 1, 4, block, 1.0);
    }
    expect_row(judge, item, 1, 3, 64, 1.0);
    expect_row(judge, item, 64, 16, 1, 1.0);
}

/* ---- answers.txt ------------------------------------------------------------------------------------------- */

static void judge_limits(lab_judge *judge)
{
    lab_item *item = lab_report_item(judge->report, 5, "answers: where e^x overflows");
    lab_judge_answer(
        judge, item, "fp64_limit", 709, 0.0,
        "the largest number of the format is 1.797e308, and its natural logarithm is what counts");
    lab_judge_answer(
        judge, item, "fp32_limit", 88, 0.0,
        "the largest number of the format is 3.403e38, and its natural logarithm is what counts");
    lab_judge_answer(judge, item, "fp16_limit", 11, 0.0,
                     "the largest number of the format is 65504, and its natural logarithm is what counts");
}

static void judge_by_hand(lab_judge *judge)
{
    static const char *const names[2][3] = {{"m1", "l1", "o1"}, {"m2", "l2", "o2"}};
    lab_item *items[2] = {lab_report_item(judge->report, 5, "answers: the first piece by hand"),
                          lab_report_item(judge->report, 5, "answers: the second piece by hand")};
    lab_item *end = lab_report_item(judge->report, 5, "answers: the end of the row by hand");
    lab1_variant t = lab1_variant_of(judge->seed);
    state st = {.m = -INFINITY};
    for (int i = 0; i < 2; i++) {
        step(&st, t.s + 2 * i, t.v + 2 * i, 2, 1);
        const char *hint = i ? "is what the first piece left rescaled by e^(m1 - m2)?"
                             : "is it relative to m1?";
        lab_judge_answer(judge, items[i], names[i][0], st.m, 0.0005, "it is the largest score so far");
        lab_judge_answer(judge, items[i], names[i][1], st.l, 0.002 + 0.001 * fabs(st.l), hint);
        lab_judge_answer(judge, items[i], names[i][2], st.o[0], 0.002 + 0.001 * fabs(st.o[0]), hint);
    }
    double output = st.o[0] / st.l, lse = tw_online_lse(st.m, st.l);
    lab_judge_answer(judge, end, "output", output, 0.002 + 0.001 * fabs(output), "it is o2 / l2");
    lab_judge_answer(judge, end, "lse", lse, 0.002 + 0.001 * fabs(lse), "it is m2 + ln l2");
}

void lab_judge_all(lab_judge *judge)
{
    snprintf(judge->report->title, sizeof judge->report->title, "Lab 1: safe and online softmax");
    if (judge->answers) {
        judge_limits(judge);
        judge_by_hand(judge);
    }
    judge_softmax(judge);
    judge_start(judge);
    judge_steps(judge);
    judge_finish(judge);
    judge_merge(judge);
    judge_masked(judge);
    judge_row(judge);
}
