/* Lab 2: what was counted on paper and read off tilewise io, against the simulator's own counts. */
#include "../../../sim/schedules/registry.h"
#include "judge.h"
#include "variant.h"

tw_counts lab2_count(const tw_schedule *schedule, int64_t n, int64_t d, int64_t block_m, int64_t block_n,
                     bool causal)
{
    const tw_machine machine = {.name = "paper", .kind = TW_MACHINE_PAPER, .smem_bytes = 1e15};
    tw_problem p = {.batch = 1,
                    .num_heads = 1,
                    .num_heads_kv = 1,
                    .seqlen_q = (int)n,
                    .seqlen_k = (int)n,
                    .head_dim = (int)d,
                    .dtype = TW_FP16,
                    .causal = causal};
    tw_tiling t = {.block_m = (int)block_m, .block_n = (int)block_n};
    tw_count_result result;
    if (tw_count(&result, schedule, &p, &t, &machine) != TW_OK)
        return (tw_counts){.sram_fill_elements = -1};
    return result.total;
}

int64_t lab2_elements(const tw_schedule *schedule, int64_t n, int64_t d, int64_t block_m, int64_t block_n)
{
    tw_counts c = lab2_count(schedule, n, d, block_m, block_n, false);
    return c.sram_fill_elements + c.sram_drain_elements;
}

int64_t lab2_crossover(int64_t n, int64_t d, int64_t element_bytes)
{
    int64_t standard = lab2_elements(&tw_schedule_standard, n, d, 1, 1);
    for (int64_t block_n = 1; block_n <= n; block_n++)
        if (lab2_elements(&tw_schedule_flash1, n, d, block_n, block_n) < standard)
            return 4 * d * element_bytes * block_n;
    return 0;
}

static void judge_small(lab_judge *judge)
{
    lab_item *item = lab_report_item(judge->report, 10, "answers: N = 4, d = 2 by hand");
    lab_judge_answer(judge, item, "standard_4x2", (double)lab2_elements(&tw_schedule_standard, 4, 2, 2, 2),
                     0.0,
                     "three passes: Q, K in and S out; S in and P out; P, V in and O out; LSE is not in this "
                     "ledger");
    lab_judge_answer(
        judge, item, "standard_tiled_4x2", (double)lab2_elements(&tw_schedule_standard_tiled, 4, 2, 2, 2),
        0.0, "a product of tiles loads its operands again for every tile of its result; LSE is written, too");
    lab_judge_answer(judge, item, "flash1_4x2", (double)lab2_elements(&tw_schedule_flash1, 4, 2, 2, 2), 0.0,
                     "K and V once; in each of two passes Q in, and O, m and l in and out");
    lab_judge_answer(judge, item, "flash2_4x2", (double)lab2_elements(&tw_schedule_flash2, 4, 2, 2, 2), 0.0,
                     "Q once, K and V once for each query tile, O and LSE once");
}

static void judge_paper(lab_judge *judge, const lab2_variant *t, int64_t block_n)
{
    lab_item *item = lab_report_item(judge->report, 10, "answers: your own shape on paper");
    lab_judge_answer(judge, item, "block_n", (double)block_n, 0.0,
                     "four tiles of block_n x head_dim elements of 2 bytes must fit; round down");
    lab_judge_answer(judge, item, "flash1_elements",
                     (double)lab2_elements(&tw_schedule_flash1, t->n, t->d, 1, block_n), 0.0,
                     "how many key tiles are there, counting the last, shorter one?");
    lab_judge_answer(judge, item, "flash2_elements",
                     (double)lab2_elements(&tw_schedule_flash2, t->n, t->d, t->block_m, 128), 0.0,
                     "how many query tiles are there, counting the last, shorter one? And is LSE in it?");
}

static int64_t bytes_of(tw_counts c)
{
    return c.sram_fill_bytes + c.sram_drain_bytes;
}

static void judge_program(lab_judge *judge, const lab2_variant *t)
{
    lab_item *fill = lab_report_item(judge->report, 5, "answers: bytes as tilewise io counts them");
    lab_item *saving = lab_report_item(judge->report, 5, "answers: savings in both ledgers");
    tw_counts flash2 = lab2_count(&tw_schedule_flash2, t->n, t->d, t->block_m, 128, false);
    tw_counts standard = lab2_count(&tw_schedule_standard, t->n, t->d, t->block_m, 128, false);
    tw_counts tiled = lab2_count(&tw_schedule_standard_tiled, t->n, t->d, t->block_m, 128, false);
    lab_judge_answer(judge, fill, "flash2_fill_bytes", (double)flash2.sram_fill_bytes, 0.0,
                     "it is the column sram_fill_bytes of the handout's last command, in the row of flash2");
    double of_standard = (double)bytes_of(standard) / (double)bytes_of(flash2);
    double of_tiled = (double)bytes_of(tiled) / (double)bytes_of(flash2);
    lab_judge_answer(judge, saving, "saving_of_standard", of_standard, 0.0051,
                     "textbook bytes over bytes of flash2");
    lab_judge_answer(judge, saving, "saving_of_standard_tiled", of_tiled, 0.0051,
                     "bytes of tiled products over bytes of flash2");
}

void lab_judge_answers(lab_judge *judge)
{
    lab2_variant t = lab2_variant_of(judge->seed);
    judge_small(judge);
    judge_paper(judge, &t, t.sram_bytes / (4 * t.d * 2));
    judge_program(judge, &t);
    lab_item *item = lab_report_item(judge->report, 5, "answers: where the crossover lies");
    lab_judge_answer(
        judge, item, "crossover_bytes", (double)lab2_crossover(t.n, t.d, 2), 0.0,
        "how many passes may FlashAttention make before it moves as much as 4N² + 4Nd? Then what must "
        "block_n be, and four tiles of it in bytes?");
}
