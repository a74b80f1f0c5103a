/* predict, timeline, explain, tune and advise as a user meets them. */
#include "check_tilewise.h"
#include "support_process.h"

#include <jansson.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must_say(const tw_process *p, const char *const *words, size_t count)
{
    ck_assert_msg(p->exit_code == 0, "%s", p->err);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(strstr(p->out, words[i]) != NULL, "'%s' is not in: %s", words[i], p->out);
}

/* ---- predict -------------------------------------------------------------------------------------------- */

START_TEST(test_predict)
{
    static const char *const words[] = {
        "44_persistent", "flash2", "limited by",
        "GHz",           "mJ",     "! flash2: outside of what was held against measurements: no kernel"};
    tw_process p = tw_tilewise("predict --kernel 44_persistent --algorithm flash2 --seqlen 1k --causal");
    must_say(&p, words, sizeof words / sizeof words[0]);
    tw_process_free(&p);
}
END_TEST

/* A line of CSV with a value in the column of that name; the caller's text is cut up. */
static double value_of(char *csv, const char *column)
{
    char *header = strstr(csv, "\nalgorithm,") + 1, *row = strchr(header, '\n') + 1;
    int index = 0, at = -1;
    *strchr(header, '\n') = '\0';
    for (char *name = strtok(header, ","); name; name = strtok(NULL, ","), index++)
        at = strcmp(name, column) == 0 ? index : at;
    ck_assert_msg(at >= 0, "there is no column %s", column);
    for (; at > 0; at--)
        row = strchr(row, ',') + 1;
    return strtod(row, NULL);
}

static double predicted(const char *options, const char *column)
{
    tw_process p = tw_tilewise_f("predict %s --csv -", options);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    double value = value_of(p.out, column);
    tw_process_free(&p);
    return value;
}

/* Cycles over clock are the time; a cold start takes longer, and so does a cache that keeps nothing. */
START_TEST(test_predict_csv)
{
    static const char fa3[] = "--kernel fa3 --seqlen 1k --heads 16 --batch 16";
    double cycles = predicted(fa3, "predicted_sm_cycles"), clock = predicted(fa3, "predicted_clock_mhz");
    ck_assert_double_eq_tol(predicted(fa3, "predicted_time_us") / (cycles / clock), 1, 0.001);
    ck_assert(predicted(fa3, "predicted_cold_cycles") > cycles + 1000);
    ck_assert(predicted("--kernel fa3 --seqlen 1k --batch 16 --l2-hit-rate 0", "predicted_sm_cycles") >
              1.5 * cycles);
}
END_TEST

static const char keys[] = "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,"
                           "causal,block_m,block_n,kernel";

/* What was predicted before is judged, and not what would be predicted now. */
START_TEST(test_recorded_predictions)
{
    const char *folder = tw_new_folder();
    char measured[700], before[700], text[1000];
    snprintf(measured, sizeof measured, "%s/m.csv", folder);
    snprintf(before, sizeof before, "%s/p.csv", folder);
    snprintf(text, sizeof text,
             "%s,time_us\nflash2,h100,1,16,16,1024,1024,128,fp16,0,128,64,30_flash2_mma,100\n", keys);
    tw_write_text(measured, text);
    snprintf(text, sizeof text,
             "%s,predicted_time_us\nflash2,h100,1,16,16,1024,1024,128,fp16,0,128,64,30_flash2_mma,125\n",
             keys);
    tw_write_text(before, text);
    tw_process p = tw_tilewise_f("predict --against %s --against %s", measured, before);
    static const char *const words[] = {"30_flash2_mma", "time", "25.0 %", "+25.0 %"};
    must_say(&p, words, 4);
    tw_process_free(&p);
    p = tw_tilewise_f("predict --against %s --against %s --csv -", measured, before);
    ck_assert_int_eq(p.exit_code, 0);
    ck_assert_ptr_nonnull(strstr(p.out, ",kernel,measured_sm_cycles,predicted_cold_cycles,measured_time_us,"
                                        "predicted_time_us,measured_sm_clock_mhz,"));
    ck_assert_ptr_nonnull(strstr(p.out, ",30_flash2_mma,,,100,125,,,,\n"));
    tw_process_free(&p);
    p = tw_tilewise_f("predict --against %s", measured);
    ck_assert_int_eq(p.exit_code, 0);
    ck_assert_ptr_null(strstr(p.out, "+25.0 %"));
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* ---- timeline ------------------------------------------------------------------------------------------- */

/* A file that Perfetto reads: complete events of processes and threads that have names, inside the window. */
START_TEST(test_trace_events)
{
    const char *folder = tw_new_folder();
    tw_process p = tw_tilewise_f(
        "timeline --kernel 42_pingpong,43_overlap --seqlen 2k --first-tile 5 --tiles 3 --json %s/t.json",
        folder);
    ck_assert_msg(p.exit_code == 0 && p.out[0] == '\0', "%s%s", p.out, p.err);
    tw_process_free(&p);
    char path[700];
    snprintf(path, sizeof path, "%s/t.json", folder);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error), *event;
    ck_assert_msg(root != NULL, "%s", error.text);
    size_t i, complete = 0, names = 0, products = 0;
    json_array_foreach(json_object_get(root, "traceEvents"), i, event)
    {
        const char *phase = json_string_value(json_object_get(event, "ph"));
        ck_assert(json_is_integer(json_object_get(event, "pid")) &&
                  json_is_integer(json_object_get(event, "tid")));
        names += strcmp(phase, "M") == 0;
        if (strcmp(phase, "X") != 0)
            continue;
        complete++;
        ck_assert(json_number_value(json_object_get(event, "dur")) > 0);
        products += strcmp(json_string_value(json_object_get(event, "name")), "S = Q K^T") == 0;
    }
    ck_assert(complete > 60 && names > 10);
    ck_assert(products >= 2 * 2 * 2 * 3); /* in lanes and pipes, two kernels, two consumers, three tiles */
    json_decref(root);
    tw_remove_folder(folder);
}
END_TEST

/* Without gnuplot there is one line that says so, and no file. */
START_TEST(test_picture)
{
    const char *folder = tw_new_folder();
    tw_process p = tw_tilewise_f(
        "timeline --kernel 40_wgmma,44_persistent --seqlen 1k --svg %s/t.svg --png %s/t.png", folder, folder);
    if (p.exit_code == 0)
        ck_assert_int_eq(tw_files_in(folder), 2);
    else
        ck_assert(strstr(p.err, "gnuplot") != NULL && tw_files_in(folder) == 0);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_timeline_csv)
{
    tw_process p = tw_tilewise("timeline --kernel 41_warp_specialized --seqlen 1k --tiles 2 --csv -");
    static const char *const words[] = {
        "kernel,block,agent,lane,query_tile,key_tile,step,pipe,begin_cycle,end_cycle", ",load K,copies,",
        ",S = Q K^T,tensor cores,", ",softmax,CUDA cores,"};
    must_say(&p, words, 4);
    tw_process_free(&p);
}
END_TEST

/* ---- explain -------------------------------------------------------------------------------------------- */

/* The last three numbers of a line of a table: a, b and b − a. */
static bool read_line(const char *line, double n[3])
{
    const char *end = strchr(line, '\n');
    char text[200];
    int length = (int)(end - line);
    if (length <= 0 || length >= 200)
        return false;
    snprintf(text, sizeof text, "%.*s", length, line);
    for (int i = 2; i >= 0; i--) {
        char *last = strrchr(text, ' ');
        if (!last)
            return false;
        n[i] = strtod(last + 1, NULL);
        while (last > text && last[-1] == ' ')
            last--;
        *last = '\0';
    }
    return true;
}

/* Signed terms sum to the difference, which is that of the times. */
START_TEST(test_explain_sums)
{
    tw_process p = tw_tilewise("explain 10_flash1,01_standard_cublas --seqlen 1k");
    static const char *const words[] = {"01_standard_cublas is ",
                                        "What would have to change for 10_flash1 to win",
                                        "spread evenly over all SMs", "from N = 256"};
    must_say(&p, words, 4);
    const char *line = strstr(p.out, "\nproducts  ");
    ck_assert_ptr_nonnull(line);
    double n[3], sum[3] = {0, 0, 0};
    for (line++; strncmp(line, "all ", 4) != 0; line = strchr(line, '\n') + 1) {
        ck_assert(read_line(line, n));
        for (int i = 0; i < 3; i++)
            sum[i] += n[i];
        ck_assert_double_eq_tol(n[1] - n[0], n[2], 1.01e-4);
    }
    ck_assert(read_line(line, n));
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(sum[i], n[i], 5e-4); /* eight terms, rounded */
    tw_process_free(&p);
}
END_TEST

/* ---- tune and advise ------------------------------------------------------------------------------------ */

START_TEST(test_tune)
{
    static const char *const words[] = {"rank",     "against best",         "1.000", "of 56 tilings fit",
                                        "too many", "the largest that fits"};
    tw_process p = tw_tilewise("tune --algorithm flash3 --seqlen 1k --top 3");
    must_say(&p, words, sizeof words / sizeof words[0]);
    tw_process_free(&p);
    p = tw_tilewise("tune --kernel 30_flash2_mma --seqlen 1k --csv -");
    static const char *const columns[] = {",block_m,block_n,num_splits,rank,predicted_time_us,",
                                          "30_flash2_mma,1,16,1024,128,0,"};
    must_say(&p, columns, 2);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_advise)
{
    static const char *const words[] = {"algorithm ", "kernel ", "tiles ",      "order ",
                                        "splits ",    "margin ", "limited by ", "validated "};
    tw_process p = tw_tilewise("advise --seqlen 2k");
    must_say(&p, words, sizeof words / sizeof words[0]);
    tw_process_free(&p);
    p = tw_tilewise("advise --seqlen-q 1 --seqlen-k 16k");
    static const char *const note[] = {"splitting K and V would use more"};
    must_say(&p, note, 1);
    tw_process_free(&p);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------- */

static const struct refused {
    const char *line, *words;
} refused[] = {
    {"predict", "--kernel|--algorithm"},
    {"predict --kernel 99_none", "'99_none'|44_persistent|list algorithms"},
    {"predict --kernel 44_persistent --head-dim 96", "not built for head_dim 96"},
    {"predict --kernel 20_flash2 --block-m 48", "block_m 48"},
    {"predict --kernel 20_flash2 --dtype fp32", "fp16 and bf16"},
    {"predict --kernel 20_flash2 --machine paper", "no GPU"},
    {"predict --kernel 20_flash2, --seqlen 1k", "name of 0 characters"},
    {"predict --kernel 20_flash2 --l2-hit-rate 2", "--l2-hit-rate is '2'|0 to 1"},
    {"predict --against nowhere.csv", "nowhere.csv"},
    {"timeline --kernel 44_persistent --tiles 0", "--tiles is '0'"},
    {"timeline --kernel 44_persistent --seqlen 1k --first-tile 99", "no key tile 99"},
    {"timeline --kernel 44_persistent --seqlen 1k --launch 2", "launch is 2|1"},
    {"timeline --kernel 44_persistent --seqlen 1k --json nowhere/t.json", "nowhere/t.json"},
    {"explain 20_flash2", "two different"},
    {"explain 20_flash2,20_flash2", "two different"},
    {"explain", "--kernel"},
    {"tune --kernel 20_flash2 --head-dim 256", "not built for head_dim 256"},
    {"tune --kernel 20_flash2 --top 0", "--top is '0'"},
    {"advise --dtype fp32", "no kernel takes this shape"},
    {"advise --machine paper", "no kernel takes this shape on paper"},
};

START_TEST(test_refusals)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
}
END_TEST

Suite *tw_suite_cli_clock(void)
{
    Suite *s = suite_create("cli_clock");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, test_predict);
    tcase_add_test(core, test_predict_csv);
    tcase_add_test(core, test_recorded_predictions);
    tcase_add_test(core, test_trace_events);
    tcase_add_test(core, test_picture);
    tcase_add_test(core, test_timeline_csv);
    tcase_add_test(core, test_explain_sums);
    tcase_add_test(core, test_tune);
    tcase_add_test(core, test_advise);
    tcase_add_loop_test(core, test_refusals, 0, (int)(sizeof refused / sizeof refused[0]));
    suite_add_tcase(s, core);
    return s;
}
