/* What the doctor makes of what it finds: judgement alone, so no GPU is needed. */
#include "../gpu/checkup.h"
#include "../gpu/nvml.h"
#include "check_tilewise.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* A GPU with nothing to be said against it. */
static tw_gpu_checkup healthy(void)
{
    return (tw_gpu_checkup){.sm_clock_mhz = 1400,
                            .max_sm_clock_mhz = 1980,
                            .slowdowns = TW_NVML_SLOWED_BY_POWER_LIMIT,
                            .power_w = 690,
                            .power_limit_w = 700,
                            .default_power_limit_w = 700,
                            .temperature_c = 61,
                            .ecc = 1,
                            .uncorrected_errors = 0,
                            .other_processes = 0,
                            .utilisation_percent = 0,
                            .launch_us = 2.2,
                            .copy_bytes_per_s = 2.84e12,
                            .product_flops_per_s = 7.4e14,
                            .machine_copy_bytes_per_s = 3.12e12,
                            .machine_product_flops_per_s = 7.52e14};
}

START_TEST(test_healthy)
{
    char text[640];
    const tw_gpu_checkup c = healthy();
    ck_assert_int_eq(tw_gpu_checkup_fitness(&c), TW_GPU_FIT);
    tw_gpu_checkup_line(text, sizeof text, &c);
    ck_assert_str_eq(
        text,
        "fit to measure on; SM clock under load 1400 of 1980 MHz, held by the power limit; power under "
        "load 690 W, limit 700 W; temperature 61 C; error correction on, 0 uncorrected errors; other "
        "processes 0; GPU 0% busy before the start; host, per launch 2.2 us; copy 2840 GB/s, 91% of the "
        "machine file's; matrix product 740 TFLOP/s, 98% of the machine file's");
}
END_TEST

/* One number changed; what it is then, and a word of what is said. */
static const struct {
    size_t field;
    double value;
    tw_gpu_fitness fitness;
    const char *says;
} changed[] = {
#define AT(field) offsetof(tw_gpu_checkup, field)
    {AT(sm_clock_mhz), 700, TW_GPU_REMARK, "locked"},
    {AT(sm_clock_mhz), (double)NAN, TW_GPU_REMARK, "unknown"},
    {AT(power_limit_w), 500, TW_GPU_REMARK, "lowered"},
    {AT(power_limit_w), (double)NAN, TW_GPU_REMARK, "unknown"},
    {AT(ecc), 0, TW_GPU_REMARK, "off"},
    {AT(uncorrected_errors), 1, TW_GPU_UNFIT, "makes errors"},
    {AT(other_processes), 1, TW_GPU_REMARK, "context"},
    {AT(utilisation_percent), 80, TW_GPU_UNFIT, "somebody else is using"},
    {AT(launch_us), 15, TW_GPU_REMARK, "slow"},
    {AT(launch_us), 500, TW_GPU_UNFIT, "charged to kernels"},
    {AT(launch_us), (double)NAN, TW_GPU_UNFIT, "charged to kernels"},
    {AT(copy_bytes_per_s), 2.4e12, TW_GPU_REMARK, "below"},
    {AT(copy_bytes_per_s), 1e12, TW_GPU_UNFIT, "far below"},
    {AT(copy_bytes_per_s), (double)NAN, TW_GPU_REMARK, "not measured"},
    {AT(product_flops_per_s), 6.8e14, TW_GPU_REMARK, "below"},
    {AT(product_flops_per_s), 5.2e14, TW_GPU_UNFIT, "far below"},
    {AT(machine_product_flops_per_s), (double)NAN, TW_GPU_REMARK, "no machine file"},
    {AT(temperature_c), (double)NAN, TW_GPU_REMARK, "unknown"},
};

START_TEST(test_one_number_changed)
{
    tw_gpu_checkup c = healthy();
    tw_gpu_finding f[TW_GPU_MAX_FINDINGS];
    bool said = false;
    memcpy((char *)&c + changed[_i].field, &changed[_i].value, sizeof(double));
    int n = tw_gpu_checkup_findings(f, &c), marked = 0;
    for (int i = 0; i < n; i++) {
        marked += f[i].fitness != TW_GPU_FIT;
        said = said || (f[i].fitness == changed[_i].fitness &&
                        (strstr(f[i].remark, changed[_i].says) || strstr(f[i].value, changed[_i].says)));
    }
    ck_assert_msg(said && marked == 1, "row %d: %d findings are marked", _i, marked);
    ck_assert_int_eq(tw_gpu_checkup_fitness(&c), changed[_i].fitness);
}
END_TEST

START_TEST(test_heat_is_worse_than_the_power_limit)
{
    tw_gpu_checkup c = healthy();
    char text[200];
    c.slowdowns |= TW_NVML_SLOWED_BY_HEAT_SOFTWARE;
    tw_gpu_checkup_verdict(text, sizeof text, &c);
    ck_assert_str_eq(text,
                     "not fit to measure on: SM clock under load, held back by heat, or by the power supply");
    c = healthy();
    c.ecc = c.launch_us = 0;
    c.other_processes = 2;
    tw_gpu_checkup_verdict(text, sizeof text, &c);
    ck_assert_str_eq(text, "fit to measure on, with 2 remarks");
}
END_TEST

Suite *tw_suite_gpu_checkup(void)
{
    Suite *suite = suite_create("gpu_checkup");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_healthy);
    tcase_add_loop_test(core, test_one_number_changed, 0, (int)(sizeof changed / sizeof changed[0]));
    tcase_add_test(core, test_heat_is_worse_than_the_power_limit);
    suite_add_tcase(suite, core);
    return suite;
}
