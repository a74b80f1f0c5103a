/* A machine becomes a file: what machine.c reads, written. */
#include "machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* inih cuts a line at a blank with a ';' behind it, and refuses one of 200 characters. */
enum { LONGEST_LINE = 198 };

/* As few digits as read back the same; 3.094e12 rather than 3.094e+12, but counts in full. */
static void format_value(char text[40], double value)
{
    if (value == floor(value) && value < 1e11) {
        snprintf(text, 40, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 40, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *plus = strstr(text, "e+");
    if (plus)
        memmove(plus + 1, plus + 2, strlen(plus + 2) + 1);
}

static tw_status write_number(FILE *file, const char *name, double value, const tw_machine_source *where)
{
    char number[40], line[400];
    format_value(number, value);
    int length = snprintf(line, sizeof line, "%s = %s | %s | %s", name, number, where->date, where->source);
    if (length > LONGEST_LINE || strstr(line, " ;") || strpbrk(line, "\r\n"))
        return tw_fail(TW_EOVERFLOW,
                       "the line of %s has %d characters, it must have at most %d, no ' ;' and no line break",
                       name, length, LONGEST_LINE);
    fprintf(file, "%s\n", line);
    return TW_OK;
}

static void write_comment(FILE *file, const char *comment)
{
    while (comment && *comment != '\0') {
        size_t length = strcspn(comment, "\n");
        if (length > LONGEST_LINE - 2)
            length = LONGEST_LINE - 2;
        fprintf(file, "; %.*s\n", (int)length, comment);
        comment += length;
        comment += *comment == '\n';
    }
}

tw_status tw_machine_write(FILE *file, const tw_machine *machine, const char *comment)
{
    static const char *const kinds[] = {"paper", "gpu", "cpu"}; /* in the order of tw_machine_kind */
    write_comment(file, comment);
    fprintf(file, "[machine]\n");
    if (*machine->description != '\0')
        fprintf(file, "description = %s\n", machine->description);
    fprintf(file, "kind = %s\ncalibrated = %s\n", kinds[machine->kind], machine->uncalibrated ? "no" : "yes");
    for (int i = 0; tw_machine_number_name(i); i++) {
        const tw_machine_source *where = tw_machine_number_source(machine, i);
        if (*where->source != '\0')
            TW_TRY(write_number(file, tw_machine_number_name(i), tw_machine_number(machine, i), where));
    }
    return TW_OK;
}
