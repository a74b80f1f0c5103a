/* Lab 1's row: the second piece brings the larger maximum, so that the hand calculation has something to rescale. */
#include "variant.h"
#include "../grader/judge.h"
#include "../grader/seed.h"

const int lab_number = 1;
const char *const lab_source = "softmax.c";

lab1_variant lab1_variant_of(uint64_t seed)
{
    lab1_variant t;
    t.s[0] = lab_seed_pick(seed, 0, -1, 3);
    t.s[1] = lab_seed_pick(seed, 1, -1, 3);
    double m = t.s[0] > t.s[1] ? t.s[0] : t.s[1];
    t.s[2] = m + lab_seed_pick(seed, 2, 1, 2);
    t.s[3] = m - lab_seed_pick(seed, 3, 0, 1);
    for (int j = 0; j < 4; j++) {
        int value = lab_seed_pick(seed, 4 + j, 1, 9);
        t.v[j] = j % 2 ? -value : value;
    }
    return t;
}

void lab_title(char *title, size_t size, uint64_t seed)
{
    (void)seed;
    snprintf(title, size, "Lab 1: safe and online softmax");
}

void lab_describe(FILE *out, uint64_t seed)
{
    lab1_variant t = lab1_variant_of(seed);
    fprintf(out, "PIECE1=scores %g and %g, with the values %g and %g\n", t.s[0], t.s[1], t.v[0], t.v[1]);
    fprintf(out, "PIECE2=scores %g and %g, with the values %g and %g\n", t.s[2], t.s[3], t.v[2], t.v[3]);
}
