/* Strict reading of what a user typed of codes and scales. */
#include "parse_quantize.h"

#include "parse.h"
#include "parse_mask.h"

#include <stdio.h>
#include <string.h>

/* Significant bits that the sums of Hopper's fp8 tensor cores keep. DeepSeek-AI, arXiv:2412.19437, section 3.3. */
enum { HOPPER_FP8_BITS = 14, MOST_BITS = 52 };

/* An option that says more about what --quantize says first. */
static tw_status check_alone(const tw_quantize_texts *t)
{
    const char *name = t->scales ? "--scales" : t->scale_block ? "--scale-block" : "--hadamard";
    if (!t->scales && !t->scale_block && !t->hadamard)
        return TW_OK;
    return tw_fail(TW_EINVAL, "%s is given, but nothing is quantised: it must come with --quantize", name);
}

static tw_status read_blocks(tw_quantize *z, const char *text)
{
    int size[2];
    if (z->scales != TW_SCALES_BLOCK)
        return tw_fail(TW_EINVAL,
                       "--scale-block is '%s', but scales are of a %s: it must come with --scales=block",
                       tw_quote(text).text, tw_scales_name(z->scales));
    TW_TRY(tw_parse_block_size(size, "--scale-block", text));
    z->block_rows = size[0];
    z->block_keys = size[1];
    return TW_OK;
}

tw_status tw_parse_quantize(tw_quantize *quantize, const tw_quantize_texts *t, uint64_t seed)
{
    int format, scales = 0;
    if (!t->format) {
        TW_TRY(check_alone(t));
        *quantize = (tw_quantize){.format = TW_FP32};
        return TW_OK;
    }
    TW_TRY(tw_parse_choice(&format, "--quantize", "e4m3|e5m2|int8", t->format));
    if (t->scales)
        TW_TRY(tw_parse_choice(&scales, "--scales", "tensor|block|token", t->scales));
    tw_quantize z = {.format = (tw_dtype)(TW_E4M3 + format),
                     .scales = (tw_scales)scales,
                     .hadamard = t->hadamard,
                     .hadamard_seed = seed};
    if (t->scale_block)
        TW_TRY(read_blocks(&z, t->scale_block));
    *quantize = z;
    return TW_OK;
}

tw_status tw_parse_sums(tw_sums *sums, const char *what, const char *text)
{
    int bits = 0;
    tw_sums found = {.bits = 0};
    if (text && strcmp(text, "fp16") == 0)
        found.fp16 = true;
    else if (text && strcmp(text, "hopper-fp8") == 0)
        found.bits = HOPPER_FP8_BITS;
    else if (text && strcmp(text, "fp32") != 0) {
        if (tw_parse_int(&bits, what, text) != TW_OK || bits > MOST_BITS)
            return tw_fail(TW_EINVAL,
                           "%s is '%s', it must be fp32, fp16, hopper-fp8 or significant bits from 1 to %d",
                           what, tw_quote(text).text, MOST_BITS);
        found.bits = bits;
    }
    *sums = found;
    return TW_OK;
}

void tw_quantize_name(char *text, size_t size, const tw_quantize *q)
{
    char block[64] = "tile";
    if (q->block_rows > 0)
        snprintf(block, sizeof block, "block of %d x %d", q->block_rows, q->block_keys);
    snprintf(text, size, "%s, a scale a %s%s", tw_dtype_name(q->format),
             q->scales == TW_SCALES_BLOCK ? block : tw_scales_name(q->scales),
             q->hadamard ? ", Hadamard" : "");
}
