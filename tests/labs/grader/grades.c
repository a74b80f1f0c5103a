/* CSV in and out. */
#define _GNU_SOURCE
#include "grades.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A field in quotes. A leading = + - @ gets a space before it: spreadsheets would take it for a formula. */
static void put_field(FILE *out, const char *text)
{
    fputc('"', out);
    if (strchr("=+-@", *text) && *text)
        fputc(' ', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
    fputc('"', out);
}

void lab_grades_put(FILE *out, const char *name, const lab_report *report)
{
    put_field(out, name);
    fprintf(out, ",%d,%d,", lab_report_points(report), lab_report_max(report));
    char *text = NULL;
    size_t size = 0;
    FILE *reasons = open_memstream(&text, &size);
    for (int i = 0; reasons && i < report->num_items; i++)
        if (report->items[i].lost)
            fprintf(reasons, "%s%s (%d lost): %s", ftell(reasons) ? " | " : "", report->items[i].name,
                    report->items[i].max, report->items[i].reason);
    if (reasons)
        fclose(reasons);
    put_field(out, text ? text : "");
    fputc('\n', out);
    free(text);
}

bool lab_grades_has(const lab_grades *grades, const char *name)
{
    char *field = NULL;
    size_t size = 0;
    bool found = false;
    FILE *out = open_memstream(&field, &size);
    if (!out)
        return false;
    put_field(out, name);
    fputc(',', out);
    fclose(out);
    for (const char *line = grades->rows; line && !found; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, field, size) == 0)
            found = true;
    }
    free(field);
    return found;
}

bool lab_grades_append(lab_grades *grades, const char *text, size_t n)
{
    char *grown = realloc(grades->rows, grades->length + n + 1);
    if (!grown)
        return false;
    grades->rows = grown;
    memcpy(grown + grades->length, text, n);
    grades->length += n;
    grown[grades->length] = '\0';
    return true;
}

bool lab_grades_load(lab_grades *grades, const char *path)
{
    *grades = (lab_grades){.path = path};
    char text[8192];
    FILE *file = fopen(grades->path, "r");
    snprintf(text, sizeof text, "submission,points,max,reasons\n");
    if (!file)
        return errno == ENOENT && lab_grades_append(grades, text, strlen(text));
    for (size_t n; (n = fread(text, 1, sizeof text, file)) > 0;)
        if (!lab_grades_append(grades, text, n))
            break;
    fclose(file);
    if (!grades->rows || strncmp(grades->rows, "submission,points,max,reasons\n", 30) != 0) {
        errno = EEXIST;
        return false;
    }
    return true;
}

bool lab_grades_save(const lab_grades *grades)
{
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.part", grades->path);
    FILE *file = fopen(temporary, "w");
    if (!file)
        return false;
    bool good = fwrite(grades->rows, 1, grades->length, file) == grades->length && fflush(file) == 0 &&
                fsync(fileno(file)) == 0;
    good = fclose(file) == 0 && good;
    if (good && rename(temporary, grades->path) == 0)
        return true;
    unlink(temporary);
    return false;
}
