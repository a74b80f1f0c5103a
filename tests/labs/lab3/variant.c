/* Lab 3's tasks by seed. */
#include "variant.h"
#include "../grader/judge.h"
#include "../grader/seed.h"

const int lab_number = 3;
const char *const lab_source = "schedule.c";

lab3_case lab3_paper_case(uint64_t seed)
{
    lab3_case c = {
        .task = (lab3_task)lab_seed_pick(seed, 0, 0, LAB3_NUM_TASKS - 1),
        .window = lab_seed_pick(seed, 1, 18, 45),
        .sinks = lab_seed_pick(seed, 2, 2, 6),
        .t = {.block_m = 16 * lab_seed_pick(seed, 3, 1, 2), .block_n = 8 * lab_seed_pick(seed, 4, 1, 2)}};
    int n = 32 * lab_seed_pick(seed, 5, 5, 8);
    c.p = (tw_problem){.batch = 1,
                       .num_heads = 1,
                       .num_heads_kv = 1,
                       .seqlen_q = n,
                       .seqlen_k = n,
                       .head_dim = 32 * lab_seed_pick(seed, 6, 1, 2),
                       .dtype = TW_FP16,
                       .causal = c.task != LAB3_K_OUTER};
    return c;
}

void lab_title(char *title, size_t size, uint64_t seed)
{
    static const char *const tasks[] = {"K and V outer", "a sliding window", "a sliding window with sinks",
                                        "two query tiles per block"};
    snprintf(title, size, "Lab 3: a schedule of your own: %s", tasks[lab3_paper_case(seed).task]);
}

/* The mask of the paper task, in words. */
static void describe_mask(FILE *out, const lab3_case *c)
{
    bool window = c->task == LAB3_WINDOW || c->task == LAB3_SINKS;
    fprintf(out, "PAPER_MASK=");
    if (!c->p.causal)
        fprintf(out, "no mask\n");
    else if (!window)
        fprintf(out, "a causal mask\n");
    else if (c->task == LAB3_WINDOW)
        fprintf(out, "the mask of your task (w = %d)\n", c->window);
    else
        fprintf(out, "the mask of your task (w = %d, g = %d)\n", c->window, c->sinks);
    fprintf(out, "MASKS=%s\n",
            window ? "Always with the mask of your task." : "With a causal mask, and also without one.");
}

void lab_describe(FILE *out, uint64_t seed)
{
    static const char *const files[] = {"task_k_outer.md", "task_window.md", "task_sinks.md",
                                        "task_two_tiles.md"};
    lab3_case c = lab3_paper_case(seed);
    fprintf(out, "TASK_FILE=%s\nWINDOW=%d\nSINKS=%d\nSEQLEN=%d\nHEAD_DIM=%d\nBLOCK_M=%d\nBLOCK_N=%d\n",
            files[c.task], c.window, c.sinks, c.p.seqlen_q, c.p.head_dim, c.t.block_m, c.t.block_n);
    describe_mask(out, &c);
}
