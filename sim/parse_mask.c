/* Strict reading of what a user typed of a mask. */
#include "parse_mask.h"

#include "parse.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies what stands before the next comma, or the end; false if it is too long to be a number. */
static int copy_item(char item[32], const char *text)
{
    size_t length = strcspn(text, ",");
    if (length >= 32)
        return 0;
    memcpy(item, text, length);
    item[length] = '\0';
    return 1;
}

/* A number from 0 up, or −1 where that is allowed. */
static tw_status read_side(int *value, const char *what, const char *item, int minus_one)
{
    uint64_t x = 0;
    if (minus_one && strcmp(item, "-1") == 0) {
        *value = -1;
        return TW_OK;
    }
    TW_TRY(tw_parse_seed(&x, what, item));
    if (x > INT_MAX)
        return tw_fail(TW_EOVERFLOW, "%s is '%s', it must be at most %d", what, tw_quote(item).text, INT_MAX);
    *value = (int)x;
    return TW_OK;
}

tw_status tw_parse_window(int sides[2], const char *what, const char *text)
{
    char left[32], right[32];
    const char *comma = strchr(text, ',');
    int result[2];
    if (!comma || strchr(comma + 1, ',') || !copy_item(left, text) || !copy_item(right, comma + 1))
        return tw_fail(TW_EINVAL, "%s is '%s', it must be two numbers such as 1024,0 (-1: unlimited)", what,
                       tw_quote(text).text);
    TW_TRY(read_side(&result[0], what, left, 1));
    TW_TRY(read_side(&result[1], what, right, 1));
    memcpy(sides, result, sizeof result);
    return TW_OK;
}

tw_status tw_parse_block_size(int size[2], const char *what, const char *text)
{
    char rows[32], keys[32];
    const char *comma = strchr(text, ',');
    int result[2];
    if ((comma && strchr(comma + 1, ',')) || !copy_item(rows, text) ||
        !copy_item(keys, comma ? comma + 1 : text))
        return tw_fail(TW_EINVAL, "%s is '%s', it must be one number or two, such as 64,128", what,
                       tw_quote(text).text);
    TW_TRY(tw_parse_int(&result[0], what, rows));
    TW_TRY(tw_parse_int(&result[1], what, keys));
    memcpy(size, result, sizeof result);
    return TW_OK;
}

tw_status tw_parse_numbers(int **values, int *count, const char *what, const char *text)
{
    size_t items = 1;
    for (const char *c = text; *c; c++)
        items += *c == ',';
    int *list = calloc(items, sizeof *list);
    if (!list)
        return tw_fail(TW_ENOMEM, "no memory for %zu numbers", items);
    const char *c = text;
    for (size_t i = 0; i < items; i++) {
        char item[32];
        tw_status status = copy_item(item, c) ? read_side(&list[i], what, item, 0)
                                              : tw_fail(TW_EINVAL, "%s has '%s', it must have numbers", what,
                                                        tw_quote(c).text);
        if (status != TW_OK) {
            free(list);
            return status;
        }
        c += strlen(item) + 1;
    }
    *values = list;
    *count = (int)items;
    return TW_OK;
}

/* `2` or `2,1` */
static tw_status read_local(tw_block_choice *choice, const char *what, const char *text)
{
    char reach[32], global[32];
    const char *comma = strchr(text, ',');
    if ((comma && strchr(comma + 1, ',')) || !copy_item(reach, text) ||
        !copy_item(global, comma ? comma + 1 : "0"))
        return tw_fail(TW_EINVAL, "%s is 'local:%s', it must be local:2 or local:2,1", what,
                       tw_quote(text).text);
    TW_TRY(read_side(&choice->reach, what, reach, 0));
    TW_TRY(read_side(&choice->global, what, global, 0));
    choice->pattern = TW_BLOCKS_LOCAL;
    return TW_OK;
}

static tw_status read_share(tw_block_choice *choice, const char *what, const char *text)
{
    double share;
    TW_TRY(tw_parse_positive(&share, what, text));
    if (share > 1.0)
        return tw_fail(TW_EINVAL, "%s is 'random:%s', the share must be at most 1", what,
                       tw_quote(text).text);
    choice->pattern = TW_BLOCKS_RANDOM;
    choice->share = share;
    return TW_OK;
}

tw_status tw_parse_blocks(tw_block_choice *choice, const char *what, const char *text)
{
    tw_block_choice result = {.pattern = TW_BLOCKS_FILE};
    if (strcmp(text, "butterfly") == 0)
        result.pattern = TW_BLOCKS_BUTTERFLY;
    else if (strncmp(text, "local:", 6) == 0)
        TW_TRY(read_local(&result, what, text + 6));
    else if (strncmp(text, "random:", 7) == 0)
        TW_TRY(read_share(&result, what, text + 7));
    *choice = result;
    return TW_OK;
}
