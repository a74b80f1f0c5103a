/**
 * @file measured.h
 * @brief Measurements read from CSV files, and joined: what each kernel did on each shape.
 *
 * Columns: those of `tilewise io` from algorithm to block_n, then kernel, then in any order how it was launched (order,
 * kv_order, start, blocks_per_sm, workers, dispatch; each may be missing) and values by the names below; others are
 * passed over. Predictions are read like measurements: their columns begin with predicted_. Lines that begin with '#' are comments. A file that is not like that is refused
 * with the number of the line and what is wrong there.
 */
#ifndef TW_MEASURED_H
#define TW_MEASURED_H

#include "kernels.h"
#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The columns that say what was measured, in their order; every file must have them: X(number, column). */
#define TW_MEASURED_KEYS(X)                                                                                  \
    X(ALGORITHM, algorithm)                                                                                  \
    X(MACHINE, machine)                                                                                      \
    X(BATCH, batch)                                                                                          \
    X(NUM_HEADS, num_heads)                                                                                  \
    X(NUM_HEADS_KV, num_heads_kv)                                                                            \
    X(SEQLEN_Q, seqlen_q)                                                                                    \
    X(SEQLEN_K, seqlen_k)                                                                                    \
    X(HEAD_DIM, head_dim)                                                                                    \
    X(DTYPE, dtype)                                                                                          \
    X(CAUSAL, causal)                                                                                        \
    X(BLOCK_M, block_m)                                                                                      \
    X(BLOCK_N, block_n)                                                                                      \
    X(KERNEL, kernel)

/** Values that may be measured, and what was predicted before: X(column). Units are in the names. */
#define TW_MEASURED_VALUES(X)                                                                                \
    X(time_us)                                                                                               \
    X(time_min_us)                                                                                           \
    X(time_max_us)                                                                                           \
    X(fill_bytes)                                                                                            \
    X(drain_bytes)                                                                                           \
    X(l2_request_bytes)                                                                                      \
    X(hbm_read_bytes)                                                                                        \
    X(hbm_write_bytes)                                                                                       \
    X(sm_cycles)                                                                                             \
    X(gpu_time_us)                                                                                           \
    X(predicted_fill_bytes)                                                                                  \
    X(predicted_drain_bytes)                                                                                 \
    X(predicted_l2_request_bytes)                                                                            \
    X(predicted_l2_hbm_read_bytes)                                                                           \
    X(predicted_l2_hbm_write_bytes)                                                                          \
    X(energy_mj)                                                                                             \
    X(sm_clock_mhz)                                                                                          \
    X(predicted_cold_cycles)                                                                                 \
    X(predicted_time_us)                                                                                     \
    X(predicted_lasting_clock_mhz)                                                                           \
    X(predicted_energy_mj)

/** @cond */
#define TW_MEASURED_FIELD_(column) double column;
/** @endcond */
/** One kernel on one shape. Values are NaN where nobody measured them. */
typedef struct tw_measured {
    /** Schedule, shape, tiling and orders; fetch and unit as gpu/kernels.def says, or by the dtype. */
    tw_case c;
    char machine[64];   /**< as the file names it */
    char kernel[64];    /**< likewise */
    int start;          /**< a tw_l2_start; flushed where nothing is said, as profilers do */
    int blocks_per_sm;  /**< 0: as gpu/launches.def or the schedule's slots say */
    int num_workers;    /**< blocks in flight; 0: blocks_per_sm on every SM */
    bool static_stride; /**< persistent blocks, each takes every num_workers-th piece of work */
    TW_MEASURED_VALUES(TW_MEASURED_FIELD_)
    char file[128]; /**< where it was first named */
    int line;       /**< and on which line */
} tw_measured;
#undef TW_MEASURED_FIELD_

/** All of them; {0} is an empty list. */
typedef struct tw_measured_list {
    tw_measured *rows; /**< owned */
    size_t count;      /**< rows in use */
    size_t capacity;   /**< rows allocated */
} tw_measured_list;

/**
 * @brief Adds a file to a list. Rows of the same kernel, shape, tiles, orders, start and machine become one.
 * @param[in,out] list  may hold some of the file's rows on error
 * @param[in]     path  a CSV file
 * @return TW_OK; TW_EIO (not there, a folder, a device or a pipe, unreadable); TW_EFORMAT (a missing column, a row with too few or too
 *         many fields, not a number, an unknown algorithm or dtype, a shape without meaning, a value given twice, a
 *         kernel under another algorithm than its own, no rows at all); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_measured_read(tw_measured_list *list, const char *path);

/** Reads cases to be predicted: the same without any value. */
TW_MUST_CHECK tw_status tw_measured_read_cases(tw_measured_list *list, const char *path);

/** Frees the rows. */
void tw_measured_free(tw_measured_list *list);

#ifdef __cplusplus
}
#endif

#endif
