/* Lab 2's shapes: no tile divides the sequence. */
#include "variant.h"
#include "../grader/judge.h"
#include "../grader/seed.h"

const int lab_number = 2;
const char *const lab_source = "counts.c";

lab2_variant lab2_variant_of(uint64_t seed)
{
    return (lab2_variant){.n = 1000 * lab_seed_pick(seed, 0, 2, 8) + 100 * lab_seed_pick(seed, 1, 1, 9) + 1,
                          .d = 64 * lab_seed_pick(seed, 2, 1, 2),
                          .block_m = 64 * lab_seed_pick(seed, 3, 1, 2),
                          .sram_bytes = 16384 * lab_seed_pick(seed, 4, 7, 12)};
}

void lab_title(char *title, size_t size, uint64_t seed)
{
    (void)seed;
    snprintf(title, size, "Lab 2: counting");
}

void lab_describe(FILE *out, uint64_t seed)
{
    lab2_variant t = lab2_variant_of(seed);
    fprintf(out, "SEQLEN=%d\nHEAD_DIM=%d\nBLOCK_M=%d\nSRAM=%d\nSRAM_KIB=%d\n", t.n, t.d, t.block_m,
            t.sram_bytes, t.sram_bytes / 1024);
}
