/* The list of grades: a CSV file that is whole at any moment. */
#ifndef LAB_GRADES_H
#define LAB_GRADES_H

#include "report.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lab_grades {
    const char *path;
    char *rows; /* of the file, column names included */
    size_t length;
} lab_grades;

/* Reads the list, or begins one. False, with errno, if it cannot be read or is something else (EEXIST). */
bool lab_grades_load(lab_grades *grades, const char *path);
/* Has this submission a row? */
bool lab_grades_has(const lab_grades *grades, const char *name);
bool lab_grades_append(lab_grades *grades, const char *text, size_t n);
/* Writes it beside itself and renames it. False, with errno. */
bool lab_grades_save(const lab_grades *grades);
/* One row. */
void lab_grades_put(FILE *out, const char *name, const lab_report *report);

#endif
