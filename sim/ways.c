/* Options that belong to single algorithms. */
#include "ways.h"

#include "../cpu_ref/exp2_polynomial.h"

tw_ways tw_ways_default(void)
{
    return (tw_ways){.rescale_log2 = TW_TILING_OWN, .poly_share = TW_TILING_OWN};
}

/* Does any algorithm take an option? */
static bool taken(unsigned takes, const tw_schedule *const *algorithms, int count)
{
    for (int i = 0; i < count; i++)
        if (algorithms[i]->takes & takes)
            return true;
    return false;
}

tw_status tw_ways_check(const tw_ways *w, const tw_schedule *const *algorithms, int count)
{
    const struct {
        const char *name, *whose;
        bool given;
        unsigned takes;
    } options[] = {{"block-d", "square_tiles or flash_window", w->block_d > 0, TW_TAKES_COLUMNS},
                   {"rescale-log2", "flash4", w->rescale_log2 >= 0.0, TW_TAKES_LAZY},
                   {"poly-share", "flash4", w->poly_share >= 0.0, TW_TAKES_LAZY},
                   {"poly-degree", "flash4", w->poly_degree > 0, TW_TAKES_LAZY},
                   {"devices", "ring or ring_striped", w->devices > 0, TW_TAKES_DEVICES},
                   {"segments", "offload", w->segments > 0, TW_TAKES_HOST}};
    for (int i = 0; w->rank > 0; i++) {
        if (i == count)
            return tw_fail(
                TW_EINVAL,
                "--rank is given, but no algorithm that approximates: --algorithm must name linformer");
        if (algorithms[i]->reference)
            break;
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options[i].given && !taken(options[i].takes, algorithms, count))
            return tw_fail(TW_EINVAL,
                           "--%s is given, but no algorithm that takes it: --algorithm must name %s",
                           options[i].name, options[i].whose);
    if (w->poly_degree > 0 && (w->poly_degree < TW_POLY_DEGREE_MIN || w->poly_degree > TW_POLY_DEGREE_MAX))
        return tw_fail(TW_EINVAL, "--poly-degree is %d, it must be from %d to %d", w->poly_degree,
                       TW_POLY_DEGREE_MIN, TW_POLY_DEGREE_MAX);
    if (w->devices > TW_MAX_PARTS || w->segments > TW_MAX_PARTS)
        return tw_fail(TW_EINVAL, "--%s is %d, it must be from 1 to %d",
                       w->devices > TW_MAX_PARTS ? "devices" : "segments",
                       w->devices > TW_MAX_PARTS ? w->devices : w->segments, TW_MAX_PARTS);
    return TW_OK;
}

void tw_ways_apply(tw_tiling *tiling, const tw_schedule *schedule, const tw_ways *w)
{
    tiling->parts = schedule->takes & TW_TAKES_DEVICES ? w->devices
                    : schedule->takes & TW_TAKES_HOST  ? w->segments
                                                       : 0;
    tiling->block_d = w->block_d;
    tiling->rescale_log2 = w->rescale_log2;
    tiling->poly_share = w->poly_share;
    tiling->poly_degree = w->poly_degree;
}
