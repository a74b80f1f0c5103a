/* What a run says of single algorithms: what depended on the data, and how far an approximation is off. */
#include "execution.h"

#include <stdio.h>
#include <string.h>

static void note_lazy(char *text, size_t size, const tw_executed_pass *pass)
{
    const tw_numeric_stats *s = &pass->stats;
    double later = s->later_row_steps > 0 ? (double)s->later_row_steps : 1.0;
    snprintf(text, size,
             "%s: %.2f %% of rows were rescaled at a later tile, having outgrown their maximum by 2^%g",
             pass->schedule->name, 100.0 * (double)s->rows_rescaled / later, pass->tiling.rescale_log2);
    size_t used = strlen(text);
    if (s->exps_by_polynomial > 0)
        snprintf(text + used, size - used,
                 ";\n  %.1f %% of exponentials by a polynomial of degree %d, off by at most %.2e of each",
                 100.0 * (double)s->exps_by_polynomial / (double)s->exps,
                 pass->tiling.poly_degree > 0 ? pass->tiling.poly_degree : 3, s->polynomial_error);
}

static void note_link(char *text, size_t size, const tw_executed_pass *pass)
{
    snprintf(text, size, "%s: %lld bytes went over the link, %lld were counted", pass->schedule->name,
             (long long)pass->stats.link_bytes, (long long)pass->counts.link_bytes);
}

bool tw_execution_note(char text[TW_EXECUTION_NOTE], const tw_execution *x)
{
    const tw_executed_pass *pass = &x->forward;
    text[0] = '\0';
    if (pass->judged && pass->schedule->takes & TW_TAKES_LAZY)
        note_lazy(text, TW_EXECUTION_NOTE, pass);
    else if (pass->judged && pass->schedule->launches[0].spread != TW_SPREAD_NONE && pass->tiling.parts > 1)
        note_link(text, TW_EXECUTION_NOTE, pass);
    else if (pass->judged && pass->schedule->reference)
        snprintf(text, TW_EXECUTION_NOTE,
                 "%s approximates: its error above is that of the approximation; of its own definition it is "
                 "off by "
                 "%.2e (allowed: %.2e)",
                 pass->schedule->name, x->reference_error, x->reference_allowed);
    return text[0] != '\0';
}
