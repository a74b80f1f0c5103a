/* Lab 3: a schedule is proved by its numbers, held to its count, and must fit. */
#include "../../../cpu_ref/attention.h"
#include "../grader/judge.h"
#include "expect.h"
#include "variant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where points are to be lost. */
typedef struct items {
    lab_item *rules, *fill, *drain, *fits;
} items;

/* Tensors of one case, on one heap block. */
typedef struct tensors {
    double *q, *k, *v, *o, *lse, *scratch, *want;
    double *all;
} tensors;

static bool make_tensors(tensors *x, lab_judge *judge, const lab3_case *c, double offset)
{
    size_t nq = tw_problem_q_elements(&c->p), nk = tw_problem_k_elements(&c->p),
           nl = tw_problem_lse_elements(&c->p);
    size_t d = (size_t)c->p.head_dim, scratch = (2 * d + 1) * (size_t)c->p.seqlen_k;
    x->all = calloc(2 * nq + 2 * nk + nl + scratch + d, sizeof(double));
    if (!x->all)
        return false;
    x->q = x->all, x->k = x->q + nq, x->v = x->k + nk, x->o = x->v + nk, x->lse = x->o + nq;
    x->scratch = x->lse + nl, x->want = x->scratch + scratch;
    lab_judge_normal(judge, x->q, nq, 1.0);
    lab_judge_normal(judge, x->k, nk, 1.0);
    for (size_t i = 0; offset != 0.0 && i < nq;
         i += d) /* all scores grow by the offset, and differ as before */
        x->q[i] = offset / tw_problem_scale(&c->p);
    for (size_t i = 0; offset != 0.0 && i < nk; i += d)
        x->k[i] = 1.0;
    lab_judge_normal(judge, x->v, nk, 1.0);
    return true;
}

static bool row_equals(const tensors *x, const lab3_case *c, lab3_mistake mistake, int batch, int head,
                       int row)
{
    double lse;
    lab3_expect_row(x->want, &lse, c, mistake, x->q, x->k, x->v, batch, head, row, x->scratch);
    const double *o = x->o + tw_problem_q_row(&c->p, batch, head, row);
    for (int i = 0; i < c->p.head_dim; i++)
        if (!lab_close(o[i], x->want[i]))
            return false;
    return lab_close(x->lse[tw_problem_lse_at(&c->p, batch, head, row)], lse);
}

/* Which usual mistake explains this row? */
static const char *explain(const tensors *x, const lab3_case *c, int batch, int head, int row)
{
    static const char *const hints[LAB3_NUM_MISTAKES] = {
        [LAB3_NO_MASK] =
            "The row has seen all keys of its tiles: is mask(e, s) missing where the mask cuts a tile?",
        [LAB3_LAST_TILE_MISSING] =
            "The last key tile that the rows see is missing: the tiles run from first to end - 1.",
        [LAB3_FIRST_TILE_MISSING] = "The first key tile that the rows see is missing.",
        [LAB3_WINDOW_SHORT] = "The window is one key too short: lab3_window() keys, and the row's own.",
        [LAB3_WINDOW_LONG] = "The window is one key too long: lab3_window() keys, and the row's own.",
        [LAB3_NO_SINKS] = "The sink keys are missing.",
    };
    for (int m = LAB3_RIGHT + 1; m < LAB3_NUM_MISTAKES; m++)
        if (row_equals(x, c, (lab3_mistake)m, batch, head, row))
            return hints[m];
    double o = x->o[tw_problem_q_row(&c->p, batch, head, row)];
    return isnan(o) ? "It was never stored, or computed from something that was never set."
                    : "Which key tiles does its block visit, each exactly once? Is O brought up to date with "
                      "every "
                      "change of m?";
}

static void compare(const tensors *x, const lab3_case *c, lab_item *item, const char *name)
{
    for (int batch = 0; batch < c->p.batch; batch++)
        for (int head = 0; head < c->p.num_heads; head++)
            for (int row = 0; row < c->p.seqlen_q && !item->lost; row++)
                if (!row_equals(x, c, LAB3_RIGHT, batch, head, row))
                    lab_lose(item,
                             "%s (%d queries, %d keys, head_dim %d, tiles %d x %d): query row %d is not "
                             "attention. %s",
                             name, c->p.seqlen_q, c->p.seqlen_k, c->p.head_dim, c->t.block_m, c->t.block_n,
                             row, explain(x, c, batch, head, row));
}

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

static void hold(const lab3_outcome *r, const lab3_case *c, const items *at)
{
    lab3_budget b = lab3_expect_traffic(c);
    long long fill = (long long)(r->fill > r->counts.sram_fill_bytes ? r->fill : r->counts.sram_fill_bytes);
    long long drain = (long long)(r->drain > r->counts.sram_drain_bytes ? r->drain
                                                                        : r->counts.sram_drain_bytes);
    if (fill > b.fill)
        lab_lose(
            at->fill,
            "%d queries, %d keys, head_dim %d, tiles %d x %d: %lld bytes are loaded, %lld are enough: %lld "
            "more than counted. Is a tile loaded twice, or one that nobody sees?",
            c->p.seqlen_q, c->p.seqlen_k, c->p.head_dim, c->t.block_m, c->t.block_n, fill, (long long)b.fill,
            fill - (long long)b.fill);
    if (drain > b.drain)
        lab_lose(
            at->drain,
            "%d queries, %d keys: %lld bytes are stored, %lld are enough: what is stored more than once?",
            c->p.seqlen_q, c->p.seqlen_k, drain, (long long)b.drain);
    if (r->counts.sram_peak_bytes > b.sram)
        lab_lose(
            at->fits,
            "it does not fit: tiles %d x %d at head_dim %d hold %lld bytes at once, the SRAM has %lld: %lld "
            "too many. What can be released before the next tile is loaded?",
            c->t.block_m, c->t.block_n, c->p.head_dim, (long long)r->counts.sram_peak_bytes,
            (long long)b.sram, (long long)(r->counts.sram_peak_bytes - b.sram));
}

/* Runs one case; what is wrong goes to the items that it concerns. */
static void judge_case(lab_judge *judge, lab_item *item, const items *at, const lab3_case *c, double offset,
                       const char *name)
{
    int64_t ints[LAB3_CASE_INTS];
    char why[600] = "";
    tensors x = {0};
    lab3_outcome outcome;
    if (item->lost)
        return;
    lab3_case_pack(ints, c);
    lab_message_clear(&judge->question, LAB3_RUN);
    for (int i = 0; i < LAB3_CASE_INTS; i++)
        lab_message_int(&judge->question, ints[i]);
    if (!judge->asker->ask(judge->asker, &judge->answer, &judge->question, why, sizeof why) ||
        !lab3_records_check(judge->answer.ints, judge->answer.num_ints, c, why, sizeof why) ||
        !make_tensors(&x, judge, c, offset) ||
        !lab3_replay(&outcome, x.o, x.lse, judge->answer.ints, judge->answer.num_ints, c, x.q, x.k, x.v, why,
                     sizeof why)) {
        lab_item *counted[] = {at->fill, at->drain, at->fits};
        lab_lose(item, "%s: %s", name, why);
        lab_lose(at->rules, "%s: %s", name, why);
        for (int i = 0; i < 3; i++)
            lab_lose(counted[i], "%s: not counted, because it does not run: see the item on the rules.",
                     name);
    } else {
        compare(&x, c, item, name);
        if (is_finished(&outcome, c, at))
            hold(&outcome, c, at);
    }
    free(x.all);
}

static lab3_case sized(const lab3_case *like, int seqlen_q, int seqlen_k, int head_dim)
{
    lab3_case c = *like;
    c.p.seqlen_q = seqlen_q;
    c.p.seqlen_k = seqlen_k;
    c.p.head_dim = head_dim;
    c.p.causal = true;
    return c;
}

static void judge_shapes(lab_judge *judge, const lab3_case *paper, const items *at)
{
    lab_item *one = lab_report_item(judge->report, 10, "numeric: one tile");
    lab_item *many = lab_report_item(judge->report, 15, "numeric: lengths that the tiles divide");
    lab_item *tails = lab_report_item(judge->report, 10, "numeric: lengths that they do not divide");
    lab_item *edges = lab_report_item(judge->report, 10,
                                      "numeric: more keys than queries, and rows that see nothing");
    lab_item *heads = lab_report_item(judge->report, 5, "numeric: heads that share K and V, and a batch");
    lab_item *large = lab_report_item(judge->report, 5, "numeric: large scores");
    lab3_case c = sized(paper, paper->t.block_m / 2, paper->t.block_m / 2, 16);
    judge_case(judge, one, at, &c, 0.0, "one tile");
    c = sized(paper, 128, 128, 16);
    judge_case(judge, many, at, &c, 0.0, "tiles that divide");
    if (c.task == LAB3_K_OUTER || c.task == LAB3_TWO_TILES) {
        c.p.causal = false;
        judge_case(judge, many, at, &c, 0.0, "without a mask");
    }
    c.t = (tw_tiling){.block_m = 16, .block_n = 32};
    judge_case(judge, many, at, &c, 0.0, "other tiles");
    int tail = lab_judge_pick(judge, 1, 7);
    c = sized(paper, 96 + tail, 96 + tail, 24);
    judge_case(judge, tails, at, &c, 0.0, "tails");
    c = sized(paper, 33, 33, 8);
    judge_case(judge, tails, at, &c, 0.0, "a last tile of one row");
    c = sized(paper, 40, 150 + tail, 16);
    judge_case(judge, edges, at, &c, 0.0, "more keys than queries");
    c = sized(paper, 150, 60 + tail, 16);
    judge_case(judge, edges, at, &c, 0.0, "rows that see nothing");
    c = sized(paper, 70, 70, 16);
    c.p.batch = 2, c.p.num_heads = 4, c.p.num_heads_kv = 2;
    judge_case(judge, heads, at, &c, 0.0, "heads and batch");
    c = sized(paper, 80, 80, 16);
    judge_case(judge, large, at, &c, 1e4, "scores around 10000");
}

static void judge_paper(lab_judge *judge, const lab3_case *paper)
{
    lab_item *bytes = lab_report_item(judge->report, 5, "answers: bytes in and out");
    lab_item *sram = lab_report_item(judge->report, 5, "answers: bytes on chip");
    lab3_budget b = lab3_expect_traffic(paper);
    lab_judge_answer(
        judge, bytes, "fill_bytes", (double)b.fill, 0.0,
        "count the rows of each tile that is loaded, times head_dim, times 2 bytes; m and l have 4 bytes");
    lab_judge_answer(judge, bytes, "drain_bytes", (double)b.drain, 0.0,
                     "count what is stored: O at 2 bytes an element, and row statistics at 4 bytes each");
    lab_judge_answer(judge, sram, "sram_bytes", (double)b.sram, 0.0,
                     "the tiles of Q, O, K and V that are live at once, 2 bytes an element; m, l, S and P "
                     "are not charged");
}

void lab_judge_all(lab_judge *judge)
{
    lab3_case paper = lab3_paper_case(judge->seed);
    snprintf(judge->report->title, sizeof judge->report->title, "Lab 3: a schedule of your own");
    if (judge->answers)
        judge_paper(judge, &paper);
    items at = {.rules = lab_report_item(judge->report, 10, "the rules of the tile language are kept"),
                .fill = lab_report_item(judge->report, 10, "count: no more is loaded than needed"),
                .drain = lab_report_item(judge->report, 5, "count: no more is stored than needed"),
                .fits = lab_report_item(judge->report, 10, "the tiles fit the SRAM")};
    judge_shapes(judge, &paper, &at);
}
