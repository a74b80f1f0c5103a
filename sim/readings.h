/**
 * @file readings.h
 * @brief What a calibration found: numbers with their spread, each held against what is possible at all.
 *
 * A reading that scatters too much is kept and called in doubt. One outside its bounds is not believed: it is shown,
 * but does not get into a machine file.
 */
#ifndef TW_READINGS_H
#define TW_READINGS_H

#include "../cpu_ref/status.h"
#include "machine.h"

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a reading must keep to. */
typedef struct tw_limits {
    double lowest, highest; /**< of the value: outside them it is a fault of the measurement */
    double most_spread;     /**< 0.05: 5 % */
} tw_limits;

/** One number, measured several times. */
typedef struct tw_reading {
    char number[40]; /**< as a machine file names it; or another name, for what a machine does not have */
    double value;    /**< median; NaN if it could not be measured */
    double spread;   /**< (90th - 10th percentile) / median; of fewer than 10 samples largest - smallest */
    int samples;
    tw_limits limits;
    bool believed;     /**< within bounds */
    char trouble[112]; /**< one line; "" if there is none */
    char how[100];
} tw_reading;

#define TW_READINGS_MAX 96

typedef struct tw_readings {
    tw_reading at[TW_READINGS_MAX];
    int count;
    int in_doubt; /**< how many have trouble */
} tw_readings;

/** Median of n samples, which are sorted; NaN if n is 0 or one of them is NaN. */
double tw_median(double *samples, int n);

/** As tw_reading.spread says; 0 for one sample. The samples are sorted. */
double tw_spread(double *samples, int n);

/**
 * @brief Adds a reading: judges it, and remembers how it was made.
 * @param[in] samples  sorted here; n 0 is a number that could not be measured
 * @param[in] how      printf's; at most 99 characters count. Ends the line in the machine file: no ';'
 */
void tw_readings_add(tw_readings *readings, const char *number, double *samples, int n, tw_limits limits,
                     const char *how, ...) TW_PRINTF(6, 7);

/** The same for a number whose spread was found otherwise: a fit's, a curve's. */
void tw_readings_add_value(tw_readings *readings, const char *number, double value, double spread,
                           int samples, tw_limits limits, const char *how, ...) TW_PRINTF(7, 8);

/** The reading of this number; NULL if there is none. */
const tw_reading *tw_readings_find(const tw_readings *readings, const char *number);

/** Its value if it is believed, NaN otherwise. */
double tw_readings_value(const tw_readings *readings, const char *number);

/**
 * @brief Gives a machine every believed reading whose number it has: "measured, how; spread 0.3 % of 20".
 *
 * Values are rounded to four digits, bytes to whole ones. Numbers that were not measured stay as they were.
 * @param[in] date  YYYY-MM-DD
 * @return TW_OK; as tw_machine_set_number()
 */
TW_MUST_CHECK tw_status tw_readings_to_machine(tw_machine *machine, const tw_readings *readings,
                                               const char *date);

/** Prints a table for people: number, value, spread, and what is wrong with it. @return as tw_table_print() */
TW_MUST_CHECK tw_status tw_readings_print(FILE *out, const tw_readings *readings);

/** Writes number,value,spread,samples,lowest,highest,most_spread,believed,trouble,how: a header and a row each. */
void tw_readings_csv(FILE *out, const tw_readings *readings);

/** Today, as YYYY-MM-DD. */
void tw_today(char date[16]);

#ifdef __cplusplus
}
#endif

#endif
