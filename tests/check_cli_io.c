/* tilewise io, list and the program itself, run as a user runs them. Expected numbers are worked out from the
 * formulas by hand. */
#include "check_tilewise.h"
#include "support_process.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                              \
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_"  \
    "n,"                                                                                                     \
    "sram_fill_bytes,sram_drain_bytes,hbm_read_bytes,hbm_write_bytes,sram_peak_bytes,register_peak_bytes,"   \
    "flops,exps,l2_request_bytes,l2_hit_rate,l2_fabric_bytes,l2_hbm_read_bytes,l2_hbm_write_bytes,"          \
    "score_flops,head_dim_v,setting,pass,backward_block_m,backward_block_n"

/* The n-th line of a CSV that is no comment; 0 is the header. */
static const char *row(const char *csv, int n)
{
    for (const char *line = csv; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (*line != '#' && n-- == 0)
            return line;
    ck_abort_msg("the CSV has too few rows: %s", csv);
    return NULL;
}

/* Field `column` of a row. */
static int64_t field(const char *line, int column)
{
    for (; column > 0; column--) {
        line = strchr(line, ',');
        ck_assert_ptr_nonnull(line);
        line++;
    }
    return strtoll(line, NULL, 10);
}

enum {
    FILL = 12,
    DRAIN,
    HBM_READ,
    HBM_WRITE,
    SRAM_PEAK,
    REGISTER_PEAK,
    FLOPS,
    EXPS,
    L2_REQUESTS,
    L2_HIT_RATE,
    L2_FABRIC,
    L2_HBM_READ,
    L2_HBM_WRITE
};

/* ---- golden numbers ------------------------------------------------------------------------------------- */

static const struct {
    const char *options;
    int column;
    int64_t value;
} golden[] = {
    /* Q once and, for each of 128 query tiles, K and V: (128 + 256 * 128) * 128 KiB * ... = 16 heads * 16384 * 128 * 2 bytes
     * * (1 + 2 * 128) */
    {"--algorithm flash2 --seqlen 16k --block-m 128", FILL, INT64_C(17246978048)},
    {"--algorithm fa2 --seqlen 16k --br 128 --bc 64", FILL, INT64_C(17246978048)},
    /* behind the L2: what is asked for, and, where all of it fits, what must be read */
    {"--algorithm flash2 --seqlen 1k", L2_REQUESTS,
     INT64_C(71303168) + 16 * (INT64_C(1024) * 128 * 2 + 1024 * 4)},
    {"--algorithm flash2 --seqlen 1k", L2_HBM_READ, 3 * INT64_C(16) * 1024 * 128 * 2},
    {"--algorithm flash2 --seqlen 1k --no-l2", HBM_READ, 3 * INT64_C(16) * 1024 * 128 * 2},
    /* 20 heads * 3000 * 128 * 2 * (1 + 2 * 24 tiles) */
    {"--algorithm flash2 --seqlen 3000 --batch 4 --heads 5", FILL, INT64_C(752640000)},
    /* O in fp16 and LSE in fp32 */
    {"--algorithm flash2 --seqlen 16k", DRAIN, 16 * (INT64_C(16384) * 128 * 2 + 16384 * 4)},
    {"--algorithm flash2 --seqlen 16k", HBM_READ, 3 * INT64_C(16) * 16384 * 128 * 2},
    {"--algorithm flash2 --seqlen 16k", FLOPS, INT64_C(4) * 16384 * 16384 * 128 * 16},
    {"--algorithm flash2 --seqlen 16k --causal", FLOPS, INT64_C(4) * 128 * 16 * (INT64_C(16384) * 16385 / 2)},
    {"--algorithm standard --machine paper --seqlen 100 --heads 1 --head-dim 64", FILL,
     2 * (2 * 100 * 100 + 3 * 100 * 64)},
    {"--algorithm standard --machine paper --seqlen 100 --heads 1 --head-dim 64", HBM_READ,
     2 * (2 * 100 * 100 + 3 * 100 * 64)},
    {"--algorithm standard --machine paper --seqlen 100 --heads 1 --head-dim 64", DRAIN,
     2 * (2 * 100 * 100 + 100 * 64)},
    /* flash1 with M = 96 Ki elements, d = 64: block_n = 384, so 3 passes over 1024 keys */
    {"--algorithm flash1 --machine paper --seqlen 1k --heads 1 --head-dim 64", FILL,
     2 * 2 * 1024 * 64 + 3 * (2 * 2 * 1024 * 64 + 2 * 4 * 1024)},
    {"--algorithm fa1 --machine paper --seqlen 1k --heads 1 --head-dim 64", DRAIN,
     3 * (2 * 1024 * 64 + 2 * 4 * 1024)},
    {"--algorithm flash1 --machine paper --seqlen 1k --heads 1 --head-dim 64", 11, 384},
    /* half the SRAM, half the block, six passes (the last key tile has 64 keys) */
    {"--algorithm flash1 --machine paper --sram 96k --seqlen 1k --heads 1 --head-dim 64", 11, 192},
    {"--algorithm flash1 --machine paper --sram 96k --seqlen 1k --heads 1 --head-dim 64", DRAIN,
     6 * (2 * 1024 * 64 + 2 * 4 * 1024)},
    /* grouped heads: every query head loads K and V, but HBM holds 4 of them */
    {"--algorithm flash2 --seqlen 1k --heads 16 --heads-kv 4", FILL,
     INT64_C(16) * 1024 * 128 * 2 * (1 + 2 * 8)},
    {"--algorithm flash2 --seqlen 1k --heads 16 --heads-kv 4", HBM_READ,
     INT64_C(1024) * 128 * 2 * (16 + 4 + 4)},
    {"--algorithm flash2 --dtype fp32 --seqlen 1k --block-m 64 --block-n 64", FILL,
     INT64_C(16) * 1024 * 128 * 4 * (1 + 2 * 16)},
    {"--algorithm flash2 --seqlen-q 1 --seqlen-k 4k", FILL, INT64_C(16) * 128 * 2 * (1 + 2 * 4096)},
    {"--algorithm flash2 --tokens 16k --hidden 2048 --head-dim 64 --seqlen 512", 2, 32},
};

START_TEST(test_golden)
{
    tw_process p = tw_tilewise_f("io --csv - %s", golden[_i].options);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    int64_t value = field(row(p.out, 1), golden[_i].column);
    ck_assert_msg(value == golden[_i].value, "%s: column %d is %" PRId64 ", it should be %" PRId64,
                  golden[_i].options, golden[_i].column, value, golden[_i].value);
    tw_process_free(&p);
}
END_TEST

/* ---- the CSV -------------------------------------------------------------------------------------------- */

START_TEST(test_csv_is_stdout_alone)
{
    tw_process p = tw_expect_exit(0, "io --seqlen 512,1k --csv -");
    ck_assert_int_eq(strncmp(p.out, "# tilewise io, commit ", 22), 0);
    ck_assert_ptr_nonnull(strstr(p.out, "# command: tilewise io --seqlen 512,1k --csv -\n"));
    ck_assert_ptr_nonnull(strstr(p.out, "# hbm: compulsory"));
    ck_assert_int_eq(strncmp(row(p.out, 0), COLUMNS "\n", sizeof COLUMNS), 0);
    ck_assert_int_eq(strncmp(row(p.out, 8), "flash2,h100,1,16,16,1024,1024,128,fp16,0,128,128,", 48), 0);
    for (const char *line = row(p.out, 1); *line; line = strchr(line, '\n') + 1) {
        int commas = 0;
        for (const char *c = line; *c != '\n'; c++)
            commas += *c == ',';
        ck_assert_int_eq(commas, 30);
    }
    tw_process_free(&p);
}
END_TEST

START_TEST(test_csv_file)
{
    const char *folder = tw_new_folder();
    char path[700], line[900];
    snprintf(path, sizeof path, "%s/io.csv", folder);
    snprintf(line, sizeof line, "io --seqlen 1k --machine paper --unit elements --csv %s", path);
    for (int twice = 0; twice < 2; twice++) { /* the second replaces the first */
        tw_process p = tw_expect_exit(0, line);
        ck_assert_ptr_nonnull(strstr(p.out, "Traffic on paper")); /* the table is still printed */
        tw_process_free(&p);
        ck_assert_int_eq(tw_files_in(folder), 1);
    }
    FILE *file = fopen(path, "r");
    char text[4096] = "";
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    ck_assert_ptr_null(strstr(text, "compulsory")); /* on this machine they are not */
    ck_assert_ptr_nonnull(strstr(text, "\nstandard,paper,"));
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_csv_devices)
{
    tw_process p = tw_expect_exit(0, "io --csv /dev/null");
    tw_process_free(&p);
    p = tw_tilewise("io --csv /dev/full");
    ck_assert_int_eq(p.exit_code, 2);
    tw_process_free(&p);
}
END_TEST

/* ---- the table ------------------------------------------------------------------------------------------ */

static const struct {
    const char *options, *says;
} tables[] = {
    {"", "Ledgers"},
    {"", "textbook: each product reads its operands once"},
    {"", "* HBM: compulsory traffic only"},
    {"--algorithm flash2 --seqlen 16k", "17,247.0"},
    {"--algorithm flash2 --seqlen 3000 --batch 4 --heads 5 --machine paper", "752.640"},
    {"--machine paper --algorithm standard --seqlen 100 --head-dim 64 --heads 1 --unit elements", "39,200"},
    {"--machine paper --algorithm flash2 --seqlen 4301 --heads 1 --block-m 64 --unit elements", "75,422,336"},
    {"--unit elements", "a row statistic (m, l, LSE; 4 bytes) counts as one"},
    /* the lesson of the two ledgers: next to nothing against the textbook, and why */
    {"--machine paper --algorithm flash2 --block-m 64 --seqlen 4k", "1.02x"},
    {"--machine paper --algorithm flash2 --block-m 64 --seqlen 16k", "as if K and V stayed on chip"},
    {"--machine paper --algorithm flash2 --block-m 64 --seqlen 16k", "it tends to 1.0"},
    {"--algorithm flash2 --seqlen 64", "There is little to save"},
    {"--algorithm flash1 --head-dim 256 --block-m 128 --block-n 16 --seqlen 4k", "small beside head_dim 256"},
    {"--tokens 4k --seqlen 512,1k", "batch"},
};

START_TEST(test_tables)
{
    tw_process p = tw_tilewise_f("io %s", tables[_i].options);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_msg(strstr(p.out, tables[_i].says) != NULL, "io %s does not say '%s': %s", tables[_i].options,
                  tables[_i].says, p.out);
    ck_assert_msg(strstr(p.out, " \n") == NULL, "io %s ends a line with a blank: %s", tables[_i].options,
                  p.out);
    tw_process_free(&p);
}
END_TEST

/* Every saving below 2x has a letter, and every letter a note. */
START_TEST(test_small_savings_are_explained)
{
    static const char *const options[] = {"--seqlen 64..16k", "--seqlen 64..16k --machine paper",
                                          "--seqlen 64..16k --machine paper --block-m 16 --head-dim 128",
                                          "--seqlen-q 1..64 --seqlen-k 1k", "--causal --seqlen 64..4k"};
    tw_process p = tw_tilewise_f("io --algorithm flash1,flash2 %s", options[_i]);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    const char *table = strstr(p.out, "\nSavings"), *notes = strstr(p.out, "\nWhy");
    ck_assert_ptr_nonnull(table);
    for (const char *x = strchr(table, 'x'); x && (!notes || x < notes); x = strchr(x + 1, 'x')) {
        const char *begin = x;
        if (x[1] != ' ' && x[1] != '\n')
            continue;
        while (begin > table && strchr("0123456789.,", begin[-1]))
            begin--;
        if (x - begin < 4 || x[-3] != '.')
            continue; /* a tile size */
        bool small = x - begin == 4 && *begin < '2';
        ck_assert_msg(small == (x[1] == ' ' && x[2] >= 'a' && x[2] <= 'z'), "'%.8s' of io %s", begin,
                      options[_i]);
        if (!small)
            continue;
        char note[8];
        snprintf(note, sizeof note, "\n  %c  ", x[2]);
        ck_assert_msg(notes && strstr(notes, note), "no note %c in %s", x[2], p.out);
    }
    tw_process_free(&p);
}
END_TEST

/* ---- the program ---------------------------------------------------------------------------------------- */

START_TEST(test_welcome)
{
    tw_process p = tw_expect_exit(0, ""), help = tw_expect_exit(0, "--help");
    ck_assert_str_eq(p.out, help.out);
    const char *example = strstr(p.out, "    tilewise io ");
    ck_assert_ptr_nonnull(example);
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(example + 13, "\n"), example + 13);
    tw_process shown = tw_expect_exit(0, line); /* the example runs */
    tw_process_free(&shown);
    int next = 0;
    for (const char *c = strstr(p.out, "Then try"); (c = strstr(c, "\n    tilewise ")); c++)
        next++;
    ck_assert_int_eq(next, 3);
    tw_process_free(&p);
    tw_process_free(&help);
}
END_TEST

START_TEST(test_version_and_help)
{
    tw_process p = tw_expect_exit(0, "--version");
    ck_assert_int_eq(strncmp(p.out, "tilewise, commit ", 17), 0);
    tw_process_free(&p);
    static const char *const commands[] = {"io", "run", "check", "compare", "list"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        p = tw_tilewise_f("%s --help", commands[i]);
        ck_assert_int_eq(p.exit_code, 0);
        ck_assert_msg(strstr(p.out, commands[i]) != NULL, "%s", p.out);
        tw_process_free(&p);
    }
    p = tw_expect_exit(0, "io --help");
    static const char *const options[] = {
        "--algorithm", "--seqlen", "--seqlen-q", "--seqlen-k", "--head-dim", "--heads",
        "--heads-kv",  "--batch",  "--dtype",    "--causal",   "--block-m",  "--block-n",
        "--machine",   "--sram",   "--unit",     "--csv",      "--br",       "--bc"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        ck_assert_msg(strstr(p.out, options[i]) != NULL, "io --help does not show %s", options[i]);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_list)
{
    tw_process p = tw_expect_exit(0, "list algorithms");
    static const char *const algorithms[] = {"standard ", "standard_tiled ", "flash1 ", "flash2 "};
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        ck_assert_msg(strstr(p.out, algorithms[i]) != NULL, "%s is not listed", algorithms[i]);
    ck_assert_msg(strstr(p.out, "2023  Dao, arXiv:2307.08691"), "no year or paper in %s", p.out);
    tw_process_free(&p);
    p = tw_expect_exit(0, "list machines");
    static const char *const machines[] = {"paper ", "h100 ", "h100-pcie ", "h200 ",  "h20 ",
                                           "a100 ",  "t4 ",   "b200 ",      "laptop "};
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
        ck_assert_msg(strstr(p.out, machines[i]) != NULL, "%s is not listed", machines[i]);
    tw_process_free(&p);
    p = tw_expect_exit(0, "list kernels");
    static const char *const kernels[] = {"00_standard ", "01_standard_cublas ", "10_flash1 ", "20_flash2 "};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        ck_assert_msg(strstr(p.out, kernels[i]) != NULL, "%s is not listed", kernels[i]);
    tw_process_free(&p);
    p = tw_expect_exit(0, "step --help");
    ck_assert_msg(strstr(p.out, "(default: flash2)") && strstr(p.out, "(default: 8)") &&
                      !strstr(p.out, "default: 128") && !strstr(p.out, "default: all") &&
                      !strstr(p.out, "LIST"),
                  "%s", p.out);
    tw_process_free(&p);
    p = tw_expect_exit(0, "list --help");
    tw_process_free(&p);
}
END_TEST

/* A million tokens, 128 heads: under a second and 100 MB. A sanitized program is slower and larger, so it is given more. */
START_TEST(test_a_million_tokens)
{
    tw_process p = tw_tilewise_f("io --algorithm flash2 --seqlen 1M --heads 128%s", _i ? " --causal" : "");
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_double_lt(p.cpu_seconds, tw_sanitized() ? 20.0 : 1.0);
    ck_assert_int_lt(p.max_rss_kib, tw_sanitized() ? 1000000 : 100000);
    tw_process_free(&p);
}
END_TEST

/* What was looked up says so in everything that is printed about it; what was measured does not. */
START_TEST(test_output_says_uncalibrated)
{
    static const char *const commands[] = {
        "io --seqlen 64 --machine %s", "io --seqlen 64 --csv - --machine %s", "run --seqlen 16 --machine %s",
        "step --plain --seqlen 8 --machine %s"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        for (int measured = 0; measured < 2; measured++) {
            char line[200];
            snprintf(line, sizeof line, commands[i], measured ? "h100" : "a100");
            tw_process p = tw_expect_exit(0, line);
            ck_assert_msg((strstr(p.out, "uncalibrated") == NULL) == measured, "%s: %s", line, p.out);
            tw_process_free(&p);
        }
}
END_TEST

Suite *tw_suite_cli_io(void)
{
    Suite *s = suite_create("cli_io");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_golden, 0, sizeof golden / sizeof golden[0]);
    tcase_add_test(core, test_csv_is_stdout_alone);
    tcase_add_test(core, test_output_says_uncalibrated);
    tcase_add_test(core, test_csv_file);
    tcase_add_test(core, test_csv_devices);
    tcase_add_loop_test(core, test_tables, 0, sizeof tables / sizeof tables[0]);
    tcase_add_loop_test(core, test_small_savings_are_explained, 0, 5);
    tcase_add_test(core, test_welcome);
    tcase_add_test(core, test_version_and_help);
    tcase_add_test(core, test_list);
    tcase_add_loop_test(core, test_a_million_tokens, 0, 2);
    suite_add_tcase(s, core);
    return s;
}
