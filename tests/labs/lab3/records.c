/* Nothing that a student's process sends is used before every field of it has been looked at. */
#include "replay.h"

#include <stdio.h>
#include <string.h>

#define LAB3_READS_(name, reads, makes) reads,
#define LAB3_MAKES_(name, reads, makes) makes,
static const int num_read[LAB3_NUM_OPS] = {LAB3_OPS(LAB3_READS_)};
static const int num_made[LAB3_NUM_OPS] = {LAB3_OPS(LAB3_MAKES_)};

/* Where the check stands. */
typedef struct reader {
    const lab3_case *c;
    int64_t blocks_seen, slots; /* of this block */
    int64_t batch, head, tiles;
    char *why;
    size_t size;
} reader;

static bool bad(const reader *r, int64_t line, const char *what)
{
    snprintf(r->why, r->size, "schedule.c, line %lld: %s", (long long)line, what);
    return false;
}

/* The next block in the order of the launch. */
static bool check_block(reader *r, const lab3_record *x)
{
    int64_t number = (x->a * r->c->p.num_heads + x->b) * r->tiles + x->c;
    if (x->a < 0 || x->b < 0 || x->b >= r->c->p.num_heads || x->c < 0 || x->c >= r->tiles ||
        number != r->blocks_seen)
        return bad(r, x->line, "the blocks did not come in the order of the launch");
    r->blocks_seen++;
    r->slots = 0;
    r->batch = x->a;
    r->head = x->b;
    return true;
}

static int64_t length_of(const reader *r, int64_t tensor)
{
    return tensor == TW_K || tensor == TW_V ? r->c->p.seqlen_k : r->c->p.seqlen_q;
}

static bool check_rows(const reader *r, const lab3_record *x, int64_t length)
{
    char text[160];
    if (x->rows >= 1 && x->rows <= length && x->row0 >= 0 && x->row0 <= length - x->rows)
        return true;
    snprintf(text, sizeof text, "a tile of rows %lld … %lld does not lie within 0 … %lld", (long long)x->row0,
             (long long)(x->row0 + x->rows - 1), (long long)(length - 1));
    return bad(r, x->line, text);
}

static bool check_load(const reader *r, const lab3_record *x)
{
    if (x->a < 0 || x->a >= TW_NUM_TENSORS || x->a == TW_S || x->a == TW_P)
        return bad(r, x->line, "this tensor is not loaded in this lab");
    bool kv = x->a == TW_K || x->a == TW_V;
    if (x->b != r->batch || x->c != (kv ? tw_problem_kv_head(&r->c->p, (int)r->head) : r->head))
        return bad(r, x->line,
                   "a block may touch its own head and batch element alone: hand on b as it came");
    return check_rows(r, x, length_of(r, x->a));
}

static bool check_store(const reader *r, const lab3_record *x)
{
    if (x->b < 0 || x->b >= TW_NUM_TENSORS || x->b == TW_S || x->b == TW_P)
        return bad(r, x->line, "this tensor is not stored in this lab");
    return (x->c == r->batch && x->d == r->head) ||
           bad(r, x->line, "a block may touch its own head and batch element alone: hand on b as it came");
}

static bool check_record(reader *r, const lab3_record *x)
{
    if (x->op < 0 || x->op >= LAB3_NUM_OPS || x->line < 0 || x->line > 100000)
        return bad(r, 0, "what came back is no list of tile operations");
    if (x->op == LAB3_OP_BLOCK)
        return check_block(r, x);
    if (r->blocks_seen == 0)
        return bad(r, x->line, "an operation outside of any block");
    const int64_t slots[4] = {x->a, x->b, x->c, x->d};
    for (int i = 0; i < num_read[x->op]; i++)
        if (slots[i] < -1 || slots[i] >= r->slots)
            return bad(r, x->line, "a slot is used that was never made in this block");
    r->slots += num_made[x->op];
    switch (x->op) {
    case LAB3_OP_LOAD:
        return check_load(r, x);
    case LAB3_OP_STORE:
        return check_store(r, x);
    case LAB3_OP_ZEROS:
    case LAB3_OP_ROW_STATS:
        return check_rows(r, x, r->c->p.seqlen_q);
    case LAB3_OP_FORBIDDEN:
        return bad(r, x->line, "load_part and multicast are not part of this lab");
    default:
        return true;
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written through the reader */
bool lab3_records_check(const int64_t *ints, size_t num_ints, const lab3_case *c, char *why, size_t size)
{
    int64_t tiles = c->task == LAB3_K_OUTER ? 1 : (c->p.seqlen_q + c->t.block_m - 1) / c->t.block_m;
    reader r = {.c = c, .tiles = tiles, .why = why, .size = size};
    if (num_ints % LAB3_RECORD != 0)
        return bad(&r, 0, "what came back is no list of tile operations");
    for (size_t i = 0; i < num_ints; i += LAB3_RECORD) {
        lab3_record x;
        memcpy(&x, ints + i, sizeof x);
        if (!check_record(&r, &x))
            return false;
    }
    return r.blocks_seen == c->p.batch * c->p.num_heads * tiles || bad(&r, 0, "some blocks are missing");
}
