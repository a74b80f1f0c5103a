/**
 * @file machine.h
 * @brief What a machine can hold and how fast it moves: data files, never code.
 *
 * A machine is an .ini file in sim/machines/ (compiled in), or one of the user's. Each number stands on a
 * line with its date and its source:
 *
 *     hbm_read_bytes_per_s = 3.094e12 | 2026-11-22 | measured, H100 SXM5 80 GB, streaming read
 *
 * `sm_like = h100` says that an SM is like that machine's: numbers of pipes, latencies and energies that the file does
 * not give are that machine's, and their source says so. Rates of the whole chip are never taken over.
 *
 * `calibrated = no` says that the numbers were looked up, not measured; all output then says so. `tilewise-gpu
 * calibrate` and `tilewise calibrate-cpu` measure, and write such a file.
 */
#ifndef TW_MACHINE_H
#define TW_MACHINE_H

#include "../cpu_ref/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How on-chip memory is organised. */
typedef enum tw_machine_kind {
    /** One SRAM, charged for the K, V, Q and O tiles in the input's type only; no L2: fill is HBM read. */
    TW_MACHINE_PAPER,
    /** Shared memory and registers per SM, an L2 behind all of them. */
    TW_MACHINE_GPU,
    /** One private cache per core for everything, a shared cache behind it. */
    TW_MACHINE_CPU
} tw_machine_kind;

/**
 * What `tilewise-gpu calibrate` finds beyond the roofline's numbers; most of it per clock and SM, since clocks move and
 * cycles do not. A part of TW_MACHINE_NUMBERS.
 */
#define TW_MACHINE_FINE_NUMBERS(X)                                                                           \
    X(hbm_copy_bytes_per_s, "copy within HBM, bytes read and written together")                              \
    X(hbm_latency_cycles, "a load from HBM, until it can be used")                                           \
    X(l2_near_latency_cycles, "a load that hits in the SM's own side of the L2")                             \
    X(l2_far_latency_cycles, "a load that only the other side has")                                          \
    X(l2_far_share, "share of addresses whose home is the other side")                                       \
    X(l2_private_bytes, "effective capacity for data of which each line is read by one SM")                  \
    X(l2_near_write_bytes_per_s, "stores that hit in the L2, each to a line of the SM's own side")           \
    X(l2_far_write_bytes_per_s, "each to a line of the other side: what crosses between the sides")          \
    X(l2_shared_bytes_per_s, "L2 to all SMs that read the same at the same time")                            \
    X(smem_bytes_per_clock, "shared memory of one SM, conflict-free loads")                                  \
    X(smem_bytes_per_s, "on-chip memory of all SMs, or the private caches of all cores")                     \
    X(mma_fp16_flops_per_clock, "mma.sync, fp16, of one SM")                                                 \
    X(mma_bf16_flops_per_clock, "the same for bf16")                                                         \
    X(wgmma_fp16_flops_per_clock, "wgmma, fp16, of one SM")                                                  \
    X(wgmma_bf16_flops_per_clock, "the same for bf16")                                                       \
    X(wgmma_fp8_flops_per_clock, "the same for fp8 (e4m3)")                                                  \
    X(tensor_fp8_flops_per_s, "tensor cores, fp8 in, fp32 accumulation, dense")                              \
    X(fmas_per_clock, "fp32 fused multiply-adds of one SM")                                                  \
    X(maxs_per_clock, "fp32 maxima of one SM")                                                               \
    X(exps_per_clock, "exponentials (base 2) of one SM")                                                     \
    X(cvts_per_clock, "conversions of two fp32 to a pair of fp16, of one SM")                                \
    X(copy_latency_cycles, "bulk copy of nothing from L2 to shared memory: the straight line's foot")        \
    X(copy_hbm_latency_cycles, "the same from HBM")                                                          \
    X(copy_bytes_per_clock, "what a larger bulk copy adds to that: one SM alone, from L2")                   \
    X(copy_l2_bytes_per_s, "bulk copies from L2, all SMs, different addresses")                              \
    X(softmax_cycles, "a softmax step of 64 rows by four warps, what does not depend on the keys")           \
    X(softmax_cycles_per_key, "and what each key adds")                                                      \
    X(softmax_speed_1_busy, "speed of such a step against alone: one at work, tensor cores busy")            \
    X(softmax_speed_2_idle, "two at work, tensor cores idle")                                                \
    X(softmax_speed_2_busy, "two at work, tensor cores busy")                                                \
    X(softmax_speed_3_idle, "three at work, tensor cores idle")                                              \
    X(softmax_speed_3_busy, "three at work, tensor cores busy")                                              \
    X(wgmma_speed_beside_softmax, "speed of wgmma against alone while one softmax step runs")                \
    X(tensor_clock_hz, "SM clock that lasts with the tensor cores at full rate")                             \
    X(tensor_clock_exponent, "e in clock = tensor_clock_hz x (rate's share)^-e, where power is the limit")   \
    X(launch_interval_s, "from one launch of an empty kernel to the next, back to back")

/**
 * What the clock back end plays an SM with, beyond what is above; cycles are SM cycles. A part of TW_MACHINE_NUMBERS.
 */
#define TW_MACHINE_CLOCK_NUMBERS(X)                                                                          \
    X(wgmma_latency_cycles, "from the last wgmma's turn to its result, both operands in shared memory")      \
    X(wgmma_register_latency_cycles, "the same with A in registers")                                         \
    X(wgmma_run_ahead, "wgmma that may be queued: an agent that has issued more waits")                      \
    X(mask_cycles_per_key, "a causal mask on a tile of scores, 64 rows, each key")                           \
    X(rescale_cycles_per_column, "O times alpha, 64 rows, each column")                                      \
    X(p_store_cycles, "P of 64 rows to shared memory, where it does not go to wgmma in registers")           \
    X(finish_cycles, "row sums, 1 / l and LSE at the end of 64 rows")                                        \
    X(o_convert_cycles_per_column, "O normalised and rounded, 64 rows, each column")                         \
    X(o_store_cycles_per_column, "O to shared memory, 64 rows, each column")                                 \
    X(handover_cycles, "a persistent block goes on to its next query tile")                                  \
    X(store_latency_cycles, "bulk store of 32 KB until its source may be used again, one SM alone")          \
    X(store_bytes_per_clock, "stores of one SM when all SMs store")                                          \
    X(barrier_cycles, "named barrier, from the last arrival to going on")                                    \
    X(mbarrier_cycles, "barrier in shared memory, from the last arrival to going on")                        \
    X(block_start_cycles, "barriers and addresses are set up, until the first copy is asked for")            \
    X(block_gap_cycles, "a block's end until the next one starts in its place")                              \
    X(launch_cycles, "an empty kernel, from first to last cycle")                                            \
    X(cold_start_cycles, "what the first blocks wait longer when nothing is in any cache")                   \
    X(mma_cycles, "mma.sync m16n8k16 of one warp alone on its quarter of the SM")                            \
    X(ldmatrix_cycles, "what an ldmatrix.x4 adds to the mma of one warp")                                    \
    X(mma_speed_beside_softmax, "speed of a warp's mma while another warp of the quarter does softmax")      \
    X(softmax_speed_beside_mma, "and the other way round")                                                   \
    X(mma_speed_of_two, "speed of each of two warps of a quarter, both in mma")                              \
    X(softmax_speed_of_two, "both in softmax")                                                               \
    X(fma_cycles, "fused multiply-add of one warp alone on its quarter")                                     \
    X(smem_latency_cycles, "a load from shared memory until it can be used")                                 \
    X(cp_async_cycles, "a warp issues one cp.async of 16 bytes a thread")                                    \
    X(cp_async_bytes_per_clock, "cp.async of one SM, 128 threads")                                           \
    X(cp_async_8_warps_bytes_per_clock, "the same, 256 threads")                                             \
    X(idle_w, "power with clocks up and nothing running")                                                    \
    X(burst_limit_w, "power that launches with pauses between may take: the limit is an average")            \
    X(mixed_clock_hz, "highest clock of launches in which tensor cores and CUDA cores work")                 \
    X(limit_w, "power limit")                                                                                \
    X(tensor_j_per_flop, "energy, at clock_hz, beyond idle_w")                                               \
    X(fma_j, "of a fused multiply-add, or any plain fp32 operation")                                         \
    X(exp_j, "of an exponential")                                                                            \
    X(smem_j_per_byte, "of a byte from shared memory; 0: not known, and left out")                           \
    X(l2_j_per_byte, "of a byte from L2 to an SM")                                                           \
    X(hbm_j_per_byte, "of a byte from HBM, its way through the L2 included")                                 \
    X(power_exponent, "dynamic power grows with clock to this power, where the limit holds it")

/**
 * The numbers of a machine: X(field, what it is). 0 means unknown. A file names fields by these names.
 */
#define TW_MACHINE_NUMBERS(X)                                                                                \
    X(num_sms, "streaming multiprocessors, or cores")                                                        \
    X(smem_bytes, "on-chip memory that one block may use")                                                   \
    X(smem_bytes_per_sm, "on-chip memory of one SM")                                                         \
    X(register_bytes_per_sm, "register file of one SM; 0 where registers are not counted apart")             \
    X(l2_bytes, "last cache before HBM; 0 for none")                                                         \
    X(hbm_bytes, "device memory")                                                                            \
    X(clock_hz, "highest SM clock")                                                                          \
    X(hbm_read_bytes_per_s, "streaming read from HBM")                                                       \
    X(hbm_write_bytes_per_s, "streaming write to HBM")                                                       \
    X(l2_bytes_per_s, "L2 to all SMs")                                                                       \
    X(tensor_fp16_flops_per_s, "tensor cores, fp16 in, fp32 accumulation, dense")                            \
    X(tensor_bf16_flops_per_s, "the same for bf16")                                                          \
    X(fma_flops_per_s, "fp32 fused multiply-add, two FLOPs each")                                            \
    X(l1_bytes_per_s, "first caches of all cores; this and the next two are of CPUs alone")                  \
    X(product_flops_per_s, "products of a panel of queries and a tile of keys, in a core's own cache")       \
    X(softmax_scores_per_s, "maximum, 2^x and sum of such a tile's scores")                                  \
    X(exps_per_s, "exponentials of all SMs")                                                                 \
    TW_MACHINE_FINE_NUMBERS(X)                                                                               \
    TW_MACHINE_CLOCK_NUMBERS(X)                                                                              \
    X(launch_overhead_s, "added to each launch's own time")                                                  \
    X(l2_sides, "parts of the L2, each the home of half of the addresses; 1 or 2; 0 if not known")           \
    X(l2_side_bytes, "capacity of one of them, for its own addresses and copies of the other's")             \
    X(l2_page_bytes, "run of addresses that have one home")                                                  \
    X(l2_dirty_bytes, "most that is dirty at one time, all sides together; 0: no limit")                     \
    X(l2_victims, "the unit dropped is the oldest of so many drawn at random; 0: exact LRU")                 \
    X(block_begin_cycles, "from a block's start to its first loads")                                         \
    X(block_end_cycles, "from a block's last stores to the next block's start")                              \
    X(start_stagger_cycles, "the first blocks start within so long")                                         \
    X(tile_pace, "share of its roofline rate at which a tile is worked through; 0: all of it")               \
    X(drift_one_block, "spread of the SMs' speeds, largest minus smallest over mean, one block an SM")       \
    X(drift_more_blocks, "the same of blocks that share an SM")                                              \
    X(profiler_dirty_bytes, "what a profiler that empties the L2 leaves dirty in it: HBM writes of "         \
                            "nobody's")

/** Where a number comes from. */
typedef struct tw_machine_source {
    char date[16];    /**< YYYY-MM-DD */
    char source[160]; /**< measured how, or which document */
} tw_machine_source;

/** @cond */
#define TW_MACHINE_FIELD_(field, what)  double field;
#define TW_MACHINE_SOURCE_(field, what) tw_machine_source field;
/** @endcond */
/** A machine. Byte counts and num_sms are whole numbers. */
typedef struct tw_machine {
    char name[64];         /**< of the file, without its ending */
    char description[160]; /**< one line */
    tw_machine_kind kind;  /**< how its on-chip memory is organised */
    bool uncalibrated;     /**< "calibrated = no": its numbers were looked up, not measured */
    TW_MACHINE_NUMBERS(TW_MACHINE_FIELD_)
    /** Where each of these numbers comes from. */
    struct {
        TW_MACHINE_NUMBERS(TW_MACHINE_SOURCE_)
    } sources;
} tw_machine;
#undef TW_MACHINE_FIELD_
#undef TW_MACHINE_SOURCE_

/**
 * @brief Finds a machine by the name of a built-in file, or reads one if the name has a '/' or ends in ".ini".
 * @param[out] machine       untouched on error
 * @param[in]  name_or_path  "h100", or the path of a file
 * @return TW_OK; TW_EINVAL (no such name; the line lists those there are; a file name that would break a CSV file); TW_EIO; TW_EFORMAT (an unknown
 *         key, a value that is not a number, negative or without source and date; smem_bytes missing; the
 *         line gives the file's line number)
 */
TW_MUST_CHECK tw_status tw_machine_find(tw_machine *machine, const char *name_or_path);

/**
 * @brief Replaces one number of a machine by what a user gives: "l2_side_bytes=30M". Its source is then the user.
 * @param[in,out] machine  as it was on error
 * @param[in] assignment  key=value; the value as in a machine file, or with k (1024) or M (1024²) behind it
 * @return TW_OK; TW_EINVAL (no such key, a value that the file would not accept)
 */
TW_MUST_CHECK tw_status tw_machine_set(tw_machine *machine, const char *assignment);

/**
 * @brief Would a file of this name be found as a machine? Asked before one is written.
 * @return TW_OK; TW_EINVAL (it does not end in ".ini", or has a character that ends a field of a CSV file)
 */
TW_MUST_CHECK tw_status tw_machine_check_path(const char *path);

/** Number of built-in machines. */
int tw_machine_count(void);

/** Name of the i-th built-in machine, in alphabetical order; NULL if there is none. */
const char *tw_machine_name(int i);

/** ", uncalibrated" for a machine whose numbers were not measured, "" otherwise: to stand behind its name. */
const char *tw_machine_caveat(const tw_machine *machine);

/** Name of the i-th number, as a file has it; NULL if there is none. */
const char *tw_machine_number_name(int i);

/** What the i-th number means, in a few words; NULL if there is none. */
const char *tw_machine_number_meaning(int i);

/** Value of the i-th number of a machine; 0 if it is not known. */
double tw_machine_number(const tw_machine *machine, int i);

/** Where that value comes from; two empty strings if it is not known. */
const tw_machine_source *tw_machine_number_source(const tw_machine *machine, int i);

/**
 * @brief Gives a number, by its name in the file, a value and a source, as a line of a file would.
 * @param[in,out] machine  untouched on error
 * @param[in]     number   "hbm_read_bytes_per_s"
 * @param[in]     value    in that number's unit
 * @param[in]     date     YYYY-MM-DD
 * @param[in]     source   1 to 159 characters
 * @return TW_OK; TW_EINVAL (no such number; what a file could not say either)
 */
TW_MUST_CHECK tw_status tw_machine_set_number(tw_machine *machine, const char *number, double value,
                                              const char *date, const char *source);

/**
 * @brief Writes a machine as a file that tw_machine_find() reads back as the same machine.
 * @param[in] file     open for writing
 * @param[in] machine  a machine that a file can describe
 * @param[in] comment  lines to stand on top, without their ';'; NULL for none
 * @return TW_OK; TW_EOVERFLOW (a line that the reader would refuse: the line names the number). Errors of `file`
 *         are for who opened it.
 */
TW_MUST_CHECK tw_status tw_machine_write(FILE *file, const tw_machine *machine, const char *comment);

/** Has the machine a cache between SRAM and HBM, so that fill and HBM traffic differ? */
bool tw_machine_has_l2(const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
