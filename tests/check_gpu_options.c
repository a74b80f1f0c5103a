/* The part of tilewise-gpu that needs no GPU: its command line, and the machine that a device name stands for. */
#include "../gpu/device.h"
#include "../gpu/options.h"
#include "../sim/kernels.h"
#include "check_tilewise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- helpers -------------------------------------------------------------------------------------------- */

enum { MAX_WORDS = 32 };

/* Reads "--a 1 --b 2" as the options of a subcommand. */
static tw_status read_line(tw_gpu_options *options, const char *line)
{
    char program[] = "bench", copy[256], *words[MAX_WORDS + 1] = {program};
    int count = 1;
    bool help;
    ck_assert_uint_lt(strlen(line), sizeof copy);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && count < MAX_WORDS; word = strtok(NULL, " "))
        words[count++] = word;
    return tw_gpu_options_read(options, &help, TW_GPU_GROUP_ALL & ~TW_GPU_GROUP_SOAK, "tilewise-gpu bench",
                               "test", count, words);
}

static tw_status problems_of(tw_problem **problems, size_t *count, const char *line)
{
    tw_gpu_options o;
    tw_status status = read_line(&o, line);
    if (status == TW_OK)
        status = tw_gpu_problems(problems, count, &o);
    tw_gpu_options_free(&o);
    return status;
}

/* ---- problems ------------------------------------------------------------------------------------------- */

START_TEST(test_defaults)
{
    tw_problem *p;
    size_t n;
    ck_assert_int_eq(problems_of(&p, &n, ""), TW_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(p->batch, 1);
    ck_assert_int_eq(p->num_heads, 16);
    ck_assert_int_eq(p->num_heads_kv, 16);
    ck_assert_int_eq(p->seqlen_q, 1024);
    ck_assert_int_eq(p->seqlen_k, 1024);
    ck_assert_int_eq(p->head_dim, 128);
    ck_assert_int_eq(p->dtype, TW_FP16);
    ck_assert(!p->causal);
    free(p);
}
END_TEST

START_TEST(test_grid_of_tokens)
{
    tw_problem *p;
    size_t n;
    ck_assert_int_eq(
        problems_of(&p, &n, "--seqlen 512..16k --tokens 16k --hidden 2048 --head-dim 64,128 --mask both"),
        TW_OK);
    ck_assert_uint_eq(n, 6 * 2 * 2);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(p[i].batch * p[i].seqlen_k, 16384);
        ck_assert_int_eq(p[i].num_heads * p[i].head_dim, 2048);
        ck_assert_int_eq(p[i].num_heads_kv, p[i].num_heads);
        ck_assert_int_eq(p[i].seqlen_q, p[i].seqlen_k);
        ck_assert_int_eq(p[i].causal, i >= n / 2);
    }
    free(p);
}
END_TEST

START_TEST(test_lengths_apart_and_block_lists)
{
    tw_problem *p;
    size_t n;
    ck_assert_int_eq(
        problems_of(&p, &n, "--seqlen-q 7 --seqlen-k 11 --heads 8 --heads-kv 2 --causal --block-n 32,64"),
        TW_OK);
    ck_assert_uint_eq(n, 1); /* tiles vary inside a problem */
    ck_assert_int_eq(p->seqlen_q, 7);
    ck_assert_int_eq(p->seqlen_k, 11);
    ck_assert_int_eq(p->num_heads_kv, 2);
    ck_assert(p->causal);
    free(p);
}
END_TEST

START_TEST(test_shape_given)
{
    static const struct {
        const char *line;
        bool given;
    } table[] = {{"", false},
                 {"--reps 5 --seed 3 --block-n 64", false},
                 {"--seqlen 4", true},
                 {"--causal", true},
                 {"--tokens 1k", true},
                 {"--hidden 2k", true},
                 {"--heads 4", true},
                 {"--mask both", true},
                 {"--kernel a,b", false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        tw_gpu_options o;
        ck_assert_int_eq(read_line(&o, table[i].line), TW_OK);
        ck_assert_msg(tw_gpu_shape_given(&o) == table[i].given, "'%s'", table[i].line);
        tw_gpu_options_free(&o);
    }
}
END_TEST

/* ---- errors --------------------------------------------------------------------------------------------- */

static const struct {
    const char *line, *says;
} refused[] = {
    {"--tokens 1k --batch 2", "both given"},
    {"--hidden 2k --heads 2", "both given"},
    {"--tokens 16k --seqlen 3k", "which is 3072"},
    {"--hidden 1000 --head-dim 64", "which is 64"},
    {"--reps 0", "--reps is '0'"},
    {"--reps 2000000", "at most 1000000"},
    {"--mask some", "--mask is 'some'"},
    {"--heads 5 --heads-kv 2", "must divide"},
    {"--seqlen 0", "--seqlen is '0'"},
    {"--nonsense 1", "--nonsense"},
    {"word", "'word'"},
};

START_TEST(test_refused)
{
    tw_problem *p;
    size_t n;
    ck_assert_int_eq(problems_of(&p, &n, refused[_i].line), TW_EINVAL);
    ck_assert_msg(strstr(tw_error_message(), refused[_i].says) != NULL, "'%s' says: %s", refused[_i].line,
                  tw_error_message());
}
END_TEST

/* ---- lists of cases --------------------------------------------------------------------------------------- */

static const char *const lists[] = {"bench", "grid", "ladder", "long", "slow", "tiles"};

static void check_names(const char *path, const tw_gpu_line *line)
{
    char names[256], *rest = NULL;
    if (line->options.kernels == NULL)
        return;
    snprintf(names, sizeof names, "%s", line->options.kernels);
    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        ck_assert_msg(tw_kernel_find(name) != NULL, "%s, line %d: there is no kernel %s", path, line->number,
                      name);
}

/* Every list in notebooks_data/cases/ can be read, names kernels that there are, and spans problems. */
START_TEST(test_recorded_lists_of_cases)
{
    char program[] = "launch", *words[] = {program, NULL}, path[100];
    tw_gpu_line *lines;
    int count;
    snprintf(path, sizeof path, "notebooks_data/cases/%s.txt", lists[_i]);
    tw_status status = tw_gpu_lines_read(&lines, &count, path, TW_GPU_GROUP_ALL & ~TW_GPU_GROUP_SOAK,
                                         "tilewise-gpu launch", 1, words);
    ck_assert_msg(status == TW_OK && count > 0, "%s", tw_error_message());
    for (int i = 0; i < count; i++) {
        tw_problem *problems;
        size_t n;
        check_names(path, &lines[i]);
        ck_assert_msg(tw_gpu_problems(&problems, &n, &lines[i].options) == TW_OK && n > 0, "%s, line %d: %s",
                      path, lines[i].number, tw_error_message());
        free(problems);
    }
    tw_gpu_lines_free(lines, count);
}
END_TEST

/* ---- tiles ---------------------------------------------------------------------------------------------- */

START_TEST(test_default_tiles)
{
    static const struct {
        const char *kernel;
        int head_dim, block_m, block_n;
    } table[] = {{"20_flash2", 64, 128, 128},
                 {"20_flash2", 128, 128, 128},
                 {"30_flash2_mma", 64, 128, 128}, /* 8 to 10 % faster there than 128 x 64 */
                 {"30_flash2_mma", 96, 128, 64},
                 {"30_flash2_mma", 128, 128, 64}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const tw_kernel_claim *kernel = tw_kernel_find(table[i].kernel);
        ck_assert_ptr_nonnull(kernel);
        tw_tiling t = tw_kernel_tiling(kernel, table[i].head_dim);
        ck_assert_msg(t.block_m == table[i].block_m && t.block_n == table[i].block_n,
                      "%s, head_dim %d: %d x %d", table[i].kernel, table[i].head_dim, t.block_m, t.block_n);
        ck_assert(t.unit == kernel->tiling.unit && t.fetch == kernel->tiling.fetch);
    }
}
END_TEST

/* The tiles that were not given are the kernel's, for every head_dim apart; a list of none is NULL. */
START_TEST(test_tile_exceptions)
{
    const tw_tile_exception two[TW_TILE_EXCEPTIONS] = {{64, 1, 2}, {256, 3, 4}};
    const tw_tiling own = {.block_m = 5, .block_n = 6, .fetch = TW_FETCH_BOX, .unit = TW_UNIT_TENSOR};
    static const int head_dims[] = {64, 128, 256, 0}, block_m[] = {1, 5, 3, 5};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(tw_tiling_for(own, two, head_dims[i]).block_m, block_m[i]);
    ck_assert_int_eq(tw_tiling_for(own, two, 256).fetch, TW_FETCH_BOX);
    ck_assert_int_eq(tw_tiling_for(own, NULL, 64).block_n, 6);
}
END_TEST

/* ---- machines ------------------------------------------------------------------------------------------- */

static const struct {
    const char *device, *machine;
} devices[] = {
    {"NVIDIA H100 80GB HBM3", "h100"},
    {"NVIDIA H100 PCIe", "h100-pcie"},
    {"NVIDIA H200", "h200"},
    {"NVIDIA H20", "h20"},
    {"NVIDIA A100-SXM4-80GB", "a100"},
    {"NVIDIA B200", "b200"},
    {"Tesla T4", "t4"},
    {"NVIDIA GeForce RTX 4090", "nvidia-geforce-rtx-4090"},
    {"", ""},
};

START_TEST(test_machine_name)
{
    char machine[64];
    tw_gpu_machine_name(machine, sizeof machine, devices[_i].device);
    ck_assert_str_eq(machine, devices[_i].machine);
}
END_TEST

START_TEST(test_machine_name_is_cut)
{
    char machine[8];
    tw_gpu_machine_name(machine, sizeof machine, "A very long name");
    ck_assert_str_eq(machine, "a-very-");
}
END_TEST

Suite *tw_suite_gpu_options(void)
{
    Suite *suite = suite_create("gpu_options");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_defaults);
    tcase_add_test(core, test_grid_of_tokens);
    tcase_add_test(core, test_lengths_apart_and_block_lists);
    tcase_add_test(core, test_shape_given);
    tcase_add_loop_test(core, test_recorded_lists_of_cases, 0, (int)(sizeof lists / sizeof lists[0]));
    tcase_add_test(core, test_default_tiles);
    tcase_add_test(core, test_tile_exceptions);
    tcase_add_loop_test(core, test_machine_name, 0, (int)(sizeof devices / sizeof devices[0]));
    tcase_add_test(core, test_machine_name_is_cut);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    suite_add_tcase(suite, errors);
    return suite;
}
