/**
 * @file tables.h
 * @brief The Markdown tables that are written from recorded data, and what they share.
 */
#ifndef TW_TABLES_H
#define TW_TABLES_H

#include "../../sim/backend_count.h"
#include "../../sim/measured.h"
#include "ladder_rows.h"

#include <stdio.h>

/**
 * @brief Lines of a source file without comments and blank ones; the length of a rung.
 * @return TW_OK; TW_EIO; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_code_lines(int *lines, const char *path);

/** What is counted for a kernel with these tiles on a machine. @return as tw_count(); TW_EINVAL (unknown names) */
TW_MUST_CHECK tw_status tw_count_kernel(tw_count_result *count, const tw_kernel_claim *kernel,
                                        const tw_problem *problem, int block_m, int block_n,
                                        const char *machine);

/** The measured row of a kernel on a shape, with these tiles (0: whatever tiles come first); NULL if there is none. */
const tw_measured *tw_measured_find(const tw_measured_list *list, const char *kernel,
                                    const tw_problem *problem, int block_m, int block_n);

/** "4k" where that is exact, otherwise digits. */
void tw_length_name(char *text, size_t size, int n);

/**
 * @brief The table of the README and the lines below it: rungs, peers, shares, bytes, energy.
 * @param[in] counters  may be empty: then nothing was counted
 * @return TW_OK; TW_EFORMAT (no row of the matrix product, or of a rung); as tw_count()
 */
TW_MUST_CHECK tw_status tw_ladder_table(FILE *out, const tw_ladder *ladder, const tw_measured_list *counters);

/** A table of docs/theory/ladder.md: its name there, and what writes it. `list` holds bench.csv and counters.csv. */
typedef struct tw_story_table {
    const char *name;
    tw_status (*write)(FILE *out, const tw_measured_list *list);
} tw_story_table;

/** All of them, ended by one without a name. */
extern const tw_story_table tw_story_tables[];

#endif
