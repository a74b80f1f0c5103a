/* Random shapes. Lengths cluster where tiles begin and end, because that is where mistakes are. */
#include "soak_case.h"

#include "../cpu_ref/philox.h"

#include <stdio.h>

/* A stream of random words: Philox with the shape's number as a counter. */
typedef struct draws {
    uint64_t seed, number;
    uint32_t word[4];
    unsigned used;
} draws;

static uint32_t draw(draws *d)
{
    if (d->used % 4 == 0) {
        const uint32_t fresh[4] = {(uint32_t)d->number, (uint32_t)(d->number >> 32), d->used / 4, 0x50a4u};
        for (int i = 0; i < 4; i++)
            d->word[i] = fresh[i];
        tw_philox4x32(d->word, (uint32_t)d->seed, (uint32_t)(d->seed >> 32));
    }
    return d->word[d->used++ % 4];
}

/* lowest … highest, each as likely (but for one part in a million). */
static int between(draws *d, int lowest, int highest)
{
    return lowest + (int)(draw(d) % (uint32_t)(highest - lowest + 1));
}

static bool one_in(draws *d, int n)
{
    return between(d, 1, n) == 1;
}

/* ---- shapes --------------------------------------------------------------------------------------------- */

static int draw_length(draws *d)
{
    switch (between(d, 0, 9)) {
    case 0:
        return between(d, 1, 8);
    case 1:
    case 2:
    case 3: /* the end of a tile, and one before and behind it */
        return 32 * between(d, 1, 10) + between(d, -1, 1);
    case 4:
    case 5:
    case 6:
        return between(d, 1, 400);
    case 7:
    case 8:
        return between(d, 1, 1100);
    default:
        return between(d, 1000, 6000);
    }
}

static int64_t most_rows(const tw_problem *p)
{
    int64_t q = (int64_t)p->batch * p->num_heads * p->seqlen_q,
            k = (int64_t)p->batch * p->num_heads_kv * p->seqlen_k;
    return q > k ? q : k;
}

static int64_t all_pairs(const tw_problem *p)
{
    return (int64_t)p->batch * p->num_heads * p->seqlen_q * p->seqlen_k;
}

/* Batch and heads go first, so that lengths stay as they were drawn where that is possible. */
static void cut_to_size(tw_problem *p)
{
    while (most_rows(p) > TW_GPU_SOAK_MAX_ROWS || all_pairs(p) > TW_GPU_SOAK_MAX_PAIRS) {
        if (p->batch > 1)
            p->batch--;
        else if (p->num_heads_kv > 1) {
            p->num_heads -= p->num_heads / p->num_heads_kv;
            p->num_heads_kv--;
        } else if (p->num_heads > 1)
            p->num_heads--;
        else if (p->seqlen_q > p->seqlen_k)
            p->seqlen_q -= p->seqlen_q / 4;
        else
            p->seqlen_k -= p->seqlen_k / 4;
    }
}

static void draw_shape(tw_problem *p, draws *d)
{
    static const int head_dims[] = {64, 64, 64, 128, 128, 128, 96, 256}, groups[] = {1, 1, 1, 2, 3, 4, 8};
    p->head_dim = head_dims[between(d, 0, 7)];
    p->dtype = one_in(d, 2) ? TW_FP16 : TW_BF16;
    p->causal = one_in(d, 2);
    p->batch = between(d, 1, 4);
    p->num_heads_kv = between(d, 1, 4);
    p->num_heads = p->num_heads_kv * groups[between(d, 0, 6)];
    p->seqlen_k = draw_length(d);
    p->seqlen_q = one_in(d, 2) ? p->seqlen_k : draw_length(d);
    cut_to_size(p);
}

/* ---- scores --------------------------------------------------------------------------------------------- */

/* The yardstick for large scores is the largest error over the tensor, so it takes a tensor of some size. */
static bool has_room_for_large_scores(const tw_problem *p)
{
    return p->batch * p->num_heads * p->seqlen_q >= 256 && p->seqlen_k >= 32;
}

static void draw_scores(tw_gpu_soak_case *one, draws *d)
{
    tw_problem *p = &one->problem;
    one->q_factor = 1.0;
    switch (between(d, 0, 15)) {
    case 0:
    case 1:
        one->q_factor = 4.0;
        break;
    case 2:
        one->q_factor = 0.0; /* all scores equal */
        break;
    case 3:
        one->large_scores = has_room_for_large_scores(p);
        one->q_factor = one->large_scores ? 2000.0 : 1.0;
        break;
    case 4:
    case 5:
    case 6: /* a scale of the user's own, and not together with large scores */
        p->softmax_scale = between(d, 1, 300) / 1000.0;
        break;
    default:
        break;
    }
}

tw_gpu_soak_case tw_gpu_soak_case_at(uint64_t seed, uint64_t number)
{
    draws d = {.seed = seed, .number = number};
    tw_gpu_soak_case one = {.q_factor = 1.0};
    draw_shape(&one.problem, &d);
    draw_scores(&one, &d);
    one.data_seed = (uint64_t)draw(&d) << 32 | draw(&d);
    one.tiling_is_default = one_in(&d, 3);
    one.tiling_draw = draw(&d);
    if (one_in(&d, 2)) {
        one.order = (tw_order)between(&d, 0, TW_NUM_ORDERS - 1);
        one.kv_order = (tw_kv_order)between(&d, 0, TW_NUM_KV_ORDERS - 1);
    }
    return one;
}

void tw_gpu_soak_case_name(char *text, size_t size, const tw_gpu_soak_case *one)
{
    const tw_problem *p = &one->problem;
    snprintf(text, size, "%s, batch %d, heads %d on %d, %d x %d, head_dim %d, %s, scale %.4g, scores x %g",
             tw_dtype_name(p->dtype), p->batch, p->num_heads, p->num_heads_kv, p->seqlen_q, p->seqlen_k,
             p->head_dim, p->causal ? "causal" : "no mask", tw_problem_scale(p), one->q_factor);
}
