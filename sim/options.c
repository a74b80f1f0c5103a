/* The one table of shared options, and how popt fills it. */
#include "options.h"

#include "backend_cache.h"

#include <popt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define AT(field)    offsetof(tw_options, field)

static const tw_option shared[] = {
    {"algorithm", "A,B", TW_OPTION_ALGORITHMS, AT(algorithms), TW_GROUP_ALGORITHM,
     "what to look at; `tilewise list algorithms` names them (default: all)"},
    {"seqlen", "LIST", TW_OPTION_INT_LIST, AT(seqlen), TW_GROUP_SHAPE,
     "rows of Q and of K, V: 512,1k,4k or 512..16k, doubling; k is 1024 (default: 1k)"},
    {"seqlen-q", "LIST", TW_OPTION_INT_LIST, AT(seqlen_q), TW_GROUP_SHAPE, "rows of Q alone"},
    {"seqlen-k", "LIST", TW_OPTION_INT_LIST, AT(seqlen_k), TW_GROUP_SHAPE, "rows of K and V alone"},
    {"head-dim", "LIST", TW_OPTION_INT_LIST, AT(head_dim), TW_GROUP_SHAPE,
     "columns of a head (default: 128)"},
    {"heads", "LIST", TW_OPTION_INT_LIST, AT(heads), TW_GROUP_SHAPE, "query heads (default: 16)"},
    {"heads-kv", "LIST", TW_OPTION_INT_LIST, AT(heads_kv), TW_GROUP_SHAPE,
     "key/value heads; must divide the query heads (default: as many)"},
    {"batch", "LIST", TW_OPTION_INT_LIST, AT(batch), TW_GROUP_SHAPE, "sequences (default: 1)"},
    {"tokens", "NUMBER", TW_OPTION_INT, AT(tokens), TW_GROUP_SHAPE,
     "batch such that so many query rows are there in all: tokens / seqlen_q"},
    {"hidden", "NUMBER", TW_OPTION_INT, AT(hidden), TW_GROUP_SHAPE,
     "heads such that heads x head_dim is this"},
    {"dtype", "fp16|bf16|fp32", TW_OPTION_DTYPE, AT(dtype), TW_GROUP_SHAPE, "of Q, K, V, O (default: fp16)"},
    {"causal", NULL, TW_OPTION_FLAG, AT(causal), TW_GROUP_CAUSAL,
     "query i sees keys up to i + seqlen_k - seqlen_q (default: every key)"},
    {"window", "LEFT,RIGHT", TW_OPTION_TEXT, AT(extras.window), TW_GROUP_EXTRAS,
     "a query sees so many keys to either side of its own position; -1: all of them"},
    {"prefix", "NUMBER", TW_OPTION_INT, AT(extras.prefix), TW_GROUP_EXTRAS,
     "the first keys, seen by every query, whatever --causal or --window say"},
    {"sinks", "NUMBER", TW_OPTION_INT, AT(extras.sinks), TW_GROUP_EXTRAS,
     "the first keys, seen however far a --window is from them"},
    {"documents", "LENGTHS|FILE", TW_OPTION_TEXT, AT(extras.documents), TW_GROUP_EXTRAS,
     "a query sees keys of its own document: 300,724, or the number of each key's document"},
    {"block-mask", "FILE|PATTERN", TW_OPTION_TEXT, AT(extras.block_mask), TW_GROUP_EXTRAS,
     "blocks of scores that are computed: of a .npy file, or butterfly, local:WIDTH,GLOBAL in blocks, "
     "random:SHARE"},
    {"block-size", "ROWS,KEYS", TW_OPTION_TEXT, AT(extras.block_size), TW_GROUP_EXTRAS,
     "of a block of --block-mask, 128 and 128 unless given"},
    {"cu-seqlens", "OFFSETS|FILE", TW_OPTION_TEXT, AT(extras.cu_seqlens), TW_GROUP_EXTRAS,
     "sequences of different lengths, packed: 0,100,350 is one of 100 and one of 250 tokens"},
    {"cu-seqlens-q", "OFFSETS|FILE", TW_OPTION_TEXT, AT(extras.cu_seqlens_q), TW_GROUP_EXTRAS,
     "of queries alone"},
    {"cu-seqlens-k", "OFFSETS|FILE", TW_OPTION_TEXT, AT(extras.cu_seqlens_k), TW_GROUP_EXTRAS,
     "of keys alone"},
    {"softcap", "NUMBER", TW_OPTION_POSITIVE, AT(extras.softcap), TW_GROUP_EXTRAS,
     "scores s become cap tanh(s / cap)"},
    {"alibi", NULL, TW_OPTION_FLAG, AT(extras.alibi), TW_GROUP_EXTRAS,
     "scores lose 2^(-8 (h + 1) / heads) for each key between query and key"},
    {"bias", "FILE|random", TW_OPTION_TEXT, AT(extras.bias), TW_GROUP_EXTRAS,
     "is added to scores: seqlen_q x seqlen_k, or that per head, or per batch element and head"},
    {"sink-logit", "NUMBER|FILE", TW_OPTION_TEXT, AT(extras.sink_logit), TW_GROUP_EXTRAS,
     "one more score under each softmax, of a key without value; of all heads, or of each"},
    {"head-dim-v", "NUMBER", TW_OPTION_INT, AT(extras.head_dim_v), TW_GROUP_EXTRAS,
     "columns of V and O (default: as --head-dim)"},
    {"latent", NULL, TW_OPTION_FLAG, AT(extras.latent), TW_GROUP_EXTRAS,
     "V is the first columns of K, as in latent attention: one K/V head unless --heads-kv says more"},
    {"dropout", "P", TW_OPTION_FRACTION, AT(extras.dropout), TW_GROUP_EXTRAS,
     "share of probabilities that are dropped after the softmax; the others are divided by 1 - P"},
    {"dropout-seed", "NUMBER", TW_OPTION_SEED, AT(extras.dropout_seed), TW_GROUP_EXTRAS,
     "of the Philox counters that say which (default: 1)"},
    {"block-m", "LIST", TW_OPTION_INT_LIST, AT(block_m), TW_GROUP_TILING,
     "query rows of a tile (default: 128)"},
    {"block-n", "LIST", TW_OPTION_INT_LIST, AT(block_n), TW_GROUP_TILING,
     "key rows of a tile (default: 128; flash1: what fits, SRAM / 4 head_dim)"},
    {"br", "LIST", TW_OPTION_INT_LIST, AT(block_m), TW_GROUP_TILING, "--block-m by the papers' name"},
    {"bc", "LIST", TW_OPTION_INT_LIST, AT(block_n), TW_GROUP_TILING, "--block-n by the papers' name"},
    {"splits", "LIST", TW_OPTION_INT_LIST, AT(splits), TW_GROUP_SPLITS,
     "parts of the keys, for algorithms that split them (default: as fill the SMs)"},
    {"phi", "NUMBER", TW_OPTION_NUMBER, AT(phi), TW_GROUP_SPLITS,
     "what flash_decoding_plus_plus has in place of the maximum of a row (default: 0)"},
    {"page-size", "NUMBER", TW_OPTION_INT, AT(extras.page_size), TW_GROUP_PAGES,
     "K and V are pages of so many keys, in an order that --seed draws (default: not paged)"},
    {"page-table", "FILE.npy", TW_OPTION_TEXT, AT(extras.page_table), TW_GROUP_PAGES,
     "numbers of the pages, sequences x pages, in place of that order"},
    {"order", TW_ORDER_CHOICES, TW_OPTION_CHOICE, AT(order), TW_GROUP_ORDER,
     "in which blocks start (default: own, the algorithm's or the kernel's)"},
    {"kv-order", TW_KV_ORDER_CHOICES, TW_OPTION_CHOICE, AT(kv_order), TW_GROUP_ORDER,
     "in which a block walks over K and V (default: forward)"},
    {"machine", "NAME|FILE.ini", TW_OPTION_TEXT, AT(machine), TW_GROUP_MACHINE,
     "`tilewise list machines` names them (default: h100; compare: as measured)"},
    {"sram", "BYTES", TW_OPTION_BYTES, AT(sram_bytes), TW_GROUP_MACHINE,
     "on-chip memory of a block in place of the machine's own, as in 96k"},
    {"pass", "forward|backward|both", TW_OPTION_CHOICE, AT(passes), TW_GROUP_PASS,
     "which half of a training step, or both halves together (default: forward)"},
    {"set", "KEY=VALUE", TW_OPTION_TEXTS, AT(set), TW_GROUP_MACHINE,
     "a number of the machine file in place of its own, as in l2_side_bytes=30M; may be repeated"},
    {"start", TW_L2_START_CHOICES, TW_OPTION_CHOICE, AT(l2_start), TW_GROUP_LAUNCH,
     "what the L2 holds: nothing; what a run before left; nothing at every launch (default: cold)"},
    {"blocks-per-sm", "NUMBER", TW_OPTION_INT, AT(blocks_per_sm), TW_GROUP_LAUNCH,
     "that share an SM (default: as registers and shared memory of the schedule's slots allow)"},
    {"workers", "NUMBER", TW_OPTION_INT, AT(num_workers), TW_GROUP_LAUNCH,
     "blocks in flight (default: blocks-per-sm on every SM)"},
    {"static", NULL, TW_OPTION_FLAG, AT(static_stride), TW_GROUP_LAUNCH,
     "persistent blocks, each takes every workers-th piece of work; else whoever is free the next"},
    {"unit", "bytes|elements", TW_OPTION_CHOICE, AT(unit), TW_GROUP_UNIT,
     "of the table; elements are shown exactly (default: bytes)"},
    {"csv", "FILE|-", TW_OPTION_TEXT, AT(csv), TW_GROUP_CSV, "also write CSV; - writes it, alone, to stdout"},
    {"seed", "NUMBER", TW_OPTION_SEED, AT(seed), TW_GROUP_SEED, "of random numbers (default: 1)"},
};

tw_options tw_options_default(void)
{
    return (tw_options){.dtype = TW_FP16, .seed = 1, .extras.dropout_seed = TW_NO_DROPOUT_SEED};
}

bool tw_options_shape_given(const tw_options *o)
{
    const tw_int_list *lists[] = {&o->seqlen, &o->seqlen_q, &o->seqlen_k, &o->head_dim,
                                  &o->heads,  &o->heads_kv, &o->batch};
    bool given = o->tokens > 0 || o->hidden > 0;
    for (int i = 0; i < COUNT(lists); i++)
        given = given || lists[i]->count > 0;
    return given;
}

tw_option_set tw_options_shared(tw_options *options, unsigned groups)
{
    return (tw_option_set){.rows = shared, .count = COUNT(shared), .into = options, .groups = groups};
}

static bool offered(const tw_option_set *set, const tw_option *row)
{
    return set->groups == 0 || (row->group & set->groups) != 0;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static tw_status read_algorithms(tw_algorithm_list *list, const char *what, const char *text)
{
    tw_algorithm_list result = {.count = 0};
    for (const char *c = text;; c++) {
        char name[64];
        size_t length = strcspn(c, ",");
        if (length == 0)
            return tw_fail(TW_EINVAL,
                           "%s is '%s', which has an empty item; it must be a list such as flash1,flash2",
                           what, tw_quote(text).text);
        if (result.count == TW_ALGORITHMS_MAX)
            return tw_fail(TW_EINVAL, "%s has more than %d names, it may have %d", what, TW_ALGORITHMS_MAX,
                           TW_ALGORITHMS_MAX);
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), c);
        TW_TRY(tw_schedule_find(&result.values[result.count], tw_quote(name).text));
        result.count++;
        c += length;
        if (*c == '\0')
            break;
    }
    *list = result;
    return TW_OK;
}

/* Takes `text` over if the field keeps it; otherwise the caller frees it. */
static tw_status keep_text(char **field, char **text)
{
    free(*field);
    *field = *text;
    *text = NULL;
    return TW_OK;
}

static tw_status append_text(tw_text_list *list, const char *what, char **text)
{
    if (list->count == TW_TEXTS_MAX)
        return tw_fail(TW_EINVAL, "%s is given more than %d times, it may be given %d times", what,
                       TW_TEXTS_MAX, TW_TEXTS_MAX);
    list->values[list->count] = NULL;
    return keep_text(&list->values[list->count++], text);
}

static tw_status read_value(void *field, const tw_option *row, char **text)
{
    char what[40];
    snprintf(what, sizeof what, "--%s", row->name);
    switch (row->kind) {
    case TW_OPTION_FLAG:
        *(bool *)field = true;
        return TW_OK;
    case TW_OPTION_INT:
        return tw_parse_int(field, what, *text);
    case TW_OPTION_INT_LIST:
        return tw_parse_int_list(field, what, *text);
    case TW_OPTION_BYTES:
        return tw_parse_bytes(field, what, *text);
    case TW_OPTION_SEED:
        return tw_parse_seed(field, what, *text);
    case TW_OPTION_POSITIVE:
        return tw_parse_positive(field, what, *text);
    case TW_OPTION_NUMBER:
        return tw_parse_number(field, what, *text);
    case TW_OPTION_FRACTION:
        return tw_parse_fraction(field, what, *text);
    case TW_OPTION_DTYPE:
        return tw_parse_dtype(field, what, *text);
    case TW_OPTION_CHOICE:
        return tw_parse_choice(field, what, row->argument, *text);
    case TW_OPTION_ALGORITHMS:
        return read_algorithms(field, what, *text);
    case TW_OPTION_TEXTS:
    case TW_OPTION_TEXT:
        break;
    }
    if (**text == '\0')
        return tw_fail(TW_EINVAL, "%s is empty, it must be %s", what, row->argument);
    return row->kind == TW_OPTION_TEXT ? keep_text(field, text) : append_text(field, what, text);
}

/* ---- popt ----------------------------------------------------------------------------------------------- */

enum { MOST_HELP = 400, MOST_ARGUMENT = 24 };

/* The options of all sets as popt wants them: `val` is 1 + the row's number over all sets. */
typedef struct popt_table {
    struct poptOption *options;
    char (*texts)[MOST_HELP]; /* of the options that need one of their own */
    int count;
} popt_table;

/* "a, b, c: help" of choices "a|b|c" */
static void list_choices(char text[MOST_HELP], const char *choices, const char *help)
{
    size_t length = 0;
    for (const char *c = choices; *c && length + 3 < MOST_HELP; c++) {
        text[length++] = *c == '|' ? ',' : *c;
        if (*c == '|')
            text[length++] = ' ';
    }
    snprintf(text + length, MOST_HELP - length, ": %s", help);
}

/* Many choices would make the left column of --help wide: they stand in the right one. */
static struct poptOption popt_row(const tw_option *row, int number, char text[MOST_HELP])
{
    bool wide = row->kind == TW_OPTION_CHOICE && strlen(row->argument) > MOST_ARGUMENT;
    if (wide)
        list_choices(text, row->argument, row->help);
    return (struct poptOption){.longName = row->name,
                               .argInfo = row->kind == TW_OPTION_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING,
                               .val = number,
                               .descrip = wide ? text : row->help,
                               .argDescrip = wide ? "WORD" : row->argument};
}

static void free_table(popt_table *table)
{
    free(table->options);
    free(table->texts);
}

static tw_status build_table(popt_table *table, const tw_option_set *sets, int num_sets)
{
    size_t rows = 2; /* --help and the end */
    for (int s = 0; s < num_sets; s++)
        rows += (size_t)sets[s].count;
    table->options = calloc(rows, sizeof *table->options);
    table->texts = calloc(rows, sizeof *table->texts);
    if (!table->options || !table->texts) {
        free_table(table);
        return tw_fail(TW_ENOMEM, "no memory for the options");
    }
    int number = 0, count = 0;
    for (int s = 0; s < num_sets; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            const tw_option *row = &sets[s].rows[i];
            number++;
            if (offered(&sets[s], row)) {
                table->options[count] = popt_row(row, number, table->texts[count]);
                count++;
            }
        }
    }
    table->options[count++] = (struct poptOption){
        .longName = "help", .shortName = 'h', .val = number + 1, .descrip = "this list"};
    table->count = count;
    return TW_OK;
}

/* Row number `number` (from 1) over all sets. */
static const tw_option *row_at(const tw_option_set *sets, int num_sets, int number, void **field)
{
    for (int s = 0; s < num_sets; s++) {
        if (number <= sets[s].count) {
            const tw_option *row = &sets[s].rows[number - 1];
            *field = (char *)sets[s].into + row->offset;
            return row;
        }
        number -= sets[s].count;
    }
    return NULL;
}

static tw_status unknown_option(const popt_table *table, const char *command, const char *option)
{
    const char *name = option + strspn(option, "-"), *nearest = NULL;
    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(name, "="), name);
    for (int i = 0; i < table->count; i++) {
        const char *candidate = table->options[i].longName;
        if (tw_is_near(typed, candidate) &&
            (!nearest || tw_edit_distance(typed, candidate) < tw_edit_distance(typed, nearest)))
            nearest = candidate;
    }
    if (nearest)
        return tw_fail(TW_EINVAL, "option %s is not known; did you mean --%s? (%s --help lists all)",
                       tw_quote(option).text, nearest, command);
    return tw_fail(TW_EINVAL, "option %s is not known; %s --help lists those there are",
                   tw_quote(option).text, command);
}

static tw_status explain(poptContext context, const popt_table *table, const char *command, int code)
{
    const char *option = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    if (code == POPT_ERROR_BADOPT)
        return unknown_option(table, command, option);
    if (code == POPT_ERROR_NOARG)
        return tw_fail(TW_EINVAL, "option %s needs a value; %s --help says which", tw_quote(option).text,
                       command);
    if (code == POPT_ERROR_UNWANTEDARG)
        return tw_fail(TW_EINVAL, "option %s takes no value", tw_quote(option).text);
    return tw_fail(TW_EINVAL, "option %s: %s", tw_quote(option).text, poptStrerror(code));
}

/* Every dtype has a meaning, so that none of them can stand for "not given". */
static void note_given(const tw_option *row, void *field)
{
    if (row->kind == TW_OPTION_DTYPE && row->group == TW_GROUP_SHAPE) /* a row of the shared table */
        ((tw_options *)(void *)((char *)field - row->offset))->dtype_given = true;
}

static tw_status read_all(bool *help, poptContext context, const popt_table *table, const char *command,
                          tw_option_set *sets, int num_sets)
{
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        void *field = NULL;
        const tw_option *row = row_at(sets, num_sets, code, &field);
        if (!row) {
            *help = true;
            return TW_OK;
        }
        char *text = poptGetOptArg(context);
        tw_status status = read_value(field, row, &text);
        free(text);
        if (status != TW_OK)
            return status;
        note_given(row, field);
    }
    if (code < -1)
        return explain(context, table, command, code);
    const char *argument = poptGetArg(context);
    if (argument)
        return tw_fail(TW_EINVAL, "argument '%s' is not an option; options begin with --, as %s --help shows",
                       tw_quote(argument).text, command);
    return TW_OK;
}

tw_status tw_options_read(bool *help, const char *command, const char *summary, tw_option_set *sets,
                          int num_sets, int argc, char **argv)
{
    popt_table table = {.options = NULL};
    *help = false;
    TW_TRY(build_table(&table, sets, num_sets));
    argv[0] = (char *)command; /* popt's usage line begins with it */
    poptContext context = poptGetContext(NULL, argc, (const char **)argv, table.options,
                                         POPT_CONTEXT_NO_EXEC);
    if (!context) {
        free_table(&table);
        return tw_fail(TW_ENOMEM, "no memory to read the options");
    }
    tw_status status = read_all(help, context, &table, command, sets, num_sets);
    if (*help) {
        printf("%s: %s\n\n", command, summary);
        poptPrintHelp(context, stdout, 0);
    }
    poptFreeContext(context);
    free_table(&table);
    return status;
}

void tw_options_free(tw_option_set *sets, int num_sets)
{
    for (int s = 0; s < num_sets; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            void *field = (char *)sets[s].into + sets[s].rows[i].offset;
            if (sets[s].rows[i].kind == TW_OPTION_TEXT) {
                free(*(char **)field);
                *(char **)field = NULL;
            } else if (sets[s].rows[i].kind == TW_OPTION_TEXTS) {
                tw_text_list *list = field;
                while (list->count > 0)
                    free(list->values[--list->count]);
            }
        }
    }
}
