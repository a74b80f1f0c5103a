/* Tables for people. */
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int tw_table_column(tw_table *table, const char *title, const char *unit, bool left)
{
    table->columns[table->num_columns] = (tw_column){title, unit, left};
    return table->num_columns++;
}

static char *cell(const tw_table *table, int row, int column)
{
    return table->cells[row * TW_TABLE_MAX_COLUMNS + column];
}

void tw_table_row(tw_table *table)
{
    if (table->failed)
        return;
    if (table->num_rows == table->capacity) {
        int capacity = table->capacity ? 2 * table->capacity : 16;
        void *cells = realloc(table->cells, (size_t)capacity * TW_TABLE_MAX_COLUMNS * TW_CELL_BYTES);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    table->num_rows++;
    memset(cell(table, table->num_rows - 1, 0), 0, TW_TABLE_MAX_COLUMNS * TW_CELL_BYTES);
}

void tw_table_cell(tw_table *table, int column, const char *format, ...)
{
    if (table->failed)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(cell(table, table->num_rows - 1, column), TW_CELL_BYTES, format, args);
    va_end(args);
}

void tw_table_number(tw_table *table, int column, double value, int decimals)
{
    if (!table->failed)
        tw_format_number(cell(table, table->num_rows - 1, column), value, decimals);
}

static int width_of(const tw_table *table, int column)
{
    size_t width = strlen(table->columns[column].title), unit = strlen(table->columns[column].unit);
    width = unit > width ? unit : width;
    for (int row = 0; row < table->num_rows; row++) {
        size_t n = strlen(cell(table, row, column));
        width = n > width ? n : width;
    }
    return (int)width;
}

/* How much of a text is there to see: its blanks at the end, by which a column is kept aligned, are not. */
static int visible_length(const char *text)
{
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == ' ')
        length--;
    return (int)length;
}

/* One line; `text` says what stands in a column of it. Blanks at its end are left out. */
static void print_line(FILE *out, const tw_table *table, const int *widths, const char *const *texts)
{
    int pending = 0; /* blanks that are printed only if something follows them */
    for (int c = 0; c < table->num_columns; c++) {
        int visible = visible_length(texts[c]);
        int before = table->columns[c].left ? 0 : widths[c] - (int)strlen(texts[c]);
        if (visible > 0) {
            fprintf(out, "%*s%.*s", pending + before, "", visible, texts[c]);
            pending = widths[c] - visible - before + 2;
        } else {
            pending += widths[c] + 2;
        }
    }
    fputc('\n', out);
}

tw_status tw_table_print(tw_table *table, FILE *out)
{
    int widths[TW_TABLE_MAX_COLUMNS] = {0};
    const char *texts[TW_TABLE_MAX_COLUMNS] = {NULL};
    bool units = false;
    tw_status status = table->failed ? tw_fail(TW_ENOMEM, "no memory for a table of %d rows", table->num_rows)
                                     : TW_OK;
    for (int c = 0; c < table->num_columns && status == TW_OK; c++) {
        widths[c] = width_of(table, c);
        texts[c] = table->columns[c].title;
        units = units || *table->columns[c].unit != '\0';
    }
    if (status == TW_OK)
        print_line(out, table, widths, texts);
    for (int c = 0; c < table->num_columns; c++)
        texts[c] = table->columns[c].unit;
    if (status == TW_OK && units)
        print_line(out, table, widths, texts);
    for (int row = 0; row < table->num_rows && status == TW_OK; row++) {
        for (int c = 0; c < table->num_columns; c++)
            texts[c] = cell(table, row, c);
        print_line(out, table, widths, texts);
    }
    free(table->cells);
    *table = (tw_table){.cells = NULL};
    return status;
}

void tw_format_number(char text[TW_CELL_BYTES], double value, int decimals)
{
    char plain[TW_CELL_BYTES];
    snprintf(plain, sizeof plain, "%.*f", decimals, value);
    const char *first = plain + (*plain == '-');
    size_t digits = strspn(first, "0123456789"), n = 0;
    if (first != plain)
        text[n++] = '-';
    for (size_t i = 0; i < digits && n < TW_CELL_BYTES - 2; i++) {
        if (i > 0 && (digits - i) % 3 == 0)
            text[n++] = ',';
        text[n++] = first[i];
    }
    snprintf(text + n, TW_CELL_BYTES - n, "%s", first + digits);
}

void tw_seqlen_name(char *text, size_t size, int n)
{
    if (n % (1024 * 1024) == 0)
        snprintf(text, size, "%dM", n / (1024 * 1024));
    else if (n % 1024 == 0)
        snprintf(text, size, "%dk", n / 1024);
    else
        snprintf(text, size, "%d", n);
}

tw_scale tw_scale_for(double largest)
{
    static const tw_scale prefixes[] = {{1e6, 0, "M"}, {1e9, 0, "G"}, {1e12, 0, "T"}};
    if (largest < 1e7)
        return (tw_scale){1.0, 0, ""};
    tw_scale scale = prefixes[0];
    for (int i = 1; i < 3 && largest / scale.divisor >= 1e6; i++)
        scale = prefixes[i];
    scale.decimals = largest / scale.divisor < 1e4 ? 3 : 1;
    return scale;
}
