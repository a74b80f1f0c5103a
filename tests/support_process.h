/* Runs the built program as a user would, and keeps everything that it says. */
#ifndef TW_SUPPORT_PROCESS_H
#define TW_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* A program that has ended. */
typedef struct tw_process {
    int exit_code;      /* -1 if a signal ended it */
    char *out, *err;    /* whole streams; tw_process_free() */
    double seconds;     /* wall-clock */
    double cpu_seconds; /* that it worked, all threads: what others take of the processor does not count */
    long max_rss_kib;
} tw_process;

/* Where the programs were built: $TW_BUILD, or build. */
const char *tw_build_folder(void);

/* Whether the programs there carry sanitizers, which are slow and keep memory of their own: a limit on time or memory
 * then says nothing of the program. */
bool tw_sanitized(void);

/* Runs a program, found as a shell would find it; the test fails if it cannot be started. */
tw_process tw_run(char **words);

/* Runs $TW_BUILD/tilewise with the words of a line, cut at blanks; the test fails if it cannot be started. */
tw_process tw_tilewise(const char *line);

/* The same with formatting; at most 4095 characters. */
tw_process tw_tilewise_f(const char *format, ...) __attribute__((format(printf, 1, 2)));

void tw_process_free(tw_process *process);

/* Fails the test unless a command was refused as the house wants it: exit 2, nothing on stdout, and one line on stderr
 * that begins with "tilewise: " and contains every one of the words (separated by '|'). */
void tw_expect_refusal(const char *line, const char *words);

/* Fails the test unless the command ends with this code and a silent stderr; the caller frees it. */
tw_process tw_expect_exit(int exit_code, const char *line);

/* A new empty folder below $TW_BUILD; the text lives until the test's process ends. */
const char *tw_new_folder(void);

/* Number of files in a folder. */
int tw_files_in(const char *folder);

/* Writes a text file. */
void tw_write_text(const char *path, const char *text);

/* Removes a folder and the files in it. */
void tw_remove_folder(const char *folder);

#endif
