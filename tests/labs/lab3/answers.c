/* Lab 3: what was counted on paper. */
#include "../grader/judge.h"
#include "expect.h"
#include "variant.h"

void lab_judge_answers(lab_judge *judge)
{
    lab3_case paper = lab3_paper_case(judge->seed);
    lab_item *bytes = lab_report_item(judge->report, 5, "answers: bytes in and out");
    lab_item *sram = lab_report_item(judge->report, 5, "answers: bytes on chip");
    lab3_budget b = lab3_expect_traffic(&paper);
    lab_judge_answer(
        judge, bytes, "fill_bytes", (double)b.fill_bytes, 0.0,
        "count the rows of each tile that is loaded, times head_dim, times 2 bytes; m and l have 4 bytes");
    lab_judge_answer(judge, bytes, "drain_bytes", (double)b.drain_bytes, 0.0,
                     "count what is stored: O at 2 bytes an element, and row statistics at 4 bytes each");
    lab_judge_answer(judge, sram, "sram_bytes", (double)b.sram, 0.0,
                     "the tiles of Q, O, K and V that are live at once, 2 bytes an element; m, l, S and P "
                     "are not charged");
}
