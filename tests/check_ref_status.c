/* Status codes and the line that a failure leaves. */
#include "check_tilewise.h"
#include "cpu_ref/status.h"

#include <string.h>

static const struct {
    tw_status status;
    const char *name;
} names[] = {{TW_OK, "TW_OK"},
             {TW_EINVAL, "TW_EINVAL"},
             {TW_EOVERFLOW, "TW_EOVERFLOW"},
             {TW_ENOMEM, "TW_ENOMEM"},
             {TW_EIO, "TW_EIO"},
             {TW_EFORMAT, "TW_EFORMAT"},
             {TW_ESRAM, "TW_ESRAM"},
             {TW_EUNSUPPORTED, "TW_EUNSUPPORTED"},
             {TW_ESCHEDULE, "TW_ESCHEDULE"},
             {TW_EMISMATCH, "TW_EMISMATCH"},
             {TW_EGPU, "TW_EGPU"},
             {(tw_status)17, "unknown status"}};
enum { NUM_NAMES = sizeof names / sizeof names[0] };

START_TEST(status_has_its_name)
{
    ck_assert_str_eq(tw_status_name(names[_i].status), names[_i].name);
    ck_assert_int_eq(names[_i].status, _i < NUM_NAMES - 1 ? -_i : 17);
}
END_TEST

START_TEST(message_starts_empty)
{
    ck_assert_str_eq(tw_error_message(), "");
}
END_TEST

START_TEST(fail_returns_the_code_and_leaves_the_line)
{
    ck_assert_int_eq(tw_fail(TW_ESRAM, "%s is %d", "tile", 7), TW_ESRAM);
    ck_assert_str_eq(tw_error_message(), "tile is 7");
}
END_TEST

START_TEST(fail_may_quote_the_line_before)
{
    ck_assert_int_eq(tw_fail(TW_EINVAL, "inner"), TW_EINVAL);
    ck_assert_int_eq(tw_fail(TW_EIO, "outer: %s", tw_error_message()), TW_EIO);
    ck_assert_str_eq(tw_error_message(), "outer: inner");
}
END_TEST

START_TEST(line_stays_one_line)
{
    ck_assert_int_eq(tw_fail(TW_EIO, "%s: a\tb", "x\ny\r\x1b\x7f\xc3\xa9"), TW_EIO);
    ck_assert_str_eq(tw_error_message(), "x?y???\xc3\xa9: a?b");
}
END_TEST

START_TEST(long_line_is_cut)
{
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(tw_fail(TW_EIO, "%s", text), TW_EIO);
    ck_assert_uint_eq(strlen(tw_error_message()), 511);
}
END_TEST

static tw_status tries(tw_status status, int *went_on)
{
    TW_TRY(status);
    *went_on = 1;
    return TW_OK;
}

START_TEST(try_returns_on_failure_only)
{
    int went_on = 0;
    ck_assert_int_eq(tries(TW_EGPU, &went_on), TW_EGPU);
    ck_assert_int_eq(went_on, 0);
    ck_assert_int_eq(tries(TW_OK, &went_on), TW_OK);
    ck_assert_int_eq(went_on, 1);
}
END_TEST

Suite *tw_suite_ref_status(void)
{
    Suite *suite = suite_create("ref_status");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, status_has_its_name, 0, NUM_NAMES);
    tcase_add_test(core, message_starts_empty);
    tcase_add_test(core, fail_returns_the_code_and_leaves_the_line);
    tcase_add_test(core, fail_may_quote_the_line_before);
    tcase_add_test(core, try_returns_on_failure_only);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, line_stays_one_line);
    tcase_add_test(limits, long_line_is_cut);
    suite_add_tcase(suite, limits);
    return suite;
}
