/* tilewise cache, orders and predict, run as a user runs them. */
#include "check_tilewise.h"
#include "support_process.h"

#include "../sim/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The field of that name in the n-th row (from 1) of a CSV. */
static double field(const char *csv, int n, const char *name)
{
    int column = -1;
    for (const char *line = csv; *line; line = strchr(line, '\n') + 1) {
        if (*line == '#')
            continue;
        if (column < 0) { /* the header */
            size_t length = strlen(name);
            column = 0;
            for (const char *c = line; !(strncmp(c, name, length) == 0 && strchr(",\n", c[length]));
                 c++, column++) {
                c += strcspn(c, ",\n");
                ck_assert_msg(*c == ',', "there is no column %s in: %s", name, csv);
            }
            continue;
        }
        if (--n == 0) {
            for (; column > 0; column--)
                line = strchr(line, ',') + 1;
            return atof(line);
        }
    }
    ck_abort_msg("too few rows: %s", csv);
    return 0;
}

static void expect_all(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(strstr(text, words[i]) != NULL, "'%s' is not in: %s", words[i], text);
}

/* ---- cache ---------------------------------------------------------------------------------------------- */

START_TEST(test_cache)
{
    static const char *const words[] = {"L2 of h100: 2 sides of 25.0 MiB",
                                        "oldest of 8",
                                        "22.3 MB dirty",
                                        "flash2",
                                        "compulsory",
                                        "conflict",
                                        "fabric",
                                        "Reuse distance",
                                        "first touch",
                                        "are dirty"};
    tw_process p = tw_expect_exit(0, "cache --seqlen 2k --causal");
    expect_all(p.out, words, sizeof words / sizeof words[0]);
    tw_process_free(&p);
    p = tw_expect_exit(
        0, "cache --seqlen 1k --algorithm standard_tiled --quick --machine t4 --block-m 64 --block-n 64");
    ck_assert_ptr_nonnull(strstr(p.out, "L2 of t4, uncalibrated"));
    ck_assert_ptr_nonnull(strstr(p.out, "not calibrated"));
    ck_assert_ptr_nonnull(strstr(p.out, "softmax"));
    ck_assert_ptr_nonnull(strstr(p.out, "\nall "));
    ck_assert_ptr_null(strstr(p.out, "Reuse"));
    tw_process_free(&p);
}
END_TEST

START_TEST(test_cache_csv)
{
    tw_process p = tw_expect_exit(0, "cache --seqlen 4k --csv - --start warm");
    double read = field(p.out, 1, "hbm_read_bytes");
    ck_assert_double_eq(field(p.out, 1, "near_hit_bytes") + field(p.out, 1, "far_hit_bytes") + read,
                        field(p.out, 1, "read_request_bytes"));
    ck_assert_double_eq(field(p.out, 1, "compulsory_bytes"), 0); /* warm: everything was touched before */
    ck_assert_double_eq(field(p.out, 1, "capacity_bytes") + field(p.out, 1, "conflict_bytes"), read);
    ck_assert_double_eq(field(p.out, 2, "hbm_read_bytes"), read); /* one launch, and the row of all */
    tw_process_free(&p);
}
END_TEST

/* An L2 given on the command line: smaller reads more, and nobody calls it calibrated. */
START_TEST(test_cache_set)
{
    tw_process large = tw_expect_exit(0, "cache --quick --seqlen 8k --csv -");
    tw_process small = tw_expect_exit(0, "cache --quick --seqlen 8k --csv - --set l2_side_bytes=2M");
    ck_assert_double_eq(field(large.out, 1, "l2_bytes"), 52428800);
    ck_assert_double_eq(field(small.out, 1, "l2_bytes"), 4194304);
    ck_assert_double_gt(field(small.out, 1, "hbm_read_bytes"), 1.2 * field(large.out, 1, "hbm_read_bytes"));
    ck_assert_ptr_nonnull(strstr(small.out, "# l2: not calibrated"));
    ck_assert_ptr_null(strstr(large.out, "# l2: not calibrated"));
    tw_process_free(&large);
    tw_process_free(&small);
}
END_TEST

/* One shape at 16k: what the page promises of time and memory, with room for a slow machine. */
START_TEST(test_cache_is_small)
{
    tw_process p = tw_expect_exit(0, "cache --quick --seqlen 16k --block-n 64 --csv -");
    ck_assert_int_lt(p.max_rss_kib, tw_sanitized() ? 1000000 : 100 * 1024);
    ck_assert_double_lt(p.cpu_seconds, tw_sanitized() ? 20.0 : 5.0);
    tw_process_free(&p);
}
END_TEST

/* ---- orders --------------------------------------------------------------------------------------------- */

/* Ranks 1 to 15, each order once, ascending; and a factor of five between the best and the worst of a causal 64k. */
START_TEST(test_orders)
{
    tw_process p = tw_expect_exit(0, "orders --seqlen 32k --heads 4 --causal --blocks-per-sm 1 --csv -");
    double before = 0;
    for (int n = 1; n <= 15; n++) {
        double bytes = field(p.out, n, "hbm_read_bytes") + field(p.out, n, "hbm_write_bytes");
        ck_assert_double_ge(bytes, before);
        ck_assert_double_eq(field(p.out, n, "rank"), n);
        before = bytes;
    }
    ck_assert_double_gt(field(p.out, 15, "hbm_read_bytes"), 5 * field(p.out, 1, "hbm_read_bytes"));
    tw_process_free(&p);
    p = tw_expect_exit(0, "orders --seqlen 2k --machine a100 --algorithm flash1 --block-m 64 --block-n 64");
    static const char *const words[] = {"flash1 on a100, uncalibrated", "not calibrated", "head_major",
                                        "alternating", "1.00x"};
    expect_all(p.out, words, sizeof words / sizeof words[0]);
    tw_process_free(&p);
}
END_TEST

/* ---- predict -------------------------------------------------------------------------------------------- */

#define KEYS                                                                                                 \
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_"  \
    "n,kernel"
#define SHAPE "flash2,h100,1,16,16,4096,4096,128,fp16,0,128,64,30_flash2_mma"

/* A prediction says what it was made from, and compare takes it as it stands. */
START_TEST(test_predict)
{
    const char *folder = tw_new_folder();
    char cases[700], out[700], measured[700];
    snprintf(cases, sizeof cases, "%s/cases.csv", folder);
    snprintf(out, sizeof out, "%s/out.csv", folder);
    snprintf(measured, sizeof measured, "%s/measured.csv", folder);
    tw_write_text(cases, KEYS ",order,start\n" SHAPE ",,\n" SHAPE ",linear,warm\n");
    tw_process p = tw_tilewise_f("predict --cases %s --csv %s", cases, out);
    ck_assert_msg(p.exit_code == 0 && *p.out == '\0' && *p.err == '\0', "%s%s", p.out, p.err);
    tw_process_free(&p);
    p = tw_tilewise_f("predict --cases %s", cases);
    static const char *const words[] = {
        "# tilewise predict, commit ", "# l2 of h100: 2 sides of 26214400 bytes",
        SHAPE ",own,forward,flushed,2,264,hardware,1090519040,17039360,", SHAPE ",linear,forward,warm,2,"};
    expect_all(p.out, words, sizeof words / sizeof words[0]);
    double read = field(p.out, 1, "predicted_l2_hbm_read_bytes");
    ck_assert_double_lt(field(p.out, 2, "predicted_l2_hbm_read_bytes"), read);
    tw_process_free(&p);
    char text[600];
    snprintf(text, sizeof text, KEYS ",hbm_read_bytes\n" SHAPE ",%.0f\n", 2 * read);
    tw_write_text(measured, text);
    p = tw_tilewise_f("compare --measured %s --predicted %s", measured, out);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "-50.0%") && strstr(p.out, "0 made now, 1 recorded"),
                  "%s%s", p.out, p.err);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------- */

static const struct {
    const char *line, *words;
} refused[] = {
    {"cache --machine paper", "paper|no L2"},
    {"cache --algorithm standard --seqlen 512", "whole matrices|standard_tiled"},
    {"cache --start hot", "--start|'hot'|cold|warm|flushed"},
    {"cache --set l2_sides=3", "3 l2_sides|1 or 2"},
    {"cache --set l2_side_bytes", "--set|KEY=VALUE"},
    {"cache --set nothing=3", "--set|'nothing=3'|sim/machine.h"},
    {"cache --set l2_side_bytes=1.5", "--set|whole number of bytes"},
    {"cache --set drift_one_block=fast", "--set|'drift_one_block=fast'|number"},
    {"cache --set l2_side_bytes=1k --seqlen 512", "1024|L2 side"},
    {"cache --workers 0", "--workers"},
    {"io --order upwards", "--order|'upwards'|own|linear"},
    {"run --kv-order sideways", "--kv-order|'sideways'|forward|backward|alternating"},
    {"orders --order linear", "--order|not known"},
    {"orders --algorithm standard --seqlen 512", "whole matrices"},
    {"predict", "nothing is named"},
    {"predict --cases no.csv", "no.csv|cannot be opened"},
    {"predict --cases README.md", "README.md, line|column 1"},
    {"predict --cases notebooks_data/h100/counters.csv --csv no/such/folder/x.csv", "no/such/folder/x.csv"},
    {"predict --cases notebooks_data/h100/counters.csv --machine a100", "counters.csv, line|another machine"},
};

START_TEST(test_refused)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
}
END_TEST

Suite *tw_suite_cli_cache(void)
{
    Suite *s = suite_create("cli_cache");
    TCase *core = tcase_create("core"), *errors = tcase_create("errors");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, test_cache);
    tcase_add_test(core, test_cache_csv);
    tcase_add_test(core, test_cache_set);
    tcase_add_test(core, test_cache_is_small);
    tcase_add_test(core, test_orders);
    tcase_add_test(core, test_predict);
    tcase_add_loop_test(errors, test_refused, 0, sizeof refused / sizeof refused[0]);
    suite_add_tcase(s, core);
    suite_add_tcase(s, errors);
    return s;
}
