/* tilewise check and run: right outputs agree, each of the usual mistakes is named, and nothing else is. The wrong
 * outputs are made here, by a naive attention that can be told to go wrong. */
#include "check_tilewise.h"
#include "support_process.h"

#include "../cpu_ref/attention.h"
#include "../sim/verify.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- an attention that can go wrong --------------------------------------------------------------------- */

enum mask { BOTTOM_RIGHT, TOP_LEFT, NONE };

typedef struct variant {
    enum mask mask;
    double scale;     /* 0: 1 / sqrt(head_dim) */
    int drop;         /* the last tile of so many keys is left out */
    bool drop_of_row; /* the last that the row sees */
    bool modulo;      /* query head h reads K/V head h % num_heads_kv */
    bool base2;       /* LSE in base 2 */
} variant;

typedef struct tensors {
    tw_problem p;
    double *q, *k, *v, *o, *lse;
} tensors;

static int keys_for(const tw_problem *p, const variant *w, int i)
{
    int n = w->mask == NONE ? p->seqlen_k : w->mask == TOP_LEFT ? i + 1 : i + 1 + p->seqlen_k - p->seqlen_q;
    n = n < 0 ? 0 : n > p->seqlen_k ? p->seqlen_k : n;
    int of = w->drop_of_row ? n : p->seqlen_k;
    int last = w->drop > 0 && of > 0 ? (of - 1) / w->drop * w->drop : n;
    return n < last ? n : last;
}

static void naive_row(tensors *t, const variant *w, int b, int h, int i)
{
    const tw_problem *p = &t->p;
    int d = p->head_dim, n = keys_for(p, w, i);
    int g = w->modulo ? h % p->num_heads_kv : h / (p->num_heads / p->num_heads_kv);
    double scale = w->scale > 0 ? w->scale : 1.0 / sqrt(d), sum = 0.0;
    const double *q = t->q + ((b * p->seqlen_q + i) * p->num_heads + h) * d;
    double *o = t->o + ((b * p->seqlen_q + i) * p->num_heads + h) * d;
    double *lse = t->lse + (b * p->num_heads + h) * p->seqlen_q + i;
    double *s = malloc((size_t)(n + 1) * sizeof *s), m = -INFINITY;
    memset(o, 0, (size_t)d * sizeof *o);
    for (int j = 0; j < n; j++) {
        const double *k = t->k + ((b * p->seqlen_k + j) * p->num_heads_kv + g) * d;
        s[j] = 0.0;
        for (int c = 0; c < d; c++)
            s[j] += scale * q[c] * k[c];
        m = fmax(m, s[j]);
    }
    for (int j = 0; j < n; j++)
        sum += s[j] = exp(s[j] - m);
    for (int j = 0; j < n; j++)
        for (int c = 0; c < d; c++)
            o[c] += s[j] / sum * t->v[((b * p->seqlen_k + j) * p->num_heads_kv + g) * d + c];
    *lse = n > 0 ? m + log(sum) : -INFINITY;
    if (w->base2)
        *lse /= log(2.0);
    free(s);
}

static double *random_of(size_t n, tw_dtype dtype, uint64_t stream)
{
    double *x = malloc(n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, n, 42, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = tw_dtype_round(dtype, x[i]);
    return x;
}

static tensors make(const tw_problem *p, const variant *w)
{
    tensors t = {.p = *p};
    t.q = random_of(tw_problem_q_elements(p), p->dtype, 0);
    t.k = random_of(tw_problem_k_elements(p), p->dtype, 1);
    t.v = random_of(tw_problem_k_elements(p), p->dtype, 2);
    t.o = malloc(tw_problem_q_elements(p) * sizeof *t.o);
    t.lse = malloc(tw_problem_lse_elements(p) * sizeof *t.lse);
    for (int b = 0; b < p->batch; b++)
        for (int h = 0; h < p->num_heads; h++)
            for (int i = 0; i < p->seqlen_q; i++)
                naive_row(&t, w, b, h, i);
    return t;
}

static void free_tensors(tensors *t)
{
    free(t->q);
    free(t->k);
    free(t->v);
    free(t->o);
    free(t->lse);
}

/* x [batch, n1, n2, d] with n1 and n2 changed about, in place. */
static void swap_axes(double *x, int batch, int n1, int n2, int d)
{
    size_t n = (size_t)batch * (size_t)n1 * (size_t)n2 * (size_t)d;
    double *y = malloc(n * sizeof *y);
    for (int b = 0; b < batch; b++)
        for (int i = 0; i < n1; i++)
            for (int j = 0; j < n2; j++)
                memcpy(y + ((b * n2 + j) * n1 + i) * d, x + ((b * n1 + i) * n2 + j) * d,
                       (size_t)d * sizeof *y);
    memcpy(x, y, n * sizeof *x);
    free(y);
}

static void write_file(const char *folder, const char *name, const double *x, tw_dtype dtype, int b, int n1,
                       int n2, int d)
{
    char path[800];
    const int64_t shape[4] = {b, n1, n2, d};
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    ck_assert_msg(tw_npy_write(path, x, dtype, d > 0 ? 4 : 3, shape) == TW_OK, "%s", tw_error_message());
}

/* Q, K, V, O and LSE as files; `bhsd` changes the order of the axes. */
static void write_files(const char *folder, tensors *t, bool bhsd)
{
    const tw_problem *p = &t->p;
    int b = p->batch, h = p->num_heads, g = p->num_heads_kv, m = p->seqlen_q, n = p->seqlen_k,
        d = p->head_dim;
    if (bhsd) {
        swap_axes(t->q, b, m, h, d);
        swap_axes(t->o, b, m, h, d);
        swap_axes(t->k, b, n, g, d);
        swap_axes(t->v, b, n, g, d);
    }
    write_file(folder, "q", t->q, p->dtype, b, bhsd ? h : m, bhsd ? m : h, d);
    write_file(folder, "o", t->o, p->dtype, b, bhsd ? h : m, bhsd ? m : h, d);
    write_file(folder, "k", t->k, p->dtype, b, bhsd ? g : n, bhsd ? n : g, d);
    write_file(folder, "v", t->v, p->dtype, b, bhsd ? g : n, bhsd ? n : g, d);
    write_file(folder, "lse", t->lse, TW_FP32, b, h, m, 0);
}

static tw_process check(const char *folder, const char *options)
{
    return tw_tilewise_f("check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy %s", folder, folder,
                         folder, folder, options);
}

static tw_process check_lse(const char *folder, const char *options)
{
    return tw_tilewise_f("check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --lse %s/lse.npy %s",
                         folder, folder, folder, folder, folder, options);
}

static void expect(tw_process *p, int exit_code, const char *says)
{
    ck_assert_msg(p->exit_code == exit_code, "exit %d: %s%s", p->exit_code, p->err, p->out);
    ck_assert_str_eq(p->err, "");
    ck_assert_msg(strstr(p->out, says) != NULL, "'%s' is not in: %s", says, p->out);
    tw_process_free(p);
}

#define SHAPE(b, h, h_kv, sq, sk, d, type, is_causal)                                                        \
    {                                                                                                        \
        .batch = b, .num_heads = h, .num_heads_kv = h_kv, .seqlen_q = sq, .seqlen_k = sk, .head_dim = d,     \
        .dtype = type, .causal = is_causal                                                                   \
    }

/* ---- what agrees ---------------------------------------------------------------------------------------- */

static const struct {
    tw_problem p;
    variant w;
    bool bhsd;
    const char *options;
} right[] = {
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false), {.mask = NONE}, false, ""},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false), {.mask = NONE}, true, "--layout bhsd"},
    {SHAPE(2, 4, 2, 33, 97, 40, TW_BF16, true), {.mask = BOTTOM_RIGHT}, false, "--causal"},
    {SHAPE(2, 6, 2, 97, 33, 16, TW_FP16, true), {.mask = BOTTOM_RIGHT}, true, "--causal --layout bhsd"},
    {SHAPE(1, 2, 2, 31, 128, 128, TW_FP32, false),
     {.mask = NONE, .scale = 0.3},
     false,
     "--softmax-scale 0.3"},
    {SHAPE(1, 2, 1, 31, 300, 128, TW_FP64, true), {.mask = BOTTOM_RIGHT}, false, "--causal"},
    {SHAPE(1, 1, 1, 1, 1, 1, TW_FP16, false), {.mask = NONE}, false, ""},
};

START_TEST(test_right)
{
    const char *folder = tw_new_folder();
    tensors t = make(&right[_i].p, &right[_i].w);
    write_files(folder, &t, right[_i].bhsd);
    tw_process p = check_lse(folder, right[_i].options);
    ck_assert_msg(strstr(p.out, "maximum error") && strstr(p.out, "RMS error") &&
                      strstr(p.out, "relative error") && strstr(p.out, "cosine") && strstr(p.out, "LSE") &&
                      strstr(p.out, "rows compared"),
                  "%s%s", p.err, p.out);
    expect(&p, 0, "\nagrees\n");
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* ---- what does not, and why ----------------------------------------------------------------------------- */

static const struct {
    tw_problem p;
    variant w;
    const char *options, *says;
} wrong[] = {
    {SHAPE(1, 4, 4, 50, 80, 64, TW_FP16, true), {.mask = TOP_LEFT}, "--causal", "aligned top-left"},
    {SHAPE(1, 4, 4, 50, 80, 64, TW_FP16, true), {.mask = NONE}, "--causal", "causal mask was not applied"},
    {SHAPE(1, 4, 4, 50, 80, 64, TW_FP16, true), {.mask = BOTTOM_RIGHT}, "", "causal mask was applied"},
    {SHAPE(1, 4, 4, 50, 80, 64, TW_BF16, true), {.mask = TOP_LEFT}, "", "top-left"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false), {.mask = NONE, .scale = 1.0}, "", "by 1 (none)"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_BF16, false), {.mask = NONE, .scale = 1.0}, "", "by 1 (none)"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false), {.mask = NONE, .scale = 1.0 / 64}, "", "(1/head_dim)"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false), {.mask = NONE, .scale = 8.0}, "", "(sqrt(head_dim)"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false), {.mask = NONE}, "--softmax-scale 0.3", "(1/sqrt(head_dim))"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, false),
     {.mask = NONE, .scale = 0.125 * 1.4426950408889634},
     "",
     "log2(e) is in the scale"},
    {SHAPE(1, 4, 4, 64, 64, 64, TW_FP16, true), {.mask = BOTTOM_RIGHT, .scale = 0.31}, "--causal", "by 0.31"},
    {SHAPE(1, 4, 4, 64, 300, 64, TW_FP16, false),
     {.mask = NONE, .drop = 128},
     "",
     "keys 256 to 299 of 300 (tiles of"},
    {SHAPE(1, 4, 4, 64, 256, 64, TW_FP16, false),
     {.mask = NONE, .drop = 64},
     "",
     "keys 192 to 255 of 256 (tiles of 64)"},
    {SHAPE(1, 4, 4, 200, 200, 64, TW_FP16, true),
     {.mask = BOTTOM_RIGHT, .drop = 32, .drop_of_row = true},
     "--causal",
     "last key tile that a row sees was dropped (tiles of 32 keys)"},
    {SHAPE(1, 8, 2, 64, 64, 64, TW_FP16, false),
     {.mask = NONE, .modulo = true},
     "",
     "head h reads head h % 2; it should read head h / 4"},
};

START_TEST(test_wrong)
{
    const char *folder = tw_new_folder();
    tensors t = make(&wrong[_i].p, &wrong[_i].w);
    write_files(folder, &t, false);
    tw_process p = check(folder, wrong[_i].options);
    ck_assert_msg(strstr(p.out, "does not agree") != NULL, "%s", p.out);
    expect(&p, 1, wrong[_i].says);
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_lse_in_base_2)
{
    const char *folder = tw_new_folder();
    tensors t = make(&right[2].p, &(variant){.mask = BOTTOM_RIGHT, .base2 = true});
    write_files(folder, &t, false);
    tw_process p = check(folder, "--causal");
    expect(&p, 0, "\nagrees\n"); /* O is right */
    p = check_lse(folder, "--causal");
    expect(&p, 1, "in base 2");
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_layouts)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(1, 6, 3, 40, 50, 32, TW_FP16, false);
    tensors t = make(&shape, &(variant){.mask = NONE});
    swap_axes(t.o, 1, 40, 6, 32); /* O alone has the heads first */
    write_files(folder, &t, false);
    tw_process p = check(folder, "");
    expect(&p, 1, "layout of O is swapped");
    free_tensors(&t);

    shape = (tw_problem)SHAPE(1, 8, 8, 40, 40, 32, TW_FP16, false);
    t = make(&shape, &(variant){.mask = NONE});
    write_files(folder, &t, true);
    p = check(folder, "");
    expect(&p, 1, "the layout is swapped");
    free_tensors(&t);

    shape = (tw_problem)SHAPE(1, 6, 2, 40, 50, 32, TW_FP16, false); /* read as bshd: 40 heads on 50 */
    t = make(&shape, &(variant){.mask = NONE});
    write_files(folder, &t, true);
    p = check(folder, "");
    ck_assert_int_eq(p.exit_code, 2);
    ck_assert_ptr_nonnull(strstr(p.err, "--layout bhsd would fit"));
    tw_process_free(&p);
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* O as a file of the other layout's shape: a mistake with a name if it agrees when read that way. */
START_TEST(test_swapped_shape)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(1, 6, 3, 40, 50, 32, TW_FP16, false);
    tensors t = make(&shape, &(variant){.mask = NONE});
    write_files(folder, &t, false);
    swap_axes(t.o, 1, 40, 6, 32);
    write_file(folder, "o", t.o, TW_FP16, 1, 6, 40, 32);
    tw_process p = check_lse(folder, "");
    expect(&p, 1,
           "does not agree: O has another shape than Q\nthis would explain it: the layout of O is swapped");
    write_file(folder, "o", t.q, TW_FP16, 1, 6, 40, 32);
    p = check_lse(folder, "");
    ck_assert_int_eq(p.exit_code, 2);
    ck_assert_str_eq(p.out, "");
    ck_assert_msg(strstr(p.err, "(1, 6, 40, 32), it must be (1, 40, 6, 32)") &&
                      strstr(p.err, "--layout bhsd"),
                  "%s", p.err);
    tw_process_free(&p);
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* Scores that are no numbers have no softmax. */
START_TEST(test_scale_too_large)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(1, 2, 2, 8, 8, 16, TW_FP64, false);
    tensors t = make(&shape, &(variant){.mask = NONE});
    char line[3000];
    for (int big = 0; big < 2; big++) {
        t.q[5] = big ? 1e300 : 1.0;
        t.k[5] = big ? 1e300 : 1.0;
        write_files(folder, &t, false);
        snprintf(line, sizeof line, "check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy %s", folder,
                 folder, folder, folder, big ? "" : "--softmax-scale 4e34");
        tw_expect_refusal(line, big ? "not finite|smaller" : "--softmax-scale is 4e+34|3.4e+34");
    }
    tw_expect_refusal("run --seqlen 8 --heads 1 --algorithm flash2 --softmax-scale 1e300",
                      "--softmax-scale is 1e+300|3.4e+34");
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* Noise is nobody's usual mistake, and NaN is never right. */
START_TEST(test_noise_and_nan)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(1, 2, 2, 60, 60, 32, TW_FP16, true);
    tensors t = make(&shape, &(variant){.mask = BOTTOM_RIGHT});
    double *noise = random_of(tw_problem_q_elements(&shape), TW_FP64, 9);
    for (size_t i = 0; i < tw_problem_q_elements(&shape); i++)
        t.o[i] += 0.1 * noise[i];
    write_files(folder, &t, false);
    tw_process p = check(folder, "--causal");
    expect(&p, 1, "none of the usual mistakes fits");
    free(noise);
    free_tensors(&t);

    t = make(&shape, &(variant){.mask = BOTTOM_RIGHT});
    t.o[777] = NAN;
    write_files(folder, &t, false);
    p = check(folder, "--causal");
    expect(&p, 1, "NaN");
    t.o[777] = 0.0;
    t.o[5] = INFINITY;
    write_files(folder, &t, false);
    p = check(folder, "--causal");
    expect(&p, 1,
           "does not agree: O is not finite at batch 0, head 0, row 0, column 5 (inf)\ninfinity is never");
    t.o[((59 * 2) + 1) * 32 + 3] = NAN; /* the first is named */
    write_files(folder, &t, false);
    p = check(folder, "--causal");
    expect(&p, 1, "O is not finite at batch 0, head 0, row 0, column 5 (inf)\nNaN is never");
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* One element that is wrong is found, and its place is told. */
START_TEST(test_worst_position)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(2, 3, 3, 20, 20, 16, TW_FP16, false);
    tensors t = make(&shape, &(variant){.mask = NONE});
    t.o[((1 * 20 + 7) * 3 + 2) * 16 + 11] += 0.5;
    write_files(folder, &t, false);
    tw_process p = check(folder, "");
    expect(&p, 1, "at batch 1, head 2, row 7, column 11");
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* Long sequences are sampled: of every head as many rows, the first and the last among them, the same every time. */
START_TEST(test_sampling)
{
    tw_problem shape = SHAPE(1, 3, 3, 200, 300, 32, TW_FP16, false);
    tw_row_sample all = tw_row_sample_for(&shape, 1, 1.0);
    ck_assert_int_eq(all.count, 600);
    /* 2^31 / 2^10 multiply-adds, 2 x 300 x 32 a row, three heads: 36 rows of each */
    tw_row_sample some = tw_row_sample_for(&shape, 1, 0x1p-10), least = tw_row_sample_for(&shape, 1, 0x1p-31);
    ck_assert_int_eq(some.count, 3 * 36);
    ck_assert_int_eq(least.count, 3 * 4);

    tensors t = make(&shape, &(variant){.mask = NONE});
    t.o[199 * 3 * 32] += 1.0; /* the last row of head 0 */
    tw_claim claim = {.problem = shape, .q = t.q, .k = t.k, .v = t.v, .o = t.o};
    tw_variant exact = tw_variant_of(&shape);
    tw_verdict verdict, again;
    ck_assert_int_eq(tw_verify(&verdict, &claim, &exact, &least), TW_OK);
    ck_assert_int_eq(tw_verify(&again, &claim, &exact, &least), TW_OK);
    ck_assert(!verdict.o_agrees && verdict.o.worst_index == 199 * 3 * 32);
    ck_assert_mem_eq(&verdict.o, &again.o, sizeof verdict.o);
    t.o[199 * 3 * 32] -= 1.0;
    ck_assert_int_eq(tw_verify(&verdict, &claim, &exact, &some), TW_OK);
    ck_assert(verdict.o_agrees);
    ck_assert_uint_eq(verdict.o.n, 3 * 36 * 32);
    free_tensors(&t);
}
END_TEST

/* ---- files that are no good ----------------------------------------------------------------------------- */

static void damage(const char *folder, const char *name, const void *bytes, size_t n, bool append)
{
    char path[800];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    FILE *file = fopen(path, append ? "ab" : "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void expect_refusal(const char *folder, const char *words)
{
    char line[3000];
    snprintf(line, sizeof line, "check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --lse %s/lse.npy",
             folder, folder, folder, folder, folder);
    tw_expect_refusal(line, words);
}

START_TEST(test_bad_files)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(1, 2, 2, 8, 8, 16, TW_FP16, false);
    tensors t = make(&shape, &(variant){.mask = NONE});
    double random[64];
    tw_random_normal(random, 64, 7, 7);

    write_files(folder, &t, false);
    damage(folder, "k", random, sizeof random, false);
    expect_refusal(folder, "k.npy|not a .npy file");
    damage(folder, "k", "\x93NUMPY\x01\x00\x76\x00{'descr'", 18, false);
    expect_refusal(folder, "k.npy|truncated");
    write_files(folder, &t, false);
    damage(folder, "v", "x", 1, true);
    expect_refusal(folder, "v.npy|too long");
    write_files(folder, &t, false);
    write_file(folder, "k", t.k, TW_FP16, 1, 8, 4, 8);
    expect_refusal(folder, "k.npy|(1, 8, 4, 8)|head_dim");
    write_files(folder, &t, false);
    write_file(folder, "v", t.v, TW_FP16, 1, 4, 4, 16);
    expect_refusal(folder, "v.npy|(1, 4, 4, 16)|(1, 8, 2, 16)");
    write_files(folder, &t, false);
    write_file(folder, "o", t.o, TW_FP16, 1, 4, 4, 16);
    expect_refusal(folder, "o.npy|(1, 4, 4, 16)|(1, 8, 2, 16)");
    write_files(folder, &t, false);
    write_file(folder, "lse", t.lse, TW_FP32, 1, 8, 2, 0);
    expect_refusal(folder, "lse.npy|(1, 8, 2)|(1, 2, 8)");
    write_file(folder, "q", t.q, TW_FP16, 1, 2, 2, 0);
    expect_refusal(folder, "q.npy|four axes");
    write_files(folder, &t, false);
    t.q[3] = NAN;
    write_files(folder, &t, false);
    expect_refusal(folder, "q.npy|finite");
    free_tensors(&t);
    tw_remove_folder(folder);
}
END_TEST

/* ---- run ------------------------------------------------------------------------------------------------ */

static const char *const runs[] = {
    "run --seqlen 97 --heads 2 --head-dim 40",
    "run --seqlen-q 31 --seqlen-k 128 --heads 4 --heads-kv 2 --head-dim 16 --causal --dtype bf16",
    "run --seqlen-q 128 --seqlen-k 31 --heads 2 --head-dim 64 --causal --dtype fp32 --br 48 --bc 56",
    "run --seqlen 1,2,31 --heads 1 --batch 2 --exact --machine paper --block-m 16 --block-n 8",
    "run --seqlen 64 --heads 1 --softmax-scale 3 --seed 0",
};

START_TEST(test_run)
{
    tw_process p = tw_tilewise(runs[_i]);
    ck_assert_msg(p.exit_code == 0, "%s%s", p.err, p.out);
    ck_assert_ptr_null(strstr(p.out, "NOT AGREE"));
    ck_assert_ptr_null(strstr(p.out, "DIFFER"));
    int agree = 0;
    for (const char *c = p.out; (c = strstr(c, "  agrees\n")); c++)
        agree++;
    bool grouped = strstr(runs[_i], "--heads-kv") != NULL; /* then gqa_packed is one more */
    ck_assert_int_eq(agree, strstr(runs[_i], "1,2,31") ? 12 : grouped ? 5 : 4);
    tw_process_free(&p);
}
END_TEST

/* What run writes, check accepts; and it reads the tensors that it is given. */
START_TEST(test_run_on_files)
{
    const char *folder = tw_new_folder();
    tw_problem shape = SHAPE(1, 4, 2, 50, 70, 32, TW_FP16, true);
    for (int bhsd = 0; bhsd < 2; bhsd++) {
        const char *layout = bhsd ? "--layout bhsd" : "";
        tensors t = make(&shape, &(variant){.mask = NONE});
        write_files(folder, &t, bhsd == 1);
        tw_process p = tw_tilewise_f(
            "run --algorithm flash2 --causal --block-m 32 --block-n 16 %s --q %s/q.npy --k %s/k.npy "
            "--v %s/v.npy --o %s/o.npy --lse %s/lse.npy",
            layout, folder, folder, folder, folder, folder);
        expect(&p, 0, "agrees");
        char options[64];
        snprintf(options, sizeof options, "--causal %s", layout);
        p = check_lse(folder, options);
        expect(&p, 0, "\nagrees\n");
        free_tensors(&t);
        ck_assert_int_eq(tw_files_in(folder), 5);
    }
    for (int given = 0; given < 2;
         given++) { /* a seed makes no tensors where files give them, and that is said */
        tw_process p = tw_tilewise_f(
            "run --algorithm flash2 --layout bhsd %s --q %s/q.npy --k %s/k.npy --v %s/v.npy",
            given ? "--seed 3" : "", folder, folder, folder);
        ck_assert_int_eq(strstr(p.out, "--seed 3 draws only what no file gave") != NULL, given);
        expect(&p, 0, "agrees");
    }
    tw_remove_folder(folder);
}
END_TEST

Suite *tw_suite_cli_check(void)
{
    Suite *s = suite_create("cli_check");
    TCase *core = tcase_create("core"), *errors = tcase_create("errors");
    tcase_set_timeout(core, 120);
    tcase_set_timeout(errors, 60);
    tcase_add_loop_test(core, test_right, 0, sizeof right / sizeof right[0]);
    tcase_add_loop_test(core, test_wrong, 0, sizeof wrong / sizeof wrong[0]);
    tcase_add_test(core, test_lse_in_base_2);
    tcase_add_test(core, test_layouts);
    tcase_add_test(core, test_swapped_shape);
    tcase_add_test(core, test_noise_and_nan);
    tcase_add_test(core, test_worst_position);
    tcase_add_test(core, test_sampling);
    tcase_add_loop_test(core, test_run, 0, sizeof runs / sizeof runs[0]);
    tcase_add_test(core, test_run_on_files);
    tcase_add_test(errors, test_bad_files);
    tcase_add_test(errors, test_scale_too_large);
    suite_add_tcase(s, core);
    suite_add_tcase(s, errors);
    return s;
}
