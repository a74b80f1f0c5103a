/* Tensors into .npy files, which appear complete, and several of them together, or not at all. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "npy.h"
#include "npy_header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_ELEMENTS = 4096 };

static tw_status cannot_write(const char *path)
{
    return tw_fail(TW_EIO, "%s: cannot be written (%s)", path, strerror(errno));
}

/* ---- where a file may be -------------------------------------------------------------------------------- */

/* The folder that a path's file is in may be written to: there the temporary file will be. */
static tw_status check_folder(const char *path, const char *target)
{
    char *folder = strdup(target);
    if (folder == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for a file name", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[1] = '\0'; /* "/x" is in "/", "a/x" in "a/" */
    tw_status status = access(slash != NULL ? folder : ".", W_OK | X_OK) == 0 ? TW_OK : cannot_write(path);
    free(folder);
    return status;
}

/* A device or a pipe must not be renamed over; a folder cannot be. A path that is not there yet is fine. */
tw_status tw_npy_check_target(const char *path)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && !S_ISREG(info.st_mode))
        return tw_fail(TW_EIO, "%s: is %s, it must be a file or not exist yet", path,
                       S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    if (exists && access(path, W_OK) != 0)
        return cannot_write(path);
    char *real = exists ? realpath(path, NULL) : NULL;
    tw_status status = check_folder(path, real != NULL ? real : path);
    free(real);
    return status;
}

/* ---- one file ------------------------------------------------------------------------------------------- */

static void encode(unsigned char *bytes, tw_dtype dtype, double x)
{
    uint64_t bits = 0;
    if (dtype == TW_FP64) {
        memcpy(&bits, &x, sizeof x);
    } else if (dtype == TW_FP32) {
        float rounded = (float)x;
        uint32_t low;
        memcpy(&low, &rounded, sizeof low);
        bits = low;
    } else if (tw_dtype_is_code(dtype)) {
        tw_dtype_store(bytes, dtype, 0, x);
        return;
    } else {
        bits = dtype == TW_FP16 ? tw_fp16_from_double(x) : tw_bf16_from_double(x);
    }
    for (int i = 0; i < tw_dtype_bytes(dtype); i++)
        bytes[i] = (unsigned char)(bits >> (8 * i));
}

static tw_status write_all(int fd, const char *path, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = write(fd, (const char *)bytes + done, n - done);
        if (put < 0 && errno != EINTR)
            return cannot_write(path);
        if (put > 0)
            done += (size_t)put;
    }
    return TW_OK;
}

static size_t chunk_of(size_t elements_left)
{
    return elements_left < CHUNK_ELEMENTS ? elements_left : CHUNK_ELEMENTS;
}

static tw_status write_values(int fd, const char *path, const double *values, tw_dtype dtype,
                              size_t num_elements)
{
    unsigned char chunk[CHUNK_ELEMENTS * sizeof(double)] = {0};
    size_t element = (size_t)tw_dtype_bytes(dtype);
    for (size_t done = 0; done < num_elements;) {
        size_t n = chunk_of(num_elements - done);
        for (size_t i = 0; i < n; i++)
            encode(chunk + i * element, dtype, values[done + i]);
        TW_TRY(write_all(fd, path, chunk, n * element));
        done += n;
    }
    return TW_OK;
}

/* Creates a file of a name that nobody has, beside path, where a rename cannot cross a file system. */
static tw_status open_temporary(int *fd, char *name, size_t size, const char *path)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(name, size, "%s.%ld-%d.tmp", path, (long)getpid(), attempt);
        *fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0)
            return TW_OK;
        if (errno != EEXIST)
            break;
    }
    return cannot_write(path);
}

/* Writes all of it under a temporary name, which is left in `temporary`; without success nothing is. */
static tw_status write_temporary(char *temporary, size_t size, const char *path, const double *values,
                                 tw_dtype dtype, int num_dims, const int64_t *shape, size_t num_elements)
{
    int fd = -1;
    char header[TW_NPY_MAX_WRITTEN_BYTES];
    TW_TRY(open_temporary(&fd, temporary, size, path));
    tw_status status = write_all(fd, path, header, tw_npy_header_format(header, dtype, num_dims, shape));
    if (status == TW_OK)
        status = write_values(fd, path, values, dtype, num_elements);
    if (close(fd) != 0 && status == TW_OK)
        status = cannot_write(path);
    if (status != TW_OK)
        unlink(temporary);
    return status;
}

/* ---- several files -------------------------------------------------------------------------------------- */

static tw_status add_file(tw_npy_set *set, char *target, const double *values, tw_dtype dtype, int num_dims,
                          const int64_t *shape, size_t num_elements)
{
    size_t size = strlen(target) + 64;
    char *temporary = malloc(size);
    if (temporary == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for a file name", target);
    tw_status status = write_temporary(temporary, size, target, values, dtype, num_dims, shape, num_elements);
    if (status != TW_OK) {
        free(temporary);
        return status;
    }
    set->target[set->count] = target;
    set->temporary[set->count++] = temporary;
    return TW_OK;
}

tw_status tw_npy_add(tw_npy_set *set, const char *path, const double *values, tw_dtype dtype, int num_dims,
                     const int64_t *shape)
{
    size_t num_elements;
    if (set->count == TW_NPY_MAX_FILES)
        return tw_fail(TW_EINVAL, "%s: is one file more than %d, which are written together", path,
                       TW_NPY_MAX_FILES);
    if (tw_dtype_bytes(dtype) == 0)
        return tw_fail(TW_EINVAL, "%s: dtype is %d, it must be one of enum tw_dtype", path, (int)dtype);
    TW_TRY(tw_npy_shape_check(&num_elements, path, num_dims, shape));
    TW_TRY(tw_npy_check_target(path));
    char *target = realpath(path, NULL); /* of a symbolic link: what it points to is replaced, not the link */
    if (target == NULL)
        target = strdup(path);
    if (target == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for a file name", path);
    tw_status status = add_file(set, target, values, dtype, num_dims, shape, num_elements);
    if (status != TW_OK)
        free(target);
    return status;
}

tw_status tw_npy_commit(tw_npy_set *set)
{
    tw_status status = TW_OK;
    for (int i = 0; i < set->count && status == TW_OK; i++) {
        if (rename(set->temporary[i], set->target[i]) != 0)
            status = cannot_write(set->target[i]);
        else
            set->temporary[i][0] = '\0'; /* it is no longer there */
    }
    tw_npy_discard(set);
    return status;
}

void tw_npy_discard(tw_npy_set *set)
{
    for (int i = 0; i < set->count; i++) {
        if (set->temporary[i][0] != '\0')
            unlink(set->temporary[i]);
        free(set->temporary[i]);
        free(set->target[i]);
    }
    *set = (tw_npy_set){.count = 0};
}

tw_status tw_npy_write(const char *path, const double *values, tw_dtype dtype, int num_dims,
                       const int64_t *shape)
{
    tw_npy_set one = {.count = 0};
    TW_TRY(tw_npy_add(&one, path, values, dtype, num_dims, shape));
    return tw_npy_commit(&one);
}
