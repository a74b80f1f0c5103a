/* A cache of one or two sides. Units are numbered without gaps, so every question is an array lookup. */
#include "l2.h"

#include "draw.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A unit that is in a side, and when it was last used. */
typedef struct resident {
    int32_t unit;
    uint32_t used_at;
} resident;

/* Neighbours in a doubly linked list of units; −1 at its ends. */
typedef struct link {
    int32_t before, behind;
} link;

/* What is known of one unit, side by side in memory: an access looks at all of it. */
typedef struct unit_state {
    int32_t place[2];  /* in each side: index into residents; −1 if not there */
    link by_dirty_age; /* among the dirty units of its home */
    uint32_t bytes;
    bool dirty;
} unit_state;

/* A list of units, oldest first. Unit u's link is `stride` · u bytes behind that of unit 0. */
typedef struct unit_list {
    char *links;
    size_t stride;
    int32_t oldest, newest;
} unit_list;

typedef struct side {
    int64_t bytes;
    int32_t count;
    resident *residents;    /* in no order: a victim's place is taken by the last */
    unit_list by_use;       /* exact LRU only: links is NULL otherwise */
    int64_t dirty_bytes;    /* of units whose home is here */
    unit_list dirty_by_age; /* by when they became dirty */
} side;

struct tw_l2 {
    tw_l2_shape shape;
    int32_t num_units;
    unit_state *units;
    link *by_use[2]; /* exact LRU only: each side's list by use */
    side sides[2];
    uint32_t now; /* accesses so far, but see make_past_older() */
    uint64_t random;
    tw_l2_traffic traffic;
};

/* ---- lists ---------------------------------------------------------------------------------------------- */

static link *link_of(const unit_list *list, int32_t unit)
{
    return (link *)(void *)(list->links + list->stride * (size_t)unit);
}

static void list_append(unit_list *list, int32_t unit)
{
    *link_of(list, unit) = (link){.before = list->newest, .behind = -1};
    if (list->newest >= 0)
        link_of(list, list->newest)->behind = unit;
    else
        list->oldest = unit;
    list->newest = unit;
}

static void list_remove(unit_list *list, int32_t unit)
{
    link l = *link_of(list, unit);
    if (l.before >= 0)
        link_of(list, l.before)->behind = l.behind;
    else
        list->oldest = l.behind;
    if (l.behind >= 0)
        link_of(list, l.behind)->before = l.before;
    else
        list->newest = l.before;
}

/* ---- creation ------------------------------------------------------------------------------------------- */

static tw_status check_shape(const tw_l2_shape *s, int32_t num_units, const uint32_t *unit_bytes)
{
    if (s->sides != 1 && s->sides != 2)
        return tw_fail(TW_EINVAL, "an L2 of %d sides is not modelled, it must have 1 or 2", s->sides);
    if (s->side_bytes < 1 || s->dirty_bytes < 0 || s->victims < 0)
        return tw_fail(TW_EINVAL,
                       "an L2 side of %lld bytes, %lld of them dirty, victims of %d: each must be positive",
                       (long long)s->side_bytes, (long long)s->dirty_bytes, s->victims);
    for (int32_t u = 0; u < num_units; u++)
        if (unit_bytes[u] < 1 || unit_bytes[u] > s->side_bytes)
            return tw_fail(TW_EINVAL, "a unit has %u bytes, it must have from 1 to the %lld of an L2 side",
                           unit_bytes[u], (long long)s->side_bytes);
    return TW_OK;
}

/* No more units can be in a side than there are, and than fit of the smallest. */
static size_t most_residents(const tw_l2_shape *shape, int32_t num_units, const uint32_t *unit_bytes)
{
    uint32_t smallest = UINT32_MAX;
    for (int32_t u = 0; u < num_units; u++)
        smallest = unit_bytes[u] < smallest ? unit_bytes[u] : smallest;
    int64_t fitting = shape->side_bytes / smallest;
    return (size_t)(fitting < num_units ? fitting : num_units) + 1;
}

static bool allocate(tw_l2 *l2, const uint32_t *unit_bytes)
{
    size_t n = (size_t)l2->num_units + 1, most = most_residents(&l2->shape, l2->num_units, unit_bytes);
    bool exact = l2->shape.victims == 0, enough = true;
    l2->units = calloc(n, sizeof *l2->units);
    for (int i = 0; i < l2->shape.sides; i++) {
        side *s = &l2->sides[i];
        s->residents = malloc(most * sizeof *s->residents);
        l2->by_use[i] = exact ? malloc(n * sizeof(link)) : NULL;
        enough = enough && s->residents && (l2->by_use[i] || !exact);
        s->by_use = (unit_list){.links = (char *)l2->by_use[i], .stride = sizeof(link)};
        s->dirty_by_age = (unit_list){.links = (char *)l2->units + offsetof(unit_state, by_dirty_age),
                                      .stride = sizeof(unit_state)};
    }
    for (int32_t u = 0; l2->units && u < l2->num_units; u++)
        l2->units[u].bytes = unit_bytes[u];
    return l2->units && enough;
}

tw_status tw_l2_create(tw_l2 **out, const tw_l2_shape *shape, int32_t num_units, const uint32_t *unit_bytes,
                       uint64_t seed)
{
    TW_TRY(check_shape(shape, num_units, unit_bytes));
    tw_l2 *l2 = calloc(1, sizeof *l2);
    if (l2) {
        l2->shape = *shape;
        l2->num_units = num_units;
        l2->random = tw_draw_from(seed);
    }
    if (!l2 || !allocate(l2, unit_bytes)) {
        tw_l2_free(l2);
        return tw_fail(TW_ENOMEM, "no memory for an L2 of %d units", num_units);
    }
    tw_l2_flush(l2);
    *out = l2;
    return TW_OK;
}

void tw_l2_free(tw_l2 *l2)
{
    if (!l2)
        return;
    for (int i = 0; i < 2; i++) {
        free(l2->sides[i].residents);
        free(l2->by_use[i]);
    }
    free(l2->units);
    free(l2);
}

void tw_l2_flush(tw_l2 *l2)
{
    for (int32_t u = 0; u < l2->num_units; u++) {
        l2->units[u].place[0] = l2->units[u].place[1] = -1;
        l2->units[u].dirty = false;
    }
    for (int i = 0; i < l2->shape.sides; i++) {
        side *s = &l2->sides[i];
        s->bytes = s->dirty_bytes = s->count = 0;
        s->by_use.oldest = s->by_use.newest = -1;
        s->dirty_by_age.oldest = s->dirty_by_age.newest = -1;
    }
}

/* ---- what is in a side ---------------------------------------------------------------------------------- */

static int home_of(const tw_l2 *l2, int32_t unit)
{
    return l2->shape.sides == 2 ? unit & 1 : 0;
}

static void write_back(tw_l2 *l2, int32_t unit)
{
    side *home = &l2->sides[home_of(l2, unit)];
    l2->units[unit].dirty = false;
    home->dirty_bytes -= l2->units[unit].bytes;
    list_remove(&home->dirty_by_age, unit);
    l2->traffic.hbm_write_bytes += l2->units[unit].bytes;
}

/* Index of the resident that has to go. */
static int32_t choose_victim(tw_l2 *l2, int which)
{
    const side *s = &l2->sides[which];
    if (l2->shape.victims == 0)
        return l2->units[s->by_use.oldest].place[which];
    int32_t oldest = tw_draw_below(&l2->random, s->count);
    for (int i = 1; i < l2->shape.victims; i++) {
        int32_t other = tw_draw_below(&l2->random, s->count);
        if (s->residents[other].used_at < s->residents[oldest].used_at)
            oldest = other;
    }
    return oldest;
}

static void drop(tw_l2 *l2, int which, int32_t index)
{
    side *s = &l2->sides[which];
    int32_t unit = s->residents[index].unit;
    if (l2->units[unit].dirty && home_of(l2, unit) == which)
        write_back(l2, unit);
    s->bytes -= l2->units[unit].bytes;
    s->residents[index] = s->residents[--s->count];
    l2->units[s->residents[index].unit].place[which] = index;
    l2->units[unit].place[which] = -1;
    if (s->by_use.links)
        list_remove(&s->by_use, unit);
}

static void insert(tw_l2 *l2, int which, int32_t unit)
{
    side *s = &l2->sides[which];
    while (s->bytes + l2->units[unit].bytes > l2->shape.side_bytes)
        drop(l2, which, choose_victim(l2, which));
    l2->units[unit].place[which] = s->count;
    s->residents[s->count++] = (resident){.unit = unit, .used_at = l2->now};
    s->bytes += l2->units[unit].bytes;
    if (s->by_use.links)
        list_append(&s->by_use, unit);
}

/* If the unit is there, it is the last used now. */
static bool refresh(tw_l2 *l2, int which, int32_t unit)
{
    side *s = &l2->sides[which];
    int32_t index = l2->units[unit].place[which];
    if (index < 0)
        return false;
    s->residents[index].used_at = l2->now;
    if (s->by_use.links) {
        list_remove(&s->by_use, unit);
        list_append(&s->by_use, unit);
    }
    return true;
}

static void refresh_or_insert(tw_l2 *l2, int which, int32_t unit)
{
    if (!refresh(l2, which, unit))
        insert(l2, which, unit);
}

/* Time has 32 bits: before it runs out, all that is long past becomes equally old. */
static void make_past_older(tw_l2 *l2)
{
    const uint32_t long_past = UINT32_C(1) << 31;
    for (int i = 0; i < l2->shape.sides; i++)
        for (int32_t n = 0; n < l2->sides[i].count; n++) {
            uint32_t *used_at = &l2->sides[i].residents[n].used_at;
            *used_at = *used_at > long_past ? *used_at - long_past : 0;
        }
    l2->now -= long_past;
}

static void advance(tw_l2 *l2)
{
    if (++l2->now == UINT32_MAX)
        make_past_older(l2);
}

/* ---- accesses ------------------------------------------------------------------------------------------- */

tw_l2_found tw_l2_read(tw_l2 *l2, int which, int32_t unit)
{
    assert(which >= 0 && which < l2->shape.sides && unit >= 0 && unit < l2->num_units);
    int64_t bytes = l2->units[unit].bytes;
    int home = home_of(l2, unit);
    advance(l2);
    l2->traffic.read_request_bytes += bytes;
    if (refresh(l2, which, unit)) {
        l2->traffic.near_hit_bytes += bytes;
        return TW_L2_NEAR;
    }
    bool at_home = home != which && refresh(l2, home, unit);
    if (at_home) {
        l2->traffic.far_hit_bytes += bytes;
    } else {
        l2->traffic.hbm_read_bytes += bytes;
        insert(l2, home, unit);
    }
    if (home != which) {
        l2->traffic.fabric_bytes += bytes;
        insert(l2, which, unit);
    }
    return at_home ? TW_L2_FAR : TW_L2_HBM;
}

static void limit_dirty(tw_l2 *l2, side *home)
{
    while (l2->shape.dirty_bytes > 0 && home->dirty_bytes > l2->shape.dirty_bytes)
        write_back(l2, home->dirty_by_age.oldest);
}

void tw_l2_write(tw_l2 *l2, int which, int32_t unit)
{
    assert(which >= 0 && which < l2->shape.sides && unit >= 0 && unit < l2->num_units);
    int64_t bytes = l2->units[unit].bytes;
    int home = home_of(l2, unit);
    advance(l2);
    l2->traffic.write_request_bytes += bytes;
    refresh_or_insert(l2, home, unit);
    if (!l2->units[unit].dirty) {
        l2->units[unit].dirty = true;
        l2->sides[home].dirty_bytes += bytes;
        list_append(&l2->sides[home].dirty_by_age, unit);
        limit_dirty(l2, &l2->sides[home]);
    }
    if (home != which) {
        l2->traffic.fabric_bytes += bytes;
        refresh_or_insert(l2, which, unit);
    }
}

const tw_l2_traffic *tw_l2_traffic_of(const tw_l2 *l2)
{
    return &l2->traffic;
}

int64_t tw_l2_dirty_bytes(const tw_l2 *l2)
{
    return l2->sides[0].dirty_bytes + l2->sides[1].dirty_bytes;
}

int64_t tw_l2_resident_bytes(const tw_l2 *l2)
{
    return l2->sides[0].bytes + l2->sides[1].bytes;
}

/* ---- a machine's L2 -------------------------------------------------------------------------------------- */

static bool measured(const tw_machine_source *source)
{
    return strncmp(source->source, "measured", strlen("measured")) == 0;
}

tw_l2_shape tw_l2_shape_of(bool *calibrated, const tw_machine *m)
{
    if (m->l2_sides < 1 || m->l2_side_bytes < 1) {
        *calibrated = false;
        return (tw_l2_shape){.sides = 1, .side_bytes = (int64_t)m->l2_bytes};
    }
    *calibrated = measured(&m->sources.l2_sides) && measured(&m->sources.l2_side_bytes) &&
                  measured(&m->sources.l2_dirty_bytes) && measured(&m->sources.l2_victims);
    return (tw_l2_shape){.sides = (int)m->l2_sides,
                         .side_bytes = (int64_t)m->l2_side_bytes,
                         .dirty_bytes = (int64_t)m->l2_dirty_bytes / (int)m->l2_sides,
                         .victims = (int)m->l2_victims};
}
