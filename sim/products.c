/* Products of tiles: which may be multiplied with which, and what that gives. */
#include "slots.h"

#include <stdio.h>

/* The products of attention and its gradients, and of a projection; the first three are the forward pass's and dP. */
typedef struct product {
    tw_op_kind kind;
    tw_tensor a, b, result;
    bool scaled; /* by softmax_scale */
} product;

static const product products[] = {
    {TW_OP_MATMUL_NT, TW_Q, TW_K, TW_S, true},             /* S  = scale · Q Kᵀ */
    {TW_OP_MATMUL_ADD, TW_P, TW_V, TW_O, false},           /* O += P V */
    {TW_OP_MATMUL_NT, TW_DO, TW_V, TW_DP, false},          /* dP = dO Vᵀ */
    {TW_OP_MATMUL_TN, TW_P, TW_DO, TW_DV, false},          /* dV += Pᵀ dO */
    {TW_OP_MATMUL_ADD, TW_DS, TW_K, TW_DQ, true},          /* dQ += scale · dS K */
    {TW_OP_MATMUL_ADD, TW_DS, TW_K, TW_DQ_SUM, true},      /* the same, towards a sum of several blocks */
    {TW_OP_MATMUL_TN, TW_DS, TW_Q, TW_DK, true},           /* dK += scale · dSᵀ Q */
    {TW_OP_MATMUL_ADD, TW_PROJECTION, TW_K, TW_KP, false}, /* K' += E K */
    {TW_OP_MATMUL_ADD, TW_PROJECTION, TW_V, TW_VP, false}, /* V' += E V */
};

/* With dropout it is P ∘ Z that is multiplied, and its gradient that dO Vᵀ gives. */
static tw_tensor with_dropout(const tw_emitter *e, tw_tensor tensor)
{
    if (!tw_dropout_is_on(&e->problem->dropout))
        return tensor;
    return tensor == TW_P ? TW_PZ : tensor == TW_DP ? TW_DPZ : tensor;
}

/* The product of its kind with this first factor, or with this result; the kind's first if there is none. */
static product find(const tw_emitter *e, tw_op_kind kind, tw_tensor tensor, bool by_result)
{
    const product *found = NULL;
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        const product *x = &products[i];
        if (x->kind == kind && (!found || (by_result ? x->result : x->a) == tensor))
            found = x;
    }
    product result = *found;
    result.a = with_dropout(e, result.a);
    result.result = with_dropout(e, result.result);
    return result;
}

static tw_op op_of(const tw_emitter *e, const product *x, tw_slot result, tw_slot a, tw_slot b)
{
    tw_op op = tw_op_new(x->kind);
    op.dst = result.id;
    op.a = a.id;
    op.b = b.id;
    op.value = x->scaled ? tw_problem_scale(e->problem) : 1.0;
    const tw_slot_info *ai = &e->slots[a.id], *bi = &e->slots[b.id];
    op.scale_a = ai->scale - 1;
    op.scale_b = bi->scale - 1;
    if (ai->p_scale > 0.0)
        op.value /= ai->p_scale; /* P is codes: so many times itself */
    return op;
}

/* Where V is a part of K, a tile of K is one of V. */
static bool is_latent(const tw_emitter *e, const product *x, const tw_slot_info *b)
{
    return x->b == TW_V && e->problem->v_in_k && b->tensor == TW_K;
}

static void read_factors(tw_emitter *e, const product *x, const tw_op *op, bool latent)
{
    tw_slot a = {op->a}, b = {op->b};
    tw_tensor second = latent ? TW_K : x->b;
    if (e->launch->projected)
        second = second == TW_K ? TW_KP : TW_VP;
    tw_slot_must_be(e, a, x->a);
    tw_slot_must_be(e, b, second);
    tw_slot_read(e, a);
    tw_slot_read(e, b);
    if (op->scale_a >= 0)
        tw_slot_read(e, (tw_slot){op->scale_a});
    if (op->scale_b >= 0)
        tw_slot_read(e, (tw_slot){op->scale_b});
}

tw_slot tw_matmul_nt(tw_emitter *e, tw_slot a, tw_slot b)
{
    tw_slot_info *ai = tw_slot_find(e, a), *bi = tw_slot_find(e, b);
    if (!ai || !bi)
        return (tw_slot){-1};
    if (ai->cols.rows != bi->cols.rows)
        tw_rule_broken(e, "matmul_nt needs tiles of equal width", "Q and K have head_dim columns");
    const product x = find(e, TW_OP_MATMUL_NT, ai->tensor, false);
    tw_slot result = tw_slot_allocate(e, x.result, TW_PLACE_REGISTERS, TW_FP32, ai->rows, bi->rows);
    tw_op op = op_of(e, &x, result, a, b);
    if (tw_op_kept(e, &op)) {
        read_factors(e, &x, &op, false);
        tw_slot_written(e, result);
        tw_op_deliver(e, &op);
    }
    return result;
}

void tw_matmul_nt_add(tw_emitter *e, tw_slot s, tw_slot q, tw_slot k)
{
    tw_slot_info *si = tw_slot_find(e, s), *qi = tw_slot_find(e, q), *ki = tw_slot_find(e, k);
    if (!si || !qi || !ki)
        return;
    bool same_columns = qi->cols.row0 == ki->cols.row0 && qi->cols.rows == ki->cols.rows;
    if (!same_columns || qi->rows.rows != si->rows.rows || ki->rows.rows != si->cols.rows)
        tw_rule_broken(e, "a product needs tiles whose sides belong together",
                       "Q and K have the same columns, and the rows and keys of S");
    const product x = find(e, TW_OP_MATMUL_NT, qi->tensor, false);
    tw_op op = op_of(e, &x, s, q, k);
    op.adds = true;
    if (!tw_op_kept(e, &op))
        return;
    tw_slot_must_be(e, s, x.result);
    read_factors(e, &x, &op, false);
    tw_slot_updated(e, s);
    tw_op_deliver(e, &op);
}

/* sum += a b, or aᵀ b: the sides that belong together, named with their sizes where they do not. Where K is V, the sum may
 * be narrower. */
static void check_sizes(tw_emitter *e, const product *x, const tw_slot_info *sum, const tw_slot_info *a,
                        const tw_slot_info *b, bool latent)
{
    char sizes[160];
    bool transposed = x->kind == TW_OP_MATMUL_TN;
    int inner = transposed ? a->rows.rows : a->cols.rows; /* that is summed over */
    int outer = transposed ? a->cols.rows : a->rows.rows;
    bool as_wide = latent ? sum->cols.rows <= b->cols.rows : sum->cols.rows == b->cols.rows;
    if (inner == b->rows.rows && outer == sum->rows.rows && as_wide)
        return;
    snprintf(sizes, sizeof sizes, "%s is %d x %d, %s %d x %d, %s %d x %d", tw_tensor_name(x->result),
             sum->rows.rows, sum->cols.rows, tw_tensor_name(x->a), a->rows.rows, a->cols.rows,
             tw_tensor_name(x->b), b->rows.rows, b->cols.rows);
    tw_rule_broken(e, "a product needs tiles whose sides belong together", sizes);
}

static void multiply_add(tw_emitter *e, tw_op_kind kind, tw_slot sum, tw_slot a, tw_slot b)
{
    tw_slot_info *si = tw_slot_find(e, sum), *ai = tw_slot_find(e, a), *bi = tw_slot_find(e, b);
    if (!si || !ai || !bi)
        return;
    const product x = find(e, kind, si->tensor, true);
    bool latent = is_latent(e, &x, bi);
    check_sizes(e, &x, si, ai, bi, latent);
    tw_op op = op_of(e, &x, sum, a, b);
    if (!tw_op_kept(e, &op))
        return;
    bool codes = bi->scale > 0; /* whatever multiplies: codes are multiplied with codes */
    if ((e->tiling->unit == TW_UNIT_TENSOR || codes) && ai->dtype != tw_problem_input_dtype(e->problem))
        tw_rule_broken(e, "tensor cores need P and dS in the input's type", "convert_for_unit is missing");
    tw_slot_must_be(e, sum, x.result);
    if (si->unscaled)
        tw_rule_broken(e, "an O that was loaded is added to before it is rescaled", "rescale is missing");
    read_factors(e, &x, &op, latent);
    tw_slot_updated(e, sum);
    tw_op_deliver(e, &op);
    tw_slot_becomes(e, sum, x.result, ai->normalized);
}

void tw_matmul_add(tw_emitter *e, tw_slot sum, tw_slot a, tw_slot b)
{
    multiply_add(e, TW_OP_MATMUL_ADD, sum, a, b);
}

void tw_matmul_tn_add(tw_emitter *e, tw_slot sum, tw_slot a, tw_slot b)
{
    multiply_add(e, TW_OP_MATMUL_TN, sum, a, b);
}
