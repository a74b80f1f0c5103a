/* Is this tensor the attention of those? Exact rows of it, and what a plain program in the same number format would
 * be off by. */
#include "verify.h"

#include "tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { CHUNK = 128, LEAST_ROWS = 4 };

/* ---- the sample ----------------------------------------------------------------------------------------- */

tw_row_sample tw_row_sample_for(const tw_problem *p, uint64_t seed, double effort)
{
    int64_t heads = (int64_t)p->batch * p->num_heads;
    double row = 2.0 * p->seqlen_k * (double)p->head_dim;
    double affordable = fmax(LEAST_ROWS, floor(0x1p31 * effort / row / (double)heads));
    tw_row_sample sample = {.total = heads * p->seqlen_q, .seed = seed};
    sample.rows_per_head = affordable < p->seqlen_q ? (int)affordable : p->seqlen_q;
    sample.count = heads * sample.rows_per_head;
    return sample;
}

/* A number that looks random and depends on nothing but x: the finalizer of SplitMix64. */
static uint64_t scramble(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

typedef struct row_id {
    int batch, head, row;
} row_id;

/* Row i of the sample: a head's rows are cut into equal parts and one drawn of each; first and last always. */
static row_id row_at(const tw_row_sample *s, const tw_problem *p, int64_t i)
{
    int64_t head = i / s->rows_per_head, part = i % s->rows_per_head;
    int64_t begin = part * p->seqlen_q / s->rows_per_head, end = (part + 1) * p->seqlen_q / s->rows_per_head;
    uint64_t drawn = scramble(s->seed ^ scramble((uint64_t)i)) % (uint64_t)(end - begin);
    int64_t row = part == 0 ? 0 : part == s->rows_per_head - 1 ? p->seqlen_q - 1 : begin + (int64_t)drawn;
    return (row_id){(int)(head / p->num_heads), (int)(head % p->num_heads), (int)row};
}

/* ---- one row -------------------------------------------------------------------------------------------- */

tw_variant tw_variant_of(const tw_problem *p)
{
    return (tw_variant){.mask = p->causal ? TW_MASK_BOTTOM_RIGHT : TW_MASK_NONE,
                        .scale = tw_problem_scale(p)};
}

static int keys_of(const tw_variant *v, const tw_problem *p, int row)
{
    int64_t n = p->seqlen_k;
    if (v->mask == TW_MASK_BOTTOM_RIGHT)
        n = (int64_t)row + 1 + p->seqlen_k - p->seqlen_q;
    else if (v->mask == TW_MASK_TOP_LEFT)
        n = (int64_t)row + 1;
    n = n < 0 ? 0 : n > p->seqlen_k ? p->seqlen_k : n;
    if (v->dropped_tile > 0) {
        int64_t of = v->dropped_per_row ? n : p->seqlen_k;
        int64_t last = of > 0 ? (of - 1) / v->dropped_tile * v->dropped_tile : 0;
        n = n < last ? n : last;
    }
    return (int)n;
}

/* A row by itself: one query row, n keys, and as many query heads as K/V heads, so that any of them can be named. */
typedef struct lone_row {
    tw_problem problem;
    const double *q, *k, *v;
    int head;
} lone_row;

static lone_row isolate(const tw_claim *c, const tw_variant *v, row_id id)
{
    const tw_problem *p = &c->problem;
    int head_kv = v->heads_modulo ? id.head % p->num_heads_kv : tw_problem_kv_head(p, id.head);
    size_t first_key = tw_problem_k_row(p, id.batch, 0, 0);
    lone_row r = {.problem = *p, .head = head_kv, .k = c->k + first_key, .v = c->v + first_key};
    r.problem.batch = r.problem.seqlen_q = 1;
    r.problem.seqlen_k = keys_of(v, p, id.row);
    r.problem.num_heads = p->num_heads_kv;
    r.problem.causal = false;
    r.problem.softmax_scale = v->scale;
    /* The row functions look for head `head_kv` of a Q of this one row; it is at most the true head. */
    r.q = c->q + (tw_problem_q_row(p, id.batch, id.head, id.row) - (size_t)head_kv * (size_t)p->head_dim);
    return r;
}

/* Standard attention with every sum in fp32: what a plain program is off by where rounding S and P costs nothing. */
static void fp32_row(double *o, double *lse, const lone_row *r, double *scratch)
{
    const tw_problem *p = &r->problem;
    const double *q = r->q + tw_problem_q_row(p, 0, r->head, 0);
    float m = -INFINITY, l = 0.0f;
    for (int j = 0; j < p->seqlen_k; j++) {
        const double *k = r->k + tw_problem_k_row(p, 0, r->head, j);
        float s = 0.0f;
        for (int c = 0; c < p->head_dim; c++)
            s += (float)q[c] * (float)k[c];
        s *= (float)p->softmax_scale;
        m = fmaxf(m, s);
        scratch[j] = (double)s;
    }
    for (int j = 0; j < p->seqlen_k; j++) {
        scratch[j] = (double)expf((float)scratch[j] - m);
        l += (float)scratch[j];
    }
    for (int c = 0; c < p->head_dim; c++) {
        float sum = 0.0f;
        for (int j = 0; j < p->seqlen_k; j++)
            sum += (float)scratch[j] / l * (float)r->v[tw_problem_k_row(p, 0, r->head, j) + (size_t)c];
        o[c] = (double)sum;
    }
    *lse = (double)(m + logf(l));
}

/* Exact, and as a plain program in the tensor's number format would have it. */
static void both_rows(double *exact, double *exact_lse, double *plain, double *plain_lse, const tw_claim *c,
                      const tw_variant *v, row_id id, double *scratch)
{
    lone_row r = isolate(c, v, id);
    size_t bytes = (size_t)c->problem.head_dim * sizeof *exact;
    if (r.problem.seqlen_k == 0) {
        memset(exact, 0, bytes);
        memset(plain, 0, bytes);
        *exact_lse = *plain_lse = -INFINITY;
        return;
    }
    tw_attention_gold_row(exact, exact_lse, &r.problem, r.q, r.k, r.v, 0, r.head, 0, scratch);
    *plain_lse = *exact_lse;
    if (c->problem.dtype == TW_FP32)
        fp32_row(plain, plain_lse, &r, scratch);
    else
        tw_attention_rounded_row(plain, &r.problem, r.q, r.k, r.v, 0, r.head, 0, scratch);
}

/* ---- the comparison ------------------------------------------------------------------------------------- */

/* Rows of one chunk, exact and plain. */
typedef struct rows_buffer {
    double *exact, *plain; /* CHUNK × head_dim */
    double exact_lse[CHUNK], plain_lse[CHUNK];
    double *scratch; /* threads × seqlen_k */
} rows_buffer;

static int max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

static int thread_index(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static tw_status allocate(rows_buffer *b, const tw_problem *p)
{
    b->exact = malloc(CHUNK * (size_t)p->head_dim * sizeof *b->exact);
    b->plain = malloc(CHUNK * (size_t)p->head_dim * sizeof *b->plain);
    b->scratch = malloc((size_t)max_threads() * (size_t)p->seqlen_k * sizeof *b->scratch);
    if (b->exact && b->plain && b->scratch)
        return TW_OK;
    return tw_fail(TW_ENOMEM, "no memory for %d rows of %d scores", max_threads(), p->seqlen_k);
}

static void compute_chunk(rows_buffer *b, const tw_claim *c, const tw_variant *v, const tw_row_sample *s,
                          int64_t begin, int64_t end)
{
    size_t d = (size_t)c->problem.head_dim;
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)(i - begin);
        both_rows(b->exact + at * d, &b->exact_lse[at], b->plain + at * d, &b->plain_lse[at], c, v,
                  row_at(s, &c->problem, i),
                  b->scratch + (size_t)thread_index() * (size_t)c->problem.seqlen_k);
    }
}

/* What is gathered while rows go by. */
typedef struct gathered {
    tw_error_metrics o, lse, plain_o, plain_lse;
    double largest_o, largest_lse;
    size_t exact_not_finite;
} gathered;

static void add_chunk(gathered *g, const rows_buffer *b, const tw_claim *c, const tw_row_sample *s,
                      int64_t begin, int64_t end)
{
    const tw_problem *p = &c->problem;
    size_t d = (size_t)p->head_dim;
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)(i - begin);
        row_id id = row_at(s, p, i);
        size_t first = tw_problem_q_row(p, id.batch, id.head, id.row),
               row = tw_problem_lse_at(p, id.batch, id.head, id.row);
        for (size_t col = 0; col < d; col++) {
            double exact = b->exact[at * d + col];
            tw_error_add(&g->o, first + col, c->o[first + col], exact);
            tw_error_add(&g->plain_o, first + col, b->plain[at * d + col], exact);
            g->exact_not_finite += isfinite(exact) ? 0 : 1;
            g->largest_o = fmax(g->largest_o, fabs(exact));
        }
        if (!c->lse)
            continue;
        tw_error_add(&g->lse, row, c->lse[row], b->exact_lse[at]);
        tw_error_add(&g->plain_lse, row, b->plain_lse[at], b->exact_lse[at]);
        if (isfinite(b->exact_lse[at]))
            g->largest_lse = fmax(g->largest_lse, fabs(b->exact_lse[at]));
    }
}

static size_t count_nans(const double *x, size_t n)
{
    size_t nans = 0;
    for (size_t i = 0; x && i < n; i++)
        nans += isnan(x[i]) ? 1 : 0;
    return nans;
}

static void count_not_finite(tw_verdict *verdict, const tw_claim *c)
{
    size_t n = tw_problem_q_elements(&c->problem);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(c->o[i]) && verdict->o_not_finite++ == 0)
            verdict->o_first_not_finite = i;
}

/* The exact value at an element of O. */
static double exact_at(const tw_claim *c, const tw_variant *v, size_t index, rows_buffer *b)
{
    const tw_problem *p = &c->problem;
    size_t d = (size_t)p->head_dim, heads = (size_t)p->num_heads, rows = (size_t)p->seqlen_q;
    row_id id = {(int)(index / d / heads / rows), (int)(index / d % heads), (int)(index / d / heads % rows)};
    double lse, plain_lse;
    both_rows(b->exact, &lse, b->plain, &plain_lse, c, v, id, b->scratch);
    return b->exact[index % d];
}

static void judge(tw_verdict *verdict, gathered *g, const tw_claim *c)
{
    const tw_problem *p = &c->problem;
    tw_error_finish(&g->o);
    tw_error_finish(&g->lse);
    double floor_o = p->dtype == TW_FP64 ? 1e-9 * g->largest_o : 0.0;
    double floor_lse = p->dtype == TW_FP64 ? 1e-9 * fmax(1.0, g->largest_lse) : 0.0;
    verdict->o = g->o;
    verdict->lse = g->lse;
    verdict->o_baseline = g->plain_o.max_abs_error;
    verdict->o_atol = tw_error_atol(p->dtype, g->largest_o) + floor_o;
    verdict->lse_allowed = 2.0 * g->plain_lse.max_abs_error +
                           tw_error_atol(tw_coarser(p->dtype, c->lse_dtype), g->largest_lse) + floor_lse;
    verdict->o_nans = count_nans(c->o, tw_problem_q_elements(p));
    count_not_finite(verdict, c);
    verdict->exact_not_finite = g->exact_not_finite;
    verdict->lse_nans = count_nans(c->lse, tw_problem_lse_elements(p));
    verdict->o_agrees = verdict->o_not_finite == 0 &&
                        tw_error_acceptable(&g->o, verdict->o_baseline, verdict->o_atol);
    verdict->lse_agrees = verdict->lse_nans == 0 && tw_error_acceptable(&g->lse, 0.0, verdict->lse_allowed);
}

tw_status tw_verify(tw_verdict *verdict, const tw_claim *claim, const tw_variant *variant,
                    const tw_row_sample *sample)
{
    rows_buffer b = {.exact = NULL};
    gathered g = {.largest_o = 0.0};
    tw_verdict result = {.sample = *sample};
    tw_status status = allocate(&b, &claim->problem);
    for (int64_t begin = 0; begin < sample->count && status == TW_OK; begin += CHUNK) {
        int64_t end = begin + CHUNK < sample->count ? begin + CHUNK : sample->count;
        compute_chunk(&b, claim, variant, sample, begin, end);
        add_chunk(&g, &b, claim, sample, begin, end);
    }
    if (status == TW_OK) {
        judge(&result, &g, claim);
        result.worst_o = claim->o[g.o.worst_index];
        result.worst_o_exact = exact_at(claim, variant, g.o.worst_index, &b);
        *verdict = result;
    }
    free(b.exact);
    free(b.plain);
    free(b.scratch);
    return status;
}

tw_status tw_check_softmax_scale(double scale)
{
    if (fabs(scale) <= TW_SOFTMAX_SCALE_MAX)
        return TW_OK;
    return tw_fail(TW_EINVAL,
                   "--softmax-scale is %g, it must be at most %.3g, or scores are no numbers in fp32", scale,
                   TW_SOFTMAX_SCALE_MAX);
}

tw_status tw_check_exact(const tw_verdict *verdict, const tw_problem *problem)
{
    if (verdict->exact_not_finite == 0)
        return TW_OK;
    return tw_fail(
        TW_EINVAL,
        "exact attention with scale %g is not finite in %zu numbers, nothing can be compared with that: "
        "Q, K, V or the scale must be smaller",
        tw_problem_scale(problem), verdict->exact_not_finite);
}

tw_status tw_lse_is_base2(bool *yes, const tw_claim *claim, uint64_t seed)
{
    size_t n = tw_problem_lse_elements(&claim->problem);
    double *natural = malloc(n * sizeof *natural);
    if (!natural)
        return tw_fail(TW_ENOMEM, "no memory for %zu elements of LSE", n);
    for (size_t i = 0; i < n; i++)
        natural[i] = claim->lse[i] * log(2.0);
    tw_claim renamed = *claim;
    renamed.lse = natural;
    tw_variant right = tw_variant_of(&claim->problem);
    tw_row_sample sample = tw_row_sample_for(&claim->problem, seed, 0x1p-5);
    tw_verdict verdict;
    tw_status status = tw_verify(&verdict, &renamed, &right, &sample);
    free(natural);
    if (status == TW_OK)
        *yes = verdict.lse_agrees;
    return status;
}
