/**
 * @file ladder_rows.h
 * @brief What `make ladder` measured: rows of ladder.csv, rounds put together.
 */
#ifndef TW_LADDER_ROWS_H
#define TW_LADDER_ROWS_H

#include "../../cpu_ref/problem.h"

#include <stdbool.h>
#include <stddef.h>

/** No file has more rounds. */
#define TW_LADDER_MAX_ROUNDS 64

/** One kernel, peer or matrix product on one shape. */
typedef struct tw_ladder_row {
    char algorithm[32], kernel[64]; /**< "peer" and "matrix_product" are algorithms too */
    tw_problem problem;
    int block_m, block_n;
    double time_us;   /**< median over the rounds */
    double energy_mj; /**< a launch; NAN if it was not measured */
    int num_times_;   /**< private: times of the rounds, while the file is read */
    double times_[TW_LADDER_MAX_ROUNDS];
} tw_ladder_row;

/** All of a file; {0} is an empty one. */
typedef struct tw_ladder {
    tw_ladder_row *rows; /**< owned; in the order in which they first appear */
    size_t count;
    int rounds;
    char gpu[96], commit[64]; /**< of the comment lines on top */
} tw_ladder;

/**
 * @brief Reads the file.
 * @return TW_OK; TW_EIO; TW_EFORMAT (other columns, a field that is no number; the line says where); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_ladder_read(tw_ladder *ladder, const char *path);

void tw_ladder_free(tw_ladder *ladder);

/** The row of a kernel on a shape; NULL if there is none. */
const tw_ladder_row *tw_ladder_find(const tw_ladder *ladder, const char *kernel, const tw_problem *problem);

/** Is this a kernel of others, or the matrix product? */
bool tw_ladder_is_peer(const tw_ladder_row *row);
bool tw_ladder_is_product(const tw_ladder_row *row);

/** FLOPs of a row: those of attention, or of the matrix product. */
double tw_ladder_flops(const tw_ladder_row *row);

#endif
