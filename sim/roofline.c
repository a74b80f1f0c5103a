/* The simplest time there is. */
#include "roofline.h"

/* 0 where the rate is not known. */
static double seconds(double amount, double per_s)
{
    return per_s > 0.0 ? amount / per_s : 0.0;
}

/* The unit that multiplies: what was asked for, or FMA where inputs or machine leave no choice. */
static double flops_rate(const char **name, tw_dtype dtype, tw_unit unit, const tw_machine *m)
{
    double tensor = dtype == TW_E4M3 || dtype == TW_E5M2 ? m->tensor_fp8_flops_per_s
                    : dtype == TW_FP16                   ? m->tensor_fp16_flops_per_s
                    : dtype == TW_BF16                   ? m->tensor_bf16_flops_per_s
                                                         : 0.0;
    bool fma = unit == TW_UNIT_FMA || tensor <= 0.0;
    *name = fma ? "FMA" : "tensor cores";
    return fma ? m->fma_flops_per_s : tensor;
}

static tw_roofline_launch time_launch(const tw_counts *n, tw_dtype dtype, tw_unit unit, const tw_machine *m)
{
    const char *multiplier;
    double rate = flops_rate(&multiplier, dtype, unit, m);
    tw_roofline_launch t = {
        .l2_s = seconds((double)n->sram_fill_bytes + (double)n->sram_drain_bytes, m->l2_bytes_per_s),
        .hbm_s = seconds((double)n->hbm_read_bytes, m->hbm_read_bytes_per_s) +
                 seconds((double)n->hbm_write_bytes, m->hbm_write_bytes_per_s),
        .flops_s = seconds((double)n->flops_executed, rate),
        .exps_s = seconds((double)(n->exps - n->exps_by_polynomial), m->exps_per_s),
        .scores_s = seconds((double)(n->score_flops + n->polynomial_flops), m->fma_flops_per_s)};
    const struct {
        double time_s;
        const char *name;
    } limits[] = {{t.l2_s, "L2"},
                  {t.hbm_s, "HBM"},
                  {t.flops_s, multiplier},
                  {t.exps_s, "exponentials"},
                  {t.scores_s, "score modifications"}};
    t.limit = limits[0].name;
    t.time_s = limits[0].time_s;
    for (int i = 1; i < 5; i++) {
        if (limits[i].time_s > t.time_s) {
            t.time_s = limits[i].time_s;
            t.limit = limits[i].name;
        }
    }
    t.time_s += m->launch_overhead_s;
    return t;
}

tw_status tw_roofline_time(tw_roofline *roofline, const tw_count_result *counts, tw_dtype dtype, tw_unit unit,
                           const tw_machine *machine)
{
    const tw_machine *m = machine;
    const char *multiplier;
    if (m->l2_bytes_per_s <= 0 && m->hbm_read_bytes_per_s <= 0 &&
        flops_rate(&multiplier, dtype, unit, m) <= 0)
        return tw_fail(TW_EUNSUPPORTED, "machine %s has no rates, so it predicts bytes and no times",
                       m->name);
    tw_roofline result = {.num_launches = counts->num_launches, .limit = "nothing"};
    double longest = 0.0;
    for (int i = 0; i < counts->num_launches; i++) {
        result.launch[i] = time_launch(&counts->launch[i], dtype, unit, machine);
        result.time_s += result.launch[i].time_s;
        if (result.launch[i].time_s > longest) {
            longest = result.launch[i].time_s;
            result.limit = result.launch[i].limit;
        }
    }
    *roofline = result;
    return TW_OK;
}
