/* A verdict in words. */
#include "verdict_text.h"

#include "extras.h"
#include "table.h"

void tw_problem_print(FILE *out, const tw_problem *p)
{
    fprintf(out, "%s, batch %d, %d heads", tw_dtype_name(p->dtype), p->batch, p->num_heads);
    if (p->num_heads_kv != p->num_heads)
        fprintf(out, " on %d", p->num_heads_kv);
    char setting[TW_EXTRAS_NAME];
    tw_extras_name(setting, p);
    fprintf(out, ", %d queries x %d keys, head_dim %d", p->seqlen_q, p->seqlen_k, p->head_dim);
    if (tw_problem_head_dim_v(p) != p->head_dim)
        fprintf(out, " (V %d)", tw_problem_head_dim_v(p));
    fprintf(out, ", %s, scale %.6g\n", setting, tw_problem_scale(p));
}

/* Where an element of a tensor of so many rows, heads and columns is. */
static void print_place(FILE *out, const tw_problem *p, size_t index, size_t rows, size_t heads, size_t d)
{
    if (p->cu_seqlens_q) { /* packed: rows of all sequences, one behind the other */
        fprintf(out, "packed row %zu, head %zu, column %zu", index / d / heads, index / d % heads, index % d);
        return;
    }
    fprintf(out, "batch %zu, head %zu, row %zu, column %zu", index / d / heads / rows, index / d % heads,
            index / d / heads % rows, index % d);
}

void tw_place_print(FILE *out, const tw_problem *p, size_t index)
{
    print_place(out, p, index, (size_t)p->seqlen_q, (size_t)p->num_heads, (size_t)tw_problem_head_dim_v(p));
}

void tw_gradient_place_print(FILE *out, const tw_problem *p, int gradient, size_t index)
{
    size_t width = (size_t)(gradient == TW_GRADIENT_V ? tw_problem_head_dim_v(p) : p->head_dim);
    if (gradient == TW_GRADIENT_Q)
        print_place(out, p, index, (size_t)p->seqlen_q, (size_t)p->num_heads, width);
    else
        print_place(out, p, index, (size_t)p->seqlen_k, (size_t)p->num_heads_kv, width);
}

static void print_o(FILE *out, const tw_verdict *v, const tw_claim *c)
{
    fprintf(out, "  O    maximum error  %.3e  at ", v->o.max_abs_error);
    tw_place_print(out, &c->problem, v->o.worst_index);
    fprintf(out, ": %.6g, exact %.6g\n", v->worst_o, v->worst_o_exact);
    fprintf(out, "       RMS error      %.3e\n", v->o.rms_error);
    fprintf(out, "       relative error %.3e\n", v->o.relative_error);
    fprintf(out, "       cosine         %.9f\n", v->o.cosine);
    fprintf(out, "       allowed        %.3e  = 2 x %.3e (standard attention in %s) + %.3e\n",
            2.0 * v->o_baseline + v->o_atol, v->o_baseline, tw_dtype_name(c->problem.dtype), v->o_atol);
    if (v->o_nans > 0)
        fprintf(out, "       NaN            %zu of %zu numbers\n", v->o_nans,
                tw_problem_o_elements(&c->problem));
    if (v->o_not_finite > 0) {
        fprintf(out, "       not finite     %zu of %zu numbers, the first at ", v->o_not_finite,
                tw_problem_o_elements(&c->problem));
        tw_place_print(out, &c->problem, v->o_first_not_finite);
        fputc('\n', out);
    }
}

static void print_lse(FILE *out, const tw_verdict *v, const tw_problem *p)
{
    size_t rows = (size_t)p->seqlen_q, heads = (size_t)p->num_heads, at = v->lse.worst_index;
    if (p->cu_seqlens_q)
        rows = (size_t)tw_problem_total_q(p);
    fprintf(out, "  LSE  maximum error  %.3e  at batch %zu, head %zu, row %zu\n", v->lse.max_abs_error,
            at / rows / heads, at / rows % heads, at % rows);
    fprintf(out, "       RMS error      %.3e\n", v->lse.rms_error);
    fprintf(out, "       allowed        %.3e\n", v->lse_allowed);
    if (v->lse_nans > 0)
        fprintf(out, "       NaN            %zu of %zu numbers\n", v->lse_nans, tw_problem_lse_elements(p));
    else if (v->lse.num_nan > 0)
        fprintf(out, "       not finite     %zu where it should be, or the other way round\n",
                v->lse.num_nan);
}

void tw_verdict_print(FILE *out, const tw_verdict *v, const tw_claim *c)
{
    char count[TW_CELL_BYTES], total[TW_CELL_BYTES];
    tw_format_number(count, (double)v->sample.count, 0);
    tw_format_number(total, (double)v->sample.total, 0);
    fprintf(out, "  rows compared       %s of %s%s\n", count, total,
            v->sample.count < v->sample.total ? ", drawn by --seed; first and last of each head always" : "");
    print_o(out, v, c);
    if (c->lse)
        print_lse(out, v, &c->problem);
}

static void print_gradient(FILE *out, const tw_gradient_verdict *v, const tw_gradient_claim *c, int g)
{
    fprintf(out, "  %-4s maximum error  %.3e  at ", tw_gradient_name(g), v->error.max_abs_error);
    tw_gradient_place_print(out, &c->problem, g, v->error.worst_index);
    fprintf(out, ": %.6g, exact %.6g\n", v->worst, v->worst_exact);
    fprintf(out, "       RMS error      %.3e\n", v->error.rms_error);
    fprintf(out, "       relative error %.3e\n", v->error.relative_error);
    fprintf(out, "       cosine         %.9f\n", v->error.cosine);
    fprintf(out, "       allowed        %.3e  = 2 x %.3e (a plain backward pass in %s) + %.3e\n",
            2.0 * v->baseline + v->atol, v->baseline, tw_dtype_name(c->problem.dtype), v->atol);
    if (v->not_finite > 0) {
        fprintf(out, "       not finite     %zu numbers, the first at ", v->not_finite);
        tw_gradient_place_print(out, &c->problem, g, v->first_not_finite);
        fputc('\n', out);
    }
}

void tw_gradients_print(FILE *out, const tw_gradients_verdict *v, const tw_gradient_claim *c)
{
    fprintf(out, "  K/V heads compared  %lld of %lld, with the query heads that read them%s\n",
            (long long)v->heads, (long long)v->of_heads, v->heads < v->of_heads ? ", drawn by --seed" : "");
    for (int g = 0; g < TW_NUM_GRADIENTS; g++)
        if (c->gradient[g])
            print_gradient(out, &v->of[g], c, g);
}
