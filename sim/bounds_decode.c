/*
 * Closed forms of algorithms that cut the keys into parts, from the papers' words: K and V go in as without parts, Q once
 * for each part that sees something, and what parts leave, O and one statistic a row in fp32, goes out and in again.
 */
#include "bounds_decode.h"

#include "../cpu_ref/whole.h"
#include "splits.h"

#include <string.h>

/* Bytes of one query tile, or of many. */
typedef struct bytes {
    int64_t fill, drain;
} bytes;

/* Key tiles that a tile of query rows sees: up to two runs, [begin, end) each; those in front are of prefix or sinks. */
typedef struct seen {
    int64_t begin[2], end[2];
} seen;

bool tw_splits_keys(const char *schedule)
{
    return strncmp(schedule, "flash_decoding", 14) == 0 || strcmp(schedule, "lean_attention") == 0;
}

/* Neighbouring rows see neighbouring keys: the first row says where they begin, the last where they end. */
static seen tiles_seen(const tw_problem *p, int64_t n, int64_t row0, int64_t row1)
{
    tw_spans first = tw_mask_spans(p, (int)row0), last = tw_mask_spans(p, (int)row1 - 1);
    bool apart = first.end[0] > first.begin[0];
    seen s = {.begin = {0, first.begin[1] / n}, .end = {apart ? ceil_div(last.end[0], n) : 0, 0}};
    s.end[1] = last.end[1] > first.begin[1] ? ceil_div(last.end[1], n) : s.begin[1];
    s.begin[1] = max64(s.begin[1], s.end[0]);
    s.end[1] = max64(s.begin[1], s.end[1]);
    return s;
}

/* From the first to the last: what is cut into parts. */
static void range_of(const seen *s, int64_t *begin, int64_t *end)
{
    bool front = s->end[0] > s->begin[0], rest = s->end[1] > s->begin[1];
    *begin = front ? s->begin[0] : rest ? s->begin[1] : 0;
    *end = rest ? s->end[1] : front ? s->end[0] : 0;
}

static bool sees_some_of(const seen *s, int64_t begin, int64_t end)
{
    return max64(begin, s->begin[0]) < min64(end, s->end[0]) ||
           max64(begin, s->begin[1]) < min64(end, s->end[1]);
}

static int64_t keys_of(const seen *s, int64_t n, int64_t length)
{
    int64_t keys = 0;
    for (int run = 0; run < 2; run++)
        if (s->end[run] > s->begin[run])
            keys += min64(s->end[run] * n, length) - s->begin[run] * n;
    return keys;
}

static int64_t entries_of(const tw_problem *p, const seen *s, int64_t n)
{
    int64_t entries = 0, size = p->page_size;
    for (int run = 0; run < 2 && size > 0; run++)
        for (int64_t j = s->begin[run]; j < s->end[run]; j++)
            entries += (min64((j + 1) * n, p->seqlen_k) - 1) / size - j * n / size + 1;
    return 2 * entries;
}

int64_t tw_page_entries(const tw_problem *p, const tw_tiling *t)
{
    int64_t entries = 0;
    for (int64_t row = 0; row < p->seqlen_q; row += t->block_m) {
        seen s = tiles_seen(p, t->block_n, row, min64(row + t->block_m, p->seqlen_q));
        entries += entries_of(p, &s, t->block_n);
    }
    return entries;
}

/* A query tile of `rows`, of whose parts `loads` see something, and `partial` leave their results in HBM. */
static bytes query_tile(const tw_problem *p, const seen *s, int64_t n, int64_t rows, int64_t loads,
                        int64_t partial)
{
    int64_t size = tw_dtype_bytes(p->dtype), d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    int64_t keys = keys_of(s, n, p->seqlen_k), parts = 4 * partial * rows * (d_v + 1);
    int64_t scoring = p->scoring.bias ? rows * keys * size : 0;
    if (p->scoring.sink_logits)
        scoring += 4 * max64(1, p->heads_in_rows);
    return (bytes){.fill = size * (loads * rows * d + keys * (d + d_v)) + scoring + parts +
                           4 * entries_of(p, s, n),
                   .drain = rows * (size * d_v + 4) + parts};
}

/* ---- splits: as many for every query tile ------------------------------------------------------------------- */

static bytes splits(const tw_problem *p, const tw_tiling *t, int num_splits)
{
    bytes all = {0, 0};
    for (int64_t row = 0; row < p->seqlen_q; row += t->block_m) {
        int64_t row1 = min64(row + t->block_m, p->seqlen_q), begin, end, loads = 0;
        seen s = tiles_seen(p, t->block_n, row, row1);
        range_of(&s, &begin, &end);
        int64_t each = (end - begin) / num_splits, longer = (end - begin) % num_splits, at = begin;
        for (int c = 0; c < num_splits; c++) {
            int64_t next = at + each + (c < longer);
            loads += sees_some_of(&s, at, next);
            at = next;
        }
        bytes one = query_tile(p, &s, t->block_n, row1 - row, loads, num_splits > 1 ? num_splits : 0);
        all.fill += one.fill;
        all.drain += one.drain;
    }
    return all;
}

static bytes all_splits(const tw_problem *p, const tw_tiling *t, int num_splits)
{
    int64_t alike = p->cu_seqlens_q ? 1 : p->batch;
    bytes all = {0, 0};
    for (int batch = 0; batch < p->batch; batch += (int)alike) {
        tw_problem one = tw_problem_sequence(p, batch), packed = tw_problem_packed(&one);
        bytes head = splits(&packed, t, num_splits);
        all.fill += alike * packed.num_heads * head.fill;
        all.drain += alike * packed.num_heads * head.drain;
    }
    return all;
}

/* ---- shares: tile x of T belongs to the block in whose G-th of T it lies -------------------------------------- */

/* The row of all work, twice: once for its length, once for the bytes. */
typedef struct row_of_work {
    int64_t total, blocks, at;
    bytes all;
} row_of_work;

/* Where share x begins: ⌊T/G⌋ tiles for each before it, and one more for each of the first T mod G. */
static int64_t share_begin(const row_of_work *w, int64_t x)
{
    return x * (w->total / w->blocks) + min64(x, w->total % w->blocks);
}

/* Cuts of the row that lie within (begin, end), and those that are behind `begin` and make the next part begin. */
static void add_query_tile(row_of_work *w, const tw_problem *p, const seen *s, int64_t n, int64_t rows)
{
    int64_t begin, end, cuts = 0, loads = 0, from;
    range_of(s, &begin, &end);
    int64_t behind = w->at + max64(1, end - begin), x = 0;
    if (w->blocks > 0) {
        x = w->at * w->blocks / w->total; /* near the share that it lies in */
        while (x > 0 && share_begin(w, x) > w->at)
            x--;
        for (; share_begin(w, x + 1) <= w->at; x++)
            ;
        for (from = w->at; share_begin(w, x + 1) < behind; from = share_begin(w, ++x), cuts++)
            loads += sees_some_of(s, begin + from - w->at, begin + share_begin(w, x + 1) - w->at);
        loads += sees_some_of(s, begin + from - w->at, end);
        bytes one = query_tile(p, s, n, rows, loads, cuts);
        w->all.fill += one.fill;
        w->all.drain += one.drain;
    }
    w->at = behind;
}

static void walk_row(row_of_work *w, const tw_problem *p, const tw_tiling *t)
{
    w->at = 0;
    for (int batch = 0; batch < p->batch; batch++) {
        tw_problem one = tw_problem_sequence(p, batch), packed = tw_problem_packed(&one);
        for (int head = 0; head < packed.num_heads; head++)
            for (int64_t row = 0; row < packed.seqlen_q; row += t->block_m) {
                int64_t row1 = min64(row + t->block_m, packed.seqlen_q);
                seen s = tiles_seen(&packed, t->block_n, row, row1);
                add_query_tile(w, &packed, &s, t->block_n, row1 - row);
            }
    }
}

static bytes shares(const tw_problem *p, const tw_tiling *t, const tw_machine *machine)
{
    row_of_work w = {.blocks = 0};
    walk_row(&w, p, t);
    w.total = w.at;
    w.blocks = min64(w.total, tw_blocks_at_a_time(machine));
    walk_row(&w, p, t);
    return w.all;
}

tw_status tw_closed_form_of_parts(int64_t *fill, int64_t *drain, const char *name, const tw_problem *p,
                                  const tw_tiling *t, const tw_machine *machine)
{
    const tw_schedule schedule = {
        .packs_heads = true, .num_launches = 1, .launches = {{.grid_j = TW_AXIS_SPLITS}}};
    if (p->mask.blocks || p->mask.mod || p->mask.documents)
        return tw_fail(TW_EUNSUPPORTED, "schedule '%s' has no closed form under this mask", name);
    tw_problem packed = tw_problem_packed(p);
    bool lean = strcmp(name, "lean_attention") == 0;
    bytes all = lean ? shares(p, t, machine) : all_splits(p, t, tw_splits_of(&schedule, &packed, t, machine));
    *fill = all.fill;
    *drain = all.drain;
    return TW_OK;
}
