/*
 * tilewise-gpu soak: random shapes until the time is up. Inputs are made on the GPU, exact attention is computed there
 * by the definition, and every kernel that takes the shape runs twice on poisoned outputs; only counts come back. The
 * judge itself is held against cpu_ref on a small share of the shapes.
 */
#include "commands.h"
#include "fill.h"
#include "soak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { JUDGE_EVERY = 256, JUDGE_MAX_PAIRS = 1 << 16, MAX_PRINTED = 50 };

/* What became of one kernel. */
typedef struct tally {
    uint64_t shapes, wrong;
    double worst_share; /* largest error of O, as a share of what is allowed */
} tally;

typedef struct soak {
    tw_gpu_soak gpu;
    tally tallies[TW_GPU_MAX_KERNELS];
    uint64_t shapes, judged;
    struct timespec start;
} soak;

static const tw_gpu_selection *selected(const tw_gpu_program *s)
{
    return &s->sets[0].selection;
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

/* One line, and the command that does it again. */
static void report_wrong(tw_gpu_program *s, const soak *k, const tw_gpu_soak_case *one, uint64_t number,
                         int i)
{
    static const char *const orders[] = TW_ORDER_NAMES, *const kv_orders[] = TW_KV_ORDER_NAMES;
    char shape[200], what[300];
    const tw_tiling *t = &k->gpu.tiling[i];
    const tw_gpu_kernel *kernel = selected(s)->kernels[i];
    if (++s->num_disagreements > MAX_PRINTED)
        return;
    tw_gpu_soak_case_name(shape, sizeof shape, one);
    tw_gpu_soak_explain(what, sizeof what, &k->gpu, one, i);
    printf("WRONG %s %dx%d, order %s, %s, %s: %s. Again: tilewise-gpu soak --seed %llu --only %llu --kernel "
           "%s\n",
           kernel->name, t->block_m, t->block_n, orders[t->order], kv_orders[t->kv_order], shape, what,
           (unsigned long long)s->options.shared.seed, (unsigned long long)number, kernel->name);
    fflush(stdout);
}

static void add_to_tallies(tw_gpu_program *s, soak *k, const tw_gpu_soak_case *one, uint64_t number)
{
    bool any = false;
    for (int i = 0; i < selected(s)->num_kernels; i++) {
        tally *t = &k->tallies[i];
        if (k->gpu.tiling[i].block_m == 0)
            continue;
        any = true;
        t->shapes++;
        t->worst_share = fmax(t->worst_share, k->gpu.found[i].worst_o / k->gpu.o_allowed);
        if (tw_gpu_soak_is_wrong(&k->gpu, i)) {
            t->wrong++;
            report_wrong(s, k, one, number, i);
        }
    }
    k->shapes += any;
}

/* Now and then, and for a shape that is looked at alone. */
static bool judge_is_due(const tw_gpu_program *s, const tw_gpu_soak_case *one, uint64_t number)
{
    const tw_problem *p = &one->problem;
    double pairs = (double)tw_problem_lse_elements(p) * p->seqlen_k;
    return s->options.only != 0 || ((number - 1) % JUDGE_EVERY < 8 && pairs <= JUDGE_MAX_PAIRS);
}

static tw_status run_shape(tw_gpu_program *s, soak *k, uint64_t number)
{
    const tw_gpu_soak_case one = tw_gpu_soak_case_at(s->options.shared.seed, number);
    tw_status status = tw_gpu_soak_run(&k->gpu, &one, selected(s), &s->device);
    if (status == TW_OK && judge_is_due(s, &one, number)) {
        status = tw_gpu_soak_check_judge(&k->gpu, &one);
        k->judged++;
    }
    if (status != TW_OK) {
        char why[400];
        snprintf(why, sizeof why, "%.399s", tw_error_message());
        return tw_fail(status, "shape %llu of seed %llu (tilewise-gpu soak --seed %llu --only %llu): %s",
                       (unsigned long long)number, (unsigned long long)s->options.shared.seed,
                       (unsigned long long)s->options.shared.seed, (unsigned long long)number, why);
    }
    add_to_tallies(s, k, &one, number);
    return TW_OK;
}

static tw_status run_shapes(tw_gpu_program *s, soak *k)
{
    clock_gettime(CLOCK_MONOTONIC, &k->start);
    if (s->options.only != 0)
        return run_shape(s, k, s->options.only);
    for (uint64_t number = 1; seconds_since(&k->start) < s->options.seconds; number++)
        TW_TRY(run_shape(s, k, number));
    return TW_OK;
}

static void print_tallies(const tw_gpu_program *s, const soak *k)
{
    for (int i = 0; i < selected(s)->num_kernels; i++) {
        const tally *t = &k->tallies[i];
        printf("%-20s %7llu shapes, twice each, %llu wrong; error at most %3.0f%% of what is allowed\n",
               selected(s)->kernels[i]->name, (unsigned long long)t->shapes, (unsigned long long)t->wrong,
               100.0 * t->worst_share);
    }
    printf("%llu shapes of seed %llu in %.1f s, %d results wrong; the judge was right on the %llu shapes "
           "that cpu_ref "
           "computed too\n",
           (unsigned long long)k->shapes, (unsigned long long)s->options.shared.seed,
           seconds_since(&k->start), s->num_disagreements, (unsigned long long)k->judged);
}

static void print_only(const tw_gpu_program *s)
{
    char shape[200];
    const tw_gpu_soak_case one = tw_gpu_soak_case_at(s->options.shared.seed, s->options.only);
    tw_gpu_soak_case_name(shape, sizeof shape, &one);
    printf("shape %llu of seed %llu: %s\n", (unsigned long long)s->options.only,
           (unsigned long long)s->options.shared.seed, shape);
}

tw_status tw_gpu_soak_command(tw_gpu_program *s)
{
    soak *k = calloc(1, sizeof *k);
    if (k == NULL)
        return tw_fail(TW_ENOMEM, "no memory to keep count in");
    tw_status status = tw_gpu_fill_check(s->options.shared.seed);
    if (status == TW_OK)
        status = tw_gpu_soak_make(&k->gpu, s->stream);
    if (status == TW_OK && s->options.only != 0)
        print_only(s);
    if (status == TW_OK)
        status = run_shapes(s, k);
    if (status == TW_OK)
        print_tallies(s, k);
    tw_gpu_soak_free(&k->gpu);
    free(k);
    return status;
}
