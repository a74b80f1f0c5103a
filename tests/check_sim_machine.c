/* Machine files: every one loads, every number has a date and a source, and nothing impossible stands there. */
#include "check_tilewise.h"

#include "../sim/machine.h"

#include "support_process.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t value, source;
} numbers[] = {
#define NUMBER(field, what) {#field, offsetof(tw_machine, field), offsetof(tw_machine, sources.field)},
    TW_MACHINE_NUMBERS(NUMBER)
#undef NUMBER
};

enum { NUM_NUMBERS = sizeof numbers / sizeof numbers[0] };

static const char *const expected[] = {"a100", "b200",   "h100",  "h100-pcie", "h20",
                                       "h200", "laptop", "paper", "t4"};

START_TEST(test_all_are_there)
{
    ck_assert_int_eq(tw_machine_count(), (int)(sizeof expected / sizeof expected[0]));
    for (int i = 0; i < tw_machine_count(); i++)
        ck_assert_str_eq(tw_machine_name(i), expected[i]);
    ck_assert_ptr_null(tw_machine_name(-1));
    ck_assert_ptr_null(tw_machine_name(tw_machine_count()));
}
END_TEST

START_TEST(test_every_number_has_a_source)
{
    tw_machine m;
    ck_assert_msg(tw_machine_find(&m, expected[_i]) == TW_OK, "%s", tw_error_message());
    ck_assert_str_eq(m.name, expected[_i]);
    ck_assert_uint_gt(strlen(m.description), 0);
    for (int n = 0; n < NUM_NUMBERS; n++) {
        double value;
        tw_machine_source where;
        memcpy(&value, (char *)&m + numbers[n].value, sizeof value);
        memcpy(&where, (char *)&m + numbers[n].source, sizeof where);
        ck_assert_msg((value == 0.0) == (*where.source == '\0'), "%s: %s is %g by '%s'", m.name,
                      numbers[n].name, value, where.source);
        ck_assert_msg((value == 0.0) == (*where.date == '\0'), "%s: %s has no date", m.name, numbers[n].name);
    }
}
END_TEST

START_TEST(test_numbers_make_sense)
{
    tw_machine m;
    ck_assert_int_eq(tw_machine_find(&m, expected[_i]), TW_OK);
    ck_assert_double_ge(m.smem_bytes, 1);
    if (m.kind == TW_MACHINE_PAPER) {
        ck_assert(!tw_machine_has_l2(&m));
        return;
    }
    ck_assert(tw_machine_has_l2(&m));
    ck_assert_double_ge(m.num_sms, 1);
    ck_assert_double_gt(m.l2_bytes, m.smem_bytes);
    if (m.kind == TW_MACHINE_GPU) {
        ck_assert_double_ge(m.smem_bytes_per_sm, m.smem_bytes);
        ck_assert_double_eq(m.register_bytes_per_sm, 262144);
        ck_assert_double_gt(m.hbm_bytes, m.l2_bytes);
        ck_assert_double_gt(m.tensor_fp16_flops_per_s, m.fma_flops_per_s);
    }
    if (m.clock_hz > 0 && m.exps_per_s > 0) /* 16 a clock and SM on all of these */
        ck_assert_double_lt(fabs(m.exps_per_s / (m.clock_hz * m.num_sms) - 16.0), 0.2);
    ck_assert_double_gt(m.fma_flops_per_s, m.hbm_read_bytes_per_s);
}
END_TEST

START_TEST(test_user_files)
{
    tw_machine built_in, read;
    char path[64];
    snprintf(path, sizeof path, "sim/machines/%s.ini", expected[_i]);
    ck_assert_int_eq(tw_machine_find(&built_in, expected[_i]), TW_OK);
    ck_assert_msg(tw_machine_find(&read, path) == TW_OK, "%s", tw_error_message());
    ck_assert_mem_eq(&read, &built_in, sizeof read); /* name included: that of the file */
}
END_TEST

START_TEST(test_unknown)
{
    tw_machine m = {.num_sms = 7};
    ck_assert_int_eq(tw_machine_find(&m, "cray"), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "a100, b200, h100"));
    ck_assert_int_eq(tw_machine_find(&m, "cray.ini"), TW_EIO);
    ck_assert_int_eq(tw_machine_find(&m, "./"), TW_EIO);
    ck_assert_int_eq(tw_machine_find(&m, "README.md/x"), TW_EIO);
    ck_assert_double_eq(m.num_sms, 7);
}
END_TEST

/* ---- files that are written ----------------------------------------------------------------------------- */

/* Writes a machine below a new folder, under the name it has, and reads it back. */
static tw_status write_and_read(tw_machine *back, const tw_machine *m, const char *comment)
{
    char path[600];
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/%s.ini", folder, m->name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    tw_status status = tw_machine_write(file, m, comment);
    ck_assert_int_eq(fclose(file), 0);
    if (status == TW_OK)
        status = tw_machine_find(back, path);
    tw_remove_folder(folder);
    return status;
}

START_TEST(test_written_machines_read_back)
{
    tw_machine m, back;
    ck_assert_int_eq(tw_machine_find(&m, expected[_i]), TW_OK);
    ck_assert_msg(write_and_read(&back, &m, "a comment\nof two lines") == TW_OK, "%s", tw_error_message());
    ck_assert_mem_eq(&back, &m, sizeof m);
}
END_TEST

/* Every number there is, with values that no short decimal meets, and the longest source that its line has room for. */
START_TEST(test_every_number_is_written)
{
    tw_machine m = {
        .name = "all", .description = "every number", .kind = TW_MACHINE_GPU, .uncalibrated = true};
    tw_machine back;
    char source[140];
    memset(source, 'x', sizeof source);
    source[sizeof source - 1] = '\0';
    for (int i = 0; i < NUM_NUMBERS; i++) {
        bool whole = (strstr(numbers[i].name, "bytes") && !strstr(numbers[i].name, "_per_")) ||
                     strcmp(numbers[i].name, "num_sms") == 0;
        double value = strcmp(numbers[i].name, "l2_sides") == 0 ? 2
                       : whole                                  ? 1000003.0 * (i + 1)
                                                                : (i + 1) / 3.0;
        ck_assert_msg(tw_machine_set_number(&m, numbers[i].name, value, "2026-11-23",
                                            i % 2 ? "short" : "measured, so") == TW_OK,
                      "%s", tw_error_message());
        ck_assert_str_eq(tw_machine_number_name(i), numbers[i].name);
        ck_assert_double_eq(tw_machine_number(&m, i), value);
        ck_assert_str_eq(tw_machine_number_source(&m, i)->date, "2026-11-23");
        ck_assert_uint_gt(strlen(tw_machine_number_meaning(i)), 0);
    }
    ck_assert_ptr_null(tw_machine_number_name(NUM_NUMBERS));
    ck_assert_msg(write_and_read(&back, &m, NULL) == TW_OK, "%s", tw_error_message());
    ck_assert_mem_eq(&back, &m, sizeof m);
    ck_assert_int_eq(tw_machine_set_number(&m, "l2_sides", 1, "2026-11-23", source), TW_OK);
    ck_assert_int_eq(write_and_read(&back, &m, NULL), TW_OK);
    ck_assert_str_eq(back.sources.l2_sides.source, source);
}
END_TEST

START_TEST(test_set_refuses)
{
    static const struct {
        const char *number;
        double value;
        const char *date, *source, *says;
    } table[] = {
        {"l2_halves", 2, "2026-11-23", "x", "'l2_halves' is no number"},
        {"clock_hz", -1, "2026-11-23", "x", "above 0, to 1e18"},
        {"clock_hz", 0, "2026-11-23", "x", "clock_hz is '0', it must be a number above 0, to 1e18"},
        {"clock_hz", (double)NAN, "2026-11-23", "x", "above 0, to 1e18"},
        {"clock_hz", (double)INFINITY, "2026-11-23", "x", "above 0, to 1e18"},
        {"num_sms", 0, "2026-11-23", "x", "above 0"},
        {"num_sms", 1.5, "2026-11-23", "x", "num_sms is '1.5', it must be a whole number"},
        {"smem_bytes", 0, "2026-11-23", "x", "above 0"},
        {"l2_side_bytes", 0, "2026-11-23", "x", "above 0"},
        {"hbm_write_bytes_per_s", 0, "2026-11-23", "x", "above 0"},
        {"smem_bytes_per_clock", 0, "2026-11-23", "x", "above 0"},
        {"mma_speed_of_two", 0, "2026-11-23", "x", "above 0"},
        {"limit_w", 0, "2026-11-23", "x", "above 0"},
        {"drift_one_block", -1, "2026-11-23", "x", "from 0 to 1e18"},
        {"clock_hz", 1, "yesterday", "x", "no date"},
        {"clock_hz", 1, "2026-11-23", "", "no source"},
        {"l2_bytes", 1.5, "2026-11-23", "x", "whole number of bytes"},
    };
    tw_machine m = {.name = "m", .clock_hz = 7}, before = m;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        ck_assert_int_eq(
            tw_machine_set_number(&m, table[i].number, table[i].value, table[i].date, table[i].source),
            TW_EINVAL);
        ck_assert_msg(strstr(tw_error_message(), table[i].says) != NULL, "%s", tw_error_message());
        ck_assert_mem_eq(&m, &before, sizeof m);
    }
    ck_assert_int_eq(tw_machine_set_number(&m, "smem_bytes_per_clock", 127.5, "2026-11-23", "x"), TW_OK);
    static const char *const may_be_0[] = {"l2_bytes",      "register_bytes_per_sm", "l2_dirty_bytes",
                                           "l2_victims",    "drift_one_block",       "start_stagger_cycles",
                                           "tile_pace",     "launch_overhead_s",     "l2_sides",
                                           "l2_j_per_byte", "profiler_dirty_bytes"};
    for (size_t i = 0; i < sizeof may_be_0 / sizeof may_be_0[0]; i++)
        ck_assert_msg(tw_machine_set_number(&m, may_be_0[i], 0, "2026-11-23", "x") == TW_OK, "%s",
                      tw_error_message());
}
END_TEST

/* What the reader would cut or refuse is not written. */
START_TEST(test_write_refuses)
{
    tw_machine m = {.name = "m", .kind = TW_MACHINE_CPU}, back;
    char source[160];
    memset(source, 'x', sizeof source);
    source[sizeof source - 1] = '\0';
    ck_assert_int_eq(tw_machine_set_number(&m, "smem_bytes", 4096, "2026-11-23", "first ; second"), TW_OK);
    ck_assert_int_eq(write_and_read(&back, &m, NULL), TW_EOVERFLOW);
    ck_assert_int_eq(tw_machine_set_number(&m, "smem_bytes", 4096, "2026-11-23", "first;second"), TW_OK);
    ck_assert_int_eq(write_and_read(&back, &m, NULL), TW_OK);
    ck_assert_int_eq(tw_machine_set_number(&m, "softmax_cycles_per_key", 5.7, "2026-11-23", source), TW_OK);
    ck_assert_int_eq(write_and_read(&back, &m, NULL), TW_EOVERFLOW);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "softmax_cycles_per_key"));
}
END_TEST

START_TEST(test_calibrated)
{
    static const struct {
        const char *line;
        tw_status status;
        bool uncalibrated;
    } table[] = {{"", TW_OK, false},
                 {"calibrated = yes\n", TW_OK, false},
                 {"calibrated = no\n", TW_OK, true},
                 {"calibrated = maybe\n", TW_EFORMAT, false}};
    const char *folder = tw_new_folder();
    char path[600], text[300];
    snprintf(path, sizeof path, "%s/m.ini", folder);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        tw_machine m;
        snprintf(text, sizeof text, "[machine]\nkind = paper\n%ssmem_bytes = 1 | 2026-11-23 | x\n",
                 table[i].line);
        tw_write_text(path, text);
        ck_assert_int_eq(tw_machine_find(&m, path), table[i].status);
        if (table[i].status != TW_OK) {
            ck_assert_ptr_nonnull(strstr(tw_error_message(), "it must be yes or no"));
            continue;
        }
        ck_assert(m.uncalibrated == table[i].uncalibrated);
        ck_assert_str_eq(tw_machine_caveat(&m), table[i].uncalibrated ? ", uncalibrated" : "");
    }
    tw_remove_folder(folder);
}
END_TEST

Suite *tw_suite_sim_machine(void)
{
    int count = sizeof expected / sizeof expected[0];
    Suite *s = suite_create("sim_machine");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_all_are_there);
    tcase_add_loop_test(core, test_every_number_has_a_source, 0, count);
    tcase_add_loop_test(core, test_numbers_make_sense, 0, count);
    tcase_add_loop_test(core, test_user_files, 0, count);
    tcase_add_test(core, test_unknown);
    suite_add_tcase(s, core);
    TCase *written = tcase_create("written");
    tcase_add_loop_test(written, test_written_machines_read_back, 0, count);
    tcase_add_test(written, test_every_number_is_written);
    tcase_add_test(written, test_set_refuses);
    tcase_add_test(written, test_write_refuses);
    tcase_add_test(written, test_calibrated);
    suite_add_tcase(s, written);
    return s;
}
