/* tilewise compare: predictions are recomputed from the shape, errors are predicted / measured - 1, and a CSV that is
 * not what it should be is refused with its line. */
#include "check_tilewise.h"
#include "support_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEYS                                                                                                 \
    "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_"  \
    "n,kernel"
#define SHAPE "h100,1,16,16,16384,16384,128,fp16,0,128,128,"

typedef struct file {
    const char *folder;
    char path[700];
} file;

static file csv(const char *text)
{
    file f = {.folder = tw_new_folder()};
    snprintf(f.path, sizeof f.path, "%s/m.csv", f.folder);
    tw_write_text(f.path, text);
    return f;
}

/* ---- what is read --------------------------------------------------------------------------------------- */

/* Fill is 17,246,978,048 and drain 68,157,440 by the count; what was "measured" here is off by known shares. */
static const char good[] = "# gpu, driver\n" KEYS ",time_us,fill_bytes,drain_bytes,reps\n"
                           "flash2," SHAPE "mine,5000,34493956096,68157440,20\n"
                           "standard_tiled," SHAPE "plain,20000,,,20\n";

START_TEST(test_errors)
{
    file f = csv(good);
    tw_process p = tw_tilewise_f("compare --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    static const char *const says[] = {"-50.0%", "+0.000%", "time, roofline",
                                       "mine",   "plain",   "16384 x 16384, d 128"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        ck_assert_msg(strstr(p.out, says[i]) != NULL, "'%s' is not in: %s", says[i], p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Median 0, mean of absolute values 1/3 + 1 over 3, worst +100 % where half was measured. */
START_TEST(test_median_mean_worst)
{
    file f = csv(KEYS ",fill_bytes\n"
                      "flash2,h100,1,1,1,128,128,64,fp16,0,128,128,k,49152\n"
                      "flash2,h100,2,1,1,128,128,64,fp16,0,128,128,k,49152\n"
                      "flash2,h100,3,1,1,128,128,64,fp16,0,128,128,k,196608\n");
    tw_process p = tw_tilewise_f("compare --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_msg(strstr(p.out, "+0.0%") && strstr(p.out, "41.7%") && strstr(p.out, "+100.0%") &&
                      strstr(p.out, "batch 2"),
                  "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

START_TEST(test_summary)
{
    file f = csv(good);
    tw_process p = tw_tilewise_f("compare --summary --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    static const char *const says[] = {
        "head_dim 128, no mask", "16384", "17.315", "34.562", "4.00x", "standard", "tiled"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        ck_assert_msg(strstr(p.out, says[i]) != NULL, "'%s' is not in: %s", says[i], p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Shapes in order, counters alone left out, and kernels compared only with those on the same unit. */
START_TEST(test_summary_in_order)
{
#define AT(seqlen, tail) "h100,1,4,2," #seqlen "," #seqlen ",64,fp16,0,64,64," tail "\n"
    file f = csv(
        KEYS
        ",time_us,fill_bytes\n"
        "flash2," AT(4096, "30_flash2_mma,400,") "standard_tiled," AT(
            4096,
            "01_standard_cublas,"
            "800,") "flash2," AT(512,
                                 "30_flash2_mma,10,") "standard_tiled," AT(512,
                                                                           "01_standard_cublas,"
                                                                           "30,") "flash2," AT(512,
                                                                                               "20"
                                                                                               "_f"
                                                                                               "la"
                                                                                               "sh"
                                                                                               "2,"
                                                                                               "10"
                                                                                               "0"
                                                                                               ",") "standard"
                                                                                                    "_tiled"
                                                                                                    "," AT(
                                                                                                        512,
                                                                                                        "0"
                                                                                                        "0"
                                                                                                        "_"
                                                                                                        "s"
                                                                                                        "t"
                                                                                                        "a"
                                                                                                        "n"
                                                                                                        "d"
                                                                                                        "a"
                                                                                                        "r"
                                                                                                        "d"
                                                                                                        ","
                                                                                                        "7"
                                                                                                        "0"
                                                                                                        "0"
                                                                                                        ",") "flash2," AT(512,
                                                                                                                          "26_cp_async,,"
                                                                                                                          "5") "flash2"
                                                                                                                               "," AT(
                                                                                                                                   1000,
                                                                                                                                   "20"
                                                                                                                                   "_f"
                                                                                                                                   "la"
                                                                                                                                   "sh"
                                                                                                                                   "2,"
                                                                                                                                   ","
                                                                                                                                   "7") "s"
                                                                                                                                        "t"
                                                                                                                                        "a"
                                                                                                                                        "n"
                                                                                                                                        "d"
                                                                                                                                        "a"
                                                                                                                                        "r"
                                                                                                                                        "d"
                                                                                                                                        "_"
                                                                                                                                        "t"
                                                                                                                                        "i"
                                                                                                                                        "l"
                                                                                                                                        "e"
                                                                                                                                        "d"
                                                                                                                                        "," AT(
                                                                                                                                            1000,
                                                                                                                                            "00_standard,,7"));
    tw_process p = tw_tilewise_f("compare --summary --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    const char *tensor = strstr(p.out, "on tensor cores"), *fma = strstr(p.out, "on plain FMA");
    ck_assert_msg(tensor && fma && tensor < fma, "%s", p.out);
    const char *at_512 = strstr(tensor, "\n   512 "), *at_4k = strstr(tensor, "\n  4096 ");
    ck_assert_msg(at_512 && at_4k && at_512 < at_4k && at_4k < fma, "%s", p.out);
    ck_assert_msg(strstr(at_512, "4 on 2") && strstr(at_512, "3.00x"), "%s", p.out);
    ck_assert_msg(strstr(fma, "20_flash2") && strstr(fma, "7.00x"), "%s", p.out);
    ck_assert_ptr_null(strstr(p.out, "26_cp_async"));
    ck_assert_ptr_null(strstr(p.out, "1000 "));
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Where nothing was timed, there are still predictions. */
START_TEST(test_summary_of_counters_alone)
{
    file f = csv(KEYS ",fill_bytes\nflash2," SHAPE "mine,17246978048\nstandard_tiled," SHAPE "plain,1\n");
    tw_process p = tw_tilewise_f("compare --summary --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "16384") && strstr(p.out, "60.198"), "%s%s", p.err,
                  p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

START_TEST(test_csv)
{
    file f = csv(good);
    tw_process p = tw_tilewise_f("compare --csv - --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_int_eq(strncmp(p.out, "# tilewise compare, commit ", 27), 0);
    ck_assert_ptr_nonnull(strstr(p.out, "\n" KEYS ",flops,predicted_fill_bytes,"));
    ck_assert_ptr_nonnull(
        strstr(p.out, "\nflash2," SHAPE "mine,2199023255552,17246978048,68157440,201326592,68157440,"));
    ck_assert_ptr_nonnull(strstr(p.out, ",34493956096,68157440,,,,5000.000,,,,,,\n"));
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Times of one file and counters of another are one row. */
START_TEST(test_joins)
{
    file f = csv(KEYS ",time_us\nflash2," SHAPE "mine,5000\n");
    char other[700];
    snprintf(other, sizeof other, "%s/n.csv", f.folder);
    tw_write_text(other, KEYS ",fill_bytes\r\nflash2," SHAPE "mine,17246978048\r\n");
    tw_process p = tw_tilewise_f("compare --measured %s --measured %s --csv -", f.path, other);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_ptr_nonnull(strstr(p.out, ",17246978048,,,,,5000.000,,,,,,\n"));
    int lines = 0;
    for (const char *c = p.out; (c = strchr(c, '\n')); c++)
        lines++;
    ck_assert_int_eq(lines, 3 + 1 + 1);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* What was measured on another machine is predicted for that machine. */
START_TEST(test_machines)
{
    file f = csv(KEYS ",time_us,fill_bytes\nflash2,t4,1,1,1,1024,1024,64,fp16,0,64,64,mine,5000,1\n");
    tw_process p = tw_tilewise_f("compare --csv - --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    const char *limit = strstr(p.out,
                               ",mine,268435456,"); /* 4 * 1024 * 1024 * 64 FLOPs at 65 TFLOP/s: 4.130 us */
    ck_assert_msg(limit && strstr(limit, ",4.130,tensor cores,"), "%s", p.out);
    tw_process_free(&p);
    p = tw_tilewise_f("compare --machine paper --measured %s", f.path); /* no rates: bytes alone */
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "fill") && !strstr(p.out, "time, r"), "%s%s", p.out,
                  p.err);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Of HBM bytes, those that an L2 could have held are not compared: here 17 MB beside 201 MB. */
START_TEST(test_hbm_in_the_l2)
{
    file f = csv(KEYS ",hbm_read_bytes,hbm_write_bytes\nflash2," SHAPE "mine,201326592,3\n"
                      "flash2,h100,1,1,1,4096,4096,128,fp16,0,128,128,mine,5,\n");
    tw_process p = tw_tilewise_f("compare --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_msg(strstr(p.out, "HBM read*      1  +0.000%") && !strstr(p.out, "HBM write*") &&
                      strstr(p.out, "the 1 of 3 measured values"),
                  "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Behind the L2: all of 16k fits in no cache, so a little more is read than must be; short sequences are compared, too. */
START_TEST(test_hbm_behind_the_l2)
{
    file f = csv(KEYS ",hbm_read_bytes,hbm_write_bytes\nflash2," SHAPE "20_flash2,237367296,63675392\n");
    tw_process p = tw_tilewise_f("compare --csv - --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    const char *last = strrchr(p.out, ',');
    ck_assert_ptr_nonnull(last);
    double write = atof(last + 1), read = 0;
    while (*--last != ',') /* the field before it */
        read = atof(last);
    ck_assert_double_eq_tol(write, 63.7e6, 3e6);
    ck_assert_double_eq_tol(read, 237.4e6, 15e6);
    tw_process_free(&p);
    p = tw_tilewise_f("compare --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "HBM read ") && strstr(p.out, "1 made now, 0 recorded"),
                  "%s", p.out);
    tw_process_free(&p);
    p = tw_tilewise_f("compare --no-l2 --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0 && !strstr(p.out, "HBM read ") && strstr(p.out, "HBM read*"), "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* What was predicted before is taken as it stands; what has no measurement is not compared. */
START_TEST(test_recorded_predictions)
{
    file f = csv(KEYS ",hbm_read_bytes\nflash2," SHAPE "20_flash2,200000000\n");
    char other[700];
    snprintf(other, sizeof other, "%s/p.csv", f.folder);
    tw_write_text(other, KEYS ",predicted_l2_hbm_read_bytes\nflash2," SHAPE "20_flash2,100000000\n"
                              "flash2," SHAPE "never_measured,1\n");
    tw_process p = tw_tilewise_f("compare --measured %s --predicted %s", f.path, other);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_msg(strstr(p.out, "-50.0%") && strstr(p.out, "0 made now, 1 recorded") &&
                      !strstr(p.out, "never_measured"),
                  "%s", p.out);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Rows that differ in order or start alone are different rows. */
START_TEST(test_launch_columns)
{
    file f = csv(KEYS ",order,kv_order,start,blocks_per_sm,workers,dispatch,time_us\n"
                      "flash2," SHAPE "mine,,,,,,,1\nflash2," SHAPE "mine,linear,,,,,,2\n"
                      "flash2," SHAPE "mine,linear,backward,,2,132,static,3\n"
                      "flash2," SHAPE "mine,linear,backward,warm,2,132,hardware,4\n");
    tw_process p = tw_tilewise_f("compare --csv - --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, ",1.000,") && strstr(p.out, ",4.000,"), "%s%s", p.out,
                  p.err);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* Measured columns without values: predictions for a CSV or a summary, but no errors. */
START_TEST(test_nothing_to_compare)
{
    char line[1000];
    file f = csv(KEYS ",time_us,fill_bytes\nflash2," SHAPE "mine,,\nflash2," SHAPE "other,,0\n");
    snprintf(line, sizeof line, "compare --csv %s/out.csv --measured %s", f.folder, f.path);
    tw_expect_refusal(line, "m.csv|no row|time_us");
    ck_assert_int_eq(tw_files_in(f.folder), 1);
    snprintf(line, sizeof line, "compare --csv - --measured %s", f.path);
    tw_process p = tw_expect_exit(0, line);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* 81,920 bytes of tiles are too many for a T4's 65,536: that row alone is left out, and it is said. */
START_TEST(test_tiles_that_do_not_fit)
{
#define FITS "flash2,h100,1,1,1,1024,1024,64,fp16,0,64,64,small,5000\n"
    file f = csv(KEYS ",time_us\nstandard_tiled,h100,1,1,1,1024,1024,64,fp16,0,256,128,large,5000\n" FITS);
    tw_process p = tw_tilewise_f("compare --machine t4 --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    ck_assert_msg(strstr(p.out, "small") && !strstr(p.out, "large  "), "%s", p.out);
    ck_assert_msg(strstr(p.out, "\n1 of 2 rows left out") && strstr(p.out, "line 2: ") &&
                      strstr(p.out, "t4 has 65536: 16384 too many"),
                  "%s", p.out);
    tw_process_free(&p);
    p = tw_tilewise_f("compare --machine t4 --csv - --measured %s", f.path);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "\n# 1 of 2 rows left out") && strstr(p.out, ",small,"),
                  "%s%s", p.out, p.err);
    tw_process_free(&p);
    tw_remove_folder(f.folder);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------------------ */

#define ROW "flash2," SHAPE "mine,"

static const struct {
    const char *text, *words;
} refused[] = {
    {"", "is empty"},
    {"# only a comment\n", "is empty"},
    {KEYS ",time_us\n", "no rows"},
    {"algorithm,machine\nflash2,h100\n", "line 1|column 3|batch"},
    {"machine,algorithm\nflash2,h100\n", "line 1|column 1|algorithm"},
    {KEYS "\n", "line 1|no measured column"},
    {KEYS ",reps\nflash2," SHAPE "mine,20\n", "line 1|no measured column"},
    {KEYS ",time_us,time_us\n" ROW "1,2\n", "line 1|time_us is there twice"},
    {KEYS ",time_us\n" ROW "1,2\n", "line 2|15 fields|14"},
    {KEYS ",time_us\nflash2," SHAPE "mine\n", "line 2|13 fields|14"},
    {"# c\n" KEYS ",time_us\n# c\n" ROW "fast\n", "line 4|time_us|'fast'|number"},
    {KEYS ",time_us\n" ROW "-1\n", "line 2|time_us|'-1'"},
    {KEYS ",time_us\n" ROW "nan\n", "line 2|time_us|'nan'"},
    {KEYS ",time_us\n" ROW "1e999\n", "line 2|time_us"},
    {KEYS ",time_us\n" ROW "1 \n", "line 2|time_us"},
    {KEYS ",time_us\nflash9," SHAPE "mine,1\n", "line 2|'flash9'"},
    {KEYS ",time_us\nflash2,h100,0,16,16,8,8,64,fp16,0,8,8,mine,1\n", "line 2|batch is '0'"},
    {KEYS ",time_us\nflash2,h100,1,16,3,8,8,64,fp16,0,8,8,mine,1\n", "line 2|3|divide"},
    {KEYS ",time_us\nflash2,h100,1,16,16,x,8,64,fp16,0,8,8,mine,1\n", "line 2|seqlen_q is 'x'"},
    {KEYS ",time_us\nflash2,h100,1,16,16,8,8,64,fp8,0,8,8,mine,1\n", "line 2|dtype is 'fp8'"},
    {KEYS ",time_us\nflash2,h100,1,16,16,8,8,64,fp16,yes,8,8,mine,1\n", "line 2|causal is 'yes'|0 or 1"},
    {KEYS ",time_us\nflash2,h100,1,16,16,8,8,64,fp16,0,0,8,mine,1\n", "line 2|block_m is '0'"},
    {KEYS ",time_us\nflash2,h100,1,16,16,8,8,64,fp16,0,8,8,,1\n", "line 2|kernel"},
    {KEYS ",time_us\nflash2,cray,1,16,16,8,8,64,fp16,0,8,8,mine,1\n", "line 2|'cray'|--machine"},
    {KEYS ",time_us\nflash2,h100,1,1,1,4096,4096,64,fp16,0,4096,8,mine,1\n", "line 2|too many"},
    {KEYS ",time_us\n" ROW "1\n" ROW "2\n", "line 3|time_us|before"},
    {KEYS ",time_us,order\n" ROW "1,upwards\n", "line 2|order is 'upwards'|own|linear"},
    {KEYS ",time_us,kv_order\n" ROW "1,up\n", "line 2|kv_order is 'up'|forward"},
    {KEYS ",time_us,start\n" ROW "1,hot\n", "line 2|start is 'hot'|cold|flushed"},
    {KEYS ",time_us,workers\n" ROW "1,0\n", "line 2|workers is '0'|positive"},
    {KEYS ",time_us,dispatch\n" ROW "1,random\n", "line 2|dispatch is 'random'|static"},
    {KEYS ",time_us,order,order\n" ROW "1,own,own\n", "line 1|order is there twice"},
    {"\xef\xbb\xbf" KEYS ",time_us\n" ROW "1\n", "line 1|begins with a byte-order mark|without"},
    {"\xef\xbb\xbf# c\n" KEYS ",time_us\n" ROW "1\n", "line 1|begins with a byte-order mark"},
    {"\x89PNG\r\n\x1a\n", "line 1"},
};

START_TEST(test_refused)
{
    char line[1000];
    file f = csv(refused[_i].text);
    snprintf(line, sizeof line, "compare --csv %s/out.csv --measured %s", f.folder, f.path);
    tw_expect_refusal(line, refused[_i].words);
    ck_assert_int_eq(tw_files_in(f.folder), 1);
    tw_remove_folder(f.folder);
}
END_TEST

START_TEST(test_long_line)
{
    static char text[20001], line[1000];
    memset(text, 'a', sizeof text - 1);
    file f = csv(text);
    snprintf(line, sizeof line, "compare --measured %s", f.path);
    tw_expect_refusal(line, "line 1|longer");
    tw_remove_folder(f.folder);
}
END_TEST

/* Nobody writes into the pipe: it must be refused, not waited for. */
START_TEST(test_pipe)
{
    char path[700], line[1000];
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/m.ini", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    snprintf(line, sizeof line, "compare --measured %s", path);
    tw_expect_refusal(line, "m.ini|not a regular file|CSV");
    snprintf(line, sizeof line, "io --machine %s", path);
    tw_expect_refusal(line, "m.ini|not a regular file|machine file");
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_summary_needs_both)
{
    char line[1000];
    file f = csv(KEYS ",time_us\n" ROW "1\n");
    snprintf(line, sizeof line, "compare --summary --measured %s", f.path);
    tw_expect_refusal(line, "standard|tiled");
    tw_remove_folder(f.folder);
}
END_TEST

Suite *tw_suite_cli_compare(void)
{
    Suite *s = suite_create("cli_compare");
    TCase *core = tcase_create("core"), *errors = tcase_create("errors");
    tcase_add_test(core, test_errors);
    tcase_add_test(core, test_median_mean_worst);
    tcase_add_test(core, test_summary);
    tcase_add_test(core, test_summary_in_order);
    tcase_add_test(core, test_summary_of_counters_alone);
    tcase_add_test(core, test_csv);
    tcase_add_test(core, test_joins);
    tcase_add_test(core, test_machines);
    tcase_add_test(core, test_hbm_in_the_l2);
    tcase_add_test(core, test_hbm_behind_the_l2);
    tcase_add_test(core, test_recorded_predictions);
    tcase_add_test(core, test_launch_columns);
    tcase_add_test(core, test_nothing_to_compare);
    tcase_add_test(core, test_tiles_that_do_not_fit);
    tcase_add_loop_test(errors, test_refused, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(errors, test_long_line);
    tcase_add_test(errors, test_pipe);
    tcase_add_test(errors, test_summary_needs_both);
    suite_add_tcase(s, core);
    suite_add_tcase(s, errors);
    return s;
}
