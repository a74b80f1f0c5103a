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

/* What is set beside what; NaN where either is missing. */
typedef struct pair {
    double predicted, measured;
} pair;

static double recorded_or(double recorded, int64_t counted)
{
    return isfinite(recorded) ? recorded : (double)counted;
}

static pair fill(const tw_compared *r)
{
    const tw_measured *m = r->measured;
    return (pair){recorded_or(m->predicted_fill_bytes, r->counts.total.sram_fill_bytes), m->fill_bytes};
}

static pair drain(const tw_compared *r)
{
    const tw_measured *m = r->measured;
    return (pair){recorded_or(m->predicted_drain_bytes, r->counts.total.sram_drain_bytes), m->drain_bytes};
}

static pair l2_requests(const tw_compared *r)
{
    return (pair){r->l2_request_bytes, r->measured->l2_request_bytes};
}

/* Below twice the L2 of an H100, what reaches HBM is what happened not to stay in it: an error in percent says nothing. */
#define LEAST_COMPULSORY_BYTES 100e6
/* The profiler's own bytes are one or two million. */
#define LEAST_HBM_BYTES 10e6

static pair compulsory_read(const tw_compared *r)
{
    double predicted = (double)r->counts.total.hbm_read_bytes;
    return (pair){predicted > LEAST_COMPULSORY_BYTES ? predicted : NAN, r->measured->hbm_read_bytes};
}

static pair compulsory_write(const tw_compared *r)
{
    double predicted = (double)r->counts.total.hbm_write_bytes;
    return (pair){predicted > LEAST_COMPULSORY_BYTES ? predicted : NAN, r->measured->hbm_write_bytes};
}

static pair hbm_read(const tw_compared *r)
{
    return (pair){r->l2_hbm_read_bytes, r->measured->hbm_read_bytes};
}

static pair hbm_write(const tw_compared *r)
{
    return (pair){r->l2_hbm_write_bytes, r->measured->hbm_write_bytes};
}

static pair roofline_time(const tw_compared *r)
{
    return (pair){r->roofline.time_s * 1e6, tw_compared_time_us(r)};
}

static const struct {
    const char *name;
    pair (*of)(const tw_compared *);
    double least_measured; /* for an error in percent */
    bool is_bytes;
} quantities[] = {{"SRAM fill", fill, 0, true},
                  {"SRAM drain", drain, 0, true},
                  {"L2 requests", l2_requests, 0, true},
                  {"HBM read*", compulsory_read, 0, true},
                  {"HBM write*", compulsory_write, 0, true},
                  {"HBM read", hbm_read, LEAST_HBM_BYTES, true},
                  {"HBM write", hbm_write, LEAST_HBM_BYTES, true},
                  {"time, roofline", roofline_time, 0, false}};

/* predicted / measured − 1; NaN where that says nothing. */
static double error_of(const tw_compared *row, int quantity)
{
    pair p = quantities[quantity].of(row);
    return p.measured > quantities[quantity].least_measured ? p.predicted / p.measured - 1.0 : NAN;
}

/* Errors of a quantity. */
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

/* Of one kernel, or of all where it is NULL. */
static errors errors_of(const tw_compared *rows, size_t count, const char *kernel, int quantity,
                        double *scratch)
{
    errors e = {.count = 0};
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        double error = error_of(&rows[i], quantity);
        if ((kernel && strcmp(rows[i].measured->kernel, kernel) != 0) || !isfinite(error))
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
            if (isfinite(error_of(&rows[i], q)))
                return true;
    return false;
}

/* ---- by quantity, over all kernels ----------------------------------------------------------------------- */

/* How near predictions are, taken together. */
typedef struct nearness {
    int count, within, within_or_1_mb, pairs;
    double signed_mean, median_size;
    double sum_x, sum_y, sum_xx, sum_yy, sum_xy; /* of the logarithms of predicted and measured */
} nearness;

static void add_pair(nearness *n, pair p)
{
    double x = log(p.predicted), y = log(p.measured);
    if (!isfinite(x) || !isfinite(y))
        return;
    n->pairs++;
    n->sum_x += x, n->sum_y += y;
    n->sum_xx += x * x, n->sum_yy += y * y, n->sum_xy += x * y;
}

static nearness nearness_of(const tw_compared *rows, size_t count, int quantity, double *scratch)
{
    nearness n = {.count = 0};
    int sizes = 0;
    for (size_t i = 0; i < count; i++) {
        pair p = quantities[quantity].of(&rows[i]);
        double error = error_of(&rows[i], quantity);
        if (!isfinite(p.predicted) || !isfinite(p.measured) || p.measured <= 0)
            continue;
        bool within = fabs(p.predicted / p.measured - 1.0) <= 0.05;
        n.count++;
        n.within_or_1_mb += within ||
                            (quantities[quantity].is_bytes && fabs(p.predicted - p.measured) <= 1e6);
        if (!isfinite(error))
            continue;
        add_pair(&n, p);
        n.within += within;
        n.signed_mean += error;
        scratch[sizes++] = fabs(error);
    }
    qsort(scratch, (size_t)sizes, sizeof *scratch, ascending);
    n.median_size = sizes == 0 ? NAN : 0.5 * (scratch[(sizes - 1) / 2] + scratch[sizes / 2]);
    n.signed_mean /= sizes > 0 ? sizes : 1;
    return n;
}

/* Pearson's, of the logarithms: bytes span orders of magnitude. NaN where there is nothing to correlate. */
static double correlation(const nearness *n)
{
    double sxx = n->sum_xx - n->sum_x * n->sum_x / n->pairs, syy = n->sum_yy - n->sum_y * n->sum_y / n->pairs;
    double sxy = n->sum_xy - n->sum_x * n->sum_y / n->pairs;
    return n->pairs > 2 && sxx > 1e-9 && syy > 1e-9 ? sxy / sqrt(sxx * syy) : NAN;
}

enum {
    ALL_QUANTITY,
    ALL_CASES,
    ALL_MEDIAN,
    ALL_MEAN,
    ALL_SIGNED,
    ALL_WORST,
    ALL_WITHIN,
    ALL_WITHIN_MB,
    ALL_CORRELATION
};

static void add_quantity(tw_table *t, const tw_compared *rows, size_t count, int quantity, double *scratch)
{
    errors e = errors_of(rows, count, NULL, quantity, scratch);
    nearness n = nearness_of(rows, count, quantity, scratch);
    if (e.count == 0)
        return;
    double r = correlation(&n);
    tw_table_row(t);
    tw_table_cell(t, ALL_QUANTITY, "%s", quantities[quantity].name);
    tw_table_cell(t, ALL_CASES, "%d", n.count);
    put_percent(t, ALL_MEDIAN, n.median_size, "%.2f%%");
    put_percent(t, ALL_MEAN, e.mean, "%.2f%%");
    put_percent(t, ALL_SIGNED, n.signed_mean, "%+.2f%%");
    put_percent(t, ALL_WORST, e.worst, "%+.1f%%");
    put_percent(t, ALL_WITHIN, (double)n.within / e.count, "%.1f%%");
    if (quantities[quantity].is_bytes)
        put_percent(t, ALL_WITHIN_MB, (double)n.within_or_1_mb / n.count, "%.1f%%");
    if (isfinite(r))
        tw_table_cell(t, ALL_CORRELATION, "%.4f", r);
}

static tw_status print_quantities(FILE *out, const tw_compared *rows, size_t count, double *scratch)
{
    tw_table t = {.num_columns = 0};
    tw_table_column(&t, "all kernels", "", true);
    tw_table_column(&t, "cases", "", false);
    tw_table_column(&t, "median of |error|", "", false);
    tw_table_column(&t, "mean", "", false);
    tw_table_column(&t, "mean, signed", "", false);
    tw_table_column(&t, "worst", "", false);
    tw_table_column(&t, "within 5%", "", false);
    tw_table_column(&t, "or 1 MB", "", false);
    tw_table_column(&t, "correlation", "of logs", false);
    for (int q = 0; q < COUNT(quantities); q++)
        add_quantity(&t, rows, count, q, scratch);
    return tw_table_print(&t, out);
}

/* ---- notes ----------------------------------------------------------------------------------------------- */

static void print_footnote(FILE *out, const tw_compared *rows, size_t count)
{
    int measured = 0, compared = 0, recorded = 0, replayed = 0;
    for (size_t i = 0; i < count; i++) {
        const tw_measured *m = rows[i].measured;
        measured += (isfinite(m->hbm_read_bytes) ? 1 : 0) + (isfinite(m->hbm_write_bytes) ? 1 : 0);
        compared += (isfinite(error_of(&rows[i], 3)) ? 1 : 0) + (isfinite(error_of(&rows[i], 4)) ? 1 : 0);
        recorded += rows[i].recorded;
        replayed += !rows[i].recorded && isfinite(rows[i].l2_hbm_read_bytes);
    }
    fprintf(
        out,
        "\n* HBM: compulsory traffic, what each launch touches moved once, over the %d of %d measured values "
        "whose\n  prediction is above 100 MB, twice the L2 of an H100; below, what reaches HBM is what "
        "happened "
        "not to stay in the L2.\n",
        compared, measured);
    if (recorded + replayed > 0)
        fprintf(out,
                "HBM without *, L2 requests: from a replay of all loads and stores through the L2; %d made "
                "now, %d "
                "recorded\nbefore. Errors in percent are of values above 10 MB. L2 requests are counted as "
                "SMs make "
                "them, before those for one\nline merge on the way.\n",
                replayed, recorded);
    fprintf(
        out,
        "The roofline takes the slowest of bytes and FLOPs launch by launch: no latency, no occupancy.\n");
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
    fprintf(out, "Errors: predicted / measured - 1\n\n");
    tw_status status = print_quantities(out, rows, count, scratch);
    free(scratch);
    fputc('\n', out);
    if (status == TW_OK)
        status = tw_table_print(&t, out);
    if (status == TW_OK)
        print_footnote(out, rows, count);
    return status;
}
