/* Lab 1: what was worked out on paper. */
#include "../../../cpu_ref/attention.h"
#include "../grader/judge.h"
#include "variant.h"

#include <math.h>

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

/* Two scores more, with a value each. */
static void take_piece(double *m, double *l, double *o, const double s[2], const double v[2])
{
    double p[2], larger = tw_online_max(*m, s, 2), alpha = tw_online_rescale_factor(*m, larger);
    tw_online_exp(p, s, larger, 2);
    *l = tw_online_sum(*l, alpha, p, 2);
    tw_online_rescale(o, alpha, 1);
    tw_online_accumulate(o, p, v, 2, 1, 1);
    *m = larger;
}

static void judge_by_hand(lab_judge *judge)
{
    static const char *const names[2][3] = {{"m1", "l1", "o1"}, {"m2", "l2", "o2"}};
    lab_item *items[2] = {lab_report_item(judge->report, 5, "answers: the first piece by hand"),
                          lab_report_item(judge->report, 5, "answers: the second piece by hand")};
    lab_item *end = lab_report_item(judge->report, 5, "answers: the end of the row by hand");
    lab1_variant t = lab1_variant_of(judge->seed);
    double m = -INFINITY, l = 0.0, o = 0.0;
    for (int i = 0; i < 2; i++) {
        take_piece(&m, &l, &o, t.s + 2 * i, t.v + 2 * i);
        const char *hint = i ? "is what the first piece left rescaled by e^(m1 - m2)?"
                             : "is it relative to m1?";
        lab_judge_answer(judge, items[i], names[i][0], m, 0.0005, "it is the largest score so far");
        lab_judge_answer(judge, items[i], names[i][1], l, 0.002 + 0.001 * fabs(l), hint);
        lab_judge_answer(judge, items[i], names[i][2], o, 0.002 + 0.001 * fabs(o), hint);
    }
    double output = o / l, lse = tw_online_lse(m, l);
    lab_judge_answer(judge, end, "output", output, 0.002 + 0.001 * fabs(output), "it is o2 / l2");
    lab_judge_answer(judge, end, "lse", lse, 0.002 + 0.001 * fabs(lse), "it is m2 + ln l2");
}

void lab_judge_answers(lab_judge *judge)
{
    judge_limits(judge);
    judge_by_hand(judge);
}
