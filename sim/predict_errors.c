/* How far predictions are off, kernel by kernel. */
#include "predict_errors.h"

#include "predict.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *tw_quantity_name(tw_quantity quantity)
{
    static const char *const names[TW_NUM_QUANTITIES] = {"cycles", "time", "clock", "energy"};
    return names[quantity];
}

static double error_of(double predicted, double measured)
{
    return predicted / measured - 1; /* NaN where either is */
}

/* What is compared. */
typedef struct quantities {
    double of[TW_NUM_QUANTITIES];
} quantities;

static quantities measured_of(const tw_measured *row)
{
    return (quantities){{[TW_QUANTITY_CYCLES] = row->sm_cycles,
                         [TW_QUANTITY_TIME] = row->time_us,
                         [TW_QUANTITY_CLOCK] = row->sm_clock_mhz,
                         [TW_QUANTITY_ENERGY] = row->energy_mj}};
}

static quantities predicted_before(const tw_measured *row)
{
    return (quantities){{[TW_QUANTITY_CYCLES] = row->predicted_cold_cycles,
                         [TW_QUANTITY_TIME] = row->predicted_time_us,
                         [TW_QUANTITY_CLOCK] = row->predicted_lasting_clock_mhz,
                         [TW_QUANTITY_ENERGY] = row->predicted_energy_mj}};
}

static bool any(const quantities *q)
{
    for (int i = 0; i < TW_NUM_QUANTITIES; i++)
        if (!isnan(q->of[i]))
            return true;
    return false;
}

/* A profiler's cycles are those of one cold launch; times are those of launches with pauses; clocks and energies those of
 * many without. */
static tw_status predict_now(quantities *q, const tw_measured *row, const tw_machine *machine)
{
    const tw_tiling *t = &row->c.tiling;
    tw_predict_options warm = TW_PREDICT_DEFAULTS;
    tw_prediction p;
    tw_build build;
    TW_TRY(tw_build_find(&build, row->kernel, &row->c.problem, machine, t->block_m, t->block_n));
    TW_TRY(tw_predict(&p, &build, &row->c.problem, machine, &warm));
    *q = (quantities){{[TW_QUANTITY_CYCLES] = p.cold_cycles,
                       [TW_QUANTITY_TIME] = p.power.time_s * 1e6,
                       [TW_QUANTITY_CLOCK] = p.power.lasting_clock_hz / 1e6,
                       [TW_QUANTITY_ENERGY] = p.power.energy_j * 1e3}};
    return TW_OK;
}

static tw_status predict_row(tw_row_error *e, const tw_machine *machine)
{
    quantities measured = measured_of(e->row), predicted = predicted_before(e->row);
    if (!any(&measured))
        return TW_OK;
    if (!any(&predicted))
        TW_TRY(predict_now(&predicted, e->row, machine));
    for (int i = 0; i < TW_NUM_QUANTITIES; i++) {
        e->measured[i] = measured.of[i];
        e->predicted[i] = predicted.of[i];
        e->error[i] = error_of(predicted.of[i], measured.of[i]);
    }
    return TW_OK;
}

tw_status tw_predict_errors(tw_row_error **errors, const tw_measured_list *list)
{
    tw_machine machine = {.name = ""};
    tw_row_error *all = calloc(list->count + 1, sizeof *all);
    if (!all)
        return tw_fail(TW_ENOMEM, "no memory for %zu errors", list->count);
    for (size_t i = 0; i < list->count; i++) {
        tw_row_error *e = &all[i];
        *e = (tw_row_error){.row = &list->rows[i]};
        for (int q = 0; q < TW_NUM_QUANTITIES; q++)
            e->measured[q] = e->predicted[q] = e->error[q] = NAN;
        if (strcmp(machine.name, e->row->machine) != 0 &&
            tw_machine_find(&machine, e->row->machine) != TW_OK) {
            const char *name = e->row->machine;
            free(all);
            return tw_fail(TW_EFORMAT, "machine '%s' has no machine file", tw_quote(name).text);
        }
        tw_status status = predict_row(e, &machine);
        if (status == TW_ENOMEM) {
            free(all);
            return status;
        }
    }
    *errors = all;
    return TW_OK;
}

tw_error_sum tw_error_sum_of(const tw_row_error *errors, size_t count, const char *kernel,
                             tw_quantity quantity, int shortest)
{
    tw_error_sum sum = {.cases = 0};
    for (size_t i = 0; i < count; i++) {
        const tw_measured *row = errors[i].row;
        double error = errors[i].error[quantity];
        if (isnan(error) || row->c.problem.seqlen_k < shortest ||
            (kernel && strcmp(row->kernel, kernel) != 0))
            continue;
        sum.cases++;
        sum.mean += error;
        sum.mean_abs += fabs(error);
        if (fabs(error) >= fabs(sum.worst)) {
            sum.worst = error;
            sum.worst_at = row;
        }
    }
    if (sum.cases > 0) {
        sum.mean /= sum.cases;
        sum.mean_abs /= sum.cases;
    }
    return sum;
}

/* ---- CSV ------------------------------------------------------------------------------------------------ */

static bool is_compared(const tw_row_error *e)
{
    for (int q = 0; q < TW_NUM_QUANTITIES; q++)
        if (!isnan(e->error[q]))
            return true;
    return false;
}

static void csv_row(FILE *out, const tw_row_error *e)
{
    const tw_case *c = &e->row->c;
    const tw_problem *p = &c->problem;
    fprintf(out, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s", c->schedule->name, e->row->machine, p->batch,
            p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k, p->head_dim, tw_dtype_name(p->dtype),
            p->causal, c->tiling.block_m, c->tiling.block_n, e->row->kernel);
    for (int q = 0; q < TW_NUM_QUANTITIES; q++) {
        bool known = !isnan(e->error[q]);
        fprintf(out, known ? ",%.6g,%.6g" : ",,", e->measured[q], e->predicted[q]);
    }
    fputc('\n', out);
}

void tw_predict_errors_csv(FILE *out, const tw_row_error *errors, size_t count)
{
#define KEY(number, column) #column ","
    fputs(TW_MEASURED_KEYS(KEY) "measured_sm_cycles,predicted_cold_cycles,measured_time_us,predicted_time_us,"
                                "measured_sm_clock_mhz,predicted_lasting_clock_mhz,measured_energy_mj,"
                                "predicted_energy_mj\n",
          out);
#undef KEY
    for (size_t i = 0; i < count; i++)
        if (is_compared(&errors[i]))
            csv_row(out, &errors[i]);
}

/* ---- the table ------------------------------------------------------------------------------------------ */

static bool named_before(const tw_row_error *errors, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(errors[j].row->kernel, errors[i].row->kernel) == 0)
            return true;
    return false;
}

static void add_line(tw_table *t, const tw_error_sum *s, const char *kernel, tw_quantity quantity)
{
    const tw_problem *p = &s->worst_at->c.problem;
    tw_table_row(t);
    tw_table_cell(t, 0, "%s", kernel);
    tw_table_cell(t, 1, "%s", tw_quantity_name(quantity));
    tw_table_cell(t, 2, "%d", s->cases);
    tw_table_cell(t, 3, "%.1f %%", 100 * s->mean_abs);
    tw_table_cell(t, 4, "%+.1f %%", 100 * s->mean);
    tw_table_cell(t, 5, "%+.1f %%", 100 * s->worst);
    tw_table_cell(t, 6, "N %d, d %d%s, %d x %d", p->seqlen_k, p->head_dim, p->causal ? ", causal" : "",
                  s->worst_at->c.tiling.block_m, s->worst_at->c.tiling.block_n);
}

tw_status tw_predict_errors_print(FILE *out, const tw_row_error *errors, size_t count)
{
    tw_table t = {.num_columns = 0};
    static const char *const titles[] = {"kernel", "quantity", "cases",   "mean of |error|",
                                         "mean",   "worst",    "worst at"};
    int lines = 0;
    for (int i = 0; i < 7; i++)
        tw_table_column(&t, titles[i], "", i < 2 || i == 6);
    for (size_t i = 0; i < count; i++) {
        for (int q = 0; q < TW_NUM_QUANTITIES && !named_before(errors, i); q++) {
            tw_error_sum s = tw_error_sum_of(errors, count, errors[i].row->kernel, (tw_quantity)q, 0);
            if (s.cases == 0)
                continue;
            add_line(&t, &s, errors[i].row->kernel, (tw_quantity)q);
            lines++;
        }
    }
    if (lines == 0) {
        free(t.cells);
        return tw_fail(TW_EFORMAT,
                       "no row has cycles, time, clock or energy of a kernel that can be predicted");
    }
    fprintf(out, "Errors: predicted / measured - 1\n\n");
    return tw_table_print(&t, out);
}
