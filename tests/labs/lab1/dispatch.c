/* Calls the student's functions of lab 1. */
#include "../../../docs/labs/lab1/lab1.h"
#include "../worker/dispatch.h"
#include "arrays.h"
#include "questions.h"

enum { MAX_SIZE = 4096 };

/* m and l lie one behind the other, in row_state as in an array of two. */
static row_state *as_state(double *m_and_l)
{
    return (row_state *)(void *)m_and_l;
}

static void call_softmax(lab_message *answer, lab1_arrays *x, const double *at, int n)
{
    double *p = lab1_output(x, (size_t)n), *s = lab1_input(x, at, (size_t)n);
    if (x->failed)
        return;
    safe_softmax(p, s, n);
    lab_message_reals(answer, p, (size_t)n);
}

static void call_start(lab_message *answer, lab1_arrays *x, int d)
{
    double *state = lab1_output(x, 2), *o = lab1_output(x, (size_t)d);
    if (x->failed)
        return;
    online_start(as_state(state), o, d);
    lab_message_reals(answer, state, 2);
    lab_message_reals(answer, o, (size_t)d);
}

static void call_step(lab_message *answer, lab1_arrays *x, const double *at, int n, int d)
{
    double *state = lab1_in_out(x, at, 2), *o = lab1_in_out(x, at + 2, (size_t)d);
    double *s = lab1_input(x, at + 2 + d, (size_t)n);
    double *v = lab1_input(x, at + 2 + d + n, (size_t)n * (size_t)d);
    if (x->failed)
        return;
    online_step(as_state(state), o, s, v, n, d);
    lab_message_reals(answer, state, 2);
    lab_message_reals(answer, o, (size_t)d);
}

static void call_finish(lab_message *answer, lab1_arrays *x, const double *at, int d)
{
    double *state = lab1_input(x, at, 2), *o = lab1_in_out(x, at + 2, (size_t)d), *lse = lab1_output(x, 1);
    if (x->failed)
        return;
    online_finish(as_state(state), o, lse, d);
    lab_message_reals(answer, o, (size_t)d);
    lab_message_reals(answer, lse, 1);
}

static void call_merge(lab_message *answer, lab1_arrays *x, const double *at, int d)
{
    double *a = lab1_in_out(x, at, 2), *o_a = lab1_in_out(x, at + 4, (size_t)d);
    double *b = lab1_input(x, at + 2, 2), *o_b = lab1_input(x, at + 4 + d, (size_t)d);
    if (x->failed)
        return;
    online_merge(as_state(a), o_a, as_state(b), o_b, d);
    lab_message_reals(answer, a, 2);
    lab_message_reals(answer, o_a, (size_t)d);
}

static void call_row(lab_message *answer, lab1_arrays *x, const double *at, int n, int d, int block)
{
    size_t keys = (size_t)n * (size_t)d;
    double *o = lab1_output(x, (size_t)d), *lse = lab1_output(x, 1), *q = lab1_input(x, at + 1, (size_t)d);
    double *k = lab1_input(x, at + 1 + d, keys), *v = lab1_input(x, at + 1 + d + keys, keys);
    if (x->failed)
        return;
    attention_row(o, lse, q, k, v, n, d, at[0], block);
    lab_message_reals(answer, o, (size_t)d);
    lab_message_reals(answer, lse, 1);
}

/* False if there is no such function. */
static bool call(lab_message *answer, lab1_arrays *x, int function, const double *at, int n, int d, int block)
{
    switch (function) {
    case LAB1_SOFTMAX:
        call_softmax(answer, x, at, n);
        return true;
    case LAB1_START:
        call_start(answer, x, d);
        return true;
    case LAB1_STEP:
        call_step(answer, x, at, n, d);
        return true;
    case LAB1_FINISH:
        call_finish(answer, x, at, d);
        return true;
    case LAB1_MERGE:
        call_merge(answer, x, at, d);
        return true;
    case LAB1_ROW:
        call_row(answer, x, at, n, d, block);
        return true;
    default:
        return false;
    }
}

bool lab_dispatch(lab_message *answer, const lab_message *question)
{
    if (question->num_ints != 3)
        return false;
    int n = (int)question->ints[0], d = (int)question->ints[1], block = (int)question->ints[2];
    if (n < 0 || n > MAX_SIZE || d < 0 || d > MAX_SIZE)
        return false;
    lab1_arrays arrays = {.count = 0};
    bool good = call(answer, &arrays, question->function, question->reals, n, d, block) && !arrays.failed;
    lab_message_int(answer, lab1_take_back(&arrays));
    return good;
}
