/* tilewise-gpu validate: every kernel, in every tiling it has, on shapes that catch mistakes, each twice: the second
 * run must give the bits of the first. */
#include "commands.h"
#include "fill.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

enum { REFERENCE_ROWS = 40000 };

/* The table. Lengths of 1, primes, tails on either side of a tile, more queries than keys and fewer, rows that
 * see nothing, shared K/V heads, scores to ±10⁴, and one length for each variant of the softmax kernels. */
typedef struct shape {
    int batch, heads, heads_kv, seqlen_q, seqlen_k;
    bool causal;
    double q_factor;
    const char *why;
} shape;

static const shape shapes[] = {
    {1, 1, 1, 1, 1, false, 1.0, "one query, one key"},
    {2, 2, 2, 1, 1, true, 1.0, "one query, one key, causal"},
    {1, 2, 1, 2, 2, true, 1.0, "length 2, causal"},
    {1, 1, 1, 31, 31, false, 1.0, "length 31"},
    {2, 3, 1, 97, 97, true, 1.0, "prime length, causal, one K/V head"},
    {1, 2, 2, 128, 128, false, 1.0, "one whole tile"},
    {1, 2, 2, 128, 128, true, 1.0, "one whole tile, causal"},
    {2, 4, 2, 300, 300, false, 1.0, "tails, grouped heads"},
    {2, 4, 2, 300, 300, true, 1.0, "tails, grouped heads, causal"},
    {1, 2, 2, 1, 300, false, 1.0, "one query"},
    {1, 2, 2, 1, 257, true, 1.0, "one query, causal"},
    {1, 2, 2, 300, 1, false, 1.0, "one key"},
    {1, 2, 2, 513, 1, true, 1.0, "one key, causal: 512 rows see nothing"},
    {1, 2, 2, 127, 129, false, 1.0, "one less and one more than a tile"},
    {1, 2, 2, 129, 127, true, 1.0, "one more and one less than a tile, causal"},
    {1, 2, 2, 97, 31, true, 1.0, "66 rows see nothing"},
    {2, 2, 1, 300, 97, true, 1.0, "whole tiles of rows see nothing"},
    {1, 2, 2, 257, 511, true, 1.0, "more keys than queries, causal"},
    {1, 8, 2, 64, 200, true, 1.0, "groups of 4 heads"},
    {3, 5, 1, 65, 63, false, 1.0, "batch 3, 5 heads on one"},
    {1, 2, 2, 200, 200, false, 2000.0, "scores to 10^4"},
    {1, 2, 2, 200, 200, true, 2000.0, "scores to 10^4, causal"},
    {1, 2, 2, 200, 200, false, 0.0, "all scores equal"},
    {1, 1, 1, 1031, 1031, false, 1.0, "prime length past 1024"},
    {1, 1, 1, 1031, 1031, true, 1.0, "prime length past 1024, causal"},
    {1, 2, 1, 40, 2500, true, 1.0, "2500 keys"},
    {1, 1, 1, 9, 6001, false, 1.0, "6001 keys"},
    {1, 1, 1, 9, 12001, true, 1.0, "12001 keys, causal"},
    {1, 1, 1, 5, 20001, false, 1.0, "20001 keys"},
    {1, 1, 1, 3, 60001, false, 1.0, "60001 keys: no row fits on chip"},
};
enum { NUM_SHAPES = sizeof shapes / sizeof shapes[0] };

static int num_kernels(const tw_gpu_program *s)
{
    return s->sets[0].selection.num_kernels;
}

static const tw_gpu_kernel *kernel_at(const tw_gpu_program *s, int i)
{
    return s->sets[0].selection.kernels[i];
}

/* What became of one kernel with one tiling, dtype and head_dim. */
typedef struct group {
    int passed, failed, skipped;
    double worst_share; /* largest error of O, as a share of what is allowed */
    double worst_lse;
} group;

static void judge(tw_gpu_program *s, group *g, const tw_gpu_kernel *k, const tw_tiling *t,
                  const tw_problem *p, const char *why, const tw_gpu_verdict *v)
{
    double share = v->o_allowed > 0.0 ? v->o.max_abs_error / v->o_allowed : 0.0;
    g->worst_share = share > g->worst_share ? share : g->worst_share;
    if (v->lse.max_abs_error > g->worst_lse)
        g->worst_lse = v->lse.max_abs_error;
    if (v->agrees) {
        g->passed++;
        return;
    }
    g->failed++;
    s->num_disagreements++;
    printf("MISMATCH %s %dx%d %s, batch %d, heads %d/%d, %d x %d, d = %d, %s (%s): %s\n", k->name, t->block_m,
           t->block_n, tw_dtype_name(p->dtype), p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q,
           p->seqlen_k, p->head_dim, p->causal ? "causal" : "no mask", why, v->line);
}

/* A tiling of a kernel, in the order that the command line names. */
static tw_tiling in_order(const tw_gpu_program *s, const tw_tiling *t)
{
    tw_tiling tiling = *t;
    tiling.order = (tw_order)s->options.order;
    tiling.kv_order = (tw_kv_order)s->options.kv_order;
    return tiling;
}

/* A head_dim that no kernel takes need not be computed on the CPU. */
static bool anyone_supports(const tw_gpu_program *s, const tw_problem *p)
{
    for (int i = 0; i < num_kernels(s); i++)
        for (const tw_tiling *t = NULL; (t = tw_gpu_next_tiling(kernel_at(s, i), t)) != NULL;) {
            const tw_tiling tiling = in_order(s, t);
            if (tw_gpu_can_run(&s->device, kernel_at(s, i), p, &tiling, 0) == TW_OK)
                return true;
        }
    return false;
}

/* All kernels and tilings on one problem; groups lie in the order of the loops. */
static tw_status validate_problem(tw_gpu_program *s, group *g, const tw_problem *p, double q_factor,
                                  const char *why)
{
    tw_gpu_tensors tensors = {0};
    tw_gpu_reference reference = {0};
    tw_gpu_verdict verdict;
    if (!anyone_supports(s, p))
        return TW_OK;
    tw_status status = tw_gpu_tensors_make(&tensors, p, s->options.shared.seed, q_factor);
    if (status == TW_OK)
        status = tw_gpu_reference_make(&reference, &tensors, REFERENCE_ROWS, s->options.shared.seed);
    for (int i = 0; status == TW_OK && i < num_kernels(s); i++) {
        const tw_gpu_kernel *k = kernel_at(s, i);
        for (const tw_tiling *t = NULL; status == TW_OK && (t = tw_gpu_next_tiling(k, t)) != NULL; g++) {
            const tw_tiling tiling = in_order(s, t);
            if (tw_gpu_can_run(&s->device, k, p, &tiling, tensors.held_bytes) != TW_OK) {
                g->skipped++;
                continue;
            }
            status = tw_gpu_validate_launch(&verdict, &reference, &tensors, k, &tiling, s->stream);
            if (status == TW_OK)
                judge(s, g, k, &tiling, p, why, &verdict);
        }
    }
    tw_gpu_reference_free(&reference);
    tw_gpu_tensors_free(&tensors);
    return status;
}

static int num_tilings(const tw_gpu_kernel *k)
{
    int n = 0;
    for (const tw_tiling *t = NULL; (t = tw_gpu_next_tiling(k, t)) != NULL;)
        n++;
    return n;
}

static int num_groups(const tw_gpu_program *s)
{
    int n = 0;
    for (int i = 0; i < num_kernels(s); i++)
        n += num_tilings(kernel_at(s, i));
    return n;
}

static bool any_ran(const group *g, int count)
{
    for (int i = 0; i < count; i++)
        if (g[i].passed + g[i].failed > 0)
            return true;
    return false;
}

static void print_group(const tw_gpu_kernel *k, const tw_tiling *t, const group *g, const char *what)
{
    if (g->passed + g->failed == 0)
        printf("%-20s %3dx%-3d %-14s not supported\n", k->name, t->block_m, t->block_n, what);
    else
        printf("%-20s %3dx%-3d %-14s %2d of %2d agree, error at most %3.0f%% of what is allowed, LSE off by "
               "%.1e\n",
               k->name, t->block_m, t->block_n, what, g->passed, g->passed + g->failed,
               100.0 * g->worst_share, g->worst_lse);
}

/* A line for each tiling, or a single one where a kernel has none for this. */
static void print_groups(const tw_gpu_program *s, const group *g, const char *what)
{
    for (int i = 0; i < num_kernels(s); i++) {
        const tw_gpu_kernel *k = kernel_at(s, i);
        const bool ran = any_ran(g, num_tilings(k));
        if (!ran)
            printf("%-20s %-7s %-14s not supported\n", k->name, "", what);
        for (const tw_tiling *t = NULL; (t = tw_gpu_next_tiling(k, t)) != NULL; g++)
            if (ran)
                print_group(k, t, g, what);
    }
    fflush(stdout);
}

/* One dtype and head_dim: the whole table. */
static tw_status validate_table(tw_gpu_program *s, group *groups, tw_dtype dtype, int head_dim)
{
    for (int i = 0; i < NUM_SHAPES; i++) {
        const shape *x = &shapes[i];
        tw_problem p = {.batch = x->batch,
                        .num_heads = x->heads,
                        .num_heads_kv = x->heads_kv,
                        .seqlen_q = x->seqlen_q,
                        .seqlen_k = x->seqlen_k,
                        .head_dim = head_dim,
                        .dtype = dtype,
                        .causal = x->causal,
                        .softmax_scale = i % 4 == 3 ? 0.2
                                                    : 0.0}; /* and now and then a scale of the user's own */
        TW_TRY(validate_problem(s, groups, &p, x->q_factor, x->why));
    }
    return TW_OK;
}

static tw_status validate_all(tw_gpu_program *s, group *groups, size_t bytes)
{
    static const tw_dtype dtypes[] = {TW_FP16, TW_BF16};
    static const int head_dims[] = {64, 96, 128, 256};
    TW_TRY(tw_gpu_fill_check(s->options.shared.seed));
    for (int i = 0; i < 8; i++) {
        char what[32];
        memset(groups, 0, bytes);
        TW_TRY(validate_table(s, groups, dtypes[i / 4], head_dims[i % 4]));
        snprintf(what, sizeof what, "%s d=%d", tw_dtype_name(dtypes[i / 4]), head_dims[i % 4]);
        print_groups(s, groups, what);
    }
    return TW_OK;
}

/* The shapes of the command line instead of the table. */
static tw_status validate_given(tw_gpu_program *s, group *groups, size_t bytes)
{
    int ran = 0;
    for (size_t i = 0; i < s->sets[0].num_problems; i++) {
        tw_problem p = s->sets[0].problems[i];
        char what[64];
        memset(groups, 0, bytes);
        TW_TRY(validate_problem(s, groups, &p, 1.0, "as given"));
        snprintf(what, sizeof what, "%s d=%d %dx%d%s", tw_dtype_name(p.dtype), p.head_dim, p.seqlen_q,
                 p.seqlen_k, p.causal ? " causal" : "");
        print_groups(s, groups, what);
        for (int g = 0; g < num_groups(s); g++)
            ran += groups[g].passed + groups[g].failed;
    }
    return ran > 0 ? TW_OK : tw_fail(TW_EUNSUPPORTED, "%s", tw_error_message());
}

tw_status tw_gpu_validate_command(tw_gpu_program *s)
{
    size_t bytes = (size_t)num_groups(s) * sizeof(group);
    group *groups = malloc(bytes);
    if (groups == NULL)
        return tw_fail(TW_ENOMEM, "no memory for %d groups", num_groups(s));
    tw_status status = tw_gpu_shape_given(&s->options) ? validate_given(s, groups, bytes)
                                                       : validate_all(s, groups, bytes);
    free(groups);
    return status;
}
