/* What the judges of all labs share: random inputs, asking, comparing, answers.txt. */
#include "judge.h"

#include "../../../cpu_ref/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lab_judge_normal(lab_judge *judge, double *x, size_t n, double size)
{
    tw_random_normal(x, n, judge->inputs, judge->stream++);
    for (size_t i = 0; i < n; i++)
        x[i] *= size;
}

int lab_judge_pick(lab_judge *judge, int low, int high)
{
    double x;
    tw_random_normal(&x, 1, judge->inputs, judge->stream++);
    double part = fabs(x) * 1e6;
    return low + (int)fmod(floor(part), high - low + 1);
}

bool lab_judge_ask(lab_judge *judge, lab_item *item, const char *what, size_t num_ints, size_t num_reals)
{
    char why[300] = "";
    if (item->lost)
        return false;
    if (!judge->asker->ask(judge->asker, &judge->answer, &judge->question, why, sizeof why)) {
        lab_lose(item, "%s: %s", what, why);
        return false;
    }
    if (judge->answer.num_ints != num_ints || judge->answer.num_reals != num_reals) {
        lab_lose(item,
                 "%s: the answer has another size than the question asked for; your code must not use file "
                 "descriptors other than 0, 1 and 2",
                 what);
        return false;
    }
    return true;
}

bool lab_close(double x, double expected)
{
    if (isnan(x) || isnan(expected))
        return false;
    if (isinf(x) || isinf(expected))
        return x == expected;
    return fabs(x - expected) <= LAB_TOLERANCE * fmax(1.0, fabs(expected));
}

bool lab_judge_is_unwritten(lab_judge *judge, int function, bool did_nothing)
{
    if (!did_nothing)
        judge->written |= UINT64_C(1) << function;
    return !(judge->written & UINT64_C(1) << function);
}

static void write_number(char *text, size_t size, double x, int digits)
{
    if (isnan(x))
        snprintf(text, size, "NaN");
    else if (isinf(x))
        snprintf(text, size, x > 0.0 ? "INFINITY" : "-INFINITY");
    else
        snprintf(text, size, "%.*g", digits, x);
}

void lab_lose_number(lab_item *item, const char *what, double x, double expected, const char *hint)
{
    char got[40], want[40], small[120] = "";
    double difference = fabs(x - expected);
    for (int digits = 6; digits <= 17; digits++) {
        write_number(got, sizeof got, x, digits);
        write_number(want, sizeof want, expected, digits);
        if (strcmp(got, want) != 0)
            break;
    }
    if (isfinite(difference) && difference < 1e-6 * fmax(1.0, fabs(expected)))
        snprintf(small, sizeof small,
                 "The difference is only %.1g: is something computed in float? If not: ", difference);
    lab_lose(item, "%s is %s, it should be %s. %s%s", what, got, want, small, hint);
}

/* The value behind "key =" on a line of its own; NULL if there is no such line. */
static const char *value_of(const char *answers, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = answers; line; line = strchr(line, '\n')) {
        line += strspn(line, " \t\r\n");
        if (strncmp(line, key, length) != 0)
            continue;
        const char *at = line + length + strspn(line + length, " \t");
        if (*at == '=')
            return at + 1 + strspn(at + 1, " \t");
    }
    return NULL;
}

bool lab_answer(double *value, const char *answers, const char *key, char *why, size_t size)
{
    const char *text = value_of(answers, key);
    if (!text) {
        snprintf(why, size, "answers.txt has no line '%s = …'", key);
        return false;
    }
    size_t length = strcspn(text, "#\r\n");
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), text);
    word[strcspn(word, " \t")] = '\0';
    char *end;
    double x = strtod(word, &end);
    if (end == word || *end != '\0' || !isfinite(x)) {
        snprintf(why, size,
                 word[0] ? "'%s' is '%s', it must be one number, with a point for its decimals"
                         : "'%s' is not answered yet%s",
                 key, word);
        return false;
    }
    *value = x;
    return true;
}

static void note_form(lab_form *form, const char *key, bool given, const char *why)
{
    bool empty = strstr(why, "not answered yet") != NULL;
    char *text = empty ? form->missing : form->problems;
    size_t size = empty ? sizeof form->missing : sizeof form->problems, used = strlen(text);
    form->asked++;
    form->given += given;
    if (!given && empty)
        snprintf(text + used, size - used, "%s%s", used ? ", " : "", key);
    else if (!given)
        snprintf(text + used, size - used, "answers.txt: %s\n", why);
}

void lab_judge_answer(lab_judge *judge, lab_item *item, const char *key, double expected, double tolerance,
                      const char *hint)
{
    double value;
    char why[200] = "";
    bool given = !judge->no_answers && lab_answer(&value, judge->answers, key, why, sizeof why);
    if (judge->no_answers)
        lab_lose(item, "%s", judge->no_answers);
    else if (judge->form)
        note_form(judge->form, key, given, why);
    else if (!given)
        lab_lose(item, "%s", why);
    else if (fabs(value - expected) > tolerance)
        lab_lose(item, "%s = %.10g is not right: %s", key, value, hint);
}

void lab_judge_all(lab_judge *judge)
{
    lab_title(judge->report->title, sizeof judge->report->title, judge->seed);
    if (judge->answers || judge->no_answers)
        lab_judge_answers(judge);
    lab_report_settle(judge->report);
    lab_judge_code(judge);
    lab_report_settle(judge->report);
}
