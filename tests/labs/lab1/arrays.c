/* Arrays with guards on both sides, and the comparison afterwards. */
#include "arrays.h"
#include "questions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 128, PATTERN = 0x5a };

/* There only if the student's code was compiled with the address sanitizer. */
extern void __asan_init(void) __attribute__((weak));

static size_t guard_bytes(void)
{
    return __asan_init ? 0 : GUARD_BYTES;
}

static double *next_array(lab1_arrays *arrays, const double *values, size_t n)
{
    size_t guard = guard_bytes(), bytes = n * sizeof(double);
    unsigned char *block = arrays->count < LAB1_MAX_ARRAYS ? malloc(bytes + 2 * guard) : NULL;
    if (!block) {
        arrays->failed = true;
        return NULL;
    }
    double *at = (double *)(void *)(block + guard);
    memset(block, PATTERN, bytes + 2 * guard);
    for (size_t i = 0; i < n; i++)
        at[i] = values ? values[i] : NAN;
    arrays->array[arrays->count++] = (struct lab1_array){.at = at, .n = n, .block = block};
    return at;
}

double *lab1_input(lab1_arrays *arrays, const double *values, size_t n)
{
    double *at = next_array(arrays, values, n);
    if (at)
        arrays->array[arrays->count - 1].was = values;
    return at;
}

double *lab1_in_out(lab1_arrays *arrays, const double *values, size_t n)
{
    return next_array(arrays, values, n);
}

double *lab1_output(lab1_arrays *arrays, size_t n)
{
    return next_array(arrays, NULL, n);
}

static bool is_guard(const unsigned char *bytes)
{
    for (size_t i = 0; i < guard_bytes(); i++)
        if (bytes[i] != PATTERN)
            return false;
    return true;
}

static int stray_write(const struct lab1_array *a)
{
    if (!is_guard((const unsigned char *)(a->at + a->n)))
        return LAB1_BEHIND;
    if (!is_guard(a->block))
        return LAB1_BEFORE;
    return a->was && memcmp(a->at, a->was, a->n * sizeof(double)) != 0 ? LAB1_INPUT : 0;
}

int lab1_take_back(lab1_arrays *arrays)
{
    int first = 0;
    for (int i = 0; i < arrays->count; i++) {
        int kind = stray_write(&arrays->array[i]);
        if (kind && !first)
            first = LAB1_STRAY * kind + i;
    }
    for (int i = 0; i < arrays->count; i++)
        free(arrays->array[i].block);
    *arrays = (lab1_arrays){.count = 0};
    return first;
}
