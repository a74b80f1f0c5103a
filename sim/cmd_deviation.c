/* tilewise deviation: what number formats cost, over many seeds, beside what papers print. */
#include "commands.h"
#include "csv.h"
#include "deviation.h"
#include "progress.h"
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] =
    "error of number formats, executed on random inputs over many seeds, beside what papers print";

typedef struct deviation_options {
    tw_options shared;
    int study, seeds, rows, head_dim, input;
    tw_int_list seqlen;
} deviation_options;

enum { STUDY_FP8, STUDY_INT8, STUDY_BITS, STUDY_LENGTH };
enum { INPUT_OF_STUDY = -1 };

static const tw_option own[] = {
    {"study", "fp8|int8|bits|length", TW_OPTION_CHOICE, offsetof(deviation_options, study), 0,
     "FlashAttention 3's table of fp8; INT-FlashAttention's int8 against fp8; bits of fraction; formats by "
     "length "
     "(default: fp8)"},
    {"seeds", "NUMBER", TW_OPTION_INT, offsetof(deviation_options, seeds), 0,
     "how many; median and 5 to 95 % of them are shown (default: 20)"},
    {"seqlen", "LIST", TW_OPTION_INT_LIST, offsetof(deviation_options, seqlen), 0,
     "keys (default: the study's)"},
    {"rows", "NUMBER", TW_OPTION_INT, offsetof(deviation_options, rows), 0,
     "queries, which are a sample of as many as keys (default: 128)"},
    {"head-dim", "NUMBER", TW_OPTION_INT, offsetof(deviation_options, head_dim), 0,
     "columns of a head, a power of two (default: the study's)"},
    {"input", TW_INPUT_CHOICES, TW_OPTION_CHOICE, offsetof(deviation_options, input), 0,
     "N(0,1) + N(0,100) Bernoulli(0.001); N(0,1); U(-0.5,0.5) (default: the study's)"},
};

/* ---- the studies ----------------------------------------------------------------------------------------- */

#define E4M3(how)                                                                                            \
    {                                                                                                        \
        .format = TW_E4M3, .scales = how, .hadamard_seed = 1                                                 \
    }
#define E4M3_ROTATED(how)                                                                                    \
    {                                                                                                        \
        .format = TW_E4M3, .scales = how, .hadamard = true, .hadamard_seed = 1                               \
    }

/* Printed: Shah et al. 2024, arXiv:2407.08608, Table 3. */
static const tw_method fp8_methods[] = {
    {"fp16 standard", &tw_schedule_standard, .dtype = TW_FP16, .printed = 3.2e-4, .baseline = -1},
    {"fp16 FlashAttention 3", &tw_schedule_flash3, .dtype = TW_FP16, .printed = 1.9e-4, .baseline = 0},
    {"e4m3 standard (a scale a tensor)", &tw_schedule_standard, .dtype = TW_FP16,
     .quantize = E4M3(TW_SCALES_TENSOR), .printed = 2.4e-2, .baseline = -1},
    {"e4m3 FlashAttention 3", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
     .quantize = E4M3_ROTATED(TW_SCALES_BLOCK), .printed = 9.1e-3, .baseline = 2},
    {"  without block scales", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
     .quantize = E4M3_ROTATED(TW_SCALES_TENSOR), .printed = 9.3e-3, .baseline = 2},
    {"  without incoherent processing", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
     .quantize = E4M3(TW_SCALES_BLOCK), .printed = 2.4e-2, .baseline = 2},
    {"  without both", &tw_schedule_flash3_fp8, .dtype = TW_FP16, .quantize = E4M3(TW_SCALES_TENSOR),
     .baseline = 2},
};

/* Chen et al. 2024, arXiv:2409.16997 print mean relative errors. */
static const tw_method int8_methods[] = {
    {"e4m3 (a scale a tensor)", &tw_schedule_flash2, .dtype = TW_FP16, .quantize = {.format = TW_E4M3},
     .baseline = -1},
    {"e5m2 (a scale a tensor)", &tw_schedule_flash2, .dtype = TW_FP16, .quantize = {.format = TW_E5M2},
     .baseline = -1},
    {"int8 INT-FlashAttention", &tw_schedule_int_flash, .dtype = TW_FP16,
     .quantize = {.format = TW_INT8, .scales = TW_SCALES_TOKEN}, .baseline = 0},
    {"int8 (a scale a tensor)", &tw_schedule_flash2, .dtype = TW_FP16, .quantize = {.format = TW_INT8},
     .baseline = 0},
};

static const tw_method length_methods[] = {
    {"fp16 standard", &tw_schedule_standard, .dtype = TW_FP16, .baseline = -1},
    {"fp16 flash3", &tw_schedule_flash3, .dtype = TW_FP16, .baseline = 0},
    {"bf16 standard", &tw_schedule_standard, .dtype = TW_BF16, .baseline = -1},
    {"bf16 flash3", &tw_schedule_flash3, .dtype = TW_BF16, .baseline = 2},
    {"e4m3 flash3_fp8 (a scale a tensor)", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
     .quantize = E4M3(TW_SCALES_TENSOR), .baseline = -1},
    {"e4m3 flash3_fp8 (blocks and Hadamard)", &tw_schedule_flash3_fp8, .dtype = TW_FP16,
     .quantize = E4M3_ROTATED(TW_SCALES_BLOCK), .baseline = 4},
    {"int8 int_flash", &tw_schedule_int_flash, .dtype = TW_FP16,
     .quantize = {.format = TW_INT8, .scales = TW_SCALES_TOKEN}, .baseline = 4},
};

/* Every operation rounded to so many bits, as in Golden et al. 2024, arXiv:2405.02803; bf16 has 7. */
static const int fraction_bits[] = {5, 7, 10, 13, 16, 19, 23};
enum { NUM_BITS = sizeof fraction_bits / sizeof fraction_bits[0] };
static const tw_method bits_methods[] = {
    {"standard", &tw_schedule_standard, .dtype = TW_FP32, .baseline = -1},
    {"flash2 (tiles of 128)", &tw_schedule_flash2, .dtype = TW_FP32, .baseline = 0},
    {"flash2 (tiles of 16)", &tw_schedule_flash2, .dtype = TW_FP32, .block = 16, .baseline = 0},
    {"flash1 (tiles of 16)", &tw_schedule_flash1, .dtype = TW_FP32, .block = 16, .baseline = 0},
};

/* Lists of methods, each for itself, and what they are executed on where the user says nothing else. */
static const struct study {
    const char *name;
    const tw_method *methods;
    int num_methods;
    int head_dim;
    tw_input_kind input;
    tw_int_list seqlen;
} studies[] = {
    [STUDY_FP8] =
        {"fp8", fp8_methods, sizeof fp8_methods / sizeof fp8_methods[0], 128, TW_INPUT_OUTLIERS, {1, {8192}}},
    [STUDY_INT8] = {"int8",
                    int8_methods,
                    sizeof int8_methods / sizeof int8_methods[0],
                    64,
                    TW_INPUT_NORMAL,
                    {1, {1024}}},
    [STUDY_BITS] =
        {"bits", NULL, sizeof bits_methods / sizeof bits_methods[0], 64, TW_INPUT_NORMAL, {1, {4096}}},
    [STUDY_LENGTH] = {"length",
                      length_methods,
                      sizeof length_methods / sizeof length_methods[0],
                      64,
                      TW_INPUT_NORMAL,
                      {5, {512, 1024, 2048, 4096, 8192}}},
};

/* ---- what is found --------------------------------------------------------------------------------------- */

/* Median and interval of one method at one length. */
typedef struct finding {
    tw_method method;
    int seqlen, bits;
    double rms, low, high, relative, max, rms_o;
    double ratio; /* median over seeds of the baseline's RMS error over this one's; 0: no baseline */
} finding;

typedef struct findings {
    finding *all;
    int count;
} findings;

enum { RMS, RELATIVE, MAX, RMS_O, RATIO };

static double value_of(const tw_deviation *d, const tw_deviation *of_seed, const tw_method *m, int what)
{
    return what == RMS        ? d->rms
           : what == RELATIVE ? d->relative
           : what == MAX      ? d->max
           : what == RMS_O    ? d->rms_o
                              : of_seed[m->baseline].rms / d->rms;
}

/* A quantile over seeds of one number of method i. */
static double over_seeds(const tw_deviation *found, const tw_method *methods, int num_methods, int seeds,
                         int i, int what, double share, double *scratch)
{
    for (int s = 0; s < seeds; s++) {
        const tw_deviation *of_seed = found + (size_t)s * (size_t)num_methods;
        scratch[s] = value_of(&of_seed[i], of_seed, &methods[i], what);
    }
    return tw_quantile(scratch, seeds, share);
}

static void add_findings(findings *f, const tw_deviation *found, const tw_method *methods, int num_methods,
                         int seqlen, int seeds, double *scratch)
{
    for (int i = 0; i < num_methods; i++) {
        finding *x = &f->all[f->count++];
#define OVER(what, share) over_seeds(found, methods, num_methods, seeds, i, what, share, scratch)
        *x = (finding){.method = methods[i],
                       .seqlen = seqlen,
                       .bits = methods[i].fraction_bits,
                       .rms = OVER(RMS, 0.5),
                       .low = OVER(RMS, 0.05),
                       .high = OVER(RMS, 0.95),
                       .relative = OVER(RELATIVE, 0.5),
                       .max = OVER(MAX, 0.5),
                       .rms_o = OVER(RMS_O, 0.5),
                       .ratio = methods[i].baseline >= 0 ? OVER(RATIO, 0.5) : 0.0};
#undef OVER
    }
}

/* The methods of step `step` of a study: all of them, or those of one number of bits. */
static int methods_of(tw_method methods[TW_METHODS_MAX], const struct study *study, int step)
{
    if (study->methods) {
        memcpy(methods, study->methods, (size_t)study->num_methods * sizeof *methods);
        return study->num_methods;
    }
    for (int i = 0; i < study->num_methods; i++) {
        methods[i] = bits_methods[i];
        methods[i].fraction_bits = fraction_bits[step];
    }
    return study->num_methods;
}

static int steps_of(const struct study *study)
{
    return study->methods ? 1 : NUM_BITS;
}

static tw_status measure(findings *f, const struct study *study, const deviation_options *o,
                         const tw_machine *machine, tw_deviation *found, double *scratch)
{
    tw_method methods[TW_METHODS_MAX];
    int steps = steps_of(study), all = o->seqlen.count * steps;
    for (int i = 0; i < all; i++) {
        int num_methods = methods_of(methods, study, i % steps);
        tw_deviation_shape shape = {.rows = o->rows,
                                    .seqlen_k = o->seqlen.values[i / steps],
                                    .head_dim = o->head_dim,
                                    .input = (tw_input_kind)o->input};
        tw_progress_show((double)i, (double)all, study->name);
        TW_TRY(tw_deviation_measure(found, &shape, methods, num_methods, o->shared.seed, o->seeds, machine));
        add_findings(f, found, methods, num_methods, shape.seqlen_k, o->seeds, scratch);
    }
    tw_progress_clear();
    return TW_OK;
}

/* ---- output ---------------------------------------------------------------------------------------------- */

static const char *verdict_on(const finding *x)
{
    return x->method.printed <= 0.0                                      ? ""
           : x->low <= x->method.printed && x->method.printed <= x->high ? "within"
           : x->method.printed < x->low                                  ? "ours is larger"
                                                                         : "ours is smaller";
}

static const char *const input_names[] = {"N(0,1) + N(0,100) Bernoulli(0.001)", "N(0,1)", "U(-0.5,0.5)"};

static tw_status print(const findings *f, const deviation_options *o)
{
    tw_table t = {.num_columns = 0};
    bool bits = o->study == STUDY_BITS, printed = o->study == STUDY_FP8;
    int keys = tw_table_column(&t, "keys", "", false),
        of_bits = bits ? tw_table_column(&t, "bits", "", false) : 0;
    int name = tw_table_column(&t, "method", "", true),
        rms = tw_table_column(&t, "RMS error", "median", false);
    int low = tw_table_column(&t, "5 %", "of seeds", false),
        high = tw_table_column(&t, "95 %", "of seeds", false);
    int relative = tw_table_column(&t, "relative", "mean |error| / mean |O|", false);
    int max = tw_table_column(&t, "max error", "median", false),
        ratio = tw_table_column(&t, "less by", "", false);
    int paper = printed ? tw_table_column(&t, "printed", "", false) : 0;
    int verdict = printed ? tw_table_column(&t, "", "", true) : 0;
    for (int i = 0; i < f->count; i++) {
        const finding *x = &f->all[i];
        tw_table_row(&t);
        tw_table_cell(&t, keys, "%d", x->seqlen);
        if (bits)
            tw_table_cell(&t, of_bits, "%d", x->bits);
        tw_table_cell(&t, name, "%s", x->method.name);
        tw_table_cell(&t, rms, "%.2e", x->rms);
        tw_table_cell(&t, low, "%.2e", x->low);
        tw_table_cell(&t, high, "%.2e", x->high);
        tw_table_cell(&t, relative, "%.3g %%", 100.0 * x->relative);
        tw_table_cell(&t, max, "%.2e", x->max);
        if (x->ratio > 0.0)
            tw_table_cell(&t, ratio, "%.2fx", x->ratio);
        if (printed && x->method.printed > 0.0)
            tw_table_cell(&t, paper, "%.1e", x->method.printed);
        if (printed)
            tw_table_cell(&t, verdict, "%s", verdict_on(x));
    }
    printf("O against attention in double precision: %d queries of head_dim %d, Q, K, V of %s, %d seeds from "
           "%llu\n\n",
           o->rows, o->head_dim, input_names[o->input], o->seeds, (unsigned long long)o->shared.seed);
    return tw_table_print(&t, stdout);
}

static tw_status write_csv(const findings *f, const deviation_options *o, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, o->shared.csv));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise deviation", argc, argv);
    fprintf(
        csv.file,
        "study,input,queries,seqlen_k,head_dim,seeds,method,algorithm,dtype,quantize,scales,hadamard,"
        "fraction_bits,rms_error,rms_error_p5,rms_error_p95,relative_error,max_error,rms_o,baseline_ratio,"
        "printed_rms_error\n");
    for (int i = 0; i < f->count; i++) {
        const finding *x = &f->all[i];
        const tw_quantize *z = &x->method.quantize;
        bool codes = tw_quantize_is_on(z);
        const char *label = x->method.name + strspn(x->method.name, " ");
        static const char *const inputs[] = {"outliers", "normal", "uniform"};
        fprintf(csv.file, "%s,%s,%d,%d,%d,%d,%s,%s,%s,%s,%s,%d,%d,%.4g,%.4g,%.4g,%.4g,%.4g,%.4g,",
                studies[o->study].name, inputs[o->input], o->rows, x->seqlen, o->head_dim, o->seeds, label,
                x->method.schedule->name, tw_dtype_name(x->method.dtype),
                codes ? tw_dtype_name(z->format) : "", codes ? tw_scales_name(z->scales) : "", z->hadamard,
                x->bits, x->rms, x->low, x->high, x->relative, x->max, x->rms_o);
        fprintf(csv.file, x->ratio > 0.0 ? "%.4g," : ",", x->ratio);
        fprintf(csv.file, x->method.printed > 0.0 ? "%.4g\n" : "\n", x->method.printed);
    }
    return tw_csv_commit(&csv);
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static tw_status fill_in(deviation_options *o)
{
    const struct study *study = &studies[o->study];
    enum { MOST_SEEDS = 10000, MOST_KEYS = 1 << 20 };
    if (o->seqlen.count == 0)
        o->seqlen = study->seqlen;
    if (o->head_dim == 0)
        o->head_dim = study->head_dim;
    if (o->input == INPUT_OF_STUDY)
        o->input = study->input;
    if (o->seeds > MOST_SEEDS)
        return tw_fail(TW_EINVAL, "--seeds is %d, it must be at most %d", o->seeds, MOST_SEEDS);
    for (int i = 0; i < o->seqlen.count; i++)
        if (o->seqlen.values[i] > MOST_KEYS)
            return tw_fail(TW_EINVAL, "--seqlen is %d, it must be at most %d", o->seqlen.values[i],
                           MOST_KEYS);
    return TW_OK;
}

static tw_status deviate(deviation_options *o, int argc, char **argv)
{
    tw_machine machine;
    findings f = {.all = NULL};
    TW_TRY(fill_in(o));
    TW_TRY(tw_options_machine(&machine, &o->shared));
    if (o->shared.csv && strcmp(o->shared.csv, "-") != 0)
        TW_TRY(tw_check_writable(o->shared.csv));
    const struct study *study = &studies[o->study];
    size_t rows = (size_t)o->seqlen.count * (size_t)steps_of(study) * (size_t)study->num_methods;
    f.all = calloc(rows, sizeof *f.all);
    tw_deviation *found = calloc((size_t)o->seeds * TW_METHODS_MAX, sizeof *found);
    double *scratch = calloc((size_t)o->seeds, sizeof *scratch);
    tw_status status = f.all && found && scratch ? measure(&f, study, o, &machine, found, scratch)
                                                 : tw_fail(TW_ENOMEM, "no memory for %d seeds", o->seeds);
    if (status == TW_OK)
        status = write_csv(&f, o, argc, argv);
    if (status == TW_OK && !(o->shared.csv && strcmp(o->shared.csv, "-") == 0))
        status = print(&f, o);
    free(f.all);
    free(found);
    free(scratch);
    return status;
}

int tw_cmd_deviation(int argc, char **argv)
{
    deviation_options o = {.shared = tw_options_default(), .seeds = 20, .rows = 128, .input = INPUT_OF_STUDY};
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0},
                            tw_options_shared(&o.shared, TW_GROUP_CSV | TW_GROUP_SEED)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise deviation", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = deviate(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
