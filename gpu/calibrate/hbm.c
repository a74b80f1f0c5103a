/*
 * HBM: streams over 2 GiB, so much more than any L2 holds that what is left in it from the run before does not show.
 *
 *     read     every thread loads 16 bytes, four such loads under way at once, the whole grid side by side
 *     write    the same with stores; at its end some of it is still dirty in the L2, as at its beginning of the run before
 *     copy     the first half to the second; bytes read and written are added up
 *
 * Also here: filling the buffer, and emptying the L2.
 */
#include "calibrate.h"

enum { REPS = 15, QUICK_REPS = 7 };

tw_status tw_cal_fill(tw_calibration *c)
{
    tw_cal_stream_args a = {NULL, c->memory, c->memory_bytes / 16, NULL};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "filling memory", tw_cal_fill_kernel(), &a, 4,
                                              TW_CAL_HBM_THREADS);
    return tw_cal_run(c, &k);
}

/* Whole rounds of the grid that fit into so many bytes, in vectors. */
static size_t whole_rounds(const tw_calibration *c, size_t bytes)
{
    const size_t round = (size_t)c->facts.num_sms * TW_CAL_HBM_BLOCKS_PER_SM * TW_CAL_HBM_THREADS *
                         TW_CAL_HBM_UNROLL;
    return bytes / 16 / round * round;
}

/* ---- an empty L2 ---------------------------------------------------------------------------------------- */

size_t tw_cal_flush_bytes(const tw_calibration *c)
{
    const size_t granule = (size_t)2 << 20, four_times = 4 * (size_t)c->facts.l2_bytes;
    return (four_times > ((size_t)64 << 20) ? four_times : (size_t)64 << 20) / granule * granule;
}

tw_status tw_cal_flush_l2(tw_calibration *c)
{
    const size_t bytes = tw_cal_flush_bytes(c);
    char *at = (char *)c->memory + c->memory_bytes - bytes;
    tw_cal_stream_args a = {at, NULL, whole_rounds(c, bytes), c->memory};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "flushing the L2", tw_cal_hbm_read_kernel(), &a,
                                              TW_CAL_HBM_BLOCKS_PER_SM, TW_CAL_HBM_THREADS);
    return tw_cal_run(c, &k);
}

/* ---- streams -------------------------------------------------------------------------------------------- */

static tw_status stream(tw_calibration *c, const char *number, const void *kernel, const char *what,
                        bool reads, bool writes)
{
    double rates[TW_CAL_MAX_REPS];
    const int reps = c->options->quick ? QUICK_REPS : REPS;
    const size_t half = c->memory_bytes / 2, bytes = reads && writes ? half : c->memory_bytes;
    tw_cal_stream_args a;
    a.from = reads ? c->memory : NULL;
    a.to = writes ? (char *)c->memory + (reads ? half : 0) : NULL;
    a.vectors = whole_rounds(c, bytes);
    a.sink = c->memory;
    const tw_cal_kernel k = tw_cal_on_all_sms(c, what, kernel, &a, TW_CAL_HBM_BLOCKS_PER_SM,
                                              TW_CAL_HBM_THREADS);
    TW_TRY(tw_cal_time(c, &k, rates, reps));
    const double moved = 16.0 * (double)a.vectors * (reads + writes);
    for (int i = 0; i < reps; i++)
        rates[i] = moved / rates[i];
    const double peak = tw_cal_peak_bytes_per_s(&c->facts);
    const tw_limits limits = {peak > 0 ? 0.4 * peak : 1e10, peak > 0 ? 1.02 * peak : 1e14, 0.05};
    tw_readings_add(&c->readings, number, rates, reps, limits, "%s of %.2g GB, 16 bytes a thread", what,
                    16e-9 * (double)a.vectors);
    return TW_OK;
}

tw_status tw_cal_hbm(tw_calibration *c)
{
    TW_TRY(stream(c, "hbm_read_bytes_per_s", tw_cal_hbm_read_kernel(), "streaming read", true, false));
    TW_TRY(stream(c, "hbm_write_bytes_per_s", tw_cal_hbm_write_kernel(), "streaming write", false, true));
    TW_TRY(
        stream(c, "hbm_copy_bytes_per_s", tw_cal_hbm_copy_kernel(), "copy, read and written,", true, true));
    return tw_cal_fill(c); /* others expect random bits */
}

/* ---- for a profiler: how much can stay dirty ------------------------------------------------------------ */

tw_status tw_cal_run_write_once(tw_calibration *c, size_t bytes)
{
    tw_cal_stream_args a = {NULL, c->memory, bytes / 16, NULL};
    const tw_cal_kernel k = tw_cal_on_all_sms(c, "one write", tw_cal_write_once_kernel(), &a, 4,
                                              TW_CAL_HBM_THREADS);
    return tw_cal_run(c, &k);
}
