/* Lab 3: a schedule is proved by its numbers, held to its count, and must fit. */
#include "../grader/judge.h"
#include "cases.h"
#include "surplus.h"
#include "tensors.h"
#include "variant.h"

#include <stdlib.h>
#include <string.h>

/* Where points are to be lost. */
typedef struct items {
    lab_item *rules, *numeric[LAB3_NUM_KINDS], *fill, *drain, *fits;
    char broken[600]; /* what the item on the rules says */
} items;

/* ---- counting ------------------------------------------------------------------------------------------------- */

/* Counting a schedule that does not store its results proves nothing. */
static bool is_finished(const lab3_outcome *r, const lab3_case *c, const items *at)
{
    int64_t rows = c->p.causal && c->p.seqlen_q > c->p.seqlen_k ? c->p.seqlen_k : c->p.seqlen_q;
    if (r->drain >= rows * c->p.head_dim * 2 * c->p.num_heads * c->p.batch)
        return true;
    lab_item *all[] = {at->rules, at->fill, at->drain, at->fits};
    for (int i = 0; i < 4; i++)
        lab_lose(all[i], "not all of O is stored, so there is nothing to be counted yet.");
    return false;
}

/* Loads or stores, against what is enough. */
static void hold_traffic(const lab_message *records, const lab3_case *c, lab_item *item, bool stores,
                         int64_t moved, const lab3_budget *budget)
{
    char surplus[400];
    int64_t enough = stores ? budget->drain_bytes : budget->fill_bytes;
    if (item->lost || moved <= enough)
        return;
    lab3_surplus(surplus, sizeof surplus, stores, records->ints, records->num_ints, c, budget);
    lab_lose(item,
             "%d queries, %d keys, head_dim %d, tiles %d x %d: %lld bytes are %s, %lld are enough: %lld "
             "bytes more "
             "than counted, %s",
             c->p.seqlen_q, c->p.seqlen_k, c->p.head_dim, c->t.block_m, c->t.block_n, (long long)moved,
             stores ? "stored" : "loaded", (long long)enough, (long long)(moved - enough), surplus);
}

static int64_t larger(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

static void hold(const lab_message *records, const lab3_outcome *r, const lab3_case *c, const items *at)
{
    lab3_budget b = lab3_expect_traffic(c);
    hold_traffic(records, c, at->fill, false, larger(r->fill, r->counts.sram_fill_bytes), &b);
    hold_traffic(records, c, at->drain, true, larger(r->drain, r->counts.sram_drain_bytes), &b);
    if (r->counts.sram_peak_bytes > b.sram)
        lab_lose(
            at->fits,
            "it does not fit: tiles %d x %d at head_dim %d hold %lld bytes at once, the SRAM has %lld: %lld "
            "too many. What can be released before the next tile is loaded?",
            c->t.block_m, c->t.block_n, c->p.head_dim, (long long)r->counts.sram_peak_bytes,
            (long long)b.sram, (long long)(r->counts.sram_peak_bytes - b.sram));
}

/* ---- running -------------------------------------------------------------------------------------------------- */

/* The same fault, at another shape: the same words, or the same line of the source. */
static bool is_same_fault(const char *a, const char *b)
{
    const char *line_a = strstr(a, "line "), *line_b = strstr(b, "line ");
    return strcmp(a, b) == 0 || (line_a && line_b && strcspn(line_a, ":") == strcspn(line_b, ":") &&
                                 strncmp(line_a, line_b, strcspn(line_a, ":")) == 0);
}

/* It does not run. The reason is said once, and again only if it is another one. */
static void lose_to_rules(items *at, lab_item *item, const char *name, const char *why)
{
    lab_item *counted[] = {at->fill, at->drain, at->fits};
    if (!at->rules->lost) {
        snprintf(at->broken, sizeof at->broken, "%s", why);
        lab_lose(at->rules, "%s: %s", name, why);
    }
    if (is_same_fault(at->broken, why))
        lab_lose(item, "%s: it does not run: see the item on the rules.", name);
    else
        lab_lose(item, "%s: %s", name, why);
    for (int i = 0; i < 3; i++)
        lab_lose(counted[i], "%s: not counted, because it does not run: see the item on the rules.", name);
}

/* Asks for the schedule's operations. */
static bool ask(lab_judge *judge, const lab3_case *c, char *why, size_t size)
{
    int64_t ints[LAB3_CASE_INTS];
    lab3_case_pack(ints, c);
    lab_message_clear(&judge->question, LAB3_RUN);
    for (int i = 0; i < LAB3_CASE_INTS; i++)
        lab_message_int(&judge->question, ints[i]);
    return judge->asker->ask(judge->asker, &judge->answer, &judge->question, why, size);
}

/* Nothing but blocks: no operation was called. */
static bool is_empty(const lab_message *records)
{
    for (size_t at = 0; at + LAB3_RECORD <= records->num_ints; at += LAB3_RECORD)
        if (records->ints[at] != LAB3_OP_BLOCK)
            return false;
    return true;
}

/* Asks for one case and replays it; false, with the reason, if it does not run. */
static bool run(lab_judge *judge, const lab3_trial *trial, lab3_tensors *x, lab3_outcome *outcome, char *why,
                size_t size)
{
    const lab3_case *c = &trial->c;
    const lab_message *records = &judge->answer;
    if (!ask(judge, c, why, size) || !lab3_records_check(records->ints, records->num_ints, c, why, size))
        return false;
    if (lab_judge_is_unwritten(judge, LAB3_RUN, is_empty(records))) {
        snprintf(why, size, "lab3_block is not written yet.");
        return false;
    }
    if (!lab3_make_tensors(x, judge, c, trial->offset)) {
        snprintf(why, size, "memory ran out");
        return false;
    }
    return lab3_replay(outcome, x->o, x->lse, records->ints, records->num_ints, c, x->q, x->k, x->v, why,
                       size);
}

/* Judges one case; what is wrong goes to the items that it concerns. */
static void judge_trial(lab_judge *judge, items *at, const lab3_trial *trial)
{
    char why[600] = "";
    lab3_tensors x = {0};
    lab3_outcome outcome;
    lab_item *item = at->numeric[trial->kind];
    if (item->lost)
        return;
    if (run(judge, trial, &x, &outcome, why, sizeof why)) {
        lab3_compare(&x, &trial->c, item, trial->name);
        if (is_finished(&outcome, &trial->c, at))
            hold(&judge->answer, &outcome, &trial->c, at);
    } else {
        lose_to_rules(at, item, trial->name, why);
    }
    free(x.all);
}

void lab_judge_code(lab_judge *judge)
{
    static const struct {
        int points;
        const char *name;
    } numeric[LAB3_NUM_KINDS] = {
        [LAB3_ONE_TILE] = {10, "numeric: one tile"},
        [LAB3_DIVIDED] = {15, "numeric: lengths that the tiles divide"},
        [LAB3_TAILS] = {10, "numeric: lengths that they do not divide"},
        [LAB3_EDGES] = {10, "numeric: more keys than queries, rows that see nothing, edges of tiles"},
        [LAB3_HEADS] = {5, "numeric: heads that share K and V, and a batch"},
        [LAB3_LARGE] = {5, "numeric: large scores"}};
    lab3_trial trials[LAB3_MAX_TRIALS];
    lab3_case paper = lab3_paper_case(judge->seed);
    items at = {.rules = lab_report_item(judge->report, 10, "the rules of the tile language are kept")};
    for (int kind = 0; kind < LAB3_NUM_KINDS; kind++)
        at.numeric[kind] = lab_report_item(judge->report, numeric[kind].points, numeric[kind].name);
    at.fill = lab_report_item(judge->report, 10, "count: no more is loaded than needed");
    at.drain = lab_report_item(judge->report, 5, "count: no more is stored than needed");
    at.fits = lab_report_item(judge->report, 10, "the tiles fit the SRAM");
    int count = lab3_trials(trials, judge, &paper);
    for (int i = 0; i < count; i++) {
        judge->stream = 1000 * (uint64_t)(i + 1); /* the same numbers, whatever was wrong before */
        judge_trial(judge, &at, &trials[i]);
        at.numeric[trials[i].kind]->final = i + 1 == count || trials[i + 1].kind != trials[i].kind;
        lab_report_show(judge->report);
    }
}
