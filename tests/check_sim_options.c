/* What a user may type, and what it is taken for: sizes, lists, cases. */
#include "check_tilewise.h"

#include "../sim/options.h"
#include "../sim/parse.h"

#include <stdlib.h>
#include <string.h>

/* ---- sizes ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int value; /* 0: refused */
} sizes[] = {
    {"1", 1},
    {"512", 512},
    {"1k", 1024},
    {"1K", 1024},
    {"4k", 4096},
    {"1M", 1048576},
    {"007", 7},
    {"2147483647", 2147483647},
    {"2047M", 2146435072},
    {"", 0},
    {"0", 0},
    {"0k", 0},
    {"-1", 0},
    {"+1", 0},
    {" 1", 0},
    {"1 ", 0},
    {"1.5", 0},
    {"1e3", 0},
    {"0x10", 0},
    {"k", 0},
    {"1kk", 0},
    {"1m", 0},
    {"1G", 0},
    {"2147483648", 0},
    {"2048M", 0},
    {"99999999999999999999999", 0},
    {"1,2", 0},
    {"eins", 0},
    {"nan", 0},
};

START_TEST(test_sizes)
{
    int value = -7;
    tw_status status = tw_parse_int(&value, "--seqlen", sizes[_i].text);
    if (sizes[_i].value > 0) {
        ck_assert_int_eq(status, TW_OK);
        ck_assert_int_eq(value, sizes[_i].value);
        return;
    }
    ck_assert_int_ne(status, TW_OK);
    ck_assert_int_eq(value, -7);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "--seqlen is '"));
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "it must be"));
}
END_TEST

START_TEST(test_other_numbers)
{
    int64_t bytes = 0;
    uint64_t seed = 1;
    double x = 0;
    ck_assert_int_eq(tw_parse_bytes(&bytes, "--sram", "192k"), TW_OK);
    ck_assert_int_eq(bytes, 196608);
    ck_assert_int_eq(tw_parse_bytes(&bytes, "--sram", "4294967296"), TW_OK);
    ck_assert_int_eq(bytes, INT64_C(4294967296));
    ck_assert_int_eq(tw_parse_bytes(&bytes, "--sram", "0"), TW_EINVAL);
    ck_assert_int_eq(tw_parse_bytes(&bytes, "--sram", "9223372036854775807"), TW_EOVERFLOW);
    ck_assert_int_eq(tw_parse_seed(&seed, "--seed", "0"), TW_OK);
    ck_assert_uint_eq(seed, 0);
    ck_assert_int_eq(tw_parse_seed(&seed, "--seed", "-1"), TW_EINVAL);
    ck_assert_int_eq(tw_parse_fraction(&x, "--dropout", "0.25"), TW_OK);
    ck_assert_double_eq(x, 0.25);
    ck_assert_int_eq(tw_parse_fraction(&x, "--dropout", "1"), TW_EINVAL);
    ck_assert_int_eq(tw_parse_positive(&x, "--softmax-scale", "0.125"), TW_OK);
    ck_assert_double_eq(x, 0.125);
    static const char *const bad[] = {"", "0", "-1", "nan", "inf", "1e999", "0.1x", " 1", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(tw_parse_positive(&x, "--softmax-scale", bad[i]) == TW_EINVAL, "'%s' is accepted",
                      bad[i]);
    ck_assert_double_eq(x, 0.125);
}
END_TEST

/* ---- lists ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int count;
    int values[8];
} lists[] = {
    {"512", 1, {512}},
    {"512,1k,4k", 3, {512, 1024, 4096}},
    {"512..4k", 4, {512, 1024, 2048, 4096}},
    {"3..13", 3, {3, 6, 12}},
    {"5..5", 1, {5}},
    {"1,2..8,100", 5, {1, 2, 4, 8, 100}},
    {"1073741824..2147483647", 1, {1073741824}},
};

START_TEST(test_lists)
{
    tw_int_list list = {.count = 0};
    ck_assert_int_eq(tw_parse_int_list(&list, "--seqlen", lists[_i].text), TW_OK);
    ck_assert_int_eq(list.count, lists[_i].count);
    for (int i = 0; i < list.count; i++)
        ck_assert_int_eq(list.values[i], lists[_i].values[i]);
}
END_TEST

static const char *const bad_lists[] = {
    "",      ",",       "1,",  ",1",   "1,,2", "8..4", "1..",  "..4",
    "1...4", "1..2..4", "1;2", "1, 2", "0..4", "a..b", "1..0", "1..99999999999"};

START_TEST(test_bad_lists)
{
    tw_int_list list = {.count = 3};
    ck_assert_msg(tw_parse_int_list(&list, "--seqlen", bad_lists[_i]) != TW_OK, "'%s' is accepted",
                  bad_lists[_i]);
    ck_assert_int_eq(list.count, 3);
}
END_TEST

START_TEST(test_long_lists)
{
    static char text[200001];
    tw_int_list list;
    for (int i = 0; i < 100000; i++)
        memcpy(text + 2 * i, "1,", 2);
    text[199999] = '\0';
    ck_assert_int_eq(tw_parse_int_list(&list, "--seqlen", text), TW_EINVAL);
    ck_assert_uint_lt(strlen(tw_error_message()), 200);
    text[2 * TW_LIST_MAX - 1] = '\0'; /* just as many as there may be */
    ck_assert_int_eq(tw_parse_int_list(&list, "--seqlen", text), TW_OK);
    ck_assert_int_eq(list.count, TW_LIST_MAX);
    memset(text, '0', sizeof text - 1);
    ck_assert_int_ne(tw_parse_int_list(&list, "--seqlen", text), TW_OK);
    ck_assert_uint_lt(strlen(tw_error_message()), 200);
}
END_TEST

START_TEST(test_words)
{
    int index = 9;
    tw_dtype dtype = TW_FP32;
    ck_assert_int_eq(tw_parse_choice(&index, "--unit", "bytes|elements", "elements"), TW_OK);
    ck_assert_int_eq(index, 1);
    ck_assert_int_eq(tw_parse_choice(&index, "--unit", "bytes|elements", "byte"), TW_EINVAL);
    ck_assert_int_eq(tw_parse_choice(&index, "--unit", "bytes|elements", ""), TW_EINVAL);
    ck_assert_int_eq(index, 1);
    ck_assert_int_eq(tw_parse_dtype(&dtype, "--dtype", "bf16"), TW_OK);
    ck_assert_int_eq(dtype, TW_BF16);
    ck_assert_int_eq(tw_parse_dtype(&dtype, "--dtype", "fp64"), TW_EINVAL);
    ck_assert_int_eq(tw_edit_distance("seqlen", "seqln"), 1);
    ck_assert_int_eq(tw_edit_distance("", "abc"), 3);
    ck_assert_int_eq(tw_edit_distance("kitten", "sitting"), 3);
    ck_assert(tw_is_near("compar", "compare"));
    ck_assert(!tw_is_near("x", "io"));
}
END_TEST

/* ---- cases ---------------------------------------------------------------------------------------------- */

static size_t number_of_cases(const tw_options *o)
{
    tw_machine machine;
    tw_case *cases = NULL;
    size_t count = 0;
    ck_assert_int_eq(tw_options_machine(&machine, o), TW_OK);
    tw_status status = tw_options_cases(&cases, &count, o, &machine);
    free(cases);
    return status == TW_OK ? count : 0;
}

START_TEST(test_defaults)
{
    tw_options o = tw_options_default();
    tw_machine machine;
    tw_case *cases;
    size_t count;
    ck_assert_int_eq(tw_options_machine(&machine, &o), TW_OK);
    ck_assert_str_eq(machine.name, "h100");
    ck_assert_int_eq(tw_options_cases(&cases, &count, &o, &machine), TW_OK);
    size_t suitable = 0;
    for (int i = 0; i < tw_schedule_count(); i++)
        suitable += !tw_schedule_at(i)->variant_of &&
                    (!tw_schedule_at(i)->suits || tw_schedule_at(i)->suits(&cases[0].problem));
    ck_assert_uint_eq(count, suitable);
    for (size_t i = 0; i < count; i++) {
        const tw_problem *p = &cases[i].problem;
        ck_assert(p->batch == 1 && p->num_heads == 16 && p->num_heads_kv == 16 && p->head_dim == 128);
        ck_assert(p->seqlen_q == 1024 && p->seqlen_k == 1024 && p->dtype == TW_FP16 && !p->causal);
        ck_assert_int_eq(cases[i].tiling.block_m, 128);
        /* flash1: 232448 / 2 elements / (4 * 128) */
        ck_assert_int_eq(cases[i].tiling.block_n, cases[i].schedule == &tw_schedule_flash1 ? 227 : 128);
    }
    free(cases);
}
END_TEST

START_TEST(test_products)
{
    tw_options o = tw_options_default();
    o.algorithms = (tw_algorithm_list){1, {&tw_schedule_flash2}};
    o.seqlen = (tw_int_list){3, {1, 2, 3}};
    ck_assert_uint_eq(number_of_cases(&o), 3); /* both lengths alike */
    o.seqlen_q = (tw_int_list){2, {4, 5}};
    ck_assert_uint_eq(number_of_cases(&o), 6);
    o.seqlen_k = (tw_int_list){1, {4}};
    ck_assert_uint_eq(number_of_cases(&o), 0); /* all three say too much */
    o.seqlen.count = 0;
    o.head_dim = (tw_int_list){2, {64, 128}};
    o.block_m = (tw_int_list){2, {64, 128}};
    o.block_n = (tw_int_list){3, {16, 32, 64}};
    ck_assert_uint_eq(number_of_cases(&o), 2 * 2 * 2 * 3);
    o.heads_kv = (tw_int_list){1, {3}};
    ck_assert_uint_eq(number_of_cases(&o), 0); /* 3 does not divide 16 */
}
END_TEST

START_TEST(test_tokens_and_hidden)
{
    tw_options o = tw_options_default();
    tw_machine machine;
    tw_case *cases;
    size_t count;
    o.algorithms = (tw_algorithm_list){1, {&tw_schedule_flash2}};
    o.tokens = 16384;
    o.hidden = 2048;
    o.seqlen = (tw_int_list){2, {512, 16384}};
    o.head_dim = (tw_int_list){1, {64}};
    ck_assert_int_eq(tw_options_machine(&machine, &o), TW_OK);
    ck_assert_int_eq(tw_options_cases(&cases, &count, &o, &machine), TW_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(cases[0].problem.batch == 32 && cases[0].problem.num_heads == 32 &&
              cases[0].problem.num_heads_kv == 32);
    ck_assert_int_eq(cases[1].problem.batch, 1);
    free(cases);
    o.batch = (tw_int_list){1, {1}};
    ck_assert_uint_eq(number_of_cases(&o), 0);
    o.batch.count = 0;
    o.tokens = 1000;
    ck_assert_uint_eq(number_of_cases(&o), 0);
}
END_TEST

Suite *tw_suite_sim_options(void)
{
    Suite *s = suite_create("sim_options");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, test_sizes, 0, sizeof sizes / sizeof sizes[0]);
    tcase_add_test(core, test_other_numbers);
    tcase_add_loop_test(core, test_lists, 0, sizeof lists / sizeof lists[0]);
    tcase_add_loop_test(core, test_bad_lists, 0, sizeof bad_lists / sizeof bad_lists[0]);
    tcase_add_test(core, test_long_lists);
    tcase_add_test(core, test_words);
    tcase_add_test(core, test_defaults);
    tcase_add_test(core, test_products);
    tcase_add_test(core, test_tokens_and_hidden);
    suite_add_tcase(s, core);
    return s;
}
