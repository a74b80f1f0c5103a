/* The shape of one attention, and what follows from it alone. */
#include "problem.h"

#include <math.h>

static tw_status check_size(const char *name, int value)
{
    if (value < 1)
        return tw_fail(TW_EINVAL, "%s is %d, it must be at least 1", name, value);
    return TW_OK;
}

/* Offsets of packed sequences: from 0 upwards, no length above `longest`. */
static tw_status check_offsets(const char *name, const int *offsets, int batch, int longest)
{
    if (offsets[0] != 0)
        return tw_fail(TW_EINVAL, "%s begins with %d, it must begin with 0", name, offsets[0]);
    int found = 0;
    for (int i = 0; i < batch; i++) {
        int64_t length = (int64_t)offsets[i + 1] - offsets[i];
        if (length < 0)
            return tw_fail(TW_EINVAL, "%s has %d behind %d, offsets must not go back", name, offsets[i + 1],
                           offsets[i]);
        found = length > found ? (int)length : found;
    }
    if (found != longest)
        return tw_fail(TW_EINVAL, "%s has a longest sequence of %d rows, it must be as long as said: %d",
                       name, found, longest);
    return TW_OK;
}

int tw_problem_page(const tw_problem *p, int batch, int page)
{
    return p->page_table[(size_t)batch * (size_t)p->table_width + (size_t)page];
}

/* Keys of one sequence. */
static int keys_of(const tw_problem *p, int batch)
{
    return p->cu_seqlens_k != NULL ? p->cu_seqlens_k[batch + 1] - p->cu_seqlens_k[batch] : p->seqlen_k;
}

/* Every page that a sequence has keys in must be there. */
static tw_status check_pages(const tw_problem *p)
{
    if (p->page_size < 0 || p->num_pages < 1 || !p->page_table)
        return tw_fail(TW_EINVAL, "page_size is %d with %d pages, both must be at least 1 and have a table",
                       p->page_size, p->num_pages);
    if ((int64_t)p->table_width * p->page_size < p->seqlen_k)
        return tw_fail(TW_EINVAL, "the page table has %d pages of %d keys a sequence, %d keys need more",
                       p->table_width, p->page_size, p->seqlen_k);
    for (int b = 0; b < p->batch; b++)
        for (int i = 0; (int64_t)i * p->page_size < keys_of(p, b); i++) {
            int page = tw_problem_page(p, b, i);
            if (page < 0 || page >= p->num_pages)
                return tw_fail(TW_EINVAL,
                               "the page table has page %d for sequence %d, it must be from 0 to %d", page, b,
                               p->num_pages - 1);
        }
    return TW_OK;
}

/* What is off in a plain problem. */
static tw_status check_parts(const tw_problem *p)
{
    if (p->head_dim_v < 0)
        return tw_fail(TW_EINVAL, "head_dim_v is %d, it must be at least 1, or 0 for head_dim",
                       p->head_dim_v);
    if (p->v_in_k && tw_problem_head_dim_v(p) > p->head_dim)
        return tw_fail(TW_EINVAL,
                       "head_dim_v is %d, V is a part of K and cannot have more than its %d columns",
                       p->head_dim_v, p->head_dim);
    if ((p->cu_seqlens_q == NULL) != (p->cu_seqlens_k == NULL))
        return tw_fail(TW_EINVAL, "sequences of queries or of keys are packed, it must be both or neither");
    if (p->cu_seqlens_q != NULL) {
        TW_TRY(check_offsets("cu_seqlens_q", p->cu_seqlens_q, p->batch, p->seqlen_q));
        TW_TRY(check_offsets("cu_seqlens_k", p->cu_seqlens_k, p->batch, p->seqlen_k));
    }
    if (p->page_size != 0)
        TW_TRY(check_pages(p));
    TW_TRY(tw_mask_check(p));
    return tw_score_mods_check(p);
}

tw_status tw_problem_check(const tw_problem *p)
{
    TW_TRY(check_size("batch", p->batch));
    TW_TRY(check_size("num_heads", p->num_heads));
    TW_TRY(check_size("num_heads_kv", p->num_heads_kv));
    TW_TRY(check_size("seqlen_q", p->seqlen_q));
    TW_TRY(check_size("seqlen_k", p->seqlen_k));
    TW_TRY(check_size("head_dim", p->head_dim));
    if (p->num_heads % p->num_heads_kv != 0)
        return tw_fail(TW_EINVAL, "num_heads is %d and num_heads_kv is %d, the second must divide the first",
                       p->num_heads, p->num_heads_kv);
    TW_TRY(check_parts(p));
    if (!isfinite(p->softmax_scale))
        return tw_fail(TW_EINVAL, "softmax_scale is %g, it must be finite", p->softmax_scale);
    TW_TRY(tw_dropout_check(&p->dropout));
    if (tw_dtype_bytes(p->dtype) == 0)
        return tw_fail(TW_EINVAL, "dtype is %d, it must be one of enum tw_dtype", (int)p->dtype);
    double width = (double)p->head_dim + tw_problem_head_dim_v(p);
    double flops = 2.0 * width * (double)p->seqlen_q * (double)p->seqlen_k * p->num_heads * p->batch;
    if (flops >= 0x1p62)
        return tw_fail(TW_EOVERFLOW,
                       "batch %d x heads %d x %d queries x %d keys x head_dim %d is %.2g FLOPs, "
                       "it must stay below 2^62",
                       p->batch, p->num_heads, p->seqlen_q, p->seqlen_k, p->head_dim, flops);
    return TW_OK;
}

tw_status tw_problem_check_backward(const tw_problem *p)
{
    TW_TRY(tw_problem_check(p));
    const char *what = tw_score_mods_are_on(p)  ? "modified scores"
                       : p->scoring.sink_logits ? "sink logits"
                       : p->v_in_k              ? "a V that is a part of K"
                       : p->page_size > 0       ? "paged K and V"
                                                : NULL;
    return what ? tw_fail(TW_EUNSUPPORTED, "there is no backward pass with %s, leave that out", what) : TW_OK;
}

double tw_problem_scale(const tw_problem *p)
{
    return p->softmax_scale != 0.0 ? p->softmax_scale : 1.0 / sqrt((double)p->head_dim);
}

int tw_problem_kv_head(const tw_problem *p, int head)
{
    return head / (p->num_heads / p->num_heads_kv);
}

int tw_problem_head_dim_v(const tw_problem *p)
{
    return p->head_dim_v > 0 ? p->head_dim_v : p->head_dim;
}

int tw_problem_keys_seen(const tw_problem *p, int row)
{
    tw_spans s = tw_mask_spans(p, row);
    return s.end[1] > s.begin[1] ? s.end[1] : s.end[0];
}

/* ---- views ---------------------------------------------------------------------------------------------- */

tw_problem tw_problem_sequence(const tw_problem *p, int batch)
{
    tw_problem one = *p;
    if (p->cu_seqlens_q != NULL) {
        one.seqlen_q = p->cu_seqlens_q[batch + 1] - p->cu_seqlens_q[batch];
        one.seqlen_k = p->cu_seqlens_k[batch + 1] - p->cu_seqlens_k[batch];
    }
    return one;
}

/* Query heads that are rows of one. */
static int packed_heads(const tw_problem *p)
{
    return p->heads_in_rows > 1 ? p->heads_in_rows : 1;
}

tw_problem tw_problem_packed(const tw_problem *p)
{
    tw_problem packed = *p;
    packed.heads_in_rows = p->num_heads / p->num_heads_kv;
    packed.num_heads = p->num_heads_kv;
    packed.seqlen_q = p->seqlen_q * packed.heads_in_rows;
    return packed;
}

int tw_problem_query_row(const tw_problem *p, int row)
{
    return p->heads_in_rows > 1 ? row / p->heads_in_rows : row;
}

int tw_problem_query_head(const tw_problem *p, int head, int row)
{
    return p->heads_in_rows > 1 ? head * p->heads_in_rows + row % p->heads_in_rows : head;
}

/* ---- pairs ---------------------------------------------------------------------------------------------- */

int64_t tw_problem_pairs_in(const tw_problem *p, int64_t row0, int64_t row1, int64_t col0, int64_t col1)
{
    return tw_mask_pairs(p, 0, 0, row0, row1, col0, col1);
}

int64_t tw_problem_pairs(const tw_problem *p)
{
    tw_problem one = tw_problem_sequence(p, 0);
    return tw_problem_pairs_in(&one, 0, one.seqlen_q, 0, one.seqlen_k);
}

int64_t tw_problem_all_pairs(const tw_problem *p)
{
    int batches = tw_mask_differs_by_batch(p) ? p->batch : 1;
    int heads = tw_mask_differs_by_head(p) ? p->num_heads : 1;
    int64_t pairs = 0;
    for (int b = 0; b < batches; b++) {
        tw_problem one = tw_problem_sequence(p, b);
        for (int h = 0; h < heads; h++)
            pairs += tw_mask_pairs(&one, b, h, 0, one.seqlen_q, 0, one.seqlen_k);
    }
    return pairs * (p->batch / batches) * (p->num_heads / heads);
}

int64_t tw_problem_flops(const tw_problem *p)
{
    return 2 * ((int64_t)p->head_dim + tw_problem_head_dim_v(p)) * tw_problem_all_pairs(p);
}

/* ---- tensors -------------------------------------------------------------------------------------------- */

int64_t tw_problem_total_q(const tw_problem *p)
{
    return p->cu_seqlens_q != NULL ? p->cu_seqlens_q[p->batch]
                                   : (int64_t)p->batch * (p->seqlen_q / packed_heads(p));
}

int64_t tw_problem_total_k(const tw_problem *p)
{
    if (p->page_size > 0)
        return (int64_t)p->num_pages * p->page_size;
    return p->cu_seqlens_k != NULL ? p->cu_seqlens_k[p->batch] : (int64_t)p->batch * p->seqlen_k;
}

size_t tw_problem_q_elements(const tw_problem *p)
{
    return tw_problem_lse_elements(p) * (size_t)p->head_dim;
}

size_t tw_problem_k_elements(const tw_problem *p)
{
    return (size_t)tw_problem_total_k(p) * (size_t)p->num_heads_kv * (size_t)p->head_dim;
}

size_t tw_problem_v_elements(const tw_problem *p)
{
    int width = p->v_in_k ? p->head_dim : tw_problem_head_dim_v(p);
    return (size_t)tw_problem_total_k(p) * (size_t)p->num_heads_kv * (size_t)width;
}

size_t tw_problem_o_elements(const tw_problem *p)
{
    return tw_problem_lse_elements(p) * (size_t)tw_problem_head_dim_v(p);
}

size_t tw_problem_lse_elements(const tw_problem *p)
{
    return (size_t)tw_problem_total_q(p) * (size_t)p->num_heads * (size_t)packed_heads(p);
}

/* Number of a query row and head, heads fastest: Q and O are rows of so many columns. */
static size_t query_index(const tw_problem *p, int batch, int head, int row)
{
    size_t packed = (size_t)packed_heads(p), heads = (size_t)p->num_heads * packed;
    size_t first = p->cu_seqlens_q != NULL ? (size_t)p->cu_seqlens_q[batch]
                                           : (size_t)batch * ((size_t)p->seqlen_q / packed);
    return (first + (size_t)tw_problem_query_row(p, row)) * heads +
           (size_t)tw_problem_query_head(p, head, row);
}

/* Number of a key and K/V head. */
static size_t key_index(const tw_problem *p, int batch, int head_kv, int row)
{
    size_t first = p->cu_seqlens_k != NULL ? (size_t)p->cu_seqlens_k[batch]
                                           : (size_t)batch * (size_t)p->seqlen_k;
    size_t at = first + (size_t)row;
    if (p->page_size > 0)
        at = (size_t)tw_problem_page(p, batch, row / p->page_size) * (size_t)p->page_size +
             (size_t)(row % p->page_size);
    return at * (size_t)p->num_heads_kv + (size_t)head_kv;
}

size_t tw_problem_q_row(const tw_problem *p, int batch, int head, int row)
{
    return query_index(p, batch, head, row) * (size_t)p->head_dim;
}

size_t tw_problem_o_row(const tw_problem *p, int batch, int head, int row)
{
    return query_index(p, batch, head, row) * (size_t)tw_problem_head_dim_v(p);
}

size_t tw_problem_k_row(const tw_problem *p, int batch, int head_kv, int row)
{
    return key_index(p, batch, head_kv, row) * (size_t)p->head_dim;
}

size_t tw_problem_v_row(const tw_problem *p, int batch, int head_kv, int row)
{
    int width = p->v_in_k ? p->head_dim : tw_problem_head_dim_v(p);
    return key_index(p, batch, head_kv, row) * (size_t)width;
}

size_t tw_problem_lse_at(const tw_problem *p, int batch, int head, int row)
{
    size_t packed = (size_t)packed_heads(p), rows = (size_t)p->seqlen_q / packed;
    size_t h = (size_t)tw_problem_query_head(p, head, row), i = (size_t)tw_problem_query_row(p, row);
    if (p->cu_seqlens_q != NULL)
        return h * (size_t)p->cu_seqlens_q[p->batch] + (size_t)p->cu_seqlens_q[batch] + i;
    return ((size_t)batch * (size_t)p->num_heads * packed + h) * rows + i;
}
