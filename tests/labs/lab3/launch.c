/* Cases as numbers, and the launches of the four tasks. */
#include "case.h"

void lab3_case_pack(int64_t ints[LAB3_CASE_INTS], const lab3_case *c)
{
    const int64_t values[LAB3_CASE_INTS] = {c->task,        c->window,         c->sinks,      c->p.batch,
                                            c->p.num_heads, c->p.num_heads_kv, c->p.seqlen_q, c->p.seqlen_k,
                                            c->p.head_dim,  c->p.causal,       c->t.block_m,  c->t.block_n};
    for (int i = 0; i < LAB3_CASE_INTS; i++)
        ints[i] = values[i];
}

void lab3_case_unpack(lab3_case *c, const int64_t ints[LAB3_CASE_INTS])
{
    *c = (lab3_case){.task = (lab3_task)ints[0],
                     .window = (int)ints[1],
                     .sinks = (int)ints[2],
                     .p = {.batch = (int)ints[3],
                           .num_heads = (int)ints[4],
                           .num_heads_kv = (int)ints[5],
                           .seqlen_q = (int)ints[6],
                           .seqlen_k = (int)ints[7],
                           .head_dim = (int)ints[8],
                           .dtype = TW_FP16,
                           .causal = ints[9] != 0},
                     .t = {.block_m = (int)ints[10], .block_n = (int)ints[11]}};
}

tw_schedule lab3_schedule(lab3_task task,
                          void (*block)(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b))
{
    const uint64_t inputs = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V);
    const uint64_t rewritten = TW_SET(TW_O) | TW_SET(TW_M) | TW_SET(TW_L);
    bool k_outer = task == LAB3_K_OUTER;
    return (tw_schedule){.name = "lab3",
                         .file = "schedule.c",
                         .num_launches = 1,
                         .launches = {{.name = "lab3",
                                       .block = block,
                                       .grid_i = k_outer ? TW_AXIS_NONE : TW_AXIS_Q_TILES,
                                       .blocks_differ = true,
                                       .reads = inputs | (k_outer ? rewritten : 0u),
                                       .writes = k_outer ? rewritten : TW_SET(TW_O) | TW_SET(TW_LSE)}},
                         .writes_lse = !k_outer,
                         .initialized = k_outer ? rewritten : 0u};
}
