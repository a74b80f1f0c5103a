/* Masks of every kind, and what each hides, said pair by pair: what the reference and the simulator are held to. */
#ifndef TW_MASK_CASES_H
#define TW_MASK_CASES_H

#include "cpu_ref/problem.h"

#include <stdlib.h>
#include <string.h>

/* A mask by numbers that do not depend on the lengths. */
typedef struct mask_case {
    const char *name;
    bool causal, window;
    int left, right, prefix, sinks;
    int document;               /* length of each but the last, which may be shorter; 0: no documents */
    int block_rows, block_keys; /* 0: no block mask */
    bool blocks_per_head;
    bool callback, callback_per_head;
} mask_case;

static const mask_case mask_cases[] = {
    {.name = "none"},
    {.name = "causal", .causal = true},
    {.name = "window 3,0", .window = true, .left = 3},
    {.name = "window 2,1", .window = true, .left = 2, .right = 1},
    {.name = "window 0,0", .window = true},
    {.name = "window -1,2", .window = true, .left = -1, .right = 2},
    {.name = "window 4,-1", .window = true, .left = 4, .right = -1},
    {.name = "causal window 5,9", .causal = true, .window = true, .left = 5, .right = 9},
    {.name = "prefix 3", .causal = true, .prefix = 3},
    {.name = "prefix 100", .causal = true, .prefix = 100},
    {.name = "window and sinks", .window = true, .left = 2, .sinks = 2},
    {.name = "window, sinks and prefix", .window = true, .left = 3, .right = 1, .sinks = 4, .prefix = 1},
    {.name = "documents of 4", .document = 4},
    {.name = "causal documents of 3", .causal = true, .document = 3},
    {.name = "documents, window, sinks", .window = true, .left = 2, .sinks = 1, .document = 6},
    {.name = "blocks of 2 x 3", .block_rows = 2, .block_keys = 3},
    {.name = "causal blocks of 3 x 2", .causal = true, .block_rows = 3, .block_keys = 2},
    {.name = "blocks by head", .block_rows = 4, .block_keys = 4, .blocks_per_head = true},
    {.name = "callback", .callback = true},
    {.name = "causal callback by head", .causal = true, .callback = true, .callback_per_head = true},
    {.name = "everything",
     .window = true,
     .left = 5,
     .right = 2,
     .sinks = 1,
     .document = 7,
     .block_rows = 3,
     .block_keys = 3,
     .callback = true},
};
enum { NUM_MASK_CASES = sizeof mask_cases / sizeof mask_cases[0] };

/* Any rule that leaves some tiles empty, some full and some neither; head 1 differs if it may. */
static inline bool mask_callback(void *user, int batch, int head, int row, int key)
{
    const mask_case *c = (const mask_case *)user;
    int shift = c->callback_per_head ? head : 0;
    (void)batch;
    return (row / 4 + key / 4 + shift) % 3 != 0 && (row + key) % 7 != 3;
}

static inline bool mask_block_on(const mask_case *c, int head, int block_row, int block_key)
{
    int shift = c->blocks_per_head ? head : 0;
    return (block_row * 5 + block_key * 3 + shift) % 4 < 2;
}

/* Does query row `row` see `key`? From the words of masks.h alone. */
static inline bool mask_case_sees(const mask_case *c, int seqlen_q, int seqlen_k, int head, int row, int key)
{
    int x = row + seqlen_k - seqlen_q, first = 0;
    if (c->document > 0) {
        if (x < 0 || x / c->document != key / c->document)
            return false;
        first = key / c->document * c->document;
    }
    bool not_after = !c->causal || key <= x;
    bool right = !c->window || c->right < 0 || key <= x + c->right;
    bool left = !c->window || c->left < 0 || key >= x - c->left || key < first + c->sinks;
    bool seen = (not_after && right && left) || key < first + c->prefix;
    if (c->block_rows > 0)
        seen = seen && mask_block_on(c, head, row / c->block_rows, key / c->block_keys);
    return seen && (!c->callback || mask_callback((void *)(uintptr_t)c, 0, head, row, key));
}

/* What the mask of a problem points to; free() both. */
typedef struct mask_arrays {
    int *documents;
    unsigned char *blocks;
} mask_arrays;

static inline mask_arrays mask_case_apply(tw_problem *p, const mask_case *c)
{
    mask_arrays a = {NULL, NULL};
    p->causal = c->causal;
    p->mask = (tw_masks){.window = c->window,
                         .window_left = c->left,
                         .window_right = c->right,
                         .prefix = c->prefix,
                         .sinks = c->sinks};
    if (c->document > 0) {
        int n = (p->seqlen_k + c->document - 1) / c->document;
        a.documents = (int *)calloc((size_t)n + 1, sizeof *a.documents);
        for (int i = 0; i <= n; i++)
            a.documents[i] = i < n ? i * c->document : p->seqlen_k;
        p->mask.documents = a.documents;
        p->mask.num_documents = n;
    }
    if (c->block_rows > 0) {
        int rows = (p->seqlen_q + c->block_rows - 1) / c->block_rows;
        int keys = (p->seqlen_k + c->block_keys - 1) / c->block_keys;
        int heads = c->blocks_per_head ? p->num_heads : 1;
        a.blocks = (unsigned char *)calloc((size_t)(heads * rows * keys), 1);
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < keys; j++)
                    a.blocks[(h * rows + i) * keys + j] = mask_block_on(c, h, i, j);
        p->mask.blocks = a.blocks;
        p->mask.block_rows = c->block_rows;
        p->mask.block_keys = c->block_keys;
        p->mask.blocks_per_head = c->blocks_per_head;
    }
    if (c->callback) {
        p->mask.mod = mask_callback;
        p->mask.mod_user = (void *)(uintptr_t)c;
        p->mask.mod_per_head = c->callback_per_head;
    }
    return a;
}

static inline void mask_arrays_free(mask_arrays *a)
{
    free(a->documents);
    free(a->blocks);
}

#endif
