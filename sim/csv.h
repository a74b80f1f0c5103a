/**
 * @file csv.h
 * @brief CSV files that are there completely or not at all.
 *
 * Written to a temporary name beside the target and renamed when complete, so that a failure leaves no partial
 * file and an older one as it was. `-` is stdout; a device such as /dev/null is written directly.
 */
#ifndef TW_CSV_H
#define TW_CSV_H

#include "../cpu_ref/status.h"

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Could a file of this name be written? Asked before long work, and before the first of several files.
 * @return TW_OK; TW_EIO (a folder; its folder is not there or may not be written to); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_check_writable(const char *path);

/** Do two paths name one file: by the file they lead to, or, where it is not there yet, by folder and name? */
bool tw_same_file(const char *a, const char *b);

/**
 * @brief Opens a file to read. A folder, a device or a pipe, which may never end, is refused and not waited for.
 * @param[in] what  "a CSV file", for the message
 * @return TW_OK; TW_EIO; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_open_to_read(FILE **file, const char *path, const char *what);

/** A CSV file being written. */
typedef struct tw_csv {
    FILE *file;      /**< print rows here; NULL if there is none */
    char *path;      /**< private: the target, links followed; of a device, its name */
    char *temporary; /**< private: what is written meanwhile; NULL if `file` is the target itself */
} tw_csv;

/**
 * @brief Opens a CSV file; path NULL opens nothing, and file stays NULL.
 * @return TW_OK; TW_EIO (a folder, or it cannot be created); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_csv_open(tw_csv *csv, const char *path);

/**
 * @brief The two comment lines on top: `# tilewise io, commit …` and `# command: …`.
 * @param[in] argc, argv  the command line as it was given; NULL-safe, newlines become '?'
 */
void tw_csv_header(const tw_csv *csv, const char *command, int argc, char *const *argv);

/**
 * @brief Completes the file and gives it its name; nothing to do if none was opened.
 * @return TW_OK; TW_EIO (not everything could be written; then nothing is left)
 */
TW_MUST_CHECK tw_status tw_csv_commit(tw_csv *csv);

/** Drops an unfinished file, leaving what was there before. Fine after tw_csv_commit() and on an unopened one. */
void tw_csv_discard(tw_csv *csv);

#ifdef __cplusplus
}
#endif

#endif
