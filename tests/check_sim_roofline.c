/* The roofline: the largest of four times, launch by launch, worked out by hand on a machine of round numbers. */
#include "check_tilewise.h"

#include "../sim/roofline.h"

#include <string.h>

static tw_machine round_machine(void)
{
    return (tw_machine){.name = "round",
                        .kind = TW_MACHINE_GPU,
                        .l2_bytes_per_s = 1e9,
                        .hbm_read_bytes_per_s = 1e8,
                        .hbm_write_bytes_per_s = 2e8,
                        .tensor_fp16_flops_per_s = 1e12,
                        .tensor_bf16_flops_per_s = 2e12,
                        .fma_flops_per_s = 1e10,
                        .exps_per_s = 1e6,
                        .launch_overhead_s = 0.5};
}

static tw_count_result one_launch(tw_counts counts)
{
    return (tw_count_result){.num_launches = 1, .launch = {counts}, .total = counts};
}

static const struct {
    tw_counts counts;
    double time_s; /* without the overhead */
    const char *limit;
} launches[] = {
    {{.sram_fill_bytes = 2000000000, .sram_drain_bytes = 1000000000}, 3.0, "L2"},
    {{.hbm_read_bytes = 100000000, .hbm_write_bytes = 200000000},
     2.0,
     "HBM"}, /* a second each, one behind the other */
    {{.flops = 1, .flops_executed = 4000000000000},
     4.0,
     "tensor cores"}, /* what is executed, masked pairs too */
    {{.exps = 5000000}, 5.0, "exponentials"},
    {{.sram_fill_bytes = 1000000000, .hbm_read_bytes = 200000000, .flops_executed = 1500000000000, .exps = 1},
     2.0,
     "HBM"},
};

START_TEST(test_limits)
{
    tw_machine m = round_machine();
    tw_count_result counts = one_launch(launches[_i].counts);
    tw_roofline r;
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_FP16, TW_UNIT_TENSOR, &m), TW_OK);
    ck_assert_double_eq_tol(r.time_s, launches[_i].time_s + 0.5, 1e-12);
    ck_assert_str_eq(r.limit, launches[_i].limit);
    ck_assert_int_eq(r.num_launches, 1);
}
END_TEST

START_TEST(test_units)
{
    tw_machine m = round_machine();
    tw_count_result counts = one_launch((tw_counts){.flops_executed = 10000000000000});
    tw_roofline r;
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_BF16, TW_UNIT_TENSOR, &m), TW_OK);
    ck_assert_double_eq_tol(r.time_s, 5.5, 1e-12);
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_FP16, TW_UNIT_FMA, &m), TW_OK);
    ck_assert_double_eq_tol(r.time_s, 1000.5, 1e-9);
    ck_assert_str_eq(r.limit, "FMA");
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_FP32, TW_UNIT_TENSOR, &m), TW_OK);
    ck_assert_str_eq(r.limit, "FMA");
    m.tensor_bf16_flops_per_s = 0; /* a machine without */
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_BF16, TW_UNIT_TENSOR, &m), TW_OK);
    ck_assert_str_eq(r.limit, "FMA");
}
END_TEST

/* Launches follow each other: the sum of each one's largest, not the largest of sums. */
START_TEST(test_launches_add_up)
{
    tw_machine m = round_machine();
    tw_count_result counts = {.num_launches = 3,
                              .launch = {{.sram_fill_bytes = 2000000000},
                                         {.exps = 7000000, .sram_fill_bytes = 1000000000},
                                         {.flops_executed = 1000000000000}}};
    tw_roofline r;
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_FP16, TW_UNIT_TENSOR, &m), TW_OK);
    ck_assert_double_eq_tol(r.time_s, 2.5 + 7.5 + 1.5, 1e-12);
    ck_assert_str_eq(r.limit, "exponentials");
    ck_assert_double_eq_tol(r.launch[1].l2_s, 1.0, 1e-12);
}
END_TEST

START_TEST(test_no_rates)
{
    tw_machine paper;
    tw_count_result counts = one_launch((tw_counts){.flops_executed = 1});
    tw_roofline r = {.time_s = 7};
    ck_assert_int_eq(tw_machine_find(&paper, "paper"), TW_OK);
    ck_assert_int_eq(tw_roofline_time(&r, &counts, TW_FP16, TW_UNIT_TENSOR, &paper), TW_EUNSUPPORTED);
    ck_assert_double_eq(r.time_s, 7);
}
END_TEST

Suite *tw_suite_sim_roofline(void)
{
    Suite *s = suite_create("sim_roofline");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, test_limits, 0, sizeof launches / sizeof launches[0]);
    tcase_add_test(core, test_units);
    tcase_add_test(core, test_launches_add_up);
    tcase_add_test(core, test_no_rates);
    suite_add_tcase(s, core);
    return s;
}
