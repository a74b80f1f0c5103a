/* What `tilewise-gpu calibrate` does beside measuring: its command line, from curves to numbers, from a driver's word to a
 * machine. Curves are made here, with answers that are known. */
#include "../gpu/calibrate/fit.h"
#include "../gpu/calibrate/options.h"
#include "../gpu/calibrate/properties.h"
#include "../gpu/calibrate/sides.h"
#include "check_tilewise.h"
#include "support_process.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the command line ----------------------------------------------------------------------------------- */

enum { MAX_WORDS = 16 };

static tw_status read_line(tw_cal_options *options, const char *line)
{
    char program[] = "calibrate", copy[256], *words[MAX_WORDS + 1] = {program};
    int count = 1;
    bool help;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && count < MAX_WORDS; word = strtok(NULL, " "))
        words[count++] = word;
    return tw_cal_options_read(options, &help, count, words);
}

START_TEST(test_options)
{
    tw_cal_options o;
    ck_assert_int_eq(read_line(&o, ""), TW_OK);
    ck_assert(!o.out && !o.plots && !o.csv && !o.quick && !o.properties && o.launch == TW_CAL_LAUNCH_NONE);
    ck_assert_double_eq(o.seconds, 90);
    tw_cal_options_free(&o);
    ck_assert_int_eq(read_line(&o, "--out my.ini --plots tests --seconds 30 --quick"), TW_OK);
    ck_assert_str_eq(o.out, "my.ini");
    ck_assert_str_eq(o.plots, "tests");
    ck_assert(o.quick);
    ck_assert_double_eq(o.seconds, 30);
    tw_cal_options_free(&o);
    ck_assert_int_eq(read_line(&o, "--out - --properties"), TW_OK);
    ck_assert(o.properties);
    tw_cal_options_free(&o);
    ck_assert_int_eq(read_line(&o, "--launch l2 --csv -"), TW_OK);
    ck_assert_int_eq(o.launch, TW_CAL_LAUNCH_L2);
    tw_cal_options_free(&o);
    ck_assert_int_eq(read_line(&o, "--launch dirty"), TW_OK);
    ck_assert_int_eq(o.launch, TW_CAL_LAUNCH_DIRTY);
    tw_cal_options_free(&o);
}
END_TEST

static const struct {
    const char *line, *says;
} refused[] = {
    {"word", "'word'"},
    {"--nonsense", "--nonsense"},
    {"--quik", "did you mean --quick"},
    {"--seqlen 5", "--seqlen"},
    {"--out", "needs a value"},
    {"--out me.txt", "end in .ini"},
    {"--out .ini", "end in .ini"},
    {"--out a,b.ini", "comma"},
    {"--out nowhere/me.ini", "cannot be written"},
    {"--plots nowhere", "--plots is 'nowhere'"},
    {"--plots README.md", "must be a folder"},
    {"--seconds 0", "--seconds"},
    {"--seconds -3", "--seconds"},
    {"--seconds nan", "--seconds"},
    {"--seconds 2", "from 5 to 600"},
    {"--seconds 1e9", "from 5 to 600"},
    {"--launch all", "--launch is 'all'"},
    {"--launch l2 --out me.ini", "goes with --csv alone"},
    {"--launch dirty --quick", "goes with --csv alone"},
    {"--csv x.csv", "goes with --launch"},
    {"--properties --quick", "goes with --out alone"},
    {"--properties --plots tests", "goes with --out alone"},
};

START_TEST(test_refused)
{
    tw_cal_options o;
    tw_status status = read_line(&o, refused[_i].line);
    ck_assert_msg(status == TW_EINVAL || status == TW_EIO, "'%s' is taken", refused[_i].line);
    ck_assert_msg(strstr(tw_error_message(), refused[_i].says) != NULL, "'%s' says: %s", refused[_i].line,
                  tw_error_message());
    tw_cal_options_free(&o);
}
END_TEST

/* ---- lines and powers ----------------------------------------------------------------------------------- */

/* A small, repeatable scatter between -1 and 1. */
static double scatter(unsigned i)
{
    unsigned x = i * 2654435761u;
    x ^= x >> 15;
    x *= 2246822519u;
    return (double)(x >> 8) / (double)(1u << 23) - 1.0;
}

START_TEST(test_line)
{
    double n[] = {64, 80, 96, 128, 176, 192}, exact[6], rough[6];
    for (unsigned i = 0; i < 6; i++) {
        exact[i] = 100 + 5.7 * n[i];
        rough[i] = exact[i] * (1 + 0.01 * scatter(i));
    }
    tw_line line = tw_fit_line(n, exact, 6);
    ck_assert_double_eq_tol(line.at_0, 100, 1e-9);
    ck_assert_double_eq_tol(line.slope, 5.7, 1e-11);
    ck_assert_double_lt(line.spread, 1e-12);
    line = tw_fit_line(n, rough, 6);
    ck_assert_double_eq_tol(line.slope, 5.7, 0.15);
    ck_assert_double_eq_tol(line.at_0, 100, 20);
    ck_assert(line.spread > 1e-3 && line.spread < 0.03);
}
END_TEST

START_TEST(test_line_needs_two_points)
{
    const double x[] = {2, 2, 2}, y[] = {1, 2, 3}, with_nan[] = {1, (double)NAN, 3}, ascending[] = {1, 2, 3};
    ck_assert(isnan(tw_fit_line(x, y, 3).slope));
    ck_assert(isnan(tw_fit_line(ascending, y, 1).slope));
    ck_assert(isnan(tw_fit_line(ascending, y, 0).at_0));
    ck_assert(isnan(tw_fit_line(ascending, with_nan, 3).slope));
}
END_TEST

/* A clock that power holds from a share of 0.55 on, and that is at its highest below. */
START_TEST(test_power)
{
    double share[] = {0.125, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}, hz[9];
    for (int i = 0; i < 9; i++)
        hz[i] = share[i] < 0.55 ? 1.98e9 : 1.55e9 * pow(share[i], -0.33);
    tw_power p = tw_fit_power(share, hz, 9, 0.55);
    ck_assert_int_eq(p.points, 5);
    ck_assert_double_eq_tol(p.factor, 1.55e9, 10);
    ck_assert_double_eq_tol(p.exponent, -0.33, 1e-9);
    ck_assert_double_lt(p.spread, 1e-9);
    ck_assert_double_gt(tw_fit_power(share, hz, 9, 0.0).spread, 0.03); /* one power does not fit both parts */
    ck_assert(isnan(tw_fit_power(share, hz, 9, 0.95).exponent));
}
END_TEST

/* ---- capacities ----------------------------------------------------------------------------------------- */

static const double MIB = 1024.0 * 1024.0;

/* Misses of an LRU of so many lines, walked by a rule, counted line by line: the truth that formulas are held to. */
typedef enum walk { FORWARD, ALTERNATING, RANDOM } walk;

static double lru_misses(int capacity, int working_set, walk how)
{
    enum { PASSES = 10 };
    long *last = calloc((size_t)working_set, sizeof *last); /* time of last use; 0: never */
    long *count = calloc((size_t)working_set * (PASSES + 1) + 2,
                         sizeof *count); /* Fenwick tree over time: 1 at last uses */
    long size = (long)working_set * PASSES, misses = 0, counted = 0, now = 0;
    ck_assert(last != NULL && count != NULL);
    unsigned draw = 1;
    for (int pass = 0; pass < PASSES; pass++)
        for (int i = 0; i < working_set; i++) {
            draw = draw * 1664525u + 1013904223u;
            int line = how == RANDOM ? (int)((unsigned long long)draw * (unsigned)working_set >> 32)
                       : how == ALTERNATING && pass % 2 == 1 ? working_set - 1 - i
                                                             : i;
            long distance = -1; /* lines used since */
            if (last[line] > 0) {
                distance = 0;
                for (long t = now; t > 0; t -= t & -t)
                    distance += count[t];
                for (long t = last[line]; t > 0; t -= t & -t)
                    distance -= count[t];
                for (long t = last[line]; t <= size; t += t & -t)
                    count[t]--;
            }
            last[line] = ++now;
            for (long t = now; t <= size; t += t & -t)
                count[t]++;
            if (pass >= PASSES / 2) {
                counted++;
                misses += distance < 0 || distance >= capacity;
            }
        }
    free(last);
    free(count);
    return (double)misses / (double)counted;
}

START_TEST(test_capacity_of_an_lru)
{
    enum { CAPACITY = 500, POINTS = 9 };
    static const int sets[POINTS] = {300, 450, 520, 600, 700, 800, 1000, 1200, 1600};
    for (int how = ALTERNATING; how <= RANDOM; how++) {
        double w[POINTS], missed[POINTS];
        for (int i = 0; i < POINTS; i++) {
            w[i] = sets[i];
            missed[i] = lru_misses(CAPACITY, sets[i], (walk)how);
        }
        ck_assert_msg(missed[0] < 0.01, "%g", missed[0]);
        tw_capacity c = tw_fit_capacity(w, missed, POINTS);
        ck_assert_msg(fabs(c.bytes / CAPACITY - 1) < 0.03, "walk %d: %g for %d", how, c.bytes, CAPACITY);
        ck_assert_msg(c.spread < 0.08 && c.points >= 5, "walk %d: spread %g of %d", how, c.spread, c.points);
    }
    ck_assert_double_eq(lru_misses(CAPACITY, CAPACITY, FORWARD), 0);
    ck_assert_double_eq(lru_misses(CAPACITY, CAPACITY + 1, FORWARD), 1);
}
END_TEST

START_TEST(test_capacity_of_nothing)
{
    const double w[] = {1, 2, 3}, none[] = {0, 0.01, 0.04}, all[] = {0.96, 1, 1};
    ck_assert(isnan(tw_fit_capacity(w, none, 3).bytes));
    ck_assert(isnan(tw_fit_capacity(w, all, 3).bytes));
    ck_assert_int_eq(tw_fit_capacity(w, all, 3).points, 0);
    ck_assert(isnan(tw_fit_capacity(w, all, 0).bytes));
}
END_TEST

START_TEST(test_crossing_and_interpolation)
{
    const double w[] = {10 * MIB, 20 * MIB, 30 * MIB, 40 * MIB}, missed[] = {0, 0.2, 0.6, 1.0};
    ck_assert_double_eq_tol(tw_crossing(w, missed, 4, 0.5), 27.5 * MIB, 1);
    ck_assert_double_eq_tol(tw_crossing(w, missed, 4, 1.0), 40 * MIB, 1);
    ck_assert(isnan(tw_crossing(w, missed, 2, 0.5)));
    ck_assert_double_eq_tol(tw_interpolate(w, missed, 4, 25 * MIB), 0.4, 1e-12);
    ck_assert_double_eq_tol(tw_interpolate(w, missed, 4, 10 * MIB), 0.0, 1e-12);
    ck_assert(isnan(tw_interpolate(w, missed, 4, 9 * MIB)));
    ck_assert(isnan(tw_interpolate(w, missed, 4, 41 * MIB)));
    ck_assert(isnan(tw_interpolate(w, missed, 4, (double)NAN)));
}
END_TEST

/* The fixed point against a cache of 400 places in which a random one gives way. */
START_TEST(test_random_replacement)
{
    enum { CAPACITY = 400, SET = 600, PASSES = 60 };
    int place_of[SET], line_in[CAPACITY], misses = 0, counted = 0, filled = 0;
    unsigned draw = 7;
    for (int i = 0; i < SET; i++)
        place_of[i] = -1;
    for (int pass = 0; pass < PASSES; pass++)
        for (int line = 0; line < SET; line++) {
            bool miss = place_of[line] < 0;
            counted += pass >= PASSES / 2;
            misses += miss && pass >= PASSES / 2;
            if (!miss)
                continue;
            draw = draw * 1664525u + 1013904223u;
            int place = filled < CAPACITY ? filled : (int)((unsigned long long)draw * CAPACITY >> 32);
            if (filled == CAPACITY)
                place_of[line_in[place]] = -1;
            else
                filled++;
            line_in[place] = line;
            place_of[line] = place;
        }
    ck_assert_double_eq_tol(tw_random_replacement_misses((double)SET / CAPACITY), (double)misses / counted,
                            0.02);
    ck_assert_double_eq(tw_random_replacement_misses(0.9), 0);
    ck_assert_double_gt(tw_random_replacement_misses(3), 0.9);
}
END_TEST

/* ---- sides ---------------------------------------------------------------------------------------------- */

enum { SMS = 132, PAGES = 128 };

/* A GPU of two halves: SM i is on side (i / 2) % 2, page k at home on side (k / 3) % 2; near 280 cycles, far `gap` more;
 * each SM and each page have something of their own, and every reading scatters. */
static void make_table(float *latency, int *smid, int rows, double gap, double noise)
{
    for (int r = 0; r < rows; r++) {
        smid[r] = 3 * r; /* numbers need not be dense */
        for (int k = 0; k < PAGES; k++) {
            bool far = (r / 2) % 2 != (k / 3) % 2;
            latency[r * PAGES + k] = (float)(280 + (far ? gap : 0) + 10 * scatter((unsigned)r) +
                                             15 * scatter(1000u + (unsigned)k) +
                                             noise * scatter(5000u + (unsigned)(r * PAGES + k)));
        }
    }
}

START_TEST(test_two_sides)
{
    static float latency[SMS * PAGES];
    static const double noises[] = {0, 20, 60};
    int smid[SMS];
    tw_cal_sides s;
    make_table(latency, smid, SMS, 185, noises[_i]);
    ck_assert_msg(tw_cal_find_sides(&s, smid, latency, SMS, PAGES) == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(s.sides, 2);
    ck_assert_int_eq(s.count[0], 66);
    ck_assert_int_eq(s.count[1], 66);
    ck_assert_double_eq_tol(s.gap_cycles, 185, 5);
    ck_assert_double_gt(s.explained, 0.8);
    int next[2] = {0, 0};
    for (int r = 0; r < SMS; r++) {
        int side = (r / 2) % 2;
        ck_assert_int_eq(s.side_of[3 * r], side);
        ck_assert_int_eq(s.rank_of[3 * r], next[side]++);
    }
    ck_assert_int_eq(s.smid_of[0], 0);
    ck_assert_int_eq(s.smid_of[1], 6);
}
END_TEST

/* Halves need not be equal: a part with SMs switched off. */
START_TEST(test_uneven_sides)
{
    static float latency[SMS * PAGES];
    int smid[SMS];
    tw_cal_sides s;
    make_table(latency, smid, 5, 185, 20);
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, 5, PAGES), TW_OK);
    ck_assert_int_eq(s.sides, 2);
    ck_assert_int_eq(s.count[0], 3);
    ck_assert_int_eq(s.count[1], 2);
}
END_TEST

START_TEST(test_one_side)
{
    static float latency[SMS * PAGES];
    int smid[SMS];
    tw_cal_sides s;
    make_table(latency, smid, SMS, 0, 20);
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, SMS, PAGES), TW_OK);
    ck_assert_int_eq(s.sides, 1);
    ck_assert_int_eq(s.count[0], SMS);
    ck_assert_int_eq(s.count[1], 0);
    ck_assert_double_eq(s.gap_cycles, 0);
    ck_assert_double_lt(s.explained, 0.2);
    make_table(latency, smid, SMS, 0, 0); /* no pattern at all */
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, SMS, PAGES), TW_OK);
    ck_assert_int_eq(s.sides, 1);
}
END_TEST

START_TEST(test_sides_refuse)
{
    static float latency[SMS * PAGES];
    int smid[SMS];
    tw_cal_sides s = {.sides = 7};
    make_table(latency, smid, SMS, 185, 0);
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, 1, PAGES), TW_EINVAL);
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, SMS, 7), TW_EINVAL);
    latency[17] = 0; /* was never written */
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, SMS, PAGES), TW_EINVAL);
    ck_assert_ptr_nonnull(strstr(tw_error_message(), "must be positive"));
    make_table(latency, smid, SMS, 185, 0);
    smid[3] = TW_CAL_MAX_SMS;
    ck_assert_int_eq(tw_cal_find_sides(&s, smid, latency, SMS, PAGES), TW_EINVAL);
    ck_assert_int_eq(s.sides, 7);
}
END_TEST

/* Homes that change every 4 KiB, seen line by line from both sides; a few readings are wrong, and one in 64 undecided. */
START_TEST(test_homes)
{
    enum { LINES = 4096, LINE = 128 };
    static float latency[2 * LINES];
    static unsigned char home[LINES];
    int wrong = 0;
    for (int i = 0; i < LINES; i++) {
        int side = (i * LINE / 4096) % 2 ^ (i * LINE / 32768) % 2;
        latency[i] = (float)(280 + 185 * (side != 0) + 20 * scatter((unsigned)i));
        latency[LINES + i] = (float)(280 + 185 * (side != 1) + 20 * scatter(9999u + (unsigned)i));
        if (i % 64 == 10) /* within half the gap, on the right side */
            latency[side * LINES + i] = latency[(1 - side) * LINES + i] - 5;
        if (i % 512 == 77) /* misread */
            latency[side * LINES + i] = 900;
    }
    double guessed = tw_cal_find_homes(home, latency, LINES, 185);
    ck_assert_double_eq_tol(guessed, 1.0 / 64, 1e-3);
    for (int i = 0; i < LINES; i++)
        wrong += home[i] != ((i * LINE / 4096) % 2 ^ (i * LINE / 32768) % 2);
    ck_assert_int_eq(wrong, LINES / 512);
    ck_assert_int_eq(tw_cal_home_run_bytes(home, LINES, LINE), 4096);
    memset(home, 1, sizeof home);
    ck_assert_int_eq(tw_cal_home_run_bytes(home, LINES, LINE), 0);
    for (int i = 0; i < LINES; i++)
        home[i] = (unsigned char)(i * LINE / 65536 % 2);
    ck_assert_int_eq(tw_cal_home_run_bytes(home, LINES, LINE), 65536);
}
END_TEST

/* ---- a driver's word ------------------------------------------------------------------------------------ */

static const tw_cal_facts unknown_gpu = {.name = "NVIDIA GeForce; RTX 4090",
                                         .machine = "nvidia-geforce--rtx-4090",
                                         .driver = "580.1",
                                         .arch = 89,
                                         .num_sms = 128,
                                         .smem_bytes = 101376,
                                         .smem_bytes_per_sm = 102400,
                                         .register_bytes_per_sm = 262144,
                                         .l2_bytes = 75497472,
                                         .hbm_bytes = 25e9,
                                         .clock_hz = 2.52e9,
                                         .memory_clock_hz = 10.501e9,
                                         .memory_bits = 384};

START_TEST(test_machine_of_facts)
{
    const char *folder = tw_new_folder();
    char path[600];
    tw_machine m, back;
    ck_assert_msg(tw_cal_machine_of_facts(&m, &unknown_gpu, "2026-11-23") == TW_OK, "%s", tw_error_message());
    ck_assert(m.uncalibrated && m.kind == TW_MACHINE_GPU);
    ck_assert_double_eq(m.num_sms, 128);
    ck_assert_double_eq_tol(m.hbm_read_bytes_per_s, 1.008e12, 1e9);
    ck_assert_double_eq_tol(m.fma_flops_per_s, 82.6e12, 1e11);
    ck_assert_ptr_nonnull(strstr(m.sources.fma_flops_per_s.source, "not measured"));
    snprintf(path, sizeof path, "%s/%s.ini", folder, m.name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_msg(tw_machine_write(file, &m, "comment") == TW_OK, "%s", tw_error_message());
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_msg(tw_machine_find(&back, path) == TW_OK, "%s", tw_error_message());
    ck_assert_mem_eq(&back, &m, sizeof m);
    tw_process p = tw_tilewise_f("io --seqlen 1k --machine %s", path);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "uncalibrated") != NULL, "%s%s", p.out, p.err);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* What the driver does not say is not known; nothing is made up for it. */
START_TEST(test_machine_of_few_facts)
{
    tw_cal_facts f = unknown_gpu;
    tw_machine m;
    f.memory_clock_hz = 0;
    f.clock_hz = 0;
    ck_assert_int_eq(tw_cal_machine_of_facts(&m, &f, "2026-11-23"), TW_OK);
    ck_assert_double_eq(m.hbm_read_bytes_per_s, 0);
    ck_assert_double_eq(m.fma_flops_per_s, 0);
    ck_assert_double_eq(m.smem_bytes, 101376);
    ck_assert_double_eq(tw_cal_peak_bytes_per_s(&f), 0);
}
END_TEST

START_TEST(test_base_machine)
{
    tw_cal_facts f = unknown_gpu;
    tw_machine m, built_in;
    ck_assert_int_eq(tw_cal_base_machine(&m, &f, "2026-11-23"), TW_OK);
    ck_assert_str_eq(m.name, "nvidia-geforce--rtx-4090");
    snprintf(f.machine, sizeof f.machine, "h200");
    ck_assert_int_eq(tw_machine_find(&built_in, "h200"), TW_OK);
    ck_assert_int_eq(tw_cal_base_machine(&m, &f, "2026-11-23"), TW_OK);
    ck_assert_str_eq(m.description, built_in.description);
    ck_assert_double_eq(m.num_sms, 128); /* sizes are the driver's */
    ck_assert_double_eq(m.exps_per_s, built_in.exps_per_s);
    ck_assert_str_eq(m.sources.exps_per_s.source, built_in.sources.exps_per_s.source);
}
END_TEST

/* ---- machine code: where it was built, and can be read ---------------------------------------------------- */

START_TEST(test_opcodes)
{
    char command[900];
    const char *cuobjdump = getenv("CUOBJDUMP") ? getenv("CUOBJDUMP") : "cuobjdump";
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1 && test -e %s/gpu/calibrate/copy.o",
             cuobjdump, tw_build_folder());
    if (system(command) != 0) {
        printf("check_gpu_calibrate: machine code is not looked at, cuobjdump is not here or make gpu was "
               "not run\n");
        return;
    }
    snprintf(command, sizeof command, "gpu/calibrate/opcodes.py --cuobjdump %s %s/gpu/calibrate >&2",
             cuobjdump, tw_build_folder());
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- the whole of it, on a GPU that is made up (tests/cuda_stub/calibrate.c) -------------------------------- */

static const char *stub(void)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/tests/tilewise-gpu-stub", tw_build_folder());
    return path;
}

static bool stub_is_built(void)
{
    if (access(stub(), X_OK) == 0)
        return true;
    printf("check_gpu_calibrate: what runs on the made-up GPU is skipped, %s is not built (it needs CUDA's "
           "headers)\n",
           stub());
    return false;
}

/* `tilewise-gpu calibrate`, a mistake planted or NULL; the caller frees it. */
static tw_process calibrate(const char *fault, bool memory, const char *format, ...)
{
    char copy[1200], *words[24] = {(char *)stub(), "calibrate"};
    int count = 2;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(copy, sizeof copy, format, arguments);
    va_end(arguments);
    for (char *word = strtok(copy, " "); word && count < 23; word = strtok(NULL, " "))
        words[count++] = word;
    if (fault)
        ck_assert_int_eq(setenv("TW_STUB_FAULT", fault, 1), 0);
    if (memory)
        ck_assert_int_eq(setenv("TW_STUB_ALL_MEMORY", "1", 1), 0);
    tw_process p = tw_run(words);
    ck_assert_int_eq(unsetenv("TW_STUB_FAULT"), 0);
    ck_assert_int_eq(unsetenv("TW_STUB_ALL_MEMORY"), 0);
    return p;
}

/* What is true of that GPU, and how far a measurement may be off. */
static const struct {
    const char *number;
    double value, tolerance;
} truths[] = {
    {"num_sms", 12, 0},
    {"launch_overhead_s", 2e-6, 1}, /* the host's own time is in it */
    {"hbm_read_bytes_per_s", 3.0e12, 0.2},
    {"hbm_write_bytes_per_s", 3.1e12, 0.2},
    {"hbm_copy_bytes_per_s", 2.8e12, 0.2},
    {"l2_sides", 2, 0},
    {"l2_side_bytes", 8 << 20, 0.05},
    {"l2_page_bytes", 4096, 0},
    {"l2_far_share", 0.5, 1e-3},
    {"l2_near_latency_cycles", 290, 0.02},
    {"l2_far_latency_cycles", 477, 0.02},
    {"hbm_latency_cycles", (577 + 774) / 2.0, 0.02},
    {"l2_bytes_per_s", 1e12, 0.2},
    {"l2_shared_bytes_per_s", 2e12, 0.2},
    {"l2_near_write_bytes_per_s", 0.8e12, 0.2},
    {"l2_far_write_bytes_per_s", 0.4e12, 0.2},
    {"smem_bytes_per_clock", 128, 0.001},
    {"fmas_per_clock", 126, 0.001},
    {"maxs_per_clock", 64, 0.001},
    {"exps_per_clock", 16, 0.001},
    {"cvts_per_clock", 63, 0.001},
    {"exps_per_s", 16 * 12 * 1.7e9, 0.2},
    {"fma_flops_per_s", 2 * 126 * 12 * 1.7e9, 0.2},
    {"mma_fp16_flops_per_clock", 2700, 0.001},
    {"mma_bf16_flops_per_clock", 2700, 0.001},
    {"wgmma_fp16_flops_per_clock", 4096, 0.001},
    {"wgmma_bf16_flops_per_clock", 4096, 0.001},
    {"wgmma_fp8_flops_per_clock", 8192, 0.001},
    {"tensor_fp8_flops_per_s", 8192 * 12 * 1.55e9, 0.2},
    {"tensor_fp16_flops_per_s", 2 * 8192.0 * 8192 * 8192 / 1e-3, 0.2},
    {"copy_latency_cycles", 430, 0.01},
    {"copy_hbm_latency_cycles", 1000, 0.01},
    {"copy_bytes_per_clock", 109, 0.01},
    {"copy_l2_bytes_per_s", 0.9e12, 0.2},
    {"softmax_cycles", 100, 0.01},
    {"softmax_cycles_per_key", 5.7, 0.001},
    {"softmax_speed_1_busy", 0.645, 0.001},
    {"softmax_speed_2_idle", 0.65, 0.001},
    {"softmax_speed_2_busy", 0.41, 0.001},
    {"softmax_speed_3_idle", 0.46, 0.001},
    {"softmax_speed_3_busy", 0.325, 0.001},
    {"wgmma_speed_beside_softmax", 64.0 / 68, 0.001},
    {"tensor_clock_hz", 1.55e9, 0.2},
    {"tensor_clock_exponent", 0.33, 0.2},
};

static double number_of(const tw_machine *m, const char *name, const char **source)
{
    for (int i = 0; tw_machine_number_name(i); i++)
        if (strcmp(tw_machine_number_name(i), name) == 0) {
            *source = tw_machine_number_source(m, i)->source;
            return tw_machine_number(m, i);
        }
    ck_abort_msg("no machine has a %s", name);
    return 0;
}

START_TEST(test_made_up_gpu)
{
    static const char *const curves[] = {"readings", "l2_hits", "l2_rate", "softmax", "copy", "clock"};
    const char *folder = tw_new_folder();
    char path[700];
    tw_machine m;
    tw_process p = calibrate(NULL, true, "--quick --out %s/h100.ini --plots %s", folder, folder);
    ck_assert_msg(p.exit_code == 0 && *p.err == '\0', "exit %d: %s%s", p.exit_code, p.out, p.err);
    tw_process_free(&p);
    snprintf(path, sizeof path, "%s/h100.ini", folder);
    ck_assert_msg(tw_machine_find(&m, path) == TW_OK, "%s", tw_error_message());
    ck_assert(!m.uncalibrated);
    for (size_t i = 0; i < sizeof truths / sizeof truths[0]; i++) {
        const char *source;
        double value = number_of(&m, truths[i].number, &source);
        ck_assert_msg(fabs(value / truths[i].value - 1) <= truths[i].tolerance, "%s is %g, it should be %g",
                      truths[i].number, value, truths[i].value);
        ck_assert_msg(i == 0 || strncmp(source, "measured, ", 10) == 0, "%s: %s", truths[i].number, source);
        ck_assert_msg(i == 0 || strstr(source, "; spread ") != NULL, "%s: %s", truths[i].number, source);
    }
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        snprintf(path, sizeof path, "%s/%s.csv", folder, curves[i]);
        ck_assert_msg(access(path, R_OK) == 0, "%s is not there", path);
    }
    ck_assert_int_eq(tw_files_in(folder), 1 + (int)(sizeof curves / sizeof curves[0]));
    p = tw_tilewise_f("io --seqlen 1k --machine %s/h100.ini", folder);
    ck_assert_msg(p.exit_code == 0, "%s", p.err);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* The picture of such curves is drawn where there is gnuplot. */
START_TEST(test_picture)
{
    const char *folder = tw_new_folder();
    char command[1500];
    if (system("command -v gnuplot >/dev/null 2>&1") != 0) {
        printf("check_gpu_calibrate: gnuplot is not here, calibration.gp was not run\n");
        return;
    }
    tw_process p = calibrate(NULL, true, "--quick --plots %s", folder);
    ck_assert_int_eq(p.exit_code, 0);
    tw_process_free(&p);
    snprintf(command, sizeof command, "rm %s/clock.csv", folder); /* as on a GPU that has no wgmma */
    ck_assert_int_eq(system(command), 0);
    snprintf(command, sizeof command, "notebooks_data/plots/calibration.sh %s %s 2>&1 | grep . >&2", folder,
             folder);
    ck_assert_msg(system(command) != 0, "calibration.sh complains");
    static const char *const says[] = {"Calibration of Stub H100", "not measured on this GPU", "alternating"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        snprintf(command, sizeof command, "grep -q '%s' %s/calibration.svg && test -s %s/calibration.png",
                 says[i], folder, folder);
        ck_assert_msg(system(command) == 0, "the picture does not say '%s'", says[i]);
    }
    tw_remove_folder(folder);
}
END_TEST

/* A reading that cannot be is said, not written: the number stays what it was. One that scatters is written and said. */
static const struct {
    const char *fault;
    int exit_code;
    const char *out, *line; /* on stdout; in the machine file */
} planted[] = {
    {"fast_hbm", 1, "(?) hbm_read_bytes_per_s: not believed: 4.", "hbm_read_bytes_per_s = 3.094e12 |"},
    {"lost_copy", 1, "(?) copy_latency_cycles: could not be measured", "copy_l2_bytes_per_s ="},
    {"scatter", 0, "(?) fmas_per_clock: spread of 15 %", "fmas_per_clock = 12"},
    {"one_side", 0, "l2_private_bytes", "l2_sides = 1 |"},
};

START_TEST(test_planted)
{
    const char *folder = tw_new_folder();
    char command[800];
    tw_process p = calibrate(planted[_i].fault, true, "--quick --out %s/h100.ini", folder);
    ck_assert_msg(p.exit_code == planted[_i].exit_code, "exit %d: %s%s", p.exit_code, p.out, p.err);
    ck_assert_msg(strstr(p.out, planted[_i].out) != NULL, "%s", p.out);
    snprintf(command, sizeof command, "grep -q '^%s' %s/h100.ini", planted[_i].line, folder);
    ck_assert_msg(system(command) == 0, "the file does not say '%s'", planted[_i].line);
    ck_assert((strstr(p.out, "far") != NULL) == (strcmp(planted[_i].fault, "one_side") != 0));
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* The others are measured and shown all the same, but there is no half of a machine file. */
START_TEST(test_one_subject_fails)
{
    const char *folder = tw_new_folder();
    tw_process p = calibrate("bad_copy", true, "--quick --out %s/h100.ini", folder);
    ck_assert_int_eq(p.exit_code, 2);
    ck_assert_msg(strstr(p.err, "bulk copies failed: a bulk copy did not arrive\n") != NULL, "%s", p.err);
    ck_assert_msg(strstr(p.err, "1 of 14 subjects failed, so no machine file is written\n") != NULL, "%s",
                  p.err);
    ck_assert_msg(strstr(p.out, "tensor_clock_hz") != NULL, "%s", p.out);
    ck_assert_int_eq(tw_files_in(folder), 0);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_too_little_memory)
{
    tw_process p = calibrate(NULL, false, "--quick --out build-x.ini");
    ck_assert_int_eq(p.exit_code, 2);
    ck_assert_msg(strstr(p.err, "GB of GPU memory are free, calibrate needs at least") != NULL, "%s", p.err);
    ck_assert_int_ne(access("build-x.ini", F_OK), 0);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_properties)
{
    const char *folder = tw_new_folder();
    char path[700];
    tw_machine m;
    tw_process p = calibrate(NULL, false, "--properties --out %s/x.ini", folder);
    ck_assert_msg(p.exit_code == 0 && strstr(p.out, "uncalibrated") != NULL, "%s%s", p.out, p.err);
    tw_process_free(&p);
    snprintf(path, sizeof path, "%s/x.ini", folder);
    ck_assert_msg(tw_machine_find(&m, path) == TW_OK, "%s", tw_error_message());
    ck_assert(m.uncalibrated);
    ck_assert_double_eq(m.num_sms, 12);
    ck_assert_double_eq_tol(m.hbm_read_bytes_per_s, 3.352e12, 1e9);
    tw_remove_folder(folder);
}
END_TEST

/* For a profiler: a row for each launch, in the columns that counters.py joins its own to. */
START_TEST(test_launches)
{
    static const struct {
        const char *what;
        int rows;
        const char *row;
    } table[] = {{"dirty", 12, "\nwrite,all,forward,16777216,1\n"}, {"l2", 96, "\nread,shared,random,"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        tw_process p = calibrate(NULL, true, "--launch %s", table[i].what);
        ck_assert_msg(p.exit_code == 0, "%s", p.err);
        const char *rows = strstr(p.out, "\noperation,access,order,working_set_bytes,passes\n");
        ck_assert_msg(rows != NULL && strstr(rows, table[i].row) != NULL, "%s", p.out);
        int lines = 0;
        for (; *rows; rows++)
            lines += *rows == '\n';
        ck_assert_int_eq(lines, 2 + table[i].rows);
        tw_process_free(&p);
    }
}
END_TEST

Suite *tw_suite_gpu_calibrate(void)
{
    Suite *suite = suite_create("gpu_calibrate");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_test(core, test_options);
    tcase_add_test(core, test_line);
    tcase_add_test(core, test_power);
    tcase_add_test(core, test_capacity_of_an_lru);
    tcase_add_test(core, test_crossing_and_interpolation);
    tcase_add_test(core, test_random_replacement);
    tcase_add_loop_test(core, test_two_sides, 0, 3);
    tcase_add_test(core, test_uneven_sides);
    tcase_add_test(core, test_one_side);
    tcase_add_test(core, test_homes);
    tcase_add_test(core, test_machine_of_facts);
    tcase_add_test(core, test_machine_of_few_facts);
    tcase_add_test(core, test_base_machine);
    tcase_add_test(core, test_opcodes);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    tcase_add_test(errors, test_line_needs_two_points);
    tcase_add_test(errors, test_capacity_of_nothing);
    tcase_add_test(errors, test_sides_refuse);
    suite_add_tcase(suite, errors);
    if (!stub_is_built())
        return suite;
    TCase *made_up = tcase_create("made_up");
    tcase_set_timeout(made_up, 120);
    tcase_add_test(made_up, test_made_up_gpu);
    tcase_add_test(made_up, test_picture);
    tcase_add_loop_test(made_up, test_planted, 0, (int)(sizeof planted / sizeof planted[0]));
    tcase_add_test(made_up, test_one_subject_fails);
    tcase_add_test(made_up, test_too_little_memory);
    tcase_add_test(made_up, test_properties);
    tcase_add_test(made_up, test_launches);
    suite_add_tcase(suite, made_up);
    return suite;
}
