/* Numbers for a case, and the comparison of what a schedule made of them, row by row. */
#include "tensors.h"

#include <math.h>
#include <stdlib.h>

bool lab3_make_tensors(lab3_tensors *x, lab_judge *judge, const lab3_case *c, double offset)
{
    size_t nq = tw_problem_q_elements(&c->p), nk = tw_problem_k_elements(&c->p),
           nl = tw_problem_lse_elements(&c->p);
    size_t d = (size_t)c->p.head_dim, scratch = (4 * d + 2) * (size_t)c->p.seqlen_k;
    x->all = calloc(2 * nq + 2 * nk + nl + scratch + d, sizeof(double));
    if (!x->all)
        return false;
    x->q = x->all, x->k = x->q + nq, x->v = x->k + nk, x->o = x->v + nk, x->lse = x->o + nq;
    x->scratch = x->lse + nl, x->want = x->scratch + scratch;
    lab_judge_normal(judge, x->q, nq, 1.0);
    lab_judge_normal(judge, x->k, nk, 1.0);
    for (size_t i = 0; offset != 0.0 && i < nq; i += d)
        x->q[i] = offset / tw_problem_scale(&c->p);
    for (size_t i = 0; offset != 0.0 && i < nk; i += d)
        x->k[i] = 1.0;
    lab_judge_normal(judge, x->v, nk, 1.0);
    return true;
}

/* ---- one row -------------------------------------------------------------------------------------------------- */

typedef struct row {
    const lab3_tensors *x;
    const lab3_case *c;
    int batch, head, row;
} row;

static const double *output_of(const row *r)
{
    return r->x->o + tw_problem_q_row(&r->c->p, r->batch, r->head, r->row);
}

static double lse_of(const row *r)
{
    return r->x->lse[tw_problem_lse_at(&r->c->p, r->batch, r->head, r->row)];
}

static bool output_equals(const row *r, const double *want)
{
    for (int i = 0; i < r->c->p.head_dim; i++)
        if (!lab_close(output_of(r)[i], want[i]))
            return false;
    return true;
}

/* Is the row, or at least its O, its LSE, as someone who made this mistake would have it? */
static bool equals(const row *r, lab3_mistake mistake, bool *o, bool *lse)
{
    double wanted;
    lab3_expect_row(r->x->want, &wanted, r->c, mistake, r->x->q, r->x->k, r->x->v, r->batch, r->head, r->row,
                    r->x->scratch);
    *o = output_equals(r, r->x->want);
    *lse = lab_close(lse_of(r), wanted);
    return *o && *lse;
}

static bool is_slip(const row *r, lab3_slip slip)
{
    lab3_expect_slip(r->x->want, slip, r->c, r->x->q, r->x->k, r->x->v, r->batch, r->head, r->row);
    return output_equals(r, r->x->want);
}

/* ---- why ------------------------------------------------------------------------------------------------------ */

/* O is right, LSE is not: is the sum of exponentials a multiple of what it should be? */
static bool is_counted_often(const row *r)
{
    double want, ratio;
    lab3_expect_row(r->x->want, &want, r->c, LAB3_RIGHT, r->x->q, r->x->k, r->x->v, r->batch, r->head, r->row,
                    r->x->scratch);
    ratio = exp(lse_of(r) - want);
    return ratio > 1.5 && fabs(ratio - round(ratio)) < 1e-6;
}

/* No usual mistake explains all of the row; what is right of it says where not to look. */
static const char *guess(const row *r)
{
    bool o, lse, k_outer = r->c->task == LAB3_K_OUTER;
    equals(r, LAB3_RIGHT, &o, &lse);
    if (isnan(output_of(r)[0]) || (lse_of(r) == -INFINITY && !lse))
        return "It was never stored, or computed from something that was never set.";
    if (!o && is_slip(r, LAB3_OTHER_STEP))
        return k_outer ? "O is kept normalised, and the step for that is online_softmax_normalized."
                       : "O is normalised at the end alone, and the step for that is online_softmax.";
    if (!o && is_slip(r, LAB3_LATE_RESCALE))
        return "O is rescaled after the tile was added to it: the rescale comes before matmul_add.";
    if (o && is_counted_often(r))
        return "O is right, and LSE is that of keys that are all seen more than once: is a tile visited "
               "twice?";
    if (o)
        return k_outer
                   ? "O is right, and LSE, which follows from M and L, is not: are both stored after the "
                     "step?"
                   : "O is right, LSE is not: does lse(e, st) come after the last step, and is st.m stored?";
    if (lse)
        return "LSE is right, so the walk, the mask and the scores are; O is not. Is it rescaled before each "
               "matmul_add, is V the tile of the same keys as K, and is O normalised once, at the right "
               "time?";
    return "None of the usual mistakes explains it. Some to think of: a tile visited twice or not at all; K "
           "of another "
           "tile than the walk's; Q, O or the row state of other rows; a step on scores that are not masked "
           "yet.";
}

/* Which usual mistake explains this row? */
static const char *explain(const row *r)
{
    static const char *const hints[LAB3_NUM_MISTAKES] = {
        [LAB3_NO_MASK] =
            "The row has seen all keys of its tiles: is mask(e, s) missing where the mask cuts a tile?",
        [LAB3_LAST_TILE_MISSING] =
            "The last key tile that the rows see is missing: the tiles run from first to end - 1.",
        [LAB3_FIRST_TILE_MISSING] = "The first key tile that the rows see is missing.",
        [LAB3_WINDOW_SHORT] = "The window is one key too short: lab3_window() keys, and the row's own.",
        [LAB3_WINDOW_LONG] = "The window is one key too long: lab3_window() keys, and the row's own.",
        [LAB3_NO_SINKS] = "The sink keys are missing.",
        [LAB3_SINKS_TWICE] =
            "Tiles of sinks that the window reaches are visited twice: each tile exactly once.",
        [LAB3_SINK_TILE_MISSING] = "The last tile of the sinks is missing.",
    };
    bool o, lse;
    for (int m = LAB3_RIGHT + 1; m < LAB3_NUM_MISTAKES; m++)
        if (hints[m] && (m > LAB3_SINK_TILE_MISSING || r->c->task == LAB3_SINKS) &&
            equals(r, (lab3_mistake)m, &o, &lse))
            return hints[m];
    return guess(r);
}

static void compare_row(const row *r, lab_item *item, const char *name)
{
    bool o, lse;
    const tw_problem *p = &r->c->p;
    if (equals(r, LAB3_RIGHT, &o, &lse))
        return;
    lab_lose(item, "%s (%d queries, %d keys, head_dim %d, tiles %d x %d): query row %d is not attention. %s",
             name, p->seqlen_q, p->seqlen_k, p->head_dim, r->c->t.block_m, r->c->t.block_n, r->row,
             explain(r));
}

void lab3_compare(const lab3_tensors *x, const lab3_case *c, lab_item *item, const char *name)
{
    for (int batch = 0; batch < c->p.batch; batch++)
        for (int head = 0; head < c->p.num_heads; head++)
            for (int i = 0; i < c->p.seqlen_q && !item->lost; i++)
                compare_row(&(row){x, c, batch, head, i}, item, name);
}
