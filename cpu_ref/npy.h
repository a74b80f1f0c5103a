/**
 * @file npy.h
 * @brief Tensors in and out as NumPy's .npy files.
 *
 * Read: versions 1.0, 2.0 and 3.0; '<f2', '<f4', '<f8' and '<u2' (bfloat16 patterns); C order; 1 to
 * TW_NPY_MAX_DIMS dimensions, each at least 1. Everything else is refused with one line that names the file and says what
 * was found: not a .npy file, a malformed header, Fortran order, big-endian data, another type, a file
 * shorter or longer than its shape says, a folder.
 */
#ifndef TW_NPY_H
#define TW_NPY_H

#include "dtype.h"
#include "status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most dimensions that a file may have. */
#define TW_NPY_MAX_DIMS 8

/** A tensor as it was in the file, widened to double. */
typedef struct tw_tensor_data {
    tw_dtype dtype;                 /**< of the file; uint16 counts as TW_BF16 */
    int num_dims;                   /**< 1 … TW_NPY_MAX_DIMS */
    int64_t shape[TW_NPY_MAX_DIMS]; /**< num_dims sizes, outermost first */
    size_t num_elements;            /**< their product */
    double *values;                 /**< owned; tw_tensor_data_free() */
} tw_tensor_data;

/** Integers or truth values as they were in the file. */
typedef struct tw_integer_data {
    int num_dims;                   /**< 1 … TW_NPY_MAX_DIMS */
    int64_t shape[TW_NPY_MAX_DIMS]; /**< num_dims sizes, outermost first */
    size_t num_elements;            /**< their product */
    int64_t *values;                /**< owned; free() */
} tw_integer_data;

/**
 * @brief Reads a .npy file of bool, int8 to int64 or uint8 to uint64; what exceeds an int64_t becomes INT64_MAX.
 * @param[out] data  untouched on error
 * @param[in]  path  a regular file
 * @return as tw_npy_read()
 */
TW_MUST_CHECK tw_status tw_npy_read_integers(tw_integer_data *data, const char *path);

/**
 * @brief Reads a .npy file.
 * @param[out] tensor  untouched on error; tw_tensor_data_free() it
 * @param[in]  path    a regular file
 * @return TW_OK; TW_EIO (cannot be opened or read, a folder, a pipe); TW_EFORMAT (not acceptable, see above);
 *         TW_EOVERFLOW (2^60 elements or more); TW_ENOMEM (as doubles more than memory.h says there is)
 */
TW_MUST_CHECK tw_status tw_npy_read(tw_tensor_data *tensor, const char *path);

/**
 * @brief Writes n = product of shape values as a version 1.0 .npy file, rounded to dtype.
 *
 * Written to a temporary name beside path and renamed, so a failure leaves no partial file and an existing
 * one as it was. A symbolic link stays one; what it points to is replaced. TW_BF16 is stored as uint16, fp8 as uint8.
 * @return TW_OK; TW_EINVAL (num_dims or a dimension out of range, not a dtype); TW_EOVERFLOW; TW_EIO (cannot be
 *         written; a folder, a device or a pipe is there); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_npy_write(const char *path, const double *values, tw_dtype dtype, int num_dims,
                                     const int64_t *shape);

/** Most files that are written together. */
#define TW_NPY_MAX_FILES 8

/** Files that appear together or not at all: written under temporary names, renamed when all are complete. */
typedef struct tw_npy_set {
    int count;                         /**< begins as 0 */
    char *target[TW_NPY_MAX_FILES];    /**< private: the path, links followed */
    char *temporary[TW_NPY_MAX_FILES]; /**< private: what is there meanwhile; "" once it is renamed */
} tw_npy_set;

/**
 * @brief Could a .npy file be written here? To be asked before the work whose result it takes.
 * @return TW_OK; TW_EIO (a folder, a device or a pipe; it or its folder may not be written to); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_npy_check_target(const char *path);

/**
 * @brief Writes one file of a set, as tw_npy_write() does, but leaves it under its temporary name.
 * @param[in,out] set  unchanged on error, and to be discarded then
 * @param[in] path, values, dtype, num_dims, shape  as for tw_npy_write()
 * @return as tw_npy_write(); TW_EINVAL (more than TW_NPY_MAX_FILES)
 */
TW_MUST_CHECK tw_status tw_npy_add(tw_npy_set *set, const char *path, const double *values, tw_dtype dtype,
                                   int num_dims, const int64_t *shape);

/**
 * @brief Gives all files of a set their names, and empties it.
 * @return TW_OK; TW_EIO (a folder has changed since tw_npy_add(); files not renamed yet are then removed)
 */
TW_MUST_CHECK tw_status tw_npy_commit(tw_npy_set *set);

/** Removes what is written of a set, leaving older files as they were, and empties it. */
void tw_npy_discard(tw_npy_set *set);

/** Frees values and clears the struct; NULL values are fine. */
void tw_tensor_data_free(tw_tensor_data *tensor);

#ifdef __cplusplus
}
#endif

#endif
