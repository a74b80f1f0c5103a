/* Tiled attention on the CPU: K and V stream past a tile of Q, the softmax is the online one of online_softmax.h.
 *
 * A piece of work is one tile of block_m query rows of one head; OpenMP hands pieces out. A piece copies each tile
 * of block_n keys into contiguous memory once and folds it into every panel of its queries; the arithmetic is in
 * tiled_kernel.c. No piece depends on another, so the result does not depend on how many threads there are.
 *
 * The kernel knows the causal mask. What else hides or changes scores is done here between its two products, a score
 * at a time, and only on tiles that need it. */
#include "attention.h"
#include "memory.h"
#include "threads.h"
#include "tiled_kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_FLOATS = 16 }; /* 64 bytes: a cache line, and the widest vector */

/* Everything that does not change from one piece of work to the next. */
typedef struct tiled_plan {
    const tw_tiled_kernel *kernel;
    const tw_problem *problem;
    const float *q, *k, *v;
    float *o, *lse;
    int block_m, block_n, dim_v, padded_dim;
    bool masked;           /* by more than causal */
    bool scaled;           /* scores are scaled when they are edited, not in the exponent */
    int panels;            /* of a full tile of queries */
    size_t scratch_floats; /* of one thread */
    float sign, exponent_scale;
} tiled_plan;

/* One tile of queries of one head; `one` is its sequence. */
typedef struct piece {
    tw_problem one;
    int batch, head, row0, rows;
} piece;

/* One thread's memory, cut up. Arrays of panels have `panels` of what tw_panel describes. */
typedef struct scratch {
    float *k, *v, *s;
    float *z, *z_row; /* of a panel, and of one of its queries; NULL without dropout */
    float *q, *o, *m, *l;
    int32_t *keys_seen;
} scratch;

static int min_int(int x, int y)
{
    return x < y ? x : y;
}

static size_t round_up(size_t x, size_t multiple)
{
    return (x + multiple - 1) / multiple * multiple;
}

/* Takes n floats off the front of what is left; *base may be NULL, to learn the size alone. */
static float *take(float *base, size_t *used, size_t n)
{
    float *taken = base == NULL ? NULL : base + *used;
    *used += round_up(n, ALIGNMENT_FLOATS);
    return taken;
}

/* Cuts base up and returns the number of floats that takes. */
static size_t cut_scratch(scratch *w, const tiled_plan *plan, float *base)
{
    size_t dim = (size_t)plan->problem->head_dim, padded_dim = (size_t)plan->padded_dim;
    size_t lanes = (size_t)plan->kernel->lanes, queries = (size_t)plan->panels * lanes;
    size_t keys = round_up((size_t)plan->block_n, (size_t)plan->kernel->block_rows);
    size_t used = 0;
    w->k = take(base, &used, keys * dim);
    w->v = take(base, &used, keys * padded_dim);
    w->s = take(base, &used, keys * lanes);
    w->z = w->z_row = NULL;
    if (tw_dropout_is_on(&plan->problem->dropout)) {
        w->z = take(base, &used, keys * lanes);
        w->z_row = take(base, &used, keys);
    }
    w->q = take(base, &used, queries * dim);
    w->o = take(base, &used, queries * padded_dim);
    w->m = take(base, &used, queries);
    w->l = take(base, &used, queries);
    w->keys_seen = (void *)take(base, &used, queries); /* int32_t is as wide as float */
    return used;
}

/* Where a query begins: no key seen, or a sink logit taken in, of weight 1. */
static void begin_sums(const tiled_plan *plan, scratch *w, const piece *x, int lane, int row)
{
    double sink = tw_sink_logit(plan->problem, x->head, row);
    w->m[lane] = (float)sink;
    w->l[lane] = sink == -INFINITY ? 0.0F : 1.0F;
    w->keys_seen[lane] = plan->masked ? INT32_MAX : tw_problem_keys_seen(&x->one, row);
}

/* Transposes the tile's queries into panels and empties their state. Lanes past the last query are copies of a
 * query of zeros that sees what the last one sees, so that they need no special case. */
static void begin_queries(const tiled_plan *plan, scratch *w, const piece *x)
{
    int lanes = plan->kernel->lanes, panels = (x->rows + lanes - 1) / lanes;
    size_t dim = (size_t)plan->problem->head_dim, queries = (size_t)panels * (size_t)lanes;
    memset(w->q, 0, queries * dim * sizeof *w->q);
    memset(w->o, 0, queries * (size_t)plan->padded_dim * sizeof *w->o);
    for (int i = 0; i < panels * lanes; i++) {
        int row = x->row0 + (i < x->rows ? i : x->rows - 1);
        begin_sums(plan, w, x, i, row);
        if (i >= x->rows)
            continue;
        const float *q_row = plan->q + tw_problem_q_row(&x->one, x->batch, x->head, row);
        float *lane = w->q + (size_t)(i / lanes) * dim * (size_t)lanes + i % lanes;
        for (size_t c = 0; c < dim; c++)
            lane[c * (size_t)lanes] = plan->sign * q_row[c];
    }
}

/* Copies a tile of K and V to where its rows are contiguous. V's padding was zeroed with the whole scratch. */
static void copy_keys(const tiled_plan *plan, scratch *w, const piece *x, int first_key, int n)
{
    size_t dim = (size_t)plan->problem->head_dim;
    int head_kv = tw_problem_kv_head(plan->problem, x->head);
    for (int j = 0; j < n; j++) {
        const float *k_row = plan->k + tw_problem_k_row(&x->one, x->batch, head_kv, first_key + j);
        const float *v_row = plan->v + tw_problem_v_row(&x->one, x->batch, head_kv, first_key + j);
        memcpy(w->k + (size_t)j * dim, k_row, dim * sizeof *w->k);
        memcpy(w->v + (size_t)j * (size_t)plan->padded_dim, v_row, (size_t)plan->dim_v * sizeof *w->v);
    }
}

/* What the kernel's edit_scores() is told: the panel's first query is row0. */
typedef struct edit_context {
    const tiled_plan *plan;
    const piece *x;
    int row0, rows;
    bool hides; /* the mask cuts the tile */
} edit_context;

/* A score of query `row` and a key, as the softmax takes it. */
static float edited(const edit_context *e, float s, int row, int key)
{
    const piece *x = e->x;
    if (e->hides && !tw_mask_visible(&x->one, x->batch, x->head, row, key))
        return -INFINITY;
    if (!e->plan->scaled)
        return s;
    double score = (double)s * fabs(tw_problem_scale(e->plan->problem));
    return (float)tw_score_modified(&x->one, score, x->batch, x->head, row, key);
}

static void edit_scores(const tw_panel *panel, const void *context)
{
    const edit_context *e = context;
    size_t lanes = (size_t)e->plan->kernel->lanes;
    for (int i = 0; i < e->rows; i++)
        for (int j = 0; j < panel->n; j++) {
            float *s = &panel->s[(size_t)j * lanes + (size_t)i];
            *s = edited(e, *s, e->row0 + i, panel->first_key + j);
        }
}

/* Dropout's factors of a panel, transposed as its scores are; 0 for lanes past the last query, which nobody reads. */
static void fill_z(const tiled_plan *plan, scratch *w, const piece *x, size_t panel, int first_key, int n)
{
    int lanes = plan->kernel->lanes, first = (int)panel * lanes;
    memset(w->z, 0, (size_t)n * (size_t)lanes * sizeof *w->z);
    for (int i = 0; i < lanes && first + i < x->rows; i++) {
        tw_dropout_row_float(w->z_row, &plan->problem->dropout, x->batch, x->head, x->row0 + first + i,
                             first_key, n);
        for (int j = 0; j < n; j++)
            w->z[(size_t)j * (size_t)lanes + (size_t)i] = w->z_row[j];
    }
}

/* Folds the copied tile into every panel that sees any of it. */
static void fold_keys(const tiled_plan *plan, scratch *w, const piece *x, int first_key, int n, bool hides)
{
    size_t dim = (size_t)plan->problem->head_dim, padded_dim = (size_t)plan->padded_dim;
    size_t lanes = (size_t)plan->kernel->lanes, panels = ((size_t)x->rows + lanes - 1) / lanes;
    for (size_t i = 0; i < panels; i++) {
        const int32_t *keys_seen = w->keys_seen + i * lanes; /* ascends, as a mask's diagonal does */
        if (keys_seen[lanes - 1] <= first_key)
            continue;
        if (w->z)
            fill_z(plan, w, x, i, first_key, n);
        int done = (int)(i * lanes);
        edit_context context = {plan, x, x->row0 + done, min_int((int)lanes, x->rows - done), hides};
        tw_panel panel = {.head_dim = plan->problem->head_dim,
                          .padded_dim = plan->padded_dim,
                          .first_key = first_key,
                          .n = n,
                          .k = w->k,
                          .v = w->v,
                          .q = w->q + i * lanes * dim,
                          .keys_seen = keys_seen,
                          .fewest_keys_seen = keys_seen[0],
                          .exponent_scale = plan->exponent_scale,
                          .s = w->s,
                          .m = w->m + i * lanes,
                          .l = w->l + i * lanes,
                          .o = w->o + i * lanes * padded_dim,
                          .z = w->z};
        panel.edit = (hides && plan->masked) || plan->scaled ? edit_scores : NULL;
        panel.context = &context;
        plan->kernel->fold_tile(&panel);
    }
}

/* O = O / l, back in rows, and LSE; 0 and −INFINITY where no key was seen. */
static void finish_queries(const tiled_plan *plan, const scratch *w, const piece *x)
{
    size_t lanes = (size_t)plan->kernel->lanes;
    double scale_of_m = plan->scaled ? 1.0 : fabs(tw_problem_scale(plan->problem));
    for (int i = 0; i < x->rows; i++) {
        float l = w->l[i];
        float *o_row = plan->o + tw_problem_o_row(&x->one, x->batch, x->head, x->row0 + i);
        const float *lane = w->o + (size_t)i / lanes * lanes * (size_t)plan->padded_dim + (size_t)i % lanes;
        for (size_t c = 0; c < (size_t)plan->dim_v; c++)
            o_row[c] = l == 0.0F ? 0.0F : lane[c * lanes] / l;
        if (plan->lse != NULL) {
            double scaled_m = (double)w->m[i] * scale_of_m;
            plan->lse[tw_problem_lse_at(&x->one, x->batch, x->head, x->row0 + i)] =
                l == 0.0F ? -INFINITY : (float)(scaled_m + log((double)l));
        }
    }
}

static void attend_tile(const tiled_plan *plan, scratch *w, int batch, int head, int tile)
{
    piece x = {.one = tw_problem_sequence(plan->problem, batch),
               .batch = batch,
               .head = head,
               .row0 = tile * plan->block_m};
    x.rows = min_int(x.one.seqlen_q - x.row0, plan->block_m);
    if (x.rows <= 0)
        return; /* a short sequence beside longer ones */
    int row1 = x.row0 + x.rows, keys = tw_problem_keys_seen(&x.one, row1 - 1);
    if (plan->masked)
        keys = x.one.seqlen_k; /* a row before the last may see further */
    begin_queries(plan, w, &x);
    for (int first_key = 0, n; first_key < keys; first_key += n) {
        n = min_int(keys - first_key, plan->block_n);
        tw_tile_kind kind = tw_mask_tile(&x.one, batch, head, x.row0, row1, first_key, first_key + n);
        if (kind == TW_TILE_EMPTY)
            continue;
        copy_keys(plan, w, &x, first_key, n);
        fold_keys(plan, w, &x, first_key, n, kind == TW_TILE_PARTIAL);
    }
    finish_queries(plan, w, &x);
}

static tiled_plan make_plan(const tw_tiled_kernel *kernel, const tw_problem *p, int block_m, int block_n)
{
    tiled_plan plan = {.kernel = kernel, .problem = p};
    plan.block_m = min_int(block_m, p->seqlen_q);
    plan.block_n = min_int(block_n, p->seqlen_k);
    plan.dim_v = tw_problem_head_dim_v(p);
    plan.padded_dim = (int)round_up((size_t)plan.dim_v, (size_t)kernel->block_rows);
    tw_problem causal_only = *p;
    causal_only.causal = false;
    plan.masked = tw_mask_is_on(&causal_only) || p->mask.prefix > 0;
    plan.scaled = tw_score_mods_are_on(p) || p->scoring.sink_logits != NULL;
    plan.panels = (int)((round_up((size_t)plan.block_m, (size_t)kernel->lanes)) / (size_t)kernel->lanes);
    /* The kernel takes maxima before it scales, so the scale must be positive: its sign goes into Q. It must not
     * underflow either, lest −inf · 0 make a masked score NaN. */
    double scale = plan.scaled ? copysign(1.0, tw_problem_scale(p)) : tw_problem_scale(p);
    plan.sign = scale < 0.0 ? -1.0F : 1.0F;
    plan.exponent_scale = (float)fmin(fmax(fabs(scale) * 1.4426950408889634, FLT_MIN), FLT_MAX);
    scratch unused;
    plan.scratch_floats = cut_scratch(&unused, &plan, NULL);
    return plan;
}

static tw_status allocate_scratch(float **memory, const tiled_plan *plan, int threads)
{
    double bytes = (double)threads * (double)plan->scratch_floats * sizeof(float);
    TW_TRY(tw_memory_check(bytes, "tiled attention"));
    *memory = aligned_alloc(ALIGNMENT_FLOATS * sizeof(float),
                            (size_t)threads * plan->scratch_floats * sizeof(float));
    if (*memory == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d threads' tiles of %d x %d rows", threads, plan->block_m,
                       plan->block_n);
    return TW_OK;
}

tw_status tw_attention_tiled_by(const tw_tiled_kernel *kernel, float *o, float *lse, const tw_problem *p,
                                const float *q, const float *k, const float *v, int block_m, int block_n)
{
    TW_TRY(tw_problem_check(p));
    if (block_m < 1 || block_n < 1)
        return tw_fail(TW_EINVAL, "the tile is block_m %d x block_n %d, both must be at least 1", block_m,
                       block_n);
    tiled_plan plan = make_plan(kernel, p, block_m, block_n);
    plan.q = q, plan.k = k, plan.v = v, plan.o = o, plan.lse = lse;
    int tiles = (p->seqlen_q - 1) / plan.block_m + 1;
    int threads = (int)fmin(tw_max_threads(), (double)p->batch * p->num_heads * tiles);
    float *memory = NULL;
    TW_TRY(allocate_scratch(&memory, &plan, threads));
    memset(memory, 0, (size_t)threads * plan.scratch_floats * sizeof *memory);

#pragma omp parallel for collapse(3) schedule(dynamic, 1) num_threads(threads)
    for (int b = 0; b < p->batch; b++) {
        for (int h = 0; h < p->num_heads; h++) {
            for (int tile = 0; tile < tiles; tile++) {
                scratch w;
                cut_scratch(&w, &plan, memory + (size_t)tw_thread_index() * plan.scratch_floats);
                attend_tile(&plan, &w, b, h, tile);
            }
        }
    }
    free(memory);
    return TW_OK;
}

int tw_tiled_kernels(const tw_tiled_kernel *kernels[3])
{
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        kernels[n++] = &tw_tiled_kernel_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        kernels[n++] = &tw_tiled_kernel_avx2;
#endif
    kernels[n++] = &tw_tiled_kernel_baseline;
    return n;
}

const char *tw_attention_tiled_isa(void)
{
    const tw_tiled_kernel *kernels[3];
    tw_tiled_kernels(kernels);
    return kernels[0]->isa;
}

tw_status tw_attention_tiled(float *o, float *lse, const tw_problem *p, const float *q, const float *k,
                             const float *v, int block_m, int block_n)
{
    const tw_tiled_kernel *kernels[3];
    tw_tiled_kernels(kernels);
    return tw_attention_tiled_by(kernels[0], o, lse, p, q, k, v, block_m, block_n);
}
