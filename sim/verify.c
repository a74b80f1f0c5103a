/* Is this tensor the attention of those? Exact rows of it, and what a plain program in the same number format would
 * be off by. */
#include "verify.h"

#include "../cpu_ref/gold.h"

#include "tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { CHUNK = 128, LEAST_ROWS = 4 };

/* ---- the sample ----------------------------------------------------------------------------------------- */

/* Packed sequences are one long axis of rows, as they are in memory. */
static int64_t sampled_heads(const tw_problem *p)
{
    return p->cu_seqlens_q ? p->num_heads : (int64_t)p->batch * p->num_heads;
}

static int64_t sampled_rows(const tw_problem *p)
{
    return p->cu_seqlens_q ? tw_problem_total_q(p) : p->seqlen_q;
}

tw_row_sample tw_row_sample_for(const tw_problem *p, uint64_t seed, double effort)
{
    int64_t heads = sampled_heads(p), rows = sampled_rows(p);
    double row = (double)p->seqlen_k * ((double)p->head_dim + tw_problem_head_dim_v(p));
    double affordable = fmax(LEAST_ROWS, floor(0x1p31 * effort / row / (double)heads));
    tw_row_sample sample = {.total = heads * rows, .seed = seed};
    sample.rows_per_head = affordable < (double)rows ? (int)affordable : (int)rows;
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

/* The sequence that holds a packed row. */
static int sequence_of(const tw_problem *p, int64_t row)
{
    int low = 0, high = p->batch;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (p->cu_seqlens_q[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static tw_gold_row place(const tw_problem *p, int64_t head, int64_t row)
{
    tw_gold_row at = {(int)(head / p->num_heads), (int)(head % p->num_heads), 0, (int)row};
    if (p->cu_seqlens_q) {
        at.batch = sequence_of(p, row);
        at.row -= p->cu_seqlens_q[at.batch];
    }
    at.head_kv = tw_problem_kv_head(p, at.head);
    return at;
}

/* Row i of the sample: a head's rows are cut into equal parts and one drawn of each; first and last always. */
static tw_gold_row row_at(const tw_row_sample *s, const tw_problem *p, int64_t i)
{
    int64_t head = i / s->rows_per_head, part = i % s->rows_per_head, rows = sampled_rows(p);
    int64_t begin = part * rows / s->rows_per_head, end = (part + 1) * rows / s->rows_per_head;
    uint64_t drawn = scramble(s->seed ^ scramble((uint64_t)i)) % (uint64_t)(end - begin);
    int64_t row = part == 0 ? 0 : part == s->rows_per_head - 1 ? rows - 1 : begin + (int64_t)drawn;
    return place(p, head, row);
}

/* ---- one row -------------------------------------------------------------------------------------------- */

tw_variant tw_variant_of(const tw_problem *p)
{
    return (tw_variant){.mask = p->causal ? TW_MASK_BOTTOM_RIGHT : TW_MASK_NONE,
                        .scale = tw_problem_scale(p)};
}

/* Attention with one thing done differently, as a problem: what no problem can say is a callback. */
typedef struct altered {
    tw_problem problem;
    const tw_problem *claimed;
    const tw_variant *variant;
} altered;

/* One past the last key that a row sees, were no tile dropped. */
static int64_t keys_end(const altered *a, const tw_problem *one, int row)
{
    bool top_left = a->variant->mask == TW_MASK_TOP_LEFT;
    return top_left && row < one->seqlen_k ? (int64_t)row + 1 : tw_problem_keys_seen(one, row);
}

/* What top-left alignment and a dropped tile leave; and the claimed problem's own callback. */
static bool still_seen(void *user, int batch, int head, int row, int key)
{
    const altered *a = user;
    const tw_masks *m = &a->claimed->mask;
    int tile = a->variant->dropped_tile;
    tw_problem one = tw_problem_sequence(&a->problem, batch);
    int64_t end = keys_end(a, &one, row);
    if (tile > 0) {
        int64_t of = a->variant->dropped_per_row ? end : one.seqlen_k;
        int64_t last = of > 0 ? (of - 1) / tile * tile : 0;
        end = end < last ? end : last;
    }
    return key < end && (!m->mod || m->mod(m->mod_user, batch, head, row, key));
}

unsigned tw_parts_of(const tw_problem *p)
{
    const tw_masks *m = &p->mask;
    const tw_score_mods *scores = &p->scoring;
    return (m->window ? TW_PART_WINDOW : 0) | (m->prefix > 0 ? TW_PART_PREFIX : 0) |
           (m->sinks > 0 ? TW_PART_SINKS : 0) | (m->documents ? TW_PART_DOCUMENTS : 0) |
           (m->blocks ? TW_PART_BLOCKS : 0) | (scores->softcap > 0.0 ? TW_PART_SOFTCAP : 0) |
           (scores->alibi ? TW_PART_ALIBI : 0) | (scores->bias ? TW_PART_BIAS : 0) |
           (scores->sink_logits ? TW_PART_SINK_LOGITS : 0) |
           (tw_dropout_is_on(&p->dropout) ? TW_PART_DROPOUT : 0);
}

static void leave_out(tw_problem *p, unsigned parts)
{
    if (parts & TW_PART_WINDOW)
        p->mask.window = false;
    if (parts & TW_PART_PREFIX)
        p->mask.prefix = 0;
    if (parts & TW_PART_SINKS)
        p->mask.sinks = 0;
    if (parts & TW_PART_DOCUMENTS)
        p->mask.documents = NULL;
    if (parts & TW_PART_BLOCKS)
        p->mask.blocks = NULL;
    if (parts & TW_PART_SOFTCAP)
        p->scoring.softcap = 0.0;
    if (parts & TW_PART_ALIBI)
        p->scoring.alibi = false;
    if (parts & TW_PART_BIAS)
        p->scoring.bias = NULL;
    if (parts & TW_PART_SINK_LOGITS)
        p->scoring.sink_logits = NULL;
    if (parts & TW_PART_DROPOUT)
        p->dropout.probability = 0.0;
}

/* `a` must stay where it is: the problem points to it. */
static void alter(altered *a, const tw_claim *c, const tw_variant *v)
{
    *a = (altered){.problem = c->problem, .claimed = &c->problem, .variant = v};
    a->problem.causal = v->mask == TW_MASK_BOTTOM_RIGHT;
    a->problem.softmax_scale = v->scale;
    leave_out(&a->problem, v->left_out);
    if (v->mask == TW_MASK_TOP_LEFT || v->dropped_tile > 0) {
        a->problem.mask.mod = still_seen;
        a->problem.mask.mod_user = a;
    }
}

static double fp32_sum(const double *q, const double *k, int n)
{
    float sum = 0.0f;
    for (int c = 0; c < n; c++)
        sum += (float)q[c] * (float)k[c];
    return (double)sum;
}

/* Standard attention with every sum in fp32: what a plain program is off by where rounding S and P costs nothing. */
static void fp32_row(double *o, double *lse, const tw_problem *p, const tw_claim *c, tw_gold_row at,
                     double *scratch)
{
    int keys = tw_gold_scores(scratch, p, c->q, c->k, at, fp32_sum);
    tw_problem one = tw_problem_sequence(p, at.batch);
    float m = (float)tw_sink_logit(p, at.head, at.row), l = m > -INFINITY ? 1.0f : 0.0f, sink = m;
    for (int j = 0; j < keys; j++)
        m = fmaxf(m, (float)scratch[j]);
    if (sink > -INFINITY)
        l = expf(sink - m);
    for (int j = 0; j < keys; j++) {
        bool hidden = scratch[j] == -INFINITY;
        scratch[j] = hidden ? 0.0 : (double)expf((float)scratch[j] - m);
        l += (float)scratch[j];
    }
    tw_dropout_apply(scratch, &p->dropout, at.batch, at.head, at.row, 0, keys);
    for (int col = 0; col < tw_problem_head_dim_v(p); col++) {
        float sum = 0.0f;
        for (int j = 0; j < keys; j++)
            if (scratch[j] != 0.0)
                sum += (float)scratch[j] / l *
                       (float)c->v[tw_problem_v_row(&one, at.batch, at.head_kv, j) + (size_t)col];
        o[col] = (double)sum;
    }
    *lse = l == 0.0f ? -INFINITY : (double)(m + logf(l));
}

/* Exact, and as a plain program in the tensor's number format would have it. */
static void both_rows(double *exact, double *exact_lse, double *plain, double *plain_lse, const tw_claim *c,
                      const altered *a, tw_gold_row at, double *scratch)
{
    const tw_problem *p = &a->problem;
    if (a->variant->heads_modulo)
        at.head_kv = at.head % p->num_heads_kv;
    tw_gold_attend(exact, exact_lse, p, c->q, c->k, c->v, at, scratch);
    *plain_lse = *exact_lse;
    if (tw_quantize_is_on(&p->quantize) && p->dtype != TW_FP64)
        tw_gold_attend_quantized(plain, NULL, p, c->q, c->k, c->v, at, scratch);
    else if (p->dtype == TW_FP32)
        fp32_row(plain, plain_lse, p, c, at, scratch);
    else
        tw_gold_attend_rounded(plain, p, c->q, c->k, c->v, at, scratch);
}

/* ---- the comparison ------------------------------------------------------------------------------------- */

/* Rows of one chunk, exact and plain. */
typedef struct rows_buffer {
    double *exact, *plain; /* CHUNK × head_dim_v */
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
    b->exact = malloc(CHUNK * (size_t)tw_problem_head_dim_v(p) * sizeof *b->exact);
    b->plain = malloc(CHUNK * (size_t)tw_problem_head_dim_v(p) * sizeof *b->plain);
    b->scratch = malloc((size_t)max_threads() * (size_t)p->seqlen_k * sizeof *b->scratch);
    if (b->exact && b->plain && b->scratch)
        return TW_OK;
    return tw_fail(TW_ENOMEM, "no memory for %d rows of %d scores", max_threads(), p->seqlen_k);
}

static void compute_chunk(rows_buffer *b, const tw_claim *c, const tw_variant *v, const tw_row_sample *s,
                          int64_t begin, int64_t end)
{
    size_t d = (size_t)tw_problem_head_dim_v(&c->problem);
    altered a;
    alter(&a, c, v);
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)(i - begin);
        both_rows(b->exact + at * d, &b->exact_lse[at], b->plain + at * d, &b->plain_lse[at], c, &a,
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
    size_t d = (size_t)tw_problem_head_dim_v(p);
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)(i - begin);
        tw_gold_row id = row_at(s, p, i);
        size_t first = tw_problem_o_row(p, id.batch, id.head, id.row),
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
    size_t n = tw_problem_o_elements(&c->problem);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(c->o[i]) && verdict->o_not_finite++ == 0)
            verdict->o_first_not_finite = i;
}

/* The exact value at an element of O. */
static double exact_at(const tw_claim *c, const tw_variant *v, size_t index, rows_buffer *b)
{
    const tw_problem *p = &c->problem;
    size_t d = (size_t)tw_problem_head_dim_v(p), heads = (size_t)p->num_heads, rows = (size_t)sampled_rows(p);
    size_t row = index / d / heads, head = index / d % heads;
    tw_gold_row id = place(p, (int64_t)(row / rows * heads + head), (int64_t)(row % rows));
    double lse, plain_lse;
    altered a;
    alter(&a, c, v);
    both_rows(b->exact, &lse, b->plain, &plain_lse, c, &a, id, b->scratch);
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
    verdict->o_nans = count_nans(c->o, tw_problem_o_elements(p));
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
