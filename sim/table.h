/**
 * @file table.h
 * @brief Tables for people: aligned columns, a line of titles, a line of units, thousands set apart.
 */
#ifndef TW_TABLE_H
#define TW_TABLE_H

#include "../cpu_ref/status.h"

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW_CELL_BYTES        40
#define TW_TABLE_MAX_COLUMNS 20

/** A column: what it holds, in which unit ("" for none). Numbers stand right, words left. */
typedef struct tw_column {
    const char *title;
    const char *unit;
    bool left;
} tw_column;

/** A table being filled, row by row. Remembers running out of memory until it is printed. */
typedef struct tw_table {
    tw_column columns[TW_TABLE_MAX_COLUMNS];
    int num_columns, num_rows, capacity;
    char (*cells)[TW_CELL_BYTES]; /**< num_rows × TW_TABLE_MAX_COLUMNS; owned */
    bool failed;
} tw_table;

/** Adds a column to an empty table ({0} is one); returns its number. The texts must outlive the table. */
int tw_table_column(tw_table *table, const char *title, const char *unit, bool left);

/** Begins a row of empty cells; a row that stays empty is printed as an empty line. */
void tw_table_row(tw_table *table);

/** Sets a cell of the last row. */
void tw_table_cell(tw_table *table, int column, const char *format, ...) TW_PRINTF(3, 4);

/** Sets a cell of the last row to a number with its thousands set apart. */
void tw_table_number(tw_table *table, int column, double value, int decimals);

/**
 * @brief Prints the table and frees it.
 * @return TW_OK; TW_ENOMEM (it could not be filled, and nothing is printed)
 */
TW_MUST_CHECK tw_status tw_table_print(tw_table *table, FILE *out);

/** "17,246,978,048" or "1,234.5": as fixed-point with `decimals` places. */
void tw_format_number(char text[TW_CELL_BYTES], double value, int decimals);

/** A length as it is typed: "1k" or "2M" where that is exact, digits otherwise. */
void tw_seqlen_name(char *text, size_t size, int n);

/** A unit in which a column's largest number is easy to read. */
typedef struct tw_scale {
    double divisor;
    int decimals;
    const char *prefix; /**< "", "M", "G" or "T" */
} tw_scale;

/** Whole numbers up to ten million, then M with 3 places, with 1 from 10⁴ M on, and so on to T. */
tw_scale tw_scale_for(double largest);

#ifdef __cplusplus
}
#endif

#endif
