/* Predictions beside measurements, by sequence length: standard attention and tiled, the fastest
 * kernel of each on tensor cores, and on plain FMA. */
#include "compare_table.h"

#include "saving.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A table holds the shapes that are alike but for length, batch and heads. */
static bool same_table(const tw_compared *a, const tw_compared *b)
{
    const tw_problem *p = &a->measured->c.problem, *q = &b->measured->c.problem;
    return p->head_dim == q->head_dim && p->causal == q->causal && p->dtype == q->dtype &&
           strcmp(a->measured->machine, b->measured->machine) == 0;
}

static bool same_shape(const tw_compared *a, const tw_compared *b)
{
    const tw_problem *p = &a->measured->c.problem, *q = &b->measured->c.problem;
    return same_table(a, b) && p->batch == q->batch && p->num_heads == q->num_heads &&
           p->num_heads_kv == q->num_heads_kv && p->seqlen_q == q->seqlen_q && p->seqlen_k == q->seqlen_k;
}

/* What a table compares: kernels of one unit, and once anything was timed, only those that were. */
typedef struct selection {
    tw_unit unit;
    bool timed;
} selection;

static bool is_timed(const tw_compared *row)
{
    return isfinite(tw_compared_time_us(row));
}

static bool is_selected(const tw_compared *row, selection s)
{
    return row->measured->c.tiling.unit == s.unit && (!s.timed || is_timed(row));
}

/* What kernels are ranked by: the time measured, or predicted where nothing was timed. */
static double ranking_time(const tw_compared *row)
{
    double predicted = row->roofline.time_s * 1e6;
    return is_timed(row) ? tw_compared_time_us(row) : isfinite(predicted) ? predicted : INFINITY;
}

/* The fastest standard (or tiled) kernel on the shape of `like`; NULL if there is none. */
static const tw_compared *fastest(const tw_compared *rows, size_t count, const tw_compared *like,
                                  selection selected, bool standard)
{
    const tw_compared *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (is_selected(&rows[i], selected) && same_shape(&rows[i], like) &&
            tw_is_baseline(rows[i].measured->c.schedule) == standard &&
            (!best || ranking_time(&rows[i]) < ranking_time(best)))
            best = &rows[i];
    return best;
}

/* Is row i the first of its shape (or of its table)? */
static bool is_first(const tw_compared *rows, size_t i,
                     bool (*same)(const tw_compared *, const tw_compared *))
{
    for (size_t j = 0; j < i; j++)
        if (same(&rows[j], &rows[i]))
            return false;
    return true;
}

/* Columns of one side, standard or tiled, from the first on. */
enum { SIDE_KERNEL, SIDE_GB, SIDE_GB_MEASURED, SIDE_MS, SIDE_MS_MEASURED, SIDE_ERROR, SIDE_COLUMNS };
enum {
    COL_LENGTH,
    COL_BATCH,
    COL_HEADS,
    COL_STANDARD,
    COL_TILED = COL_STANDARD + SIDE_COLUMNS,
    COL_SPEEDUP = COL_TILED + SIDE_COLUMNS
};

static void put_number(tw_table *t, int column, double value, int decimals, const char *behind)
{
    char number[TW_CELL_BYTES];
    if (!isfinite(value)) {
        tw_table_cell(t, column, "-");
        return;
    }
    tw_format_number(number, value, decimals);
    tw_table_cell(t, column, "%.30s%s", number, behind);
}

static void put_side(tw_table *t, int first, const tw_compared *row)
{
    const tw_counts *n = &row->counts.total;
    double predicted_ms = row->roofline.time_s * 1e3, measured_ms = tw_compared_time_us(row) / 1e3;
    double error = 100.0 * (predicted_ms / measured_ms - 1.0);
    tw_table_cell(t, first + SIDE_KERNEL, "%.38s", row->measured->kernel);
    put_number(t, first + SIDE_GB, (double)(n->sram_fill_bytes + n->sram_drain_bytes) / 1e9, 3, "");
    put_number(t, first + SIDE_GB_MEASURED, (row->measured->fill_bytes + row->measured->drain_bytes) / 1e9, 3,
               "");
    put_number(t, first + SIDE_MS, predicted_ms, 3, "");
    put_number(t, first + SIDE_MS_MEASURED, measured_ms, 3, "");
    if (isfinite(error))
        tw_table_cell(t, first + SIDE_ERROR, "%+.1f%%", error);
    else
        tw_table_cell(t, first + SIDE_ERROR, "-");
}

static void add_columns(tw_table *t)
{
    tw_table_column(t, "seqlen", "", false);
    tw_table_column(t, "batch", "", false);
    tw_table_column(t, "heads", "", false);
    for (int tiled = 0; tiled < 2; tiled++) {
        tw_table_column(t, tiled ? "tiled" : "standard", "", true);
        tw_table_column(t, "SRAM GB", "predicted", false);
        tw_table_column(t, "SRAM GB", "measured", false);
        tw_table_column(t, "ms", "roofline", false);
        tw_table_column(t, "ms", "measured", false);
        tw_table_column(t, "error", "", false);
    }
    tw_table_column(t, "speedup", "roofline", false);
    tw_table_column(t, "speedup", "measured", false);
}

static void add_row(tw_table *t, const tw_compared *standard, const tw_compared *tiled)
{
    const tw_problem *p = &standard->measured->c.problem;
    tw_table_row(t);
    if (p->seqlen_q == p->seqlen_k)
        tw_table_cell(t, COL_LENGTH, "%d", p->seqlen_k);
    else
        tw_table_cell(t, COL_LENGTH, "%d x %d", p->seqlen_q, p->seqlen_k);
    tw_table_cell(t, COL_BATCH, "%d", p->batch);
    if (p->num_heads == p->num_heads_kv)
        tw_table_cell(t, COL_HEADS, "%d", p->num_heads);
    else
        tw_table_cell(t, COL_HEADS, "%d on %d", p->num_heads, p->num_heads_kv);
    put_side(t, COL_STANDARD, standard);
    put_side(t, COL_TILED, tiled);
    put_number(t, COL_SPEEDUP, standard->roofline.time_s / tiled->roofline.time_s, 2, "x");
    put_number(t, COL_SPEEDUP + 1, tw_compared_time_us(standard) / tw_compared_time_us(tiled), 2, "x");
}

/* By sequence length, then by what else a shape has. */
static int by_shape(const void *a, const void *b)
{
    const tw_problem *p = &(*(const tw_compared *const *)a)->measured->c.problem;
    const tw_problem *q = &(*(const tw_compared *const *)b)->measured->c.problem;
    const int differences[] = {p->seqlen_k - q->seqlen_k, p->seqlen_q - q->seqlen_q, p->batch - q->batch,
                               p->num_heads - q->num_heads, p->num_heads_kv - q->num_heads_kv};
    for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++)
        if (differences[i] != 0)
            return differences[i];
    return 0;
}

/* The shapes of the table that row `first` is the first of, in order; returns how many. */
static size_t shapes_of(const tw_compared **shapes, const tw_compared *rows, size_t count, size_t first)
{
    size_t n = 0;
    for (size_t i = first; i < count; i++)
        if (same_table(&rows[i], &rows[first]) && is_first(rows, i, same_shape))
            shapes[n++] = &rows[i];
    qsort(shapes, n, sizeof(const tw_compared *), by_shape);
    return n;
}

static void print_title(FILE *out, const tw_compared *of, tw_unit unit, bool behind_another)
{
    const tw_problem *p = &of->measured->c.problem;
    fprintf(out, "%s%s, %s, head_dim %d, %s, on %s\n\n", behind_another ? "\n" : "", of->measured->machine,
            tw_dtype_name(p->dtype), p->head_dim, p->causal ? "causal" : "no mask",
            unit == TW_UNIT_TENSOR ? "tensor cores" : "plain FMA");
}

/* The table that row `first` is the first of; nothing is printed of one without rows. */
static tw_status print_table(FILE *out, const tw_compared *rows, size_t count, size_t first,
                             selection selected, int *printed)
{
    tw_table t = {.num_columns = 0};
    const tw_compared **shapes = malloc(count * sizeof(const tw_compared *));
    if (!shapes)
        return tw_fail(TW_ENOMEM, "no memory for %zu shapes", count);
    size_t num_shapes = shapes_of(shapes, rows, count, first);
    add_columns(&t);
    for (size_t i = 0; i < num_shapes; i++) {
        const tw_compared *standard = fastest(rows, count, shapes[i], selected, true);
        const tw_compared *tiled = fastest(rows, count, shapes[i], selected, false);
        if (standard && tiled)
            add_row(&t, standard, tiled);
    }
    free(shapes);
    if (t.num_rows == 0 && !t.failed)
        return TW_OK;
    print_title(out, &rows[first], selected.unit, *printed > 0);
    ++*printed;
    return tw_table_print(&t, out);
}

tw_status tw_compare_print_summary(FILE *out, const tw_compared *rows, size_t count)
{
    static const tw_unit units[] = {TW_UNIT_TENSOR, TW_UNIT_FMA};
    int printed = 0;
    bool timed = false;
    for (size_t i = 0; i < count; i++)
        timed = timed || is_timed(&rows[i]);
    for (size_t i = 0; i < count; i++)
        for (int u = 0; u < 2 && is_first(rows, i, same_table); u++)
            TW_TRY(print_table(out, rows, count, i, (selection){units[u], timed}, &printed));
    if (!printed)
        return tw_fail(TW_EINVAL,
                       "no shape was %s with a standard and with a tiled kernel on the same unit (tensor "
                       "cores or plain FMA), a summary needs both",
                       timed ? "timed" : "measured");
    fprintf(out,
            "\nThe fastest kernel of each kind among those on the same unit%s.\nSRAM: fill + drain. "
            "Roofline: the "
            "slowest of bytes and FLOPs, launch by launch, plus launch overhead. Error:\nroofline / measured "
            "- 1. "
            "Speedup: time of standard over time of tiled attention.\n",
            timed ? "; shapes that were not timed with both are left out" : "");
    return TW_OK;
}
