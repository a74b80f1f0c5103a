/* Measurements read from CSV files, and joined. */
#include "measured.h"

#include "backend_cache.h"
#include "csv.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { MAX_FIELDS = 64, MAX_LINE = 8192 };

/* The columns that say what was measured. */
#define KEY(number, column) number,
enum { TW_MEASURED_KEYS(KEY) NUM_KEYS };
#undef KEY
#define KEY(number, column) #column,
static const char *const keys[NUM_KEYS] = {TW_MEASURED_KEYS(KEY)};
#undef KEY

/* How it was launched: columns that a file may have. */
enum { ORDER, KV_ORDER, START, BLOCKS_PER_SM, WORKERS, DISPATCH, NUM_LAUNCH };
static const char *const launch_keys[NUM_LAUNCH] = {"order",         "kv_order", "start",
                                                    "blocks_per_sm", "workers",  "dispatch"};

static const struct {
    const char *name;
    size_t offset;
} values[] = {
#define VALUE(column) {#column, offsetof(tw_measured, column)},
    TW_MEASURED_VALUES(VALUE)
#undef VALUE
};

static double *value_of(tw_measured *row, int value)
{
    return (double *)(void *)((char *)row + values[value].offset);
}

/* A file being read. */
typedef struct reader {
    const char *path;
    FILE *file;
    int line; /* number of the line in `text` */
    char text[MAX_LINE];
    char *fields[MAX_FIELDS];
    int num_fields;
    int num_columns;                                /* of the header; 0 before it */
    int value_at[sizeof values / sizeof values[0]]; /* column of each value; −1 if there is none */
    int launch_at[NUM_LAUNCH];                      /* likewise */
    bool cases_alone;                               /* no values are wanted */
} reader;

static tw_status refuse(const reader *r, const char *format, ...) TW_PRINTF(2, 3);

static tw_status refuse(const reader *r, const char *format, ...)
{
    char what[320];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return tw_fail(TW_EFORMAT, "%s, line %d: %s", r->path, r->line, what);
}

/* The next line that is neither empty nor a comment, cut at its commas. False at the end of the file. */
static tw_status next_line(reader *r, bool *there)
{
    *there = false;
    while (fgets(r->text, sizeof r->text, r->file)) {
        r->line++;
        size_t length = strcspn(r->text, "\r\n");
        if (r->text[length] == '\0' && !feof(r->file))
            return refuse(r, "is longer than %d bytes or has a NUL in it, it must be a line of CSV",
                          MAX_LINE - 2);
        r->text[length] = '\0';
        if (length == 0 || r->text[0] == '#')
            continue;
        r->num_fields = 0;
        for (char *c = r->text; c; r->num_fields++) {
            if (r->num_fields == MAX_FIELDS)
                return refuse(r, "has more than %d fields", MAX_FIELDS);
            r->fields[r->num_fields] = c;
            c = strchr(c, ',');
            if (c)
                *c++ = '\0';
        }
        *there = true;
        return TW_OK;
    }
    return ferror(r->file) ? tw_fail(TW_EIO, "%s: cannot be read (%s)", r->path, strerror(errno)) : TW_OK;
}

/* The column of that name behind the keys; −1 if there is none. */
static tw_status find_column(const reader *r, int *at, const char *name)
{
    *at = -1;
    for (int i = NUM_KEYS; i < r->num_fields; i++) {
        if (strcmp(r->fields[i], name) != 0)
            continue;
        if (*at >= 0)
            return refuse(r, "column %s is there twice", name);
        *at = i;
    }
    return TW_OK;
}

static tw_status read_header(reader *r)
{
    if (strncmp(r->text, "\xef\xbb\xbf", 3) == 0)
        return refuse(r, "begins with a byte-order mark, it must be saved as UTF-8 without one");
    for (int i = 0; i < NUM_KEYS; i++) {
        if (i >= r->num_fields || strcmp(r->fields[i], keys[i]) != 0)
            return refuse(
                r,
                "column %d is '%s', it must be '%s'; the columns are those of `tilewise io` up to block_n, "
                "then kernel",
                i + 1, i < r->num_fields ? tw_quote(r->fields[i]).text : "missing", keys[i]);
    }
    bool any = false;
    for (int v = 0; v < COUNT(values); v++) {
        TW_TRY(find_column(r, &r->value_at[v], values[v].name));
        any = any || r->value_at[v] >= 0;
    }
    for (int i = 0; i < NUM_LAUNCH; i++)
        TW_TRY(find_column(r, &r->launch_at[i], launch_keys[i]));
    if (!any && !r->cases_alone)
        return refuse(
            r, "there is no measured column behind kernel, it must have time_us, fill_bytes or others");
    r->num_columns = r->num_fields;
    return TW_OK;
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

static tw_status read_size(const reader *r, int column, int *value)
{
    const char *text = r->fields[column];
    if (!isdigit((unsigned char)*text) || tw_parse_int(value, keys[column], text) != TW_OK)
        return refuse(r, "%s is '%s', it must be a positive whole number", keys[column], tw_quote(text).text);
    return TW_OK;
}

static tw_status read_shape(const reader *r, tw_measured *row)
{
    tw_problem *p = &row->c.problem;
    const struct {
        int column;
        int *value;
    } sizes[] = {{BATCH, &p->batch},
                 {NUM_HEADS, &p->num_heads},
                 {NUM_HEADS_KV, &p->num_heads_kv},
                 {SEQLEN_Q, &p->seqlen_q},
                 {SEQLEN_K, &p->seqlen_k},
                 {HEAD_DIM, &p->head_dim},
                 {BLOCK_M, &row->c.tiling.block_m},
                 {BLOCK_N, &row->c.tiling.block_n}};
    for (int i = 0; i < COUNT(sizes); i++)
        TW_TRY(read_size(r, sizes[i].column, sizes[i].value));
    if (tw_parse_dtype(&p->dtype, "dtype", r->fields[DTYPE]) != TW_OK)
        return refuse(r, "dtype is '%s', it must be one of fp16, bf16, fp32",
                      tw_quote(r->fields[DTYPE]).text);
    const char *causal = r->fields[CAUSAL];
    if (strcmp(causal, "0") != 0 && strcmp(causal, "1") != 0)
        return refuse(r, "causal is '%s', it must be 0 or 1", tw_quote(causal).text);
    p->causal = *causal == '1';
    if (tw_problem_check(p) != TW_OK) {
        char why[200];
        snprintf(why, sizeof why, "%.199s", tw_error_message());
        return refuse(r, "%s", why);
    }
    return TW_OK;
}

/* A word of a launch column, if the file has it and the field is not empty. */
static tw_status read_word(const reader *r, int which, const char *choices, int *value)
{
    const char *text = r->launch_at[which] >= 0 ? r->fields[r->launch_at[which]] : "";
    if (*text != '\0' && tw_parse_choice(value, launch_keys[which], choices, text) != TW_OK)
        return refuse(r, "%s is '%s', it must be one of %s", launch_keys[which], tw_quote(text).text,
                      choices);
    return TW_OK;
}

static tw_status read_count(const reader *r, int which, int *value)
{
    const char *text = r->launch_at[which] >= 0 ? r->fields[r->launch_at[which]] : "";
    if (*text != '\0' &&
        (!isdigit((unsigned char)*text) || tw_parse_int(value, launch_keys[which], text) != TW_OK))
        return refuse(r, "%s is '%s', it must be a positive whole number", launch_keys[which],
                      tw_quote(text).text);
    return TW_OK;
}

static tw_status read_launch(const reader *r, tw_measured *row)
{
    int order = TW_ORDER_OWN, kv_order = TW_KV_FORWARD, is_static = 0;
    row->start = TW_L2_FLUSHED;
    TW_TRY(read_word(r, ORDER, TW_ORDER_CHOICES, &order));
    TW_TRY(read_word(r, KV_ORDER, TW_KV_ORDER_CHOICES, &kv_order));
    TW_TRY(read_word(r, START, TW_L2_START_CHOICES, &row->start));
    TW_TRY(read_word(r, DISPATCH, "hardware|static", &is_static));
    TW_TRY(read_count(r, BLOCKS_PER_SM, &row->blocks_per_sm));
    TW_TRY(read_count(r, WORKERS, &row->num_workers));
    row->c.tiling.order = (tw_order)order;
    row->c.tiling.kv_order = (tw_kv_order)kv_order;
    row->static_stride = is_static == 1;
    return TW_OK;
}

static tw_status read_name(const reader *r, int column, char out[64])
{
    size_t length = strlen(r->fields[column]);
    if (length == 0 || length > 63)
        return refuse(r, "%s is '%s', it must have 1 to 63 characters", keys[column],
                      tw_quote(r->fields[column]).text);
    memcpy(out, r->fields[column], length + 1);
    return TW_OK;
}

static tw_status read_key(const reader *r, tw_measured *row)
{
    TW_TRY(read_name(r, MACHINE, row->machine));
    TW_TRY(read_name(r, KERNEL, row->kernel));
    if (tw_schedule_find(&row->c.schedule, r->fields[ALGORITHM]) != TW_OK)
        return refuse(r, "algorithm is '%s', which is none of `tilewise list algorithms`",
                      tw_quote(r->fields[ALGORITHM]).text);
    TW_TRY(read_shape(r, row));
    const tw_kernel_claim *claim = tw_kernel_find(row->kernel);
    if (claim && strcmp(claim->schedule, row->c.schedule->name) != 0)
        return refuse(r, "kernel %s is %s by gpu/kernels.def, the row says %s", row->kernel, claim->schedule,
                      row->c.schedule->name);
    row->c.tiling.fetch = claim ? claim->tiling.fetch : TW_FETCH_ROWS;
    row->c.tiling.unit = claim                             ? claim->tiling.unit
                         : row->c.problem.dtype == TW_FP32 ? TW_UNIT_FMA
                                                           : TW_UNIT_TENSOR;
    TW_TRY(read_launch(r, row));
    row->c.wanted = row->c.tiling;
    return TW_OK;
}

static bool same_key(const tw_measured *a, const tw_measured *b)
{
    const tw_problem *p = &a->c.problem, *q = &b->c.problem;
    return strcmp(a->kernel, b->kernel) == 0 && strcmp(a->machine, b->machine) == 0 &&
           a->c.schedule == b->c.schedule && p->batch == q->batch && p->num_heads == q->num_heads &&
           p->num_heads_kv == q->num_heads_kv && p->seqlen_q == q->seqlen_q && p->seqlen_k == q->seqlen_k &&
           p->head_dim == q->head_dim && p->dtype == q->dtype && p->causal == q->causal &&
           a->c.tiling.block_m == b->c.tiling.block_m && a->c.tiling.block_n == b->c.tiling.block_n &&
           a->c.tiling.order == b->c.tiling.order && a->c.tiling.kv_order == b->c.tiling.kv_order &&
           a->start == b->start;
}

/* The row of this key: the one that is there, or a new one of which nothing is measured yet. */
static tw_status row_for(tw_measured_list *list, const reader *r, const tw_measured *key, tw_measured **row)
{
    for (size_t i = 0; i < list->count; i++) {
        if (same_key(&list->rows[i], key)) {
            *row = &list->rows[i];
            return TW_OK;
        }
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        tw_measured *rows = realloc(list->rows, capacity * sizeof *rows);
        if (!rows)
            return tw_fail(TW_ENOMEM, "%s: no memory for %zu rows", r->path, capacity);
        list->rows = rows;
        list->capacity = capacity;
    }
    *row = &list->rows[list->count++];
    **row = *key;
    for (int v = 0; v < COUNT(values); v++)
        *value_of(*row, v) = NAN;
    snprintf((*row)->file, sizeof(*row)->file, "%.127s", r->path);
    (*row)->line = r->line;
    return TW_OK;
}

/* What the driver counts is nan where there is no such counter. */
static bool may_be_nan(int v)
{
    return strcmp(values[v].name, "energy_mj") == 0 || strcmp(values[v].name, "sm_clock_mhz") == 0;
}

/* One measured value; an empty field means that it was not measured. */
static tw_status read_value(const reader *r, int v, double *value)
{
    const char *text = r->fields[r->value_at[v]];
    char *end;
    if (*text == '\0' || (may_be_nan(v) && strcmp(text, "nan") == 0))
        return TW_OK;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || isspace((unsigned char)*text) || !isfinite(x) || x < 0)
        return refuse(r, "%s is '%s', it must be a number that is not negative", values[v].name,
                      tw_quote(text).text);
    if (!isnan(*value))
        return refuse(r, "%s of this kernel and shape was given before", values[v].name);
    *value = x;
    return TW_OK;
}

static tw_status read_row(tw_measured_list *list, const reader *r)
{
    tw_measured key = {.line = 0}, *row = NULL;
    if (r->num_fields != r->num_columns)
        return refuse(r, "has %d fields, the header has %d", r->num_fields, r->num_columns);
    TW_TRY(read_key(r, &key));
    TW_TRY(row_for(list, r, &key, &row));
    for (int v = 0; v < COUNT(values); v++)
        if (r->value_at[v] >= 0)
            TW_TRY(read_value(r, v, value_of(row, v)));
    return TW_OK;
}

static tw_status read_rows(tw_measured_list *list, reader *r)
{
    bool there;
    int rows = 0;
    TW_TRY(next_line(r, &there));
    if (!there)
        return tw_fail(TW_EFORMAT, "%s: is empty, it must have a header line and rows of measurements",
                       r->path);
    TW_TRY(read_header(r));
    for (;; rows++) {
        TW_TRY(next_line(r, &there));
        if (!there)
            break;
        TW_TRY(read_row(list, r));
    }
    return rows > 0 ? TW_OK : tw_fail(TW_EFORMAT, "%s: has no rows behind its header", r->path);
}

static tw_status read_file(tw_measured_list *list, const char *path, bool cases_alone)
{
    reader r = {.path = path, .cases_alone = cases_alone};
    TW_TRY(tw_open_to_read(&r.file, path, "a CSV file of measurements"));
    tw_status status = read_rows(list, &r);
    fclose(r.file);
    return status;
}

tw_status tw_measured_read(tw_measured_list *list, const char *path)
{
    return read_file(list, path, false);
}

tw_status tw_measured_read_cases(tw_measured_list *list, const char *path)
{
    return read_file(list, path, true);
}

void tw_measured_free(tw_measured_list *list)
{
    free(list->rows);
    *list = (tw_measured_list){.rows = NULL};
}
