/* Predictions beside measurements: errors of each kernel over all of its shapes. */
#include "compare_table.h"

#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

double tw_compared_time_us(const tw_compared *row)
{
    return row->measured->time_us;
}

static double fill(const tw_compared *r)
{
    return (double)r->counts.total.sram_fill_bytes / r->measured->fill_bytes;
}

static double drain(const tw_compared *r)
{
    return (double)r->counts.total.sram_drain_bytes / r->measured->drain_bytes;
}

/* Below twice the L2 of an H100, what reaches HBM is what happened not to stay in it: an error in percent says nothing. */
#define LEAST_HBM_BYTES 100e6

static double hbm(double predicted, double measured)
{
    return predicted > LEAST_HBM_BYTES ? predicted / measured : NAN;
}

static double hbm_read(const tw_compared *r)
{
    return hbm((double)r->counts.total.hbm_read_bytes, r->measured->hbm_read_bytes);
}

static double hbm_write(const tw_compared *r)
{
    return hbm((double)r->counts.total.hbm_write_bytes, r->measured->hbm_write_bytes);
}

static double roofline_time(const tw_compared *r)
{
    return r->roofline.time_s * 1e6 / tw_compared_time_us(r);
}

static const struct {
    const char *name;
    double (*ratio)(const tw_compared *); /* predicted over measured; NaN where either is missing */
} quantities[] = {{"SRAM fill", fill},
                  {"SRAM drain", drain},
                  {"HBM read*", hbm_read},
                  {"HBM write*", hbm_write},
                  {"time, roofline", roofline_time}};

/* Errors of one kernel and quantity. */
typedef struct errors {
    int count;
    double median, mean, worst;
    const tw_compared *worst_row;
} errors;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static errors errors_of(const tw_compared *rows, size_t count, const char *kernel, int quantity,
                        double *scratch)
{
    errors e = {.count = 0};
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        double error = quantities[quantity].ratio(&rows[i]) - 1.0;
        if (strcmp(rows[i].measured->kernel, kernel) != 0 || !isfinite(error))
            continue;
        if (e.count == 0 || fabs(error) > fabs(e.worst)) {
            e.worst = error;
            e.worst_row = &rows[i];
        }
        scratch[e.count++] = error;
        sum += fabs(error);
    }
    if (e.count == 0)
        return e;
    qsort(scratch, (size_t)e.count, sizeof *scratch, ascending);
    int middle = e.count / 2;
    e.median = e.count % 2 ? scratch[middle] : 0.5 * (scratch[middle - 1] + scratch[middle]);
    e.mean = sum / e.count;
    return e;
}

enum { COL_KERNEL, COL_QUANTITY, COL_CASES, COL_MEDIAN, COL_MEAN, COL_WORST, COL_WHERE };

static void put_percent(tw_table *t, int column, double error, const char *format)
{
    tw_table_cell(t, column, format, 100.0 * error);
}

static void add_row(tw_table *t, const char *kernel, int quantity, const errors *e)
{
    const char *with_sign = fabs(e->worst) < 0.01 ? "%+.3f%%" : "%+.1f%%";
    const char *without = fabs(e->worst) < 0.01 ? "%.3f%%" : "%.1f%%";
    const tw_problem *p = &e->worst_row->measured->c.problem;
    tw_table_row(t);
    tw_table_cell(t, COL_KERNEL, "%s", kernel);
    tw_table_cell(t, COL_QUANTITY, "%s", quantities[quantity].name);
    tw_table_cell(t, COL_CASES, "%d", e->count);
    put_percent(t, COL_MEDIAN, e->median, with_sign);
    put_percent(t, COL_MEAN, e->mean, without);
    put_percent(t, COL_WORST, e->worst, with_sign);
    tw_table_cell(t, COL_WHERE, "%d x %d, d %d%s, batch %d", p->seqlen_q, p->seqlen_k, p->head_dim,
                  p->causal ? ", causal" : "", p->batch);
}

static bool named_before(const tw_compared *rows, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(rows[j].measured->kernel, rows[i].measured->kernel) == 0)
            return true;
    return false;
}

static void add_kernel(tw_table *t, const tw_compared *rows, size_t count, const char *kernel,
                       double *scratch)
{
    for (int q = 0; q < COUNT(quantities); q++) {
        errors e = errors_of(rows, count, kernel, q, scratch);
        if (e.count > 0)
            add_row(t, kernel, q, &e);
    }
}

bool tw_compare_any_error(const tw_compared *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int q = 0; q < COUNT(quantities); q++)
            if (isfinite(quantities[q].ratio(&rows[i])))
                return true;
    return false;
}

static void print_footnote(FILE *out, const tw_compared *rows, size_t count)
{
    int measured = 0, compared = 0;
    for (size_t i = 0; i < count; i++) {
        const tw_measured *m = rows[i].measured;
        measured += isfinite(m->hbm_read_bytes) ? 1 : 0;
        measured += isfinite(m->hbm_write_bytes) ? 1 : 0;
        compared += isfinite(hbm_read(&rows[i])) ? 1 : 0;
        compared += isfinite(hbm_write(&rows[i])) ? 1 : 0;
    }
    fprintf(out,
            "\n* HBM: over the %d of %d measured values whose prediction is above 100 MB, twice the L2 of an "
            "H100; "
            "below, what\n  reaches HBM is what happened not to stay in the L2. Predictions are the "
            "compulsory traffic: "
            "misses in the L2 and lines\n  still dirty at a kernel's end are not modelled yet. The roofline "
            "takes the "
            "slowest of bytes and FLOPs launch by launch:\n  no latency, no occupancy.\n",
            compared, measured);
}

tw_status tw_compare_print_errors(FILE *out, const tw_compared *rows, size_t count)
{
    tw_table t = {.num_columns = 0};
    double *scratch = malloc((count + 1) * sizeof *scratch);
    if (!scratch)
        return tw_fail(TW_ENOMEM, "no memory for %zu errors", count);
    tw_table_column(&t, "kernel", "", true);
    tw_table_column(&t, "quantity", "", true);
    tw_table_column(&t, "cases", "", false);
    tw_table_column(&t, "median", "", false);
    tw_table_column(&t, "mean of |error|", "", false);
    tw_table_column(&t, "worst", "", false);
    tw_table_column(&t, "worst at", "", true);
    for (size_t i = 0; i < count; i++) {
        if (named_before(rows, i))
            continue;
        if (i > 0)
            tw_table_row(&t);
        add_kernel(&t, rows, count, rows[i].measured->kernel, scratch);
    }
    free(scratch);
    fprintf(out, "Errors: predicted / measured - 1\n\n");
    TW_TRY(tw_table_print(&t, out));
    print_footnote(out, rows, count);
    return TW_OK;
}
