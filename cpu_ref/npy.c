/* Tensors out of .npy files. A file is believed only as far as its true size bears it out: nothing is
 * allocated for a shape before the bytes that it promises are known to be there. */
#include "npy.h"
#include "memory.h"
#include "npy_header.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_ELEMENTS = 4096 };

static size_t chunk_of(size_t elements_left)
{
    return elements_left < CHUNK_ELEMENTS ? elements_left : CHUNK_ELEMENTS;
}

/* Opens a regular file and learns its size. O_NONBLOCK, so that a pipe in its place is refused, not waited for. */
static tw_status open_to_read(int *fd, int64_t *size, const char *path)
{
    struct stat info = {0};
    int opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0)
        return tw_fail(TW_EIO, "%s: cannot be opened (%s), it must be a readable .npy file", path,
                       strerror(errno));
    if (fstat(opened, &info) == 0 && S_ISREG(info.st_mode)) {
        *fd = opened;
        *size = (int64_t)info.st_size;
        return TW_OK;
    }
    close(opened);
    return tw_fail(TW_EIO, "%s: is %s, it must be a .npy file", path,
                   S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
}

static tw_status read_all(int fd, const char *path, void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, (char *)bytes + done, n - done);
        if (got == 0)
            return tw_fail(TW_EIO, "%s: became shorter while it was read, it must not change", path);
        if (got < 0 && errno != EINTR)
            return tw_fail(TW_EIO, "%s: cannot be read (%s)", path, strerror(errno));
        if (got > 0)
            done += (size_t)got;
    }
    return TW_OK;
}

/* Magic, version and the length of the dictionary. */
static tw_status read_prefix(int fd, const char *path, int64_t size, size_t *prefix, size_t *length)
{
    unsigned char bytes[TW_NPY_PREFIX_BYTES + 2] = {0};
    if (size < TW_NPY_PREFIX_BYTES)
        return tw_fail(TW_EFORMAT, "%s: is %lld bytes long, a .npy file has at least %d", path,
                       (long long)size, TW_NPY_PREFIX_BYTES);
    TW_TRY(read_all(fd, path, bytes, TW_NPY_PREFIX_BYTES));
    if (memcmp(bytes, tw_npy_magic, TW_NPY_MAGIC_BYTES) != 0)
        return tw_fail(TW_EFORMAT,
                       "%s: is not a .npy file: it begins with bytes %02x %02x %02x %02x %02x %02x, "
                       "it must with 93 4e 55 4d 50 59",
                       path, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return tw_fail(TW_EFORMAT, "%s: is .npy version %d.%d, it must be 1.0, 2.0 or 3.0", path, bytes[6],
                       bytes[7]);
    *prefix = TW_NPY_PREFIX_BYTES;
    *length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1) { /* from 2.0 on the length has four bytes */
        if (size < TW_NPY_PREFIX_BYTES + 2)
            return tw_fail(TW_EFORMAT, "%s: is %lld bytes long, a .npy file of this version has at least %d",
                           path, (long long)size, TW_NPY_PREFIX_BYTES + 2);
        TW_TRY(read_all(fd, path, bytes + TW_NPY_PREFIX_BYTES, 2));
        *prefix += 2;
        *length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    return TW_OK;
}

static tw_status read_header(tw_npy_header *header, int fd, const char *path, int64_t size,
                             tw_npy_elements elements)
{
    size_t prefix = 0, length = 0;
    TW_TRY(read_prefix(fd, path, size, &prefix, &length));
    if (length > (size_t)size - prefix)
        return tw_fail(TW_EFORMAT, "%s: is truncated: it says that its header has %zu bytes, there are %zu",
                       path, length, (size_t)size - prefix);
    if (length > TW_NPY_MAX_HEADER_BYTES)
        return tw_fail(TW_EFORMAT, "%s: its header has %zu bytes, it must have at most %d", path, length,
                       TW_NPY_MAX_HEADER_BYTES);
    char *text = malloc(length + 1);
    if (text == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for its header of %zu bytes", path, length);
    tw_status status = read_all(fd, path, text, length);
    if (status == TW_OK)
        status = tw_npy_header_parse(header, path, text, length, elements);
    free(text);
    if (status != TW_OK)
        return status;

    uint64_t needed = header->num_elements * (uint64_t)header->element_bytes;
    uint64_t found = (uint64_t)size - prefix - length;
    if (needed != found)
        return tw_fail(TW_EFORMAT,
                       "%s: is %s: it has %llu bytes of data, shape %s of %d-byte elements needs %llu", path,
                       found < needed ? "truncated" : "too long", (unsigned long long)found,
                       header->shape_text, header->element_bytes, (unsigned long long)needed);
    return TW_OK;
}

/* Bytes of the file, least significant first whatever this machine does. */
static uint64_t join(const unsigned char *bytes, int n)
{
    uint64_t bits = 0;
    for (int i = 0; i < n; i++)
        bits |= (uint64_t)bytes[i] << (8 * i);
    return bits;
}

static double decode(const unsigned char *bytes, tw_dtype dtype)
{
    uint64_t bits = join(bytes, tw_dtype_bytes(dtype));
    if (dtype == TW_FP64) {
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    if (dtype == TW_FP32) {
        uint32_t low = (uint32_t)bits;
        float x;
        memcpy(&x, &low, sizeof x);
        return (double)x;
    }
    return (double)(dtype == TW_FP16 ? tw_fp16_to_float((uint16_t)bits) : tw_bf16_to_float((uint16_t)bits));
}

static tw_status read_values(double *values, int fd, const char *path, const tw_npy_header *header)
{
    unsigned char chunk[CHUNK_ELEMENTS * sizeof(double)] = {0};
    size_t element = (size_t)tw_dtype_bytes(header->dtype);
    for (size_t done = 0; done < header->num_elements;) {
        size_t n = chunk_of(header->num_elements - done);
        TW_TRY(read_all(fd, path, chunk, n * element));
        for (size_t i = 0; i < n; i++)
            values[done + i] = decode(chunk + i * element, header->dtype);
        done += n;
    }
    return TW_OK;
}

/* Two's complement of n bytes; what does not fit is the largest there is. */
static int64_t decode_integer(const unsigned char *bytes, const tw_npy_header *header)
{
    int n = header->element_bytes;
    uint64_t bits = join(bytes, n);
    bool negative = header->is_signed && (bits >> (8 * n - 1)) & 1;
    if (negative && n < 8)
        bits |= ~UINT64_C(0) << (8 * n);
    if (!negative && bits > INT64_MAX)
        return INT64_MAX;
    int64_t value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static tw_status read_integer_values(int64_t *values, int fd, const char *path, const tw_npy_header *header)
{
    unsigned char chunk[CHUNK_ELEMENTS * sizeof(int64_t)] = {0};
    size_t element = (size_t)header->element_bytes;
    for (size_t done = 0; done < header->num_elements;) {
        size_t n = chunk_of(header->num_elements - done);
        TW_TRY(read_all(fd, path, chunk, n * element));
        for (size_t i = 0; i < n; i++)
            values[done + i] = decode_integer(chunk + i * element, header);
        done += n;
    }
    return TW_OK;
}

static tw_status read_integers(tw_integer_data *data, int fd, const char *path, int64_t size)
{
    tw_npy_header header = {0};
    TW_TRY(read_header(&header, fd, path, size, TW_NPY_INTEGERS));
    assert(header.num_elements > 0); /* a dimension of 0 is refused */
    TW_TRY(tw_memory_check((double)header.num_elements * sizeof(int64_t), path));
    int64_t *values = malloc(header.num_elements * sizeof *values);
    if (values == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for its %zu integers", path, header.num_elements);
    tw_status status = read_integer_values(values, fd, path, &header);
    if (status != TW_OK) {
        free(values);
        return status;
    }
    *data = (tw_integer_data){
        .num_dims = header.num_dims, .num_elements = header.num_elements, .values = values};
    memcpy(data->shape, header.shape, sizeof data->shape);
    return TW_OK;
}

tw_status tw_npy_read_integers(tw_integer_data *data, const char *path)
{
    int fd = -1;
    int64_t size = 0;
    TW_TRY(open_to_read(&fd, &size, path));
    tw_status status = read_integers(data, fd, path, size);
    close(fd);
    return status;
}

static tw_status read_tensor(tw_tensor_data *tensor, int fd, const char *path, int64_t size)
{
    tw_npy_header header = {0};
    TW_TRY(read_header(&header, fd, path, size, TW_NPY_NUMBERS));
    assert(header.num_elements > 0); /* a dimension of 0 is refused */
    TW_TRY(tw_memory_check((double)header.num_elements * sizeof(double), path));
    double *values = malloc(header.num_elements * sizeof *values);
    if (values == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for its %zu elements in double", path, header.num_elements);
    tw_status status = read_values(values, fd, path, &header);
    if (status != TW_OK) {
        free(values);
        return status;
    }
    *tensor = (tw_tensor_data){.dtype = header.dtype,
                               .num_dims = header.num_dims,
                               .num_elements = header.num_elements,
                               .values = values};
    memcpy(tensor->shape, header.shape, sizeof tensor->shape);
    return TW_OK;
}

tw_status tw_npy_read(tw_tensor_data *tensor, const char *path)
{
    int fd = -1;
    int64_t size = 0;
    TW_TRY(open_to_read(&fd, &size, path));
    tw_status status = read_tensor(tensor, fd, path, size);
    close(fd);
    return status;
}

void tw_tensor_data_free(tw_tensor_data *tensor)
{
    free(tensor->values);
    *tensor = (tw_tensor_data){0};
}
