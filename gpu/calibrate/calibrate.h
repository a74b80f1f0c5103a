/**
 * @file calibrate.h
 * @brief `tilewise-gpu calibrate`: microbenchmarks that find the numbers of a machine file. One file a subject.
 *
 *     launch     what an empty kernel costs                 hbm       streams that are much larger than the L2
 *     l2_sides   which SMs and pages belong together        l2_hits   who finds a line again: capacity, policy
 *     l2_rate    bytes into the SMs against working set     l2_cross  what crosses between the L2's halves
 *     smem       conflict-free loads                        pipes     FMA, max, exp, conversion
 *     mma        tensor cores before Hopper                 wgmma     tensor cores of Hopper
 *     softmax    a step, alone and beside wgmma             copy      the bulk copy engine
 *     product    a large matrix product of cuBLAS's         clock     what power leaves of it
 *
 * Each adds readings; what has a curve writes it as CSV if a folder is named. Every kernel ends by itself after a time
 * that does not depend on data: loops have fixed lengths, waits have limits. The host does not wait for ever either.
 */
#ifndef TW_CALIBRATE_H
#define TW_CALIBRATE_H

#include "../../sim/csv.h"
#include "../../sim/readings.h"
#include "../device.h"
#include "kernels.h"
#include "options.h"
#include "properties.h"
#include "sides.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most launches of a kind that are timed one by one. */
#define TW_CAL_MAX_REPS 64

/** Everything that a subject works with. */
typedef struct tw_calibration {
    const tw_cal_options *options;
    tw_gpu_device device;
    const char *command_line;
    tw_cal_facts facts; /**< what the driver says */
    struct CUstream_st *stream;
    struct CUevent_st *begin, *end;
    void *
        memory; /**< one buffer for all: random bits, aligned to 2 MiB; no subject may rely on what is in it */
    size_t memory_bytes;
    double start_s;
    bool stuck; /**< a kernel did not end: the process must go without asking the driver again */
    tw_readings readings;
    tw_cal_sides sides;
    double near_cycles, far_cycles; /**< of a load that hits in the L2, from l2_sides; 0 before */
    double hbm_near_cycles,
        hbm_far_cycles; /**< from HBM, by the line's home; 0 where hits cannot be told from that */
    unsigned char
        *home_of; /**< side of each page of the buffer's first part, num_pages of them; NULL before; owned */
    int num_pages;
} tw_calibration;

/** A subject. TW_EUNSUPPORTED: this GPU does not have that; said and gone over. */
typedef tw_status (*tw_cal_subject_fn)(tw_calibration *c);

TW_MUST_CHECK tw_status tw_cal_launch_overhead(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_hbm(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_l2_sides(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_l2_hits(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_l2_rate(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_l2_cross(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_smem(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_pipes(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_mma(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_wgmma(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_softmax(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_copy(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_product(tw_calibration *c);
TW_MUST_CHECK tw_status tw_cal_clock(tw_calibration *c);

/** FLOPs of one warpgroup in a round of the loops of wgmma fp16. */
double tw_cal_wgmma_flops_per_round(void);

/** One streaming write of so many bytes; for a profiler, which sees how many of them reach HBM. */
TW_MUST_CHECK tw_status tw_cal_run_write_once(tw_calibration *c, size_t bytes);

/** "forward", … */
const char *tw_cal_order_name(tw_cal_order order);

/** A working set read `passes` times, each line by one SM or by all; rounds its size up. */
TW_MUST_CHECK tw_status tw_cal_run_l2_read(tw_calibration *c, bool shared, tw_cal_order order,
                                           size_t *working_set_bytes, int passes);

/* ---- harness.c: what all of them use --------------------------------------------------------------------- */

/** A kernel with one argument, a struct. */
typedef struct tw_cal_kernel {
    const char *name; /**< for messages */
    const void *function;
    int blocks, threads, smem_bytes;
    void *argument;
    bool together; /**< a cooperative launch: all blocks are there at once, or it fails */
} tw_cal_kernel;

/** Fills in device and facts, takes the buffer. @return TW_OK; TW_EGPU; TW_ENOMEM; TW_EUNSUPPORTED (before 8.0) */
TW_MUST_CHECK tw_status tw_cal_open(tw_calibration *c);
void tw_cal_close(tw_calibration *c);

/** Fills in device and facts alone. @return TW_OK; TW_EGPU */
TW_MUST_CHECK tw_status tw_cal_ask_driver(tw_calibration *c);

/**
 * @brief Launches a kernel and waits for it, but not for ever.
 * @return TW_OK; TW_EGPU (it failed, or did not end within 20 s)
 */
TW_MUST_CHECK tw_status tw_cal_run(tw_calibration *c, const tw_cal_kernel *kernel);

/**
 * @brief One warm-up, then n launches, each timed by events behind a spin kernel that hides the host's time.
 * @param[out] seconds  n <= TW_CAL_MAX_REPS of them
 */
TW_MUST_CHECK tw_status tw_cal_time(tw_calibration *c, const tw_cal_kernel *kernel, double *seconds, int n);

/**
 * @brief Runs a loop on all SMs, several times.
 * @param[out] cycles   [num_sms], of the last run, by block
 * @param[out] seconds  [reps]; NULL: once, and not timed
 */
TW_MUST_CHECK tw_status tw_cal_time_loop(tw_calibration *c, const char *name, const void *function,
                                         int threads, int smem_bytes, tw_cal_loop loop, double *cycles,
                                         double *seconds, int reps);

/** What a kernel does when it runs and runs. */
typedef struct tw_cal_load {
    double seconds; /**< median of the launches of the second half */
    double spread;
    int launches;   /**< of the second half */
    double power_w; /**< during it; NaN if not known */
} tw_cal_load;

/** Something that can be queued again and again. */
typedef tw_status (*tw_cal_queue_fn)(tw_calibration *c, const void *context);

/** Queues it without a pause until `seconds` have passed, and at most TW_CAL_MAX_LOAD times. */
#define TW_CAL_MAX_LOAD 512
TW_MUST_CHECK tw_status tw_cal_sustain(tw_cal_load *load, tw_calibration *c, tw_cal_queue_fn queue,
                                       const void *context, double seconds);

/** A tw_cal_queue_fn whose context is a tw_cal_kernel. */
TW_MUST_CHECK tw_status tw_cal_queue_kernel(tw_calibration *c, const void *kernel);

/** Device memory of zeros; given back; and copied to the host, behind what was launched before. */
TW_MUST_CHECK tw_status tw_cal_zeros(void **memory, size_t bytes);
void tw_cal_release(const tw_calibration *c, void *memory);
TW_MUST_CHECK tw_status tw_cal_fetch(tw_calibration *c, void *host, const void *device, size_t bytes);

/** Random bits to the whole buffer. */
TW_MUST_CHECK tw_status tw_cal_fill(tw_calibration *c);

/** Makes everything in the L2 belong to the buffer's last part, which nobody else uses. */
TW_MUST_CHECK tw_status tw_cal_flush_l2(tw_calibration *c);
/** How much of the buffer's end that is. */
size_t tw_cal_flush_bytes(const tw_calibration *c);

/** Opens NAME.csv in the folder of --plots with its comment lines; file NULL if there is no such folder. */
TW_MUST_CHECK tw_status tw_cal_curve_open(tw_csv *csv, const tw_calibration *c, const char *name,
                                          const char *columns);

/** The same for readings.csv, whose columns tw_readings_csv() writes. */
TW_MUST_CHECK tw_status tw_cal_readings_open(tw_csv *csv, const tw_calibration *c);

/** Seconds since the start; seconds that are left, at least 0. */
double tw_cal_seconds_left(const tw_calibration *c);
double tw_cal_now_s(void);

/** All SMs, blocks of `threads`, `blocks_per_sm` of them. */
tw_cal_kernel tw_cal_on_all_sms(const tw_calibration *c, const char *name, const void *function,
                                void *argument, int blocks_per_sm, int threads);

/** The same with one block an SM, which its shared memory makes sure of, all there at once. */
tw_cal_kernel tw_cal_one_per_sm(const tw_calibration *c, const char *name, const void *function,
                                void *argument, int threads);

#ifdef __cplusplus
}
#endif

#endif
