/* The command line of tilewise-gpu. */
#include "options.h"

#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char tw_gpu_usage[] =
    "usage: tilewise-gpu COMMAND [options]\n"
    "\n"
    "  list       the kernels: name, schedule, tilings, idea\n"
    "  validate   every kernel on a table of awkward shapes (or the shapes given) against the CPU reference\n"
    "  bench      validates, then measures time and energy of every case\n"
    "  launch     runs every case once, for a profiler (`make counters`)\n"
    "\n"
    "  --kernel A,B        kernels by name (all)\n"
    "  --plugin FILE.so    adds the kernel of a shared object (gpu/plugin_example.cu)\n"
    "  --seqlen LIST       queries and keys (1k); 512,1k,4k or 512..16k, doubling; k = 1024, M = 1024^2\n"
    "  --seqlen-q N, --seqlen-k N   one of them alone\n"
    "  --head-dim LIST     64, 128 or both (128)\n"
    "  --heads N, --heads-kv N      query heads (16), key/value heads (as --heads)\n"
    "  --batch N           (1)\n"
    "  --tokens N          instead of --batch: batch = tokens / seqlen\n"
    "  --hidden N          instead of --heads: heads = hidden / head_dim\n"
    "  --dtype LIST        fp16, bf16 or both (fp16)\n"
    "  --causal            causal mask; --mask none,causal runs both\n"
    "  --block-m LIST, --block-n LIST   tile sizes (the kernel's own)\n"
    "  --reps N            timed launches of a case (20)\n"
    "  --seed N            of the random tensors (1)\n"
    "  --csv FILE|-        results as CSV\n"
    "\n"
    "Exit status: 0 all is well, 1 a kernel disagrees with the reference, 2 it could not be run.\n";

/* ---- sizes and lists ----------------------------------------------------------------------------------- */

static tw_status bad_size(const char *option, const char *text)
{
    return tw_fail(TW_EINVAL, "%s is '%s', it must be a whole number from 1 to 2147483647, such as 512, 4k or 1M",
                   option, text);
}

tw_status tw_gpu_parse_size(int *size, const char *option, const char *text)
{
    if (text[0] < '0' || text[0] > '9') /* strtoll would take a sign or a space */
        return bad_size(option, text);
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    long long factor = *end == 'k' || *end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : 1;
    if (factor > 1)
        end++;
    if (errno != 0 || *end != '\0' || value < 1 || value > INT32_MAX / factor)
        return bad_size(option, text);
    *size = (int)(value * factor);
    return TW_OK;
}

static tw_status append(tw_gpu_list *list, const char *option, int value)
{
    if (list->count == TW_GPU_MAX_LIST)
        return tw_fail(TW_EINVAL, "%s has more than %d sizes", option, TW_GPU_MAX_LIST);
    list->values[list->count++] = value;
    return TW_OK;
}

/* "512" or "512..16k"; changes the text. */
static tw_status append_item(tw_gpu_list *list, const char *option, char *item)
{
    char *dots = strstr(item, "..");
    if (dots != NULL)
        *dots = '\0';
    int first, last;
    TW_TRY(tw_gpu_parse_size(&first, option, item));
    if (dots == NULL)
        return append(list, option, first);
    TW_TRY(tw_gpu_parse_size(&last, option, dots + 2));
    if (last < first)
        return tw_fail(TW_EINVAL, "%s has the range %d..%d, it must rise", option, first, last);
    for (int64_t value = first; value <= last; value *= 2)
        TW_TRY(append(list, option, (int)value));
    return TW_OK;
}

tw_status tw_gpu_parse_list(tw_gpu_list *list, const char *option, const char *text)
{
    char copy[1024];
    if (strlen(text) >= sizeof copy)
        return tw_fail(TW_EINVAL, "%s is longer than %zu characters", option, sizeof copy - 1);
    strcpy(copy, text);
    tw_gpu_list result = {0};
    for (char *item = copy; item != NULL;) {
        char *comma = strchr(item, ',');
        if (comma != NULL)
            *comma = '\0';
        TW_TRY(append_item(&result, option, item));
        item = comma != NULL ? comma + 1 : NULL;
    }
    *list = result;
    return TW_OK;
}

static tw_status parse_dtypes(tw_gpu_options *o, const char *text)
{
    if (strcmp(text, "fp16,bf16") == 0 || strcmp(text, "bf16,fp16") == 0) {
        o->num_dtypes = 2;
        o->dtypes[0] = TW_FP16;
        o->dtypes[1] = TW_BF16;
        return TW_OK;
    }
    o->num_dtypes = 1;
    if (tw_dtype_parse(&o->dtypes[0], text) != TW_OK || (o->dtypes[0] != TW_FP16 && o->dtypes[0] != TW_BF16))
        return tw_fail(TW_EINVAL, "--dtype is '%s', it must be fp16, bf16 or fp16,bf16", text);
    return TW_OK;
}

static tw_status parse_masks(tw_gpu_options *o, const char *text)
{
    if (strcmp(text, "none,causal") == 0) {
        o->num_masks = 2;
        o->masks[0] = false;
        o->masks[1] = true;
    } else if (strcmp(text, "none") == 0 || strcmp(text, "causal") == 0) {
        o->num_masks = 1;
        o->masks[0] = text[0] == 'c';
    } else {
        return tw_fail(TW_EINVAL, "--mask is '%s', it must be none, causal or none,causal", text);
    }
    return TW_OK;
}

static tw_status parse_seed(uint64_t *seed, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return tw_fail(TW_EINVAL, "--seed is '%s', it must be a whole number from 0 to 2^64 - 1", text);
    *seed = value;
    return TW_OK;
}

/* ---- options ------------------------------------------------------------------------------------------- */

enum {
    OPT_KERNEL = 1, OPT_PLUGIN, OPT_CSV, OPT_REPS, OPT_SEED, OPT_HELP, OPT_BLOCK_M, OPT_BLOCK_N,
    OPT_SHAPE, /* the rest say something about the problem */
    OPT_SEQLEN = OPT_SHAPE, OPT_SEQLEN_Q, OPT_SEQLEN_K, OPT_HEAD_DIM, OPT_HEADS, OPT_HEADS_KV, OPT_BATCH,
    OPT_TOKENS, OPT_HIDDEN, OPT_DTYPE, OPT_CAUSAL, OPT_MASK
};

#define VALUE(name, id) {name, '\0', POPT_ARG_STRING, NULL, id, NULL, NULL}
#define FLAG(name, id)  {name, '\0', POPT_ARG_NONE, NULL, id, NULL, NULL}
static const struct poptOption option_table[] = {
    VALUE("kernel", OPT_KERNEL),     VALUE("plugin", OPT_PLUGIN),     VALUE("csv", OPT_CSV),
    VALUE("reps", OPT_REPS),         VALUE("seed", OPT_SEED),         FLAG("help", OPT_HELP),
    VALUE("block-m", OPT_BLOCK_M),   VALUE("br", OPT_BLOCK_M),        VALUE("block-n", OPT_BLOCK_N),
    VALUE("bc", OPT_BLOCK_N),        VALUE("seqlen", OPT_SEQLEN),     VALUE("seqlen-q", OPT_SEQLEN_Q),
    VALUE("seqlen-k", OPT_SEQLEN_K), VALUE("head-dim", OPT_HEAD_DIM), VALUE("heads", OPT_HEADS),
    VALUE("heads-kv", OPT_HEADS_KV), VALUE("batch", OPT_BATCH),       VALUE("tokens", OPT_TOKENS),
    VALUE("hidden", OPT_HIDDEN),     VALUE("dtype", OPT_DTYPE),       FLAG("causal", OPT_CAUSAL),
    VALUE("mask", OPT_MASK),         POPT_TABLEEND};

/* Options whose value is kept as it is live as long as the program: argv does, popt's copy does not. */
static tw_status keep(const char **to, const char *value)
{
    free((char *)(uintptr_t)*to);
    *to = strdup(value);
    return *to != NULL ? TW_OK : tw_fail(TW_ENOMEM, "no memory for the command line");
}

static tw_status apply(tw_gpu_options *o, int id, const char *value)
{
    switch (id) {
    case OPT_KERNEL:
        return keep(&o->kernels, value);
    case OPT_PLUGIN:
        return keep(&o->plugin, value);
    case OPT_CSV:
        return keep(&o->csv, value);
    case OPT_REPS:
        return tw_gpu_parse_size(&o->reps, "--reps", value);
    case OPT_SEED:
        return parse_seed(&o->seed, value);
    case OPT_BLOCK_M:
        return tw_gpu_parse_list(&o->block_m, "--block-m", value);
    case OPT_BLOCK_N:
        return tw_gpu_parse_list(&o->block_n, "--block-n", value);
    case OPT_SEQLEN:
        return tw_gpu_parse_list(&o->seqlen, "--seqlen", value);
    case OPT_SEQLEN_Q:
        return tw_gpu_parse_size(&o->seqlen_q, "--seqlen-q", value);
    case OPT_SEQLEN_K:
        return tw_gpu_parse_size(&o->seqlen_k, "--seqlen-k", value);
    case OPT_HEAD_DIM:
        return tw_gpu_parse_list(&o->head_dim, "--head-dim", value);
    case OPT_HEADS:
        return tw_gpu_parse_size(&o->heads, "--heads", value);
    case OPT_HEADS_KV:
        return tw_gpu_parse_size(&o->heads_kv, "--heads-kv", value);
    case OPT_BATCH:
        return tw_gpu_parse_size(&o->batch, "--batch", value);
    case OPT_TOKENS:
        return tw_gpu_parse_size(&o->tokens, "--tokens", value);
    case OPT_HIDDEN:
        return tw_gpu_parse_size(&o->hidden, "--hidden", value);
    case OPT_DTYPE:
        return parse_dtypes(o, value);
    case OPT_CAUSAL:
        return parse_masks(o, "causal");
    case OPT_MASK:
        return parse_masks(o, value);
    default:
        o->help = true;
        return TW_OK;
    }
}

static tw_status check_together(const tw_gpu_options *o)
{
    if (o->tokens != 0 && o->batch != 0)
        return tw_fail(TW_EINVAL, "--tokens and --batch exclude each other");
    if (o->hidden != 0 && (o->heads != 0 || o->heads_kv != 0))
        return tw_fail(TW_EINVAL, "--hidden and --heads exclude each other");
    return TW_OK;
}

static tw_status read_all(tw_gpu_options *o, poptContext context)
{
    int id;
    while ((id = poptGetNextOpt(context)) > 0) {
        char *value = poptGetOptArg(context);
        tw_status status = apply(o, id, value);
        free(value);
        TW_TRY(status);
        o->shape_given |= id >= OPT_SHAPE;
    }
    if (id < -1)
        return tw_fail(TW_EINVAL, "%s: %s; try --help", poptBadOption(context, POPT_BADOPTION_NOALIAS),
                       poptStrerror(id));
    if (poptPeekArg(context) != NULL)
        return tw_fail(TW_EINVAL, "'%s' is not an option; try --help", poptPeekArg(context));
    return check_together(o);
}

tw_status tw_gpu_parse_options(tw_gpu_options *options, int argc, const char **argv)
{
    static const char *const commands[] = {"list", "validate", "bench", "launch"};
    tw_gpu_options o = {.seqlen = {1, {1024}},
                        .head_dim = {1, {128}},
                        .block_m = {1, {0}},
                        .block_n = {1, {0}},
                        .num_dtypes = 1,
                        .dtypes = {TW_FP16},
                        .num_masks = 1,
                        .reps = 20,
                        .seed = 1};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i]) == 0)
            o.command = commands[i];
    o.help = argc < 2 || strcmp(argv[1], "--help") == 0;
    if (o.command == NULL && !o.help)
        return tw_fail(TW_EINVAL, "unknown command '%s', it must be list, validate, bench or launch", argv[1]);
    if (o.command != NULL) {
        poptContext context = poptGetContext(NULL, argc - 1, argv + 1, option_table, 0);
        tw_status status = read_all(&o, context);
        poptFreeContext(context);
        TW_TRY(status);
    }
    *options = o;
    return TW_OK;
}

/* ---- problems ------------------------------------------------------------------------------------------ */

int tw_gpu_num_problems(const tw_gpu_options *o)
{
    return o->num_masks * o->num_dtypes * o->head_dim.count * o->seqlen.count;
}

tw_status tw_gpu_problem_at(tw_problem *problem, const tw_gpu_options *o, int i)
{
    int seqlen = o->seqlen.values[i % o->seqlen.count];
    i /= o->seqlen.count;
    int head_dim = o->head_dim.values[i % o->head_dim.count];
    i /= o->head_dim.count;
    tw_problem p = {.head_dim = head_dim,
                    .dtype = o->dtypes[i % o->num_dtypes],
                    .causal = o->masks[i / o->num_dtypes],
                    .seqlen_q = o->seqlen_q != 0 ? o->seqlen_q : seqlen,
                    .seqlen_k = o->seqlen_k != 0 ? o->seqlen_k : seqlen};
    if (o->tokens != 0 && o->tokens % p.seqlen_k != 0)
        return tw_fail(TW_EINVAL, "--tokens is %d, a seqlen of %d does not divide it", o->tokens, p.seqlen_k);
    if (o->hidden != 0 && o->hidden % head_dim != 0)
        return tw_fail(TW_EINVAL, "--hidden is %d, a head_dim of %d does not divide it", o->hidden, head_dim);
    p.batch = o->tokens != 0 ? o->tokens / p.seqlen_k : o->batch != 0 ? o->batch : 1;
    p.num_heads = o->hidden != 0 ? o->hidden / head_dim : o->heads != 0 ? o->heads : 16;
    p.num_heads_kv = o->heads_kv != 0 ? o->heads_kv : p.num_heads;
    TW_TRY(tw_problem_check(&p));
    *problem = p;
    return TW_OK;
}
