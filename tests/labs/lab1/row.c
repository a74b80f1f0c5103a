/* Lab 1: a whole row of attention, and the mistakes that are usual there. */
#include "../../../cpu_ref/attention.h"
#include "judge.h"
#include "questions.h"

#include <math.h>
#include <string.h>

enum { MAX_N = LAB1_MAX_N, MAX_D = LAB1_MAX_D };

/* One question. */
typedef struct row {
    int n, d, block;
    double scale, q[MAX_D], k[MAX_N * MAX_D], v[MAX_N * MAX_D];
    double o[MAX_D], lse; /* what it should be */
} row;

static void new_row(lab_judge *judge, row *x, double size)
{
    double scratch[MAX_N];
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = 1,
                    .seqlen_k = x->n,
                    .head_dim = x->d,
                    .dtype = TW_FP64,
                    .softmax_scale = 1.0 / sqrt(x->d)};
    x->scale = p.softmax_scale;
    lab_judge_normal(judge, x->q, (size_t)x->d, size);
    lab_judge_normal(judge, x->k, (size_t)x->n * (size_t)x->d, 1.0);
    lab_judge_normal(judge, x->v, (size_t)x->n * (size_t)x->d, 1.0);
    tw_attention_gold_row(x->o, &x->lse, &p, x->q, x->k, x->v, 0, 0, 0, scratch);
}

/* ---- usual mistakes ------------------------------------------------------------------------------------------ */

/* How somebody might take the row instead. */
typedef struct mistake {
    bool no_scale, keys_stand, values_stand, tail_dropped, last_key_dropped, not_finished;
    const char *hint;
} mistake;

static const mistake mistakes[] = {
    {.no_scale = true, .hint = "The scale is missing: score j is scale * (q . k[j])."},
    {.values_stand = true,
     .hint = "Every piece took the first values again: v moves on with the piece, as k does."},
    {.keys_stand = true,
     .hint = "Every piece took the first keys again: k moves on with the piece, as v does."},
    {.tail_dropped = true, .hint = "The last piece is missing: it is shorter, and a piece all the same."},
    {.last_key_dropped = true, .hint = "The last key is missing: is the end of the last piece n?"},
    {.not_finished = true, .hint = "Is online_finish called at the end, once? It divides o by l."},
};

/* The row as this mistake has it. */
static void mistaken_row(lab1_state *st, const row *x, const mistake *m)
{
    double s[MAX_N];
    const double *values[MAX_N];
    int end = m->tail_dropped ? x->n / x->block * x->block : x->n - m->last_key_dropped;
    *st = (lab1_state){.m = -INFINITY};
    for (int j = 0; j < end; j++) {
        const double *key = x->k + (m->keys_stand ? j % x->block : j) * x->d;
        s[j] = 0.0;
        for (int c = 0; c < x->d; c++)
            s[j] += (m->no_scale ? 1.0 : x->scale) * x->q[c] * key[c];
        values[j] = x->v + (m->values_stand ? j % x->block : j) * x->d;
        st->m = fmax(st->m, s[j]);
    }
    for (int j = 0; j < end; j++) {
        double p = exp(s[j] - st->m);
        st->l += p;
        for (int c = 0; c < x->d; c++)
            st->o[c] += p * values[j][c];
    }
    for (int c = 0; c < x->d && !m->not_finished; c++)
        st->o[c] = st->l == 0.0 ? 0.0 : st->o[c] / st->l;
}

static bool all_close(const double *got, const double *want, int n)
{
    for (int i = 0; i < n; i++)
        if (!lab_close(got[i], want[i]))
            return false;
    return true;
}

/* Is a function of the online softmax wrong already? */
static bool is_built_on_sand(const lab_report *report)
{
    for (int i = 0; i < report->num_items; i++)
        if (report->items[i].lost && (strncmp(report->items[i].name, "online", 6) == 0 ||
                                      strncmp(report->items[i].name, "the end", 7) == 0))
            return true;
    return false;
}

static const char *explain(const lab_report *report, const row *x, const double *got)
{
    if (is_built_on_sand(report))
        return "A function that it uses is wrong, too: repair the items above first.";
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        lab1_state st;
        mistaken_row(&st, x, &mistakes[i]);
        if (all_close(got, st.o, x->d))
            return mistakes[i].hint;
    }
    return "Is every key in exactly one piece, also where the last piece is shorter; do k and v move on with "
           "the "
           "pieces; is each score scale * (q . k[j]); and does online_finish come at the end?";
}

/* ---- the item ------------------------------------------------------------------------------------------------ */

static void compare(const lab_report *report, lab_item *item, const row *x, const double *got)
{
    char what[80];
    if (all_close(got, x->o, x->d)) {
        snprintf(what, sizeof what, "attention_row with %d keys, %d at a time: lse", x->n, x->block);
        if (!lab_close(got[x->d], x->lse))
            lab_lose_number(item, what, got[x->d], x->lse,
                            is_built_on_sand(report)
                                ? "A function that it uses is wrong, too: repair the items above first."
                                : "o is right, so it is handed on wrongly: online_finish gives it.");
        return;
    }
    for (int c = 0; c < x->d; c++) {
        snprintf(what, sizeof what, "attention_row with %d keys, %d at a time: o[%d]", x->n, x->block, c);
        if (!lab_close(got[c], x->o[c]))
            lab_lose_number(item, what, got[c], x->o[c], explain(report, x, got));
    }
}

static void expect_row(lab_judge *judge, lab_item *item, int n, int d, int block, double size)
{
    row x = {.n = n, .d = d, .block = block};
    new_row(judge, &x, size);
    lab1_ask_for(judge, LAB1_ROW, n, d, block);
    lab_message_real(&judge->question, x.scale);
    lab_message_reals(&judge->question, x.q, (size_t)d);
    lab_message_reals(&judge->question, x.k, (size_t)n * (size_t)d);
    lab_message_reals(&judge->question, x.v, (size_t)n * (size_t)d);
    if (lab1_ask(judge, item, (size_t)d + 1, NULL))
        compare(judge->report, item, &x, judge->answer.reals);
}

void lab1_judge_row(lab_judge *judge)
{
    lab_item *item = lab_report_item(judge->report, 5, "a whole row, any number of keys at a time");
    for (int i = 0; i < 3; i++) {
        int block = lab_judge_pick(judge, 2, 8), pieces = lab_judge_pick(judge, 2, 6);
        expect_row(judge, item, block * pieces, 8, block, i ? 40.0 : 1.0);
        expect_row(judge, item, block * pieces + 1, lab_judge_pick(judge, 2, 16), block, 1.0);
        expect_row(judge, item, block * pieces - 1, 4, block, 1.0);
    }
    expect_row(judge, item, 1, 3, 64, 1.0);
    expect_row(judge, item, 64, 16, 1, 1.0);
    expect_row(judge, item, 5, 1, 2, 1.0);
    expect_row(judge, item, 70, 4, 64, 1.0);
}
