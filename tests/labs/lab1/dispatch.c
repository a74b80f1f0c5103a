/* Calls the student's functions of lab 1. */
#include "../../../docs/labs/lab1/lab1.h"
#include "../worker/dispatch.h"
#include "questions.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 4096 };

static double *next(const double **at, size_t n)
{
    double *copy = malloc((n + 1) *
                          sizeof *copy); /* the student's own copy, so that a stray write is found sooner */
    if (copy && n)
        memcpy(copy, *at, n * sizeof *copy);
    *at += n;
    return copy;
}

static void answer_state(lab_message *answer, const row_state *state, const double *o, int d)
{
    lab_message_real(answer, state->m);
    lab_message_real(answer, state->l);
    lab_message_reals(answer, o, (size_t)d);
}

static void call_softmax(lab_message *answer, const double *s, int n)
{
    double *p = lab_message_room(answer, (size_t)n);
    if (p)
        safe_softmax(p, s, n);
}

static void call_start(lab_message *answer, int d)
{
    double o[MAX_SIZE];
    row_state state = {NAN, NAN};
    for (int c = 0; c < d; c++)
        o[c] = NAN;
    online_start(&state, o, d);
    answer_state(answer, &state, o, d);
}

static void call_step(lab_message *answer, const double *at, int n, int d)
{
    row_state state = {at[0], at[1]};
    at += 2;
    double *o = next(&at, (size_t)d), *s = next(&at, (size_t)n), *v = next(&at, (size_t)n * (size_t)d);
    if (o && s && v)
        online_step(&state, o, s, v, n, d);
    if (o)
        answer_state(answer, &state, o, d);
    free(o), free(s), free(v);
}

static void call_finish(lab_message *answer, const double *at, int d)
{
    row_state state = {at[0], at[1]};
    double lse = NAN;
    at += 2;
    double *o = next(&at, (size_t)d);
    if (o) {
        online_finish(&state, o, &lse, d);
        lab_message_reals(answer, o, (size_t)d);
    }
    lab_message_real(answer, lse);
    free(o);
}

static void call_merge(lab_message *answer, const double *at, int d)
{
    row_state a = {at[0], at[1]}, b = {at[2], at[3]};
    at += 4;
    double *o_a = next(&at, (size_t)d), *o_b = next(&at, (size_t)d);
    if (o_a && o_b) {
        online_merge(&a, o_a, &b, o_b, d);
        answer_state(answer, &a, o_a, d);
    }
    free(o_a), free(o_b);
}

static void call_row(lab_message *answer, const double *at, int n, int d, int block)
{
    double scale = *at++, lse = NAN;
    size_t keys = (size_t)n * (size_t)d;
    double *q = next(&at, (size_t)d), *k = next(&at, keys), *v = next(&at, keys);
    double *o = lab_message_room(answer, (size_t)d);
    if (q && k && v && o)
        attention_row(o, &lse, q, k, v, n, d, scale, block);
    lab_message_real(answer, lse);
    free(q), free(k), free(v);
}

bool lab_dispatch(lab_message *answer, const lab_message *question)
{
    if (question->num_ints != 3)
        return false;
    int n = (int)question->ints[0], d = (int)question->ints[1], block = (int)question->ints[2];
    if (n < 0 || n > MAX_SIZE || d < 0 || d > MAX_SIZE)
        return false;
    const double *reals = question->reals;
    switch (question->function) {
    case LAB1_SOFTMAX:
        call_softmax(answer, reals, n);
        return true;
    case LAB1_START:
        call_start(answer, d);
        return true;
    case LAB1_STEP:
        call_step(answer, reals, n, d);
        return true;
    case LAB1_FINISH:
        call_finish(answer, reals, d);
        return true;
    case LAB1_MERGE:
        call_merge(answer, reals, d);
        return true;
    case LAB1_ROW:
        call_row(answer, reals, n, d, block);
        return true;
    default:
        return false;
    }
}
