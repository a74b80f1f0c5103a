/* The simplest time there is. */
#include "roofline.h"

/* 0 where the rate is not known. */
static double seconds(double amount, double per_s)
{
    return per_s > 0.0 ? amount / per_s : 0.0;
}

static double flops_rate(tw_dtype dtype, tw_unit unit, const tw_machine *m)
{
    if (unit == TW_UNIT_FMA || dtype == TW_FP32)
        return m->fma_flops_per_s;
    return dtype == TW_BF16 ? m->tensor_bf16_flops_per_s : m->tensor_fp16_flops_per_s;
}

static tw_roofline_launch time_launch(const tw_counts *n, tw_dtype dtype, tw_unit unit, const tw_machine *m)
{
    bool fma = unit == TW_UNIT_FMA || dtype == TW_FP32;
    tw_roofline_launch t = {
        .l2_s = seconds((double)n->sram_fill_bytes + (double)n->sram_drain_bytes, m->l2_bytes_per_s),
        .hbm_s = seconds((double)n->hbm_read_bytes, m->hbm_read_bytes_per_s) +
                 seconds((double)n->hbm_write_bytes, m->hbm_write_bytes_per_s),
        .flops_s = seconds((double)n->flops_executed, flops_rate(dtype, unit, m)),
        .exps_s = seconds((double)n->exps, m->exps_per_s)};
    const struct {
        double time_s;
        const char *name;
    } limits[] = {{t.l2_s, "L2"},
                  {t.hbm_s, "HBM"},
                  {t.flops_s, fma ? "FMA" : "tensor cores"},
                  {t.exps_s, "exponentials"}};
    t.limit = limits[0].name;
    t.time_s = limits[0].time_s;
    for (int i = 1; i < 4; i++) {
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
    if (m->l2_bytes_per_s <= 0 && m->hbm_read_bytes_per_s <= 0 && flops_rate(dtype, unit, m) <= 0)
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
