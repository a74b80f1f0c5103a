/* What the pictures need and no table of `tilewise` has, as CSV on standard output.
 *
 *     plot_data machine NAME    the numbers of a machine file, one row
 *     plot_data memory          tensors that each schedule keeps in HBM, against sequence length
 *     plot_data sparsity        bytes and roofline time under block masks, against the share of blocks that are on
 *     plot_data ring            a step of ring attention beside its link, against the rows that a device has
 *     plot_data sram            SRAM traffic of one head against the size of SRAM, and the bounds below it
 */
#include "../../sim/backend_count.h"
#include "../../sim/block_masks.h"
#include "../../sim/bounds.h"
#include "../../sim/machine.h"
#include "../../sim/ring.h"
#include "../../sim/roofline.h"
#include "../../sim/schedules/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *line)
{
    fprintf(stderr, "plot_data: %s\n", line);
    return 2;
}

static int print_machine(const char *name)
{
    tw_machine machine;
    if (tw_machine_find(&machine, name) != TW_OK)
        return complain(tw_error_message());
#define PRINT_NAME(field, what) "," #field
    printf("machine" TW_MACHINE_NUMBERS(PRINT_NAME) "\n%s", machine.name);
#define PRINT_VALUE(field, what) printf(",%.17g", machine.field);
    TW_MACHINE_NUMBERS(PRINT_VALUE)
    printf("\n");
    return 0;
}

/* Bytes of all tensors of a set, whole problem. */
static double bytes_of(unsigned tensors, const tw_problem *problem)
{
    double bytes = 0;
    for (int t = 0; t < TW_NUM_TENSORS; t++) {
        if (!(tensors & TW_SET(t)))
            continue;
        tw_tensor_shape shape = tw_tensor_shape_of((tw_tensor)t, problem);
        bytes += (double)problem->batch * shape.heads * (double)shape.rows * (double)shape.cols *
                 tw_tensor_element_bytes((tw_tensor)t, problem);
    }
    return bytes;
}

static int print_memory(void)
{
    const unsigned given = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O);
    tw_problem p = {.batch = 1, .num_heads = 16, .num_heads_kv = 16, .head_dim = 128, .dtype = TW_FP16};
    printf("algorithm,seqlen_k,footprint_bytes,workspace_bytes\n");
    for (int i = 0; i < tw_schedule_count(); i++) {
        const tw_schedule *schedule = tw_schedule_at(i);
        unsigned tensors = 0;
        for (int l = 0; l < schedule->num_launches; l++)
            tensors |= schedule->launches[l].reads | schedule->launches[l].writes;
        for (int n = 512; n <= 1024 * 1024; n *= 2) {
            p.seqlen_q = p.seqlen_k = n;
            printf("%s,%d,%.0f,%.0f\n", schedule->name, n, bytes_of(tensors, &p),
                   bytes_of(tensors & ~given, &p));
        }
    }
    return 0;
}

/* Blocks that are on, of all. */
static double share_of(const unsigned char *blocks, int side)
{
    int64_t on = 0;
    for (int i = 0; i < side * side; i++)
        on += blocks[i] != 0;
    return (double)on / ((double)side * side);
}

static tw_status print_masked(const char *pattern, const tw_schedule *schedule, const tw_machine *machine,
                              const tw_block_choice *choice)
{
    enum { LENGTH = 16384, BLOCK = 128, SEED = 1 };
    const tw_tiling tiling = {.block_m = BLOCK, .block_n = BLOCK, .unit = TW_UNIT_TENSOR};
    tw_problem p = {.batch = 1,
                    .num_heads = 16,
                    .num_heads_kv = 16,
                    .seqlen_q = LENGTH,
                    .seqlen_k = LENGTH,
                    .head_dim = 64,
                    .dtype = TW_FP16,
                    .mask = {.block_rows = BLOCK, .block_keys = BLOCK}};
    tw_count_result counted;
    tw_roofline time;
    unsigned char *blocks;
    TW_TRY(tw_blocks_make(&blocks, choice, &p, SEED));
    p.mask.blocks = blocks;
    tw_status status = tw_count(&counted, schedule, &p, &tiling, machine);
    if (status == TW_OK)
        status = tw_roofline_time(&time, &counted, p.dtype, tiling.unit, machine);
    if (status == TW_OK)
        printf("%s,%s,%.6f,%.6g,%lld,%lld\n", pattern, schedule->name, share_of(blocks, LENGTH / BLOCK),
               time.time_s * 1e6, (long long)(counted.total.sram_fill_bytes + counted.total.sram_drain_bytes),
               (long long)(counted.total.hbm_read_bytes + counted.total.hbm_write_bytes));
    free(blocks);
    return status;
}

static int print_sparsity(void)
{
    static const tw_schedule *const schedules[] = {&tw_schedule_flash1, &tw_schedule_flash2};
    const struct {
        const char *name;
        tw_block_choice choice;
    } patterns[] = {{"butterfly", {.pattern = TW_BLOCKS_BUTTERFLY}},
                    {"local and global", {.pattern = TW_BLOCKS_LOCAL, .reach = 4, .global = 2}}};
    tw_machine machine;
    tw_status status = tw_machine_find(&machine, "h100");
    printf("pattern,algorithm,share,predicted_time_us,sram_bytes,hbm_bytes\n");
    for (int s = 0; s < 2; s++) {
        for (double share = 1.0 / 128; share <= 1.0 && status == TW_OK; share *= 2) {
            const tw_block_choice random = {.pattern = TW_BLOCKS_RANDOM, .share = share};
            status = print_masked("random", schedules[s], &machine, &random);
        }
        for (int i = 0; i < 2 && status == TW_OK; i++)
            status = print_masked(patterns[i].name, schedules[s], &machine, &patterns[i].choice);
    }
    return status == TW_OK ? 0 : complain(tw_error_message());
}

/* Elements that cross the border of SRAM; 0 if the tiles do not fit. */
static double sram_elements(const tw_schedule *schedule, const tw_problem *p, const tw_tiling *t,
                            const tw_machine *machine)
{
    tw_count_result counted;
    if (tw_count(&counted, schedule, p, t, machine) != TW_OK)
        return 0;
    return (double)counted.total.sram_fill_elements + (double)counted.total.sram_drain_elements;
}

/* FlashAttention 2 with the tallest tile of Q that fits beside 16 keys: it moves 2Nd + 2N²d / block_m. */
static double flash2_elements(const tw_problem *p, const tw_machine *machine)
{
    tw_tiling t = {.block_n = 16};
    int fitting = 0, refused = p->seqlen_q + 1;
    while (refused - fitting > 1) {
        t.block_m = fitting + (refused - fitting) / 2;
        if (sram_elements(&tw_schedule_flash2, p, &t, machine) > 0)
            fitting = t.block_m;
        else
            refused = t.block_m;
    }
    t.block_m = fitting;
    return fitting > 0 ? sram_elements(&tw_schedule_flash2, p, &t, machine) : 0;
}

/* One head on the papers' machine; an empty field where not even the smallest tiles fit. */
static int print_sram(void)
{
    tw_machine machine;
    tw_problem p = {
        .batch = 1, .num_heads = 1, .num_heads_kv = 1, .seqlen_q = 4096, .seqlen_k = 4096, .dtype = TW_FP16};
    if (tw_machine_find(&machine, "paper") != TW_OK)
        return complain(tw_error_message());
    printf("head_dim,sram_bytes,flash1_elements,flash2_elements,standard_elements,saha_ye_elements,"
           "compulsory_elements\n");
    for (p.head_dim = 64; p.head_dim <= 128; p.head_dim *= 2) {
        for (double bytes = 4096; bytes <= 4194304; bytes *= 2) {
            tw_tiling t = {.block_m = 0};
            machine.smem_bytes = bytes;
            tw_schedule_default_tiling(&tw_schedule_flash1, &t, &p, &machine);
            double flash1 = sram_elements(&tw_schedule_flash1, &p, &t, &machine);
            double flash2 = flash2_elements(&p, &machine);
            double standard = sram_elements(&tw_schedule_standard, &p, &t, &machine);
            printf("%d,%.0f,", p.head_dim, bytes);
            printf(flash1 > 0 ? "%.0f," : ",", flash1);
            printf(flash2 > 0 ? "%.0f," : ",", flash2);
            printf("%.0f,%.0f,%.0f\n", standard, tw_bound_saha_ye_elements(4096, p.head_dim, bytes / 2),
                   tw_bound_compulsory_elements(4096, p.head_dim));
        }
    }
    return 0;
}

/* Eight devices on an H100's links: work of the slowest in a step, contiguous and striped. */
static int print_ring(void)
{
    tw_machine machine;
    tw_problem p = {.batch = 1, .num_heads = 32, .num_heads_kv = 32, .head_dim = 128, .dtype = TW_FP16};
    const tw_tiling t = {.block_m = 128, .block_n = 128, .unit = TW_UNIT_TENSOR, .parts = 8};
    if (tw_machine_find(&machine, "h100") != TW_OK)
        return complain(tw_error_message());
    printf("rows,causal,link_us,slowest_us,striped_us,time_us,striped_time_us,threshold\n");
    for (int causal = 0; causal < 2; causal++)
        for (int rows = 256; rows <= 32768; rows *= 2) {
            tw_ring_time ring, striped;
            p.causal = causal;
            p.seqlen_q = p.seqlen_k = rows * t.parts;
            if (tw_ring_time_of(&ring, &tw_schedule_ring, &p, &t, &machine) != TW_OK ||
                tw_ring_time_of(&striped, &tw_schedule_ring_striped, &p, &t, &machine) != TW_OK)
                return complain(tw_error_message());
            printf("%d,%d,%.4g,%.4g,%.4g,%.5g,%.5g,%.5g\n", rows, causal, ring.link_s * 1e6,
                   ring.slowest_s * 1e6, striped.slowest_s * 1e6, ring.time_s * 1e6, striped.time_s * 1e6,
                   ring.threshold);
        }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "machine") == 0)
        return print_machine(argv[2]);
    if (argc == 2 && strcmp(argv[1], "memory") == 0)
        return print_memory();
    if (argc == 2 && strcmp(argv[1], "sparsity") == 0)
        return print_sparsity();
    if (argc == 2 && strcmp(argv[1], "sram") == 0)
        return print_sram();
    if (argc == 2 && strcmp(argv[1], "ring") == 0)
        return print_ring();
    return complain("usage: plot_data machine NAME | plot_data memory | plot_data sparsity | plot_data ring "
                    "| plot_data sram");
}
