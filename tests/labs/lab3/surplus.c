/* Adds a schedule's loads and stores up tensor by tensor, and looks for the first that need not be. */
#include "surplus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAB3_MAKES_(name, reads, makes) makes,
static const int num_made[LAB3_NUM_OPS] = {LAB3_OPS(LAB3_MAKES_)};

typedef struct reader {
    const lab3_case *c;
    int64_t fill[TW_NUM_TENSORS], drain[TW_NUM_TENSORS];
    int64_t *rows; /* of the slots made so far in this block */
    bool *loaded;  /* K, then V, by first row: in this block already */
    int64_t slots;
    int64_t row0, row1; /* query rows of this block */
    char first[200];
} reader;

static int64_t width(const lab3_case *c, int64_t tensor)
{
    return tensor == TW_M || tensor == TW_L || tensor == TW_LSE ? 4 : 2 * c->p.head_dim;
}

static void begin_block(reader *x, const lab3_record *r)
{
    bool whole = x->c->task == LAB3_K_OUTER;
    x->slots = 0;
    x->row0 = whole ? 0 : r->c * x->c->t.block_m;
    x->row1 = whole ? x->c->p.seqlen_q : x->row0 + x->c->t.block_m;
    if (x->row1 > x->c->p.seqlen_q)
        x->row1 = x->c->p.seqlen_q;
    memset(x->loaded, 0, 2 * (size_t)x->c->p.seqlen_k * sizeof *x->loaded);
}

/* Is this load the first that is too many? */
static void look_at(reader *x, const lab3_record *r)
{
    bool keys = r->a == TW_K || r->a == TW_V;
    char rows[60];
    if (x->first[0] || !(keys || (r->a == TW_Q && x->c->task != LAB3_K_OUTER)))
        return;
    snprintf(rows, sizeof rows, "the query rows %lld … %lld", (long long)x->row0, (long long)x->row1 - 1);
    bool *loaded = &x->loaded[(r->a == TW_V ? x->c->p.seqlen_k : 0) + (keys ? r->row0 : 0)];
    if (!keys && !lab3_any_visible(x->c, x->row0, x->row1, 0, x->c->p.seqlen_k))
        snprintf(x->first, sizeof x->first, " The first: Q of %s, none of which sees any key.", rows);
    else if (keys && !lab3_any_visible(x->c, x->row0, x->row1, r->row0, r->row0 + r->rows))
        snprintf(x->first, sizeof x->first, " The first: keys %lld … %lld, of which none of %s sees any.",
                 (long long)r->row0, (long long)(r->row0 + r->rows - 1), rows);
    else if (keys && *loaded)
        snprintf(x->first, sizeof x->first, " The first: keys %lld … %lld are loaded twice for %s.",
                 (long long)r->row0, (long long)(r->row0 + r->rows - 1), rows);
    if (keys)
        *loaded = true;
}

static void take(reader *x, const lab3_record *r)
{
    int64_t rows = r->op == LAB3_OP_STATS_OF && r->a >= 0 ? x->rows[r->a] : r->rows;
    if (r->op == LAB3_OP_BLOCK)
        begin_block(x, r);
    if (r->op == LAB3_OP_LOAD) {
        x->fill[r->a] += r->rows * width(x->c, r->a);
        look_at(x, r);
    }
    if (r->op == LAB3_OP_STORE && r->a >= 0)
        x->drain[r->b] += x->rows[r->a] * width(x->c, r->b);
    for (int i = 0; i < num_made[r->op]; i++)
        x->rows[x->slots++] = rows;
}

static void write_surplus(char *text, size_t size, const int64_t *moved, const int64_t *budget)
{
    size_t used = 0;
    for (int i = 0; i < TW_NUM_TENSORS && used < size; i++)
        if (moved[i] > budget[i])
            used += (size_t)snprintf(text + used, size - used, "%s%lld of %s", used ? ", " : "",
                                     (long long)(moved[i] - budget[i]), tw_tensor_name((tw_tensor)i));
}

void lab3_surplus(char *text, size_t size, bool stores, const int64_t *ints, size_t num_ints,
                  const lab3_case *c, const lab3_budget *budget)
{
    reader x = {.c = c,
                .rows = calloc(3 * num_ints / LAB3_RECORD + 1, sizeof *x.rows),
                .loaded = calloc(2 * (size_t)c->p.seqlen_k + 1, sizeof *x.loaded)};
    text[0] = '\0';
    for (size_t at = 0; x.rows && x.loaded && at < num_ints; at += LAB3_RECORD) {
        lab3_record r;
        memcpy(&r, ints + at, sizeof r);
        take(&x, &r);
    }
    write_surplus(text, size, stores ? x.drain : x.fill, stores ? budget->drain : budget->fill);
    size_t used = strlen(text);
    if (!stores)
        snprintf(text + used, size - used, ".%s", x.first);
    free(x.rows);
    free(x.loaded);
}
