/* Rows of docs/ledger.md, read from .ini files, and the verdict that follows from two numbers. */
#include "claims.h"

#include "../../sim/csv.h"

#include <ini.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tw_rule tw_rules[] = {
    {"exact", 0, false}, {"count", 0.05, false}, {"time", 0.15, false}, {"seeds", 0, true}, {NULL, 0, false},
};

static const char *const kinds[] = {"recomputed", "predicted", "predicted-uncalibrated", "measured"};

/* ---- reading -------------------------------------------------------------------------------------------- */

#define TEXT(field)                                                                                          \
    {                                                                                                        \
#field, offsetof(tw_claim, field), sizeof((tw_claim *)NULL)->field                                   \
    }
static const struct {
    const char *key;
    size_t offset, size;
} texts[] = {
    TEXT(claim),  TEXT(source), TEXT(printed),
    TEXT(kind),   TEXT(cannot), TEXT(command),
    TEXT(reason), TEXT(note),   {"rule", offsetof(tw_claim, rule_name), sizeof((tw_claim *)NULL)->rule_name},
};
#undef TEXT

typedef struct reading {
    tw_claims *claims;
    tw_status status; /* of the line that stopped it */
} reading;

static tw_status new_row(tw_claims *claims, const char *id)
{
    tw_claim *rows = realloc(claims->rows, (claims->count + 1) * sizeof *rows);
    if (rows == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %zu rows", claims->count + 1);
    claims->rows = rows;
    rows[claims->count] = (tw_claim){.id = ""};
    snprintf(rows[claims->count++].id, sizeof rows->id, "%s", id);
    return TW_OK;
}

/* Lines of one text are joined by blanks. */
static tw_status add_text(tw_claim *row, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].key, key) != 0)
            continue;
        char *text = (char *)row + texts[i].offset;
        const size_t used = strlen(text);
        if (used + strlen(value) + 2 > texts[i].size)
            return tw_fail(TW_EFORMAT, "row '%s': %s is longer than %zu characters", row->id, key,
                           texts[i].size - 1);
        snprintf(text + used, texts[i].size - used, "%s%s", used > 0 ? " " : "", value);
        return TW_OK;
    }
    return tw_fail(
        TW_EFORMAT,
        "row '%s': '%s' is not known, it must be claim, source, printed, kind, rule, command, reason, "
        "note or cannot",
        row->id, key);
}

static int on_line(void *user, const char *section, const char *key, const char *value)
{
    reading *r = user;
    tw_claims *claims = r->claims;
    if (claims->count == 0 || strcmp(claims->rows[claims->count - 1].id, section) != 0)
        r->status = new_row(claims, section);
    if (r->status == TW_OK)
        r->status = add_text(&claims->rows[claims->count - 1], key, value);
    return r->status == TW_OK;
}

/* "1.5 to 2.0 x": two numbers and a unit. */
static tw_status parse_printed(tw_claim *row)
{
    char *end;
    row->printed_low = row->printed_high = strtod(row->printed, &end);
    if (end == row->printed)
        return tw_fail(TW_EFORMAT, "row '%s': printed is '%s', it must begin with a number", row->id,
                       row->printed);
    if (strncmp(end, " to ", 4) == 0) {
        const char *second = end + 4;
        row->printed_high = strtod(second, &end);
        if (end == second || row->printed_high < row->printed_low)
            return tw_fail(TW_EFORMAT, "row '%s': printed is '%s', it must go from less to more", row->id,
                           row->printed);
    }
    while (*end == ' ')
        end++;
    snprintf(row->unit, sizeof row->unit, "%.23s", end);
    return TW_OK;
}

static tw_status find_rule(tw_claim *row)
{
    for (const tw_rule *rule = tw_rules; rule->name != NULL; rule++)
        if (strcmp(rule->name, row->rule_name) == 0) {
            row->rule = rule;
            return TW_OK;
        }
    return tw_fail(TW_EFORMAT, "row '%s': rule is '%s', it must be exact, count, time or seeds", row->id,
                   row->rule_name);
}

static tw_status check_kind(const tw_claim *row)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i], row->kind) == 0)
            return TW_OK;
    return tw_fail(
        TW_EFORMAT,
        "row '%s': kind is '%s', it must be recomputed, predicted, predicted-uncalibrated or measured",
        row->id, row->kind);
}

/* A bar would end the table's cell. */
static tw_status check_bars(const tw_claim *row)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strchr((const char *)row + texts[i].offset, '|') != NULL)
            return tw_fail(TW_EFORMAT, "row '%s': %s has a '|', which would end the table's cell: use <(…)",
                           row->id, texts[i].key);
    return TW_OK;
}

static tw_status complete(tw_claim *row)
{
    TW_TRY(check_bars(row));
    if (!*row->claim || !*row->source || !*row->printed)
        return tw_fail(TW_EFORMAT, "row '%s' must have claim, source and printed", row->id);
    TW_TRY(parse_printed(row));
    if (*row->cannot)
        return *row->command || *row->kind || *row->rule_name || *row->reason
                   ? tw_fail(TW_EFORMAT, "row '%s' has cannot, so no command, kind, rule or reason", row->id)
                   : TW_OK;
    if (!*row->command)
        return tw_fail(TW_EFORMAT, "row '%s' must have a command, or say why it cannot be checked", row->id);
    TW_TRY(check_kind(row));
    return find_rule(row);
}

tw_status tw_claims_read(tw_claims *claims, const char *path)
{
    FILE *file;
    tw_claims read = {.rows = NULL};
    reading r = {&read, TW_OK};
    TW_TRY(tw_open_to_read(&file, path, "rows of the ledger"));
    const int line = ini_parse_file(file, on_line, &r);
    fclose(file);
    tw_status status = r.status;
    if (status == TW_OK && line != 0)
        status = tw_fail(TW_EFORMAT, "%s, line %d: not a line of the form 'key = value'", path, line);
    for (size_t i = 0; status == TW_OK && i < read.count; i++)
        status = complete(&read.rows[i]);
    if (status == TW_OK && read.count == 0)
        status = tw_fail(TW_EFORMAT, "%s has no rows", path);
    if (status == TW_OK)
        *claims = read;
    else
        tw_claims_free(&read);
    return status;
}

void tw_claims_free(tw_claims *claims)
{
    free(claims->rows);
    *claims = (tw_claims){.rows = NULL};
}

/* ---- judging -------------------------------------------------------------------------------------------- */

tw_status tw_ours_parse(tw_ours *ours, const char *text)
{
    double numbers[4];
    int count = 0;
    char *end;
    for (const char *at = text; count < 4; at = end) {
        numbers[count] = strtod(at, &end);
        if (end == at)
            break;
        count += isfinite(numbers[count]) ? 1 : 4;
    }
    if ((count != 1 && count != 3) || end[strspn(end, " \n")] != '\0')
        return tw_fail(TW_EFORMAT, "it prints '%.60s', it must print a number, or median, lowest and highest",
                       text);
    *ours = (tw_ours){.value = numbers[0], .has_interval = count == 3};
    if (count == 3) {
        ours->lowest = numbers[1];
        ours->highest = numbers[2];
    }
    return TW_OK;
}

const char *tw_verdict_name(tw_verdict verdict)
{
    static const char *const names[] = {"reproduced", "explained", "not reproduced", "cannot be checked"};
    return names[verdict];
}

bool tw_claim_is_gain(const tw_claim *claim)
{
    return strcmp(claim->unit, "x") == 0 && claim->printed_low > 1 && claim->printed_high < 1.5;
}

double tw_claim_difference(const tw_claim *claim, const tw_ours *ours)
{
    const double nearest = fmin(fmax(ours->value, claim->printed_low), claim->printed_high);
    const double whole = tw_claim_is_gain(claim) ? nearest - 1 : nearest;
    return whole != 0 ? (ours->value - nearest) / fabs(whole) : ours->value;
}

static bool agrees(const tw_claim *claim, const tw_ours *ours)
{
    if (claim->rule->from_interval)
        return claim->printed_high >= ours->lowest && claim->printed_low <= ours->highest;
    return fabs(tw_claim_difference(claim, ours)) <= claim->rule->allowed;
}

tw_status tw_claim_judge(tw_verdict *verdict, const tw_claim *claim, const tw_ours *ours)
{
    if (*claim->cannot) {
        *verdict = TW_CANNOT_BE_CHECKED;
        return TW_OK;
    }
    if (claim->rule->from_interval != ours->has_interval)
        return tw_fail(TW_EFORMAT, "row '%s': three numbers belong to the rule 'seeds', one to the others",
                       claim->id);
    if (!agrees(claim, ours))
        *verdict = *claim->reason ? TW_EXPLAINED : TW_NOT_REPRODUCED;
    else if (*claim->reason)
        return tw_fail(TW_EFORMAT, "row '%s' is reproduced, its reason explains nothing: make it a note",
                       claim->id);
    else
        *verdict = TW_REPRODUCED;
    return TW_OK;
}
