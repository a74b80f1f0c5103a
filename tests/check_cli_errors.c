/* Bad input: whatever is typed, one line that says what was wrong with the value and what would be right, exit 2, and
 * no file left behind. */
#include "check_tilewise.h"
#include "support_process.h"

#include "../sim/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options -------------------------------------------------------------------------------------------- */

static const struct {
    const char *line, *words;
} refused[] = {
    /* commands and options */
    {"ioo", "'ioo'|did you mean 'io'"},
    {"comapre", "did you mean 'compare'"},
    {"frobnicate",
     "'frobnicate'|io, cache, orders, run, check, compare, predict, explain, tune, advise, timeline, "
     "step, calibrate-cpu, deviation, bench-cpu, list"},
    {"--frobnicate", "'--frobnicate'"},
    {"io --seqln 5", "--seqln|did you mean --seqlen"},
    {"io --frobnicate 5", "--frobnicate|tilewise io --help"},
    {"io -z", "-z"},
    {"io 512", "'512'|begin with --"},
    {"io --seqlen", "--seqlen|needs a value"},
    {"io --causal=yes", "--causal|takes no value"},
    {"io --softmax-scale 1", "--softmax-scale"},
    {"run --unit bytes", "--unit"},
    {"list", "algorithms, machines, kernels"},
    {"list foo", "'foo'|algorithms, machines, kernels"},
    {"list machines kernels", "kernels"},
    /* sizes */
    {"io --seqlen 0", "--seqlen|'0'|at least 1"},
    {"io --seqlen -5", "--seqlen|'-5'|positive"},
    {"io --seqlen=-5", "--seqlen|'-5'|positive"},
    {"io --seqlen ten", "--seqlen|'ten'|positive"},
    {"io --seqlen 10x", "--seqlen|'10x'"},
    {"io --seqlen 1.5", "--seqlen|'1.5'"},
    {"io --seqlen 1e3", "--seqlen|'1e3'"},
    {"io --seqlen 99999999999999999999", "--seqlen|at most 2147483647"},
    {"io --seqlen 4096M", "--seqlen|at most 2147483647"},
    {"io --seqlen 1,,2", "--seqlen|empty item"},
    {"io --seqlen 1,2,", "--seqlen|empty item"},
    {"io --seqlen 4k..1k", "--seqlen|upwards"},
    {"io --seqlen-q 0", "--seqlen-q|at least 1"},
    {"io --seqlen-k x", "--seqlen-k"},
    {"io --seqlen 1 --seqlen-q 1 --seqlen-k 1", "--seqlen, --seqlen-q and --seqlen-k"},
    {"io --head-dim 0", "--head-dim|at least 1"},
    {"io --heads -1", "--heads|'-1'"},
    {"io --batch 0", "--batch|at least 1"},
    {"io --block-m 0", "--block-m|at least 1"},
    {"io --block-n -3", "--block-n|'-3'"},
    {"io --br 0", "--br|at least 1"},
    {"io --bc x", "--bc"},
    {"io --sram 0", "--sram|at least 1"},
    {"io --sram 1T", "--sram|'1T'"},
    {"io --tokens 1000", "--tokens|1000|1024"},
    {"io --hidden 100", "--hidden|100|128"},
    {"io --seqlen 1000M", "FLOPs|below 2^62"},
    {"io --heads 16 --heads-kv 3", "16|3|divide"},
    {"io --heads 4 --heads-kv 16", "4|16|divide"},
    {"io --head-dim 1..1M --seqlen 1..1M --block-m 1..1M --block-n 1..1M", "65536 cases"},
    /* names */
    {"io --algorithm flash9", "'flash9'|standard, standard_tiled, flash1, flash2"},
    {"io --algorithm flash2,", "--algorithm|empty item"},
    {"io --machine cray", "'cray'|h100|paper|.ini"},
    {"io --machine no/such.ini", "no/such.ini|No such file"},
    {"io --machine sim/machines/", "sim/machines/|folder"},
    {"io --machine /dev/zero", "/dev/zero|not a regular file"},
    {"compare --measured /dev/zero", "/dev/zero|not a regular file"},
    {"io --dtype fp8", "--dtype|'fp8'|fp16, bf16, fp32"},
    {"io --dtype fp64", "--dtype|'fp64'|fp16, bf16, fp32"},
    {"io --unit kilo", "--unit|'kilo'|bytes|elements"},
    /* tiles: by how much they are too large, and the largest that fit */
    {"io --algorithm flash2 --block-m 1k", "too many|the largest that fits is block_m"},
    {"io --algorithm flash2 --machine paper --sram 100k",
     "131072|102400|28672 too many|the largest that fits is block_m 128, block_n 72"},
    {"io --algorithm flash2 --sram 100", "too many"},
    {"io --algorithm flash1 --machine paper --sram 64 --head-dim 64", "too many|not even"},
    {"run --algorithm flash2 --block-n 4k --seqlen 4k", "too many"},
    /* files that cannot be written */
    {"io --csv .", "folder"},
    {"io --seqlen 8 --csv /dev/full", "/dev/full|cannot be written|space"},
    {"io --csv no/such/folder/x.csv", "no/such/folder/x.csv|cannot be written"},
    {"io --csv README.md/x.csv", "cannot be written"},
    {"run --seqlen 4 --heads 1 --algorithm flash2 --o .", "folder"},
    {"run --seqlen 4 --heads 1 --algorithm flash2 --o no/such/o.npy", "no/such/o.npy"},
    {"run --seqlen 4 --heads 1 --algorithm flash2 --lse no/such/lse.npy", "no/such/lse.npy"},
    /* more memory than there is: how much it takes, and how much there is */
    {"run --algorithm standard --seqlen 512k", "GB|available"},
    {"run --algorithm flash2 --seqlen 64k --heads 16k", "GB|available"},
    /* run */
    {"run --seed x", "--seed|'x'"},
    {"run --seed -1", "--seed|'-1'"},
    {"run --softmax-scale 0", "--softmax-scale|positive"},
    {"run --softmax-scale nan", "--softmax-scale|positive"},
    {"run --o o.npy --seqlen 8", "--o|one case"},
    {"run --lse o.npy --seqlen 8,16 --algorithm flash2", "--lse|one case"},
    {"run --lse o.npy --seqlen 8 --algorithm standard", "--lse|standard"},
    {"run --algorithm flash2 --seqlen 8 --o build/x.npy --lse build/x.npy", "--o and --lse|build/x.npy|two"},
    {"run --algorithm flash2 --seqlen 8 --o build/x.npy --lse ./build/../build/x.npy", "--o and --lse|two"},
    {"run --q q.npy --k k.npy --v v.npy --o k.npy", "--o is k.npy|--k|another"},
    {"run --q README.md --k k.npy --v v.npy --lse ./README.md", "--lse is ./README.md|--q|another"},
    {"run --q q.npy", "--k is missing"},
    {"run --k q.npy", "--q is missing"},
    {"run --q a --k b --v c --seqlen 8", "the shape is"},
    {"run --q a --k b --v c --dtype bf16", "--dtype is bf16|leave it out"},
    {"run --q a --k b --v c --dtype fp16", "--dtype is fp16|leave it out"},
    {"run --q no.npy --k no.npy --v no.npy", "no.npy|No such file"},
    {"run --q . --k . --v .", "folder"},
    {"run --layout hsbd", "--layout|bshd|bhsd"},
    /* check */
    {"check", "--q is missing"},
    {"check --q q.npy --k k.npy --v v.npy", "--o is missing"},
    {"check --q no.npy --k no.npy --v no.npy --o no.npy", "no.npy|No such file"},
    {"check --q README.md --k README.md --v README.md --o README.md", "README.md|not a .npy file"},
    {"check --q . --k . --v . --o .", "folder"},
    {"check --seqlen 5", "--seqlen"},
    /* compare */
    {"compare --measured no.csv", "no.csv|cannot be opened"},
    {"compare --measured .", "folder"},
    {"compare --measured README.md", "README.md, line|column 1"},
};

START_TEST(test_refused)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
}
END_TEST

/* Words that a shell would have to quote, and words that are absurdly long. */
START_TEST(test_hostile_words)
{
    static char line[4000];
    static const char *const options[] = {"--seqlen", "--algorithm", "--machine", "--dtype",
                                          "--unit",   "--csv",       "--sram"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        int length = snprintf(line, sizeof line, "io %s ", options[i]);
        memset(line + length, '7', 3000);
        line[length + 3000] = '\0';
        tw_expect_refusal(line, "");
        snprintf(line, sizeof line, "io %s \n\033[31m%%s%%n", options[i]);
        if (strcmp(options[i], "--csv") != 0)
            tw_expect_refusal(line, "");
    }
}
END_TEST

/* A list of a hundred thousand numbers does not fit into a line of this test, but into three thousand characters. */
START_TEST(test_endless_list)
{
    static char line[4000] = "io --seqlen 1";
    for (size_t n = strlen(line); n < 3500; n += 2)
        memcpy(line + n, ",1", 3);
    tw_expect_refusal(line, "--seqlen|more than 64");
}
END_TEST

/* ---- nothing is left behind ----------------------------------------------------------------------------- */

static const char *const no_file[] = {
    "io --seqlen 0 --csv %s/x.csv",
    "io --algorithm flash2 --block-m 4k --csv %s/x.csv",
    "io --seqlen 512,1k --machine nowhere --csv %s/x.csv",
    "run --algorithm flash2 --seqlen 8k --block-n 8k --o %s/x.npy",
    "run --algorithm standard --seqlen 512k --o %s/x.npy",
    "run --algorithm flash2 --seqlen 8,16 --o %s/x.npy --lse %s/y.npy",
    "run --algorithm flash2 --seqlen 8 --heads 1 --o %s/x.npy --lse %s/no/y.npy",
    "compare --measured no.csv --csv %s/x.csv",
};

START_TEST(test_no_file_is_left)
{
    char line[2000];
    const char *folder = tw_new_folder();
    snprintf(line, sizeof line, no_file[_i], folder, folder); // NOLINT: formats of a table
    tw_expect_refusal(line, "");
    ck_assert_msg(tw_files_in(folder) == 0, "'%s' leaves a file behind", line);
    tw_remove_folder(folder);
}
END_TEST

/* An older file stays as it was. */
START_TEST(test_older_file_is_kept)
{
    char path[700], line[1000], text[16] = "";
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/x.csv", folder);
    tw_write_text(path, "precious\n");
    snprintf(line, sizeof line, "io --algorithm flash2 --block-m 4k --csv %s", path);
    tw_expect_refusal(line, "");
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(text, 1, sizeof text - 1, file), 9);
    fclose(file);
    ck_assert_str_eq(text, "precious\n");
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_unwritable_file)
{
    char path[700], line[1000];
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/x.csv", folder);
    tw_write_text(path, "precious\n");
    ck_assert_int_eq(chmod(path, 0400), 0);
    snprintf(line, sizeof line, "io --csv %s", path);
    if (access(path, W_OK) != 0) /* root may write everything */
        tw_expect_refusal(line, "cannot be written");
    ck_assert_int_eq(tw_files_in(folder), 1);
    tw_remove_folder(folder);
}
END_TEST

/* ---- machine files -------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *words;
} machines[] = {
    {"", "smem_bytes"},
    {"[machine]\nkind = gpu\nsmem_bytes = 1 | 2026-01-01 | x\n", "register_bytes_per_sm"},
    {"[machine]\nkind = toaster\n", "line 2|toaster|paper, gpu or cpu"},
    {"[machine]\nsmem_bytes = 100\n", "line 2|value | YYYY-MM-DD | source"},
    {"[machine]\nsmem_bytes = many | 2026-01-01 | x\n", "line 2|many"},
    {"[machine]\nsmem_bytes = -1 | 2026-01-01 | x\n", "line 2|-1"},
    {"[machine]\nsmem_bytes = 1 | yesterday | x\n", "line 2|date"},
    {"[machine]\nsmem_bytes = 1 | 2026-01-01 |\n", "line 2|source"},
    {"[machine]\nsmem_kilobytes = 1 | 2026-01-01 | x\n", "line 2|smem_kilobytes"},
    {"[toaster]\nsmem_bytes = 1 | 2026-01-01 | x\n", "line 2|toaster"},
    {"\x7f"
     "ELF\x01\x02\x03",
     "line 1"},
};

START_TEST(test_bad_machine_files)
{
    char path[700], line[1000], words[200];
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/m.ini", folder);
    tw_write_text(path, machines[_i].text);
    snprintf(line, sizeof line, "io --machine %s", path);
    /* '|' separates words, so these are compared piece by piece all the same */
    snprintf(words, sizeof words, "m.ini|%s", machines[_i].words);
    tw_expect_refusal(line, words);
    tw_remove_folder(folder);
}
END_TEST

/* The name of a machine is a field of CSV files. */
static const char *const bad_names[] = {"a,b.ini", "a\"b.ini", "a\tb.ini", "a\x7f.ini"};

START_TEST(test_bad_machine_names)
{
    char path[700];
    const char *folder = tw_new_folder();
    tw_machine machine;
    snprintf(path, sizeof path, "%s/%s", folder, bad_names[_i]);
    tw_write_text(path, "[machine]\nkind = paper\ndescription = x\nsmem_bytes = 1 | 2026-01-01 | x\n");
    ck_assert_int_eq(tw_machine_find(&machine, path), TW_EINVAL);
    ck_assert_msg(strstr(tw_error_message(), "comma") != NULL, "%s", tw_error_message());
    tw_remove_folder(folder);
}
END_TEST

Suite *tw_suite_cli_errors(void)
{
    Suite *s = suite_create("cli_errors");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_refused, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(core, test_hostile_words);
    tcase_add_test(core, test_endless_list);
    tcase_add_loop_test(core, test_no_file_is_left, 0, sizeof no_file / sizeof no_file[0]);
    tcase_add_test(core, test_older_file_is_kept);
    tcase_add_test(core, test_unwritable_file);
    tcase_add_loop_test(core, test_bad_machine_files, 0, sizeof machines / sizeof machines[0]);
    tcase_add_loop_test(core, test_bad_machine_names, 0, sizeof bad_names / sizeof bad_names[0]);
    suite_add_tcase(s, core);
    return s;
}
