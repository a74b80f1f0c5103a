/* tilewise step: walks through a schedule tile by tile, as text or as one page for a browser. */
#include "commands.h"

#include "step_page.h"
#include "step_text.h"
#include "tensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char summary[] =
    "walks through a schedule tile by tile: what is on chip, m, l and O, the bytes so far\n"
    "It walks through one case: each option has one value.\n"
    "On a terminal, Enter goes on, p goes back, a number goes to that tile, q ends.";

/* The example of README.md, which can be followed by hand: fp16, softmax_scale 1, tiles of 2 x 2. */
enum { EXAMPLE_SEQLEN = 4, EXAMPLE_HEAD_DIM = 2, EXAMPLE_BLOCK = 2 };
static const double example_q[] = {1, 0, 0, 1, 1, 1, 2, -1};
static const double example_k[] = {1, 0, 0, 1, 1, 1, 0, 2};
static const double example_v[] = {1, 0, 0, 1, 2, 0, 0, 2};

/* The options that step has for itself. */
typedef struct step_options {
    bool plain, example;
    char *html;
    uint64_t row, to; /* UINT64_MAX, 0: not given */
} step_options;

static const tw_option rows[] = {
    {"plain", NULL, TW_OPTION_FLAG, offsetof(step_options, plain), 0,
     "the walk as text (the default without --html)"},
    {"html", "FILE|-", TW_OPTION_TEXT, offsetof(step_options, html), 0, "the walk as one page for a browser"},
    {"to", "TILE", TW_OPTION_SEED, offsetof(step_options, to), 0, "stop behind this tile; the first is 1"},
    {"row", "ROW", TW_OPTION_SEED, offsetof(step_options, row), 0,
     "the query row whose O is shown; the first is 0 (default: the first of each tile)"},
    {"example", NULL, TW_OPTION_FLAG, offsetof(step_options, example), 0,
     "the 4 x 2 example of README.md, which can be followed by hand"},
};

/* What is said of shared options whose defaults are others here: the_case() has them. */
static const struct {
    const char *name, *argument, *help;
} differing[] = {
    {"algorithm", "NAME", "what to look at; `tilewise list algorithms` names them (default: flash2)"},
    {"seqlen", "NUMBER", "rows of Q and of K, V (default: 8)"},
    {"seqlen-q", "NUMBER", "rows of Q alone"},
    {"seqlen-k", "NUMBER", "rows of K and V alone"},
    {"head-dim", "NUMBER", "columns of a head (default: 4)"},
    {"heads", "NUMBER", "query heads (default: 1)"},
    {"heads-kv", "NUMBER", "key/value heads; must divide the query heads (default: as many)"},
    {"batch", "NUMBER", "sequences (default: 1)"},
    {"block-m", "NUMBER", "query rows of a tile (default: 4)"},
    {"block-n", "NUMBER", "key rows of a tile (default: 4)"},
    {"br", "NUMBER", "--block-m by the papers' name"},
    {"bc", "NUMBER", "--block-n by the papers' name"},
    {"machine", "NAME|FILE.ini", "`tilewise list machines` names them (default: h100)"},
};

/* The shared table with those in place. */
static tw_option_set shared_here(tw_option *copy, int capacity, tw_options *options, unsigned groups)
{
    tw_option_set set = tw_options_shared(options, groups);
    if (set.count > capacity)
        return set;
    for (int i = 0; i < set.count; i++) {
        copy[i] = set.rows[i];
        for (size_t d = 0; d < sizeof differing / sizeof differing[0]; d++)
            if (strcmp(copy[i].name, differing[d].name) == 0) {
                copy[i].argument = differing[d].argument;
                copy[i].help = differing[d].help;
            }
    }
    set.rows = copy;
    return set;
}

/* ---- what is walked ------------------------------------------------------------------------------------- */

static void default_to(tw_int_list *list, int value)
{
    if (list->count == 0)
        *list = (tw_int_list){.count = 1, .values = {value}};
}

static tw_status check_example(const tw_options *o)
{
    const struct {
        const char *name;
        bool given;
    } own[] = {{"--seqlen", o->seqlen.count > 0},
               {"--seqlen-q", o->seqlen_q.count > 0},
               {"--seqlen-k", o->seqlen_k.count > 0},
               {"--head-dim", o->head_dim.count > 0},
               {"--heads", o->heads.count > 0},
               {"--heads-kv", o->heads_kv.count > 0},
               {"--batch", o->batch.count > 0},
               {"--dtype", o->dtype != TW_FP16},
               {"--cu-seqlens", o->extras.cu_seqlens || o->extras.cu_seqlens_q || o->extras.cu_seqlens_k},
               {"--head-dim-v", o->extras.head_dim_v > 0},
               {"--latent", o->extras.latent}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].given)
            return tw_fail(TW_EINVAL,
                           "%s is given beside --example, which has its own shape: leave one of them out",
                           own[i].name);
    return TW_OK;
}

static tw_status the_case(tw_case *c, tw_options *o, bool example, const tw_machine *machine)
{
    tw_case *cases = NULL;
    size_t count = 0;
    if (example)
        TW_TRY(check_example(o));
    if (o->algorithms.count == 0)
        o->algorithms = (tw_algorithm_list){.count = 1, .values = {&tw_schedule_flash2}};
    bool packed = o->extras.cu_seqlens || o->extras.cu_seqlens_q || o->extras.cu_seqlens_k;
    if (!packed && (o->seqlen_q.count == 0 || o->seqlen_k.count == 0))
        default_to(&o->seqlen, example ? EXAMPLE_SEQLEN : 8);
    default_to(&o->head_dim, example ? EXAMPLE_HEAD_DIM : 4);
    default_to(&o->heads, 1);
    default_to(&o->block_m, example ? EXAMPLE_BLOCK : 4);
    default_to(&o->block_n, example ? EXAMPLE_BLOCK : 4);
    TW_TRY(tw_options_cases(&cases, &count, o, machine));
    *c = cases[0];
    if (c->attached)
        c->attached->users++;
    tw_cases_free(cases, count);
    if (count > 1)
        return tw_fail(TW_EINVAL,
                       "the options name %zu cases, step walks through one: give one value of each", count);
    if (example)
        c->problem.softmax_scale = 1;
    return TW_OK;
}

static tw_status record_random(tw_trace *trace, const tw_case *c, const tw_machine *machine, uint64_t seed,
                               const tw_trace_options *options)
{
    tw_inputs inputs;
    tw_trace_options with_gradient = *options;
    double *d_o = NULL;
    with_gradient.forward = c->forward;
    with_gradient.forward_tiling = c->forward_tiling;
    TW_TRY(tw_trace_check(c->schedule, &c->problem, &c->tiling, machine, &with_gradient));
    TW_TRY(tw_inputs_random(&inputs, &c->problem, seed));
    tw_status status = c->forward ? tw_gradient_random(&d_o, &c->problem, seed) : TW_OK;
    with_gradient.d_o = d_o;
    if (status == TW_OK)
        status = tw_trace_record(trace, c->schedule, &c->problem, &c->tiling, machine, inputs.q, inputs.k,
                                 inputs.v, &with_gradient);
    tw_inputs_free(&inputs);
    free(d_o);
    return status;
}

/* A walk is through one pass; the page and the example know forward passes. */
static tw_status check_pass(const tw_case *c, const step_options *s)
{
    bool backward = c->schedule->pass == TW_PASS_BACKWARD;
    if (c->backward)
        return tw_fail(TW_EINVAL, "--pass is both, step walks through one: it must be forward or backward");
    if (backward && (s->html || s->example))
        return tw_fail(TW_EUNSUPPORTED, "--%s is of forward passes, %s is a backward pass: leave it out",
                       s->html ? "html" : "example", c->schedule->name);
    return TW_OK;
}

/* A page holds every number, so its walk is shorter. */
static tw_status record(tw_trace *trace, tw_case *c, tw_options *o, const step_options *s)
{
    tw_machine machine;
    bool full = s->html != NULL;
    tw_trace_options options = {.full = full,
                                .row = s->row == UINT64_MAX ? -1 : (int64_t)s->row,
                                .max_tiles = full ? 2000 : 50000,
                                .max_numbers = full ? 300000 : 20000000};
    TW_TRY(tw_options_machine(&machine, o));
    TW_TRY(the_case(c, o, s->example, &machine));
    TW_TRY(check_pass(c, s));
    int num_rows = tw_problem_seen_by(c->schedule, &c->problem).seqlen_q;
    if (options.row >= num_rows)
        return tw_fail(TW_EINVAL, "--row is %lld, it must be from 0 to %d: there are %d query rows",
                       (long long)options.row, num_rows - 1, num_rows);
    if (s->example)
        return tw_trace_record(trace, c->schedule, &c->problem, &c->tiling, &machine, example_q, example_k,
                               example_v, &options);
    return record_random(trace, c, &machine, o->seed, &options);
}

/* ---- the walk as text ----------------------------------------------------------------------------------- */

/* The stop of a tile that the walk has. */
static size_t stop_of(const tw_trace *t, int64_t tile)
{
    size_t at = 0;
    while (at + 1 < t->num_stops && t->stops[at].tile != tile)
        at++;
    return at;
}

/* Asks where to go from `at`; false at the end of the input or of the walk. */
static bool ask(const tw_trace *t, size_t *at)
{
    char line[64];
    for (;;) {
        fputs("\nEnter: on; p: back; number: to that tile; q: end > ", stdout);
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) {
            putchar('\n');
            ++*at;
            return false;
        }
        int64_t tile = strtol(line, NULL, 10);
        if (line[0] == 'q')
            *at = t->num_stops;
        else if (line[0] == 'p')
            *at -= *at > 0;
        else if (tile > 0 && tile <= t->num_tiles)
            *at = stop_of(t, tile);
        else if (line[0] == '\n')
            ++*at;
        else
            continue;
        return true;
    }
}

static void walk(const tw_trace *t, size_t end)
{
    tw_step_baselines baselines = tw_step_baselines_of(t);
    bool asks = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    tw_step_print_head(stdout, t);
    for (size_t at = 0; at < end && !ferror(stdout);) {
        tw_step_print_stop(stdout, t, at, &baselines);
        if (asks && at + 1 < end)
            asks = ask(t, &at);
        else
            at++;
    }
}

static tw_status show(const tw_trace *t, const step_options *s)
{
    if (s->to != UINT64_MAX && (s->to < 1 || s->to > (uint64_t)t->num_tiles))
        return tw_fail(TW_EINVAL, "--to is %llu, it must be from 1 to %lld: that many tiles are visited",
                       (unsigned long long)s->to, (long long)t->num_tiles);
    size_t end = s->to == UINT64_MAX ? t->num_stops : stop_of(t, (int64_t)s->to) + 1;
    if (s->html)
        TW_TRY(tw_step_page_write(s->html, t, s->to == UINT64_MAX ? 0 : end - 1));
    if (s->plain || !s->html)
        walk(t, end);
    return TW_OK;
}

static tw_status step(tw_options *o, const step_options *s)
{
    tw_trace trace = {.schedule = NULL};
    if (s->html && strcmp(s->html, "-") == 0 && s->plain)
        return tw_fail(TW_EINVAL, "--html - and --plain both write to stdout: give --html a file");
    tw_case c = {.schedule = NULL};
    tw_status status = record(&trace, &c, o, s);
    if (status == TW_OK)
        status = show(&trace, s);
    tw_trace_free(&trace);
    tw_attached_release(c.attached);
    return status;
}

int tw_cmd_step(int argc, char **argv)
{
    tw_options options = tw_options_default();
    step_options own = {.row = UINT64_MAX, .to = UINT64_MAX};
    unsigned groups = TW_GROUP_ALGORITHM | TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING |
                      TW_GROUP_MACHINE | TW_GROUP_SEED | TW_GROUP_EXTRAS | TW_GROUP_PASS | TW_GROUP_QUANTIZE;
    tw_option shared[64];
    tw_option_set sets[2] = {{.rows = rows, .count = (int)(sizeof rows / sizeof rows[0]), .into = &own},
                             shared_here(shared, (int)(sizeof shared / sizeof shared[0]), &options, groups)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise step", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = step(&options, &own);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
