/* Whole numbers of 64 bits, as tiles and rows are counted. Private to the two libraries. */
#ifndef TW_WHOLE_H
#define TW_WHOLE_H

#include <stdint.h>

static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ⌈a / b⌉, of a >= 0 and b > 0. */
static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
