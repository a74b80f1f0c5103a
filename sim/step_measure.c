/* How long a walk is, found out before it is run: one that is too long to step through is refused. */
#include "backend_trace.h"

#include "../cpu_ref/memory.h"
#include "backend_count.h"
#include "backend_numeric.h"

bool tw_trace_is_scores(tw_tensor tensor)
{
    return tensor == TW_S || tensor == TW_P || tensor == TW_PZ || tensor == TW_DP || tensor == TW_DPZ ||
           tensor == TW_DS;
}

int tw_trace_written(int ids[4], const tw_op *op)
{
    int n = 0;
    bool softmax = op->kind == TW_OP_SOFTMAX || op->kind == TW_OP_ONLINE_SOFTMAX ||
                   op->kind == TW_OP_ROW_STATS;
    bool input = op->kind == TW_OP_LOAD && (op->tensor == TW_Q || op->tensor == TW_K || op->tensor == TW_V);
    if (op->dst >= 0 && op->kind != TW_OP_RELEASE && op->kind != TW_OP_ROW_STATS && !input)
        ids[n++] = op->dst;
    if (softmax) {
        ids[n++] = op->stats.m.id;
        ids[n++] = op->stats.l.id;
    }
    if (op->kind == TW_OP_ONLINE_SOFTMAX)
        ids[n++] = op->stats.alpha.id;
    return n;
}

typedef struct measure {
    const tw_trace_options *options;
    int64_t tiles, numbers;
} measure;

static tw_status measure_op(void *self, const tw_emitter *e, const tw_op *op)
{
    measure *size = self;
    const tw_trace_options *o = size->options;
    int ids[4], n = o->full ? tw_trace_written(ids, op) : 0;
    for (int i = 0; i < n; i++)
        size->numbers += tw_slot_elements(&e->slots[ids[i]]);
    if (op->kind == TW_OP_RELEASE && tw_trace_is_scores(e->slots[op->dst].tensor)) {
        size->tiles++;
        size->numbers += 2 * e->slots[op->dst].rows.rows + tw_problem_head_dim_v(e->problem);
    }
    const char *advice = "take a shorter --seqlen, fewer heads, or a larger --block-m and --block-n";
    if (size->tiles > o->max_tiles)
        return tw_fail(TW_EUNSUPPORTED, "the walk has more than %lld tiles, too many to step through: %s",
                       (long long)o->max_tiles, advice);
    if (size->numbers > o->max_numbers)
        return tw_fail(TW_EUNSUPPORTED, "the walk has more than %lld numbers to show, too many: %s",
                       (long long)o->max_numbers,
                       "take a shorter --seqlen, fewer heads, or a smaller --head-dim");
    return TW_OK;
}

tw_status tw_trace_check(const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                         const tw_machine *machine, const tw_trace_options *options)
{
    static const tw_backend measuring = {.merges = false, .op = measure_op};
    measure size = {.options = options};
    tw_count_result counted; /* where the tiles do not fit, its line says what would */
    TW_TRY(tw_count(&counted, schedule, problem, tiling, machine));
    TW_TRY(tw_emit(schedule, problem, tiling, machine, &measuring, &size));
    double bytes = tw_numeric_bytes(schedule, problem, tiling);
    if (options->forward)
        bytes += tw_numeric_bytes(options->forward, problem, &options->forward_tiling);
    return tw_memory_check(bytes, "the walk");
}
