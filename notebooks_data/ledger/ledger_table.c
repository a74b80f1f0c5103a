/* Rows as Markdown: each command is run, its number set beside the printed one. */
#include "ledger_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- commands ------------------------------------------------------------------------------------------- */

/* Everything that a command prints, up to `size`, complaints too: one of them is no number, so a part of the command that
 * fails is noticed. It goes to bash by way of the environment: nothing to quote. */
static tw_status run(char *text, size_t size, const tw_claim *row)
{
    if (setenv("TW_LEDGER_COMMAND", row->command, 1) != 0)
        return tw_fail(TW_ENOMEM, "row '%s': no memory for its command", row->id);
    FILE *pipe = popen("exec bash -c \"$TW_LEDGER_COMMAND\" 2>&1", "r");
    if (pipe == NULL)
        return tw_fail(TW_EIO, "row '%s': bash cannot be started", row->id);
    const size_t got = fread(text, 1, size - 1, pipe);
    text[got] = '\0';
    if (pclose(pipe) != 0)
        return tw_fail(TW_EIO, "row '%s' fails: %.300s", row->id, row->command);
    return TW_OK;
}

static tw_status calculate(tw_ours *ours, const tw_claim *row)
{
    char text[4000], what[512];
    TW_TRY(run(text, sizeof text, row));
    if (tw_ours_parse(ours, text) == TW_OK)
        return TW_OK;
    snprintf(what, sizeof what, "%.200s", tw_error_message());
    return tw_fail(TW_EFORMAT, "row '%s': %s", row->id, what);
}

/* ---- cells ---------------------------------------------------------------------------------------------- */

void tw_three_digits(char *text, size_t size, double value)
{
    const double magnitude = fabs(value);
    if (magnitude == 0)
        snprintf(text, size, "0");
    else if (magnitude < 0.01)
        snprintf(text, size, "%.1e", value);
    else
        snprintf(text, size, "%.*f", magnitude < 1 ? 3 : magnitude < 10 ? 2 : magnitude < 100 ? 1 : 0, value);
}

static const char *unit_text(const tw_claim *row)
{
    return strcmp(row->unit, "x") == 0 ? "×" : row->unit;
}

static void write_printed(FILE *out, const tw_claim *row)
{
    const size_t numbers = strlen(row->printed) - strlen(row->unit);
    fprintf(out, "%.*s%s", (int)numbers, row->printed, unit_text(row));
}

static void write_ours(FILE *out, const tw_claim *row, const tw_ours *ours)
{
    char value[40], lowest[40], highest[40];
    tw_three_digits(value, sizeof value, ours->value);
    fprintf(out, "%s", value);
    if (ours->has_interval) {
        tw_three_digits(lowest, sizeof lowest, ours->lowest);
        tw_three_digits(highest, sizeof highest, ours->highest);
        fprintf(out, " (%s to %s)", lowest, highest);
    }
    fprintf(out, "%s%s, %s", *row->unit ? " " : "", unit_text(row),
            strcmp(row->kind, "predicted-uncalibrated") == 0 ? "predicted, uncalibrated" : row->kind);
}

static void write_difference(FILE *out, const tw_claim *row, const tw_ours *ours)
{
    const double percent = 100 * tw_claim_difference(row, ours);
    if (percent == 0)
        fprintf(out, row->printed_high > row->printed_low ? "within" : "0");
    else
        fprintf(out, "%+.*f %%%s", fabs(percent) < 10 ? 1 : 0, percent,
                tw_claim_is_gain(row) ? " of the gain" : "");
    if (row->rule->from_interval)
        fprintf(out, "; allowed: the interval");
    else if (row->rule->allowed > 0)
        fprintf(out, "; allowed %g %%", 100 * row->rule->allowed);
}

static void write_verdict(FILE *out, const tw_claim *row, tw_verdict verdict)
{
    const char *why = verdict == TW_CANNOT_BE_CHECKED ? row->cannot : row->reason;
    fprintf(out, "%s%s%s%s%s", tw_verdict_name(verdict), *why ? ": " : "", why,
            !*row->note ? ""
            : *why      ? " "
                        : ": ",
            row->note);
}

static tw_status write_row(FILE *out, tw_verdict_counts *counts, const tw_claim *row)
{
    tw_ours ours = {.value = 0};
    tw_verdict verdict;
    if (!*row->cannot)
        TW_TRY(calculate(&ours, row));
    TW_TRY(tw_claim_judge(&verdict, row, &ours));
    counts->of[verdict]++;
    fprintf(out, "| %s; %s | ", row->claim, row->source);
    write_printed(out, row);
    fprintf(out, " | ");
    if (*row->cannot)
        fprintf(out, "– | – | ");
    else {
        write_ours(out, row, &ours);
        fprintf(out, " | ");
        write_difference(out, row, &ours);
        fprintf(out, " | ");
    }
    write_verdict(out, row, verdict);
    fprintf(out, *row->command ? " | `%s` |\n" : " | –%s |\n", row->command);
    return TW_OK;
}

tw_status tw_ledger_table(FILE *out, tw_verdict_counts *counts, const tw_claims *claims)
{
    fprintf(out, "\n\n| claim | printed | ours | difference | verdict | command |\n");
    fprintf(out, "| --- | ---: | ---: | ---: | --- | --- |\n");
    for (size_t i = 0; i < claims->count; i++)
        TW_TRY(write_row(out, counts, &claims->rows[i]));
    fprintf(out, "\n");
    return TW_OK;
}
