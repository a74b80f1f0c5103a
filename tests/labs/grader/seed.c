/* Seeds are read, and hashed without any state. */
#include "seed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool lab_seed_parse(uint64_t *seed, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0 || end[strspn(end, " \r\n")] != '\0')
        return false;
    *seed = value;
    return true;
}

int lab_seed_pick(uint64_t seed, int which, int low, int high)
{
    uint64_t x = seed * 0x9E3779B97F4A7C15u + (uint64_t)which * 0xD1B54A32D192ED03u + 1;
    for (int round = 0; round < 2; round++) {
        x ^= x >> 32;
        x *= 0xD6E8FEB86659FD93u;
    }
    x ^= x >> 32;
    return low + (int)(x % (uint64_t)(high - low + 1));
}
