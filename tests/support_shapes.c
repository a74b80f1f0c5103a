/* Awkward shapes of attention, and machines by name. */
#include "support_shapes.h"

#include <check.h>

tw_problem tw_shape_problem(const tw_shape_case *shape, tw_dtype dtype)
{
    return (tw_problem){.batch = shape->batch,
                        .num_heads = shape->heads,
                        .num_heads_kv = shape->heads_kv,
                        .seqlen_q = shape->seqlen_q,
                        .seqlen_k = shape->seqlen_k,
                        .head_dim = shape->head_dim,
                        .dtype = dtype,
                        .causal = shape->causal};
}

tw_machine tw_machine_named(const char *name)
{
    tw_machine machine;
    ck_assert_msg(tw_machine_find(&machine, name) == TW_OK, "%s", tw_error_message());
    return machine;
}
