/* Reuse distances by a Fenwick tree over time: at the moment of its last touch, each unit weighs its bytes. */
#include "reuse.h"

#include <stdlib.h>
#include <string.h>

struct tw_reuse {
    int32_t num_units;
    const uint32_t *unit_bytes;
    int64_t total;       /* bytes of all units touched so far */
    int32_t now, length; /* moments are 1 … length; `now` is the last one used */
    int64_t *tree;       /* [length + 1]: tree[i] sums the weights of i − lowbit(i) + 1 … i */
    int32_t *moment;     /* [num_units] of the last touch; 0: never */
    int32_t *unit_at;    /* [length + 1] unit last touched at that moment; −1: touched again since */
};

tw_status tw_reuse_create(tw_reuse **out, int32_t num_units, const uint32_t *unit_bytes)
{
    tw_reuse *r = calloc(1, sizeof *r);
    if (r) {
        r->num_units = num_units;
        r->unit_bytes = unit_bytes;
        r->length = 2 * num_units +
                    2; /* so that at most half of the touches between two renumberings cost them */
        r->tree = calloc((size_t)r->length + 1, sizeof *r->tree);
        r->unit_at = malloc(((size_t)r->length + 1) * sizeof *r->unit_at);
        r->moment = calloc((size_t)num_units + 1, sizeof *r->moment);
    }
    if (!r || !r->tree || !r->unit_at || !r->moment) {
        tw_reuse_free(r);
        return tw_fail(TW_ENOMEM, "no memory for the reuse distances of %d units", num_units);
    }
    *out = r;
    return TW_OK;
}

void tw_reuse_free(tw_reuse *r)
{
    if (!r)
        return;
    free(r->tree);
    free(r->unit_at);
    free(r->moment);
    free(r);
}

static void add(tw_reuse *r, int32_t moment, int64_t bytes)
{
    for (int32_t i = moment; i <= r->length; i += i & -i)
        r->tree[i] += bytes;
}

static int64_t sum_up_to(const tw_reuse *r, int32_t moment)
{
    int64_t sum = 0;
    for (int32_t i = moment; i > 0; i -= i & -i)
        sum += r->tree[i];
    return sum;
}

/* Moments run out: those that still count move together, in their order. */
static void renumber(tw_reuse *r)
{
    int32_t moment = 0;
    memset(r->tree, 0, ((size_t)r->length + 1) * sizeof *r->tree);
    for (int32_t old = 1; old <= r->now; old++) {
        int32_t unit = r->unit_at[old];
        if (unit < 0)
            continue;
        moment++;
        r->unit_at[moment] = unit;
        r->moment[unit] = moment;
        add(r, moment, r->unit_bytes[unit]);
    }
    r->now = moment;
}

int64_t tw_reuse_touch(tw_reuse *r, int32_t unit)
{
    int64_t bytes = r->unit_bytes[unit], distance = TW_REUSE_FIRST;
    if (r->now == r->length)
        renumber(r);
    int32_t last = r->moment[unit];
    if (last > 0) {
        distance = r->total - sum_up_to(r, last - 1);
        add(r, last, -bytes);
        r->unit_at[last] = -1;
    } else {
        r->total += bytes;
    }
    r->now++;
    r->moment[unit] = r->now;
    r->unit_at[r->now] = unit;
    add(r, r->now, bytes);
    return distance;
}
