/* Which keys a query row sees. Runs of keys first: causal, window, prefix, sinks and documents give each row at most
 * two, whose ends never go back from row to row, so that the first and the last row of a tile speak for all of it
 * where there is one run alone. Block masks and callbacks are asked behind that. */
#include "masks.h"
#include "problem.h"
#include "whole.h"

#include <limits.h>

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Rows of a view with packed heads come in groups that are one query row each. */
static int64_t group_size(const tw_problem *p)
{
    return p->heads_in_rows > 1 ? p->heads_in_rows : 1;
}

/* ---- the check ------------------------------------------------------------------------------------------ */

static tw_status check_documents(const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    if (m->num_documents < 1 || p->cu_seqlens_q != NULL)
        return tw_fail(TW_EINVAL, m->num_documents < 1
                                      ? "documents are given, but their number is less than 1"
                                      : "documents are given beside packed sequences, it must be one or the "
                                        "other");
    for (int i = 0; i < m->num_documents; i++)
        if (m->documents[i + 1] < m->documents[i])
            return tw_fail(TW_EINVAL, "document %d ends at key %d and begins at %d, it must not end before",
                           i, m->documents[i + 1], m->documents[i]);
    if (m->documents[0] != 0 || m->documents[m->num_documents] != p->seqlen_k)
        return tw_fail(TW_EINVAL,
                       "documents reach from key %d to %d, it must be from 0 to seqlen_k, which is %d",
                       m->documents[0], m->documents[m->num_documents], p->seqlen_k);
    return TW_OK;
}

static tw_status check_blocks(const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    if (m->block_rows < 1 || m->block_keys < 1)
        return tw_fail(TW_EINVAL, "blocks of the mask are %d x %d, both must be at least 1", m->block_rows,
                       m->block_keys);
    if (p->cu_seqlens_q != NULL)
        return tw_fail(TW_EINVAL,
                       "a block mask is given beside packed sequences, it must be one or the other");
    return TW_OK;
}

tw_status tw_mask_check(const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    if (m->window && (m->window_left < -1 || m->window_right < -1))
        return tw_fail(TW_EINVAL, "the window is %d,%d, both sides must be at least 0, or -1 for unlimited",
                       m->window_left, m->window_right);
    if (m->prefix < 0 || m->sinks < 0)
        return tw_fail(TW_EINVAL, "%s is %d, it must be at least 0", m->prefix < 0 ? "prefix" : "sinks",
                       m->prefix < 0 ? m->prefix : m->sinks);
    if (m->documents != NULL)
        TW_TRY(check_documents(p));
    if ((m->buckets_q != NULL) != (m->buckets_k != NULL) || (m->buckets_q != NULL && p->cu_seqlens_q != NULL))
        return tw_fail(TW_EINVAL,
                       "buckets must be of queries and of keys, and of sequences that are not packed");
    return m->blocks != NULL ? check_blocks(p) : TW_OK;
}

/* ---- runs of keys --------------------------------------------------------------------------------------- */

/* How far a row sees to either side of its position; −1 is unlimited. */
static int reach_left(const tw_problem *p)
{
    return p->mask.window ? p->mask.window_left : -1;
}

static int reach_right(const tw_problem *p)
{
    int right = p->mask.window ? p->mask.window_right : -1;
    return p->causal ? 0 : right;
}

/* Keys that a row may see before its position is looked at: a document, or all. */
typedef struct extent {
    int64_t begin, end;
} extent;

static extent document_at(const tw_problem *p, int64_t position)
{
    const tw_masks *m = &p->mask;
    int low = 0,
        high = m->num_documents; /* the last that begins at or before the position and is not empty */
    if (position < 0)
        return (extent){0, 0};
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (m->documents[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return (extent){m->documents[low], m->documents[low + 1]};
}

/* The runs of a query row, of a problem that is no packed view. */
static tw_spans spans_of(const tw_problem *p, int64_t row, int64_t num_rows)
{
    int64_t position = row + p->seqlen_k - num_rows;
    extent all = {0, p->seqlen_k};
    int left = reach_left(p), right = reach_right(p);
    if (p->mask.documents != NULL)
        all = document_at(p, position);
    int64_t begin = left < 0 ? all.begin : clamp(position - left, all.begin, all.end);
    int64_t end = right < 0 ? all.end : clamp(position + right + 1, begin, all.end);
    int64_t front = max64(min64(all.begin + p->mask.prefix, all.end), min64(all.begin + p->mask.sinks, end));
    if (front > all.begin && front >= begin) { /* one run */
        begin = all.begin;
        end = max64(front, end);
        front = all.begin;
    }
    return (tw_spans){{(int)all.begin, (int)begin}, {(int)front, (int)end}};
}

/* Are rows or keys a part of a sequence's? */
static bool is_part(const tw_problem *p)
{
    return p->query_part.of > 0 || p->key_part.of > 0;
}

/* Are they in another order, so that runs say nothing? */
static bool is_sorted(const tw_problem *p)
{
    return p->query_part.order != NULL || p->key_part.order != NULL;
}

/* How many keys of a part lie before a key of the sequence. */
static int keys_before(const tw_part *part, int64_t key)
{
    int64_t beyond = key - part->first;
    return (int)clamp((beyond + part->stride - 1) / part->stride, 0, beyond > 0 ? part->count : 0);
}

/* The runs of the sequence's row, in keys of the part. */
static tw_spans spans_of_part(const tw_problem *p, int row)
{
    tw_problem whole = tw_problem_whole(p);
    tw_spans s = spans_of(&whole, tw_problem_query_row(p, row), whole.seqlen_q);
    for (int run = 0; run < 2 && p->key_part.of > 0; run++) {
        s.begin[run] = keys_before(&p->key_part, s.begin[run]);
        s.end[run] = keys_before(&p->key_part, s.end[run]);
    }
    return s;
}

tw_spans tw_mask_spans(const tw_problem *p, int row)
{
    if (is_part(p))
        return spans_of_part(p, row);
    int64_t group = group_size(p);
    return spans_of(p, row / group, p->seqlen_q / group);
}

/* Can no row have two runs? */
static bool one_run(const tw_problem *p)
{
    return p->mask.prefix == 0 && p->mask.sinks == 0;
}

/* The run of a row whose first one is empty. */
static extent run_of(const tw_problem *p, int64_t row)
{
    tw_spans s = tw_mask_spans(p, (int)row);
    return (extent){s.begin[1], s.end[1]};
}

static int64_t overlap(int64_t begin, int64_t end, int64_t begin2, int64_t end2)
{
    return max64(0, min64(end, end2) - max64(begin, begin2));
}

static int64_t keys_in(const tw_spans *s, int64_t key0, int64_t key1)
{
    return overlap(s->begin[0], s->end[0], key0, key1) + overlap(s->begin[1], s->end[1], key0, key1);
}

/* The first row of a group and the one behind its last: rows of a group see the same. */
static int64_t next_group(const tw_problem *p, int64_t row)
{
    int64_t group = group_size(p);
    return (row / group + 1) * group;
}

/* ---- tiles, as far as runs go --------------------------------------------------------------------------- */

/* One run a row, and the union of neighbours has no gap: the first and the last row speak for all. */
static tw_tile_kind kind_by_ends(const tw_problem *p, int64_t row0, int64_t row1, int64_t key0, int64_t key1)
{
    extent first = run_of(p, row0), last = run_of(p, row1 - 1);
    if (last.begin <= key0 && first.end >= key1)
        return TW_TILE_FULL;
    return last.end > key0 && first.begin < key1 ? TW_TILE_PARTIAL : TW_TILE_EMPTY;
}

static tw_tile_kind kind_by_rows(const tw_problem *p, int64_t row0, int64_t row1, int64_t key0, int64_t key1)
{
    bool any = false, all = true;
    for (int64_t row = row0; row < row1 && (all || !any); row = next_group(p, row)) {
        tw_spans s = tw_mask_spans(p, (int)row);
        int64_t seen = keys_in(&s, key0, key1);
        any = any || seen > 0;
        all = all && seen == key1 - key0;
    }
    return all ? TW_TILE_FULL : any ? TW_TILE_PARTIAL : TW_TILE_EMPTY;
}

/* Do these keys lie behind all fronts, so that rows have one run there? */
static bool behind_fronts(const tw_problem *p, int64_t key0)
{
    return one_run(p) ||
           (p->mask.documents == NULL && !is_part(p) && key0 >= max64(p->mask.prefix, p->mask.sinks));
}

static tw_tile_kind kind_by_runs(const tw_problem *p, int64_t row0, int64_t row1, int64_t key0, int64_t key1)
{
    if (key1 <= p->mask.prefix && p->mask.documents == NULL && !is_part(p))
        return TW_TILE_FULL;
    bool gaps = p->key_part.stride >
                1; /* a row may see none of a device's keys, between neighbours that do */
    return behind_fronts(p, key0) && !gaps ? kind_by_ends(p, row0, row1, key0, key1)
                                           : kind_by_rows(p, row0, row1, key0, key1);
}

/* Pairs of `rows` query rows from the first on with keys [0, width) of which row i sees those below i + above. */
static int64_t staircase(int64_t rows, int64_t width, int64_t above)
{
    int64_t rise = clamp(-above, 0, rows);              /* first row that keeps any is one before */
    int64_t full = clamp(width - above, rise, rows);    /* first row that keeps all */
    int64_t rising = full - rise, first = rise + above; /* none, then one more a row, then all */
    return rising * first + rising * (rising - 1) / 2 + (rows - full) * width;
}

/* Pairs of whole query rows [row0, row1): where neither documents nor fronts break the staircase, by its formula. */
static int64_t pairs_of_query_rows(const tw_problem *p, int64_t row0, int64_t row1, int64_t key0,
                                   int64_t key1)
{
    int64_t num_rows = p->seqlen_q / group_size(p), pairs = 0, rows = row1 - row0, width = key1 - key0;
    if (!one_run(p) || p->mask.documents != NULL || is_part(p)) {
        for (int64_t row = row0; row < row1; row++) {
            tw_spans s = is_part(p) ? tw_mask_spans(p, (int)row) : spans_of(p, row, num_rows);
            pairs += keys_in(&s, key0, key1);
        }
        return pairs;
    }
    int64_t position = row0 + p->seqlen_k - num_rows - key0; /* of the first row, from key0 */
    int left = reach_left(p), right = reach_right(p);
    pairs = right < 0 ? rows * width : staircase(rows, width, position + right + 1);
    return left < 0 ? pairs : pairs - staircase(rows, width, position - left);
}

/* Pairs of the rows before `row` of a view, of which the last group may be cut. */
static int64_t pairs_below(const tw_problem *p, int64_t row, int64_t key0, int64_t key1)
{
    int64_t group = group_size(p), whole = row / group, rest = row % group;
    int64_t pairs = group * pairs_of_query_rows(p, 0, whole, key0, key1);
    return rest == 0 ? pairs : pairs + rest * pairs_of_query_rows(p, whole, whole + 1, key0, key1);
}

static int64_t pairs_by_runs(const tw_problem *p, int64_t row0, int64_t row1, int64_t key0, int64_t key1)
{
    if (group_size(p) == 1)
        return pairs_of_query_rows(p, row0, row1, key0, key1);
    return pairs_below(p, row1, key0, key1) - pairs_below(p, row0, key0, key1);
}

/* ---- block masks and callbacks -------------------------------------------------------------------------- */

/* Is the block that holds this query row and key switched on? */
static bool block_on(const tw_problem *p, int query_head, int64_t query_row, int64_t key)
{
    const tw_masks *m = &p->mask;
    int64_t rows = ceil_div(p->seqlen_q / group_size(p), m->block_rows),
            keys = ceil_div(p->seqlen_k, m->block_keys);
    int64_t matrix = m->blocks_per_head ? query_head : 0;
    return m->blocks[(matrix * rows + query_row / m->block_rows) * keys + key / m->block_keys] != 0;
}

/* What runs leave is asked again, of the block mask and of the callback. */
static bool listed_visible(const tw_problem *p, int batch, int head, int row, int key)
{
    int query_row = tw_problem_query_row(p, row), query_head = tw_problem_query_head(p, head, row);
    if (p->mask.buckets_q != NULL &&
        (p->mask.buckets_q[query_row] < 0 || p->mask.buckets_q[query_row] != p->mask.buckets_k[key]))
        return false;
    if (p->mask.blocks != NULL && !block_on(p, query_head, query_row, key))
        return false;
    return p->mask.mod == NULL || p->mask.mod(p->mask.mod_user, batch, query_head, query_row, key);
}

/* The same in a sorted view, whose keys are in no order. */
static int64_t sorted_keys_left(const tw_problem *whole, const tw_problem *p, int batch, int head, int row,
                                int64_t key0, int64_t key1)
{
    int query = tw_problem_query_row(p, row);
    tw_spans s = tw_mask_spans(whole, query);
    int64_t left = 0;
    for (int64_t j = key0; j < key1; j++) {
        int key = tw_problem_key(p, (int)j);
        if (keys_in(&s, key, (int64_t)key + 1) > 0)
            left += !tw_mask_is_listed(whole) || listed_visible(whole, batch, head, query, key);
    }
    return left;
}

/* One row of a tile of a listed mask: how many of its keys are left. */
static int64_t keys_left(const tw_problem *p, int batch, int head, int row, int64_t key0, int64_t key1)
{
    tw_spans s = tw_mask_spans(p, row);
    int64_t left = 0;
    for (int run = 0; run < 2; run++) {
        int64_t begin = max64(s.begin[run], key0), end = min64(s.end[run], key1);
        for (int64_t key = begin; key < end; key++)
            left += listed_visible(p, batch, head, row, (int)key);
    }
    return left;
}

static int64_t pairs_by_asking(const tw_problem *p, int batch, int head, int64_t row0, int64_t row1,
                               int64_t key0, int64_t key1)
{
    int64_t pairs = 0;
    const tw_problem whole = tw_problem_whole(p);
    for (int64_t row = row0; row < row1; row++)
        pairs += is_sorted(p) ? sorted_keys_left(&whole, p, batch, head, (int)row, key0, key1)
                              : keys_left(p, batch, head, (int)row, key0, key1);
    return pairs;
}

/* Pairs of a tile under a block mask alone: block by block, each by its runs. */
static int64_t pairs_by_blocks(const tw_problem *p, int head, int64_t row0, int64_t row1, int64_t key0,
                               int64_t key1)
{
    const tw_masks *m = &p->mask;
    int64_t pairs = 0, group = group_size(p), height = m->block_rows * group;
    if (m->blocks_per_head && group > 1)
        height = 1; /* each row of a group is of another head */
    for (int64_t row = row0, row_end; row < row1; row = row_end) {
        row_end = min64(row1, (row / height + 1) * height);
        for (int64_t key = key0, key_end; key < key1; key = key_end) {
            key_end = min64(key1, (key / m->block_keys + 1) * m->block_keys);
            if (block_on(p, tw_problem_query_head(p, head, (int)row), row / group, key))
                pairs += pairs_by_runs(p, row, row_end, key, key_end);
        }
    }
    return pairs;
}

/* ---- the questions -------------------------------------------------------------------------------------- */

bool tw_mask_is_listed(const tw_problem *p)
{
    return p->mask.blocks != NULL || p->mask.mod != NULL || p->mask.buckets_q != NULL;
}

bool tw_mask_is_on(const tw_problem *p)
{
    bool limited = reach_left(p) >= 0 || reach_right(p) >= 0;
    return limited || p->mask.documents != NULL || tw_mask_is_listed(p);
}

bool tw_mask_differs_by_head(const tw_problem *p)
{
    return (p->mask.blocks != NULL && p->mask.blocks_per_head) ||
           (p->mask.mod != NULL && p->mask.mod_per_head);
}

bool tw_mask_differs_by_batch(const tw_problem *p)
{
    return p->cu_seqlens_q != NULL || (p->mask.mod != NULL && p->mask.mod_per_batch);
}

bool tw_mask_visible(const tw_problem *p, int batch, int head, int row, int key)
{
    if (is_sorted(p)) {
        const tw_problem whole = tw_problem_whole(p);
        return tw_mask_visible(&whole, batch, head, tw_problem_query_row(p, row), tw_problem_key(p, key));
    }
    tw_spans s = tw_mask_spans(p, row);
    if (keys_in(&s, key, (int64_t)key + 1) == 0)
        return false;
    return !tw_mask_is_listed(p) || listed_visible(p, batch, head, row, key);
}

int64_t tw_mask_pairs(const tw_problem *p, int batch, int head, int64_t row0, int64_t row1, int64_t key0,
                      int64_t key1)
{
    if (row0 >= row1 || key0 >= key1)
        return 0;
    if (p->mask.mod != NULL || p->mask.buckets_q != NULL || is_sorted(p))
        return pairs_by_asking(p, batch, head, row0, row1, key0, key1);
    if (p->mask.blocks != NULL)
        return pairs_by_blocks(p, head, row0, row1, key0, key1);
    return pairs_by_runs(p, row0, row1, key0, key1);
}

tw_tile_kind tw_mask_tile(const tw_problem *p, int batch, int head, int64_t row0, int64_t row1, int64_t key0,
                          int64_t key1)
{
    if (row0 >= row1 || key0 >= key1)
        return TW_TILE_FULL;
    tw_tile_kind runs = is_sorted(p) ? TW_TILE_PARTIAL : kind_by_runs(p, row0, row1, key0, key1);
    if (runs == TW_TILE_EMPTY || (!tw_mask_is_listed(p) && !is_sorted(p)))
        return runs;
    int64_t pairs = tw_mask_pairs(p, batch, head, row0, row1, key0, key1);
    return pairs == 0                               ? TW_TILE_EMPTY
           : pairs == (row1 - row0) * (key1 - key0) ? TW_TILE_FULL
                                                    : TW_TILE_PARTIAL;
}

/* ---- jumps ---------------------------------------------------------------------------------------------- */

/* The first key from `key` on that a row sees; the end if none. */
static int64_t next_key_of_row(const tw_problem *p, int64_t row, int64_t key)
{
    tw_spans s = tw_mask_spans(p, (int)row);
    for (int run = 0; run < 2; run++)
        if (s.end[run] > max64(key, s.begin[run]))
            return max64(key, s.begin[run]);
    return p->seqlen_k;
}

int64_t tw_mask_next_key(const tw_problem *p, int64_t row0, int64_t row1, int64_t key)
{
    if (is_sorted(p))
        return key;
    if (one_run(p)) {
        extent first = run_of(p, row0), last = run_of(p, row1 - 1);
        int64_t next = max64(key, first.begin);
        return next < last.end ? next : p->seqlen_k;
    }
    int64_t next = p->seqlen_k;
    for (int64_t row = row0; row < row1 && next > key; row = next_group(p, row))
        next = min64(next, next_key_of_row(p, row, key));
    return next;
}

/* The end of the run that holds the key; the key if none does. */
static int64_t run_end_of_row(const tw_problem *p, int64_t row, int64_t key)
{
    tw_spans s = tw_mask_spans(p, (int)row);
    for (int run = 0; run < 2; run++)
        if (s.begin[run] <= key && key < s.end[run])
            return s.end[run];
    return key;
}

int64_t tw_mask_keys_end(const tw_problem *p, int64_t row0, int64_t row1, int64_t key)
{
    if (one_run(p)) {
        int64_t end = run_end_of_row(p, row0,
                                     key); /* the first row's run ends first, the last one's begins last */
        return run_of(p, row1 - 1).begin <= key ? end : key;
    }
    int64_t end = p->seqlen_k;
    for (int64_t row = row0; row < row1 && end > key; row = next_group(p, row))
        end = min64(end, run_end_of_row(p, row, key));
    return end;
}

/* The first row from `row` on whose run ends behind (or, with `begins`, begins behind) a key: neither goes back. */
static int64_t first_row_past(const tw_problem *p, int64_t row, int64_t key, bool begins)
{
    int64_t low = row - 1, high = p->seqlen_q;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        extent run = run_of(p, middle);
        if ((begins ? run.begin : run.end) > key)
            high = middle;
        else
            low = middle;
    }
    return high;
}

int64_t tw_mask_next_row(const tw_problem *p, int64_t key0, int64_t key1, int64_t row)
{
    if (!behind_fronts(p, key0) || is_sorted(p))
        return row;
    int64_t next = first_row_past(p, row, key0, false);
    return next < p->seqlen_q && run_of(p, next).begin < key1 ? next : p->seqlen_q;
}

int64_t tw_mask_rows_end(const tw_problem *p, int64_t key0, int64_t key1, int64_t row)
{
    if (behind_fronts(p, key0)) {
        extent run = run_of(p, row);
        return run.begin <= key0 && run.end >= key1 ? first_row_past(p, row, key0, true) : row;
    }
    while (row < p->seqlen_q && kind_by_rows(p, row, row + 1, key0, key1) == TW_TILE_FULL)
        row = next_group(p, row);
    return min64(row, p->seqlen_q);
}
