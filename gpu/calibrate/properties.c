/* From what a driver says to a machine. */
#include "properties.h"

#include <string.h>

double tw_cal_peak_bytes_per_s(const tw_cal_facts *f)
{
    return 2.0 * f->memory_clock_hz * f->memory_bits / 8.0;
}

/* Dense fp16 FLOPs with fp32 accumulation that one SM's tensor cores do in a clock, by compute capability. */
static double tensor_flops_per_clock(int arch)
{
    if (arch >= 100 && arch < 120)
        return 8192;
    if (arch >= 90 && arch < 100)
        return 4096;
    return arch == 80 ? 2048 : 1024;
}

static tw_status set_sizes(tw_machine *m, const tw_cal_facts *f, const char *date)
{
    char source[128];
    snprintf(source, sizeof source, "cudaDeviceGetAttribute, driver %.60s", f->driver);
    const struct {
        const char *number;
        double value;
    } sizes[] = {{"num_sms", f->num_sms},
                 {"smem_bytes", f->smem_bytes},
                 {"smem_bytes_per_sm", f->smem_bytes_per_sm},
                 {"register_bytes_per_sm", f->register_bytes_per_sm},
                 {"l2_bytes", f->l2_bytes},
                 {"hbm_bytes", f->hbm_bytes},
                 {"clock_hz", f->clock_hz}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value > 0)
            TW_TRY(tw_machine_set_number(m, sizes[i].number, sizes[i].value, date, source));
    return TW_OK;
}

static tw_status set_peaks(tw_machine *m, const tw_cal_facts *f, const char *date)
{
    const double clocks = f->clock_hz * f->num_sms, memory = tw_cal_peak_bytes_per_s(f);
    const struct {
        const char *number, *source;
        double value;
    } peaks[] = {
        {"hbm_read_bytes_per_s", "peak, not measured: twice the memory clock x width", memory},
        {"hbm_write_bytes_per_s", "peak, not measured: twice the memory clock x width", memory},
        {"tensor_fp16_flops_per_s", "peak, not measured: by compute capability, SMs and highest clock",
         tensor_flops_per_clock(f->arch) * clocks},
        {"tensor_bf16_flops_per_s", "peak, not measured: by compute capability, SMs and highest clock",
         f->arch >= 80 ? tensor_flops_per_clock(f->arch) * clocks : 0},
        {"fma_flops_per_s", "peak, not measured: 128 fp32 lanes an SM (64 at 7.5 and 8.0), highest clock",
         2.0 * (f->arch <= 80 ? 64 : 128) * clocks},
        {"exps_per_s", "peak, not measured: 16 special functions per clock and SM, highest clock",
         16.0 * clocks},
    };
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++)
        if (peaks[i].value > 0)
            TW_TRY(tw_machine_set_number(m, peaks[i].number, peaks[i].value, date, peaks[i].source));
    return TW_OK;
}

/* A name that a file can have as a value: no comment sign, no control character. */
static void describe(tw_machine *m, const tw_cal_facts *f)
{
    snprintf(m->description, sizeof m->description, "%s, %d SMs", f->name, f->num_sms);
    for (char *c = m->description; *c != '\0'; c++)
        if (*c == ';' || (unsigned char)*c < ' ')
            *c = ' ';
}

tw_status tw_cal_machine_of_facts(tw_machine *machine, const tw_cal_facts *facts, const char *date)
{
    tw_machine m = {.kind = TW_MACHINE_GPU, .uncalibrated = true};
    snprintf(m.name, sizeof m.name, "%s", facts->machine);
    describe(&m, facts);
    TW_TRY(set_sizes(&m, facts, date));
    TW_TRY(set_peaks(&m, facts, date));
    *machine = m;
    return TW_OK;
}

tw_status tw_cal_base_machine(tw_machine *machine, const tw_cal_facts *facts, const char *date)
{
    tw_machine m;
    for (int i = 0; i < tw_machine_count(); i++) {
        if (strcmp(tw_machine_name(i), facts->machine) != 0)
            continue;
        TW_TRY(tw_machine_find(&m, facts->machine));
        TW_TRY(set_sizes(&m, facts, date));
        *machine = m;
        return TW_OK;
    }
    return tw_cal_machine_of_facts(machine, facts, date);
}
