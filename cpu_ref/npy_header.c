/* The header of a .npy file: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and nothing else. */
#include "npy_header.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const unsigned char tw_npy_magic[TW_NPY_MAGIC_BYTES] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* descr of each dtype in a file; bfloat16 has no name in NumPy, so its patterns travel as uint16, and fp8 as uint8. */
static const char *const descr_of[] = {
    [TW_FP32] = "<f4", [TW_FP16] = "<f2", [TW_BF16] = "<u2", [TW_FP64] = "<f8",
    [TW_E4M3] = "|u1", [TW_E5M2] = "|u1", [TW_INT8] = "|i1"};
enum { NUM_DTYPES = TW_FP64 + 1 }; /* that are read as numbers: codes of one byte are read as integers */

/* A place in the text. Reading stops at end, never at a NUL. */
typedef struct cursor {
    const char *path;
    const char *begin, *at, *end;
    tw_npy_elements elements;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && isspace((unsigned char)*c->at))
        c->at++;
}

/* Takes one character if it is next. */
static bool accept(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* A header may be anything: what is quoted of it is at most 16 characters, and those printable. */
static tw_status expected(const cursor *c, const char *what)
{
    char found[17];
    size_t n = 0;
    for (const char *at = c->at; at < c->end && n < sizeof found - 1; at++)
        found[n++] = *at;
    found[n] = '\0';
    for (char *letter = found; letter < found + n; letter++) {
        if (!isprint((unsigned char)*letter))
            *letter = '?';
    }
    return tw_fail(TW_EFORMAT, "%s: byte %d of its .npy header %s%s%s, where it must have %s", c->path,
                   (int)(c->at - c->begin), n == 0 ? "is the end" : "begins \"", found, n == 0 ? "" : "\"",
                   what);
}

/* A quoted word of at most size − 1 characters. No escapes: no key and no type that is read here has one. */
static tw_status parse_word(cursor *c, char *word, size_t size, const char *what)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return expected(c, what);
    const char *first = c->at + 1;
    const char *last = memchr(first, *c->at, (size_t)(c->end - first));
    if (last == NULL || (size_t)(last - first) >= size)
        return expected(c, what);
    for (const char *letter = first; letter < last; letter++) {
        if (!isprint((unsigned char)*letter)) /* would end up in a message */
            return expected(c, what);
    }
    memcpy(word, first, (size_t)(last - first));
    word[last - first] = '\0';
    c->at = last + 1;
    return TW_OK;
}

static bool number_descr(tw_npy_header *header, const char *descr)
{
    for (int i = 0; i < NUM_DTYPES; i++) {
        if (strcmp(descr, descr_of[i]) == 0) {
            header->dtype = (tw_dtype)i;
            header->element_bytes = tw_dtype_bytes(header->dtype);
            return true;
        }
    }
    return false;
}

/* bool, int8 to int64, uint8 to uint64: '|b1', '<i4', … */
static bool integer_descr(tw_npy_header *header, const char *descr)
{
    int bytes = strlen(descr) == 3 ? descr[2] - '0' : 0;
    bool known = bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    bool whole = descr[0] != '\0' && (descr[1] == 'i' || descr[1] == 'u' || (descr[1] == 'b' && bytes == 1));
    if (!known || !whole || descr[0] != (bytes == 1 ? '|' : '<'))
        return false;
    header->element_bytes = bytes;
    header->is_signed = descr[1] == 'i';
    return true;
}

static tw_status parse_descr(cursor *c, tw_npy_header *header)
{
    bool integers = c->elements == TW_NPY_INTEGERS;
    char descr[16];
    TW_TRY(parse_word(c, descr, sizeof descr, "one element type such as '<f4'"));
    if (integers ? integer_descr(header, descr) : number_descr(header, descr))
        return TW_OK;
    if (descr[0] == '>')
        return tw_fail(TW_EFORMAT, "%s: its data are big-endian ('%s'), they must be little-endian ('<%s')",
                       c->path, descr, descr + 1);
    return tw_fail(TW_EFORMAT, "%s: its elements are '%s', they must be %s", c->path, descr,
                   integers ? "'|b1', '|u1' or integers such as '<i4' and '<i8'"
                            : "'<f2', '<f4', '<f8' or '<u2' (bfloat16 patterns)");
}

static bool accept_name(cursor *c, const char *name)
{
    size_t length = strlen(name);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, name, length) != 0)
        return false;
    c->at += length;
    return true;
}

static tw_status parse_order(cursor *c)
{
    if (accept_name(c, "False"))
        return TW_OK;
    if (accept_name(c, "True"))
        return tw_fail(TW_EFORMAT, "%s: is in Fortran order, it must be in C order (numpy.ascontiguousarray)",
                       c->path);
    return expected(c, "True or False");
}

/* Digits, and the L that Python 2 left after them. */
static tw_status parse_dimension(cursor *c, int64_t *value)
{
    skip_space(c);
    if (c->at == c->end || !isdigit((unsigned char)*c->at))
        return expected(c, "a dimension, a whole number of at least 1");
    int64_t sum = 0;
    const char *first = c->at;
    for (; c->at < c->end && isdigit((unsigned char)*c->at); c->at++) {
        int digit = *c->at - '0';
        if (sum > (INT64_MAX - digit) / 10)
            return tw_fail(TW_EOVERFLOW, "%s: a dimension begins with %.*s, it must be below 2^63", c->path,
                           (int)(c->at - first), first);
        sum = 10 * sum + digit;
    }
    accept(c, 'L');
    *value = sum;
    return TW_OK;
}

static tw_status parse_shape(cursor *c, tw_npy_header *header)
{
    if (!accept(c, '('))
        return expected(c, "a shape such as (2, 3)");
    bool comma = false;
    while (!accept(c, ')')) {
        if (header->num_dims > 0 && !comma)
            return expected(c, "a comma or the end of the shape");
        if (header->num_dims == TW_NPY_MAX_DIMS)
            return tw_fail(TW_EFORMAT, "%s: has more than %d dimensions, it must have 1 to %d", c->path,
                           TW_NPY_MAX_DIMS, TW_NPY_MAX_DIMS);
        TW_TRY(parse_dimension(c, &header->shape[header->num_dims]));
        header->num_dims++;
        comma = accept(c, ',');
    }
    /* (3) is a number to Python, not a shape. */
    if (header->num_dims == 1 && !comma)
        return expected(c, "a shape; one of one dimension ends in a comma, as (3,)");
    return TW_OK;
}

enum { SEEN_DESCR = 1, SEEN_ORDER = 2, SEEN_SHAPE = 4, SEEN_ALL = 7 };

/* One 'key': value. */
static tw_status parse_entry(cursor *c, tw_npy_header *header, int *seen)
{
    const char *const what = "one of the keys 'descr', 'fortran_order' and 'shape', once each";
    char key[16];
    cursor start = *c;
    TW_TRY(parse_word(c, key, sizeof key, what));
    int which = strcmp(key, "descr") == 0           ? SEEN_DESCR
                : strcmp(key, "fortran_order") == 0 ? SEEN_ORDER
                : strcmp(key, "shape") == 0         ? SEEN_SHAPE
                                                    : 0;
    if (which == 0 || (*seen & which))
        return expected(&start, what);
    *seen |= which;
    if (!accept(c, ':'))
        return expected(c, "a colon");
    return which == SEEN_DESCR   ? parse_descr(c, header)
           : which == SEEN_ORDER ? parse_order(c)
                                 : parse_shape(c, header);
}

static void format_shape(char *text, size_t size, int num_dims, const int64_t *shape)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < num_dims; i++) {
        const char *end = i + 1 < num_dims ? ", " : num_dims == 1 ? "," : "";
        used += (size_t)snprintf(text + used, size - used, "%lld%s", (long long)shape[i], end);
    }
    snprintf(text + used, size - used, ")");
}

tw_status tw_npy_shape_check(size_t *num_elements, const char *name, int num_dims, const int64_t *shape)
{
    if (num_dims < 1 || num_dims > TW_NPY_MAX_DIMS)
        return tw_fail(TW_EINVAL, "%s: has %d dimensions, it must have 1 to %d", name, num_dims,
                       TW_NPY_MAX_DIMS);
    uint64_t product = 1;
    for (int i = 0; i < num_dims; i++) {
        if (shape[i] < 1)
            return tw_fail(TW_EINVAL, "%s: dimension %d is %lld, it must be at least 1", name, i,
                           (long long)shape[i]);
        if (product > (uint64_t)INT64_MAX / sizeof(double) / (uint64_t)shape[i])
            return tw_fail(TW_EOVERFLOW,
                           "%s: the product of its dimensions is too large, it must be below 2^60", name);
        product *= (uint64_t)shape[i];
    }
    *num_elements = (size_t)product;
    return TW_OK;
}

tw_status tw_npy_header_parse(tw_npy_header *header, const char *path, const char *text, size_t length,
                              tw_npy_elements elements)
{
    cursor c = {.path = path, .begin = text, .at = text, .end = text + length, .elements = elements};
    int seen = 0;
    *header = (tw_npy_header){0};
    if (!accept(&c, '{'))
        return expected(&c, "a dictionary, '{'");
    bool comma = true;
    while (!accept(&c, '}')) {
        if (!comma)
            return expected(&c, "a comma or '}'");
        TW_TRY(parse_entry(&c, header, &seen));
        comma = accept(&c, ',');
    }
    skip_space(&c);
    if (c.at != c.end)
        return expected(&c, "nothing but spaces");
    if (seen != SEEN_ALL)
        return tw_fail(TW_EFORMAT,
                       "%s: the .npy header lacks '%s', it must have descr, fortran_order and shape", path,
                       !(seen & SEEN_DESCR)   ? "descr"
                       : !(seen & SEEN_ORDER) ? "fortran_order"
                                              : "shape");
    tw_status status = tw_npy_shape_check(&header->num_elements, path, header->num_dims, header->shape);
    if (status != TW_OK) /* a bad shape is the file's fault, not an argument's */
        return status == TW_EINVAL ? TW_EFORMAT : status;
    format_shape(header->shape_text, sizeof header->shape_text, header->num_dims, header->shape);
    return TW_OK;
}

size_t tw_npy_header_format(char bytes[TW_NPY_MAX_WRITTEN_BYTES], tw_dtype dtype, int num_dims,
                            const int64_t *shape)
{
    char shape_text[TW_NPY_MAX_DIMS * 24];
    format_shape(shape_text, sizeof shape_text, num_dims, shape);
    memset(bytes, ' ', TW_NPY_MAX_WRITTEN_BYTES);
    int text = snprintf(bytes + TW_NPY_PREFIX_BYTES, TW_NPY_MAX_WRITTEN_BYTES - TW_NPY_PREFIX_BYTES,
                        "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr_of[dtype],
                        shape_text);
    bytes[TW_NPY_PREFIX_BYTES + text] = ' '; /* where snprintf left its NUL */

    /* Room for the newline that ends the header, then up to the alignment that the format asks for. */
    size_t total = ((size_t)TW_NPY_PREFIX_BYTES + (size_t)text + 1 + 63) / 64 * 64;
    size_t length = total - TW_NPY_PREFIX_BYTES;
    memcpy(bytes, tw_npy_magic, TW_NPY_MAGIC_BYTES);
    bytes[6] = 1;
    bytes[7] = 0;
    bytes[8] = (char)(length & 0xff);
    bytes[9] = (char)(length >> 8);
    bytes[total - 1] = '\n';
    return total;
}
