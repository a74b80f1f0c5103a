/* Parts of K and V on their way between memories: what the emitter sends behind a step of a ring. */
#include "emitter.h"

/* The part that a device has goes to the next one; on one device it comes out of the second memory. */
void tw_send_part(tw_emitter *e, int64_t batches)
{
    const tw_problem *p = e->problem;
    for (int t = 0; t < TW_NUM_TENSORS; t++) {
        bool latent = t == TW_V && p->v_in_k; /* it has gone with K */
        if (!(e->launch->travels & TW_SET(t)) || p->seqlen_k == 0 || latent)
            continue;
        tw_op op = tw_op_new(TW_OP_SEND);
        op.tensor = (tw_tensor)t;
        op.batch = e->batch;
        op.rows = tw_tile_at(0, p->seqlen_k, p->seqlen_k);
        op.cols = tw_tile_at(0, (int)tw_tensor_shape_of(op.tensor, p).cols,
                             tw_tensor_shape_of(op.tensor, p).cols);
        e->times = batches * tw_tensor_shape_of(op.tensor, p).heads;
        e->agent = 0;
        if (tw_op_kept(e, &op))
            tw_op_deliver(e, &op);
    }
}
