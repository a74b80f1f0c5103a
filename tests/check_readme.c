/* The README's worked example is written anew by the library and compared. Where it differs, what it should be is left
 * in $TW_BUILD/worked_example.md. Its commands are run by the suite manual. */
#include "check_tilewise.h"
#include "support_process.h"

#include "../cpu_ref/attention.h"
#include "../sim/backend_count.h"
#include "../sim/schedules/registry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *build_folder(void)
{
    const char *folder = getenv("TW_BUILD");
    return folder && *folder ? folder : "build";
}

/* A whole stream as one string; the caller frees it. */
static char *read_all(FILE *file)
{
    size_t used = 0, size = 1 << 16;
    char *text = malloc(size);
    ck_assert_ptr_nonnull(text);
    for (size_t n; (n = fread(text + used, 1, size - used - 1, file)) > 0;) {
        used += n;
        if (size - used < 4096) {
            char *larger = realloc(text, size *= 2);
            ck_assert_ptr_nonnull(larger);
            text = larger;
        }
    }
    text[used] = '\0';
    return text;
}

static char *read_readme(void)
{
    FILE *file = fopen("README.md", "r");
    ck_assert_msg(file != NULL, "README.md is not here: run the tests from the top of the repository");
    char *text = read_all(file);
    fclose(file);
    return text;
}

/* Between two marks of the README, without them but with `keep` bytes of the end; the caller frees it. */
static char *between(const char *text, const char *begin, const char *end, size_t keep)
{
    const char *from = strstr(text, begin);
    ck_assert_msg(from != NULL, "README.md has no '%s'", begin);
    from += strlen(begin);
    const char *to = strstr(from, end);
    ck_assert_msg(to != NULL, "README.md has no '%s' behind '%s'", end, begin);
    char *part = calloc((size_t)(to - from) + keep + 1, 1);
    ck_assert_ptr_nonnull(part);
    memcpy(part, from, (size_t)(to - from) + keep);
    return part;
}

/* --- the worked example ----------------------------------------------------------------------------------- */

enum { N = 4, D = 2, TILE = 2 };
static const double Q[N * D] = {1, 0, 0, 1, 1, 1, 2, -1};
static const double K[N * D] = {1, 0, 0, 1, 1, 1, 0, 2};
static const double V[N * D] = {1, 0, 0, 1, 2, 0, 0, 2};

static const tw_problem problem = {.batch = 1,
                                   .num_heads = 1,
                                   .num_heads_kv = 1,
                                   .seqlen_q = N,
                                   .seqlen_k = N,
                                   .head_dim = D,
                                   .dtype = TW_FP16,
                                   .softmax_scale = 1};

static double score(int row, int col)
{
    double sum = 0;
    for (int c = 0; c < D; c++)
        sum += Q[row * D + c] * K[col * D + c];
    return sum;
}

static void write_definition(FILE *out)
{
    double o[N * D], lse[N];
    ck_assert_int_eq(tw_attention_gold(o, lse, &problem, Q, K, V), TW_OK);
    fprintf(out, "       Q          K          V           S = Q Kᵀ            P = e^S / row sum             "
                 "O = P V        LSE\n");
    for (int i = 0; i < N; i++) {
        for (int c = 0; c < D; c++)
            fprintf(out, "%5.0f", Q[i * D + c]);
        for (int c = 0; c < D; c++)
            fprintf(out, "%*.0f", c ? 5 : 6, K[i * D + c]);
        for (int c = 0; c < D; c++)
            fprintf(out, "%*.0f", c ? 5 : 6, V[i * D + c]);
        for (int j = 0; j < N; j++)
            fprintf(out, "%*.0f", j ? 4 : 8, score(i, j));
        for (int j = 0; j < N; j++)
            fprintf(out, "%*.4f", j ? 7 : 10, exp(score(i, j) - lse[i]));
        fprintf(out, "  %8.4f %7.4f  %8.4f\n", o[i * D], o[i * D + 1], lse[i]);
    }
}

/* One row meets one tile of keys: m, l and O advance. */
static void write_step(FILE *out, int row, int tile, double *m, double *l, double *o)
{
    double s[TILE], p[TILE];
    for (int j = 0; j < TILE; j++)
        s[j] = score(row, tile * TILE + j);
    double m_new = tw_online_max(*m, s, TILE), alpha = tw_online_rescale_factor(*m, m_new);
    tw_online_exp(p, s, m_new, TILE);
    *l = tw_online_sum(*l, alpha, p, TILE);
    tw_online_rescale(o, alpha, D);
    tw_online_accumulate(o, p, V + tile * TILE * D, TILE, D, D);
    *m = m_new;
    fprintf(out, "%4d%7d-%d%6.0f%4.0f%6.0f%9.4f%9.4f%8.4f%9.4f%10.4f%8.4f\n", row, tile * TILE,
            tile * TILE + TILE - 1, s[0], s[1], *m, alpha, p[0], p[1], *l, o[0], o[1]);
}

static void write_walk(FILE *out)
{
    double gold_o[N * D], gold_lse[N];
    ck_assert_int_eq(tw_attention_gold(gold_o, gold_lse, &problem, Q, K, V), TW_OK);
    fprintf(out, "%4s%9s%7s%9s%9s%16s%10s%14s\n", "row", "keys", "S", "m", "alpha", "P = e^(S-m)", "l", "O");
    for (int row = 0; row < N; row++) {
        double m = -INFINITY, l = 0, o[D] = {0};
        for (int tile = 0; tile < N / TILE; tile++)
            write_step(out, row, tile, &m, &l, o);
        tw_online_normalize(o, l, D);
        fprintf(out, "%4d%9s     LSE = m + ln l = %7.4f%16s%7s%10.4f%8.4f\n", row, "end", tw_online_lse(m, l),
                "", "O / l", o[0], o[1]);
        for (int c = 0; c < D; c++)
            ck_assert_double_eq_tol(o[c], gold_o[row * D + c], 1e-14);
        ck_assert_double_eq_tol(tw_online_lse(m, l), gold_lse[row], 1e-14);
    }
}

static void write_bytes(FILE *out)
{
    static const char *const rows[][2] = {
        {"standard", "Q 16, K 16; S 32; P 32, V 16  |  S 32; P 32; O 16"},
        {"flash1", "K 16, V 16; twice Q 16, O 16, m 16, l 16  |  twice O 16, m 16, l 16"},
        {"flash2", "Q 16; twice K 16, V 16  |  O 16, LSE 16"},
    };
    const tw_tiling tiling = {.block_m = TILE, .block_n = TILE};
    tw_machine machine;
    ck_assert_int_eq(tw_machine_find(&machine, "paper"), TW_OK);
    fprintf(out, "algorithm    in   out   all   bytes of each tensor, in  |  out\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const tw_schedule *schedule;
        tw_count_result count;
        ck_assert_int_eq(tw_schedule_find(&schedule, rows[i][0]), TW_OK);
        ck_assert_int_eq(tw_count(&count, schedule, &problem, &tiling, &machine), TW_OK);
        long long in = (long long)count.total.sram_fill_bytes,
                  drained = (long long)count.total.sram_drain_bytes;
        fprintf(out, "%-10s%5lld%6lld%6lld   %s\n", rows[i][0], in, drained, in + drained, rows[i][1]);
    }
}

/* The README's section, as it should be. */
static char *worked_example(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/worked_example.md", build_folder());
    FILE *out = fopen(path, "w+");
    ck_assert_msg(out != NULL, "cannot write %s", path);
    fprintf(out, "\n```text\n");
    write_definition(out);
    fprintf(out, "```\n\nNow `flash2`: each row meets keys 0-1, then keys 2-3.\n\n```text\n");
    write_walk(out);
    fprintf(out, "```\n\nThe bytes, on the two-level machine `paper` (fp16: 2 bytes an element; m, l and "
                 "LSE: 4):\n\n```text\n");
    write_bytes(out);
    fprintf(out, "```\n\n");
    rewind(out);
    char *text = read_all(out);
    fclose(out);
    return text;
}

START_TEST(test_worked_example)
{
    char *readme = read_readme(), *should_be = worked_example();
    char *is = between(readme, "<!-- worked example: begin -->\n", "<!-- worked example: end -->", 0);
    ck_assert_str_eq(is, should_be);
    free(is);
    free(should_be);
    free(readme);
}
END_TEST

/* The terms under "bytes of each tensor" are the totals beside them. */
START_TEST(test_worked_bytes_add_up)
{
    ck_assert_int_eq(16 + 16 + 32 + 32 + 16 + 32 + 32 + 16, 2 * (4 * N * N + 4 * N * D));
    ck_assert_int_eq(16 + 16 + 2 * (16 + 16) + 2 * 16, 2 * (2 * N * D + (N / TILE) * 3 * N * D));
    ck_assert_int_eq(16 + 2 * (16 + 16) + 16 + 16, 2 * (2 * N * D + (N / TILE) * 2 * N * D) + 4 * N);
}
END_TEST

/* The table of commands names each that the program does. */
START_TEST(test_every_command_is_named)
{
    char *readme = read_readme(), row[64], name[32];
    tw_process p = tw_tilewise("");
    const char *line = strstr(p.out, "Commands\n\n");
    int found = 0;
    ck_assert_msg(line != NULL, "%s", p.out);
    for (line = strchr(line, '\n') + 2; sscanf(line, "    %31s", name) == 1 && *line == ' '; found++) {
        snprintf(row, sizeof row, "\n| `%s` |", name);
        ck_assert_msg(strstr(readme, row) != NULL, "README.md's table of commands has no %s", name);
        line = strchr(line, '\n') + 1;
    }
    ck_assert_int_gt(found, 10);
    tw_process_free(&p);
    free(readme);
}
END_TEST

Suite *tw_suite_readme(void)
{
    Suite *suite = suite_create("readme");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, test_worked_example);
    tcase_add_test(core, test_worked_bytes_add_up);
    tcase_add_test(core, test_every_command_is_named);
    suite_add_tcase(suite, core);
    return suite;
}
