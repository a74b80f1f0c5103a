/* Any text behind an option: a number, a list, a type or a word that is accepted has a meaning. */
#include "../../sim/parse.h"
#include "../../sim/parse_mask.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

static void parse_masks(const char *text)
{
    int pair[2], *numbers = NULL, count = 0;
    tw_block_choice choice;
    if (tw_parse_window(pair, "--window", text) == TW_OK)
        must(pair[0] >= -1 && pair[1] >= -1);
    if (tw_parse_block_size(pair, "--block-size", text) == TW_OK)
        must(pair[0] >= 1 && pair[1] >= 1);
    if (tw_parse_numbers(&numbers, &count, "--cu-seqlens", text) == TW_OK) {
        must(count >= 1);
        for (int i = 0; i < count; i++)
            must(numbers[i] >= 0);
    }
    free(numbers);
    if (tw_parse_blocks(&choice, "--block-mask", text) == TW_OK) {
        must(choice.pattern != TW_BLOCKS_RANDOM || (choice.share > 0 && choice.share <= 1));
        must(choice.pattern != TW_BLOCKS_LOCAL || (choice.reach >= 0 && choice.global >= 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    if (size >= sizeof text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';

    int value, word;
    int64_t bytes;
    uint64_t seed;
    double number;
    tw_int_list list = {.count = 0};
    tw_dtype dtype;
    must(tw_parse_int(&value, "--batch", text) != TW_OK || value >= 1);
    must(tw_parse_bytes(&bytes, "--sram", text) != TW_OK || bytes >= 1);
    must(tw_parse_seed(&seed, "--seed", text) != TW_OK || seed <= INT64_MAX);
    must(tw_parse_fraction(&number, "--dropout", text) != TW_OK || (number >= 0 && number < 1));
    must(tw_parse_positive(&number, "--softmax-scale", text) != TW_OK || number > 0);
    must(tw_parse_dtype(&dtype, "--dtype", text) != TW_OK || dtype != TW_FP64);
    must(tw_parse_choice(&word, "--unit", "bytes|elements", text) != TW_OK || word == 0 || word == 1);
    if (tw_parse_int_list(&list, "--seqlen", text) == TW_OK) {
        must(list.count >= 1 && list.count <= TW_LIST_MAX);
        for (int i = 0; i < list.count; i++)
            must(list.values[i] >= 1);
    }
    parse_masks(text);
    (void)tw_is_near(text, "--seqlen");
    return 0;
}
