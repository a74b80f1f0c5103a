/* Two predictions, side by side. */
#include "explain.h"

#include "table.h"

#include <math.h>
#include <string.h>

static double time_ms(const tw_prediction *p)
{
    return p->power.time_s * 1e3;
}

/* ---- where the time goes -------------------------------------------------------------------------------- */

/* Milliseconds of a term, at the highest clock; what a lower clock costs is a term by itself. */
static double term_ms(const tw_prediction *p, int term, const tw_machine *machine)
{
    return p->total.terms[term] / machine->clock_hz * 1e3;
}

static double clock_ms(const tw_prediction *p, const tw_machine *machine)
{
    return time_ms(p) - p->total.cycles / machine->clock_hz * 1e3;
}

static void put_line(tw_table *t, const char *what, double a, double b)
{
    tw_table_row(t);
    tw_table_cell(t, 0, "%s", what);
    tw_table_number(t, 1, a, 4);
    tw_table_number(t, 2, b, 4);
    tw_table_cell(t, 3, "%+.4f", b - a);
}

static tw_status print_terms(FILE *out, const tw_contender *a, const tw_contender *b,
                             const tw_machine *machine)
{
    tw_table t = {.num_columns = 0};
    tw_table_column(&t, "where the time goes", "", true);
    tw_table_column(&t, a->name, "ms", false);
    tw_table_column(&t, b->name, "ms", false);
    tw_table_column(&t, "difference", "ms", false);
    for (int term = 0; term < TW_NUM_TERMS; term++)
        put_line(&t, tw_term_name((tw_term)term), term_ms(a->result, term, machine),
                 term_ms(b->result, term, machine));
    put_line(&t, "clock below its highest", clock_ms(a->result, machine), clock_ms(b->result, machine));
    put_line(&t, "all", time_ms(a->result), time_ms(b->result));
    return tw_table_print(&t, out);
}

static double moved_mb(const tw_prediction *p)
{
    const tw_counts *n = &p->counts.total;
    return (double)(n->sram_fill_bytes + n->sram_drain_bytes) / 1e6;
}

static tw_status print_work(FILE *out, const tw_contender *a, const tw_contender *b)
{
    const struct {
        const char *what;
        double a, b;
        int decimals;
    } rows[] = {
        {"into and out of the SMs, MB", moved_mb(a->result), moved_mb(b->result), 1},
        {"HBM, MB", a->result->hbm_bytes / 1e6, b->result->hbm_bytes / 1e6, 1},
        {"products, GFLOP", (double)a->result->counts.total.flops_executed / 1e9,
         (double)b->result->counts.total.flops_executed / 1e9, 1},
        {"exponentials, M", (double)a->result->counts.total.exps / 1e6,
         (double)b->result->counts.total.exps / 1e6, 1},
        {"launches", a->result->num_launches, b->result->num_launches, 0},
        {"SMs with work, first launch", a->result->active_sms[0], b->result->active_sms[0], 0},
        {"SM clock, GHz", a->result->power.clock_hz / 1e9, b->result->power.clock_hz / 1e9, 2},
    };
    tw_table t = {.num_columns = 0};
    tw_table_column(&t, "what it does", "", true);
    tw_table_column(&t, a->name, "", false);
    tw_table_column(&t, b->name, "", false);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tw_table_row(&t);
        tw_table_cell(&t, 0, "%s", rows[i].what);
        tw_table_number(&t, 1, rows[i].a, rows[i].decimals);
        tw_table_number(&t, 2, rows[i].b, rows[i].decimals);
    }
    tw_table_row(&t);
    tw_table_cell(&t, 0, "limited by");
    tw_table_cell(&t, 1, "%s", a->result->limiter);
    tw_table_cell(&t, 2, "%s", b->result->limiter);
    return tw_table_print(&t, out);
}

/* ---- what would have to change -------------------------------------------------------------------------- */

static tw_status time_with(double *ms, const tw_contender *c, const tw_build *build,
                           const tw_machine *machine)
{
    tw_predict_options how = TW_PREDICT_DEFAULTS;
    tw_prediction p;
    TW_TRY(tw_predict(&p, build, &c->problem, machine, &how));
    *ms = time_ms(&p);
    return TW_OK;
}

/* The term in which most is lost, and by how much it would have to shrink. */
static void print_largest(FILE *out, const tw_contender *slow, const tw_contender *fast,
                          const tw_machine *machine)
{
    double gap = time_ms(slow->result) - time_ms(fast->result), most = 0;
    int worst = 0;
    for (int term = 0; term < TW_NUM_TERMS; term++) {
        double lost = term_ms(slow->result, term, machine) - term_ms(fast->result, term, machine);
        worst = lost > most ? term : worst;
        most = lost > most ? lost : most;
    }
    double has = term_ms(slow->result, worst, machine);
    if (has > gap)
        fprintf(out, "    %s: %.4f ms, must become %.4f, %.2f times as fast\n", tw_term_name((tw_term)worst),
                has, has - gap, has / (has - gap));
    else
        fprintf(out, "    %s: %.4f ms; without any of it, it would still lose\n",
                tw_term_name((tw_term)worst), has);
}

/* A thing that could be otherwise. */
typedef struct change {
    const char *what;
    tw_build build;
    tw_machine machine;
    double share; /* of the time that is left when work is spread evenly; 1: as it is */
} change;

static bool with_tensor_cores(change *x)
{
    if (x->build.multiplier != TW_BY_FMA || x->machine.mma_fp16_flops_per_clock <= 0)
        return false;
    x->what = "products by mma.sync, fragments by ldmatrix:";
    x->build.multiplier = TW_BY_MMA;
    x->build.operands = TW_OPERANDS_LDMATRIX;
    return true;
}

static bool with_cp_async(change *x)
{
    if (x->build.copier == TW_COPY_TMA || x->build.copier == TW_COPY_CP_ASYNC)
        return false;
    x->what = "tiles by cp.async:";
    x->build.copier = TW_COPY_CP_ASYNC;
    return true;
}

/* The busiest SM has then as much to do as the average one has now. */
static bool spread_evenly(change *x, const tw_prediction *p)
{
    static const double nearly_even = 0.9;
    double even = 0;
    for (int i = 0; i < p->num_launches; i++)
        even += p->mean_share[i] * p->launch[i].cycles / p->total.cycles;
    if (even > nearly_even)
        return false;
    x->what = "the same work spread evenly over all SMs:";
    x->share = even;
    return true;
}

static bool with_more_hbm(change *x)
{
    x->what = "twice the HBM bandwidth:";
    x->machine.hbm_read_bytes_per_s *= 2;
    x->machine.hbm_write_bytes_per_s *= 2;
    x->machine.hbm_copy_bytes_per_s *= 2;
    return true;
}

static bool without_power_limit(change *x)
{
    x->what = "no power limit:";
    x->machine.limit_w = x->machine.burst_limit_w = 0;
    return true;
}

static tw_status print_change(FILE *out, const tw_contender *slow, const change *x, double wanted)
{
    double ms;
    TW_TRY(time_with(&ms, slow, &x->build, &x->machine));
    ms *= x->share;
    fprintf(out, "    %-48s %10.4f ms  %s\n", x->what, ms, ms < wanted ? "wins" : "still loses");
    return TW_OK;
}

/* The same stream with other means: what each would bring, and what the kernel's own would bring together. */
static tw_status print_changes(FILE *out, const tw_contender *slow, const tw_contender *fast,
                               const tw_machine *machine)
{
    const change as_it_is = {.build = slow->build, .machine = *machine, .share = 1};
    double wanted = time_ms(fast->result);
    change all = as_it_is;
    int own = with_tensor_cores(&all) + with_cp_async(&all) + spread_evenly(&all, slow->result);
    fprintf(out, "What would have to change for %s to win\n", slow->name);
    print_largest(out, slow, fast, machine);
    for (int i = 0; i < 5; i++) {
        change x = as_it_is;
        bool possible = i == 0   ? with_tensor_cores(&x)
                        : i == 1 ? with_cp_async(&x)
                        : i == 2 ? spread_evenly(&x, slow->result)
                        : i == 3 ? with_more_hbm(&x)
                                 : without_power_limit(&x);
        if (i == 3 && own > 1) {
            all.what = "all of these together:";
            TW_TRY(print_change(out, slow, &all, wanted));
        }
        if (possible)
            TW_TRY(print_change(out, slow, &x, wanted));
    }
    return TW_OK;
}

/* ---- from which length on ------------------------------------------------------------------------------- */

/* Times of both for a length, tokens alike as far as batches go. */
static tw_status times_at(double ms[2], const tw_contender *const both[2], int seqlen,
                          const tw_machine *machine)
{
    for (int i = 0; i < 2; i++) {
        const tw_problem *p = &both[i]->problem;
        tw_contender c = *both[i];
        int64_t tokens = (int64_t)p->batch * p->seqlen_q;
        c.problem.seqlen_q = c.problem.seqlen_k = seqlen;
        c.problem.batch = tokens / seqlen > 1 ? (int)(tokens / seqlen) : 1;
        TW_TRY(time_with(&ms[i], &c, &c.build, machine));
    }
    return TW_OK;
}

/* Only lengths at which the lead changes are told; tokens stay the same while there are enough. */
static tw_status print_lengths(FILE *out, const tw_contender *const both[2], const tw_machine *machine)
{
    enum { SHORTEST = 256, LONGEST = 64 * 1024 };
    int leads = -1;
    char length[16];
    fprintf(out, "By length, doubling, with as many tokens\n");
    for (int n = SHORTEST; n <= LONGEST; n *= 2) {
        double ms[2];
        TW_TRY(times_at(ms, both, n, machine));
        int ahead = ms[1] < ms[0];
        tw_seqlen_name(length, sizeof length, n);
        if (ahead != leads)
            fprintf(out, "    from N = %-4s on %s is ahead: %.4f ms against %.4f\n", length,
                    both[ahead]->name, ms[ahead], ms[!ahead]);
        leads = ahead;
    }
    tw_seqlen_name(length, sizeof length, LONGEST);
    fprintf(out, "    and so to %s\n", length);
    return TW_OK;
}

tw_status tw_explain(FILE *out, const tw_contender *a, const tw_contender *b, const tw_machine *machine)
{
    const tw_problem *p = &a->problem;
    const tw_contender *const both[2] = {a, b};
    bool b_faster = time_ms(b->result) < time_ms(a->result);
    const tw_contender *fast = b_faster ? b : a, *slow = b_faster ? a : b;
    char length[16];
    tw_seqlen_name(length, sizeof length, p->seqlen_k);
    fprintf(out, "%s and %s on %s%s: %s, batch %d, %d heads of %d, N = %s%s\n", a->name, b->name,
            machine->name, tw_machine_caveat(machine), tw_dtype_name(p->dtype), p->batch, p->num_heads,
            p->head_dim, length, p->causal ? ", causal" : "");
    fprintf(out, "%s is %.2f times as fast.\n\n", fast->name, time_ms(slow->result) / time_ms(fast->result));
    TW_TRY(print_work(out, a, b));
    fputc('\n', out);
    TW_TRY(print_terms(out, a, b, machine));
    fputc('\n', out);
    TW_TRY(print_changes(out, slow, fast, machine));
    fputc('\n', out);
    TW_TRY(print_lengths(out, both, machine));
    for (int i = 0; i < 2; i++)
        if (*both[i]->result->outside)
            fprintf(out, "! %s: outside of what was held against measurements: %s\n", both[i]->name,
                    both[i]->result->outside);
    return TW_OK;
}
