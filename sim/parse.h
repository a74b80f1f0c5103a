/**
 * @file parse.h
 * @brief Strict reading of what a user typed: the whole text or one line that says what is wrong with it.
 *
 * `what` is the option's name for that line ("--seqlen"). A number is digits with an optional `k` (1024) or
 * `M` (1024²) behind it, so 1k and 1024 are the same. No globals: any program may use these.
 */
#ifndef TW_PARSE_H
#define TW_PARSE_H

#include "../cpu_ref/dtype.h"
#include "../cpu_ref/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW_LIST_MAX 64

/** The values of an option like `512,1k,4k`; count 0 where the option was not given. */
typedef struct tw_int_list {
    int count;
    int values[TW_LIST_MAX];
} tw_int_list;

/** Text shortened so that it fits into an error line: at most 40 bytes, "..." behind it if there was more. */
typedef struct tw_quoted {
    char text[48];
} tw_quoted;
tw_quoted tw_quote(const char *text);

/**
 * @brief A size: 1 to 2147483647.
 * @param[out] value  untouched on error, as with all functions of this header
 * @return TW_OK; TW_EINVAL (empty, zero, negative, not a number, something behind it); TW_EOVERFLOW
 */
TW_MUST_CHECK tw_status tw_parse_int(int *value, const char *what, const char *text);

/** The same for a number of bytes: 1 to 2^62. */
TW_MUST_CHECK tw_status tw_parse_bytes(int64_t *value, const char *what, const char *text);

/** A seed: 0 to 2^63 − 1. */
TW_MUST_CHECK tw_status tw_parse_seed(uint64_t *value, const char *what, const char *text);

/** A positive finite number, as strtod() reads it. */
TW_MUST_CHECK tw_status tw_parse_positive(double *value, const char *what, const char *text);

/** A finite number, as strtod() reads it. */
TW_MUST_CHECK tw_status tw_parse_number(double *value, const char *what, const char *text);

/** A number from 0 up to, but not, 1. */
TW_MUST_CHECK tw_status tw_parse_fraction(double *value, const char *what, const char *text);

/**
 * @brief `512,1k,4k` or `512..16k` (512, 1k, 2k, …: doubling as long as it is not past the end), or both mixed.
 * @return as tw_parse_int(); TW_EINVAL also for an empty item, a range that runs backwards, and more than
 *         TW_LIST_MAX values
 */
TW_MUST_CHECK tw_status tw_parse_int_list(tw_int_list *list, const char *what, const char *text);

/** fp16, bf16 or fp32: what a kernel can be asked for. */
TW_MUST_CHECK tw_status tw_parse_dtype(tw_dtype *dtype, const char *what, const char *text);

/**
 * @brief One of a few words.
 * @param[out] index    which one
 * @param[in] choices   "bytes|elements"
 * @return TW_OK; TW_EINVAL
 */
TW_MUST_CHECK tw_status tw_parse_choice(int *index, const char *what, const char *choices, const char *text);

/**
 * @brief How many single-character edits turn a into b; for "did you mean".
 * @return at most 64; 64 for names of more than 63 bytes
 */
int tw_edit_distance(const char *a, const char *b);

/** Is b near enough to a for a suggestion: up to two edits, and fewer than its length. */
int tw_is_near(const char *a, const char *b);

#ifdef __cplusplus
}
#endif

#endif
