/*
 * What a tile operation costs an SM, on which nothing else happens. Every constant is the machine file's; sharing is
 * backend_clock.c's business.
 *
 * Warpgroups (wgmma): 64 rows at a time. A product is a number of wgmma of N / 2 cycles; a softmax step of 64 rows is a
 * measured whole, softmax_cycles + softmax_cycles_per_key · N, in which 16 rows belong to each of four warps.
 *
 * Plain warps: a quarter of the SM runs `lanes` warps of the block, each of which does all steps for its own rows. The
 * softmax of a warp is the same measured whole: 11.4 cycles an element of a thread are 5.7 a key of 64 rows.
 */
#include "sm_program.h"

#include <math.h>
#include <string.h>

/* Threads of a warp, warps of a warpgroup, quarters of an SM. */
enum { WARP = 32, GROUP = 4, QUARTERS = 4, GROUP_ROWS = 64 };

static double ceil_div(double a, double b)
{
    return ceil(a / b);
}

/* The softmax pass of standard attention has a row a block, and no products. */
static bool is_row_pass(const tw_play *play)
{
    return play->schedule->launches[play->launch].grid_i == TW_AXIS_Q_ROWS;
}

static bool by_groups(const tw_play *play)
{
    return play->build->multiplier == TW_BY_WGMMA && !is_row_pass(play);
}

/* Warps that a row is given by a kernel that shares the SM out by the row's length: 32 keys a thread. */
static int warps_by_length(const tw_play *play)
{
    int wanted = (play->problem->seqlen_k + 1023) / 1024;
    return wanted > 32 ? 32 : wanted;
}

static bool rows_by_length(const tw_play *play)
{
    return is_row_pass(play) && play->build->multiplier != TW_BY_FMA;
}

int tw_play_warps(const tw_play *play)
{
    if (!rows_by_length(play))
        return play->build->warps;
    return warps_by_length(play) < GROUP ? GROUP : warps_by_length(play);
}

int tw_play_rows(const tw_play *play)
{
    int rows = rows_by_length(play) ? GROUP / warps_by_length(play) : 1;
    return rows > 1 ? rows : 1;
}

int tw_play_blocks(const tw_play *play)
{
    enum { MOST_WARPS = 64 };
    bool row_on_chip = play->build->multiplier == TW_BY_FMA; /* as fp32 */
    double row = row_on_chip ? 4.0 * play->problem->seqlen_k : 0;
    int blocks = MOST_WARPS / tw_play_warps(play);
    bool last = play->launch > 0 && play->launch == play->schedule->num_launches - 1;
    if (!is_row_pass(play))
        return last && play->build->blocks_of_last > 0 ? play->build->blocks_of_last
                                                       : play->build->blocks_per_sm;
    if (row * blocks > play->machine->smem_bytes_per_sm)
        blocks = (int)(play->machine->smem_bytes_per_sm / row);
    return blocks > 1 ? blocks : 1;
}

/* Where there is no producer, one agent stands for all warpgroups of a block. */
static bool is_one_agent(const tw_play *play)
{
    return strncmp(play->schedule->name, "flash3", 6) != 0;
}

/* How many times 64 rows a warpgroup's tile is: what is not filled is calculated all the same. */
static double passes(const tw_play *play, int rows)
{
    double groups = is_one_agent(play) ? play->build->warps / GROUP : 1;
    return ceil_div(rows, GROUP_ROWS) / groups;
}

/* Elements of a tile that one thread has. */
static double elements_a_thread(const tw_play *play, double rows, double cols)
{
    double threads = by_groups(play) ? GROUP * WARP : tw_play_warps(play) * WARP;
    return tw_play_rows(play) * rows * cols / threads;
}

/* ---- products ------------------------------------------------------------------------------------------- */

/* m × n = (m × k) (k × n); `of_scores`: Q Kᵀ, otherwise P V. */
typedef struct product {
    double m, n, k;
    bool of_scores;
} product;

static tw_cost wgmma_cost(const tw_play *play, product p)
{
    const tw_machine *machine = play->machine;
    double rate = play->problem->dtype == TW_BF16 ? machine->wgmma_bf16_flops_per_clock
                                                  : machine->wgmma_fp16_flops_per_clock;
    bool registers = !p.of_scores && !play->build->p_in_smem;
    return (tw_cost){.pipe = TW_PIPE_TENSOR,
                     .pieces = (int)ceil(passes(play, (int)p.m) * ceil_div(p.k, 16)),
                     .cycles = 2.0 * GROUP_ROWS * p.n * 16 / rate,
                     .busy = 1.0,
                     .latency = registers ? machine->wgmma_register_latency_cycles
                                          : machine->wgmma_latency_cycles};
}

/* Loads of fragments that a warp needs for its part of a product: how many, and SM cycles of shared memory each. */
typedef struct fragments {
    double loads, smem_cycles, packs;
} fragments;

static fragments fragments_of(const tw_build *build, product p, double strips)
{
    double steps = ceil_div(p.k, 16), pairs = ceil_div(p.n, 8) * steps; /* B fragments of 16 × 8 */
    bool q_held = build->operands == TW_OPERANDS_Q_HELD;
    double a = p.of_scores && !q_held ? strips * steps : 0; /* P is in registers already */
    if (build->operands == TW_OPERANDS_BY_HAND)
        return (fragments){.loads = 4 * a + (p.of_scores ? 2 : 4) * pairs,
                           .smem_cycles = 1,
                           .packs = p.of_scores ? 0 : 2 * pairs};
    return (fragments){.loads = a + pairs / 2, .smem_cycles = 4};
}

/* Of two that want the same pipe, each goes on at a speed that was measured: so busy is the pipe for each alone. */
static double busy_from_speed_of_two(double speed)
{
    return speed > 0.5 && speed < 1 ? sqrt(1 / speed - 1) : 1;
}

static tw_cost mma_cost(const tw_play *play, product p)
{
    const tw_machine *machine = play->machine;
    const tw_build *build = play->build;
    double strips = ceil_div(p.m / build->warps, 16);
    double count = strips * ceil_div(p.n, 8) * ceil_div(p.k, 16);
    fragments f = fragments_of(build, p, strips);
    double rate = play->problem->dtype == TW_BF16 ? machine->mma_bf16_flops_per_clock
                                                  : machine->mma_fp16_flops_per_clock;
    double each = 2.0 * 16 * 8 * 16 * QUARTERS / rate; /* cycles of its quarter's tensor core */
    if (build->operands != TW_OPERANDS_BY_HAND)
        return (tw_cost){.pipe = TW_PIPE_MMA,
                         .cycles = count * machine->mma_cycles + f.loads * machine->ldmatrix_cycles,
                         .busy = busy_from_speed_of_two(machine->mma_speed_of_two),
                         .smem = f.loads * f.smem_cycles};
    double pack = WARP * QUARTERS / machine->cvts_per_clock;
    double others = f.loads * machine->fma_cycles + f.packs * pack,
           cycles = count * machine->mma_cycles + others;
    return (tw_cost){.pipe = TW_PIPE_MMA,
                     .cycles = cycles,
                     .busy = (count * each + others) / cycles,
                     .smem = f.loads * f.smem_cycles};
}

/*
 * Threads are a grid of 16 columns; each has a × b results. Of a turn, 4 of k deep, a loads of 16 bytes feed the a rows,
 * b the b columns, and 4 a b fused multiply-adds follow. Lanes of a warp are two rows by 16 columns: a load for the rows
 * brings two different 16 bytes and takes two cycles of shared memory, one for the columns four.
 */
typedef struct thread_tile {
    double a, b;
} thread_tile;

/*
 * A thread waits for all rows' loads and for each of the columns', unless it has registers for a second of these. It
 * has 255; S and O stay, rows are there for two turns, and some are for addresses, statistics and the tile in flight.
 */
static bool can_ask_ahead(const tw_play *play, thread_tile t)
{
    enum { ALL = 255, OTHERS = 72, SECOND = 32 };
    double rows = t.a, keys = play->tiling->block_n / 16.0, columns = play->problem->head_dim / 16.0;
    return rows * keys + rows * columns + 8 * rows <= ALL - OTHERS - SECOND;
}

static double waits_a_turn(const tw_play *play, thread_tile t)
{
    double latency = play->machine->smem_latency_cycles;
    double waits = can_ask_ahead(play, t) ? ceil(t.b / 2) : t.b;
    return latency + 2 * t.a + waits * (latency + 4);
}

static tw_cost fma_cost(const tw_play *play, product p)
{
    const tw_machine *machine = play->machine;
    double threads = play->build->warps * WARP, fmas = p.m * p.n * p.k / threads;
    thread_tile t = {p.m / (threads / 16), p.n / 16};
    bool scalar = play->build->operands == TW_OPERANDS_SCALAR; /* one number a load, all at once */
    double turns = scalar ? p.k : p.k / 4;
    double waits = turns * (scalar ? machine->smem_latency_cycles : waits_a_turn(play, t));
    double loads = turns * (t.a + t.b), smem = turns * (scalar ? t.a + t.b : 2 * t.a + 4 * t.b);
    double cycles = fmas * machine->fma_cycles + loads + waits;
    return (tw_cost){.pipe = TW_PIPE_FMA,
                     .cycles = cycles,
                     .busy = (fmas * WARP * QUARTERS / machine->fmas_per_clock + loads) / cycles,
                     .smem = smem};
}

static tw_cost product_cost(const tw_play *play, product p)
{
    switch (play->build->multiplier) {
    case TW_BY_WGMMA:
        return wgmma_cost(play, p);
    case TW_BY_MMA:
        return mma_cost(play, p);
    default:
        return fma_cost(play, p);
    }
}

/* ---- CUDA cores ----------------------------------------------------------------------------------------- */

/* Cycles that are known for 64 rows by 4 warps, for one thread's elements: a key of 64 rows is half an element. */
static double cores_cycles(const tw_play *play, double per_column, double rows, double cols)
{
    if (by_groups(play))
        return passes(play, (int)rows) * per_column * cols;
    return 2.0 * per_column * elements_a_thread(play, rows, cols);
}

/* A row that is taken in pieces has its latencies and its fixed costs once for as many keys as there are threads. */
static double part_of_turn(const tw_play *play, double rows, double cols)
{
    return is_row_pass(play) ? fmin(1, elements_a_thread(play, rows, cols)) : 1;
}

static double softmax_cycles(const tw_play *play, double rows, double cols)
{
    const tw_machine *machine = play->machine;
    double fixed = machine->softmax_cycles *
                   (by_groups(play) ? passes(play, (int)rows) : part_of_turn(play, rows, cols));
    return fixed + cores_cycles(play, machine->softmax_cycles_per_key, rows, cols);
}

/* P of a kernel without tensor cores changes hands through shared memory, a number at a time. */
static double p_stores(const tw_play *play, double rows, double cols)
{
    return play->build->multiplier == TW_BY_FMA ? elements_a_thread(play, rows, cols) : 0;
}

static tw_cost cores_cost(const tw_play *play, double cycles)
{
    return (tw_cost){.pipe = TW_PIPE_CORES,
                     .cycles = cycles,
                     .busy = busy_from_speed_of_two(play->machine->softmax_speed_of_two)};
}

static tw_cost softmax_cost(const tw_play *play, double rows, double cols)
{
    double stores = p_stores(play, rows, cols), cycles = softmax_cycles(play, rows, cols);
    if (play->build->p_in_smem)
        cycles += play->machine->p_store_cycles * passes(play, (int)rows);
    tw_cost cost = cores_cost(play, cycles + stores * play->machine->fma_cycles);
    cost.smem = stores;
    return cost;
}

/* ---- copies --------------------------------------------------------------------------------------------- */

/* Where a tile comes from decides how long the first of it takes. */
static double load_latency(const tw_play *play, const tw_op *op)
{
    const tw_machine *machine = play->machine;
    bool tma = play->build->copier == TW_COPY_TMA;
    double l2 = tma ? machine->copy_latency_cycles : machine->l2_near_latency_cycles;
    double hbm = tma ? machine->copy_hbm_latency_cycles : machine->hbm_latency_cycles;
    return l2 + (hbm - l2) * play->hbm_share[op->tensor];
}

static tw_cost load_cost(const tw_play *play, const tw_emitter *e, const tw_op *op)
{
    const tw_build *build = play->build;
    const tw_machine *machine = play->machine;
    bool box = play->tiling->fetch == TW_FETCH_BOX;
    double rows = box ? op->rows.box_rows : op->rows.rows, cols = box ? op->cols.box_rows : op->cols.rows;
    double bytes = tw_play_rows(play) * rows * cols *
                   tw_dtype_bytes(tw_tensor_shape_of(op->tensor, e->problem).dtype);
    bool stream = op->tensor == TW_K || op->tensor == TW_V;
    tw_cost cost = {.pipe = TW_PIPE_COPY,
                    .latency = load_latency(play, op) * part_of_turn(play, rows, cols),
                    .l2_bytes = bytes / (stream && build->multicast > 1 ? build->multicast : 1),
                    .hbm_bytes = bytes * play->hbm_share[op->tensor],
                    .smem = bytes / machine->smem_bytes_per_clock * (build->multiplier == TW_BY_FMA ? 2 : 1)};
    double threads = tw_play_warps(play) * WARP;
    switch (build->copier) {
    case TW_COPY_TMA:
        break;
    case TW_COPY_CP_ASYNC:
        cost.cycles = ceil_div(bytes, 16 * threads) * machine->cp_async_cycles;
        break;
    case TW_COPY_REGISTERS: /* asked for at once; then widened, where nothing multiplies 16 bits, and stored */
    case TW_COPY_AHEAD:
        cost.cycles = elements_a_thread(play, rows, cols) * machine->fma_cycles;
        break;
    case TW_COPY_ONE_BY_ONE: /* the latency is paid for each */
        cost.cycles = fmax(1, rows * cols / threads) * cost.latency;
        cost.latency = 0;
        break;
    }
    return cost;
}

static tw_cost store_cost(const tw_play *play, const tw_emitter *e, const tw_op *op)
{
    const tw_machine *machine = play->machine;
    double bytes = (double)tw_play_rows(play) * op->rows.rows * op->cols.rows *
                   tw_dtype_bytes(tw_tensor_shape_of(op->tensor, e->problem).dtype);
    bool tile = op->cols.rows > 1;
    double own = tile ? cores_cycles(play, machine->o_store_cycles_per_column, op->rows.rows, op->cols.rows)
                      : 0;
    return (tw_cost){.pipe = TW_PIPE_STORE,
                     .cycles = own,
                     .latency = play->build->copier == TW_COPY_TMA && tile ? machine->store_latency_cycles
                                                                           : 0,
                     .l2_bytes = bytes,
                     .hbm_bytes = bytes};
}

/* ---- all of them ---------------------------------------------------------------------------------------- */

tw_cost tw_cost_of(const tw_play *play, const tw_emitter *e, const tw_op *op)
{
    const tw_machine *machine = play->machine;
    const tw_slot_info *dst = &e->slots[op->dst >= 0 ? op->dst : 0];
    const tw_slot_info *a = &e->slots[op->a >= 0 ? op->a : 0], *b = &e->slots[op->b >= 0 ? op->b : 0];
    double rows = by_groups(play) ? dst->rows.rows : dst->rows.box_rows, cols = dst->cols.box_rows;
    switch (op->kind) {
    case TW_OP_LOAD:
        return load_cost(play, e, op);
    case TW_OP_STORE:
        return store_cost(play, e, op);
    case TW_OP_MATMUL_NT:
        return product_cost(play, (product){rows, cols, a->cols.rows, true});
    case TW_OP_MATMUL_ADD:
        return product_cost(play, (product){rows, cols, b->rows.box_rows, false});
    case TW_OP_SOFTMAX:
    case TW_OP_ONLINE_SOFTMAX:
    case TW_OP_FIXED_SOFTMAX: /* what it saves of the maximum was not measured */
    case TW_OP_ROW_STATS:
    case TW_OP_SOFTMAX_APPLY:
        return softmax_cost(play, rows, cols);
    case TW_OP_MASK:
        return cores_cost(play, cores_cycles(play, machine->mask_cycles_per_key, rows, cols));
    case TW_OP_RESCALE:
        return cores_cost(play, play->build->rare_rescale
                                    ? 0
                                    : cores_cycles(play, machine->rescale_cycles_per_column, rows, cols));
    case TW_OP_COMBINE: /* a product and a sum an element, of rows that are there */
    case TW_OP_ADD_PART:
        return cores_cost(play, cores_cycles(play, machine->rescale_cycles_per_column, dst->rows.rows, cols));
    case TW_OP_NORMALIZE:
        return cores_cost(play, machine->finish_cycles +
                                    cores_cycles(play, machine->o_convert_cycles_per_column, rows, cols));
    default:
        return (tw_cost){.pipe = TW_PIPE_NONE};
    }
}
