/* The README's table: every rung on one shape, measured in turn with the peers, and how the last rung fares against
 * them on many shapes. */
#include "tables.h"

#include <math.h>
#include <string.h>

/* What shares are taken of. */
typedef struct yardsticks {
    double product_flops_per_s; /* of the same run */
    double peer_us;             /* the fastest peer on the table's shape; NAN if there is none */
} yardsticks;

static const char dash[] = "–";

/* ---- cells ---------------------------------------------------------------------------------------------- */

static void put(FILE *out, const char *format, double value)
{
    if (isnan(value))
        fprintf(out, " %s |", dash);
    else
        fprintf(out, format, value);
}

static void put_speed(FILE *out, const tw_ladder_row *row, const yardsticks *y)
{
    double flops_per_s = tw_ladder_flops(row) / (1e-6 * row->time_us);
    put(out, " %.3f ms |", 1e-3 * row->time_us);
    put(out, " %.1f |", 1e-12 * flops_per_s);
    put(out, " %.0f %% |", 100.0 * flops_per_s / y->product_flops_per_s);
    put(out, " %.0f %% |", tw_ladder_is_product(row) ? (double)NAN : 100.0 * y->peer_us / row->time_us);
}

/* From mJ to pJ a FLOP, and the end of the row. */
static void put_energy(FILE *out, const tw_ladder_row *row)
{
    put(out, " %.2f |", 1e9 * row->energy_mj / tw_ladder_flops(row));
    fputc('\n', out);
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

static tw_status put_rung(FILE *out, const tw_kernel_claim *kernel, const tw_ladder_row *row,
                          const yardsticks *y, const tw_measured_list *counters)
{
    char path[128];
    int lines;
    tw_count_result count;
    snprintf(path, sizeof path, "gpu/kernels/%s.cu", kernel->name);
    TW_TRY(tw_code_lines(&lines, path));
    TW_TRY(tw_count_kernel(&count, kernel, &row->problem, row->block_m, row->block_n, "h100"));
    const tw_measured *seen = tw_measured_find(counters, kernel->name, &row->problem, row->block_m,
                                               row->block_n);
    fprintf(out, "| [%s](%s) | %s | %d |", kernel->name, path, kernel->idea, lines);
    put_speed(out, row, y);
    put(out, " %.3f GB |", 1e-9 * (double)(count.total.sram_fill_bytes + count.total.sram_drain_bytes));
    put(out, " %.3f GB |", seen != NULL ? 1e-9 * (seen->fill_bytes + seen->drain_bytes) : (double)NAN);
    put(out, " %.3f GB |",
        seen != NULL ? 1e-9 * (seen->hbm_read_bytes + seen->hbm_write_bytes) : (double)NAN);
    put_energy(out, row);
    return TW_OK;
}

static const char *peer_idea(const char *name)
{
    static const struct {
        const char *name, *idea;
    } known[] = {{"unfused", "PyTorch: two products and a softmax, S and P in HBM"},
                 {"sdpa-efficient", "PyTorch's memory-efficient back end"},
                 {"sdpa-flash2", "PyTorch's FlashAttention-2 back end"},
                 {"sdpa-cudnn", "PyTorch's cuDNN back end"},
                 {"matrix_product", "cuBLAS, fp16, 8192 x 8192 x 8192: the yardstick"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].idea;
    return "";
}

/* A kernel of others, or the matrix product: no lines, and no bytes that anybody counted. */
static void put_other(FILE *out, const tw_ladder_row *row, const yardsticks *y)
{
    fprintf(out, "| %s | %s | %s |", row->kernel, peer_idea(row->kernel), dash);
    put_speed(out, row, y);
    fprintf(out, " %s | %s | %s |", dash, dash, dash);
    put_energy(out, row);
}

/* ---- the shape of the table ----------------------------------------------------------------------------- */

static const tw_ladder_row *first_rung(const tw_ladder *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!tw_ladder_is_peer(&l->rows[i]) && !tw_ladder_is_product(&l->rows[i]))
            return &l->rows[i];
    return NULL;
}

static bool on_shape(const tw_ladder *l, const tw_ladder_row *row, const tw_problem *shape)
{
    return tw_ladder_find(l, row->kernel, shape) == row;
}

static tw_status find_yardsticks(yardsticks *y, const tw_ladder *l, const tw_problem *shape)
{
    *y = (yardsticks){(double)NAN, (double)NAN};
    for (size_t i = 0; i < l->count; i++) {
        const tw_ladder_row *row = &l->rows[i];
        if (tw_ladder_is_product(row))
            y->product_flops_per_s = tw_ladder_flops(row) / (1e-6 * row->time_us);
        else if (tw_ladder_is_peer(row) && on_shape(l, row, shape))
            y->peer_us = fmin(y->peer_us, row->time_us); /* NAN gives way */
    }
    return isnan(y->product_flops_per_s) ? tw_fail(TW_EFORMAT, "the ladder has no row of the matrix product")
                                         : TW_OK;
}

static tw_status put_table(FILE *out, const tw_ladder *l, const tw_problem *shape,
                           const tw_measured_list *counters)
{
    const tw_kernel_claim *kernel;
    yardsticks y;
    TW_TRY(find_yardsticks(&y, l, shape));
    fprintf(
        out,
        "| rung | idea | lines | time | TFLOP/s | of the matrix product | of the fastest peer | into and out "
        "of the SMs: counted | measured | HBM | pJ a FLOP |\n");
    fprintf(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for (int k = 0; (kernel = tw_kernel_at(k)) != NULL; k++) {
        const tw_ladder_row *row = tw_ladder_find(l, kernel->name, shape);
        if (row != NULL)
            TW_TRY(put_rung(out, kernel, row, &y, counters));
    }
    for (size_t i = 0; i < l->count; i++)
        if (tw_ladder_is_peer(&l->rows[i]) && on_shape(l, &l->rows[i], shape))
            put_other(out, &l->rows[i], &y);
    for (size_t i = 0; i < l->count; i++)
        if (tw_ladder_is_product(&l->rows[i]))
            put_other(out, &l->rows[i], &y);
    return TW_OK;
}

/* ---- the contest ---------------------------------------------------------------------------------------- */

/* How many times as long a peer takes, over all shapes that both were measured on. */
typedef struct contest {
    int shapes;
    double log_sum, least, most;
    int shortest, longest; /* sequences */
} contest;

static contest hold_contest(const tw_ladder *l, const char *kernel, const char *peer)
{
    contest c = {.least = INFINITY, .shortest = INT32_MAX};
    for (size_t i = 0; i < l->count; i++) {
        const tw_ladder_row *own = &l->rows[i];
        const tw_ladder_row *other = tw_ladder_find(l, peer, &own->problem);
        if (strcmp(own->kernel, kernel) != 0 || other == NULL)
            continue;
        double ratio = other->time_us / own->time_us;
        int n = own->problem.seqlen_k;
        c.shapes++;
        c.log_sum += log(ratio);
        c.least = fmin(c.least, ratio);
        c.most = fmax(c.most, ratio);
        c.shortest = n < c.shortest ? n : c.shortest;
        c.longest = n > c.longest ? n : c.longest;
    }
    return c;
}

static void put_contest(FILE *out, const tw_ladder *l, const char *kernel, const char *peer)
{
    char shortest[16], longest[16];
    const contest c = hold_contest(l, kernel, peer);
    if (c.shapes < 2)
        return;
    tw_length_name(shortest, sizeof shortest, c.shortest);
    tw_length_name(longest, sizeof longest, c.longest);
    fprintf(out,
            "\n%s takes %.3f times as long as %s: geometric mean of %d shapes, N = %s to %s, causal and not; "
            "%.3f to %.3f.\n",
            peer, exp(c.log_sum / c.shapes), kernel, c.shapes, shortest, longest, c.least, c.most);
}

/* The highest rung, which is the one that was measured on many shapes; "" if there is none. */
static const char *highest_rung(const tw_ladder *l)
{
    const char *highest = "";
    for (size_t i = 0; i < l->count; i++)
        if (!tw_ladder_is_peer(&l->rows[i]) && !tw_ladder_is_product(&l->rows[i]) &&
            strcmp(l->rows[i].kernel, highest) > 0)
            highest = l->rows[i].kernel;
    return highest;
}

static void put_contests(FILE *out, const tw_ladder *l)
{
    for (size_t i = 0; i < l->count; i++) {
        bool first = tw_ladder_is_peer(&l->rows[i]);
        for (size_t j = 0; j < i && first; j++)
            first = strcmp(l->rows[j].kernel, l->rows[i].kernel) != 0;
        if (first)
            put_contest(out, l, highest_rung(l), l->rows[i].kernel);
    }
}

tw_status tw_ladder_table(FILE *out, const tw_ladder *ladder, const tw_measured_list *counters)
{
    const tw_ladder_row *first = first_rung(ladder);
    char length[16];
    if (first == NULL)
        return tw_fail(TW_EFORMAT, "the ladder has no row of a rung");
    const tw_problem *p = &first->problem;
    tw_length_name(length, sizeof length, p->seqlen_k);
    fprintf(out, "\n");
    TW_TRY(put_table(out, ladder, p, counters));
    fprintf(
        out,
        "\n%s, batch %d, %d heads of %d, N = %s, %s: medians of %d rounds in which everything was measured "
        "in turn; %s, commit %s. Lines are of code, without comments.\n",
        tw_dtype_name(p->dtype), p->batch, p->num_heads, p->head_dim, length,
        p->causal ? "causal" : "no mask", ladder->rounds, ladder->gpu, ladder->commit);
    put_contests(out, ladder);
    fprintf(out, "\n");
    return TW_OK;
}
