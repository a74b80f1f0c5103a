/* One case of `tilewise run`. */
#include "execution.h"

#include "../cpu_ref/memory.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- before any work ------------------------------------------------------------------------------------------ */

/* Which passes are executed, and which of them were asked for. */
static void find_passes(tw_execution *x, const tw_case *c)
{
    bool backward_alone = c->schedule->pass == TW_PASS_BACKWARD;
    x->forward = (tw_executed_pass){.judged = !backward_alone,
                                    .schedule = backward_alone ? c->forward : c->schedule,
                                    .tiling = backward_alone ? c->forward_tiling : c->tiling};
    x->backward = (tw_executed_pass){.judged = backward_alone || c->backward,
                                     .schedule = backward_alone ? c->schedule : c->backward,
                                     .tiling = backward_alone ? c->tiling : c->backward_tiling};
}

static tw_status count_pass(tw_executed_pass *pass, const tw_problem *p, const tw_machine *machine)
{
    tw_count_result counted;
    TW_TRY(tw_count(&counted, pass->schedule, p, &pass->tiling, machine));
    pass->counts = counted.total;
    return TW_OK;
}

static tw_status check_memory(const tw_execution *x, const tw_case *c, const tw_execution_options *options)
{
    const tw_problem *p = &c->problem;
    double inputs = (double)tw_problem_q_elements(p) + (double)tw_problem_k_elements(p) +
                    (double)tw_problem_v_elements(p);
    double o = (double)tw_problem_o_elements(p), outputs = o + (double)tw_problem_lse_elements(p);
    double gradients = x->backward.schedule ? inputs + (options->inputs_there ? 0.0 : o) : 0.0;
    double bytes = ((options->inputs_there ? 0.0 : inputs) + outputs + gradients) * sizeof(double) +
                   tw_numeric_bytes(x->forward.schedule, p, &x->forward.tiling);
    if (x->backward.schedule)
        bytes += tw_numeric_bytes(x->backward.schedule, p, &x->backward.tiling);
    char what[96];
    snprintf(what, sizeof what, "running %s on %d x %d", c->schedule->name, p->seqlen_q, p->seqlen_k);
    return tw_memory_check(bytes, what);
}

tw_status tw_execution_begin(tw_execution *x, const tw_case *c, const tw_machine *machine,
                             const tw_execution_options *options)
{
    *x = (tw_execution){.o = NULL};
    find_passes(x, c);
    TW_TRY(count_pass(&x->forward, &c->problem, machine));
    if (x->backward.schedule)
        TW_TRY(count_pass(&x->backward, &c->problem, machine));
    return check_memory(x, c, options);
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static tw_status allocate(tw_execution *x, const tw_problem *p)
{
    const size_t sizes[TW_NUM_GRADIENTS] = {tw_problem_q_elements(p), tw_problem_k_elements(p),
                                            tw_problem_v_elements(p)};
    bool all = true;
    x->o = malloc(tw_problem_o_elements(p) * sizeof *x->o);
    x->lse = malloc(tw_problem_lse_elements(p) * sizeof *x->lse);
    for (int g = 0; g < TW_NUM_GRADIENTS && x->backward.schedule; g++) {
        x->gradient[g] = malloc(sizes[g] * sizeof(double));
        all = all && x->gradient[g];
    }
    return x->o && x->lse && all ? TW_OK : tw_fail(TW_ENOMEM, "no memory for O, LSE and gradients");
}

static tw_status execute(tw_execution *x, const tw_problem *p, const tw_machine *machine, const tw_inputs *in,
                         const double *d_o, const tw_numeric_options *numeric)
{
    if (!x->backward.schedule)
        return tw_numeric_run(x->o, x->lse, &x->forward.stats, x->forward.schedule, p, &x->forward.tiling,
                              machine, in->q, in->k, in->v, numeric);
    const tw_training_step step = {x->forward.schedule, x->backward.schedule, x->forward.tiling,
                                   x->backward.tiling};
    const tw_step_results results = {x->o, x->lse, x->gradient[TW_GRADIENT_Q], x->gradient[TW_GRADIENT_K],
                                     x->gradient[TW_GRADIENT_V]};
    tw_numeric_stats stats[2];
    TW_TRY(tw_numeric_run_step(&results, stats, &step, p, machine, in->q, in->k, in->v, d_o, numeric));
    x->forward.stats = stats[0];
    x->backward.stats = stats[1];
    return TW_OK;
}

static tw_status judge_forward(tw_execution *x, const tw_problem *judged, const tw_inputs *in,
                               const tw_execution_options *options)
{
    tw_claim claim = {.problem = *judged, .q = in->q, .k = in->k, .v = in->v, .o = x->o};
    if (x->forward.schedule->writes_lse)
        claim.lse = x->lse;
    claim.lse_dtype = options->exact ? TW_FP64 : TW_FP32;
    tw_variant right = tw_variant_of(judged);
    tw_row_sample sample = tw_row_sample_for(judged, options->seed, 0.25);
    TW_TRY(tw_verify(&x->verdict, &claim, &right, &sample));
    return tw_check_exact(&x->verdict, judged);
}

static tw_status judge_backward(tw_execution *x, const tw_problem *judged, const tw_inputs *in,
                                const double *d_o, const tw_execution_options *options)
{
    const tw_gradient_claim claim = {.problem = *judged,
                                     .q = in->q,
                                     .k = in->k,
                                     .v = in->v,
                                     .d_o = d_o,
                                     .gradient = {x->gradient[0], x->gradient[1], x->gradient[2]}};
    return tw_verify_gradients(&x->gradients, &claim, options->seed, 0.5);
}

tw_status tw_execution_run(tw_execution *x, const tw_case *c, const tw_machine *machine, const tw_inputs *in,
                           const double *d_o, const tw_execution_options *options)
{
    const tw_numeric_options numeric = {.rounding = options->exact ? TW_ROUND_NEVER : TW_ROUND_AS_GPU};
    tw_problem judged = c->problem;
    if (options->exact)
        judged.dtype = TW_FP64;
    TW_TRY(allocate(x, &c->problem));
    TW_TRY(execute(x, &c->problem, machine, in, d_o, &numeric));
    if (x->forward.judged)
        TW_TRY(judge_forward(x, &judged, in, options));
    return x->backward.judged ? judge_backward(x, &judged, in, d_o, options) : TW_OK;
}

void tw_execution_free(tw_execution *x)
{
    free(x->o);
    free(x->lse);
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        free(x->gradient[g]);
    *x = (tw_execution){.o = NULL};
}

/* ---- verdicts --------------------------------------------------------------------------------------------------- */

static bool bytes_agree(const tw_executed_pass *pass)
{
    return pass->stats.sram_fill_bytes - pass->stats.recomputed_fill_bytes == pass->counts.sram_fill_bytes &&
           pass->stats.sram_drain_bytes == pass->counts.sram_drain_bytes;
}

static bool forward_agrees(const tw_execution *x)
{
    return x->verdict.o_agrees && x->verdict.lse_agrees && bytes_agree(&x->forward);
}

static bool backward_agrees(const tw_execution *x)
{
    return x->gradients.agree && bytes_agree(&x->backward);
}

bool tw_execution_agrees(const tw_execution *x)
{
    return (!x->forward.judged || forward_agrees(x)) && (!x->backward.judged || backward_agrees(x));
}

static const char *verdict_text(const tw_executed_pass *pass, bool agrees)
{
    return !bytes_agree(pass) ? "BYTES DIFFER" : agrees ? "agrees" : "DOES NOT AGREE";
}

/* ---- tables ------------------------------------------------------------------------------------------------------- */

static void add_first_columns(tw_table *t)
{
    tw_table_column(t, "queries x keys", "", false);
    tw_table_column(t, "algorithm", "", true);
    tw_table_column(t, "tiles", "m x n", false);
}

static void add_last_columns(tw_table *t)
{
    tw_table_column(t, "executed", "bytes in + out", false);
    tw_table_column(t, "counted", "bytes in + out", false);
    tw_table_column(t, "", "", true);
}

tw_table tw_execution_forward_table(void)
{
    tw_table t = {.num_columns = 0};
    add_first_columns(&t);
    tw_table_column(&t, "max error", "of O", false);
    tw_table_column(&t, "allowed", "", false);
    tw_table_column(&t, "RMS error", "", false);
    tw_table_column(&t, "relative", "", false);
    tw_table_column(&t, "max error", "of LSE", false);
    add_last_columns(&t);
    return t;
}

tw_table tw_execution_backward_table(void)
{
    tw_table t = {.num_columns = 0};
    static const char *const of[TW_NUM_GRADIENTS] = {"of dQ", "of dK", "of dV"};
    add_first_columns(&t);
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        tw_table_column(&t, "max error", of[g], false);
        tw_table_column(&t, "allowed", "", false);
    }
    add_last_columns(&t);
    return t;
}

/* Cells from left to right; returns the next column. */
static int put_first(tw_table *t, const tw_case *c, const tw_executed_pass *pass)
{
    tw_table_row(t);
    tw_table_cell(t, 0, "%d x %d", c->problem.seqlen_q, c->problem.seqlen_k);
    tw_table_cell(t, 1, "%s", pass->schedule->name);
    if (pass->schedule->ignores_sram)
        tw_table_cell(t, 2, "whole");
    else
        tw_table_cell(t, 2, "%d x %d", pass->tiling.block_m, pass->tiling.block_n);
    return 3;
}

static void put_last(tw_table *t, int column, const tw_executed_pass *pass, bool agrees)
{
    tw_table_number(t, column, (double)(pass->stats.sram_fill_bytes + pass->stats.sram_drain_bytes), 0);
    tw_table_number(t, column + 1, (double)(pass->counts.sram_fill_bytes + pass->counts.sram_drain_bytes), 0);
    if (pass->stats.num_recomputed > 0)
        tw_table_cell(t, column + 2, "%s; %lld blocks done again", verdict_text(pass, agrees),
                      (long long)pass->stats.num_recomputed);
    else
        tw_table_cell(t, column + 2, "%s", verdict_text(pass, agrees));
}

static void add_forward_row(tw_table *t, const tw_case *c, const tw_execution *x)
{
    const tw_verdict *v = &x->verdict;
    int column = put_first(t, c, &x->forward);
    tw_table_cell(t, column++, "%.2e", v->o.max_abs_error);
    tw_table_cell(t, column++, "%.2e", 2.0 * v->o_baseline + v->o_atol);
    tw_table_cell(t, column++, "%.2e", v->o.rms_error);
    tw_table_cell(t, column++, "%.2e", v->o.relative_error);
    tw_table_cell(t, column++, x->forward.schedule->writes_lse ? "%.2e" : "-", v->lse.max_abs_error);
    put_last(t, column, &x->forward, forward_agrees(x));
}

static void add_backward_row(tw_table *t, const tw_case *c, const tw_execution *x)
{
    int column = put_first(t, c, &x->backward);
    for (int g = 0; g < TW_NUM_GRADIENTS; g++) {
        const tw_gradient_verdict *v = &x->gradients.of[g];
        tw_table_cell(t, column++, "%.2e", v->error.max_abs_error);
        tw_table_cell(t, column++, "%.2e", 2.0 * v->baseline + v->atol);
    }
    put_last(t, column, &x->backward, backward_agrees(x));
}

void tw_execution_add_rows(tw_table *forward, tw_table *backward, const tw_case *c, const tw_execution *x)
{
    if (x->forward.judged)
        add_forward_row(forward, c, x);
    if (x->backward.judged)
        add_backward_row(backward, c, x);
}
