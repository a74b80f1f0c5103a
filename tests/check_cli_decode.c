/* `tilewise` on splits, shares, fixed maxima and pages: every command that takes them, and what is refused. */
#include "support_process.h"

#include "cpu_ref/npy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *tw_suite_cli_decode(void);

#define SHAPE "--seqlen-q 1 --seqlen-k 200 --heads 4 --heads-kv 2 --head-dim 16"

static const struct {
    const char *arguments, *shown;
} told[] = {
    {"run --algorithm flash_decoding " SHAPE " --splits 1,2,9", "agrees"},
    {"run --algorithm lean_attention " SHAPE " --batch 3 --set num_sms=2 --causal", "agrees"},
    {"run --algorithm lean " SHAPE " --window 30,0 --sinks 2", "agrees"},
    {"run --algorithm flash_decoding++ " SHAPE " --splits 3", "agrees"},
    {"run --algorithm flash_decoding++ " SHAPE " --splits 3 --phi -30", "2 blocks done again"},
    {"run --algorithm flash_decoding --cu-seqlens-q 0,1,2,3 --cu-seqlens-k 0,90,91,140 --heads 4 --head-dim "
     "16",
     "agrees"},
    {"run --algorithm flash2,flash_decoding,lean " SHAPE " --page-size 16 --batch 2", "pages of 16"},
    {"io --algorithm flash_decoding,flash2 " SHAPE " --page-size 16", "pages of 16"},
    {"io " SHAPE " --heads-kv 4 --head-dim 64", "lean_attention"},
    {"step --algorithm flash_decoding " SHAPE " --splits 2 --block-n 100 --plain", "launch combine"},
    {"cache --algorithm lean_attention " SHAPE " --batch 2", "shares"},
    {"cache --algorithm flash_decoding " SHAPE " --splits 2", "combine"},
    {"orders --algorithm flash_decoding " SHAPE " --splits 2", "head_major"},
    {"predict --algorithm flash_decoding,flash_decoding++,lean " SHAPE, "lean_attention"},
    {"predict --algorithm flash_decoding " SHAPE " --splits 2,4 --page-size 32", "flash_decoding"},
    {"timeline --algorithm lean_attention --seqlen-q 1 --seqlen-k 2k --heads 8", "lean_attention"},
    {"timeline --algorithm flash_decoding --seqlen-q 1 --seqlen-k 2k --heads 8 --splits 4", "flash_decoding"},
    {"tune --algorithm flash_decoding " SHAPE " --splits 2 --top 3", "splits"},
    {"explain flash_decoding,gqa_packed " SHAPE, "launches"},
    {"advise --seqlen-q 64 --seqlen-k 4k --heads 2", "flash_decoding: "},
};

START_TEST(test_told)
{
    tw_process p = tw_tilewise_f("%s", told[_i].arguments);
    ck_assert_msg(p.exit_code == 0, "%s: %s", told[_i].arguments, p.err);
    ck_assert_msg(strstr(p.out, told[_i].shown) != NULL, "%s: %s", told[_i].arguments, p.out);
    ck_assert(strstr(p.out, "DIFFER") == NULL && strstr(p.out, "DOES NOT") == NULL);
    tw_process_free(&p);
}
END_TEST

static const struct {
    const char *arguments, *line;
} refused[] = {
    {"io --algorithm flash2 --splits 2", "flash2 does not cut the keys into a number of splits"},
    {"io --algorithm lean_attention --splits 2",
     "lean_attention does not cut the keys into a number of splits"},
    {"io --algorithm flash_decoding --splits 0", "--splits"},
    {"io --algorithm flash_decoding --splits 5000", "splits is 5000, it must be from 1 to 4096"},
    {"io --algorithm flash_decoding --phi 2", "flash_decoding has no fixed maximum"},
    {"io --algorithm flash_decoding++ --phi inf", "--phi is 'inf', it must be a finite number"},
    {"io --algorithm lean_attention --order snake", "order must be own"},
    {"io --algorithm flash_decoding --pass both", "flash_decoding has no backward pass"},
    {"io --algorithm flash2 --pass backward --page-size 16", "paged K and V"},
    {"io --algorithm flash2 --page-size 0", "--page-size"},
    {"io --algorithm flash2 --page-table x.npy", "there is no --page-size that it would be of"},
    {"io --algorithm flash2 --page-size 16 --page-table nowhere.npy", "nowhere.npy"},
    {"predict --kernel 20_flash2 --splits 2", "does not cut the keys"},
};

START_TEST(test_refused)
{
    tw_process p = tw_tilewise_f("%s", refused[_i].arguments);
    ck_assert_int_eq(p.exit_code, 2);
    ck_assert_str_eq(p.out, "");
    ck_assert_msg(strstr(p.err, refused[_i].line) != NULL, "%s: %s", refused[_i].arguments, p.err);
    ck_assert_ptr_eq(strchr(p.err, '\n'), p.err + strlen(p.err) - 1);
    tw_process_free(&p);
}
END_TEST

/* A .npy file of 4-byte integers. */
static void write_table(const char *folder, const char *name, const char *shape, const int *x, int count)
{
    char path[600], header[128], text[96];
    snprintf(text, sizeof text, "{'descr': '<i4', 'fortran_order': False, 'shape': %s, }", shape);
    snprintf(header, sizeof header, "%-117s\n", text);
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fwrite(header, 1, 118, file);
    fwrite(x, sizeof *x, (size_t)count, file);
    fclose(file);
}

static void write_tensor(const char *folder, const char *name, const int64_t shape[4])
{
    char path[600];
    size_t n = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
    double *x = calloc(n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(i * 37 % 101) / 50.0 - 1.0;
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    ck_assert_int_eq(tw_npy_write(path, x, TW_FP32, 4, shape), TW_OK);
    free(x);
}

/* Q, K and V of files go into the pages of a table, and O is what it is without; a table of another shape is refused. */
START_TEST(test_page_table_file)
{
    static const int table[] = {3, 0, 5, 1, 4, 2}, hole[] = {3, 0, 5, 1, 4, -2};
    const int64_t q[] = {2, 1, 4, 8}, k[] = {2, 40, 2, 8};
    const char *folder = tw_new_folder();
    char command[2000], files[1000];
    write_tensor(folder, "q", q), write_tensor(folder, "k", k), write_tensor(folder, "v", k);
    write_table(folder, "right", "(2, 3)", table, 6);
    write_table(folder, "wrong", "(3, 2)", table, 6);
    write_table(folder, "hole", "(2, 3)", hole, 6);
    snprintf(files, sizeof files, "--q %s/q.npy --k %s/k.npy --v %s/v.npy --exact", folder, folder, folder);
    for (int i = 0; i < 2; i++) {
        char pages[700] = "";
        if (i > 0)
            snprintf(pages, sizeof pages, "--page-size 16 --page-table %s/right.npy", folder);
        tw_process p = tw_tilewise_f(
            "run --algorithm flash_decoding --splits 2 --block-n 8 %s %s --o %s/o%d.npy", files, pages,
            folder, i);
        ck_assert_msg(p.exit_code == 0, "%s", p.err);
        tw_process_free(&p);
    }
    snprintf(command, sizeof command, "cmp %s/o0.npy %s/o1.npy", folder, folder);
    ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): paths of our own */
    tw_process checked = tw_tilewise_f(
        "check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o0.npy --page-size 16", folder, folder, folder,
        folder);
    ck_assert_msg(checked.exit_code == 0, "%s%s", checked.out, checked.err);
    tw_process_free(&checked);
    static const char *const tables[] = {"wrong", "hole"}, *const lines[] = {"it must have two axes",
                                                                             "has page -2"};
    for (int i = 0; i < 2; i++) {
        tw_process p = tw_tilewise_f("run --algorithm flash2 %s --page-size 16 --page-table %s/%s.npy", files,
                                     folder, tables[i]);
        ck_assert_int_eq(p.exit_code, 2);
        ck_assert_msg(strstr(p.err, lines[i]) != NULL, "%s", p.err);
        tw_process_free(&p);
    }
    tw_remove_folder(folder);
}
END_TEST

Suite *tw_suite_cli_decode(void)
{
    Suite *suite = suite_create("cli_decode");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_told, 0, (int)(sizeof told / sizeof told[0]));
    tcase_add_test(core, test_page_table_file);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    suite_add_tcase(suite, errors);
    return suite;
}
