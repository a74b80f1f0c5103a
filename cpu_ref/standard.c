/* Standard attention on the CPU, as three passes: S = Q Kᵀ, P = softmax S, O = P V. S and P pass through memory whole; the
 * arithmetic is that of tiled attention (tiled_kernel.c), so that the two differ in what they move and in nothing else.
 *
 * S of a head is kept panel by panel, transposed as the kernel has it: [panels][seqlen_k][lanes]. */
#include "attention.h"
#include "memory.h"
#include "threads.h"
#include "tiled_kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, MAX_LANES = 64, KEY_BLOCK = 120 /* a multiple of every kernel's block_rows */ };

/* Tensors of all heads, laid out for the kernel; S is overwritten by P. */
typedef struct workspace {
    const tw_tiled_kernel *kernel;
    const tw_problem *p;
    size_t lanes, panels, keys, dim, padded_dim; /* keys: rounded up for the kernel */
    float *q, *k, *v, *s, *m, *l; /* [heads][…]: panels of Q; K and V contiguous; S; of each lane m, l */
    float exponent_scale, sign;
} workspace;

static size_t round_up(size_t x, size_t multiple)
{
    return (x + multiple - 1) / multiple * multiple;
}

static void measure(workspace *w, const tw_tiled_kernel *kernel, const tw_problem *p)
{
    double scale = tw_problem_scale(p);
    *w = (workspace){.kernel = kernel, .p = p, .lanes = (size_t)kernel->lanes, .dim = (size_t)p->head_dim};
    w->panels = round_up((size_t)p->seqlen_q, w->lanes) / w->lanes;
    w->keys = round_up((size_t)p->seqlen_k, (size_t)kernel->block_rows);
    w->padded_dim = round_up(w->dim, (size_t)kernel->block_rows);
    w->sign = scale < 0.0 ? -1.0F : 1.0F;
    w->exponent_scale = (float)fmin(fmax(fabs(scale) * 1.4426950408889634, FLT_MIN), FLT_MAX);
}

/* Cuts memory up and returns how many floats that takes; memory may be NULL. */
static size_t cut(workspace *w, float *memory)
{
    size_t heads = (size_t)w->p->batch * (size_t)w->p->num_heads;
    size_t heads_kv = (size_t)w->p->batch * (size_t)w->p->num_heads_kv, queries = w->panels * w->lanes;
    const struct {
        float **at;
        size_t floats;
    } parts[] = {{&w->q, heads * queries * w->dim},
                 {&w->k, heads_kv * w->keys * w->dim},
                 {&w->v, heads_kv * w->keys * w->padded_dim},
                 {&w->s, heads * queries * w->keys},
                 {&w->m, heads * queries},
                 {&w->l, heads * queries}};
    size_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i].at = memory ? memory + used : NULL;
        used += round_up(parts[i].floats, ALIGNMENT / sizeof(float));
    }
    return used;
}

/* A panel of a head; `index` counts panels of all heads. */
typedef struct place {
    int batch, head;
    size_t head_index, kv_index, panel;
    int row0, rows;
} place;

static place place_of(const workspace *w, size_t index)
{
    const tw_problem *p = w->p;
    place x = {.head_index = index / w->panels, .panel = index % w->panels};
    x.batch = (int)(x.head_index / (size_t)p->num_heads);
    x.head = (int)(x.head_index % (size_t)p->num_heads);
    x.kv_index = (size_t)x.batch * (size_t)p->num_heads_kv + (size_t)tw_problem_kv_head(p, x.head);
    x.row0 = (int)(x.panel * w->lanes);
    x.rows = p->seqlen_q - x.row0 < (int)w->lanes ? p->seqlen_q - x.row0 : (int)w->lanes;
    return x;
}

static void gather_q(const workspace *w, const float *q, size_t index)
{
    place x = place_of(w, index);
    float *panel = w->q + index * w->dim * w->lanes;
    memset(panel, 0, w->dim * w->lanes * sizeof *panel);
    for (int i = 0; i < x.rows; i++) {
        const float *row = q + tw_problem_q_row(w->p, x.batch, x.head, x.row0 + i);
        for (size_t c = 0; c < w->dim; c++)
            panel[c * w->lanes + (size_t)i] = w->sign * row[c];
    }
}

static void gather_kv(const workspace *w, const float *k, const float *v, size_t kv_index)
{
    const tw_problem *p = w->p;
    int batch = (int)(kv_index / (size_t)p->num_heads_kv), head = (int)(kv_index % (size_t)p->num_heads_kv);
    float *k_at = w->k + kv_index * w->keys * w->dim, *v_at = w->v + kv_index * w->keys * w->padded_dim;
    for (int j = 0; j < p->seqlen_k; j++, k_at += w->dim, v_at += w->padded_dim) {
        memcpy(k_at, k + tw_problem_k_row(p, batch, head, j), w->dim * sizeof *k_at);
        memcpy(v_at, v + tw_problem_v_row(p, batch, head, j), w->dim * sizeof *v_at);
        memset(v_at + w->dim, 0, (w->padded_dim - w->dim) * sizeof *v_at);
    }
}

/* What the kernel is told of a panel and all keys; keys_seen has a number for each lane. */
static tw_panel panel_at(const workspace *w, size_t index, int32_t *keys_seen)
{
    place x = place_of(w, index);
    for (int i = 0; i < (int)w->lanes; i++) /* lanes past the last query do as it does */
        keys_seen[i] = tw_problem_keys_seen(w->p, x.row0 + (i < x.rows ? i : x.rows - 1));
    return (tw_panel){.head_dim = w->p->head_dim,
                      .padded_dim = (int)w->padded_dim,
                      .n = w->p->seqlen_k,
                      .k = w->k + x.kv_index * w->keys * w->dim,
                      .v = w->v + x.kv_index * w->keys * w->padded_dim,
                      .q = w->q + index * w->dim * w->lanes,
                      .keys_seen = keys_seen,
                      .fewest_keys_seen = keys_seen[0],
                      .exponent_scale = w->exponent_scale,
                      .s = w->s + index * w->keys * w->lanes,
                      .m = w->m + index * w->lanes,
                      .l = w->l + index * w->lanes};
}

/* ---- the passes ----------------------------------------------------------------------------------------- */

static void pass_scores(const workspace *w, size_t index)
{
    _Alignas(ALIGNMENT) int32_t keys_seen[MAX_LANES];
    tw_panel t = panel_at(w, index, keys_seen);
    const int n = t.n;
    for (t.first_key = 0; t.first_key < n;
         t.first_key += KEY_BLOCK) { /* so that a block of K serves while it is near */
        t.n = n - t.first_key < KEY_BLOCK ? n - t.first_key : KEY_BLOCK;
        w->kernel->scores(&t);
        t.k += (size_t)KEY_BLOCK * w->dim;
        t.s += (size_t)KEY_BLOCK * w->lanes;
    }
}

static void pass_softmax(const workspace *w, size_t index)
{
    _Alignas(ALIGNMENT) int32_t keys_seen[MAX_LANES];
    tw_panel t = panel_at(w, index, keys_seen);
    for (size_t i = 0; i < w->lanes; i++) {
        t.m[i] = -INFINITY;
        t.l[i] = 0.0F;
    }
    w->kernel->softmax(&t);
}

static void write_rows(const workspace *w, float *o, float *lse, const place *x, const tw_panel *t,
                       const float *sums)
{
    for (int i = 0; i < x->rows; i++) {
        float *row = o + tw_problem_o_row(w->p, x->batch, x->head, x->row0 + i), l = t->l[i];
        for (size_t c = 0; c < w->dim; c++)
            row[c] = l == 0.0F ? 0.0F : sums[c * w->lanes + (size_t)i] / l;
        if (lse != NULL)
            lse[tw_problem_lse_at(w->p, x->batch, x->head, x->row0 + i)] =
                l == 0.0F ? -INFINITY
                          : (float)((double)t->m[i] * fabs(tw_problem_scale(w->p)) + log((double)l));
    }
}

static void pass_output(const workspace *w, float *o, float *lse, size_t index, float *sums)
{
    _Alignas(ALIGNMENT) int32_t keys_seen[MAX_LANES];
    tw_panel t = panel_at(w, index, keys_seen);
    place x = place_of(w, index);
    memset(sums, 0, w->padded_dim * w->lanes * sizeof *sums);
    for (int first = 0; first < t.n; first += KEY_BLOCK) {
        int n = t.n - first < KEY_BLOCK ? t.n - first : KEY_BLOCK;
        w->kernel->accumulate(sums, t.v + (size_t)first * w->padded_dim, t.s + (size_t)first * w->lanes,
                              (int)w->padded_dim, n);
    }
    write_rows(w, o, lse, &x, &t, sums);
}

static tw_status check(const tw_problem *p)
{
    tw_problem plain = *p;
    plain.causal = false;
    TW_TRY(tw_problem_check(p));
    if (tw_mask_is_on(&plain) || p->mask.prefix > 0 || tw_score_mods_are_on(p) || p->scoring.sink_logits ||
        tw_dropout_is_on(&p->dropout) || p->cu_seqlens_q || tw_problem_head_dim_v(p) != p->head_dim ||
        p->v_in_k)
        return tw_fail(TW_EUNSUPPORTED,
                       "standard attention on the CPU takes no mask but causal, no changed scores, no "
                       "dropout, no packed sequences and V as wide as K");
    return TW_OK;
}

static tw_status run(workspace *w, float *o, float *lse, const float *q, const float *k, const float *v,
                     float *sums)
{
    const long panels = (long)((size_t)w->p->batch * (size_t)w->p->num_heads * w->panels);
    const long heads_kv = (long)w->p->batch * w->p->num_heads_kv;
    const size_t sums_floats = w->padded_dim * w->lanes;
#pragma omp parallel for schedule(static)
    for (long i = 0; i < panels; i++)
        gather_q(w, q, (size_t)i);
#pragma omp parallel for schedule(static)
    for (long i = 0; i < heads_kv; i++)
        gather_kv(w, k, v, (size_t)i);
#pragma omp parallel for schedule(dynamic, 1)
    for (long i = 0; i < panels; i++)
        pass_scores(w, (size_t)i);
#pragma omp parallel for schedule(dynamic, 1)
    for (long i = 0; i < panels; i++)
        pass_softmax(w, (size_t)i);
#pragma omp parallel for schedule(dynamic, 1)
    for (long i = 0; i < panels; i++)
        pass_output(w, o, lse, (size_t)i, sums + (size_t)tw_thread_index() * sums_floats);
    return TW_OK;
}

/* Floats of a workspace; w is filled in for the problem. */
static size_t floats_of(workspace *w, const tw_problem *p)
{
    const tw_tiled_kernel *kernels[3];
    tw_tiled_kernels(kernels);
    measure(w, kernels[0], p);
    return cut(w, NULL) + (size_t)tw_max_threads() * w->padded_dim * w->lanes;
}

size_t tw_attention_standard_workspace(const tw_problem *p)
{
    workspace w;
    return round_up(floats_of(&w, p) * sizeof(float), ALIGNMENT);
}

tw_status tw_attention_standard(float *o, float *lse, void *space, const tw_problem *p, const float *q,
                                const float *k, const float *v)
{
    workspace w;
    TW_TRY(check(p));
    size_t bytes = round_up(floats_of(&w, p) * sizeof(float), ALIGNMENT);
    float *memory = space;
    if (memory == NULL) {
        TW_TRY(tw_memory_check((double)bytes, "standard attention"));
        memory = aligned_alloc(ALIGNMENT, bytes);
    }
    if (memory == NULL)
        return tw_fail(TW_ENOMEM, "no memory for S of %d x %d and %d heads", p->seqlen_q, p->seqlen_k,
                       p->num_heads);
    tw_status status = run(&w, o, lse, q, k, v, memory + cut(&w, memory));
    if (space == NULL)
        free(memory);
    return status;
}
