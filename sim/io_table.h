/**
 * @file io_table.h
 * @brief What `tilewise io` shows to people: counts, ledgers, savings and their reasons.
 */
#ifndef TW_IO_TABLE_H
#define TW_IO_TABLE_H

#include "backend_count.h"
#include "l2_jobs.h"
#include "options.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A case and what it was counted to do. */
typedef struct tw_counted {
    tw_case c;
    tw_count_result result;
    const tw_l2_job *l2; /**< what the L2 leaves of it for HBM; NULL: not asked */
} tw_counted;

/** May two cases stand in one table: is all alike but lengths, algorithm and tiles? */
bool tw_same_setting(const tw_problem *a, const tw_problem *b);

/**
 * @brief Prints the tables of some cases of one setting.
 * @param[in] elements  traffic in elements instead of bytes
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_io_table_print(FILE *out, const tw_counted *cases, size_t count,
                                          const tw_machine *machine, bool elements);

#ifdef __cplusplus
}
#endif

#endif
