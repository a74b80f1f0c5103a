/* Power, and the clock that it leaves. */
#include "power.h"

#include <math.h>

/* Beside each exponential: a maximum, a fused multiply-add, an addition, half a conversion, and its share of rescaling
 * O and of addresses. Counted in machine code of a softmax step. */
static const double operations_an_exp = 4.5;

tw_energy_work tw_energy_work_of(const tw_counts *counts, bool tensor, double l2_bytes, double hbm_bytes)
{
    double flops = (double)counts->flops_executed, exps = (double)counts->exps;
    return (tw_energy_work){.tensor_flops = tensor ? flops : 0,
                            .fmas = tensor ? 0 : flops / 2,
                            .exps = exps,
                            .plain_operations = operations_an_exp * exps,
                            .l2_bytes = l2_bytes,
                            .hbm_bytes = hbm_bytes};
}

/* Energy beyond idle at the highest clock. HBM's figure has the way through the L2 in it. */
static double dynamic_j(const tw_energy_work *w, const tw_machine *m)
{
    double through_l2 = w->l2_bytes > w->hbm_bytes ? w->l2_bytes - w->hbm_bytes : 0;
    return w->tensor_flops * m->tensor_j_per_flop + (w->fmas + w->plain_operations) * m->fma_j +
           w->exps * m->exp_j + w->smem_bytes * m->smem_j_per_byte + through_l2 * m->l2_j_per_byte +
           w->hbm_bytes * m->hbm_j_per_byte;
}

/* What is left of the highest clock where `dynamic_w`, which it would take, must fit into a limit. */
static double slower(const tw_machine *m, double dynamic_w, double limit_w)
{
    double room_w = limit_w - m->idle_w;
    if (m->power_exponent <= 0 || room_w <= 0 || dynamic_w <= room_w)
        return 1;
    return pow(room_w / dynamic_w, 1 / m->power_exponent);
}

/* At a clock, unless the mix of what works does not allow it. */
static double time_at(const tw_energy_work *w, const tw_machine *m, double clock_hz)
{
    double mixed_hz = m->mixed_clock_hz > 0 ? fmin(clock_hz, m->mixed_clock_hz) : clock_hz;
    return w->tensor_cycles / mixed_hz + (w->cycles - w->tensor_cycles) / clock_hz;
}

tw_status tw_power_of(tw_power *power, const tw_energy_work *work, const tw_machine *m)
{
    if (m->clock_hz <= 0)
        return tw_fail(TW_EUNSUPPORTED, "machine %s has no clock_hz, so cycles have no time", m->name);
    double dynamic_w = dynamic_j(work, m) / (work->cycles / m->clock_hz),
           kept = slower(m, dynamic_w, m->limit_w);
    double burst_w = m->burst_limit_w > 0 ? m->burst_limit_w : m->limit_w;
    tw_power p = {.lasting_clock_hz = m->clock_hz * kept, .energy_j = NAN, .power_w = NAN};
    p.lasting_time_s = time_at(work, m, p.lasting_clock_hz);
    p.time_s = time_at(work, m, m->clock_hz * slower(m, dynamic_w, burst_w));
    p.clock_hz = work->cycles / p.time_s;
    if (m->limit_w > 0) {
        p.power_w = m->idle_w + dynamic_w * pow(kept, m->power_exponent);
        p.energy_j = p.power_w * p.lasting_time_s;
    }
    *power = p;
    return TW_OK;
}
