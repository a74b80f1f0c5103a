/* The clock of a ring: steps one behind the other, in each the slowest device beside the link. */
#include "ring.h"

#include "roofline.h"

#include <math.h>

static double link_rate(const tw_machine *machine, tw_sharing sharing)
{
    return sharing == TW_SPREAD_HOST ? machine->host_bytes_per_s : machine->link_bytes_per_s;
}

static double product_rate(const tw_problem *p, const tw_machine *machine)
{
    return p->dtype == TW_FP16   ? machine->tensor_fp16_flops_per_s
           : p->dtype == TW_BF16 ? machine->tensor_bf16_flops_per_s
                                 : machine->fma_flops_per_s;
}

double tw_ring_threshold(const tw_problem *p, const tw_machine *machine, tw_sharing sharing)
{
    double rate = link_rate(machine, sharing), flops = product_rate(p, machine);
    double width = p->v_in_k ? p->head_dim : p->head_dim + tw_problem_head_dim_v(p);
    double bytes = p->num_heads_kv * width * tw_dtype_bytes(p->dtype);           /* a key */
    double work = 2.0 * p->num_heads * (p->head_dim + tw_problem_head_dim_v(p)); /* FLOPs a pair */
    return rate > 0.0 && flops > 0.0 ? bytes / rate / (work / flops) : 0.0;
}

/* One device's step as the roofline has it. */
static tw_status work_time(double *time_s, const tw_counts *part, const tw_problem *p, const tw_tiling *t,
                           const tw_machine *machine)
{
    tw_count_result one = {.num_launches = 1, .total = *part};
    tw_roofline roofline;
    one.launch[0] = *part;
    if (part->flops_executed == 0 && part->sram_fill_bytes == 0) { /* nothing to do, and no launch */
        *time_s = 0.0;
        return TW_OK;
    }
    TW_TRY(tw_roofline_time(&roofline, &one, p->dtype, t->unit, machine));
    *time_s = roofline.time_s;
    return TW_OK;
}

/* In a ring the part that a device has goes on while it works; from a second memory the next one comes meanwhile, and
 * nobody works while the first does. */
static void add_step(tw_ring_time *time, double work, double link, bool under_way)
{
    double step = under_way ? fmax(work, link) : work;
    time->time_s += step;
    time->exposed_s += step - work;
}

tw_status tw_ring_time_of(tw_ring_time *time, const tw_schedule *schedule, const tw_problem *p,
                          const tw_tiling *t, const tw_machine *machine)
{
    tw_counts parts[TW_MAX_PARTS * TW_MAX_PARTS];
    tw_sharing sharing = schedule->launches[0].spread;
    tw_ring_time all = {.parts = t->parts > 1 ? t->parts : 1,
                        .threshold = tw_ring_threshold(p, machine, sharing)};
    int devices = sharing == TW_SPREAD_HOST ? 1 : all.parts;
    double rate = link_rate(machine, sharing);
    TW_TRY(tw_count_parts(parts, schedule, p, t, machine));
    all.link_known = rate > 0.0;
    for (int step = 0; step < all.parts; step++) {
        double slowest = 0.0, most_sent = 0.0;
        for (int device = 0; device < devices; device++) {
            const tw_counts *part = &parts[step * devices + device];
            double work;
            TW_TRY(work_time(&work, part, p, t, machine));
            slowest = fmax(slowest, work);
            all.mean_s += work / devices / all.parts;
            most_sent = fmax(most_sent, (double)part->link_bytes);
            all.link_bytes += part->link_bytes;
        }
        double link = rate > 0.0 ? most_sent / rate : 0.0;
        all.link_s = fmax(all.link_s, link);
        all.slowest_s += slowest / all.parts;
        if (sharing == TW_SPREAD_HOST && step == 0) {
            all.time_s = all.exposed_s = link;
        }
        add_step(&all, slowest, all.link_s, all.parts > 1 && step + 1 < all.parts);
    }
    *time = all;
    return TW_OK;
}
