/* What options ask for beyond plain attention becomes what a problem points to. */
#include "extras.h"

#include "../cpu_ref/memory.h"
#include "../cpu_ref/npy.h"
#include "../cpu_ref/attention.h"
#include "block_masks.h"
#include "lengths.h"
#include "page_tables.h"
#include "parse.h"
#include "parse_mask.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MASK_BLOCK = 128 };

bool tw_extras_given(const tw_extras *x)
{
    return x->window || x->prefix > 0 || x->sinks > 0 || x->documents || x->block_mask || x->block_size ||
           x->cu_seqlens || x->cu_seqlens_q || x->cu_seqlens_k || x->softcap > 0.0 || x->alibi || x->bias ||
           x->sink_logit || x->head_dim_v > 0 || x->latent || x->dropout > 0.0 || x->page_size > 0 ||
           x->page_table;
}

/* ---- what goes together --------------------------------------------------------------------------------- */

static tw_status check_masks(const tw_extras *x, bool causal)
{
    int sides[2] = {-1, -1};
    if (x->window)
        TW_TRY(tw_parse_window(sides, "--window", x->window));
    if (x->prefix > 0 && !causal && !x->window)
        return tw_fail(TW_EINVAL,
                       "--prefix is %d, but every row sees every key: it must come with --causal or "
                       "--window",
                       x->prefix);
    if (x->sinks > 0 && sides[0] < 0)
        return tw_fail(TW_EINVAL,
                       "--sinks is %d, but no window hides keys on the left: it must come with "
                       "--window LEFT,RIGHT",
                       x->sinks);
    if (x->block_size && !x->block_mask)
        return tw_fail(TW_EINVAL, "--block-size is %s, but there is no --block-mask that it would be of",
                       tw_quote(x->block_size).text);
    return TW_OK;
}

tw_status tw_extras_check(const tw_extras *x, bool causal)
{
    const struct {
        const char *name;
        bool given;
    } fixed[] = {{"--documents", x->documents != NULL},
                 {"--block-mask", x->block_mask != NULL},
                 {"--bias", x->bias != NULL}};
    bool packed = x->cu_seqlens || x->cu_seqlens_q || x->cu_seqlens_k;
    TW_TRY(check_masks(x, causal));
    if (x->cu_seqlens && (x->cu_seqlens_q || x->cu_seqlens_k))
        return tw_fail(TW_EINVAL, "--cu-seqlens is of queries and keys alike, leave --cu-seqlens-%c out",
                       x->cu_seqlens_q ? 'q' : 'k');
    if ((x->cu_seqlens_q == NULL) != (x->cu_seqlens_k == NULL))
        return tw_fail(TW_EINVAL,
                       "--cu-seqlens-%c is missing, --cu-seqlens-q and --cu-seqlens-k belong together",
                       x->cu_seqlens_q ? 'k' : 'q');
    if (x->dropout_seed != TW_NO_DROPOUT_SEED && !(x->dropout > 0.0))
        return tw_fail(TW_EINVAL, "--dropout-seed is %llu, but there is no --dropout that it would be of",
                       (unsigned long long)x->dropout_seed);
    if (x->page_table && x->page_size == 0)
        return tw_fail(TW_EINVAL, "--page-table is %s, but there is no --page-size that it would be of",
                       tw_quote(x->page_table).text);
    for (int i = 0; packed && i < 3; i++)
        if (fixed[i].given)
            return tw_fail(TW_EINVAL,
                           "%s and packed sequences (--cu-seqlens) are both given, it must be one of them",
                           fixed[i].name);
    return TW_OK;
}

/* ---- packed sequences ----------------------------------------------------------------------------------- */

/* Number and longest of the sequences between offsets; 0 where they go back, which tw_problem_check() then says. */
static int longest_of(const int *offsets, int count)
{
    int longest = 0;
    for (int i = 0; i + 1 < count; i++) {
        int64_t length = (int64_t)offsets[i + 1] - offsets[i];
        longest = length > longest ? (int)length : longest;
    }
    return longest;
}

static tw_status read_offsets(int **offsets, int *count, const char *what, const char *text)
{
    TW_TRY(tw_lengths_read(offsets, count, what, text));
    if (*count >= 2 && longest_of(*offsets, *count) > 0)
        return TW_OK;
    return tw_fail(TW_EINVAL, "%s is '%s', it must be offsets of sequences such as 0,100,350", what,
                   tw_quote(text).text);
}

tw_status tw_extras_lengths(tw_attached *a, tw_problem *p, const tw_extras *x)
{
    const char *q_text = x->cu_seqlens ? x->cu_seqlens : x->cu_seqlens_q;
    const char *k_text = x->cu_seqlens ? x->cu_seqlens : x->cu_seqlens_k;
    const char *q_name = x->cu_seqlens ? "--cu-seqlens" : "--cu-seqlens-q";
    int count_q = 0, count_k = 0;
    if (!q_text || !k_text)
        return TW_OK;
    TW_TRY(read_offsets(&a->cu_seqlens_q, &count_q, q_name, q_text));
    TW_TRY(read_offsets(&a->cu_seqlens_k, &count_k, "--cu-seqlens-k", k_text));
    if (count_q != count_k)
        return tw_fail(TW_EINVAL,
                       "--cu-seqlens-q has %d offsets and --cu-seqlens-k has %d, it must be as many", count_q,
                       count_k);
    p->batch = count_q - 1;
    p->seqlen_q = longest_of(a->cu_seqlens_q, count_q);
    p->seqlen_k = longest_of(a->cu_seqlens_k, count_k);
    p->cu_seqlens_q = a->cu_seqlens_q;
    p->cu_seqlens_k = a->cu_seqlens_k;
    return TW_OK;
}

/* ---- masks ---------------------------------------------------------------------------------------------- */

static tw_status attach_documents(tw_attached *a, tw_problem *p, const tw_extras *x)
{
    int count = 0;
    if (!x->documents)
        return TW_OK;
    TW_TRY(tw_documents_read(&a->documents, &count, x->documents, p->seqlen_k));
    p->mask.documents = a->documents;
    p->mask.num_documents = count;
    return TW_OK;
}

static tw_status attach_blocks(tw_attached *a, tw_problem *p, const tw_extras *x, uint64_t seed)
{
    int size[2] = {DEFAULT_MASK_BLOCK, DEFAULT_MASK_BLOCK};
    tw_block_choice choice;
    if (!x->block_mask)
        return TW_OK;
    if (x->block_size)
        TW_TRY(tw_parse_block_size(size, "--block-size", x->block_size));
    TW_TRY(tw_parse_blocks(&choice, "--block-mask", x->block_mask));
    p->mask.block_rows = size[0];
    p->mask.block_keys = size[1];
    if (choice.pattern == TW_BLOCKS_FILE)
        TW_TRY(tw_blocks_read(&a->blocks, &p->mask.blocks_per_head, x->block_mask, p));
    else
        TW_TRY(tw_blocks_make(&a->blocks, &choice, p, seed));
    p->mask.blocks = a->blocks;
    return TW_OK;
}

static tw_status attach_masks(tw_attached *a, tw_problem *p, const tw_extras *x, uint64_t seed)
{
    if (x->window) {
        int sides[2];
        TW_TRY(tw_parse_window(sides, "--window", x->window));
        p->mask.window = true;
        p->mask.window_left = sides[0];
        p->mask.window_right = sides[1];
    }
    p->mask.prefix = x->prefix;
    p->mask.sinks = x->sinks;
    TW_TRY(attach_documents(a, p, x));
    return attach_blocks(a, p, x, seed);
}

/* ---- scores --------------------------------------------------------------------------------------------- */

static tw_status no_bias_of(const tw_tensor_data *t, const char *path, const tw_problem *p)
{
    return tw_fail(
        TW_EFORMAT,
        "%s: has %d axes and %zu numbers, it must be (%d, %d), with %d heads and %d batch elements before "
        "it, or 1",
        path, t->num_dims, t->num_elements, p->seqlen_q, p->seqlen_k, p->num_heads, p->batch);
}

/* (seqlen_q, seqlen_k), (heads or 1, …) or (batch or 1, heads or 1, …) */
static tw_status read_bias(tw_attached *a, tw_problem *p, const char *path)
{
    tw_tensor_data t = {.values = NULL};
    TW_TRY(tw_npy_read(&t, path));
    a->bias = t.values;
    int n = t.num_dims;
    if (n < 2 || n > 4 || t.shape[n - 1] != p->seqlen_k || t.shape[n - 2] != p->seqlen_q)
        return no_bias_of(&t, path, p);
    int64_t heads = n > 2 ? t.shape[n - 3] : 1, batch = n > 3 ? t.shape[0] : 1;
    if ((heads != 1 && heads != p->num_heads) || (batch != 1 && batch != p->batch))
        return no_bias_of(&t, path, p);
    p->scoring.bias_per_head = heads > 1;
    p->scoring.bias_per_batch = batch > 1;
    return TW_OK;
}

/* Standard-normal numbers per head in the input's type, stream 3 of the seed. */
static tw_status make_bias(tw_attached *a, tw_problem *p, uint64_t seed, bool with_values)
{
    double n = (double)p->num_heads * p->seqlen_q * p->seqlen_k;
    p->scoring.bias_per_head = true;
    if (!with_values)
        n = 1.0;
    TW_TRY(tw_memory_check(n * sizeof(double), "--bias random"));
    a->bias = malloc((size_t)n * sizeof *a->bias);
    if (!a->bias)
        return tw_fail(TW_ENOMEM, "no memory for a bias of %.0f numbers", n);
    tw_random_normal(a->bias, (size_t)n, seed, 3);
    for (size_t i = 0; i < (size_t)n; i++)
        a->bias[i] = tw_dtype_round(p->dtype, a->bias[i]);
    return TW_OK;
}

static tw_status attach_sink_logits(tw_attached *a, tw_problem *p, const char *text)
{
    char *end;
    double all = strtod(text, &end);
    bool number = end != text && *end == '\0';
    if (number && !isfinite(all))
        return tw_fail(TW_EINVAL, "--sink-logit is '%s', it must be finite", tw_quote(text).text);
    if (!number) {
        tw_tensor_data t = {.values = NULL};
        TW_TRY(tw_npy_read(&t, text));
        a->sink_logits = t.values;
        if (t.num_elements != (size_t)p->num_heads)
            return tw_fail(TW_EFORMAT, "%s: has %zu numbers, it must have one for each of the %d heads", text,
                           t.num_elements, p->num_heads);
    } else {
        a->sink_logits = malloc((size_t)p->num_heads * sizeof *a->sink_logits);
        if (!a->sink_logits)
            return tw_fail(TW_ENOMEM, "no memory for the sink logits of %d heads", p->num_heads);
        for (int i = 0; i < p->num_heads; i++)
            a->sink_logits[i] = all;
    }
    p->scoring.sink_logits = a->sink_logits;
    return TW_OK;
}

static tw_status attach_scores(tw_attached *a, tw_problem *p, const tw_extras *x, uint64_t seed,
                               bool with_values)
{
    p->scoring.softcap = x->softcap;
    p->scoring.alibi = x->alibi;
    if (x->bias) {
        TW_TRY(strcmp(x->bias, "random") == 0 ? make_bias(a, p, seed, with_values)
                                              : read_bias(a, p, x->bias));
        p->scoring.bias = a->bias;
    }
    return x->sink_logit ? attach_sink_logits(a, p, x->sink_logit) : TW_OK;
}

tw_status tw_extras_attach(tw_attached *a, tw_problem *p, const tw_extras *x, uint64_t seed, bool with_values)
{
    p->head_dim_v = x->head_dim_v == p->head_dim ? 0 : x->head_dim_v;
    p->v_in_k = x->latent;
    if (x->dropout > 0.0)
        p->dropout = (tw_dropout){x->dropout, x->dropout_seed == TW_NO_DROPOUT_SEED ? 1 : x->dropout_seed};
    if (x->page_size > 0)
        TW_TRY(tw_pages_attach(&a->page_table, p, x->page_size, x->page_table, seed));
    TW_TRY(attach_masks(a, p, x, seed));
    TW_TRY(attach_scores(a, p, x, seed, with_values));
    return tw_problem_check(p);
}

void tw_attached_release(tw_attached *a)
{
    if (!a || --a->users > 0)
        return;
    free(a->documents);
    free(a->cu_seqlens_q);
    free(a->cu_seqlens_k);
    free(a->blocks);
    free(a->bias);
    free(a->sink_logits);
    free(a->page_table);
    free(a);
}

/* ---- in words ------------------------------------------------------------------------------------------- */

static void add(char text[TW_EXTRAS_NAME], const char *format, ...) TW_PRINTF(2, 3);

/* One more part behind a semicolon. */
static void add(char text[TW_EXTRAS_NAME], const char *format, ...)
{
    size_t used = strlen(text);
    if (used > 0)
        used += (size_t)snprintf(text + used, TW_EXTRAS_NAME - used, "; ");
    if (used >= TW_EXTRAS_NAME - 1)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, TW_EXTRAS_NAME - used, format, args);
    va_end(args);
}

static void add_masks(char text[TW_EXTRAS_NAME], const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    if (m->window)
        add(text, "window %d,%d", m->window_left, m->window_right);
    if (m->prefix > 0)
        add(text, "prefix %d", m->prefix);
    if (m->sinks > 0)
        add(text, "%d sink%s", m->sinks, m->sinks == 1 ? "" : "s");
    if (m->documents)
        add(text, "%d document%s", m->num_documents, m->num_documents == 1 ? "" : "s");
    if (m->blocks)
        add(text, "block mask of %d x %d%s", m->block_rows, m->block_keys,
            m->blocks_per_head ? " per head" : "");
    if (m->mod)
        add(text, "mask callback");
}

void tw_extras_name(char text[TW_EXTRAS_NAME], const tw_problem *p)
{
    const tw_score_mods *scores = &p->scoring;
    text[0] = '\0';
    if (p->causal)
        add(text, "causal");
    add_masks(text, p);
    if (text[0] == '\0')
        add(text, "no mask");
    if (p->cu_seqlens_q)
        add(text, "packed");
    if (p->v_in_k)
        add(text, "V in K");
    if (p->page_size > 0)
        add(text, "pages of %d", p->page_size);
    if (scores->softcap > 0.0)
        add(text, "soft cap %g", scores->softcap);
    if (scores->alibi)
        add(text, "ALiBi");
    if (scores->bias)
        add(text, "bias%s", scores->bias_per_head ? " per head" : "");
    if (scores->mod)
        add(text, "score callback");
    if (scores->sink_logits)
        add(text, "sink logits");
    if (tw_dropout_is_on(&p->dropout))
        add(text, "dropout %g of seed %llu", p->dropout.probability, (unsigned long long)p->dropout.seed);
}
