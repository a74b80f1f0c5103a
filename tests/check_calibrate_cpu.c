/* tilewise calibrate-cpu: what the system says is read right, what is refused, and a file that tilewise takes. Readings and
 * their statistics, which the GPU's calibration shares. */
#include "check_tilewise.h"
#include "support_process.h"

#include "../sim/cpu.h"
#include "../sim/cpu_kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- readings ------------------------------------------------------------------------------------------- */

START_TEST(test_median_and_spread)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, one[] = {5}, with_nan[] = {1, (double)NAN, 2};
    double twenty[20];
    for (int i = 0; i < 20; i++)
        twenty[i] = 100 + (i * 7) % 20; /* 100 … 119 in some order */
    ck_assert_double_eq(tw_median(odd, 3), 2);
    ck_assert_double_eq(tw_median(even, 4), 2.5);
    ck_assert_double_eq(tw_median(one, 1), 5);
    ck_assert(isnan(tw_median(with_nan, 3)));
    ck_assert(isnan(tw_median(one, 0)));
    ck_assert_double_eq(tw_spread(odd, 3), 1.0); /* (3 - 1) / 2 */
    ck_assert_double_eq(tw_spread(one, 1), 0.0);
    ck_assert_double_eq_tol(tw_spread(twenty, 20), (117.0 - 102.0) / 109.5,
                            1e-12); /* two at either end are left out */
}
END_TEST

static tw_reading judged(double value, double spread, tw_limits limits)
{
    tw_readings r = {.count = 0};
    tw_readings_add_value(&r, "clock_hz", value, spread, 3, limits, "made up, %d", 7);
    ck_assert_int_eq(r.count, 1);
    ck_assert_int_eq(r.in_doubt, *r.at[0].trouble != '\0');
    ck_assert_str_eq(r.at[0].how, "made up, 7");
    return r.at[0];
}

START_TEST(test_readings_are_judged)
{
    const tw_limits limits = {1e9, 3e9, 0.05};
    tw_reading good = judged(2e9, 0.05, limits), wide = judged(2e9, 0.06, limits);
    ck_assert(good.believed && *good.trouble == '\0');
    ck_assert(wide.believed);
    ck_assert_ptr_nonnull(strstr(wide.trouble, "spread of 6 %, it should be at most 5 %"));
    static const double impossible[] = {0.99e9, 3.01e9, -1, 0, (double)INFINITY};
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        tw_reading r = judged(impossible[i], 0.0, limits);
        ck_assert_msg(!r.believed && strstr(r.trouble, "not believed") != NULL, "%g: %s", impossible[i],
                      r.trouble);
    }
    tw_reading none = judged((double)NAN, 0.0, limits), unknown_spread = judged(2e9, (double)NAN, limits);
    ck_assert(!none.believed && strstr(none.trouble, "could not be measured") != NULL);
    ck_assert(unknown_spread.believed && *unknown_spread.trouble != '\0');
}
END_TEST

START_TEST(test_readings_become_a_machine)
{
    tw_machine m;
    tw_readings r = {.count = 0};
    const tw_limits any = {0, 1e18, 1};
    ck_assert_int_eq(tw_machine_find(&m, "a100"), TW_OK);
    const tw_machine before = m;
    tw_readings_add_value(&r, "clock_hz", 1.234567e9, 0.004, 20, any, "so");
    tw_readings_add_value(&r, "l2_side_bytes", 26214399.6, 0.0, 1, any, "so");
    tw_readings_add_value(&r, "fma_flops_per_s", 1e20, 0.0, 1, any, "so"); /* not believed: stays as it was */
    tw_readings_add_value(&r, "name_of_a_curve", 1, 0.0, 1, any, "so");    /* no number of a machine */
    ck_assert_msg(tw_readings_to_machine(&m, &r, "2026-11-23") == TW_OK, "%s", tw_error_message());
    ck_assert_double_eq(m.clock_hz, 1.235e9);
    ck_assert_str_eq(m.sources.clock_hz.source, "measured, so; spread 0.4 % of 20");
    ck_assert_str_eq(m.sources.clock_hz.date, "2026-11-23");
    ck_assert_double_eq(m.l2_side_bytes, 26214400);
    ck_assert_double_eq(m.fma_flops_per_s, before.fma_flops_per_s);
    ck_assert_str_eq(m.sources.fma_flops_per_s.source, before.sources.fma_flops_per_s.source);
    ck_assert_double_eq(tw_readings_value(&r, "clock_hz"), 1.234567e9);
    ck_assert(isnan(tw_readings_value(&r, "fma_flops_per_s")));
    ck_assert(isnan(tw_readings_value(&r, "nothing")));
}
END_TEST

/* ---- what the system says ------------------------------------------------------------------------------- */

START_TEST(test_lists_and_sizes)
{
    static const struct {
        const char *text;
        int length;
    } lists[] = {{"0", 1},   {"0-3", 4}, {"0,4", 2}, {"0-3,8,10-11", 7}, {"", 0},   {"x", 0},
                 {"3-1", 0}, {"0-", 0},  {"0,", 0},  {"0-3 ", 0},        {"-1", 0}, {"0-9999999999", 0}};
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {{"48K", 49152}, {"2048K", 2097152}, {"32M", 33554432}, {"1G", 1073741824}, {"512", 512},
                 {"", 0},        {"K", 0},           {"48Q", 0},        {"48KB", 0},        {"-1K", 0},
                 {"0", 0}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        ck_assert_msg(tw_cpu_list_length(lists[i].text) == lists[i].length, "'%s' is %d long", lists[i].text,
                      tw_cpu_list_length(lists[i].text));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert_msg(tw_cpu_cache_size(sizes[i].text) == sizes[i].bytes, "'%s' is %lld bytes", sizes[i].text,
                      (long long)tw_cpu_cache_size(sizes[i].text));
}
END_TEST

/* Folders and a file below `root`; the text without its end of line. */
static void put(const char *root, const char *path, const char *text)
{
    char full[700];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        ck_assert(mkdir(full, 0777) == 0 || access(full, F_OK) == 0);
        *slash = '/';
    }
    char line[300];
    snprintf(line, sizeof line, "%s\n", text);
    tw_write_text(full, line);
}

static void put_cache(const char *root, int index, const char *level, const char *type, const char *size,
                      const char *shared)
{
    static const char *const names[] = {"level", "type", "size", "shared_cpu_list"};
    const char *const texts[] = {level, type, size, shared};
    for (int i = 0; i < 4; i++) {
        char path[200];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, names[i]);
        put(root, path, texts[i]);
    }
}

static void remove_tree(const char *root)
{
    char *words[] = {"rm", "-r", (char *)root, NULL};
    tw_process p = tw_run(words);
    ck_assert_int_eq(p.exit_code, 0);
    tw_process_free(&p);
}

/* Eight cores of two threads, two last caches for four cores each. */
START_TEST(test_describe)
{
    const char *root = tw_new_folder();
    tw_cpu cpu;
    put(root, "/proc/cpuinfo", "processor : 0\nmodel name\t: A CPU; with a name");
    put(root, "/sys/devices/system/cpu/online", "0-15");
    put(root, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,8");
    put_cache(root, 0, "1", "Data", "32K", "0,8");
    put_cache(root, 1, "1", "Instruction", "64K", "0,8");
    put_cache(root, 2, "2", "Unified", "1024K", "0,8");
    put_cache(root, 3, "3", "Unified", "16M", "0-3,8-11");
    ck_assert_msg(tw_cpu_describe(&cpu, root) == TW_OK, "%s", tw_error_message());
    ck_assert_str_eq(cpu.model, "A CPU");
    ck_assert_int_eq(cpu.cores, 8);
    ck_assert_int_eq(cpu.l1_bytes, 32768);
    ck_assert_int_eq(cpu.private_bytes, 1048576);
    ck_assert_int_eq(cpu.shared_bytes, 33554432);
    remove_tree(root);
}
END_TEST

/* Where cores share the second cache, the first is what a core has for itself. */
START_TEST(test_describe_without_a_third_cache)
{
    const char *root = tw_new_folder();
    tw_cpu cpu;
    put(root, "/sys/devices/system/cpu/online", "0-3");
    put_cache(root, 0, "1", "Data", "64K", "0");
    put_cache(root, 1, "2", "Unified", "2M", "0-3");
    ck_assert_msg(tw_cpu_describe(&cpu, root) == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(cpu.cores, 4);
    ck_assert_int_eq(cpu.private_bytes, 65536);
    ck_assert_int_eq(cpu.shared_bytes, 2097152);
    ck_assert_str_eq(cpu.model, "CPU of unknown name");
    remove_tree(root);
}
END_TEST

START_TEST(test_describe_refuses)
{
    const char *root = tw_new_folder();
    tw_cpu cpu = {.cores = 7};
    ck_assert_int_eq(tw_cpu_describe(&cpu, root), TW_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "laptop.ini"));
    ck_assert_int_eq(cpu.cores, 7);
    remove_tree(root);
}
END_TEST

/* ---- kernels -------------------------------------------------------------------------------------------- */

/* What is timed is done: every float is read and written as often as it says. */
START_TEST(test_kernels_do_their_work)
{
    enum { FLOATS = 3 * TW_CPU_KERNEL_FLOATS };
    static _Alignas(64) float x[FLOATS + 16];
    const tw_cpu_kernel *k = tw_cpu_kernel_best();
    for (int i = 0; i < FLOATS; i++)
        x[i] = (float)(i % 7);
    float sum = 0;
    for (int i = 0; i < FLOATS; i++)
        sum += x[i];
    ck_assert_float_eq(k->read(x, FLOATS, 1), sum); /* whole numbers: exact in any order */
    ck_assert_float_eq(k->read(x, FLOATS, 3), 3 * sum);
    x[FLOATS] = -5;
    k->write(x, FLOATS, 2); /* the last round writes 1 */
    for (int i = 0; i < FLOATS; i++)
        ck_assert_float_eq(x[i], 1);
    ck_assert_float_eq(x[FLOATS], -5);
    ck_assert_float_ne(k->fma(10, 1.0F), k->fma(11, 1.0F));
    ck_assert(isnormal(k->fma(100000, 1.0F)));
}
END_TEST

/* ---- the command ---------------------------------------------------------------------------------------- */

static const struct {
    const char *line, *words;
} refused[] = {
    {"calibrate-cpu x", "'x'|begin with --"},
    {"calibrate-cpu --nonsense", "--nonsense"},
    {"calibrate-cpu --seqlen 5", "--seqlen"},
    {"calibrate-cpu --out", "needs a value"},
    {"calibrate-cpu --out me.txt", "'me.txt'|end in .ini"},
    {"calibrate-cpu --out .ini", "end in .ini"},
    {"calibrate-cpu --out a,b.ini", "comma"},
    {"calibrate-cpu --out nowhere/me.ini", "nowhere/me.ini|cannot be written"},
    {"calibrate-cpu --csv -", "--csv|must be a file"},
    {"calibrate-cpu --csv tests", "is a folder"},
    {"calibrate-cpu --out x.ini --csv x.ini", "two files"},
};

START_TEST(test_refused)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
    ck_assert_int_ne(access("x.ini", F_OK), 0);
}
END_TEST

/* For real: twenty seconds at most, a file that the simulator takes, and nothing that cannot be. */
START_TEST(test_this_cpu)
{
    const char *folder = tw_new_folder();
    char path[600];
    tw_process p = tw_tilewise_f("calibrate-cpu --out %s/me.ini --csv %s/me.csv", folder, folder);
    ck_assert_msg(p.exit_code == 0 && *p.err == '\0', "exit %d: %s%s", p.exit_code, p.out, p.err);
    ck_assert_double_lt(p.cpu_seconds / (double)sysconf(_SC_NPROCESSORS_ONLN), 20.0);
    ck_assert_ptr_nonnull(strstr(p.out, "fma_flops_per_s"));
    tw_process_free(&p);
    snprintf(path, sizeof path, "%s/me.ini", folder);
    tw_machine m;
    ck_assert_msg(tw_machine_find(&m, path) == TW_OK, "%s", tw_error_message());
    ck_assert(!m.uncalibrated && m.kind == TW_MACHINE_CPU);
    ck_assert_double_gt(m.fma_flops_per_s, m.hbm_read_bytes_per_s);
    ck_assert_double_gt(m.smem_bytes_per_s, m.hbm_read_bytes_per_s);
    ck_assert_ptr_nonnull(strstr(m.sources.fma_flops_per_s.source, "measured, "));
    p = tw_tilewise_f("io --seqlen 1k --machine %s", path);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "Traffic on me (") != NULL &&
                      !strstr(p.out, "uncalibrated"),
                  "%s%s", p.out, p.err);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

Suite *tw_suite_calibrate_cpu(void)
{
    Suite *suite = suite_create("calibrate_cpu");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_test(core, test_median_and_spread);
    tcase_add_test(core, test_readings_are_judged);
    tcase_add_test(core, test_readings_become_a_machine);
    tcase_add_test(core, test_lists_and_sizes);
    tcase_add_test(core, test_describe);
    tcase_add_test(core, test_describe_without_a_third_cache);
    tcase_add_test(core, test_kernels_do_their_work);
    tcase_add_test(core, test_this_cpu);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_test(errors, test_describe_refuses);
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    suite_add_tcase(suite, errors);
    return suite;
}
