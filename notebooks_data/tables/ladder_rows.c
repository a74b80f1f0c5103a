/* Rows of ladder.csv. A kernel's times of all rounds become their median. */
#include "ladder_rows.h"

#include "../../sim/csv.h"
#include "../../sim/measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY_NAME(number, column) #column ","
#define KEY_NAMES                TW_MEASURED_KEYS(KEY_NAME)
static const char header[] = "round," KEY_NAMES "time_us,time_min_us,time_max_us,energy_mj,sm_clock_mhz";
#define KEY_NUMBER(number, column) number,
enum {
    ROUND,
    TW_MEASURED_KEYS(KEY_NUMBER) TIME_US,
    TIME_MIN_US,
    TIME_MAX_US,
    ENERGY_MJ,
    SM_CLOCK_MHZ,
    NUM_COLUMNS
};
enum { MAX_LINE = 1024 };

typedef struct reader {
    const char *path;
    int line;
    tw_ladder *ladder;
    size_t capacity;
} reader;

static tw_status refuse(const reader *r, const char *what, const char *value)
{
    return tw_fail(TW_EFORMAT, "%s, line %d: %s is '%.60s'", r->path, r->line, what, value);
}

/* ---- fields --------------------------------------------------------------------------------------------- */

static int cut(char *line, char *fields[NUM_COLUMNS])
{
    int count = 0;
    for (char *field = line; field != NULL; count++) {
        char *comma = strchr(field, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (count < NUM_COLUMNS)
            fields[count] = field;
        field = comma;
    }
    return count;
}

static tw_status read_number(const reader *r, const char *what, const char *field, double *value)
{
    char *end;
    *value = strtod(field, &end);
    if (*field == '\0' || *end != '\0' || !isfinite(*value) || *value < 0.0)
        return refuse(r, what, field);
    return TW_OK;
}

static tw_status read_shape(const reader *r, char *const *fields, tw_ladder_row *row)
{
    const struct {
        const char *what;
        int column;
        int *to;
    } sizes[] = {{"batch", BATCH, &row->problem.batch},
                 {"num_heads", NUM_HEADS, &row->problem.num_heads},
                 {"num_heads_kv", NUM_HEADS_KV, &row->problem.num_heads_kv},
                 {"seqlen_q", SEQLEN_Q, &row->problem.seqlen_q},
                 {"seqlen_k", SEQLEN_K, &row->problem.seqlen_k},
                 {"head_dim", HEAD_DIM, &row->problem.head_dim},
                 {"block_m", BLOCK_M, &row->block_m},
                 {"block_n", BLOCK_N, &row->block_n}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        double value;
        TW_TRY(read_number(r, sizes[i].what, fields[sizes[i].column], &value));
        if (value > 1e9 || value != floor(value))
            return refuse(r, sizes[i].what, fields[sizes[i].column]);
        *sizes[i].to = (int)value;
    }
    if (tw_dtype_parse(&row->problem.dtype, fields[DTYPE]) != TW_OK)
        return refuse(r, "dtype", fields[DTYPE]);
    row->problem.causal = strcmp(fields[CAUSAL], "1") == 0;
    return tw_problem_check(&row->problem) == TW_OK ? TW_OK : refuse(r, "the shape", tw_error_message());
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

static bool same_problem(const tw_problem *p, const tw_problem *q)
{
    return p->batch == q->batch && p->num_heads == q->num_heads && p->num_heads_kv == q->num_heads_kv &&
           p->seqlen_q == q->seqlen_q && p->seqlen_k == q->seqlen_k && p->head_dim == q->head_dim &&
           p->dtype == q->dtype && p->causal == q->causal;
}

static bool same_row(const tw_ladder_row *a, const tw_ladder_row *b)
{
    return strcmp(a->kernel, b->kernel) == 0 && a->block_m == b->block_m && a->block_n == b->block_n &&
           same_problem(&a->problem, &b->problem);
}

/* Where a row's measurements go: the row that is there, or a new one; NULL if there is no memory for it. */
static tw_ladder_row *place_of(reader *r, const tw_ladder_row *row)
{
    tw_ladder *l = r->ladder;
    for (size_t i = 0; i < l->count; i++)
        if (same_row(&l->rows[i], row))
            return &l->rows[i];
    if (l->count == r->capacity) {
        size_t capacity = r->capacity > 0 ? 2 * r->capacity : 64;
        tw_ladder_row *rows = realloc(l->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return NULL;
        l->rows = rows;
        r->capacity = capacity;
    }
    l->rows[l->count] = *row;
    return &l->rows[l->count++];
}

static tw_status read_row(reader *r, char *line)
{
    char *fields[NUM_COLUMNS];
    tw_ladder_row row = {.energy_mj = (double)NAN};
    double time_us, round;
    if (cut(line, fields) != NUM_COLUMNS)
        return refuse(r, "the number of fields is not that of the header; the first", fields[0]);
    snprintf(row.algorithm, sizeof row.algorithm, "%s", fields[ALGORITHM]);
    snprintf(row.kernel, sizeof row.kernel, "%s", fields[KERNEL]);
    TW_TRY(read_shape(r, fields, &row));
    TW_TRY(read_number(r, "round", fields[ROUND], &round));
    TW_TRY(read_number(r, "time_us", fields[TIME_US], &time_us));
    r->ladder->rounds = (int)fmax(r->ladder->rounds, fmin(round, TW_LADDER_MAX_ROUNDS));
    tw_ladder_row *place = place_of(r, &row);
    if (place == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for row %zu", r->path, r->ladder->count + 1);
    if (place->num_times_ < TW_LADDER_MAX_ROUNDS)
        place->times_[place->num_times_++] = time_us;
    if (*fields[ENERGY_MJ] != '\0')
        TW_TRY(read_number(r, "energy_mj", fields[ENERGY_MJ], &place->energy_mj));
    return TW_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle of the times, or of the two in the middle. */
static void put_together(tw_ladder_row *row)
{
    const int n = row->num_times_;
    qsort(row->times_, (size_t)n, sizeof *row->times_, ascending);
    row->time_us = 0.5 * (row->times_[(n - 1) / 2] + row->times_[n / 2]);
}

/* ---- the file ------------------------------------------------------------------------------------------- */

static void read_comment(tw_ladder *l, const char *line)
{
    if (strncmp(line, "# gpu: ", 7) == 0)
        snprintf(l->gpu, sizeof l->gpu, "%.95s", line + 7);
    if (strncmp(line, "# commit: ", 10) == 0)
        snprintf(l->commit, sizeof l->commit, "%.63s", line + 10);
}

static tw_status read_lines(reader *r, FILE *file)
{
    char line[MAX_LINE];
    bool header_seen = false;
    for (r->line = 1; fgets(line, sizeof line, file) != NULL; r->line++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (*line == '#')
            read_comment(r->ladder, line);
        else if (header_seen)
            TW_TRY(read_row(r, line));
        else if (strcmp(line, header) != 0)
            return refuse(r, "the header is not that of a ladder; it", line);
        else
            header_seen = true;
    }
    if (r->ladder->count == 0)
        return tw_fail(TW_EFORMAT, "%s: has no rows", r->path);
    for (size_t i = 0; i < r->ladder->count; i++)
        put_together(&r->ladder->rows[i]);
    return TW_OK;
}

tw_status tw_ladder_read(tw_ladder *ladder, const char *path)
{
    FILE *file;
    *ladder = (tw_ladder){.rows = NULL};
    reader r = {.path = path, .ladder = ladder};
    TW_TRY(tw_open_to_read(&file, path, "a CSV file of `make ladder`"));
    tw_status status = read_lines(&r, file);
    fclose(file);
    if (status != TW_OK)
        tw_ladder_free(ladder);
    return status;
}

void tw_ladder_free(tw_ladder *ladder)
{
    free(ladder->rows);
    *ladder = (tw_ladder){.rows = NULL};
}

const tw_ladder_row *tw_ladder_find(const tw_ladder *ladder, const char *kernel, const tw_problem *problem)
{
    for (size_t i = 0; i < ladder->count; i++)
        if (strcmp(ladder->rows[i].kernel, kernel) == 0 && same_problem(&ladder->rows[i].problem, problem))
            return &ladder->rows[i];
    return NULL;
}

bool tw_ladder_is_peer(const tw_ladder_row *row)
{
    return strcmp(row->algorithm, "peer") == 0;
}

bool tw_ladder_is_product(const tw_ladder_row *row)
{
    return strcmp(row->algorithm, "matrix_product") == 0;
}

double tw_ladder_flops(const tw_ladder_row *row)
{
    const tw_problem *p = &row->problem;
    if (tw_ladder_is_product(row))
        return 2.0 * p->seqlen_q * (double)p->seqlen_k * p->head_dim;
    return (double)tw_problem_flops(p);
}
