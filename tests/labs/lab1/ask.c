/* Asking a function of lab 1, and noticing that it did nothing or too much. */
#include "judge.h"
#include "questions.h"

#include <math.h>

static const char *const names[LAB1_NUM_FUNCTIONS] = {
    [LAB1_SOFTMAX] = "safe_softmax", [LAB1_START] = "online_start", [LAB1_STEP] = "online_step",
    [LAB1_FINISH] = "online_finish", [LAB1_MERGE] = "online_merge", [LAB1_ROW] = "attention_row"};

/* As dispatch.c makes the arrays. */
static const char *const arguments[LAB1_NUM_FUNCTIONS][5] = {[LAB1_SOFTMAX] = {"p", "s"},
                                                             [LAB1_START] = {"state", "o"},
                                                             [LAB1_STEP] = {"state", "o", "s", "v"},
                                                             [LAB1_FINISH] = {"state", "o", "lse"},
                                                             [LAB1_MERGE] = {"a", "o_a", "b", "o_b"},
                                                             [LAB1_ROW] = {"o", "lse", "q", "k", "v"}};

void lab1_ask_for(lab_judge *judge, int function, int n, int d, int block)
{
    lab_message_clear(&judge->question, function);
    lab_message_int(&judge->question, n);
    lab_message_int(&judge->question, d);
    lab_message_int(&judge->question, block);
}

static bool did_nothing(const lab_message *answer, const double *before)
{
    for (size_t i = 0; i < answer->num_reals; i++)
        if (before && !isnan(before[i]) ? answer->reals[i] != before[i] : !isnan(answer->reals[i]))
            return false;
    return true;
}

/* The code comes from the student's process: it may be anything. */
static void lose_to_stray_write(lab_item *item, int function, int64_t code)
{
    int64_t which = code % LAB1_STRAY, kind = code / LAB1_STRAY;
    const char *array = which >= 0 && which < 5 ? arguments[function][which] : NULL;
    if (!array || kind < LAB1_BEHIND || kind > LAB1_INPUT)
        lab_lose(item, "%s: what came back is not an answer", names[function]);
    else if (kind == LAB1_INPUT)
        lab_lose(item, "%s changes %s, which is an input.", names[function], array);
    else
        lab_lose(
            item,
            "%s writes %s %s. Where, says `make check SANITIZE=address,undefined` in the handout's folder.",
            names[function], kind == LAB1_BEHIND ? "behind the end of" : "in front of", array);
}

bool lab1_ask(lab_judge *judge, lab_item *item, size_t num_reals, const double *before)
{
    int function = judge->question.function;
    if (!lab_judge_ask(judge, item, names[function], 1, num_reals))
        return false;
    if (judge->answer.ints[0] != 0)
        lose_to_stray_write(item, function, judge->answer.ints[0]);
    else if (lab_judge_is_unwritten(judge, function, did_nothing(&judge->answer, before)))
        lab_lose(item, "%s is not written yet.", names[function]);
    return !item->lost;
}
