/* Strict reading of what a user typed. */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tw_quoted tw_quote(const char *text)
{
    tw_quoted quoted;
    snprintf(quoted.text, sizeof quoted.text, "%.40s%s", text, strlen(text) > 40 ? "..." : "");
    return quoted;
}

/* Digits and an optional k or M from `text` on; *end is behind them. */
static tw_status read_number(int64_t *value, const char *what, const char *text, const char **end,
                             int64_t most)
{
    int64_t x = 0;
    bool overflow = false;
    const char *c = text;
    if (!isdigit((unsigned char)*c))
        return tw_fail(TW_EINVAL, "%s is '%s', it must be a positive number such as 512 or 4k", what,
                       tw_quote(text).text);
    for (; isdigit((unsigned char)*c); c++)
        overflow = overflow || __builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, *c - '0', &x);
    int64_t factor = *c == 'k' || *c == 'K' ? 1024 : *c == 'M' ? 1024 * 1024 : 1;
    if (factor > 1)
        c++;
    overflow = overflow || __builtin_mul_overflow(x, factor, &x);
    if (overflow || x > most)
        return tw_fail(TW_EOVERFLOW, "%s is '%s', it must be at most %lld", what, tw_quote(text).text,
                       (long long)most);
    *value = x;
    *end = c;
    return TW_OK;
}

/* The same, and nothing behind it. */
static tw_status read_whole(int64_t *value, const char *what, const char *text, int64_t least, int64_t most)
{
    const char *end = text;
    int64_t x = 0;
    TW_TRY(read_number(&x, what, text, &end, most));
    if (*end != '\0')
        return tw_fail(TW_EINVAL,
                       "%s is '%s', it must be a number with at most k (1024) or M (1024^2) behind it", what,
                       tw_quote(text).text);
    if (x < least)
        return tw_fail(TW_EINVAL, "%s is '%s', it must be at least %lld", what, tw_quote(text).text,
                       (long long)least);
    *value = x;
    return TW_OK;
}

tw_status tw_parse_int(int *value, const char *what, const char *text)
{
    int64_t x = 0;
    TW_TRY(read_whole(&x, what, text, 1, INT_MAX));
    *value = (int)x;
    return TW_OK;
}

tw_status tw_parse_bytes(int64_t *value, const char *what, const char *text)
{
    return read_whole(value, what, text, 1, INT64_C(1) << 62);
}

tw_status tw_parse_seed(uint64_t *value, const char *what, const char *text)
{
    int64_t x = 0;
    TW_TRY(read_whole(&x, what, text, 0, INT64_MAX));
    *value = (uint64_t)x;
    return TW_OK;
}

tw_status tw_parse_positive(double *value, const char *what, const char *text)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || isspace((unsigned char)*text) || !isfinite(x) || x <= 0.0)
        return tw_fail(TW_EINVAL, "%s is '%s', it must be a positive number such as 0.125", what,
                       tw_quote(text).text);
    *value = x;
    return TW_OK;
}

tw_status tw_parse_number(double *value, const char *what, const char *text)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || isspace((unsigned char)*text) || !isfinite(x))
        return tw_fail(TW_EINVAL, "%s is '%s', it must be a finite number such as -2.5", what,
                       tw_quote(text).text);
    *value = x;
    return TW_OK;
}

tw_status tw_parse_fraction(double *value, const char *what, const char *text)
{
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || isspace((unsigned char)*text) || !(x >= 0.0 && x < 1.0))
        return tw_fail(TW_EINVAL, "%s is '%s', it must be at least 0 and below 1, such as 0.1", what,
                       tw_quote(text).text);
    *value = x;
    return TW_OK;
}

static tw_status append(tw_int_list *list, const char *what, const char *text, int64_t value)
{
    if (list->count == TW_LIST_MAX)
        return tw_fail(TW_EINVAL, "%s has more than %d values in '%s', it may have %d", what, TW_LIST_MAX,
                       tw_quote(text).text, TW_LIST_MAX);
    list->values[list->count++] = (int)value;
    return TW_OK;
}

/* One item: `4k` or `512..16k`. `list_text` is the whole list, for the line that complains. */
static tw_status read_item(tw_int_list *list, const char *what, const char *item, const char *list_text)
{
    const char *dots = strstr(item, "..");
    if (!dots) {
        int64_t value = 0;
        TW_TRY(read_whole(&value, what, item, 1, INT_MAX));
        return append(list, what, list_text, value);
    }
    char first[32];
    if ((size_t)(dots - item) >= sizeof first)
        return tw_fail(TW_EINVAL, "%s is '%s', it must be a range such as 512..16k", what,
                       tw_quote(item).text);
    memcpy(first, item, (size_t)(dots - item));
    first[dots - item] = '\0';
    int64_t begin = 0, end = 0;
    TW_TRY(read_whole(&begin, what, first, 1, INT_MAX));
    TW_TRY(read_whole(&end, what, dots + 2, 1, INT_MAX));
    if (end < begin)
        return tw_fail(TW_EINVAL, "%s is '%s', a range must run upwards, as in 512..16k", what,
                       tw_quote(item).text);
    for (int64_t value = begin; value <= end; value *= 2)
        TW_TRY(append(list, what, list_text, value));
    return TW_OK;
}

tw_status tw_parse_int_list(tw_int_list *list, const char *what, const char *text)
{
    tw_int_list result = {.count = 0};
    for (const char *c = text;; c++) {
        char item[72];
        size_t length = strcspn(c, ",");
        if (length == 0)
            return tw_fail(TW_EINVAL,
                           "%s is '%s', which has an empty item; it must be a list such as 512,1k,4k", what,
                           tw_quote(text).text);
        if (length >= sizeof item)
            return tw_fail(TW_EINVAL, "%s has an item '%s', it must be a number such as 512 or 4k", what,
                           tw_quote(c).text);
        memcpy(item, c, length);
        item[length] = '\0';
        TW_TRY(read_item(&result, what, item, text));
        c += length;
        if (*c == '\0')
            break;
    }
    *list = result;
    return TW_OK;
}

tw_status tw_parse_dtype(tw_dtype *dtype, const char *what, const char *text)
{
    tw_dtype found;
    if (tw_dtype_parse(&found, text) != TW_OK || found == TW_FP64)
        return tw_fail(TW_EINVAL, "%s is '%s', it must be one of fp16, bf16, fp32", what,
                       tw_quote(text).text);
    *dtype = found;
    return TW_OK;
}

tw_status tw_parse_choice(int *index, const char *what, const char *choices, const char *text)
{
    size_t length = strlen(text);
    int i = 0;
    for (const char *c = choices;; c++, i++) {
        size_t n = strcspn(c, "|");
        if (n == length && strncmp(c, text, n) == 0) {
            *index = i;
            return TW_OK;
        }
        c += n;
        if (*c == '\0')
            break;
    }
    return tw_fail(TW_EINVAL, "%s is '%s', it must be one of %s", what, tw_quote(text).text, choices);
}

int tw_edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la > 63 || lb > 63)
        return 64;
    int row[65]; /* row[j]: edits from the first i characters of a to the first j of b */
    for (size_t j = 0; j <= lb; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= lb; j++) {
            int replace = diagonal + (a[i - 1] != b[j - 1]);
            int other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < other ? replace : other;
        }
    }
    return row[lb];
}

int tw_is_near(const char *a, const char *b)
{
    int distance = tw_edit_distance(a, b);
    return distance <= 2 && distance < (int)strlen(b);
}
