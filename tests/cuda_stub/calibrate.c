/*
 * The microbenchmarks of gpu/calibrate/, answered by a GPU that is made up: 12 SMs in two groups, an L2 of two sides of
 * 4 MiB, every rate and latency a round number. What the host makes of the answers can then be held against the truth.
 *
 * Time is the host's, and what kernels take is added to it (tw_stub_advance). Loads go through an LRU of two sides: a
 * line from the other side is kept in both.
 *
 * TW_STUB_FAULT plants a mistake:
 *     fast_hbm   memory that is faster than its bus         lost_copy  bulk copies that never arrive
 *     one_side   an L2 of one side of 8 MiB                 scatter    cycles that differ from SM to SM
 *     bad_copy   bulk copies that fail
 */
#include "../../gpu/calibrate/kernels.h"
#include "stub.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SMS = TW_STUB_SMS, LINES = 3 * TW_STUB_L2_BYTES / TW_CAL_LINE_BYTES };
enum { PAGE_LINES = TW_CAL_PAGE_BYTES / TW_CAL_LINE_BYTES };
static const double CLOCK_HZ = 1.7e9;

static bool fault(const char *name)
{
    const char *planted = getenv("TW_STUB_FAULT");
    return planted != NULL && strcmp(planted, name) == 0;
}

static bool one_side(void)
{
    static int planted = -1; /* asked for every load */
    if (planted < 0)
        planted = fault("one_side");
    return planted;
}

static void take_cycles(double cycles, double hz)
{
    tw_stub_advance(cycles / hz);
}

/* Between -1 and 1, the same in every run. */
static double scatter(uint32_t seed)
{
    return (double)(int32_t)tw_cal_hash(seed) / 2147483648.0;
}

/* ---- the made-up L2 ------------------------------------------------------------------------------------- */

static const struct {
    double near, far, hbm_near, hbm_far;
} latency_of = {290, 477, 577, 774};

/* Numbers of SMs have gaps; SMs take turns on the sides in pairs. */
static int smid_of_block(int block)
{
    return 2 * block + 1;
}

static int side_of_sm(int smid)
{
    return one_side() ? 0 : smid / 2 / 2 % 2;
}

static int home_of_page(size_t page)
{
    return one_side() ? 0 : (int)((page ^ page >> 3) & 1);
}

/* Each side: a doubly linked list of lines, newest first, and which lines are in it. */
static struct side {
    int newer[LINES + 1], older[LINES + 1]; /* LINES is the list's head */
    bool in[LINES];
    int count;
} sides[2];

static void unlink_line(struct side *s, int line)
{
    s->older[s->newer[line]] = s->older[line];
    s->newer[s->older[line]] = s->newer[line];
    s->in[line] = false;
    s->count--;
}

static void use_line(struct side *s, int line)
{
    const int capacity = TW_STUB_L2_BYTES / (one_side() ? 1 : 2) / TW_CAL_LINE_BYTES;
    if (s->in[line])
        unlink_line(s, line);
    else if (s->count == capacity)
        unlink_line(s, s->newer[LINES]);
    s->older[line] = s->older[LINES];
    s->newer[line] = LINES;
    s->newer[s->older[LINES]] = line;
    s->older[LINES] = line;
    s->in[line] = true;
    s->count++;
}

static void empty_l2(void)
{
    for (int i = 0; i < 2; i++) {
        memset(sides[i].in, 0, sizeof sides[i].in);
        sides[i].newer[LINES] = sides[i].older[LINES] = LINES;
        sides[i].count = 0;
    }
}

/* Cycles of a load by an SM of this side. */
static double load(int side, size_t line)
{
    const int home = home_of_page(line / PAGE_LINES), at = (int)line;
    if (line >= LINES) /* beyond what is kept track of: a program that asks for it is wrong */
        return (double)NAN;
    if (sides[side].in[at]) {
        use_line(&sides[side], at);
        return latency_of.near;
    }
    const bool at_home = sides[home].in[at];
    use_line(&sides[home], at);
    if (home != side)
        use_line(&sides[side], at);
    return at_home ? latency_of.far : home == side ? latency_of.hbm_near : latency_of.hbm_far;
}

/* ---- launch, hbm, l2_rate, product ------------------------------------------------------------------------ */

static void empty_kernel(int blocks, int threads, const void *argument)
{
    (void)blocks, (void)threads, (void)argument;
    tw_stub_advance(2e-6);
}

static void stream(const tw_cal_stream_args *a, double rate)
{
    const double bytes = 16.0 * (double)a->vectors * ((a->from != NULL) + (a->to != NULL));
    if (bytes > 2.0 * TW_STUB_L2_BYTES)
        empty_l2();
    tw_stub_advance(bytes / rate);
}

static void hbm_read(int blocks, int threads, const void *argument)
{
    (void)blocks, (void)threads;
    stream(argument, fault("fast_hbm") ? 5e12 : 3.0e12);
}

static void hbm_write(int blocks, int threads, const void *argument)
{
    (void)blocks, (void)threads;
    stream(argument, 3.1e12);
}

static void hbm_copy(int blocks, int threads, const void *argument)
{
    (void)blocks, (void)threads;
    stream(argument, 2.8e12);
}

/* Nobody looks at what is in the buffer. */
static void write_once(int blocks, int threads, const void *argument)
{
    (void)blocks, (void)threads;
    stream(argument, 3.1e12);
}

static void random_numbers(int blocks, int threads, const void *argument)
{
    (void)blocks, (void)threads, (void)argument;
}

static void l2_read(int blocks, int threads, const void *argument)
{
    const tw_cal_rate_args *a = argument;
    const double tile = 16.0 * threads, per_block = tile * a->tiles * a->passes;
    const double set = tile * a->tiles * (a->shared ? 1 : blocks);
    const double inside = a->shared ? 2e12 : 1e12;
    tw_stub_advance(per_block * blocks / (set <= TW_STUB_L2_BYTES / 2.0 ? inside : 0.5 * inside));
}

/* ---- l2_sides, l2_hits ---------------------------------------------------------------------------------- */

static void time_pages(int blocks, int threads, const void *argument)
{
    const tw_cal_table_args *a = argument;
    (void)threads;
    for (int block = 0; block < blocks; block++) {
        a->smid[block] = smid_of_block(block);
        for (int column = 0; column < TW_CAL_COLUMNS; column++) {
            const int home = home_of_page((size_t)column * a->stride / TW_CAL_PAGE_BYTES);
            const int cell = block * TW_CAL_COLUMNS + column;
            a->latency[cell] = (float)((side_of_sm(smid_of_block(block)) == home ? 300 : 485) +
                                       15 * scatter((uint32_t)cell));
        }
    }
}

static void time_units(int blocks, int threads, const void *argument)
{
    const tw_cal_home_args *a = argument;
    (void)blocks, (void)threads;
    for (int side = 0; side < 2; side++)
        for (int unit = 0; unit < a->units; unit++) {
            const int home = home_of_page((size_t)unit * a->unit_bytes / TW_CAL_PAGE_BYTES);
            const int cell = side * a->units + unit;
            a->latency[cell] = (float)((side_of_sm(a->sides->smid_of[side]) == home ? 300 : 485) +
                                       15 * scatter(77u + (uint32_t)cell));
        }
}

static void time_loads(int blocks, int threads, const void *argument)
{
    const tw_cal_load_args *a = argument;
    (void)blocks, (void)threads;
    for (int i = 0; i < a->n; i++)
        a->latency[i] = (float)(load(side_of_sm(a->smid), a->lines[i]) + 10 * scatter((uint32_t)i));
}

static unsigned chunk_at(const tw_cal_hits_args *a, unsigned step)
{
    const unsigned pass = step / a->chunks, i = step % a->chunks;
    if (a->order == TW_CAL_RANDOM && pass > 0)
        return (unsigned)((unsigned long long)tw_cal_hash(step + 1) * a->chunks >> 32);
    return tw_cal_is_backward(a->order, pass) ? a->chunks - 1 - i : i;
}

/* A load of one line, and where it was found. */
static void count_load(const tw_cal_hits_args *a, int side, size_t line, bool far, bool counted)
{
    const double cycles = load(side, line) + 10 * scatter((uint32_t)line);
    if (counted)
        a->counts[cycles >= a->hbm_from[far] ? 2 : cycles >= a->far_from[far]]++;
}

/* What SMs of one side read of a chunk; under PRIVATE of both, lines taken in turn by all SMs. */
static void read_chunk(const tw_cal_hits_args *a, unsigned chunk, int side, bool counted)
{
    for (int i = 0; i < TW_CAL_CHUNK_PAGES * PAGE_LINES; i++) {
        const size_t line = (size_t)chunk * TW_CAL_CHUNK_PAGES * PAGE_LINES + (size_t)i;
        const int home = (int)(a->home_of[chunk] >> i / PAGE_LINES & 1);
        const int worker = (i + 5 * (int)chunk) % (SMS * TW_CAL_HITS_WARPS);
        const int private_side = side_of_sm(smid_of_block(worker / TW_CAL_HITS_WARPS));
        const bool mine = a->access == TW_CAL_PRIVATE ? private_side == side
                          : a->access == TW_CAL_NEAR  ? home == side
                          : a->access == TW_CAL_FAR   ? home != side
                                                      : true;
        if (mine)
            count_load(a, side, line, home != side, counted);
    }
}

static void count_hits(int blocks, int threads, const void *argument)
{
    const tw_cal_hits_args *a = argument;
    const unsigned steps = a->chunks * a->passes;
    (void)blocks, (void)threads;
    for (unsigned turn = 0; turn < steps + 1; turn++)
        for (int side = 0; side < (one_side() ? 1 : 2); side++) {
            const unsigned step = turn - (a->access == TW_CAL_SHARED && side == 1);
            if (step < steps)
                read_chunk(a, chunk_at(a, step), side, step >= a->warm_passes * a->chunks);
        }
}

static void write_pages(int blocks, int threads, const void *argument)
{
    const tw_cal_cross_args *a = argument;
    (void)blocks, (void)threads;
    for (int home = 0; home < 2; home++)
        for (int i = 0; i < a->pages_a_side; i++)
            if (home_of_page(a->pages[home * a->pages_a_side + i]) != home)
                return; /* too fast to be believed */
    tw_stub_advance(2.0 * a->pages_a_side * TW_CAL_PAGE_BYTES * a->passes / (a->far ? 0.4e12 : 0.8e12));
}

/* ---- loops ---------------------------------------------------------------------------------------------- */

/* Cycles to each SM, and to the time. */
static void report_cycles(const tw_cal_loop *a, double cycles, double hz)
{
    for (int i = 0; i < SMS; i++)
        a->cycles[i] = (long long)(cycles * (fault("scatter") ? 1 + 0.1 * scatter((uint32_t)i) : 1.0));
    take_cycles(cycles, hz);
}

static void smem(int blocks, int threads, const void *argument)
{
    const tw_cal_loop *a = argument;
    (void)blocks;
    report_cycles(a, 16.0 * threads * TW_CAL_SMEM_LOADS * a->rounds / 128 + 40, CLOCK_HZ);
}

static void pipe_of(const tw_cal_loop *a, int threads, double per_clock)
{
    report_cycles(a, (double)threads * TW_CAL_PIPE_CHAINS * TW_CAL_PIPE_LINKS * a->rounds / per_clock,
                  CLOCK_HZ);
}

#define PIPE(NAME, PER_CLOCK)                                                                                \
    static void NAME(int blocks, int threads, const void *argument)                                          \
    {                                                                                                        \
        (void)blocks;                                                                                        \
        pipe_of(argument, threads, PER_CLOCK);                                                               \
    }
PIPE(pipe_fma, 126)
PIPE(pipe_max, 64)
PIPE(pipe_exp, 16)
PIPE(pipe_cvt, 63)

static void mma(int blocks, int threads, const void *argument)
{
    const tw_cal_loop *a = argument;
    (void)blocks;
    report_cycles(a, threads / 32.0 * TW_CAL_MMA_TILES * a->rounds * 4096.0 / 2700, CLOCK_HZ);
}

/* The clock that power leaves at a share of the tensor cores' rate. */
static double clock_under(double share)
{
    const double at_most = 1.98e9, by_power = 1.55e9 * pow(share, -0.33);
    return by_power < at_most ? by_power : at_most;
}

/* A product takes 128 cycles, whatever the format; two warpgroups take turns. */
static void wgmma_full(int blocks, int threads, const void *argument)
{
    const tw_cal_loop *a = argument;
    (void)blocks;
    report_cycles(a, threads / 128.0 * a->rounds * TW_CAL_WGMMA_GROUP * 128, clock_under(1));
}

static void wgmma_paced(int blocks, int threads, const void *argument)
{
    const tw_cal_loop *a = argument;
    const double busy = TW_CAL_WGMMA_GROUP * 128, round = busy + 54 + a->idle_cycles;
    (void)blocks, (void)threads;
    report_cycles(a, a->rounds * round, clock_under(busy / round));
}

static void softmax_step(const tw_cal_step_args *a, int keys, int workers, bool busy)
{
    static const double speed[4][2] = {{0, 0}, {1, 0.645}, {0.65, 0.41}, {0.46, 0.325}};
    const double cycles = a->rounds > 0 ? a->rounds * (100 + 5.7 * keys) / speed[workers][busy] : 3e5;
    const double each = a->rounds > 0 ? 68 : 64, groups = floor(cycles / (each * TW_CAL_STEP_GROUP));
    for (int i = 0; i < SMS; i++) {
        a->steps[4 * i] = (long long)cycles;
        a->steps[4 * i + 1] = (long long)(busy ? groups * each * TW_CAL_STEP_GROUP : 0);
        a->steps[4 * i + 2] = (long long)(busy ? groups : 0);
    }
}

#define STEP(KEYS, WORKERS, BUSY)                                                                            \
    static void step_##KEYS##_##WORKERS##_##BUSY(int blocks, int threads, const void *argument)              \
    {                                                                                                        \
        (void)blocks, (void)threads;                                                                         \
        softmax_step(argument, KEYS, WORKERS, BUSY);                                                         \
    }
TW_CAL_STEPS(STEP)

/* ---- copies --------------------------------------------------------------------------------------------- */

static void copy_latency(int blocks, int threads, const void *argument)
{
    const tw_cal_latency_args *a = argument;
    const int all = TW_CAL_COPY_SIZES * TW_CAL_COPIES;
    (void)blocks, (void)threads;
    for (int i = 0; i < 2 * all && !fault("lost_copy"); i++)
        a->cycles[i] = (float)((i < all ? 1000 : 430) + a->sizes[i % all / TW_CAL_COPIES] / 109.0 +
                               5 * scatter((uint32_t)i));
}

static void copy_rate(int blocks, int threads, const void *argument)
{
    const tw_cal_copy_rate_args *a = argument;
    (void)threads;
    *a->failed = fault("bad_copy");
    tw_stub_advance((double)TW_CAL_COPY_TILE_BYTES * a->tiles * a->passes * blocks /
                    (a->shared ? 3e12 : 0.9e12));
}

/* ---- what the host asks for ----------------------------------------------------------------------------- */

/* ISO C has no cast from a function to an object pointer; the bytes are the same. */
static const void *as_kernel(tw_stub_kernel function)
{
    const void *kernel;
    memcpy(&kernel, &function, sizeof kernel);
    return kernel;
}

#define ANSWER(NAME, FUNCTION)                                                                               \
    const void *NAME(void)                                                                                   \
    {                                                                                                        \
        return as_kernel(FUNCTION);                                                                          \
    }
ANSWER(tw_cal_empty_kernel, empty_kernel)
ANSWER(tw_cal_hbm_read_kernel, hbm_read)
ANSWER(tw_cal_hbm_write_kernel, hbm_write)
ANSWER(tw_cal_hbm_copy_kernel, hbm_copy)
ANSWER(tw_cal_fill_kernel, write_once)
ANSWER(tw_cal_write_once_kernel, write_once)
ANSWER(tw_cal_time_pages_kernel, time_pages)
ANSWER(tw_cal_time_units_kernel, time_units)
ANSWER(tw_cal_time_loads_kernel, time_loads)
ANSWER(tw_cal_count_hits_kernel, count_hits)
ANSWER(tw_cal_write_pages_kernel, write_pages)
ANSWER(tw_cal_smem_kernel, smem)
ANSWER(tw_cal_copy_latency_kernel, copy_latency)
ANSWER(tw_cal_copy_rate_kernel, copy_rate)
ANSWER(tw_cal_random_kernel, random_numbers)

const void *tw_cal_l2_read_kernel(tw_cal_order order)
{
    (void)order;
    return as_kernel(l2_read);
}

const void *tw_cal_pipe_kernel(tw_cal_pipe pipe)
{
    static const tw_stub_kernel pipes[TW_CAL_NUM_PIPES] = {pipe_fma, pipe_max, pipe_exp, pipe_cvt};
    return as_kernel(pipes[pipe]);
}

const void *tw_cal_mma_kernel(bool bf16)
{
    (void)bf16;
    return as_kernel(mma);
}

const void *tw_cal_wgmma_kernel(tw_cal_format format, bool paced)
{
    (void)format;
    return as_kernel(paced ? wgmma_paced : wgmma_full);
}

const void *tw_cal_step_kernel(int keys, int workers, bool busy)
{
#define FIND(KEYS, WORKERS, BUSY)                                                                            \
    if (keys == KEYS && workers == WORKERS && busy == BUSY)                                                  \
        return as_kernel(step_##KEYS##_##WORKERS##_##BUSY);
    TW_CAL_STEPS(FIND)
    return NULL;
}
