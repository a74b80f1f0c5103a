/**
 * @file ledger_table.h
 * @brief docs/ledger.md: its tables, and the page that holds them.
 */
#ifndef TW_LEDGER_TABLE_H
#define TW_LEDGER_TABLE_H

#include "claims.h"

#include <stdio.h>

/** How many rows have each verdict; indices are of tw_verdict. */
typedef struct tw_verdict_counts {
    int of[4];
} tw_verdict_counts;

/**
 * @brief Runs the command of every row, by bash at the top of the repository, and writes the table.
 * @param[in,out] counts  rows are added
 * @return TW_OK; TW_EIO (a command cannot be started or fails); TW_EFORMAT (it prints no number); as tw_claim_judge()
 */
TW_MUST_CHECK tw_status tw_ledger_table(FILE *out, tw_verdict_counts *counts, const tw_claims *claims);

/**
 * @brief Fills a page: the table of FOLDER/NAME.ini between <!-- NAME: begin --> and its end, and between those of `counts`
 *        how many rows have which verdict.
 * @param[in,out] page  owned by the caller; replaced by a new one, on error perhaps filled in part
 * @return TW_OK; as tw_claims_read(), tw_ledger_table() and tw_markers_fill()
 */
TW_MUST_CHECK tw_status tw_ledger_fill(char **page, int num_files, char *const *files);

/** "40.3", "825", "1.9e-04": about three digits that count. */
void tw_three_digits(char *text, size_t size, double value);

#endif
