/* How much a tiled algorithm saves against standard attention, and why when that is little. */
#include "saving.h"

#include <math.h>

bool tw_is_baseline(const tw_schedule *schedule)
{
    const tw_schedule *forward = schedule->pass == TW_PASS_BACKWARD ? tw_schedule_forward_of(schedule)
                                                                    : schedule;
    return forward == &tw_schedule_standard || forward == &tw_schedule_standard_tiled ||
           forward == &tw_schedule_standard_unfused;
}

/* Q, K, V read once, O and LSE written once; behind that all of these and dO read once, dQ, dK and dV written once. */
static double compulsory_bytes(const tw_case *c)
{
    const tw_problem *p = &c->problem;
    double v = p->v_in_k ? 0.0 : (double)tw_problem_v_elements(p), o = (double)tw_problem_o_elements(p);
    double inputs = (double)tw_problem_q_elements(p) + (double)tw_problem_k_elements(p) + v;
    double lse = (double)tw_problem_lse_elements(p) * tw_dtype_bytes(TW_FP32);
    double forward = inputs * tw_dtype_bytes(tw_problem_input_dtype(p)) + o * tw_dtype_bytes(p->dtype) + lse;
    double backward = 2.0 * (inputs + o) * tw_dtype_bytes(p->dtype) + lse;
    return c->backward ? forward + backward : c->schedule->pass == TW_PASS_BACKWARD ? backward : forward;
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

/* The passes of a case as the baseline does them. The mask hides nothing from standard attention's traffic, and without
 * it counting costs less. */
static tw_status count_baseline(tw_count_result *result, const tw_case *c, const tw_machine *machine,
                                const tw_schedule *baseline)
{
    const tw_schedule *backward = tw_schedule_backward_of(baseline);
    tw_case base = {.schedule = c->schedule->pass == TW_PASS_BACKWARD ? backward : baseline,
                    .backward = c->backward ? backward : NULL,
                    .problem = c->problem,
                    .tiling = c->wanted,
                    .backward_tiling = c->wanted};
    base.problem.causal = false;
    base.problem.mask = (tw_masks){.window = false};
    tw_schedule_default_tiling(base.schedule, &base.tiling, &base.problem, machine);
    tw_schedule_default_tiling(backward, &base.backward_tiling, &base.problem, machine);
    return tw_case_count(result, &base, machine);
}

tw_saving tw_saving_of(const tw_counts *counts, const tw_case *c, const tw_machine *machine,
                       const tw_schedule *baseline)
{
    tw_count_result base;
    if (count_baseline(&base, c, machine, baseline) != TW_OK)
        return (tw_saving){.sram = NAN, .hbm = NAN};
    double least = compulsory_bytes(c);
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
    tw_case longer = *c;
    tw_problem *problem = &longer.problem;
    bool sized = problem->cu_seqlens_q || problem->scoring.bias; /* as long as it is */
    if (problem->seqlen_q != problem->seqlen_k || sized || tw_mask_is_listed(problem))
        return NAN;
    problem->num_heads /= problem->num_heads_kv; /* query heads that share K and V are packed by some */
    problem->batch = problem->num_heads_kv = 1;
    problem->causal = false;
    problem->mask = (tw_masks){.window = false};
    if (problem->seqlen_q < LONG)
        problem->seqlen_q = problem->seqlen_k = LONG;
    tw_count_result base, own;
    if (count_baseline(&base, &longer, machine, baseline) != TW_OK ||
        tw_case_count(&own, &longer, machine) != TW_OK)
        return NAN;
    return sram_bytes(&base.total) / sram_bytes(&own.total);
}
