/*
 * What crosses between the two halves of the L2 at a time. Reads tell little of it: a line from the other side is kept in
 * both and crosses once. A store goes to the line's home whenever it is made, so a set that fits is written again and
 * again,
 *
 *     near   each page by an SM of its home side: nothing crosses
 *     far    each page by an SM of the other side: all of it crosses, half of it in either direction
 */
#include "calibrate.h"

#include "../cuda_try.h"

#include <stdlib.h>

enum { PASSES = 256, REPS = 7, WARPS = TW_CAL_CROSS_THREADS / 32 };
static const double SHARE_OF_L2 = 0.35; /* less than may be dirty, and room for copies on the writer's side */

/* Device memory: the sides | [2][pages_a_side] numbers of pages. */
typedef struct cross_memory {
    char *at;
    int pages_a_side;
} cross_memory;

static size_t pages_at(void)
{
    return (sizeof(tw_cal_sides) + 255) / 256 * 256;
}

/* As many pages of either side as it has warps that write, one each; fewer if that is too much of the L2. */
static int pages_wanted(const tw_calibration *c)
{
    const int sms = c->sides.count[0] < c->sides.count[1] ? c->sides.count[0] : c->sides.count[1];
    const int most = (int)(SHARE_OF_L2 * c->facts.l2_bytes / (2 * TW_CAL_PAGE_BYTES));
    return sms * WARPS < most ? sms * WARPS : most;
}

static tw_status list_pages(const tw_calibration *c, uint32_t *pages, int wanted)
{
    int found[2] = {0, 0};
    for (int page = 0; page < c->num_pages; page++) {
        const int home = c->home_of[page] & 1;
        if (found[home] < wanted)
            pages[home * wanted + found[home]++] = (uint32_t)page;
    }
    if (found[0] < wanted || found[1] < wanted)
        return tw_fail(TW_EUNSUPPORTED,
                       "%d and %d pages have their home on the two sides, %d of each are needed", found[0],
                       found[1], wanted);
    return TW_OK;
}

static tw_status prepare(tw_calibration *c, cross_memory *m)
{
    const int wanted = pages_wanted(c);
    const size_t pages_bytes = 2 * sizeof(uint32_t) * (size_t)wanted;
    void *device = NULL;
    uint32_t *pages = malloc(pages_bytes);
    if (!pages)
        return tw_fail(TW_ENOMEM, "no memory for a list of %d pages", 2 * wanted);
    tw_status status = list_pages(c, pages, wanted);
    if (status == TW_OK)
        status = tw_cal_zeros(&device, pages_at() + pages_bytes);
    m->at = device;
    m->pages_a_side = wanted;
    if (status == TW_OK &&
        (cudaMemcpy(m->at, &c->sides, sizeof c->sides, cudaMemcpyHostToDevice) != cudaSuccess ||
         cudaMemcpy(m->at + pages_at(), pages, pages_bytes, cudaMemcpyHostToDevice) != cudaSuccess))
        status = tw_fail(TW_EGPU, "the list of pages cannot be copied to the GPU");
    free(pages);
    return status;
}

static tw_status measure(tw_calibration *c, const cross_memory *m, bool far)
{
    double rates[REPS];
    tw_cal_cross_args a = {
        .memory = c->memory, .pages_a_side = m->pages_a_side, .passes = PASSES, .far = far};
    a.sides = (const tw_cal_sides *)m->at;
    a.pages = (const uint32_t *)(m->at + pages_at());
    const tw_cal_kernel k = tw_cal_one_per_sm(c, "stores between the sides", tw_cal_write_pages_kernel(), &a,
                                              TW_CAL_CROSS_THREADS);
    const double bytes = 2.0 * m->pages_a_side * TW_CAL_PAGE_BYTES,
                 most = 128.0 * c->facts.num_sms * (c->facts.clock_hz > 0 ? c->facts.clock_hz : 4e9);
    TW_TRY(tw_cal_time(c, &k, rates, REPS));
    for (int i = 0; i < REPS; i++)
        rates[i] = bytes * PASSES / rates[i];
    tw_readings_add(&c->readings, far ? "l2_far_write_bytes_per_s" : "l2_near_write_bytes_per_s", rates, REPS,
                    (tw_limits){1e10, most, 0.1},
                    "stores of 16 bytes a thread to %.3g MB, each page by SMs of %s", 1e-6 * bytes,
                    far ? "the other side" : "its home side");
    return TW_OK;
}

tw_status tw_cal_l2_cross(tw_calibration *c)
{
    cross_memory m = {NULL, 0};
    if (c->sides.sides != 2 || c->home_of == NULL)
        return tw_fail(TW_EUNSUPPORTED, "no two sides of the L2 were found");
    tw_status status = prepare(c, &m);
    if (status == TW_OK)
        status = measure(c, &m, false);
    if (status == TW_OK)
        status = measure(c, &m, true);
    tw_cal_release(c, m.at);
    return status;
}
