/*
 * The tile language as the student's code sees it while it is graded: every call is written down, and that is all.
 * Walks and launches are the real ones; rules, counts and arithmetic are the grader's, in its own process.
 */
#include "case.h"
#include "../../../docs/labs/lab3/lab3.h"
#include "../../../sim/emitter.h"
#include "../../../sim/slots.h"
#include "../worker/dispatch.h"

static lab_message *out;
static lab3_case now;
static int64_t num_slots; /* made so far in this block */

static tw_slot record(const tw_emitter *e, lab3_record r, int makes)
{
    const int64_t ints[LAB3_RECORD] = {r.op, e->line, r.a, r.b, r.c, r.d, r.row0, r.rows};
    for (int i = 0; i < LAB3_RECORD; i++)
        lab_message_int(out, ints[i]);
    int64_t first = num_slots;
    num_slots += makes;
    return (tw_slot){makes ? (int)first : -1};
}

static tw_slot record_on(const tw_emitter *e, lab3_op op, tw_slot s, tw_row_stats st)
{
    return record(e, (lab3_record){.op = op, .a = s.id, .b = st.m.id, .c = st.l.id, .d = st.alpha.id}, 0);
}

/* ---- the lab's own words --------------------------------------------------------------------------------- */

int lab3_window(void)
{
    return now.window;
}

int lab3_sinks(void)
{
    return now.sinks;
}

int64_t lab3_position(const tw_problem *p, int64_t row)
{
    return row + p->seqlen_k - p->seqlen_q;
}

tw_walk lab3_walk_key_tiles(tw_emitter *e, int64_t first, int64_t end)
{
    int64_t length = e->problem->seqlen_k;
    int block = e->tiling->block_n;
    int64_t count = (length + block - 1) / block;
    first = first < 0 ? 0 : first;
    end = end > count ? count : end;
    return (tw_walk){.e = e,
                     .everything = true, /* whatever the mask of the launch says: the task has its own */
                     .next = first,
                     .end = end < first ? first : end,
                     .list = {-1},
                     .length = length,
                     .block = block,
                     .outer_times = e->times};
}

bool lab3_half(tw_tile *half, tw_tile rows, const tw_tiling *t, int which)
{
    int size = t->block_m / 2, first = which * size;
    int left = rows.rows - first;
    *half = (tw_tile){.index = 2 * rows.index + which,
                      .row0 = rows.row0 + first,
                      .rows = left < size ? left : size,
                      .box_rows = size,
                      .run = 1};
    return left > 0;
}

tw_emitter *tw_at(tw_emitter *e, int line)
{
    e->line = line;
    return e;
}

/* ---- the tile language ----------------------------------------------------------------------------------- */

const char *tw_tensor_name(tw_tensor tensor)
{
    (void)tensor;
    return "?";
}

const char *tw_slot_name(const tw_slot_info *slot)
{
    (void)slot;
    return "?";
}

tw_status tw_emitter_status(const tw_emitter *e)
{
    return e->status;
}

tw_slot tw_load(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows)
{
    int head = tensor == TW_K || tensor == TW_V ? tw_problem_kv_head(e->problem, b.head) : b.head;
    return record(e,
                  (lab3_record){.op = LAB3_OP_LOAD,
                                .a = tensor,
                                .b = b.batch,
                                .c = head,
                                .row0 = rows.row0,
                                .rows = rows.run == 1 ? rows.rows : -1},
                  1);
}

tw_slot tw_load_part(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows, tw_tile cols)
{
    (void)tensor, (void)b, (void)rows, (void)cols;
    return record(e, (lab3_record){.op = LAB3_OP_FORBIDDEN}, 1);
}

void tw_store(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot)
{
    record(e, (lab3_record){.op = LAB3_OP_STORE, .a = slot.id, .b = tensor, .c = b.batch, .d = b.head}, 0);
}

tw_slot tw_zeros(tw_emitter *e, tw_tile rows)
{
    return record(e, (lab3_record){.op = LAB3_OP_ZEROS, .row0 = rows.row0, .rows = rows.rows}, 1);
}

tw_row_stats tw_row_stats_init(tw_emitter *e, tw_tile rows)
{
    tw_slot m = record(e, (lab3_record){.op = LAB3_OP_ROW_STATS, .row0 = rows.row0, .rows = rows.rows}, 3);
    return (tw_row_stats){m, {m.id + 1}, {m.id + 2}};
}

tw_row_stats tw_row_stats_of(tw_emitter *e, tw_slot m, tw_slot l)
{
    return (tw_row_stats){m, l, record(e, (lab3_record){.op = LAB3_OP_STATS_OF, .a = m.id, .b = l.id}, 1)};
}

tw_slot tw_matmul_nt(tw_emitter *e, tw_slot q, tw_slot k)
{
    return record(e, (lab3_record){.op = LAB3_OP_MATMUL_NT, .a = q.id, .b = k.id}, 1);
}

void tw_matmul_add(tw_emitter *e, tw_slot o, tw_slot p, tw_slot v)
{
    record(e, (lab3_record){.op = LAB3_OP_MATMUL_ADD, .a = o.id, .b = p.id, .c = v.id}, 0);
}

void tw_mask(tw_emitter *e, tw_slot s)
{
    record(e, (lab3_record){.op = LAB3_OP_MASK, .a = s.id}, 0);
}

/* Nothing changes the scores of a lab's problem. */
void tw_score_mod(tw_emitter *e, tw_slot s)
{
    (void)e, (void)s;
}

void tw_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    record_on(e, LAB3_OP_SOFTMAX, s, st);
}

void tw_online_softmax(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    record_on(e, LAB3_OP_ONLINE_SOFTMAX, s, st);
}

void tw_online_softmax_normalized(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    record_on(e, LAB3_OP_ONLINE_SOFTMAX_NORMALIZED, s, st);
}

void tw_row_stats_step(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    record_on(e, LAB3_OP_ROW_STATS_STEP, s, st);
}

void tw_softmax_apply(tw_emitter *e, tw_slot s, tw_row_stats st)
{
    record_on(e, LAB3_OP_SOFTMAX_APPLY, s, st);
}

void tw_rescale(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    record_on(e, LAB3_OP_RESCALE, o, st);
}

void tw_normalize(tw_emitter *e, tw_slot o, tw_row_stats st)
{
    record_on(e, LAB3_OP_NORMALIZE, o, st);
}

void tw_lse(tw_emitter *e, tw_row_stats st)
{
    record_on(e, LAB3_OP_LSE, st.m, st);
}

void tw_convert_for_unit(tw_emitter *e, tw_slot p)
{
    record(e, (lab3_record){.op = LAB3_OP_CONVERT, .a = p.id}, 0);
}

void tw_release(tw_emitter *e, tw_slot slot)
{
    record(e, (lab3_record){.op = LAB3_OP_RELEASE, .a = slot.id}, 0);
}

/* Walks along head_dim ask for it, and a lab has none. */
tw_tensor_shape tw_tensor_shape_of(tw_tensor tensor, const tw_problem *p)
{
    (void)tensor, (void)p;
    return (tw_tensor_shape){0};
}

/* No launch of a lab is spread over devices. */
void tw_send_part(tw_emitter *e, int64_t batches)
{
    (void)e, (void)batches;
}

void tw_release_stats(tw_emitter *e, tw_row_stats st)
{
    tw_release(e, st.m);
    tw_release(e, st.l);
    tw_release(e, st.alpha);
}

void tw_as_agent(tw_emitter *e, int agent)
{
    e->agent = agent;
}

void tw_multicast(tw_emitter *e, int blocks)
{
    (void)blocks;
    record(e, (lab3_record){.op = LAB3_OP_FORBIDDEN}, 1);
}

bool tw_fits(const tw_emitter *e, int64_t rows, int64_t cols)
{
    return (double)rows * (double)cols * 2 <= e->machine->smem_bytes;
}

/* No mask of a lab must be listed: the walks ask for these in vain. */
tw_slot tw_load_list(tw_emitter *e, int64_t index, int64_t listed, tw_tile_kind kind, bool of_keys)
{
    (void)e, (void)index, (void)listed, (void)kind, (void)of_keys;
    return (tw_slot){-1};
}

void tw_slot_read(tw_emitter *e, tw_slot slot)
{
    (void)e, (void)slot;
}

/* Nor does a launch of a lab work for a group of heads, which is what the walks would complain of. */
void tw_rule_broken(tw_emitter *e, const char *rule, const char *what)
{
    (void)e, (void)rule, (void)what;
}

/* ---- the dispatcher -------------------------------------------------------------------------------------- */

static void block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    e->line = 0;
    num_slots = 0;
    record(e, (lab3_record){.op = LAB3_OP_BLOCK, .a = b.batch, .b = b.head, .c = b.i.index}, 0);
    lab3_block(e, p, t, b);
    if (e->open_walks > 0)
        record(e, (lab3_record){.op = LAB3_OP_WALK_LEFT}, 0);
    e->open_walks = 0; /* the grader complains, not this process */
}

bool lab_dispatch(lab_message *answer, const lab_message *question)
{
    static const tw_backend backend = {.merges = false};
    static const tw_machine machine = {.name = "the lab's", .kind = TW_MACHINE_PAPER, .smem_bytes = 1e15};
    if (question->function != LAB3_RUN || question->num_ints != LAB3_CASE_INTS)
        return false;
    lab3_case_unpack(&now, question->ints);
    out = answer;
    tw_schedule schedule = lab3_schedule(now.task, block);
    return tw_emit(&schedule, &now.p, &now.t, &machine, &backend, NULL) == TW_OK;
}
