/* What `tilewise io` shows to people. */
#include "io_table.h"

#include "io_masks.h"
#include "io_ring.h"
#include "saving.h"
#include "table.h"

#include <math.h>
#include <string.h>

bool tw_same_setting(const tw_problem *a, const tw_problem *b)
{
    return a->num_heads == b->num_heads && a->num_heads_kv == b->num_heads_kv && a->head_dim == b->head_dim;
}

/* --tokens makes shorter sequences come in larger batches. */
static bool batch_varies(const tw_counted *cases, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (cases[i].c.problem.batch != cases[0].c.problem.batch)
            return true;
    return false;
}

static void print_setting(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine)
{
    const tw_problem *p = &cases[0].c.problem;
    fprintf(out, "Traffic on %s (%s)%s\n", machine->name, machine->description, tw_machine_caveat(machine));
    fprintf(out, "%s, ", tw_dtype_name(p->dtype));
    if (!batch_varies(cases, count))
        fprintf(out, "batch %d, ", p->batch);
    fprintf(out, "%d heads", p->num_heads);
    if (p->num_heads_kv != p->num_heads)
        fprintf(out, " on %d key/value heads", p->num_heads_kv);
    char name[TW_EXTRAS_NAME];
    tw_extras_name(name, p);
    fprintf(out, ", head_dim %d", p->head_dim);
    if (tw_problem_head_dim_v(p) != p->head_dim)
        fprintf(out, " (V %d)", tw_problem_head_dim_v(p));
    fprintf(out, ", %s; %.0f bytes of SRAM a block\n\n", name, machine->smem_bytes);
}

static void put_lengths(tw_table *table, int column, const tw_problem *p)
{
    char q[16], k[16];
    tw_seqlen_name(q, sizeof q, p->seqlen_q);
    tw_seqlen_name(k, sizeof k, p->seqlen_k);
    if (p->cu_seqlens_q)
        tw_table_cell(table, column, "to %s x %s", q, k);
    else if (p->seqlen_q == p->seqlen_k)
        tw_table_cell(table, column, "%s", q);
    else
        tw_table_cell(table, column, "%s x %s", q, k);
}

static void put_blocks(tw_table *table, int column, const tw_case *c)
{
    if (c->schedule->ignores_sram)
        tw_table_cell(table, column, "whole");
    else if (c->backward && (c->tiling.block_m != c->backward_tiling.block_m ||
                             c->tiling.block_n != c->backward_tiling.block_n))
        tw_table_cell(table, column, "%d x %d, %d x %d", c->tiling.block_m, c->tiling.block_n,
                      c->backward_tiling.block_m, c->backward_tiling.block_n);
    else
        tw_table_cell(table, column, "%d x %d", c->tiling.block_m, c->tiling.block_n);
}

static void put_name(tw_table *table, int column, const tw_case *c)
{
    tw_table_cell(table, column, "%s%s", c->schedule->name, c->backward ? " + backward" : "");
}

/* ---- counts --------------------------------------------------------------------------------------------- */

/* The four traffic numbers in the unit asked for. */
typedef struct traffic {
    double fill, drain, hbm_read, hbm_write;
} traffic;

static traffic traffic_of(const tw_counts *t, bool elements)
{
    if (elements)
        return (traffic){(double)t->sram_fill_elements, (double)t->sram_drain_elements,
                         (double)t->hbm_read_elements, (double)t->hbm_write_elements};
    return (traffic){(double)t->sram_fill_bytes, (double)t->sram_drain_bytes, (double)t->hbm_read_bytes,
                     (double)t->hbm_write_bytes};
}

/* How each kind of number is scaled, chosen by the largest of its kind. Elements are counted on paper: they stay exact. */
typedef struct scales {
    tw_scale traffic, flops, exps;
    char traffic_unit[16], flops_unit[16], exps_unit[16];
} scales;

static scales scales_for(const tw_counted *cases, size_t count, bool elements)
{
    double most_traffic = 0, most_flops = 0, most_exps = 0;
    for (size_t i = 0; i < count; i++) {
        traffic t = traffic_of(&cases[i].result.total, elements);
        most_traffic = fmax(most_traffic, fmax(fmax(t.fill, t.drain), fmax(t.hbm_read, t.hbm_write)));
        most_flops = fmax(most_flops, (double)cases[i].result.total.flops);
        most_exps = fmax(most_exps, (double)cases[i].result.total.exps);
    }
    scales s = {.traffic = elements ? (tw_scale){.divisor = 1.0, .prefix = ""} : tw_scale_for(most_traffic),
                .flops = tw_scale_for(most_flops),
                .exps = tw_scale_for(most_exps)};
    if (elements)
        snprintf(s.traffic_unit, sizeof s.traffic_unit, "elements");
    else
        snprintf(s.traffic_unit, sizeof s.traffic_unit, *s.traffic.prefix ? "%sB" : "bytes",
                 s.traffic.prefix);
    snprintf(s.flops_unit, sizeof s.flops_unit, "%sFLOP", s.flops.prefix);
    snprintf(s.exps_unit, sizeof s.exps_unit, "%s", s.exps.prefix);
    return s;
}

static void put_scaled(tw_table *table, int column, double value, const tw_scale *scale)
{
    tw_table_number(table, column, value / scale->divisor, scale->decimals);
}

/* Does any case have a replay to show? */
static bool any_replay(const tw_counted *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].l2)
            return true;
    return false;
}

static void add_count_columns(tw_table *t, const scales *s, bool batch, bool replays,
                              const tw_machine *machine)
{
    bool gpu = machine->kind == TW_MACHINE_GPU, l2 = tw_machine_has_l2(machine);
    if (batch)
        tw_table_column(t, "batch", "", false);
    tw_table_column(t, "seqlen", "", false);
    tw_table_column(t, "algorithm", "", true);
    tw_table_column(t, "tiles", "m x n", false);
    tw_table_column(t, "SRAM fill", s->traffic_unit, false);
    tw_table_column(t, "SRAM drain", s->traffic_unit, false);
    tw_table_column(t, l2 ? "HBM read*" : "HBM read", s->traffic_unit, false);
    tw_table_column(t, l2 ? "HBM write*" : "HBM write", s->traffic_unit, false);
    if (replays) {
        tw_table_column(t, "HBM read", s->traffic_unit, false);
        tw_table_column(t, "HBM write", s->traffic_unit, false);
    }
    tw_table_column(t, "products", s->flops_unit, false);
    tw_table_column(t, "exps", s->exps_unit, false);
    tw_table_column(t, "SRAM peak", "bytes", false);
    if (gpu) {
        tw_table_column(t, "registers", "bytes", false);
        tw_table_column(t, "blocks", "an SM", false);
    }
}

/* What the L2 leaves for HBM, in bytes; "-" where there was nothing to replay. */
static void put_replay(tw_table *t, int column, const tw_counted *counted, const scales *s)
{
    const tw_l2_job *l2 = counted->l2;
    if (!l2 || l2->status != TW_OK) {
        tw_table_cell(t, column, "-");
        tw_table_cell(t, column + 1, "-");
        return;
    }
    put_scaled(t, column, (double)l2->result.total.traffic.hbm_read_bytes, &s->traffic);
    put_scaled(t, column + 1, (double)l2->result.total.traffic.hbm_write_bytes, &s->traffic);
}

/* Cells in the order of the columns. */
static void add_count_row(tw_table *t, const tw_counted *counted, const scales *s, bool batch, bool replays,
                          const tw_machine *machine, bool elements)
{
    const tw_counts *n = &counted->result.total;
    const traffic moved = traffic_of(n, elements);
    int column = 0;
    tw_table_row(t);
    if (batch)
        tw_table_cell(t, column++, "%d", counted->c.problem.batch);
    put_lengths(t, column++, &counted->c.problem);
    put_name(t, column++, &counted->c);
    put_blocks(t, column++, &counted->c);
    put_scaled(t, column++, moved.fill, &s->traffic);
    put_scaled(t, column++, moved.drain, &s->traffic);
    put_scaled(t, column++, moved.hbm_read, &s->traffic);
    put_scaled(t, column++, moved.hbm_write, &s->traffic);
    if (replays) {
        put_replay(t, column, counted, s);
        column += 2;
    }
    put_scaled(t, column++, (double)n->flops, &s->flops);
    put_scaled(t, column++, (double)n->exps, &s->exps);
    if (counted->c.schedule->ignores_sram) {
        tw_table_cell(t, column, "exempt");
        return;
    }
    tw_table_number(t, column++, (double)n->sram_peak_bytes, 0);
    if (machine->kind != TW_MACHINE_GPU)
        return;
    tw_table_number(t, column++, (double)n->register_peak_bytes, 0);
    tw_table_cell(t, column, "%d", tw_blocks_per_sm(machine, n->sram_peak_bytes, n->register_peak_bytes));
}

static bool same_lengths(const tw_problem *a, const tw_problem *b)
{
    return a->batch == b->batch && a->seqlen_q == b->seqlen_q && a->seqlen_k == b->seqlen_k;
}

static tw_status print_counts(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine,
                              bool elements)
{
    const scales s = scales_for(cases, count, elements);
    const bool batch = batch_varies(cases, count), replays = any_replay(cases, count) && !elements;
    tw_table t = {.num_columns = 0};
    add_count_columns(&t, &s, batch, replays, machine);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !same_lengths(&cases[i].c.problem, &cases[i - 1].c.problem))
            tw_table_row(&t); /* an empty line */
        add_count_row(&t, &cases[i], &s, batch, replays, machine, elements);
    }
    return tw_table_print(&t, out);
}

/* ---- notes under the counts ----------------------------------------------------------------------------- */

static bool seen_before(const tw_counted *cases, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (cases[j].c.schedule == cases[i].c.schedule)
            return true;
    return false;
}

/* Is the reason of a case without a replay that of an earlier one? */
static bool reason_is_known(const tw_counted *cases, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (cases[j].l2 && cases[j].l2->status != TW_OK && strcmp(cases[j].l2->why, cases[i].l2->why) == 0)
            return true;
    return false;
}

/* What the columns without a star are, and why some cells of theirs are empty. */
static void print_replay_notes(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine)
{
    bool calibrated;
    tw_l2_shape_of(&calibrated, machine);
    fprintf(out, "  HBM without *: predicted by a replay through the L2%s.\n",
            calibrated ? "" : ", which is not calibrated: the machine file has no measured numbers for it");
    for (size_t i = 0; i < count; i++)
        if (cases[i].l2 && cases[i].l2->status != TW_OK && !reason_is_known(cases, i))
            fprintf(out, "  -  %s\n", cases[i].l2->why);
}

/* The column behind the longest name. */
static int ledger_column(const tw_counted *cases, size_t count)
{
    size_t longest = 15;
    for (size_t i = 0; i < count; i++) {
        const tw_schedule *last = cases[i].c.backward ? cases[i].c.backward : cases[i].c.schedule;
        longest = strlen(last->name) > longest ? strlen(last->name) : longest;
    }
    return (int)longest + 1;
}

static void print_ledger(FILE *out, const tw_schedule *schedule, int column)
{
    fprintf(out, "  %-*s%s\n", column, schedule->name, schedule->ledger);
}

static void print_ledgers(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine,
                          bool elements)
{
    const int column = ledger_column(cases, count);
    fprintf(out, "\nLedgers\n");
    for (size_t i = 0; i < count; i++)
        if (!seen_before(cases, i)) {
            print_ledger(out, cases[i].c.schedule, column);
            if (cases[i].c.backward)
                print_ledger(out, cases[i].c.backward, column);
        }
    if (elements)
        fprintf(out, "Elements are each tensor's own: a row statistic (m, l, LSE; 4 bytes) counts as one.\n");
    if (tw_machine_has_l2(machine))
        fprintf(out, "* HBM: compulsory traffic only, what each launch touches moved once.\n");
    if (any_replay(cases, count) && !elements)
        print_replay_notes(out, cases, count, machine);
}

/* ---- savings -------------------------------------------------------------------------------------------- */

#define MAX_NOTES 26

/* Why savings below 2x are small, marked a, b, c, …: one note for each reason and what it speaks of. */
typedef struct notes {
    int count;
    struct {
        const tw_counted *counted; /* the first that it was needed for */
        const tw_schedule *baseline;
        tw_saving_reason reason;
        tw_saving saving;
    } note[MAX_NOTES];
} notes;

/* Does note i say what this saving needs? That a sequence is short is said once, of whatever pair. */
static bool says(const notes *n, int i, const tw_counted *counted, const tw_schedule *baseline,
                 tw_saving_reason reason)
{
    if (n->note[i].reason != reason)
        return false;
    return reason == TW_SAVING_SHORT ||
           (n->note[i].counted->c.schedule == counted->c.schedule && n->note[i].baseline == baseline);
}

/* The letter behind a saving; ' ' if it needs no explanation. */
static char mark(notes *n, const tw_counted *counted, const tw_schedule *baseline, const tw_saving *saving,
                 bool hbm)
{
    tw_saving_reason reason = hbm ? saving->hbm_reason : saving->sram_reason;
    if (reason == TW_SAVING_FINE)
        return ' ';
    for (int i = 0; i < n->count; i++)
        if (says(n, i, counted, baseline, reason))
            return (char)('a' + i);
    if (n->count == MAX_NOTES)
        return '?';
    n->note[n->count].counted = counted;
    n->note[n->count].baseline = baseline;
    n->note[n->count].reason = reason;
    n->note[n->count].saving = *saving;
    return (char)('a' + n->count++);
}

static void put_saving(tw_table *table, int column, double saving, char letter)
{
    char number[TW_CELL_BYTES];
    if (isnan(saving)) {
        tw_table_cell(table, column, "-  ");
        return;
    }
    tw_format_number(number, saving, 2);
    tw_table_cell(table, column, "%.30sx %c", number, letter);
}

static void print_limit(FILE *out, const tw_case *c, const tw_machine *machine, const tw_schedule *baseline)
{
    double limit = tw_saving_limit(c, machine, baseline);
    if (!isnan(limit))
        fprintf(out, " At head_dim %d with tiles of %d x %d it tends to %.2fx for long sequences.",
                c->problem.head_dim, c->tiling.block_m, c->tiling.block_n, limit);
}

static void print_note(FILE *out, const notes *n, int i, const tw_machine *machine)
{
    const tw_counted *counted = n->note[i].counted;
    const tw_problem *p = &counted->c.problem;
    const char *name = counted->c.schedule->name, *base = n->note[i].baseline->name;
    const tw_saving *saving = &n->note[i].saving;
    fprintf(out, "  %c  ", 'a' + i);
    switch (n->note[i].reason) {
    case TW_SAVING_SHORT:
        fprintf(out,
                "There is little to save: at %d x %d, S and P are small beside Q, K, V and O (%d wide), and "
                "moving only "
                "those, each once, would save no more than %.2fx against %s.",
                p->seqlen_q, p->seqlen_k, p->head_dim, saving->sram_best, base);
        break;
    case TW_SAVING_TEXTBOOK:
        fprintf(out,
                "%s against %s: the textbook's ledger charges each product its operands once, as if K and V "
                "stayed on "
                "chip; %s pays for every tile that it loads again. Set it beside standard_tiled, which pays "
                "alike.",
                name, base, name);
        print_limit(out, &counted->c, machine, n->note[i].baseline);
        if (tw_machine_has_l2(machine) && saving->hbm >= 2.0)
            fprintf(out, " Behind the L2 only HBM traffic is left, and of that it saves %.2fx.", saving->hbm);
        break;
    case TW_SAVING_RELOADS:
        fprintf(out,
                "%s against %s: it loads too much again, because its tiles (%d x %d) are small beside "
                "head_dim %d: more "
                "SRAM or a smaller head_dim would allow larger ones.",
                name, base, counted->c.tiling.block_m, counted->c.tiling.block_n, p->head_dim);
        print_limit(out, &counted->c, machine, n->note[i].baseline);
        break;
    case TW_SAVING_FINE:
        break;
    }
    fputc('\n', out);
}

/* Columns: two baselines, and two levels of each where there is an L2 between them. */
static tw_status print_savings(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine)
{
    static const tw_schedule *const baselines[2] = {&tw_schedule_standard, &tw_schedule_standard_tiled};
    bool l2 = tw_machine_has_l2(machine), any = false;
    notes n = {.count = 0};
    tw_table t = {.num_columns = 0};
    int batch = batch_varies(cases, count) ? tw_table_column(&t, "batch", "", false) : -1;
    int length = tw_table_column(&t, "seqlen", "", false), name = tw_table_column(&t, "algorithm", "", true);
    int blocks = tw_table_column(&t, "tiles", "m x n", false);
    int sram[2], hbm[2];
    for (int b = 0; b < 2; b++) {
        sram[b] = tw_table_column(&t, b ? "of standard_tiled" : "of standard", l2 ? "SRAM  " : "", false);
        hbm[b] = l2 ? tw_table_column(&t, "", "HBM*  ", false) : -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (tw_is_baseline(cases[i].c.schedule))
            continue;
        any = true;
        tw_table_row(&t);
        if (batch >= 0)
            tw_table_cell(&t, batch, "%d", cases[i].c.problem.batch);
        put_lengths(&t, length, &cases[i].c.problem);
        put_name(&t, name, &cases[i].c);
        put_blocks(&t, blocks, &cases[i].c);
        for (int b = 0; b < 2; b++) {
            tw_saving saving = tw_saving_of(&cases[i].result.total, &cases[i].c, machine, baselines[b]);
            put_saving(&t, sram[b], saving.sram, mark(&n, &cases[i], baselines[b], &saving, false));
            if (l2)
                put_saving(&t, hbm[b], saving.hbm, mark(&n, &cases[i], baselines[b], &saving, true));
        }
    }
    if (any)
        fprintf(out, "\nSavings: bytes of standard attention over bytes of the algorithm, in + out\n\n");
    tw_status status = any ? tw_table_print(&t, out) : TW_OK;
    if (n.count > 0 && status == TW_OK)
        fprintf(out, "\nWhy a saving is below 2x\n");
    for (int i = 0; i < n.count && status == TW_OK; i++)
        print_note(out, &n, i, machine);
    return status;
}

tw_status tw_io_table_print(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine,
                            bool elements)
{
    print_setting(out, cases, count, machine);
    TW_TRY(print_counts(out, cases, count, machine, elements));
    print_ledgers(out, cases, count, machine, elements);
    TW_TRY(tw_io_ring_print(out, cases, count, machine));
    TW_TRY(tw_io_masks_print(out, cases, count));
    TW_TRY(tw_io_packing_print(out, cases, count, machine));
    return print_savings(out, cases, count, machine);
}
