/* Attention on a CPU as a roofline of passes; see cpu_predict.h. Rates are those of all cores together. */
#include "cpu_predict.h"

#include "../cpu_ref/tiled_kernel.h"

#include <math.h>

/* What is needed of the machine, in vectors of the inner kernel. */
typedef struct rates {
    double lanes;         /* queries of a panel */
    double flops, scores; /* of products and of softmax, a second, in a core's own cache */
    double loads;         /* numbers a second, in the first cache */
    double own, shared, memory_read,
        memory_write; /* bytes a second: a core's own cache, the last one, memory */
    double own_bytes, shared_bytes;
    int cores;
} rates;

static tw_status rates_of(rates *r, const tw_machine *m)
{
    const tw_tiled_kernel *kernels[3];
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"num_sms", m->num_sms},
                   {"smem_bytes", m->smem_bytes},
                   {"product_flops_per_s", m->product_flops_per_s},
                   {"softmax_scores_per_s", m->softmax_scores_per_s},
                   {"smem_bytes_per_s", m->smem_bytes_per_s},
                   {"hbm_read_bytes_per_s", m->hbm_read_bytes_per_s},
                   {"hbm_write_bytes_per_s", m->hbm_write_bytes_per_s}};
    if (m->kind != TW_MACHINE_CPU)
        return tw_fail(TW_EUNSUPPORTED, "machine %s is no CPU", m->name);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].value <= 0)
            return tw_fail(TW_EUNSUPPORTED, "machine %s has no %s: calibrate-cpu measures it", m->name,
                           numbers[i].name);
    tw_tiled_kernels(kernels);
    double l1 = m->l1_bytes_per_s > 0 ? m->l1_bytes_per_s : m->smem_bytes_per_s;
    bool has_shared = m->l2_bytes > 0 && m->l2_bytes_per_s > 0;
    *r = (rates){.lanes = kernels[0]->lanes,
                 .flops = m->product_flops_per_s,
                 .scores = m->softmax_scores_per_s,
                 .loads = l1 / 4,
                 .own = m->smem_bytes_per_s,
                 .shared = has_shared ? m->l2_bytes_per_s : m->hbm_read_bytes_per_s,
                 .memory_read = m->hbm_read_bytes_per_s,
                 .memory_write = m->hbm_write_bytes_per_s,
                 .own_bytes = m->smem_bytes * m->num_sms,
                 .shared_bytes = has_shared ? m->l2_bytes : 0,
                 .cores = (int)m->num_sms};
    return TW_OK;
}

/* ---- levels --------------------------------------------------------------------------------------------- */

/* A stream that comes back only after `set` bytes, of which a cache of `room` bytes keeps a share. */
static double kept(double set, double room)
{
    return set <= room ? 1.0 : 0.0;
}

/* Seconds to read `bytes` of a set that is walked through again and again. */
static double read_s(const rates *r, double bytes, double set)
{
    double near = kept(set, r->own_bytes), middle = (1 - near) * kept(set, r->shared_bytes);
    return bytes * (near / r->own + middle / r->shared + (1 - near - middle) / r->memory_read);
}

/* To change or write them: a line comes in, and goes out. Between a core's cache and the last one both cost the same. */
static double write_s(const rates *r, double bytes, double set)
{
    double near = kept(set, r->own_bytes), middle = (1 - near) * kept(set, r->shared_bytes);
    return bytes * (near / r->own + middle * 2 / r->shared + (1 - near - middle) / r->memory_write);
}

/* ---- arithmetic ----------------------------------------------------------------------------------------- */

static double product_s(const rates *r, double madds)
{
    return 2 * madds / r->flops;
}

static double softmax_s(const rates *r, double scores)
{
    return scores / r->scores;
}

/* Pieces that are all alike: the last ones may leave cores without work. */
static double idle(const rates *r, double pieces)
{
    return ceil(pieces / r->cores) * r->cores / pieces;
}

/* Scores that tiles of block_m x block_n compute, panel by panel: a panel leaves out tiles that none of its rows sees. */
static double scores_of(const rates *r, const tw_problem *p, int block_m, int block_n)
{
    double scores = 0;
    for (int row0 = 0; row0 < p->seqlen_q; row0 += block_m) {
        int row1 = row0 + block_m < p->seqlen_q ? row0 + block_m : p->seqlen_q;
        for (int row = row0; row < row1; row += (int)r->lanes) {
            int last = row + (int)r->lanes < row1 ? row + (int)r->lanes : row1;
            int seen = tw_problem_keys_seen(p, last - 1);
            double keys = fmin(p->seqlen_k, ceil(seen / (double)block_n) * block_n);
            scores += keys * r->lanes;
        }
    }
    return scores * p->batch * p->num_heads;
}

/* ---- tiled ---------------------------------------------------------------------------------------------- */

tw_status tw_cpu_predict_tiled(tw_cpu_prediction *x, const tw_problem *p, int block_m, int block_n,
                               const tw_machine *machine)
{
    rates r;
    TW_TRY(rates_of(&r, machine));
    block_m = block_m < p->seqlen_q ? block_m : p->seqlen_q;
    block_n = block_n < p->seqlen_k ? block_n : p->seqlen_k;
    double d = p->head_dim, heads = (double)p->batch * p->num_heads;
    double scores = scores_of(&r, p, block_m, block_n);
    double tiles = ceil(p->seqlen_q / (double)block_m);
    double share = scores / (heads * p->seqlen_k * ceil(p->seqlen_q / r.lanes) * r.lanes); /* of all scores */
    double copied = heads * tiles * share * p->seqlen_k * 2 * d * 4;
    double set = 2.0 * d * 4 * p->seqlen_k * p->num_heads_kv / p->num_heads *
                 r.cores;                   /* K and V of the heads at work */
    double rescaled = scores / block_n * d; /* numbers of O: loaded and stored once a tile */
    x->products_s = product_s(&r, 2 * scores * d);
    x->softmax_s = softmax_s(&r, scores) + rescaled * 2 / r.loads;
    x->memory_s = read_s(&r, copied, set) + copied / r.own;
    x->total_s = (x->products_s + x->softmax_s + x->memory_s) * idle(&r, heads * tiles) +
                 machine->launch_overhead_s;
    return TW_OK;
}

/* ---- standard ------------------------------------------------------------------------------------------- */

tw_status tw_cpu_predict_standard(tw_cpu_prediction *x, const tw_problem *p, const tw_machine *machine)
{
    rates r;
    TW_TRY(rates_of(&r, machine));
    double d = p->head_dim, heads = (double)p->batch * p->num_heads, panels = ceil(p->seqlen_q / r.lanes);
    double scores = heads * panels * r.lanes * p->seqlen_k, bytes = 4 * scores;
    double panel = 4 * r.lanes * p->seqlen_k * r.cores; /* S of the panels at work: read twice by softmax */
    double written = write_s(&r, bytes, bytes), read = read_s(&r, bytes, bytes);
    double again = panel <= r.own_bytes ? 0 : read;
    double product = product_s(&r, scores * d), softmax = softmax_s(&r, scores);
    x->products_s = 2 * product;
    x->softmax_s = softmax;
    x->memory_s = fmax(0, written - product) + fmax(0, written + again - softmax) + fmax(0, read - product);
    x->total_s = (x->products_s + x->softmax_s + x->memory_s) * idle(&r, heads * panels) +
                 5 * machine->launch_overhead_s;
    return TW_OK;
}
