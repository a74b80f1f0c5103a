/* Calls the student's functions of lab 2. */
#include "../../../docs/labs/lab2/lab2.h"
#include "../worker/dispatch.h"
#include "questions.h"

bool lab_dispatch(lab_message *answer, const lab_message *question)
{
    if (question->num_ints != 4)
        return false;
    const int64_t *a = question->ints;
    int64_t result;
    switch (question->function) {
    case LAB2_STANDARD:
        result = standard_elements(a[0], a[1]);
        break;
    case LAB2_STANDARD_TILED:
        result = standard_tiled_elements(a[0], a[1], a[2], a[3]);
        break;
    case LAB2_FLASH1:
        result = flash1_elements(a[0], a[1], a[2]);
        break;
    case LAB2_FLASH2:
        result = flash2_elements(a[0], a[1], a[2]);
        break;
    case LAB2_CAUSAL:
        result = flash2_causal_elements(a[0], a[1], a[2], a[3]);
        break;
    case LAB2_BYTES:
        result = flash2_bytes(a[0], a[1], a[2], a[3]);
        break;
    case LAB2_BLOCK_N:
        result = flash1_block_n(a[0], a[1], a[2]);
        break;
    case LAB2_BLOCK_M:
        result = flash2_block_m(a[0], a[1], a[2], a[3]);
        break;
    case LAB2_CROSSOVER:
        result = crossover_sram_bytes(a[0], a[1], a[2]);
        break;
    default:
        return false;
    }
    lab_message_int(answer, result);
    return true;
}
