/* Helpers of the labs' tests: commands, tables, and grading through the grader's own command line. */
#ifndef LAB_TESTS_H
#define LAB_TESTS_H

#include <stdbool.h>
#include <stddef.h>

enum { LAB_MAX_ROWS = 64, LAB_TEXT = 16384 };

/* A row of a table: fields between bars, without the spaces around them. */
typedef struct lab_row {
    char field[6][400];
} lab_row;

/* The rows of a table that are no comments; fails the test if the file cannot be read. */
int lab_table(lab_row *rows, const char *path);

/* The text of a file, cut at `size` - 1 bytes; fails the test if the file cannot be read. */
void lab_read(char *text, size_t size, const char *path);

/* Runs a command line; its exit status. */
int lab_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a grading said. */
typedef struct lab_grade_result {
    int points, max;
    long pid;               /* of the grader */
    char reasons[LAB_TEXT]; /* all of them, a line each */
} lab_grade_result;

/* Grades a folder; `settings` are environment variables in front of the command. */
lab_grade_result lab_grade_folder(const char *grader, const char *settings, const char *folder,
                                  const char *seed);

/* A new empty folder below the system's temporary one, open to everybody to pass through; and its end. */
void lab_make_scratch(char *path, int size);
void lab_remove_scratch(const char *path);

/* build/labs, wherever it is. */
const char *lab_kit(void);

/* Can submissions be graded here at all? If not, says why, once. */
bool lab_can_confine(const char *settings);

#endif
