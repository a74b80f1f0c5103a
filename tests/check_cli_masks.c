/* Masks, changed scores, packed sequences and latent attention on the command line: what agrees, what is named as the
 * mistake, what is refused. The attention that is checked here is written out once more, from the definitions. */
#include "../cpu_ref/attention.h"
#include "check_tilewise.h"
#include "support_markdown.h"
#include "support_process.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *tw_suite_cli_masks(void);

/* ---- attention once more -------------------------------------------------------------------------------- */

enum { HEADS = 3, DIM = 16, LONGEST = 64 };

/* What is asked for; 0 is off, left is one more than the window's. */
typedef struct asked {
    int rows, keys, d_v;
    bool causal;
    int left, sinks, prefix, document, block; /* blocks of so many rows and keys, checkered in threes */
    double cap, sink_logit;
    bool alibi, bias, sink, latent;
} asked;

typedef struct tensors {
    double *q, *k, *v, *o, *lse, *bias;
} tensors;

static bool block_on(int i, int j)
{
    return (i + 2 * j) % 3 != 0;
}

static bool sees(const asked *a, int i, int j)
{
    int x = i + a->keys - a->rows;
    bool after = a->causal && j > x, before = a->left > 0 && (j < x - (a->left - 1) || j > x);
    bool seen = (!after && (!before || (j < a->sinks && j <= x))) || j < a->prefix;
    if (a->document > 0)
        seen = seen && x / a->document == j / a->document;
    return seen && (a->block == 0 || block_on(i / a->block, j / a->block));
}

static double score(const asked *a, const tensors *t, int h, int i, int j)
{
    double s = 0.0;
    for (int c = 0; c < DIM; c++)
        s += t->q[(i * HEADS + h) * DIM + c] * t->k[(j * HEADS + h) * DIM + c];
    s /= sqrt(DIM);
    if (a->cap > 0)
        s = a->cap * tanh(s / a->cap);
    if (a->alibi) /* 3 heads: 2^-4 and 2^-8 of 2, then the first of 4 */
        s -= (h == 0 ? 1.0 / 16 : h == 1 ? 1.0 / 256 : 0.25) * abs(i + a->keys - a->rows - j);
    return a->bias ? s + t->bias[(h * a->rows + i) * a->keys + j] : s;
}

static void attend(const asked *a, tensors *t, int h, int i)
{
    double s[LONGEST] = {0}, m = a->sink ? a->sink_logit : -INFINITY, sum;
    for (int j = 0; j < a->keys; j++) {
        s[j] = sees(a, i, j) ? score(a, t, h, i, j) : -INFINITY;
        m = fmax(m, s[j]);
    }
    sum = a->sink ? exp(a->sink_logit - m) : 0.0;
    for (int j = 0; j < a->keys; j++)
        sum += s[j] = m > -INFINITY ? exp(s[j] - m) : 0.0;
    for (int c = 0; c < a->d_v; c++) {
        double *o = &t->o[(i * HEADS + h) * a->d_v + c];
        *o = 0.0;
        for (int j = 0; j < a->keys && sum > 0; j++)
            *o += s[j] / sum *
                  (a->latent ? t->k[(j * HEADS + h) * DIM + c] : t->v[(j * HEADS + h) * a->d_v + c]);
    }
    t->lse[h * a->rows + i] = sum > 0 ? m + log(sum) : -INFINITY;
}

static double *numbers(int n, uint64_t stream)
{
    double *x = malloc((size_t)n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    tw_random_normal(x, (size_t)n, 5, stream);
    for (int i = 0; i < n; i++)
        x[i] = tw_dtype_round(TW_FP16, 2.0 * x[i]);
    return x;
}

static tensors make(const asked *a)
{
    tensors t = {.q = numbers(a->rows * HEADS * DIM, 0),
                 .k = numbers(a->keys * HEADS * DIM, 1),
                 .v = numbers(a->keys * HEADS * a->d_v, 2),
                 .bias = numbers(HEADS * a->rows * a->keys, 3),
                 .o = numbers(a->rows * HEADS * a->d_v, 4),
                 .lse = numbers(HEADS * a->rows, 5)};
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < a->rows; i++)
            attend(a, &t, h, i);
    return t;
}

static void free_tensors(tensors *t)
{
    free(t->q), free(t->k), free(t->v), free(t->o), free(t->lse), free(t->bias);
}

/* ---- files ---------------------------------------------------------------------------------------------- */

static void write_numbers(const char *folder, const char *name, const double *x, tw_dtype dtype, int axes,
                          const int64_t *shape)
{
    char path[800];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    ck_assert_msg(tw_npy_write(path, x, dtype, axes, shape) == TW_OK, "%s", tw_error_message());
}

/* A .npy file of little-endian integers of `bytes` bytes: '<i4', '|u1', … */
static void write_integers(const char *folder, const char *name, const char *descr, const char *shape,
                           const int64_t *values, int count)
{
    char path[800], header[128];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fprintf(file, "%-117s\n", header);
    for (int i = 0; i < count; i++)
        for (int byte = 0; byte < descr[2] - '0'; byte++)
            fputc((int)((uint64_t)values[i] >> (8 * byte) & 255), file);
    fclose(file);
}

/* All tensors of one sequence, and the block mask of its lengths. */
static void write_files(const char *folder, const asked *a, const tensors *t)
{
    int64_t blocks[LONGEST * LONGEST], rows = a->block ? (a->rows - 1) / a->block + 1 : 1,
                                       cols = a->block ? (a->keys - 1) / a->block + 1 : 1;
    char shape[32];
    write_numbers(folder, "q", t->q, TW_FP16, 4, (const int64_t[]){1, a->rows, HEADS, DIM});
    write_numbers(folder, "k", t->k, TW_FP16, 4, (const int64_t[]){1, a->keys, HEADS, DIM});
    write_numbers(folder, "v", t->v, TW_FP16, 4, (const int64_t[]){1, a->keys, HEADS, a->d_v});
    write_numbers(folder, "o", t->o, TW_FP32, 4, (const int64_t[]){1, a->rows, HEADS, a->d_v});
    write_numbers(folder, "lse", t->lse, TW_FP32, 3, (const int64_t[]){1, HEADS, a->rows});
    write_numbers(folder, "bias", t->bias, TW_FP32, 3, (const int64_t[]){HEADS, a->rows, a->keys});
    for (int64_t i = 0; i < rows * cols; i++)
        blocks[i] = block_on((int)(i / cols), (int)(i % cols));
    snprintf(shape, sizeof shape, "(%d, %d)", (int)rows, (int)cols);
    write_integers(folder, "blocks", "|b1", shape, blocks, (int)(rows * cols));
}

/* `check` of the files in a folder; FOLDER in the options stands for it. */
static tw_process check(const char *folder, const char *options, bool latent)
{
    char words[2000] = "", v[900] = "";
    const char *at = options, *mark;
    while ((mark = strstr(at, "FOLDER")) != NULL) {
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%.*s%s", (int)(mark - at), at, folder);
        at = mark + 6;
    }
    size_t used = strlen(words);
    snprintf(words + used, sizeof words - used, "%s", at);
    if (!latent)
        snprintf(v, sizeof v, "--v %s/v.npy ", folder);
    return tw_tilewise_f("check --q %s/q.npy --k %s/k.npy %s--o %s/o.npy --lse %s/lse.npy %s", folder, folder,
                         v, folder, folder, words);
}

/* ---- what agrees, and what is named --------------------------------------------------------------------- */

static const struct {
    asked a;
    const char *options, *forgotten; /* what check says of an O that lacks it; NULL: not tried */
} cases[] = {
    {{40, 40, DIM, .left = 6}, "--window 5,0", "the window was not applied"},
    {{40, 50, DIM, .left = 9, .causal = true, .sinks = 3}, "--causal --window 8,3 --sinks 3", NULL},
    {{50, 40, DIM, .left = 4, .sinks = 2}, "--window 3,0 --sinks 2", NULL},
    {{40, 40, DIM, .causal = true, .prefix = 7}, "--causal --prefix 7", NULL},
    {{40, 40, DIM, .document = 15}, "--documents 15,15,10", "rows see keys of other documents"},
    {{40, 40, DIM, .document = 15, .causal = true}, "--causal --documents FOLDER/ids.npy", NULL},
    {{40, 60, DIM, .block = 8},
     "--block-mask FOLDER/blocks.npy --block-size 8",
     "the block mask was not applied"},
    {{40, 40, DIM, .cap = 1.5}, "--softcap 1.5", "the soft cap was not applied"},
    {{40, 40, DIM, .alibi = true, .causal = true}, "--alibi --causal", "ALiBi was not added"},
    {{30, 50, DIM, .bias = true}, "--bias FOLDER/bias.npy", "the bias was not added"},
    {{40, 40, DIM, .sink = true, .sink_logit = 2.5}, "--sink-logit 2.5", "the sink logit was left out"},
    {{40, 40, 24, .causal = false}, "", NULL},
    {{40, 40, 9, .latent = true}, "--latent --head-dim-v 9", NULL},
    {{33, 47, 5, .left = 9, .sinks = 2, .cap = 4.0, .alibi = true, .bias = true, .sink = true,
      .sink_logit = -1},
     "--window 8,0 --sinks 2 --softcap 4 --alibi --bias FOLDER/bias.npy --sink-logit -1",
     NULL},
};
enum { NUM_CASES = sizeof cases / sizeof cases[0] };

static void write_case(const char *folder, const asked *a, const asked *done)
{
    int64_t ids[LONGEST];
    tensors t = make(a), other = make(done); /* the inputs are the same */
    memcpy(t.o, other.o, (size_t)(a->rows * HEADS * a->d_v) * sizeof *t.o);
    memcpy(t.lse, other.lse, (size_t)(a->rows * HEADS) * sizeof *t.lse);
    write_files(folder, a, &t);
    for (int j = 0; j < a->keys; j++)
        ids[j] = a->document ? 3 + 2 * (j / a->document) : 0;
    write_integers(folder, "ids", "<i4", "(40,)", ids, a->keys);
    free_tensors(&t);
    free_tensors(&other);
}

START_TEST(test_check_agrees)
{
    const char *folder = tw_new_folder();
    write_case(folder, &cases[_i].a, &cases[_i].a);
    tw_process p = check(folder, cases[_i].options, cases[_i].a.latent);
    ck_assert_msg(p.exit_code == 0, "%s: %s%s", cases[_i].options, p.err, p.out);
    ck_assert_ptr_nonnull(strstr(p.out, "\nagrees\n"));
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_check_names_what_was_forgotten)
{
    const asked *a = &cases[_i].a;
    const asked plain = {a->rows, a->keys, a->d_v, .causal = a->causal};
    if (!cases[_i].forgotten)
        return;
    const char *folder = tw_new_folder();
    write_case(folder, a, &plain);
    tw_process p = check(folder, cases[_i].options, a->latent);
    ck_assert_msg(p.exit_code == 1, "%s: %s%s", cases[_i].options, p.err, p.out);
    ck_assert_msg(strstr(p.out, cases[_i].forgotten) != NULL, "%s: %s", cases[_i].options, p.out);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

/* Two sequences of different lengths, one behind the other; run writes what check then reads. */
START_TEST(test_packed_files)
{
    const char *folder = tw_new_folder();
    const int64_t q_shape[] = {50, HEADS, DIM}, k_shape[] = {60, 1, DIM}, cu_q[] = {0, 17, 17, 50};
    double *q = numbers(50 * HEADS * DIM, 0), *k = numbers(60 * DIM, 1), *v = numbers(60 * DIM, 2);
    write_numbers(folder, "q", q, TW_FP16, 3, q_shape);
    write_numbers(folder, "k", k, TW_FP16, 3, k_shape);
    write_numbers(folder, "v", v, TW_FP16, 3, k_shape);
    write_integers(folder, "cu_q", "<i4", "(4,)", cu_q, 4);
    const char *lengths = "--causal --cu-seqlens-k 0,20,25,60";
    tw_process p = tw_tilewise_f(
        "run --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --lse %s/lse.npy "
        "--algorithm gqa_packed --block-m 16 --block-n 8 --cu-seqlens-q %s/cu_q.npy %s",
        folder, folder, folder, folder, folder, folder, lengths);
    ck_assert_msg(p.exit_code == 0, "%s%s", p.err, p.out);
    tw_process_free(&p);
    p = tw_tilewise_f("check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --lse %s/lse.npy "
                      "--cu-seqlens-q %s/cu_q.npy %s",
                      folder, folder, folder, folder, folder, folder, lengths);
    ck_assert_msg(p.exit_code == 0, "%s%s", p.err, p.out);
    ck_assert_ptr_nonnull(strstr(p.out, "150 of 150"));
    tw_process_free(&p);
    p = tw_tilewise_f("check --q %s/q.npy --k %s/k.npy --v %s/v.npy --o %s/o.npy --cu-seqlens-q %s/cu_q.npy "
                      "--cu-seqlens-k 0,20,25,61",
                      folder, folder, folder, folder, folder);
    ck_assert_int_eq(p.exit_code, 2);
    ck_assert_msg(strstr(p.err, "has 60 tokens, the offsets of its sequences end at 61") != NULL, "%s",
                  p.err);
    tw_process_free(&p);
    free(q), free(k), free(v);
    tw_remove_folder(folder);
}
END_TEST

/* ---- run and io ----------------------------------------------------------------------------------------- */

static const char *const runs[] = {
    "run --seqlen 77 --head-dim 16 --heads 2 --window 20,3 --sinks 2 --br 16 --bc 24",
    "run --seqlen 77 --head-dim 16 --heads 2 --block-mask random:0.4 --block-size 16,24 --causal",
    "run --seqlen 90 --head-dim 16 --heads 4 --block-mask butterfly --block-size 8 --bias random",
    "run --seqlen 64 --head-dim 16 --heads 2 --block-mask local:1,1 --block-size 8 --softcap 3 --dtype bf16",
    "run --cu-seqlens 0,30,30,95,100 --head-dim 16 --heads 25 --heads-kv 5 --causal --alibi --br 16 --bc 16",
    "run --latent --heads 33 --head-dim 24 --head-dim-v 16 --seqlen-q 2 --seqlen-k 90 --sink-logit 1 --exact",
    "run --seqlen 60 --head-dim 16 --heads 2 --documents 11,0,49 --window 9,9 --machine paper",
};

START_TEST(test_run)
{
    tw_process p = tw_tilewise(runs[_i]);
    ck_assert_msg(p.exit_code == 0, "%s: %s%s", runs[_i], p.err, p.out);
    ck_assert_ptr_null(strstr(p.out, "DIFFER"));
    tw_process_free(&p);
}
END_TEST

static const struct {
    const char *line, *words;
} told[] = {
    {"io --seqlen 4k --window 1023,0 --sinks 4", "window 1023,0; 4 sinks|Tiles under the mask|none"},
    {"io --seqlen 4k --block-mask butterfly", "block mask of 128 x 128|flex|18.75"},
    {"io --seqlen 4k --block-mask random:0.25 --block-size 64", "25.00|block mask of 64 x 64"},
    {"io --cu-seqlens 0,100,350,2000", "to 1650 x 1650|Packed against padded: 3 sequences of 2000|of 4950"},
    {"io --latent --heads 128 --head-dim 576 --head-dim-v 512 --seqlen-q 1 --seqlen-k 4k",
     "mla|(V 512)|V in K"},
    {"io --heads 64 --heads-kv 8 --seqlen-q 1 --seqlen-k 4k --softcap 50", "gqa_packed|soft cap 50"},
    {"step --block-mask butterfly --block-size 4 --seqlen 16", "list|- .|block mask of 4 x 4"},
    {"step --algorithm gqa_packed --heads 4 --heads-kv 2 --seqlen-q 2 --causal",
     "rows 0-3, keys 4-7, K/V head 1"},
    {"list variants", "--window|--block-mask|2024|mla|Longformer"},
};

START_TEST(test_told)
{
    char words[400], *rest = NULL;
    tw_process p = tw_expect_exit(0, told[_i].line);
    snprintf(words, sizeof words, "%s", told[_i].words);
    for (char *word = strtok_r(words, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        ck_assert_msg(strstr(p.out, word) != NULL, "%s: '%s' is not in %.1500s", told[_i].line, word, p.out);
    tw_process_free(&p);
}
END_TEST

/* Blocks that the shares say, and bytes of K and V in proportion. */
START_TEST(test_bytes_follow_the_share)
{
    long long fill[3];
    const char *const shares[] = {"0.25", "0.5", "1"};
    for (int i = 0; i < 3; i++) {
        tw_process p = tw_tilewise_f(
            "io --algorithm flash2 --seqlen 4k --heads 1 --csv - --block-mask random:%s", shares[i]);
        ck_assert_msg(p.exit_code == 0, "%s", p.err);
        const char *row = strstr(p.out, "\nflash2");
        ck_assert_ptr_nonnull(row);
        for (int comma = 0; comma < 12; row++)
            comma += *row == ',';
        fill[i] = strtoll(row, NULL, 10);
        tw_process_free(&p);
    }
    long long q = 4096 * 128 * 2, kv = 32 * 128 * 2 * 128 * 2,
              lists = 32 * 4; /* Q; a block in each row; its index */
    ck_assert_int_eq(fill[2], q + 32 * kv + 32 * 8 + 32 * lists);
    ck_assert_int_eq(fill[1], q + 16 * kv + 32 * 8 + 16 * lists);
    ck_assert_int_eq(fill[0], q + 8 * kv + 32 * 8 + 8 * lists);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------------------ */

static const struct {
    const char *line, *words;
} refused[] = {
    {"io --window 5", "--window|'5'|1024,0"},
    {"io --window 5,x", "--window|'x'"},
    {"io --window 5,1,2", "--window|'5,1,2'"},
    {"io --window -2,0", "--window|'-2'"},
    {"io --window ,", "--window|''"},
    {"io --prefix 0", "--prefix|at least 1"},
    {"io --prefix 5", "--prefix is 5|--causal or --window"},
    {"io --sinks 4", "--sinks is 4|--window"},
    {"io --sinks 4 --window -1,0", "--sinks is 4|--window"},
    {"io --documents 5,x", "--documents|'x'"},
    {"io --documents 5,6", "from key 0 to 11|seqlen_k, which is 1024"},
    {"io --documents 2000000000,2000000000", "--documents|more than 2147483647"},
    {"io --documents no/such.npy", "no/such.npy|cannot be opened"},
    {"io --block-mask no/such.npy", "no/such.npy|cannot be opened"},
    {"io --block-mask butterfli", "butterfli|cannot be opened"},
    {"io --block-mask random:0", "--block-mask|'0'|positive"},
    {"io --block-mask random:1.5", "random:1.5|at most 1"},
    {"io --block-mask local:1,2,3", "local:1,2,3|local:2,1"},
    {"io --block-mask local:", "--block-mask|''"},
    {"io --block-size 64", "--block-size is 64|--block-mask"},
    {"io --block-mask butterfly --block-size 0", "--block-size|at least 1"},
    {"io --cu-seqlens 0", "--cu-seqlens|'0'|0,100,350"},
    {"io --cu-seqlens 0,0", "--cu-seqlens|'0,0'"},
    {"io --cu-seqlens 5,10", "cu_seqlens_q begins with 5"},
    {"io --cu-seqlens 0,10,5", "cu_seqlens_q has 5 behind 10"},
    {"io --cu-seqlens 0,10 --seqlen 5", "--seqlen is given beside --cu-seqlens"},
    {"io --cu-seqlens 0,10 --batch 5", "--batch is given beside --cu-seqlens"},
    {"io --cu-seqlens-q 0,10", "--cu-seqlens-k is missing"},
    {"io --cu-seqlens 0,10 --cu-seqlens-k 0,10", "leave --cu-seqlens-k out"},
    {"io --cu-seqlens-q 0,10 --cu-seqlens-k 0,10,20", "2 offsets and --cu-seqlens-k has 3"},
    {"io --cu-seqlens 0,10 --documents 10", "--documents and packed sequences"},
    {"io --cu-seqlens 0,10 --block-mask butterfly", "--block-mask and packed sequences"},
    {"io --cu-seqlens 0,10 --bias random", "--bias and packed sequences"},
    {"io --softcap 0", "--softcap|'0'|positive"},
    {"io --softcap inf", "--softcap|'inf'"},
    {"io --sink-logit inf", "--sink-logit|'inf'|finite"},
    {"io --sink-logit no/such.npy", "no/such.npy|cannot be opened"},
    {"io --bias no/such.npy", "no/such.npy|cannot be opened"},
    {"io --head-dim-v 0", "--head-dim-v|at least 1"},
    {"io --latent --head-dim 16 --head-dim-v 17", "V is a part of K|16 columns"},
    {"io --algorithm mla", "mla does not do a V that is no part of K|flash2"},
    {"run --latent --q a.npy --k b.npy --v c.npy", "--v is c.npy|part of K"},
    {"run --head-dim-v 5 --q a.npy --k b.npy --v c.npy", "--head-dim-v is 5|--v"},
    {"check --head-dim-v 5 --q a.npy --k b.npy --v c.npy --o d.npy", "--head-dim-v is 5|--v"},
    {"check --latent --v c.npy --q a.npy --k b.npy --o d.npy", "--v is c.npy|part of K"},
    {"compare --window 5,0", "--window"},
};

START_TEST(test_refused)
{
    tw_expect_refusal(refused[_i].line, refused[_i].words);
}
END_TEST

START_TEST(test_files_of_other_shapes_are_refused)
{
    const char *folder = tw_new_folder();
    const asked a = {40, 40, DIM, .block = 8};
    const int64_t back[] = {3, 3, 2}, negative[] = {0, -4, 5};
    char line[2000];
    write_case(folder, &a, &a);
    write_integers(folder, "back", "<i8", "(3,)", back, 3);
    write_integers(folder, "negative", "<i8", "(3,)", negative, 3);
    const struct {
        const char *options, *words;
    } wrong[] = {
        {"--seqlen 40 --block-mask %s/blocks.npy", "must be (1, 1)"},
        {"--seqlen 41 --block-mask %s/blocks.npy --block-size 8", "must be (6, 6)"},
        {"--seqlen 40 --bias %s/bias.npy", "it must be (40, 40), with 16 heads"},
        {"--seqlen 40 --heads 3 --bias %s/q.npy", "it must be (40, 40)"},
        {"--heads 3 --sink-logit %s/q.npy", "one for each of the 3 heads"},
        {"--seqlen 40 --documents %s/blocks.npy", "has 2 axes, it must have one"},
        {"--seqlen 4 --documents %s/back.npy", "one for each of the 4 keys"},
        {"--seqlen 3 --documents %s/back.npy", "key 2 is of document 2 behind 3"},
        {"--cu-seqlens %s/negative.npy", "number 1 is -4"},
        {"--cu-seqlens %s/q.npy", "elements are '<f2'"},
        {"--seqlen 40 --block-mask %s/bias.npy", "elements are '<f4'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char options[1500];
        const char *mark = strstr(wrong[i].options, "%s");
        snprintf(options, sizeof options, "%.*s%s%s", (int)(mark - wrong[i].options), wrong[i].options,
                 folder, mark + 2);
        snprintf(line, sizeof line, "io %s", options);
        tw_expect_refusal(line, wrong[i].words);
    }
    tw_remove_folder(folder);
}
END_TEST

/* What the theory page shows is what the program says. */
START_TEST(test_theory_page)
{
    ck_assert_int_eq(tw_expect_console("docs/theory/masks.md"), 1);
}
END_TEST

/* And so are its figures: fill of flash2 at 16k, 16 heads of 128, and how many tiles are visited. */
static const struct {
    const char *options, *tiles, *fill;
} figures[] = {{"--causal", NULL, "8,724"},
               {"--causal --prefix 1024", "8,284", "8,753"},
               {"--window 1023,0", "1,116", "1,237"},
               {"--window 1019,0 --sinks 4", "1,235", "1,362"},
               {"--documents 4096,4096,4096,4096 --causal", "2,112", "2,281"},
               {"--block-mask butterfly", "1,024", "1,140"}};

START_TEST(test_figures_of_the_theory_page)
{
    tw_process p = tw_tilewise_f("io --algorithm flash2 --seqlen 16k %s", figures[_i].options);
    ck_assert_int_eq(p.exit_code, 0);
    ck_assert_msg(strstr(p.out, figures[_i].fill) != NULL, "%s", p.out);
    if (figures[_i].tiles)
        ck_assert_msg(strstr(p.out, figures[_i].tiles) != NULL, "%s", p.out);
    tw_process_free(&p);
}
END_TEST

Suite *tw_suite_cli_masks(void)
{
    Suite *suite = suite_create("cli_masks");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_check_agrees, 0, NUM_CASES);
    tcase_add_loop_test(core, test_check_names_what_was_forgotten, 0, NUM_CASES);
    tcase_add_test(core, test_packed_files);
    tcase_add_loop_test(core, test_run, 0, (int)(sizeof runs / sizeof runs[0]));
    tcase_add_loop_test(core, test_told, 0, (int)(sizeof told / sizeof told[0]));
    tcase_add_test(core, test_bytes_follow_the_share);
    tcase_add_test(core, test_theory_page);
    tcase_add_loop_test(core, test_figures_of_the_theory_page, 0, 6);
    suite_add_tcase(suite, core);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
    tcase_add_test(errors, test_files_of_other_shapes_are_refused);
    suite_add_tcase(suite, errors);
    return suite;
}
