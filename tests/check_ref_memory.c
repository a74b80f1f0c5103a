/* How much memory there is, and the refusal of more. */
#include "check_tilewise.h"
#include "cpu_ref/memory.h"

#include <math.h>
#include <string.h>

START_TEST(some_memory_is_available)
{
    double bytes = tw_memory_available_bytes();
    ck_assert_double_gt(bytes, 1e6);
}
END_TEST

START_TEST(what_fits_is_granted)
{
    ck_assert_int_eq(tw_memory_check(0.0, "nothing"), TW_OK);
    ck_assert_int_eq(tw_memory_check(1e6, "a megabyte"), TW_OK);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    ck_assert_int_eq(tw_memory_check(1e21, "q.npy"), TW_ENOMEM);
    ck_assert_ptr_eq(strstr(tw_error_message(), "q.npy: needs 1e+12 GB of memory, "), tw_error_message());
}
END_TEST

Suite *tw_suite_ref_memory(void)
{
    Suite *suite = suite_create("ref_memory");
    TCase *core = tcase_create("core");
    tcase_add_test(core, some_memory_is_available);
    tcase_add_test(core, what_fits_is_granted);
    tcase_add_test(core, what_does_not_fit_is_refused);
    suite_add_tcase(suite, core);
    return suite;
}
