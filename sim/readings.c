/* Numbers with their spread, held against what is possible. */
#include "readings.h"

#include "table.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool any_nan(const double *samples, int n)
{
    for (int i = 0; i < n; i++)
        if (isnan(samples[i]))
            return true;
    return false;
}

double tw_median(double *samples, int n)
{
    if (n < 1 || any_nan(samples, n))
        return (double)NAN;
    qsort(samples, (size_t)n, sizeof *samples, ascending);
    return n % 2 ? samples[n / 2] : 0.5 * (samples[n / 2 - 1] + samples[n / 2]);
}

double tw_spread(double *samples, int n)
{
    double median = tw_median(samples, n);
    if (isnan(median) || median == 0.0)
        return n > 0 && !isnan(median) && samples[n - 1] == samples[0] ? 0.0 : (double)NAN;
    int cut = n < 10 ? 0 : n / 10; /* so many at either end are left out */
    return (samples[n - 1 - cut] - samples[cut]) / fabs(median);
}

/* Sets what is wrong, and whether the value can be believed all the same. */
static void judge(tw_reading *r)
{
    r->believed = false;
    if (isnan(r->value) || r->samples < 1)
        snprintf(r->trouble, sizeof r->trouble, "could not be measured");
    else if (r->value < r->limits.lowest || r->value > r->limits.highest)
        snprintf(r->trouble, sizeof r->trouble, "not believed: %.4g, it must be from %.4g to %.4g", r->value,
                 r->limits.lowest, r->limits.highest);
    else {
        r->believed = true;
        if (!(r->spread <= r->limits.most_spread))
            snprintf(r->trouble, sizeof r->trouble, "spread of %.2g %%, it should be at most %.2g %%",
                     100.0 * r->spread, 100.0 * r->limits.most_spread);
    }
}

static void add(tw_readings *readings, const char *number, double value, double spread, int samples,
                tw_limits limits, const char *how, va_list arguments)
{
    assert(readings->count < TW_READINGS_MAX);
    tw_reading *r = &readings->at[readings->count++];
    *r = (tw_reading){.value = value, .spread = spread, .samples = samples, .limits = limits};
    snprintf(r->number, sizeof r->number, "%s", number);
    vsnprintf(r->how, sizeof r->how, how, arguments);
    judge(r);
    readings->in_doubt += *r->trouble != '\0';
}

void tw_readings_add(tw_readings *readings, const char *number, double *samples, int n, tw_limits limits,
                     const char *how, ...)
{
    va_list arguments;
    va_start(arguments, how);
    add(readings, number, tw_median(samples, n), tw_spread(samples, n), n, limits, how, arguments);
    va_end(arguments);
}

void tw_readings_add_value(tw_readings *readings, const char *number, double value, double spread,
                           int samples, tw_limits limits, const char *how, ...)
{
    va_list arguments;
    va_start(arguments, how);
    add(readings, number, value, spread, samples, limits, how, arguments);
    va_end(arguments);
}

const tw_reading *tw_readings_find(const tw_readings *readings, const char *number)
{
    for (int i = 0; i < readings->count; i++)
        if (strcmp(readings->at[i].number, number) == 0)
            return &readings->at[i];
    return NULL;
}

double tw_readings_value(const tw_readings *readings, const char *number)
{
    const tw_reading *r = tw_readings_find(readings, number);
    return r && r->believed ? r->value : (double)NAN;
}

/* Four digits are more than any of them is good for; a count of bytes is a whole one. */
static double rounded(const char *number, double value)
{
    char text[40];
    if (strstr(number, "bytes") && !strstr(number, "_per_"))
        return round(value);
    snprintf(text, sizeof text, "%.4g", value);
    return strtod(text, NULL);
}

static bool is_number_of_machine(const char *number)
{
    for (int i = 0; tw_machine_number_name(i); i++)
        if (strcmp(tw_machine_number_name(i), number) == 0)
            return true;
    return false;
}

tw_status tw_readings_to_machine(tw_machine *machine, const tw_readings *readings, const char *date)
{
    tw_machine result = *machine;
    for (int i = 0; i < readings->count; i++) {
        const tw_reading *r = &readings->at[i];
        char source[160];
        if (!r->believed || !is_number_of_machine(r->number))
            continue;
        snprintf(source, sizeof source, "measured, %s; spread %.2g %% of %d", r->how, 100.0 * r->spread,
                 r->samples);
        TW_TRY(tw_machine_set_number(&result, r->number, rounded(r->number, r->value), date, source));
    }
    *machine = result;
    return TW_OK;
}

tw_status tw_readings_print(FILE *out, const tw_readings *readings)
{
    tw_table table = {0};
    int name = tw_table_column(&table, "number", "", true),
        value = tw_table_column(&table, "value", "", false);
    int spread = tw_table_column(&table, "spread", "%", false), of = tw_table_column(&table, "of", "", false);
    for (int i = 0; i < readings->count; i++) {
        const tw_reading *r = &readings->at[i];
        tw_table_row(&table);
        tw_table_cell(&table, name, "%s%s", r->number, *r->trouble != '\0' ? " (?)" : "");
        tw_table_cell(&table, value, "%.4g", r->value);
        tw_table_cell(&table, spread, "%.2g", 100.0 * r->spread);
        tw_table_cell(&table, of, "%d", r->samples);
    }
    TW_TRY(tw_table_print(&table, out));
    if (readings->in_doubt > 0)
        fprintf(out, "\n");
    for (int i = 0; i < readings->count; i++)
        if (*readings->at[i].trouble != '\0')
            fprintf(out, "(?) %s: %s\n", readings->at[i].number, readings->at[i].trouble);
    return TW_OK;
}

/* Texts of ours have no quotes, but commas. */
void tw_readings_csv(FILE *out, const tw_readings *readings)
{
    fprintf(out, "number,value,spread,samples,lowest,highest,most_spread,believed,trouble,how\n");
    for (int i = 0; i < readings->count; i++) {
        const tw_reading *r = &readings->at[i];
        fprintf(out, "%s,%.6g,%.3g,%d,%.4g,%.4g,%.3g,%d,\"%s\",\"%s\"\n", r->number, r->value, r->spread,
                r->samples, r->limits.lowest, r->limits.highest, r->limits.most_spread, r->believed,
                r->trouble, r->how);
    }
}

void tw_today(char date[16])
{
    time_t now = time(NULL);
    struct tm today;
    if (gmtime_r(&now, &today) == NULL || strftime(date, 16, "%Y-%m-%d", &today) == 0)
        snprintf(date, 16, "1970-01-01");
}
