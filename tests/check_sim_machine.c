/* Machine files: every one loads, every number has a date and a source, and nothing impossible stands there. */
#include "check_tilewise.h"

#include "../sim/machine.h"

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
    return s;
}
