/* What the pictures need and no table of `tilewise` has, as CSV on standard output.
 *
 *     plot_data machine NAME    the numbers of a machine file, one row
 *     plot_data memory          tensors that each schedule keeps in HBM, against sequence length
 */
#include "../../sim/machine.h"
#include "../../sim/schedules/registry.h"

#include <stdio.h>
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

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "machine") == 0)
        return print_machine(argv[2]);
    if (argc == 2 && strcmp(argv[1], "memory") == 0)
        return print_memory();
    return complain("usage: plot_data machine NAME | plot_data memory");
}
