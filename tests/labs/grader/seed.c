/* One hash; no state. */
#include "seed.h"

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
