/* The header of a .npy file: a Python dictionary as text. Private to the reference library. */
#ifndef TW_NPY_HEADER_H
#define TW_NPY_HEADER_H

#include "npy.h"

#include <stdbool.h>

enum {
    TW_NPY_MAGIC_BYTES = 6,
    TW_NPY_PREFIX_BYTES = 10,          /* magic, version and a two-byte header length */
    TW_NPY_MAX_HEADER_BYTES = 1 << 16, /* eight dimensions need about 250 */
    TW_NPY_MAX_WRITTEN_BYTES = 512     /* of a header that is written here, prefix included */
};

extern const unsigned char tw_npy_magic[TW_NPY_MAGIC_BYTES];

/* What the dictionary says, checked. */
typedef struct tw_npy_header {
    tw_dtype dtype;    /* unless integers were asked for */
    int element_bytes; /* 1, 2, 4, 8 */
    bool is_signed;    /* of integers */
    int num_dims;
    int64_t shape[TW_NPY_MAX_DIMS];
    size_t num_elements;
    char shape_text[TW_NPY_MAX_DIMS * 24]; /* "(2, 3)", for messages and for writing */
} tw_npy_header;

/* Number of elements of a shape. TW_EINVAL (num_dims out of range, a dimension < 1); TW_EOVERFLOW (the bytes of
 * the data, also once widened to double, do not fit 63 bits). `name` begins the message. */
TW_MUST_CHECK tw_status tw_npy_shape_check(size_t *num_elements, const char *name, int num_dims,
                                           const int64_t *shape);

/* Which elements a file may have. */
typedef enum tw_npy_elements { TW_NPY_NUMBERS, TW_NPY_INTEGERS } tw_npy_elements;

/* Reads the dictionary in text[0 … length). TW_EFORMAT, TW_EOVERFLOW; the line begins with path. */
TW_MUST_CHECK tw_status tw_npy_header_parse(tw_npy_header *header, const char *path, const char *text,
                                            size_t length, tw_npy_elements elements);

/* Writes magic, version 1.0, length and dictionary, padded to a multiple of 64 bytes; returns their number. */
size_t tw_npy_header_format(char bytes[TW_NPY_MAX_WRITTEN_BYTES], tw_dtype dtype, int num_dims,
                            const int64_t *shape);

#endif
