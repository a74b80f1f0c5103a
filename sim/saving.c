/* How much a tiled algorithm saves against standard attention, and why when that is little. */
#include "saving.h"

#include <math.h>

bool tw_is_baseline(const tw_schedule *schedule)
{
    return schedule == &tw_schedule_standard || schedule == &tw_schedule_standard_tiled;
}

/* Q, K, V read once, O and LSE written once. */
static double compulsory_bytes(const tw_problem *p)
{
    double v = p->v_in_k ? 0.0 : (double)tw_problem_v_elements(p);
    double tensors = (double)tw_problem_q_elements(p) + (double)tw_problem_k_elements(p) + v +
                     (double)tw_problem_o_elements(p);
    return tensors * tw_dtype_bytes(p->dtype) + (double)tw_problem_lse_elements(p) * tw_dtype_bytes(TW_FP32);
}

/* Below 2x as it is shown, with two places. */
static tw_saving_reason reason_of(double saving, double best, const tw_schedule *baseline)
{
    if (!(saving < 1.995))
        return TW_SAVING_FINE;
    if (best < 2.005)
        return TW_SAVING_SHORT;
    return baseline->ignores_sram ? TW_SAVING_TEXTBOOK : TW_SAVING_RELOADS;
}

static double sram_bytes(const tw_counts *counts)
{
    return (double)counts->sram_fill_bytes + (double)counts->sram_drain_bytes;
}

static double hbm_bytes(const tw_counts *counts)
{
    return (double)counts->hbm_read_bytes + (double)counts->hbm_write_bytes;
}

/* The mask hides nothing from standard attention's traffic, and without it counting costs less. */
static tw_status count_baseline(tw_count_result *result, const tw_problem *problem, const tw_tiling *wanted,
                                const tw_machine *machine, const tw_schedule *baseline)
{
    tw_tiling tiling = *wanted;
    tw_problem unmasked = *problem;
    unmasked.causal = false;
    unmasked.mask = (tw_masks){.window = false};
    tw_schedule_default_tiling(baseline, &tiling, &unmasked, machine);
    return tw_count(result, baseline, &unmasked, &tiling, machine);
}

tw_saving tw_saving_of(const tw_counts *counts, const tw_case *c, const tw_machine *machine,
                       const tw_schedule *baseline)
{
    tw_count_result base;
    if (count_baseline(&base, &c->problem, &c->wanted, machine, baseline) != TW_OK)
        return (tw_saving){.sram = NAN, .hbm = NAN};
    double least = compulsory_bytes(&c->problem);
    tw_saving saving = {.sram = sram_bytes(&base.total) / sram_bytes(counts),
                        .hbm = hbm_bytes(&base.total) / hbm_bytes(counts),
                        .sram_best = sram_bytes(&base.total) / least,
                        .hbm_best = hbm_bytes(&base.total) / least};
    saving.sram_reason = reason_of(saving.sram, saving.sram_best, baseline);
    saving.hbm_reason = reason_of(saving.hbm, saving.hbm_best, baseline);
    return saving;
}

double tw_saving_limit(const tw_case *c, const tw_machine *machine, const tw_schedule *baseline)
{
    enum { LONG = 128 * 1024 };
    tw_problem problem = c->problem;
    bool sized = problem.cu_seqlens_q || problem.scoring.bias; /* as long as it is */
    if (problem.seqlen_q != problem.seqlen_k || sized || tw_mask_is_listed(&problem))
        return NAN;
    problem.num_heads /= problem.num_heads_kv; /* query heads that share K and V are packed by some */
    problem.batch = problem.num_heads_kv = 1;
    problem.causal = false;
    problem.mask = (tw_masks){.window = false};
    if (problem.seqlen_q < LONG)
        problem.seqlen_q = problem.seqlen_k = LONG;
    tw_count_result base, own;
    if (count_baseline(&base, &problem, &c->wanted, machine, baseline) != TW_OK ||
        tw_count(&own, c->schedule, &problem, &c->tiling, machine) != TW_OK)
        return NAN;
    return sram_bytes(&base.total) / sram_bytes(&own.total);
}
