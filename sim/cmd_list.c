/* tilewise list: algorithms, machines, kernels, variants, a line each. */
#include "commands.h"
#include "kernels.h"

#include <stdio.h>
#include <string.h>

static void print_algorithm(const tw_schedule *s)
{
    char year[16] = "-";
    if (s->year > 0)
        snprintf(year, sizeof year, "%d", s->year);
    printf("%-25s %-4s  %-29s %s\n", s->name, year, s->paper ? s->paper : "-", s->summary);
}

/* Forward passes, then, behind an empty line, the backward passes that go with them. */
static tw_status list_algorithms(void)
{
    for (int i = 0; i < tw_schedule_count(); i++)
        print_algorithm(tw_schedule_at(i));
    putchar('\n');
    for (int i = 0; i < tw_schedule_count(); i++) {
        const tw_schedule *backward = tw_schedule_backward_of(tw_schedule_at(i));
        if (backward && tw_schedule_forward_of(backward) == tw_schedule_at(i))
            print_algorithm(backward);
    }
    return TW_OK;
}

static tw_status list_machines(void)
{
    for (int i = 0; i < tw_machine_count(); i++) {
        tw_machine machine;
        TW_TRY(tw_machine_find(&machine, tw_machine_name(i)));
        printf("%-12s %s%s\n", machine.name, machine.description, tw_machine_caveat(&machine));
    }
    return TW_OK;
}

static tw_status list_kernels(void)
{
    const tw_kernel_claim *kernel;
    if (!tw_kernel_at(0))
        return tw_fail(TW_EUNSUPPORTED,
                       "this program was built without gpu/kernels.def, so it knows no kernels");
    for (int i = 0; (kernel = tw_kernel_at(i)); i++) {
        const tw_tile_exception *x = kernel->exceptions;
        printf("%-20s %-15s %4d x %-4d %s\n", kernel->name, kernel->schedule, kernel->tiling.block_m,
               kernel->tiling.block_n, kernel->idea);
        for (int e = 0; e < TW_TILE_EXCEPTIONS && x[e].head_dim != 0; e++) {
            char name[TW_EXCEPTION_NAME];
            tw_exception_name(name, &x[e]);
            printf("%-20s %-15s %4d x %-4d for %s\n", "", "", x[e].block_m, x[e].block_n, name);
        }
    }
    return TW_OK;
}

/* What options make of the algorithms: the same loops over other tiles. */
static const struct {
    const char *options, *paper;
    int year;
    const char *what;
} variants[] = {
    {"--window L,R", "Beltagy et al., arXiv:2004.05150", 2020, "sliding window (Longformer)"},
    {"--window L,0 --sinks N", "Xiao et al., arXiv:2309.17453", 2023,
     "attention sinks: the first keys stay in the window"},
    {"--causal --prefix N", "Raffel et al., arXiv:1910.10683", 2019, "prefix language model"},
    {"--documents", "Krell et al., arXiv:2107.02027", 2021, "several documents in one sequence"},
    {"--block-mask FILE", "Dao et al., arXiv:2205.14135", 2022,
     "block-sparse FlashAttention: its Algorithm 5 is flash1 with a block mask"},
    {"--block-mask butterfly", "Dao et al., arXiv:2112.00029", 2021, "the fixed pattern of that paper"},
    {"--block-mask local:W,G", "Beltagy et al., arXiv:2004.05150", 2020, "local blocks and global ones"},
    {"--block-mask random:S", "Zaheer et al., arXiv:2007.14062", 2020, "random blocks, a share of them"},
    {"--cu-seqlens", "Xu et al., arXiv:2409.15373", 2024,
     "jagged: sequences of different lengths, packed instead of padded"},
    {"--softcap", "Gemma Team, arXiv:2408.00118", 2024, "scores between -cap and cap"},
    {"--alibi", "Press et al., arXiv:2108.12409", 2021, "scores fall with distance"},
    {"--bias", "Raffel et al., arXiv:1910.10683", 2019, "a relative bias that is read from memory"},
    {"--sink-logit", "OpenAI, arXiv:2508.10925", 2025, "one more logit under each softmax"},
    {"--heads-kv 1", "Shazeer, arXiv:1911.02150", 2019, "multi-query attention; gqa_packed packs its heads"},
    {"--dropout P", "Srivastava et al., JMLR 15", 2014,
     "drops probabilities; Philox counters (Salmon et al. 2011) make the same mask again"},
    {"--page-size", "Kwon et al., arXiv:2309.06180", 2023,
     "K and V in pages, found by a table (PagedAttention)"},
    {"--latent", "DeepSeek-AI, arXiv:2405.04434", 2024, "latent attention: V is a part of K; mla"},
};

static tw_status list_variants(void)
{
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        printf("%-24s %d  %-33s %s\n", variants[i].options, variants[i].year, variants[i].paper,
               variants[i].what);
    return TW_OK;
}

static const struct {
    const char *name;
    tw_status (*list)(void);
    const char *what;
} lists[] = {{"algorithms", list_algorithms, "schedules that can be counted and run"},
             {"machines", list_machines, "built-in machine files"},
             {"kernels", list_kernels, "GPU kernels, each with the schedule and tiles that it claims to be"},
             {"variants", list_variants, "options that make other published algorithms of the schedules"}};

enum { NUM_LISTS = sizeof lists / sizeof lists[0] };

int tw_cmd_list(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("tilewise list: what there is, a line each\n\n");
        for (int i = 0; i < NUM_LISTS; i++)
            printf("  tilewise list %-12s %s\n", lists[i].name, lists[i].what);
        return 0;
    }
    for (int i = 0; argc == 2 && i < NUM_LISTS; i++)
        if (strcmp(argv[1], lists[i].name) == 0)
            return tw_exit_code(lists[i].list());
    if (argc < 2)
        return tw_exit_code(
            tw_fail(TW_EINVAL, "list needs one of algorithms, machines, kernels, variants behind it"));
    return tw_exit_code(
        tw_fail(TW_EINVAL, "list was given '%s', it must be one of algorithms, machines, kernels, variants",
                tw_quote(argv[argc - 1]).text));
}
