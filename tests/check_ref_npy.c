/* .npy files: what is written, byte by byte; what is read back; and everything that must be refused. Each test has
 * a folder of its own, which must be empty of strangers when it is taken down. */
#include "check_tilewise.h"
#include "cpu_ref/npy.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_MAX / 2];
static char file[PATH_MAX];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tilewise-npy-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/x.npy", folder);
}

/* A temporary file that was left behind keeps the folder from going. */
static void remove_folder(void)
{
    if (remove(file) != 0)
        ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void put_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

static size_t get_bytes(const char *path, unsigned char *bytes, size_t size)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, size, f);
    ck_assert_int_eq(fclose(f), 0);
    return n;
}

/* A file of a version, a dictionary and n bytes of data that count 0, 1, 2, … */
static void put_npy(int version, const char *dictionary, size_t n)
{
    unsigned char bytes[4096] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0};
    size_t length = strlen(dictionary), at = 8;
    for (int i = 0; i < (version == 1 ? 2 : 4); i++)
        bytes[at++] = (unsigned char)(length >> (8 * i));
    ck_assert_uint_lt(at + length + n, sizeof bytes);
    memcpy(bytes + at, dictionary, length);
    for (size_t i = 0; i < n; i++)
        bytes[at + length + i] = (unsigned char)i;
    put_bytes(file, bytes, at + length + n);
}

/* Reading fails with this status, one line that names the file and has the words, and no touch of the tensor. */
static void expect_refused(const char *path, tw_status status, const char *words)
{
    tw_tensor_data tensor = {.num_dims = 77};
    ck_assert_int_eq(tw_npy_read(&tensor, path), status);
    ck_assert_int_eq(tensor.num_dims, 77);
    ck_assert_ptr_null(tensor.values);
    ck_assert_ptr_eq(strstr(tw_error_message(), path), tw_error_message());
    if (strstr(tw_error_message(), words) == NULL)
        ck_abort_msg("\"%s\" lacks \"%s\"", tw_error_message(), words);
    for (const char *c = tw_error_message(); *c != '\0'; c++)
        ck_assert_int_ge((unsigned char)*c, ' ');
}

START_TEST(header_is_this_byte_by_byte)
{
    static const char wanted[] = "\x93NUMPY\x01\x00\x76\x00"
                                 "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
                                 "                                                          \n"
                                 "\0\0\x80\x3f"
                                 "\0\0\0\xc0"
                                 "\0\0\0\x3f"
                                 "\0\0\0\0"
                                 "\0\0\x80\x7f"
                                 "\xcd\xcc\xcc\x3d";
    const double values[] = {1.0, -2.0, 0.5, 0.0, INFINITY, 0.1};
    const int64_t shape[] = {2, 3};
    unsigned char found[256];
    ck_assert_int_eq(tw_npy_write(file, values, TW_FP32, 2, shape), TW_OK);
    ck_assert_uint_eq(get_bytes(file, found, sizeof found), 128 + 24);
    ck_assert_mem_eq(found, wanted, 128 + 24);
}
END_TEST

START_TEST(header_of_one_dimension_has_its_comma)
{
    const double values[] = {1.0, 2.0, 3.0};
    const int64_t shape[] = {3};
    unsigned char found[256];
    ck_assert_int_eq(tw_npy_write(file, values, TW_BF16, 1, shape), TW_OK);
    ck_assert_uint_eq(get_bytes(file, found, sizeof found), 128 + 6);
    ck_assert_mem_eq(found + 10, "{'descr': '<u2', 'fortran_order': False, 'shape': (3,), } ", 58);
    ck_assert_mem_eq(found + 127, "\n\x80\x3f\x00\x40\x40\x40", 7);
}
END_TEST

static const struct {
    tw_dtype dtype;
    int num_dims;
    int64_t shape[TW_NPY_MAX_DIMS];
} round_trips[] = {
    {TW_FP32, 1, {1}},          {TW_FP16, 4, {2, 3, 5, 7}},
    {TW_BF16, 3, {1, 1, 9000}}, /* more than one chunk */
    {TW_FP64, 2, {4097, 3}},    {TW_FP32, 8, {1, 2, 1, 2, 1, 2, 1, 2}},
};

START_TEST(what_is_written_is_read)
{
    size_t n = 1;
    for (int i = 0; i < round_trips[_i].num_dims; i++)
        n *= (size_t)round_trips[_i].shape[i];
    double *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = i % 11 == 0 ? -INFINITY : sin((double)i) * 3.0;
    tw_dtype dtype = round_trips[_i].dtype;
    ck_assert_int_eq(tw_npy_write(file, values, dtype, round_trips[_i].num_dims, round_trips[_i].shape),
                     TW_OK);
    tw_tensor_data tensor;
    ck_assert_int_eq(tw_npy_read(&tensor, file), TW_OK);
    ck_assert_int_eq(tensor.dtype, dtype);
    ck_assert_int_eq(tensor.num_dims, round_trips[_i].num_dims);
    ck_assert_mem_eq(tensor.shape, round_trips[_i].shape, sizeof tensor.shape);
    ck_assert_uint_eq(tensor.num_elements, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(tensor.values[i] == tw_dtype_round(dtype, values[i]), "element %zu", i);
    free(values);
    tw_tensor_data_free(&tensor);
    ck_assert_ptr_null(tensor.values);
    ck_assert_int_eq(tensor.num_dims, 0);
    tw_tensor_data_free(&tensor);
}
END_TEST

static const struct {
    int version;
    size_t data_bytes;
    const char *dictionary;
    tw_dtype dtype;
    int num_dims;
    double second; /* value of the second element; bytes count 0, 1, 2, … */
} good_files[] = {
    {1, 8, "{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }\n", TW_FP16, 1, 4.589557647705078e-05},
    {2, 8, "{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }\n", TW_BF16, 1, 3.820356640172434e-37},
    {3, 8, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", TW_FP32, 1, 1.0082513512365273e-34},
    {1, 16, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }\n", TW_FP64, 2,
     3.6919162048650923e-236},
    {1, 8, "{\"shape\":(2,2),\"fortran_order\":False,\"descr\":\"<f2\"}", TW_FP16, 2, 4.589557647705078e-05},
    {1, 8, " { 'shape' : ( 2L , 2L , ) , 'descr' : '<f2' , 'fortran_order' : False } ", TW_FP16, 2,
     4.589557647705078e-05},
};
enum { NUM_GOOD_FILES = sizeof good_files / sizeof good_files[0] };

START_TEST(files_that_others_write_are_read)
{
    tw_tensor_data tensor;
    put_npy(good_files[_i].version, good_files[_i].dictionary, good_files[_i].data_bytes);
    ck_assert_int_eq(tw_npy_read(&tensor, file), TW_OK);
    ck_assert_int_eq(tensor.dtype, good_files[_i].dtype);
    ck_assert_int_eq(tensor.num_dims, good_files[_i].num_dims);
    ck_assert_double_eq_tol(tensor.values[1] / good_files[_i].second, 1.0, 1e-12);
    tw_tensor_data_free(&tensor);
}
END_TEST

#define START "{'descr': '<f4', 'fortran_order': False, 'shape': "

static const struct {
    const char *dictionary;
    size_t data_bytes;
    tw_status status;
    const char *words;
} bad_files[] = {
    /* what the data are */
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, TW_EFORMAT,
     "Fortran order, it must be in C"},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT,
     "big-endian ('>f4'), they must"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT,
     "'<i4', they must be '<f2'"},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT, "'|O', they must be"},
    {"{'descr': '', 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT, "'', they must be"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT,
     "one element type"},
    {"{'descr': '<f4<f4<f4<f4<f4<f4', 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT,
     "one element type"},
    {"{'descr': '<\x1b[2J', 'fortran_order': False, 'shape': (6,), }", 24, TW_EFORMAT, "'<?[2J"},
    /* its size */
    {START "(2, 3), }", 23, TW_EFORMAT,
     "truncated: it has 23 bytes of data, shape (2, 3) of 4-byte elements needs 24"},
    {START "(2, 3), }", 0, TW_EFORMAT, "truncated: it has 0 bytes of data"},
    {START "(2, 3), }", 25, TW_EFORMAT,
     "too long: it has 25 bytes of data, shape (2, 3) of 4-byte elements needs 24"},
    {START "(1000000000000,), }", 24, TW_EFORMAT,
     "truncated: it has 24 bytes of data, shape (1000000000000,)"},
    {START "(1152921504606846975,), }", 24, TW_EFORMAT, "truncated"},
    {START "(1152921504606846976,), }", 24, TW_EOVERFLOW, "product of its dimensions is too large"},
    {START "(9223372036854775807, 9223372036854775807), }", 24, TW_EOVERFLOW,
     "is too large, it must be below 2^60"},
    {START "(4294967296, 4294967296, 1), }", 24, TW_EOVERFLOW, "is too large"},
    {START "(9223372036854775808,), }", 24, TW_EOVERFLOW,
     "a dimension begins with 922337203685477580, it must be"},
    {START "(99999999999999999999999999,), }", 24, TW_EOVERFLOW, "a dimension begins with"},
    /* its shape */
    {START "(), }", 4, TW_EFORMAT, "has 0 dimensions, it must have 1 to 8"},
    {START "(0, 3), }", 0, TW_EFORMAT, "dimension 0 is 0, it must be at least 1"},
    {START "(-2, 3), }", 24, TW_EFORMAT, "begins \"-2, 3), }\", where it must have a dimension"},
    {START "(2.5,), }", 24, TW_EFORMAT, "begins \".5,), }\", where it must have a comma"},
    {START "(6), }", 24, TW_EFORMAT, "one of one dimension ends in a comma"},
    {START "6, }", 24, TW_EFORMAT, "where it must have a shape such as (2, 3)"},
    {START "(2 3), }", 24, TW_EFORMAT, "where it must have a comma or the end of the shape"},
    {START "(, 2), }", 24, TW_EFORMAT, "where it must have a dimension"},
    {START "(x,), }", 24, TW_EFORMAT, "where it must have a dimension"},
    {START "(1, 1, 1, 1, 1, 1, 1, 1, 6), }", 24, TW_EFORMAT, "more than 8 dimensions, it must have 1 to 8"},
    {START "(2, 3", 24, TW_EFORMAT, "is the end, where it must have"},
    {START "(2,", 24, TW_EFORMAT, "is the end, where it must have a dimension"},
    /* its dictionary */
    {"", 24, TW_EFORMAT, "byte 0 of its .npy header is the end, where it must have a dictionary, '{'"},
    {"{", 24, TW_EFORMAT, "is the end, where it must have one of the keys"},
    {"{}", 24, TW_EFORMAT, "lacks 'descr', it must have descr, fortran_order and shape"},
    {"{'descr': '<f4', 'shape': (6,)}", 24, TW_EFORMAT, "lacks 'fortran_order'"},
    {"{'descr': '<f4', 'fortran_order': False}", 24, TW_EFORMAT, "lacks 'shape'"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", 24, TW_EFORMAT, "once each"},
    {"{'descr': '<f4', 'colour': 3, 'fortran_order': False, 'shape': (6,)}", 24, TW_EFORMAT,
     "begins \"'colour': 3"},
    {"{descr: '<f4', 'fortran_order': False, 'shape': (6,)}", 24, TW_EFORMAT, "one of the keys"},
    {"{'descr' '<f4', 'fortran_order': False, 'shape': (6,)}", 24, TW_EFORMAT, "where it must have a colon"},
    {"{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}", 24, TW_EFORMAT,
     "where it must have a comma or '}'"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", 24, TW_EFORMAT,
     "where it must have True or False"},
    {"{'descr': '<f4', 'fortran_order': Fal", 24, TW_EFORMAT, "where it must have True or False"},
    {"{'descr': '<f4", 24, TW_EFORMAT, "where it must have one element type"},
    {"{'descr", 24, TW_EFORMAT, "one of the keys"},
    {"{'a key that is far too long': 1}", 24, TW_EFORMAT, "one of the keys"},
    {START "(6,), } x", 24, TW_EFORMAT, "begins \"x\", where it must have nothing but spaces"},
    {START "(6,), }}", 24, TW_EFORMAT, "nothing but spaces"},
    {"[1, 2, 3]", 24, TW_EFORMAT, "a dictionary, '{'"},
    {"\x01\xff\n\r\t binary", 24, TW_EFORMAT, "begins \"????? binary\""},
};
enum { NUM_BAD_FILES = sizeof bad_files / sizeof bad_files[0] };

START_TEST(bad_files_are_refused_in_a_line)
{
    put_npy(1, bad_files[_i].dictionary, bad_files[_i].data_bytes);
    expect_refused(file, bad_files[_i].status, bad_files[_i].words);
}
END_TEST

static const struct {
    size_t size;
    unsigned char bytes[16];
    const char *words;
} bad_starts[] = {
    {0, {0}, "is 0 bytes long, a .npy file has at least 10"},
    {9, {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 2}, "is 9 bytes long"},
    {10,
     {'P', 'K', 3, 4, 0, 0},
     "is not a .npy file: it begins with bytes 50 4b 03 04 00 00, it must with 93 4e"},
    {10, {0x93, 'N', 'U', 'M', 'P', 'Z', 1, 0}, "is not a .npy file"},
    {10, {0x93, 'N', 'U', 'M', 'P', 'Y', 4, 0}, "is .npy version 4.0, it must be 1.0, 2.0 or 3.0"},
    {10, {0x93, 'N', 'U', 'M', 'P', 'Y', 0, 0}, "is .npy version 0.0"},
    {10, {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 1}, "is .npy version 1.1"},
    {10,
     {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 1, 0},
     "is 10 bytes long, a .npy file of this version has at least 12"},
    {10,
     {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 1, 0},
     "truncated: it says that its header has 1 bytes, there are 0"},
    {12,
     {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 255, 255, 255, 255},
     "its header has 4294967295 bytes, there are 0"},
};
enum { NUM_BAD_STARTS = sizeof bad_starts / sizeof bad_starts[0] };

START_TEST(bad_starts_are_refused_in_a_line)
{
    put_bytes(file, bad_starts[_i].bytes, bad_starts[_i].size);
    expect_refused(file, TW_EFORMAT, bad_starts[_i].words);
}
END_TEST

/* A real header of 70,000 bytes, which is there, is refused all the same. */
START_TEST(endless_header_is_refused)
{
    enum { LENGTH = 70000 };
    unsigned char *bytes = malloc(12 + LENGTH);
    memset(bytes, ' ', 12 + LENGTH);
    memcpy(bytes, "\x93NUMPY\x02\x00", 8);
    for (int i = 0; i < 4; i++)
        bytes[8 + i] = (unsigned char)(LENGTH >> (8 * i));
    put_bytes(file, bytes, 12 + LENGTH);
    free(bytes);
    expect_refused(file, TW_EFORMAT, "its header has 70000 bytes, it must have at most 65536");
}
END_TEST

/* Every prefix of a good file, and the file with each byte of its header changed: no crash, and no prefix passes. */
START_TEST(cut_and_corrupted_files_do_no_harm)
{
    const double values[] = {1.0, 2.0, 3.0};
    const int64_t shape[] = {3};
    unsigned char good[256];
    ck_assert_int_eq(tw_npy_write(file, values, TW_FP32, 1, shape), TW_OK);
    size_t size = get_bytes(file, good, sizeof good);
    for (size_t n = 0; n < size; n++) {
        put_bytes(file, good, n);
        expect_refused(file, TW_EFORMAT, "");
    }
    for (size_t i = 0; i < size - sizeof(float) * 3; i++) {
        for (int flip = 1; flip < 256; flip <<= 1) {
            tw_tensor_data tensor = {0};
            good[i] ^= (unsigned char)flip;
            put_bytes(file, good, size);
            if (tw_npy_read(&tensor, file) == TW_OK)
                ck_assert_uint_le(tensor.num_elements, 6);
            tw_tensor_data_free(&tensor);
            good[i] ^= (unsigned char)flip;
        }
    }
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    char pipe[PATH_MAX + 8];
    expect_refused(file, TW_EIO,
                   "cannot be opened (No such file or directory), it must be a readable .npy file");
    expect_refused(folder, TW_EIO, "is a folder, it must be a .npy file");
    expect_refused("", TW_EIO, "cannot be opened");
    expect_refused("/dev/null", TW_EIO, "is not a regular file");
    snprintf(pipe, sizeof pipe, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    expect_refused(pipe, TW_EIO, "is not a regular file"); /* and is not waited for */
    ck_assert_int_eq(unlink(pipe), 0);
}
END_TEST

/* Sparse, so its size is real and its bytes are not: 16 TB of fp16, more in double than any machine has. */
START_TEST(tensor_beyond_memory_is_refused)
{
    put_npy(1, "{'descr': '<f2', 'fortran_order': False, 'shape': (8796093022208,), }", 0);
    struct stat info;
    ck_assert_int_eq(stat(file, &info), 0);
    if (truncate(file, info.st_size + (off_t)8796093022208 * 2) != 0) {
        ck_assert(errno == EFBIG || errno == EINVAL || errno == ENOSPC); /* a small file system */
        return;
    }
    expect_refused(file, TW_ENOMEM, "needs 7.04e+04 GB of memory");
}
END_TEST

static const struct {
    tw_dtype dtype;
    int num_dims;
    int64_t shape[2];
    tw_status status;
    const char *words;
} bad_writes[] = {
    {TW_FP32, 0, {1, 1}, TW_EINVAL, "has 0 dimensions, it must have 1 to 8"},
    {TW_FP32, 9, {1, 1}, TW_EINVAL, "has 9 dimensions"},
    {TW_FP32, 2, {1, 0}, TW_EINVAL, "dimension 1 is 0, it must be at least 1"},
    {TW_FP32, 2, {-3, 1}, TW_EINVAL, "dimension 0 is -3"},
    {TW_FP32, 2, {INT64_MAX, 2}, TW_EOVERFLOW, "is too large"},
    {(tw_dtype)7, 2, {1, 1}, TW_EINVAL, "dtype is 7"},
};

START_TEST(bad_shapes_are_not_written)
{
    const double value = 1.0;
    ck_assert_int_eq(
        tw_npy_write(file, &value, bad_writes[_i].dtype, bad_writes[_i].num_dims, bad_writes[_i].shape),
        bad_writes[_i].status);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), bad_writes[_i].words));
    ck_assert_int_eq(access(file, F_OK), -1);
}
END_TEST

static void expect_not_written(const char *path, const char *words)
{
    const double value = 1.0;
    const int64_t one = 1;
    ck_assert_int_eq(tw_npy_write(path, &value, TW_FP32, 1, &one), TW_EIO);
    ck_assert_ptr_eq(strstr(tw_error_message(), path), tw_error_message());
    ck_assert_ptr_nonnull(strstr(tw_error_message(), words));
}

START_TEST(places_that_cannot_be_written)
{
    char path[PATH_MAX + 16];
    expect_not_written(folder, "is a folder, it must be a file or not exist yet");
    expect_not_written("/dev/null", "is not a regular file, it must be a file or not exist yet");
    snprintf(path, sizeof path, "%s/no/such.npy", folder);
    expect_not_written(path, "cannot be written (No such file or directory)");
}
END_TEST

/* The same places, asked before the work. */
START_TEST(targets_are_checked_without_writing)
{
    static const char *const bad[] = {"/dev/null", "/dev/full", "/", "no/such.npy"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(tw_npy_check_target(bad[i]), TW_EIO);
        ck_assert_ptr_eq(strstr(tw_error_message(), bad[i]), tw_error_message());
    }
    ck_assert_int_eq(tw_npy_check_target(folder), TW_EIO);
    ck_assert_int_eq(tw_npy_check_target(file), TW_OK);
    ck_assert_int_eq(access(file, F_OK), -1);
    put_bytes(file, "old", 3);
    ck_assert_int_eq(tw_npy_check_target(file), TW_OK);
    if (geteuid() != 0) { /* root may write anywhere */
        ck_assert_int_eq(chmod(folder, 0500), 0);
        ck_assert_int_eq(tw_npy_check_target(file), TW_EIO); /* there is no room for the temporary file */
        ck_assert_int_eq(chmod(folder, 0700), 0);
    }
}
END_TEST

static const int64_t large_shape[] = {100, 100};

/* The disk is full: what was there stays, and nothing is left beside it. */
START_TEST(failed_write_leaves_the_old_file)
{
    const double old = 5.0;
    const int64_t one = 1;
    static double values[100 * 100];
    ck_assert_int_eq(tw_npy_write(file, &old, TW_FP64, 1, &one), TW_OK);
    const struct rlimit limit = {.rlim_cur = 40000, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    tw_status status = tw_npy_write(file, values, TW_FP64, 2, large_shape);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(status, TW_EIO);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "cannot be written (File too large)"));
    tw_tensor_data tensor;
    ck_assert_int_eq(tw_npy_read(&tensor, file), TW_OK);
    ck_assert_double_eq(tensor.values[0], 5.0);
    tw_tensor_data_free(&tensor);
}
END_TEST

/* Of several files none appears before all are complete, and none if one fails. */
START_TEST(files_appear_together_or_not_at_all)
{
    char second[PATH_MAX + 16], third[PATH_MAX + 16];
    const double value = 1.0;
    const int64_t one = 1;
    tw_npy_set set = {.count = 0};
    snprintf(second, sizeof second, "%s/second.npy", folder);
    snprintf(third, sizeof third, "%s/no/third.npy", folder);
    put_bytes(file, "old", 3);
    ck_assert_int_eq(tw_npy_add(&set, file, &value, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(tw_npy_add(&set, second, &value, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(tw_npy_add(&set, third, &value, TW_FP64, 1, &one), TW_EIO);
    unsigned char found[8];
    ck_assert_uint_eq(get_bytes(file, found, sizeof found), 3);
    ck_assert_int_eq(access(second, F_OK), -1);
    tw_npy_discard(&set); /* remove_folder() fails if anything else is left */
    ck_assert_uint_eq(get_bytes(file, found, sizeof found), 3);
    ck_assert_int_eq(access(second, F_OK), -1);

    ck_assert_int_eq(tw_npy_add(&set, file, &value, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(tw_npy_add(&set, second, &value, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(tw_npy_commit(&set), TW_OK);
    ck_assert_int_eq(set.count, 0);
    tw_tensor_data tensor;
    ck_assert_int_eq(tw_npy_read(&tensor, file), TW_OK);
    tw_tensor_data_free(&tensor);
    ck_assert_int_eq(unlink(second), 0);
}
END_TEST

START_TEST(too_many_files_at_once)
{
    const double value = 1.0;
    const int64_t one = 1;
    tw_npy_set set = {.count = 0};
    for (int i = 0; i < TW_NPY_MAX_FILES; i++)
        ck_assert_int_eq(tw_npy_add(&set, file, &value, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(tw_npy_add(&set, file, &value, TW_FP64, 1, &one), TW_EINVAL);
    tw_npy_discard(&set);
    ck_assert_int_eq(access(file, F_OK), -1);
}
END_TEST

START_TEST(existing_file_is_replaced)
{
    static double values[100 * 100] = {3.0};
    const int64_t one = 1;
    ck_assert_int_eq(tw_npy_write(file, values, TW_FP64, 2, large_shape), TW_OK);
    ck_assert_int_eq(tw_npy_write(file, values, TW_FP64, 1, &one), TW_OK);
    tw_tensor_data tensor;
    ck_assert_int_eq(tw_npy_read(&tensor, file), TW_OK);
    ck_assert_uint_eq(tensor.num_elements, 1);
    ck_assert_double_eq(tensor.values[0], 3.0);
    tw_tensor_data_free(&tensor);
}
END_TEST

START_TEST(symbolic_link_stays_one)
{
    char link_path[PATH_MAX + 8];
    const double values[] = {1.0, 2.0};
    const int64_t one = 1;
    struct stat info;
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    ck_assert_int_eq(tw_npy_write(file, values, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(symlink(file, link_path), 0);
    ck_assert_int_eq(tw_npy_write(link_path, values + 1, TW_FP64, 1, &one), TW_OK);
    ck_assert_int_eq(lstat(link_path, &info), 0);
    ck_assert(S_ISLNK(info.st_mode));
    tw_tensor_data tensor;
    ck_assert_int_eq(tw_npy_read(&tensor, file), TW_OK);
    ck_assert_double_eq(tensor.values[0], 2.0);
    tw_tensor_data_free(&tensor);
    ck_assert_int_eq(unlink(link_path), 0);
}
END_TEST

/* Somebody's file of the temporary name is neither used nor removed. */
START_TEST(temporary_name_that_is_taken)
{
    char taken[PATH_MAX + 32];
    const double value = 1.0;
    const int64_t one = 1;
    snprintf(taken, sizeof taken, "%s.%ld-0.tmp", file, (long)getpid());
    put_bytes(taken, "mine", 4);
    ck_assert_int_eq(tw_npy_write(file, &value, TW_FP64, 1, &one), TW_OK);
    unsigned char found[8];
    ck_assert_uint_eq(get_bytes(taken, found, sizeof found), 4);
    ck_assert_int_eq(unlink(taken), 0);
}
END_TEST

static TCase *case_with_folder(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_set_timeout(tests, 120.0);
    suite_add_tcase(suite, tests);
    return tests;
}

Suite *tw_suite_ref_npy(void)
{
    Suite *suite = suite_create("ref_npy");
    TCase *core = case_with_folder(suite, "core");
    tcase_add_test(core, header_is_this_byte_by_byte);
    tcase_add_test(core, header_of_one_dimension_has_its_comma);
    tcase_add_loop_test(core, what_is_written_is_read, 0, 5);
    tcase_add_loop_test(core, files_that_others_write_are_read, 0, NUM_GOOD_FILES);
    tcase_add_test(core, existing_file_is_replaced);
    tcase_add_test(core, symbolic_link_stays_one);
    TCase *reading = case_with_folder(suite, "errors of reading");
    tcase_add_loop_test(reading, bad_files_are_refused_in_a_line, 0, NUM_BAD_FILES);
    tcase_add_loop_test(reading, bad_starts_are_refused_in_a_line, 0, NUM_BAD_STARTS);
    tcase_add_test(reading, endless_header_is_refused);
    tcase_add_test(reading, cut_and_corrupted_files_do_no_harm);
    tcase_add_test(reading, what_is_no_file_is_refused);
    tcase_add_test(reading, tensor_beyond_memory_is_refused);
    TCase *writing = case_with_folder(suite, "errors of writing");
    tcase_add_loop_test(writing, bad_shapes_are_not_written, 0, 6);
    tcase_add_test(writing, places_that_cannot_be_written);
    tcase_add_test(writing, targets_are_checked_without_writing);
    tcase_add_test(writing, files_appear_together_or_not_at_all);
    tcase_add_test(writing, too_many_files_at_once);
    tcase_add_test(writing, failed_write_leaves_the_old_file);
    tcase_add_test(writing, temporary_name_that_is_taken);
    return suite;
}
