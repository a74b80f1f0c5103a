/* Errors of number formats: inputs by seed, gold in double, and what each method makes of the same inputs. */
#include "deviation.h"

#include "../cpu_ref/attention.h"
#include "../cpu_ref/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- inputs ---------------------------------------------------------------------------------------------- */

/* Streams of the numbers that say how large an outlier is, and whether there is one. */
enum { OUTLIERS = 100, WHETHER = 200 };

/* |z| of a standard-normal number is above this once in a thousand times. */
static const double one_in_a_thousand = 3.2905267314919255;

static void add_outliers(double *x, size_t n, uint64_t seed, uint64_t stream)
{
    double *size = malloc(n * sizeof *size), *whether = malloc(n * sizeof *whether);
    if (size && whether) {
        tw_random_normal(size, n, seed, stream + OUTLIERS);
        tw_random_normal(whether, n, seed, stream + WHETHER);
        for (size_t i = 0; i < n; i++)
            x[i] += fabs(whether[i]) > one_in_a_thousand ? 10.0 * size[i] : 0.0;
    }
    for (size_t i = 0; i < n && !(size && whether); i++)
        x[i] = NAN; /* no memory: nothing that could be taken for a result */
    free(size);
    free(whether);
}

void tw_input_draw(double *x, size_t n, tw_input_kind kind, uint64_t seed, uint64_t stream)
{
    tw_random_normal(x, n, seed, stream);
    if (kind == TW_INPUT_OUTLIERS)
        add_outliers(x, n, seed, stream);
    for (size_t i = 0; i < n && kind == TW_INPUT_UNIFORM; i++)
        x[i] = 0.5 * erfc(-x[i] * 0.70710678118654752) - 0.5;
}

/* ---- one seed -------------------------------------------------------------------------------------------- */

/* Tensors of one seed; `rounded` are Q, K, V as a method gets them. */
typedef struct workspace {
    double *x[3], *rounded[3], *gold, *o;
    size_t n[3], num_o;
    tw_problem problem;
    const tw_method *rounded_for; /* whose rounding that is; NULL: nobody's yet */
} workspace;

static tw_problem problem_of(const tw_deviation_shape *s)
{
    return (tw_problem){.batch = 1,
                        .num_heads = 1,
                        .num_heads_kv = 1,
                        .seqlen_q = s->rows,
                        .seqlen_k = s->seqlen_k,
                        .head_dim = s->head_dim,
                        .dtype = TW_FP16};
}

static void free_workspace(workspace *w)
{
    for (int i = 0; i < 3; i++)
        free(w->x[i]), free(w->rounded[i]);
    free(w->gold);
    free(w->o);
}

static tw_status make_workspace(workspace *w, const tw_deviation_shape *shape)
{
    size_t d = (size_t)shape->head_dim, rows = (size_t)shape->rows, keys = (size_t)shape->seqlen_k;
    *w = (workspace){.n = {rows * d, keys * d, keys * d}, .num_o = rows * d, .problem = problem_of(shape)};
    bool all = true;
    for (int i = 0; i < 3; i++) {
        w->x[i] = malloc(w->n[i] * sizeof(double));
        w->rounded[i] = malloc(w->n[i] * sizeof(double));
        all = all && w->x[i] && w->rounded[i];
    }
    w->gold = malloc(w->num_o * sizeof(double));
    w->o = malloc(w->num_o * sizeof(double));
    return all && w->gold && w->o
               ? TW_OK
               : tw_fail(TW_ENOMEM, "no memory for %d keys of %d columns", shape->seqlen_k, shape->head_dim);
}

static tw_deviation deviation_of(const workspace *w)
{
    double squares = 0.0, sizes = 0.0, absolute = 0.0, of_o = 0.0, n = (double)w->num_o;
    tw_deviation d = {.max = 0.0};
    for (size_t i = 0; i < w->num_o; i++) {
        double error = fabs(w->o[i] - w->gold[i]);
        squares += error * error, absolute += error;
        sizes += w->gold[i] * w->gold[i], of_o += fabs(w->gold[i]);
        d.max = error > d.max || isnan(error) ? error : d.max;
    }
    d.rms = sqrt(squares / n), d.rms_o = sqrt(sizes / n), d.relative = absolute / of_o;
    return d;
}

static tw_status run_method(workspace *w, const tw_method *m, const tw_machine *machine)
{
    const tw_numeric_options options = {
        .rounding = TW_ROUND_AS_GPU, .sums = m->sums, .fraction_bits = m->fraction_bits};
    int block = m->block > 0 ? m->block : TW_DEFAULT_BLOCK;
    const tw_tiling tiling = {.block_m = block, .block_n = block, .unit = TW_UNIT_TENSOR};
    tw_problem p = w->problem;
    p.dtype = m->dtype;
    p.quantize = m->quantize;
    const tw_method *before = w->rounded_for;
    bool done = before && before->dtype == m->dtype && before->fraction_bits == m->fraction_bits;
    w->rounded_for = m;
    for (int i = 0; i < 3 && !done; i++)
        for (size_t j = 0; j < w->n[i]; j++)
            w->rounded[i][j] = m->fraction_bits > 0 ? tw_round_to_bits(w->x[i][j], m->fraction_bits)
                                                    : tw_dtype_round(m->dtype, w->x[i][j]);
    return tw_numeric_run(w->o, NULL, NULL, m->schedule, &p, &tiling, machine, w->rounded[0], w->rounded[1],
                          w->rounded[2], &options);
}

static tw_status measure_seed(tw_deviation *found, const tw_deviation_shape *shape, const tw_method *methods,
                              int num_methods, uint64_t seed, const tw_machine *machine)
{
    workspace w;
    tw_status status = make_workspace(&w, shape);
    for (int i = 0; i < 3 && status == TW_OK; i++)
        tw_input_draw(w.x[i], w.n[i], shape->input, seed, (uint64_t)i);
    if (status == TW_OK)
        status = tw_attention_gold(w.gold, NULL, &w.problem, w.x[0], w.x[1], w.x[2]);
    for (int i = 0; i < num_methods && status == TW_OK; i++) {
        status = run_method(&w, &methods[i], machine);
        found[i] = deviation_of(&w);
    }
    free_workspace(&w);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

tw_status tw_deviation_measure(tw_deviation *found, const tw_deviation_shape *shape, const tw_method *methods,
                               int num_methods, uint64_t first, int count, const tw_machine *machine)
{
    double bytes = 8.0 * 4.0 * (double)shape->seqlen_k * (2.0 * shape->head_dim + shape->rows);
    TW_TRY(tw_memory_check(bytes * 4, "attention of several seeds at a time"));
    tw_status status = TW_OK;
    char line[400] = "";
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < count; i++) {
        tw_status one = measure_seed(found + (size_t)i * (size_t)num_methods, shape, methods, num_methods,
                                     first + (uint64_t)i, machine);
#pragma omp critical
        if (one != TW_OK && status == TW_OK) {
            status = one;
            snprintf(line, sizeof line, "%.399s", tw_error_message());
        }
    }
    return status == TW_OK ? TW_OK : tw_fail(status, "%s", line);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double tw_quantile(double *x, int n, double share)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    double at = share * (n - 1);
    int below = (int)at, above = below + 1 < n ? below + 1 : below;
    return x[below] + (at - below) * (x[above] - x[below]);
}
